"""One route: a path with a method, the call that answers it, and how both are said in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from pymesos_core.json_dialect import Json
from pymesos_core.limits import KIB
from pymesos_master.http.asking import Asked, Parameter, one_of, text, whole
from pymesos_master.http.schemas import record
from pymesos_master.queries.paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from pymesos_proto.v1 import operator_pb2 as pb

JSON = "application/json"
# What pages show of a cluster, again and again. Nothing of it is written in the audit.
SHARED = frozenset(
    {
        "Jobs.ListJobs",
        "Operator.GetOverview",
        "Operator.ListAgents",
        "Operator.ListFrameworks",
        "Operator.ListOffers",
        "Operator.ListRoles",
        "Operator.ListTasks",
    }
)


@dataclass(frozen=True)
class Route:
    """A path that is answered: by which call of a service, and how that is said in JSON."""

    path: str  # a part of it may be the name of one of `in_path`, as in /v1/frameworks/{id}
    what: str  # it answers or does, as a sentence
    call: str
    schema: Json  # of the answer
    to_request: Callable[[Asked], Any]
    to_json: Callable[[Any], Any]
    parameters: tuple[Parameter, ...] = ()  # of the query
    paged: bool = True  # by the client; else to_json gives entries of a page, and all are joined
    here: bool = False  # every master answers of itself
    open: bool = False  # to who has no certificate, too
    method: str = "GET"  # or POST
    in_path: tuple[Parameter, ...] = ()
    body: tuple[Parameter, ...] = ()  # the fields of the object that a POST takes
    body_bytes: int = 16 * KIB  # at most
    service: str = "Operator"
    status: int = 200  # 101: a WebSocket is opened
    content_type: str = JSON  # another: to_json gives bytes, with these headers
    headers: Callable[[Any], Mapping[str, str]] = lambda answer: {}
    scrape: bool = False  # also to an access token that is for scraping

    def __post_init__(self) -> None:
        assert self.method == "POST" or (self.method == "GET" and not self.body), self.path
        assert self.names == tuple(parameter.name for parameter in self.in_path), self.path
        every = [one.name for one in chain(self.parameters, self.in_path, self.body)]
        assert len(set(every)) == len(every), f"{self.path}: two parameters have one name"

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """What is between the slashes."""
        return tuple(self.path.split("/"))

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are names of parameters."""
        return tuple(part[1:-1] for part in self.parts if part.startswith("{"))

    @property
    def shared(self) -> bool:
        """Whether an answer of a moment ago does, if who asks says so (see `fresh`)."""
        return self.method == "GET" and self.full_call in SHARED

    @property
    def elsewhere(self) -> bool:
        """Whether others answer it than masters, who may take long."""
        return self.service in ("Jobs", "Sandbox")

    @property
    def full_call(self) -> str:
        """As the table of needs has it: "Operator.ListAgents"."""
        return f"{self.service}.{self.call}"


DONE = record("It is done.")  # there is nothing to say of it


def deed(
    path: str,
    what: str,
    call: str,
    to_request: Callable[[Asked], Any],
    body: tuple[Parameter, ...],
    schema: Json = DONE,
    to_json: Callable[[Any], Json] = lambda answer: {},
    **more: Any,
) -> Route:
    """A route by which something is changed; usually nothing but that is answered."""
    return Route(
        path,
        what,
        call,
        schema,
        to_request,
        to_json,
        method="POST",
        body=body,
        **more,
    )


PAGE = (
    whole(
        "limit",
        f"How many there are on a page at most; {DEFAULT_PAGE_SIZE} if it is left out.",
        1,
        MAX_PAGE_SIZE,
    ),
    text(
        "page_token",
        "The `next_page_token` of the page before. It lives for a minute, with the master that"
        " leads; then the answer is 409, and the list has to be begun anew.",
    ),
)
ID_PREFIX = text("id_prefix", "Only those whose id begins so.")


def sorts(keys: Sequence[str]) -> Parameter:
    """The parameter that says by what a list is sorted."""
    return one_of(
        "sort",
        "By what they are sorted; with `-` the largest first. It may be two seconds old.",
        [sign + key for key in keys for sign in ("", "-")],
    )


def page_of(asked: Asked) -> pb.Page:
    """The page that is asked for."""
    return pb.Page(page_size=asked.number("limit"), page_token=asked.text("page_token"))


def listed(name: str, items: Iterable[Json], answer: Any) -> Json:
    """A page of a list, as `schemas.listing` has it."""
    return {name: [*items], "next_page_token": answer.next_page_token or None}
