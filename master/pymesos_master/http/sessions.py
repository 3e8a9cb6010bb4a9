"""Browsers that have signed in: what else they have to show, and how often a code may be wrong.

A browser sends its cookie whoever has it ask, so what changes something also has to have the token
of the session, which only its own pages can read.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from pymesos_core.security.access_tokens import CSRF_COOKIE, is_csrf_token
from pymesos_core.transport import CallError, Code

CSRF_HEADER = "Pymesos-Csrf"
MOST_WRONG, WRONG_PER_S = 10, 60.0  # codes of one range of addresses, in so long
MOST_RANGES = 1000
RANGE_BITS = 64  # of an IPv6 address: what one connection to the internet is given


def check(session: str, method: str, headers: Mapping[str, str], *, is_socket: bool) -> None:
    """See that a page of the session asks. Raises CallError. Headers are by small letters."""
    if is_socket and "origin" not in headers:
        told = "a WebSocket is opened by a page, and this has no header Origin"
        raise CallError(Code.PERMISSION_DENIED, told)
    if method == "POST" and not is_csrf_token(session, headers.get(CSRF_HEADER.lower(), "")):
        raise CallError(
            Code.PERMISSION_DENIED,
            f"what changes something needs the header {CSRF_HEADER} with what the cookie"
            f" {CSRF_COOKIE} says, beside the session; it is not there, or is another's: load the"
            f" page anew",
        )


def range_of(peer: str) -> str:
    """Return what counts as one address: an IPv4 address, or a range of IPv6 ones."""
    written = peer.partition(":")[2]
    try:
        address = ipaddress.ip_address(unquote(written).strip("[]").partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, RANGE_BITS), strict=False))


class Guesses:
    """How many codes, or passwords, that are none each range of addresses has shown in a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[float, int]] = {}  # since when, and how many

    def check(self, peer: str) -> None:
        """Raises CallError for whoever has to wait."""
        if (left_s := self.left_s(peer)) > 0:
            wait = f"wait for {left_s:.0f} s, then sign in with a new one"
            raise CallError(Code.RESOURCE_EXHAUSTED, f"{MOST_WRONG} codes were wrong: {wait}")

    def left_s(self, peer: str) -> float:
        """For how long one has to wait."""
        since, many = self._wrong.get(range_of(peer), (0.0, 0))
        return since + WRONG_PER_S - self._clock() if many >= MOST_WRONG else 0.0

    def wrong(self, peer: str) -> None:
        """Count one."""
        now_s, place = self._clock(), range_of(peer)
        since, many = self._wrong.pop(place, (now_s, 0))
        if now_s - since >= WRONG_PER_S:
            since, many = now_s, 0
        while len(self._wrong) >= MOST_RANGES:
            del self._wrong[next(iter(self._wrong))]  # who was wrong longest ago
        self._wrong[place] = (since, many + 1)
