"""Exact values of resources: scalars in thousandths, ranges as intervals, sets of items; and how
they are read, from what a person writes and from messages.

A scalar is an integer in thousandths of its unit (cpus in cores, mem and disk in MiB), as in
Mesos' fixed-point `Value::Scalar` (`src/common/values.cpp`), so that comparison is exact. Ranges
hold inclusive, sorted, disjoint, non-adjacent intervals of integers.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP

from pymesos_core import limits
from pymesos_core.ids import name_problem
from pymesos_core.numbers import NumberSyntaxError, parse_decimal
from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb

MILLI = 1000
MAX_SCALAR_MILLI = 2**50  # thousandths that a double on the wire still tells apart
MAX_SCALAR = MAX_SCALAR_MILLI // MILLI  # in units: the most that anybody can write
MAX_RANGE_VALUE = 2**32

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


class ResourceError(ValueError):
    """A resource that cannot be: the message names it and says what was expected."""


def check_name(name: str) -> str:
    """Return a resource name that is fit to be one. Raises ResourceError."""
    if not _NAME.fullmatch(name):
        raise ResourceError(
            f"{quoted(name)} is not a resource name (letters, digits, '_', '.', '-')"
        )
    return name


def format_milli(value_milli: int) -> str:
    """Thousandths as a plain decimal: 1500 → "1.5", 4000 → "4"."""
    whole, rest = divmod(value_milli, MILLI)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


def to_milli(name: str, value: float) -> int:
    """Round a scalar from the wire to thousandths, half away from zero.

    Raises ResourceError for NaN, infinite, negative and absurd values.
    """
    if not math.isfinite(value):
        raise ResourceError(f"{name} is {value}; a finite number is expected")
    if value < 0:
        raise ResourceError(f"{name} is {value:g}; it cannot be negative")
    if value > MAX_SCALAR_MILLI / MILLI:  # before it is multiplied, which may overflow
        raise ResourceError(f"{name} is {value:g}; at most {MAX_SCALAR} is possible")
    return int(value * MILLI + 0.5)


def parse_milli(name: str, text: str) -> int:
    """Read a decimal, as a person or a program writes it, rounded to thousandths as on the wire.

    Raises ResourceError for anything else, and for what would be rounded to zero.
    """
    try:
        value = parse_decimal(text)
    except NumberSyntaxError as error:
        unit = "; it is in MiB" if name.removeprefix("--") in ("mem", "disk") else ""
        raise ResourceError(f"{name}: {error}{unit}") from None
    if value < 0:
        raise ResourceError(f"{name} is {text}; it cannot be negative")
    if value > MAX_SCALAR:
        raise ResourceError(f"{name} is {text}; at most {MAX_SCALAR} is possible")
    milli = int((value * MILLI).to_integral_value(ROUND_HALF_UP))
    if value and not milli:
        raise ResourceError(f"{name} is {text}, which rounds to zero: three decimals are kept")
    return milli


def normalize(intervals: Iterable[Interval]) -> Intervals:
    """Sort, merge and check inclusive intervals. Raises ResourceError on begin > end."""
    merged: list[Interval] = []
    for begin, end in sorted(intervals):
        if begin > end or begin < 0 or end > MAX_RANGE_VALUE:
            raise ResourceError(f"range {begin}-{end} is not a range of 0-{MAX_RANGE_VALUE}")
        if merged and begin <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return tuple(merged)


def disjoint(name: str, intervals: Sequence[Interval]) -> Intervals:
    """Normalize intervals of which none overlaps another. Raises ResourceError."""
    merged = normalize(intervals)
    if count(merged) != sum(end - begin + 1 for begin, end in intervals):
        raise ResourceError(f"{name} has ranges that overlap: one of them is there twice")
    return merged


def count(intervals: Intervals) -> int:
    """How many integers the intervals hold."""
    return sum(end - begin + 1 for begin, end in intervals)


def contains_intervals(left: Intervals, right: Intervals) -> bool:
    """Whether every integer of the right is in the left."""
    for begin, end in right:
        at = _first_that_ends_at(left, begin)
        if at == len(left) or begin < left[at][0] or left[at][1] < end:
            return False
    return True


def subtract_intervals(left: Intervals, right: Intervals) -> Intervals:
    """The integers of the left that are not in the right."""
    if not right:
        return left
    if len(right) == 1:
        return _subtract_one(left, right[0])
    out: list[Interval] = []
    at = 0  # the first of `right` that does not end before what is looked at
    for begin, end in left:
        while at < len(right) and right[at][1] < begin:
            at += 1
        here = at
        while here < len(right) and right[here][0] <= end:
            r_begin, r_end = right[here]
            if r_begin > begin:
                out.append((begin, r_begin - 1))
            begin = r_end + 1
            here += 1
        if begin <= end:
            out.append((begin, end))
        at = max(at, here - 1)
    return tuple(out)


def _first_that_ends_at(intervals: Intervals, value: int) -> int:
    """The index of the first interval that does not end before a value."""
    at = bisect_right(intervals, (value, MAX_RANGE_VALUE + 1)) - 1
    return at if at >= 0 and intervals[at][1] >= value else at + 1


def _subtract_one(left: Intervals, taken: Interval) -> Intervals:
    """What a task usually takes: what lies before and after it is copied as it is."""
    t_begin, t_end = taken
    first = last = _first_that_ends_at(left, t_begin)
    pieces: list[Interval] = []
    while last < len(left) and left[last][0] <= t_end:
        begin, end = left[last]
        if begin < t_begin:
            pieces.append((begin, t_begin - 1))
        if end > t_end:
            pieces.append((t_end + 1, end))
        last += 1
    return (*left[:first], *pieces, *left[last:])


def _parse_interval(name: str, text: str) -> Interval:
    """Read `begin-end`, or one number. Raises ResourceError."""
    match = re.fullmatch(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?", text)
    if not match:
        raise ResourceError(f"{name} has the range {quoted(text)}; begin-end is expected")
    return int(match[1]), int(match[2] or match[1])


def distinct(name: str, items: Sequence[str]) -> frozenset[str]:
    """The set of items of which none is there twice. Raises ResourceError."""
    out = frozenset(items)
    if len(out) != len(items):
        raise ResourceError(f"{name} has an item twice")
    return out


class Values:
    """The values of one tag by their names, while they are read."""

    def __init__(self) -> None:
        self.scalars: dict[str, int] = {}
        self.ranges: dict[str, Intervals] = {}
        self.sets: dict[str, frozenset[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.scalars or name in self.ranges or name in self.sets

    def read(self, name: str, value: str) -> None:
        """A value as a person writes it. Raises ResourceError."""
        if value.startswith("["):
            if not value.endswith("]"):
                raise ResourceError(f"{name}: the ranges {quoted(value)} lack their ]")
            parts = [p for p in value[1:-1].split(",") if p.strip()]
            refuse_more(limits.RANGES, len(parts), name)
            self.ranges[name] = normalize(_parse_interval(name, p) for p in parts)
        elif value.startswith("{"):
            if not value.endswith("}"):
                raise ResourceError(f"{name}: the set {quoted(value)} lacks its }}")
            items = [p.strip() for p in value[1:-1].split(",") if p.strip()]
            refuse_more(limits.ITEMS, len(items), name)
            self.sets[name] = _items(name, items)
        else:
            self.scalars[name] = parse_milli(name, value)

    def take(self, name: str, message: pb.Resource) -> None:
        """A value from the wire. Raises ResourceError."""
        kind = message.WhichOneof("value")
        if kind == "scalar":
            milli = to_milli(name, message.scalar)
            if milli == 0 and message.scalar > 0:
                raise ResourceError(f"{name} is {message.scalar:g}, which rounds to zero")
            self.scalars[name] = milli
        elif kind == "ranges":
            refuse_more(limits.RANGES, len(message.ranges.range), name)
            intervals = [(r.begin, r.end) for r in message.ranges.range]
            self.ranges[name] = disjoint(name, intervals)
        elif kind == "set":
            refuse_more(limits.ITEMS, len(message.set.item), name)
            self.sets[name] = _items(name, message.set.item)
        else:
            raise ResourceError(f"{name} has no value")


def refuse_more(limit: limits.Limit, size: int, what: str) -> None:
    """Hold a limit. Raises ResourceError."""
    if problem := limit.problem(size, what):
        raise ResourceError(problem)


def _items(name: str, items: Iterable[str]) -> frozenset[str]:
    """Raises ResourceError."""
    out = list(items)
    for item in out:
        if problem := name_problem(item, limits.ITEM):
            raise ResourceError(f"{name}: {problem}")
    return distinct(name, out)
