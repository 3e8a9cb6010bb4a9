"""The OpenAPI document against the server: schemathesis makes requests of it, good ones and bad."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pymesos_core.addresses import HostPort
from pymesos_core.security.gate import open_gate
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Channel, Code
from pymesos_master.http.answering import Answering, Calls
from pymesos_master.http.routes import ROUTES
from pymesos_master.http.server import HttpServer
from pymesos_master.http.stream_routes import EXEC, STREAMS
from pymesos_master.services.jobs_asked import JobsCalls
from pymesos_master.services.jobs_relay import JobsRelay
from pymesos_testing.http_cluster import a_bit_of_everything, leadership_of, operators_of
from pymesos_testing.http_serving import LISTEN, running

TIMEOUT_S = 300.0  # of a machine that others load, too; alone it takes a tenth of that
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "unsupported_method",
)  # fmt: skip
# Nothing is at the address of its agent, and what is bad may be too large, too.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "503"]
[checks.negative_data_rejection]
expected-statuses = ["400", "403", "404", "405", "409", "413", "415", "503"]
"""


def no_framework(address: HostPort, to: Kind, name: str = "") -> Channel:
    raise CallError(Code.UNAVAILABLE, f"nothing listens at {address}")


async def test_what_it_answers_is_as_the_document_says(tmp_path: Path) -> None:
    operators = operators_of(leadership_of(a_bit_of_everything()))
    jobs = JobsCalls(JobsRelay(operators, no_framework))
    others: dict[str, Calls] = {"Jobs": jobs, "Sandbox": operators}
    answering = Answering(operators, open_gate, tokens=None, others=others)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    streams = [argument for one in (*STREAMS, EXEC) for argument in ("--exclude-path", one.path)]
    async with running(HttpServer(answering, LISTEN, None)) as url:
        ran = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{url}/v1/openapi.json",
            "--checks", ",".join(CHECKS), "--seed", "1", *streams,
            "--max-examples", "4", "--phases", "examples,coverage,fuzzing", "--no-color",
            "--generation-database", "none", "--continue-on-failure", "--warnings", "off",
            "--generation-with-security-parameters", "false",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = await asyncio.wait_for(ran.communicate(), TIMEOUT_S)
        finally:
            if ran.returncode is None:
                ran.kill()
    assert ran.returncode == 0, said.decode()
    assert f"Tested: {len(ROUTES)}" in said.decode(), "no operation is left out, but for streams"
