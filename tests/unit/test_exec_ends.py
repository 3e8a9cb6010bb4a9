"""Streams of logs, files and commands end once, however they end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import (
    Awaitable,
    Sequence,
)
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pymesos_agent.containers.sessions import Entry
from pymesos_agent.files.sandbox import Files
from pymesos_agent.services.sandbox import SandboxService
from pymesos_proto.v1 import sandbox_pb2
from pymesos_testing.cancelling import (
    FakeCall,
    cancel_everywhere,
)


class Tasks:
    """One task, whose sandbox is a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_files(self, framework_id: str, task_id: str) -> Files:
        return Files(self._folder, False, ())

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        return Entry(argv, dict(os.environ), self._folder)

    async def task_usage(self, framework_id: str, task_id: str) -> list[Any]:
        return []


@pytest.mark.parametrize("follow", [True, False])
async def test_logs_and_files(tmp_path: Path, follow: bool) -> None:
    (tmp_path / "stdout").write_text("hello\n" * 10)
    service = SandboxService(Tasks(tmp_path))
    await cancel_everywhere(
        lambda: service.ReadLog(
            sandbox_pb2.ReadLogRequest(follow=follow),
            FakeCall(),
        ),
        lambda: None,
    )
    await cancel_everywhere(
        lambda: service.FollowFile(
            sandbox_pb2.FollowFileRequest(path="stdout"),
            FakeCall(),
        ),
        lambda: None,
    )


@pytest.mark.parametrize("terminal", [True, False])
async def test_exec(tmp_path: Path, terminal: bool) -> None:
    await exec_everywhere(Tasks(tmp_path), ["cat"], terminal)


# A container's tool that makes the terminal itself: it sends our end, and is then the command.
SENDS = """
import os, pty, socket, sys
ours, theirs = pty.openpty()
console = socket.socket(socket.AF_UNIX)
console.connect(sys.argv[1])
socket.send_fds(console, [b"x"], [ours])
os.dup2(theirs, 0); os.dup2(theirs, 1); os.execv("/bin/cat", ["cat"])
"""


class Sending(Tasks):
    """Tasks whose commands' terminals are sent, or none is, though it is said to be."""

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        entry = super().entry(framework_id, task_id, argv, term)
        return replace(entry, console=self._folder / "console")


@pytest.mark.parametrize("sends", [True, False])
async def test_exec_in_a_terminal_that_is_sent(
    tmp_path: Path, sends: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "IDLE_S", 0.5)  # the tool has to start
    console = tmp_path / "console"
    argv = [sys.executable, "-S", "-c", SENDS, str(console)] if sends else ["sleep", "60"]
    tasks = Sending(tmp_path)
    said = await exec_everywhere(tasks, argv, terminal=True)
    assert not console.exists()
    if sends:
        await says_hello(tasks, argv)
    else:
        assert b"hello" not in said


class Late(FakeCall):
    """A call whose peer says the rest when it has heard how the command ended."""

    async def read(self) -> Any | None:
        while len(self._batches) == 1 and not any(o.HasField("exit_status") for o in self.written):
            await asyncio.sleep(0.01)
        return await super().read()


async def test_exec_takes_in_what_was_on_its_way_when_the_command_ended(tmp_path: Path) -> None:
    """Written to a call that has ended, it costs gRPC's client the exit status (grpc#36066)."""
    start = sandbox_pb2.ExecInput.Start(argv=["true"])
    more = sandbox_pb2.ExecInput(stdin_closed=True)
    call = Late(sandbox_pb2.ExecInput(start=start), more, hangs=False)
    await SandboxService(Tasks(tmp_path)).Exec(call)
    assert call.written[-1].exit_status == 0 and call._batches == []


def hello_to(argv: Sequence[str], terminal: bool) -> FakeCall:
    start = sandbox_pb2.ExecInput.Start(argv=argv, terminal=terminal)
    return FakeCall(sandbox_pb2.ExecInput(start=start), sandbox_pb2.ExecInput(stdin=b"hello\n"))


async def exec_everywhere(tasks: Tasks, argv: Sequence[str], terminal: bool) -> bytes:
    """What it said when it was cancelled last, which is when nothing more happened."""
    service = SandboxService(tasks)
    calls: list[FakeCall] = []
    children = set(psutil.Process().children())  # the whole run's servers

    def check() -> None:
        assert service._sessions == 0

    def run() -> Awaitable[None]:
        calls.append(hello_to(argv, terminal))
        return service.Exec(calls[-1])

    await cancel_everywhere(run, check)
    assert set(psutil.Process().children()) <= children
    return said_in(calls[-1])


async def says_hello(tasks: Tasks, argv: Sequence[str]) -> None:
    """However long a busy machine takes to start the tool."""
    call = hello_to(argv, terminal=True)
    serving = asyncio.create_task(SandboxService(tasks).Exec(call))
    async with asyncio.timeout(30):
        while b"hello" not in said_in(call):
            await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait({serving})


def said_in(call: FakeCall) -> bytes:
    return b"".join(output.stdout for output in call.written)
