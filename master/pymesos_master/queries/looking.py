"""One thing at a time, without a listing: what it is, and what is held of it or by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from pymesos_core.resources import Resources, total
from pymesos_core.security.policy import Roles
from pymesos_master.core import MasterCore
from pymesos_master.core.state import Executor, Offer, Task
from pymesos_master.queries.uses import Uses
from pymesos_master.queries.views import agent_view, framework_view, task_view
from pymesos_proto.v1 import operator_pb2 as pb


@dataclass(frozen=True, slots=True)
class Held:
    """Resources of one agent each, with the role that they are allocated to."""

    allocated: list[tuple[str, Resources]]
    offered: list[tuple[str, Resources]]


NOTHING = Held([], [])


class Look:
    """What there is in these roles."""

    def __init__(self, core: MasterCore, may: Roles, may_env: Roles) -> None:
        """`may_env`: the roles of which environments and data are to be seen, too."""
        self._core = core
        self._state = core.state
        self._may, self._may_env = may, may_env
        self._uses = Uses()

    def agent(self, agent_id: str) -> pb.AgentView | None:
        """Return an agent, if it is known."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else agent_view(agent, self._may, self._state.frameworks)

    def framework(self, framework_id: str) -> pb.FrameworkView | None:
        """Return a framework, if it is there and in one of the roles."""
        found = self._state.frameworks.get(framework_id)
        if found is None or not any(role in self._may for role in found.roles):
            return None
        return framework_view(self._core.allocator, found, self._may)

    def task(self, framework_id: str, task_id: str) -> pb.TaskView | None:
        """Return a task, if it is known and of one of the roles."""
        key = (framework_id, task_id)
        task = self._state.find_task(*key) or self._state.completed_tasks.get(key)
        if task is None or task.role not in self._may:
            return None
        with_env = task.role in self._may_env
        return task_view(self._state, task, self._uses, with_env=with_env)

    def held_on(self, agent_id: str) -> Held:
        """Return what is held on an agent, by whomever."""
        agent = self._state.agents.get(agent_id)
        if agent is None:
            return NOTHING
        return self._held(agent.holders(), agent.offers.values())

    def held_by(self, framework_id: str) -> Held:
        """Return what a framework holds, wherever."""
        framework = self._state.frameworks.get(framework_id)
        if framework is None:
            return NOTHING
        executors = self._executors.get(framework_id, ())
        return self._held((*framework.tasks.values(), *executors), framework.offers.values())

    def executors(self) -> Iterator[Executor]:
        """Yield the executors that hold resources, in the roles."""
        for agent in self._state.agents.values():
            yield from (one for one in agent.executors.values() if one.role in self._may)

    @cached_property
    def _executors(self) -> dict[str, list[Executor]]:
        out: dict[str, list[Executor]] = {}
        for one in self.executors():
            out.setdefault(one.framework_id, []).append(one)
        return out

    def _held(self, holders: Iterable[Task | Executor], offers: Iterable[Offer]) -> Held:
        live = [one for one in holders if one.holds_resources]
        return Held(self._by_role(live), self._by_role(o for o in offers if not o.copy_of))

    def _by_role(self, holders: Iterable[Task | Executor | Offer]) -> list[tuple[str, Resources]]:
        bags: dict[tuple[str, str], list[Resources]] = {}
        for one in holders:
            if one.role in self._may:
                bags.setdefault((one.role, one.agent_id), []).append(one.resources)
        return [(role, total(held)) for (role, _), held in bags.items()]
