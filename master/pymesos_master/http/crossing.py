"""Whether a page of another site has a browser send a request.

A browser shows a client certificate whoever has it ask, and reaches what listens on loopback, so a
page of elsewhere must not be able to change anything. It cannot send JSON without being asked for
leave first, which no master gives; and what a browser says of the page is looked at besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from pymesos_core.text import quoted

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


def _is_of(origin: str, host: str) -> bool:
    try:
        split = urlsplit(origin)
    except ValueError:
        return False
    return split.scheme in ("http", "https") and split.netloc.lower() == host.lower() != ""
