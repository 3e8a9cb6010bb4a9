"""How tasks end: what that is to their frameworks, with a reason and a sentence."""

from __future__ import annotations

import signal

from pymesos_agent.core.events import ContainerExited
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import TaskEvent
from pymesos_agent.core.tasks.checks import HEALTH
from pymesos_agent.core.tasks.task import Task
from pymesos_proto.v1 import types_pb2 as pb

LIFETIME, DISK, GROUP, ENDING, DRAIN = "lifetime", "disk", "group", "ending", "drain"
REVOKED, CONFIG, RESTARTED = "revoked", "config", "restarted"
MIB = 1024 * 1024
# As in Mesos: one that is not well is killed, one that takes too long has failed.
ENDED_BY_AGENT = {
    HEALTH: (
        TaskEvent.KILLED,
        pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
        "Killed, for its health checks failed",
    ),
    LIFETIME: (
        TaskEvent.FAILED,
        pb.REASON_MAX_COMPLETION_TIME_REACHED,
        "Did not end within its max_completion_time",
    ),
    DISK: (TaskEvent.FAILED, pb.REASON_CONTAINER_LIMITATION_DISK, "Disk limit exceeded"),
    GROUP: (TaskEvent.KILLED, pb.REASON_UNSPECIFIED, "Killed with its group"),
    ENDING: (TaskEvent.KILLED, pb.REASON_AGENT_REMOVED, "Killed with its agent, which is ending"),
    DRAIN: (TaskEvent.KILLED, pb.REASON_AGENT_DRAINING, "Killed, for its agent is being drained"),
    REVOKED: (
        TaskEvent.KILLED,
        pb.REASON_RESOURCES_REVOKED,
        "Killed, for what it ran on was revocable, and is used by others",
    ),
    CONFIG: (
        TaskEvent.KILLED,
        pb.REASON_CONFIG_CHANGED,
        "Killed, to begin anew with addresses in its config files that have changed",
    ),
    RESTARTED: (
        TaskEvent.LOST,
        pb.REASON_AGENT_DISCONNECTED,
        "Its agent was started again, and its framework has no checkpoints",
    ),
}
# What holds however far a task had come.
OF_THE_AGENT = frozenset({ENDING, DRAIN, REVOKED})


def grace_s(policy: pb.KillPolicy | None, own: pb.TaskInfo, default_s: float) -> float:
    """The policy of the KILL call beats the task's own; 3 s without either.

    One that says only a signal is no word about the period.
    """
    if policy is not None and policy.ByteSize() and _says_period(policy):
        return policy.grace_period_s
    if own.HasField("kill_policy") and _says_period(own.kill_policy):
        return own.kill_policy.grace_period_s
    return default_s


def _says_period(policy: pb.KillPolicy) -> bool:
    return bool(policy.grace_period_s) or not policy.signal


def ending(owner: Task | Executor, event: ContainerExited) -> tuple[TaskEvent, pb.Reason, str]:
    """How a task or an executor ended: what that is to it, the reason and a sentence.

    As recorded from Mesos.
    """
    status = event.exit_status
    refused = ""
    if event.pids_refused:
        refused = f"; it was refused a process {event.pids_refused} times: it has as many as it may"
    if owner.killed_for in ENDED_BY_AGENT:
        outcome, reason, message = ENDED_BY_AGENT[owner.killed_for]
        why = f": {owner.killed_why}" if owner.killed_why else ""
        return outcome, reason, f"{message}{why}{refused}"
    if event.limit == "memory":
        asked = sum(r.scalar for r in owner.info.resources if r.name == "mem")
        peak = f", used {event.peak_bytes / MIB:.0f} MiB" if event.peak_bytes else ""
        message = f"Memory limit exceeded: asked for {asked:g} MiB{peak}"
        return TaskEvent.FAILED, pb.REASON_CONTAINER_LIMITATION_MEMORY, message
    if status is None:
        message = "Ended while its supervisor was away: the exit status is unknown"
        if owner.kill is not None:
            return TaskEvent.KILLED, pb.REASON_UNSPECIFIED, message
        return TaskEvent.FAILED, pb.REASON_EXECUTOR_TERMINATED, message
    if status >= 0:
        message = f"Command exited with status {status}"
    else:
        name = signal.strsignal(-status) or f"signal {-status}"
        message = f"Command terminated with signal {name}"
    message += refused
    if event.problem:
        message += f": {event.problem}"
    if owner.kill is not None:
        early = isinstance(owner, Task) and owner.state in (pb.TASK_STAGING, pb.TASK_STARTING)
        reason = pb.REASON_TASK_KILLED_DURING_LAUNCH if early else pb.REASON_UNSPECIFIED
        return TaskEvent.KILLED, reason, message
    outcome = TaskEvent.FINISHED if status == 0 else TaskEvent.FAILED
    return outcome, pb.REASON_UNSPECIFIED, message
