"""`logs -f` goes on where it was when another master leads, or its agent is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import grpc
import grpc.aio
import pytest

from pymesos_agent.files.sandbox import Files
from pymesos_agent.services.sandbox import SandboxService
from pymesos_cli import sandboxes
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.sandboxes import AwayError, sandbox_of
from pymesos_cli.tasks import logs
from pymesos_cli.terminal import stream
from pymesos_core.following import LEADER_KEY
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2, types_pb2

TASK = pb.TaskView(
    framework_id="f",
    task_info=types_pb2.TaskInfo(task_id="t", agent_id="a"),
    agent_address=types_pb2.Address(hostname="h", ip="127.0.0.1", port=1),
)


def part(data: bytes, offset: int) -> sandbox_pb2.LogPart:
    return sandbox_pb2.LogPart(data=data, end=sandbox_pb2.LogPlace(file_id=7, offset=offset))


class Streams:
    """What each stream says before its master goes away; the last ends by itself."""

    def __init__(self, *said: list[sandbox_pb2.LogPart]) -> None:
        self._said = list(said)
        self.asked: list[sandbox_pb2.ReadLogRequest] = []

    async def ReadLog(
        self, request: sandbox_pb2.ReadLogRequest, **_: object
    ) -> AsyncIterator[sandbox_pb2.LogPart]:
        asked = sandbox_pb2.ReadLogRequest()
        asked.CopyFrom(request)
        self.asked.append(asked)
        for one in self._said.pop(0):
            yield one
        if self._said:
            raise AwayError("the master answers no more")

    @asynccontextmanager
    async def sandbox_of(self, *_: object) -> AsyncIterator[tuple[Streams, tuple[()]]]:
        yield self, ()


class Masters:
    """A cluster whose new leader hears of the task only when it is asked again."""

    timeout_s = 5.0

    def __init__(self) -> None:
        self.knows: list[list[pb.TaskView]] = [[], [TASK]]

    async def tasks(self, **_: object) -> list[pb.TaskView]:
        return self.knows.pop(0) if len(self.knows) > 1 else self.knows[0]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RETRY_S", 0.001)


async def copied(streams: Streams, monkeypatch: pytest.MonkeyPatch, *, follow: bool) -> None:
    monkeypatch.setattr(logs, "sandbox_of", streams.sandbox_of)
    await logs.copy_log(cast(Cluster, Masters()), TASK, follow=follow, tail=0, prefix=b"web.0 | ")


async def test_it_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    streams = Streams(
        [part(b"", 3)], [part(b"one\ntw", 9)], [part(b"", 9), part(b"o\nthree\n", 17)]
    )
    await copied(streams, monkeypatch, follow=True)
    assert capfd.readouterr().out == "web.0 | one\nweb.0 | two\nweb.0 | three\n"
    first, *others = streams.asked
    assert not first.HasField("after")
    assert [one.after.offset for one in others] == [3, 9]


@pytest.mark.parametrize("follow", [False, True])
async def test_who_does_not_follow_it_or_asks_an_earlier_agent_hears_that_it_ended(
    monkeypatch: pytest.MonkeyPatch, follow: bool
) -> None:
    begin = sandbox_pb2.LogPart(data=b"one\n") if follow else part(b"one\n", 4)
    with pytest.raises(CliError, match="answers no more"):
        await copied(Streams([begin], []), monkeypatch, follow=follow)


async def test_it_is_not_waited_for_a_master_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "COMES_BACK_S", 0.0)
    monkeypatch.setattr(Masters, "timeout_s", 0.05)
    streams = Streams([part(b"", 0)], *([] for _ in range(1000)))
    with pytest.raises(CliError, match="answers no more"):
        await copied(streams, monkeypatch, follow=True)


def refused(code: grpc.StatusCode, leader: str) -> Exception:
    said = grpc.aio.Metadata((LEADER_KEY, leader))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), said, "m1 does not lead")


@pytest.mark.parametrize(
    "error",
    [
        lambda: refused(grpc.StatusCode.FAILED_PRECONDITION, "10.0.0.2:5050"),
        lambda: refused(grpc.StatusCode.UNAVAILABLE, ""),
        asyncio.CancelledError,  # of a call whose channel another one has closed
    ],
)
async def test_a_master_that_leads_no_more_is_away(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], BaseException]
) -> None:
    async def answers(*_: object) -> bool:
        return True

    monkeypatch.setattr(sandboxes, "_answers", answers)
    cluster = cast(Cluster, SimpleNamespace(credentials=None))
    with pytest.raises(AwayError, match="as at a failover"):
        async with sandbox_of(cluster, TASK):
            raise error()


async def test_a_command_that_is_cancelled_is() -> None:
    async def use() -> None:
        async with sandbox_of(cast(Cluster, SimpleNamespace(credentials=None)), TASK):
            pass

    using = asyncio.create_task(use())
    await asyncio.sleep(0)
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using


class Call:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.parts: list[sandbox_pb2.LogPart] = []

    async def write(self, message: sandbox_pb2.LogPart) -> None:
        self.parts.append(message)


class Ended:
    """One task, which has ended."""

    def __init__(self, sandbox: Path) -> None:
        self._files = Files(sandbox, ended=True)

    def find_files(self, *_: str) -> Files:
        return self._files


async def test_an_agent_tells_who_follows_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "stdout").write_bytes(b"one\ntwo\n")
    service = SandboxService(cast("object", Ended(tmp_path)))  # type: ignore[arg-type]
    request = sandbox_pb2.ReadLogRequest(follow=True, tail_lines=0)
    call = Call()
    await service.ReadLog(request, call)  # type: ignore[arg-type]
    inode = (tmp_path / "stdout").stat().st_ino
    assert [(each.data, each.end.offset) for each in call.parts] == [(b"", 8)]
    assert call.parts[0].end.file_id == inode
    request.after.CopyFrom(sandbox_pb2.LogPlace(file_id=inode, offset=4))
    again = Call()
    await service.ReadLog(request, again)  # type: ignore[arg-type]
    assert [(each.data, each.end.offset) for each in again.parts] == [(b"two\n", 8)]


def test_a_line_that_never_ends_is_shown_beside_others(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    """Nothing of a progress bar was shown, and each part of it was copied again with the next."""
    out, rest = stream(), b""
    for _ in range(10):
        rest = logs._write(out, b"web.0 | ", rest + b"x" * 30_000)
        assert len(rest) <= logs.MAX_LINE_BYTES
    rest = logs._write(out, b"web.0 | ", rest + b"\nlast")
    out.flush()
    *lines, end = capfdbinary.readouterr().out.split(b"\n")
    assert (rest, end) == (b"last", b"") and all(line.startswith(b"web.0 | ") for line in lines)
    assert sum(len(line) - len(b"web.0 | ") for line in lines) == 300_000
