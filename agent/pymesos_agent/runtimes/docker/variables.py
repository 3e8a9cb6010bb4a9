"""Secrets in variables: an engine writes down what it is told of a container, and shows it to all.

So it is not told of them. They are in a file in memory, which the container's shell reads before it
becomes the program.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymesos_agent.containers.environment import task_environment
from pymesos_agent.containers.spec import NO_SECRETS, ContainerSpec

IN_CONTAINER = Path("/run/pymesos-variables")
SHELL = "/bin/sh"
READ = '. "$0" && exec "$@"'
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NO_SHELL = (
    f"secrets in variables need {SHELL} in the image, if an engine runs it: ask for them as files"
    f" (`path`), or have an agent with the `oci` runtime run it"
)


class VariablesError(Exception):
    """A container cannot be given its variables: the message says why, and has no value in it."""


def environment_of(spec: ContainerSpec, sandbox: Path) -> dict[str, str]:
    """Return the environment that an engine may be told of."""
    return task_environment(replace(spec, secrets=NO_SECRETS), sandbox, {})


def script_of(spec: ContainerSpec, sandbox: Path) -> str:
    """Return what a shell reads to have the rest. Raises VariablesError."""
    full = task_environment(spec, sandbox, {})  # what is ours is not overridden here, either
    for name in spec.secrets.variables:
        if not NAME.fullmatch(name):
            raise VariablesError(
                f"a secret cannot be the variable {name!r} of a container that an engine runs:"
                f" letters a-z and A-Z, digits and _ are expected"
            )
    return "".join(
        f"export {name}={shlex.quote(full[name])}\n" for name in sorted(spec.secrets.variables)
    )


def check_handed_on(environment: Iterable[str], image: Mapping[str, Any]) -> None:
    """Check that a shell hands on all variables that a container has without secrets.

    Some, as dash and ash, drop those whose names they could not set. Raises VariablesError.
    """
    of_image = [variable.partition("=")[0] for variable in image.get("Env") or ()]
    for whose, names in (("the task", environment), ("the image", of_image)):
        for name in names:
            if not NAME.fullmatch(name):
                raise VariablesError(
                    f"{whose} has the variable {name!r}, which would be lost with a secret in a"
                    f" variable where an engine runs it: ask for the secret as a file instead"
                    f" (`path`), or name it with letters a-z and A-Z, digits and _"
                )


def reading(
    entrypoint: Sequence[str] | None, command: Sequence[str] | None, image: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Return entrypoint and command of a container that reads its variables, and does the same.

    None is what the image has, as its configuration says: its command is that of its own
    entrypoint only. Raises VariablesError.
    """
    first = image.get("Entrypoint") if entrypoint is None else entrypoint
    if command is None and entrypoint is None:
        command = image.get("Cmd")
    if not (words := [*(first or ()), *(command or ())]):
        raise VariablesError("no command is specified, and its image has none")
    return [SHELL, "-c", READ, str(IN_CONTAINER)], words


def explained(problem: str, spec: ContainerSpec) -> str:
    """Return what an engine says of a container, and what to do where it has no shell."""
    if spec.secrets.variables and f'"{SHELL}"' in problem:
        return f"{problem}; {NO_SHELL}"
    return problem
