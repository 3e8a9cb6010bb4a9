"""Replaying recorded workloads: the protocol of the FGD paper (Weng et al., USENIX ATC'23).

Pods are shuffled, and random ones are repeated until their GPU requests reach a part of the GPUs
(130 % in the paper), or removed at random if there are more; the nodes are permuted; then pods are
placed one by one, and what does not fit is dropped. The figure is the share of the GPUs that is
allocated at the end. Traces without GPUs go by their scarcest resource instead.
"""

from __future__ import annotations

import csv
import itertools
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pymesos_binpack.placement.packing.policies import Policy
from pymesos_binpack.placement.packing.pool import Node, Placement, Pool
from pymesos_binpack.placement.packing.shape import GPUS, Shape, ShapeError, Workload, shape_of
from pymesos_core.numbers import NumberSyntaxError, parse_whole
from pymesos_core.resource_values import MILLI
from pymesos_core.text import quoted

LOAD = 1.3
CURVE_POINTS = 100
MAX_ROWS = 1_000_000
MAX_GPUS = 1024  # of a machine or a pod
# The columns of the published traces, and whether they must be there.
NODE_COLUMNS = {"sn": False, "cpu_milli": True, "memory_mib": True, "gpu": False, "model": False}
POD_COLUMNS = {
    "name": False, "cpu_milli": True, "memory_mib": True, "num_gpu": False, "gpu_milli": False,
    "gpu_spec": False, "qos": False, "pod_phase": False, "creation_time": False,
    "deletion_time": False, "scheduled_time": False,
}  # fmt: skip


class TraceError(ValueError):
    """A trace that cannot be read: the message names file, line and column."""


def read_nodes(path: Path) -> list[Node]:
    """Columns cpu_milli, memory_mib, and perhaps gpu (a count) and model. Raises TraceError."""
    nodes = []
    for row in _rows(path, NODE_COLUMNS):
        free = {"cpus": row.number("cpu_milli"), "mem": row.number("memory_mib") * MILLI}
        gpus = (MILLI,) * row.number("gpu", 0, MAX_GPUS)
        nodes.append(Node(free, free, gpus, row.text("model")))
    if not nodes:
        raise TraceError(f"{path} has no nodes")
    return nodes


def read_pods(path: Path, nodes: Sequence[Node] = ()) -> list[Shape]:
    """Columns cpu_milli, memory_mib, and perhaps num_gpu, gpu_milli and gpu_spec.

    A gpu_spec such as `V100M16|V100M32` are the models that will do; with `nodes`, one that none of
    them has is an error. Raises TraceError.
    """
    there = {node.model for node in nodes if node.model}
    shapes = []
    for row in _rows(path, POD_COLUMNS):
        scalars = {"cpus": row.number("cpu_milli"), "mem": row.number("memory_mib") * MILLI}
        models = row.models()
        if nodes and models and there.isdisjoint(models):
            raise row.wrong("gpu_spec", "no machine has such a GPU; their models are", there)
        try:
            shapes.append(shape_of({**scalars, GPUS: row.gpus()}, models))
        except ShapeError as error:
            raise TraceError(f"{row.where}: {error}") from error
    if not shapes:
        raise TraceError(f"{path} has no pods")
    return shapes


def line_of_pod(path: Path, index: int) -> str:
    """Where the pod stands that `read_pods` has read as number `index`, as file and line."""
    return next(itertools.islice(_rows(path, POD_COLUMNS), index, None)).where


def _rows(path: Path, columns: Mapping[str, bool]) -> Iterator[_Row]:
    """The rows of a CSV file with such columns; those that are True must be. Raises TraceError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restkey="", restval="")
            _check_columns(path, rows.fieldnames or [], columns)
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if rows.line_num > MAX_ROWS:
                    raise TraceError(f"{path} has more than {MAX_ROWS} rows")
                if "" in row:
                    raise TraceError(f"{where}: it has more values than there are columns")
                yield _Row(where, row)
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path} cannot be read: it is not text in UTF-8") from error
    except csv.Error as error:
        raise TraceError(f"{path} is not CSV: {error}") from error


def _check_columns(path: Path, there: Sequence[str], known: Mapping[str, bool]) -> None:
    names = ", ".join(known)
    for number, name in enumerate(there):
        if name not in known:
            raise TraceError(
                f"{path}, line 1: the column {quoted(name)} is not known; known are {names}"
            )
        if name in there[:number]:
            raise TraceError(f"{path}, line 1: the column {name} is there twice")
    if missing := [name for name, needed in known.items() if needed and name not in there]:
        has = ", ".join(there)
        raise TraceError(f"{path} lacks the column {missing[0]}; it has {has or 'none'}")


@dataclass(frozen=True)
class _Row:
    where: str
    values: dict[str, str]

    def number(self, column: str, default: int | None = None, largest: int = 10**15) -> int:
        """A whole number from 0; the default if the file or the row has none."""
        text = self.text(column)
        if not text and default is not None:
            return default
        try:
            number = parse_whole(text)
        except NumberSyntaxError:
            number = -1
        if not 0 <= number <= largest:
            below = f" up to {largest}" if largest < 10**15 else ""
            raise TraceError(
                f"{self.where}: {column} is {quoted(text)}; a whole number{below} is expected"
            )
        return number

    def text(self, column: str) -> str:
        """The value, without spaces around it; "" if the file or the row has none."""
        return (self.values.get(column) or "").strip()

    def gpus(self) -> int:
        """What a pod wants of GPUs, in thousandths of a device."""
        count = self.number("num_gpu", 0, MAX_GPUS)
        milli = self.number("gpu_milli", MILLI if count else 0)
        if count > 1 and milli != MILLI:
            raise self.wrong("gpu_milli", f"of {count} GPUs each is whole, which is", [str(MILLI)])
        if bool(count) != bool(milli):
            raise self.wrong("gpu_milli", f"with a num_gpu of {count} it should be",
                             [f"1 to {MILLI}" if count else "0"])  # fmt: skip
        return milli if count == 1 else count * MILLI

    def models(self) -> tuple[str, ...]:
        """The GPU models that will do."""
        text = self.text("gpu_spec")
        models = tuple(sorted({model.strip() for model in text.split("|")})) if text else ()
        if not all(models):
            raise self.wrong(
                "gpu_spec", "expected are models with | between them, as in", ["T4|A10"]
            )
        return models

    def wrong(self, column: str, expected: str, known: Iterable[str]) -> TraceError:
        """The error of a value."""
        names = ", ".join(sorted(known)) or "not said"
        return TraceError(
            f"{self.where}: {column} is {quoted(self.text(column))}; {expected} {names}"
        )


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
        if len(coming) >= MAX_ROWS:
            raise TraceError(
                f"with a load of {load:g} more than {MAX_ROWS} pods would come, since they are that"
                f" small; a smaller load, or fewer machines, are expected"
            )
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
        """How much of what is scarce is used at the end."""
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
            out.curve.append(
                Point(come / there[name] if there[name] else math.inf, allocated(pool))
            )
    out.stranded = stranded(pool, workload)
    return out


def allocated(pool: Pool) -> dict[str, float]:
    """The part of each resource that is in use."""
    out = {}
    for column, name in enumerate(pool.names):
        # Of floats, since a sum of large ones is beyond 64 bits.
        total = float(pool.total[:, column].sum(dtype=float))
        out[name] = 1 - float(pool.scalars[:, column].sum(dtype=float)) / total if total else 0.0
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
        out[name] = float(free[~usable].sum(dtype=float) / max(1, total.sum(dtype=float)))
    return out
