"""Tasks, as `src/master/validation.cpp` and `src/common/validation.cpp` of Mesos check them.

What needs to know of agents and of other tasks is the core's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymesos_master.mesos.rules import resources
from pymesos_master.mesos.rules.names import id_problem
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos

MIN_CPUS, MIN_MEM_MIB = 0.01, 32
_CHECK_KINDS = ("COMMAND", "HTTP", "TCP")


def task_problem(info: mesos.TaskInfo, role: str = "") -> str | None:
    """Why a task of LAUNCH cannot be, or None; `role`: of whose offers it is, if that is known."""
    if info.HasField("executor") == info.HasField("command"):
        either: str | None = (
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
        )
    else:
        either = None
    problem = _of_any(info, role) or either
    if problem is None and info.HasField("executor"):
        problem = _custom_problem(info, role)
    if problem is not None:
        return problem
    if info.HasField("container") and not info.container.linux_info.share_cgroups:
        return "Only tasks in a task group may have 'share_cgroups' set to 'false'"
    return None


def group_problem(
    executor: mesos.ExecutorInfo, infos: Sequence[mesos.TaskInfo], role: str = ""
) -> str | None:
    """Why the tasks of a LAUNCH_GROUP cannot be, or None."""
    for info in infos:
        if (problem := _of_group(info, role)) is not None:
            return f"Task '{info.task_id.value}' is invalid: {problem}"
    if (problem := executor_problem(executor, role)) is not None:
        return problem
    if not executor.HasField("type"):
        return "'ExecutorInfo.type' must be set"
    if executor.type == mesos.ExecutorInfo.UNKNOWN:
        return "Unknown executor type"
    if executor.container.type == mesos.ContainerInfo.DOCKER and executor.HasField("container"):
        return "Docker ContainerInfo is not supported on the executor"
    return _group_executor_problem(executor, infos)


def _of_any(info: mesos.TaskInfo, role: str) -> str | None:
    """In the order of Mesos, which tells the first."""
    if (problem := id_problem(info.task_id.value)) is not None:
        return problem
    if info.HasField("kill_policy") and info.kill_policy.grace_period.nanoseconds < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if info.HasField("max_completion_time") and info.max_completion_time.nanoseconds < 0:
        return "Task's `max_completion_time` must be non-negative"
    if info.HasField("check") and (problem := check_problem(info.check)) is not None:
        return f"Task uses invalid check: {problem}"
    if info.HasField("health_check") and (problem := health_problem(info.health_check)):
        return f"Task uses invalid health check: {problem}"
    if not info.resources:
        return "Task uses no resources"
    if (problem := resources.problem(info.resources, role)) is not None:
        return f"Task uses invalid resources: {problem}"
    if (problem := resources.together_problem(info.resources, "Task", "task")) is not None:
        return problem
    if info.HasField("command") and (problem := environment_problem(info.command.environment)):
        return f"Task's `CommandInfo` is invalid: {problem}"
    if info.HasField("container") and (problem := container_problem(info.container)):
        return f"Task's `ContainerInfo` is invalid: {problem}"
    return _limits_problem(info) if info.limits else None


def _limits_problem(info: mesos.TaskInfo) -> str | None:
    if set(info.limits) - {"cpus", "mem"}:
        return "Only cpus and mem may be included in a task's resource limits"
    asked = {one.name: one.scalar.value for one in info.resources}
    for name, what, shown in (("cpus", "CPU", "cpu"), ("mem", "memory", "memory")):
        if name not in info.limits:
            continue
        if name not in asked:
            return f"When a {what} limit is specified, a {what} request must also be specified"
        if info.limits[name].value < asked[name]:
            return f"The {shown} limit must be greater than or equal to the {shown} request"
    return None


def _of_group(info: mesos.TaskInfo, role: str) -> str | None:
    if (problem := _of_any(info, role)) is not None:
        return problem
    kind = info.health_check.type if info.HasField("health_check") else None
    by_network = kind in (mesos.HealthCheck.HTTP, mesos.HealthCheck.TCP)
    if info.container.network_infos and by_network:
        return (
            "HTTP and TCP health checks are not supported for nested containers not joining"
            " parent's network"
        )
    if info.HasField("container") and info.container.type == mesos.ContainerInfo.DOCKER:
        return "Docker ContainerInfo is not supported on the task"
    if info.limits and info.container.linux_info.share_cgroups:
        return (
            "Resource limits may only be set for tasks within a task group when the 'share_cgroups'"
            " field is set to 'false'."
        )
    return None


def _custom_problem(info: mesos.TaskInfo, role: str) -> str | None:
    executor = info.executor
    if (problem := executor_problem(executor, role)) is not None:
        return problem
    if executor.HasField("type") and executor.type != mesos.ExecutorInfo.CUSTOM:
        return "'ExecutorInfo.type' must be 'CUSTOM'"
    if not executor.HasField("command"):
        return "'ExecutorInfo.command' must be set"
    if executor.container.linux_info.share_cgroups and _says_share(executor):
        return "The 'share_cgroups' field cannot be set to 'true' on executor containers"
    return None


def _says_share(executor: mesos.ExecutorInfo) -> bool:
    return executor.container.linux_info.HasField("share_cgroups")


def _group_executor_problem(
    executor: mesos.ExecutorInfo, infos: Sequence[mesos.TaskInfo]
) -> str | None:
    executor_id = executor.executor_id.value
    for info in infos:
        if info.HasField("executor") and info.executor != executor:
            return (
                f"The `ExecutorInfo` of task '{info.task_id.value}' is different from executor"
                f" '{executor_id}'"
            )
    held = {one.name: one.scalar.value for one in executor.resources}
    least: tuple[tuple[str, str, float, Callable[[float], str]], ...] = (
        ("cpus", "CPUs", MIN_CPUS, resources.scalar),
        ("mem", "memory", MIN_MEM_MIB, lambda mib: f"{resources.scalar(mib)}MB"),
    )
    for name, what, minimum, shown in least:
        if held.get(name, -1.0) < minimum:
            has = shown(held[name]) if name in held else "None"
            return (
                f"Executor '{executor_id}' uses less {what} ({has}) than the minimum required"
                f" ({shown(minimum)})"
            )
    if "disk" not in held:
        return f"Executor '{executor_id}' uses no disk"
    if executor.container.linux_info.share_cgroups and _says_share(executor):
        return "The 'share_cgroups' field cannot be set to 'true' on executor containers"
    return None


def executor_problem(info: mesos.ExecutorInfo, role: str = "") -> str | None:
    """Why an executor cannot be, or None."""
    if (problem := _type_problem(info) or id_problem(info.executor_id.value)) is not None:
        return problem
    if info.shutdown_grace_period.nanoseconds < 0:
        return "ExecutorInfo's 'shutdown_grace_period' must be non-negative"
    if info.HasField("command") and (problem := environment_problem(info.command.environment)):
        return f"Executor's `CommandInfo` is invalid: {problem}"
    if info.HasField("container") and (problem := container_problem(info.container)):
        return f"Executor's `ContainerInfo` is invalid: {problem}"
    if (problem := resources.problem(info.resources, role)) is not None:
        return f"Executor uses invalid resources: {problem}"
    return resources.together_problem(info.resources, "Executor", "executor")


def _type_problem(info: mesos.ExecutorInfo) -> str | None:
    if info.type == mesos.ExecutorInfo.CUSTOM and not info.HasField("command"):
        return "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
    if info.type != mesos.ExecutorInfo.DEFAULT:
        return None
    if info.HasField("command"):
        return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
    if info.HasField("container") and info.container.type != mesos.ContainerInfo.MESOS:
        return "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
    if info.container.mesos.HasField("image"):
        return "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
    return None


def environment_problem(environment: mesos.Environment) -> str | None:
    """Why variables cannot be, or None."""
    kinds = mesos.Environment.Variable
    for one in environment.variables:
        if one.type == kinds.UNKNOWN:
            return "Environment variable of type 'UNKNOWN' is not allowed"
        is_secret = one.type == kinds.SECRET
        kind, has, other = (
            ("SECRET", "secret", "value") if is_secret else ("VALUE", "value", "secret")
        )
        said = f"Environment variable '{one.name}'"
        if not one.HasField(has):
            return f"{said} of type '{kind}' must have a {has} set"
        if one.HasField(other):
            return f"{said} of type '{kind}' must not have a {other} set"
        if is_secret and (problem := _secret_problem(one.secret)) is not None:
            return f"{said} specifies an invalid secret: {problem}"
    return None


def _secret_problem(secret: mesos.Secret) -> str | None:
    kinds = mesos.Secret
    if secret.type == kinds.REFERENCE:
        if not secret.HasField("reference"):
            return "Secret of type REFERENCE must have the 'reference' field set"
        if secret.HasField("value"):
            return (
                f"Secret '{secret.reference.name}' of type REFERENCE must not have the 'value'"
                f" field set"
            )
    if secret.type == kinds.VALUE:
        if not secret.HasField("value"):
            return "Secret of type VALUE must have the 'value' field set"
        if secret.HasField("reference"):
            return "Secret of type VALUE must not have the 'reference' field set"
    return None


def container_problem(container: mesos.ContainerInfo) -> str | None:
    """Why a container cannot be, or None."""
    for volume in container.volumes:
        if (problem := _volume_problem(volume)) is not None:
            return f"Invalid volume: {problem}"
    if container.type == mesos.ContainerInfo.DOCKER:
        if not container.HasField("docker"):
            return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
        if any(one.key == "name" for one in container.docker.parameters):
            return "Parameter in DockerInfo must not be 'name'"
    return None


def _volume_problem(volume: mesos.Volume) -> str | None:
    if sum(volume.HasField(name) for name in ("host_path", "image", "source")) != 1:
        return "Only one of them should be set: 'host_path', 'image' and 'source'"
    if not volume.HasField("source"):
        return None
    kinds = mesos.Volume.Source
    named = {
        kinds.DOCKER_VOLUME: "docker_volume",
        kinds.HOST_PATH: "host_path",
        kinds.SANDBOX_PATH: "sandbox_path",
        kinds.SECRET: "secret",
    }
    if (name := named.get(volume.source.type)) is None:
        return "'source.type' is unknown"
    if not volume.source.HasField(name):
        kind = kinds.Type.Name(volume.source.type)
        return f"'source.{name}' is not set for {kind} volume"
    return None


def health_problem(check: mesos.HealthCheck) -> str | None:
    """Why a health check cannot be, or None."""
    http = check.http if check.HasField("http") else None
    scheme = http.scheme if http is not None and http.HasField("scheme") else "http"
    if problem := _kind_problem(check, "HealthCheck", "health check"):
        return problem
    if check.type == mesos.HealthCheck.COMMAND:
        if problem := _command_problem(check.command, "Command health check"):
            return problem
        if problem := environment_problem(check.command.environment):
            return f"Health check's `CommandInfo` is invalid: {problem}"
    if check.type == mesos.HealthCheck.HTTP and http is not None:
        if scheme not in ("http", "https"):
            return f"Unsupported HTTP health check scheme: '{scheme}'"
        if http.HasField("path") and not http.path.startswith("/"):
            return f"The path '{http.path}' of HTTP health check must start with '/'"
    return _seconds_problem(
        check, "delay_seconds", "grace_period_seconds", "interval_seconds", "timeout_seconds"
    )


def check_problem(check: mesos.CheckInfo) -> str | None:
    """Why a check cannot be, or None."""
    if problem := _kind_problem(check, "CheckInfo", "check"):
        return problem
    if check.type == mesos.CheckInfo.COMMAND:
        if problem := _command_problem(check.command.command, "Command check"):
            return problem
        if problem := environment_problem(check.command.command.environment):
            return f"Check's `CommandInfo` is invalid: {problem}"
    if check.type == mesos.CheckInfo.HTTP:
        http = check.http
        if http.HasField("path") and not http.path.startswith("/"):
            return f"The path '{http.path}' of HTTP check must start with '/'"
    return _seconds_problem(check, "delay_seconds", "interval_seconds", "timeout_seconds")


def _kind_problem(
    check: mesos.HealthCheck | mesos.CheckInfo, message: str, name: str
) -> str | None:
    if not check.HasField("type"):
        return f"{message} must specify 'type'"
    kind = type(check).Type.Name(check.type)
    if kind not in _CHECK_KINDS:
        return f"'{kind}' is not a valid {name} type"
    if not check.HasField(kind.lower()):
        return f"Expecting '{kind.lower()}' to be set for {kind} {name}"
    return None


def _command_problem(command: mesos.CommandInfo, name: str) -> str | None:
    if command.HasField("value"):
        return None
    kind = "'shell command'" if command.shell else "'executable path'"
    return f"{name} must contain {kind}"


def _seconds_problem(check: mesos.HealthCheck | mesos.CheckInfo, *names: str) -> str | None:
    for name in names:
        if getattr(check, name) < 0:
            return f"Expecting '{name}' to be non-negative"
    return None
