"""What a task waits for before it starts: whatever fails ends it with a sentence, and so does a
kill, at once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed, ContainerPulling
from pymesos_agent.files import fetching
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.artifacts import Artifacts
from pymesos_agent.files.config import Rendering
from pymesos_agent.files.fetching import Fetching
from pymesos_agent.runtimes.interface import ContainerEvent
from pymesos_agent.secrets import Secrets
from pymesos_core.discovery.held import Held
from pymesos_core.resources import EMPTY
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.waiting import until


class Bench:
    """A sandbox, and what became of its container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[ContainerEvent] = []
        self.launched: list[str] = []
        self.artifacts = Artifacts(folder / "cache", (), 1)
        self.secrets = Secrets(None, lambda message: False, Rendering())
        self.fetching = Fetching(
            self.artifacts, self.events.append, self.secrets.give, Rendering(), Addresses(Held())
        )

    def start(self, *uris: str, **artifact: object) -> None:
        sandbox = self.folder / "sandbox"
        sandbox.mkdir()
        wanted = [pb.Artifact(uri=uri, **artifact) for uri in uris]  # type: ignore[arg-type]
        spec = ContainerSpec("c", "f", "", None, pb.TaskInfo(artifacts=wanted), EMPTY, sandbox)
        self.fetching.start(spec, (), lambda spec: self.launched.append(spec.container_id))

    def give(self, name: str, volume: str) -> None:
        """Start a container that waits for its volume."""
        spec = ContainerSpec(name, "f", "", None, pb.TaskInfo(), EMPTY, self.folder)
        self.fetching.start(
            spec, [Path(volume)], lambda spec: self.launched.append(spec.container_id)
        )

    @staticmethod
    def threads() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "files"]

    async def failure(self) -> str:
        def failed() -> list[str]:
            return [e.message for e in self.events if isinstance(e, ContainerFailed)]

        await until("it has failed", failed)
        assert self.launched == []
        await until("its thread has ended", lambda: not self.threads())
        (message,) = failed()
        return message


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.fetching.close()


Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A server that says what it is given, then closes, or goes on with a byte now and then."""
    servers = []

    async def start(answer: bytes, *, trickles: bool = False) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
                while trickles and not reader.at_eof():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/file"

    yield start
    for server in servers:
        server.close()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (OK + b"Content-Length: 1000\r\n\r\nabc", "cut off: 3 of 1000 bytes"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc", "cut off before its end"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "cut off before its end"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 1\r\n\r\na", "206"),
        (b"HTTP/1.1 404 Not Here\r\nContent-Length: 0\r\n\r\n", "Not Here"),
        (b"HTTP/1.1 302 F\r\nLocation: gopher://x/y\r\n\r\n", "cannot be fetched"),
        (b"HTTP/1.1 302 F\r\nLocation: http://[/\r\n\r\n", "cannot be fetched"),
        (b"nonsense\r\n\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
    ],
)
async def test_what_a_server_does_wrong(
    bench: Bench, serve: Serve, answer: bytes, says: str
) -> None:
    sha256 = hashlib.sha256(b"abc").hexdigest()
    bench.start(await serve(answer), sha256=sha256)
    assert says in await bench.failure()
    assert list((bench.folder / "cache").iterdir()) == []
    assert list((bench.folder / "sandbox").iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("http://h/a b", "%20"),
        ("http://h/a\tb", "no address"),
        ("http://h/\u00fc", "no address"),
        ("http://h:port/a", "no address"),
        ("http://[::1/a", "no address"),
        ("http:///a", "names no host"),
        ("http://me:secret@h/a", "credentials"),
        ("file://h/etc/passwd", "names the host"),
        ("http://127.0.0.1:1/%00", "leads out"),
        ("http://127.0.0.1:1/..", "leads out"),
    ],
)
async def test_addresses_that_are_none(bench: Bench, uri: str, says: str) -> None:
    bench.start(uri)
    message = await bench.failure()
    assert says in message and "secret" not in message


async def test_what_nobody_foresaw_is_a_failure_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LookupError("of a kind that nobody thought of")

    monkeypatch.setattr(Artifacts, "fetch", fail)
    bench.start("http://h/a")
    assert "that nobody thought of" in await bench.failure()


async def test_nor_what_nobody_foresaw_of_a_volume(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread died without a word, and the task waited for ever."""

    def fail(*_: object) -> None:
        raise LookupError("of a kind that nobody thought of")

    monkeypatch.setattr(fetching, "hand_over", fail)
    bench.give("c", "/v")
    assert "that nobody thought of" in await bench.failure()


async def test_a_volume_is_given_by_one_at_a_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next task of a volume waits for what a kill has stopped; tasks of others do not."""
    begun: list[str] = []
    ends = threading.Event()

    def hand_over(volume: Path, _: object, stopped: Callable[[], bool]) -> None:
        begun.append(str(volume))
        if volume == Path("/slow"):
            ends.wait()

    monkeypatch.setattr(fetching, "hand_over", hand_over)
    bench.give("first", "/slow")
    await until("it is given", lambda: begun)
    assert bench.fetching.stop("first")
    bench.give("second", "/slow")
    bench.give("other", "/other")
    await until("the other is launched", lambda: bench.launched)
    assert (begun, bench.launched) == (["/slow", "/other"], ["other"])
    assert ContainerPulling("second", "Giving the volume slow to the task's user") in bench.events
    ends.set()
    await until("the second is launched", lambda: len(bench.launched) == 2)
    assert begun == ["/slow", "/other", "/slow"]


@pytest.mark.parametrize("answer", [OK + b"Content-Length: 99999\r\n\r\n", OK, b""])
async def test_a_kill_ends_it_while_it_is_fetched(
    bench: Bench, serve: Serve, answer: bytes
) -> None:
    """Whether the body trickles, or what comes before it; no thread is left."""
    bench.start(await serve(answer, trickles=True))
    await until("it is fetched", bench.threads)
    assert bench.fetching.stop("c") and not bench.fetching.stop("c")
    assert await bench.failure() == "killed before it was started"
    assert not (bench.folder / "sandbox/file").exists()


async def test_what_a_crash_left_half_is_not_used(bench: Bench, serve: Serve) -> None:
    """A file of the cache that is not what its name says is fetched again."""
    cache, sha256 = bench.folder / "cache", hashlib.sha256(b"abc").hexdigest()
    cache.mkdir()
    (cache / sha256).write_bytes(b"ab")
    (cache / "new-x").write_bytes(b"a")
    bench.artifacts.remove_unfinished()
    assert [p.name for p in cache.iterdir()] == [sha256]
    bench.start(await serve(OK + b"Content-Length: 3\r\n\r\nabc"), sha256=sha256)
    await until("it is launched", lambda: bench.launched)
    assert (bench.folder / "sandbox/file").read_bytes() == b"abc"
    assert (cache / sha256).read_bytes() == b"abc"
