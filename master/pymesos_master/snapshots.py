"""The state of a cluster as events, page by page, each of the state as it is then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pymesos_core.outbox import BATCH_BYTES
from pymesos_core.resources import to_proto
from pymesos_core.security.policy import EVERY_ROLE, Roles
from pymesos_core.states import state_name
from pymesos_master.core.effects import PublishEvent
from pymesos_master.core.state import Agent, ClusterState, Framework, Offer, Task, TaskKey
from pymesos_master.event_filter import EVERY_EVENT, EventFilter
from pymesos_master.queries.views import visible
from pymesos_proto.v1 import operator_pb2 as pb

PAGE = 500  # what is shown in one go


@dataclass(slots=True)
class Snapshot:
    """The state, shown from its beginning to its end in pages."""

    _state: ClusterState
    _wall_s: Callable[[], float]
    _page: int = PAGE
    _may: Roles = EVERY_ROLE  # of which the state is shown
    _wanted: EventFilter = EVERY_EVENT
    _frameworks: dict[str, None] = field(init=False)  # that are not shown yet
    _agents: dict[str, None] = field(init=False)
    _agent_id: str = ""  # of whose tasks some are shown
    _tasks: dict[TaskKey, None] = field(init=False, default_factory=dict)  # of it, not shown yet
    _offers: dict[str, None] | None = field(init=False, default=None)  # None: it is not their turn

    def __post_init__(self) -> None:
        self._frameworks = dict.fromkeys(reversed(self._state.frameworks))
        self._agents = dict.fromkeys(reversed(self._state.agents))

    @property
    def complete(self) -> bool:
        """Whether all is shown."""
        return self._offers is not None and not self._offers

    def will_show(self, event: PublishEvent) -> bool:
        """Whether a page to come shows what became of it."""
        if event.offer_id:
            return self._offers is None or event.offer_id in self._offers
        if event.agent_id:
            task = (event.framework_id, event.task_id)
            here = event.agent_id == self._agent_id and event.task_id and task in self._tasks
            return event.agent_id in self._agents or bool(here)
        return not event.task_id and event.framework_id in self._frameworks

    def page(self) -> list[pb.ClusterEvent]:
        """The next part of it, as it is now."""
        out: list[pb.ClusterEvent] = []
        size, now_s = 0, self._wall_s()
        for _ in range(self._page):
            if self.complete or size > BATCH_BYTES:
                break
            event = self._next(now_s)
            if event is not None:
                out.append(event)
                size += event.ByteSize()
        return out

    def _next(self, now_s: float) -> pb.ClusterEvent | None:
        state = self._state
        if self._frameworks:
            framework = state.frameworks.get(self._frameworks.popitem()[0])
            return self._framework(framework, now_s) if framework is not None else None
        if self._tasks:
            key = self._tasks.popitem()[0]
            agent = state.agents.get(self._agent_id)
            task = agent.tasks.get(key) if agent is not None else None
            return self._task(task, now_s) if task is not None else None
        if self._agents:
            self._agent_id = self._agents.popitem()[0]
            agent = state.agents.get(self._agent_id)
            if agent is None:
                return None
            self._tasks = dict.fromkeys(reversed(agent.tasks))
            return self._agent(agent, now_s)
        if self._offers is None:
            self._offers = dict.fromkeys(reversed(state.offers))
            return None
        offer = state.offers.get(self._offers.popitem()[0])
        return self._offer(offer, now_s) if offer is not None else None

    def _framework(self, framework: Framework, now_s: float) -> pb.ClusterEvent | None:
        kind, framework_id = pb.ClusterEvent.FRAMEWORK_PRESENT, framework.framework_id
        wanted = self._wanted.passes(kind, framework.roles, framework_id)
        if not wanted or not any(role in self._may for role in framework.roles):
            return None
        return pb.ClusterEvent(
            timestamp_s=now_s, kind=kind, framework_id=framework_id, message=framework.info.name
        )

    def _agent(self, agent: Agent, now_s: float) -> pb.ClusterEvent | None:
        kind = pb.ClusterEvent.AGENT_PRESENT
        if not self._wanted.passes(kind, agent_id=agent.agent_id):
            return None
        return pb.ClusterEvent(
            timestamp_s=now_s,
            kind=kind,
            agent_id=agent.agent_id,
            resources=to_proto(visible(agent.total, self._may)),
            message=agent.state.value,
        )

    def _task(self, task: Task, now_s: float) -> pb.ClusterEvent | None:
        kind, task_id = pb.ClusterEvent.TASK_PRESENT, task.task_id
        about = (task.framework_id, task.agent_id, task_id)
        if task.role not in self._may or not self._wanted.passes(kind, (task.role,), *about):
            return None
        return pb.ClusterEvent(
            timestamp_s=now_s,
            kind=kind,
            agent_id=task.agent_id,
            framework_id=task.framework_id,
            task_id=task_id,
            task_state=task.state,
            resources=to_proto(task.resources) if task.holds_resources else [],
            message=state_name(task.state),
        )

    def _offer(self, offer: Offer, now_s: float) -> pb.ClusterEvent | None:
        kind, about = pb.ClusterEvent.OFFER_PRESENT, (offer.framework_id, offer.agent_id)
        if offer.role not in self._may or not self._wanted.passes(kind, (offer.role,), *about):
            return None
        return pb.ClusterEvent(
            timestamp_s=now_s,
            kind=kind,
            agent_id=offer.agent_id,
            framework_id=offer.framework_id,
            offer_id=offer.offer_id,
            resources=to_proto(offer.resources),
        )
