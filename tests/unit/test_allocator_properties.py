"""The allocator against a slow, obviously right reading of the rules, and the paper's theorems.

`Checked` watches every grant: among the children of each node of the tree of roles, computed anew
from what agents say is held, it must have gone to the lowest weighted dominant share that could use
it. After every cycle nobody who could be offered something may be left without.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pymesos_core.resource_tags import REVOCABLE
from pymesos_core.resource_values import MILLI
from pymesos_core.resources import EMPTY, Resources, for_good, parse, tagged
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Grant, Quota, Terms
from pymesos_master.allocator.state import AgentEntry
from pymesos_master.allocator.tree import Node

ROLES = ("*", "eng", "eng/web", "eng/db", "ops")
KINDS = ("cpus(eng):2", "mem(eng/web):64", "gpus#0:1;gpus#1:1", "cpus{REV}:3", "disk(ops):9")


class Checked(DrfAllocator):
    """Asserts that each grant is the right one."""

    def __init__(self) -> None:
        super().__init__()
        take = self._granting.take

        def checked(agent: AgentEntry, leaf: Node, resources: Resources) -> None:
            self._check(agent, leaf)
            take(agent, leaf, resources)

        self._granting.take = checked  # type: ignore[method-assign]

    def _shares(self) -> dict[str, Fraction]:
        """The weighted dominant share of every role, and of every (role, framework) in it."""
        total: dict[str, int] = {}
        for agent in self._state.agents.values():
            for name, value in agent.total.quantities.items():
                total[name] = total.get(name, 0) + value
        held: dict[str, dict[str, int]] = {}
        for agent in self._state.agents.values():
            for (framework_id, role), scalars in agent.held.items():
                if framework_id not in self._state.frameworks:
                    continue
                for name, value in scalars.items():
                    for key in (f"{role}//{framework_id}", *above(role)):
                        mine = held.setdefault(key, {})
                        mine[name] = mine.get(name, 0) + value
        return {
            key: max((Fraction(v, total[n]) for n, v in mine.items() if total.get(n)), default=F0)
            / Fraction(self._state.tree.weight(key) if "//" not in key else 1)
            for key, mine in held.items()
        }

    def _eligible(self, agent: AgentEntry) -> Iterator[Node]:
        for framework in self._state.frameworks.values():
            for role, leaf in framework.leaves.items():
                refused = agent.refusals.by_leaf.get(leaf)
                usable = may_have(agent.available, role, framework.terms)
                if (
                    framework.wants(role)
                    and agent.claim in (None, leaf)
                    and framework.framework_id not in agent.asked
                    and (framework.terms.gpus or "gpus" not in agent.total.quantities)
                    and self._state.minimum.met(usable.quantities)
                    and not (refused and refused[0].contains(usable))
                ):
                    yield leaf

    def _check(self, agent: AgentEntry, leaf: Node) -> None:
        shares = self._shares()
        eligible = list(self._eligible(agent))
        node: Node | None = self._state.tree.root
        while node is not None and not node.framework_id:
            below = [c for c in node.children.values() if any(is_below(e, c) for e in eligible)]
            node = min(below, key=lambda c: (shares.get(key_of(c), F0), c.order))
        assert node is leaf, f"{agent.agent_id} went to {key_of(leaf)}, not to {key_of(node)}"

    def allocate(self, now_s: float) -> list[Grant]:
        granted = super().allocate(now_s)
        for agent in self._state.agents.values():
            if agent.active and self._state.minimum.met(agent.available.quantities):
                left = [key_of(leaf) for leaf in self._eligible(agent)]
                assert not left, f"{agent.agent_id} has {agent.available}, and {left} want it"
        return granted


F0 = Fraction(0)


def may_have(resources: Resources, role: str, terms: Terms) -> Resources:
    """What may be offered: not what is reserved elsewhere, or of a kind not declared."""
    out = EMPTY
    for tag, bag in resources.parts():
        mine = not tag.reservations or tag.role in above(role)
        known = (terms.gpus or not tag.device) and (terms.revocable or not tag.revocable)
        out = out + (tagged(tag, bag) if mine and known else EMPTY)
    return out


def above(role: str) -> Iterator[str]:
    """A role and all it is below of."""
    parts = role.split("/")
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])


def key_of(node: Node | None) -> str:
    """As in `_shares`."""
    if node is None:
        return "nobody"
    return f"{node.role}//{node.framework_id}" if node.framework_id else node.role


def is_below(leaf: Node, node: Node) -> bool:
    """Whether a leaf is a node, or below it."""
    at: Node | None = leaf
    while at is not None:
        if at is node:
            return True
        at = at.parent
    return False


class Cluster(RuleBasedStateMachine):
    """Agents and frameworks that come, go, accept, decline, change roles, suppress and revive."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = Checked()
        self.now_s = 1000.0
        self.frameworks: dict[str, tuple[str, ...]] = {}
        self.terms: dict[str, Terms] = {}
        self.agents: dict[str, Resources] = {}
        self.offers: list[Grant] = []
        self.tasks: list[Grant] = []
        self.made = 0

    @rule(
        roles=st.sets(st.sampled_from(ROLES), min_size=1, max_size=2),
        terms=st.builds(Terms, gpus=st.booleans(), revocable=st.booleans()),
    )
    def framework_comes(self, roles: set[str], terms: Terms) -> None:
        if len(self.frameworks) < 4:
            self.made += 1
            self.frameworks[f"f{self.made}"] = tuple(sorted(roles))
            self.terms[f"f{self.made}"] = terms
            self.allocator.add_framework(
                f"f{self.made}", tuple(sorted(roles)), active=True, terms=terms
            )

    @rule(
        which=st.integers(0, 9),
        roles=st.lists(st.sampled_from(ROLES), min_size=1, max_size=3, unique=True),
        suppressed=st.sets(st.sampled_from(ROLES), max_size=2),
        keep_filters=st.booleans(),
    )
    def framework_changes(
        self, which: int, roles: list[str], suppressed: set[str], keep_filters: bool
    ) -> None:
        if self.frameworks:
            framework_id = sorted(self.frameworks)[which % len(self.frameworks)]
            self.frameworks[framework_id] = tuple(roles)
            self.allocator.add_framework(
                framework_id,
                roles,
                active=True,
                suppressed=frozenset(suppressed) & frozenset(roles),
                terms=self.terms[framework_id],
                keep_filters=keep_filters,
            )
            mine = [offer for offer in self.offers if offer.framework_id == framework_id]
            for offer in [offer for offer in mine if offer.role not in roles]:
                self.give_back(offer, None)

    @rule(which=st.integers(0, 9))
    def framework_goes(self, which: int) -> None:
        if self.frameworks:
            framework_id = sorted(self.frameworks)[which % len(self.frameworks)]
            for offer in [o for o in self.offers if o.framework_id == framework_id]:
                self.give_back(offer, None)
            del self.frameworks[framework_id]
            self.allocator.remove_framework(framework_id)

    @rule(
        cpus=st.integers(1, 8),
        mem=st.integers(32, 512),
        more=st.sets(st.sampled_from(KINDS), max_size=2),
    )
    def agent_comes(self, cpus: int, mem: int, more: set[str]) -> None:
        if len(self.agents) < 5:
            self.made += 1
            total = parse(";".join([f"cpus:{cpus};mem:{mem};ports:[1-9]", *sorted(more)]))
            self.agents[f"a{self.made}"] = total
            self.allocator.add_agent(f"a{self.made}", total, {})

    @rule(which=st.integers(0, 9))
    def agent_goes(self, which: int) -> None:
        if self.agents:
            agent_id = sorted(self.agents)[which % len(self.agents)]
            del self.agents[agent_id]
            self.allocator.remove_agent(agent_id)
            self.offers = [o for o in self.offers if o.agent_id != agent_id]
            self.tasks = [t for t in self.tasks if t.agent_id != agent_id]

    @rule(which=st.integers(0, 9), wants=st.booleans(), every=st.booleans())
    def suppress_or_revive(self, which: int, wants: bool, every: bool) -> None:
        if self.frameworks:
            framework_id = sorted(self.frameworks)[which % len(self.frameworks)]
            change = self.allocator.revive if wants else self.allocator.suppress
            change(framework_id, () if every else self.frameworks[framework_id][:1])

    @rule(role=st.sampled_from(ROLES), weight=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    def weigh(self, role: str, weight: float) -> None:
        self.allocator.set_weight(role, weight)

    @rule(which=st.integers(0, 9), refuse_s=st.sampled_from([None, 0.0, 5.0]))
    def decline(self, which: int, refuse_s: float | None) -> None:
        if self.offers:
            self.give_back(self.offers[which % len(self.offers)], refuse_s)

    def give_back(self, offer: Grant, refuse_s: float | None) -> None:
        self.offers.remove(offer)
        self.allocator.answered(offer.framework_id, offer.agent_id)
        self.recover(offer, refuse_s)

    def recover(self, grant: Grant, refuse_s: float | None) -> None:
        self.allocator.recover(
            grant.framework_id,
            grant.agent_id,
            grant.role,
            grant.resources,
            now_s=self.now_s,
            refuse_s=refuse_s,
        )

    @rule(which=st.integers(0, 9))
    def launch(self, which: int) -> None:
        """A task of one cpu, on an offer that has as much; the rest comes back."""
        need = Resources({"cpus": MILLI})
        for offer in self.offers[which % max(1, len(self.offers)) :]:
            if offer.resources.contains(need):
                self.offers.remove(offer)
                self.allocator.answered(offer.framework_id, offer.agent_id)
                self.allocator.used(offer.framework_id, offer.agent_id)
                self.tasks.append(offer._replace(resources=need))
                self.recover(offer._replace(resources=offer.resources - need), 0.0)
                return

    @rule(which=st.integers(0, 9))
    def task_ends(self, which: int) -> None:
        if self.tasks:
            self.recover(self.tasks.pop(which % len(self.tasks)), None)

    @rule(seconds=st.sampled_from([0.0, 0.01, 3.0, 60.0]))
    def allocate(self, seconds: float) -> None:
        self.now_s += seconds
        self.offers += self.allocator.allocate(self.now_s)

    @invariant()
    def nobody_is_offered_what_is_not_theirs(self) -> None:
        for offer in self.offers:
            terms = self.terms[offer.framework_id]
            assert may_have(offer.resources, offer.role, terms) == offer.resources

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        for agent_id, total in self.agents.items():
            out = [g.resources for g in (*self.offers, *self.tasks) if g.agent_id == agent_id]
            rest = total
            for resources in out:
                rest = rest - resources
            assert rest == self.allocator._state.agents[agent_id].available

    @invariant()
    def nothing_is_kept_of_a_role_that_was_left_and_holds_nothing(self) -> None:
        for framework in self.allocator._state.frameworks.values():
            holding = {role for role, leaf in framework.leaves.items() if any(leaf.held.values())}
            assert set(framework.leaves) == {*framework.roles, *holding}


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# The theorems, on one divisible agent: tasks of a fiftieth of the agent stand for divisible ones.


def shares(demands: list[tuple[int, int]], parts: int = 200) -> list[Fraction]:
    """How much of its demand each of some frameworks has run when nobody can run more."""
    agent = Resources({"cpus": 1000 * parts, "mem": 1000 * parts * 1000})
    allocator = DrfAllocator()
    allocator.add_agent("a", agent, {})
    for number in range(len(demands)):
        allocator.add_framework(f"f{number}", ("*",), active=True)
    ran = [0] * len(demands)
    now_s = 0.0
    while granted := allocator.allocate(now_s):
        now_s += 10.0
        for grant in granted:
            number = int(grant.framework_id[1:])
            cpus, mem = demands[number]
            need = Resources({"cpus": 10 * cpus, "mem": 10 * mem * 1000})
            runs = grant.resources.contains(need)
            ran[number] += runs
            allocator.answered(grant.framework_id, "a")
            allocator.used(grant.framework_id, "a")
            rest = grant.resources - need if runs else grant.resources
            allocator.recover(
                grant.framework_id, "a", "*", rest, now_s=now_s, refuse_s=0.0 if runs else 1e9
            )
    return [Fraction(count, 100 * parts) for count in ran]


def dominant(demand: tuple[int, int]) -> int:
    return max(demand)


DEMANDS = st.lists(st.tuples(st.integers(1, 10), st.integers(1, 10)), min_size=2, max_size=3)
GRAIN = Fraction(1, 9)  # one task more or less, of the largest demand, on parts of the agent


@settings(max_examples=12)
@given(DEMANDS)
def test_share_guarantee_envy_freeness_and_pareto_efficiency(
    demands: list[tuple[int, int]],
) -> None:
    got = shares(demands, parts=10)
    used = [sum(g * d[i] for g, d in zip(got, demands, strict=True)) for i in (0, 1)]
    for mine, demand in zip(got, demands, strict=True):
        share = mine * dominant(demand)
        assert share >= Fraction(1, len(demands)) - GRAIN, "a share of 1/n each"
        assert any(used[i] + GRAIN >= 1 for i in (0, 1) if demand[i]), "nobody could run more"
        for other, wanted in zip(got, demands, strict=True):
            # With the other's bundle it could run as much as this of its own demand.
            instead = min(other * wanted[i] / demand[i] for i in (0, 1))
            assert instead <= mine + GRAIN, "nobody would rather have what another has"


@settings(max_examples=8)
@given(DEMANDS, st.tuples(st.integers(1, 10), st.integers(1, 10)))
def test_lying_does_not_pay(demands: list[tuple[int, int]], lie: tuple[int, int]) -> None:
    honest = shares(demands, parts=10)[0]
    bundle = shares([lie, *demands[1:]], parts=10)[0]
    useful = min(bundle * lie[i] / demands[0][i] for i in (0, 1))
    assert useful <= honest + GRAIN


# Quota.

QUOTAS = st.dictionaries(
    st.sampled_from(["eng", "ops", "*"]),
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    min_size=1,
)


@settings(max_examples=150)
@given(QUOTAS, st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
def test_limits_hold_and_guarantees_come_first(
    quotas: dict[str, tuple[int, int]], agents: list[int], data: st.DataObject
) -> None:
    allocator = DrfAllocator()
    for role, (guarantee, more) in quotas.items():
        limit = {"cpus": (guarantee + more) * MILLI}
        allocator.set_quota(role, Quota({"cpus": guarantee * MILLI}, limit))
    roles = [r for r in ("eng", "ops", "*", "free") if data.draw(st.booleans(), label=r)]
    for role in roles:
        terms = Terms(revocable=data.draw(st.booleans()))
        allocator.add_framework(f"f-{role}", (role,), active=True, terms=terms)
    for number, cpus in enumerate(agents):
        guests = tagged(REVOCABLE, parse(f"cpus:{data.draw(st.integers(0, 3))}"))
        allocator.add_agent(f"a{number}", parse(f"cpus:{cpus};mem:{cpus * 100}") + guests, {})
    now_s, counted = 0.0, dict.fromkeys({*roles, *quotas}, 0)
    for _ in range(6):
        now_s += 1.0
        offers = allocator.allocate(now_s)
        for offer in offers:
            counted[offer.role] += for_good(offer.resources).quantities.get("cpus", 0)
        held = {role: allocator.charged(role).get("cpus", 0) for role in counted}
        assert held == counted, "what may be taken back counts for no quota, and all else does"
        total = sum(agents) * MILLI
        for role, (guarantee, more) in quotas.items():
            assert held[role] <= (guarantee + more) * MILLI
        wanted = [g * MILLI for role, (g, _) in quotas.items() if role in roles]
        missing = sum(
            max(0, g * MILLI - held[role]) for role, (g, _) in quotas.items() if role in roles
        )
        if sum(g * MILLI for g, _ in quotas.values()) <= total:
            assert missing == 0, "there is room for every guarantee"
        elif sum(wanted) >= total:
            assert sum(held[r] for r in roles if r not in quotas) == 0, "guarantees come first"
        # What nobody uses of a guarantee stays free.
        idle = sum(g * MILLI for role, (g, _) in quotas.items() if role not in roles)
        assert sum(held.values()) <= max(0, total - idle) or sum(held.values()) <= sum(wanted)
        for offer in offers:
            # Who holds an offer and does not answer gets no more of that agent.
            allocator.answered(offer.framework_id, offer.agent_id)
            if data.draw(st.booleans()):
                counted[offer.role] -= for_good(offer.resources).quantities.get("cpus", 0)
                allocator.recover(
                    offer.framework_id,
                    offer.agent_id,
                    offer.role,
                    offer.resources,
                    now_s=now_s,
                    refuse_s=0.0,
                )
