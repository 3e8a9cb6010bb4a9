"""The listener of Mesos' API: paths, bodies and streams over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote
from weakref import WeakKeyDictionary, WeakValueDictionary

from aiohttp import web
from yarl import URL

from pymesos_core import crossing, limits
from pymesos_core.caller import Caller, peer_of
from pymesos_core.http_at_once import Small, written
from pymesos_core.http_listening import Listener, slot_of
from pymesos_core.mesos.http import (
    OURS,
    abort,
    body_of,
    check_method,
    failed,
    query_of,
    refused,
    said_of,
)
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.security.server_tls import authentication_of
from pymesos_core.security.validity import while_valid
from pymesos_core.serving import Listen
from pymesos_core.transport import CallError
from pymesos_master.mesos.authenticating import (
    OF_FRAMEWORKS,
    OF_OPERATORS,
    Authenticator,
    is_loopback,
)
from pymesos_master.mesos.authenticating import REALM as SCHEDULER_REALM
from pymesos_master.mesos.chunks import Chunks
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.operators.api import Call as OperatorCall
from pymesos_master.mesos.operators.api import Done, Operators
from pymesos_master.mesos.operators.endpoints import (
    METHODS,
    OPEN,
    Endpoints,
    Request,
    jsonp_problem,
)
from pymesos_master.mesos.operators.gathering import Gathering
from pymesos_master.mesos.operators.reading import Together
from pymesos_master.mesos.operators.watching import Streams
from pymesos_master.mesos.peers import user_of
from pymesos_master.mesos.redirecting import Redirecting
from pymesos_master.mesos.relaying import AgentRelay, Asked
from pymesos_master.mesos.scheduler import LARGE_BYTES, STREAM_ID, Call, Scheduler
from pymesos_master.services.leading import Leadership

MAX_BODY_BYTES = limits.ACCEPT.most  # of a request; one in JSON is larger than what it says
MOST_BODIES = 16  # read at a time
MOST_OF_ONE = 4  # of these
MOST_CONNECTIONS = 2000  # two of each framework
API = ("api", "v1")
SCHEDULER = (*API, "scheduler")
SCHEDULER_PATH = "/" + "/".join(SCHEDULER)
AGENTS = (("agent",), ("slave",))  # as before agents in DC/OS, by whatever is above a master
_LONGEST_FIRST = (SCHEDULER, API, *AGENTS, *sorted(METHODS, key=len, reverse=True))
REALM = "mesos-master-readwrite"
REALMS: Mapping[tuple[str, ...] | None, str] = {SCHEDULER: SCHEDULER_REALM}

log = logging.getLogger(__name__)


class MesosServer(Listener):
    """A server that is bound once it is made, and answers while it runs."""

    def __init__(
        self,
        leadership: Leadership,
        authenticator: Authenticator,
        listen: Listen,
        flags: Mapping[str, str] = {},
        credentials: Credentials | None = None,
    ) -> None:
        """`flags` are what operators are told of how this master is set; with `credentials` it
        speaks TLS. Raises ServingError."""
        super().__init__(
            self._handle,
            failed,
            listen,
            credentials,
            flag="choose another port with --mesos-port",
            most_connections=MOST_CONNECTIONS,
            silence_s=math.inf,  # Mesos' own clients take the end of one for that of all they do
            at_once=self._answer_at_once,
        )
        self._authenticator, self._turns = authenticator, leadership.turns
        here = Here(leadership.me.master_id, self.address, leadership.me.hostname)
        self._redirecting = Redirecting(leadership, here)
        self._scheduler = Scheduler(leadership, here)
        gathering, together = (
            Gathering(leadership, here, flags),
            Together(lambda done: len(done.body)),
        )
        self._operators = Operators(gathering, together)
        self._endpoints = Endpoints(gathering, together)
        self._watching = Streams(gathering)
        self._agents = AgentRelay(leadership, authenticator.revocations)
        self._names = crossing.names_of(leadership.me.hostname, self.address.host)
        self._bodies = asyncio.Semaphore(MOST_BODIES)
        # Whether a process of this one's user has it, by connection.
        self._own: WeakKeyDictionary[asyncio.BaseTransport, bool] = WeakKeyDictionary()
        # By taker: each is there as long as somebody waits for it.
        self._of_one: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            route, rest = _route(request.raw_path)
            if route in OPEN:
                caller = Caller(peer=_ip_of(request.transport), via="mesos")
            else:
                caller = self._caller(request.headers, request.transport, request.raw_path, route)
                self._check_no_page(request.headers, request.method)
            if route == SCHEDULER:
                check_method(request.method, ("POST",))
                return await self._scheduled(request, caller)
            if route == API:
                check_method(request.method, ("POST",))
                return await self._operated(request, caller)
            if route in AGENTS and rest:
                return await self._relayed(request, rest, caller)
            if route is None or route in AGENTS:
                raise RefusalError(404, "404 Not Found.")
            check_method(request.method, METHODS[route])
            named = request.method == "DELETE"  # else what is below is as if it were not there
            return _sent(await self._older(request, (*route, *rest) if named else route, caller))
        except RefusalError as refusal:
            return refused(request, refusal)

    def _answer_at_once(self, asked: Small, transport: asyncio.Transport) -> bytes | None:
        """Answer a call of a framework; None: it is no such call, or has to wait for something.

        What is refused takes time of its address, too: thousands may come at once.
        """
        if asked.path != SCHEDULER_PATH:
            return None
        turn = self._turns.turn(peer_of(_ip_of(transport)))
        if not turn.begins_now():
            return None
        try:
            caller = self._caller(asked.headers, transport, asked.path, SCHEDULER)
            self._check_no_page(asked.headers, "POST")
            leader = self._redirecting.leader(asked.path)
            call = self._scheduler.read_small(asked.headers, asked.body)
            done = self._scheduler.call_at_once(leader, call, asked.headers, caller)
        except RefusalError as refusal:
            return written(*said_of(refusal))
        finally:
            turn.end()
        return None if done is None else written(done.status, OURS)

    def _caller(
        self,
        headers: Mapping[str, str],
        transport: asyncio.Transport | None,
        raw_path: str,
        route: tuple[str, ...] | None,
    ) -> Caller:
        """Who calls. Raises RefusalError; also for who may not call this at all."""
        connection = transport.get_extra_info("ssl_object") if self._tls and transport else None
        caller = self._authenticator.caller(
            headers.get("Authorization"),
            _ip_of(transport),
            REALMS.get(route, REALM),
            authentication_of(connection),
            OF_FRAMEWORKS if route == SCHEDULER else OF_OPERATORS,
            lambda: self._is_own_user(transport),
        )
        if caller is None:
            self._redirecting.leader(raw_path)
            raise RefusalError(503, "this master has begun to lead: ask again")
        kind = caller.principal.partition("/")[0]
        if route == SCHEDULER and caller.is_proved and kind != Kind.FRAMEWORK:
            raise RefusalError(403, f"{caller.principal} may not subscribe: frameworks may")
        return caller

    def _is_own_user(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether a process of this one's user has a connection; it is looked for once."""
        if transport is None:
            return False
        if transport not in self._own:
            ends = (transport.get_extra_info(name)[:2] for name in ("peername", "sockname"))
            self._own[transport] = user_of(*ends) == os.geteuid()
        return self._own[transport]

    def _check_no_page(self, headers: Mapping[str, str], method: str) -> None:
        """Raises RefusalError for what a page of elsewhere may have had a browser send.

        Who shows no credentials is known by where he calls from, as a browser there would be. And a
        browser shows a certificate, or a password that it was told, whoever has it ask; no token.
        Of what is sent by POST browsers name the page, so who names none may have another name for
        this master. The headers know their names in whatever letters.
        """
        scheme = headers.get("authorization", "").partition(" ")[0].lower()
        if scheme == "bearer":
            return
        host = headers.get("host", "")
        problem = crossing.problem(headers, host)
        # A password is told to one name alone.
        if not scheme and (method != "POST" or "origin" in headers):
            problem = problem or crossing.host_problem(host, self._names)
        if problem is not None:
            needed = "an access token is" if scheme else "credentials are"
            raise RefusalError(403, f"{problem}, unless {needed} shown")

    def _few_of(self, caller: Caller) -> asyncio.Semaphore:
        """What lets few requests of one taker be at work at a time."""
        taker = caller.taker
        few = self._of_one.get(taker)
        return few or self._of_one.setdefault(taker, asyncio.Semaphore(MOST_OF_ONE))

    async def _relayed(
        self, request: web.BaseRequest, path: Sequence[str], caller: Caller
    ) -> web.StreamResponse:
        """Answer what is asked of an agent; the path begins with its id."""
        leader = self._redirecting.leader(request.raw_path)
        _, mark, query = request.raw_path.partition("?")
        self._check_callback(request, query_of(query), caller)
        agent_id, *below = path
        url = URL(f"http://agent/{'/'.join(below)}{mark}{query}", encoded=True)
        asked = Asked(unquote(agent_id), url, caller)
        with slot_of(request):
            return await self._agents.answer(leader, request, asked)

    def _check_callback(
        self, request: web.BaseRequest, query: Mapping[str, str], caller: Caller
    ) -> None:
        """Raises RefusalError for an answer that is to be a call of a page's, and may not be."""
        if (callback := query.get("jsonp")) is None:
            return
        # Only there browsers say which page asks.
        page_is_known = self._tls is not None or is_loopback(_ip_of(request.transport))
        if problem := jsonp_problem(callback, caller, page_is_known=page_is_known):
            raise RefusalError(403, problem)

    async def _older(self, request: web.BaseRequest, path: tuple[str, ...], caller: Caller) -> Done:
        """Answer an older endpoint."""
        query = query_of(request.raw_path.partition("?")[2])
        self._check_callback(request, query, caller)
        body = b""
        if request.method not in ("GET", "HEAD", "DELETE"):
            async with self._few_of(caller), self._bodies:
                body = await body_of(request, MAX_BODY_BYTES)
        asked = Request(request.method, path, query, body, caller)
        if path == ("redirect",):
            raise RefusalError(307, "", {"Location": f"//{self._redirecting.leads()}"})
        async with self._few_of(caller):
            self._authenticator.let_in(caller)  # who may have been revoked while it waited
            with slot_of(request):
                if (done := await self._endpoints.here(asked)) is not None:
                    return done
                leader = self._redirecting.leader(request.raw_path)
                return await self._endpoints.answer(leader, asked)

    async def _operated(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        """Answer a call of an operator."""
        leader = self._redirecting.leader(request.raw_path)
        async with self._few_of(caller):
            async with self._bodies:
                body = await body_of(request, MAX_BODY_BYTES)
                call, to = self._operators.read(request.headers, body)
            self._authenticator.let_in(caller)  # who may have been revoked while it came
            if call.type != OperatorCall.SUBSCRIBE:
                with slot_of(request):
                    return _sent(await self._operators.answer(leader, call, to, caller))
        response = Chunks({"Content-Type": to.value, **OURS})

        async def begin() -> Callable[[Sequence[bytes]], Awaitable[None]]:
            await response.begin(request)
            return response.send

        with slot_of(request):
            try:
                async with self._valid(caller):
                    await self._watching.serve(leader, caller, to, begin)
            except CallError as error:
                log.info("a stream of events has ended: %s", error.message)
                abort(request)
            except (TimeoutError, ConnectionError):  # it is not read
                abort(request)
        return response

    async def _scheduled(self, request: web.BaseRequest, caller: Caller) -> web.StreamResponse:
        leader = self._redirecting.leader(SCHEDULER_PATH)
        if request.content.is_eof() and request.content.total_bytes <= LARGE_BYTES:
            # As most are: it is here, and read at once, so nobody waits for it.
            body = await body_of(request, MAX_BODY_BYTES)
            call = await self._scheduler.read(request.headers, body)
        else:
            async with self._few_of(caller), self._bodies:
                body = await body_of(request, MAX_BODY_BYTES)
                call = await self._scheduler.read(request.headers, body)
        self._authenticator.let_in(caller)  # who may have been revoked while it came
        if call.type != Call.SUBSCRIBE:
            done = await self._scheduler.call(leader, call, request.headers, caller)
            return web.Response(status=done.status, headers=OURS)
        mine, subscribe = self._scheduler.subscription(call, request.headers, caller)
        del call, body  # they may be large, and the stream is long
        async with self._scheduler.turn_to_subscribe(caller):
            response = Chunks({STREAM_ID: mine.stream_id, "Content-Type": mine.media.value, **OURS})
            with slot_of(request):
                try:
                    async with self._valid(caller):
                        await response.begin(request)
                        await self._scheduler.serve(leader, subscribe, mine, response.send)
                        await response.end()
                except CallError as error:
                    log.info("the stream of %s has ended: %s", mine.framework_id, error.message)
                    abort(request)
                except (TimeoutError, ConnectionError):  # it is not read
                    abort(request)
            return response

    def _valid(self, caller: Caller) -> contextlib.AbstractAsyncContextManager[None]:
        """A stream ends when its caller is revoked, or what it has shown ends."""
        return while_valid(caller, self._authenticator.revocations)


def _ip_of(transport: asyncio.BaseTransport | None) -> str:
    return str((transport.get_extra_info("peername") or ("",))[0]) if transport else ""


_ABSOLUTE = re.compile(r"https?://[^/?]*", re.IGNORECASE)  # as who speaks to a proxy asks


@lru_cache(maxsize=256)
def _route(raw_path: str) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The endpoint that a path leads to, as Mesos finds it: the longest that it begins with.

    With it comes the rest of the path; None: there is no such endpoint.
    """
    path = _ABSOLUTE.sub("", raw_path).partition("?")[0]
    parts = tuple(part for part in path.split("/") if part)
    if parts[:1] == ("master",):
        parts = parts[1:]
    for known in _LONGEST_FIRST:
        if parts[: len(known)] == known:
            return known, parts[len(known) :]
    return None, ()


def _sent(done: Done) -> web.Response:
    headers = OURS if not done.content_type else {"Content-Type": done.content_type, **OURS}
    return web.Response(status=done.status, body=done.body, headers=headers)
