"""Questions of DNS that are about other names: the machine's own name servers are asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from dnslib import RCODE

from pymesos_core.discovery.answering import (
    HEADER,
    LENGTH_BYTES,
    MAX_TCP_BYTES,
    RESPONSE,
    failure,
    question_bytes,
)

MAX_ASKING, MAX_ASKING_OF_ONE = 512, 64
WITHIN_S = 2.0  # after which the next server is asked
PORT = 53
NO_ANSWERS = {RCODE.SERVFAIL, RCODE.NOTIMP, RCODE.REFUSED}  # of one server: others may know
MOST_SERVERS = 3  # of a resolv.conf, as in glibc
RESOLV_CONF = Path("/etc/resolv.conf")
LINKS = Path("/sys/class/net")
MAX_FILE_BYTES = 1 << 16

log = logging.getLogger(__name__)
Server = tuple[str, int]  # an IP and a port


@dataclass(frozen=True)
class Bridge:
    """A network of containers on this machine."""

    ip: str  # the machine's own in it
    clients: IPv4Network  # the containers
    link: str  # the network interface


class Random(Protocol):
    """Where the numbers of questions come from."""

    def getrandbits(self, k: int, /) -> int:
        """Return so many bits."""


class Upstream:
    """The name servers of a resolv.conf, as it is now."""

    def __init__(self, path: Path = RESOLV_CONF, own_ip: str = "") -> None:
        """`own_ip` is never asked: that would be this server itself."""
        self._path = path
        self._own_ip = own_ip
        self._version: tuple[int, int] | None = None
        self._servers: tuple[Server, ...] = ()

    def __call__(self) -> Sequence[Server]:
        """Return them; those of before where the file cannot be read."""
        try:
            status = self._path.stat()
            if (version := (status.st_ino, status.st_mtime_ns)) != self._version:
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    self._servers = self._read(file.read(MAX_FILE_BYTES))
                self._version = version
        except OSError as error:
            log.debug("%s: %s", self._path, error)
        return self._servers

    def _read(self, text: str) -> tuple[Server, ...]:
        lines = (line.split() for line in text.splitlines())
        named = [line[1] for line in lines if len(line) > 1 and line[0] == "nameserver"]
        ips = filter(_is_ip, named)  # what is none is passed over, as glibc does
        return tuple((ip, PORT) for ip in islice(ips, MOST_SERVERS) if ip != self._own_ip)


class Forwarder:
    """Asks name servers, one after the other, and hands on what they answer."""

    def __init__(
        self, servers: Callable[[], Sequence[Server]], random: Random, clients: IPv4Network
    ) -> None:
        """`clients` are all for whom it asks: whoever else gets here is no container."""
        self._clients = clients
        self._servers = servers
        self._random = random
        self._asking: Counter[str] = Counter()

    async def ask(self, packet: bytes, peer: str, *, udp: bool) -> bytes:
        """Return the answer to a question, or that there is none now."""
        ask = self._by_udp if udp else self._by_tcp
        refused: bytes | None = None
        with self._place(peer) as has_place:
            for server in self._servers() if has_place else ():
                sent = struct.pack("!H", self._random.getrandbits(16)) + packet[2:]
                with contextlib.suppress(OSError, EOFError, TimeoutError):
                    async with asyncio.timeout(WITHIN_S):
                        answered = packet[:2] + (await ask(server, sent))[2:]
                    if _rcode(answered) not in NO_ANSWERS:
                        return answered
                    refused = refused or answered
        return refused or failure(packet)

    async def _by_udp(self, server: Server, packet: bytes) -> bytes:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        # It is connected, on a port by chance: only the server's answers get here.
        transport, asking = await loop.create_datagram_endpoint(
            lambda: _Asking(packet, loop.create_future()), remote_addr=server
        )
        try:
            transport.sendto(packet)
            return await asking.answered
        finally:
            transport.close()

    async def _by_tcp(self, server: Server, packet: bytes) -> bytes:
        """Raises OSError, EOFError."""
        reader, writer = await asyncio.open_connection(*server)
        try:
            writer.write(len(packet).to_bytes(LENGTH_BYTES, "big") + packet)
            length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
            answered = await reader.readexactly(length)
            if not is_answer(answered, packet):
                raise EOFError
            return answered
        finally:
            writer.transport.abort()

    @contextmanager
    def _place(self, peer: str) -> Iterator[bool]:
        """Whether one more may be asked for somebody, which takes a place until it is answered."""
        is_free = (
            is_below(peer, self._clients)
            and self._asking[peer] < MAX_ASKING_OF_ONE
            and self._asking.total() < MAX_ASKING
        )
        self._asking[peer] += is_free
        try:
            yield is_free
        finally:
            self._asking[peer] -= is_free
            if not self._asking[peer]:
                del self._asking[peer]


def _is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def is_below(address: str, network: IPv4Network) -> bool:
    """Whether an address is one of a network."""
    try:
        return IPv4Address(address) in network
    except ValueError:
        return False


def is_answer(packet: bytes, asked: bytes) -> bool:
    """Whether a packet answers a question, as far as its head says."""
    if not HEADER.size <= len(packet) <= MAX_TCP_BYTES:
        return False
    query_id, flags, *_ = HEADER.unpack_from(packet)
    question = question_bytes(asked)
    here = packet[HEADER.size : HEADER.size + len(question)]
    return query_id == HEADER.unpack_from(asked)[0] and bool(flags & RESPONSE) and here == question


def _rcode(packet: bytes) -> int:
    """What an answer says of how it went."""
    return int(HEADER.unpack_from(packet)[1]) & 0xF


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, packet: bytes, answered: asyncio.Future[bytes]) -> None:
        self._packet = packet
        self.answered = answered

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.answered.done() and is_answer(data, self._packet):
            self.answered.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)
