"""The fewest machines of one kind for some tasks: how many are needed?

Machines are filled one at a time, each with the task whose needs, weighted by how scarce each
resource is, point most in the direction of what is left (Panigrahy et al., 2011, "Heuristics for
Vector Bin Packing"). Then machines are emptied and their tasks packed again, as long as that saves
one and the budget lasts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from pymesos_binpack.placement.packing.pool import Floats, Ints, Node
from pymesos_binpack.placement.packing.shape import Shape
from pymesos_core.resource_values import format_milli

ROUNDS = 400  # of emptying some machines
EMPTIED = 6  # machines at a time


class TooLargeError(ValueError):
    """A task that does not fit on an empty machine."""


def fewest_bins(shapes: Sequence[Shape], machine: Node, rounds: int = ROUNDS) -> int:
    """How many machines the best packing found has. Scalars only. Raises TooLargeError."""
    if not shapes:
        return 0
    names = sorted({name for shape in shapes for name, _ in shape.scalars})
    needs = np.array([[dict(s.scalars).get(n, 0) for n in names] for s in shapes], dtype=np.int64)
    size = np.array([machine.total.get(name, 0) for name in names], dtype=np.int64)
    if (needs > size).any():
        row = int(np.flatnonzero((needs > size).any(axis=1))[0])
        over = [
            f"{format_milli(int(needs[row, n]))} {name} of {format_milli(int(size[n]))}"
            for n, name in enumerate(names)
            if needs[row, n] > size[n]
        ]
        raise TooLargeError(f"a pod asks for more than a machine has: {', '.join(over)}")
    parts = needs / np.maximum(size, 1)
    bound = max(1, int(np.ceil(parts.sum(axis=0).max(initial=0) - 1e-9)))
    best = min((_fill(parts, power) for power in (0.5, 1.0, 2.0)), key=len)
    draw = random.Random(len(shapes))  # noqa: S311 - the same answer each time
    for _ in range(rounds):
        if len(best) <= bound:
            break
        best = _repack(best, parts, draw)
    return len(best)


def _fill(parts: Floats, power: float, order: Ints | None = None) -> list[list[int]]:
    """Machine by machine: of what fits, what points most where there is room."""
    left = np.arange(len(parts), dtype=np.int64) if order is None else order
    weights = parts[left].mean(axis=0) ** power
    out: list[list[int]] = []
    while len(left):
        free = np.ones(parts.shape[1])
        chosen: list[int] = []
        candidates = parts[left]
        there = np.ones(len(left), dtype=bool)
        while True:
            there &= (candidates <= free + 1e-9).all(axis=1)
            if not there.any():
                break
            alike = np.where(there, candidates @ (weights * free), -1.0)
            row = int(alike.argmax())
            chosen.append(row)
            there[row] = False
            free = free - candidates[row]
        out.append([int(left[row]) for row in chosen])
        left = np.delete(left, chosen)
    return out


def _repack(bins: list[list[int]], parts: Floats, draw: random.Random) -> list[list[int]]:
    """Empty some machines, the emptiest likeliest, and pack what was on them anew."""
    fullness = [parts[items].sum() for items in bins]
    order = sorted(range(len(bins)), key=lambda b: fullness[b] * draw.uniform(0.6, 1.4))
    emptied = set(order[:EMPTIED])
    items = np.array(sorted(i for b in emptied for i in bins[b]), dtype=np.int64)
    packed = _fill(parts, draw.choice((0.25, 0.5, 1.0, 2.0)), items)
    if len(packed) > len(emptied):
        return bins
    return [items for b, items in enumerate(bins) if b not in emptied] + packed
