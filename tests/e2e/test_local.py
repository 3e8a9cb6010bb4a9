"""`pymesos-cli local` is closed: who owns it needs no flags, and nobody else gets anything."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dnslib
import psutil
import pytest

from pymesos_cli.local.owner import AUTHORITY, OF_FRAMEWORKS, OWNER, tls_of
from pymesos_core.addresses import parse_host_port
from pymesos_core.contexts import own_contexts
from pymesos_testing.cli import Cli, job
from pymesos_testing.components import wait_for
from pymesos_testing.users import SOMEBODY, as_somebody

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "frameworks" / "examples"
NOBODY = 65534


@dataclass
class Local:
    """A `local` of one agent."""

    process: subprocess.Popen[str]
    master: str
    folder: Path
    said: str

    @property
    def secrets(self) -> Path:
        context = own_contexts().at(self.master)
        assert context is not None and context.tls is not None
        return context.tls.parent

    def ports(self) -> list[int]:
        """All that its processes listen on."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        found = (c for p in processes for c in p.net_connections("tcp"))
        return sorted({c.laddr.port for c in found if c.status == psutil.CONN_LISTEN})


def start(*flags: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Local:
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "pymesos_cli", "local", "--agents", "1", *flags],
        stdout=subprocess.PIPE, text=True, env=os.environ | dict(env or {}), cwd="/",
    )  # fmt: skip
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    assert lines[0].startswith("master "), lines
    (folder,) = (line.split()[-1] for line in lines if "sandboxes are in" in line)
    return Local(process, lines[0].split()[1], Path(folder), "".join(lines))


def stop(local: Local) -> None:
    local.process.send_signal(signal.SIGINT)
    assert local.process.wait(60) == 0


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    made = start("--runtime", "process", "--dns")
    yield made
    stop(made)
    assert own_contexts().at(made.master) is None and not made.folder.exists()


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pymesos_cli", "local"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
    )  # fmt: skip
    while not list(tmp_path.glob("pymesos-local-*/master.log")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + signal.SIGINT, "")
    assert not list(tmp_path.glob("pymesos-local-*"))


def python(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=60, env=os.environ | env
    )


def cli(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "pymesos_cli", *arguments, **env)


def test_its_owner_needs_no_flags(local: Local) -> None:
    for env in ({}, {"PYMESOS_MASTER": local.master}):
        done = cli("run", "--", "echo", "hello", **env)
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert "only you get in: your certificate is in the context local" in local.said


def test_http_is_for_its_owner(local: Local) -> None:
    """By the certificate, and at the address that is its second line."""
    url = local.said.splitlines()[1].removeprefix("web ")
    tls = tls_of(local.secrets, OWNER)
    context = ssl.create_default_context(cafile=tls / "roots.pem")
    context.check_hostname = False  # it is the name of the master, and not of the address

    def ask(path: str) -> Any:
        with urllib.request.urlopen(f"{url}{path}", timeout=20, context=context) as answer:
            return json.load(answer)

    assert ask("/health") == {"status": "leading"}
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask("/v1/agents")
    context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
    assert [agent["hostname"] for agent in ask("/v1/agents")["agents"]] == ["agent-1"]


def test_what_serves_has_a_name(local: Local, tmp_path: Path) -> None:
    (said,) = (line for line in local.said.splitlines() if line.startswith("dns "))
    at = parse_host_port(said.removeprefix("dns "))
    shop = {"name": "shop", "tasks": [{"name": "web", "kind": "service", "command": "sleep 600"}]}
    (tmp_path / "shop.json").write_text(json.dumps(shop))
    assert cli("apply", str(tmp_path / "shop.json"), "--wait").returncode == 0

    def addresses() -> list[str]:
        packet = dnslib.DNSRecord.question("web.shop.pymesos").send(at.host, at.port, timeout=5)
        return [str(record.rdata) for record in dnslib.DNSRecord.parse(packet).rr]

    wait_for("its address", lambda: addresses() == ["127.0.0.1"])
    assert cli("stop", "shop").returncode == 0


def test_a_program_asks_with_an_access_token(local: Local) -> None:
    """A program asks masters, and frameworks through them, until its token is revoked."""
    url = local.said.splitlines()[1].removeprefix("web ")
    context = ssl.create_default_context(cafile=tls_of(local.secrets, OWNER) / "roots.pem")
    context.check_hostname = False

    def ask(token: str, path: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        sent = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{url}{path}", sent, headers)
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code

    def make(*arguments: str) -> str:
        made = cli("token", "make", *arguments)
        assert made.returncode == 0 and made.stdout.startswith("pymesos_at_"), made.stderr
        return made.stdout.strip()

    everything, narrow = make("--right", "*:**", "--name", "for a test"), make("--right", "read:no")
    scraping = make("--scrape", "--ttl", "365d")
    file = {"name": "by-token", "tasks": [{"name": "t", "command": "sleep 60"}]}
    submitted = ask(everything, "/v1/jobs/submit", document=file)
    assert "by-token" in [job["name"] for job in ask(everything, "/v1/jobs")["jobs"]]
    assert ask(narrow, "/v1/jobs")["jobs"] == []
    assert ask(narrow, "/v1/jobs/stop", job=submitted["job_id"]) == 404, "of which it may not know"
    assert ask(everything, "/v1/jobs/stop", job=submitted["job_id"]) == {}
    assert isinstance(ask(scraping, "/v1/sd"), list) and ask(scraping, "/v1/tasks") == 403
    assert ask(everything[:-1] + "_", "/v1/agents") == 401
    listed = json.loads(cli("token", "list", "--json").stdout)
    (named,) = (one["id"] for one in listed if one["name"] == "for a test")
    revoked = cli("token", "revoke", named)
    assert revoked.returncode == 0, revoked.stderr
    assert ask(everything, "/v1/agents") == 401
    log = (local.folder / "master.log").read_text()
    assert not any(token in log for token in (everything, narrow, scraping))
    audited = [json.loads(line) for line in cli("audit", "--json").stdout.splitlines()]
    by_token = [line for line in audited if line.get("access_token") == named]
    assert {line["method"] for line in by_token} >= {"Jobs.SubmitJob", "Jobs.StopJob"}, audited
    refused = cli("token", "make", "--right", "read")
    assert refused.returncode == 2 and "as in read:prod" in refused.stderr


@pytest.mark.parametrize("arguments", [("MASTER",), ()])
def test_neither_does_the_author_of_a_framework(local: Local, arguments: tuple[str, ...]) -> None:
    master = [local.master for _ in arguments]
    done = python(str(EXAMPLES / "hello_framework.py"), *master)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("TASK_FINISHED") == 5


def test_a_command_may_be_the_framework(local: Local) -> None:
    done = cli("run", "--here", "--", "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_custom_executors_get_in(local: Local) -> None:
    done = python(str(EXAMPLES / "counting_executor.py"), local.master, "2", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("counted to 2") == 2


def roles_of_binpack() -> list[str]:
    listed = json.loads(cli("frameworks", "--json").stdout)
    (roles,) = (each["roles"] for each in listed if each["name"] == "binpack")
    assert isinstance(roles, list)
    return roles


def test_jobs_of_every_role_are_taken_and_find_their_volumes_again(
    local: Local, tmp_path: Path
) -> None:
    task = {
        "name": "t",
        "retries": 0,
        "command": "if [ -e data/made ]; then exit 0; fi; touch data/made; exit 7",
        "volumes": [{"name": "data", "path": "data", "size": 8}],
    }
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps({"name": "keeps", "role": "shop/db", "tasks": [task]}))
    statuses = [cli("run", "--wait", str(file)).returncode for _ in range(2)]
    assert statuses == [1, 0], "the second run has what the first one wrote"
    assert roles_of_binpack() == ["*"], "no job of the other role is left"
    (volume,) = json.loads(cli("volumes", "list", "--json").stdout)
    assert volume["role"] == "shop/db"
    done = cli("volumes", "remove", volume["volume_id"], "--yes")
    assert done.returncode == 0, done.stderr
    assert cli("run", "--wait", str(file)).returncode == 1, "its volume is a new one"


def test_its_authority_lets_more_in(local: Local, tmp_path: Path) -> None:
    authority = str(local.secrets / AUTHORITY)
    done = cli("cluster", "issue", authority, "operator/eve", str(tmp_path / "eve"))
    assert done.returncode == 0, done.stderr
    assert cli("--tls", str(tmp_path / "eve"), "--master", local.master, "tasks").returncode == 0


def test_a_second_one_is_one_of_its_own(local: Local) -> None:
    first = own_contexts().at(local.master)
    second = start("--runtime", "process")
    assert first is not None and "in the context local-2" in second.said
    for context in (first.name, "local-2"):
        done = cli("--context", context, "agents", "--json")
        assert len(json.loads(done.stdout)) == 1, done.stderr
    stop(second)
    assert own_contexts().current() == first


def test_whose_contexts_cannot_be_written_names_the_certificate(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    made = start("--runtime", "process", env={"XDG_CONFIG_HOME": str(tmp_path / "file")})
    said = f"export PYMESOS_TLS={tls_of(made.folder / 'secrets', OWNER)}"
    assert said in made.said
    variables = dict(line.split()[1].split("=") for line in made.said.splitlines() if "exp" in line)
    done = cli("agents", "--json", XDG_CONFIG_HOME=str(tmp_path / "file"), **variables)
    assert len(json.loads(done.stdout)) == 1, done.stderr
    stop(made)


def test_a_laboratory_is_open() -> None:
    made = start("--runtime", "process", "--no-auth")
    assert "everybody on this machine gets in" in made.said
    assert len(Cli(made.master).json("agents")) == 1
    done = python(str(EXAMPLES / "hello_framework.py"), made.master)
    assert done.returncode == 0, done.stderr
    stop(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which gives tasks their users")
def test_tasks_of_root_read_nothing_of_it(local: Local) -> None:
    config = own_contexts().path.parent
    places = f"{config} {local.secrets} {local.folder}"
    script = f"id -u; cat {local.secrets}/*/key.pem {config}/contexts.json; find {places} -type f"
    done = cli("run", "--", f"echo mine > mine; {script} -readable; echo end")
    assert done.returncode == 0, done.stderr
    uid, *found, end = done.stdout.split()
    assert uid != "0" and end == "end"
    assert {Path(path).name for path in found} <= {"mine", "stdout", "stderr"}, found
    assert "files: own user" in cli("agents").stdout


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """The home folder of somebody who is not root."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, SOMEBODY, SOMEBODY)
        yield Path(folder)


class TestOfSomebodyWhoIsNotRoot:
    """Whose tasks have the same user, and are kept from what is that user's by the kernel."""

    def env(self, home: Path) -> dict[str, str]:
        return os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": ""}

    def start(self, home: Path, *flags: str) -> Local:
        return start("--runtime", "process", *flags, prefix=as_somebody(), env=self.env(home))

    def cli(self, home: Path, *arguments: str) -> str:
        argv = as_somebody(sys.executable, "-m", "pymesos_cli", *arguments)
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, cwd="/", env=self.env(home)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def test_tasks_see_their_own_files_and_no_others(self, home: Path) -> None:
        local = self.start(home)
        try:
            service = home / "service.json"
            service.write_text(job("service", 1, "echo kept > mine; sleep 600"))
            self.cli(home, "run", str(service), "--wait")
            (task,) = json.loads(self.cli(home, "tasks", "--json"))
            config = home / ".config/pymesos"
            script = f"cat mine; find {config} {local.folder} -type f -readable; echo end"
            inside = self.cli(home, "exec", task["task_id"], "--", "sh", "-c", script).split()
            outside = self.cli(home, "run", "--", f"sh -c 'echo kept > mine; {script}'").split()
            for said in (inside, outside):
                assert said[0] == "kept" and said[-1] == "end"
                assert {Path(path).name for path in said[1:-1]} == {"mine", "stdout", "stderr"}
            assert set(inside[1:-1]).isdisjoint(outside[1:-1]), "each sees its own sandbox"
            parts = psutil.Process(local.process.pid).children(recursive=True)
            names = {"pymesos_cli", "pymesos_master", "pymesos_agent", "pymesos_binpack"}
            parts = [p for p in parts if names.intersection(p.cmdline())]
            assert len(parts) == 4, "the keeper, master, agent and the bin-packing framework"
            owners = {Path(f"/proc/{part.pid}/mem").stat().st_uid for part in parts}
            assert owners == {0}, "others of their user do not look into them"
            assert "files: " in self.cli(home, "agents")
            assert "files: no" not in self.cli(home, "agents")
        finally:
            stop(local)
        assert not local.folder.exists() and list((config / "local").iterdir()) == []

    def test_they_see_all_where_that_is_wanted(self, home: Path) -> None:
        local = self.start(home, "--no-task-isolation")
        try:
            assert "files: no" in self.cli(home, "agents")
            found = self.cli(home, "run", "--", f"find {home}/.config -name key.pem -readable")
            assert len(found.split()) == 5, "of master, agent, framework, owner, owner's frameworks"
        finally:
            stop(local)


# Says what somebody else can open of what is named on standard input, and which calls succeed.
STRANGER = """
import encodings.idna, json, os, ssl, sys
import grpc
from google.protobuf import descriptor_pool
from pymesos_proto.v1 import agent_pb2, executor_pb2, jobs_pb2, operator_pb2, sandbox_pb2
from pymesos_proto.v1 import scheduler_pb2
MODULES = (agent_pb2, executor_pb2, jobs_pb2, operator_pb2, sandbox_pb2, scheduler_pb2)
given = json.load(sys.stdin)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
read, done, codes = [], [], set()
for path in given["paths"]:
    try:
        open(path, "rb").close()
        read.append(path)
    except OSError:
        pass
for port in given["ports"]:
    where = f"127.0.0.1:{port}"
    proof = grpc.ssl_channel_credentials()
    channels = [grpc.insecure_channel(where), grpc.secure_channel(where, proof)]
    try:
        shown = ssl.get_server_certificate(("127.0.0.1", port), timeout=5).encode()
        channels.append(grpc.secure_channel(where, grpc.ssl_channel_credentials(shown)))
    except OSError:
        pass
    for channel in channels:
        for service in (s for m in MODULES for s in m.DESCRIPTOR.services_by_name.values()):
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                streams = method.server_streaming or method.client_streaming
                call = channel.stream_stream(path) if streams else channel.unary_unary(path)
                try:
                    # Where executors connect, nothing is said to who says nothing.
                    told = list(call(iter([b""]), timeout=5)) if streams else [call(b"", timeout=5)]
                    done += [(path, str(one)) for one in told]
                except grpc.RpcError as error:
                    codes.add(error.code().name)
print(json.dumps({"read": read, "done": done, "codes": sorted(codes)}))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_another_user_gets_nothing(local: Local) -> None:
    assert cli("run", "--", "echo", "hello").returncode == 0
    wait_for("what has a name, kept", (local.folder / "master" / "names").exists)
    config = own_contexts().path.parent
    paths = [str(p) for top in (local.folder, config) for p in top.rglob("*") if p.is_file()]
    assert str(tls_of(local.secrets, OWNER) / "key.pem") in paths
    assert str(config / "contexts.json") in paths
    ports = local.ports()
    assert len(ports) == 6, "of master, its HTTP and DNS, agent, its executors, and the framework"
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps({"paths": paths, "ports": ports}),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert got["read"] == [] and got["done"] == []
    assert set(got["codes"]) <= {"UNAVAILABLE", "UNAUTHENTICATED", "UNIMPLEMENTED"}, got["codes"]


def test_what_its_processes_show_of_themselves_is_no_secret(local: Local) -> None:
    """Everybody on the machine reads their command lines."""
    keys = [tls_of(local.secrets, name) / "key.pem" for name in (OWNER, OF_FRAMEWORKS)]
    secrets = [key.read_text().splitlines()[1] for key in keys]
    for process in psutil.Process(local.process.pid).children(recursive=True):
        line = " ".join(process.cmdline())
        assert not any(secret in line for secret in secrets)
