"""`audit`: who changed what, and what was denied."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any

from pymesos_cli.cluster import CliError, Cluster
from pymesos_cli.output import note, print_json, printable
from pymesos_core.security.policy import Verb
from pymesos_core.text import count_of, quoted
from pymesos_proto.v1 import operator_pb2 as pb


@dataclass(frozen=True)
class Wanted:
    """Which lines are asked for; what is empty leaves all."""

    since: float | None  # seconds ago
    who: str
    verb: str
    denied: bool


async def show_audit(cluster: Cluster, wanted: Wanted, *, as_json: bool) -> None:
    """`pymesos-cli audit`: what all masters have written, the oldest first.

    Raises CliError once all is shown that there is, if a master was not reached.
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
            print(printable(_in_words(line)))
    what = "nothing like that" if not shown else "that is all"
    of = count_of(reading.masters, "master")
    note(
        f"{what} in the audit of {of}; masters that do not run now have theirs on their own"
        f" machines"
    )
    if reading.missing:
        raise CliError(f"what others have written is missing: {'; '.join(reading.missing)}")


class Reading:
    """The audit of every master that runs, read page by page and merged by time."""

    def __init__(self, cluster: Cluster, wanted: Wanted) -> None:
        self._cluster = cluster
        self._request = pb.ReadAuditRequest(
            since_s=time.time() - wanted.since if wanted.since is not None else 0.0,
            who=wanted.who,
            verb=wanted.verb,
            denied=wanted.denied,
        )
        self.masters = 1  # that were read
        self.missing: list[str] = []  # the others, and why

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Each line, the oldest first. Raises CliError if the master that leads is not read."""
        first = await self._page("", "")
        sources = [self._of(first.master, first)]
        for other in first.others:
            try:
                sources.append(self._of(other, await self._page(other, "")))
                self.masters += 1
            except CliError as error:
                self.missing.append(f"{other}: {error.message}")
        next_of: list[tuple[str, int, dict[str, Any]]] = []  # the next line of each, a heap

        async def put(number: int) -> None:
            if (line := await anext(sources[number], None)) is not None:
                heappush(next_of, (str(line.get("time")), number, line))

        for number in range(len(sources)):
            await put(number)
        while next_of:
            _, number, line = heappop(next_of)
            yield line
            await put(number)

    async def _of(self, master: str, page: pb.ReadAuditResponse) -> AsyncIterator[dict[str, Any]]:
        """The lines of one master, from its first page on."""
        while True:
            for line in page.lines:
                yield json.loads(line)
            if not page.cursor:
                return
            try:
                page = await self._page(master, page.cursor)
            except CliError as error:
                self.missing.append(f"{master}, in part: {error.message}")
                return

    async def _page(self, master: str, cursor: str) -> pb.ReadAuditResponse:
        request = pb.ReadAuditRequest(master=master, cursor=cursor)
        request.MergeFrom(self._request)

        async def ask(stub: Any, timeout_s: float) -> pb.ReadAuditResponse:
            answer: pb.ReadAuditResponse = await stub.ReadAudit(request, timeout=timeout_s)
            return answer

        return await self._cluster.call(ask)


def _in_words(said: dict[str, Any]) -> str:
    """One line: when, who, whether, what, of what, and what came of it."""
    who = said.get("principal") or said.get("peer") or "-"
    named = (f"{name}={_value(value)}" for name, value in (said.get("object") or {}).items())
    argv = said.get("argv")
    parts = [
        str(said.get("time")),
        str(who),
        str(said.get("decision")),
        str(said.get("method") or "-"),
        *named,
        *([f"argv={json.dumps(argv, ensure_ascii=False)}"] if argv else ()),
        f"({said.get('result')})",
    ]
    return " ".join(parts)


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
