"""Tasks, as Mesos' frameworks describe them and as ours do."""

from __future__ import annotations

import posixpath
from urllib.parse import urlsplit

from pymesos_core.mesos.discovery import discovery_of
from pymesos_core.mesos.resources import from_checked
from pymesos_core.mesos.unsupported import UnsupportedError, check
from pymesos_master.mesos.containers import container_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

NANO = 1_000_000_000
MAX_PORTS = 4096  # of one task that has a container
NO_TIMEOUT_S = 365 * 86400.0  # of a check: 0 means that in Mesos
# What Mesos' fetcher extracts, unless it is told not to.
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")


def task_of(info: mesos.TaskInfo) -> pb.TaskInfo:
    """Return our task. Raises UnsupportedError that names what there is not here."""
    check(info)
    out = pb.TaskInfo(
        task_id=info.task_id.value, name=info.name, agent_id=info.agent_id.value, data=info.data
    )
    out.resources.extend(map(from_checked, info.resources))
    if info.HasField("container"):
        out.container.CopyFrom(container_of(info.container, ports_of(out)))
    if info.HasField("executor"):
        if info.HasField("command"):
            raise UnsupportedError(
                "Task should have at least one (but not both) of CommandInfo or"
                " ExecutorInfo present"
            )
        out.executor.CopyFrom(_executor_of(info.executor))
    if info.HasField("command"):
        plain = not out.container.image or info.container.type != mesos.ContainerInfo.DOCKER
        out.command.CopyFrom(command_of(info.command, own_name=plain))
        out.artifacts.extend(map(_artifact, info.command.uris))
        _add_secrets(info.command, out)
    if info.HasField("kill_policy"):
        out.kill_policy.CopyFrom(policy_of(info.kill_policy))
    if info.HasField("health_check"):
        out.health_check.CopyFrom(_check_of(info.health_check))
    if info.HasField("labels"):
        out.labels.extend(pb.Label(key=one.key, value=one.value) for one in info.labels.labels)
    if info.HasField("discovery"):
        out.discovery.CopyFrom(discovery_of(info.discovery))
    if info.HasField("max_completion_time"):
        out.max_completion_time_s = info.max_completion_time.nanoseconds / NANO
    return out


def _executor_of(info: mesos.ExecutorInfo) -> pb.ExecutorInfo:
    """Return our executor. Raises UnsupportedError."""
    if info.type == mesos.ExecutorInfo.DEFAULT:
        raise UnsupportedError("ExecutorInfo.type is DEFAULT, which is for LAUNCH_GROUP")
    if not info.HasField("command"):
        raise UnsupportedError("'ExecutorInfo.command' must be set for 'CUSTOM' executor")
    out = pb.ExecutorInfo(executor_id=info.executor_id.value, name=info.name, data=info.data)
    if info.HasField("container"):
        out.container.CopyFrom(container_of(info.container, ()))
    plain = not out.container.image or info.container.type != mesos.ContainerInfo.DOCKER
    out.command.CopyFrom(command_of(info.command, own_name=plain))
    out.artifacts.extend(map(_artifact, info.command.uris))
    if any(v.type == mesos.Environment.Variable.SECRET for v in info.command.environment.variables):
        raise UnsupportedError("Environment.Variable.secret is not supported of executors")
    out.resources.extend(map(from_checked, info.resources))
    if info.HasField("shutdown_grace_period"):
        out.shutdown_grace_period_s = info.shutdown_grace_period.nanoseconds / NANO
        if out.shutdown_grace_period_s < 0:
            raise UnsupportedError("ExecutorInfo's 'shutdown_grace_period' must be non-negative")
    return out


def ports_of(task: pb.TaskInfo) -> list[int]:
    """The ports that it asks for, in the order in which they are numbered."""
    found: set[int] = set()
    for resource in task.resources:
        if resource.name == "ports":
            for one in resource.ranges.range:
                if one.end - one.begin + len(found) >= MAX_PORTS:
                    raise UnsupportedError(f"a task asks for more than {MAX_PORTS} ports")
                found.update(range(one.begin, one.end + 1))
    return sorted(found)


def command_of(info: mesos.CommandInfo, *, own_name: bool) -> pb.CommandInfo:
    """Return our command. `own_name`: the first of `arguments` is what the program is called by.

    It is not when an image's program gets them (`docker run IMAGE VALUE ARGUMENT…`).
    """
    out = pb.CommandInfo(shell=info.shell, value=info.value, user=info.user)
    if not info.shell:
        out.arguments.extend(info.arguments[1:] if own_name and info.value else info.arguments)
    for one in info.environment.variables:
        if one.type != mesos.Environment.Variable.SECRET:
            out.environment.add(name=one.name, value=one.value)
    return out


def _add_secrets(info: mesos.CommandInfo, out: pb.TaskInfo) -> None:
    """Variables whose values are secrets of the task's role."""
    for one in info.environment.variables:
        if one.type != mesos.Environment.Variable.SECRET:
            continue
        if one.secret.type != mesos.Secret.REFERENCE:
            raise UnsupportedError(
                "Environment.Variable.secret has a value; a REFERENCE to a secret of the role is"
                " expected"
            )
        out.container.secrets.add(name=one.secret.reference.name, env=one.name)


def _artifact(uri: mesos.CommandInfo.URI) -> pb.Artifact:
    extract = uri.extract and not uri.executable and _is_archive(uri.value)
    return pb.Artifact(
        uri=uri.value,
        path="" if extract else uri.output_file,
        extract=extract,
        executable=uri.executable,
    )


def _is_archive(uri: str) -> bool:
    try:
        name = posixpath.basename(urlsplit(uri).path)
    except ValueError:
        return False
    return name.lower().endswith(ARCHIVES)


def policy_of(policy: mesos.KillPolicy) -> pb.KillPolicy:
    """Return our kill policy. Raises UnsupportedError."""
    period_s = policy.grace_period.nanoseconds / NANO
    if period_s < 0:
        raise UnsupportedError("the grace_period of a kill policy is negative")
    return pb.KillPolicy(grace_period_s=period_s)


def _check_of(check_info: mesos.HealthCheck) -> pb.Check:
    out = pb.Check(
        delay_s=check_info.delay_seconds,
        interval_s=check_info.interval_seconds,
        timeout_s=check_info.timeout_seconds or NO_TIMEOUT_S,
        grace_period_s=check_info.grace_period_seconds,
        consecutive_failures=max(1, check_info.consecutive_failures),
    )
    match check_info.type:
        case mesos.HealthCheck.COMMAND:
            out.command.CopyFrom(command_of(check_info.command, own_name=True))
        case mesos.HealthCheck.HTTP:
            asked = check_info.http
            out.http.port, out.http.path, out.http.scheme = asked.port, asked.path, asked.scheme
        case mesos.HealthCheck.TCP:
            out.tcp.port = check_info.tcp.port
        case _:
            raise UnsupportedError("HealthCheck.type is none of COMMAND, HTTP and TCP")
    return out
