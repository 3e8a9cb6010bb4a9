"""Small requests that have come whole are answered in the turn of the loop in which they came.

A framework sends thousands a second, each once the one before is answered. What aiohttp does for a
request by way of tasks, timers and objects takes longer than the answer to such a call. Only what
has one meaning is read here: whatever is odd is aiohttp's, from its first byte.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from multidict import CIMultiDict

MAX_HEAD_BYTES = 2048  # as long as frameworks' are; a longer one is aiohttp's
MAX_FIELDS = 20
MAX_BODY_BYTES = 64 * 1024
_FIRST_LINE = re.compile(rb"POST (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([!-~](?:[ -~]*[!-~])?|)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,9}")
# What changes how a request is read, or its connection goes on.
_ODD = (
    "connection",
    "content-encoding",
    "expect",
    "http2-settings",
    "trailer",
    "transfer-encoding",
    "upgrade",
)


@dataclass(frozen=True)
class Head:
    """The first line and the headers of a POST."""

    path: str
    headers: CIMultiDict[str]
    size_bytes: int  # of itself
    body_bytes: int

    @property
    def whole_bytes(self) -> int:
        """The size of the request, with its body."""
        return self.size_bytes + self.body_bytes


@dataclass(frozen=True)
class Small:
    """A request that has come whole."""

    path: str
    headers: Mapping[str, str]  # names in whatever letters find them
    body: bytes
    end: int  # of it, in the data that came


def head_of(data: bytes, begin: int = 0) -> Head | None:
    """Return the head that begins there; None: none does, or it is odd."""
    end = data.find(b"\r\n\r\n", begin, begin + MAX_HEAD_BYTES)
    return None if end < 0 else _read_head(data[begin : end + 4])


@lru_cache(maxsize=256)  # a framework's are alike but for the length
def _read_head(data: bytes) -> Head | None:
    first, *lines = data[:-4].split(b"\r\n")
    asked = _FIRST_LINE.fullmatch(first)
    if asked is None or len(lines) > MAX_FIELDS:
        return None
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None or (name := field[1].decode()) in headers:
            return None
        headers[name] = field[2].decode()
    if headers.get("connection", "").lower() == "keep-alive":
        del headers["connection"]  # as is so without it
    length = headers.get("content-length", "")
    if "host" not in headers or not _LENGTH.fullmatch(length) or any(n in headers for n in _ODD):
        return None
    return Head(asked[1].decode(), headers, len(data), int(length))


def small_of(data: bytes, begin: int = 0) -> Small | None:
    """Return the request that begins there; None: none does, or it is no small one, or not all of
    it is there."""
    head = head_of(data, begin)
    if head is None or head.body_bytes > MAX_BODY_BYTES or begin + head.whole_bytes > len(data):
        return None
    end = begin + head.whole_bytes
    return Small(head.path, head.headers, data[end - head.body_bytes : end], end)


def written(status: int, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return an answer, as aiohttp writes it."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{''.join(lines)}"
        f"Content-Length: {len(body)}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
    ).encode() + body


@lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)


class Passed:
    """Whether what was passed on to aiohttp is over, so that what comes next begins a request."""

    def __init__(self) -> None:
        self._left_bytes = 0  # of the request that was passed on last, which are to come
        self._is_lost = False  # where one ends is not known
        self._unanswered = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for."""
        return not (self._unanswered or self._left_bytes or self._is_lost)

    def take(self, data: bytes) -> None:
        """Note what is passed on."""
        at = 0
        while at < len(data) and not self._is_lost:
            if not self._left_bytes:
                head = head_of(data, at)
                self._is_lost = head is None
                self._left_bytes = head.whole_bytes if head is not None else 0
                self._unanswered += 1
            came = min(self._left_bytes, len(data) - at)
            self._left_bytes -= came
            at += came

    def answered(self) -> None:
        """A request that was passed on has its answer."""
        self._unanswered -= 1
