"""Exact resource arithmetic.

A scalar is an integer in thousandths of its unit (cpus in cores, mem and disk in MiB), as in
Mesos' fixed-point `Value::Scalar` (`src/common/values.cpp`), so that comparison is exact. Ranges
hold inclusive, sorted, disjoint, non-adjacent intervals of integers. Names are open-ended.

What sets resources apart from others of the same name (who they are reserved for, the volume that
is on them, the device they are of) is a Tag. Resources of different tags never merge.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP
from types import MappingProxyType

from pymesos_core import contract, limits
from pymesos_core.ids import id_problem, name_problem, role_problem, size_of
from pymesos_core.numbers import NumberSyntaxError, parse_decimal
from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb

MILLI = 1000
MAX_SCALAR_MILLI = 2**50  # thousandths that a double on the wire still tells apart
MAX_SCALAR = MAX_SCALAR_MILLI // MILLI  # in units: the most that anybody can write
MAX_RANGE_VALUE = 2**32

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]

_NAME_OF_DEVICE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")


class ResourceError(ValueError):
    """A resource that cannot be: the message names it and says what was expected."""


@dataclass(frozen=True, slots=True, order=True)
class Reservation:
    """For whom resources are kept. A static one is of the agent's flags and stays for ever."""

    role: str
    static: bool = False
    principal: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Volume:
    """A directory on an agent that outlives the tasks that use it (docs/persistent-volume.md)."""

    id: str
    container_path: str
    principal: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """What sets resources apart from others of the same name.

    `reservations` go from the outermost role to the innermost, as each refined the one before
    (docs/reservation.md of Mesos). A shared volume is not used up by those who use it. Revocable
    resources may be taken back. `device` names the GPU that the amount is a part of.
    """

    reservations: tuple[Reservation, ...] = ()
    volume: Volume | None = None
    shared: bool = False
    revocable: bool = False
    device: str = ""
    # It is a key of every bag, and computing this anew is what bags would spend their time on.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.reservations, self.volume, self.shared, self.revocable, self.device)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    @property
    def role(self) -> str:
        """Who may use it; empty: everybody."""
        return self.reservations[-1].role if self.reservations else ""

    def usable_by(self, role: str) -> bool:
        """Whether it is reserved for nobody, the role itself, or one above it."""
        mine = self.role
        return not mine or role == mine or role.startswith(mine + "/")


PLAIN = Tag()


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


def _contains_intervals(left: Intervals, right: Intervals) -> bool:
    for begin, end in right:
        at = _first_that_ends_at(left, begin)
        if at == len(left) or begin < left[at][0] or left[at][1] < end:
            return False
    return True


def count(intervals: Intervals) -> int:
    """How many integers the intervals hold."""
    return sum(end - begin + 1 for begin, end in intervals)


_NO_SCALARS: Mapping[str, int] = MappingProxyType({})
_NO_RANGES: Mapping[str, Intervals] = MappingProxyType({})
_NO_SETS: Mapping[str, frozenset[str]] = MappingProxyType({})
_NO_TAGS: Mapping[Tag, Resources] = MappingProxyType({})


class Resources:
    """An immutable bag of named resources; a name that is absent is zero of it.

    `scalars` maps a name to thousandths (> 0), `ranges` to intervals, `sets` to items. A name is of
    one kind only. `tagged` has what is set apart, as bags of their own without further tags. What
    is shared is not used up: taking it away leaves it, adding it twice has it once.
    """

    __slots__ = ("ranges", "scalars", "sets", "tagged")

    scalars: Mapping[str, int]
    ranges: Mapping[str, Intervals]
    sets: Mapping[str, frozenset[str]]
    tagged: Mapping[Tag, Resources]

    def __init__(
        self,
        scalars: Mapping[str, int] | None = None,
        ranges: Mapping[str, Intervals] | None = None,
        sets: Mapping[str, frozenset[str]] | None = None,
        tagged: Mapping[Tag, Resources] | None = None,
    ) -> None:
        # There are many bags, and most are of scalars only.
        self.scalars = {n: v for n, v in scalars.items() if v} if scalars else _NO_SCALARS
        self.ranges = {n: r for n, r in ranges.items() if r} if ranges else _NO_RANGES
        self.sets = {n: s for n, s in sets.items() if s} if sets else _NO_SETS
        self.tagged = {t: bag for t, bag in tagged.items() if bag} if tagged else _NO_TAGS
        assert not tagged or PLAIN not in self.tagged

    @classmethod
    def _with_tags_of(
        cls,
        tagged: Mapping[Tag, Resources],
        scalars: Mapping[str, int],
        ranges: Mapping[str, Intervals],
        sets: Mapping[str, frozenset[str]],
    ) -> Resources:
        """With what is tagged in another bag, which need not be looked at again."""
        out = cls(scalars, ranges, sets)
        out.tagged = tagged
        return out

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resources):
            return NotImplemented
        return (
            self.scalars == other.scalars
            and self.ranges == other.ranges
            and self.sets == other.sets
            and self.tagged == other.tagged
        )

    def __hash__(self) -> int:
        if not (self.ranges or self.sets or self.tagged):
            return hash(frozenset(self.scalars.items()))
        return hash(
            (
                frozenset(self.scalars.items()),
                frozenset(self.ranges.items()),
                frozenset(self.sets.items()),
                frozenset(self.tagged.items()),
            )
        )

    def __bool__(self) -> bool:
        return bool(self.scalars or self.ranges or self.sets or self.tagged)

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
        tagged = self.tagged
        if other.tagged:
            tagged = dict(self.tagged)
            for tag, bag in other.tagged.items():
                if not (tag.shared and tag in tagged):
                    tagged[tag] = tagged[tag] + bag if tag in tagged else bag
        return Resources._with_tags_of(tagged, scalars, ranges, sets)

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
        tagged = self.tagged
        if other.tagged and any(tag in tagged and not tag.shared for tag in other.tagged):
            tagged = dict(self.tagged)
            for tag, bag in other.tagged.items():
                if tag in tagged and not tag.shared:
                    left = tagged[tag].minus_what_is_there(bag)
                    if left:
                        tagged[tag] = left
                    else:
                        del tagged[tag]
        return Resources._with_tags_of(tagged, scalars, ranges, sets)

    def contains(self, other: Resources) -> bool:
        """Whether all of `other` is in self. A volume is contained whole, or not."""
        mine = self.scalars
        for name, value in other.scalars.items():
            if mine.get(name, 0) < value:
                return False
        for name, intervals in other.ranges.items():
            if not _contains_intervals(self.ranges.get(name, ()), intervals):
                return False
        for tag, bag in other.tagged.items():
            there = self.tagged.get(tag, EMPTY)
            if there != bag if tag.volume else not there.contains(bag):
                return False
        return all(items <= self.sets.get(name, frozenset()) for name, items in other.sets.items())

    def scalar(self, name: str) -> int:
        """Thousandths of the named scalar, without what is tagged; 0 when absent."""
        return self.scalars.get(name, 0)

    @property
    def quantities(self) -> Mapping[str, int]:
        """The thousandths of each scalar, whatever its tag; what is shared is left out."""
        if not self.tagged:
            return self.scalars
        out = dict(self.scalars)
        for tag, bag in self.tagged.items():
            if not tag.shared:
                for name, value in bag.scalars.items():
                    out[name] = out.get(name, 0) + value
        return out

    def amounts(self) -> Mapping[str, int]:
        """The thousandths of each scalar, and how many thousandths of ports and items there are.

        Unlike bags, amounts of several agents can be added: each agent has a port 31000 of its own.
        """
        if not (self.ranges or self.sets or self.tagged):
            return self.scalars
        out = dict(self.quantities)
        for tag, bag in self.parts():
            if not tag.shared:
                for name, intervals in bag.ranges.items():
                    out[name] = out.get(name, 0) + 1000 * count(intervals)
                for name, items in bag.sets.items():
                    out[name] = out.get(name, 0) + 1000 * len(items)
        return out

    def where(self, keep: Callable[[Tag], bool]) -> Resources:
        """The part whose tags are to be kept; what has no tag counts as of PLAIN."""
        if not self.tagged and keep(PLAIN):
            return self
        tagged = {tag: bag for tag, bag in self.tagged.items() if keep(tag)}
        if keep(PLAIN):
            return Resources(self.scalars, self.ranges, self.sets, tagged)
        return Resources(tagged=tagged)

    def parts(self) -> Iterator[tuple[Tag, Resources]]:
        """Every tag and what it is on, without the tag."""
        if not self.tagged:  # as most are: nothing needs to be made
            if self:
                yield PLAIN, self
            return
        if self.scalars or self.ranges or self.sets:
            yield PLAIN, Resources(self.scalars, self.ranges, self.sets)
        yield from self.tagged.items()

    def __repr__(self) -> str:
        return f"Resources({self})"

    def __str__(self) -> str:
        """The form that `parse` reads: `cpus:4;mem:8192;ports:[31000-32000];mem(db):512`."""
        texts = []
        for tag, bag in self.parts():
            mark = _mark(tag)
            texts += [f"{n}{mark}:{format_milli(v)}" for n, v in bag.scalars.items()]
            texts += [
                f"{n}{mark}:[{','.join(f'{b}-{e}' for b, e in r)}]"
                for n, r in sorted(bag.ranges.items())
            ]
            texts += [f"{n}{mark}:{{{','.join(sorted(s))}}}" for n, s in sorted(bag.sets.items())]
        return ";".join(texts) or "nothing"


def _mark(tag: Tag) -> str:
    """What follows the name of a tagged resource, much as Mesos prints it."""
    out = "".join(f"({r.role})" for r in tag.reservations)
    out += f"[{tag.volume.id}]" if tag.volume else ""
    out += f"#{tag.device}" if tag.device else ""
    return out + ("<SHARED>" if tag.shared else "") + ("{REV}" if tag.revocable else "")


def tagged(tag: Tag, bag: Resources) -> Resources:
    """A bag without tags, all of it set apart by one."""
    assert not bag.tagged
    return bag if tag == PLAIN else Resources(tagged={tag: bag})


EMPTY = Resources()
REVOCABLE = Tag(revocable=True)


def is_revocable(resources: Resources) -> bool:
    """Return whether any of it may be taken back."""
    return any(tag.revocable for tag in resources.tagged)


def for_good(resources: Resources) -> Resources:
    """Return the part that is not revocable."""
    return resources.where(lambda tag: not tag.revocable)


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
        raise ResourceError(f"{name}: {error}") from None
    if value < 0:
        raise ResourceError(f"{name} is {text}; it cannot be negative")
    if value > MAX_SCALAR:
        raise ResourceError(f"{name} is {text}; at most {MAX_SCALAR} is possible")
    milli = int((value * MILLI).to_integral_value(ROUND_HALF_UP))
    if value and not milli:
        raise ResourceError(f"{name} is {text}, which rounds to zero: three decimals are kept")
    return milli


def check_name(name: str) -> str:
    """Return a resource name that is fit to be one. Raises ResourceError."""
    if not _NAME.fullmatch(name):
        raise ResourceError(
            f"{quoted(name)} is not a resource name (letters, digits, '_', '.', '-')"
        )
    return name


def _parse_interval(name: str, text: str) -> Interval:
    match = re.fullmatch(r"\s*([0-9]{1,19})\s*(?:-\s*([0-9]{1,19})\s*)?", text)
    if not match:
        raise ResourceError(f"{name} has the range {quoted(text)}; begin-end is expected")
    return int(match[1]), int(match[2] or match[1])


def parse(text: str) -> Resources:
    """Read Mesos' flag syntax: `cpus:4;mem:8192;ports:[31000-32000];disks:{a,b};cpus(db):2`.

    `(role)` is a static reservation, `#id` a device, `{REV}` revocable. Raises ResourceError naming
    the part that is wrong.
    """
    bags: dict[Tag, _Bag] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        head, colon, value = (p.strip() for p in part.partition(":"))
        match = re.fullmatch(r"([^(){}#]*)(?:\(([^()#]*)\))?(?:#([\w.\-]+))?(\{REV\})?", head)
        if not colon or not value or not match:
            raise ResourceError(
                f"{quoted(part)} is not name:value, as in cpus:4 or ports:[31000-32000]"
            )
        name, role, device = check_name(match[1].strip()), match[2], match[3] or ""
        reserved = () if role is None else (_static_reservation(name, role),)
        tag = Tag(reserved, device=device, revocable=match[4] is not None)
        bag = bags.setdefault(tag, _Bag())
        if name in bag:
            raise ResourceError(f"{name} is given twice")
        bag.read(name, value)
    return _sum(bags)


def _static_reservation(name: str, role: str) -> Reservation:
    if problem := reserved_role_problem(role):
        raise ResourceError(f"{name}({role}): {problem}")
    return Reservation(role, static=True)


def reserved_role_problem(role: str) -> str | None:
    """Why nothing can be reserved for a role, or None."""
    if role == "*":
        return "nothing is reserved for *, which stands for everybody"
    return role_problem(role)


class _Bag:
    """The resources of one tag, while they are read."""

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
            _refuse_more(limits.RANGES, len(parts), name)
            self.ranges[name] = normalize(_parse_interval(name, p) for p in parts)
        elif value.startswith("{"):
            if not value.endswith("}"):
                raise ResourceError(f"{name}: the set {quoted(value)} lacks its }}")
            items = [p.strip() for p in value[1:-1].split(",") if p.strip()]
            _refuse_more(limits.ITEMS, len(items), name)
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
            _refuse_more(limits.RANGES, len(message.ranges.range), name)
            intervals = [(r.begin, r.end) for r in message.ranges.range]
            self.ranges[name] = _disjoint(name, intervals)
        elif kind == "set":
            _refuse_more(limits.ITEMS, len(message.set.item), name)
            self.sets[name] = _items(name, message.set.item)
        else:
            raise ResourceError(f"{name} has no value")


def _refuse_more(limit: limits.Limit, size: int, what: str) -> None:
    """Raises ResourceError."""
    if problem := limit.problem(size, what):
        raise ResourceError(problem)


def _items(name: str, items: Iterable[str]) -> frozenset[str]:
    """Raises ResourceError."""
    out = list(items)
    for item in out:
        if problem := name_problem(item, limits.ITEM):
            raise ResourceError(f"{name}: {problem}")
    return _distinct(name, out)


def _sum(bags: Mapping[Tag, _Bag]) -> Resources:
    made = {tag: Resources(bag.scalars, bag.ranges, bag.sets) for tag, bag in bags.items()}
    plain = made.pop(PLAIN, EMPTY)
    if not made:
        return plain
    return Resources(plain.scalars, plain.ranges, plain.sets, made)


def from_proto(messages: Iterable[pb.Resource]) -> Resources:
    """Validate resources from the wire. Raises ResourceError."""
    if iter(messages) is messages:
        messages = list(messages)  # an iterator, which can be gone through once
    scalars = _usual_scalars(messages)
    return Resources(scalars) if scalars is not None else _read(messages)


# The bytes of a scalar and nothing beside, by its name: of its name, and of any double.
USUAL_SCALARS = {
    name: pb.Resource(name=name, scalar=1.0).ByteSize() for name in ("cpus", "mem", "disk", "gpus")
}
LEAST_SCALAR, MOST_SCALAR = 1 / MILLI, MAX_SCALAR_MILLI / MILLI


def check(messages: Iterable[pb.Resource]) -> None:
    """Check resources that nobody adds up yet. Raises ResourceError."""
    if _usual_scalars(messages) is None:
        _read(messages)


def _usual_scalars(messages: Iterable[pb.Resource]) -> dict[str, int] | None:
    """What most lists are, read in a third of the time; None where anything else is in one."""
    scalars: dict[str, int] = {}
    for message in messages:
        name, value = message.name, message.scalar
        if message.ByteSize() != USUAL_SCALARS.get(name) or name in scalars:
            return None
        if not LEAST_SCALAR <= value <= MOST_SCALAR:
            return None
        scalars[name] = int(value * MILLI + 0.5)
    return scalars


def _read(messages: Iterable[pb.Resource]) -> Resources:
    bags: dict[Tag, _Bag] = {}
    names: set[str] = set()
    for number, message in enumerate(messages):
        name = check_name(message.name)
        bag = bags.setdefault(_tag_from_proto(name, message), _Bag())
        if name in bag:
            raise ResourceError(f"{name} is given twice")
        names.add(name)
        if len(names) > limits.RESOURCE_NAMES.most or number >= limits.RESOURCE_ENTRIES.most:
            _refuse_more(limits.RESOURCE_NAMES, len(names), "the list of resources")
            _refuse_more(limits.RESOURCE_ENTRIES, number + 1, "the list of resources")
        bag.take(name, message)
    return _sum(bags)


def _tag_from_proto(name: str, message: pb.Resource) -> Tag:
    if not (message.reservations or message.HasField("disk") or message.device) and not (
        message.shared or message.revocable
    ):
        return PLAIN
    parts = (*message.reservations, *((message.disk,) if message.HasField("disk") else ()))
    for part in parts:
        if problem := contract.problem(part):
            raise ResourceError(f"{name}: {problem}")
    tag = Tag(
        tuple(
            Reservation(
                r.role,
                r.type == pb.Resource.Reservation.STATIC,
                r.principal,
                tuple((label.key, label.value) for label in r.labels),
            )
            for r in message.reservations
        ),
        _volume_from_proto(message.disk) if message.HasField("disk") else None,
        message.shared,
        message.revocable,
        message.device,
    )
    if problem := tag_problem(name, tag):
        raise ResourceError(f"{name}: {problem}")
    return tag


def _volume_from_proto(disk: pb.Resource.Disk) -> Volume:
    return Volume(disk.persistence_id, disk.container_path, disk.principal)


def tag_problem(name: str, tag: Tag) -> str | None:
    """Why resources cannot be set apart so, or None."""
    above = ""
    if problem := limits.REFINEMENTS.problem(len(tag.reservations), "a resource"):
        return problem
    for reservation in tag.reservations:
        if problem := reserved_role_problem(reservation.role):
            return problem
        if above and not reservation.role.startswith(above + "/"):
            return f"a reservation for {reservation.role} does not refine one for {above}"
        above = reservation.role
    if any(r.static for r in tag.reservations[1:]):
        return "only the outermost reservation can be static"
    if tag.volume is not None:
        if name != "disk" or not tag.reservations or tag.revocable:
            return "a volume is of reserved disk that is not revocable"
        if problem := id_problem(tag.volume.id):
            return f"the volume's id: {problem}"
        if not tag.volume.container_path or "\0" in tag.volume.container_path:
            return "a volume needs the path at which tasks find it"
        path_bytes = size_of(tag.volume.container_path)
        if problem := limits.PATH.problem(path_bytes, "the path of a volume"):
            return problem
        if ".." in tag.volume.container_path.split("/"):
            return "the path of a volume cannot contain '..'"
    if tag.shared and tag.volume is None:
        return "only volumes can be shared"
    if tag.device and not _NAME_OF_DEVICE.fullmatch(tag.device):
        return f"{quoted(tag.device)} is not the name of a device"
    return None


def to_proto(resources: Resources) -> list[pb.Resource]:
    """The wire form, in a stable order."""
    out = []
    for tag, bag in resources.parts():
        values = [pb.Resource(name=n, scalar=v / MILLI) for n, v in bag.scalars.items()]
        for name, intervals in bag.ranges.items():
            message = pb.Resource(name=name)
            message.ranges.range.extend(pb.Range(begin=b, end=e) for b, e in intervals)
            values.append(message)
        values += [
            pb.Resource(name=n, set=pb.StringSet(item=sorted(s))) for n, s in bag.sets.items()
        ]
        if tag != PLAIN:
            for message in values:
                _tag_to_proto(tag, message)
        out += values
    return out


def _tag_to_proto(tag: Tag, message: pb.Resource) -> None:
    kinds = pb.Resource.Reservation
    for r in tag.reservations:
        message.reservations.add(
            type=kinds.STATIC if r.static else kinds.DYNAMIC,
            role=r.role,
            principal=r.principal,
            labels=[pb.Label(key=key, value=value) for key, value in r.labels],
        )
    if tag.volume is not None:
        message.disk.persistence_id = tag.volume.id
        message.disk.container_path = tag.volume.container_path
        message.disk.principal = tag.volume.principal
    message.shared, message.revocable, message.device = tag.shared, tag.revocable, tag.device


def total(bags: Iterable[Resources]) -> Resources:
    """The sum of many bags that are known not to overlap."""
    try:
        return checked_total(bags)
    except ResourceError as error:
        raise AssertionError(str(error)) from error


def checked_total(bags: Iterable[Resources]) -> Resources:
    """The sum of what others say that they hold. Raises ResourceError when it overlaps.

    Each bag is looked at once: adding one after the other would look at the sum each time.
    """
    plain: list[Resources] = []
    parts: dict[Tag, list[Resources]] = {PLAIN: plain}
    for bag in bags:
        if not bag.tagged:  # as most are
            plain.append(bag)
            continue
        for tag, part in bag.parts():
            if not (tag.shared and tag in parts):
                parts.setdefault(tag, []).append(part)
    del parts[PLAIN]
    untagged = _added(plain) if plain else EMPTY
    if not parts:
        return untagged
    made = {tag: _added(of_tag) for tag, of_tag in parts.items()}
    return Resources(untagged.scalars, untagged.ranges, untagged.sets, made)


def _added(bags: Sequence[Resources]) -> Resources:
    """The sum of bags without tags. Raises ResourceError."""
    if len(bags) == 1:
        return bags[0]
    scalars: dict[str, int] = {}
    ranges: dict[str, list[Interval]] = {}
    items: dict[str, list[str]] = {}
    for bag in bags:
        for name, value in bag.scalars.items():
            scalars[name] = scalars.get(name, 0) + value
        if bag.ranges:
            for name, intervals in bag.ranges.items():
                ranges.setdefault(name, []).extend(intervals)
        if bag.sets:
            for name, of_name in bag.sets.items():
                items.setdefault(name, []).extend(of_name)
    if not (ranges or items):
        return Resources(scalars)
    return Resources(
        scalars,
        {name: _disjoint(name, intervals) for name, intervals in ranges.items()},
        {name: _distinct(name, of_name) for name, of_name in items.items()},
    )


def _disjoint(name: str, intervals: Sequence[Interval]) -> Intervals:
    """Raises ResourceError."""
    merged = normalize(intervals)
    if count(merged) != sum(end - begin + 1 for begin, end in intervals):
        raise ResourceError(f"{name} has ranges that overlap: one of them is there twice")
    return merged


def _distinct(name: str, items: Sequence[str]) -> frozenset[str]:
    """Raises ResourceError."""
    out = frozenset(items)
    if len(out) != len(items):
        raise ResourceError(f"{name} has an item twice")
    return out


def devices(resources: Resources, name: str = "gpus") -> dict[str, int]:
    """What there is of each device, in thousandths of it, whatever else sets it apart."""
    out: dict[str, int] = {}
    for tag, bag in resources.tagged.items():
        if tag.device and name in bag.scalars:
            out[tag.device] = out.get(tag.device, 0) + bag.scalars[name]
    return out
