"""Whether a page of another site has a browser send a request.

A browser shows a client certificate whoever has it ask, and reaches what listens on loopback, so a
page of elsewhere must not be able to change anything. It cannot send JSON without being asked for
leave first, which no server here gives; and what a browser says of the page is looked at besides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from pymesos_core.addresses import AddressError, parse_host_port
from pymesos_core.text import quoted

ANY_PORT = 80  # a Host without one names it
OWN_SITES = ("same-origin", "none")  # a page of this server; the person at the browser


def problem(headers: Mapping[str, str], host: str) -> str | None:
    """Why a request that changes something is not taken from a browser, or None.

    The headers are by their names in small letters; `host` is what Host says.
    """
    site = headers.get("sec-fetch-site", "none")
    if site not in OWN_SITES:
        return f"a page of another site has sent this (Sec-Fetch-Site: {quoted(site)})"
    origin = headers.get("origin")
    if origin is not None and not _is_of(origin, host):
        return (
            f"a page of another site has sent this (Origin: {quoted(origin)}, and Host:"
            f" {quoted(host)})"
        )
    return None


def reading_problem(headers: Mapping[str, str]) -> str | None:
    """Why a request that changes nothing is not taken from a browser, or None.

    Whoever follows a link of another site reads the answer himself. Its scripts would not be let
    read it, but take the place of who is.
    """
    site = headers.get("sec-fetch-site", "none")
    if site in OWN_SITES or headers.get("sec-fetch-dest") == "document":
        return None
    return f"a page of another site has sent this (Sec-Fetch-Site: {quoted(site)})"


def names_of(*hosts: str) -> Collection[str]:
    """The names by which a server that has these is called in Host."""
    return {"localhost", *(host.lower() for host in hosts)}


def host_problem(host: str, names: Collection[str]) -> str | None:
    """Why Host may be a name that a page of elsewhere made up for this address, or None.

    To a browser that page is of this server. Nobody else's is called by a mere address.
    """
    found = _named(host)
    if found is not None and (found.is_address or found.name in names):
        return None
    return (
        f"the header Host says {quoted(host)}; expected is this server's address, or its --hostname"
    )


class _Named(NamedTuple):
    """What a server is called in Host."""

    name: str  # in small letters
    is_address: bool


@lru_cache(maxsize=256)
def _named(host: str) -> _Named | None:
    """What Host calls a server; None: it cannot be read."""
    try:
        name = parse_host_port(host, ANY_PORT).host.lower()
    except AddressError:
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return _Named(name, is_address=False)
    return _Named(name, is_address=True)


def _is_of(origin: str, host: str) -> bool:
    try:
        split = urlsplit(origin)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and split.netloc.lower() == host.lower() != ""
