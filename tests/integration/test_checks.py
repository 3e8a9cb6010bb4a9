"""Checks on each runtime: whatever a task does, they end in time and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from pymesos_agent.containers.sessions import Entry, Session
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerStarted
from pymesos_agent.health.checking import CheckError, run_check
from pymesos_agent.health.gauges import MAX_BYTES, read_gauge
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import IMAGE, free_port
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig
from pymesos_testing.waiting import until


@pytest.fixture(params=["cgroups", "watched", "docker", "podman", "oci"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Rig, str]]:
    """Each runtime, and the image to use."""
    if request.param in ("docker", "podman"):
        host: str = request.getfixturevalue(f"{request.param}_host")
        async with docker_rig(tmp_path, host) as made:
            yield made, IMAGE
    elif request.param == "oci":
        async with oci_rig(tmp_path) as made:
            yield made, ""
    else:
        async with process_rig(tmp_path, request.param == "watched") as made:
            yield made, ""


async def ask(rig: Rig, spec: ContainerSpec, check: pb.Check, timeout_s: float = 20) -> None:
    started = await rig.until(ContainerStarted, spec.container_id)
    assert isinstance(started, ContainerStarted)
    entry = rig.runtime.entry
    await run_check(check, spec, started.pid, lambda argv: entry(spec, argv, ""), timeout_s)


def sleeping(seconds: int) -> list[int]:
    """The processes that sleep for so long, in whatever container."""
    words = ["sleep", str(seconds)]
    found = psutil.process_iter(["cmdline"])
    return [p.pid for p in found if (p.info["cmdline"] or [])[-2:] == words]


async def test_nothing_of_a_command_is_left(rig: tuple[Rig, str]) -> None:
    runtime, image = rig
    spec = await runtime.run("sleep 600", image=image)
    for seconds, script, says in (
        (661, "sleep 661 & exit 0", ""),
        (662, "(sleep 662 &) >/dev/null 2>&1; echo wrong; exit 3", "status 3: wrong"),
        (663, "trap '' TERM HUP; sleep 663 & sleep 663", "no answer within 1 s"),
        (664, "exec sleep 664", "no answer within 1 s"),
    ):
        check = pb.Check(command=pb.CommandInfo(shell=True, value=script))
        if says:
            with pytest.raises(CheckError, match=says):
                await ask(runtime, spec, check, 1 if "within" in says else 20)
        else:
            await ask(runtime, spec, check)
        assert sleeping(seconds) == [], script
    assert len(sleeping(600)) >= 1, "the task itself runs on"
    runtime.runtime.kill(spec.container_id, force=True)
    await runtime.exited(spec)


async def test_a_command_has_the_containers_environment(rig: tuple[Rig, str]) -> None:
    """All of it, with a terminal or without; and of the tools nothing is left."""
    runtime, image = rig
    spec = await runtime.run("sleep 601", image=image)
    for term, says in (("", "hello t1 "), ("vt100", "hello t1 vt100")):
        echo = 'test -n "$PATH" && sleep 0 && echo "$GREETING $PYMESOS_TASK_ID $TERM"'
        session = Session(
            runtime.runtime.entry(spec, ["sh", "-c", echo], term),
            sandbox_pb.TerminalSize() if term else None,
        )
        await session.start()
        said = b"".join([o.stdout async for o in session.outputs()]).decode()
        await session.close()
        assert said.startswith(says), said
    assert list(runtime.folder.rglob("exec-*.json")) == []
    runtime.runtime.kill(spec.container_id, force=True)
    await runtime.exited(spec)


class Server:
    """A server of this machine, and how many are connected to it."""

    def __init__(self, answer: bytes, *, trickles: bool) -> None:
        self.answer, self.trickles = answer, trickles
        self.connected = 0
        self.asked: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        try:
            self.asked.append(await reader.readline())
            writer.write(self.answer)
            while self.trickles and not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.connected -= 1
            writer.close()


def spec_of(folder: Path) -> ContainerSpec:
    return Rig.spec(Rig(None, folder), "true")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["http", "https", "grpc"])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nx: "])
async def test_a_server_that_sends_a_byte_now_and_then(
    tmp_path: Path, kind: str, answer: bytes
) -> None:
    served = Server(answer, trickles=True)
    async with await asyncio.start_server(served.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        if kind == "grpc":
            check = pb.Check(grpc=pb.Check.Grpc(port=port))
        else:
            check = pb.Check(http=pb.Check.Http(port=port, scheme=kind))
        threads = threading.active_count()
        for _ in range(3):
            with pytest.raises(CheckError):
                await run_check(check, spec_of(tmp_path), os.getpid(), no_entry, 0.2)
        await until("nobody is connected", lambda: not served.connected)
        assert threading.active_count() <= threads + (kind == "grpc")  # its library's own


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.0 204 Nothing\r\n\r\n", ""),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""),
        (b"HTTP/1.1 302 There\r\nLocation: /x\r\n\r\n", ""),
        (b"HTTP/1.1 503 Not Now\r\n\r\n", "answered with 503"),
        (b"SSH-2.0-OpenSSH\r\n", "not answered in HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: y", "ended within the answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000, "without an end"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000, "without an end"),
        (b"", "ended within the answer"),
    ],
)
async def test_what_an_answer_says(tmp_path: Path, answer: bytes, says: str) -> None:
    served = Server(answer, trickles=False)
    async with await asyncio.start_server(served.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        check = pb.Check(http=pb.Check.Http(port=port, path="/a b\r\n\u00fc?c=d"))
        if not says:
            await run_check(check, spec_of(tmp_path), os.getpid(), no_entry, 20)
        else:
            with pytest.raises(CheckError, match=says):
                await run_check(check, spec_of(tmp_path), os.getpid(), no_entry, 20)
    assert served.asked == [b"GET /a%20b%0D%0A%C3%BC?c=d HTTP/1.1\r\n"]


async def test_nobody_is_there(tmp_path: Path) -> None:
    port = free_port()
    for check in (
        pb.Check(http=pb.Check.Http(port=port)),
        pb.Check(tcp=pb.Check.Tcp(port=port)),
        pb.Check(grpc=pb.Check.Grpc(port=port)),
    ):
        with pytest.raises(CheckError, match="refused"):
            await run_check(check, spec_of(tmp_path), os.getpid(), no_entry, 20)


def no_entry(argv: list[str]) -> Entry:
    raise AssertionError(argv)


async def test_a_gauge_is_read_within_bounds(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if asked == b"/silent":
            await asyncio.sleep(60)
        head = b"HTTP/1.0 %d X\r\n\r\n" % (500 if asked == b"/broken" else 200)
        lines = b'# a comment\nqueue{kind="a b"} 3\nqueue{kind="}"} 4\n'
        with contextlib.suppress(ConnectionError):
            writer.write(head + (lines if asked != b"/endless" else b"x" * 2 * MAX_BYTES))
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with process_rig(tmp_path, watched=True) as rig:
        spec = await rig.run("sleep 600", f"cpus:0.1;mem:32;ports:[{port}-{port}]")
        started = await rig.until(ContainerStarted, spec.container_id)
        assert isinstance(started, ContainerStarted)
        assert await read_gauge(pb.Measure(metric="queue"), spec, started.pid) == 7
        for measure, says in (
            (pb.Measure(metric="other"), "has no other that is a number"),
            (pb.Measure(metric="queue", path="/broken"), "was answered with"),
            (pb.Measure(metric="queue", path="/endless"), "is longer than"),
            (pb.Measure(metric="queue", path="/silent"), "no answer within 2 s"),
            (pb.Measure(metric="queue", port_index=1), "no port number 1"),
        ):
            with pytest.raises(CheckError, match=says):
                await read_gauge(measure, spec, started.pid)
        rig.runtime.kill(spec.container_id, force=True)
        await rig.exited(spec)
    server.close()
