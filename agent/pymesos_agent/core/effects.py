"""What an agent wants done, to be carried out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pymesos_agent.core.ports import Group
from pymesos_core.resources import Resources
from pymesos_core.stop_signals import TERM
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb


class Checkpoint(NamedTuple):
    """Write durably, all or nothing; Checkpointed or CheckpointFailed follows.

    What is not `synced` outlives the agent, and not always a crash of its machine. A tuple, since
    there are five of every task: a frozen dataclass takes twice as long.
    """

    token: int
    changes: tuple[Change, ...]
    synced: bool = True


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Launch a container. Asked twice for the same id, a runtime starts it once.

    All that there is to know of it is here: nothing else is asked while it is carried out.
    """

    container_id: str
    framework_id: str
    runtime: str
    user: str
    info: pb.TaskInfo
    own_uid: int = 0  # the user that it has, and no other; 0: `user`
    resizes: bool = False  # its limits will change
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Give a container other limits. More at once; of memory it keeps what it has."""

    container_id: str
    runtime: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class CapCpu:
    """From now on a container gets no more CPU than this, though nobody else wants it."""

    container_id: str
    cpus_milli: int
    pid: int  # of its first process


@dataclass(frozen=True, slots=True)
class TellExecutor:
    """Send on an executor's stream."""

    stream_id: int
    event: executor_pb.ExecutorEvent


@dataclass(frozen=True, slots=True)
class CloseExecutor:
    """End an executor's stream, after what was sent."""

    stream_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class KillContainer:
    """Send all of a container the signal that comes first, or SIGKILL when `force`."""

    container_id: str
    runtime: str
    force: bool
    first: str = TERM


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Ask a task how it is; Checked follows, after `timeout_s` at the latest."""

    container_id: str
    name: str
    check: pb.Check
    timeout_s: float
    container: StartContainer  # as it was launched
    pid: int  # of its first process


@dataclass(frozen=True, slots=True)
class DestroyContainer:
    """Forget a container that has ended, and remove all of it but its sandbox.

    If it had a user of its own, that one is let into its volumes no more.
    """

    container_id: str
    runtime: str
    own_uid: int = 0
    volumes: tuple[tuple[str, str], ...] = ()  # role and id of each that this user has to leave


@dataclass(frozen=True, slots=True)
class DestroyGroup:
    """Remove what the containers of a group shared; all of them have ended."""

    group_id: str
    runtimes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveSandbox:
    """Delete the files of a container that ended long ago."""

    container_id: str


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """Delete a persistent volume with its data."""

    role: str
    volume_id: str


@dataclass(frozen=True, slots=True)
class SetRevoked:
    """From now on these principals and serial numbers, and no others, are let in no more."""

    names: tuple[str, ...]


class TellMaster(NamedTuple):
    """Send on a stream. A tuple, as Checkpoint."""

    connection_id: int
    message: agent_pb.AgentMessage


@dataclass(frozen=True, slots=True)
class Disconnect:
    """End a stream and look for the leader again."""

    connection_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Exit:
    """End the process: the message says why, None when all is as it was asked."""

    message: str | None


@dataclass(frozen=True, slots=True)
class Complain:
    """A peer sent, or the checkpoint has, what cannot be: said once for each kind, and counted."""

    peer: str
    kind: str
    message: str


Effect = (
    Checkpoint
    | StartContainer
    | ResizeContainer
    | CapCpu
    | TellExecutor
    | CloseExecutor
    | KillContainer
    | RunCheck
    | DestroyContainer
    | DestroyGroup
    | RemoveSandbox
    | RemoveVolume
    | SetRevoked
    | TellMaster
    | Disconnect
    | Exit
    | Complain
)
