"""A plain HTTP client that sends what it is told, byte by byte, and shows how an answer ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.mesos.json_messages import to_object
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler

MAX_LINE = 64 * 1024
READING: set[asyncio.Task[None]] = set()  # a loop does not keep its tasks from the collector


@dataclass
class Answer:
    """What came back."""

    status: int
    status_line: str
    headers: dict[str, str]
    body: bytes = b""
    stream: Stream | None = None


@dataclass
class Stream:
    """A body that goes on, in chunks."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: dict[str, str]
    events: list[tuple[float, Any]] = field(default_factory=list)  # with seconds of time.monotonic
    end: str = ""  # how it has ended
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def read(self) -> None:
        """Read its events to its end."""
        rest = b""
        try:
            async for chunk in self._chunks():
                rest += chunk
                while b"\n" in rest:
                    length, _, data = rest.partition(b"\n")
                    if len(data) < int(length):
                        break
                    record, rest = data[: int(length)], data[int(length) :]
                    self.events.append((time.monotonic(), self._event(record)))
                    self.changed.set()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.end = self.end or f"broken: {type(error).__name__}"
        finally:
            self.end = self.end or "ended by the client"
            self.changed.set()
            self.writer.close()

    def _event(self, record: bytes) -> Any:
        kind = self.headers.get("message-content-type", self.headers.get("content-type"))
        if kind == "application/json":
            return json.loads(record)
        return to_object(mesos_scheduler.Event.FromString(record))

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self.reader.readline()).split(b";")[0] or b"x", 16)
            data = await self.reader.readexactly(size)
            await self.reader.readline()
            if not size:
                self.end = "terminating chunk (0) received"
                return
            yield data

    async def event(self, kind: str, turn: int = 0, timeout_s: float = 20.0) -> Any:
        """Return an event of a type, as soon as it is there: the first, or one after it."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = [event for _, event in self.events if event["type"] == kind]
                if len(found) > turn:
                    return found[turn]
                self.changed.clear()
                await self.changed.wait()

    def close(self) -> None:
        """End it from here."""
        self.end = self.end or "ended by the client"
        if self.task is not None:
            self.task.cancel()
        self.writer.close()


async def ask(
    host: str, port: int, method: str, path: str, headers: dict[str, str], body: bytes | None
) -> Answer:
    """Send one request on a connection of its own."""
    reader, writer = await asyncio.open_connection(host, port, limit=MAX_LINE * 16)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b""))
    await writer.drain()
    status_line = (await reader.readline()).decode("latin-1").strip()
    if not status_line:
        writer.close()
        return Answer(0, "closed without an answer", {})
    found: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        found[name.strip().lower()] = value.strip()
    answer = Answer(int(status_line.split()[1]), status_line, found)
    if found.get("transfer-encoding") == "chunked" and answer.status == 200:
        answer.stream = Stream(reader, writer, found)
        answer.stream.task = task = asyncio.create_task(answer.stream.read())
        READING.add(task)
        task.add_done_callback(READING.discard)
        return answer
    if method != "HEAD":
        answer.body = await reader.readexactly(int(found.get("content-length", "0")))
    writer.close()
    return answer
