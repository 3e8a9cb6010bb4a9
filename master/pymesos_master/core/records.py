"""What the registry holds, by kind: plain data, as it is once it is read."""

from __future__ import annotations

from dataclasses import dataclass

from pymesos_core.resources import Resources
from pymesos_core.security.policy import Policy
from pymesos_core.security.secrets import Sealed
from pymesos_master.allocator.interface import Quota
from pymesos_master.core.accounts import Account, Sums
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_proto.v1 import types_pb2 as pb

# The kinds of the registry's records.

AGENT = "agent"
FRAMEWORK = "framework"
ROLE = "role"
CALL = "call"
POLICY = "policy"  # of which there is one, of that name
ACCESS_TOKEN = "access_token"  # noqa: S105 - a kind of record
TOKEN = "token"  # noqa: S105 - a kind of record
REVOCATION = "revocation"
WEBHOOK = "webhook"
ACCOUNTING = "accounting"
ALERT = "alert"
SILENCE = "silence"
SECRET = "secret"  # noqa: S105 - a kind of record


@dataclass(frozen=True, slots=True)
class DrainRecord:
    """What the registry holds of what an operator has decided of an agent."""

    state: DrainState = DrainState.NONE
    deadline_s: float = 0.0  # Unix time, when what is left on it is killed
    within_s: float = 0.0  # which is so long after it was set
    then_gone: bool = False  # it is marked gone when it is drained
    set_by: str = ""
    set_at_s: float = 0.0  # Unix time
    down: bool = False  # its machine is: it is to end, and is not let in until it is activated


NOT_DRAINED = DrainRecord()


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A maintenance window of an agent."""

    start_s: float  # Unix time
    duration_s: float  # 0: not known
    set_by: str
    set_at_s: float  # Unix time

    @property
    def unavailability(self) -> pb.Unavailability:
        """As frameworks are told it."""
        return pb.Unavailability(start_s=self.start_s, duration_s=self.duration_s)


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class RoleTerms:
    """What operators have set for a role."""

    weight: float = 1.0
    quota: Quota = NO_QUOTA


NO_TERMS = RoleTerms()


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """What the registry holds of an agent: ACTIVE (it may be away for a while), or lost."""

    info: pb.AgentInfo
    state: AgentState
    reserved: Resources
    drain: DrainRecord = NOT_DRAINED
    maintenance: Maintenance | None = None


@dataclass(frozen=True, slots=True)
class FrameworkRecord:
    """What the registry holds of a framework."""

    info: pb.FrameworkInfo
    registered_at_s: float
    peer: str


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """What the registry holds of the policy."""

    policy: Policy
    set_by: str
    set_at_s: float


@dataclass(frozen=True, slots=True)
class Token:
    """What the registry holds of a token to join with, by the digest of its secret."""

    principal: str
    ends_at_s: float  # Unix time
    made_by: str
    key: bytes = b""  # the digest of the public key that has used it


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What the registry holds of an access token, by its id."""

    digest: str  # of its secret, in hexadecimal digits; the id begins it
    principal: str  # who made it, and as whom it asks
    rights: tuple[str, ...]
    name: str
    made_at_s: float  # Unix time
    ends_at_s: float  # Unix time
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Revocation:
    """What the registry holds of a principal or a certificate that is let in no more."""

    at_s: float  # Unix time
    made_by: str


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """What the registry holds of a secret, by role and name."""

    sealed: Sealed
    version: int
    set_by: str
    set_at_s: float  # Unix time


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """What the registry holds of a webhook, by its name."""

    url: str
    kinds: tuple[int, ...]  # of events
    secret: tuple[str, str]  # the role and the name of the one that signs; no name: none does
    link_local: bool
    set_by: str
    set_at_s: float  # Unix time


@dataclass(frozen=True, slots=True)
class AccountingRecord:
    """What the registry holds of what was used on a day, or a part of it."""

    rows: tuple[tuple[Account, Sums], ...]
    until_ms: int  # Unix time: what was held until then is in it
