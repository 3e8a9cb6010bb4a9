"""Packing policies: each scores one placement; the lowest wins, the first offer breaks ties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Policy(Protocol):
    """Scores a task on an offer. Amounts in thousandths, by resource name."""

    name: str

    def score(
        self, task: Mapping[str, int], available: Mapping[str, int], total: Mapping[str, int]
    ) -> float:
        """How bad it is to place the task here; the task fits."""


class BestFit:
    """Least left over, as a fraction of the agent, summed over all resources.

    The "best fit" of the vector bin packing literature (Panigrahy et al., 2011, "Heuristics for
    Vector Bin Packing"), so that large gaps stay large.
    """

    name = "best-fit"

    def score(
        self, task: Mapping[str, int], available: Mapping[str, int], total: Mapping[str, int]
    ) -> float:
        """See Policy."""
        return sum(
            (amount - task.get(name, 0)) / total[name]
            for name, amount in available.items()
            if total.get(name)
        )


class Spread:
    """The most left over: the opposite of packing."""

    name = "spread"

    def score(
        self, task: Mapping[str, int], available: Mapping[str, int], total: Mapping[str, int]
    ) -> float:
        """See Policy."""
        return -BestFit().score(task, available, total)


POLICIES: Mapping[str, Policy] = {policy.name: policy for policy in (BestFit(), Spread())}
DEFAULT_POLICY = BestFit.name
