"""Asking a task how it is: a command, HTTP, TCP or gRPC, from inside of its container."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import socket
import ssl
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import grpc.aio

from pymesos_agent.containers.environment import task_argv
from pymesos_agent.containers.sessions import Entry, EntryError, run_entry
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.terminals import CHUNK_BYTES
from pymesos_core.tasks import running
from pymesos_core.text import duration
from pymesos_proto.v1 import types_pb2 as pb

CLONE_NEWNET = 0x40000000
HEALTHY = range(200, 400)  # of HTTP
SERVING = 1  # of grpc.health.v1
LOOPBACK = "127.0.0.1"
MESSAGE_BYTES = 300
# Of their own: a task is not unwell because others have much to be removed or read.
THREADS = ThreadPoolExecutor(4, thread_name_prefix="check")
MAX_HEADER_BYTES = 256 * 1024
STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})(?!\d)")
WRITTEN_AS_IT_IS = "%/:=&?~#+!$,;'@()*[]"  # in a path
# What is within this machine uses no proxy; a check does not wait because an earlier one failed.
CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


class CheckError(Exception):
    """The task is not well: the message says how that shows."""


async def run_check(
    check: pb.Check,
    spec: ContainerSpec,
    pid: int,
    entry: Callable[[list[str]], Entry],
    timeout_s: float,
) -> None:
    """Ask once. `pid` is the container's first process. Raises CheckError.

    Whatever comes, it takes no longer than the timeout, and nothing of it is left: no process, no
    thread and no connection.
    """
    inside_of = pid if spec.own_network else None
    try:
        async with asyncio.timeout(timeout_s):
            match check.WhichOneof("kind"):
                case "command":
                    await _run_command(check.command, entry, timeout_s, pid)
                case "http":
                    await _ask_http(check.http, port_of(check.http, spec), inside_of)
                case "tcp":
                    (await connect(port_of(check.tcp, spec), inside_of)).close()
                case "grpc":
                    port = port_of(check.grpc, spec)
                    if inside_of is not None:
                        async with _relay(port, pid) as address:
                            await _ask_grpc(check.grpc.service, address)
                    else:
                        await _ask_grpc(check.grpc.service, f"{LOOPBACK}:{port}")
    except TimeoutError:
        raise CheckError(f"no answer within {duration(timeout_s)}") from None


def port_of(ask: pb.Check.Http | pb.Check.Tcp | pb.Check.Grpc, spec: ContainerSpec) -> int:
    """Given as a number, or as one of the task's; where that leads to inside. Raises CheckError."""
    if not ask.HasField("port_index"):
        return ask.port
    ports = spec.ports
    if ask.port_index >= len(ports):
        raise CheckError(f"it has {len(ports)} ports, and so no port number {ask.port_index}")
    port = ports[ask.port_index]
    return next((m.container_port for m in spec.mapped_ports() if m.host_port == port), port)


async def _run_command(
    command: pb.CommandInfo, entry: Callable[[list[str]], Entry], timeout_s: float, pid: int
) -> None:
    try:
        status, said = await run_entry(entry(task_argv(command)), timeout_s, pid)
    except (EntryError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        raise CheckError(str(error)) from error
    if status != 0:
        said = said.strip()[-MESSAGE_BYTES:]
        raise CheckError(f"its command exited with status {status}{': ' if said else ''}{said}")


async def connect(port: int, inside_of: int | None) -> socket.socket:
    """To a port of this machine, or of the network that a process is in. Raises CheckError."""
    try:
        connection = (
            await asyncio.get_running_loop().run_in_executor(THREADS, _socket_inside, inside_of)
            if inside_of is not None
            else socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        )
    except OSError as error:
        raise CheckError(f"the container's network cannot be entered: {error}") from error
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (LOOPBACK, port))
    except OSError as error:
        connection.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise CheckError(f"port {port}: {why}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _socket_inside(pid: int) -> socket.socket:
    """One of the network that a process is in, and stays in, whoever uses it. Raises OSError."""
    made: list[socket.socket] = []
    problems: list[OSError] = []

    def make() -> None:
        # This thread alone enters that network, and ends there.
        try:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            finally:
                os.close(namespace)
            made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=make, name="check")
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return made[0]


async def _ask_http(ask: pb.Check.Http, port: int, inside_of: int | None) -> None:
    path = quote(ask.path or "/", safe=WRITTEN_AS_IT_IS)
    secure: dict[str, Any] = {}
    if ask.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # as in Mesos: it is asked whether it answers
        secure = {"ssl": context, "server_hostname": LOOPBACK}
    connection = await connect(port, inside_of)
    try:
        reader, writer = await asyncio.open_connection(sock=connection, **secure)
    except OSError as error:
        connection.close()
        raise CheckError(f"port {port}: {error}") from error
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii"))
        status = await _read_status(reader, port)
    except OSError as error:
        raise CheckError(f"port {port}: {error}") from error
    finally:
        writer.transport.abort()
    if status not in HEALTHY:
        raise CheckError(f"GET {path} on port {port} was answered with {status}")


async def _read_status(reader: asyncio.StreamReader, port: int) -> int:
    """Read the status of an answer whose header is whole. Raises CheckError, OSError."""
    status, size, line = 0, 0, await _read_line(reader)
    while not status or 100 <= status < 200:  # those announce another
        if not (matched := STATUS.match(line)):
            raise CheckError(f"port {port} was not answered in HTTP: {line[:80]!r}")
        status = int(matched[1])
        while (line := await _read_line(reader)).strip():
            size += len(line)
            if size > MAX_HEADER_BYTES:
                raise CheckError(f"the answer of port {port} has a header without an end")
        if status < 200:
            line = await _read_line(reader)
    return status


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raise CheckError(
            f"the connection ended within the answer, {error.partial[:80]!r}"
        ) from None
    except asyncio.LimitOverrunError:
        raise CheckError("the answer has a line without an end") from None


@contextlib.asynccontextmanager
async def _relay(port: int, pid: int) -> AsyncIterator[str]:
    """An address of this machine for a port in a container's own network."""
    passing: dict[asyncio.Task[None], None] = {}  # in their order

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        passing[task] = None
        with contextlib.closing(writer), contextlib.suppress(OSError, CheckError):
            from_inside, to_inside = await asyncio.open_connection(sock=await connect(port, pid))
            with contextlib.closing(to_inside):
                async with running(_copy(from_inside, writer)):
                    await _copy(reader, to_inside)

    name = f"pymesos-check-{uuid.uuid4().hex}"
    server = await asyncio.start_unix_server(pass_on, f"\0{name}")
    try:
        yield f"unix-abstract:{name}"
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _ask_grpc(service: str, address: str) -> None:
    """The Check call of grpc.health.v1, whose two messages are written and read by hand."""
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        try:
            call: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            response: bytes = await call(request)
        except grpc.aio.AioRpcError as error:
            raise CheckError(f"{error.code().name}: {error.details()}") from error
    if response != bytes((0x08, SERVING)):
        raise CheckError("it says that it is not serving")


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))
