"""The HTTP server of a master, on aiohttp: connections, and what each of them may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from weakref import WeakValueDictionary

from aiohttp import web

from pymesos_core.addresses import HostPort
from pymesos_core.complaints import Complaints
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.server_tls import authentication_of, server_context
from pymesos_core.security.validity import while_valid
from pymesos_core.serving import Listen, ServingError
from pymesos_core.text import os_problem
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

# With TLS one takes 64 KiB of memory, and there may be as many streams as `streams` says besides.
MOST_CONNECTIONS = 100
MOST_ANSWERS = 4  # made and sent at a time
MOST_ELSEWHERE = 8  # beside these, for which others than masters are waited for
MOST_IDENTIFYING = 8  # of whose access tokens the leader is asked
MOST_OF_ONE = 2  # of these, so that one who does not read his own leaves some to others
SILENCE_S = 10.0  # until a request has come whole, from the connection or the answer before
HANDSHAKE_S = 5.0
SENDING_S = 30.0  # until an answer is read
STOP_GRACE_S = 1.0
MAX_LINE_BYTES = 4096
MAX_HEADER_BYTES = 4096  # each of them
MAX_HEADERS = 40
HEADERS = {
    "Server": "pymesos",
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

log = logging.getLogger(__name__)


@dataclass
class _State:
    """The state of one connection, which may be ended for a new one unless it has a slot."""

    ip: str
    served_s: float  # when it came, or was answered last
    has_slot: bool = False

    @contextlib.contextmanager
    def with_slot(self) -> Iterator[None]:
        """One of the few that are answered."""
        self.has_slot = True
        try:
            yield
        finally:
            self.has_slot = False


class _Connection(web.RequestHandler):
    """One connection, as aiohttp serves it within our limits."""

    def __init__(self, manager: web.Server, state: _State, failed: Failed) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=SILENCE_S,
            lingering_time=1.0,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            access_log=None,  # type: ignore[arg-type] # which is how it is left out
            auto_decompress=False,  # a small body may be a huge one compressed
        )
        self.state = state
        self.ended = asyncio.Event()
        self._failed = failed

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self.ended.set()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or too large, and faults of ours."""
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            told = (
                f"what was sent is no HTTP request, or larger than is accepted: a first line and"
                f" headers of {MAX_HEADER_BYTES} bytes each, {MAX_HEADERS} headers"
            )
            response = self._failed(status, told)
        else:
            log.error("a fault while HTTP was answered", exc_info=exc)
            response = self._failed(500, "the request failed; the log of the master has more")
        response.force_close()
        return response


Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Makes the answer to what was not handled: its status, and a sentence.
Failed = Callable[[int, str], web.Response]


class Listener:
    """What listens for HTTP: bound once it is made, it has requests handled while it runs."""

    def __init__(
        self,
        handle: Handle,
        failed: Failed,
        listen: Listen,
        credentials: Credentials | None = None,
        public: PublicCertificate | None = None,
        *,
        flag: str,
        most_connections: int | None = None,
    ) -> None:
        """`flag` says what an operator may change when the address is taken.

        Raises ServingError.
        """
        self._failed = failed
        self._most_connections = most_connections
        self._tls = server_context(credentials, public) if credentials is not None else None
        self._socket = _bind(listen, flag)
        self.port: int = self._socket.getsockname()[1]
        self.address = listen.advertised(self.port)
        scheme = "http" if credentials is None else "https"
        self.url = f"{scheme}://{self.address}"
        self._streams = Streams()
        self._complaints = Complaints(log)
        # A request ends with its connection.
        self._manager = web.Server(handle, handler_cancellation=True)
        self._open: dict[asyncio.Task[None], _State] = {}  # a task for each connection

    def close(self) -> None:
        """Listen no more, if it has never run."""
        self._socket.close()

    async def run(self) -> None:
        """Answer until this is cancelled; what is open ends then."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    while True:
                        connection, ip = await self._accepted(loop)
                        if not self._make_room():
                            connection.close()
                            continue
                        state = _State(ip, loop.time())
                        task = group.create_task(self._serve(connection, state))
                        self._open[task] = state
                        task.add_done_callback(lambda ended: self._open.pop(ended, None))
                        await asyncio.sleep(0)  # it begins, and others have their turn
                finally:
                    self._streams.end()
                    await self._manager.shutdown(STOP_GRACE_S)
        finally:
            self.close()

    async def _accepted(self, loop: asyncio.AbstractEventLoop) -> tuple[socket.socket, str]:
        """The next connection that comes, and from where."""
        while True:
            try:
                connection, peer = await loop.sock_accept(self._socket)
            except OSError as error:  # as when there are no descriptors left
                told = f"no HTTP connection can be accepted: {os_problem(error)}"
                self._complaints.say("this process", "accepting", told)
                await asyncio.sleep(1.0)
            else:
                return connection, str(peer[0])

    def _make_room(self) -> bool:
        """At the limit of connections, end one of the address that has most.

        It is the one that was answered longest ago. False: there is none to end, since all have
        a slot.
        """
        most = self._most_connections or MOST_CONNECTIONS
        if len(self._open) - len(self._streams) < most:
            return True
        of_address = Counter(state.ip for state in self._open.values())
        idle = [task for task, state in self._open.items() if not state.has_slot]
        if not idle:
            return False

        def order(task: asyncio.Task[None]) -> tuple[int, float]:
            state = self._open[task]
            return -of_address[state.ip], state.served_s

        ended = min(idle, key=order)
        ended.cancel()
        del self._open[ended]
        return True

    async def _serve(self, connection: socket.socket, state: _State) -> None:
        """One connection to its end."""
        transport: asyncio.Transport | None = None
        try:
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Connection(self._manager, state, self._failed),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
            )
            assert isinstance(protocol, _Connection)
            await protocol.ended.wait()
        except OSError as error:  # of TLS, too: who came has gone, or does not speak it
            # It and asyncio's frames hold each other, and what TLS has taken.
            traceback.clear_frames(error.__traceback__)
        finally:
            if transport is not None:
                transport.abort()
            connection.close()


def slot_of(request: web.BaseRequest) -> contextlib.AbstractContextManager[None]:
    """Keep the connection of a request: it is not ended for a new one meanwhile."""
    assert isinstance(request.protocol, _Connection)
    return request.protocol.state.with_slot()


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
        self._page = Page()
        self._revocations = Revocations() if credentials is None else credentials.revocations
        self._answers = asyncio.Semaphore(MOST_ANSWERS)
        self._elsewhere = asyncio.Semaphore(MOST_ELSEWHERE)
        self._identifying = asyncio.Semaphore(MOST_IDENTIFYING)
        # By taker: each is there as long as somebody waits for it.
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, and see that it is read."""
        assert isinstance(request.protocol, _Connection)
        state = request.protocol.state
        tags = request.headers.get("If-None-Match", "")
        if (file := self._page.answer(request.method, request.raw_path, tags)) is not None:
            return await _send(request, state, file)
        admitted = self._answering.admit(_read(request))
        if isinstance(admitted, Answer):
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
        self, request: web.BaseRequest, state: _State, admitted: Admitted
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
        self, request: web.BaseRequest, state: _State, admitted: Admitted
    ) -> web.StreamResponse:
        """Open a WebSocket, and talk there until one end has said all."""
        socket = web.WebSocketResponse(
            heartbeat=PING_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=STOP_GRACE_S
        )
        try:
            if not socket.can_prepare(request).ok:
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


async def _send(request: web.BaseRequest, state: _State, answer: Answer) -> web.StreamResponse:
    response = _response(answer)
    if not request.content.at_eof():  # of a body that is not read
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


def _bind(listen: Listen, flag: str) -> socket.socket:
    """A socket that listens. Raises ServingError."""
    family = socket.AF_INET6 if ":" in listen.ip else socket.AF_INET
    try:
        bound = socket.create_server((listen.ip, listen.port), family=family, backlog=128)
    except OSError as error:
        raise ServingError(
            f"cannot serve HTTP on {HostPort(listen.ip, listen.port)}"
            f" ({error.strerror or error}): {flag}"
        ) from error
    bound.setblocking(False)
    return bound


def _read(request: web.BaseRequest) -> Request:
    transport = request.transport
    ip = str((transport.get_extra_info("peername") or ("",))[0]) if transport else ""
    connection = transport.get_extra_info("ssl_object") if transport else None
    return Request(
        request.method,
        request.raw_path,
        request.headers.get("Host", ""),
        f"ipv6:%5B{ip}%5D" if ":" in ip else f"ipv4:{ip}",  # as gRPC has it
        request.body_exists,
        authentication_of(connection),
        {name.lower(): value for name, value in request.headers.items()},
    )


def _response(answer: Answer) -> web.Response:
    response = web.Response(
        status=answer.status, body=answer.body, headers={**HEADERS, **answer.headers}
    )
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response
