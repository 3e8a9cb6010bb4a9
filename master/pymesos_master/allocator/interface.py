"""The allocator: one documented interface with one output, grants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from pymesos_core.resources import Resources
from pymesos_core.security.roles import EVERY_ROLE, Roles
from pymesos_master.allocator.minimum import DEFAULT, Scalars

Client = tuple[str, str]  # framework id, role


class Grant(NamedTuple):
    """Resources of one agent for one framework in one role; to be offered."""

    framework_id: str
    role: str
    agent_id: str
    resources: Resources


@dataclass(frozen=True, slots=True)
class Quota:
    """What a role, with all below it, is to get first, and what it may hold at most.

    A name that is absent has no guarantee, and no limit (docs/quota.md of Mesos).
    """

    guarantees: Scalars = field(default_factory=dict)
    limits: Scalars = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.guarantees or self.limits)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an operator wants offers made.

    `max_fraction`: of each scalar of an agent, at most so much of it is in one offer. With
    `keep_gpu_agents`, agents that have GPUs are for those who declare GPU_RESOURCES only (Mesos'
    --filter_gpu_resources); without it, only the GPUs are.
    """

    claim_s: float = 30.0  # how long a claim lasts: as long as an offer
    minimum: tuple[Scalars, ...] = DEFAULT
    max_fraction: float = 1.0
    keep_gpu_agents: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """What a framework can use beyond what everybody can, and where.

    `wants_agent`, by role, says whether offers of an agent are wanted; absent: those of all are.
    """

    gpus: bool = False
    revocable: bool = False
    shared: bool = False
    wants_agent: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)


PLAIN_TERMS = Terms()
NOTHING: Scalars = {}


class Withheld(Enum):
    """Why an agent is not offered to a framework now."""

    IN_USE = "nothing of it is free that is worth an offer"
    DISCONNECTED = "the agent is not connected"
    LEAVING = "the agent is ending"
    CORDONED = "an operator has cordoned the agent"
    DRAINING = "an operator drains the agent, or has drained it"
    CONSTRAINT = "the framework's offer constraints leave the agent out"
    CAPABILITY = "it has GPUs, and the framework does not declare GPU_RESOURCES"
    RESERVED = "what is free of it is for other roles, or of a kind the framework does not declare"
    UNANSWERED = "the framework holds an offer of it, and has not answered"
    REFUSED = "the framework refused as much"
    CLAIMED = "it is kept until another framework has seen all that is free of it"
    LIMIT = "the role is at its limit"
    HEADROOM = "it is kept free for the guarantees of other roles"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a framework stands in one of its roles. `place` counts from 1."""

    role: str
    suppressed: bool
    weighted_share: float
    place: int  # among those of the role that want offers
    of: int
    withheld: Mapping[str, Withheld]  # by agent; an agent that is not here is offered next
    until_s: Mapping[str, float]  # monotonic, by agent that was refused


class Allocator(Protocol):
    """Keeps what is available and what each framework has been given, offered or used.

    What is granted counts as the framework's until `recover` says that it is free. Times are
    monotonic seconds. Nothing here is granted but by `allocate`.
    """

    @property
    def changed(self) -> bool:
        """Whether something happened that `allocate` should look at."""

    def next_s(self) -> float | None:
        """When the next filter or back-off ends, which makes `allocate` worth calling."""

    def add_framework(
        self,
        framework_id: str,
        roles: Sequence[str],
        *,
        active: bool,
        suppressed: frozenset[str] = frozenset(),
        terms: Terms = PLAIN_TERMS,
        keep_filters: bool = False,
    ) -> None:
        """A new framework, or a known one with new roles and terms.

        It begins without filters, unless `keep_filters`: then those of roles in which it goes on
        wanting offers stay.
        """

    def remove_framework(self, framework_id: str) -> None:
        """Grant a framework nothing more; what it holds stays allocated until recovered."""

    def deactivate_framework(self, framework_id: str) -> None:
        """Grant a framework nothing until it is added again."""

    def suppress(self, framework_id: str, roles: Sequence[str]) -> None:
        """No grants for these roles; none named: for all."""

    def revive(self, framework_id: str, roles: Sequence[str]) -> None:
        """Grants again, and no filters and back-offs, for these roles; none named: for all."""

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[Client, Resources]) -> None:
        """An agent (again), with what the tasks of each framework and role use of it."""

    def remove_agent(self, agent_id: str) -> None:
        """Remove an agent, with all that was granted of it."""

    def deactivate_agent(self, agent_id: str) -> None:
        """Nothing of it is granted until it is added again; what it holds stays counted."""

    def set_revocable(self, agent_id: str, there: Resources, used: Resources) -> None:
        """Set what of an agent is revocable now, and what tasks use of that; none of it is offered.

        What they use beyond what is there does not come back.
        """

    def recover(
        self,
        framework_id: str,
        agent_id: str,
        role: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float | None = None,
        timed_out: bool = False,
    ) -> None:
        """Resources come back. `refuse_s` when the framework refused them: how long (0: not).

        `timed_out` when it did not answer, and is only taken to refuse them.
        """

    def answered(self, framework_id: str, agent_id: str) -> None:
        """The framework has answered a grant on the agent, or it was taken back."""

    def keep_for(self, framework_id: str, role: str, agent_id: str, now_s: float) -> None:
        """What comes free of an agent next goes to this framework first, if it wants it."""

    def used(self, framework_id: str, agent_id: str) -> None:
        """The framework launched something on the agent: its back-off there starts over."""

    def set_weight(self, role: str, weight: float) -> None:
        """A role's part among its siblings; 1 by default."""

    def set_quota(self, role: str, quota: Quota) -> None:
        """An empty quota removes it."""

    def held(self, role: str) -> Scalars:
        """What a role and those below it hold, offered or used."""

    def charged(self, role: str) -> Scalars:
        """What counts against the quota of a role, and against those above it."""

    def held_by(self, framework_id: str, roles: Roles = EVERY_ROLE) -> Scalars:
        """What a framework holds in these roles, offered or used."""

    def reserved(self, role: str) -> Scalars:
        """What is reserved for a role or those below it, and neither offered nor used."""

    def starved(self) -> Mapping[str, Scalars]:
        """What roles that want offers lack of their guarantees, and is not free, by role."""

    def may_see(self, framework_id: str, role: str, agent_id: str, resources: Resources) -> bool:
        """Whether a framework could be offered these resources, if they were free."""

    def refuse(
        self,
        framework_id: str,
        role: str,
        agent_id: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float,
    ) -> None:
        """A framework does not want so much of an agent, which it was not granted."""

    def transfer(self, agent_id: str, resources: Resources, giver: Client, taker: Client) -> None:
        """What one was granted is another's now."""

    def allocate(self, now_s: float) -> list[Grant]:
        """Grant what is available to whom it is due."""

    def explain(self, framework_id: str, needs: Scalars = NOTHING) -> list[Standing]:
        """Why a framework is not offered more, role by role: by the rules that `allocate` uses.

        With `needs`: why it is not offered as much of one agent.
        """

    def dominant_share(self, framework_id: str) -> float:
        """The largest fraction of any resource of the cluster that the framework holds."""
