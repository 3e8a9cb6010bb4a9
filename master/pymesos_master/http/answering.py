"""From a request to its answer: who asks, for what, and what comes of it, without any HTTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from pymesos_core.addresses import parse_host_port
from pymesos_core.budgets import PeerBudgets
from pymesos_core.caller import Caller
from pymesos_core.following import LEADER_KEY
from pymesos_core.json_dialect import Json, to_json
from pymesos_core.security.gate import Authentication, Gate
from pymesos_core.streams import in_thread
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_master.http import openapi
from pymesos_master.http.asking import read_query
from pymesos_master.http.routes import ROUTES, Route
from pymesos_master.services.relaying import OperatorCalls

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
OPEN_PATHS = frozenset(route.path for route in ROUTES if route.open)
METHODS = ("GET", "HEAD")
MOST_JOINED = 10_000  # entries of an answer that has no pages
JOIN_TRIES = 2  # of a list whose later pages nobody knows any more
ANY_PORT = 80  # a Host without one names it
NAMES_HERE = frozenset({"localhost"})


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    target: str  # path and query, as they came
    host: str  # the header
    peer: str  # "ipv4:10.0.0.7"
    has_body: bool = False
    authentication: Authentication = field(default_factory=dict)

    @property
    def taker(self) -> str:
        """Who takes an answer: whom the certificate names, or else the address."""
        return next((uri.decode() for uri in self.authentication.get("peer_uri", ())), self.peer)


@dataclass(frozen=True)
class Answer:
    """What it is answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> Answer:
    """The answer to what is not done."""
    return Answer(status, _bytes({"error": {"code": code, "message": message}}), headers)


def _bytes(value: Any) -> bytes:
    return to_json(value, None).encode() + b"\n"


class Answering:
    """Answers requests by the table of routes."""

    def __init__(
        self, operators: OperatorCalls, gate: Gate, *, closed: bool, hostname: str = ""
    ) -> None:
        """`closed`: the cluster has certificates."""
        self._operators = operators
        self._gate = gate
        self._closed = closed
        self._names = NAMES_HERE | {hostname.lower()}
        self._budgets = PeerBudgets()
        self._routes = {route.path: route for route in ROUTES}
        self._document = _bytes(openapi.document(ROUTES))

    async def answer(self, request: Request) -> Answer:
        """Return what a request is answered: every refusal is one, too."""
        path, _, query = request.target.partition("?")
        try:
            if request.method not in METHODS:
                told = f"{quoted(request.method)} is not answered; GET is"
                return refusal(405, "UNIMPLEMENTED", told, {"Allow": ", ".join(METHODS)})
            if request.has_body:
                raise CallError(Code.INVALID_ARGUMENT, "no body is expected; send none")
            if path == openapi.PATH:
                self._let_in("GetHealth", request)
                read_query(query, ())
                return Answer(200, self._document)
            route = self._routes.get(path)
            if route is None:
                told = f"there is no {quoted(path)}; {openapi.PATH} lists what there is"
                raise CallError(Code.NOT_FOUND, told)
            return await self._of_route(route, query, request)
        except CallError as error:
            # A master that is on the way to lead, or asks one that is not any more.
            away = error.code is Code.FAILED_PRECONDITION and LEADER_KEY in error.trailing
            code = Code.UNAVAILABLE if away else error.code
            return refusal(STATUS.get(code, 500), code.name, error.message)

    async def _of_route(self, route: Route, query: str, request: Request) -> Answer:
        if route.open:
            caller = Caller(peer=request.peer, via="http")
        else:
            caller = self._let_in(route.call, request)
        taker = caller.taker or request.peer
        with self._budgets.counted(route.path, taker):
            await self._budgets.turn(taker)
            asked = route.to_request(read_query(query, route.parameters))
            if route.paged:
                answer = await self._operators.ask(route.call, asked, caller, here=route.here)
                return Answer(200, await in_thread(lambda: _bytes(route.to_json(answer))))
            joined = await self._joined(route, asked, caller)
        if len(joined) > MOST_JOINED:
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"this would be more than {MOST_JOINED} entries; ask for fewer, by the parameters"
                f" that {openapi.PATH} lists",
            )
        return Answer(200, await in_thread(_bytes, joined))

    async def _joined(self, route: Route, asked: Any, caller: Caller) -> list[Json]:
        """The entries of all pages, or more than there may be. Raises CallError."""
        for _ in range(JOIN_TRIES):
            try:
                return await self._pages_joined(route, asked, caller)
            except CallError as error:
                if error.code is not Code.ABORTED:
                    raise
                asked.page.page_token = ""
        raise CallError(
            Code.UNAVAILABLE, "the list was forgotten while its pages were joined; ask again"
        )

    async def _pages_joined(self, route: Route, asked: Any, caller: Caller) -> list[Json]:
        joined: list[Json] = []
        while True:
            answer = await self._operators.ask(route.call, asked, caller)
            joined += await in_thread(route.to_json, answer)
            if not answer.next_page_token or len(joined) > MOST_JOINED:
                return joined
            asked.page.page_token = answer.next_page_token
            await self._budgets.turn(caller.taker)

    def _let_in(self, call: str, request: Request) -> Caller:
        """Who makes a call of Operator. Raises CallError for whom it is not for."""
        if not self._closed:
            self._check_host(request.host)
        elif not request.authentication:  # of whom the audit would tell nothing
            raise CallError(
                Code.UNAUTHENTICATED,
                "this cluster has certificates, and none was shown: ask with one of an operator,"
                " and its key (see `pymesos-cli cluster --help`)",
            )
        path = f"/pymesos.v1.Operator/{call}"
        return replace(self._gate(path, request.peer, request.authentication), via="http")

    def _check_host(self, host: str) -> None:
        """Raises CallError for a name that a page elsewhere may have made up for this address.

        In an open cluster nothing else keeps a browser's pages from reading it.
        """
        try:
            name = parse_host_port(host, ANY_PORT).host
            if name.lower() in self._names or ipaddress.ip_address(name):
                return
        except ValueError:  # AddressError is one
            pass
        raise CallError(
            Code.PERMISSION_DENIED,
            f"the header Host says {quoted(host)}; expected is this master's address, or its"
            f" --hostname, since this cluster has no certificates",
        )
