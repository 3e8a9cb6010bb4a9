"""What a master knows. Plain data; the modules beside it change it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pymesos_core.caller import NOBODY, Caller
from pymesos_core.lifecycle import Story
from pymesos_core.registry_image import RegistryImage
from pymesos_core.resources import EMPTY, Resources, to_proto, total
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import new_cluster
from pymesos_core.states import is_terminal
from pymesos_master.core.accounts import Accounts
from pymesos_master.core.alerts.state import AlertRecord, ClusterAlert, Silence
from pymesos_master.core.lifecycles import (
    AgentState,
    DrainState,
    FrameworkState,
    InverseOfferState,
    OfferState,
)
from pymesos_master.core.named import Names
from pymesos_master.core.named import TaskKey as TaskKey
from pymesos_master.core.records import (
    ACCESS_TOKEN,
    AGENT,
    FRAMEWORK,
    NO_TERMS,
    NOT_DRAINED,
    POLICY,
    REVOCATION,
    ROLE,
    SECRET,
    TOKEN,
    WEBHOOK,
    AccessToken,
    AccountingRecord,
    AgentRecord,
    DrainRecord,
    FrameworkRecord,
    Maintenance,
    PolicyRecord,
    Revocation,
    RoleTerms,
    SecretRecord,
    Token,
    WebhookRecord,
)
from pymesos_master.core.task import Executor as Executor
from pymesos_master.core.task import Task as Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True)
class Config:
    """The settings of a master, all times in seconds. The defaults are Mesos' unless said."""

    agent_ping_timeout_s: float = 15.0
    max_agent_ping_timeouts: int = 5
    agent_reregister_timeout_s: float = 600.0
    agent_removal_interval_s: float = 0.5  # ours: Mesos has no limit unless one is set
    usage_interval_s: float = 5.0  # at least; longer if all agents together would report more than
    usage_reports_per_s: float = 500.0
    accounting_interval_s: float = 60.0  # how far apart what was used is written
    offer_timeout_s: float = 30.0  # ours: Mesos' offers never time out unless told to
    heartbeat_interval_s: float = 15.0
    allocation_delay_s: float = 0.001  # what happens within it is allocated together
    told_in_a_turn: int = 200  # tasks of a framework, before it has read of these
    tasks_in_a_slice: int = 300  # of one agent or framework, before others have their turn
    max_completed_tasks: int = 10_000
    max_completed_frameworks: int = 100
    max_lost_agents: int = 10_000  # unreachable or gone, kept in the registry
    audited: bool = False  # whether the audit is to be told anything
    receivers: tuple[str, ...] = ()  # who is told of alerts of the cluster; none: there are none
    alert_for_s: float = 30.0  # so long something is wrong before they are told
    disk_full: float = 0.9  # the part of a disk from which on it is full
    seed_policy: str = ""  # the document for a cluster in which nobody has set a policy
    master_address: str = ""


@dataclass(slots=True)
class Offer:
    """Resources of one agent that one framework may use until it answers."""

    offer_id: str
    framework_id: str
    agent_id: str
    role: str
    resources: Resources
    offered_at_s: float  # Unix time
    offered_mono_s: float
    copy_of: str = ""  # an optimistic offer: of what another framework is offered
    copies: list[str] = field(default_factory=list)  # the optimistic offers of the same
    state: OfferState = OfferState.OFFERED
    story: Story = ()

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"offer {self.offer_id}"


@dataclass(slots=True)
class Drain:
    """What is decided of an agent, as it is stored."""

    agent_id: str
    record: DrainRecord = NOT_DRAINED
    state: DrainState = DrainState.NONE
    story: Story = ()

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"the drain of {self.agent_id}"


@dataclass(slots=True)
class InverseOffer:
    """What a framework with tasks on an agent is asked about its maintenance window."""

    inverse_offer_id: str
    framework_id: str
    agent_id: str
    at_s: float  # Unix time, of the latest that happened to it
    state: InverseOfferState = InverseOfferState.OFFERED
    story: Story = ()

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"inverse offer {self.inverse_offer_id}"


@dataclass(slots=True)
class Agent:
    """A machine that is, or was, in the cluster."""

    info: pb.AgentInfo
    state: AgentState
    total: Resources = EMPTY
    connection_id: int | None = None
    incarnation_id: str = ""
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    executors: dict[TaskKey, Executor] = field(default_factory=dict)  # that hold resources
    offers: dict[str, Offer] = field(default_factory=dict)
    told_frameworks: set[str] = field(default_factory=set)
    missed_pings: int = 0
    heard: bool = True
    told_ended: bool = False  # it has said what ended on it before this leader led
    leaving: bool = False  # it is ending, so it is offered to nobody until it registers again
    confirmed: bool = False  # it has spoken since it registered here, so it obeys no older master
    registered_at_s: float = 0.0
    peer: str = ""  # the address that it first came from
    changed_at_s: float = 0.0  # when it became unreachable or gone
    usage: agent_pb.Usage | None = None
    reserved: Resources = EMPTY  # dynamically, by the registry
    slack: Resources = EMPTY  # revocable, as it says: what nobody uses
    story: Story = ()
    drain: Drain = field(init=False)
    maintenance: Maintenance | None = None  # as it is stored
    inverse_offers: dict[str, InverseOffer] = field(default_factory=dict)  # by framework

    def __post_init__(self) -> None:
        self.drain = Drain(self.agent_id)

    @property
    def withheld(self) -> bool:
        """Whether it is offered to nobody though it may be there: it is ending, or an operator has
        decided so."""
        return self.leaving or self.drain.state != DrainState.NONE

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"agent {self.agent_id}"

    @property
    def state_name(self) -> str:
        """For people."""
        ending = self.leaving and self.state == AgentState.ACTIVE
        return "leaving" if ending else self.state.value

    @property
    def agent_id(self) -> str:
        """The agent's id."""
        return self.info.agent_id

    def total_message(self) -> Iterable[pb.Resource]:
        """The wire form of all it has."""
        return to_proto(self.total) if self.reserved or self.slack else self.info.resources

    def holders(self) -> Iterator[Task | Executor]:
        """Yield the tasks and executors of this agent that hold resources."""
        yield from (task for task in self.tasks.values() if task.holds_resources)
        yield from self.executors.values()

    def allocated(self) -> Resources:
        """What its tasks and executors hold."""
        return total(holder.resources for holder in self.holders())

    def offered(self) -> Resources:
        """What is offered and unanswered."""
        return total(offer.resources for offer in self.offers.values() if not offer.copy_of)


@dataclass(slots=True)
class Framework:
    """A framework that is, or was, subscribed."""

    info: pb.FrameworkInfo
    state: FrameworkState
    connection_id: int | None = None
    tasks: dict[str, Task] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    optimistic_roles: frozenset[str] = frozenset()
    offer_conflicts: int = 0  # optimistic offers that it lost to others
    ignored: dict[str, int] = field(
        default_factory=dict
    )  # agent → its offers not answered in a row
    registered_at_s: float = 0.0
    disconnected_at_s: float = 0.0  # Unix time, since this leader leads; 0: it is connected
    answer_s: float = 0.0  # what its last answer to an offer took
    removed_for: str = ""  # why it is no more
    silent: bool = False  # its last offer ended without an answer
    lack_pause_s: float = 0.0  # until it is looked again whether it lacks offers
    peer: str = ""  # the address that it first came from
    last_offer_at_s: float = 0.0  # Unix time; 0: none by this leader
    suppressed: frozenset[str] = frozenset()  # roles in which it wants no offers
    subscribing: int = 0  # the connection of its latest subscription
    caller: Caller = NOBODY  # who subscribed latest
    story: Story = ()

    @property
    def framework_id(self) -> str:
        """The framework's id."""
        return self.info.framework_id

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"framework {self.framework_id}"

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it subscribed to."""
        return tuple(self.info.roles) or ("*",)

    @property
    def roles_with_tasks(self) -> tuple[str, ...]:
        """The roles that it is in, and those that it has left of which tasks are live."""
        of_tasks = (task.role for task in self.tasks.values() if not is_terminal(task.state))
        return tuple(dict.fromkeys((*self.roles, *of_tasks)))

    def has(self, capability: pb.FrameworkCapability) -> bool:
        """Whether it declared a capability."""
        return capability in self.info.capabilities


def address_of(info: pb.AgentInfo) -> tuple[str, int]:
    """Where an agent is reached."""
    return info.address.ip, info.address.port


@dataclass(frozen=True, slots=True)
class Registration:
    """The latest of an agent."""

    connection_id: int
    boot_id: str
    mono_s: float


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record of the registry that cannot be handled, as it is there."""

    kind: str
    key: str
    record: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class MasterHealth:
    """How the machine of a master is, as that has said last."""

    disk_used: float  # from 0 to 1
    renew_by_s: float  # Unix time by which its certificate has to be renewed; 0: it has none
    at_mono_s: float


Record = (
    AgentRecord
    | FrameworkRecord
    | RoleTerms
    | PolicyRecord
    | Token
    | AccessToken
    | Revocation
    | SecretRecord
    | WebhookRecord
    | AccountingRecord
    | AlertRecord
    | Silence
    | Quarantined
)


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a write is for (a dataclass of the module that waits for it), and what caused it."""

    why: object
    event: object


@dataclass(slots=True)
class ClusterState:
    """All that a leading master knows."""

    image: RegistryImage[Record, Purpose] = field(default_factory=RegistryImage)

    agents: dict[str, Agent] = field(default_factory=dict)
    draining: dict[str, None] = field(default_factory=dict)  # the ids of agents that are
    scheduled: dict[str, None] = field(default_factory=dict)  # … that have a maintenance window
    inverse_offers: dict[str, InverseOffer] = field(default_factory=dict)
    frameworks: dict[str, Framework] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)  # the oldest first
    # Offers that others lacked: who held them, and since when.
    taken_back: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)
    completed_tasks: OrderedDict[TaskKey, Task] = field(default_factory=OrderedDict)
    completed_frameworks: OrderedDict[str, Framework] = field(default_factory=OrderedDict)
    agent_by_connection: dict[int, str] = field(default_factory=dict)
    agent_at: dict[tuple[str, int], str] = field(default_factory=dict)  # the latest at an address
    registrations: dict[str, Registration] = field(default_factory=dict)  # by agent
    framework_by_connection: dict[int, str] = field(default_factory=dict)
    quarantined: dict[tuple[str, str], Quarantined] = field(default_factory=dict)  # kind, key
    policy: Policy = field(default_factory=new_cluster)  # in force
    names: Names = field(default_factory=Names)
    accounts: Accounts = field(default_factory=Accounts)
    alerts: dict[str, ClusterAlert] = field(default_factory=dict)  # not quiet, by key
    silences: dict[str, Silence] = field(default_factory=dict)  # of those, by key
    masters: dict[str, MasterHealth] = field(default_factory=dict)  # by address

    def intended_agent(self, agent_id: str) -> AgentRecord | None:
        """The record of an agent as it is to be."""
        found = self.image.intended(AGENT).get(agent_id)
        return found if isinstance(found, AgentRecord) else None

    def tokens(self, *, durable: bool = True) -> dict[str, Token]:
        """The tokens, as they are stored or as they are to be."""
        view = self.image.durable(TOKEN) if durable else self.image.intended(TOKEN)
        return {digest: token for digest, token in view.items() if isinstance(token, Token)}

    def access_tokens(self, *, durable: bool = True) -> dict[str, AccessToken]:
        """The access tokens by their ids, as they are stored or as they are to be."""
        view = self.image.durable(ACCESS_TOKEN) if durable else self.image.intended(ACCESS_TOKEN)
        return {key: token for key, token in view.items() if isinstance(token, AccessToken)}

    def secrets(self, *, durable: bool = True) -> dict[str, SecretRecord]:
        """The secrets by the keys of their records, as they are stored or as they are to be."""
        view = self.image.durable(SECRET) if durable else self.image.intended(SECRET)
        return {key: found for key, found in view.items() if isinstance(found, SecretRecord)}

    def webhooks(self, *, durable: bool = True) -> dict[str, WebhookRecord]:
        """The webhooks by their names, as they are stored or as they are to be."""
        view = self.image.durable(WEBHOOK) if durable else self.image.intended(WEBHOOK)
        return {name: found for name, found in view.items() if isinstance(found, WebhookRecord)}

    def revoked(self) -> tuple[str, ...]:
        """What is let in no more, also by a record that cannot be read; access tokens, too."""
        tokens = (key for key, token in self.access_tokens().items() if token.revoked)
        return tuple(sorted({*self.image.durable(REVOCATION), *tokens}))

    def is_removed(self, framework_id: str) -> bool:
        """Whether a framework is not to be in the registry any more, or never was."""
        return framework_id not in self.image.intended(FRAMEWORK)

    def roles(self, *, durable: bool = True) -> dict[str, RoleTerms]:
        """The terms of roles that have any, as they are stored or as they are to be."""
        view = self.image.durable(ROLE) if durable else self.image.intended(ROLE)
        return {role: terms for role, terms in view.items() if isinstance(terms, RoleTerms)}

    def terms(self, role: str) -> RoleTerms:
        """The terms of a role, as they are stored."""
        found = self.image.durable(ROLE).get(role)
        return found if isinstance(found, RoleTerms) else NO_TERMS

    def policy_record(self, *, durable: bool = True) -> PolicyRecord | None:
        """The policy that was set, as it is stored or as it is to be; None: nobody has set one."""
        view = self.image.durable(POLICY) if durable else self.image.intended(POLICY)
        found = view.get(POLICY)
        return found if isinstance(found, PolicyRecord) else None

    def why_aside(self, kind: str, key: str) -> str | None:
        """Why what has this record is refused for now, or None."""
        found = self.quarantined.get((kind, key))
        if found is None:
            return None
        return (
            f"the registry's record {kind}/{key} cannot be handled ({found.reason}) and is in"
            f" quarantine, until a master of another version can handle it or an operator forgets"
            f" it and ends its tasks: `pymesos-cli quarantine release {kind}/{key} --discard`"
        )

    def find_task(self, framework_id: str, task_id: str) -> Task | None:
        """A task that is not completed, also of a framework that is being removed."""
        framework = self.frameworks.get(framework_id) or self.completed_frameworks.get(framework_id)
        return framework.tasks.get(task_id) if framework else None
