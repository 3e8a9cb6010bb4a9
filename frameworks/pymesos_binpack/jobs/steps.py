"""What a controller wants done about an instance, and why.

A controller compares what is wanted with what is there. It changes nothing: the core carries its
steps out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.instance import Home, Instance
from pymesos_binpack.periodic.runs import Run
from pymesos_binpack.specs import TaskSpec
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class End:
    """How the task of an instance ended."""

    status: pb.TaskStatus
    state_before: int
    ran_s: float
    was_killed: bool  # by this framework
    at_s: float = 0.0  # Unix time
    met_its_data: bool = False  # it was refused for those that it had given up: see `data`


@dataclass(frozen=True, slots=True)
class Keep:
    """The instance is as it is wanted."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Launch:
    """The instance waits to be launched, at the earliest after `after_s`.

    `failures` count against its retries, `quick_failures` for how long it is kept back, and
    `crashed_s` are the times at which it crashed, where these count.
    """

    instance: Instance
    why: str
    after_s: float = 0.0
    failures: int = 0
    quick_failures: int = 0
    crashed_s: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Kill:
    """The instance's task is killed."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Replace:
    """The instance's task is given up for another, and killed should it come back."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The instance's task is left alone until then (Unix); None: however long it takes."""

    instance: Instance
    why: str
    until_s: float | None


@dataclass(frozen=True, slots=True)
class Finish:
    """The instance will not be launched again."""

    instance: Instance
    why: str
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Remove:
    """The instance is to end, if it runs, and to be forgotten."""

    instance: Instance
    why: str


@dataclass(frozen=True, slots=True)
class Add:
    """The task is to have one more instance, of a version and as that says."""

    spec: TaskSpec
    index: int
    why: str
    version: Version
    begun_s: float = 0.0  # see Saved
    home: Home | None = None  # of a daemon
    run: Run | None = None  # of a periodic task


Step = Keep | Launch | Kill | Replace | Wait | Finish | Remove
