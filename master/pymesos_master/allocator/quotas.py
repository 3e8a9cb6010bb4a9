"""Quota: what roles are to get first, and what they may hold at most (docs/quota.md of Mesos).

A role's consumption is what it and those below it hold, offers included: else outstanding offers
would break a limit. What is revocable and not reserved counts for none, as its owners pay for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources
from pymesos_master.allocator.interface import NOTHING, Quota
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.allocator.tree import Node, Tree

NONE = Quota()


class Quotas:
    """The quotas of all roles that have one, and what their guarantees still need."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.by_role: dict[str, Quota] = {}
        self._nested = False  # whether a role with a quota is below another
        self._rebuild = False
        self._missing: dict[str, Scalars] = {}  # of roles that lack something
        self._headroom: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.by_role)

    def set(self, role: str, quota: Quota) -> None:
        """An empty quota removes it."""
        if quota:
            self.by_role[role] = quota
            self._tree.watch(role, quota.limits)
        else:
            self.by_role.pop(role, None)
            self._tree.unwatch(role)
        self._nested = any(self._above(other) is not None for other in self.by_role)
        self._rebuild = True

    def of(self, role: str) -> Quota:
        """The quota of a role."""
        return self.by_role.get(role, NONE)

    def refresh(self) -> None:
        """Take account of what roles hold now; only those that hold more or less are looked at."""
        changed = self._tree.changed
        for role in changed:
            node = self._tree.find(role)
            before, now = self._missing.pop(role, {}), {}
            for name, value in self.of(role).guarantees.items():
                charged = node.charged(name) if node is not None else 0
                if value > charged:
                    now[name] = value - charged
            if now:
                self._missing[role] = now
            for name in {**before, **now}:
                change = now.get(name, 0) - before.get(name, 0)
                self._headroom[name] = self._headroom.get(name, 0) + change
        if changed and (self._nested or self._rebuild):
            self._headroom = self._whole_headroom()
            self._rebuild = False
        changed.clear()

    def missing(self, role: str) -> Scalars:
        """What a role still lacks of its guarantee."""
        return self._missing.get(role, {})

    def unsatisfied(self) -> Iterator[Node]:
        """Roles that lack something and have somebody who wants offers."""
        for role in self._missing:
            node = self._tree.find(role)
            if node is not None and node.wanting:
                yield node

    @property
    def headroom(self) -> Scalars:
        """What must stay free so that every guarantee can be met, whoever wants offers now."""
        return self._headroom

    def _whole_headroom(self) -> dict[str, int]:
        """A child's guarantee is part of its parent's, so only the larger of the two counts."""
        out: dict[str, int] = {}
        below: dict[str, dict[str, int]] = {}  # role → what the children nearest to it need
        # Longer paths first: every child comes before its parent.
        for role in sorted(self.by_role, key=lambda path: -path.count("/")):
            need = below.pop(role, {})
            for name, value in self.missing(role).items():
                need[name] = max(need.get(name, 0), value)
            above = self._above(role)
            total = out if above is None else below.setdefault(above, {})
            for name, value in need.items():
                total[name] = total.get(name, 0) + value
        return out

    def _above(self, role: str) -> str | None:
        """The nearest role above that has a quota."""
        while "/" in role:
            role = role.rpartition("/")[0]
            if role in self.by_role:
                return role
        return None

    def room(self, leaf: Node, below: str = "") -> dict[str, int]:
        """What a leaf may still get below the limits of its role and those above.

        `below` a role: what is reserved for that counts there and above already.
        """
        out: dict[str, int] = {}
        node = leaf.parent
        while node is not None and node.parent is not None and node.role != below:
            limits = self.of(node.role).limits
            for name, limit in limits.items():
                left = max(0, limit - node.charged(name))
                out[name] = min(out.get(name, left), left)
            node = node.parent
        return out


def uncharged(resources: Resources) -> Scalars:
    """What of these resources counts against no quota."""
    if not resources.tagged:
        return NOTHING
    return resources.where(lambda tag: tag.revocable and not tag.role).quantities


def chop(resources: Resources, at_most: Mapping[str, int]) -> Resources:
    """No more of a scalar than `at_most` says; what it does not name stays whole."""
    amounts = resources.quantities
    if all(amounts.get(name, 0) <= value for name, value in at_most.items()):
        return resources
    scalars = {
        name: min(value, at_most.get(name, value)) for name, value in resources.scalars.items()
    }
    left = {name: value - scalars.get(name, 0) for name, value in at_most.items()}
    kept: dict[Tag, Resources] = {}
    for tag, bag in resources.tagged.items():
        # Devices and the like are whole: each fits, or is left out.
        if all(value <= left.get(name, value) for name, value in bag.scalars.items()):
            kept[tag] = bag
            for name, value in bag.scalars.items():
                if name in left:
                    left[name] -= value
    return Resources(scalars, resources.ranges, resources.sets, kept)


class Lacking:
    """Roles that lack something of their guarantee, by what it is, each group in order of share."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._groups: dict[frozenset[str], list[tuple[int, Node]]] = {}
        for node in quotas.unsatisfied():
            self.add(node)

    def add(self, node: Node) -> None:
        """If it does lack something."""
        if missing := self._quotas.missing(node.role):
            group = self._groups.setdefault(frozenset(missing), [])
            heapq.heappush(group, (node.rank, node))

    def next(self, available: Scalars) -> Node | None:
        """Take out the first that lacks only what there is some of: a part alone is of no use."""
        best: list[tuple[int, Node]] | None = None
        for names, group in self._groups.items():
            if group and (best is None or group[0] < best[0]) and all(map(available.get, names)):
                best = group
        return heapq.heappop(best)[1] if best else None
