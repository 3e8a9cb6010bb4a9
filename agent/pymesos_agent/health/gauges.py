"""Gauges that tasks serve as Prometheus' text, read from inside of their containers.

What a task answers is hostile: it is read up to a size, for so long, and no number of it is taken
that is none.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.health.checking import (
    LOOPBACK,
    STATUS,
    THREADS,
    WRITTEN_AS_IT_IS,
    CheckError,
    connect,
    port_of,
)
from pymesos_core.numbers import parse_real
from pymesos_proto.v1 import types_pb2 as pb

MAX_BYTES = 1024 * 1024  # of an answer
TIMEOUT_S = 2.0  # for all of a task's answer
TOGETHER_S = 4.0  # for those of all tasks
AT_A_TIME = 64
MOST = 1e15  # a larger sum is no measure of anything

K = TypeVar("K")


async def read_gauge(measure: pb.Measure, spec: ContainerSpec, pid: int) -> float:
    """Return what a task says of a metric; `pid` is its container's first process.

    Raises CheckError.
    """
    port = port_of(pb.Check.Http(port_index=measure.port_index), spec)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            body = await _get(port, measure.path or "/metrics", pid if spec.own_network else None)
    except TimeoutError:
        raise CheckError(f"no answer within {TIMEOUT_S:g} s") from None
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(THREADS, sum_of, body, measure.metric.encode())
    if found is None:
        raise CheckError(f"the answer of port {port} has no {measure.metric} that is a number")
    return found


async def _get(port: int, path: str, inside_of: int | None) -> bytes:
    """Raises CheckError. By HTTP/1.0, whose answers come in one piece and end with the stream."""
    connection = await connect(port, inside_of)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        asked = f"GET {quote(path, safe=WRITTEN_AS_IT_IS)} HTTP/1.0\r\nHost: {LOOPBACK}:{port}\r\n"
        writer.write(f"{asked}Accept: text/plain\r\n\r\n".encode("ascii"))
        answer = b""
        while data := await reader.read(64 * 1024):
            answer += data
            if len(answer) > MAX_BYTES:
                raise CheckError(f"the answer of port {port} is longer than {MAX_BYTES} bytes")
    except OSError as error:
        raise CheckError(f"port {port}: {error}") from error
    finally:
        writer.transport.abort()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not (matched := STATUS.match(head)) or matched[1] != b"200":
        raise CheckError(f"GET {path} on port {port} was answered with {head[:80]!r}")
    return body


def sum_of(text: bytes, metric: bytes) -> float | None:
    """Return the sum of a metric's samples in Prometheus' text; None: it is no number from 0."""
    total: float | None = None
    for line in text.split(b"\n"):
        if not line.startswith(metric) or line[len(metric) : len(metric) + 1] not in (b" ", b"{"):
            continue
        # A label's value may have blanks and braces, and neither follows it.
        rest = line[line.rfind(b"}") + 1 :] if b"{" in line else line[len(metric) :]
        try:
            value = parse_real(rest.split()[0].decode("ascii"))
        except (IndexError, ValueError):  # NumberSyntaxError is one, and NaN is no number there
            return None
        if not 0 <= value <= MOST:
            return None
        total = (total or 0.0) + value
    return total if total is not None and math.isfinite(total) and total <= MOST else None


async def gathered(asked: Mapping[K, Callable[[], Awaitable[float]]]) -> dict[K, float]:
    """Return what could be read within a time; what could not is left out."""
    out: dict[K, float] = {}
    at_a_time = asyncio.Semaphore(AT_A_TIME)

    async def ask(key: K, read: Callable[[], Awaitable[float]]) -> None:
        async with at_a_time:
            try:
                out[key] = await read()
            except (CheckError, LookupError, OSError):
                return  # it counts as not measured

    try:
        async with asyncio.timeout(TOGETHER_S), asyncio.TaskGroup() as group:
            for key, read in asked.items():
                group.create_task(ask(key, read))
    except TimeoutError:
        pass
    return out
