"""A listener for HTTP, on aiohttp: connections, and what each of them may take."""

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

from aiohttp import web

from pymesos_core.addresses import HostPort
from pymesos_core.complaints import Complaints
from pymesos_core.http_at_once import Passed, Small, small_of, written
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_core.security.server_tls import server_context
from pymesos_core.serving import Listen, ServingError
from pymesos_core.text import os_problem

# With TLS one takes 64 KiB of memory; there may be streams besides.
MOST_CONNECTIONS = 100
SILENCE_S = 10.0  # until a request has come whole, from the connection or the answer before
HANDSHAKE_S = 5.0
STOP_GRACE_S = 1.0
TLS_HANDSHAKE = b"\x16"  # the first byte of who speaks TLS
MOST_UNREAD_BYTES = 64 * 1024
MAX_LINE_BYTES = 4096
MAX_HEADER_BYTES = 4096  # each of them
MAX_HEADERS = 40
FAULT = "the request failed; the log has more"

log = logging.getLogger(__name__)


@dataclass
class ConnectionState:
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


class Connection(web.RequestHandler):
    """One connection, as aiohttp serves it within our limits."""

    def __init__(
        self,
        manager: web.Server,
        state: ConnectionState,
        failed: Failed,
        at_once: AtOnce | None,
        silence_s: float,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=silence_s,
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
        self._at_once, self._passed, self._now_s = at_once, Passed(), loop.time

    def data_received(self, data: bytes) -> None:
        """Answer small requests that have come whole at once; all else is as aiohttp has it."""
        if self._at_once is not None:
            begin = 0
            while self._passed.is_over and begin < len(data):
                if not (end := self._answered_at_once(self._at_once, data, begin)):
                    break
                begin = end
            if not (data := data[begin:]):
                return
            self._passed.take(data)
        super().data_received(data)

    def _answered_at_once(self, at_once: AtOnce, data: bytes, begin: int) -> int:
        """Answer a request; where it ends, or 0."""
        transport = self.transport
        if transport is None or transport.get_write_buffer_size():
            return 0  # what was said before is not read: aiohttp waits until it is
        if (asked := small_of(data, begin)) is None:
            return 0
        try:
            answer = at_once(asked, transport)
        except Exception:
            log.exception("a fault while HTTP was answered")
            response = self._failed(500, FAULT)
            assert isinstance(response.body, bytes)
            answer = written(500, response.headers, response.body)
        if answer is None:
            return 0
        transport.write(answer)
        self.state.served_s = self._now_s()
        return asked.end

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """See RequestHandler."""
        done = await super().finish_response(request, resp, start_time)
        self.state.served_s = self._now_s()
        if done[0].keep_alive:
            self._passed.answered()
        return done

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
            response = self._failed(500, FAULT)
        response.force_close()
        return response


Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
# Makes the answer to what was not handled: its status, and a sentence.
Failed = Callable[[int, str], web.Response]
# Answers a small request in no time; None: it takes longer, and is handled as others are.
AtOnce = Callable[[Small, asyncio.Transport], bytes | None]


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
        silence_s: float | None = None,
        at_once: AtOnce | None = None,
    ) -> None:
        """`flag` says what an operator may change when the address is taken, `silence_s` how long
        a connection may last on which nothing is asked.

        Raises ServingError.
        """
        self._failed = failed
        self._most_connections = most_connections
        self._silence_s, self._at_once = silence_s, at_once
        self._tls = server_context(credentials, public) if credentials is not None else None
        self._socket = _bind(listen, flag)
        self.port: int = self._socket.getsockname()[1]
        self.address = listen.advertised(self.port)
        scheme = "http" if credentials is None else "https"
        self.url = f"{scheme}://{self.address}"
        self._complaints = Complaints(log)
        # A request ends with its connection.
        self._manager = web.Server(handle, handler_cancellation=True)
        self._open: dict[asyncio.Task[None], ConnectionState] = {}  # a task for each connection

    def streams_open(self) -> int:
        """How many connections are streams, which are limited elsewhere."""
        return 0

    def end_streams(self) -> None:
        """Called when it stops, before what is open is waited for."""

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
                        state = ConnectionState(ip, loop.time())
                        task = group.create_task(self._serve(connection, state))
                        self._open[task] = state
                        task.add_done_callback(lambda ended: self._open.pop(ended, None))
                        await asyncio.sleep(0)  # it begins, and others have their turn
                finally:
                    self.end_streams()
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
        a slot. Beside each stream there is room for one more, by which who reads it asks.
        """
        most = self._most_connections or MOST_CONNECTIONS
        if len(self._open) - 2 * self.streams_open() < most:
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

    async def _serve(self, connection: socket.socket, state: ConnectionState) -> None:
        """One connection to its end."""
        transport: asyncio.Transport | None = None
        try:
            if self._tls is not None and await _first_byte(connection) not in (TLS_HANDSHAKE, b""):
                await self._refuse_plain(connection)
                return
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._connection(state),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
            )
            assert isinstance(protocol, Connection)
            await protocol.ended.wait()
        except OSError as error:  # of TLS, too: who came has gone, or does not speak it
            # It and asyncio's frames hold each other, and what TLS has taken.
            traceback.clear_frames(error.__traceback__)
        finally:
            if transport is not None:
                transport.abort()
            connection.close()

    def _connection(self, state: ConnectionState) -> Connection:
        silence_s = SILENCE_S if self._silence_s is None else self._silence_s
        return Connection(self._manager, state, self._failed, self._at_once, silence_s)

    async def _refuse_plain(self, connection: socket.socket) -> None:
        """Say to who speaks HTTP without TLS what is expected. Raises OSError."""
        told = f"only HTTPS is spoken here: ask with https:// instead of http://, as {self.url}"
        answer = self._failed(HTTPStatus.BAD_REQUEST, told)
        assert isinstance(answer.body, bytes)
        head = (
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
            f"Content-Type: {answer.headers['Content-Type']}\r\n"
            f"Content-Length: {len(answer.body)}\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(HANDSHAKE_S):
            # What is unread as a connection is closed would have the answer thrown away.
            await loop.sock_recv(connection, MOST_UNREAD_BYTES)
            await loop.sock_sendall(connection, head.encode("ascii") + answer.body)


async def _first_byte(connection: socket.socket) -> bytes:
    """What comes first, which stays to be read. Raises OSError, as where nothing comes in time."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, there.set)
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            await there.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)


def state_of(request: web.BaseRequest) -> ConnectionState:
    """The state of the connection that a request came by."""
    assert isinstance(request.protocol, Connection)
    return request.protocol.state


def slot_of(request: web.BaseRequest) -> contextlib.AbstractContextManager[None]:
    """Keep the connection of a request: it is not ended for a new one meanwhile."""
    return state_of(request).with_slot()


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
