"""Asking a task how it is: a command, HTTP, TCP or gRPC, from inside of its container."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import http.client
import os
import socket
import ssl
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc.aio

from pymesos_agent.runtimes.environment import task_argv
from pymesos_agent.runtimes.interface import ContainerSpec
from pymesos_agent.sessions import CHUNK_BYTES, Entry, EntryError, run_entry
from pymesos_proto.v1 import types_pb2 as pb

CLONE_NEWNET = 0x40000000
HEALTHY = range(200, 400)  # of HTTP
SERVING = 1  # of grpc.health.v1
LOOPBACK = "127.0.0.1"
MESSAGE_BYTES = 300

T = TypeVar("T")


class CheckError(Exception):
    """The task is not well: the message says how that shows."""


async def run_check(
    check: pb.Check,
    spec: ContainerSpec,
    pid: int,
    entry: Callable[[list[str]], Entry],
    timeout_s: float,
) -> None:
    """Ask once. `pid` is the container's first process. Raises CheckError."""
    own_network = spec.own_network
    try:
        async with asyncio.timeout(timeout_s):
            match check.WhichOneof("kind"):
                case "command":
                    await _run_command(check.command, entry, timeout_s)
                case "http":
                    port = port_of(check.http, spec)
                    await _in_thread(
                        lambda: _ask_http(check.http, port, timeout_s), own_network, pid
                    )
                case "tcp":
                    port = port_of(check.tcp, spec)
                    connection = await _in_thread(
                        lambda: _connect(port, timeout_s), own_network, pid
                    )
                    connection.close()
                case "grpc":
                    port = port_of(check.grpc, spec)
                    if own_network:
                        async with _relay(port, pid, timeout_s) as address:
                            await _ask_grpc(check.grpc.service, address)
                    else:
                        await _ask_grpc(check.grpc.service, f"{LOOPBACK}:{port}")
    except TimeoutError:
        raise CheckError(f"no answer within {timeout_s:g} s") from None


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
    command: pb.CommandInfo, entry: Callable[[list[str]], Entry], timeout_s: float
) -> None:
    try:
        status, said = await run_entry(entry(task_argv(command)), timeout_s)
    except (EntryError, OSError) as error:
        raise CheckError(str(error)) from error
    if status != 0:
        said = said.strip()[-MESSAGE_BYTES:]
        raise CheckError(f"its command exited with status {status}{': ' if said else ''}{said}")


async def _in_thread(ask: Callable[[], T], own_network: bool, pid: int) -> T:
    """In a thread of its own, which for a container with its own network enters that."""
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            if own_network:
                _enter_network(pid)
            done.set_result(ask())
        except CheckError as error:
            done.set_exception(error)
        except (OSError, http.client.HTTPException) as error:
            done.set_exception(CheckError(str(error) or type(error).__name__))

    threading.Thread(target=run, name="check", daemon=True).start()
    return await asyncio.wrap_future(done)


def _enter_network(pid: int) -> None:
    """This thread alone. Raises OSError."""
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the container's network")
    finally:
        os.close(namespace)


def _ask_http(ask: pb.Check.Http, port: int, timeout_s: float) -> None:
    connection: http.client.HTTPConnection
    if ask.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # as in Mesos: it is asked whether it answers
        connection = http.client.HTTPSConnection(LOOPBACK, port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request("GET", ask.path or "/")
        status = connection.getresponse().status
    if status not in HEALTHY:
        raise CheckError(f"GET {ask.path or '/'} on port {port} was answered with {status}")


def _connect(port: int, timeout_s: float) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout_s)


@contextlib.asynccontextmanager
async def _relay(port: int, pid: int, timeout_s: float) -> AsyncIterator[str]:
    """An address of this machine for a port in a container's own network.

    A socket stays in the network in which it was made, whoever uses it.
    """

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, CheckError):
            inside = await _in_thread(lambda: _connect(port, timeout_s), True, pid)
            inside.setblocking(False)
            from_inside, to_inside = await asyncio.open_connection(sock=inside)
            with contextlib.closing(to_inside):
                back = asyncio.create_task(_copy(from_inside, writer))
                try:
                    await _copy(reader, to_inside)
                finally:
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)

    name = f"pymesos-check-{uuid.uuid4().hex}"
    server = await asyncio.start_unix_server(pass_on, f"\0{name}")
    try:
        yield f"unix-abstract:{name}"
    finally:
        server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _ask_grpc(service: str, address: str) -> None:
    """The Check call of grpc.health.v1, whose two messages are written and read by hand."""
    name = service.encode()
    request = b"\x0a" + _varint(len(name)) + name if name else b""
    no_proxy = [("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options=no_proxy) as channel:
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
