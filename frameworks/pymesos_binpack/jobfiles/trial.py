"""A job built to the end before it is taken: what its launch would send, on a made-up agent."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

from pymesos_binpack.jobfiles.clashes import clash_problem
from pymesos_binpack.jobfiles.restarting import restart_problem
from pymesos_binpack.jobfiles.templates import references
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import pending_task, task_infos, with_volumes
from pymesos_binpack.periodic.rules import MAX_VALUE
from pymesos_binpack.placement.agents import OfferedAgent
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.planner import Launch
from pymesos_binpack.placement.ports import in_ranges
from pymesos_binpack.specs import Job, JobError, TaskSpec
from pymesos_core import contract, limits
from pymesos_core.ids import size_of
from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import MILLI, ResourceError
from pymesos_core.resources import Resources, checked_total, from_proto
from pymesos_core.text import cut
from pymesos_proto.v1 import types_pb2 as pb

GPUS = "gpus"
MAX_NAMES, MAX_NAME = 20, 100  # that a sentence tells; and characters of one
DEVICES_MAX = 64  # of one agent, as far as the size of a message goes
JOB_ID_END = "-00000000"
ATTEMPTS = 10**9
AGENT = OfferedAgent("a" * limits.ID.most, {"hostname": "h"}, Resources())
POINTER_BYTES = 8
OURS_BYTES = 16 * limits.KIB  # what an agent adds to an environment, but for the ports
PORT_BYTES = 32  # PORT999=65535 and its pointer
RANGE_BYTES = 12
# Linux' execve takes a quarter of the stack's limit for all strings, and this much always.
EXEC_LEAST_BYTES = 128 * limits.KIB


def launch_problem(job: Job) -> str | None:
    """Why the job could not be launched on any agent, or None."""
    for index, spec in enumerate(job.tasks):
        for each in (spec, *spec.sidecars):
            if problem := _exec_problem(each):
                return f"tasks[{index}] ({each.name}): {problem}"
        try:
            infos = _build(job, spec)
        except ResourceError as error:
            return f"tasks[{index}] cannot be launched: {error}"
        except (ValueError, TypeError):  # of protobuf, in its words
            return (
                f"tasks[{index}] ({spec.name}) cannot be launched: a number or text in it is"
                " more than can be sent"
            )
        if problem := _size_problem(infos, spec.ports) or _refusal(infos):
            return f"tasks[{index}]: {problem}"
    return None


def new_problem(job: Job) -> str | None:
    """What is wrong with a job that is new, and is borne of one that was taken before, or None."""
    return clash_problem(job) or restart_problem(job) or env_problem(job)


def env_problem(job: Job) -> str | None:
    """Why a template of the job would fail that says `env.NAME`, or None.

    It is asked of what is sent, and not of jobs that were taken before anybody asked.
    """
    for index, spec in enumerate(job.tasks):
        each = (spec, *spec.sidecars)
        if any("config" in one.container.keys for one in each):
            for one, info in zip(each, _build(job, spec), strict=True):
                if problem := _env_problem(one, info):
                    return f"tasks[{index}] ({one.name}).{problem}"
    return None


def _build(job: Job, spec: TaskSpec) -> tuple[pb.TaskInfo, ...]:
    """What would be sent, through the wire and back. Raises ResourceError and what it finds."""
    instance = Instance(job.name + JOB_ID_END, job.name, spec, max(spec.instances, 1) - 1)
    parameters = spec.periodic.parameters if spec.periodic is not None else ()
    run = "a run" if spec.periodic is not None else ""
    instance.amend(
        attempts=ATTEMPTS, run=run, args={each.name: "x" * MAX_VALUE for each in parameters}
    )
    task = pending_task(instance, job.priority)
    given = _resources(task.scalars, task.ports, task.host_ports)
    launch = Launch(task, AgentOffers(("o",), AGENT, given), given)
    launch, operations = with_volumes(instance, launch, job.role)
    infos = task_infos(instance, launch)
    for message in (*operations, *infos):
        type(message).FromString(message.SerializeToString())
    needed = checked_total(from_proto(info.resources) for info in infos)
    if not needed:
        raise JobError("it uses no resources")
    return infos


def _resources(scalars: Mapping[str, int], ports: int, host_ports: Collection[int]) -> Resources:
    """As an agent would give them."""
    amounts = dict(scalars)
    gpus = amounts.pop(GPUS, 0)
    share = min(gpus, MILLI)
    number = min(-(-gpus // MILLI), DEVICES_MAX)
    tags = {
        Tag(device=f"{index:064d}"): Resources({GPUS: share}) for index in range(number) if share
    }
    others = (port for port in itertools.count(1) if port not in host_ports)
    given = [*host_ports, *itertools.islice(others, ports - len(host_ports))]
    return Resources(amounts, in_ranges(given).ranges, {}, tags)


def _size_problem(infos: tuple[pb.TaskInfo, ...], ports: int) -> str | None:
    """The limits of a master for a task, and for a task with its sidecars.

    At the worst each port that a task is given is a range of its own.
    """
    sizes = [info.ByteSize() for info in infos]
    sizes[0] += RANGE_BYTES * ports
    for info, size in zip(infos, sizes, strict=True):
        if problem := limits.TASK_INFO.problem(size, f"the task {info.name}, as it is sent,"):
            return problem
    if len(infos) > 1:
        return limits.GROUP.problem(sum(sizes), "the task with its sidecars, as it is sent,")
    return None


def _env_problem(spec: TaskSpec, info: pb.TaskInfo) -> str | None:
    there = {each.name for each in info.command.environment}
    there |= {f"PORT{number}" for number in range(spec.ports)}
    for index, file in enumerate(spec.container.keys.get("config", ())):
        for name in references(file.get("template", "")).env:
            if name not in there:
                has = ", ".join(sorted(there)[:MAX_NAMES])
                return (
                    f"config[{index}].template: there is no env.{cut(name, MAX_NAME)}; of the"
                    f" task's environment templates have {has}"
                )
    return None


def _refusal(infos: tuple[pb.TaskInfo, ...]) -> str | None:
    """Why masters and agents would refuse a task: the rules of the contract."""
    return next(filter(None, map(contract.problem, infos)), None)


def _exec_problem(spec: TaskSpec) -> str | None:
    """Why Linux would not start the program: the limits of execve, in bytes."""
    check_commands = [
        check["command"]
        for check in (spec.container.health_check, spec.container.readiness_check)
        if check and "command" in check
    ]
    for command in (spec.command or "", *check_commands):
        if problem := limits.COMMAND.problem(size_of(command), "the command"):
            return problem
    sizes = [size_of(spec.command or "")]
    for name, value in spec.env.items():
        sizes.append(size_of(f"{name}={value}"))
        if problem := limits.VARIABLE.problem(sizes[-1], f"env.{name}, written NAME=VALUE,"):
            return problem
    stack = spec.container.keys.get("ulimits", {}).get("stack")
    if stack is not None:
        most = max(EXEC_LEAST_BYTES, stack // 4) - OURS_BYTES - PORT_BYTES * spec.ports
        size = sum(sizes) + (POINTER_BYTES + 1) * len(sizes)
        if size > most:
            return (
                f"with ulimits.stack {stack} a program is started with at most {most} bytes of"
                f" command and environment; here they are {size}"
            )
    return None
