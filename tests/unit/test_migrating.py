"""`migrate check`: what a master of Mesos says, and what is made of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from pymesos_cli.errors import CliError
from pymesos_cli.main import main
from pymesos_cli.migrating.asking import AgentFlags, Asking, by_password
from pymesos_cli.migrating.checking import Finding, findings
from pymesos_cli.migrating.tables import Verdict

DATA = Path(__file__).resolve().parents[1] / "mesos" / "data"
MISSING, DIFFERS, WORKS = Verdict.MISSING, Verdict.DIFFERS, Verdict.WORKS


def recorded() -> dict[str, Any]:
    """The answers of a real Mesos, by path."""
    steps = json.loads((DATA / "13a_master_legacy.json").read_text("utf-8"))["steps"]
    out: dict[str, Any] = {"flags": {"flags": {"offer_timeout": "3secs", "hooks": ""}}}
    for step in steps:
        path = step.get("send", {}).get("path", "").removeprefix("/")
        if path in ("version", "frameworks", "slaves", "roles", "weights", "quota"):
            out[path] = step["body"]
    return out


def of(found: list[Finding], verdict: Verdict) -> dict[str, str]:
    return {f"{one.of}: {one.what}": one.told for one in found if one.verdict is verdict}


def test_what_a_real_mesos_said() -> None:
    found = findings(recorded(), [])
    assert not of(found, MISSING)
    works = of(found, WORKS)
    assert works["flags of the master: --offer-timeout=3secs".replace("-t", "_t")]
    assert "agents: 1 agent" in works and "master: Mesos 1.12.0" in works
    assert list(of(found, DIFFERS)) == ["framework golden: 1 executor of pods"]


def test_what_frameworks_and_their_tasks_use() -> None:
    container = {
        "docker": {"privileged": True, "parameters": [{"key": "a", "value": "b"}]},
        "volumes": [{"source": {"type": "DOCKER_VOLUME"}}],
    }
    tasks = [{"container": container, "discovery": {"name": "x"}}, {"discovery": {"name": "y"}}]
    framework = {
        "name": "f",
        "capabilities": ["REGION_AWARE", "PARTITION_AWARE"],
        "principal": "p",
        "executors": [{"executor_id": "e", "type": "CUSTOM"}],
        "tasks": tasks,
    }
    found = findings({"frameworks": {"frameworks": [framework]}}, [])
    assert set(of(found, MISSING)) == {
        "framework f: REGION_AWARE",
        "framework f: privileged containers (1 task)",
        "framework f: parameters of Docker (1 task)",
        "framework f: volumes of the kind DOCKER_VOLUME (1 task)",
    }
    assert set(of(found, DIFFERS)) >= {
        "framework f: a principal",
        "framework f: discovery (2 tasks)",
        "framework f: 1 custom executor",
    }
    assert not [one for one in found if one.of == "framework f" and one.verdict is WORKS]


def test_agents_and_flags() -> None:
    dynamic = {"name": "disk", "reservation": {}, "disk": {"persistence": {"id": "v"}}}
    slave = {"reserved_resources_full": {"dev": [dynamic]}, "resource_providers": [{}]}
    flags = {"isolation": "posix/cpu,network/port_mapping", "image_providers": "DOCKER,APPC"}
    agents = [AgentFlags("a", flags), AgentFlags("b", flags), AgentFlags("c", None, "away")]
    master = {
        "slaves": {"slaves": [slave]},
        "weights": [{"role": "a", "weight": 2}],
        "quota": {"configs": [{"role": "a"}]},
        "flags": {"flags": {"acls": "{}", "modules": "x", "allocator": "hierarchical"}},
    }
    found = findings(master, agents)
    assert set(of(found, MISSING)) == {
        "agents: resource providers on 1 agent",
        "flags of the master: --modules=x",
        "flags of agents: --isolation: network/port_mapping",
        "flags of agents: --image_providers: appc",
    }
    assert set(of(found, DIFFERS)) >= {
        "agents: dynamic reservations on 1 agent",
        "agents: 1 persistent volume",
        "roles: quota of 1 role",
        "roles: weights of 1 role",
        "flags of the master: --acls={}",
        "flags of agents: c",
    }


@pytest.mark.parametrize("odd", [{}, {"frameworks": []}, {"slaves": {"slaves": [1, None]}}])
def test_odd_answers_are_lived_through(odd: Any) -> None:
    assert findings(odd, [])


class Mesos(BaseHTTPRequestHandler):
    """Answers as it is told to."""

    answers: ClassVar[dict[str, Any]] = {}
    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Authorization")))
        answer = self.answers.get(self.path, 404)
        if isinstance(answer, str):
            self.send_response(307)
            self.send_header("Location", answer)
            self.end_headers()
            return
        self.send_response(answer if isinstance(answer, int) else 200)
        self.end_headers()
        if not isinstance(answer, int):
            self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def mesos() -> Iterator[str]:
    Mesos.answers = {f"/{path}": answer for path, answer in recorded().items()}
    Mesos.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mesos)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: str, secret: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["migrate", "check", *arguments], input=secret)
    return result.exit_code, result.output


def test_a_master_is_asked_and_shown(mesos: str) -> None:
    status, output = run("--mesos", mesos, "--agents", "0")
    assert status == 0, "pods differ"
    assert "framework golden" in output and "0 missing, 1 differs" in output
    Mesos.answers["/frameworks"] = {"frameworks": []}
    status, output = run("--mesos", mesos, "--agents", "0", "--json")
    assert status == 0
    assert {one["verdict"] for one in json.loads(output)} == {"works"}


BASIC = "Basic bWU6c2VjcmV0"  # me:secret


def test_who_asks_is_shown_to_masters_and_not_to_agents(mesos: str) -> None:
    at = mesos.removeprefix("http://")
    Mesos.answers["/slaves"] = {"slaves": [{"hostname": "a", "pid": f"slave(1)@{at}"}]}
    asking = Asking(mesos, BASIC)
    asking.master()
    (agent,) = asking.agents_flags(5)
    assert agent.flags == {"offer_timeout": "3secs", "hooks": ""}
    *of_master, of_agent = Mesos.seen
    assert {shown for _, shown in of_master} == {BASIC}
    assert of_agent == ("/flags", None)


def test_the_master_that_leads_is_found(mesos: str) -> None:
    version = Mesos.answers["/version"]
    Mesos.answers["/version"] = f"//{mesos.removeprefix('http://')}/leader"
    Mesos.answers["/leader"] = version
    assert Asking(mesos).master()["version"] == version
    Mesos.answers["/version"] = "/version"
    with pytest.raises(CliError, match="no place to be sent to"):
        Asking(mesos).master()
    Mesos.answers["/version"] = f"{mesos}/version"
    with pytest.raises(CliError, match="from one to the other"):
        Asking(mesos).master()


def test_credentials_are_shown_to_masters_that_were_named_alone(mesos: str) -> None:
    at = mesos.removeprefix("http://")
    elsewhere = at.replace("127.0.0.1", "localhost")
    version = Mesos.answers["/version"]
    Mesos.answers["/version"] = f"//{elsewhere}/leader"
    Mesos.answers["/leader"] = version
    with pytest.raises(CliError, match=f"sends to '{elsewhere}'.*add --also '{elsewhere}'"):
        Asking(mesos, BASIC).master()
    assert [path for path, _ in Mesos.seen] == ["/version"], "nothing was sent there"
    Asking(mesos).master()
    assert {shown for _, shown in Mesos.seen[1:]} == {None}, "without credentials it is followed"
    Mesos.seen.clear()
    assert Asking(mesos, BASIC, (elsewhere,)).master()["version"] == version
    assert {shown for _, shown in Mesos.seen} == {BASIC}
    Mesos.seen.clear()
    Mesos.answers["/version"] = f"//{at.upper()}/leader"
    assert Asking(mesos, BASIC).master()["version"] == version
    with pytest.raises(CliError, match="is no URL such as"):
        Asking(mesos, BASIC, ("h:0",))
    status, output = run(
        *(
            "--mesos",
            f"http://{elsewhere}",
            "--principal",
            "me",
            "--secret-file",
            "-",
            "--agents",
            "0",
        ),
        *("--also", at),
        secret="secret\n",
    )
    assert status == 0 and "framework golden" in output


def test_credentials_are_read_from_a_file(mesos: str, tmp_path: Path) -> None:
    (file := tmp_path / "token").write_text("a.JWT-of_mine=\n")
    status, _ = run("--mesos", mesos, "--token-file", str(file), "--agents", "0")
    assert status == 0 and {shown for _, shown in Mesos.seen} == {"Bearer a.JWT-of_mine="}
    (secret := tmp_path / "secret").write_text("secret\n")
    assert by_password("me", secret) == BASIC
    more = ("--principal", "me", "--secret-file", str(secret))
    status, output = run("--mesos", mesos, "--token-file", str(file), *more)
    assert status == 2 and "give --token-file, or --principal" in output
    file.write_text("Bearer abc\n")
    status, output = run("--mesos", mesos, "--token-file", str(file))
    assert status == 2 and "one word of ASCII is expected" in output


def test_what_goes_wrong_is_said(mesos: str) -> None:
    Mesos.answers["/quota"] = 403
    found = findings(Asking(mesos).master(), [])
    assert "answers 403" in of(found, DIFFERS)["master: /quota"]
    Mesos.answers["/slaves"] = 401
    status, output = run("--mesos", mesos)
    assert status == 3 and "give --principal and --secret-file" in output
    Mesos.answers["/slaves"] = 403
    status, output = run("--mesos", mesos)
    assert status == 3 and "of one who may read it" in output
    status, output = run("--mesos", "ftp://x")
    assert status == 2 and "is no URL" in output
    status, output = run("--mesos", mesos, "--principal", "me")
    assert status == 2 and "--secret-file" in output


@pytest.mark.parametrize("url", ["http://h:99999", "h:0", "ftp://h", "http://u:p@h", "http://"])
def test_what_is_no_url_of_a_master(url: str) -> None:
    """A port beyond 65535 would lead a socket to another."""
    with pytest.raises(CliError, match="is no URL such as"):
        Asking(url)
