"""What a master wants done, to be carried out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pymesos_core.errors import Problem
from pymesos_core.outgoing.notices import Notice
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.security.audit import Entry
from pymesos_core.security.secrets import Sealed
from pymesos_core.store import Change
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent


class TellFramework(NamedTuple):
    """Send an event on the stream of a framework. A tuple, as PublishEvent."""

    connection_id: int
    event: scheduler_pb.Event


class TellAgent(NamedTuple):
    """Send a message on the stream of an agent. A tuple, as PublishEvent."""

    connection_id: int
    message: agent_pb.MasterMessage


@dataclass(frozen=True, slots=True)
class TellSecrets:
    """Open secrets of a role, and send them to the agent of a task that uses them.

    What a value is nobody knows but who carries this out. `problem`: why there are none.
    """

    connection_id: int
    framework_id: str
    task_id: str
    role: str
    secrets: tuple[tuple[str, Sealed], ...]  # each with its name
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """End a stream after what was told before has been sent."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class EndUnread:
    """A stream ends at once, since its peer asks much and reads too little of the answers."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class AwaitDrained:
    """Say by Drained when a stream has nothing left to send, if it has not ended until then."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class PersistRegistry:
    """Write to the registry, all or nothing; Persisted or PersistFailed follows.

    Without changes it only makes sure that no other master has raised the epoch.
    """

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class StepDown:
    """Stop leading: a registry write failed, or its outcome is unknown."""

    reason: str


@dataclass(frozen=True, slots=True)
class AnswerOperator:
    """An operator's request is done, or refused for `problem`."""

    request_id: int
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Audit:
    """Write a line of the audit. If it is synced, operators are answered after that."""

    entry: Entry


class PublishEvent(NamedTuple):
    """Something happened that a watcher of the cluster may want to see.

    A tuple, since there are several of every task: a frozen dataclass takes four times as long.
    """

    wall_s: float
    kind: ClusterEvent.Kind
    agent_id: str = ""
    framework_id: str = ""
    task_id: str = ""
    offer_id: str = ""
    task_state: pb.TaskState = pb.TASK_STATE_UNSPECIFIED
    reason: pb.Reason = pb.REASON_UNSPECIFIED
    resources: Resources = EMPTY
    message: str = ""
    roles: tuple[str, ...] = ()  # who may read one of them sees it; none: who may read any at all


@dataclass(frozen=True, slots=True)
class NameChanged:
    """What `state.names` shows of a task is another, or nothing any more."""

    framework_id: str
    task_id: str


@dataclass(frozen=True, slots=True)
class NamesSettled:
    """A framework has said all that serves of it, or is no more."""

    framework_id: str


@dataclass(frozen=True, slots=True)
class SetRevoked:
    """From now on these principals and serial numbers, and no others, are let in no more."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """The receiver of an alert of the cluster is to know of it."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Complain:
    """A peer sent what cannot be: to be said once for each kind and peer, and counted."""

    peer: str
    kind: str
    message: str


Effect = (
    TellFramework
    | TellAgent
    | TellSecrets
    | CloseConnection
    | AwaitDrained
    | EndUnread
    | PersistRegistry
    | StepDown
    | AnswerOperator
    | Audit
    | PublishEvent
    | NameChanged
    | NamesSettled
    | SetRevoked
    | Tell
    | Complain
)
