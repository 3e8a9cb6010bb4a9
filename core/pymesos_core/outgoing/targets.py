"""Which addresses outside the cluster may be sent to: not what only the machine itself may ask."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from pymesos_core.limits import WEBHOOK_URL
from pymesos_core.text import quoted

# Where clouds tell a machine its credentials, beside the link-local 169.254.169.254.
METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))

# IPv6 addresses that end in the IPv4 address which they lead to: by NAT64 (also a network's own),
# by SIIT, and as it once was.
_ENDING_IN_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96"))
)
# As a web browser reads a host whose last part is a number: an address, or nothing.
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def url_problem(url: str, *, link_local: bool) -> str | None:
    """Why this cannot be sent to, or None."""
    if problem := WEBHOOK_URL.problem(len(url)):
        return problem
    try:
        parts = urlsplit(url)
        host, good = parts.hostname or "", parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        host, good = "", False
    if not good or not host or not url.isascii() or not url.isprintable() or " " in url:
        return f"{quoted(url)} is no URL that begins with http:// or https:// and names a host"
    if parts.username is not None or parts.fragment:
        return "the URL has a user or a fragment, which nobody is sent: leave them out"
    if ":" not in host and _is_number(host):
        return f"{quoted(host)} names no host: an IPv4 address has four numbers, as in 10.0.0.1"
    return None if link_local else address_problem(host)


def _is_number(host: str) -> bool:
    """Whether a host is an address in another form than four numbers, which hides what it is."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) is not None
    return False


def address_problem(host: str) -> str | None:
    """Why an address is not sent to, or None; what is no address is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    for one in (address, *_led_to(address)):
        if one.is_link_local or one.is_multicast or one.is_unspecified:
            return f"{one} is of this machine's link alone, and nothing is sent there unless told"
        if one in METADATA:
            return f"{one} tells a machine its credentials, and nothing is sent there unless told"
    return None


def _led_to(address: Address) -> Iterator[Address]:
    """Yield the IPv4 addresses that a gateway may send on to what is for this one."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    for inner in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
        if inner is not None:
            yield inner
    if any(address in network for network in _ENDING_IN_IPV4):
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


class CheckedResolver(AbstractResolver):
    """Resolves names to addresses that may be sent to, whatever they were when they were given."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See AbstractResolver."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if address_problem(one["host"]) is None]
        if not allowed:
            raise OSError(None, "it is at no address that may be sent to")
        return allowed

    async def close(self) -> None:
        """See AbstractResolver."""
        await self._resolver.close()
