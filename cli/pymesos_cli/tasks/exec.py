"""`exec`: one more process in the container of a task, as if it were here."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import struct
import termios
import tty
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from typing import Any

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.finding import find_task
from pymesos_cli.sandboxes import sandbox_of
from pymesos_cli.terminal import stream
from pymesos_core.tasks import running
from pymesos_proto.v1 import sandbox_pb2 as pb

CHUNK_BYTES = 32 * 1024
QUEUED_INPUTS = 16
OLDER_AGENT_S = 1.0  # is long enough to wait for one that does not say that a command runs
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run_inside(
    cluster: Cluster,
    text: str,
    argv: Sequence[str],
    *,
    stdin: int | None,
    terminal: bool = False,
) -> int:
    """`pymesos-cli exec`; the exit status, 128 and the number for one that ended by a signal.

    `stdin` is the descriptor of its input, None for none.
    """
    view = await find_task(cluster, text, completed=False)
    start = pb.ExecInput.Start(
        framework_id=view.framework_id,
        task_id=view.task_info.task_id,
        argv=argv,
        terminal=terminal,
    )
    if terminal:
        start.size.CopyFrom(_size())
        start.term = os.environ.get("TERM", "xterm")
    inputs: asyncio.Queue[pb.ExecInput] = asyncio.Queue(QUEUED_INPUTS)
    runs = asyncio.Event()

    async def show() -> int:
        async with sandbox_of(cluster, view) as (stub, metadata):
            async for output in stub.Exec(_all(start, runs, inputs), metadata=metadata):
                runs.set()
                # The last of it. How the call ends is not asked: gRPC makes an internal error of
                # that where input was on its way (grpc#36066).
                if output.WhichOneof("output") == "exit_status":
                    return output.exit_status
                _show(output)
        raise CliError(f"the agent ended the call without saying how {argv[0]} ended; try again")

    with _raw_terminal(terminal), _signals(inputs, terminal):
        return exit_code(await _while_it_can_be_read(show(), _read_stdin(inputs, stdin)))


async def _while_it_can_be_read(
    show: Coroutine[Any, Any, int], read: Coroutine[Any, Any, None]
) -> int:
    """What `show` returns; it is cancelled when `read` fails. Raises CliError.

    To close the input instead would let the program take half of it for the whole.
    """
    async with running(show) as showing, running(read) as reading:
        try:
            await asyncio.wait({showing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not showing.done():
                reading.result()
            return await showing
        except OSError as error:
            raise CliError(f"the input cannot be read: {error.strerror or error}") from error


def exit_code(status: int) -> int:
    """As a shell has it: 128 and the number for one that a signal ended."""
    return 128 - status if status < 0 else status


async def _all(
    start: pb.ExecInput.Start, runs: asyncio.Event, inputs: asyncio.Queue[pb.ExecInput]
) -> AsyncIterator[pb.ExecInput]:
    """The start, and what follows once the command runs.

    gRPC forgets why a call was refused when something is written to it afterwards.
    """
    yield pb.ExecInput(start=start)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runs.wait(), OLDER_AGENT_S)
    while True:
        yield await inputs.get()


def _show(output: pb.ExecOutput) -> None:
    match output.WhichOneof("output"):
        case "stdout":
            stream().write_raw(output.stdout)
        case "stderr":
            stream(stderr=True).write_raw(output.stderr)


async def _read_stdin(inputs: asyncio.Queue[pb.ExecInput], stdin: int | None) -> None:
    if stdin is None:
        await inputs.put(pb.ExecInput(stdin_closed=True))
        return
    loop = asyncio.get_running_loop()
    while True:
        readable = asyncio.Event()
        try:
            loop.add_reader(stdin, readable.set)
        except PermissionError:  # a plain file is always readable
            readable.set()
        try:
            await readable.wait()
        finally:
            with contextlib.suppress(OSError):
                loop.remove_reader(stdin)
        data = os.read(stdin, CHUNK_BYTES)
        if not data:
            await inputs.put(pb.ExecInput(stdin_closed=True))
            return
        await inputs.put(pb.ExecInput(stdin=data))


def _size() -> pb.TerminalSize:
    packed = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return pb.TerminalSize(rows=rows, columns=columns)


@contextlib.contextmanager
def _raw_terminal(terminal: bool) -> Iterator[None]:
    """Keys go to the container as they are typed; as it was, afterwards."""
    if not terminal:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)  # what has been typed already counts
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(inputs: asyncio.Queue[pb.ExecInput], terminal: bool) -> Iterator[None]:
    """A new size, and signals to us, are passed on."""
    loop = asyncio.get_running_loop()

    def put(message: pb.ExecInput) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            inputs.put_nowait(message)

    if terminal:
        loop.add_signal_handler(signal.SIGWINCH, lambda: put(pb.ExecInput(resized=_size())))
    for number in PASSED_ON:
        loop.add_signal_handler(number, put, pb.ExecInput(signal=number))
    try:
        yield
    finally:
        for number in (*PASSED_ON, signal.SIGWINCH):
            loop.remove_signal_handler(number)
