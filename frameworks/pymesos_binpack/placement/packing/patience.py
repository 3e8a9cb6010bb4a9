"""The default policy: what will be made of a gap by the tasks that are still to come.

A gap is what is free of one GPU, with its part of the node's other resources. Tasks come by at
random, as they usually do, and each may be put into it or left for another node. The value of a gap
is the waste that remains when that is decided as well as possible over the next PATIENCE tasks (an
optimal stopping problem, solved backwards once for a workload):

    W[0](gap) = gap        W[n](gap) = mean over kinds of min(W[n-1](gap), W[n-1](gap - kind))

A task goes where the sum of W grows least, or falls most. So a gap is kept for what fits it well
while much is still to come, which a look one task ahead (FGD) does not see; and what is left of the
node's CPU counts, since a GPU that no CPU is left for is waste.

Tasks that want no GPU are not asked whether they come: they take CPU wherever it is free. So each
that comes by takes its part of what goes with the gap, and where many do, a gap cannot wait for
long. That is what weighs CPU where CPU is scarce, and lets GPUs wait where it is not.

A gap is only looked at by tasks that its GPU's model will do for.

Where there are no GPUs, the gap is the node itself: its scarcest resource, with the next scarcest.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from pymesos_binpack.placement.packing.pool import Bools, Floats, Holdings, Ints, Pool
from pymesos_binpack.placement.packing.shape import GPUS, Shape, Workload
from pymesos_core.resource_values import MILLI

PATIENCE = 256
# What it costs to begin with a node that nothing is on, in levels of a gap. While there is room for
# all, the waste of large gaps is next to nothing, and tasks would be anywhere.
UNUSED = 0.1
# What it costs to break the room of a task of several GPUs, as a part of the GPUs that are free.
KEPT = 0.0025
# What is asked for beside a GPU, as a part of what there is: with the first, none is scarce yet.
ENOUGH = (0.65, 0.8)
ALIKE = 0.1  # two workloads that differ by no more, summed over their kinds
LEVELS = 100  # into which a gap is divided
SIDE_LEVELS = 128  # into which what goes with it is divided
MOST_KINDS = 64  # that take as much; the rarest beyond are not looked at

# Levels that a task takes, of the gap and beside it, and its part of all that come by. One that
# takes nothing of the gap takes what is beside it in any case.
Kinds = tuple[tuple[int, float, float], ...]


class Patience:
    """See the module."""

    name = "patience"

    def __init__(self) -> None:
        self._workload = Workload()
        self._planned: tuple[Pool, _Plan] | None = None

    def learn(self, workload: Workload) -> None:
        """See Policy. About the same as before is not worth another plan."""
        if not _alike(self._workload, workload):
            self._workload = workload
            self._planned = None

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        if self._planned is None or self._planned[0] is not pool:
            self._planned = (pool, _Plan(self._workload, pool))
        plan = self._planned[1]
        grows = plan.waste(nodes, after) - plan.waste(nodes, pool.holdings(nodes))
        unused = (pool.scalars[nodes] == pool.total[nodes]).all(axis=1)
        return np.asarray(grows + UNUSED * unused)


def _alike(one: Workload, other: Workload) -> bool:
    before, now = dict(one.kinds), dict(other.kinds)
    if before.keys() != now.keys():
        return False
    return sum(abs(part - before[shape]) for shape, part in now.items()) < ALIKE


class _Plan:
    """The values of gaps for one workload, and how the nodes of a pool are read as gaps."""

    def __init__(self, workload: Workload, pool: Pool) -> None:
        self._pool = pool
        by_scarcity = _scarcest(workload, pool)
        self._on_gpus = bool(by_scarcity) and by_scarcity[0] == GPUS
        names = [name for name in by_scarcity if name != GPUS]
        self._main = None if self._on_gpus or not names else pool.column(names[0])
        rest = names if self._on_gpus else names[1:]
        self._side = pool.column(rest[0]) if rest else None
        self._side_unit = 1.0
        if self._side is not None:
            gaps = np.maximum(pool.devices, 1) if self._on_gpus else 1
            largest = (pool.total[:, self._side] / gaps).max(initial=1)
            self._side_unit = max(1.0, largest / SIDE_LEVELS)
        self._main_unit = MILLI / LEVELS
        if self._main is not None:
            self._main_unit = max(1.0, pool.total[:, self._main].max(initial=1) / LEVELS)
        self._taken = self._part_taken(workload)
        self._tables, self._table = self._values_by_model(workload)
        self._gangs = _Gangs(workload, pool, self._side) if self._on_gpus else None

    def _values_by_model(self, workload: Workload) -> tuple[Floats, Ints]:
        """The values of gaps of GPUs of each model that matters, and which a node goes by."""
        pool = self._pool
        named = sorted({shape.models for shape, _ in workload.kinds if shape.models})
        if not named:
            table = _values(self._kinds(workload), PATIENCE)
            return table[None], np.zeros(len(pool), dtype=np.int64)
        welcome = np.array([pool.have(models) for models in named])
        groups, group = np.unique(welcome, axis=1, return_inverse=True)
        tables = []
        for here in groups.T:
            barred = {models for models, there in zip(named, here, strict=True) if not there}
            kinds = tuple(kind for kind in workload.kinds if kind[0].models not in barred)
            tables.append(_values(self._kinds(Workload(kinds)), PATIENCE))
        return np.array(tables), np.asarray(group.reshape(-1), dtype=np.int64)

    def _amount(self, shape: Shape, column: int | None) -> int:
        if column is None:
            return 0
        return dict(shape.scalars).get(self._pool.names[column], 0)

    def _kinds(self, workload: Workload) -> Kinds:
        """What each kind takes of a gap; a task of several GPUs is as many gaps of a whole one."""
        devices = self._pool.devices
        gaps = round(devices.sum() / np.count_nonzero(devices)) if self._on_gpus else 1
        counts: dict[tuple[int, float], float] = {}
        for shape, part in workload.kinds:
            split = max(1, shape.whole_gpus) if self._on_gpus else 1
            main = min(shape.gpus, MILLI) if self._on_gpus else self._amount(shape, self._main)
            side = self._amount(shape, self._side) / split / self._side_unit
            if self._on_gpus and not shape.gpus:
                key = (0, round(side / gaps, 2))
            else:
                key = (int(np.ceil(main / self._main_unit)), float(np.ceil(side)))
            counts[key] = counts.get(key, 0.0) + part * split
        most = sorted(counts.items(), key=lambda item: -item[1])[:MOST_KINDS]
        total = sum(part for _, part in most)
        return tuple(
            (*key, part / total * (1 if key[0] else self._taken)) for key, part in sorted(most)
        )

    def _part_taken(self, workload: Workload) -> float:
        """The part of the tasks without GPUs that takes from a gap: all where CPU is scarce.

        Where more than enough is there for every GPU, they find it elsewhere.
        """
        if not self._on_gpus or self._side is None:
            return 1.0
        wanted = sum(part * self._amount(shape, self._side) for shape, part in workload.kinds)
        gpus = sum(part * shape.gpus for shape, part in workload.kinds)
        have = int(self._pool.total[:, self._side].sum()) / (self._pool.devices.sum() * MILLI)
        least, most = ENOUGH
        scarce = (wanted / max(gpus, 1e-9) / max(have, 1e-9) - least) / (most - least)
        return round(float(min(max(scarce, 0.1), 1.0)), 1)

    def waste(self, nodes: Ints, free: Holdings) -> Floats:
        """What will be wasted of some nodes, in units of the scarcest resource."""
        side = free.scalars[:, self._side] if self._side is not None else None
        if not self._on_gpus:
            if self._main is None:
                return np.zeros(len(nodes))
            return self._look_up(self._table[nodes], free.scalars[:, self._main], side)
        gpus = free.gpus
        whole = np.maximum(gpus.sum(axis=1, keepdims=True), 1)
        # The node's CPU and the like are divided among its GPUs by what is free of each.
        beside = None if side is None else side[:, None] * gpus / whole
        gaps = self._look_up(self._table[nodes, None], gpus, beside)
        out = gaps.sum(axis=1)
        if self._gangs is not None:
            out += self._gangs.lost(nodes, gpus, side) / self._main_unit
        return np.asarray(out)

    def _look_up(self, table: Ints, gap: Ints, beside: Ints | Floats | None) -> Floats:
        level = np.minimum(gap / self._main_unit, LEVELS).astype(np.int64)
        if beside is None:
            return np.asarray(self._tables[table, level, SIDE_LEVELS])
        side_level = np.minimum(beside / self._side_unit, SIDE_LEVELS).astype(np.int64)
        return np.asarray(self._tables[table, level, side_level])


class _Gangs:
    """Tasks of several GPUs; where one does not fit any more, all that is free is lost to it."""

    def __init__(self, workload: Workload, pool: Pool, side: int | None) -> None:
        shapes = [(shape, part) for shape, part in workload.kinds if shape.whole_gpus > 1]
        wanted = sum(part * shape.gpus for shape, part in workload.kinds)
        by_gangs = sum(part * shape.gpus for shape, part in shapes) / max(wanted, 1)
        # Where they ask for little, others fill what they leave. KEPT is for when there is room.
        least = KEPT / max(sum(part for _, part in shapes), 1e-9)
        self._parts = np.array([part * (by_gangs**2 + least) for _, part in shapes])
        self._counts = np.array([shape.whole_gpus for shape, _ in shapes], dtype=np.int64)
        name = pool.names[side] if side is not None else ""
        self._sides = np.array([dict(s.scalars).get(name, 0) for s, _ in shapes], dtype=np.int64)
        self._have = pool.have_each([shape for shape, _ in shapes])

    def lost(self, nodes: Ints, gpus: Ints, side: Ints | None) -> Floats:
        """What is lost to them of some nodes' GPUs, in thousandths of one."""
        if not len(self._parts):
            return np.zeros(len(nodes))
        fits: Bools = (gpus == MILLI).sum(axis=1)[:, None] >= self._counts
        if side is not None:
            fits &= side[:, None] >= self._sides
        if self._have is not None:
            fits &= self._have[nodes]
        return np.asarray(gpus.sum(axis=1) * (~fits @ self._parts))


def _scarcest(workload: Workload, pool: Pool) -> list[str]:
    """Resources that tasks need, GPUs first, then by how much of all is needed for one task."""
    needed: dict[str, float] = {}
    for shape, part in workload.kinds:
        for name, value in shape.scalars:
            needed[name] = needed.get(name, 0.0) + part * value
    have = dict(zip(pool.names, pool.total.sum(axis=0).tolist(), strict=True))
    names = sorted(
        (name for name in needed if have.get(name)),
        key=lambda name: -needed[name] / have[name],
    )
    with_gpus = pool.devices.any() and any(shape.gpus for shape, _ in workload.kinds)
    return [GPUS, *names] if with_gpus else names


@lru_cache(maxsize=32)
def _values(kinds: Kinds, patience: int) -> Floats:
    """W[patience] for every gap: (LEVELS + 1) × (SIDE_LEVELS + 1), in levels."""
    gaps = np.arange(LEVELS + 1, dtype=np.float64)
    waste: Floats = np.repeat(gaps[:, None], SIDE_LEVELS + 1, axis=1)
    fitting = [kind for kind in kinds if kind[0] <= LEVELS and np.ceil(kind[1]) <= SIDE_LEVELS]
    after, spare = np.empty_like(waste), np.empty(waste.size)
    for _ in range(patience):
        after[:] = waste
        for main, side, part in fitting:
            there = waste[main:, int(np.ceil(side)) :]
            grows = spare[: there.size].reshape(there.shape)  # made anew, each would cost as much
            np.subtract(_without(waste, main, side), there, out=grows)
            if main:
                np.minimum(grows, 0, out=grows)
            grows *= part
            after[main:, int(np.ceil(side)) :] += grows
        waste, after = after, waste
    return waste


def _without(waste: Floats, main: int, side: float) -> Floats:
    """The waste of each gap that has so much when it is gone, between two levels if it must be."""
    rows, columns = len(waste) - main, waste.shape[1] - int(np.ceil(side))
    then = waste[:rows, :columns]
    if rest := side % 1:
        return np.asarray(rest * then + (1 - rest) * waste[:rows, 1 : columns + 1])
    return then
