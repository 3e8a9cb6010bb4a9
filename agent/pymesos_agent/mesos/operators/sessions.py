"""Commands in the containers of tasks, as `mesos task exec` has them: nested containers.

A session lives as long as the connection that began it, whose answer is what it writes; another
nested container until it ends. What one reads, and what it writes to others, is on connections of
their own. How it ended is kept for a while, for who waits for it by one more.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pymesos_agent.containers.sessions import SIGNALS, Entry, EntryError, Session
from pymesos_agent.queries import Queries
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.streams import to_the_end
from pymesos_core.tasks import Background, until_first
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import sandbox_pb2 as pb

Call = mesos_agent.Call
ProcessIO = mesos_agent.ProcessIO
MOST_SESSIONS = 64
MOST_ENDED = 256  # whose ends are kept
LOOK_S = 1.0  # how often it is looked whether a task has ended
MAX_ARGV_BYTES = 128 * 1024
TERM = "xterm"
_ID = re.compile(r"[^/\x00-\x1f\x7f. ]{1,255}")
_SIZE = pb.TerminalSize(rows=24, columns=80)  # until the client says another


Write = Callable[[ProcessIO], Awaitable[None]]
Begin = Callable[[], Awaitable[Write]]  # begins an answer that goes on


@dataclass(eq=False)
class Reader:
    """One more connection on which what a command writes is sent."""

    write: Write
    ended: asyncio.Future[None]  # cancelled once it has gone by itself

    def end(self, error: Exception | None = None) -> None:
        """Tell it that there is no more, if it is still there."""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


@dataclass
class Nested:
    """A command that has not ended: a nested container, to Mesos."""

    session: Session
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = -signal.SIGKILL  # the exit status, or minus a signal
    has_input: bool = False
    readers: list[Reader] = field(default_factory=list)

    async def tell(self, written: ProcessIO) -> None:
        """Send what it has written to all who read it; who does not read it is sent no more."""
        for reader in tuple(self.readers):
            try:
                await reader.write(written)
            except (TimeoutError, ConnectionError) as error:
                self.leave(reader)
                reader.end(error)

    def leave(self, reader: Reader) -> None:
        """Send no more to it, if that was done."""
        if reader in self.readers:
            self.readers.remove(reader)

    def end(self) -> None:
        """Tell those who wait for its end, and those who read."""
        self.ended.set()
        for reader in self.readers:
            reader.end()
        self.readers.clear()


def shown(container_id: mesos.ContainerID) -> str:
    """Return an id of a container as Mesos writes it."""
    above = f"{shown(container_id.parent)}." if container_id.HasField("parent") else ""
    return f"{above}{container_id.value[:255]}"


def check_id(container_id: mesos.ContainerID, field_name: str) -> None:
    """Raises RefusalError for what is no id of a container in a task's own."""
    problem = None
    if not container_id.HasField("parent"):
        problem = f"Expecting '{field_name}.parent' to be present"
    elif container_id.parent.HasField("parent"):
        problem = f"'{field_name}' is invalid: it is nested deeper than in the container of a task"
    else:
        for one in (container_id.value, container_id.parent.value):
            if _ID.fullmatch(one) is None:
                wrong = f"'ContainerID.value' '{one[:255]}' contains invalid characters"
                problem = f"'{field_name}' is invalid: {wrong}"
    if problem is not None:
        raise bad_request(f"Failed to validate agent::Call: {problem}")


class Sessions:
    """The sessions of one agent."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._live: dict[str, Nested] = {}
        self._ended: dict[str, int] = {}  # their statuses, the oldest first
        self._launched = Background("running a nested container")

    async def close(self) -> None:
        """End those that no connection ends."""
        await self._launched.close()

    async def run(self, said: Call.LaunchNestedContainerSession, begin: Begin) -> None:
        """Run a command to its end, or that of the connection; `begin` begins the answer.

        Raises RefusalError before that.
        """
        await self._run(said, begin)

    async def launch(self, said: Call.LaunchNestedContainer) -> None:
        """Begin to run a command. Raises RefusalError."""
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def write(written: ProcessIO) -> None:
            """What nobody is attached to read is lost."""

        async def begin() -> Write:
            begun.set_result(None)
            return write

        parent = said.container_id.parent.value
        work = until_first(self._run(said, begin), self._until_end(parent))
        running = self._launched.start(work, awaited=True)
        await asyncio.wait((running, begun), return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await running

    async def _until_end(self, parent: str) -> None:
        """Return when a task has ended: not every runtime ends with it what was run beside it."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._queries.has_ended(parent):
                return

    async def _run(
        self, said: Call.LaunchNestedContainerSession | Call.LaunchNestedContainer, begin: Begin
    ) -> None:
        name = shown(said.container_id)
        self._check_room(name)
        terminal = said.container.HasField("tty_info")
        session = Session(self._entry(said, terminal=terminal), _size(said) if terminal else None)
        nested = self._live[name] = Nested(session)
        try:
            try:
                await session.start()
            except OSError as error:
                raise bad_request(f"it cannot be run: {error}") from None
            write = await begin()
            async for output in session.outputs():
                if output.HasField("exit_status"):
                    nested.status = output.exit_status
                else:
                    written = _written(output)
                    await nested.tell(written)
                    await write(written)
        finally:
            try:
                await to_the_end(session.close())
            finally:  # also where its connection has ended meanwhile
                del self._live[name]
                self._keep_end(name, nested.status)
                nested.end()

    async def attach(self, container_id: mesos.ContainerID, begin: Begin) -> None:
        """Send what a command writes from now on, to its end; `begin` begins the answer.

        Raises RefusalError before that, and what it raises to write.
        """
        if (nested := self._live.get(shown(container_id))) is None:
            raise RefusalError(404, f"Container {shown(container_id)} cannot be found")
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        reader = Reader(await begin(), ended)
        if nested.ended.is_set():
            return
        nested.readers.append(reader)
        try:
            await ended
        finally:
            nested.leave(reader)

    def _check_room(self, name: str) -> None:
        """Raises RefusalError if there are too many, or one of that name."""
        if name in self._live or name in self._ended:
            raise RefusalError(202)  # as Mesos, of a container that is there already
        if len(self._live) >= MOST_SESSIONS:
            raise RefusalError(503, f"this agent has {MOST_SESSIONS} sessions already")

    def _keep_end(self, name: str, status: int) -> None:
        """Keep how a session has ended, and forget the oldest of too many."""
        self._ended[name] = status
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _entry(
        self,
        said: Call.LaunchNestedContainerSession | Call.LaunchNestedContainer,
        *,
        terminal: bool,
    ) -> Entry:
        argv = _argv(said.command)
        parent = said.container_id.parent.value
        if self._queries.key_of(parent) is None:
            raise bad_request(f"Parent container {parent} does not exist")
        try:
            return self._queries.entry_in(parent, argv, TERM if terminal else "")
        except EntryError as error:
            raise bad_request(str(error)) from None

    async def wait(self, container_id: mesos.ContainerID) -> int:
        """Wait for the end of a session, and return its status as waitpid(2) does.

        Raises RefusalError.
        """
        name = shown(container_id)
        status = self._ended.get(name)
        if status is None:
            if (nested := self._live.get(name)) is None:
                raise RefusalError(404, f"Container {name} cannot be found")
            await nested.ended.wait()
            status = nested.status
        return status << 8 if status >= 0 else -status

    async def kill(self, said: Call.KillNestedContainer | Call.KillContainer) -> None:
        """Send a session a signal. Raises RefusalError."""
        name = shown(said.container_id)
        if (nested := self._live.get(name)) is None:
            raise RefusalError(404, f"Container '{name}' cannot be found (or is already killed)")
        number = said.signal if said.HasField("signal") else signal.SIGKILL
        if number not in SIGNALS:
            raise bad_request(f"the signal {number} is not one that is sent here")
        await nested.session.take(pb.ExecInput(signal=number))

    def remove(self, container_id: mesos.ContainerID) -> None:
        """Forget a session that has ended. Raises RefusalError for one that has not."""
        name = shown(container_id)
        if name in self._live:
            raise RefusalError(500, f"Container {name} has not ended")
        self._ended.pop(name, None)

    async def feed(self, container_id: mesos.ContainerID, calls: AsyncIterator[Call]) -> None:
        """Have a session read what comes, until that ends or the session does.

        Raises RefusalError.
        """
        nested = self._live.get(shown(container_id))
        if nested is None:
            raise RefusalError(404, f"Container {shown(container_id)} cannot be found")
        if nested.has_input:
            raise RefusalError(409, f"Container {shown(container_id)} has its input already")
        nested.has_input = True

        async def take() -> None:
            async for call in calls:
                for message in _read(call):
                    await nested.session.take(message)

        await until_first(take(), nested.ended.wait())


def _argv(command: mesos.CommandInfo) -> Sequence[str]:
    """What a command runs. Raises RefusalError."""
    for name in ("environment", "uris", "user"):
        value = getattr(command, name)
        if value.ByteSize() if name == "environment" else len(value):
            raise bad_request(f"CommandInfo.{name} is not supported in a session")
    if not command.value:
        raise bad_request("there is no command")
    argv = (
        ["/bin/sh", "-c", command.value]
        if command.shell
        else [command.value, *command.arguments[1:]]
    )
    if any("\0" in one for one in argv) or sum(map(len, argv)) > MAX_ARGV_BYTES:
        raise bad_request("the command cannot be run")
    return argv


def _size(
    said: Call.LaunchNestedContainerSession | Call.LaunchNestedContainer,
) -> pb.TerminalSize:
    info = said.container.tty_info
    if not info.HasField("window_size"):
        return _SIZE
    return _bounded(info.window_size)


def _bounded(size: mesos.TTYInfo.WindowSize) -> pb.TerminalSize:
    return pb.TerminalSize(rows=min(size.rows, 65535), columns=min(size.columns, 65535))


def _written(output: pb.ExecOutput) -> ProcessIO:
    out = ProcessIO(type=ProcessIO.DATA)
    if output.HasField("stderr"):
        out.data.type, out.data.data = ProcessIO.Data.STDERR, output.stderr
    else:
        out.data.type, out.data.data = ProcessIO.Data.STDOUT, output.stdout
    return out


def _read(call: Call) -> Sequence[pb.ExecInput]:
    """What a call gives a session to read; an empty part is the end of its input."""
    said = call.attach_container_input.process_io
    if said.type == ProcessIO.DATA and said.data.type == ProcessIO.Data.STDIN:
        if said.data.data:
            return [pb.ExecInput(stdin=said.data.data)]
        return [pb.ExecInput(stdin_closed=True)]
    if said.type == ProcessIO.CONTROL and said.control.tty_info.HasField("window_size"):
        return [pb.ExecInput(resized=_bounded(said.control.tty_info.window_size))]
    return []
