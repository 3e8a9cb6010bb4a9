"""One more process in a running container, with its input and output (`pymesos-cli exec`)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pymesos_agent.containers.marks import Marks, end_marked
from pymesos_agent.containers.terminals import (
    CHUNK_BYTES,
    Chunks,
    ConsoleSocket,
    read_terminal,
    resize,
    write_terminal,
)
from pymesos_core.streams import to_the_end
from pymesos_core.tasks import Background, running
from pymesos_proto.v1 import sandbox_pb2 as pb

QUEUED_OUTPUTS = 16
TYPED_AHEAD_BYTES = 64 * 1024  # what is kept of it until the command has its terminal
KEYS = {b"\x03": signal.SIGINT, b"\x1c": signal.SIGQUIT}  # Ctrl-C, Ctrl-\
END_GRACE_S = 1.0
SETSID = shutil.which("setsid") or "/usr/bin/setsid"
ENDERS = ThreadPoolExecutor(4, thread_name_prefix="end-marked")
LAST_WORDS_S = 0.2  # for what has ended to be read
SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL,
           signal.SIGUSR1, signal.SIGUSR2}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """The program of the agent's machine that brings a command into a container.

    It has the agent's rights, so nothing of the task is in its environment.
    """

    argv: Sequence[str]  # an absolute path first
    env: Mapping[str, str]
    cwd: Path
    mark: str = ""  # in the environment of the command, as MARK, so that nothing of it is left
    scratch: Path | None = None  # a file that goes with it
    console: Path | None = None  # where it sends the terminal of the command, if it makes that
    kept: Path | None = None  # the file of its mark, for the agent after one that is killed

    def forget(self) -> None:
        """Remove the files of a command that has ended."""
        for file in (self.scratch, self.kept):
            if file is not None:
                file.unlink(missing_ok=True)

    def kept_in(self, marks: Marks) -> Entry:
        """The same with a file of its mark."""
        return replace(self, kept=marks.keep(self.mark)) if self.mark else self


class EntryError(Exception):
    """The container cannot be entered: the message says why."""


async def run_entry(entry: Entry, timeout_s: float, container_pid: int = 0) -> tuple[int, str]:
    """Run to its end without input: the exit status and the end of what it wrote.

    Nothing that it started is left then. Raises TimeoutError, OSError, ValueError.
    """
    output, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *entry.argv,
            env=entry.env,
            cwd=entry.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    except BaseException:
        os.close(output)
        entry.forget()
        raise
    finally:
        os.close(theirs)
    said = bytearray()
    try:
        async with running(_read_into(said, output)) as reading:
            try:
                async with asyncio.timeout(timeout_s):
                    status = await process.wait()
                    # What it left behind may hold its output open for ever.
                    await asyncio.wait((reading,), timeout=LAST_WORDS_S)
            finally:
                killed = process.returncode is None
                if killed:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
    finally:
        try:
            if entry.mark:
                end = partial(end_marked, entry.mark, container_pid, again=killed)
                await asyncio.get_running_loop().run_in_executor(ENDERS, end)
        finally:
            entry.forget()
    return status, said.decode("utf-8", "replace")


async def _read_into(said: bytearray, output: int) -> None:
    """The end of what comes through a pipe, which is closed after it."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb", 0)
    )
    try:
        while data := await reader.read(CHUNK_BYTES):
            said += data
            del said[:-CHUNK_BYTES]
    finally:
        transport.close()


class Session:
    """A process with pipes, or with a terminal of its own."""

    def __init__(self, entry: Entry, size: pb.TerminalSize | None) -> None:
        """To be run with a terminal of that size, or with pipes."""
        self._entry = entry
        self._size = size
        self._process: asyncio.subprocess.Process | None = None
        self._terminals: list[int] = []  # our ends: the program's own, and the command's
        self._terminal: int | None = None  # the command's
        self._typed_ahead = b""  # before the command had it
        self._writing_ahead: asyncio.Task[None] | None = None
        self._console: ConsoleSocket | None = None  # for the command's to come
        self._outputs: asyncio.Queue[pb.ExecOutput | None] = asyncio.Queue(QUEUED_OUTPUTS)
        self._copies = Background("copying what a session writes")
        self._copied = 0

    async def start(self) -> None:
        """Start it; `close` clears up whatever became of that. Raises OSError."""
        # To the end: one that is started halfway leaves its pipes open.
        await to_the_end(self._start() if self._size is None else self._start_in_terminal())

    async def _start(self) -> None:
        process = self._process = await asyncio.create_subprocess_exec(
            *self._entry.argv,
            env=self._entry.env,
            cwd=self._entry.cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        self._copy(_read_pipe(process.stdout), "stdout")
        self._copy(_read_pipe(process.stderr), "stderr")

    async def _start_in_terminal(self) -> None:
        assert self._size is not None
        ours, theirs = os.openpty()
        self._terminals.append(ours)
        try:
            os.set_blocking(ours, False)
            resize(ours, self._size)
            if self._entry.console is not None:
                self._console = ConsoleSocket(self._entry.console)
            self._process = await asyncio.create_subprocess_exec(
                *(SETSID, "--ctty", *self._entry.argv),
                env=self._entry.env,
                cwd=self._entry.cwd,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
            )
        finally:
            os.close(theirs)
        ended = self._copies.start(self._process.wait(), awaited=True)
        self._copy(read_terminal(ours, ended), "stdout")
        if self._console is None:
            self._use(ours)
        else:
            self._copy(self._read_sent(self._console, ended), "stdout")

    async def _read_sent(self, console: ConsoleSocket, ended: asyncio.Task[int]) -> Chunks:
        """What the command writes to a terminal that the program makes, and sends us.

        If it sends none, it says why to its own.
        """
        try:
            terminal = await console.receive(ended)
        finally:
            console.close()
        if terminal is not None:
            self._terminals.append(terminal)
            self._use(terminal)
            async with contextlib.aclosing(read_terminal(terminal, ended)) as chunks:
                async for data in chunks:
                    yield data

    def _use(self, terminal: int) -> None:
        """Make a terminal the command's: give it the latest size and what was typed ahead."""
        assert self._size is not None
        self._terminal = terminal
        resize(terminal, self._size)
        if self._typed_ahead:
            # Beside its output, which is read meanwhile.
            self._writing_ahead = self._copies.start(self._write_ahead(terminal))

    async def _write_ahead(self, terminal: int) -> None:
        with contextlib.suppress(OSError):
            await write_terminal(terminal, self._typed_ahead)
        self._typed_ahead = b""

    def _copy(self, chunks: Chunks, name: str) -> None:
        async def copy() -> None:
            with contextlib.suppress(OSError):
                async with contextlib.aclosing(chunks):
                    async for data in chunks:
                        output = pb.ExecOutput()
                        setattr(output, name, data)
                        await self._outputs.put(output)
            await self._outputs.put(None)

        self._copied += 1
        self._copies.start(copy())

    async def outputs(self) -> AsyncIterator[pb.ExecOutput]:
        """What it writes, then its exit status."""
        left = self._copied
        while left:
            output = await self._outputs.get()
            if output is None:
                left -= 1
            else:
                yield output
        assert self._process is not None
        yield pb.ExecOutput(exit_status=await self._process.wait())

    async def take(self, message: pb.ExecInput) -> None:
        """Input, a new size of the terminal, a signal."""
        match message.WhichOneof("input"):
            case "stdin":
                await self._write(message.stdin)
            case "stdin_closed":
                if self._process is not None and self._process.stdin is not None:
                    self._process.stdin.close()
            case "resized":
                if self._size is not None:
                    self._size = message.resized
                if self._terminal is not None:
                    resize(self._terminal, message.resized)
            case "signal":
                if message.signal in SIGNALS:
                    self._signal(message.signal)

    async def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it has ended, or closed its input
            if self._terminal is not None:
                if self._writing_ahead is not None:
                    await asyncio.wait((self._writing_ahead,))
                await write_terminal(self._terminal, data)
            elif self._size is not None:
                self._type_ahead(data)
            elif self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    def _type_ahead(self, data: bytes) -> None:
        """Keep it until the command has its terminal; keys that are signals reach the program.

        Nothing waits: the program may stand still, and what comes next may be what ends it. So
        what is too much is left out.
        """
        self._typed_ahead += data[: TYPED_AHEAD_BYTES - len(self._typed_ahead)]
        for key, number in KEYS.items():
            if key in data:
                self._signal(number)

    def _signal(self, number: int) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            # It has ended; or it is no group of its own yet, as before `setsid` has run.
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def close(self) -> None:
        """End it if it has not ended: the one who asked has gone."""
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(signal.SIGHUP)
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), END_GRACE_S)
            self._signal(signal.SIGKILL)
            if self._entry.mark:
                await asyncio.to_thread(end_marked, self._entry.mark, 0, again=True)
        await self._copies.close()
        if process is not None:
            # Its pipes: what it left behind may hold their other ends.
            process._transport.close()  # type: ignore[attr-defined]
        if self._console is not None:
            self._console.close()
        for terminal in self._terminals:
            os.close(terminal)
        self._terminals.clear()
        self._terminal = None
        self._entry.forget()


async def _read_pipe(stream: asyncio.StreamReader) -> Chunks:
    while data := await stream.read(CHUNK_BYTES):
        yield data
