"""Browsers that have signed in: what else they have to show, and how often a code may be wrong.

A browser sends its cookie whoever has it ask, so what changes something also has to have the token
of the session, which only its own pages can read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pymesos_core.security.access_tokens import CSRF_COOKIE, is_csrf_token
from pymesos_core.transport import CallError, Code

CSRF_HEADER = "Pymesos-Csrf"
MOST_WRONG, WRONG_PER_S = 10, 60.0  # codes of one address, in so long
MOST_ADDRESSES = 1000


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


class Guesses:
    """How many codes that are none each address has shown in the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: dict[str, tuple[float, int]] = {}  # since when, and how many

    def check(self, peer: str) -> None:
        """Raises CallError for an address that has to wait."""
        since, many = self._wrong.get(peer, (0.0, 0))
        if many >= MOST_WRONG and (left_s := since + WRONG_PER_S - self._clock()) > 0:
            told = f"{many} codes were wrong: wait for {left_s:.0f} s, then sign in with a new one"
            raise CallError(Code.RESOURCE_EXHAUSTED, told)

    def wrong(self, peer: str) -> None:
        """Count one."""
        now_s = self._clock()
        since, many = self._wrong.pop(peer, (now_s, 0))
        if now_s - since >= WRONG_PER_S:
            since, many = now_s, 0
        while len(self._wrong) >= MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]  # who was wrong longest ago
        self._wrong[peer] = (since, many + 1)
