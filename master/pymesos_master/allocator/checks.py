"""Who may be granted what of an agent: one ordered list of checks.

Granting runs them to find somebody whom none blocks; `explain` and optimistic offers run the same
ones. So what is not granted has a reason, and what has none is granted. The order is that in
which reasons are told: what is for good comes first, since a filter that a framework set may be for
what it was cut to, and it sets another as long as that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from pymesos_core.reservations import unreserved
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources
from pymesos_master.allocator.interface import NOTHING, Terms, Withheld
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.quotas import Quotas, chop
from pymesos_master.allocator.state import AgentEntry, AllocatorState, Present
from pymesos_master.allocator.tree import Node

NONE_GRANTED: Mapping[Node, Resources] = {}


class Look:
    """What is to be had of one agent after the other, while leaves are looked at one by one.

    `bounds`: no more of a scalar than this, for what must stay free. `granted`: what leaves were
    granted of the agent in this cycle. `first`: what is guaranteed comes before any claim. `needs`:
    how much must be left after all cuts. `whole`: everything must.
    """

    __slots__ = (
        "agent", "available", "bounds", "first", "granted", "needs", "part_is", "part_of", "state",
        "whole",
    )  # fmt: skip

    def __init__(
        self,
        state: AllocatorState,
        bounds: Scalars | None = None,
        *,
        granted: Mapping[Node, Resources] = NONE_GRANTED,
        first: bool = False,
        needs: Scalars = NOTHING,
        whole: bool = False,
    ) -> None:
        self.state = state
        self.bounds = bounds
        self.granted = granted
        self.first = first
        self.needs = needs
        self.whole = whole

    def at(self, agent: AgentEntry, available: Resources) -> Look:
        """This look, turned to an agent of which so much is free."""
        self.agent = agent
        self.available = available
        self.part_of: Node | None = None  # of which leaf `part_is` is the part
        return self

    def enough(self, bag: Resources) -> bool:
        """Whether so much will do."""
        if self.whole:
            return bag == self.available
        there = bag.quantities
        for name, value in self.needs.items():
            if there.get(name, 0) < value:
                return False
        return self.state.minimum.met(there)

    def usable(self, leaf: Node) -> Resources:
        """What a leaf may be offered of it, by what sets it apart."""
        return usable(self.state, leaf, self.available)

    def part(self, leaf: Node) -> Resources:
        """What a leaf may be granted of it now."""
        if not self.state.cuts:
            return self.usable(leaf)
        if self.part_of is not leaf:
            self.part_of = leaf
            self.part_is = self._cut(leaf, self.bounds)
        return self.part_is

    def _cut(self, leaf: Node, bounds: Scalars | None) -> Resources:
        bag = self.usable(leaf)
        fraction = self.state.settings.max_fraction
        if fraction < 1:
            bag = _fraction(bag, self.agent.total, fraction)
        quotas = self.state.quotas
        return within_limits(quotas, leaf, bag, bounds) if quotas else bag

    def within_limits(self, leaf: Node) -> Resources:
        """What would be left for a leaf if nothing had to stay free for others."""
        return self._cut(leaf, None)


Blocks = Callable[[Node], bool]


@dataclass(frozen=True, slots=True)
class Check:
    """A rule by which an agent is withheld from leaves.

    `of` says whom it blocks of what is looked at; None: nobody. The cheaper a check, or the
    likelier to block, the earlier it is run where no reason is told. `refine`: the reason more
    exactly. Unless `when` is so, it blocks nobody of any agent, and is left out of a whole cycle.
    """

    reason: Withheld
    of: Callable[[Look], Blocks | None]
    cost: int
    refine: Callable[[Look, Node], Withheld] | None = None
    when: Callable[[Present], bool] = lambda _: True


def _everybody(_: Node) -> bool:
    return True


def _disconnected(look: Look) -> Blocks | None:
    return None if look.agent.active else _everybody


def _in_use(look: Look) -> Blocks | None:
    return None if look.enough(look.available) else _everybody


def _why_in_use(look: Look, leaf: Node) -> Withheld:
    asked = leaf.framework_id in look.agent.asked
    return Withheld.UNANSWERED if asked else Withheld.IN_USE


def _constraint(look: Look) -> Blocks | None:
    state, agent_id = look.state, look.agent.agent_id

    def blocks(leaf: Node) -> bool:
        wanted = state.terms(leaf).wants_agent.get(leaf.role)
        return wanted is not None and not wanted(agent_id)

    return blocks


def _capability(look: Look) -> Blocks | None:
    state = look.state
    if not look.agent.has_gpus or not state.settings.keep_gpu_agents:
        return None
    return lambda leaf: not state.terms(leaf).gpus


def _reserved(look: Look) -> Blocks | None:
    if not look.available.tagged:
        return None
    return lambda leaf: not look.enough(look.usable(leaf))


def _no_room(look: Look) -> Blocks | None:
    return (lambda leaf: not look.enough(look.part(leaf))) if look.state.cuts else None


def _why_no_room(look: Look, leaf: Node) -> Withheld:
    return Withheld.HEADROOM if look.enough(look.within_limits(leaf)) else Withheld.LIMIT


def _claimed(look: Look) -> Blocks | None:
    claim = look.agent.claim
    return None if claim is None or look.first else lambda leaf: leaf is not claim


def _unanswered(look: Look) -> Blocks | None:
    """Who was granted some of it in this cycle may get more, unless an offer is a part."""
    asked = look.agent.asked
    if not asked:
        return None
    again = look.granted if look.state.settings.max_fraction >= 1 else NONE_GRANTED
    return lambda leaf: leaf.framework_id in asked and leaf not in again


def _refused(look: Look) -> Blocks | None:
    refusals = look.agent.refusals
    if not refusals.by_leaf:
        return None
    if not look.available.tagged:
        return refusals.matching(look.available)
    return lambda leaf: refusals.match(leaf, look.usable(leaf))


CHECKS: tuple[Check, ...] = (
    Check(Withheld.DISCONNECTED, _disconnected, 0),
    Check(Withheld.IN_USE, _in_use, 0, _why_in_use),
    Check(Withheld.CONSTRAINT, _constraint, 5, when=lambda there: there.constraints),
    Check(Withheld.CAPABILITY, _capability, 4, when=lambda there: there.gpus),
    Check(Withheld.RESERVED, _reserved, 6, when=lambda there: there.tags),
    Check(Withheld.HEADROOM, _no_room, 7, _why_no_room, when=lambda there: there.cuts),
    Check(Withheld.CLAIMED, _claimed, 2, when=lambda there: there.claims),
    Check(Withheld.UNANSWERED, _unanswered, 3),
    Check(Withheld.REFUSED, _refused, 1),
)
# Those of the agent itself are run before, once for all leaves: see `are_free`.
_OF_LEAVES = tuple(sorted((c for c in CHECKS if c.cost > 0), key=lambda check: check.cost))
# Of an optimistic offer, which is of what others hold.
_IF_FREE = tuple(
    check.of
    for check in CHECKS
    if check.cost > 0 and check.reason not in (Withheld.UNANSWERED, Withheld.CLAIMED)
)


def why_not(look: Look, leaf: Node) -> Withheld | None:
    """The first reason why a leaf is granted nothing; None: nothing is in its way."""
    for check in CHECKS:
        blocks = check.of(look)
        if blocks is not None and blocks(leaf):
            return check.reason if check.refine is None else check.refine(look, leaf)
    return None


def are_free(state: AllocatorState, agents: Iterable[AgentEntry]) -> list[AgentEntry]:
    """The checks of agents themselves, run once for all leaves: of which anything is to be had."""
    met = state.minimum.met
    return [agent for agent in agents if agent.active and met(agent.available.quantities)]


Bind = Callable[[Look], Blocks | None]


@cache
def relevant(there: Present) -> tuple[Bind, ...]:
    """The checks that can block anybody of any agent that is free, the cheapest first.

    Asked once a cycle, as asking each check about each agent costs a tenth of it.
    """
    return tuple(check.of for check in _OF_LEAVES if check.when(there))


def blocked(look: Look, checks: Iterable[Bind]) -> Blocks | None:
    """Who is blocked of an agent that is free, by any check; None: nobody."""
    found: Blocks | None = None
    for of in checks:
        blocks = of(look)
        if blocks is not None:
            found = blocks if found is None else _either(found, blocks)
    return found


def _either(one: Blocks, other: Blocks) -> Blocks:
    return lambda leaf: one(leaf) or other(leaf)


def may_see(look: Look, leaf: Node) -> bool:
    """Whether a leaf could be granted this if nobody held it."""
    return not any(blocks(leaf) for of in _IF_FREE if (blocks := of(look)) is not None)


def usable(state: AllocatorState, leaf: Node, available: Resources) -> Resources:
    """What of these resources a leaf may be offered, by what sets them apart."""
    if not available.tagged:
        return available
    terms, role = state.terms(leaf), leaf.role
    return available.where(lambda tag: _may_use(role, terms, tag))


def _may_use(role: str, terms: Terms, tag: Tag) -> bool:
    return (
        tag.usable_by(role)
        and (terms.revocable or not tag.revocable)
        and (terms.shared or not tag.shared)
        and (terms.gpus or not tag.device)
    )


def within_limits(
    quotas: Quotas, leaf: Node, usable: Resources, bounds: Scalars | None = None
) -> Resources:
    """Usable resources, cut to the limits of the roles and to `bounds`.

    What is reserved counts already for its role and those above.
    """
    if not usable.tagged:
        return chop(usable, _lower(bounds or {}, quotas.room(leaf)))
    out = chop(usable.where(unreserved), _lower(bounds or {}, quotas.room(leaf)))
    for role in dict.fromkeys(tag.role for tag in usable.tagged if tag.role):
        mine = usable.where(lambda tag, role=role: tag.role == role)  # type: ignore[misc]
        out = out + chop(mine, quotas.room(leaf, below=role))
    return out + usable.where(lambda tag: tag.revocable and not tag.role)


def _fraction(usable: Resources, total: Resources, fraction: float) -> Resources:
    """At most a part of what an agent has of each scalar; what is reserved is not cut."""
    bounds = {name: int(value * fraction) for name, value in total.quantities.items()}
    return chop(usable.where(unreserved), bounds) + usable.where(lambda tag: not unreserved(tag))


def _lower(one: Scalars, other: Scalars) -> dict[str, int]:
    """The lower of two bounds for each name."""
    out = dict(one)
    for name, value in other.items():
        out[name] = min(out.get(name, value), value)
    return out
