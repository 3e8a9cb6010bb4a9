"""Sessions and nested containers of Mesos' operators on an agent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_agent.containers.sessions import Entry, Session
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import events as ev
from pymesos_agent.mesos import server
from pymesos_agent.mesos.operators import sessions
from pymesos_agent.mesos.operators.api import Call
from pymesos_agent.runtimes.interface import Runtime
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_core.mesos import media
from pymesos_core.mesos.http import BODY_S
from pymesos_core.tasks import running
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch, say, subscribe
from pymesos_testing.mesos_agent import JSON, Agent
from pymesos_testing.recordings.wire import Answer, ask


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    made = Agent(tmp_path)
    serving = made.server.serve(made.queries, ExecutorStreams(), lambda event: None)
    async with running(serving):
        yield made


# Sessions, which `mesos task exec` makes.


class Machine:
    """A runtime whose containers are this machine."""

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        program = shutil.which(argv[0]) or argv[0]
        return Entry([program, *argv[1:]], {"PATH": "/bin:/usr/bin", "TERM": term}, Path("/"))


def nested(agent: Agent, name: str = "n") -> dict[str, Any]:
    return {"value": name, "parent": {"value": agent.container_id}}


async def session(agent: Agent, command: Any, name: str = "n", **more: Any) -> Answer:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    headers = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}
    said = {"container_id": nested(agent, name), "command": command, **more}
    return await agent.call("LAUNCH_NESTED_CONTAINER_SESSION", headers, **said)


async def written(answer: Answer) -> dict[str, bytes]:
    assert answer.stream is not None and answer.stream.task is not None, answer.body
    await asyncio.wait_for(answer.stream.task, 20)
    out: dict[str, bytes] = {}
    for _, event in answer.stream.events:
        data = event["data"]
        out[data["type"]] = out.get(data["type"], b"") + base64.b64decode(data["data"])
    return out


def program(*argv: str) -> dict[str, Any]:
    return {"value": argv[0], "arguments": list(argv), "shell": False}


async def fed(agent: Agent, *records: Any, name: str = "n") -> Answer:
    first = {"type": "CONTAINER_ID", "container_id": nested(agent, name)}
    body = b""
    for one in (first, *records):
        data = json.dumps(
            {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": one}
        ).encode()
        body += b"%d\n%b" % (len(data), data)
    headers = {
        "Content-Type": "application/recordio",
        "Message-Content-Type": "application/json",
        "Accept": "application/json",
    }
    return await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)


def stdin(data: bytes) -> dict[str, Any]:
    said = {"type": "STDIN", "data": base64.b64encode(data).decode()}
    return {"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": said}}


async def test_a_session_writes_and_how_it_ended_is_told(agent: Agent) -> None:
    answer = await session(agent, {"value": "echo out; echo err >&2; exit 3"})
    assert answer.headers["content-type"] == "application/recordio"
    assert answer.headers["message-content-type"] == "application/json"
    assert await written(answer) == {"STDOUT": b"out\n", "STDERR": b"err\n"}
    ended = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    assert ended == {"exit_status": 3 << 8}
    assert await agent.told("WAIT_CONTAINER", container_id=nested(agent)) == ended
    again = await agent.call("KILL_CONTAINER", container_id=nested(agent))
    assert again.status == 404
    assert (await session(agent, {"value": "true"})).status == 202, "it is there already"
    gone = await agent.call("KILL_NESTED_CONTAINER", container_id=nested(agent))
    assert gone.status == 404 and b"(or is already killed)" in gone.body
    removed = await agent.call("REMOVE_CONTAINER", container_id=nested(agent))
    assert removed.status == 200
    unknown = await agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    said = f"Container {agent.container_id}.n cannot be found"
    assert (unknown.status, unknown.body.decode()) == (404, said)


async def test_a_session_reads_what_comes_by_another_connection(agent: Agent) -> None:
    answer = await session(agent, program("cat"))
    resized = {
        "type": "CONTROL",
        "control": {"type": "TTY_INFO", "tty_info": {"window_size": {"rows": 1, "columns": 2}}},
    }
    control = {"type": "PROCESS_IO", "process_io": resized}
    assert (await fed(agent, stdin(b"hello"), control, stdin(b""))).status == 200
    assert await written(answer) == {"STDOUT": b"hello"}
    late = await fed(agent, stdin(b"x"))
    assert late.status == 404
    assert await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent)) == {
        "exit_status": 0
    }


async def test_a_session_has_a_terminal_if_it_wants_one(agent: Agent) -> None:
    answer = await session(agent, program("tty"), container={"type": "MESOS", "tty_info": {}})
    assert (await written(answer))["STDOUT"].startswith(b"/dev/pts/")


async def test_a_session_ends_with_a_signal_or_its_connection(agent: Agent) -> None:
    for number, name in ((15, "a"), (9, "b")):
        answer = await session(agent, program("sleep", "1000"), name)
        said: Any = {"container_id": nested(agent, name)} | (
            {"signal": number} if number == 15 else {}
        )
        assert (await agent.call("KILL_NESTED_CONTAINER", **said)).status == 200
        assert await written(answer) == {}
        waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent, name))
        assert waited == {"exit_status": number}
    answer = await session(agent, program("sleep", "1000"), "c")
    early = await agent.call("REMOVE_NESTED_CONTAINER", container_id=nested(agent, "c"))
    assert early.status == 500
    assert answer.stream is not None
    answer.stream.close()
    waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent, "c"))
    assert waited == {"exit_status": 9}


async def test_a_session_that_nobody_reads_is_aborted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not answered a second time, in the middle of what it writes."""
    monkeypatch.setattr(server, "SENDING_S", 0.05)
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = {"container_id": nested(agent), "command": program("yes")}
    kind = "LAUNCH_NESTED_CONTAINER_SESSION"
    body = json.dumps({"type": kind, kind.lower(): said}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port, limit=100)
    writer.write(
        b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    known = agent.server._sessions
    async with asyncio.timeout(20):
        while known._live:
            await asyncio.sleep(0.01)
    assert known._ended == {f"{agent.container_id}.n": -9}
    rest = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            rest = rest[-20:] + data
            assert b"HTTP/1.1" not in rest
    writer.close()


async def launched(agent: Agent, command: Any, name: str = "n") -> Answer:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = {"container_id": nested(agent, name), "command": command}
    return await agent.call("LAUNCH_NESTED_CONTAINER", **said)


async def attached(agent: Agent, name: str = "n") -> Answer:
    headers = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}
    said = {"container_id": nested(agent, name)}
    return await agent.call("ATTACH_CONTAINER_OUTPUT", headers, **said)


async def test_a_nested_container_outlives_who_launched_it(agent: Agent) -> None:
    answer = await launched(agent, program("cat"))
    assert (answer.status, answer.body) == (200, b"")
    assert (await launched(agent, program("cat"))).status == 202, "it is there already"
    readers = [await attached(agent) for _ in range(2)]
    assert readers[0].headers["message-content-type"] == "application/json"
    assert (await fed(agent, stdin(b"hello"), stdin(b""))).status == 200
    for reader in readers:
        assert await written(reader) == {"STDOUT": b"hello"}
    assert await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent)) == {
        "exit_status": 0
    }
    assert (await attached(agent)).status == 404, "it has ended"


async def test_what_a_session_writes_is_also_for_who_attaches(agent: Agent) -> None:
    answer = await session(agent, program("cat"))
    reader = await attached(agent)
    assert (await fed(agent, stdin(b"x"), stdin(b""))).status == 200
    assert await written(answer) == await written(reader) == {"STDOUT": b"x"}


async def test_who_does_not_read_ends_no_nested_container(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SENDING_S", 0.05)
    writer = await attached_and_silent(agent)
    await ended_by_nobody(agent)
    writer.close()


async def test_who_goes_while_it_is_told_ends_no_nested_container(agent: Agent) -> None:
    writer = await attached_and_silent(agent)
    await asyncio.sleep(0.2)  # more is written than it takes
    (live,) = agent.server._sessions._live.values()
    assert live.readers, "it is waited for"
    writer.transport.abort()
    await ended_by_nobody(agent)


async def attached_and_silent(agent: Agent) -> asyncio.StreamWriter:
    """A connection on which a nested container writes, and nobody reads."""
    await launched(agent, {"value": "head -c 9000000 /dev/zero; sleep 1000"})
    headers = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
    kind = "ATTACH_CONTAINER_OUTPUT"
    body = json.dumps({"type": kind, kind.lower(): {"container_id": nested(agent)}})
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port, limit=100)
    writer.write(
        f"POST /api/v1 HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    return writer


async def ended_by_nobody(agent: Agent) -> None:
    """Once nobody is attached any more, the nested container is there to be killed."""
    (live,) = agent.server._sessions._live.values()
    async with asyncio.timeout(20):
        while live.readers:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    said = {"container_id": nested(agent)}
    killed = await agent.call("KILL_NESTED_CONTAINER", **said, signal=15)
    assert killed.status == 200
    waited = await agent.told("WAIT_NESTED_CONTAINER", **said)
    assert waited == {"exit_status": 15}, "by that signal, and by no other before"


async def test_nested_containers_end_with_their_agent(tmp_path: Path) -> None:
    made = Agent(tmp_path)
    serving = made.server.serve(made.queries, ExecutorStreams(), lambda event: None)
    async with running(serving):
        assert (await launched(made, program("sleep", "1000"))).status == 200
        (live,) = made.server._sessions._live.values()
    assert live.ended.is_set() and not made.server._sessions._live


async def test_a_nested_container_ends_with_its_task(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOOK_S", 0.05)
    assert (await launched(agent, program("sleep", "1000"))).status == 200
    await asyncio.sleep(0.2)
    (live,) = agent.server._sessions._live.values()
    agent.h.feed(ev.ContainerExited(agent.container_id, 0))
    await asyncio.wait_for(live.ended.wait(), 20)
    waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    assert waited == {"exit_status": 9}


async def test_a_nested_container_by_the_newer_names(agent: Agent) -> None:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said: Any = {"container_id": nested(agent), "command": {"value": "exit 3"}}
    assert (await agent.call("LAUNCH_CONTAINER", **said)).status == 200
    assert await agent.told("WAIT_CONTAINER", container_id=nested(agent)) == {"exit_status": 3 << 8}
    held = [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}]
    refused = await agent.call("LAUNCH_CONTAINER", **said, resources=held)
    assert (refused.status, refused.body[:9]) == (400, b"Resources")
    alone = await agent.call(
        "LAUNCH_CONTAINER", container_id={"value": "c"}, command={"value": "x"}
    )
    assert (alone.status, b"belongs to no task" in alone.body) == (400, True)
    own = {"value": agent.container_id}
    task_own = await agent.call("ATTACH_CONTAINER_OUTPUT", container_id=own)
    assert (task_own.status, task_own.body[:13]) == (400, b"IO switchboar")
    bad = await launched(agent, program("/none/such"), "bad")
    assert (bad.status, b"it cannot be run" in bad.body) == (400, True)


async def test_the_ends_of_few_sessions_are_kept(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_ENDED", 2)
    for name in "abc":
        await written(await session(agent, program("true"), name))
    for name, status in (("a", 404), ("b", 200), ("c", 200)):
        waited = await agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent, name))
        assert waited.status == status, name


async def test_a_connection_that_ends_with_its_session_leaves_no_place_taken(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = asyncio.Event()
    close = Session.close

    async def slowly(self: Session) -> None:
        closing.set()
        await asyncio.sleep(0.1)
        await close(self)

    async def begin() -> Any:
        return lambda message: asyncio.sleep(0)

    monkeypatch.setattr(Session, "close", slowly)
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = Call.LaunchNestedContainerSession()
    said.container_id.value, said.container_id.parent.value = "n", agent.container_id
    said.command.value = "exit 3"
    known = agent.server._sessions
    async with running(known.run(said, begin)) as run:
        await asyncio.wait_for(closing.wait(), 20)
        run.cancel()
        await asyncio.wait({run})
    assert not known._live and list(known._ended.values()) == [3]


async def test_a_slow_body_keeps_nobody_waiting(agent: Agent) -> None:
    writers = []
    for _ in range(server.MOST_ANSWERS):
        _, writer = await asyncio.open_connection("127.0.0.1", agent.server.port)
        writer.write(
            b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n"
        )
        writers.append(writer)
    async with asyncio.timeout(BODY_S / 2):
        assert await agent.told("GET_HEALTH") == {"healthy": True}
    for writer in writers:
        writer.close()


async def test_who_waits_for_an_end_gives_way_to_others(agent: Agent) -> None:
    answer = await session(agent, program("sleep", "1000"))
    agent.server._most_connections = 3
    waiting = [
        asyncio.create_task(agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent)))
        for _ in range(2)
    ]
    async with asyncio.timeout(20):
        while len(agent.server._open) < 3:
            await asyncio.sleep(0.01)
    assert (await agent.ask("/health")).status == 200
    assert answer.stream is not None and not answer.stream.end, "a session does not"
    answer.stream.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_session_is_in_the_container_of_an_executor(agent: Agent) -> None:
    launch(agent.h, "e1")
    agent.container_id = agent.h.started[-1].container_id
    answer = await session(agent, program("echo", "x"), "early")
    assert (answer.status, b"does not run yet" in answer.body) == (400, True)
    agent.h.feed(ev.ContainerStarted(agent.container_id, 77))
    subscribe(agent.h)
    say(agent.h, "e1", pb.TASK_RUNNING)
    assert agent.h.updates()[-1].status.container_id == agent.container_id, "by which it is named"
    assert await written(await session(agent, program("echo", "x"))) == {"STDOUT": b"x\n"}
    agent.container_id = agent.h.core.state.by_key["f", "e1"].container_id
    assert await written(await session(agent, program("echo", "y"))) == {"STDOUT": b"y\n"}


async def test_a_session_is_in_no_later_container_of_its_task(agent: Agent) -> None:
    agent.h.run("done", name="n")
    agent.container_id = agent.done
    answer = await session(agent, program("echo", "x"))
    assert (answer.status, b"does not run on this agent any more" in answer.body) == (400, True)


async def test_what_a_session_reads_has_to_begin(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port)
    writer.write(
        b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/recordio\r\n"
        b"Message-Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 20)
    writer.close()


async def test_what_is_no_session_is_refused(agent: Agent) -> None:
    for command, text in (
        ({"value": ""}, "there is no command"),
        ({"value": "a\0b"}, "the command cannot be run"),
        ({"value": "x" * 60_000} | {"user": "root"}, "CommandInfo.user is not supported"),
        (program("/none/such"), "it cannot be run"),
    ):
        answer = await session(agent, command)
        assert (answer.status, text in answer.body.decode()) == (400, True), answer.body
        await agent.call("REMOVE_NESTED_CONTAINER", container_id=nested(agent))
    for wrong, text in (
        ({"value": "n"}, "Expecting 'launch_nested_container_session.container_id.parent'"),
        ({"value": "a/b", "parent": {"value": "p"}}, "contains invalid characters"),
        ({"value": "a", "parent": {"value": "p", "parent": {"value": "q"}}}, "nested deeper"),
        ({"value": "a", "parent": {"value": "nobody"}}, "Parent container nobody does not exist"),
        ({"value": "a", "parent": {"value": agent.done}}, "does not run on this agent any more"),
    ):
        said: Any = {"container_id": wrong, "command": {"value": "true"}}
        answer = await agent.call("LAUNCH_NESTED_CONTAINER_SESSION", **said)
        assert (answer.status, text in answer.body.decode()) == (400, True), answer.body
    assert (await fed(agent)).status == 404


async def test_records_are_found_wherever_their_stream_is_cut() -> None:
    wanted = [b"a", b"", b"12\n34", b"x" * 100]
    stream = b"".join(map(media.record, wanted))

    async def parts(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    for size in (1, 2, 3, 7, len(stream)):
        assert [one async for one in media.records_of(parts(size), 100)] == wanted


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"x\n{}", 400),
        (b"9" * 11, 400),
        (b"999999999\n", 413),
        (b"2\n{}", 400),
        (b"4\n", 400),
    ],
)
async def test_records_are_checked(agent: Agent, body: bytes, status: int) -> None:
    headers = {
        "Content-Type": "application/recordio",
        "Message-Content-Type": "application/json",
    }
    answer = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)
    assert answer.status == status, answer.body
    del headers["Message-Content-Type"]
    answer = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)
    assert answer.status == 400
