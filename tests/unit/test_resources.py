"""Exact arithmetic: what is added can be taken away, and nothing else can."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.reservations import (
    before_reserve,
    dynamic,
    is_dynamic,
    reserve_for,
    with_reserved,
    without,
)
from pymesos_core.resource_tags import Reservation, Tag, Volume
from pymesos_core.resource_values import (
    MAX_SCALAR_MILLI,
    Intervals,
    ResourceError,
    count,
    normalize,
    parse_milli,
    to_milli,
)
from pymesos_core.resources import (
    EMPTY,
    Resources,
    checked_total,
    devices,
    from_proto,
    parse,
    to_proto,
    total,
)
from pymesos_proto.v1 import types_pb2 as pb

INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda t: (t[0], t[0] + t[1])), max_size=4
).map(normalize)
PLAIN_BAGS = st.builds(
    lambda scalars, ports, items: Resources(scalars, {"ports": ports}, {"disks": items}),
    st.dictionaries(st.sampled_from(["cpus", "mem", "gpus"]), st.integers(0, 5000)),
    INTERVALS,
    st.frozensets(st.sampled_from("abc")),
)
TAGS = st.sampled_from(
    [
        Tag((Reservation("db"),)),
        Tag((Reservation("db", static=True), Reservation("db/one", labels=(("k", "v"),)))),
        Tag((Reservation("db", static=True),)),
        Tag(revocable=True),
        Tag(device="0"),
    ]
)
BAGS = st.builds(
    lambda plain, parts: Resources(plain.scalars, plain.ranges, plain.sets, parts),
    PLAIN_BAGS,
    st.dictionaries(TAGS, PLAIN_BAGS, max_size=3),
)


def unlike(bag: Resources, other: Resources) -> Resources:
    """A bag without what is in the other and cannot be there twice."""
    there = Resources(
        None, other.ranges, other.sets,
        {t: Resources(None, b.ranges, b.sets) for t, b in other.tagged.items()},
    )  # fmt: skip
    return bag.minus_what_is_there(there)


def members(intervals: Intervals) -> set[int]:
    return {n for begin, end in intervals for n in range(begin, end + 1)}


@given(BAGS, BAGS)
def test_taking_away_is_the_inverse_of_adding(left: Resources, right: Resources) -> None:
    disjoint = unlike(right, left)
    both = left + disjoint
    assert both.contains(left) and both.contains(disjoint)
    assert both - disjoint == left
    assert both - left == disjoint


@given(BAGS, BAGS)
def test_containment_is_what_subtraction_needs(left: Resources, right: Resources) -> None:
    if left.contains(right):
        assert (left - right) + right == left
    else:
        with pytest.raises(AssertionError):
            left - right


@given(INTERVALS, INTERVALS)
def test_intervals_are_sets_of_integers(left: Intervals, right: Intervals) -> None:
    a, b = Resources(ranges={"p": left}), Resources(ranges={"p": right})
    rest = a.minus_what_is_there(b).ranges.get("p", ())
    assert members(rest) == members(left) - members(right)
    assert a.contains(b) == (members(right) <= members(left))
    assert count(left) == len(members(left))


@given(BAGS)
def test_text_and_wire_give_it_back(bag: Resources) -> None:
    assert from_proto(to_proto(bag)) == bag


@given(PLAIN_BAGS)
def test_text_gives_it_back(bag: Resources) -> None:
    if bag:
        assert parse(str(bag)) == bag


def test_static_reservations_and_devices_are_read() -> None:
    bag = parse("cpus:4;cpus(db):2;mem(db):512;gpus#0:1;gpus(ml)#1:0.5")
    assert parse(str(bag)) == bag
    assert dict(bag.quantities) == {"cpus": 6000, "mem": 512_000, "gpus": 1500}
    assert devices(bag) == {"0": 1000, "1": 500}
    assert bag.where(lambda tag: tag.usable_by("db/one")).scalar("cpus") == 4000
    assert bag.where(lambda tag: tag.role == "db") == parse("cpus(db):2;mem(db):512")


DB = Tag((Reservation("db"),))
DISK = Resources({"disk": 100_000})


def volume(name: str, *, shared: bool = False) -> Tag:
    return Tag(DB.reservations, Volume(name, "data"), shared)


def test_a_volume_is_whole_or_not_at_all() -> None:
    bag = Resources(tagged={volume("a"): DISK})
    assert bag.contains(Resources(tagged={volume("a"): DISK}))
    assert not bag.contains(Resources(tagged={volume("a"): Resources({"disk": 50_000})}))
    assert not bag.contains(Resources(tagged={volume("b"): DISK}))


def test_a_shared_volume_is_not_used_up() -> None:
    bag = Resources({"cpus": 1000}, tagged={volume("a", shared=True): DISK})
    use = Resources(tagged={volume("a", shared=True): DISK})
    assert bag - use == bag
    assert bag + use == bag
    assert dict(bag.quantities) == {"cpus": 1000}
    assert without(bag, use) == Resources({"cpus": 1000})


@given(BAGS)
def test_what_is_reserved_is_put_in_the_place_of_what_it_is_of(bag: Resources) -> None:
    base = bag.where(lambda tag: not is_dynamic(tag))
    wanted = reserve_for(base, "db/one/two", "me") if not base.tagged else EMPTY
    total = with_reserved(base, wanted)
    assert total.quantities == base.quantities
    assert dynamic(total) == wanted
    assert before_reserve(wanted) == (base if wanted else EMPTY)
    with pytest.raises(ResourceError):
        with_reserved(base, reserve_for(Resources({"cpus": 10**9}), "db", ""))


@pytest.mark.parametrize(
    ("tag", "says"),
    [
        (Tag((Reservation("*"),)), "stands for everybody"),
        (Tag((Reservation("a"), Reservation("b"))), "does not refine"),
        (Tag((Reservation("a"), Reservation("a/b", static=True))), "only the outermost"),
        (Tag((), Volume("v", "data")), "reserved disk"),
        (Tag(DB.reservations, Volume("../v", "data")), "slash"),
        (Tag(DB.reservations, Volume("v", "a/../../b")), "'..'"),
        (Tag(DB.reservations, Volume("v", "")), "path"),
        (Tag(shared=True), "only volumes"),
        (Tag(device="../0"), "not the name of a device"),
    ],
)
def test_what_cannot_be_set_apart_so(tag: Tag, says: str) -> None:
    message = to_proto(Resources(tagged={tag: DISK}))
    with pytest.raises(ResourceError) as caught:
        from_proto(message)
    assert says in str(caught.value)


@given(st.integers(0, MAX_SCALAR_MILLI))
def test_a_scalar_survives_the_wire_exactly(milli: int) -> None:
    assert to_milli("x", milli / 1000) == milli


def test_many_ranges_cost_time_in_proportion() -> None:
    """Steps are counted by what is compared: 20,000 ranges once took 56 s of the master's loop."""
    seen = 0

    class Counted(int):
        def __lt__(self, other: object) -> bool:
            nonlocal seen
            seen += 1
            return int(self) < int(other)  # type: ignore[call-overload, no-any-return]

        def __hash__(self) -> int:
            return int(self)

    many = tuple((Counted(4 * n), Counted(4 * n + 1)) for n in range(1000))
    left, right = Resources(ranges={"p": many}), Resources(ranges={"p": many[::2]})
    assert left.contains(right)
    assert count((left - right).ranges["p"]) == 1000
    assert left - right + right == left
    assert checked_total([left - right, right]) == left
    assert seen < 40 * len(many)


def test_what_peers_hold_twice_is_said() -> None:
    with pytest.raises(ResourceError, match="overlap"):
        checked_total([parse("ports:[1-5]"), parse("ports:[9-9]"), parse("ports:[5-6]")])
    with pytest.raises(ResourceError, match="twice"):
        checked_total([parse("disks:{a}"), parse("disks:{a}")])


@given(BAGS, BAGS)
def test_a_total_is_the_sum(left: Resources, right: Resources) -> None:
    try:
        summed = left + right
    except AssertionError:
        with pytest.raises(ResourceError):
            checked_total([left, right])
    else:
        assert total([left, right]) == summed


def test_a_port_cannot_be_added_twice() -> None:
    with pytest.raises(AssertionError):
        parse("ports:[1-5]") + parse("ports:[5-6]")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cpus", "'cpus' is not name:value"),
        ("cpus:", "is not name:value"),
        ("cpus:x", "cpus: 'x' is not a number"),
        ("cpus:-1", "cannot be negative"),
        ("cpus:nan", "'nan' is not a number"),
        ("cpus:0.0001", "rounds to zero: three decimals are kept"),
        ("cpus:1;cpus:2", "given twice"),
        ("ports:[5-1]", "not a range"),
        ("ports:[1-", "lack their ]"),
        ("ports:[a-b]", "begin-end"),
        ("a b:1", "not a resource name"),
        ("cpus:1e300", "at most"),
        (f"ports:[{'1' * 5000}]", "begin-end"),
        (f"ports:[{','.join(str(2 * n) for n in range(1025))}]", "1025 ranges; at most 1024"),
        (f"disks:{{{','.join(f'd{n}' for n in range(1025))}}}", "1025 items; at most 1024"),
        ("disks:{a,a}", "twice"),
    ],
)
def test_what_a_person_typed_wrong(text: str, says: str) -> None:
    with pytest.raises(ResourceError, match=None) as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, -0.001, 1e300, 1e308, sys.float_info.max, 2.0**63]
)
def test_what_the_wire_may_not_say(value: float) -> None:
    with pytest.raises(ResourceError):
        from_proto([pb.Resource(name="cpus", scalar=value)])


@pytest.mark.parametrize(
    "messages",
    [
        [pb.Resource(name="cpus")],
        [pb.Resource(name="", scalar=1)],
        [pb.Resource(name="a/b", scalar=1)],
        [pb.Resource(name="cpus", scalar=1)] * 2,
        [pb.Resource(name=f"r{n}", scalar=1) for n in range(65)],
        [
            pb.Resource(
                name="p", ranges=pb.Ranges(range=[pb.Range(begin=n, end=n) for n in range(20_000)])
            )
        ],
        [pb.Resource(name="p", ranges=pb.Ranges(range=[pb.Range(begin=1, end=2**64 - 1)]))],
        [pb.Resource(name="s", set=pb.StringSet(item=["x" * 700_000]))],
        [pb.Resource(name="s", set=pb.StringSet(item=["a\u202eb"]))],
        [pb.Resource(name="s", set=pb.StringSet(item=["a", "a"]))],
        [
            pb.Resource(
                name="p",
                ranges=pb.Ranges(range=[pb.Range(begin=1, end=5), pb.Range(begin=5, end=6)]),
            )
        ],
    ],
)
def test_malformed_messages(messages: list[pb.Resource]) -> None:
    with pytest.raises(ResourceError):
        from_proto(messages)


def test_a_persons_decimals_are_exact() -> None:
    assert parse_milli("cpus", "0.1") + parse_milli("cpus", "0.2") == parse_milli("cpus", "0.3")


@pytest.mark.parametrize(
    ("text", "milli"),
    [("0.30000000000000004", 300), ("0.0005", 1), ("1.0004999", 1000), ("2.0", 2000)],
)
def test_what_programs_write_is_rounded_as_on_the_wire(text: str, milli: int) -> None:
    assert parse(f"cpus:{text}").quantities["cpus"] == milli
    assert to_milli("cpus", float(text)) == milli
