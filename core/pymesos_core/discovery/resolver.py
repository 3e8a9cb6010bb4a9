"""The server of DNS, by UDP and TCP on one port."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from pymesos_core.addresses import HostPort
from pymesos_core.discovery.answering import LENGTH_BYTES, MAX_ASKED_BYTES, answer, is_elsewhere
from pymesos_core.discovery.forwarding import Forwarder
from pymesos_core.discovery.held import Held, Key
from pymesos_core.discovery.limiting import Limiter
from pymesos_core.discovery.zone import Zone
from pymesos_core.exits import RoleError
from pymesos_core.tasks import Background
from pymesos_proto.v1 import names_pb2 as pb

MAX_CONNECTIONS, MAX_CONNECTIONS_OF_ONE = 200, 20
IDLE_S = 5.0
TRIES = 20  # to find a port that is free for both
IP_FREEBIND = 15  # of Linux: an address that this machine has not yet

log = logging.getLogger(__name__)


class CannotListenError(RoleError):
    """A port of DNS is another's, or needs rights: the message says what to do."""


class Sockets(NamedTuple):
    """Sockets of TCP and UDP, bound to the same port."""

    tcp: socket.socket
    udp: socket.socket


class Names:
    """What is held, and the names of it."""

    def __init__(self, domain: str) -> None:
        self.held = Held()
        self.zone = Zone(domain)

    def take(self, batch: pb.NamesBatch) -> bool:
        """Take in what a leader tells; return whether anything is another now.

        Raises OldLeaderError.
        """
        changed = self.held.take(batch)
        for key, named in changed.items():
            self.zone.change(key, named)
        return bool(changed)

    def restore(self, data: bytes, now_s: float) -> None:
        """Begin with what was kept."""
        for named in self.held.restore(data, now_s):
            key: Key = (named.framework_id, named.task.task_id)
            self.zone.change(key, named)

    def answer(self, packet: bytes, *, udp: bool) -> bytes | None:
        """Return what is to be sent."""
        return answer(packet, self.zone, is_known=self.held.is_known, udp=udp)

    def is_elsewhere(self, packet: bytes) -> bool:
        """Whether somebody else is to be asked, if anybody is."""
        return is_elsewhere(packet, self.zone.domain)


class Resolver:
    """Answers by what is held."""

    def __init__(
        self,
        names: Names,
        sockets: Sockets,
        mono_s: Callable[[], float],
        forwarder: Forwarder | None = None,
    ) -> None:
        """With a `forwarder` it answers for other names, too."""
        self._names = names
        self._forwarder = forwarder
        self._forwarding = Background("asking another name server")
        self._mono_s = mono_s
        self._limiter = Limiter()
        self._connections: Counter[str] = Counter()
        self._tcp, self._udp = sockets
        self.address = HostPort(*self._tcp.getsockname()[:2])

    async def run(self) -> None:
        """Answer until this is cancelled."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=self._udp)
        try:
            server = await asyncio.start_server(self._serve, sock=self._tcp, limit=MAX_ASKED_BYTES)
            async with server:
                await server.serve_forever()
        finally:
            await self._forwarding.close()
            transport.close()

    def close(self) -> None:
        """Give the port back."""
        self._tcp.close()
        self._udp.close()

    def answer(
        self, packet: bytes, address: str, *, udp: bool
    ) -> bytes | Coroutine[Any, Any, bytes] | None:
        """Return what is to be sent to an address; a coroutine where others are asked for it."""
        if not self._limiter.may(address, self._mono_s()):
            return None
        if self._forwarder is not None and self._names.is_elsewhere(packet):
            return self._forwarder.ask(packet, address, udp=udp)
        return self._names.answer(packet, udp=udp)

    def answer_datagram(self, packet: bytes, address: str, send: Callable[[bytes], object]) -> None:
        """Send what is to be sent, at once or when others have answered."""
        answered = self.answer(packet, address, udp=True)
        if isinstance(answered, bytes):
            send(answered)
        elif answered is not None:
            self._forwarding.start(_send_later(answered, send))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            with self._place(peer) as has_place:
                while has_place and await self._serve_one(reader, writer, peer):
                    pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> bool:
        """Answer a question; whether there may be another one."""
        async with asyncio.timeout(IDLE_S) as idle:
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            if length > MAX_ASKED_BYTES:
                return False
            packet = await reader.readexactly(length)
            answered = self.answer(packet, peer, udp=False)
            if answered is None:
                return False
            if not isinstance(answered, bytes):
                idle.reschedule(None)  # it takes as long as it takes
                answered = await answered
                idle.reschedule(asyncio.get_running_loop().time() + IDLE_S)
            writer.write(len(answered).to_bytes(LENGTH_BYTES, "big") + answered)
            await writer.drain()
        return True

    @contextmanager
    def _place(self, peer: str) -> Iterator[bool]:
        """Whether there is a place for one more connection, which this takes."""
        is_free = (
            self._connections[peer] < MAX_CONNECTIONS_OF_ONE
            and self._connections.total() < MAX_CONNECTIONS
        )
        self._connections[peer] += is_free
        try:
            yield is_free
        finally:
            self._connections[peer] -= is_free
            if not self._connections[peer]:
                del self._connections[peer]


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        transport = self._transport
        assert transport is not None
        self._resolver.answer_datagram(
            data, str(addr[0]), lambda answered: transport.sendto(answered, addr)
        )


async def _send_later(
    answered: Coroutine[Any, Any, bytes], send: Callable[[bytes], object]
) -> None:
    send(await answered)


def bind(ip: str, port: int, *, early: bool = False) -> Sockets:
    """Return sockets for a resolver; `early` at a bridge that need not be there yet.

    Raises CannotListenError.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    problem: OSError | None = None
    for _ in range(1 if port else TRIES):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for each in (tcp, udp) if early else ():
                each.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            tcp.bind((ip, port))
            udp.bind((ip, tcp.getsockname()[1]))
            for each in (tcp, udp):
                each.setblocking(False)
            return Sockets(tcp, udp)
        except OSError as error:
            problem = error
            tcp.close()
            udp.close()
    why = problem.strerror if problem is not None else "no port is free"
    advice = (
        "of the agents of a machine one answers there; have anything else listen elsewhere"
        if early
        else "choose another port with --dns-port; below 1024 it needs root or CAP_NET_BIND_SERVICE"
    )
    raise CannotListenError(f"DNS cannot be served at {HostPort(ip, port)} ({why}): {advice}")
