"""Bags of resources: exact arithmetic, the text of flags and the messages that bags are read from.

`resource_values.py` has the values (scalars in thousandths, ranges, sets) and their error,
`resource_tags.py` what sets resources apart from others of the same name. Names are open-ended.
Resources of different tags never merge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from pymesos_core import limits
from pymesos_core.resource_tags import (
    PLAIN,
    Tag,
    mark_of,
    static_reservation,
    tag_from_proto,
    tag_to_proto,
)
from pymesos_core.resource_values import (
    MAX_SCALAR_MILLI,
    MILLI,
    Interval,
    Intervals,
    ResourceError,
    Values,
    check_name,
    contains_intervals,
    count,
    disjoint,
    distinct,
    format_milli,
    normalize,
    refuse_more,
    subtract_intervals,
)
from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb

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
                n: subtract_intervals(r, other.ranges.get(n, ())) for n, r in self.ranges.items()
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
            if not contains_intervals(self.ranges.get(name, ()), intervals):
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
            mark = mark_of(tag)
            texts += [f"{n}{mark}:{format_milli(v)}" for n, v in bag.scalars.items()]
            texts += [
                f"{n}{mark}:[{','.join(f'{b}-{e}' for b, e in r)}]"
                for n, r in sorted(bag.ranges.items())
            ]
            texts += [f"{n}{mark}:{{{','.join(sorted(s))}}}" for n, s in sorted(bag.sets.items())]
        return ";".join(texts) or "nothing"


def tagged(tag: Tag, bag: Resources) -> Resources:
    """A bag without tags, all of it set apart by one."""
    assert not bag.tagged
    return bag if tag == PLAIN else Resources(tagged={tag: bag})


EMPTY = Resources()


def is_revocable(resources: Resources) -> bool:
    """Return whether any of it may be taken back."""
    return any(tag.revocable for tag in resources.tagged)


def for_good(resources: Resources) -> Resources:
    """Return the part that is not revocable."""
    return resources.where(lambda tag: not tag.revocable)


def parse(text: str) -> Resources:
    """Read Mesos' flag syntax: `cpus:4;mem:8192;ports:[31000-32000];disks:{a,b};cpus(db):2`.

    `(role)` is a static reservation, `#id` a device, `{REV}` revocable. Raises ResourceError naming
    the part that is wrong.
    """
    bags: dict[Tag, Values] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        head, colon, value = (p.strip() for p in part.partition(":"))
        match = re.fullmatch(r"([^(){}#]*)(?:\(([^()#]*)\))?(?:#([\w.\-]+))?(\{REV\})?", head)
        if not colon or not value or not match:
            raise ResourceError(
                f"{quoted(part)} is not name:value, as in cpus:4 or ports:[31000-32000]"
            )
        name, role, device = check_name(match[1].strip()), match[2], match[3] or ""
        reserved = () if role is None else (static_reservation(name, role),)
        tag = Tag(reserved, device=device, revocable=match[4] is not None)
        bag = bags.setdefault(tag, Values())
        if name in bag:
            raise ResourceError(f"{name} is given twice")
        bag.read(name, value)
    return _sum(bags)


def _sum(bags: Mapping[Tag, Values]) -> Resources:
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
    bags: dict[Tag, Values] = {}
    names: set[str] = set()
    for number, message in enumerate(messages):
        name = check_name(message.name)
        bag = bags.setdefault(tag_from_proto(name, message), Values())
        if name in bag:
            raise ResourceError(f"{name} is given twice")
        names.add(name)
        if len(names) > limits.RESOURCE_NAMES.most or number >= limits.RESOURCE_ENTRIES.most:
            refuse_more(limits.RESOURCE_NAMES, len(names), "the list of resources")
            refuse_more(limits.RESOURCE_ENTRIES, number + 1, "the list of resources")
        bag.take(name, message)
    return _sum(bags)


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
                tag_to_proto(tag, message)
        out += values
    return out


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
        {name: disjoint(name, intervals) for name, intervals in ranges.items()},
        {name: distinct(name, of_name) for name, of_name in items.items()},
    )


def devices(resources: Resources, name: str = "gpus") -> dict[str, int]:
    """What there is of each device, in thousandths of it, whatever else sets it apart."""
    out: dict[str, int] = {}
    for tag, bag in resources.tagged.items():
        if tag.device and name in bag.scalars:
            out[tag.device] = out.get(tag.device, 0) + bag.scalars[name]
    return out
