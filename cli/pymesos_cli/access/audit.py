"""`audit`: who changed what, and what was denied."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_cli.output import note, print_json, printable
from pymesos_cli.services import not_connected, service, serving
from pymesos_core.json_dialect import audit_line_json, master_source
from pymesos_core.security.policy import Verb
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for; what is empty leaves all."""

    since: float | None  # seconds ago
    who: str
    verb: str
    denied: bool


async def show_audit(cluster: Cluster, wanted: Wanted, *, as_json: bool) -> None:
    """`pymesos-cli audit`: what masters, and frameworks that serve jobs, wrote, the oldest first.

    Raises CliError once all is shown that there is, if one of them was not reached.
    """
    if wanted.verb and wanted.verb not in set(Verb):
        raise CliError(f"{quoted(wanted.verb)} is no verb; these are: {', '.join(Verb)}")
    reading = Reading(cluster, wanted)
    shown = 0
    async for line in reading.lines():
        shown += 1
        if as_json:
            print_json(line, indent=None)
        else:
            print(printable(in_words(line)))
    what = "nothing like that" if not shown else "that is all"
    note(
        f"{what} in the audit of {' and '.join(reading.read)}; masters and instances of frameworks"
        f" that do not run now have theirs on their own machines"
    )
    for address in reading.standing_by:
        note(f"{address} stands by: what it wrote while it led is on its own machine")
    for none in reading.none:
        note(none)
    if reading.missing:
        raise CliError(f"what others have written is missing: {'; '.join(reading.missing)}")


OF_FRAMEWORKS = "the framework "  # so the names of those begin
MOST_NAMED = 20  # instances of a framework
MAX_PAGES = 4096  # of a framework, which would be 1 GiB; a master is taken at its word


@dataclass(frozen=True)
class Source:
    """One that has written an audit."""

    name: str
    page: Callable[[str], Awaitable[pb.ReadAuditResponse]]  # by a cursor


class Reading:
    """The audit of every master and framework that runs, read page by page and merged by time."""

    def __init__(self, cluster: Cluster, wanted: Wanted) -> None:
        self._cluster = cluster
        self._wanted = pb.ReadAuditRequest(
            since_s=max(0.0, time.time() - wanted.since) if wanted.since is not None else 0.0,
            who=wanted.who,
            verb=wanted.verb,
            denied=wanted.denied,
        )
        self.read: list[str] = []  # those that answered
        self.none: list[str] = []  # those that write none, as they say it
        self.standing_by: list[str] = []  # instances of frameworks, which answer nobody
        self.missing: list[str] = []  # the others, and why

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Each line, the oldest first. Raises CliError if the master that leads is not read."""
        first = await self._page_of_master("", "")
        leading = self._master(first.master)
        of_each = [self._of(leading, first)]
        for source in [*map(self._master, first.others), *await self._frameworks()]:
            try:
                page = await source.page("")
                of_each.append(self._of(source, page))
                self.standing_by += (
                    f"{source.name} at {quoted(at)}" for at in page.others[:MOST_NAMED]
                )
            except NotFoundError as error:
                self.none.append(f"{source.name}: {error.message}")
            except CliError as error:
                self.missing.append(f"{source.name}: {error.message}")
        next_of: list[tuple[str, int, dict[str, Any]]] = []  # the next line of each, a heap

        async def put(number: int) -> None:
            if (line := await anext(of_each[number], None)) is not None:
                heappush(next_of, (str(line.get("time")), number, line))

        for number in range(len(of_each)):
            await put(number)
        while next_of:
            _, number, line = heappop(next_of)
            yield line
            await put(number)

    async def _of(
        self, source: Source, page: pb.ReadAuditResponse
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the lines of one source, from its first page on."""
        self.read.append(source.name)
        try:
            for number in count(1):
                for line in page.lines:
                    yield _read(line, source.name)
                if not page.cursor:
                    return
                if number == MAX_PAGES and source.name.startswith(OF_FRAMEWORKS):
                    raise CliError(f"it has not ended after {MAX_PAGES} pages")
                before, page = page.cursor, await source.page(page.cursor)
                if page.cursor == before:
                    raise CliError("it answers the same page again and again")
        except CliError as error:
            self.missing.append(f"{source.name}, from some line on: {error.message}")

    # Whom there is to ask.

    def _master(self, address: str) -> Source:
        return Source(master_source(address), lambda cursor: self._page_of_master(address, cursor))

    async def _page_of_master(self, address: str, cursor: str) -> pb.ReadAuditResponse:
        request = self._request(cursor, address)

        async def ask(stub: Any, timeout_s: float) -> pb.ReadAuditResponse:
            answer: pb.ReadAuditResponse = await stub.ReadAudit(request, timeout=timeout_s)
            return answer

        return await self._cluster.call(ask)

    async def _frameworks(self) -> list[Source]:
        """The frameworks that serve jobs."""
        try:
            views = await serving(self._cluster)
        except CliError as error:
            self.missing.append(f"the frameworks that serve jobs: {error.message}")
            return []
        return [
            Source(f"{OF_FRAMEWORKS}{view.info.name}", partial(self._page_of_framework, view))
            for view in views
        ]

    async def _page_of_framework(self, view: pb.FrameworkView, cursor: str) -> pb.ReadAuditResponse:
        if (apart := not_connected(view)) is not None:
            raise CliError(apart.why)
        timeout_s = self._cluster.timeout_s
        async with service(self._cluster, view) as stub:
            return await stub.ReadAudit(self._request(cursor), timeout=timeout_s)

    def _request(self, cursor: str, master: str = "") -> pb.ReadAuditRequest:
        request = pb.ReadAuditRequest(cursor=cursor, master=master)
        request.MergeFrom(self._wanted)
        return request


def _read(line: str, source: str) -> dict[str, Any]:
    """Read a line, which a framework may have made up. Raises CliError."""
    try:
        return audit_line_json(line, source)
    except ValueError:
        raise CliError("it answers what is no line of an audit") from None


def in_words(said: dict[str, Any]) -> str:
    """One line: when, who, the outcome, what, of what, and what came of it.

    What a framework tells is marked: masters vouch for their own lines only.
    """
    who = said.get("principal") or said.get("peer") or "-"
    named = (f"{name}={_value(value)}" for name, value in (said.get("object") or {}).items())
    argv = said.get("argv")
    source = str(said.get("source"))
    parts = [
        str(said.get("time")),
        *([f"[{source}]"] if source.startswith(OF_FRAMEWORKS) else ()),
        str(who),
        str(said.get("outcome") or said.get("decision")),  # earlier versions told no outcome
        str(said.get("method") or "-"),
        *named,
        *([f"argv={json.dumps(argv, ensure_ascii=False)}"] if argv else ()),
        f"({said.get('result')})",
    ]
    return " ".join(parts)


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
