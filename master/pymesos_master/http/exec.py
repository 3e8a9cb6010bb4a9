"""A command in a task, over a WebSocket: what is typed goes one way, what it says the other.

The first message is a JSON object: the command. Then binary messages are its stdin, and JSON
objects what else happens to it. It answers with binary messages, of which the first byte is 1 for
stdout and 2 for stderr, and with one JSON object at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import WSMsgType, web

from pymesos_core.caller import Caller
from pymesos_core.following import AGENT_KEY
from pymesos_core.json_dialect import Json, to_json
from pymesos_core.limits import KIB
from pymesos_core.streams import in_thread
from pymesos_core.tasks import running
from pymesos_core.text import duration
from pymesos_core.transport import CallError, Code
from pymesos_master.http.asking import Asked, Parameter, flag, is_text, read_body, text, whole
from pymesos_master.services.sandbox_calls import SandboxCalls
from pymesos_proto.v1 import sandbox_pb2 as pb

MAX_MESSAGE_BYTES = 64 * KIB
PING_S = 20.0  # who does not answer one is gone
FIRST_S = 10.0  # until the command has come
WAITING = 16  # messages that the task has not read
MOST_ARGUMENTS = 256
STDOUT, STDERR = b"\x01", b"\x02"


def _argument(value: Any) -> str:
    if not is_text(value) or "\0" in value:
        raise ValueError("a list of texts without NUL")
    return str(value)


_SIZE = (
    whole("rows", "Of its terminal.", 1, 10_000),
    whole("columns", "Of its terminal.", 1, 10_000),
)
START = (
    Parameter(
        "argv",
        "The command, and what it is given.",
        {"type": "string"},
        _argument,
        many=MOST_ARGUMENTS,
        required=True,
    ),
    flag("terminal", "stdin, stdout and stderr are one terminal."),
    text("term", "The kind of terminal: $TERM."),
    *_SIZE,
)
START_SCHEMA: Json = {
    "type": "object",
    "properties": {
        field.name: {"type": "array", "items": field.schema} if field.many else field.schema
        for field in START
    },
    "required": ["argv"],
    "additionalProperties": False,
}
MORE = (
    flag("stdin_closed", "Nothing more comes on stdin."),
    whole("signal", "Send it this signal.", 1, 64),
    *_SIZE,
)


@dataclass(frozen=True)
class Talk:
    """A command that is to be run in a task, for somebody."""

    sandboxes: SandboxCalls
    caller: Caller
    framework_id: str
    task_id: str
    agent_id: str

    async def go_on(self, socket: web.WebSocketResponse) -> None:
        """Run it until it has ended, or who asked is gone; what went wrong is said there."""
        try:
            await self._run(socket)
        except CallError as error:
            said = {"error": {"code": error.code.name, "message": error.message}}
            await socket.send_str(to_json(said, None))

    async def _run(self, socket: web.WebSocketResponse) -> None:
        start = await self._start(socket)
        call = _Call(socket, self.caller, {AGENT_KEY: self.agent_id}, start)
        async with (
            running(self.sandboxes.run(call)) as relaying,
            running(call.hear()) as hearing,
        ):
            await asyncio.wait({relaying, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if relaying.done():
                await relaying
            else:
                await hearing  # who asked has gone, or said what cannot be read

    async def _start(self, socket: web.WebSocketResponse) -> bytes:
        try:
            async with asyncio.timeout(FIRST_S):
                message = await socket.receive()
        except TimeoutError:
            told = f"no command has come within {duration(FIRST_S)}"
            raise CallError(Code.DEADLINE_EXCEEDED, told) from None
        asked = await _object(message, START)
        start = pb.ExecInput.Start(
            framework_id=self.framework_id,
            task_id=self.task_id,
            argv=asked.several("argv"),
            terminal=asked.flag("terminal"),
            term=asked.text("term"),
        )
        if (size := _size(asked)) is not None:
            start.size.CopyFrom(size)
        return pb.ExecInput(start=start).SerializeToString()


class _Call:
    """A ServerCall of bytes, whose peer is at a WebSocket."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        caller: Caller,
        metadata: Mapping[str, str],
        start: bytes,
    ) -> None:
        self.caller = caller
        self.metadata = metadata
        self._socket = socket
        self._said: asyncio.Queue[bytes] = asyncio.Queue(WAITING)
        self._said.put_nowait(start)

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self.caller.peer

    async def read(self) -> bytes | None:
        """See ServerCall; who has no more to say hangs up, which `hear` tells."""
        return await self._said.get()

    async def write(self, message: bytes) -> None:
        """See ServerCall."""
        said = pb.ExecOutput.FromString(message)
        try:
            match said.WhichOneof("output"):
                case "stdout":
                    await self._socket.send_bytes(STDOUT + said.stdout)
                case "stderr":
                    await self._socket.send_bytes(STDERR + said.stderr)
                case "exit_status":
                    await self._socket.send_str(to_json({"exit_status": said.exit_status}, None))
        except ConnectionError:
            raise CallError(Code.CANCELLED, "who asked has gone") from None

    async def hear(self) -> None:
        """Take in what is said until the other end hangs up. Raises CallError."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                await self._said.put(pb.ExecInput(stdin=message.data).SerializeToString())
            elif message.type is WSMsgType.TEXT:
                for told in _more(await _object(message, MORE)):
                    await self._said.put(told.SerializeToString())
            else:
                return


async def _object(message: Any, fields: Sequence[Parameter]) -> Asked:
    """Raises CallError for a message that is none."""
    if message.type is not WSMsgType.TEXT:
        raise CallError(Code.INVALID_ARGUMENT, "a text message with one JSON object is expected")
    said: str = message.data
    return await in_thread(read_body, said.encode("utf-8", "surrogatepass"), fields)


def _size(asked: Asked) -> pb.TerminalSize | None:
    if "rows" in asked and "columns" in asked:
        return pb.TerminalSize(rows=asked.number("rows"), columns=asked.number("columns"))
    return None


def _more(asked: Asked) -> list[pb.ExecInput]:
    out: list[pb.ExecInput] = []
    if (size := _size(asked)) is not None:
        out.append(pb.ExecInput(resized=size))
    if "signal" in asked:
        out.append(pb.ExecInput(signal=asked.number("signal")))
    if asked.flag("stdin_closed"):
        out.append(pb.ExecInput(stdin_closed=True))
    return out
