"""Jobs by HTTP in a cluster with certificates: the framework decides for whoever has called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc
import grpc.aio
import pytest

from pymesos_core.addresses import parse_host_port
from pymesos_core.caller import Caller, Method
from pymesos_core.grpc_transport import open_channel
from pymesos_core.relaying import relay_request
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_proto.v1 import jobs_pb2, masters_pb2_grpc
from pymesos_testing.components import Roles, passable_folder, wait_for
from pymesos_testing.tls import TlsCluster

POLICY = """\
allow:
- {who: operator/root, do: ['*'], role: '**'}
- {who: operator/alice, do: [read], role: '**'}
- {who: operator/dev, do: [submit, stop, read, logs, files], role: dev}
- {who: framework/*, do: [subscribe, launch, reserve, serve], role: '**'}
"""
WORKS = {
    "name": "t", "kind": "service", "command": "echo up; sleep 600",
    "resources": {"cpus": 0.1, "mem": 32},
}  # fmt: skip


class Web:
    """The HTTP of a master, for somebody with a certificate."""

    def __init__(self, url: str, tls: Path) -> None:
        self.url = url
        self.context = ssl.create_default_context(cafile=tls / "roots.pem")
        self.context.check_hostname = False
        self.context.load_cert_chain(tls / "cert.pem", tls / "key.pem")

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """The status, and what is answered."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.context) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def read(self, path: str) -> bytes:
        """What is answered, as it is."""
        url = f"{self.url}{path}"
        with urllib.request.urlopen(url, timeout=20, context=self.context) as answer:
            return bytes(answer.read())

    def ok(self, path: str, body: Any = None) -> Any:
        status, said = self.ask(path, body)
        assert status == 200, said
        return said

    def denied(self, path: str, body: Any = None) -> str:
        status, said = self.ask(path, body)
        assert status == 403, said
        return str(said["error"]["message"])


class Closed(TlsCluster):
    """One framework of two roles, and the HTTP of the master."""

    def __init__(self, roles: Roles) -> None:
        (policy := roles.folder / "policy.yaml").write_text(POLICY)
        super().__init__(roles, ("--policy", str(policy), "--http-port", "0"), "dev,prod")
        assert self.master.process.stdout is not None
        self.url = self.master.process.stdout.readline().decode().removeprefix("web ").strip()

    def web_of(self, principal: str) -> Web:
        return Web(self.url, Path(self.issue(principal)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Closed]:
    with passable_folder() as folder, contextlib.closing(Roles(folder)) as roles:
        yield Closed(roles)


@pytest.fixture(scope="module")
def jobs(cluster: Closed) -> dict[str, str]:
    """The ids of a job of each role."""
    root = cluster.web_of("operator/root")
    return {
        role: root.ok(
            "/v1/jobs/apply", {"document": {"name": role, "role": role, "tasks": [WORKS]}}
        )["job_id"]
        for role in ("dev", "prod")
    }


def test_what_is_seen_is_what_the_cli_shows(cluster: Closed, jobs: dict[str, str]) -> None:
    for who, seen in (("operator/root", {"dev", "prod"}), ("operator/dev", {"dev"})):
        listed = cluster.web_of(who).ok("/v1/jobs")
        assert {job["name"] for job in listed["jobs"]} == seen and not listed["unreachable"]
        by_cli = cluster.cli_of(who).json("jobs")
        assert {job["job_id"] for job in by_cli} == {job["job_id"] for job in listed["jobs"]}
        assert by_cli[0].keys() == listed["jobs"][0].keys()


def test_what_is_changed_is_what_the_policy_allows(cluster: Closed, jobs: dict[str, str]) -> None:
    dev, root = cluster.web_of("operator/dev"), cluster.web_of("operator/root")
    scaled = dev.ok("/v1/jobs/scale", {"job": "dev", "counts": {"t": 2}})
    assert scaled["version"] == 2
    wait_for(
        "both run",
        lambda: (
            {i["state"] for i in dev.ok("/v1/jobs/dev/instances")["instances"]} == {"TASK_RUNNING"}
        ),
    )
    for body in ({"job": "prod", "counts": {"t": 2}}, {"job": jobs["prod"], "counts": {"t": 2}}):
        status, said = dev.ask("/v1/jobs/scale", body)
        assert status in (403, 404), said
    document = {"name": "x", "role": "prod", "tasks": [WORKS]}
    for plan in (False, True):
        why = dev.denied("/v1/jobs/apply", {"document": document, "plan": plan})
        assert "operator/dev may not submit in the role prod" in why
    assert root.ok("/v1/jobs/prod")["version"] == 1
    eve = cluster.web_of("operator/eve")
    assert "operator/eve may not read" in eve.denied("/v1/jobs")
    versions = dev.ok("/v1/jobs/dev/versions")["versions"]
    assert [version["made_by"] for version in versions] == ["operator/dev", "operator/root"]
    lines = [
        line
        for line in map(
            json.loads, cluster.cli_of("operator/root").ok("audit", "--json").splitlines()
        )
        if line["method"] == "Jobs.ScaleJob"
    ]
    assert {(n["principal"], n["decision"], n.get("relayed_by")) for n in lines} >= {
        ("operator/dev", "allowed", "master/m1")
    }


def test_what_a_task_has_written(cluster: Closed, jobs: dict[str, str]) -> None:
    dev, root = cluster.web_of("operator/dev"), cluster.web_of("operator/root")

    def running(job: str) -> list[str]:
        instances = root.ok(f"/v1/jobs/{job}/instances")["instances"]
        return [one["task_id"] for one in instances if one["state"] == "TASK_RUNNING"]

    wait_for("they run", lambda: bool(running("dev") and running("prod")))
    task_id, other = running("dev")[0], running("prod")[0]
    wait_for("its log", lambda: dev.read(f"/v1/tasks/{task_id}/logs") == b"up\n")
    files = dev.ok(f"/v1/tasks/{task_id}/files")["files"]
    assert {"stdout", "stderr"} <= {file["name"] for file in files}
    assert dev.read(f"/v1/tasks/{task_id}/file?path=stdout&offset=1") == b"p\n"
    for path in ("../../../../etc/passwd", "/etc/passwd", "stdout/../../../x"):
        status, said = dev.ask(f"/v1/tasks/{task_id}/file?path={quote(path, safe='')}")
        assert status in (400, 403, 404), said
    for path in (f"/v1/tasks/{other}/logs", f"/v1/tasks/{other}/files"):
        status, said = dev.ask(path)
        assert status == 404 and f"there is no task '{other}'" in said["error"]["message"]
    assert "may not read logs in the role dev" in cluster.web_of("operator/alice").denied(
        f"/v1/tasks/{task_id}/logs"
    )


async def execute(
    web: Web, path: str, *said: str | bytes, headers: Any = None
) -> tuple[bytes, Any]:
    """What a command has written to stdout, and its last message."""
    out, last = b"", None
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{web.url}{path}", ssl=web.context, headers=headers) as socket,
    ):
        for one in said:
            await (socket.send_str(one) if isinstance(one, str) else socket.send_bytes(one))
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data[:1] == b"\x01":
                out += message.data[1:]
            elif message.type is aiohttp.WSMsgType.TEXT:
                last = json.loads(message.data)
    return out, last


def test_a_command_in_a_task(cluster: Closed, jobs: dict[str, str]) -> None:
    dev, root = cluster.web_of("operator/dev"), cluster.web_of("operator/root")

    def running() -> list[str]:
        instances = root.ok("/v1/jobs/dev/instances")["instances"]
        return [one["task_id"] for one in instances if one["state"] == "TASK_RUNNING"]

    wait_for("it runs", lambda: bool(running()))
    path = f"/v1/tasks/{running()[0]}/exec"
    script = json.dumps({"argv": ["sh", "-c", "read x; echo got $x; exit 7"]})
    typed = (script, b"this\n", '{"stdin_closed": true}')
    out, last = asyncio.run(execute(root, path, *typed))
    assert (out, last) == (b"got this\n", {"exit_status": 7})
    out, last = asyncio.run(execute(root, path, '{"argv": ["cat"]}', '{"signal": 15}'))
    assert last == {"exit_status": -15}
    out, last = asyncio.run(execute(root, path, '{"argv": []}'))
    assert last["error"]["code"] == "INVALID_ARGUMENT" and "argv" in last["error"]["message"]
    out, last = asyncio.run(execute(dev, path, script))
    assert "operator/dev may not exec in the role dev" in last["error"]["message"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        asyncio.run(execute(root, path, headers={"Origin": "https://elsewhere.example"}))
    assert refused.value.status == 403
    assert root.ask(path)[0] == 426
    lines = map(json.loads, cluster.cli_of("operator/root").ok("audit", "--json").splitlines())
    begun = [line for line in lines if line["method"] == "Sandbox.Exec"]
    assert ("operator/root", "begun") in {(line["principal"], line["outcome"]) for line in begun}


def test_a_plan_says_where(cluster: Closed, jobs: dict[str, str]) -> None:
    large = {**WORKS, "instances": 2, "resources": {"cpus": 10_000, "mem": 32}}
    tasks = [WORKS, {**large, "name": "large"}]
    asked = {"document": {"name": "new", "role": "dev", "tasks": tasks}}
    planned = cluster.web_of("operator/root").ok("/v1/whatif", asked)
    t, large = planned["where"]
    assert t["places"] == [{"hostname": "node-1", "instances": 1}]
    assert large["never"] and "needs 10000 cpus" in large["why"]
    planned = cluster.web_of("operator/dev").ok("/v1/whatif", asked)
    assert planned["where"], "agents are shown to whoever may read in a role"


@pytest.mark.parametrize("principal", ["operator/root", "framework/other", "agent/other"])
def test_who_is_no_master_cannot_speak_for_another(cluster: Closed, principal: str) -> None:
    root = Caller("operator/root", Method.CERT, "1", "ipv4:127.0.0.1", "http")
    asked = relay_request("Jobs.ListJobs", jobs_pb2.ListJobsRequest(), root)
    credentials = Credentials(Path(cluster.issue(principal)))

    async def ask() -> None:
        at = parse_host_port(cluster.binpack.address)
        async with open_channel(at, Kind.FRAMEWORK, credentials) as channel:
            await masters_pb2_grpc.RelayedJobsStub(channel).Relay(asked, timeout=10)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        asyncio.run(ask())
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert "it is for master certificates" in (refused.value.details() or "")
