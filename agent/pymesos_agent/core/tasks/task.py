"""One task on an agent, and its stream of status updates."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pymesos_agent.core.checks import HEALTH, CheckState
from pymesos_agent.core.events import ContainerExited
from pymesos_core.containers import fitting_runtimes
from pymesos_core.limits import clipped
from pymesos_core.states import is_terminal
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

TASK = "task"
LIFETIME, DISK, GROUP, ENDING = "lifetime", "disk", "group", "ending"
MIB = 1024 * 1024
UPDATES_SEEN = 32  # of an executor's, by which one that comes again is known
# As in Mesos: one that is not well is killed, one that takes too long has failed.
ENDED_BY_AGENT = {
    HEALTH: (
        pb.TASK_KILLED,
        pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
        "Killed, for its health checks failed",
    ),
    LIFETIME: (
        pb.TASK_FAILED,
        pb.REASON_MAX_COMPLETION_TIME_REACHED,
        "Did not end within its max_completion_time",
    ),
    DISK: (pb.TASK_FAILED, pb.REASON_CONTAINER_LIMITATION_DISK, "Disk limit exceeded"),
    GROUP: (pb.TASK_KILLED, pb.REASON_UNSPECIFIED, "Killed with its group"),
    ENDING: (pb.TASK_KILLED, pb.REASON_AGENT_REMOVED, "Killed with its agent, which is ending"),
}


@dataclass(slots=True, eq=False)
class AgentTask:
    """A task from its launch until its terminal update is acknowledged; or an executor's container,
    which has no updates."""

    container_id: str
    framework_id: str
    role: str
    info: pb.TaskInfo
    runtime: str
    user: str
    killing_state: bool  # its framework wants TASK_KILLING
    state: pb.TaskState = pb.TASK_STAGING
    unacknowledged: deque[pb.TaskStatus] = field(default_factory=deque)
    durable: int = 0  # how many of them are checkpointed and may be sent
    durable_state: pb.TaskState = pb.TASK_STAGING  # `state` as checkpointed: what a master is told
    kill: pb.KillPolicy | None = None
    pid: int = 0
    asked_to_start: bool = False  # this process told the runtime
    destroyed: bool = False  # its end is durable, and the runtime was told to forget it
    resend_s: float = 0.0
    killed_for: str = ""  # HEALTH, LIFETIME, DISK, GROUP, ENDING: it is the agent that ends it
    killed_why: str = ""
    healthy: bool | None = None
    ready: bool | None = None
    launched_at_s: float = 0.0  # Unix time, as all of these
    started_at_s: float = 0.0
    acknowledged: pb.TaskStatus | None = None  # the latest that is
    checks: dict[str, CheckState] = field(default_factory=dict)
    capped: bool = False  # it forked without end, and is held at the CPU it asked for
    group_id: str = ""  # the same for all that live and die together
    # Of a task that runs in an executor:
    executor_container_id: str = ""
    executor: AgentTask | None = None
    started: bool = False  # it may be told to its executor
    updates_seen: deque[bytes] = field(default_factory=lambda: deque(maxlen=UPDATES_SEEN))
    to_acknowledge: dict[bytes, None] = field(default_factory=dict)  # when it is checkpointed
    # Of an executor:
    executor_info: pb.ExecutorInfo | None = None
    token: str = ""
    tasks: list[AgentTask] = field(default_factory=list)
    stream_id: int = 0  # 0: not connected
    latest_stream: int = 0  # on which it has subscribed

    @property
    def key(self) -> tuple[str, str]:
        """Framework id and task id."""
        return (self.framework_id, self.info.task_id)

    @property
    def is_executor(self) -> bool:
        """Whether it is the container of an executor, not a task."""
        return self.executor_info is not None

    @property
    def ended(self) -> bool:
        """Whether it is in a terminal state."""
        return is_terminal(self.state)

    def change(self) -> Change:
        """Its record as it is now."""
        record = checkpoint_pb.TaskCheckpoint()  # as `updates._status`: it is made for each update
        record.container_id, record.framework_id = self.container_id, self.framework_id
        record.role, record.runtime, record.user = self.role, self.runtime, self.user
        record.state, record.pid = self.state, self.pid
        record.killing_state, record.killed_for = self.killing_state, self.killed_for
        record.launched_at_s, record.started_at_s = self.launched_at_s, self.started_at_s
        record.group_id, record.executor_token = self.group_id, self.token
        record.executor_container_id = self.executor_container_id
        record.task_info.CopyFrom(self.info)
        record.unacknowledged.extend(self.unacknowledged)
        record.updates_seen.extend(self.updates_seen)
        if self.healthy is not None:
            record.healthy = self.healthy
        if self.ready is not None:
            record.ready = self.ready
        if self.kill is not None:
            record.kill.CopyFrom(self.kill)
        if self.acknowledged is not None:
            record.acknowledged.CopyFrom(self.acknowledged)
        if self.executor_info is not None:
            record.executor.CopyFrom(self.executor_info)
        return Change(TASK, self.container_id, record.SerializeToString())

    @staticmethod
    def from_record(data: bytes) -> AgentTask:
        """Read it back. Raises google.protobuf.message.DecodeError."""
        record = checkpoint_pb.TaskCheckpoint.FromString(data)
        return AgentTask(
            record.container_id,
            record.framework_id,
            record.role,
            record.task_info,
            record.runtime,
            record.user,
            record.killing_state,
            record.state,
            deque(record.unacknowledged),
            len(record.unacknowledged),
            record.state,
            record.kill if record.HasField("kill") else None,
            record.pid,
            killed_for=record.killed_for,
            healthy=record.healthy if record.HasField("healthy") else None,
            ready=record.ready if record.HasField("ready") else None,
            launched_at_s=record.launched_at_s,
            started_at_s=record.started_at_s,
            acknowledged=record.acknowledged if record.HasField("acknowledged") else None,
            group_id=record.group_id,
            executor_container_id=record.executor_container_id,
            executor_info=record.executor if record.HasField("executor") else None,
            token=record.executor_token,
            updates_seen=deque(record.updates_seen, UPDATES_SEEN),
        )

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
        kept.resources.MergeFrom(info.resources)
        if self.acknowledged is not None:
            record.status.CopyFrom(self.acknowledged)
            record.status.message = clipped(record.status.message)


def choose_runtime(
    container: pb.ContainerInfo, runtimes: Sequence[str], *, grouped: bool = False
) -> str:
    """The first that fits, or the usual one if none is there."""
    fits = fitting_runtimes(container, grouped=grouped)
    return next((name for name in fits if name in runtimes), fits[0])


def grace_s(policy: pb.KillPolicy | None, own: pb.TaskInfo, default_s: float) -> float:
    """The policy of the KILL call beats the task's own; 3 s without either."""
    if policy is not None and policy.ByteSize():
        return policy.grace_period_s
    if own.HasField("kill_policy"):
        return own.kill_policy.grace_period_s
    return default_s


def ending(task: AgentTask, event: ContainerExited) -> tuple[pb.TaskState, pb.Reason, str]:
    """How a task ended: its state, the reason and a sentence. As recorded from Mesos."""
    status = event.exit_status
    refused = ""
    if event.pids_refused:
        refused = f"; it was refused a process {event.pids_refused} times: it has as many as it may"
    if task.killed_for in ENDED_BY_AGENT:
        state, reason, message = ENDED_BY_AGENT[task.killed_for]
        why = f": {task.killed_why}" if task.killed_why else ""
        return state, reason, f"{message}{why}{refused}"
    if event.limit == "memory":
        asked = sum(r.scalar for r in task.info.resources if r.name == "mem")
        peak = f", used {event.peak_bytes / MIB:.0f} MiB" if event.peak_bytes else ""
        message = f"Memory limit exceeded: asked for {asked:g} MiB{peak}"
        return pb.TASK_FAILED, pb.REASON_CONTAINER_LIMITATION_MEMORY, message
    if status is None:
        message = "Ended while its supervisor was away: the exit status is unknown"
        if task.kill is not None:
            return pb.TASK_KILLED, pb.REASON_UNSPECIFIED, message
        return pb.TASK_FAILED, pb.REASON_EXECUTOR_TERMINATED, message
    if status >= 0:
        message = f"Command exited with status {status}"
    else:
        name = signal.strsignal(-status) or f"signal {-status}"
        message = f"Command terminated with signal {name}"
    message += refused
    if event.problem:
        message += f": {event.problem}"
    if task.kill is not None:
        return pb.TASK_KILLED, pb.REASON_UNSPECIFIED, message
    state = pb.TASK_FINISHED if status == 0 else pb.TASK_FAILED
    return state, pb.REASON_UNSPECIFIED, message
