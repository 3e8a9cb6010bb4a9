"""A job as it was checked: what its tasks are. `jobs` reads one from text or data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any

from pymesos_binpack.constraints import Constraint
from pymesos_binpack.containers import ContainerSpec
from pymesos_binpack.periodic.rules import PeriodicRules
from pymesos_core.stop_signals import TERM


class JobError(ValueError):
    """A job that cannot be: the message says where, what was expected, and what came near."""


def port_variable(name: str) -> str:
    """Return the environment variable that has the port of that name."""
    return f"PORT_{name.upper().replace('-', '_')}"


@dataclass(frozen=True)
class VolumeSpec:
    """A directory that is there again when the instance is started again, on the same agent."""

    name: str
    path: str
    size_milli: int
    may_be_lost: bool = False  # an empty one will do where its agent stays unreachable


@dataclass(frozen=True)
class NamedPort:
    """A port that a task finds by a name. `host` is its number on the agent; 0: any will do."""

    name: str
    host: int = 0


@dataclass(frozen=True)
class Exposure:
    """Requests for a host, at a port of a load balancer, and the port of the task by its name."""

    host: str
    port: int
    to: str


class Until(StrEnum):
    """How far a task has to be before those that depend on it begin."""

    READY = "ready"
    FINISHED = "finished"


@dataclass(frozen=True)
class Dependency:
    """A task that comes before another one, and how far it has to be."""

    task: str
    until: Until


@dataclass(frozen=True)
class ScaleRules:
    """How many instances a task has, by what is measured of them."""

    min: int
    max: int
    value: float  # that each is to come to: of the metric, or of the CPU that it asked for
    metric: str = ""  # a gauge of its own; empty: the CPU that it uses
    port: str = ""  # by its name, where it serves that; empty: the first
    path: str = "/metrics"
    tolerance: float = 0.1  # how far off, as a share, is still as wanted
    up_after_s: float = 60.0  # since the step before
    down_after_s: float = 300.0  # since the step before, and for how long less has been enough

    def bounded(self, count: int) -> int:
        """Return a number of instances within the bounds."""
        return min(max(count, self.min), self.max)

    @property
    def target(self) -> str:
        """What each instance is to come to, for people."""
        return f"{self.metric} {self.value:g}" if self.metric else f"cpu {self.value:.0%}"


@dataclass(frozen=True)
class RestartRules:
    """How a service is run again that crashes."""

    max: int = 5  # crashes within that time, if it `fails` after them
    within_s: float = 600.0
    backoff_min_s: float = 0.5
    backoff_max_s: float = 60.0
    fails: bool = False  # it is not run again then; else ever later


class When(StrEnum):
    """What of a task somebody can be alerted of."""

    UNHEALTHY = "unhealthy"
    BELOW = "below"
    CRASH_LOOP = "crash_loop"
    ROLLOUT_FAILED = "rollout_failed"
    UNPLACED = "unplaced"
    DRAIN_BLOCKED = "drain_blocked"


@dataclass(frozen=True)
class AlertRule:
    """Who is told of what, once it has held for how long."""

    when: When
    to: str  # the name of a receiver
    for_s: float = 30.0
    below: int = 100  # so many ready instances are too few, or, if it is a share, so many percent
    is_share: bool = True

    def is_too_few(self, ready: int, wanted: int) -> bool:
        """Whether so many instances are ready that somebody is to be told."""
        return 100 * ready < self.below * wanted if self.is_share else ready < self.below


@dataclass(frozen=True)
class TaskSpec:
    """One kind of task of a job. `scalars` in thousandths, those of its sidecars included."""

    name: str
    kind: str  # "service", "daemon", "batch" or "periodic"
    instances: int  # 0 of a daemon: each agent that it is for has one
    command: str | None
    image: str | None
    user: str | None
    scalars: Mapping[str, int]
    ports: int
    env: Mapping[str, str]
    constraints: tuple[Constraint, ...]
    retries: int
    kill_grace_s: float
    kill_signal: str = TERM  # what it is sent before SIGKILL
    gang: bool = False  # all instances are placed together, or none
    volumes: tuple[VolumeSpec, ...] = ()
    container: ContainerSpec = field(default_factory=ContainerSpec)
    sidecars: tuple[TaskSpec, ...] = ()
    unreachable_replace_s: float | None = None  # None: it is waited for, however long that takes
    named_ports: tuple[NamedPort, ...] = ()  # the first ports that it is given
    update: Mapping[str, Any] = field(default_factory=dict)  # how instances are replaced
    restart: RestartRules = RestartRules()
    alerts: tuple[AlertRule, ...] = ()
    periodic: PeriodicRules | None = None  # when a periodic task runs
    drain_s: float = 0.0  # between leaving what clients see, and its kill
    exposure: Exposure | None = None  # what load balancers pass on to it
    depends_on: tuple[Dependency, ...] = ()  # what comes before it
    scale: ScaleRules | None = None  # its number of instances follows what is measured
    revocable: bool = False  # it runs on what others hold and do not use
    digest: str = ""  # of what a running task of it is: see jobfiles.revisions

    @property
    def port_names(self) -> tuple[str, ...]:
        """The names of the first ports that it is given."""
        return tuple(port.name for port in self.named_ports)

    @property
    def host_ports(self) -> tuple[int, ...]:
        """The ports of its agent that it wants by number."""
        return tuple(port.host for port in self.named_ports if port.host)

    @property
    def is_service(self) -> bool:
        """Whether it is run again when it ends."""
        return self.kind in ("service", "daemon")

    @property
    def is_daemon(self) -> bool:
        """Whether each agent that meets its constraints has one instance of it."""
        return self.kind == "daemon"


@dataclass(frozen=True)
class PackageSpec:
    """The package that a job was made from. What was asked of it is in the job's document."""

    name: str
    version: str
    repository: str = ""  # that it came from; empty: it does not say, as of earlier versions
    repository_key: str = ""  # which signs the index of the repository


@dataclass(frozen=True)
class Job:
    """A job as it was submitted; `document` is its JSON."""

    name: str
    role: str
    tasks: tuple[TaskSpec, ...]
    document: str
    priority: int = 0
    preempt: bool = False  # whether tasks of lower priority may be killed for it
    variables: Mapping[str, str] = field(default_factory=dict)  # with the values that it was given
    missing: tuple[str, ...] = ()  # variables that it refers to and that have no value
    package: PackageSpec | None = None  # that it was made from

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """The receivers that its alerts are for, each once."""
        return tuple(dict.fromkeys(rule.to for task in self.tasks for rule in task.alerts))

    @cached_property
    def has_daemon(self) -> bool:
        """Whether a task of it is a daemon."""
        return any(task.is_daemon for task in self.tasks)

    @cached_property
    def has_scaling(self) -> bool:
        """Whether the number of instances of a task of it follows what is measured."""
        return any(task.scale is not None for task in self.tasks)

    @cached_property
    def has_dependencies(self) -> bool:
        """Whether a task of it comes before another one."""
        return any(task.depends_on for task in self.tasks)

    @cached_property
    def dependants(self) -> Mapping[str, frozenset[str]]:
        """The tasks that come after others, directly or not, by those that others depend on."""
        out: dict[str, frozenset[str]] = {}
        for spec in reversed(self.in_order):
            after = frozenset((spec.name, *out.get(spec.name, ())))
            for each in spec.depends_on:
                out[each.task] = out.get(each.task, frozenset()) | after
        return out

    @cached_property
    def in_order(self) -> tuple[TaskSpec, ...]:
        """The tasks of the job, each after those that it depends on."""
        if not self.has_dependencies:
            return self.tasks
        specs = {spec.name: spec for spec in self.tasks}
        before = {name: [each.task for each in spec.depends_on] for name, spec in specs.items()}
        return tuple(specs[name] for name in TopologicalSorter(before).static_order())

    @cached_property
    def is_open_ended(self) -> bool:
        """Whether there may be more of it at any time: agents come, and times at which it runs."""
        return any(task.is_daemon or task.periodic for task in self.tasks)
