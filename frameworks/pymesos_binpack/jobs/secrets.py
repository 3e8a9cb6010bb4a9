"""The versions of secrets that the master has told of, and which tasks use one."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Any

from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.store import Change
from pymesos_core.text import quoted

MAX_WARNINGS = 20
SEEN = "secret"  # ROLE:NAME → its record


@dataclass(frozen=True, slots=True)
class Seen:
    """A secret as it was told of. `spreading`: services that use it are yet to be replaced."""

    role: str
    name: str
    version: int
    set_at_s: float
    spreading: bool = False

    @property
    def key(self) -> str:
        """The key of its record. A name has no colon."""
        return f"{self.role}:{self.name}"

    @property
    def request_id(self) -> str:
        """By which jobs are changed for it: another one each time it is set."""
        return f"secret-{self.name}-{self.version}-{round(self.set_at_s * 1000)}"

    def change(self) -> Change:
        """The write of it."""
        record = {
            "version": self.version,
            "set_at_s": self.set_at_s,
            "spreading": self.spreading,
            "untaken": [],  # earlier versions read it
        }
        return Change(SEEN, self.key, json.dumps(record).encode())

    def removal(self) -> Change:
        """The write that forgets it."""
        return Change(SEEN, self.key, None)


def read_seen(key: str, value: bytes) -> Seen:
    """Read one back. Raises ValueError."""
    role, _, name = key.rpartition(":")
    try:
        read: Any = json.loads(value)
        seen = Seen(role, name, read["version"], read["set_at_s"], read["spreading"] is True)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"what is known of the secret {key} cannot be read: {error!r}") from None
    is_time = isinstance(seen.set_at_s, int | float) and math.isfinite(seen.set_at_s)
    if not (is_time and isinstance(seen.version, int)):
        raise ValueError(f"what is known of the secret {key} is of another kind than can be")
    return seen


def services_with(job: Job, name: str) -> tuple[str, ...]:
    """The services of a job that are given a secret of its role."""
    return tuple(t.name for t in job.tasks if t.is_service and name in secrets_given(t))


def secret_warnings(job: Job, there: Set[str] | None) -> list[str]:
    """Return which secrets a job asks for that its role does not have, as sentences.

    `there`: those that it has; None: nobody knows.
    """
    if there is None:
        return []
    named = quoted(job.role)
    return [
        f"{task.name}: the role {named} has no secret {name} yet, and until it has none of its"
        f" tasks starts: `pymesos-cli secret set {shlex.quote(job.role)} {name}` sets it"
        for task in job.tasks
        for name in sorted({*secrets_given(task), *_of_images(task)} - there)
    ][:MAX_WARNINGS]


def _of_images(spec: TaskSpec) -> Iterator[str]:
    """The secrets by which images are fetched."""
    keys = (each.container.keys for each in (spec, *spec.sidecars))
    yield from (each["image_secret"] for each in keys if each.get("image_secret"))


def secrets_given(spec: TaskSpec) -> Set[str]:
    """The secrets that a task and its sidecars are given."""
    return {name for each in (spec, *spec.sidecars) for name in _given(each)}


def _given(spec: TaskSpec) -> Iterator[str]:
    """What a task is given, by files, variables and templates; not that its image is fetched by."""
    keys = spec.container.keys
    yield from (use["name"] for use in keys.get("secrets", ()))
    yield from (name for file in keys.get("config", ()) for name in file.get("secrets", ()))
