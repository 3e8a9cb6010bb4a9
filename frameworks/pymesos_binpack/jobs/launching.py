"""From an instance to the task that is planned, and from the plan to the task that is launched."""

from __future__ import annotations

from dataclasses import replace

from pymesos_binpack.containers import check_message, container_info
from pymesos_binpack.jobs import ports
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.placement.accepts import MAX_BYTES, MAX_TASKS, Part, too_much
from pymesos_binpack.placement.planner import Launch
from pymesos_binpack.placement.preemption import RunningTask
from pymesos_binpack.placement.queue import Line
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_binpack.specs import Job, ScaleRules, TaskSpec, VolumeSpec, port_variable
from pymesos_core.containers import fitting_runtimes
from pymesos_core.names import RUN
from pymesos_core.resources import Resources, tagged, to_proto, total
from pymesos_core.states import reason_name, state_name
from pymesos_core.stop_signals import TERM
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import operations
from pymesos_sdk.tasks import draw

DISK = "disk"
INFO_BYTES = 1024  # of a TaskInfo, beyond what its job's document says


def volume_id(instance: Instance, volume: VolumeSpec) -> str:
    """The same for every attempt of the instance, and for every run of the job's name."""
    by_name = f"{instance.job_name}.{instance.spec.name}.{instance.index}.{volume.name}"
    return instance.saved.volume_ids.get(volume.name, by_name)


def new_volumes(instance: Instance) -> list[VolumeSpec]:
    """The volumes of an instance that are yet to be made."""
    return [v for v in instance.spec.volumes if v.name not in instance.saved.volume_ids]


def needed_runtimes(spec: TaskSpec) -> tuple[str, ...]:
    """One of these must be on the agent, and do for its sidecars, too."""
    grouped = bool(spec.sidecars)
    usual, *others = (
        fitting_runtimes(container_info(each.image, each.container), grouped=grouped)
        for each in (spec, *spec.sidecars)
    )
    return tuple(name for name in usual if all(name in other for other in others)) or usual


def pending_task(instance: Instance, priority: int) -> PendingTask:
    """What the planner is to place; with data, where they are."""
    spec = instance.spec
    named = {volume.name for volume in spec.volumes}
    ids = tuple(i for name, i in instance.saved.volume_ids.items() if name in named)
    scalars = dict(spec.scalars)
    more = sum(volume.size_milli for volume in new_volumes(instance))
    scalars |= {DISK: scalars.get(DISK, 0) + more} if more else {}
    all_keys = [each.container.keys for each in (spec, *spec.sidecars)]
    config = [file for keys in all_keys for file in keys.get("config", ())]
    return PendingTask(
        instance.next_task_id,
        instance.group,
        scalars,
        spec.ports,
        spec.constraints,
        runtimes=needed_runtimes(spec),
        priority=priority,
        gang=instance.group if spec.gang else "",
        volumes=ids,
        home=instance.home,
        home_name=instance.saved.hostname,
        secrets=any(_uses_secrets(each) for each in (spec, *spec.sidecars)),
        signals=spec.kill_signal != TERM,
        config=bool(config),
        addresses=any(file.get("addresses") for file in config),
        secret_addresses=any(f.get("addresses") and f.get("secrets") for f in config),
        host_ports=spec.host_ports,
        revocable=spec.revocable,
    )


def _uses_secrets(spec: TaskSpec) -> bool:
    keys = spec.container.keys
    in_config = any(file.get("secrets") for file in keys.get("config", ()))
    return in_config or any(name in keys for name in ("secrets", "image_secret"))


def line_of(instance: Instance, job: Job) -> Line[Instance]:
    """The line of those that wait for what it waits for."""
    task = pending_task(instance, job.priority)
    return Line(line_name(instance), job.role, instance.job_id, task, job.preempt)


def line_name(instance: Instance) -> str:
    """An instance that can run on one agent only waits for another one than the others."""
    return instance.key if instance.home else f"{instance.group}.{instance.version}"


def part_of_accept(job: Job, spec: TaskSpec) -> Part:
    """The part of an ACCEPT that an instance takes, with its sidecars."""
    return Part(1 + len(spec.sidecars), len(job.document) + INFO_BYTES)


def gang_problem(job: Job) -> str | None:
    """Why a gang is too large to be launched whole, or None."""
    for spec in job.tasks:
        part = part_of_accept(job, spec)
        whole = Part(spec.instances * part.tasks, spec.instances * part.size_bytes)
        if spec.gang and too_much(whole):
            return (
                f"the gang {spec.name} has {whole.tasks} tasks, with sidecars, of about"
                f" {whole.size_bytes} bytes: at most {MAX_TASKS} tasks and {MAX_BYTES} bytes can be"
                f" launched together; ask for fewer instances, or leave `gang` out"
            )
    return None


def running_task(instance: Instance, priority: int, spare: int | None) -> RunningTask:
    """What preemption may think away; `spare` is how many of its service may be missing, with it.

    None: it is missed by nobody.
    """
    spec, saved = instance.spec, instance.saved
    return RunningTask(
        saved.task_id,
        saved.agent_id,
        priority,
        spec.scalars,
        frozenset(saved.ports),
        saved.devices,
        "" if spare is None else instance.group,
        spare or 0,
    )


def with_volumes(
    instance: Instance, launch: Launch, role: str
) -> tuple[Launch, list[scheduler_pb.Operation]]:
    """The launch with its new volumes in the place of the disk for them, and what makes those."""
    made: list[scheduler_pb.Operation] = []
    given = launch.resources
    for volume in new_volumes(instance):
        disk = _disk(given, volume.size_milli)
        given = given.minus_what_is_there(disk)
        reserved = disk
        if not any(tag.role for tag in disk.tagged):
            operation, reserved = operations.reserve(disk, role)
            made.append(operation)
        creating, there = operations.create(reserved, volume_id(instance, volume), volume.path)
        made.append(creating)
        given = given + there
    return replace(launch, resources=given), made


def _disk(given: Resources, milli: int) -> Resources:
    """Choose disk for a volume, all of it of one kind."""
    wanted = Resources({DISK: milli})
    if given.contains(wanted):
        return wanted
    for tag, bag in given.tagged.items():
        if tag.volume is None and bag.contains(wanted):
            return Resources(tagged={tag: wanted})
    return wanted  # in two pieces: the master refuses it, and says why


def task_infos(instance: Instance, launch: Launch) -> tuple[pb.TaskInfo, ...]:
    """The task as it is launched, and its sidecars."""
    spec = instance.spec
    left = launch.resources
    sidecars: list[pb.TaskInfo] = []
    task_id = launch.task.task_id
    for sidecar in spec.sidecars:
        parts = (tagged(tag, bag) for tag, bag in left.parts() if tag.volume is None)
        given = draw(total(parts), sidecar.scalars)
        left = left - given
        sidecars.append(_task_info(instance, launch, sidecar, f"{task_id}+{sidecar.name}", given))
    return (_task_info(instance, launch, spec, task_id, left), *sidecars)


def job_of_task(task_id: str) -> str:
    """The id of its job."""
    return task_id.partition(".")[0]


def _task_info(
    instance: Instance, launch: Launch, spec: TaskSpec, task_id: str, given: Resources
) -> pb.TaskInfo:
    given_ports = ports.in_order(instance.spec, launch)
    named = ports.by_name(instance.spec, given_ports)
    environment = {
        **spec.env,
        **instance.saved.args,
        **{port_variable(name): str(port) for name, port in named.items()},
        "PYMESOS_INSTANCE": str(instance.index),
        **({"PYMESOS_RUN": instance.saved.run} if instance.saved.run else {}),
    }
    its = spec.container
    info = pb.TaskInfo(
        task_id=task_id,
        name=spec.name,
        agent_id=launch.offer.agent.agent_id,
        resources=to_proto(given),
        command=pb.CommandInfo(
            shell=spec.command is not None,
            value=spec.command or "",
            environment=[pb.EnvironmentVariable(name=n, value=v) for n, v in environment.items()],
            user=spec.user or "",
        ),
        container=container_info(spec.image, its),
        health_check=check_message(its.health_check) if its.health_check else None,
        readiness_check=check_message(its.readiness_check) if its.readiness_check else None,
        max_completion_time_s=its.max_completion_time_s,
        artifacts=[pb.Artifact(**artifact) for artifact in its.artifacts],
        kill_policy=_kill_policy(spec),
        labels=[
            pb.Label(key="job", value=instance.job_id),
            *([pb.Label(key=RUN, value=instance.saved.run)] if instance.saved.run else []),
        ],
    )
    if spec.scale is not None:
        info.measure.CopyFrom(_measure(spec, spec.scale))
    if spec.host_ports:
        ports.renumber(info, given_ports)
    return info


def _measure(spec: TaskSpec, rules: ScaleRules) -> pb.Measure:
    """What the framework is to be told of a task that it scales by that."""
    if not rules.metric:
        return pb.Measure()
    index = spec.port_names.index(rules.port) if rules.port else 0
    return pb.Measure(metric=rules.metric, port_index=index, path=rules.path)


def _kill_policy(spec: TaskSpec) -> pb.KillPolicy:
    first = spec.kill_signal if spec.kill_signal != TERM else ""
    return pb.KillPolicy(grace_period_s=spec.kill_grace_s, signal=first)


def how_it_ended(status: pb.TaskStatus) -> str:
    """One line for a person."""
    reason = reason_name(status.reason)
    parts = [state_name(status.state), f"({reason})" if reason else "", status.message]
    return " ".join(part for part in parts if part)
