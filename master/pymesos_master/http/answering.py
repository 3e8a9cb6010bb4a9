"""From a request to its answer: who asks, for what, and what comes of it, without any HTTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from typing import Any

from pymesos_core.addresses import parse_host_port
from pymesos_core.caller import Caller
from pymesos_core.following import LEADER_KEY
from pymesos_core.json_dialect import Json, to_json
from pymesos_core.security.gate import Authentication, Gate
from pymesos_core.streams import in_thread
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, Code
from pymesos_core.turns import Turns
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


@dataclass(frozen=True)
class Admitted:
    """A request of somebody who may make it, of which the answer is to be made yet."""

    route: Route
    asked: Any  # what its call takes
    caller: Caller

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


def refusal(status: int, code: str, message: str, headers: Mapping[str, str] = {}) -> Answer:
    """The answer to what is not done."""
    return Answer(status, _bytes({"error": {"code": code, "message": message}}), headers)


def _refused(error: CallError) -> Answer:
    # A master that is on the way to lead, or asks one that is not any more.
    away = error.code is Code.FAILED_PRECONDITION and LEADER_KEY in error.trailing
    code = Code.UNAVAILABLE if away else error.code
    return refusal(STATUS.get(code, 500), code.name, error.message)


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
        self._turns = Turns()
        self._routes = {route.path: route for route in ROUTES}
        self._document = _bytes(openapi.document(ROUTES))

    def admit(self, request: Request) -> Admitted | Answer:
        """Return what is to be answered yet, or the answer where that is known at once.

        So whom the gate refuses, or who asks for what there is not, costs next to nothing.
        """
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
            if route.open:
                caller = Caller(peer=request.peer, via="http")
            else:
                caller = self._let_in(route.call, request)
            return Admitted(route, route.to_request(read_query(query, route.parameters)), caller)
        except CallError as error:
            return _refused(error)

    async def answer(self, admitted: Admitted) -> Answer:
        """Return what a request is answered: every refusal is one, too."""
        try:
            if admitted.route.paged:
                answer = await self._ask(admitted)
                return Answer(200, await in_thread(lambda: _bytes(admitted.route.to_json(answer))))
            return Answer(200, await in_thread(_bytes, await self._joined(admitted)))
        except CallError as error:
            return _refused(error)

    async def _joined(self, admitted: Admitted) -> list[Json]:
        """The entries of all pages. Raises CallError."""
        for _ in range(JOIN_TRIES):
            try:
                return await self._pages_joined(admitted)
            except CallError as error:
                if error.code is not Code.ABORTED:
                    raise
                admitted.asked.page.page_token = ""
        raise CallError(
            Code.UNAVAILABLE, "the list was forgotten while its pages were joined; ask again"
        )

    async def _pages_joined(self, admitted: Admitted) -> list[Json]:
        joined: list[Json] = []
        while True:
            answer = await self._ask(admitted)
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
            admitted.asked.page.page_token = answer.next_page_token

    async def _ask(self, admitted: Admitted) -> Any:
        route = admitted.route
        await self._turns.next(admitted.taker)
        return await self._operators.ask(
            f"Operator.{route.call}", admitted.asked, admitted.caller, here=route.here
        )

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
