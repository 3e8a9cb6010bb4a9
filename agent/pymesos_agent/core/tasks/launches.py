"""Tasks and groups begin, on a runtime or in an executor.

Durable before visible: a task is checkpointed before its container is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pymesos_agent.core import executors, updates
from pymesos_agent.core.context import Context
from pymesos_agent.core.effects import StartContainer
from pymesos_agent.core.ports import Group, mapped_ports, ports_of
from pymesos_agent.core.tasks import AgentTask, choose_runtime
from pymesos_core import contract
from pymesos_core.copies import copy_of
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.resources import ResourceError, Resources, checked_total, from_proto, to_proto
from pymesos_proto.v1 import types_pb2 as pb


def launch(
    ctx: Context, framework_id: str, role: str, infos: Sequence[pb.TaskInfo], group_id: str
) -> None:
    """All of them or none, as far as the checkpoint goes."""
    known = any((framework_id, info.task_id) in ctx.state.by_key for info in infos)
    if known or not infos:
        return
    if ctx.ending:
        for info in infos:
            updates.turn_away(ctx, framework_id, info)
        return
    try:
        _check(ctx, framework_id, role, infos)
    except ResourceError as error:
        for info in infos:
            updates.refuse(ctx, framework_id, info, str(error))
        return
    framework = ctx.state.framework_info(framework_id)
    tasks = [
        AgentTask(
            next(ctx.container_ids),
            framework_id,
            role,
            info,
            choose_runtime(info.container, ctx.runtimes, grouped=bool(group_id)),
            info.command.user or framework.user,
            pb.TASK_KILLING_STATE in framework.capabilities,
            group_id=group_id,
            launched_at_s=ctx.now.wall_s,
        )
        for info in infos
    ]
    new = [made for task in tasks if (made := _give_executor(ctx, task)) is not None]
    for task in (*new, *tasks):
        ctx.add(task)

    def durable() -> None:
        for task in tasks:
            _start(ctx, task)

    def failed(message: str) -> None:
        for task in tasks:
            updates.drop(ctx, task, message)
        for executor in new:
            ctx.forget(executor)

    ctx.checkpoint(tuple(task.change() for task in (*new, *tasks)), durable, failed)


def _check(ctx: Context, framework_id: str, role: str, infos: Sequence[pb.TaskInfo]) -> None:
    """Raises ResourceError: what the master has let through is looked at once more.

    It is kept on disk, and what cannot be read again would keep the agent from starting.
    """
    if problem := id_problem(framework_id) or role_problem(role or "*"):
        raise ResourceError(f"its framework or role: {problem}")
    if len({info.task_id for info in infos}) != len(infos):
        raise ResourceError("two tasks of the group have the same id")
    needed: list[Resources] = []
    for info in infos:
        if problem := id_problem(info.task_id) or contract.problem(info):
            raise ResourceError(f"the task is invalid: {problem}")
        needed.append(from_proto(info.resources))
        if not info.HasField("executor"):
            continue
        if problem := id_problem(info.executor.executor_id):
            raise ResourceError(f"the executor's id: {problem}")
        executor = executors.find(ctx, framework_id, info.executor)
        if executor is not None:
            checked_total((executors.resources_of(executor), needed[-1]))
    if len(needed) > 1:
        checked_total(needed)


def _give_executor(ctx: Context, task: AgentTask) -> AgentTask | None:
    """Find the executor that a task asks for, or make it; the one that was made."""
    if not task.info.HasField("executor"):
        return None
    info = task.info.executor
    found = executors.find(ctx, task.framework_id, info)
    executor = found
    if executor is None:
        token, address = next(ctx.uuids).hex(), ctx.config.info.address
        container = executors.container_of(info, token, f"{address.ip}:{address.port}")
        container.agent_id = ctx.state.agent_id
        executor = AgentTask(
            next(ctx.container_ids),
            task.framework_id,
            task.role,
            container,
            choose_runtime(info.container, ctx.runtimes),
            info.command.user or task.user,
            killing_state=False,
            executor_info=info,
            token=token,
        )
    task.executor, task.executor_container_id = executor, executor.container_id
    task.runtime = executor.runtime
    executor.tasks.append(task)
    return None if found is executor else executor


def _start(ctx: Context, task: AgentTask) -> None:
    """Its checkpoint is written."""
    if task.kill is not None:
        updates.update(
            ctx,
            task,
            pb.TASK_KILLED,
            pb.REASON_TASK_KILLED_DURING_LAUNCH,
            "Killed before delivery to the runtime",
        )
    elif task.runtime not in ctx.runtimes:
        _refuse_runtime(ctx, task)
    elif task.executor is not None:
        _start_in_executor(ctx, task, task.executor)
    else:
        task.asked_to_start = True
        ctx.emit(start_of(ctx, task))


def _start_in_executor(ctx: Context, task: AgentTask, executor: AgentTask) -> None:
    task.started = True
    if executor.ended or ctx.state.tasks.get(executor.container_id) is not executor:
        text = "Its executor has ended before it was launched"
        updates.update(ctx, task, pb.TASK_FAILED, pb.REASON_EXECUTOR_TERMINATED, text)
    elif executor.executor_info != task.info.executor:
        text = f"The executor {executor.info.task_id} runs with another ExecutorInfo"
        updates.update(ctx, task, pb.TASK_ERROR, pb.REASON_TASK_INVALID, text)
    elif executor.asked_to_start:
        executors.launch(ctx, task)
    elif executor.kill is not None:
        executors.end(ctx, executor, None, "it was killed before it was started")
    else:
        executor.asked_to_start = True
        ctx.emit(start_of(ctx, executor))
        executors.started(ctx, executor)


def start_of(ctx: Context, task: AgentTask) -> StartContainer:
    """All that a runtime is told of a container."""
    info = task.info
    if task.is_executor:
        info = copy_of(info)
        info.resources.extend(to_proto(executors.resources_of(task)))
    members = ctx.state.groups.get(task.group_id, ())
    ports = (
        mapped_ports(member.info, ports_of(from_proto(member.info.resources))) for member in members
    )
    group = Group(
        task.group_id,
        tuple(member.container_id for member in members),
        tuple(chain.from_iterable(ports)),
    )
    return StartContainer(
        task.container_id,
        task.framework_id,
        task.runtime,
        task.user,
        info,
        resizes=task.is_executor,
        group=group if task.group_id else None,
    )


def _refuse_runtime(ctx: Context, task: AgentTask) -> None:
    if (why := ctx.away.get(task.runtime)) is not None:
        updates.update(
            ctx,
            task,
            pb.TASK_DROPPED,
            pb.REASON_CONTAINER_LAUNCH_FAILED,
            f"The runtime {task.runtime} of this agent does not answer now: {why}",
        )
        return
    has = ", ".join(ctx.runtimes) or "none"
    what = "an image" if task.info.container.image else "no image"
    if task.info.container.runtime:
        what = f"`runtime: {task.runtime}`"
    elif task.runtime == "oci":
        what = "namespaces of its own"
    updates.update(
        ctx,
        task,
        pb.TASK_FAILED,
        pb.REASON_CONTAINER_LAUNCH_FAILED,
        f"A task with {what} needs the runtime {task.runtime}; this agent has: {has}",
    )
