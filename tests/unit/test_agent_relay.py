"""Mesos' API of agents, asked of the master that leads, which goes by the policy."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_agent.containers.sessions import Entry
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.runtimes.interface import Runtime
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_agent.services.http import AgentHttpService
from pymesos_core.addresses import HostPort
from pymesos_core.caller import NOBODY, Caller
from pymesos_core.coordination import MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.resources import from_proto
from pymesos_core.security.auditing import Audit
from pymesos_core.security.policy_file import read_policy
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.roles import EVERY_ROLE, Roles, read_roles
from pymesos_core.serving import Listen
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.mesos import relaying
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.operators.api import MORE_LOGS
from pymesos_master.mesos.server import MesosServer
from pymesos_master.queries import Queries
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import agent_http_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.mesos_agent import JSON, Agent
from pymesos_testing.recordings.wire import Answer, ask

ROLE = "dev/a"
RULES = """allow:
- {who: operator/root, do: ['*'], role: '**'}
- {who: operator/dev, do: [read, files, exec], role: 'dev/**'}
- {who: operator/looks, do: [read], role: 'dev/**'}
- {who: operator/other, do: [read, files, exec], role: other}
"""
SECRETS = {f"operator/{name}": "x" for name in ("root", "dev", "looks", "other", "nobody")}


class Line:
    """A stream to a service, without a network: what one end writes the other reads."""

    def __init__(self, service: AgentHttpService) -> None:
        self._there: asyncio.Queue[Any] = asyncio.Queue()
        self._back: asyncio.Queue[Any] = asyncio.Queue()
        self._task = asyncio.create_task(self._serve(service))
        self.caller, self.peer = NOBODY, ""
        self.metadata: Mapping[str, str] = {}

    async def _serve(self, service: AgentHttpService) -> None:
        call = cast(Any, _End(self._there, self._back))
        try:
            await service.Connect(call)
        except CallError as error:
            self._back.put_nowait(error)
        else:
            self._back.put_nowait(None)

    def stream(self, method: Any, metadata: Any = None) -> Any:
        return _End(self._back, self._there)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


class _End:
    def __init__(self, reads: asyncio.Queue[Any], writes: asyncio.Queue[Any]) -> None:
        self._reads, self._writes = reads, writes

    async def opened(self) -> None: ...

    async def read(self) -> Any:
        said = await self._reads.get()
        if isinstance(said, CallError):
            raise said
        return said

    async def write(self, message: Any) -> None:
        self._writes.put_nowait(message)


class Machine:
    """A runtime whose containers are this machine."""

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        program = shutil.which(argv[0]) or argv[0]
        return Entry([program, *argv[1:]], {"PATH": "/bin:/usr/bin", "TERM": term}, Path("/"))


class Sink:
    """An audit in memory."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def make_room(self) -> None: ...

    def append(self, lines: Sequence[bytes], *, sync: bool) -> None:
        self.lines += map(json.loads, lines)

    def close(self) -> None: ...


class Cluster:
    """A leader with one agent, which has a task of ROLE that runs."""

    def __init__(self, folder: Path) -> None:
        self.agent = agent = Agent(folder, is_open=False)
        for owner in agent.h.core.state.owners.values():
            owner.role = ROLE
        agent.queries._runtimes = {"process": cast(Runtime, Machine())}
        self.service = AgentHttpService(agent.server.answer_relayed)
        self.h = h = MasterHarness(Config(seed_policy=RULES))
        h.agent(agent_id="a")
        framework = h.subscribe(roles=[ROLE])
        h.run(framework)
        self.framework_id = h.framework_id(framework)
        (task,) = h.core.state.agents["a"].tasks.values()
        task.status = pb.TaskStatus(task_id="t", container_id=agent.container_id)
        leader: Any = type("Leader", (), {})()
        leader.core, leader.revision = h.core, 0
        self.sink = Sink()
        self.audit = Audit(cast(Any, self.sink))
        leader.queries = Queries(h.core, lambda: h.now, self.audit.write)
        me = MasterInfo("m", HostPort("127.0.0.1", 1), "m")
        outside = Outside(dial=lambda *_: cast(Any, Line(self.service)))
        self.leadership = Leadership(me, outside, leader, audit=self.audit)
        self.revocations = Revocations()
        gate = Authenticator(SECRETS, [], self.revocations)
        self.server = MesosServer(self.leadership, gate, Listen("127.0.0.1", 0, None, None))

    async def ask(
        self,
        who: str,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] = {},
        body: bytes | None = None,
        agent_id: str = "a",
    ) -> Answer:
        shown = base64.b64encode(f"operator/{who}:x".encode()).decode()
        sent = {**headers, "Authorization": f"Basic {shown}"}
        at = f"/agent/{agent_id}/{path}"
        return await ask("127.0.0.1", self.server.port, method, at, sent, body)

    async def call(
        self, who: str, kind: str, headers: Mapping[str, str] = JSON, **said: Any
    ) -> Answer:
        body = json.dumps({"type": kind} | ({kind.lower(): said} if said else {})).encode()
        return await self.ask(who, "api/v1", "POST", headers, body)

    async def session(self, who: str, command: str, name: str = "n") -> Answer:
        headers = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}
        nested = {"value": name, "parent": {"value": self.agent.container_id}}
        return await self.call(
            who,
            "LAUNCH_NESTED_CONTAINER_SESSION",
            headers,
            container_id=nested,
            command={"value": command},
        )


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    agent = made.agent
    serving = agent.server.serve(agent.queries, ExecutorStreams(), lambda event: None)
    async with running(serving), running(made.server.run()), running(made.audit.run()):
        yield made


RUN = "/frameworks/f/executors/t/runs/latest"


async def test_who_may_is_answered_as_by_the_agent(cluster: Cluster) -> None:
    for who in ("root", "dev"):
        told = json.loads((await cluster.call(who, "GET_CONTAINERS")).body)
        (shown,) = told["get_containers"]["containers"]
        assert shown["container_id"]["value"] == cluster.agent.container_id
        read = await cluster.ask(who, f"files/read?path={RUN}/stdout&offset=4&length=3")
        assert json.loads(read.body) == {"data": "456", "offset": 4}
        sent = await cluster.ask(who, f"slave(1)/files/download?path={RUN}/stdout")
        assert (sent.body, sent.headers["content-disposition"]) == (
            b"0123456789",
            "attachment; filename=stdout",
        )
        state = json.loads((await cluster.ask(who, "state")).body)
        (framework,) = state["frameworks"]
        assert "t" in {one["id"] for one in framework["executors"]}
    protobuf = JSON | {"Accept": "application/x-protobuf"}
    answer = await cluster.call("dev", "GET_HEALTH", protobuf)
    assert answer.headers["content-type"] == "application/x-protobuf"


async def test_of_other_roles_nothing_is_shown_or_done(cluster: Cluster) -> None:
    tasks = json.loads((await cluster.call("other", "GET_TASKS")).body)["get_tasks"]
    assert not any(tasks.values())
    state = json.loads((await cluster.ask("other", "state")).body)
    assert state["frameworks"] == state["completed_frameworks"] == []
    assert state["unreserved_resources_allocated"]["cpus"] == 0.0
    metrics = json.loads((await cluster.ask("other", "metrics/snapshot")).body)
    assert metrics["slave/tasks_running"] == metrics["slave/cpus_used"] == 0.0
    for path in ("containers", "monitor/statistics", "files/debug"):
        assert not json.loads((await cluster.ask("other", path)).body), path
    for path in (f"{RUN}/stdout", f"{cluster.agent.sandbox}/stdout"):
        assert (await cluster.ask("other", f"files/read?path={path}&offset=0")).status == 404
    assert (await cluster.session("other", "true")).status == 403


async def test_what_is_reserved_for_other_roles_is_not_counted(cluster: Cluster) -> None:
    state = cluster.agent.h.core.state
    total = from_proto(cluster.agent.queries.agent_info().resources).amounts()["cpus"] / 1000
    reservation = pb.Resource.Reservation(role=ROLE)
    state.reserved = from_proto([pb.Resource(name="cpus", scalar=1, reservations=[reservation])])
    for who, left in (("root", total), ("dev", total), ("other", total - 1)):
        shown = json.loads((await cluster.ask(who, "state")).body)
        assert shown["resources"]["cpus"] == left, who
        metrics = json.loads((await cluster.ask(who, "metrics/snapshot")).body)
        assert metrics["slave/cpus_total"] == left, who


async def test_a_command_runs_for_who_may_exec(cluster: Cluster) -> None:
    answer = await cluster.session("dev", "echo $((40 + 2))")
    assert answer.stream is not None and answer.stream.task is not None, answer.body
    await asyncio.wait_for(answer.stream.task, 20)
    ((_, event),) = answer.stream.events
    assert base64.b64decode(event["data"]["data"]) == b"42\n"
    assert answer.headers["message-content-type"] == "application/json"
    nested = {"value": "n", "parent": {"value": cluster.agent.container_id}}
    waited = await cluster.call("dev", "WAIT_NESTED_CONTAINER", container_id=nested)
    assert json.loads(waited.body)["wait_nested_container"] == {"exit_status": 0}
    for kind in ("WAIT_NESTED_CONTAINER", "KILL_CONTAINER", "REMOVE_NESTED_CONTAINER"):
        for who in ("looks", "other"):
            assert (await cluster.call(who, kind, container_id=nested)).status == 403, (who, kind)
    done = [one for one in cluster.sink.lines if one["outcome"] == "begun"]
    assert [one["argv"] for one in done] == [["echo $((40 + 2))"]], "which is told before it runs"
    assert done[0]["object"] == {
        "role": ROLE,
        "agent_id": "a",
        "container_id": cluster.agent.container_id,
        "framework_id": cluster.framework_id,
        "task_id": "t",
    }


async def test_what_a_command_reads_is_passed_on(cluster: Cluster) -> None:
    answer = await cluster.session("dev", "cat")
    nested = {"value": "n", "parent": {"value": cluster.agent.container_id}}
    said = {"type": "STDIN", "data": base64.b64encode(b"hello").decode()}
    end = {"type": "STDIN", "data": ""}
    records = [
        {"type": "CONTAINER_ID", "container_id": nested},
        {"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": said}},
        {"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": end}},
    ]
    body = b""
    for one in records:
        call = {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": one}
        data = json.dumps(call).encode()
        body += b"%d\n%b" % (len(data), data)
    headers = {
        "Content-Type": "application/recordio",
        "Message-Content-Type": "application/json",
        "Accept": "application/json",
    }
    assert (await cluster.ask("other", "api/v1", "POST", headers, body)).status == 403
    assert (await cluster.ask("dev", "api/v1", "POST", headers, body)).status == 200
    assert answer.stream is not None and answer.stream.task is not None
    await asyncio.wait_for(answer.stream.task, 20)
    assert base64.b64decode(answer.stream.events[0][1]["data"]["data"]) == b"hello"


async def test_who_only_looks_reads_no_file(cluster: Cluster) -> None:
    assert len(json.loads((await cluster.ask("looks", "containers")).body)) == 1
    for path in (f"files/read?path={RUN}/stdout", f"files/browse?path={RUN}"):
        assert (await cluster.ask("looks", path)).status == 403
    assert (await cluster.call("looks", "LIST_FILES", path=RUN)).status == 403
    assert (await cluster.session("looks", "true")).status == 403
    assert (await cluster.ask("nobody", "containers")).status == 403
    quiet: dict[str, Any] = {"level": 0, "duration": {"nanoseconds": 1}}
    for who, status in (("dev", 403), ("root", 200)):
        assert (await cluster.call(who, "SET_LOGGING_LEVEL", **quiet)).status == status
    denied = {one["method"] for one in cluster.sink.lines if one["decision"] == "denied"}
    assert denied >= {"Sandbox.ReadFile", "Sandbox.ListFiles", "Sandbox.Exec"}
    (told,) = [one for one in cluster.sink.lines if one["method"] == "SET_LOGGING_LEVEL"]
    assert (told["object"], told["verb"], told["decision"]) == (
        {"agent_id": "a"},
        "policy",
        "allowed",
    )


async def test_nobody_is_let_in_without_credentials(cluster: Cluster) -> None:
    for path in ("/agent/a/health", "/agent/a/state", "/slave/a/version"):
        answer = await ask("127.0.0.1", cluster.server.port, "GET", path, {}, None)
        assert answer.status in (401, 403), path


async def test_what_is_not_an_operators_is_not_passed_on(cluster: Cluster) -> None:
    answer = await cluster.ask("root", "api/v1/executor", "POST", JSON, b"{}")
    assert answer.status == 404
    assert (await cluster.ask("root", "nope")).status == 404
    assert (await cluster.ask("root", "state", agent_id="b")).status == 404
    wrong = await cluster.ask("root", "state", "POST", {}, b"")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET")
    bare = await ask(
        "127.0.0.1",
        cluster.server.port,
        "GET",
        "/agent",
        {"Authorization": "Basic " + base64.b64encode(b"operator/root:x").decode()},
        None,
    )
    assert bare.status == 404


async def test_what_is_below_an_endpoint_is_that_endpoint(cluster: Cluster) -> None:
    shown = base64.b64encode(b"operator/root:x").decode()
    for path in ("/roles/x", "/master/flags/x/y", "/version/", "/agent/a/state/x"):
        headers = {"Authorization": f"Basic {shown}"}
        answer = await ask("127.0.0.1", cluster.server.port, "GET", path, headers, None)
        assert answer.status == 200, (path, answer.body)


async def test_an_agent_that_serves_no_mesos_says_so(cluster: Cluster) -> None:
    cluster.service = AgentHttpService(None)
    answer = await cluster.ask("root", "state")
    assert (answer.status, b"--mesos-port" in answer.body) == (501, True)

    class Gone(Line):
        def stream(self, method: Any, metadata: Any = None) -> Any:
            raise CallError(Code.UNAVAILABLE, "it is gone")

    made = relaying.AgentRelay(cluster.leadership, cluster.revocations)
    made._connections._dial = lambda *_: cast(Any, Gone(cluster.service))
    cluster.server._agents = made
    answer = await cluster.ask("root", "state")
    assert (answer.status, answer.body) == (503, b"it is gone")


async def test_a_command_ends_when_its_caller_may_no_more(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LOOK_AGAIN_S", 0.05)
    for name, end in (("n", cluster_policy), ("m", cluster_revoked)):
        answer = await cluster.session("dev", "echo; sleep 1000", name)
        assert answer.stream is not None and answer.stream.task is not None, answer.body
        end(cluster)
        await asyncio.wait_for(answer.stream.task, 20)
        assert answer.stream.end.startswith("broken"), "not as if all had come"
        async with asyncio.timeout(20):
            while cluster.agent.server._sessions._live:
                await asyncio.sleep(0.01)


def cluster_policy(cluster: Cluster) -> None:
    """Take files from operator/dev, who may have commands run still."""
    rules = RULES.replace("[read, files, exec], role: 'dev/**'", "[read, exec], role: 'dev/**'")
    root = Caller("operator/root", cast(Any, "cert"))
    cluster.h.feed(ev.OperatorSetPolicy(9, read_policy(rules), 1, root))
    assert cluster.h.answers[9] is None


def cluster_revoked(cluster: Cluster) -> None:
    cluster.revocations.set(["operator/dev"])


@pytest.mark.parametrize(
    "roles", [EVERY_ROLE, Roles(), read_roles(["a", "b/**", "a/c"]), read_roles(["**", "x"])]
)
def test_roles_are_told_as_rules_name_them(roles: Roles) -> None:
    assert read_roles(roles.patterns()) == roles


async def test_nothing_is_done_of_which_the_audit_is_not_told(cluster: Cluster) -> None:
    """However a path is written, or whatever else an agent may read in a request."""
    nested = {"value": "n", "parent": {"value": cluster.agent.container_id}}
    said = {"container_id": nested, "command": {"value": "true"}}
    run = json.dumps({"type": "LAUNCH_NESTED_CONTAINER", "launch_nested_container": said})
    for path in ("api/v1", "api/v1#x", "api/v1/x", "slave(1)/api/v1", "api//v1", "./api/v1"):
        before = len(cluster.sink.lines)
        answer = await cluster.ask("dev", path, "POST", JSON, run.encode())
        told = [one["argv"] for one in cluster.sink.lines[before:] if one["outcome"] == "begun"]
        assert told == ([["true"]] if answer.status in (200, 202) else []), (path, answer)
        await cluster.call("dev", "KILL_NESTED_CONTAINER", container_id=nested)
        while cluster.agent.server._sessions._live:
            await asyncio.sleep(0.01)
        await cluster.call("dev", "REMOVE_NESTED_CONTAINER", container_id=nested)
    paths = ("files/read", "files/read#x", "files/read/x", "x/../files/read", "files%2fread")
    asked = [await cluster.ask("dev", f"{p}?path={RUN}/stdout&offset=0") for p in paths]
    read = sum(answer.status == 200 for answer in asked)

    def noted() -> int:
        return sum(one["method"] == "Sandbox.ReadFile" for one in cluster.sink.lines)

    async with asyncio.timeout(20):
        while noted() < read:
            await asyncio.sleep(0.01)
    assert noted() >= read >= 1


def test_an_agent_is_told_of_no_right_that_is_not_used() -> None:
    may = agent_http_pb2.HttpRights(read=["a"], files=["a"], exec=["a"], logging=True)
    for body, deed, left in [
        (b"", None, (0, 0)),
        (b"", relaying.Deed(relaying.READ_FILE), (1, 0)),
        (b"", relaying.Deed(relaying.EXEC), (0, 1)),
        (None, None, (0, 1)),
        (None, relaying.Deed(relaying.LIST_FILES), (1, 1)),
        (b"", relaying.Deed(MORE_LOGS), (0, 0)),
    ]:
        told = relaying.Passed(body, may, deed).rights
        assert (len(told.files), len(told.exec)) == left
        of_logging = deed is not None and deed.call == MORE_LOGS
        assert (list(told.read), told.logging) == (["a"], of_logging)


async def test_what_a_command_reads_ends_when_its_caller_may_no_more(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "LOOK_AGAIN_S", 0.05)
    await cluster.session("dev", "cat")
    nested = {"value": "n", "parent": {"value": cluster.agent.container_id}}
    first = {"type": "CONTAINER_ID", "container_id": nested}
    call = {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": first}
    data = json.dumps(call).encode()
    shown = base64.b64encode(b"operator/dev:x").decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.server.port)
    writer.write(
        b"POST /agent/a/api/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/recordio\r\nMessage-Content-Type: application/json\r\n"
        b"Authorization: Basic %b\r\n\r\n" % shown.encode()
    )
    record = b"%d\n%b" % (len(data), data)
    writer.write(b"%x\r\n%b\r\n" % (len(record), record))
    await asyncio.sleep(0.2)
    cluster_policy(cluster)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)
    assert b"403" in answer, "the command has read on"
    writer.close()


async def test_nothing_is_left_of_a_body_that_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    descriptor = ours.fileno()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def send() -> None:
        async with relaying._session(ours) as session, session.post("http://a/", data=body()):
            pass

    async with running(send()):
        await asyncio.sleep(0.1)  # nobody reads it
    ours.close()
    assert not asyncio.get_running_loop().remove_writer(descriptor)
    theirs.close()
    await asyncio.sleep(0)
