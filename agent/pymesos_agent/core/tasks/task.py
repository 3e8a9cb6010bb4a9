"""One task on an agent, and its stream of status updates."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymesos_agent.core.containers import Container, container_of
from pymesos_agent.core.tasks.checks import CheckState
from pymesos_core.copies import add_all
from pymesos_core.lifecycle import Story
from pymesos_core.limits import MAX_SAID
from pymesos_core.names import RUN, run_of
from pymesos_core.states import TERMINAL
from pymesos_core.store import Change
from pymesos_core.text import cut
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

if TYPE_CHECKING:
    from pymesos_agent.core.executors.executor import Executor

MAX_RUN = 255  # characters of the name of a run

TASK = "task"
UPDATES_SEEN = 32  # of an executor's, by which one that comes again is known


@dataclass(slots=True, eq=False)
class InExecutor:
    """The place of a task that runs in an executor, in no container of its own."""

    container_id: str  # of the executor
    executor: Executor | None = None  # None: its record is lost
    told: bool = False  # its executor may be told of it
    updates_seen: deque[bytes] = field(default_factory=lambda: deque(maxlen=UPDATES_SEEN))
    to_acknowledge: dict[bytes, None] = field(default_factory=dict)  # when it is checkpointed


@dataclass(slots=True, eq=False)
class Task:
    """A task from its launch until its terminal update is acknowledged.

    It has a container of its own, or runs in an executor.
    """

    container_id: str  # of its record; of its container, too, if it has one
    framework_id: str
    role: str
    info: pb.TaskInfo
    killing_state: bool  # its framework wants TASK_KILLING
    container: Container | None = None
    inside: InExecutor | None = None
    state: pb.TaskState = pb.TASK_STAGING
    story: Story = ()
    unacknowledged: deque[pb.TaskStatus] = field(default_factory=deque)
    settled: int = 0  # how many updates were acknowledged, since the agent started
    durable: int = 0  # how many of those that are not are checkpointed and may be sent
    durable_state: pb.TaskState = pb.TASK_STAGING  # `state` as checkpointed: what a master is told
    kill: pb.KillPolicy | None = None
    end_durable: bool = False  # its end is stored, and what it had is given back
    resend_s: float = 0.0
    killed_for: str = ""  # HEALTH, LIFETIME, GROUP and the like: see `outcomes.ENDED_BY_AGENT`
    killed_why: str = ""
    healthy: bool | None = None
    ready: bool | None = None
    launched_at_s: float = 0.0  # Unix time, as all of these
    started_at_s: float = 0.0
    acknowledged: pb.TaskStatus | None = None  # the latest that is
    checks: dict[str, CheckState] = field(default_factory=dict)
    group_id: str = ""  # the same for all that live and die together
    ends_with_agent: bool = False  # when that is started again: its framework has no checkpoints
    unchanging: bytes = b""  # of its record, that part, serialized

    @property
    def key(self) -> tuple[str, str]:
        """Framework id and task id."""
        return (self.framework_id, self.info.task_id)

    @property
    def label(self) -> str:
        """What people call it."""
        return f"task {self.info.task_id} of {self.framework_id}"

    @property
    def executor(self) -> Executor | None:
        """The executor that it runs in, as far as that is known."""
        return None if self.inside is None else self.inside.executor

    @property
    def place(self) -> Container | None:
        """The container that it runs in, its own or its executor's."""
        executor = self.executor
        return self.container if executor is None else executor.container

    @property
    def runtime(self) -> str:
        """The runtime of the container that it runs in."""
        place = self.place
        return "" if place is None else place.runtime

    @property
    def ended(self) -> bool:
        """Whether it is in a terminal state."""
        return self.state in TERMINAL

    @property
    def begun(self) -> bool:
        """Whether it may run, as far as its agent knows."""
        return not self.ended and self.state != pb.TASK_STAGING

    def change(self) -> Change:
        """The write of the task's record as it is now."""
        # Field by field, as `updates._status`: it is made for each update. What never changes is
        # serialized once: a record in two parts, one after the other, is read as one.
        if not self.unchanging:
            self.unchanging = self._unchanging_part()
        record = checkpoint_pb.TaskCheckpoint()
        record.state, record.started_at_s = self.state, self.started_at_s
        if self.killed_for:
            record.killed_for = self.killed_for
        add_all(record.unacknowledged, self.unacknowledged)
        if self.container is not None:
            record.pid = self.container.pid
        if self.inside is not None:
            record.executor_container_id = self.inside.container_id
            record.updates_seen.extend(self.inside.updates_seen)
        if self.healthy is not None:
            record.healthy = self.healthy
        if self.ready is not None:
            record.ready = self.ready
        if self.kill is not None:
            record.kill.CopyFrom(self.kill)
        if self.acknowledged is not None:
            record.acknowledged.CopyFrom(self.acknowledged)
        return Change(TASK, self.container_id, self.unchanging + record.SerializeToString())

    def _unchanging_part(self) -> bytes:
        record = checkpoint_pb.TaskCheckpoint()
        record.container_id, record.framework_id = self.container_id, self.framework_id
        record.role, record.group_id = self.role, self.group_id
        record.killing_state, record.launched_at_s = self.killing_state, self.launched_at_s
        record.task_info.CopyFrom(self.info)
        record.ends_with_agent = self.ends_with_agent
        if self.container is not None:
            record.own_uid = self.container.own_uid
        if (place := self.place) is not None:
            record.runtime, record.user = place.runtime, place.user
        return record.SerializeToString()

    @staticmethod
    def from_record(record: checkpoint_pb.TaskCheckpoint) -> Task:
        """Read it back."""
        task = Task(
            record.container_id,
            record.framework_id,
            record.role,
            record.task_info,
            record.killing_state,
            state=record.state,
            unacknowledged=deque(record.unacknowledged),
            durable=len(record.unacknowledged),
            durable_state=record.state,
            end_durable=record.state in TERMINAL,
            kill=record.kill if record.HasField("kill") else None,
            killed_for=record.killed_for,
            healthy=record.healthy if record.HasField("healthy") else None,
            ready=record.ready if record.HasField("ready") else None,
            launched_at_s=record.launched_at_s,
            started_at_s=record.started_at_s,
            acknowledged=record.acknowledged if record.HasField("acknowledged") else None,
            group_id=record.group_id,
            ends_with_agent=record.ends_with_agent,
        )
        if record.executor_container_id:
            seen = deque(record.updates_seen, UPDATES_SEEN)
            task.inside = InExecutor(record.executor_container_id, updates_seen=seen)
        else:
            task.container = container_of(record)
        return task

    def report(self) -> agent_pb.TaskRecord:
        """What a master is told at a registration."""
        return agent_pb.TaskRecord(
            framework_id=self.framework_id,
            task_info=self.info,
            state=self.durable_state,
            # The others follow, one at a time; together they can exceed what a message may hold.
            unacknowledged=list(self.unacknowledged)[: min(1, self.durable)],
            role=self.role,
            launched_at_s=self.launched_at_s,
            started_at_s=self.started_at_s,
            status=self.acknowledged,
        )

    def remember(self, record: agent_pb.TaskRecord) -> None:
        """Put down what is kept of it when its end is acknowledged, to list and to explain it."""
        record.framework_id, record.role, record.state = self.framework_id, self.role, self.state
        record.launched_at_s, record.started_at_s = self.launched_at_s, self.started_at_s
        info, kept = self.info, record.task_info
        kept.task_id, kept.name, kept.agent_id = info.task_id, info.name, info.agent_id
        add_all(kept.resources, info.resources)
        if 0 < len(run := run_of(info.labels)) <= MAX_RUN:
            kept.labels.add(key=RUN, value=run)  # it is found by that
        if self.acknowledged is not None:
            status = record.status
            status.CopyFrom(self.acknowledged)
            if len(status.message) > MAX_SAID:
                status.message = cut(status.message, MAX_SAID)
