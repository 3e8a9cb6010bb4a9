"""The environment and the command of a task."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.memory import IN_CONTAINER, VARIABLE
from pymesos_core.resources import devices
from pymesos_proto.v1 import types_pb2 as pb

NOT_EXECUTABLE = "exec format error: is it built for this machine?"
WRONG_FORMAT = re.compile(r"exec format error(?!:)", re.IGNORECASE)
OF_MESOS = "MESOS_AGENT_ENDPOINT"  # what its executors are told, and no others
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def task_environment(
    spec: ContainerSpec, sandbox: Path, inherited: dict[str, str], secrets: str = IN_CONTAINER
) -> dict[str, str]:
    """What a task finds in its environment; what is ours cannot be overridden by the task.

    `sandbox` is the path as the task sees it, `secrets` that of the files of its secrets.
    """
    env = dict(inherited)
    env.update((v.name, v.value) for v in spec.info.command.environment)
    env |= spec.secrets.variables
    if spec.has_secret_files:
        env[VARIABLE] = secrets
    env.setdefault("HOME", str(sandbox))
    if spec.own_uid:  # what programs ask for who has no name in /etc/passwd
        env.setdefault("USER", str(spec.own_uid))
        env.setdefault("LOGNAME", env["USER"])
    env |= {
        "PYMESOS_SANDBOX": str(sandbox),
        "PYMESOS_TASK_ID": spec.info.task_id,
        "PYMESOS_FRAMEWORK_ID": spec.framework_id,
        "PYMESOS_AGENT_ID": spec.info.agent_id,
        "PYMESOS_CONTAINER_ID": spec.container_id,
    }
    if OF_MESOS in env:
        env["MESOS_SANDBOX"] = env["MESOS_DIRECTORY"] = str(sandbox)
    if gpus := devices(spec.resources):
        env["CUDA_VISIBLE_DEVICES"] = env["NVIDIA_VISIBLE_DEVICES"] = ",".join(gpus)
    env |= {f"PORT{index}": str(port) for index, port in enumerate(spec.ports)}
    return env


def host_environment() -> dict[str, str]:
    """The little that a task without an image inherits from its agent.

    Of the folders of PATH its first process leaves out those that its user may not search: see
    `becoming`.
    """
    env = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ") if name in os.environ}
    env["PATH"] = os.environ.get("PATH", DEFAULT_PATH)
    return env


def path_of_everybody(path: str) -> str:
    """The folders of a PATH that every user of this machine may search."""
    return ":".join(filter(_is_everybodys, path.split(":"))) or DEFAULT_PATH


def _is_everybodys(folder: str) -> bool:
    real = Path(os.path.realpath(folder))
    try:
        return all(one.stat().st_mode & 0o001 for one in (real, *real.parents))
    except OSError:
        return False


def ulimits(container: pb.ContainerInfo) -> list[tuple[str, int, int]]:
    """RLIMIT names as OCI has them, with soft and hard limits."""
    return [(f"RLIMIT_{u.name.upper()}", u.soft, u.hard) for u in container.ulimits]


def task_argv(command: pb.CommandInfo) -> list[str]:
    """The program and its arguments; empty when the image's own command is meant."""
    if command.shell:
        return ["/bin/sh", "-c", command.value]
    return [*([command.value] if command.value else []), *command.arguments]


def plain_error(text: str) -> str:
    """What a tool says of a program that it cannot execute, in words that say what to look for."""
    return WRONG_FORMAT.sub(NOT_EXECUTABLE, text)
