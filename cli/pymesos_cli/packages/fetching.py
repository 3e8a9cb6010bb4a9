"""The files of a repository, which is a folder here or at an https address."""

from __future__ import annotations

import http.client
import os
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymesos_cli.packages.parts import PackageError
from pymesos_core.streams import begin_in_own_thread
from pymesos_core.text import os_problem, quoted

HTTPS = "https://"
MAX_LOCATION_CHARS = 1000
CHUNK_BYTES = 64 * 1024
PATIENCE = 6.0  # times the time-out of one answer, for a whole file


def check_location(text: str) -> str:
    """Return where a repository is: an https address, or a folder in full. Raises PackageError."""
    if "://" not in text:
        return str(Path(text).absolute())
    try:
        parts = urlsplit(text)
        good = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or len(text) > MAX_LOCATION_CHARS or not text.isascii() or not text.isprintable():
        raise PackageError(
            f"{quoted(text)} is no place of a repository: a folder or an address that begins with"
            f" https:// is expected"
        )
    if parts.username is not None or parts.query or parts.fragment or " " in text:
        raise PackageError(
            "the address of a repository is stored and shown: give it without a password, ? and #"
        )
    return HTTPS + text[len(HTTPS) :].rstrip("/")  # however https was written


def fetch(location: str, name: str, most: int, timeout_s: float) -> bytes:
    """Return a file of a repository, of at most so many bytes. Raises PackageError."""
    if location.startswith(HTTPS):
        data = _in_time(lambda: _from_far(location, name, most, timeout_s), location, timeout_s)
    else:
        data = _from_here(location, name, most)
    if len(data) > most:
        raise PackageError(f"{name} of {location} has more than {most} bytes")
    return data


def _from_here(location: str, name: str, most: int) -> bytes:
    path = Path(location) / name
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PackageError(f"{path} is no file")
            return file.read(most + 1)
    except OSError as error:
        raise PackageError(f"cannot read {os_problem(error)}") from error


def _in_time(work: Callable[[], bytes], location: str, timeout_s: float) -> bytes:
    """Return what the work returns, which is left behind where that takes for ever.

    A server may say that it goes on before it answers, as often as it likes. Raises PackageError.
    """
    try:
        return begin_in_own_thread("repository", work).result(2 * PATIENCE * timeout_s)
    except TimeoutError:
        raise PackageError(f"{location} does not come to an end of its answer") from None


class _OnlySecure(urllib.request.HTTPRedirectHandler):
    """Redirects lead to https, or nowhere."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """See HTTPRedirectHandler."""
        if not newurl.startswith(HTTPS):
            raise urllib.error.HTTPError(newurl, code, "it leads away from https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_far(location: str, name: str, most: int, timeout_s: float) -> bytes:
    url, until = f"{location}/{name}", time.monotonic() + PATIENCE * timeout_s
    opener = urllib.request.build_opener(_OnlySecure)
    parts: list[bytes] = []
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            while (part := answer.read1(CHUNK_BYTES)) and sum(map(len, parts)) <= most:
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError("it comes too slowly")
            if answer.length and sum(map(len, parts)) <= most:
                raise OSError(f"it ends {answer.length} bytes early: try it again")
    except urllib.error.HTTPError as error:
        raise PackageError(f"{url} is answered {error.code} {quoted(str(error.reason))}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        said = os_problem(reason) if isinstance(reason, OSError) else str(reason)
        raise PackageError(f"{url} cannot be had: {quoted(said)}") from error
    return b"".join(parts)
