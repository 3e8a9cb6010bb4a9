"""Quota: what roles are to get first, and what they may hold at most (docs/quota.md of Mesos).

A role's consumption is what it and those below it hold, offers included: else outstanding offers
would break a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pymesos_core.resources import Resources
from pymesos_master.allocator.interface import Quota, Scalars
from pymesos_master.allocator.tree import Node, Tree

NONE = Quota()


class Quotas:
    """The quotas of all roles that have one."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._by_role: dict[str, Quota] = {}

    def __bool__(self) -> bool:
        return bool(self._by_role)

    def set(self, role: str, quota: Quota) -> None:
        """An empty quota removes it."""
        if quota:
            self._by_role[role] = quota
        else:
            self._by_role.pop(role, None)

    def of(self, role: str) -> Quota:
        """Of a role."""
        return self._by_role.get(role, NONE)

    def _held(self, role: str) -> Mapping[str, int]:
        node = self._tree.find(role)
        return node.held if node is not None else {}

    def missing(self, role: str) -> Scalars:
        """What a role still lacks of its guarantee."""
        held = self._held(role)
        return {
            name: value - held.get(name, 0)
            for name, value in self.of(role).guarantees.items()
            if value > held.get(name, 0)
        }

    def unsatisfied(self) -> Iterator[Node]:
        """Roles that lack something and have somebody who wants offers."""
        for role in self._by_role:
            node = self._tree.find(role)
            if node is not None and node.wanting and self.missing(role):
                yield node

    def served(self, role: str, before: Scalars, headroom: dict[str, int]) -> dict[str, int]:
        """The headroom after a grant to a role that lacked `before`."""
        if any(self._above(other) is not None for other in self._by_role):
            return self.headroom()
        after = self.missing(role)
        for name, value in before.items():
            headroom[name] -= value - after.get(name, 0)
        return headroom

    def headroom(self) -> dict[str, int]:
        """What must stay free so that every guarantee can be met, whoever wants offers now.

        A child's guarantee is part of its parent's, so only the larger of the two counts.
        """
        out: dict[str, int] = {}
        below: dict[str, dict[str, int]] = {}  # role → what the children nearest to it need
        # Longer paths first: every child comes before its parent.
        for role in sorted(self._by_role, key=lambda path: -path.count("/")):
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
            if role in self._by_role:
                return role
        return None

    def room(self, leaf: Node) -> dict[str, int]:
        """What a leaf may still get below the limits of its role and those above."""
        out: dict[str, int] = {}
        node = leaf.parent
        while node is not None and node.parent is not None:
            limits = self.of(node.role).limits
            for name, limit in limits.items():
                left = max(0, limit - node.held.get(name, 0))
                out[name] = min(out.get(name, left), left)
            node = node.parent
        return out


def chop(resources: Resources, at_most: Mapping[str, int]) -> Resources:
    """No more of a scalar than `at_most` says; what it does not name stays whole."""
    if all(resources.scalars.get(name, 0) <= value for name, value in at_most.items()):
        return resources
    scalars = {
        name: min(value, at_most.get(name, value)) for name, value in resources.scalars.items()
    }
    return Resources(scalars, resources.ranges, resources.sets)
