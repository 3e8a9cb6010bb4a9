"""The cluster at a glance, and how it was in the last hour."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from pymesos_core.caller import Caller
from pymesos_core.clock import Now, read_clock
from pymesos_core.security.policy import Roles
from pymesos_master.core.state import ClusterState
from pymesos_master.queries import Queries
from pymesos_master.queries.summary import Summary, summary
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

EVERY_S = 15.0
HISTORY_S = 3600.0
FRESH_S = 2.0  # so long what was counted is told to whoever asks
MOST_RESOURCES = 20  # names, so that agents cannot make the answer grow
USUAL_FAILURES = 20
MOST_FAILURES = 100


class Overviews:
    """Counts when somebody asks, and every few seconds for the history of one leader."""

    def __init__(
        self, state: ClusterState, queries: Queries, clock: Callable[[], Now] = read_clock
    ) -> None:
        self._state = state
        self._queries = queries
        self._clock = clock
        self._history: deque[pb.GetOverviewResponse.Amounts] = deque(
            maxlen=round(HISTORY_S / EVERY_S)
        )
        self._latest: tuple[float, Summary] | None = None
        self._counting = asyncio.Lock()

    async def run(self) -> None:
        """Write the history, until this is cancelled."""
        while True:
            await self.note()
            await asyncio.sleep(EVERY_S)

    async def note(self) -> None:
        """Add the sums of now to the history."""
        self._history.append(_amounts(self._clock().wall_s, await self._whole()))

    async def _whole(self) -> Summary:
        """Counts over every role, at most a moment old."""
        async with self._counting:
            now_s = self._clock().mono_s
            if self._latest is None or now_s - self._latest[0] > FRESH_S:
                self._latest = (now_s, await summary(self._state))
            return self._latest[1]

    async def answer(
        self, caller: Caller, request: pb.GetOverviewRequest
    ) -> pb.GetOverviewResponse:
        """Raises RequestError (DENIED)."""
        may = self._queries.permits.readable(caller, "Operator.GetOverview")
        counted = await self._of(may)
        failures = min(request.failures or USUAL_FAILURES, MOST_FAILURES)
        return pb.GetOverviewResponse(
            agents=counted.agents,
            drains=counted.drains,
            frameworks=counted.frameworks,
            tasks=counted.tasks,
            offers=counted.offers,
            now=_amounts(self._clock().wall_s, counted),
            history=[at for at in self._history if at.at_s > request.since_s],
            failed=islice(self._queries.failed(may), failures),
        )

    async def _of(self, may: Roles) -> Summary:
        if may.every:
            return await self._whole()
        async with self._counting:  # one at a time: it goes over all tasks
            return await summary(self._state, may)


def _amounts(at_s: float, counted: Summary) -> pb.GetOverviewResponse.Amounts:
    names = [*islice(_names(counted.resources), MOST_RESOURCES)]
    out = pb.GetOverviewResponse.Amounts(at_s=at_s)
    for kind, amounts in counted.resources.items():
        getattr(out, kind).extend(
            types_pb2.Resource(name=name, scalar=amounts[name] / 1000)
            for name in names
            if name in amounts
        )
    return out


def _names(resources: Mapping[str, Counter[str]]) -> Iterator[str]:
    """The names of resources, those first that every cluster has."""
    known = {name for amounts in resources.values() for name in amounts}
    usual = ("cpus", "mem", "disk", "gpus", "ports")
    yield from (name for name in usual if name in known)
    yield from sorted(known.difference(usual))
