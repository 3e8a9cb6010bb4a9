"""Packing policies: each scores placements; the lowest score wins, the first node breaks ties.

The tie-break is part of every policy's contract. Scores that are to count as equal are made equal
by the policy itself, by rounding.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pymesos_binpack.placement.packing.fragmentation import Fgd
from pymesos_binpack.placement.packing.own import OwnPolicy
from pymesos_binpack.placement.packing.patience import Patience
from pymesos_binpack.placement.packing.pool import Floats, Holdings, Ints, Pool
from pymesos_binpack.placement.packing.shape import Shape, Workload
from pymesos_core.numbers import NumberSyntaxError, parse_real
from pymesos_core.resource_values import MILLI
from pymesos_core.text import quoted


class PolicyError(ValueError):
    """No such policy: the message names those that are there."""


class Policy(Protocol):
    """Scores placements of one shape on many nodes at once.

    A score may depend on the shape, on what the node has and has free, and on the workload; not on
    other nodes, since it is kept until the node changes.
    """

    name: str

    def learn(self, workload: Workload) -> None:
        """What usually comes; before the pool is made that is scored."""

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """How bad each placement is: on `nodes` (rows of the pool), which then have `after` free.

        A node may be there several times, with a device of it for each.
        """


class _Plain:
    """A policy that does not ask what usually comes."""

    def learn(self, workload: Workload) -> None:
        """See Policy."""


class FirstFit(_Plain):
    """The first node that it fits on."""

    name = "first-fit"

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        return np.zeros(len(nodes))


class BestFit(_Plain):
    """Least left over, as a part of the node, summed over all resources.

    The "best fit" of the vector bin packing literature (Panigrahy et al., 2011, "Heuristics for
    Vector Bin Packing"), so that large gaps stay large.
    """

    name = "best-fit"

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        total = np.maximum(pool.total[nodes], 1)
        left = (after.scalars / total).sum(axis=1)
        gpus = after.gpus.sum(axis=1) / np.maximum(pool.devices[nodes] * MILLI, 1)
        return np.asarray(left + gpus)


class Spread(_Plain):
    """The most left over: the opposite of packing."""

    name = "spread"

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        return -BestFit().score(pool, shape, nodes, after)


class DotProduct(_Plain):
    """Where what is free looks most like what is needed (Panigrahy et al., and Tetris)."""

    name = "dot-product"

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        largest = np.maximum(pool.total.max(axis=0), 1)
        needs = np.array([dict(shape.scalars).get(name, 0) for name in pool.names])
        alike = ((pool.scalars[nodes] / largest) * (needs / largest)).sum(axis=1)
        gpus = max(1, int(pool.devices.max(initial=0)) * MILLI)
        on_gpus = pool.gpus[nodes].sum(axis=1) / gpus * (shape.gpus / gpus)
        return np.asarray(-(alike + on_gpus))


@dataclass
class Weighted:
    """The sum of several policies' scores, each times its weight."""

    name: str
    parts: tuple[tuple[float, Policy], ...]

    def learn(self, workload: Workload) -> None:
        """See Policy."""
        for _, policy in self.parts:
            policy.learn(workload)

    def score(self, pool: Pool, shape: Shape, nodes: Ints, after: Holdings) -> Floats:
        """See Policy."""
        out = np.zeros(len(nodes))
        for weight, policy in self.parts:
            out += weight * policy.score(pool, shape, nodes, after)
        return out


POLICIES: Mapping[str, type[Policy]] = {
    "patience": Patience,
    "best-fit": BestFit,
    "dot-product": DotProduct,
    "fgd": Fgd,
    "first-fit": FirstFit,
    "spread": Spread,
}
DEFAULT_POLICY = "default"
MAX_TOLD_BYTES = 1000
# Of gaps of about the same value to those that come later, the one of less use now.
DEFAULT = "patience+0.003*fgd"


MEANINGS: Mapping[str, str] = {
    "patience": "how much less the tasks that usually come could make of the agent",
    "best-fit": "what is left of the agent, as parts of what it has, summed over its resources",
    "dot-product": "minus how much what is free looks like what the task needs",
    "fgd": "minus how few of the agent's GPUs become useless to the tasks that usually come, from 0"
    " to 100",
    "first-fit": "0 for every agent that will do",
    "spread": "minus what is left of the agent, as parts of what it has",
}


def meaning_of(name: str) -> str:
    """What the scores of a policy mean, by its name; in one line."""
    sums = DEFAULT if name == DEFAULT_POLICY else name
    parts = [part.strip() for part in sums.split("+")]
    named = {part: part.rpartition("*")[2].strip() for part in parts}
    about = [f"{part} is {MEANINGS[of]}" for part, of in named.items() if of in MEANINGS]
    own = [part for part, of in named.items() if of not in MEANINGS]
    about += [f"{', '.join(own)} has scores of its own"] if own else []
    return f"the lowest wins, the first offered among equals; {'; '.join(about)}"


def read_policy(text: str) -> Policy:
    """A policy by name, a sum such as `best-fit+0.5*spread`, or `module:Class` of your own.

    Raises PolicyError.
    """
    sums = DEFAULT if text == DEFAULT_POLICY else text
    parts = [_weighted(part.strip()) for part in sums.split("+")]
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else Weighted(text, tuple(parts))


def text_of(policy: Policy) -> str:
    """A policy as `read_policy` takes it, to be told to others; what is too long is cut."""
    text = policy.text if isinstance(policy, OwnPolicy) else policy.name
    return text.encode()[:MAX_TOLD_BYTES].decode(errors="ignore")


def policy_told(text: str) -> Policy | None:
    """The policy that somebody else tells of, or None for one that is not of this package.

    Nothing is imported for it.
    """
    if ":" in text or len(text) >= MAX_TOLD_BYTES:
        return None
    try:
        return read_policy(text)
    except PolicyError:
        return None


def _weighted(text: str) -> tuple[float, Policy]:
    weight, star, name = text.rpartition("*")
    try:
        factor = parse_real(weight) if star else 1.0
    except NumberSyntaxError as error:
        raise PolicyError(f"in the policy {quoted(text)} {error}") from error
    return factor, _named(name.strip())


def _named(name: str) -> Policy:
    if name in POLICIES:
        return POLICIES[name]()
    module, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join([DEFAULT_POLICY, *sorted(POLICIES)])
        raise PolicyError(
            f"there is no policy {quoted(name)}; there are {known}, sums such as"
            f" best-fit+0.5*spread, and module:Class of your own"
        )
    try:
        made: Policy = getattr(importlib.import_module(module), attribute)()
    except Exception as error:  # whatever somebody else's module raises
        raise PolicyError(f"the policy {quoted(name)} cannot be had: {error}") from error
    if not all(callable(getattr(made, method, None)) for method in ("learn", "score")):
        raise PolicyError(
            f"{quoted(name)} is no policy: an object with the methods learn and score is expected,"
            f" as {Policy.__module__}.Policy has them"
        )
    return OwnPolicy(name, made, read_policy(DEFAULT_POLICY))
