"""The HTTP server of a master: requests, and what each of them may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from weakref import WeakValueDictionary

from aiohttp import web

from pymesos_core.caller import peer_of
from pymesos_core.http_listening import (
    SILENCE_S,
    STOP_GRACE_S,
    ConnectionState,
    Listener,
    state_of,
)
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.server_tls import authentication_of
from pymesos_core.security.validity import while_valid
from pymesos_core.serving import Listen
from pymesos_core.transport import CallError, Code
from pymesos_master.http.answering import (
    Admitted,
    Answer,
    Answering,
    Request,
    refusal,
    refused,
    too_large,
)
from pymesos_master.http.exec import MAX_MESSAGE_BYTES, PING_S
from pymesos_master.http.page import Page
from pymesos_master.http.routes.table import Route
from pymesos_master.http.stream_routes import Socket, Stream
from pymesos_master.http.streams import NotReadError, Sender, Streams

MOST_ANSWERS = 4  # made and sent at a time
MOST_ELSEWHERE = 8  # beside these, for which others than masters are waited for
MOST_IDENTIFYING = 8  # of whose access tokens the leader is asked
MOST_OF_ONE = 2  # of these, so that one who does not read his own leaves some to others
SENDING_S = 30.0  # until an answer is read
HEADERS = {
    "Server": "pymesos",
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


def _failed(status: int, told: str) -> web.Response:
    code = "INVALID_ARGUMENT" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "INTERNAL"
    return _response(refusal(status, code, told))


class HttpServer(Listener):
    """The server of operators' HTTP."""

    def __init__(
        self,
        answering: Answering,
        listen: Listen,
        credentials: Credentials | None,
        public: PublicCertificate | None = None,
    ) -> None:
        """Raises ServingError."""
        flag = "choose another port with --http-port, or --no-http"
        super().__init__(self._handle, _failed, listen, credentials, public, flag=flag)
        self._answering = answering
        self._streams = Streams()
        self._page = Page()
        self._revocations = Revocations() if credentials is None else credentials.revocations
        self._answers = asyncio.Semaphore(MOST_ANSWERS)
        self._elsewhere = asyncio.Semaphore(MOST_ELSEWHERE)
        self._identifying = asyncio.Semaphore(MOST_IDENTIFYING)
        # By taker: each is there as long as somebody waits for it.
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    def streams_open(self) -> int:
        """See Listener."""
        return len(self._streams)

    def end_streams(self) -> None:
        """See Listener."""
        self._streams.end()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and see that it is read."""
        state = state_of(request)
        tags = request.headers.get("If-None-Match", "")
        if (file := self._page.answer(request.method, request.raw_path, tags)) is not None:
            return await _send(request, state, file)
        admitted = self._answering.admit(_read(request))
        if isinstance(admitted, Answer):
            if admitted.status == HTTPStatus.NOT_FOUND:
                accept = request.headers.get("Accept", "")
                nothing = self._page.nothing(request.method, request.raw_path, accept)
                admitted = nothing or admitted
            return await _send(request, state, admitted)
        if admitted.route.open:  # which others do not keep waiting
            return await _send(request, state, await self._answering.answer(admitted))
        if not admitted.token and (made := self._answering.known(admitted)) is not None:
            return await _send(request, state, made)
        if admitted.token:
            async with self._few_of(admitted), self._identifying:
                known = await self._answering.identified(admitted)
            if isinstance(known, Answer):
                return await _send(request, state, known)
            admitted = known
        if isinstance(admitted.route, Stream):
            return await self._stream(request, state, admitted)
        if isinstance(admitted.route, Socket):
            return await self._socket_talk(request, state, admitted)
        # So that one has few bodies in memory, which come as slowly as he likes.
        async with self._few_of(admitted):
            body = await _body(request, admitted.route)
            if isinstance(body, Answer):
                return await _send(request, state, body)
            if problem := self._revocations.problem(admitted.caller):  # while it came
                told = refused(CallError(Code.UNAUTHENTICATED, problem))
                return await _send(request, state, told)
            async with self._elsewhere if admitted.route.elsewhere else self._answers:
                with state.with_slot():
                    answer = await self._answering.answer(admitted, body)
                    return await _send(request, state, answer)

    async def _stream(
        self, request: web.BaseRequest, state: ConnectionState, admitted: Admitted
    ) -> web.StreamResponse:
        """Answer one request for as long as that is read."""
        headers = {**HEADERS, "Content-Type": admitted.route.content_type}
        response = web.StreamResponse(headers=headers)
        response.force_close()
        try:
            with self._streams.slot(admitted.taker), state.with_slot():
                to, parts = Sender(request, response), self._answering.parts(admitted)
                await self._streams.send(to, parts, admitted.caller, self._revocations)
                await to.send(b"")  # of one that said nothing, that it has begun
        except CallError as error:
            return await _send(request, state, refused(error))
        except NotReadError:
            pass
        return response

    async def _socket_talk(
        self, request: web.BaseRequest, state: ConnectionState, admitted: Admitted
    ) -> web.StreamResponse:
        """Open a WebSocket, and talk there until one end has said all."""
        socket = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=STOP_GRACE_S
        )
        socket.headers["Server"] = HEADERS["Server"]
        try:
            if not _is_handshake(socket, request):
                raise CallError(Code.INVALID_ARGUMENT, "this is no handshake of a WebSocket")
            with self._streams.slot(admitted.taker), state.with_slot():
                talk = self._answering.talk(admitted)
                async with while_valid(admitted.caller, self._revocations), self._streams.open():
                    await socket.prepare(request)
                    await talk.go_on(socket)
        except CallError as error:
            if not socket.prepared:
                return await _send(request, state, refused(error))
        with contextlib.suppress(ConnectionError):
            await socket.close()
        return socket

    def _few_of(self, admitted: Admitted) -> asyncio.Semaphore:
        """What lets few requests of one taker be at work at a time."""
        return self._of_one.setdefault(admitted.taker, asyncio.Semaphore(MOST_OF_ONE))


def _is_handshake(socket: web.WebSocketResponse, request: web.BaseRequest) -> bool:
    try:
        return socket.can_prepare(request).ok
    except ValueError:  # of headers that are no text, or not ASCII
        return False


async def _body(request: web.BaseRequest, route: Route) -> bytes | Answer:
    """The body of a request for a route; or the answer to one that is too large, or too slow."""
    if route.method != "POST":
        return b""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(SILENCE_S):
            while part := await request.content.readany():
                body += part
                if len(body) > route.body_bytes:
                    return too_large(route)
    except TimeoutError:
        told = f"the body has not come within {SILENCE_S:g} s"
        return refusal(HTTPStatus.REQUEST_TIMEOUT, "INVALID_ARGUMENT", told)
    return bytes(body)


async def _send(
    request: web.BaseRequest, state: ConnectionState, answer: Answer
) -> web.StreamResponse:
    response = _response(answer)
    # Of a body that is not read, or of who would speak something else, nothing is read behind it.
    if not request.content.at_eof() or "Upgrade" in request.headers:
        response.force_close()
    try:
        async with asyncio.timeout(SENDING_S):
            await response.prepare(request)
            await response.write_eof()
    except (TimeoutError, ConnectionError):  # who asked does not read it, or has gone
        if request.transport is not None:
            request.transport.abort()
    state.served_s = asyncio.get_running_loop().time()
    return response


def _read(request: web.BaseRequest) -> Request:
    transport = request.transport
    ip = str((transport.get_extra_info("peername") or ("",))[0]) if transport else ""
    connection = transport.get_extra_info("ssl_object") if transport else None
    return Request(
        request.method,
        request.raw_path,
        request.headers.get("Host", ""),
        peer_of(ip),
        request.body_exists,
        authentication_of(connection),
        {name.lower(): _text(value) for name, value in request.headers.items()},
    )


def _text(value: str) -> str:
    """The value of a header; of one that is not in UTF-8 what is left of it."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _response(answer: Answer) -> web.Response:
    response = web.Response(
        status=answer.status, body=answer.body, headers={**HEADERS, **answer.headers}
    )
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response
