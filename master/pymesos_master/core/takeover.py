"""What an agent says of its tasks holds: the master takes it over as the agent registers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from pymesos_core import contract, resources
from pymesos_core.copies import copy_of
from pymesos_core.resource_values import ResourceError
from pymesos_core.states import FROM_AGENTS, is_terminal
from pymesos_master.core import accounting, agents, slices, tasks
from pymesos_master.core import executors as held_executors
from pymesos_master.core.context import Context
from pymesos_master.core.events import AgentToldEnded
from pymesos_master.core.lifecycles import SAID, TASK_LIFE, AgentState, TaskEvent
from pymesos_master.core.reported import ReportedExecutor, ReportedTask, time_of
from pymesos_master.core.state import Agent, Framework, Task, TaskKey
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


def take_over(
    ctx: Context,
    agent: Agent,
    reported: deque[ReportedTask],
    executors: Iterable[ReportedExecutor],
    was: AgentState | None,
) -> Iterator[list[TaskKey]]:
    """Make the master's view of the agent's tasks the agent's own view: it holds the truth.

    Each slice of them is taken out of `reported`, and yields which they were. `was` is the state of
    the agent before.
    """
    said: set[TaskKey] = set()
    for some in slices.taken(ctx, reported):
        yield _take_over_some(ctx, agent, some, was, said)
    unsaid = [task for task in agent.tasks.values() if task.key not in said]
    for unknown in slices.taken(ctx, deque(unsaid)):
        for task in unknown:
            if agent.tasks.get(task.key) is task:
                _forget_unreported(ctx, agent, task)
        yield [task.key for task in unknown]
    _take_over_executors(ctx, agent, executors, was_awaited=was == AgentState.RECOVERING)
    yield []  # what follows of all together is enough for a step


def _take_over_some(
    ctx: Context,
    agent: Agent,
    reported: Iterable[ReportedTask],
    was: AgentState | None,
    said: set[TaskKey],
) -> list[TaskKey]:
    """Take over those that are not `said` yet, and return the keys of all."""
    owners: dict[str, Framework | None] = {}  # as they are now
    keys: list[TaskKey] = []
    for each in reported:
        key = (each.framework_id, each.task_id)
        if key in said:
            continue
        said.add(key)
        keys.append(key)
        if each.framework_id not in owners:
            owners[each.framework_id] = _owner(ctx, agent, each.framework_id)
        owner = owners[each.framework_id]
        if owner is not None:
            _take_over(ctx, agent, owner, each, was_unreachable=was == AgentState.UNREACHABLE)
            if (task := agent.tasks.get(key)) is not None:
                accounting.look(ctx, task, since_stored=was == AgentState.RECOVERING)
    return keys


def _take_over_executors(
    ctx: Context, agent: Agent, said: Iterable[ReportedExecutor], *, was_awaited: bool
) -> None:
    """The same of what its executors hold of their own; of unknown frameworks nothing is held."""
    reported: set[TaskKey] = set()
    for each in said:
        key = (each.framework_id, each.executor_id)
        if key not in reported and _owner(ctx, agent, each.framework_id) is not None:
            reported.add(key)
            held_executors.hold(ctx, agent, each, since_stored=was_awaited)
    for key in [key for key in agent.executors if key not in reported]:
        held_executors.forget(ctx, agent, key)


def tell_what_waited(ctx: Context, agent: Agent, framework_ids: Iterable[str]) -> None:
    """Tell an agent that is here what it could not be told while its tasks, which are of these
    frameworks, were taken over."""
    for framework_id in framework_ids:
        _owner(ctx, agent, framework_id)
    for task in agent.tasks.values():
        if task.kill is not None and not is_terminal(task.state):
            tasks.send_kill(ctx, agent, task)


def _owner(ctx: Context, agent: Agent, framework_id: str) -> Framework | None:
    """The framework that tasks are of, if it is known. Its agent is told when it is no more."""
    framework = ctx.state.frameworks.get(framework_id)
    if framework is None or ctx.state.is_removed(framework_id):
        shutdown = agent_pb.MasterMessage.ShutdownFramework(framework_id=framework_id)
        ctx.tell_agent(agent, agent_pb.MasterMessage(shutdown_framework=shutdown))
    return framework or ctx.state.completed_frameworks.get(framework_id)


def _take_over(
    ctx: Context,
    agent: Agent,
    framework: Framework,
    reported: ReportedTask,
    *,
    was_unreachable: bool,
) -> None:
    task = framework.tasks.get(reported.task_id)
    if task is not None and task.agent_id != agent.agent_id:
        return  # the id runs elsewhere; the agent that was given it first keeps it
    if task is None:
        task = Task(
            reported.info,
            framework.framework_id,
            agent.agent_id,
            reported.role,
            ctx.interned(reported.held),
            pb.TASK_STAGING,
            reported.launched_at_s or ctx.now.wall_s,
        )
        framework.tasks[task.task_id] = task
        agent.tasks[task.key] = task
        ctx.state.completed_tasks.pop(task.key, None)
    elif task.resources != reported.held:
        # What it holds is what its agent says, by which its resources were looked at.
        task.info, task.resources = reported.info, ctx.interned(reported.held)
    for problem in reported.problems:
        ctx.complain(agent, "a bad status of a task", problem)
    unacknowledged = reported.unacknowledged
    if not is_terminal(task.state) or reported.has_ended:
        if not is_terminal(task.state):
            # Nothing of it is freed here: what tasks hold is counted anew when all are taken over.
            TASK_LIFE.move(task, SAID[reported.state], ctx.now.wall_s)
        if is_terminal(task.state) and not task.finished_at_s:
            ended = [s for s in unacknowledged if is_terminal(s.state)]
            task.finished_at_s = (time_of(ended[0].timestamp_s) if ended else 0) or ctx.now.wall_s
        if not task.started_at_s:
            # Now, at the latest, where the agent does not say it yet.
            running = reported.state == pb.TASK_RUNNING
            task.started_at_s = reported.started_at_s or (ctx.now.wall_s if running else 0.0)
    if task.status is None:
        task.status = reported.status
    due = unacknowledged[0] if unacknowledged else None
    if due is not None:
        task.unacknowledged = due
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


def on_told_ended(ctx: Context, event: AgentToldEnded) -> None:
    """Keep what an earlier leader knew, behind all that this one has seen end itself."""
    agent = agents.agent_of(ctx, event.connection_id)
    if agent is None:
        return
    agent.heard = agent.told_ended = True
    said = event.ended.tasks
    # It may say so in several messages.
    slices.run_after(ctx, ("ended", agent.agent_id), len(said), _keep_ended(ctx, agent, said))


def _keep_ended(ctx: Context, agent: Agent, said: Iterable[agent_pb.TaskRecord]) -> Iterator[None]:
    completed = ctx.state.completed_tasks
    for records in slices.parts(ctx, said):
        for record in records:
            if len(completed) >= ctx.config.max_completed_tasks:
                return
            task = _ended_task(ctx, agent, record)
            known = task is None or task.key in completed or ctx.state.find_task(*task.key)
            if task is not None and not known:
                completed[task.key] = task
                completed.move_to_end(task.key, last=False)
        yield


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
    status = contract.tame(copy_of(record.status))
    task = Task(
        record.task_info,
        record.framework_id,
        agent.agent_id,
        record.role,
        ctx.interned(held),
        pb.TASK_STAGING,
        record.launched_at_s,
        started_at_s=record.started_at_s,
        finished_at_s=status.timestamp_s,
    )
    task.status = status
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
