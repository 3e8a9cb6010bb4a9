"""A pool of nodes, and the choice of one for a task.

Nodes are rows of arrays. The score of a shape on a node depends on the two only, so scores are kept
by shape, and only nodes that changed since are scored again: in a cluster of thousands, placing a
task of a kind that was seen before costs a few rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pymesos_binpack.placement.packing.shape import GPUS, Shape
from pymesos_core.resource_values import MILLI

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Node:
    """What a node has, and what of it is free; scalars by name, and each GPU, in thousandths.

    `model` is that of its GPUs, if it is known.
    """

    total: Mapping[str, int]
    free: Mapping[str, int]
    gpus: tuple[int, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Placement:
    """A task on a node: its row, and the GPUs it is given, by their columns.

    No other node that would have done scored lower than `score`.
    """

    shape: Shape
    node: int
    devices: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Short:
    """The nodes that have too little of a resource for a shape: how many, and the first of them."""

    resource: str
    nodes: int
    first: tuple[int, ...]


@dataclass(frozen=True)
class Holdings:
    """What is free on some nodes: scalars (rows × names) and GPUs (rows × devices)."""

    scalars: Ints
    gpus: Ints


class Scorer(Protocol):
    """The part of a policy that a pool needs."""

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """How bad each placement is; see `policies.Policy`."""


@dataclass
class _Scores:
    best: Floats  # by node; inf: it does not fit
    device: Ints  # the column of the GPU chosen for a part of one
    seen: int  # how much of the pool's log they know
    # Which nodes are too full, as far as that was asked; None: that may have changed.
    short: tuple[Bools | None, tuple[Short, ...]] | None = None


class Pool:
    """Nodes that are being filled. Ties go to the node that was given first."""

    def __init__(self, nodes: Sequence[Node], scorer: Scorer) -> None:
        names = sorted({name for node in nodes for name in node.total})
        self._columns = {name: column for column, name in enumerate(names)}
        self.names = tuple(names)
        widest = max((len(node.gpus) for node in nodes), default=0)
        self.total = _table(len(nodes), [[n.total.get(name, 0) for name in names] for n in nodes])
        self.scalars = _table(len(nodes), [[n.free.get(name, 0) for name in names] for n in nodes])
        self.gpus = _table(len(nodes), [[*n.gpus, *[0] * (widest - len(n.gpus))] for n in nodes])
        self.devices = np.array([len(n.gpus) for n in nodes], dtype=np.int64)
        self._models = [node.model for node in nodes]
        self._have: dict[tuple[str, ...], Bools] = {}
        self._scorer = scorer
        self._log: list[int] = []  # nodes in the order in which they changed
        self._scores: dict[Shape, _Scores] = {}
        self._needs: dict[Shape, Ints | None] = {}

    def __len__(self) -> int:
        return len(self.total)

    def column(self, name: str) -> int:
        """Where the scalar is in the arrays. Raises KeyError."""
        return self._columns[name]

    def holdings(self, nodes: Ints) -> Holdings:
        """What is free on nodes now."""
        return Holdings(self.scalars[nodes], self.gpus[nodes])

    def choose(self, shape: Shape, allowed: Bools | None = None) -> Placement | None:
        """The best placement of those that fit, on nodes that are `allowed` (by row)."""
        scores = self._scored(shape)
        if scores is None:
            return None
        best = scores.best if allowed is None else np.where(allowed, scores.best, np.inf)
        node = int(best.argmin()) if len(best) else 0
        if not len(best) or best[node] == np.inf:
            return None
        devices = self._pick(shape, node, int(scores.device[node]))
        return Placement(shape, node, devices, float(best[node]))

    def next_best(
        self, placement: Placement, allowed: Bools | None, number: int
    ) -> list[tuple[int, float]]:
        """The best of the other nodes that would do, with their scores; before it is taken."""
        scores = self._scores[placement.shape].best
        best = scores.copy() if allowed is None else np.where(allowed, scores, np.inf)
        best[placement.node] = np.inf
        out: list[tuple[int, float]] = []
        while len(out) < number:
            node = int(best.argmin())
            if (score := float(best[node])) == np.inf:
                break
            out.append((node, score))
            best[node] = np.inf
        return out

    def short(self, placement: Placement, allowed: Bools | None, first: int) -> tuple[Short, ...]:
        """The allowed nodes that are too full, by the first resource that is short; before it is
        taken.

        At most `first` of each are named.
        """
        scores = self._scores[placement.shape]
        if scores.short is None or scores.short[0] is not allowed:
            scores.short = (allowed, self._count_short(placement.shape, scores, allowed, first))
        return scores.short[1]

    def _count_short(
        self, shape: Shape, scores: _Scores, allowed: Bools | None, first: int
    ) -> tuple[Short, ...]:
        full = scores.best == np.inf
        nodes = np.flatnonzero(full if allowed is None else full & allowed)
        if not len(nodes):
            return ()
        needs = self._need(shape)
        assert needs is not None
        lacks: Bools = np.asarray(self.scalars[nodes] < needs)
        names = (*self.names, GPUS)
        # Where nothing else is short, GPUs are.
        which = np.where(lacks.any(axis=1), lacks.argmax(axis=1), len(self.names))
        out = []
        for column in np.flatnonzero(np.bincount(which)):
            there = nodes[which == column]
            out.append(Short(names[column], len(there), tuple(map(int, there[:first]))))
        return tuple(out)

    def _pick(self, shape: Shape, node: int, device: int) -> tuple[int, ...]:
        if shape.gpu_share:
            return (device,)
        if shape.whole_gpus:
            whole = np.flatnonzero(self.gpus[node] == MILLI)
            return tuple(int(column) for column in whole[: shape.whole_gpus])
        return ()

    def take(self, placement: Placement) -> None:
        """Use what a placement needs."""
        self._change(placement, -1)

    def release(self, placement: Placement) -> None:
        """Give it back."""
        self._change(placement, 1)

    def _change(self, placement: Placement, sign: int) -> None:
        needs = self._need(placement.shape)
        assert needs is not None
        node = placement.node
        self.scalars[node] += sign * needs
        for column in placement.devices:
            self.gpus[node, column] += sign * (placement.shape.gpu_share or MILLI)
        assert (self.scalars[node] >= 0).all() and (self.gpus[node] >= 0).all()
        self._log.append(node)

    def _need(self, shape: Shape) -> Ints | None:
        """The row that a shape takes away; None when it needs what no node has."""
        if shape not in self._needs:
            row = np.zeros(len(self.names), dtype=np.int64)
            known = all(name in self._columns for name, _ in shape.scalars)
            for name, value in shape.scalars if known else ():
                row[self._columns[name]] = value
            self._needs[shape] = row if known else None
        return self._needs[shape]

    def _scored(self, shape: Shape) -> _Scores | None:
        """Scores of all nodes for a shape, brought up to date."""
        needs = self._need(shape)
        if needs is None:
            return None
        scores = self._scores.get(shape)
        if scores is None:
            size = len(self)
            scores = _Scores(np.full(size, np.inf), np.zeros(size, dtype=np.int64), 0)
            self._scores[shape] = scores
            stale = np.arange(size, dtype=np.int64)
        else:
            stale = np.array(sorted(set(self._log[scores.seen :])), dtype=np.int64)
        scores.seen = len(self._log)
        if len(stale):
            was_full = bool((scores.best[stale] == np.inf).any())
            scores.best[stale] = np.inf
            self._score(shape, needs, stale, scores)
            if was_full or (scores.best[stale] == np.inf).any():
                scores.short = None
        return scores

    def have(self, models: tuple[str, ...]) -> Bools:
        """The nodes whose GPUs are of one of these models, by row; all of them when none is."""
        if models not in self._have:
            rows = np.array([not models or model in models for model in self._models], dtype=bool)
            self._have[models] = rows
        return self._have[models]

    def have_each(self, shapes: Sequence[Shape]) -> Bools | None:
        """Rows × shapes: `have` for each; None when any model will do for all of them."""
        if not any(shape.models for shape in shapes):
            return None
        return np.stack([self.have(shape.models) for shape in shapes], axis=1)

    def fits(self, shape: Shape, nodes: Ints) -> Bools:
        """Whether a shape fits on each of some nodes now."""
        needs = self._need(shape)
        if needs is None:
            return np.zeros(len(nodes), dtype=bool)
        fits: Bools = np.asarray((self.scalars[nodes] >= needs).all(axis=1))
        if shape.models:
            fits = fits & self.have(shape.models)[nodes]
        if shape.gpus:
            least = shape.gpu_share or MILLI
            enough = (self.gpus[nodes] >= least).sum(axis=1)
            fits = fits & (enough >= max(1, shape.whole_gpus))
        return fits

    def free_and_total(self, name: str) -> tuple[Ints, Ints]:
        """How much of a resource each node has; GPUs are summed over a node's devices."""
        if name == GPUS:
            return np.asarray(self.gpus.sum(axis=1)), self.devices * MILLI
        column = self.column(name)
        return self.scalars[:, column], self.total[:, column]

    def _score(self, shape: Shape, needs: Ints, stale: Ints, scores: _Scores) -> None:
        nodes = stale[self.fits(shape, stale)]
        if not len(nodes):
            return
        rows, devices, gpus = self._after_gpus(shape, nodes)
        nodes = nodes[rows]
        after = Holdings(self.scalars[nodes] - needs, gpus)
        values = self._scorer.score(self, shape, nodes, after)
        if not shape.gpu_share:
            scores.best[nodes] = values
            return
        # Of the devices of a node the one that scores lowest, the first among equals.
        order = np.lexsort((np.arange(len(values)), values, nodes))
        first = np.ones(len(order), dtype=bool)
        first[1:] = nodes[order][1:] != nodes[order][:-1]
        chosen = order[first]
        scores.best[nodes[chosen]] = values[chosen]
        scores.device[nodes[chosen]] = devices[chosen]

    def _after_gpus(self, shape: Shape, nodes: Ints) -> tuple[Ints, Ints, Ints]:
        """Every way to give a shape its GPUs: the rows of `nodes`, the device, what is left.

        Devices of a node that have the same left are the same way.
        """
        gpus = self.gpus[nodes]
        if not shape.gpu_share:
            rows = np.arange(len(nodes), dtype=np.int64)
            if shape.whole_gpus:
                whole = gpus == MILLI
                gpus = np.where(whole & (whole.cumsum(axis=1) <= shape.whole_gpus), 0, gpus)
            return rows, rows, gpus
        can = gpus >= shape.gpu_share
        for column in range(1, gpus.shape[1]):
            can[:, column] &= (gpus[:, :column] != gpus[:, column : column + 1]).all(axis=1)
        rows, devices = np.nonzero(can)
        after = gpus[rows]
        after[np.arange(len(rows)), devices] -= shape.gpu_share
        return rows, devices, after


def _table(rows: int, values: list[list[int]]) -> Ints:
    width = len(values[0]) if values else 0
    return np.array(values, dtype=np.int64).reshape(rows, width)
