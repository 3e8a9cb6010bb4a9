"""Tasks and groups begin, on a runtime or in an executor.

Durable before visible: a task is checkpointed before its container is started.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from pymesos_agent.core.containers import Container, choose_runtime
from pymesos_agent.core.context import Context, Owner
from pymesos_agent.core.effects import StartContainer
from pymesos_agent.core.executors import groups
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.lifecycles import ContainerEvent, TaskEvent
from pymesos_agent.core.ports import (
    UNLIMITED,
    Group,
    bandwidth_of,
    mapped_ports,
    ports_of,
)
from pymesos_agent.core.tasks import updates
from pymesos_agent.core.tasks.task import InExecutor, Task
from pymesos_core import contract
from pymesos_core.copies import copy_of
from pymesos_core.executors import executor_of, held_problem, own_resources
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.images import is_on_disk
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import check, checked_total, from_proto, to_proto
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

USERS = "users"


def launch_task(ctx: Context, message: agent_pb.LaunchTask) -> None:
    """Launch one task."""
    _launch_as_told(ctx, message, [copy_of(message.task_info)], "")


def launch_group(ctx: Context, message: agent_pb.LaunchGroup) -> None:
    """Launch the tasks of a group, all or none."""
    infos = [copy_of(info) for info in message.task_infos]
    _launch_as_told(ctx, message, infos, next(ctx.container_ids))


def _launch_as_told(
    ctx: Context,
    message: agent_pb.LaunchTask | agent_pb.LaunchGroup,
    infos: Sequence[pb.TaskInfo],
    group_id: str,
) -> None:
    """Launch tasks; what was taken for their executor is given back unless that is there.

    A master takes it once. If the executor ends while its next task is on the way, nothing is
    taken for another one, so that task is dropped (as in Mesos: `RunTaskMessage.launch_executor`).
    """
    framework_id = message.framework_id
    executor_id, asked = executor_of(infos[0]) if infos else ("", ())
    known = not asked or message.launch_executor
    if not known and not executors.serves_tasks(ctx, framework_id, infos[0]):
        text = f"Its executor {executor_id[:255]} has ended, or is about to"
        for info in infos:
            updates.turn_away(ctx, framework_id, info, pb.REASON_EXECUTOR_TERMINATED, text)
        return
    launch(ctx, framework_id, message.role, infos, group_id)
    if message.launch_executor:
        executors.tell_free(ctx, framework_id, executor_id)


def launch(
    ctx: Context, framework_id: str, role: str, infos: Sequence[pb.TaskInfo], group_id: str
) -> None:
    """All of them or none, as far as the checkpoint goes."""
    known = any((framework_id, info.task_id) in ctx.state.by_key for info in infos)
    if known or not infos:
        return
    if ctx.ending:
        text = "The agent is ending, so it launches nothing"  # its master did not know yet
        for info in infos:
            updates.turn_away(ctx, framework_id, info, pb.REASON_AGENT_REMOVED, text)
        return
    try:
        _check(ctx, framework_id, role, infos)
    except ResourceError as error:
        for info in infos:
            updates.refuse(ctx, framework_id, info, str(error))
        return
    if ctx.uids.lacks(len(infos)):
        text = "The agent has no more users to give to tasks (--task-uids), so it launches nothing"
        for info in infos:
            updates.turn_away(ctx, framework_id, info, pb.REASON_CONTAINER_LAUNCH_FAILED, text)
        return
    tasks = [_new(ctx, framework_id, role, info, group_id) for info in infos]
    new = [made for task in tasks if (made := _place(ctx, task)) is not None]
    owners: list[Owner] = [*new, *tasks]
    for owner in owners:
        ctx.add(owner)

    def durable() -> None:
        for task in tasks:
            _start(ctx, task)

    def failed(message: str) -> None:
        for task in tasks:
            updates.drop(ctx, task, message)
        for executor in new:
            ctx.forget(executor)
            if executor.held:
                executors.tell_free(ctx, *executor.key)
        if groups.asks(tasks[0]):
            executors.tell_free(ctx, *groups.key_of(tasks[0]))
        for owner in owners:
            if owner.container is not None:
                ctx.uids.free(owner.container.own_uid)
        ctx.uids.not_stored()

    changes = [owner.change() for owner in owners]
    next_uid = ctx.uids.to_store()
    if next_uid is not None:
        next_user = checkpoint_pb.UsersRecord(next=next_uid)
        changes.append(Change(USERS, "", next_user.SerializeToString()))
    # A crash of the machine ends the container as well, and nobody has been told of it before there
    # is an update, which is synced and all before it: so a launch need only outlive the agent. What
    # files it left outlive the machine: whoever has its user next would have them.
    ctx.checkpoint(tuple(changes), durable, failed, synced=next_uid is not None)


def _check(ctx: Context, framework_id: str, role: str, infos: Sequence[pb.TaskInfo]) -> None:
    """Raises ResourceError: what the master has let through is looked at once more.

    It is kept on disk, and what cannot be read again would keep the agent from starting.
    """
    if problem := id_problem(framework_id) or role_problem(role or "*"):
        raise ResourceError(f"its framework or role: {problem}")
    if len(infos) > 1 and len({info.task_id for info in infos}) != len(infos):
        raise ResourceError("two tasks of the group have the same id")
    for info in infos:
        # The contract looks at an id that is there: not twice at each, which costs a microsecond.
        if problem := contract.problem(info) if info.task_id else id_problem(info.task_id):
            raise ResourceError(f"the task is invalid: {problem}")
        check(info.resources)
        executor_id, asked = executor_of(info)
        if not (executor_id or asked or info.HasField("executor")):
            continue
        if problem := id_problem(executor_id):
            raise ResourceError(f"the executor's id: {problem}")
        held = from_proto(asked)
        if problem := held_problem(held):
            raise ResourceError(f"the executor's resources: {problem}")
        if groups.is_other(ctx, framework_id, info):
            raise ResourceError(f"the executor {executor_id} is there, and is another one")
        if not info.HasField("executor"):
            continue
        executor = executors.find(ctx, framework_id, info.executor)
        has = executor.resources if executor is not None else own_resources(held)
        checked_total((has, from_proto(info.resources)))
    if len(infos) > 1:
        checked_total(from_proto(info.resources) for info in infos)


def _new(ctx: Context, framework_id: str, role: str, info: pb.TaskInfo, group_id: str) -> Task:
    framework_info = ctx.state.framework_info(framework_id)
    return Task(
        next(ctx.container_ids),
        framework_id,
        role,
        info,
        pb.TASK_KILLING_STATE in framework_info.capabilities,
        group_id=group_id,
        ends_with_agent=not has_checkpoints(framework_info),
        launched_at_s=ctx.now.wall_s,
    )


def has_checkpoints(info: pb.FrameworkInfo) -> bool:
    """Whether what a framework has here outlives the agent."""
    return info.checkpoint or pb.CHECKPOINT_COUNTS not in info.capabilities


def _place(ctx: Context, task: Task) -> Executor | None:
    """Give a task its container, or the executor that it asks for; the executor if it is new."""
    info = task.info
    user = info.command.user or ctx.state.framework_info(task.framework_id).user
    if not info.HasField("executor"):
        runtime = choose_runtime(info.container, ctx.runtimes, grouped=bool(task.group_id))
        task.container = _container(ctx, task.container_id, task.framework_id, runtime, user, info)
        return None
    found = executors.find(ctx, task.framework_id, info.executor)
    executor = found or _new_executor(ctx, task, user)
    task.inside = InExecutor(executor.container_id, executor)
    executor.tasks.append(task)
    if not executor.container.launched:
        executor.container.add_volumes(info.resources)
    return None if found is executor else executor


def _new_executor(ctx: Context, task: Task, user: str) -> Executor:
    info = task.info.executor
    token, address = next(ctx.uuids).hex(), ctx.config.info.address
    as_task = executors.as_task(
        info, token, ctx.config.executors_at or f"{address.ip}:{address.port}"
    )
    as_task.agent_id = ctx.state.agent_id
    if ctx.config.mesos_at:
        executors.add_environment_of_mesos(
            as_task,
            task.framework_id,
            token,
            ctx.config.mesos_at,
            info.shutdown_grace_period_s,
            checkpoint=not task.ends_with_agent,
        )
    container = _container(
        ctx,
        next(ctx.container_ids),
        task.framework_id,
        choose_runtime(info.container, ctx.runtimes),
        info.command.user or user,
        as_task,
    )
    return Executor(container, task.role, info, token, ends_with_agent=task.ends_with_agent)


def _container(
    ctx: Context, container_id: str, framework_id: str, runtime: str, user: str, info: pb.TaskInfo
) -> Container:
    """One that names no user gets one of its own; an image has users of its own."""
    has_users = bool(user) or (info.HasField("container") and bool(info.container.image))
    own_uid = 0 if has_users else ctx.uids.take()
    return Container(container_id, framework_id, runtime, user, info, own_uid)


def _start(ctx: Context, task: Task) -> None:
    """Start a task whose checkpoint is written."""
    if task.ended:
        return  # its executor knew of it from elsewhere, and has said so meanwhile
    if task.kill is not None:
        updates.update(
            ctx,
            task,
            TaskEvent.KILLED,
            pb.REASON_TASK_KILLED_DURING_LAUNCH,
            "Killed before delivery to the executor",
        )
    elif not (task.info.command.value or task.info.container.image or task.executor):
        _end_at_once(ctx, task)
    elif task.runtime not in ctx.runtimes:
        _refuse_runtime(ctx, task)
    elif task.executor is not None:
        _start_in_executor(ctx, task, task.executor)
    else:
        assert task.container is not None
        ctx.move(task.container, ContainerEvent.LAUNCHED)
        ctx.emit(start_of(ctx, task))


def _end_at_once(ctx: Context, task: Task) -> None:
    """End a task whose command says nothing, as when Mesos' executor is given one."""
    updates.update(ctx, task, TaskEvent.FETCHING, pb.REASON_UNSPECIFIED, "")
    reason = pb.REASON_EXECUTOR_TERMINATED
    updates.update(ctx, task, TaskEvent.FAILED, reason, "Executor terminated")


def _start_in_executor(ctx: Context, task: Task, executor: Executor) -> None:
    assert task.inside is not None
    task.inside.told = True
    if executor.ended or ctx.state.owners.get(executor.container_id) is not executor:
        text = "Its executor has ended before it was launched"
        updates.update(ctx, task, TaskEvent.FAILED, pb.REASON_EXECUTOR_TERMINATED, text)
    elif executor.executor_info != task.info.executor:
        text = f"The executor {executor.executor_id} runs with another ExecutorInfo"
        updates.update(ctx, task, TaskEvent.ERROR, pb.REASON_TASK_INVALID, text)
    elif executor.container.launched:
        executors.launch(ctx, executor, task)
    elif executor.kill is not None:
        executors.end(ctx, executor, None, "it was killed before it was started")
    else:
        ctx.emit(start_of(ctx, executor))
        executors.launched(ctx, executor)


def start_of(ctx: Context, owner: Owner) -> StartContainer:
    """All that a runtime is told of a container."""
    container = owner.container
    assert container is not None
    if isinstance(owner, Executor):
        return _start_of_executor(owner)
    return StartContainer(
        container.container_id,
        container.framework_id,
        container.runtime,
        container.user,
        container.info,
        container.own_uid,
        group=_group_of(ctx, owner.group_id) if owner.group_id else None,
    )


def _group_of(ctx: Context, group_id: str) -> Group:
    members = ctx.state.groups.get(group_id, ())
    ports = (
        mapped_ports(member.info, ports_of(from_proto(member.info.resources))) for member in members
    )
    container_ids = tuple(member.container_id for member in members)
    said = filter(None, (bandwidth_of(member.info) for member in members))  # all of them the same
    return Group(group_id, container_ids, tuple(chain.from_iterable(ports)), next(said, UNLIMITED))


def _start_of_executor(executor: Executor) -> StartContainer:
    container = executor.container
    info = copy_of(container.info)
    del info.resources[:]
    info.resources.extend(to_proto(executor.resources))
    return StartContainer(
        container.container_id,
        container.framework_id,
        container.runtime,
        container.user,
        info,
        container.own_uid,
        resizes=True,
    )


def _refuse_runtime(ctx: Context, task: Task) -> None:
    if (why := ctx.unavailable.get(task.runtime)) is not None:
        how = "does not answer" if task.runtime in ctx.away else "starts no containers"
        begun = task.state not in (pb.TASK_STAGING, pb.TASK_STARTING)  # as its executor says
        updates.update(
            ctx,
            task,
            TaskEvent.FAILED if begun else TaskEvent.DROPPED,
            pb.REASON_CONTAINER_LAUNCH_FAILED,
            f"The runtime {task.runtime} of this agent {how} now: {why}",
        )
        return
    has = ", ".join(ctx.runtimes) or "none"
    what = "an image" if task.info.container.image else "no image"
    if task.info.container.runtime:
        what = f"`runtime: {task.runtime}`"
    elif is_on_disk(task.info.container.image):
        what = "an image on the machine's disk"
    elif task.runtime == "oci":
        what = "namespaces of its own"
    updates.update(
        ctx,
        task,
        TaskEvent.FAILED,
        pb.REASON_CONTAINER_LAUNCH_FAILED,
        f"A task with {what} needs the runtime {task.runtime}; this agent has: {has}",
    )
