"""What an agent says of its tasks holds: the master takes it over as the agent registers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymesos_core import contract, limits, resources
from pymesos_core.copies import copy_of
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.resources import EMPTY, ResourceError, Resources
from pymesos_core.states import FROM_AGENTS, is_terminal, state_name
from pymesos_master.core import agents, tasks
from pymesos_master.core.context import Context
from pymesos_master.core.events import AgentToldEnded
from pymesos_master.core.lifecycles import SAID, TASK_LIFE, TaskEvent
from pymesos_master.core.state import Agent, Framework, Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


def held_resources(records: Sequence[agent_pb.TaskRecord]) -> list[Resources]:
    """What each of the agent's tasks holds or held. Raises ResourceError when one is not a task."""
    for record in records:
        if problem := _record_problem(record):
            raise ResourceError(problem)
    return [_resources_of(record) for record in records]


def _record_problem(record: agent_pb.TaskRecord) -> str | None:
    """Why what an agent says it runs is no task that a master has given it; or None."""
    info = record.task_info
    what = f"the task {info.task_id[:255]!r}"
    if problem := id_problem(record.framework_id):
        return f"a task is of no framework: {problem}"
    if problem := id_problem(info.task_id):
        return f"a task has no id that can be: {problem}"
    if record.role and (problem := role_problem(record.role)):
        return f"{what} is of no role: {problem}"
    if record.state not in FROM_AGENTS:
        return f"{what} is in the state {state_name(record.state)}"
    return limits.TASK_INFO.problem(info.ByteSize(), what)


def _resources_of(record: agent_pb.TaskRecord) -> Resources:
    """The resources of a task; none if an ended one has unreadable ones. Raises ResourceError."""
    try:
        return resources.from_proto(record.task_info.resources)
    except ResourceError:
        if not is_terminal(record.state):
            raise
        return EMPTY


def held_now(records: Sequence[agent_pb.TaskRecord], held: Sequence[Resources]) -> Resources:
    """What those hold that run. Raises ResourceError when two overlap."""
    runs = [bag for record, bag in zip(records, held, strict=True) if not is_terminal(record.state)]
    return resources.checked_total(runs)


def take_over_tasks(
    ctx: Context,
    agent: Agent,
    records: Sequence[agent_pb.TaskRecord],
    held: Sequence[Resources],
    *,
    was_unreachable: bool,
) -> None:
    """Make the master's view of the agent's tasks the agent's own view: it holds the truth."""
    reported: set[tuple[str, str]] = set()
    for record, bag in zip(records, held, strict=True):
        key = (record.framework_id, record.task_info.task_id)
        if key in reported:
            continue
        reported.add(key)
        framework = ctx.state.frameworks.get(record.framework_id)
        if framework is None or ctx.state.is_removed(record.framework_id):
            _shut_down_framework(ctx, agent, record.framework_id)
        owner = framework or ctx.state.completed_frameworks.get(record.framework_id)
        if owner is not None:
            _take_over(ctx, agent, owner, record, bag, was_unreachable=was_unreachable)
    for key, task in list(agent.tasks.items()):
        if key not in reported:
            _forget_unreported(ctx, agent, task)


def _shut_down_framework(ctx: Context, agent: Agent, framework_id: str) -> None:
    shutdown = agent_pb.MasterMessage.ShutdownFramework(framework_id=framework_id)
    ctx.tell_agent(agent, agent_pb.MasterMessage(shutdown_framework=shutdown))


def _take_over(
    ctx: Context,
    agent: Agent,
    framework: Framework,
    record: agent_pb.TaskRecord,
    held: Resources,
    *,
    was_unreachable: bool,
) -> None:
    task_id = record.task_info.task_id
    task = framework.tasks.get(task_id)
    if task is not None and task.agent_id != agent.agent_id:
        return  # the id runs elsewhere; the agent that was given it first keeps it
    if task is None:
        task = Task(
            copy_of(record.task_info),
            framework.framework_id,
            agent.agent_id,
            record.role,
            ctx.interned(held),
            pb.TASK_STAGING,
            _time(record.launched_at_s) or ctx.now.wall_s,
        )
        framework.tasks[task.task_id] = task
        agent.tasks[task.key] = task
        ctx.state.completed_tasks.pop(task.key, None)
    elif task.resources != held:
        # What it holds is what its agent says, by which its resources were looked at.
        task.info, task.resources = copy_of(record.task_info), ctx.interned(held)
    unacknowledged = _statuses(ctx, agent, record, record.unacknowledged)
    if not is_terminal(task.state) or is_terminal(record.state):
        if not is_terminal(task.state):
            # Nothing of it is freed here: what tasks hold is counted anew when all are taken over.
            TASK_LIFE.move(task, SAID[record.state], ctx.now.wall_s)
        if is_terminal(task.state) and not task.finished_at_s:
            ended = [s for s in unacknowledged if is_terminal(s.state)]
            task.finished_at_s = (_time(ended[0].timestamp_s) if ended else 0) or ctx.now.wall_s
        if not task.started_at_s:
            task.started_at_s = _started_at_s(ctx, record)
    if task.status is None and record.HasField("status"):
        task.status = next(iter(_statuses(ctx, agent, record, [record.status])), None)
    due = unacknowledged[0] if unacknowledged else None
    if due is not None:
        task.status = task.unacknowledged = due
    if was_unreachable and due is not None:
        # Not the latest state: its updates come in order, and this is the one that is due.
        tasks.forward(ctx, framework, due)
    elif was_unreachable:
        tasks.tell_status(
            ctx,
            task,
            task.state,
            pb.REASON_AGENT_REREGISTERED,
            "Unreachable agent re-registered",
        )
    if task.kill is not None and not is_terminal(task.state):
        tasks.send_kill(ctx, agent, task)


def _statuses(
    ctx: Context, agent: Agent, record: agent_pb.TaskRecord, said: Iterable[pb.TaskStatus]
) -> list[pb.TaskStatus]:
    """The statuses that an agent may report of its task; why others are left out is said."""
    kept: list[pb.TaskStatus] = []
    for status in said:
        if problem := _status_problem(record, status):
            ctx.complain(agent, "a bad status of a task", problem)
        else:
            kept.append(contract.tame(copy_of(status)))
    return kept


def _status_problem(record: agent_pb.TaskRecord, status: pb.TaskStatus) -> str | None:
    if problem := contract.problem(status):
        return problem
    if status.task_id != record.task_info.task_id:
        return f"it is of {status.task_id!r}, among those of {record.task_info.task_id!r}"
    return tasks.state_problem(status.state, record.state)


def _time(unix_s: float) -> float:
    """A time that a peer says, or 0 when it is none."""
    return unix_s if 0 < unix_s <= contract.MAX_TIME_S else 0.0


def _started_at_s(ctx: Context, record: agent_pb.TaskRecord) -> float:
    """When a task started; now, at the latest, where the agent does not say it yet."""
    running = record.state == pb.TASK_RUNNING
    return _time(record.started_at_s) or (ctx.now.wall_s if running else 0.0)


def on_told_ended(ctx: Context, event: AgentToldEnded) -> None:
    """Keep what an earlier leader knew, behind all that this one has seen end itself."""
    agent = agents.agent_of(ctx, event.connection_id)
    if agent is None:
        return
    agent.heard = agent.told_ended = True
    completed = ctx.state.completed_tasks
    for record in event.ended.tasks:
        if len(completed) >= ctx.config.max_completed_tasks:
            return
        task = _ended_task(ctx, agent, record)
        known = task is None or task.key in completed or ctx.state.find_task(*task.key)
        if task is not None and not known:
            completed[task.key] = task
            completed.move_to_end(task.key, last=False)


def _ended_task(ctx: Context, agent: Agent, record: agent_pb.TaskRecord) -> Task | None:
    """None for what is no task, or has not ended."""
    named = record.framework_id and record.task_info.task_id
    ended = record.state in FROM_AGENTS and is_terminal(record.state)
    if not named or not ended or contract.problem(record):
        return None
    try:
        held = resources.from_proto(record.task_info.resources)
    except ResourceError:
        return None
    # Copies: a part of a message keeps all of its batch in memory.
    info, status = pb.TaskInfo(), pb.TaskStatus()
    info.CopyFrom(record.task_info)
    status.CopyFrom(record.status)
    task = Task(
        info,
        record.framework_id,
        agent.agent_id,
        record.role,
        ctx.interned(held),
        pb.TASK_STAGING,
        record.launched_at_s,
        status=contract.tame(status),
        started_at_s=record.started_at_s,
        finished_at_s=status.timestamp_s,
    )
    TASK_LIFE.move(task, SAID[record.state], ctx.now.wall_s)
    return task


def _forget_unreported(ctx: Context, agent: Agent, task: Task) -> None:
    """A task the agent does not know: its launch was lost, or its end is acknowledged."""
    if is_terminal(task.state) and task.status is not None and is_terminal(task.status.state):
        tasks.complete(ctx, task)
        return
    message = "Reconciliation: Task is unknown to the agent"
    tasks.end_without_agent(
        ctx, task, TaskEvent.UNREPORTED, pb.REASON_RECONCILIATION, message, source=pb.SOURCE_AGENT
    )
