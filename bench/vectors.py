"""Fewest bins for vectors: the planner's policies beside the literature's heuristics.

Items as in Panigrahy et al. (2011, "Heuristics for Vector Bin Packing"), after Caprara and Toth's
classes: each coordinate is drawn alone and evenly, in [lo, hi] of a bin of 1000; or the second of
each pair follows the first, alike or opposed. The bound is the LP's: of the assignment relaxation
this is the largest sum of any coordinate, rounded up.
"""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Sequence

from pymesos_binpack.placement.packing import Pool, Shape, Workload, read_policy
from pymesos_binpack.placement.packing.bins import fewest_bins
from pymesos_binpack.placement.packing.pool import Node

BIN = 1000
ITEMS = 200
DIMENSIONS = (2, 5, 10)
Vector = tuple[int, ...]


def _uniform(lo: int, hi: int) -> Callable[[random.Random, int], Vector]:
    return lambda draw, size: tuple(draw.randint(lo, hi) for _ in range(size))


def _correlated(draw: random.Random, size: int) -> Vector:
    first = [draw.randint(100, 400) for _ in range((size + 1) // 2)]
    return tuple(v for one in first for v in (one, _near(draw, one)))[:size]


def _opposed(draw: random.Random, size: int) -> Vector:
    first = [draw.randint(100, 400) for _ in range((size + 1) // 2)]
    return tuple(v for one in first for v in (one, _near(draw, 500 - one)))[:size]


def _near(draw: random.Random, value: int) -> int:
    return max(1, value + draw.randint(-50, 50))


CLASSES: dict[str, Callable[[random.Random, int], Vector]] = {
    "uniform 10-40 %": _uniform(100, 400),
    "uniform 1-100 %": _uniform(1, 1000),
    "uniform 5-20 %": _uniform(50, 200),
    "correlated": _correlated,
    "opposed": _opposed,
}


def shape(vector: Vector) -> Shape:
    """A vector as a task."""
    return Shape(tuple((f"r{index}", value) for index, value in enumerate(vector)))


def bound(items: Sequence[Vector]) -> int:
    """No packing has fewer bins."""
    return max(math.ceil(sum(item[r] for item in items) / BIN) for r in range(len(items[0])))


def first_fit_decreasing(items: Sequence[Vector]) -> int:
    """By the sum of the coordinates, each into the first bin that it fits in."""
    return _greedy(sorted(items, key=sum, reverse=True), "first-fit")


def dot_product(items: Sequence[Vector]) -> int:
    """The bin-centric heuristic of Panigrahy et al.: fill one bin at a time with the item whose
    weighted dot product with what is left of it is the largest."""
    left = list(items)
    weights = [sum(column) / len(items) / BIN for column in zip(*items, strict=True)]
    bins = 0
    while left:
        bins += 1
        free = [BIN] * len(weights)
        while True:
            fitting = [v for v in left if all(a <= b for a, b in zip(v, free, strict=True))]
            if not fitting:
                break
            chosen = _most_alike(fitting, [w * b for w, b in zip(weights, free, strict=True)])
            left.remove(chosen)
            free = [b - a for a, b in zip(chosen, free, strict=True)]
    return bins


def _most_alike(vectors: Sequence[Vector], direction: Sequence[float]) -> Vector:
    def dot(vector: Vector) -> float:
        return sum(a * b for a, b in zip(vector, direction, strict=True))

    return max(vectors, key=dot)


def _greedy(items: Sequence[Vector], policy_name: str) -> int:
    policy = read_policy(policy_name)
    policy.learn(Workload.of([shape(v) for v in items]))
    full = {f"r{index}": BIN for index in range(len(items[0]))}
    pool = Pool([Node(full, full) for _ in items], policy)
    used: set[int] = set()
    for vector in items:
        placement = pool.choose(shape(vector))
        assert placement is not None
        pool.take(placement)
        used.add(placement.node)
    return len(used)


def ours(items: Sequence[Vector]) -> int:
    """The planner's search."""
    full = {f"r{index}": BIN for index in range(len(items[0]))}
    return fewest_bins([shape(v) for v in items], Node(full, full))


METHODS: dict[str, Callable[[Sequence[Vector]], int]] = {
    "lp bound": bound,
    "ours": ours,
    "dot-product": dot_product,
    "ffd": first_fit_decreasing,
}


def report(instances: int, *, as_json: bool) -> None:
    """A line for each class and number of resources."""
    for dimensions in DIMENSIONS:
        for name, make in CLASSES.items():
            counts: dict[str, list[int]] = {method: [] for method in METHODS}
            for seed in range(instances):
                draw = random.Random(f"{name} {dimensions} {seed}")
                items = [make(draw, dimensions) for _ in range(ITEMS)]
                for method, solve in METHODS.items():
                    counts[method].append(solve(items))
            means = {method: statistics.fmean(found) for method, found in counts.items()}
            if as_json:
                print(json.dumps({"class": name, "resources": dimensions, "bins": means}))
            else:
                bins = ", ".join(f"{method} {mean:.1f}" for method, mean in means.items())
                print(f"{dimensions:2d} resources, {name}: {bins}", flush=True)
