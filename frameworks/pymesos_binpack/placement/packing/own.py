"""A packing policy of somebody's own, which may fail: no job has to wait, or to go, for that."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np

from pymesos_binpack.placement.packing.pool import Floats, Holdings, Ints, Pool, Scorer
from pymesos_binpack.placement.packing.shape import Shape, Workload

WORST = np.finfo(np.float64).max

log = logging.getLogger(__name__)


class Learning(Scorer, Protocol):
    """A policy: see `policies.Policy`."""

    name: str

    def learn(self, workload: Workload) -> None:
        """What usually comes."""


class OwnPolicy:
    """Scores as the policy does until that fails; from then on as another one does.

    An error in the midst of a plan would be taken for one of the job that is being placed, and each
    job be put into quarantine in its turn.
    """

    def __init__(self, text: str, own: Learning, instead: Learning) -> None:
        """`text` is as `read_policy` takes it."""
        self.text = text
        self.name = str(getattr(own, "name", text))
        self.failed = False
        self._own = own
        self._instead = instead

    def learn(self, workload: Workload) -> None:
        """See Policy."""
        self._instead.learn(workload)
        if not self.failed:
            try:
                self._own.learn(workload)
            except Exception as error:
                self._fail("learn", error)

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        if not self.failed:
            try:
                return _checked(self._own.score(pool, shape, nodes, after), len(nodes))
            except Exception as error:
                self._fail("score", error)
        return self._instead.score(pool, shape, nodes, after)

    def _fail(self, method: str, error: Exception) -> None:
        self.failed = True
        log.error(
            "the policy %s has failed in %s (%s: %s); until the next start %s places instead of it",
            self.text, method, type(error).__name__, error, self._instead.name,
            exc_info=error,
        )  # fmt: skip


def _checked(scores: object, number: int) -> Floats:
    """Scores as numbers, one for each place. Raises ValueError, TypeError."""
    out = np.asarray(scores, dtype=np.float64)
    if out.shape != (number,):
        raise ValueError(
            f"an array of {number} scores is expected, and one of {out.shape} is given"
        )
    if np.isnan(out).any():
        raise ValueError("a score is NaN")
    return np.clip(out, -WORST, WORST)  # infinite is what does not fit
