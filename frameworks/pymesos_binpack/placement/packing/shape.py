"""What a task needs, and what the tasks of a workload usually need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymesos_core.resource_values import MILLI

GPUS = "gpus"
MAX_KINDS = 512


class ShapeError(ValueError):
    """Needs that no device can meet: the message says why."""


@dataclass(frozen=True)
class Shape:
    """Scalars without GPUs, by name in thousandths, sorted; `gpus` in thousandths of a device.

    Up to one device it is a part of a single one, else a number of whole ones. `models` are those
    of GPUs that will do, sorted; none: any will.
    """

    scalars: tuple[tuple[str, int], ...]
    gpus: int = 0
    models: tuple[str, ...] = ()

    @property
    def whole_gpus(self) -> int:
        """How many whole devices; 0 when it needs a part of one, or none."""
        return self.gpus // MILLI

    @property
    def gpu_share(self) -> int:
        """The part of one device, in thousandths; 0 when it needs whole ones, or none."""
        return self.gpus % MILLI


def shape_of(scalars: Mapping[str, int], models: Iterable[str] = ()) -> Shape:
    """The shape of a task by its scalars, GPUs among them, and models. Raises ShapeError."""
    gpus = scalars.get(GPUS, 0)
    if gpus > MILLI and gpus % MILLI:
        raise ShapeError(
            f"gpus is {gpus / MILLI:g}: a part of one device (below 1) or whole ones can be had"
        )
    rest = sorted((name, value) for name, value in scalars.items() if value and name != GPUS)
    return Shape(tuple(rest), gpus, tuple(sorted(models)))


@dataclass(frozen=True)
class Workload:
    """The kinds of tasks that come, with the part of all that each is; the most frequent first."""

    kinds: tuple[tuple[Shape, float], ...] = ()

    @classmethod
    def of(cls, shapes: Iterable[Shape]) -> Workload:
        """The kinds of some tasks, at most MAX_KINDS."""
        counts: dict[Shape, int] = {}
        for shape in shapes:
            counts[shape] = counts.get(shape, 0) + 1
        return cls.counted(counts)

    @classmethod
    def counted(cls, counts: Mapping[Shape, int]) -> Workload:
        """The kinds of tasks that were counted."""
        most = sorted(counts.items(), key=lambda item: -item[1])[:MAX_KINDS]
        total = sum(count for _, count in most)
        return cls(tuple((shape, count / total) for shape, count in most))
