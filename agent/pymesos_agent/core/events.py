"""What can happen to an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pymesos_agent.core.slack import Measured
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as a runtime finds it after a restart. `exit` is set when it has ended."""

    pid: int
    exit: ContainerExited | None = None


@dataclass(frozen=True, slots=True)
class ContainersRecovered:
    """What the runtimes found, by container id. Nothing is launched before."""

    containers: Mapping[str, ContainerState]


@dataclass(frozen=True, slots=True)
class UsesMeasured:
    """What the tasks that run have used, by container; what cannot be measured is not there."""

    measured: Mapping[str, Measured]


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Config files of a task that runs are others now, and it is to begin anew by them."""

    container_id: str


@dataclass(frozen=True, slots=True)
class RuntimeAway:
    """A runtime does not answer: nobody knows how its containers are, and none can be launched."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class RuntimeBack:
    """A runtime answers, again or for the first time, and says what it holds, by container id.

    It holds what it is launching, too, with the pid 0.
    """

    name: str
    containers: Mapping[str, ContainerState]
    isolation: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuntimeBroken:
    """A runtime answers, and cannot start any container; those it has are as they were."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class RuntimeMended:
    """A broken runtime can start containers again."""

    name: str


@dataclass(frozen=True, slots=True)
class Connected:
    """A stream to a master is open; nothing has been said on it."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The stream to the master has ended."""

    connection_id: int


class MasterSaid(NamedTuple):
    """A message of a master under its epoch. A tuple, as effects.Checkpoint."""

    connection_id: int
    epoch: int
    message: agent_pb.MasterMessage


@dataclass(frozen=True, slots=True)
class ContainerPulling:
    """The container's image is being fetched, which takes a while; `message` says how far it is."""

    container_id: str
    message: str = "The image is being fetched"


@dataclass(frozen=True, slots=True)
class ContainerStarted:
    """The container runs."""

    container_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class ContainerFailed:
    """The container could not be started; or it was `killed` before that, which is no failure."""

    container_id: str
    message: str
    killed: bool = False
    image: pb.ImageTrouble = pb.IMAGE_TROUBLE_UNSPECIFIED
    no_program: bool = False  # all was ready, and its program could not be executed


def killed_early(container_id: str) -> ContainerFailed:
    """The event of a container that was killed before it was started."""
    return ContainerFailed(container_id, "killed before it was started", killed=True)


@dataclass(frozen=True, slots=True)
class ContainerExited:
    """The container has ended, all of it.

    `exit_status` is the exit code, or minus the signal; None when nobody knows. `limit` names the
    resource it was killed for; `pids_refused` says how often it wanted more processes than it may
    have; `problem`, why its program was never executed.
    """

    container_id: str
    exit_status: int | None
    limit: str | None = None
    peak_bytes: int = 0
    pids_refused: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer to RunCheck: `problem` says what is wrong, None that all is well."""

    container_id: str
    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class ExecutorSaid:
    """A call on an executor's stream."""

    stream_id: int
    call: executor_pb.ExecutorCall


@dataclass(frozen=True, slots=True)
class ExecutorLeft:
    """The stream of an executor has ended."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class DiskExceeded:
    """A container has written more than its disk."""

    container_id: str
    used_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessesRefused:
    """A container was refused so many processes within a second: it has as many as it may."""

    container_id: str
    count: int


@dataclass(frozen=True, slots=True)
class DiskMeasured:
    """How much of the disk that has the sandboxes is in use, from 0 to 1."""

    used: float


class Checkpointed(NamedTuple):
    """A Checkpoint effect is durable. A tuple, as that."""

    token: int


@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """A Checkpoint effect could not be written; nothing of it was."""

    token: int
    message: str


@dataclass(frozen=True, slots=True)
class TasksEnding:
    """The agent is to end with all its tasks."""


Event = (
    Tick
    | ContainersRecovered
    | UsesMeasured
    | ConfigChanged
    | RuntimeAway
    | RuntimeBack
    | RuntimeBroken
    | RuntimeMended
    | Connected
    | Disconnected
    | MasterSaid
    | ContainerPulling
    | ContainerStarted
    | ContainerFailed
    | ContainerExited
    | Checked
    | ExecutorSaid
    | ExecutorLeft
    | DiskExceeded
    | ProcessesRefused
    | DiskMeasured
    | Checkpointed
    | CheckpointFailed
    | TasksEnding
)
