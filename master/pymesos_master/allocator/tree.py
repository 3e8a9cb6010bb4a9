"""The tree of roles, with frameworks as its leaves, and who in it is next.

Dominant resource fairness (Ghodsi et al., NSDI'11) level by level, as Mesos' sorter does it
(`src/master/allocator/mesos/sorter/drf/sorter.cpp`): of the children of a node the one with the
lowest weighted dominant share comes first. A role that has frameworks of its own and children holds
both side by side.

Shares are compared exactly, as ties are common and the order of arrival decides them: two fractions
of the same value may be different floats. Of fractions with denominators below 2^103 (what there is
of a resource, times the weight's numerator) those that differ do so by more than 2^-206, so that as
whole numbers of 2^-208 they are equal when the fractions are, and in the same order when not. A
node's rank is such a number, followed by the order of arrival: of two ranks the lower comes first.

Each node keeps its children in a heap by rank. A rank that changes puts a new entry in and leaves
the old one, which a stamp gives away when it comes up; so a grant costs a few heap operations on
the way from the leaf to the root, however many frameworks there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

from pymesos_master.allocator.interface import NOTHING
from pymesos_master.allocator.minimum import Minimum

SHARE_BITS = 208
ORDER_BITS = 64


class Node:
    """A role, or a framework in a role (a leaf)."""

    __slots__ = (
        "children", "framework_id", "full", "heap", "held", "limits", "order", "parent", "rank",
        "ratio", "reserved", "role", "stamp", "uncharged", "wanting", "watched", "weight",
    )  # fmt: skip

    def __init__(self, role: str, parent: Node | None, order: int, framework_id: str = "") -> None:
        self.role = role
        self.framework_id = framework_id  # empty: a role
        self.parent = parent
        self.order = order  # of arrival: the tie-break among equal shares
        self.weight = 1.0
        self.ratio: tuple[int, int] | None = None  # the weight as a fraction, unless it is 1
        self.held: dict[str, int] = {}  # scalar → thousandths, of all below
        self.uncharged: dict[str, int] = {}  # of what is held
        self.reserved: dict[str, int] = {}  # for all below, and held by nobody
        self.limits: Mapping[str, int] = {}
        self.full = False  # so near to its limits that nothing it may get is worth an offer
        self.watched = False  # whether `Tree.changed` is to name it when it holds more or less
        self.rank = order  # below the share: dominant, by the weight, in units of 2^-SHARE_BITS
        self.stamp = 0
        self.wanting = 0  # leaves below, or this one, that want offers
        self.children: dict[str, Node] = {}  # by role path, or by framework id
        self.heap: list[tuple[int, int, Node]] = []  # rank, stamp, child

    def weigh(self, weight: float) -> None:
        """Give it a weight."""
        self.weight = weight
        self.ratio = None if weight == 1.0 else weight.as_integer_ratio()

    def charged(self, name: str) -> int:
        """What counts against a quota: what it holds for good, or is reserved (docs/quota.md)."""
        held = self.held.get(name, 0)
        if self.uncharged:
            held -= self.uncharged.get(name, 0)
        return held + self.reserved.get(name, 0)


class Tree:
    """Shares of the whole cluster; `total` is what all agents have, in thousandths."""

    def __init__(self, minimum: Minimum) -> None:
        self._minimum = minimum
        self.root = Node("", None, 0)
        self.total: dict[str, int] = {}
        self._uncharged: dict[str, int] = {}  # of the total
        self._roles: dict[str, Node] = {}
        self.weights: dict[str, float] = {}
        self._limits: dict[str, Mapping[str, int]] = {}
        self._watched: set[str] = set()
        self.changed: set[str] = set()  # watched roles that hold more or less; for the watcher
        self._order = 0
        self._stale = False  # the total or a weight has changed, and with it ranks

    @property
    def wanting(self) -> int:
        """How many leaves want offers."""
        return self.root.wanting

    def role(self, path: str) -> Node:
        """A role, with all above it."""
        node = self._roles.get(path)
        if node is None:
            above, _, _ = path.rpartition("/")
            parent = self.role(above) if above else self.root
            node = self._roles[path] = self._new(Node(path, parent, self._order))
            node.weigh(self.weights.get(path, 1.0))
            node.limits = self._limits.get(path, {})
            self._check_limits(node)
            node.watched = path in self._watched
            parent.children[path] = node
        return node

    def leaf(self, role: str, framework_id: str) -> Node:
        """A framework in a role."""
        parent = self.role(role)
        leaf = self._new(Node(role, parent, self._order, framework_id))
        # No role path is empty before the slash, so this never is the key of a role.
        parent.children[f"/{framework_id}"] = leaf
        return leaf

    def _new(self, node: Node) -> Node:
        self._order += 1
        assert node.parent is not None
        if len(node.parent.children) == 1:
            self._stale = True
        return node

    def remove(self, leaf: Node) -> None:
        """Forget a leaf that holds nothing, and the roles that are empty then."""
        self.want(leaf, False)
        assert leaf.parent is not None
        del leaf.parent.children[f"/{leaf.framework_id}"]
        self._prune(leaf.parent)

    def _prune(self, node: Node) -> None:
        """Forget a role that nobody is in and nothing is of, and those above it."""
        while node.parent is not None and not (
            node.children or any(node.held.values()) or any(node.reserved.values())
        ):
            del node.parent.children[node.role]
            del self._roles[node.role]
            node.stamp += 1
            node = node.parent

    def want(self, leaf: Node, wants: bool) -> None:
        """Whether a leaf is to be found."""
        if bool(leaf.wanting) == wants:
            return
        change = 1 if wants else -1
        node: Node | None = leaf
        while node is not None:
            node.wanting += change
            if node.wanting == (1 if wants else 0):
                self._touch(node)
            node = node.parent

    def set_weight(self, role: str, weight: float) -> None:
        """Set the weight of a role among its siblings; 1 by default."""
        if weight == 1.0:
            self.weights.pop(role, None)
        else:
            self.weights[role] = weight
        if role in self._roles:
            self._roles[role].weigh(weight)
            self._stale = True

    def watch(self, role: str, limits: Mapping[str, int]) -> None:
        """Name a role when it holds more or less, and hold it to limits (in thousandths)."""
        self._watched.add(role)
        self._limits[role] = limits
        self._apply_watch(role)

    def unwatch(self, role: str) -> None:
        """Not any more, and without limits."""
        self._watched.discard(role)
        self._limits.pop(role, None)
        self._apply_watch(role)

    def _apply_watch(self, role: str) -> None:
        self.changed.add(role)
        node = self._roles.get(role)
        if node is not None:
            node.watched = role in self._watched
            node.limits = self._limits.get(role, {})
            self._check_limits(node)

    def _check_limits(self, node: Node) -> None:
        left = {name: limit - node.charged(name) for name, limit in node.limits.items()}
        # What is reserved is within the limits already, and what is uncharged is held to none.
        more = any(node.reserved.values()) or any(self._uncharged.values())
        full = not more and not self._minimum.met_within(left)
        if full != node.full:
            node.full = full
            self._touch(node)

    def weight(self, role: str) -> float:
        """The weight of a role."""
        return self.weights.get(role, 1.0)

    def change_total(
        self, scalars: Mapping[str, int], sign: int, uncharged: Mapping[str, int] = NOTHING
    ) -> None:
        """An agent came, or went, and so much of that counts against no quota."""
        _add(self.total, scalars, sign)
        self._stale = True
        if uncharged:
            there_was = any(self._uncharged.values())
            _add(self._uncharged, uncharged, sign)
            if any(self._uncharged.values()) != there_was:
                for role in self._watched & self._roles.keys():
                    self._check_limits(self._roles[role])

    def hold(
        self,
        leaf: Node,
        scalars: Mapping[str, int],
        sign: int,
        uncharged: Mapping[str, int] = NOTHING,
    ) -> None:
        """A leaf holds more, or less, and so much of that counts against no quota."""
        change = scalars if sign > 0 else {name: -value for name, value in scalars.items()}
        node = leaf
        while (above := node.parent) is not None:
            held = node.held
            for name, value in change.items():
                held[name] = now = held.get(name, 0) + value
                assert now >= 0, f"{leaf.framework_id} holds {now} of {name}"
            if uncharged:
                _add(node.uncharged, uncharged, sign)
            if node.watched:
                self.changed.add(node.role)
                self._check_limits(node)
            # An only child is first whatever it holds; `_new` has all computed when a second comes.
            if not self._stale and len(above.children) > 1:
                rank = self._rank(node)
                if rank != node.rank:
                    node.rank = rank
                    self._touch(node)
            node = above

    def reserve(self, role: str, scalars: Mapping[str, int], sign: int) -> None:
        """More is reserved for a role and held by nobody, or less."""
        node = below = self.role(role)
        while node.parent is not None:
            _add(node.reserved, scalars, sign)
            if node.watched:
                self.changed.add(node.role)
                self._check_limits(node)
            node = node.parent
        if sign < 0:
            self._prune(below)

    def dominant_share(self, node: Node) -> float:
        """The largest part of any resource of the cluster that a node holds, without weights."""
        share, total = 0.0, self.total
        for name, value in node.held.items():
            whole = total.get(name)
            if whole and value / whole > share:
                share = value / whole
        return share

    def _rank(self, node: Node) -> int:
        """A node's dominant share by its weight, as exactly as an order needs, and its arrival."""
        most, of, total = 0, 1, self.total
        for name, value in node.held.items():
            whole = total.get(name)
            if whole and value * of > most * whole:
                most, of = value, whole
        if node.ratio is not None:
            above, below = node.ratio
            most, of = most * below, of * above
        return (most << SHARE_BITS) // of << ORDER_BITS | node.order

    def _touch(self, node: Node) -> None:
        """Put the entry of a node where it belongs now."""
        node.stamp += 1
        if node.parent is None or not node.wanting or node.full:
            return
        heap = node.parent.heap
        entry = (node.rank, node.stamp, node)
        if heap and heap[0][2] is node:
            heapq.heapreplace(heap, entry)
            return
        heapq.heappush(heap, entry)
        if len(heap) > 64 + 4 * len(node.parent.children):
            self._rebuild(node.parent)

    def _rebuild(self, node: Node) -> None:
        node.heap = [
            (c.rank, c.stamp, c) for c in node.children.values() if c.wanting and not c.full
        ]
        heapq.heapify(node.heap)

    def refresh(self) -> None:
        """Compute every rank anew if they are stale."""
        if self._stale:
            self._stale = False
            self._refresh(self.root)

    def _refresh(self, node: Node) -> None:
        for child in node.children.values():
            child.rank = self._rank(child)
            self._refresh(child)
        self._rebuild(node)

    def anybody(self) -> bool:
        """Whether there is any role that wants offers and is not full."""
        heap = self.root.heap
        while heap and heap[0][1] != heap[0][2].stamp:
            heapq.heappop(heap)
        return bool(heap)

    def first(self, node: Node, blocked: Callable[[Node], bool] | None) -> Node | None:
        """The first leaf below `node`, in order of rank, that is not blocked."""
        heap = node.heap
        passed_over: list[tuple[int, int, Node]] | None = None
        found: Node | None = None
        while heap:
            _, stamp, child = heap[0]
            if stamp != child.stamp:
                heapq.heappop(heap)
                continue
            if not child.framework_id:
                found = self.first(child, blocked)
            elif blocked is None or not blocked(child):
                found = child
            if found is not None:
                break
            if passed_over is None:
                passed_over = []
            passed_over.append(heapq.heappop(heap))
        for entry in passed_over or ():
            heapq.heappush(heap, entry)
        return found

    def roles(self) -> Iterator[Node]:
        """All roles that anybody is in, or that hold something."""
        return iter(self._roles.values())

    def find(self, role: str) -> Node | None:
        """A role that is there."""
        return self._roles.get(role)


def _add(to: dict[str, int], scalars: Mapping[str, int], sign: int) -> None:
    for name, value in scalars.items():
        to[name] = to.get(name, 0) + sign * value
