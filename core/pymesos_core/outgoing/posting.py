"""HTTP POSTs to receivers outside the cluster: no redirects, bounded answers, bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver

from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.text import one_line, os_problem

TIMEOUT_S = 10.0
SHOWN_BYTES = 300  # of what is answered to what is not taken
SHOWN_WITHIN_S = 1.0  # of the status, which counts also where nothing follows
WHOEVER_ASKS = frozenset((401, 407, 408, 425, 429))  # of 4xx, what is not for what was sent
MOST_AFTER_S = 300.0  # that a receiver may ask to be left alone for


class Poster:
    """POSTs over kept connections. `close` it at the end."""

    def __init__(
        self, authorities: Path | None = None, resolver: AbstractResolver | None = None
    ) -> None:
        """`authorities`: a PEM file of those by which servers are known; None: the system's."""
        self._authorities = authorities
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    def _opened(self, url: str) -> aiohttp.ClientSession:
        """Raises UnsentError."""
        if self._session is None:
            secure: ssl.SSLContext | bool = True
            if url.startswith("https:"):
                try:
                    secure = ssl.create_default_context(cafile=self._authorities)
                except (OSError, ValueError) as error:  # SSLError is an OSError
                    raise UnsentError(f"its ca_file cannot be used: {error}") from None
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=secure, limit=4, resolver=self._resolver),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                # So that no answer can be compressed wrongly, or expand without end.
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, quiet: bool = False
    ) -> None:
        """Return once the receiver has taken it (2xx). Raises UnsentError, without the URL.

        `quiet`: what it answers may repeat a secret, and is not told.
        """
        try:
            async with self._opened(url).post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    return
                said = b"" if quiet else await _beginning(answer)
                after_s = _after_s(answer.headers.get("Retry-After", ""), datetime.now(UTC))
        except TimeoutError:
            raise UnsentError(f"it has not answered within {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnsentError(_problem(error)) from None
        shown = one_line(said.decode("utf-8", "replace").strip(), SHOWN_BYTES)
        text = f"it answered with status {answer.status}{f': {shown}' if shown else ''}"
        refused = 400 <= answer.status < 500 and answer.status not in WHOEVER_ASKS
        raise UnsentError(text, after_s, refused=refused)

    async def close(self) -> None:
        """Close its connections."""
        if self._session is not None:
            await self._session.close()
        if self._resolver is not None:
            await self._resolver.close()


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    """What is said beside the status, as far as it comes: it is not what counts."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError, ValueError):
        async with asyncio.timeout(SHOWN_WITHIN_S):
            return await answer.content.read(SHOWN_BYTES)
    return b""


def _problem(error: Exception) -> str:
    """Why nothing was answered; aiohttp's own words may repeat the URL, which may be secret."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.strerror:
        return os_problem(cause)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it has closed the connection without an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what it answers is not HTTP"
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError | UnicodeError):
        return "its address is none that can be asked: expected is http:// or https:// and a host"
    return f"it cannot be asked ({type(error).__name__})"


def _after_s(written: str, now: datetime) -> float:
    """What Retry-After says, in seconds: a number or a date; what is neither is nothing said."""
    said = written.strip()
    if said.isascii() and said.isdigit():
        return min(MOST_AFTER_S, float(said))
    try:
        until = parsedate_to_datetime(said)
        left_s = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return 0.0
    return min(MOST_AFTER_S, max(0.0, left_s.total_seconds()))
