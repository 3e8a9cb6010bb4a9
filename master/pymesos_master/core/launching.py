"""What is launched on accepted offers: whether it can be, and what of them it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_core import limits
from pymesos_core.executors import executor_of
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources, total
from pymesos_core.stop_signals import TERM, first_signal
from pymesos_master.core import executors, secrets
from pymesos_master.core.reservations import Launching
from pymesos_master.core.state import Agent, Framework
from pymesos_master.core.validation import group_problem, task_problem
from pymesos_proto.v1 import types_pb2 as pb


class Planned(NamedTuple):
    """A launch with what each of its tasks needs, or why it cannot be: of every task, a tuple."""

    launching: Launching
    needed: list[Resources]
    problem: str | None
    of_executor: Resources = EMPTY  # what its executor is to hold, if it holds nothing yet


@dataclass(slots=True)
class Launched:
    """What the same call launches before."""

    task_ids: set[str] = field(default_factory=set)
    held: dict[str, Resources] = field(default_factory=dict)  # what executors are to hold


def plan_one(
    framework: Framework, agent: Agent, launching: Launching, rest: Resources, launched: Launched
) -> Planned:
    """Plan a launch: what its tasks need, and their executor, or why they may not be launched."""
    of_executor = EMPTY
    if launching.grouped:
        of_all, problem = group_problem(framework, agent, launching.infos, rest, launched.task_ids)
    else:
        info = launching.infos[0]
        needed, problem = task_problem(framework, agent, info, rest, launched=launched.task_ids)
        of_all = [needed]
    if problem is None and (launching.grouped or launching.infos[0].HasField("executor")):
        of_executor, problem = _of_executor(
            framework, agent, launching, rest - total(of_all), launched
        )
    if problem is None:
        problems = (not_capable(agent, each) for each in launching.infos)
        problem = next(filter(None, problems), None)
    if problem is None:
        launched.task_ids.update(info.task_id for info in launching.infos)
        if of_executor:
            executor_id, _ = executor_of(launching.infos[0])
            launched.held[executor_id] = of_executor
    return Planned(launching, of_all, problem, of_executor)


def _of_executor(
    framework: Framework, agent: Agent, launching: Launching, rest: Resources, launched: Launched
) -> tuple[Resources, str | None]:
    """What is taken for the executor of tasks, if that holds nothing yet; or why it cannot be."""
    info = launching.infos[0]
    executor_id, said = executor_of(info)
    try:
        asked = executors.asked(info)
    except ResourceError as error:
        return EMPTY, f"Executor uses invalid resources: {error}"
    if any(executor_of(other) != (executor_id, said) for other in launching.infos[1:]):
        return EMPTY, "The tasks of a group have one executor; these name several"
    if asked and not executor_id:
        return EMPTY, "The executor of the group has resources, and no id"
    if not asked:
        return EMPTY, None
    known = agent.executors.get((framework.framework_id, executor_id))
    holds = launched.held.get(executor_id) if known is None else known.resources
    if holds is not None:
        if launching.grouped and holds != asked:
            return EMPTY, f"The executor {executor_id} is there with other resources: {holds}"
        return EMPTY, None
    if problem := limits.AGENT_EXECUTORS.problem(len(agent.executors) + 1):
        return EMPTY, problem
    what = "group" if launching.grouped else "task"
    if not rest.contains(asked):
        return EMPTY, (
            f"Total resources required by {what} and its executor is more than available: the"
            f" executor {executor_id} asks for {asked}, and its {what} leaves {rest}"
        )
    return asked, None


def not_capable(agent: Agent, info: pb.TaskInfo) -> str | None:
    """Why an agent of an earlier version cannot do what a task asks for, or None."""
    if info.HasField("kill_policy"):  # of what is not there no part is looked at: most are none
        first = first_signal(info.kill_policy)
        if first != TERM and pb.KILL_SIGNAL not in agent.info.capabilities:
            return (
                f"Task is to be ended by {first}, which its agent is too old for: upgrade the agent"
            )
    has_container = info.HasField("container") or info.HasField("executor")
    if has_container and (problem := _container_not_capable(agent, info)):
        return problem
    if info.group_executor_resources and pb.GROUP_EXECUTORS not in agent.info.capabilities:
        return (
            "The executor of the group has resources (ExecutorInfo.resources), which its agent is"
            " too old to know: upgrade the agent"
        )
    return secrets.launch_problem(agent, info)


def _container_not_capable(agent: Agent, info: pb.TaskInfo) -> str | None:
    config = info.container.config or info.executor.container.config
    if config and pb.CONFIG not in agent.info.capabilities:
        return "Task has config files, for which its agent is too old: upgrade the agent"
    if any(file.addresses for file in config) and pb.ADDRESSES not in agent.info.capabilities:
        return "Task has config files with addresses, for which its agent is too old: upgrade it"
    both = any(file.addresses and file.secrets for file in config)
    if both and pb.SECRET_ADDRESSES not in agent.info.capabilities:
        return (
            "Task has a config file with secrets and addresses, for which its agent is too old:"
            " upgrade it, or make a file of each"
        )
    if info.executor.resources and pb.EXECUTOR_RESOURCES not in agent.info.capabilities:
        return (
            "Task has an executor with resources of its own (ExecutorInfo.resources), which its"
            " agent is too old to know: upgrade the agent"
        )
    return None


def plan(
    framework: Framework,
    agent: Agent,
    launches: Iterable[Launching],
    rest: Resources,
) -> tuple[list[Planned], Resources]:
    """Which launches are valid and fit, and what they leave of the offers."""
    planned: list[Planned] = []
    launched = Launched()
    for launching in launches:
        one = plan_one(framework, agent, launching, rest, launched)
        planned.append(one)
        if one.problem is None:
            for mine in (*one.needed, one.of_executor):
                rest = rest - mine
    return planned, rest
