"""Exact arithmetic: what is added can be taken away, and nothing else can."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.resources import (
    MAX_SCALAR_MILLI,
    Intervals,
    ResourceError,
    Resources,
    count,
    from_proto,
    normalize,
    parse,
    parse_milli,
    to_milli,
    to_proto,
)
from pymesos_proto.v1 import types_pb2 as pb

INTERVALS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 9)).map(lambda t: (t[0], t[0] + t[1])), max_size=4
).map(normalize)
BAGS = st.builds(
    lambda scalars, ports, items: Resources(scalars, {"ports": ports}, {"disks": items}),
    st.dictionaries(st.sampled_from(["cpus", "mem", "gpus"]), st.integers(0, 5000)),
    INTERVALS,
    st.frozensets(st.sampled_from("abc")),
)


def members(intervals: Intervals) -> set[int]:
    return {n for begin, end in intervals for n in range(begin, end + 1)}


@given(BAGS, BAGS)
def test_taking_away_is_the_inverse_of_adding(left: Resources, right: Resources) -> None:
    disjoint = right.minus_what_is_there(Resources(None, left.ranges, left.sets))
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
    if bag:
        assert parse(str(bag)) == bag


@given(st.integers(0, MAX_SCALAR_MILLI))
def test_a_scalar_survives_the_wire_exactly(milli: int) -> None:
    assert to_milli("x", milli / 1000) == milli


def test_a_port_cannot_be_added_twice() -> None:
    with pytest.raises(AssertionError):
        parse("ports:[1-5]") + parse("ports:[5-6]")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cpus", "'cpus' is not name:value"),
        ("cpus:", "is not name:value"),
        ("cpus:x", "a number is expected"),
        ("cpus:-1", "cannot be negative"),
        ("cpus:nan", "finite"),
        ("cpus:0.0001", "three decimals"),
        ("cpus:1;cpus:2", "given twice"),
        ("ports:[5-1]", "not a range"),
        ("ports:[1-", "lack their ]"),
        ("ports:[a-b]", "begin-end"),
        ("a b:1", "not a resource name"),
        ("cpus:1e300", "at most"),
    ],
)
def test_what_a_person_typed_wrong(text: str, says: str) -> None:
    with pytest.raises(ResourceError, match=None) as caught:
        parse(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.001, 1e300])
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
