"""What tasks have written, by HTTP: the agent is asked, and the policy decides as for gRPC."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import WSMessage, WSMsgType
from jsonschema import Draft202012Validator

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.audit import Entry
from pymesos_core.security.gate import open_gate
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code, Service
from pymesos_master.core import Config
from pymesos_master.http import exec as http_exec
from pymesos_master.http import logs, openapi
from pymesos_master.http.answering import Answer, Answering, Request
from pymesos_master.http.asking import read_body
from pymesos_master.http.routes import CALLS, ROUTES
from pymesos_master.services import sandbox_calls
from pymesos_master.services.access_tokens import AccessTokens
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.services.sandbox_calls import SandboxCalls
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.http_cluster import get, get_json, leadership_of, operators_of
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.waiting import until

POLICY = """\
allow:
- {who: operator/dev, do: [read, files], role: dev}
- {who: operator/looks, do: [read], role: '**'}
- {who: operator/root, do: ['*'], role: '**'}
- {who: framework/*, do: [subscribe, launch], role: '**'}
"""
FILES = {"stdout": b"one\ntwo\n", "data/x": b"\xff\x00<script>"}


class Agent:
    """An agent with some files, as a master reaches it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.silent = False
        self.runs = True  # what is asked for
        self.log: asyncio.Queue[bytes | CallError | None] = asyncio.Queue()

    def dial(self, address: HostPort, to: Kind, name: str = "") -> Any:
        assert to is Kind.AGENT
        return _Channel(self)


class _Channel:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._answers: list[bytes | CallError] = []
        self._written = asyncio.Event()

    def stream(self, method: Any, metadata: Any = None) -> _Channel:
        self._method = method.path.rpartition("/")[2]
        return self

    async def write(self, part: bytes) -> None:
        if self._method == "Exec":
            self._agent.asked.append(pb.ExecInput.FromString(part))
        elif self._method == "GetUsage":
            asked_usage = pb.GetUsageRequest.FromString(part)
            self._agent.asked.append(asked_usage)
            ids: Any = {"framework_id": asked_usage.framework_id, "task_id": asked_usage.task_id}
            used = [pb.TaskUsage(**ids, cpu_s=1.5, mem_bytes=7)] if self._agent.runs else []
            self._answers = [pb.GetUsageResponse(tasks=used).SerializeToString()]
        elif self._method == "ReadLog":
            self._agent.asked.append(pb.ReadLogRequest.FromString(part))
        elif self._method == "ListFiles":
            listed = pb.ListFilesRequest.FromString(part)
            self._agent.asked.append(listed)
            views = [
                pb.FileView(name=name, size_bytes=len(data), modified_at_s=1.8e9, mode=0o644)
                for name, data in FILES.items()
            ]
            self._answers = [pb.ListFilesResponse(files=views).SerializeToString()]
        else:
            asked = pb.ReadFileRequest.FromString(part)
            self._agent.asked.append(asked)
            if (data := FILES.get(asked.path)) is None:
                told = f"there is no file {asked.path!r} in this sandbox"
                self._answers = [CallError(Code.NOT_FOUND, told)]
                self._written.set()
                return
            begin = asked.offset if asked.offset >= 0 else max(0, len(data) + asked.offset)
            read = data[begin : begin + (asked.length or len(data))]
            answer = pb.ReadFileResponse(data=read, offset=begin, size_bytes=len(data))
            self._answers = [answer.SerializeToString()]
        if not self._agent.silent:
            self._written.set()

    async def done_writing(self) -> None: ...

    async def read(self) -> bytes | None:
        await self._written.wait()
        if self._method in ("Exec", "ReadLog"):
            said = await self._agent.log.get()
            if isinstance(said, CallError):
                raise said
            if self._method == "Exec":
                return said
            return None if said is None else pb.LogPart(data=said).SerializeToString()
        answer = self._answers.pop() if self._answers else None
        if isinstance(answer, CallError):
            raise answer
        return answer

    def cancel(self) -> None: ...

    async def close(self) -> None: ...


class World:
    """A master with a task of the role dev."""

    def __init__(self, policy: str = "") -> None:
        h = MasterHarness(Config(seed_policy=policy)) if policy else MasterHarness()
        who = Caller("framework/f", Method.CERT) if policy else Caller()
        self.connection = h.agent()
        framework = h.subscribe(roles=["dev"], caller=who)
        h.run(framework, "t")
        self.framework_id = h.framework_id(framework)
        self.h = h
        self.agent = Agent()
        self.leadership = leadership_of(h, outside=Outside(dial=self.agent.dial))
        self.sandboxes = SandboxRelay(self.leadership)
        calls = SandboxCalls(self.leadership, self.sandboxes)
        services: list[Service] = [OperatorService(self.leadership), calls]
        self.operators = operators = OperatorCalls(self.leadership, services, CALLS)

        def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
            named = next(iter(authentication["peer_uri"])).decode()
            return Caller(named, Method.CERT, "1", peer, "grpc")

        self.answering = Answering(
            operators,
            gate if policy else open_gate,
            tokens=AccessTokens(self.leadership) if policy else None,
            hostname="first",
            others={"Sandbox": operators},
        )

    async def said(self, path: str, **more: Any) -> tuple[int, str]:
        answer = await get(self.answering, path, **more)
        return answer.status, json.loads(answer.body)["error"]["message"]


@pytest.fixture
def world() -> World:
    return World()


async def test_files_are_listed_as_the_schema_says(world: World) -> None:
    said = await get_json(world.answering, "/v1/tasks/t/files?path=data")
    (route,) = (r for r in ROUTES if r.path == "/v1/tasks/{task_id}/files")
    document = openapi.document(ROUTES)
    schema = {**route.schema, "components": document["components"]}
    Draft202012Validator(schema).validate(said)
    assert [one["name"] for one in said["files"]] == ["stdout", "data/x"] and not said["more"]
    (asked,) = world.agent.asked
    assert (asked.framework_id, asked.task_id, asked.path) == (world.framework_id, "t", "data")


async def test_what_a_task_uses(world: World) -> None:
    said = await get_json(world.answering, "/v1/tasks/t/usage")
    (route,) = (r for r in ROUTES if r.path == "/v1/tasks/{task_id}/usage")
    schema = {**route.schema, "components": openapi.document(ROUTES)["components"]}
    Draft202012Validator(schema).validate(said)
    assert (said["task_id"], said["cpu_s"], said["mem_bytes"], said["cpus_limit"]) == (
        "t", 1.5, 7, None,
    )  # fmt: skip
    world.agent.runs = False
    status, why = await world.said("/v1/tasks/t/usage")
    assert status == 404 and "does not run" in why


async def test_a_file_comes_as_it_is_and_never_as_a_page(world: World) -> None:
    answer = await get(world.answering, "/v1/tasks/t/file?path=data%2Fx")
    assert (answer.status, answer.body) == (200, FILES["data/x"])
    assert answer.headers == {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": "attachment", "Pymesos-Offset": "0", "Pymesos-Size": "10",
    }  # fmt: skip
    part = await get(world.answering, "/v1/tasks/t/file?path=stdout&offset=4&length=3")
    assert part.status == 200, part.body
    assert (part.body, part.headers["Pymesos-Offset"]) == (b"two", "4")
    end = await get(world.answering, "/v1/tasks/t/file?path=stdout&last=4")
    assert (end.body, end.headers["Pymesos-Offset"]) == (b"two\n", "4")


async def test_what_there_is_not(world: World) -> None:
    status, why = await world.said("/v1/tasks/none/files")
    assert status == 404 and "there is no task 'none'" in why
    status, why = await world.said("/v1/tasks/t/file?path=..%2Fetc%2Fpasswd")
    assert status == 404 and "in this sandbox" in why, "which its agent decides"
    assert world.agent.asked[-1].path == "../etc/passwd"
    assert (await world.said("/v1/tasks/t/file"))[0] == 400
    assert (await world.said(f"/v1/tasks/t/files?path={'x' * 1001}"))[0] == 400


async def test_of_which_framework_a_task_is_may_be_said(world: World) -> None:
    other = world.h.subscribe(name="g", roles=["dev"])
    world.h.run(other, "t")
    status, why = await world.said("/v1/tasks/t/files")
    assert status == 400 and "2 frameworks have a task 't': name one of them" in why
    of = world.h.framework_id(other)
    await get_json(world.answering, f"/v1/tasks/t/files?framework_id={of}")
    assert world.agent.asked[-1].framework_id == of


async def test_of_a_task_that_has_ended(world: World) -> None:
    world.h.update(world.connection, world.framework_id, "t", types_pb2.TASK_FINISHED)
    assert (await get_json(world.answering, "/v1/tasks/t/files"))["files"]


async def test_an_agent_that_is_silent_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_calls, "TIMEOUT_S", 0.01)
    world.agent.silent = True
    status, why = await world.said("/v1/tasks/t/files")
    assert status == 504 and "has not answered within" in why


async def test_the_policy_decides_as_for_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(POLICY)
    dev, looks, eve = (
        {"authentication": {"peer_uri": [f"operator/{name}".encode()]}}
        for name in ("dev", "looks", "eve")
    )
    told: list[Entry] = []
    monkeypatch.setattr(world.leadership.here().queries.permits, "_audit", told.append)
    await get_json(world.answering, "/v1/tasks/t/files", **dev)
    status, why = await world.said("/v1/tasks/t/files", **looks)
    assert status == 403 and "operator/looks may not read files in the role dev" in why
    status, why = await world.said("/v1/tasks/t/files", **eve)
    assert status == 403 and "operator/eve may not read in any role" in why
    assert len(world.agent.asked) == 1, "nothing was asked of the agent for them"
    assert [(e.caller.principal, e.call, e.denied) for e in told] == [
        ("operator/looks", "Sandbox.ListFiles", True),
        ("operator/eve", "Operator.ListTasks", True),
    ]


class TestLogs:
    def opened(self, world: World, path: str, **more: Any) -> Any:
        """What is said, in parts."""
        asked = {"method": "GET", "host": "127.0.0.1:1", "peer": "ipv4:127.0.0.1", **more}
        admitted = world.answering.admit(Request(target=path, **asked))
        assert not isinstance(admitted, Answer), admitted
        return world.answering.parts(admitted)

    async def test_it_comes_as_it_is_written_to_its_end(self, world: World) -> None:
        said = self.opened(world, "/v1/tasks/t/logs?follow=1&tail=0&stderr=true")
        assert said.content_type == "text/plain; charset=utf-8"
        for part in (b"one\n", b"\xff<two>"):
            world.agent.log.put_nowait(part)
            assert await anext(said.parts) == part
        world.agent.log.put_nowait(None)
        with pytest.raises(StopAsyncIteration):
            await anext(said.parts)
        (asked,) = world.agent.asked
        assert (asked.framework_id, asked.task_id) == (world.framework_id, "t")
        assert (asked.follow, asked.stderr, asked.tail_lines) == (True, True, 0)
        assert asked.HasField("tail_lines")

    async def test_who_hangs_up_ends_it(self, world: World) -> None:
        said = self.opened(world, "/v1/tasks/t/logs")
        world.agent.log.put_nowait(b"one")
        assert await anext(said.parts) == b"one"
        relay = world.sandboxes
        assert relay._relayed.total() == 1
        await said.parts.aclose()
        assert relay._relayed.total() == 0 and not world.agent.asked[0].HasField("tail_lines")

    async def test_why_it_ends_early_is_its_last_line(self, world: World) -> None:
        said = self.opened(world, "/v1/tasks/t/logs")
        world.agent.log.put_nowait(CallError(Code.UNAVAILABLE, "Socket closed"))
        with pytest.raises(CallError, match="not reachable") as ended:
            await anext(said.parts)
        assert said.last(ended.value) == b"\n--- not reachable\n"

    async def test_a_task_that_there_is_not(self, world: World) -> None:
        with pytest.raises(CallError, match="there is no task 'none'"):
            await anext(self.opened(world, "/v1/tasks/none/logs").parts)
        refused = await get(world.answering, "/v1/tasks/t/logs?tail=-1")
        assert refused.status == 400

    async def test_the_policy_decides(self) -> None:
        world = World(POLICY)
        dev = {"authentication": {"peer_uri": [b"operator/dev"]}}
        with pytest.raises(CallError, match="operator/dev may not read logs in the role dev"):
            await anext(self.opened(world, "/v1/tasks/t/logs", **dev).parts)
        assert not world.agent.asked

    async def test_a_master_that_does_not_lead_asks_the_one_that_does(self, world: World) -> None:
        masters = MastersService(world.leadership, world.operators)

        class Channel:
            def stream(self, method: Any, metadata: Any = None) -> Any:
                assert method.path == "/pymesos.v1.Masters/RelayStream"
                self.said: asyncio.Queue[Any] = asyncio.Queue()
                return self

            async def write(self, request: Any) -> None:
                async def relay() -> None:
                    by = Caller(peer="ipv4:10.0.0.2")
                    call: Any = SimpleNamespace(caller=by, write=self.said.put)
                    await masters.RelayStream(request, call)
                    await self.said.put(None)

                self.relaying = asyncio.create_task(relay())

            async def done_writing(self) -> None: ...

            async def read(self) -> Any:
                return await self.said.get()

            def cancel(self) -> None:
                self.relaying.cancel()

            async def close(self) -> None: ...

        me = MasterInfo("m2", HostPort("10.0.0.2", 5050), "second")
        follower = Leadership(me, Outside(dial=lambda *_: cast(Any, Channel())))
        follower.known_leader = lambda: world.leadership.me
        operators = operators_of(follower)
        request = pb.ReadLogRequest(task_id="t")
        for part in (b"one", b"two", None):
            world.agent.log.put_nowait(part)
        said = logs.parts(operators, request, Caller(peer="ipv4:10.0.0.9")).parts
        assert [part async for part in said] == [b"one", b"two"]


class Terminal:
    """The other end of a WebSocket: what it says, and what it is told."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.told: list[str | bytes] = []

    def say(self, *messages: str | bytes | None) -> None:
        for data in messages:
            kind = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
            kind = WSMsgType.CLOSE if data is None else kind
            self.says.put_nowait(WSMessage(kind, data, ""))

    async def receive(self) -> Any:
        return await self.says.get()

    async def send_str(self, text: str) -> None:
        self.told.append(text)

    async def send_bytes(self, data: bytes) -> None:
        self.told.append(data)


class TestExec:
    """A command over a WebSocket, without one: tests/e2e/test_jobs_by_http.py has a real one."""

    COMMAND = '{"argv": ["sh", "-c", "x"], "terminal": true, "rows": 4, "columns": 9}'

    def talk(self, world: World, **more: Any) -> tuple[Terminal, Any]:
        sandboxes = SandboxCalls(world.leadership, world.sandboxes)
        world.answering._sandboxes = sandboxes
        headers = {"upgrade": "websocket"}
        asked = {"host": "127.0.0.1:1", "peer": "ipv4:127.0.0.1", "headers": headers, **more}
        request = Request(method="GET", target="/v1/tasks/t/exec", **asked)
        admitted = world.answering.admit(request)
        assert not isinstance(admitted, Answer), admitted
        terminal = Terminal()
        return terminal, world.answering.talk(admitted).go_on(cast(Any, terminal))

    async def test_what_is_typed_and_what_it_says(self, world: World) -> None:
        terminal, going = self.talk(world)
        terminal.say(self.COMMAND, b"in", '{"rows": 5, "columns": 6, "signal": 2}')
        terminal.say('{"stdin_closed": true}')
        for said in (
            pb.ExecOutput(stdout=b"out"), pb.ExecOutput(stderr=b"err"),
            pb.ExecOutput(exit_status=3),
        ):  # fmt: skip
            world.agent.log.put_nowait(said.SerializeToString())
        task = asyncio.create_task(going)
        await until("all is heard", lambda: len(world.agent.asked) == 5)
        world.agent.log.put_nowait(None)
        await task
        start, stdin, resized, signal, closed = world.agent.asked
        assert list(start.start.argv) == ["sh", "-c", "x"] and start.start.terminal
        assert (start.start.task_id, start.start.framework_id) == ("t", world.framework_id)
        assert (start.start.size.rows, start.start.size.columns) == (4, 9)
        assert (stdin.stdin, signal.signal, closed.stdin_closed) == (b"in", 2, True)
        assert (resized.resized.rows, resized.resized.columns) == (5, 6)
        assert terminal.told == [b"\x01out", b"\x02err", '{"exit_status": 3}']

    async def test_who_hangs_up_ends_it(self, world: World) -> None:
        terminal, going = self.talk(world)
        terminal.say(self.COMMAND)
        task = asyncio.create_task(going)
        await until("it runs", lambda: world.sandboxes._relayed.total() == 1)
        terminal.say(None)
        await task
        assert world.sandboxes._relayed.total() == 0 and terminal.told == []

    @pytest.mark.parametrize(
        ("said", "words"),
        [
            (b"ls", "a text message with one JSON object is expected"),
            ("[]", "not one JSON object"),
            ("{}", "argv"),
            ('{"argv": ["a\\u0000"]}', "without NUL"),
            ('{"argv": ["\\ud800"]}', "without NUL"),
            ('{"argv": ["a"], "rows": 0}', "rows"),
            ('{"argv": ["a"], "user": "root"}', "there is no field 'user'"),
        ],
    )
    async def test_what_is_no_command(self, world: World, said: str | bytes, words: str) -> None:
        terminal, going = self.talk(world)
        terminal.say(said)
        await going
        (told,) = terminal.told
        assert words in json.loads(told)["error"]["message"] and not world.agent.asked

    async def test_what_is_said_is_read_beside_the_loop(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is said may be large, and others are answered meanwhile."""
        read_in: list[int] = []

        def read(body: bytes, fields: Any) -> Any:
            read_in.append(threading.get_ident())
            return read_body(body, fields)

        monkeypatch.setattr(http_exec, "read_body", read)
        terminal, going = self.talk(world)
        terminal.say(self.COMMAND, '{"signal": 2}', "[]")
        await going
        assert len(read_in) == 3 and threading.get_ident() not in read_in

    async def test_one_that_does_not_come(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_exec, "FIRST_S", 0.01)
        terminal, going = self.talk(world)
        await going
        assert "no command has come" in str(terminal.told[0])

    async def test_a_page_of_another_site_opens_none(self, world: World) -> None:
        for headers, status in (
            ({"upgrade": "websocket", "origin": "https://elsewhere.example"}, 403),
            ({"upgrade": "websocket", "sec-fetch-site": "cross-site"}, 403),
            ({}, 426),
        ):
            answer = await get(world.answering, "/v1/tasks/t/exec", headers=headers)
            assert answer.status == status, headers

    async def test_the_policy_decides(self) -> None:
        world = World(POLICY)
        dev = {"authentication": {"peer_uri": [b"operator/dev"]}}
        terminal, going = self.talk(world, **dev)
        terminal.say(self.COMMAND)
        await going
        assert "operator/dev may not exec in the role dev" in str(terminal.told[0])
        assert not world.agent.asked

    async def test_a_master_that_does_not_lead_says_who_does(self, world: World) -> None:
        world.leadership.leader = None
        world.leadership.known_leader = lambda: MasterInfo("m2", HostPort("10.0.0.2", 1), "b")
        with pytest.raises(CallError, match=r"10\.0\.0\.2:1 does"):
            self.talk(world)
