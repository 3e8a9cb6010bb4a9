"""The listener of Mesos' API: paths, bodies and streams over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from http import HTTPStatus
from weakref import WeakValueDictionary

from aiohttp import web

from pymesos_core import limits
from pymesos_core.caller import Caller
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.serving import Listen
from pymesos_core.text import quoted
from pymesos_core.transport import CallError
from pymesos_master.http import crossing
from pymesos_master.http.server import Listener, slot_of
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.scheduler import STREAM_ID, Call, Scheduler
from pymesos_master.services.leading import Leadership

MAX_BODY_BYTES = limits.ACCEPT.most  # of a request; one in JSON is larger than what it says
MOST_BODIES = 16  # read at a time
MOST_OF_ONE = 4  # of these
MOST_CONNECTIONS = 2000  # two of each framework
BODY_S = 10.0  # until a body has come
SENDING_S = 30.0  # until an event is read
PATH = ("api", "v1", "scheduler")
OURS = {"Server": "pymesos"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8", **OURS}

log = logging.getLogger(__name__)


class MesosServer(Listener):
    """A server that is bound once it is made, and answers while it runs."""

    def __init__(
        self,
        leadership: Leadership,
        authenticator: Authenticator,
        listen: Listen,
    ) -> None:
        """Raises ServingError."""
        super().__init__(
            self._handle,
            _failed,
            listen,
            flag="choose another port with --mesos-port",
            most_connections=MOST_CONNECTIONS,
        )
        self._authenticator = authenticator
        here = Here(leadership.me.master_id, self.address, leadership.me.hostname)
        self._scheduler = Scheduler(leadership, here)
        self._names = crossing.names_of(leadership.me.hostname, self.address.host)
        self._bodies = asyncio.Semaphore(MOST_BODIES)
        # By taker: each is there as long as somebody waits for it.
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            caller = self._authenticator.caller(
                request.headers.get("Authorization"), _ip_of(request)
            )
            if "Authorization" not in request.headers:
                self._check_no_page(request)
            route = _route(request.raw_path)
            if route is None:
                raise RefusalError(404, "404 Not Found.")
            if request.method != "POST":
                raise _not_allowed(request.method)
            if route != PATH:
                raise RefusalError(
                    501, f"{quoted('/' + '/'.join(route))} is not supported here yet"
                )
            return await self._scheduled(request, caller)
        except RefusalError as refusal:
            response = _refused(refusal)
            if request.can_read_body and not request.content.at_eof():
                response.force_close()
            return response

    def _check_no_page(self, request: web.BaseRequest) -> None:
        """Raises RefusalError for what a page of elsewhere may have had a browser send.

        Who shows no credentials is known by where he calls from, as a browser there would be.
        """
        headers = {name.lower(): value for name, value in request.headers.items()}
        host = headers.get("host", "")
        problem = crossing.problem(headers, host) or crossing.host_problem(host, self._names)
        if problem is not None:
            raise RefusalError(403, f"{problem}, unless credentials are shown")

    async def _scheduled(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        leader = self._scheduler.leader()
        of_one = self._of_one.setdefault(caller.taker, asyncio.Semaphore(MOST_OF_ONE))
        async with of_one, self._bodies:
            call = await self._scheduler.read(request.headers, await _body(request))
        if call.type != Call.SUBSCRIBE:
            done = await self._scheduler.call(leader, call, request.headers, caller)
            return web.Response(status=done.status, headers=OURS)
        mine, subscribe = self._scheduler.subscription(call, request.headers, caller)
        del call  # it may be large, and the stream is long
        async with self._scheduler.turn_to_subscribe(caller):
            response = web.StreamResponse(
                headers={STREAM_ID: mine.stream_id, "Content-Type": mine.media.value, **OURS}
            )
            response.enable_chunked_encoding()

            async def write(data: bytes) -> None:
                async with asyncio.timeout(SENDING_S):
                    await response.write(data)

            with slot_of(request), self._watched(request, caller):
                await response.prepare(request)
                try:
                    await self._scheduler.serve(leader, subscribe, mine, write)
                    await response.write_eof()
                except CallError as error:
                    log.info("the stream of %s has ended: %s", mine.framework_id, error.message)
                    _abort(request)
                except (TimeoutError, ConnectionError):  # it is not read
                    _abort(request)
            return response

    def _watched(
        self, request: web.BaseRequest, caller: Caller
    ) -> contextlib.AbstractContextManager[None]:
        """Meanwhile the stream ends at once when its caller is revoked."""
        return self._authenticator.revocations.watched(caller, lambda: _abort(request))


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _ip_of(request: web.BaseRequest) -> str:
    transport = request.transport
    return str((transport.get_extra_info("peername") or ("",))[0]) if transport else ""


def _route(raw_path: str) -> tuple[str, ...] | None:
    """The endpoint that a path leads to, as Mesos finds it: the longest that it begins with."""
    parts = [part for part in raw_path.partition("?")[0].split("/") if part]
    if parts[:1] == ["master"]:
        parts = parts[1:]
    for known in (PATH, PATH[:2]):
        if tuple(parts[: len(known)]) == known:
            return known
    return None


async def _body(request: web.BaseRequest) -> bytes:
    """The body. Raises RefusalError for one that is too large, or too slow."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RefusalError(415, "Expecting no 'Content-Encoding'")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            while part := await request.content.readany():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise RefusalError(413, f"the body has more than {MAX_BODY_BYTES} bytes")
    except TimeoutError:
        raise RefusalError(408, f"the body has not come within {BODY_S:g} s") from None
    return bytes(body)


def _not_allowed(method: str) -> RefusalError:
    told = f"405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method[:20]}'."
    return RefusalError(405, told, {"Allow": "POST"})


def _refused(refusal: RefusalError) -> web.Response:
    headers: Mapping[str, str] = {**refusal.headers, **(PLAIN if refusal.text else OURS)}
    return web.Response(
        status=refusal.status,
        body=refusal.text.encode("utf-8", "backslashreplace"),
        headers=headers,
    )


def _failed(status: int, told: str) -> web.Response:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return web.Response(status=status, body=f"{status} {phrase}. {told}".encode(), headers=PLAIN)
