"""What the core of the bin-packing framework takes in."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from pymesos_binpack.core.effects import MakeJob
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.specs import Job
from pymesos_core.security.policy import Policy
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The framework is subscribed, for the first time or again."""

    framework_id: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The master is away, and every offer with it."""


@dataclass(frozen=True, slots=True)
class OffersReceived:
    """Resources are offered."""

    offers: tuple[pb.Offer, ...]


@dataclass(frozen=True, slots=True)
class OfferRescinded:
    """An offer is no longer valid."""

    offer_id: str


@dataclass(frozen=True, slots=True)
class AgentLost:
    """An agent is gone, or cannot be reached; updates of its tasks come by themselves."""

    agent_id: str


@dataclass(frozen=True, slots=True)
class AgentDraining:
    """An operator empties an agent until a Unix time, or not any more."""

    agent_id: str
    deadline_s: float
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class UsesTold:
    """Agents have measured what tasks use."""

    uses: tuple[pb.TaskUse, ...]


@dataclass(frozen=True, slots=True)
class InverseOffersReceived:
    """Agents may be away at times: can the framework do without them then?"""

    inverse_offers: tuple[pb.InverseOffer, ...]


@dataclass(frozen=True, slots=True)
class TaskUpdated:
    """A task is in a new state, or the same update came again."""

    status: pb.TaskStatus


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """Somebody wants a job run. `unique_name`: unless one of its name runs.

    `versions` are those that a backup has of it, of which the last is in force, and
    `scaled_counts` how many instances its tasks had then that are scaled. `room_bytes` is how much
    more may be stored; None: that has no limit.
    """

    request_id: str
    job_id: str
    job: Job
    unique_name: bool = False
    made_by: str = ""  # a principal, if that is known
    versions: tuple[Version, ...] = ()
    room_bytes: int | None = None
    scaled_counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionProposed:
    """Somebody wants a job changed: made from `base_version`, which must still be in force.

    `restarts` are the tasks that are to begin anew though nothing of them differs, and `rerun`
    the batch tasks that run again where they have ended and are changed. `as_of` is the
    version by which it is known what of the tasks that are changing was begun anew before; 0: the
    one in force. `room_bytes` is how much more may be stored; None: that has no limit.
    """

    request_id: str
    job_id: str
    base_version: int
    job: Job
    what: str  # made it: "apply", "scale", "restart", "rollback to 3"
    made_by: str = ""
    restarts: tuple[str, ...] = ()
    rerun: Set[str] = frozenset()
    as_of: int = 0
    room_bytes: int | None = None
    current: bool = False  # its variables are to have the values that are in force


@dataclass(frozen=True, slots=True)
class ChangesAwaited:
    """Somebody is to be told once what was decided of a job is durable."""

    job_id: str
    asked: int


@dataclass(frozen=True, slots=True)
class RolloutAsked:
    """Somebody wants a rollout paused, resumed, promoted or aborted; `task` empty: all that go."""

    request_id: str
    job_id: str
    task: str
    what: Asked
    by: str = ""


@dataclass(frozen=True, slots=True)
class RunTriggered:
    """Somebody wants a run of a periodic task now; `task` empty: of the only one."""

    request_id: str
    job_id: str
    task: str
    args: Mapping[str, str]
    by: str = ""


@dataclass(frozen=True, slots=True)
class VolumeRemoved:
    """A volume is no more: the next run of its name makes a new one."""

    role: str
    volume_id: str
    asked: int = 0  # the number of what was asked, for the answer; 0: nobody waits for one


@dataclass(frozen=True, slots=True)
class VolumesGivenUp:
    """Instances of a job whose data are where they cannot be used are to begin without."""

    job_id: str
    tasks: tuple[str, ...] = ()  # none: all
    asked: int = 0  # as above


@dataclass(frozen=True, slots=True)
class JobStopped:
    """Somebody wants a job ended; `now`: its clients get no time to leave."""

    job_id: str
    asked: int = 0  # as above
    now: bool = False


@dataclass(frozen=True, slots=True)
class QuarantineReleased:
    """Somebody wants a job that was set aside tried again, or, with `discard`, forgotten."""

    job_id: str
    discard: bool = False


@dataclass(frozen=True, slots=True)
class PolicyTold:
    """The master says by which policy those are to be answered who ask for jobs."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class RolesAnswered:
    """The master has taken the framework into the roles that it asked for, or there is a problem.

    Then it is in those before.
    """

    asked: tuple[str, ...]
    before: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class AlertsSilenced:
    """Somebody wants nobody told of alerts of a job for so long; 0: told again.

    `task` and `when` empty: of every task, and whatever an alert is about.
    """

    job_id: str
    task: str
    when: str
    for_s: float
    by: str = ""
    why: str = ""
    asked: int = 0  # as of VolumeRemoved


@dataclass(frozen=True, slots=True)
class VariableSet:
    """Somebody wants a variable of a role set, or, without a value, removed.

    `if_version`: that must be in force, with 0 for none; None: whatever is. `force`: it is removed
    although jobs refer to it. `room_bytes` is as of JobSubmitted.
    """

    request_id: str
    role: str
    name: str
    value: str | None
    by: str = ""
    if_version: int | None = None
    force: bool = False
    room_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SecretsTold:
    """The master says at which versions secrets of a role are: name, version, when it was set."""

    role: str
    secrets: tuple[tuple[str, int, float], ...]
    complete: bool = False  # it has no others
    removed: str = ""  # the name of one that is no more


@dataclass(frozen=True, slots=True)
class JobMade:
    """A job was read with other values, as MakeJob wanted it, or why it cannot be."""

    wanted: MakeJob
    made: Job | Exception


@dataclass(frozen=True, slots=True)
class NoticeTaken:
    """A receiver has taken what it was told: that an alert fires since then, or is over."""

    key: str
    began_s: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """A Store effect is durable."""

    token: int


Event = (
    Tick
    | Subscribed
    | Disconnected
    | OffersReceived
    | OfferRescinded
    | AgentLost
    | AgentDraining
    | UsesTold
    | InverseOffersReceived
    | TaskUpdated
    | JobSubmitted
    | VersionProposed
    | ChangesAwaited
    | RolloutAsked
    | RunTriggered
    | JobStopped
    | QuarantineReleased
    | VolumeRemoved
    | VolumesGivenUp
    | PolicyTold
    | RolesAnswered
    | AlertsSilenced
    | VariableSet
    | SecretsTold
    | JobMade
    | NoticeTaken
    | Stored
)
