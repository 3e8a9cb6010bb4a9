"""Replaying recorded workloads: the protocol of the FGD paper (Weng et al., USENIX ATC'23).

Pods are shuffled, and random ones are repeated until their GPU requests reach a part of the GPUs
(130 % in the paper), or removed at random if there are more; the nodes are permuted; then pods are
placed one by one, and what does not fit is dropped. The figure is the share of the GPUs that is
allocated at the end. Traces without GPUs go by their scarcest resource instead.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pymesos_binpack.packing.policies import Policy
from pymesos_binpack.packing.pool import Node, Placement, Pool
from pymesos_binpack.packing.shape import GPUS, Shape, ShapeError, Workload, shape_of
from pymesos_core.resources import MILLI

LOAD = 1.3
CURVE_POINTS = 100
MAX_ROWS = 1_000_000


class TraceError(ValueError):
    """A trace that cannot be read: the message names file, line and column."""


def read_nodes(path: Path) -> list[Node]:
    """Columns cpu_milli, memory_mib, and perhaps gpu (a count). Raises TraceError."""
    nodes = []
    for row in _rows(path, ("cpu_milli", "memory_mib")):
        free = {"cpus": row.number("cpu_milli"), "mem": row.number("memory_mib") * MILLI}
        nodes.append(Node(free, free, (MILLI,) * row.number("gpu", 0)))
    if not nodes:
        raise TraceError(f"{path} has no nodes")
    return nodes


def read_pods(path: Path) -> list[Shape]:
    """Columns cpu_milli, memory_mib, and perhaps num_gpu and gpu_milli. Raises TraceError."""
    shapes = []
    for row in _rows(path, ("cpu_milli", "memory_mib")):
        scalars = {"cpus": row.number("cpu_milli"), "mem": row.number("memory_mib") * MILLI}
        count = row.number("num_gpu", 0)
        share = row.number("gpu_milli", MILLI)
        try:
            shapes.append(shape_of({**scalars, GPUS: share if count == 1 else count * MILLI}))
        except ShapeError as error:
            raise TraceError(f"{row.where}: {error}") from error
    if not shapes:
        raise TraceError(f"{path} has no pods")
    return shapes


def _rows(path: Path, needed: Sequence[str]) -> Iterator[_Row]:
    """The rows of a CSV file that has some columns. Raises TraceError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or []
            if missing := [name for name in needed if name not in columns]:
                has = ", ".join(columns)
                raise TraceError(f"{path} lacks the column {missing[0]}; it has {has or 'none'}")
            for number, row in enumerate(rows, start=2):
                if number > MAX_ROWS:
                    raise TraceError(f"{path} has more than {MAX_ROWS} rows")
                yield _Row(f"{path}, line {number}", row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} cannot be read: {error}") from error


@dataclass(frozen=True)
class _Row:
    where: str
    values: dict[str, str]

    def number(self, column: str, default: int | None = None) -> int:
        """A whole number from 0; the default if the file or the row has none."""
        text = self.values.get(column) or ""
        if not text and default is not None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 15:
            raise TraceError(f"{self.where}: {column} is {text!r}; a whole number is expected")
        return int(text)


def scarce(nodes: Sequence[Node], pods: Sequence[Shape]) -> str:
    """GPUs where there are some, else the resource of which the pods want the largest part."""
    if any(node.gpus for node in nodes):
        return GPUS
    wanted, there = _sums(pods), _totals(nodes)
    return max(there, key=lambda name: wanted.get(name, 0) / max(1, there[name]))


def amount(shape: Shape, name: str) -> int:
    """What a shape needs of a resource, in thousandths."""
    return shape.gpus if name == GPUS else dict(shape.scalars).get(name, 0)


def _sums(pods: Iterable[Shape]) -> dict[str, int]:
    out: dict[str, int] = {}
    for pod in pods:
        for name, value in (*pod.scalars, (GPUS, pod.gpus)):
            out[name] = out.get(name, 0) + value
    return out


def _totals(nodes: Iterable[Node]) -> dict[str, int]:
    out: dict[str, int] = {}
    for node in nodes:
        for name, value in node.total.items():
            out[name] = out.get(name, 0) + value
        if node.gpus:
            out[GPUS] = out.get(GPUS, 0) + len(node.gpus) * MILLI
    return out


def arrivals(
    nodes: Sequence[Node], pods: Sequence[Shape], seed: int, load: float = LOAD
) -> tuple[list[Node], list[Shape]]:
    """The nodes permuted, and the pods in the order in which they come, for one seed.

    Raises TraceError when the pods need nothing of what is scarce.
    """
    draw = random.Random(seed)  # noqa: S311 - not a secret
    name = scarce(nodes, pods)
    there = _totals(nodes)[name]
    coming = list(pods)
    draw.shuffle(coming)
    wanted = sum(amount(pod, name) for pod in coming)
    if not wanted:
        raise TraceError(f"no pod needs any {name}")
    while wanted > load * there and len(coming) > 1:
        wanted -= amount(coming.pop(draw.randrange(len(coming))), name)
    while wanted < load * there:
        coming.append(draw.choice(pods))
        wanted += amount(coming[-1], name)
    permuted = list(nodes)
    draw.shuffle(permuted)
    return permuted, coming


@dataclass(frozen=True)
class Point:
    """How full the nodes are when so much has come; all as parts of what there is."""

    load: float
    allocated: dict[str, float]


@dataclass
class Replay:
    """How it went. `placed` counts pods."""

    scarce: str
    placed: int = 0
    dropped: int = 0
    curve: list[Point] = field(default_factory=list)
    stranded: dict[str, float] = field(default_factory=dict)

    @property
    def allocated_percent(self) -> float:
        """Of what is scarce, at the end."""
        return 100 * self.curve[-1].allocated[self.scarce]


def replay(
    nodes: Sequence[Node],
    pods: Sequence[Shape],
    policy: Policy,
    place: Callable[[Pool, Shape], Placement | None] | None = None,
) -> Replay:
    """Place pods one by one. The policy is told what usually comes, as FGD is."""
    workload = Workload.of(pods)
    policy.learn(workload)
    pool = Pool(nodes, policy)
    name = scarce(nodes, pods)
    there = _totals(nodes)
    out = Replay(name)
    come = 0
    every = max(1, len(pods) // CURVE_POINTS)
    for number, pod in enumerate(pods):
        come += amount(pod, name)
        placement = place(pool, pod) if place else pool.choose(pod)
        if placement is None:
            out.dropped += 1
        else:
            pool.take(placement)
            out.placed += 1
        if number % every == 0 or number + 1 == len(pods):
            out.curve.append(Point(come / there[name], allocated(pool)))
    out.stranded = stranded(pool, workload)
    return out


def allocated(pool: Pool) -> dict[str, float]:
    """The part of each resource that is in use."""
    out = {}
    for column, name in enumerate(pool.names):
        total = int(pool.total[:, column].sum())
        out[name] = 1 - int(pool.scalars[:, column].sum()) / total if total else 0.0
    if pool.devices.any():
        out[GPUS] = 1 - int(pool.gpus.sum()) / (int(pool.devices.sum()) * MILLI)
    return out


def stranded(pool: Pool, workload: Workload) -> dict[str, float]:
    """The part of each resource that is free where no usual task that needs it fits any more."""
    out = {}
    everywhere = np.arange(len(pool))
    for name in (*pool.names, *([GPUS] if pool.devices.any() else [])):
        usable = np.zeros(len(pool), dtype=bool)
        for shape, _ in workload.kinds:
            if amount(shape, name):
                usable |= pool.fits(shape, everywhere)
        free, total = pool.free_and_total(name)
        out[name] = float(free[~usable].sum() / max(1, total.sum()))
    return out
