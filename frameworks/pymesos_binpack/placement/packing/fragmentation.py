"""Fragmentation gradient descent (Weng et al., USENIX ATC'23), as its authors' simulator has it."""

from __future__ import annotations

import numpy as np

from pymesos_binpack.placement.packing.pool import Bools, Floats, Holdings, Ints, Pool
from pymesos_binpack.placement.packing.shape import Shape, Workload
from pymesos_core.resource_values import MILLI

STEPS = 100  # to so many whole numbers the authors' simulator rounds a score
POPULAR = 0.95  # of all tasks; the kinds beyond are not counted


class Fgd:
    """Where what is free becomes less useless to the tasks that usually come.

    What is free of a node's GPUs is useless to a kind of task that does not fit, for lack of CPU,
    of GPUs or of a model that will do; if it does fit, the devices are that have less free than it
    needs. The policy goes down that gradient. Scores
    are rounded as its authors do, and ties go to the first node: that is a part of the policy.
    """

    name = "fgd"

    def __init__(self) -> None:
        self._workload = Workload()
        self._kinds: tuple[Pool, _Kinds] | None = None

    def learn(self, workload: Workload) -> None:
        """See Policy."""
        self._kinds = None
        kept, seen = [], 0.0
        for shape, part in workload.kinds:
            kept.append((shape, part))
            seen += part
            if seen >= POPULAR:
                break
        self._workload = Workload(tuple(kept))

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy. Where there are no GPUs none becomes more or less useless."""
        if not pool.gpus.shape[1]:
            return np.full(len(nodes), -np.floor(STEPS / 2))
        if self._kinds is None or self._kinds[0] is not pool:
            self._kinds = (pool, _Kinds(self._workload, pool))
        kinds = self._kinds[1]
        less = kinds.useless(nodes, pool.holdings(nodes)) - kinds.useless(nodes, after)
        return -np.floor(STEPS / (1 + np.exp(-less / MILLI)))


class _Kinds:
    """The workload as arrays."""

    def __init__(self, workload: Workload, pool: Pool) -> None:
        self._cpus_column = pool.names.index("cpus") if "cpus" in pool.names else None
        shapes = [shape for shape, _ in workload.kinds]
        parts = np.array([part for _, part in workload.kinds])
        self._parts = parts / parts.sum() if len(parts) else parts
        self._cpus = np.array([dict(s.scalars).get("cpus", 0) for s in shapes], dtype=np.int64)
        self._share = np.array([s.gpu_share or (MILLI if s.gpus else 0) for s in shapes], dtype=int)
        self._count = np.array([max(s.whole_gpus, 1 if s.gpus else 0) for s in shapes], dtype=int)
        self._levels, self._level = np.unique(self._share, return_inverse=True)
        self._have = pool.have_each(shapes)

    def useless(self, nodes: Ints, free: Holdings) -> Floats:
        """What of the GPUs a task that comes cannot use, on average over the kinds."""
        gpus = free.gpus[:, None, :]
        enough: Bools = (gpus >= self._levels[None, :, None]) & (gpus > 0)
        too_small = np.where(gpus >= self._levels[None, :, None], 0, gpus).sum(axis=-1)
        fits = enough.sum(axis=-1)[:, self._level] >= self._count
        if self._cpus_column is not None:
            fits &= free.scalars[:, self._cpus_column, None] >= self._cpus
        fits &= self._count > 0
        if self._have is not None:
            fits &= self._have[nodes]
        whole = free.gpus.sum(axis=1)[:, None]
        return np.asarray(
            (np.where(fits, too_small[:, self._level], whole) * self._parts).sum(axis=1)
        )
