"""What a framework may say: each check returns the reason for a refusal, in words, or None."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pymesos_core import resources
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.resources import EMPTY, ResourceError, Resources
from pymesos_master.core.state import Agent, Framework
from pymesos_proto.v1 import types_pb2 as pb

MAX_TASK_INFO_BYTES = 256 * 1024
MAX_GROUP_BYTES = 512 * 1024
MAX_GROUP = 64
MAX_FRAMEWORK_INFO_BYTES = 64 * 1024
MAX_ROLES = 256


def framework_problem(info: pb.FrameworkInfo) -> str | None:
    """Why a FrameworkInfo is invalid (Mesos' `src/master/validation.cpp`, framework::internal)."""
    if info.ByteSize() > MAX_FRAMEWORK_INFO_BYTES:
        return (
            f"The framework info has {info.ByteSize()} bytes;"
            f" at most {MAX_FRAMEWORK_INFO_BYTES} are kept"
        )
    if not info.name:
        return "A framework needs a name"
    if info.framework_id and (problem := id_problem(info.framework_id)):
        return f"The framework id is invalid: {problem}"
    if len(info.roles) > MAX_ROLES:
        return f"A framework has at most {MAX_ROLES} roles"
    if len(set(info.roles)) != len(info.roles):
        return f"A role is given twice in {', '.join(info.roles)}"
    for role in info.roles:
        if problem := role_problem(role):
            return f"The framework's roles are invalid: {problem}"
    timeout_s = info.failover_timeout_s
    if not math.isfinite(timeout_s) or timeout_s < 0:
        return f"failover_timeout_s is {timeout_s}; a number of seconds from 0 is expected"
    return None


def change_problem(before: pb.FrameworkInfo, after: pb.FrameworkInfo) -> str | None:
    """Why a re-subscription may not change what it changes."""
    for name in ("user", "checkpoint", "principal"):
        if getattr(before, name) != getattr(after, name):
            return f"Changing framework's {name} is not allowed."
    return None


def task_problem(
    framework: Framework,
    agent: Agent,
    info: pb.TaskInfo,
    available: Resources,
    *,
    grouped: bool = False,
) -> tuple[Resources, str | None]:
    """The resources of a task, and why it may not be launched on the agent, or None."""
    if problem := id_problem(info.task_id):
        return EMPTY, f"Task id is invalid: {problem}"
    if info.ByteSize() > MAX_TASK_INFO_BYTES:
        return EMPTY, (
            f"Task has {info.ByteSize()} bytes; at most {MAX_TASK_INFO_BYTES} are accepted"
        )
    if info.task_id in framework.tasks:
        return EMPTY, f"Task has duplicate ID: {info.task_id}"
    if info.agent_id != agent.agent_id:
        return EMPTY, (
            f"Task uses invalid agent {info.agent_id[:255]}"
            f" while agent {agent.agent_id} is expected"
        )
    try:
        needed = resources.from_proto(info.resources)
    except ResourceError as error:
        return EMPTY, f"Task uses invalid resources: {error}"
    if not needed:
        return EMPTY, "Task uses no resources"
    if not available.contains(needed):
        return EMPTY, f"Task uses more resources {needed} than available {available}"
    if info.HasField("executor"):
        if problem := _executor_problem(info, grouped=grouped):
            return EMPTY, problem
    elif not info.command.value and not info.container.image:
        return EMPTY, "Task has neither a command nor an image"
    grace_s = info.kill_policy.grace_period_s
    if not math.isfinite(grace_s) or grace_s < 0:
        return EMPTY, f"Task has the kill grace period {grace_s}; seconds from 0 are expected"
    if not grouped and any(mount.group_path for mount in info.container.mounts):
        return EMPTY, "Task asks for a folder of its group (group_path), and is in none"
    if problem := _life_problem(info):
        return EMPTY, problem
    for variable in info.command.environment:
        if not variable.name or "=" in variable.name or "\0" in variable.name + variable.value:
            return EMPTY, f"Task has the invalid environment variable {variable.name[:80]!r}"
    if "\0" in info.command.value or any("\0" in a for a in info.command.arguments):
        return EMPTY, "Task has a NUL byte in its command"
    return needed, None


def group_problem(
    framework: Framework, agent: Agent, infos: Sequence[pb.TaskInfo], available: Resources
) -> tuple[list[Resources], str | None]:
    """The resources of each task of a group, and why it may not be launched, or None."""
    needed: list[Resources] = []
    size = sum(info.ByteSize() for info in infos)
    if size > MAX_GROUP_BYTES:
        return needed, f"The group has {size} bytes; at most {MAX_GROUP_BYTES} are accepted"
    if len(infos) > MAX_GROUP:
        return needed, f"The group has {len(infos)} tasks; at most {MAX_GROUP} are accepted"
    if len({info.task_id for info in infos}) != len(infos):
        return needed, "The group has two tasks of one id"
    if len({info.container.network or "host" for info in infos}) > 1:
        return needed, "The tasks of a group have one network; these ask for several"
    inside = [
        (mapping.container_port, mapping.protocol or "tcp")
        for info in infos
        for mapping in info.container.port_mappings
    ]
    if len(set(inside)) != len(inside):
        return needed, "Two ports are mapped to the same one in the network of the group"
    for info in infos:
        mine, problem = task_problem(framework, agent, info, available, grouped=True)
        if problem is not None:
            return needed, f"{info.task_id[:255]}: {problem}"
        needed.append(mine)
        available = available - mine
    return needed, None


def _executor_problem(info: pb.TaskInfo, *, grouped: bool) -> str | None:
    """What is wrong with the executor of a task, or None."""
    executor = info.executor
    if problem := id_problem(executor.executor_id):
        return f"Executor id is invalid: {problem}"
    if info.HasField("command") or info.HasField("container"):
        return "Task has either a command and a container, or an executor, not both"
    if grouped:
        return "The tasks of a group have containers of their own, and so no executor"
    if not executor.command.value and not executor.container.image:
        return "Executor has neither a command nor an image"
    if executor.container.network not in ("", "host"):
        return "Executor asks for a network of its own, from which it does not reach its agent"
    if executor.container.port_mappings or any(m.group_path for m in executor.container.mounts):
        return "Executor asks for mapped ports or folders of a group, and can have neither"
    grace_s = executor.shutdown_grace_period_s
    if not math.isfinite(grace_s) or grace_s < 0:
        return f"Executor has the shutdown grace period {grace_s}; seconds from 0 are expected"
    return None


def _life_problem(info: pb.TaskInfo) -> str | None:
    """What is wrong with its checks and its longest life, or None."""
    most_s = info.max_completion_time_s
    if not math.isfinite(most_s) or most_s < 0:
        return f"Task has the max_completion_time {most_s}; seconds from 0 are expected"
    for name, check in (("health", info.health_check), ("readiness", info.readiness_check)):
        kind = check.WhichOneof("kind")
        if kind is None and check.ByteSize():
            return f"Task has a {name} check that is neither a command, HTTP, TCP nor gRPC"
        times = (check.delay_s, check.interval_s, check.timeout_s, check.grace_period_s)
        if not all(math.isfinite(time_s) and time_s >= 0 for time_s in times):
            return f"Task has a {name} check with a time that is not seconds from 0"
        if kind == "command" and (not check.command.value or "\0" in check.command.value):
            return f"Task has a {name} check without a command"
        if kind in ("http", "tcp", "grpc"):
            ask = getattr(check, kind)
            if not ask.HasField("port_index") and not 0 < ask.port < 65536:
                return f"Task has a {name} check of the port {ask.port}; 1 to 65535 are expected"
        if kind == "http" and not _is_plain(check.http):
            return f"Task has a {name} check whose path or scheme is not one of HTTP"
    return None


def _is_plain(ask: pb.Check.Http) -> bool:
    path = ask.path or "/"
    return (
        ask.scheme in ("", "http", "https")
        and path.startswith("/")
        and path.isascii()
        and path.isprintable()
        and " " not in path
    )
