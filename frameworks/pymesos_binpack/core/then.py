"""What follows a write that is durable: an effect, or one of these.

They say what was waited for, and by whom, so that a write that waits can be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pymesos_binpack.core.effects import Accept, Effect
from pymesos_binpack.jobs.instance import Instance, Saved
from pymesos_binpack.jobs.rollouts.state import Rollout
from pymesos_binpack.jobs.scaling import Scaling
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.periodic.runs import Runs


@dataclass(frozen=True, slots=True)
class InstanceDurable:
    """This is what an instance may be told to be."""

    instance: Instance
    saved: Saved


@dataclass(frozen=True, slots=True)
class JobDurable:
    """This is what a job may be told to be."""

    job: JobState
    stopping: bool
    hurried: bool


@dataclass(frozen=True, slots=True)
class VersionStored:
    """A version of a job is stored, and who asked for it is told."""

    job: JobState
    number: int


@dataclass(frozen=True, slots=True)
class RolloutsDurable:
    """This is what the rollouts of a job may be told to be."""

    job: JobState
    rollouts: Mapping[str, Rollout]


@dataclass(frozen=True, slots=True)
class RunsDurable:
    """This is what the runs of a job's periodic tasks may be told to be."""

    job: JobState
    runs: Mapping[str, Runs]


@dataclass(frozen=True, slots=True)
class ScalingsDurable:
    """This is what may be told of how the tasks of a job are scaled."""

    job: JobState
    scalings: Mapping[str, Scaling]


@dataclass(frozen=True, slots=True)
class InstancesRemoved:
    """Instances of a job are no longer stored, and are forgotten."""

    job: JobState
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class JobStored:
    """A new job is stored: it is begun, and who submitted it is told."""

    job: JobState


@dataclass(frozen=True, slots=True)
class LaunchStored:
    """Launches are stored, and may be sent. With each instance, the task that it is launched as."""

    accept: Accept
    launched: tuple[tuple[Instance, str], ...]


@dataclass(frozen=True, slots=True)
class KillStored:
    """Why these tasks are killed is stored. With each instance, the task that was meant."""

    meant: tuple[tuple[Instance, str], ...]


@dataclass(frozen=True, slots=True)
class LeavingStored:
    """The store knows that these instances leave. With each comes the task that was meant."""

    meant: tuple[tuple[Instance, str], ...]


@dataclass(frozen=True, slots=True)
class ReleaseStored:
    """A job is out of quarantine: it goes on, and who released it is told."""

    job: JobState


@dataclass(frozen=True, slots=True)
class ReleaseAwaited:
    """The release of a job that was on its way is stored: look at what was asked meanwhile."""

    job_id: str
    discard: bool


@dataclass(frozen=True, slots=True)
class FrameworkStored:
    """The framework's id is stored."""


Then = (
    Effect
    | InstanceDurable
    | JobDurable
    | JobStored
    | VersionStored
    | RolloutsDurable
    | RunsDurable
    | ScalingsDurable
    | InstancesRemoved
    | LaunchStored
    | KillStored
    | LeavingStored
    | ReleaseStored
    | ReleaseAwaited
    | FrameworkStored
)
