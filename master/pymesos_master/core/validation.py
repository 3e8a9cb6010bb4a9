"""What a framework may say: each check returns the reason for a refusal, in words, or None."""

from __future__ import annotations

from collections.abc import Container, Sequence

from pymesos_core import contract, limits, resources
from pymesos_core.containers import secret_names
from pymesos_core.ids import id_problem, is_variable, secret_name_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources
from pymesos_master.core.state import Agent, Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb


def subscription_problem(subscribe: scheduler_pb.Call.Subscribe) -> str | None:
    """Why a SUBSCRIBE is invalid (Mesos' `src/master/validation.cpp`, framework::internal)."""
    if problem := contract.problem(subscribe):
        return f"The subscription is invalid: {problem}"
    return info_problem(subscribe.framework_info)


def info_problem(info: pb.FrameworkInfo) -> str | None:
    """Why a framework may not say that of itself, beside what its contract forbids; or None."""
    if not info.name:
        return "A framework needs a name"
    if len(set(info.roles)) != len(info.roles):
        return f"A role is given twice in {', '.join(info.roles)}"
    if "" in info.roles:
        return "A role is empty"
    return None


def change_problem(
    before: pb.FrameworkInfo, after: pb.FrameworkInfo, *, proved: bool = False
) -> str | None:
    """Why a re-subscription may not change what it changes.

    A user may be given up: tasks that name none get one of their own then. A principal that is
    `proved`, by a certificate, may take over what had none before the cluster had certificates.
    """
    for name in ("principal", "user", "checkpoint"):  # in the order of Mesos
        if name == "principal" and proved and not before.principal:
            continue
        if name == "user" and not after.user:
            continue
        if getattr(before, name) != getattr(after, name):
            return f"Changing framework's {name} is not allowed."
    return None


def epoch_problem(highest: int, info: pb.FrameworkInfo) -> str | None:
    """Why one of several instances of a framework does not lead; or None."""
    if info.epoch >= highest:
        return None
    return f"another instance of this framework leads, in epoch {highest}; this is {info.epoch}"


def _starts_and_fails(framework: Framework, info: pb.TaskInfo) -> bool:
    """Whether a command that says nothing is launched all the same: who is told of every start is
    told that it starts and fails, as by Mesos' executor."""
    return info.HasField("command") and framework.has(pb.TASK_STARTING_STATE)


def task_problem(
    framework: Framework,
    agent: Agent,
    info: pb.TaskInfo,
    available: Resources,
    *,
    grouped: bool = False,
    launched: Container[str] = (),
) -> tuple[Resources, str | None]:
    """The resources of a task, and why it may not be launched on the agent, or None.

    `launched` has the ids of those that are launched before it by the same call.
    """
    if problem := id_problem(info.task_id):
        return EMPTY, f"Task id is invalid: {problem}"
    if problem := contract.problem(info):
        return EMPTY, f"Task is invalid: {problem}"
    if problem := limits.AGENT_TASKS.problem(len(agent.tasks) + 1):
        return EMPTY, problem  # more than it could register with again
    if info.task_id in framework.tasks or info.task_id in launched:
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
    elif not (info.command.value or info.container.image or _starts_and_fails(framework, info)):
        return EMPTY, "Task has neither a command nor an image"
    has_container = info.HasField("container")  # of what is not there no part is looked at
    if not grouped and has_container and any(m.group_path for m in info.container.mounts):
        return EMPTY, "Task asks for a folder of its group (group_path), and is in none"
    if not grouped and info.group_executor_resources:
        return EMPTY, "Task asks for resources of the executor of its group, and is in none"
    if problem := _checks_problem(info):
        return EMPTY, problem
    command = info.executor.command if info.HasField("executor") else info.command
    if has_container and (problem := _secrets_problem(info.container)):
        return EMPTY, problem
    if has_container and (problem := _addresses_problem(framework, info.container)):
        return EMPTY, problem
    if has_container and (problem := _bandwidth_problem(agent, info.container)):
        return EMPTY, problem
    for variable in command.environment:
        if not variable.name or "=" in variable.name:
            return EMPTY, f"Task has the invalid environment variable {variable.name[:80]!r}"
    return needed, None


def _bandwidth_problem(agent: Agent, container: pb.ContainerInfo) -> str | None:
    """Why what goes through its network would not be limited: older agents know of no limit."""
    if not (container.network_in_mbit_per_s or container.network_out_mbit_per_s):
        return None
    # Of a runtime that is not the first, its name stands before.
    if any(name.rpartition(" ")[2] == "bandwidth" for name in agent.info.isolation):
        return None
    return (
        "Task limits what goes through its network (network_in_mbit_per_s,"
        " network_out_mbit_per_s), which its agent cannot do: it has no network that can be"
        " limited, or is of a version that knows no such limit"
    )


def group_problem(
    framework: Framework,
    agent: Agent,
    infos: Sequence[pb.TaskInfo],
    available: Resources,
    launched: Container[str] = (),
) -> tuple[list[Resources], str | None]:
    """The resources of each task of a group, and why it may not be launched, or None."""
    needed: list[Resources] = []
    if problem := limits.GROUP_TASKS.problem(len(infos)):
        return needed, problem
    if problem := limits.GROUP.problem(sum(info.ByteSize() for info in infos)):
        return needed, problem
    if len({info.task_id for info in infos}) != len(infos):
        return needed, "The group has two tasks of one id"
    if len({info.container.network or "host" for info in infos}) > 1:
        return needed, "The tasks of a group have one network; these ask for several"
    said = {
        (c.network_in_mbit_per_s, c.network_out_mbit_per_s)
        for c in (info.container for info in infos)
    }
    if len(said - {(0, 0)}) > 1:
        return needed, "The network of a group has one limit each way; these ask for several"
    inside = [
        (mapping.container_port, mapping.protocol or "tcp")
        for info in infos
        for mapping in info.container.port_mappings
    ]
    if len(set(inside)) != len(inside):
        return needed, "Two ports are mapped to the same one in the network of the group"
    for info in infos:
        mine, problem = task_problem(
            framework, agent, info, available, grouped=True, launched=launched
        )
        if problem is not None:
            return needed, f"Task '{info.task_id[:255]}' is invalid: {problem}"
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
    if secret_names(executor.container):
        return "Executor asks for secrets, which only tasks with containers of their own can have"
    if any(file.addresses for file in executor.container.config):
        return "Executor has config files with addresses, which only tasks can have"
    if executor.container.port_mappings or any(m.group_path for m in executor.container.mounts):
        return "Executor asks for mapped ports or folders of a group, and can have neither"
    return None


def _secrets_problem(container: pb.ContainerInfo) -> str | None:
    """What is wrong with the secrets that a container asks for, or None."""
    for given in ("path", "env"):
        names = [getattr(use, given) for use in container.secrets if getattr(use, given)]
        if len(set(names)) != len(names):
            return f"Task uses two secrets with the same {given}"
    for use in container.secrets:
        if not use.name or not (use.path or use.env):
            return "Task uses a secret without a name, or with neither a path nor an env"
        if use.env and not is_variable(use.env):
            return f"Task uses a secret as the invalid environment variable {use.env[:80]!r}"
    if container.image_secret and not container.image:
        return "Task has an image_secret and no image"
    return _config_problem(container)


def _addresses_problem(framework: Framework, container: pb.ContainerInfo) -> str | None:
    """Whose addresses a task may not have in its config files, or None: those of its framework's
    roles are for it."""
    uses = (use for file in container.config for use in file.addresses)
    for use in uses:
        if use.role not in framework.roles:
            return f"Task asks for addresses of role {use.role[:80]!r}, as its framework may not"
    return None


def _config_problem(container: pb.ContainerInfo) -> str | None:
    """What is wrong with where its config files are to be, or None."""
    places = [(True, use.path) for use in container.secrets if use.path]
    places += [(bool(file.secrets), file.path) for file in container.config]
    if len(set(places)) != len(places):
        return "Task has two config files, or one and a secret, with the same path"
    for has_secrets, path in places:
        if has_secrets and (problem := secret_name_problem(path)):
            return f"Task has a config file with secrets whose path is no plain name: {problem}"
    return None


def _checks_problem(info: pb.TaskInfo) -> str | None:
    """What is wrong with its checks, or None."""
    for name in ("health", "readiness"):
        if not info.HasField(f"{name}_check"):
            continue
        check: pb.Check = getattr(info, f"{name}_check")
        kind = check.WhichOneof("kind")
        if kind is None and check.ByteSize():
            return f"Task has a {name} check that is neither a command, HTTP, TCP nor gRPC"
        if kind == "command" and not check.command.value:
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
