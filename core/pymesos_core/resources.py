"""Exact resource arithmetic.

A scalar is an integer in thousandths of its unit (cpus in cores, mem and disk in MiB), as in
Mesos' fixed-point `Value::Scalar` (`src/common/values.cpp`), so that comparison is exact. Ranges
hold inclusive, sorted, disjoint, non-adjacent intervals of integers. Names are open-ended.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

from pymesos_proto.v1 import types_pb2 as pb

MILLI = 1000
MAX_SCALAR_MILLI = 2**50  # thousandths that a double on the wire still tells apart
MAX_NAMES = 64
MAX_RANGE_VALUE = 2**32

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")


class ResourceError(ValueError):
    """A resource that cannot be: the message names it and says what was expected."""


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


def _subtract_intervals(left: Intervals, right: Intervals) -> Intervals:
    out: list[Interval] = []
    for begin, end in left:
        at = begin
        for r_begin, r_end in right:
            if r_end < at or r_begin > end:
                continue
            if r_begin > at:
                out.append((at, r_begin - 1))
            at = max(at, r_end + 1)
        if at <= end:
            out.append((at, end))
    return tuple(out)


def _contains_intervals(left: Intervals, right: Intervals) -> bool:
    return all(any(b <= begin and end <= e for b, e in left) for begin, end in right)


def count(intervals: Intervals) -> int:
    """How many integers the intervals hold."""
    return sum(end - begin + 1 for begin, end in intervals)


class Resources:
    """An immutable bag of named resources; a name that is absent is zero of it.

    `scalars` maps a name to thousandths (> 0), `ranges` to intervals, `sets` to items. A name is of
    one kind only.
    """

    __slots__ = ("ranges", "scalars", "sets")

    scalars: Mapping[str, int]
    ranges: Mapping[str, Intervals]
    sets: Mapping[str, frozenset[str]]

    def __init__(
        self,
        scalars: Mapping[str, int] | None = None,
        ranges: Mapping[str, Intervals] | None = None,
        sets: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.scalars = {n: v for n, v in scalars.items() if v} if scalars else {}
        self.ranges = {n: r for n, r in ranges.items() if r} if ranges else {}
        self.sets = {n: s for n, s in sets.items() if s} if sets else {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resources):
            return NotImplemented
        return (
            self.scalars == other.scalars
            and self.ranges == other.ranges
            and self.sets == other.sets
        )

    def __hash__(self) -> int:
        return hash(
            (
                frozenset(self.scalars.items()),
                frozenset(self.ranges.items()),
                frozenset(self.sets.items()),
            )
        )

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges or self.sets)

    def __add__(self, other: Resources) -> Resources:
        if not other:
            return self
        if not self:
            return other
        scalars = dict(self.scalars)
        for name, value in other.scalars.items():
            scalars[name] = scalars.get(name, 0) + value
        ranges = self.ranges
        if other.ranges:
            ranges = dict(self.ranges)
            for name, intervals in other.ranges.items():
                mine = ranges.get(name, ())
                merged = normalize((*mine, *intervals))
                assert count(merged) == count(mine) + count(intervals), (
                    f"{name} added twice: {mine} + {intervals}"
                )
                ranges[name] = merged
        sets = self.sets
        if other.sets:
            sets = dict(self.sets)
            for name, items in other.sets.items():
                assert not (sets.get(name, frozenset()) & items), f"{name} added twice: {items}"
                sets[name] = sets.get(name, frozenset()) | items
        return Resources(scalars, ranges, sets)

    def __sub__(self, other: Resources) -> Resources:
        """What is left. Raises AssertionError unless `self.contains(other)`."""
        assert self.contains(other), f"cannot take {other} from {self}"
        return self.minus_what_is_there(other)

    def minus_what_is_there(self, other: Resources) -> Resources:
        """What is left of self when as much of `other` as it holds is taken away."""
        if not other:
            return self
        scalars = dict(self.scalars)
        for name, value in other.scalars.items():
            if name in scalars:
                scalars[name] = max(0, scalars[name] - value)
        ranges = self.ranges
        if other.ranges:
            ranges = {
                n: _subtract_intervals(r, other.ranges.get(n, ())) for n, r in self.ranges.items()
            }
        sets = self.sets
        if other.sets:
            sets = {n: s - other.sets.get(n, frozenset()) for n, s in self.sets.items()}
        return Resources(scalars, ranges, sets)

    def contains(self, other: Resources) -> bool:
        """Whether all of `other` is in self."""
        mine = self.scalars
        for name, value in other.scalars.items():
            if mine.get(name, 0) < value:
                return False
        for name, intervals in other.ranges.items():
            if not _contains_intervals(self.ranges.get(name, ()), intervals):
                return False
        return all(items <= self.sets.get(name, frozenset()) for name, items in other.sets.items())

    def scalar(self, name: str) -> int:
        """Thousandths of the named scalar; 0 when absent."""
        return self.scalars.get(name, 0)

    def __repr__(self) -> str:
        return f"Resources({self})"

    def __str__(self) -> str:
        """The form that `parse` reads: `cpus:4;mem:8192;ports:[31000-32000]`."""
        parts = [f"{n}:{format_milli(v)}" for n, v in self.scalars.items()]
        parts += [
            f"{n}:[{','.join(f'{b}-{e}' for b, e in r)}]" for n, r in sorted(self.ranges.items())
        ]
        parts += [f"{n}:{{{','.join(sorted(s))}}}" for n, s in sorted(self.sets.items())]
        return ";".join(parts) or "nothing"


EMPTY = Resources()


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
    milli = int(value * MILLI + 0.5)
    if milli > MAX_SCALAR_MILLI:
        raise ResourceError(f"{name} is {value:g}; at most {MAX_SCALAR_MILLI // MILLI} is possible")
    return milli


def parse_milli(name: str, text: str) -> int:
    """Read an exact decimal of at most three places, as a person types it, into thousandths.

    Raises ResourceError for anything else, more than three decimals included.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ResourceError(f"{name} is {text!r}; a number is expected") from None
    if not value.is_finite():
        raise ResourceError(f"{name} is {text}; a finite number is expected")
    if value < 0:
        raise ResourceError(f"{name} is {text}; it cannot be negative")
    if value > MAX_SCALAR_MILLI // MILLI:
        raise ResourceError(f"{name} is {text}; at most {MAX_SCALAR_MILLI // MILLI} is possible")
    milli = value * MILLI
    if milli != milli.to_integral_value():
        raise ResourceError(f"{name} is {text}; at most three decimals are kept")
    return int(milli)


def check_name(name: str) -> str:
    """Return a resource name that is fit to be one. Raises ResourceError."""
    if not _NAME.fullmatch(name):
        raise ResourceError(f"{name!r} is not a resource name (letters, digits, '_', '.', '-')")
    return name


def _parse_interval(name: str, text: str) -> Interval:
    match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", text)
    if not match:
        raise ResourceError(f"{name} has the range {text!r}; begin-end is expected")
    return int(match[1]), int(match[2] or match[1])


def parse(text: str) -> Resources:
    """Read Mesos' flag syntax: `cpus:4;mem:8192;ports:[31000-32000];disks:{a,b}`.

    Raises ResourceError naming the part that is wrong.
    """
    scalars: dict[str, int] = {}
    ranges: dict[str, Intervals] = {}
    sets: dict[str, frozenset[str]] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        name, colon, value = (p.strip() for p in part.partition(":"))
        if not colon or not value:
            raise ResourceError(f"{part!r} is not name:value, as in cpus:4 or ports:[31000-32000]")
        check_name(name)
        if name in scalars or name in ranges or name in sets:
            raise ResourceError(f"{name} is given twice")
        if value.startswith("["):
            if not value.endswith("]"):
                raise ResourceError(f"{name}: the ranges {value!r} lack their ]")
            ranges[name] = normalize(
                _parse_interval(name, p) for p in value[1:-1].split(",") if p.strip()
            )
        elif value.startswith("{"):
            if not value.endswith("}"):
                raise ResourceError(f"{name}: the set {value!r} lacks its }}")
            sets[name] = frozenset(p.strip() for p in value[1:-1].split(",") if p.strip())
        else:
            scalars[name] = parse_milli(name, value)
    return Resources(scalars, ranges, sets)


def from_proto(messages: Iterable[pb.Resource]) -> Resources:
    """Validate resources from the wire. Raises ResourceError."""
    scalars: dict[str, int] = {}
    ranges: dict[str, Intervals] = {}
    sets: dict[str, frozenset[str]] = {}
    seen: set[str] = set()
    for message in messages:
        name = check_name(message.name)
        if name in seen:
            raise ResourceError(f"{name} is given twice")
        seen.add(name)
        if len(seen) > MAX_NAMES:
            raise ResourceError(f"more than {MAX_NAMES} resources")
        kind = message.WhichOneof("value")
        if kind == "scalar":
            milli = to_milli(name, message.scalar)
            if milli == 0 and message.scalar > 0:
                raise ResourceError(f"{name} is {message.scalar:g}, which rounds to zero")
            scalars[name] = milli
        elif kind == "ranges":
            intervals = [(r.begin, r.end) for r in message.ranges.range]
            merged = normalize(intervals)
            if count(merged) != sum(e - b + 1 for b, e in intervals):
                raise ResourceError(f"{name} has ranges that overlap")
            ranges[name] = merged
        elif kind == "set":
            sets[name] = frozenset(message.set.item)
        else:
            raise ResourceError(f"{name} has no value")
    return Resources(scalars, ranges, sets)


def to_proto(resources: Resources) -> list[pb.Resource]:
    """The wire form, in a stable order."""
    out = [pb.Resource(name=n, scalar=v / MILLI) for n, v in resources.scalars.items()]
    for name, intervals in resources.ranges.items():
        message = pb.Resource(name=name)
        message.ranges.range.extend(pb.Range(begin=b, end=e) for b, e in intervals)
        out.append(message)
    out += [
        pb.Resource(name=n, set=pb.StringSet(item=sorted(s))) for n, s in resources.sets.items()
    ]
    return out


def total(bags: Iterable[Resources]) -> Resources:
    """The sum of many bags."""
    out = EMPTY
    for bag in bags:
        out = out + bag
    return out
