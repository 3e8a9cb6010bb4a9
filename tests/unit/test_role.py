"""The process of a role: what it opens is closed, and its exit status says how it ended."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import errno
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pymesos_core.exits import NOT_RESTARTED, ExitStatus, RemovedError, RoleError
from pymesos_core.role import RoleProcess, end_of, holding, open_store, serve_role
from pymesos_core.serving import Listen
from pymesos_core.store import Store
from pymesos_core.tasks import running

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
LISTEN = Listen("127.0.0.1", 0, None, None)


def fails(error: Exception) -> Callable[[], ExitStatus | None]:
    def work() -> ExitStatus | None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (RoleError("no room"), 1, "role: no room\n"),
        (RemovedError("gone"), 3, "role: gone\n"),
        (ExceptionGroup("", [ExceptionGroup("", [RoleError("deep")])]), 1, "role: deep\n"),
        (OSError(errno.ENOSPC, "No space left", "/x"), 1, "role: /x: No space left; make room"),
        (OSError(errno.EIO, "Input/output error", "/x"), 1, "role: /x: Input/output error\n"),
        (OSError(errno.ENOENT, "No such file", "/x"), 70, "a fault of pymesos has ended it"),
        (KeyError("x"), 70, "a fault of pymesos has ended it (KeyError)"),
        (ExceptionGroup("", [RoleError("a"), KeyError("b")]), 70, "(ExceptionGroup)"),
    ],
)
def test_an_error_becomes_a_sentence_and_a_status(
    error: Exception, status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert end_of("role", fails(error)) == status
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said


def test_work_that_is_done() -> None:
    assert end_of("role", lambda: None) == 0
    assert end_of("role", lambda: ExitStatus.FAILED) == 1


def served(serve: Callable[[RoleProcess], Awaitable[ExitStatus | None]]) -> int:
    async def coroutine(process: RoleProcess) -> ExitStatus | None:
        return await serve(process)

    with pytest.raises(SystemExit) as ended:
        serve_role("role", LISTEN, "error", coroutine)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_role_which_closes_what_it_has_in_reverse_order(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    async def close_last() -> None:
        await asyncio.sleep(0)
        closed.append("last")

    async def serve(process: RoleProcess) -> ExitStatus | None:
        process.close_later(lambda: closed.append("first"))
        server, address = process.bind({})
        await process.start(server)
        process.announce(address)
        process.close_later(close_last)
        os.kill(os.getpid(), number)
        async with running(process.stop.wait()) as stopping:
            await stopping
        return None

    assert served(serve) == 0
    assert closed == ["last", "first"]
    assert capsys.readouterr().out.startswith("listening on 127.0.0.1:")


def test_what_is_open_is_closed_after_an_error_too() -> None:
    closed: list[str] = []

    async def serve(process: RoleProcess) -> ExitStatus | None:
        process.close_later(lambda: closed.append("it"))
        process.bind({})
        raise RemovedError("gone")

    assert served(serve) == 3
    assert closed == ["it"]


@pytest.mark.parametrize(("error", "status"), [(None, 70), (RoleError("the reason"), 1)])
def test_what_cannot_be_closed_keeps_nothing_open_and_hides_no_reason(
    error: Exception | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    closed: list[str] = []

    def broken() -> None:
        raise KeyError("broken")

    async def serve(process: RoleProcess) -> ExitStatus | None:
        process.close_later(lambda: closed.append("first"))
        process.close_later(broken)
        if error is not None:
            raise error
        return None

    assert served(serve) == status
    assert closed == ["first"]
    assert ("the reason" if error else "KeyError") in capsys.readouterr().err


async def test_what_runs_is_cancelled_and_awaited() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("ended")

    with contextlib.suppress(ZeroDivisionError):
        async with running(work()):
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert said == ["ended"]


def test_a_directory_is_held_once(tmp_path: Path) -> None:
    with (
        holding(tmp_path, "--work-dir"),
        pytest.raises(RoleError, match=r"cannot use the work directory: .* in use"),
        holding(tmp_path, "--work-dir"),
    ):
        pass
    with holding(tmp_path, "--work-dir"):
        pass


def test_a_store_that_is_damaged_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).close()
    open_store(path, "no way")[0].close()
    path.write_bytes(b"SQLite format 3\0" + b"x" * 9000)
    with pytest.raises(RoleError, match=r"store\.sqlite.*\. Take the other door"):
        open_store(path, "Take the other door")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_starts_again_what_may_go_on(path: Path) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(path)
    service = unit["Service"]
    assert service["Restart"] == "always"
    prevented = {int(word) for word in service["RestartPreventExitStatus"].split()}
    assert prevented == {int(status) for status in NOT_RESTARTED}
    # However often it ends: systemd gives up after five starts in ten seconds by default.
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_there_are_units() -> None:
    assert [path.stem.removeprefix("pymesos-") for path in UNITS] == ["agent", "binpack", "master"]
