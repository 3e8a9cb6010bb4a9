"""What the core of the bin-packing framework wants done, in this order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pymesos_core.outgoing.notices import Notice
from pymesos_core.store import Change
from pymesos_proto.v1 import names_pb2 as names_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class Store:
    """Write durably, all or nothing; Stored follows."""

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Launch tasks on the offers of one agent, after the operations that they need."""

    offer_ids: tuple[str, ...]
    tasks: tuple[pb.TaskInfo, ...]
    before: tuple[scheduler_pb.Operation, ...] = ()
    groups: tuple[tuple[pb.TaskInfo, ...], ...] = ()  # each a task with its sidecars


@dataclass(frozen=True, slots=True)
class Decline:
    """Give offers back."""

    offer_ids: tuple[str, ...]
    refuse_s: float


@dataclass(frozen=True, slots=True)
class Revive:
    """Ask for offers of a role again, the refused ones too."""

    role: str


@dataclass(frozen=True, slots=True)
class Suppress:
    """Ask for no offers of a role."""

    role: str


@dataclass(frozen=True, slots=True)
class BeInRoles:
    """Be in these roles, now and at each subscription."""

    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a task: by what its job says now, or by its own policy where that is not known."""

    task_id: str
    agent_id: str
    grace_s: float | None = None
    first: str = ""  # the signal before SIGKILL


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """An update is stored and need not come again."""

    status: pb.TaskStatus


@dataclass(frozen=True, slots=True)
class AnswerInverseOffer:
    """Promise to have left an agent when it may be away, or say that it cannot be so."""

    inverse_offer_id: str
    accepts: bool


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask for the state of these (task id, agent id)."""

    tasks: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell which tasks serve clients, or otherwise than before, and which do so no more."""

    serves: tuple[names_pb.ServedTask, ...]
    ended: tuple[str, ...] = ()
    whole: bool = False  # no others serve
    keeps: tuple[str, ...] = ()  # but for these, as was told of them before


@dataclass(frozen=True, slots=True)
class JobAccepted:
    """The job, or a version of it, is stored; tell who asked for it."""

    request_id: str
    job_id: str
    version: int = 0  # that was asked for; 0: the job was

    @property
    def key(self) -> tuple[str, str]:
        """The job that was to be changed, or nothing for a new one, and the id of the request."""
        return (self.job_id if self.version else "", self.request_id)


@dataclass(frozen=True, slots=True)
class Released:
    """A job that was set aside goes on, or is forgotten; or it cannot be, for this reason."""

    job_id: str
    problem: str = ""
    discard: bool = False  # what was asked


@dataclass(frozen=True, slots=True)
class JobRefused:
    """The job, or its change, is not taken, for this reason; tell who asked for it."""

    request_id: str
    message: str
    job_id: str = ""  # that was to be changed; empty: it was to be a new one
    # It was made from another version than is in force, or a new job of its name was quicker.
    stale: bool = False
    wrong: bool = False  # what was asked for cannot be, whatever else happens


@dataclass(frozen=True, slots=True)
class Done:
    """What somebody asked for is stored; tell who asked, by the number of what was asked."""

    asked: int


@dataclass(frozen=True, slots=True)
class JobChanged:
    """Something of the job is new to those who watch it."""

    job_id: str


@dataclass(frozen=True, slots=True)
class MakeJob:
    """Read a job again with other values of its variables, beside the loop; JobMade follows."""

    variable: str  # the key of the one that is spread
    request_id: str
    job_id: str
    base_version: int
    document: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tell:
    """Have a receiver told of an alert until it has taken that; NoticeTaken follows."""

    notice: Notice


Effect = (
    Store
    | MakeJob
    | Accept
    | Decline
    | Revive
    | Suppress
    | BeInRoles
    | Kill
    | Acknowledge
    | AnswerInverseOffer
    | Reconcile
    | Publish
    | JobAccepted
    | Released
    | JobRefused
    | Done
    | JobChanged
    | Tell
)
