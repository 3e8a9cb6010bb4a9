"""What answers to Mesos' operators are made of: who this agent is, and what it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pymesos_agent.core.context import AgentState
from pymesos_agent.core.tasks.task import Task
from pymesos_agent.mesos.operators import seeing, showing
from pymesos_agent.mesos.operators.rights import EVERYTHING, Rights
from pymesos_agent.mesos.operators.seeing import Seen
from pymesos_agent.queries import Queries
from pymesos_core.addresses import HostPort
from pymesos_core.clock import Now, read_clock
from pymesos_core.mesos import version_info
from pymesos_core.mesos.machine import system
from pymesos_core.mesos.verbosity import Verbosity
from pymesos_core.reservations import with_reserved
from pymesos_core.resources import Resources, from_proto
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.v1 import types_pb2 as pb

LOGGED = ("pymesos_core", "pymesos_agent")
RESOURCES = ("cpus", "gpus", "mem", "disk")
STATES = {
    pb.TASK_STAGING: "staging",
    pb.TASK_STARTING: "starting",
    pb.TASK_RUNNING: "running",
    pb.TASK_KILLING: "killing",
}
Container = mesos_agent.Response.GetContainers.Container


@dataclass
class Gathering:
    """Gathers for answers to one who may see so much."""

    queries: Queries
    at: HostPort  # of the listener for Mesos
    flags: Mapping[str, str]
    clock: Callable[[], Now] = read_clock
    verbosity: Verbosity = field(default_factory=lambda: Verbosity(*LOGGED))
    started: Now = field(default_factory=read_clock)
    may: Rights = EVERYTHING

    def for_one(self, may: Rights) -> Gathering:
        """Gather for one with other rights."""
        return replace(self, may=may)

    @property
    def version(self) -> dict[str, Any]:
        """The version of Mesos whose API this is."""
        return version_info()

    @property
    def state(self) -> AgentState:
        """What the agent knows."""
        return self.queries.state

    @property
    def info(self) -> pb.AgentInfo:
        """The agent, as it was started."""
        return self.queries.agent_info()

    def resources(self) -> Resources:
        """What the agent has, without what is reserved for roles that may not be seen."""
        everything = with_reserved(from_proto(self.info.resources), self.state.reserved)
        return everything.where(lambda tag: not tag.role or tag.role in self.may.read)

    def seen(self) -> list[Seen]:
        """The executors that may be seen, with their tasks."""
        return [one for one in seeing.executors(self.state) if one.role in self.may.read]

    def tasks(self) -> list[Task]:
        """The tasks that may be seen, but for those of which the end is acknowledged."""
        return [one for one in self.state.tasks.values() if one.role in self.may.read]

    async def containers(self) -> list[Container]:
        """The containers that run, with what they use."""
        used = await self.queries.container_usage()
        return showing.containers(self.state, self.seen(), used, self.clock().wall_s)

    def metrics(self) -> dict[str, float]:
        """Metrics by the names that Mesos has for them."""
        state, seen, tasks = self.state, self.seen(), self.tasks()
        live = [one for one in seen if not one.ended]
        counted = Counter(task.state for task in tasks)
        out: dict[str, float] = {
            "slave/registered": float(bool(state.agent_id)),
            "slave/uptime_secs": self.clock().mono_s - self.started.mono_s,
            "slave/frameworks_active": len({one.framework_id for one in live}),
            "slave/executors_running": len(live),
        }
        for task_state, name in STATES.items():
            out[f"slave/tasks_{name}"] = counted[task_state]
        total, used = self.resources().amounts(), self._used()
        for name in RESOURCES:
            out[f"slave/{name}_total"] = total.get(name, 0) / 1000
            out[f"slave/{name}_used"] = used[name] / 1000
            out[f"slave/{name}_percent"] = used[name] / total[name] if total.get(name) else 0.0
        for name, value in system().items():
            out[f"system/{name.replace('avg_load', 'load')}"] = value
        return {name: float(value) for name, value in sorted(out.items())}

    def _used(self) -> Counter[str]:
        used: Counter[str] = Counter()
        for task in self.tasks():
            if not task.ended:
                used.update(from_proto(task.info.resources).amounts())
        return used
