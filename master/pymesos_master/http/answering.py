"""From a request to its answer: who asks, for what, and what comes of it, without any HTTP."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http import HTTPStatus
from itertools import islice
from typing import Any, Protocol

from pymesos_core import crossing
from pymesos_core.caller import Caller, Method
from pymesos_core.following import LEADER_KEY
from pymesos_core.json_dialect import Json, to_json
from pymesos_core.security.access_tokens import (
    NO_SESSION,
    digest_of,
    new_session,
    session_cookies,
    shown_session,
)
from pymesos_core.security.gate import Authentication, Gate
from pymesos_core.security.rights import SCRAPE, SCRAPING, SIGN_IN
from pymesos_core.streams import in_thread
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_core.turns import Turns
from pymesos_master.core.access_tokens import OPEN
from pymesos_master.http import openapi, sessions
from pymesos_master.http.asking import NOTHING, Asked, read_body, read_part, read_query
from pymesos_master.http.events import Events
from pymesos_master.http.exec import Talk
from pymesos_master.http.fresh import Fresh, Kept, max_age_s
from pymesos_master.http.routes import ROUTES
from pymesos_master.http.routes.access import SIGN_IN_ROUTE, SIGN_OUT_ROUTE
from pymesos_master.http.routes.table import JSON, Route
from pymesos_master.http.sessions import Guesses
from pymesos_master.http.stream_routes import EXEC, STREAMS, Doors, Socket, Stream
from pymesos_master.http.streams import Parts
from pymesos_master.services.access_tokens import AccessTokens
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.services.sandbox_calls import SandboxCalls
from pymesos_proto.v1 import operator_pb2 as pb

ALL: tuple[Route, ...] = (*ROUTES, *STREAMS, EXEC)
STATUS = {
    Code.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    Code.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    Code.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    Code.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Code.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    Code.ABORTED: HTTPStatus.CONFLICT,
    Code.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    Code.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    Code.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    Code.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
MOST_READ = 256  # requests that pages repeat, of which what they ask for is read once
MOST_JOINED = 10_000  # entries of an answer that has no pages
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="pymesos"'}
JOIN_TRIES = 2  # of a list whose later pages nobody knows any more
_JSON = re.compile(r"application/json(\s*;\s*charset=\"?utf-8\"?)?", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    target: str  # path and query, as they came
    host: str  # the header
    peer: str  # "ipv4:10.0.0.7"
    has_body: bool = False
    authentication: Authentication = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # by their names in small letters


@dataclass(frozen=True)
class Admitted:
    """A request of somebody who may make it, of which the answer is to be made yet."""

    route: Route
    asked: Asked  # by its path and its query
    caller: Caller
    token: bytes = b""  # the digest of an access token, of which the leader knows whose it is
    target: str = ""  # path and query, as they came
    max_age_s: float = 0.0  # how old the answer may be

    @property
    def seen(self) -> Hashable:
        """What is asked for, and who asks: the answers to two who have the same are the same."""
        return self.target, replace(self.caller, peer="")

    @property
    def taker(self) -> str:
        """Who takes the answer: a principal, or else an address."""
        return self.caller.taker or self.caller.peer


@dataclass(frozen=True)
class Answer:
    """What it is answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()  # each a header Set-Cookie


class Calls(Protocol):
    """What answers the calls of a service, here or wherever it is."""

    async def ask(self, method: str, request: Any, caller: Caller, *, here: bool = False) -> Any:
        """The answer to a call, named as in the table of needs. Raises CallError."""


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> Answer:
    """The answer to what is not done."""
    return Answer(status, _bytes({"error": {"code": code, "message": message}}), headers)


def refused(error: CallError) -> Answer:
    """The answer to what is refused."""
    # A master that is on the way to lead, or asks one that is not any more.
    away = error.code is Code.FAILED_PRECONDITION and LEADER_KEY in error.trailing
    code = Code.UNAVAILABLE if away else error.code
    headers = CHALLENGE if code is Code.UNAUTHENTICATED else {}
    return refusal(STATUS.get(code, 500), code.name, error.message, headers)


def _bytes(value: Any) -> bytes:
    return to_json(value, None).encode() + b"\n"


def _made(route: Route, answer: Any) -> Answer:
    """What is answered of what a call has. Raises CallError for what somebody else made up."""
    try:
        said = route.to_json(answer)
        if route.content_type == JSON:
            return Answer(200, _bytes(said))
    except (ValueError, RecursionError) as error:
        told = str(error) if isinstance(error, ValueError) else "the answer is nested too deeply"
        raise CallError(Code.INTERNAL, told) from None
    return Answer(200, said, {**route.headers(answer), "Content-Type": route.content_type})


def _wrong_method(method: str, found: Collection[str]) -> Answer:
    allowed = [*found, "HEAD"] if "GET" in found else found
    told = f"{quoted(method)} is not answered here; {' or '.join(found)} is"
    return refusal(405, "UNIMPLEMENTED", told, {"Allow": ", ".join(allowed)})


def _in_path(path: str, route: Route) -> Asked:
    """The parameters in a path. Raises CallError."""
    if not route.in_path:
        return NOTHING
    parts = (
        part for part, of in zip(path.split("/"), route.parts, strict=True) if of.startswith("{")
    )
    pairs = zip(route.in_path, parts, strict=True)
    return Asked({parameter.name: read_part(part, parameter) for parameter, part in pairs})


def _body_refused(request: Request, route: Route) -> Answer | None:
    """The answer to a POST of another site's page, or of what is no body for this route; or None.

    It is known before any of the body is read.
    """
    headers = request.headers
    if problem := crossing.problem(headers, request.host):
        return refusal(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", problem)
    kind = headers.get("content-type", "")
    if not _JSON.fullmatch(kind) or headers.get("content-encoding", "identity") != "identity":
        told = (
            f"a JSON object is expected, as it is, with the header"
            f" Content-Type: application/json; it says {quoted(kind)}"
        )
        return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT", told)
    length = headers.get("content-length", "0")
    return None if len(length) < 20 and int(length) <= route.body_bytes else too_large(route)


def _socket_refused(request: Request) -> Answer | None:
    """The answer to a page of another site, or to who opens no WebSocket; or None."""
    if problem := crossing.problem(request.headers, request.host):
        return refusal(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", problem)
    if request.headers.get("upgrade", "").lower() == "websocket":
        return None
    told = "this path is for a WebSocket: see RFC 6455"
    return refusal(HTTPStatus.UPGRADE_REQUIRED, "INVALID_ARGUMENT", told, {"Upgrade": "websocket"})


def too_large(route: Route) -> Answer:
    """The answer to a body that is larger than a route takes."""
    told = f"the body has more than {route.body_bytes} bytes, which is the most that is taken here"
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "INVALID_ARGUMENT", told)


def _by_token(route: Route, caller: Caller) -> Caller:
    """Who asks for a route by a token. Raises CallError for who may not ask for it."""
    if caller.rights == (SIGN_IN,) and route is not SIGN_IN_ROUTE:
        told = f"this is a code to sign in with at {SIGN_IN_ROUTE.path}, and nothing else"
        raise CallError(Code.PERMISSION_DENIED, told)
    if caller.rights != (SCRAPE,):
        return caller
    if not route.scrape:
        told = f"this access token is for scraping alone: for {quoted(route.path)} have another"
        raise CallError(Code.PERMISSION_DENIED, told)
    return replace(caller, rights=SCRAPING)


class Routed:
    """Routes by their paths and methods."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._named: dict[int, dict[tuple[str, ...], dict[str, Route]]] = {}
        for route in routes:
            if route.names:
                of = self._named.setdefault(len(route.parts), {}).setdefault(route.parts, {})
            else:
                of = self._exact.setdefault(route.path, {})
            assert route.method not in of, route.path
            of[route.method] = route

    def find(self, path: str) -> Mapping[str, Route]:
        """The routes of a path, by their methods; none: there is no such path.

        GET of a name that is a verb, too, is of what is called so.
        """
        parts = path.split("/")
        for named, of in self._named.get(len(parts), {}).items():
            if all(a == b or (b.startswith("{") and a) for a, b in zip(parts, named, strict=True)):
                return of | self._exact.get(path, {})
        return self._exact.get(path, {})


class Answering:
    """Answers requests by the table of routes."""

    def __init__(
        self,
        operators: OperatorCalls,
        gate: Gate,
        *,
        tokens: AccessTokens | None,
        hostname: str = "",
        others: Mapping[str, Calls] = {},
        sandboxes: SandboxCalls | None = None,
    ) -> None:
        """`tokens` are of a cluster with certificates; `others` are services beside Operator.

        `sandboxes` are where commands are run, if they are.
        """
        self._sandboxes = sandboxes
        self._operators = operators
        self._fresh: Fresh[Answer] = Fresh(lambda: operators.mono_s)
        self._services: Mapping[str, Calls] = {"Operator": operators, **others}
        self._gate = gate
        self._tokens = tokens
        names = crossing.names_of(hostname)
        self._host_problem = lru_cache(MOST_READ)(lambda host: crossing.host_problem(host, names))
        self._asked = lru_cache(MOST_READ)(self._read)
        self._turns = Turns()
        self._guesses = Guesses()
        self._routed = Routed((*ALL, openapi.route(ALL)))
        self._doors = Doors(Events(operators), operators)

    def admit(self, request: Request) -> Admitted | Answer:
        """Return what is to be answered yet, or the answer where that is known at once.

        So whom the gate refuses, or who asks for what there is not, costs next to nothing.
        """
        path, _, query = request.target.partition("?")
        try:
            found = self._routed.find(path)
            if not found:
                told = f"there is no {quoted(path)}; {openapi.PATH} lists what there is"
                raise CallError(Code.NOT_FOUND, told)
            method = "GET" if request.method == "HEAD" else request.method
            if method not in found:
                return _wrong_method(request.method, found)
            route = found[method]
            if method == "GET" and request.has_body:
                raise CallError(Code.INVALID_ARGUMENT, "no body is expected; send none")
            problem = crossing.reading_problem(request.headers)
            if method == "GET" and problem and not route.open:
                return refusal(HTTPStatus.FORBIDDEN, "PERMISSION_DENIED", problem)
            if method == "POST" and (no_body := _body_refused(request, route)):
                return no_body
            if request.method == "HEAD" and isinstance(route, Stream | Socket):
                told = "a stream is for GET alone"
                return refusal(405, "UNIMPLEMENTED", told, {"Allow": "GET"})
            if isinstance(route, Socket) and (no_socket := _socket_refused(request)):
                return no_socket
            try:
                caller, token = self._let_in(route, request)
            except CallError as error:
                self._note(route, request.peer, error)
                raise
            asked = self._asked(method, path, query)
            if isinstance(route, Stream):
                asked |= route.resumed(request.headers)
            age_s = max_age_s(request.headers.get("cache-control", "")) if route.shared else 0.0
            return Admitted(route, asked, caller, token, request.target, age_s)
        except CallError as error:
            return refused(error)

    def _read(self, method: str, path: str, query: str) -> Asked:
        """The parameters of a request. Raises CallError, for one that is none."""
        route = self._routed.find(path)[method]
        return _in_path(path, route) | read_query(query, route.parameters)

    def parts(self, admitted: Admitted) -> Parts:
        """Return what a stream says."""
        assert isinstance(admitted.route, Stream)
        request = admitted.route.to_request(admitted.asked)
        return admitted.route.opened(self._doors, request, admitted.caller)

    def talk(self, admitted: Admitted) -> Talk:
        """Return what goes on over a WebSocket. Raises CallError."""
        if self._sandboxes is None:
            raise CallError(Code.UNIMPLEMENTED, "this master runs no commands by HTTP")
        named, task_id = admitted.asked.text("framework_id"), admitted.asked.text("task_id")
        found = self._sandboxes.whereabouts(admitted.caller, named, task_id)
        framework_id, agent_id = found
        return Talk(self._sandboxes, admitted.caller, framework_id, task_id, agent_id)

    def known(self, admitted: Admitted) -> Answer | None:
        """Return the answer of a moment ago, if there is one and that does for who asks."""
        if not admitted.max_age_s or (of := self._operators.answers_are_of()) is None:
            return None
        return self._fresh.find(admitted.seen, admitted.max_age_s, of)

    async def answer(self, admitted: Admitted, body: bytes = b"") -> Answer:
        """Return what a request is answered, whose body this is: every refusal is one, too."""
        if (known := self.known(admitted)) is not None:  # made while this one waited
            return known
        of = self._operators.answers_are_of() if admitted.max_age_s else None
        begun = self._fresh.begin()
        made = await self._answer(admitted, body)
        if admitted.route.method == "POST":
            self._fresh.forget()
        elif of is not None and made.status == HTTPStatus.OK:
            self._fresh.keep(admitted.seen, begun, Kept(made, len(made.body), of))
        return made

    async def _answer(self, admitted: Admitted, body: bytes) -> Answer:
        route, asked = admitted.route, admitted.asked
        try:
            if route.method == "POST":
                asked |= await in_thread(read_body, body, route.body)
            request = route.to_request(asked)
            if route is SIGN_IN_ROUTE:
                return await self._sign_in(admitted, request)
            if route is SIGN_OUT_ROUTE:
                return await self._sign_out(admitted, request)
            if route.paged:
                answer = await self._ask(admitted, request)
                return await in_thread(_made, route, answer)
            return Answer(200, await in_thread(_bytes, await self._joined(admitted, request)))
        except CallError as error:
            return refused(error)

    async def _sign_in(self, admitted: Admitted, request: pb.SignInRequest) -> Answer:
        """Begin a session, whose secret the browser alone is told."""
        session = new_session()
        request.digest = digest_of(session)
        answer = await self._ask(admitted, request)
        cookies = session_cookies(session, answer.lifetime_s)
        return replace(_made(admitted.route, answer), cookies=cookies)

    async def _sign_out(self, admitted: Admitted, request: pb.RevokeAccessTokenRequest) -> Answer:
        """End the session by which this is asked."""
        if admitted.caller.method is not Method.SESSION:
            raise CallError(Code.FAILED_PRECONDITION, "no browser asks this that has signed in")
        request.id = admitted.caller.credential_id
        return replace(
            _made(admitted.route, await self._ask(admitted, request)), cookies=NO_SESSION
        )

    async def _joined(self, admitted: Admitted, request: Any) -> list[Json]:
        """The entries of all pages. Raises CallError."""
        for _ in range(JOIN_TRIES):
            try:
                return await self._pages_joined(admitted, request)
            except CallError as error:
                if error.code is not Code.ABORTED:
                    raise
                request.page.page_token = ""
        raise CallError(
            Code.UNAVAILABLE, "the list was forgotten while its pages were joined; ask again"
        )

    async def _pages_joined(self, admitted: Admitted, request: Any) -> list[Json]:
        joined: list[Json] = []
        while True:
            answer = await self._ask(admitted, request)
            entries = islice(admitted.route.to_json(answer), MOST_JOINED + 1 - len(joined))
            joined += await in_thread(list, entries)
            if len(joined) > MOST_JOINED:
                raise CallError(
                    Code.RESOURCE_EXHAUSTED,
                    f"this would be more than {MOST_JOINED} entries; ask for fewer, by the"
                    f" parameters that {openapi.PATH} lists",
                )
            if not answer.next_page_token:
                return joined
            request.page.page_token = answer.next_page_token

    async def _ask(self, admitted: Admitted, request: Any) -> Any:
        route = admitted.route
        await self._turns.next(admitted.taker)
        service = self._services[route.service]
        return await service.ask(route.full_call, request, admitted.caller, here=route.here)

    async def identified(self, admitted: Admitted) -> Admitted | Answer:
        """Return the same once it is known who asks by an access token, or the refusal."""
        assert self._tokens is not None
        try:
            caller = await self._tokens.anywhere(admitted.token, admitted.caller.peer)
            return replace(admitted, caller=_by_token(admitted.route, caller), token=b"")
        except CallError as error:
            self._note(admitted.route, admitted.caller.peer, error)
            return refused(error)

    def _note(self, route: Route, peer: str, error: CallError) -> None:
        """Count a code to sign in with that is none."""
        if route is SIGN_IN_ROUTE and error.code is Code.UNAUTHENTICATED:
            self._guesses.wrong(peer)

    def _let_in(self, route: Route, request: Request) -> tuple[Caller, bytes]:
        """Who asks, or the digest of an access token of which only the leader knows.

        Raises CallError for whom it is not for.
        """
        nobody = Caller(peer=request.peer, via="http")
        if route.open:
            return nobody, b""
        authorization = request.headers.get("authorization")
        if self._tokens is None:
            self._check_host(request.host)
            if authorization is not None:
                raise CallError(Code.UNAUTHENTICATED, OPEN)
        elif authorization is not None:
            digest = self._tokens.digest(authorization)
            caller = self._known(route, digest, request.peer)
            return (nobody, digest) if caller is None else (_by_token(route, caller), b"")
        elif not request.authentication:  # of whom the audit would tell nothing
            if session := shown_session(request.headers.get("cookie", "")):
                is_socket = isinstance(route, Socket)
                sessions.check(session, request.method, request.headers, is_socket=is_socket)
                found = self._tokens.here(digest_of(session), request.peer)
                return (nobody, digest_of(session)) if found is None else (found, b"")
            raise CallError(
                Code.UNAUTHENTICATED,
                "this cluster has certificates, and none was shown: ask with one of an operator and"
                " its key (see `pymesos-cli cluster --help`), with an access token (`pymesos-cli"
                " token make`), or sign in with a code (`pymesos-cli web --code`)",
            )
        path = f"/pymesos.v1.{route.service}/{route.call}"
        caller = self._gate(path, request.peer, request.authentication)
        return replace(caller, via="http"), b""

    def _known(self, route: Route, digest: bytes, peer: str) -> Caller | None:
        """Who shows an access token; None where another master may know. Raises CallError.

        Who shows a good code to the leader signs in, however many wrong ones came from his address:
        others may be behind the same proxy. None is looked for elsewhere then.
        """
        assert self._tokens is not None
        caller: Caller | None = None
        try:
            caller = self._tokens.here(digest, peer)
        finally:
            if caller is None and route is SIGN_IN_ROUTE:
                self._guesses.check(peer)
        return caller

    def _check_host(self, host: str) -> None:
        """Raises CallError: in an open cluster nothing else keeps a page from reading it."""
        if problem := self._host_problem(host):
            told = f"{problem}, since this cluster has no certificates"
            raise CallError(Code.PERMISSION_DENIED, told)
