"""What the modules of the core share: the state, the time, the way to say what is to be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymesos_core.clock import Now
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.limits import MAX_SAID
from pymesos_core.registry_image import Key
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.security.audit import Entry
from pymesos_core.text import cut
from pymesos_core.timers import Timers
from pymesos_master.allocator import Allocator
from pymesos_master.core.effects import (
    AnswerOperator,
    Audit,
    CloseConnection,
    Complain,
    Effect,
    PersistRegistry,
    PublishEvent,
    TellAgent,
    TellFramework,
)
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.core.registered import Registered
from pymesos_master.core.registry import to_change
from pymesos_master.core.state import Agent, ClusterState, Config, Framework, Purpose, Record, Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

TimerKey = tuple[str, str]
ALLOCATE: TimerKey = ("allocate", "")
WORK: TimerKey = ("work", "")
IDLE_DELAYS = 10  # how many times the usual delay there was no allocation in an idle cluster
FIRST_LACK_S = 0.05  # after it has none left: by then it may have new ones
MAX_INTERNED = 4096


@dataclass(frozen=True, slots=True)
class Work:
    """Work over very many tasks (`slices`): what is left of it, and what it came of."""

    steps: Iterator[None]
    event: object


@dataclass
class Context:
    """One per core. `out` collects the effects of the step in progress."""

    config: Config
    allocator: Allocator
    now: Now
    agent_ids: Iterator[str]
    framework_ids: Iterator[str]
    offer_ids: Iterator[str]
    state: ClusterState = field(default_factory=ClusterState)
    registered: Registered = field(default_factory=Registered)
    timers: Timers[TimerKey] = field(default_factory=Timers)
    out: list[Effect] = field(default_factory=list)
    next_removal_s: float = 0.0
    watched: bool = True  # whether anybody watches the cluster's events
    rounds: dict[int, deque[Any]] = field(default_factory=dict)  # see telling.py; by connection
    works: dict[tuple[str, str], deque[Work]] = field(default_factory=dict)  # see slices.py
    agents_awaited: int = 0  # so many must come back before anything is offered
    allocated_at_s: float = float("-inf")  # when it was last looked at what may be offered
    suspended: bool = False  # it is in doubt whether this master still leads
    event: object = None  # what the step in progress is about: who asked for what is written now
    changed: bool = True  # whether that step may have changed anything; a handler that looks first
    # at all it is given says so, and says when it begins
    began_s: float = field(init=False)  # monotonic, when this master began to lead
    ahead_s: float = field(init=False)  # see `steady_s`
    _interned: dict[Resources, Resources] = field(default_factory=dict)
    audited: dict[int, Entry] = field(default_factory=dict)  # requests that are not answered yet
    # What follows when a write is durable, by the type of what it was for.
    on_written: Mapping[type, Callable[[Context, Any], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.began_s = self.now.mono_s
        self.ahead_s = self.now.wall_s - self.now.mono_s

    @property
    def steady_s(self) -> float:
        """Unix time for what is measured from one leader to the next.

        It goes on like the monotonic clock, whatever the clock on the wall is set to.
        """
        return self.now.mono_s + self.ahead_s

    def interned(self, resources: Resources) -> Resources:
        """The same object for the same resources, of which tasks usually have few kinds."""
        if len(self._interned) >= MAX_INTERNED:
            self._interned.clear()
        return self._interned.setdefault(resources, resources)

    def tell_framework(self, framework: Framework, event: scheduler_pb.Event) -> None:
        """Send to a framework if it is connected."""
        if framework.connection_id is not None:
            self.out.append(TellFramework(framework.connection_id, event))

    def tell_agent(self, agent: Agent, message: agent_pb.MasterMessage) -> None:
        """Send to an agent if it is connected."""
        if agent.connection_id is not None:
            self.out.append(TellAgent(agent.connection_id, message))

    def refuse_framework(
        self,
        connection_id: int,
        message: str,
        code: scheduler_pb.Event.Error.Code = scheduler_pb.Event.Error.CODE_UNSPECIFIED,
    ) -> None:
        """An ERROR event and the end of the stream."""
        error = scheduler_pb.Event.Error(message=cut(message, MAX_SAID), code=code)
        self.out.append(TellFramework(connection_id, scheduler_pb.Event(error=error)))
        self.out.append(CloseConnection(connection_id))

    def refuse_call(
        self,
        framework: Framework,
        call: str,
        message: str,
        code: scheduler_pb.Event.Refused.Code = scheduler_pb.Event.Refused.INVALID,
    ) -> None:
        """Nothing of a call is done; the stream goes on."""
        message = cut(message, MAX_SAID)
        refused = scheduler_pb.Event.Refused(call=call.upper(), code=code, message=message)
        self.tell_framework(framework, scheduler_pb.Event(refused=refused))
        self.out.append(Complain(framework.framework_id, f"a bad {call.upper()}", message))

    def answer(
        self, request_id: int, message: str | None = None, kind: ProblemKind = ProblemKind.INVALID
    ) -> None:
        """An operator's request is done, or refused for `message`, which may quote an id of any
        size."""
        problem = None if message is None else Problem(kind, cut(message, MAX_SAID))
        if (entry := self.audited.pop(request_id, None)) is not None:
            self.out.append(Audit(entry if message is None else entry.refused(message)))
        self.out.append(AnswerOperator(request_id, problem))

    def complain(self, agent: Agent, what: str, message: str) -> None:
        """Leave out what an agent says, and say so."""
        self.out.append(Complain(agent.agent_id, what, message))

    def persist(self, values: Mapping[Key, Record | None], why: object, peer: str = "") -> None:
        """Write records (None: none any more); the step that learns that it is durable does what
        `why` is for.

        No records: that step comes when it is certain that this master still leads. `peer` is who
        a new agent or framework counts for.
        """
        pending = self.state.image.intend(values, Purpose(why, self.event))
        changes = tuple(to_change(k, value, self.now.wall_s) for k, value in values.items())
        for change in changes:
            self.registered.note(change, peer)
        self.out.append(PersistRegistry(pending.token, changes))

    def persisted(self, token: int) -> None:
        """Do what waited for this write."""
        purpose = self.state.image.written(token).why
        self.event = purpose.event
        self.on_written[type(purpose.why)](self, purpose.why)

    def look_for_lack(self, framework: Framework) -> None:
        """See soon whether this framework lacks offers that others keep (`hoarding`)."""
        if framework.silent:
            return  # it gets none so; a thousand that ask again and again cost nothing
        framework.lack_pause_s = FIRST_LACK_S
        key, at_s = ("lack", framework.framework_id), self.now.mono_s + FIRST_LACK_S
        due_s = self.timers.at_s(key)
        if due_s is None or due_s > at_s:
            self.timers.set(key, at_s)

    def look_for_drained(self, agent: Agent) -> None:
        """See soon whether nothing is left on an agent that is being drained (`drains`)."""
        if agent.drain.state == DrainState.DRAINING and not agent.tasks:
            self.timers.set(("drained", agent.agent_id), self.now.mono_s)

    def look_at_maintenance(self, agent: Agent) -> None:
        """See soon who is to be asked about the maintenance window of an agent (`maintenance`)."""
        if agent.maintenance is not None or agent.inverse_offers:
            self.timers.set(("maintenance", agent.agent_id), self.now.mono_s)

    def schedule_allocation(self, *, at_once: bool = False) -> None:
        """Allocate soon, together with what else happens until then.

        With `at_once` nothing has come free, whose other half may follow: a cluster that was idle
        need not wait then.
        """
        if ALLOCATE not in self.timers:
            delay_s = self.config.allocation_delay_s
            if at_once and self.allocated_at_s + IDLE_DELAYS * delay_s <= self.now.mono_s:
                delay_s = 0.0
            self.timers.set(ALLOCATE, self.now.mono_s + delay_s)

    def publish(
        self,
        kind: ClusterEvent.Kind,
        *,
        agent_id: str = "",
        framework_id: str = "",
        task_id: str = "",
        offer_id: str = "",
        task_state: pb.TaskState = pb.TASK_STATE_UNSPECIFIED,
        reason: pb.Reason = pb.REASON_UNSPECIFIED,
        resources: Resources = EMPTY,
        message: str = "",
        roles: tuple[str, ...] = (),
    ) -> None:
        """Tell those who watch the cluster, if anybody does, and may read one of the roles."""
        if not self.watched:
            return
        self.out.append(
            PublishEvent(
                self.now.wall_s,
                kind,
                agent_id,
                framework_id,
                task_id,
                offer_id,
                task_state,
                reason,
                resources,
                message,
                roles,
            )
        )

    def publish_of(
        self,
        task: Task,
        kind: ClusterEvent.Kind,
        state: pb.TaskState,
        reason: pb.Reason = pb.REASON_UNSPECIFIED,
        message: str = "",
        resources: Resources = EMPTY,
    ) -> None:
        """Tell those who watch of a task; most of what happens is that, so it takes little."""
        if self.watched:
            framework_id, task_id = task.key
            self.out.append(
                PublishEvent(
                    self.now.wall_s,
                    kind,
                    task.agent_id,
                    framework_id,
                    task_id,
                    "",
                    state,
                    reason,
                    resources,
                    message,
                    (task.role,),
                )
            )
