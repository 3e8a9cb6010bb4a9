"""Who may use the proxy: one browser of the user who runs it, and no page but its own."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from pymesos_core.private import is_same
from pymesos_core.text import quoted

AGAIN = "run `pymesos-cli web` again for another address"
READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Refused:
    """The answer to a request that goes no further, or that changes the code for the cookie."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Guard:
    """Lets in who has the cookie, which the first to bring the code of the address is given."""

    def __init__(self, port: int) -> None:
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # A browser has the cookies of all ports of a host together.
        self._name = f"pymesos-{port}"
        self._code = secrets.token_urlsafe(24)
        self._cookie = secrets.token_urlsafe(32)
        self.url = f"http://{self._hosts[0]}/?code={self._code}"

    def check(self, method: str, target: str, headers: Mapping[str, str]) -> Refused | None:
        """Return why a request goes no further; None: it does. `headers` are by small letters."""
        host = headers.get("host", "")
        if host not in self._hosts:  # a page elsewhere may have a name for this address
            return _no("this proxy is at another address")
        path, _, query = target.partition("?")
        if path == "/" and method == "GET" and (given := parse_qs(query).get("code")):
            return self._exchange(given[0])
        if not self._has_cookie(headers.get("cookie", "")):
            return _no(f"this browser has not opened the address that was printed: {AGAIN}")
        own = f"http://{host}"
        writes = method not in READS or "upgrade" in headers
        if writes and "origin" not in headers:
            return _no(f"a write needs the header Origin: {own}, and has none")
        if (origin := headers.get("origin", own)) != own:
            return _no(f"a page of another site asks this: Origin is {quoted(origin)}, not {own}")
        site = headers.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            return _no(f"a page of another site asks this: Sec-Fetch-Site is {quoted(site)}")
        return None

    def _exchange(self, given: str) -> Refused:
        """The cookie for the code, once."""
        if not self._code or not is_same(self._code, given):
            return _no(f"this address was opened already, or is another's: {AGAIN}")
        self._code = ""
        cookie = f"{self._name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict"
        return Refused(HTTPStatus.SEE_OTHER, "", {"Location": "/", "Set-Cookie": cookie})

    def _has_cookie(self, header: str) -> bool:
        """Whether one of the cookies is ours. Others of this host may look like anything."""
        pairs = (pair.strip().partition("=") for pair in header.split(";"))
        return any(name == self._name and is_same(self._cookie, value) for name, _, value in pairs)


def _no(text: str) -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, text)


def owners(uid: int, environ: Mapping[str, str]) -> frozenset[int]:
    """The users whose browsers are let in: who runs this, and for whom sudo does."""
    for_whom = environ.get("SUDO_UID", "")
    known = for_whom.isascii() and for_whom.isdigit()
    return frozenset({uid, int(for_whom)} if known else {uid})


def is_of(peer: tuple[str, int], own: tuple[str, int], users: Collection[int], table: str) -> bool:
    """Whether a connection from 127.0.0.1 is one of these users', by /proc/net/tcp.

    A cookie is sent to every port of a host: a server of somebody else could have been given it.
    """
    wanted = (_hex(peer), _hex(own))
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and (words[1], words[2]) == wanted:
            return int(words[7]) in users
    return False


def _hex(address: tuple[str, int]) -> str:
    host = bytes(int(part) for part in reversed(address[0].split("."))).hex().upper()
    return f"{host}:{address[1]:04X}"
