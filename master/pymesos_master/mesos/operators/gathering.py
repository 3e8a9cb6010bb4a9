"""What answers of Mesos' operators' endpoints are made of: who this is, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.caller import Caller
from pymesos_core.mesos import version_info
from pymesos_core.mesos.verbosity import Verbosity
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.operators import metrics
from pymesos_master.mesos.operators.legacy import NO_TASKS, Cluster
from pymesos_master.mesos.operators.reading import REGISTERED, Reading
from pymesos_master.queries.summary import Summary, summary
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_proto.v1 import operator_pb2 as pb

LOGGED = ("pymesos_core", "pymesos_master")
OVERVIEW = "Operator.GetOverview"  # what metrics and the like are a part of


@dataclass
class Gathering:
    """Gathers for answers."""

    leadership: Leadership
    here: Here
    flags: Mapping[str, str]
    verbosity: Verbosity = field(default_factory=lambda: Verbosity(*LOGGED))
    subscribers: Callable[[], int] = lambda: 0  # of the stream of events
    _led: tuple[Leader, float] | None = field(default=None, init=False)

    @property
    def version(self) -> dict[str, Any]:
        """The version of Mesos whose API this is."""
        return version_info()

    @property
    def start_s(self) -> float:
        """When this process was started, as a Unix time."""
        outside = self.leadership.outside
        return outside.wall_s() - (outside.mono_s() - self.leadership.started_mono_s)

    def elected_s(self, leader: Leader) -> float:
        """Since when this is known to lead, as a Unix time."""
        if self._led is None or self._led[0] is not leader:
            self._led = leader, self.leadership.outside.wall_s()
        return self._led[1]

    def check(self, caller: Caller) -> None:
        """Raises RequestError (DENIED) for a caller who may read nothing, if this master leads.

        Another does not know the policy: it tells of its own process and machine alone.
        """
        if (leader := self.leadership.leader) is not None:
            leader.queries.permits.readable(caller, OVERVIEW)

    async def metrics(self, caller: Caller) -> dict[str, float]:
        """The metrics of what a caller may read; of a master that does not lead, of its process.

        Raises RequestError (DENIED).
        """
        counted: Summary | None = None
        if (leader := self.leadership.leader) is not None:
            may = leader.queries.permits.readable(caller, OVERVIEW)
            counted = await summary(leader.core.state, may)
        uptime_s = self.leadership.outside.mono_s() - self.leadership.started_mono_s
        return metrics.snapshot(counted, uptime_s, self.subscribers())

    async def cluster(
        self,
        reading: Reading,
        *,
        agents: bool = False,
        frameworks: bool = False,
        tasks: bool = False,
        offers: bool = False,
    ) -> tuple[Cluster, list[pb.AgentView]]:
        """What is asked for; agents that are registered, and beside these who may come back."""
        found = await reading.agents() if agents else []
        held = await reading.tasks() if tasks else NO_TASKS
        cluster = Cluster(
            self.here,
            reading.leader.queries.look(reading.caller),
            [agent for agent in found if agent.state in REGISTERED],
            await reading.frameworks() if frameworks or tasks else [],
            tasks=held,
            places=reading.places(held.live + held.completed),
            offers=await reading.offers() if offers else [],
        )
        return cluster, [agent for agent in found if agent.state == "recovering"]


def who(caller: Caller) -> tuple[str, tuple[str, ...] | None]:
    """Return what an answer depends on of who asks: all else of a caller changes nothing."""
    return caller.principal if caller.is_proved else "", caller.rights
