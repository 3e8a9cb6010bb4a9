"""Requests and answers of Mesos' HTTP APIs, on aiohttp.

Bodies have bounds, and refusals the words of Mesos.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from pymesos_core.mesos.json_messages import compact
from pymesos_core.mesos.refusing import RefusalError, bad_request

BODY_S = 10.0  # until a body has come
MAX_FIELDS = 20  # of a query, or a form
CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,127}", re.ASCII)
JSON, SCRIPT = "application/json", "text/javascript"
OURS = {"Server": "pymesos"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8", **OURS}


async def body_of(request: web.BaseRequest, most_bytes: int) -> bytes:
    """The body. Raises RefusalError for one that is too large, or too slow."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusalError(415, "Expecting no 'Content-Encoding'")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    content = request.content
    body = bytearray()
    if content.is_eof():  # it is there whole, as most are, and no clock is needed
        body += content.read_nowait()
        _check_size(body, most_bytes)
        return bytes(body)
    try:
        async with asyncio.timeout(BODY_S):
            while part := await content.readany():
                body += part
                _check_size(body, most_bytes)
    except TimeoutError:
        raise RefusalError(408, f"the body has not come within {BODY_S:g} s") from None
    return bytes(body)


def _check_size(body: bytearray, most_bytes: int) -> None:
    """Raises RefusalError."""
    if len(body) > most_bytes:
        raise RefusalError(413, f"the body has more than {most_bytes} bytes")


def query_of(text: str) -> Mapping[str, str]:
    """Read a query, or a form. Raises RefusalError."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise bad_request(f"more than {MAX_FIELDS} fields are asked for") from None


def written(value: Any, query: Mapping[str, str]) -> tuple[bytes, str]:
    """Return an answer of an older endpoint, and its type: a call, if the query names one."""
    data = compact(value)
    if (callback := query.get("jsonp")) is not None:
        return callback.encode() + b"(" + data + b")", SCRIPT
    return data, JSON


def check_method(method: str, methods: Sequence[str]) -> None:
    """Raises RefusalError for a method that an endpoint does not have."""
    if method in methods:
        return
    shown = [one for one in methods if one != "HEAD"]
    expected = ", ".join(f"'{one}'" for one in shown)
    raise RefusalError(
        405,
        f"405 Method Not Allowed. Expecting one of {{ {expected} }}, but received '{method[:20]}'.",
        {"Allow": ", ".join(shown)},
    )


def refused(request: web.BaseRequest, refusal: RefusalError) -> web.Response:
    """Return the answer to a request that is refused.

    Its connection ends if there is more of it to come.
    """
    status, headers, body = said_of(refusal)
    response = web.Response(status=status, body=body, headers=headers)
    if request.can_read_body and not request.content.at_eof():
        response.force_close()
    return response


def said_of(refusal: RefusalError) -> tuple[int, Mapping[str, str], bytes]:
    """Return the status, the headers and the body of a refusal."""
    headers = {**refusal.headers, **(PLAIN if refusal.text else OURS)}
    return refusal.status, headers, refusal.text.encode("utf-8", "backslashreplace")


def failed(status: int, told: str) -> web.Response:
    """Return the answer to what is no HTTP, and to faults of ours."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return web.Response(status=status, body=f"{status} {phrase}. {told}".encode(), headers=PLAIN)


def abort(request: web.BaseRequest) -> None:
    """End the connection at once, so that whoever reads knows that not all has come."""
    if request.transport is not None:
        request.transport.abort()
