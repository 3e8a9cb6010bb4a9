"""What can happen to a master. A connection id is the shell's name for one open stream.

What comes from outside has its `caller`. This is a table, one class for each, and better whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pymesos_core.caller import NOBODY, Caller
from pymesos_core.security.policy import Policy
from pymesos_core.security.secrets import Sealed
from pymesos_master.core.reported import ReportedExecutor, ReportedTask
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; deadlines may be due."""


@dataclass(frozen=True, slots=True)
class AgentRegistering:
    """An agent opened a stream and said who it is, for the first time or again."""

    connection_id: int
    info: pb.AgentInfo
    incarnation_id: str
    tasks: tuple[ReportedTask, ...] = ()
    epoch_seen: int = 0
    boot_id: str = ""  # with `mono_s` it orders the registrations of one boot of a machine
    mono_s: float = 0.0
    reserved: tuple[pb.Resource, ...] = ()  # dynamically, as the agent keeps it
    leaving: bool = False  # it is ending, as by AgentLeaving
    caller: Caller = NOBODY
    problem: str = ""  # why what it says of its tasks cannot be
    executors: tuple[ReportedExecutor, ...] = ()  # those that hold resources of their own


@dataclass(frozen=True, slots=True)
class AgentDisconnected:
    """The stream of an agent has ended."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class AgentHeard:
    """Anything at all came from an agent."""

    connection_id: int
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class AgentLeaving:
    """An agent is ending: nothing of it is to be offered until it registers again."""

    connection_id: int
    caller: Caller = NOBODY


class TaskStatusUpdated(NamedTuple):
    """An agent sent a status update, perhaps again. A tuple, as effects.PublishEvent."""

    connection_id: int
    update: agent_pb.StatusUpdate
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class AgentToldEnded:
    """An agent that has registered says what ran on it lately and has ended."""

    connection_id: int
    ended: agent_pb.EndedTasks
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class AgentUsageReported:
    """An agent measured itself."""

    connection_id: int
    usage: agent_pb.Usage
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class AgentSlackTold:
    """An agent says what nobody uses of it now."""

    connection_id: int
    slack: agent_pb.AgentMessage.Slack
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class ExecutorTold:
    """An executor has something for its framework, or has ended."""

    connection_id: int
    told: agent_pb.ExecutorMessage | agent_pb.AgentMessage.ExecutorExited
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class AgentWantsSecrets:
    """An agent is about to start a task that asks for secrets."""

    connection_id: int
    framework_id: str
    task_id: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class FrameworkSubscribing:
    """A framework opened a stream and subscribed."""

    connection_id: int
    subscribe: scheduler_pb.Call.Subscribe
    caller: Caller = NOBODY


class FrameworkCalled(NamedTuple):
    """A subscribed framework made a call other than SUBSCRIBE. A tuple, as effects.PublishEvent."""

    connection_id: int
    call: scheduler_pb.Call
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class FrameworkDisconnected:
    """The stream of a framework has ended."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class Drained:
    """A framework has read what it was told: see AwaitDrained."""

    connection_id: int


@dataclass(frozen=True, slots=True)
class OperatorKilledTask:
    """An operator wants a task killed. An empty framework id: the task id must be unique."""

    request_id: int
    framework_id: str
    task_id: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorToreDown:
    """An operator wants a framework removed with all its tasks."""

    request_id: int
    framework_id: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorMarkedGone:
    """An operator says that an agent will never come back."""

    request_id: int
    agent_id: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorCordonedAgents:
    """An operator has agents offered to nobody."""

    request_id: int
    agent_ids: tuple[str, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorDrainedAgents:
    """An operator has agents emptied, within so many seconds from now."""

    request_id: int
    agent_ids: tuple[str, ...]
    within_s: float
    then_gone: bool = False
    caller: Caller = NOBODY
    down: bool = False  # the agents are to end at once: their machines go down


@dataclass(frozen=True, slots=True)
class OperatorActivatedAgents:
    """An operator has agents offered again."""

    request_id: int
    agent_ids: tuple[str, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorScheduledMaintenance:
    """An operator plans when agents may be away, from a Unix time on."""

    request_id: int
    agent_ids: tuple[str, ...]
    start_s: float
    duration_s: float
    caller: Caller = NOBODY
    instead_of: pb.Unavailability | None = None  # only if it is this now; empty: if none is planned
    also_past: bool = False  # may be over: Mesos' API, where one names all windows again


@dataclass(frozen=True, slots=True)
class OperatorCancelledMaintenance:
    """An operator plans no more that agents may be away."""

    request_id: int
    agent_ids: tuple[str, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSetQuota:
    """An operator gives a role a quota, or takes it away."""

    request_id: int
    role: str
    quota: pb.Quota
    force: bool = False
    caller: Caller = NOBODY
    instead_of: pb.Quota | None = None  # only if it is this now


@dataclass(frozen=True, slots=True)
class OperatorSetWeight:
    """An operator gives a role a weight."""

    request_id: int
    role: str
    weight: float
    caller: Caller = NOBODY
    instead_of: float | None = None  # only if it is this now


@dataclass(frozen=True, slots=True)
class OperatorSetQuotas:
    """An operator gives several roles a quota: all of them, or none if one cannot be."""

    request_id: int
    quotas: tuple[tuple[str, pb.Quota], ...]  # by role; each is named once
    force: bool = False
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSetWeights:
    """An operator gives several roles a weight: all of them, or none if one cannot be."""

    request_id: int
    weights: tuple[tuple[str, float], ...]  # by role; each is named once
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorReserved:
    """An operator reserves resources of an agent for a role; they name no reservation."""

    request_id: int
    agent_id: str
    role: str
    resources: tuple[pb.Resource, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorUnreserved:
    """An operator ends reservations of a role on an agent; none named: all."""

    request_id: int
    agent_id: str
    role: str
    resources: tuple[pb.Resource, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorConverted:
    """An operator has done to an agent what is an operation of a framework: it reserves, creates a
    volume and the like."""

    request_id: int
    agent_id: str
    operation: scheduler_pb.Operation
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorReleasedRecord:
    """An operator wants a record of the registry that was set aside tried again, or deleted."""

    request_id: int
    kind: str
    key: str
    discard: bool = False
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSetPolicy:
    """An operator sets a policy, which has been read, in the place of the one of a version."""

    request_id: int
    policy: Policy
    instead_of: int
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorMadeToken:
    """An operator lets a principal join: the digest (hexadecimal) is that of the token's secret."""

    request_id: int
    digest: str
    principal: str
    lifetime_s: float
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorRemovedToken:
    """An operator takes a token back."""

    request_id: int
    digest: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorMadeAccessToken:
    """An operator makes an access token: the digest (hexadecimal) is that of its secret."""

    request_id: int
    digest: str
    name: str
    lifetime_s: float
    rights: tuple[str, ...]
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorRevokedAccessToken:
    """An operator takes an access token back."""

    request_id: int
    token_id: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSignedIn:
    """A browser signs in by a code: the digest (hexadecimal) is that of its session's secret."""

    request_id: int
    digest: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class TokenUsed:
    """Somebody with a token's secret wants a certificate for a key, of which this is the digest."""

    request_id: int
    digest: str
    key: bytes
    caller: Caller = NOBODY
    wanted: str = ""  # KIND or KIND/NAME: the token has to be of such a principal


@dataclass(frozen=True, slots=True)
class OperatorRevoked:
    """An operator wants a principal, or a certificate, let in no more; `undo`: again."""

    request_id: int
    name: str
    undo: bool = False
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSetSecret:
    """An operator sets a secret of a role; its value was sealed as it came."""

    request_id: int
    role: str
    name: str
    sealed: Sealed
    caller: Caller = NOBODY
    instead_of: int | None = None  # only if it is at this version; 0: if there is none


@dataclass(frozen=True, slots=True)
class OperatorRemovedSecret:
    """An operator removes a secret; `force`: also while live tasks use it."""

    request_id: int
    role: str
    name: str
    force: bool = False
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorSetWebhook:
    """An operator has events of some kinds sent to a URL, which was checked."""

    request_id: int
    name: str
    url: str
    kinds: tuple[int, ...]
    secret: tuple[str, str] = ("", "")  # the role and the name of the one that signs
    link_local: bool = False
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class OperatorRemovedWebhook:
    """An operator has nothing sent to a webhook any more."""

    request_id: int
    name: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class SecretsResealed:
    """Secrets were sealed anew by a newer key: of each its key, what it was, and what it is."""

    secrets: tuple[tuple[str, Sealed, Sealed], ...]


@dataclass(frozen=True, slots=True)
class OperatorSilencedAlerts:
    """An operator has nobody told of alerts of the cluster for a while; 0 s: again."""

    request_id: int
    when: str  # what they are about; empty: whatever that is
    subject: str
    for_s: float
    why: str
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class NoticeTaken:
    """A receiver has taken that an alert of the cluster fires, or is over."""

    key: str
    began_s: float
    is_over: bool


@dataclass(frozen=True, slots=True)
class MasterReported:
    """A master has looked at its machine."""

    address: str
    disk_used: float  # from 0 to 1
    renew_by_s: float  # Unix time by which its certificate has to be renewed; 0: it has none


@dataclass(frozen=True, slots=True)
class CoordinationSuspended:
    """Whether this master still leads is in doubt."""


@dataclass(frozen=True, slots=True)
class CoordinationResumed:
    """This master leads on, in the same epoch."""


@dataclass(frozen=True, slots=True)
class Persisted:
    """A PersistRegistry effect is durable."""

    token: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """A PersistRegistry effect failed, or nobody knows whether it did."""

    token: int
    message: str


Event = (
    Tick
    | AgentRegistering
    | AgentDisconnected
    | AgentHeard
    | AgentToldEnded
    | AgentLeaving
    | TaskStatusUpdated
    | AgentUsageReported
    | AgentSlackTold
    | ExecutorTold
    | AgentWantsSecrets
    | FrameworkSubscribing
    | FrameworkCalled
    | FrameworkDisconnected
    | Drained
    | OperatorKilledTask
    | OperatorToreDown
    | OperatorMarkedGone
    | OperatorCordonedAgents
    | OperatorDrainedAgents
    | OperatorActivatedAgents
    | OperatorScheduledMaintenance
    | OperatorCancelledMaintenance
    | OperatorSetQuota
    | OperatorSetWeight
    | OperatorSetQuotas
    | OperatorSetWeights
    | OperatorReserved
    | OperatorUnreserved
    | OperatorConverted
    | OperatorReleasedRecord
    | OperatorSetPolicy
    | OperatorMadeToken
    | OperatorRemovedToken
    | OperatorMadeAccessToken
    | OperatorRevokedAccessToken
    | OperatorSignedIn
    | TokenUsed
    | OperatorRevoked
    | OperatorSetSecret
    | OperatorRemovedSecret
    | OperatorSetWebhook
    | OperatorRemovedWebhook
    | SecretsResealed
    | OperatorSilencedAlerts
    | NoticeTaken
    | MasterReported
    | CoordinationSuspended
    | CoordinationResumed
    | Persisted
    | PersistFailed
)
