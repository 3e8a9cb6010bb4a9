"""What is typed names what is meant, and what destroys is not taken for something else."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.names import (
    RUN,
    Found,
    Named,
    find,
    named_task,
    parse_task_id,
    run_of,
    task_filter,
    without_asides,
)
from pymesos_proto.v1 import types_pb2 as pb

A1 = Named("a1", "a1-0f3ca9d2", ("a1",))
A2 = Named("a2", "a2-a91b0c77", ("a2",))
A9 = Named("a9x", "a9x-00000001", ("a9x",))


def ids(found: Found[str]) -> list[str]:
    return [thing.id for thing in found.fits]


def task(task_id: str, *, live: bool = True, name: str = "", run: str = "") -> Named[str]:
    return named_task(task_id, task_id, name, live=live, run=run)


@pytest.mark.parametrize("exact", [True, False])
def test_a_part_in_the_middle_is_no_name(exact: bool) -> None:
    for text in ("a9d2", "a91", "0f3c", "-", ""):
        assert not find(text, [A1, A2], exact=exact).fits, text


def test_what_destroys_takes_a_whole_id_or_name() -> None:
    assert not find("a9", [A1, A2, A9], exact=True).fits
    assert ids(find("a1", [A1, A2, A9], exact=True)) == [A1.id]
    assert ids(find(A2.id, [A1, A2, A9], exact=True)) == [A2.id]
    assert not find(A2.id[:-1], [A1, A2, A9], exact=True).fits


def test_a_beginning_is_said_to_be_one() -> None:
    assert find("a9", [A1, A2, A9]) == Found((A9,), exact=False)
    assert find("a1", [A1, A2]).exact


def test_an_id_is_before_a_name_and_a_name_before_a_beginning() -> None:
    by_id, by_name, longer = Named("1", "x", ("y",)), Named("2", "z", ("x",)), Named("3", "xx")
    assert ids(find("x", [longer, by_name, by_id])) == ["x"]
    assert ids(find("x", [longer, by_name])) == ["z"]
    assert ids(find("x", [longer])) == ["xx"]


OLD, NEW = task("web-0a1b2c3d.w.0.1", live=False), task("web-0a1b2c3d.w.0.2")
OTHER = task("web-0a1b2c3d.w.1.1")
SIDE = task("web-0a1b2c3d.w.0.2+log")
PAST = [task("web-99999999.w.0.1", live=False), task("web-99999999.w.0.2", live=False)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("web", [NEW, OTHER, SIDE]),
        ("web.w", [NEW, OTHER, SIDE]),
        ("web.w.0", [NEW, SIDE]),
        ("web-0a1b2c3d.w.0", [NEW, SIDE]),
        ("web.w.1", [OTHER]),
        ("web.w.0+log", [SIDE]),
        ("web.w+log", [SIDE]),
        ("web-0a1b2c3d.w.0.1", [OLD]),
        ("web-99999999", [PAST[1]]),
        ("web-99999999.w.0.1", [PAST[0]]),
        ("web.x", []),
        ("w.0", []),
    ],
)
def test_names_of_the_tasks_of_a_job(text: str, meant: list[Named[str]]) -> None:
    everything = [OLD, NEW, OTHER, SIDE, *PAST]
    found = find(text, everything)
    assert sorted(ids(found)) == sorted(thing.id for thing in meant)
    assert found.exact or not meant
    for thing in everything:
        fits = task_filter(text, exact=True)
        assert fits(thing.id, "") or thing not in meant, "the master lets it through"


LATER = [task("web-0a1b2c3d.w.0.v3.1", live=False), task("web-0a1b2c3d.w.0.v3.2")]
AGAIN = task("web-0a1b2c3d.w.0.v3r1.1")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("web.w.0.v3", [LATER[1]]),
        ("web-0a1b2c3d.w.0.v3", [LATER[1]]),
        ("web.w.0.v3r1", [AGAIN]),
        ("web.w.0.v2", []),
    ],
)
def test_an_instance_is_named_as_jobs_shows_it(text: str, meant: list[Named[str]]) -> None:
    everything = [OLD, NEW, *LATER, AGAIN]
    found = find(text, everything)
    assert (found.fits, found.exact) == (tuple(meant), bool(meant))
    assert all(task_filter(text, exact=True)(thing.id, "") for thing in meant)


FIRST = "2026-11-28T01:30Z"
RUNS = {  # by the task of each attempt
    "reports-0a1b2c3d.daily.0.1": FIRST,
    "reports-0a1b2c3d.daily.0.2": FIRST,
    "reports-0a1b2c3d.daily.0.2+log": FIRST,
    "reports-0a1b2c3d.daily.0.v1r1.1": "2026-11-29T01:30Z",
    "reports-0a1b2c3d.daily.0.v1r2.1": "trigger-77",
    "reports-0a1b2c3d.weekly.0.1": FIRST,
}
OF_RUNS = [task(t, live=r.startswith("trigger"), run=r) for t, r in RUNS.items()]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"reports.daily@{FIRST}", ["daily.0.2", "daily.0.2+log"]),
        (f"reports.daily.0@{FIRST}", ["daily.0.2", "daily.0.2+log"]),
        (f"reports.daily+log@{FIRST}", ["daily.0.2+log"]),
        (f"reports-0a1b2c3d.daily@{FIRST}", ["daily.0.2", "daily.0.2+log"]),
        (f"reports@{FIRST}", ["daily.0.2", "daily.0.2+log", "weekly.0.1"]),
        ("reports.daily@2026-11-29", ["daily.0.v1r1.1"]),
        ("reports.daily@trigger", ["daily.0.v1r2.1"]),
        ("reports.daily", ["daily.0.v1r2.1"]),
        (f"reports.dai@{FIRST}", []),
        (f"daily@{FIRST}", []),
        ("reports.daily@2025", []),
    ],
)
def test_a_run_is_named_behind_its_task(text: str, meant: list[str]) -> None:
    found = find(text, OF_RUNS)
    assert sorted(ids(found)) == sorted(f"reports-0a1b2c3d.{each}" for each in meant)
    assert found.exact == (FIRST in text or "@" not in text) or not meant
    for exact in (True, False):
        fits = task_filter(text, exact=exact)
        runs = {thing.id: partial(RUNS.__getitem__, thing.id) for thing in OF_RUNS}
        let_through = [thing for thing in OF_RUNS if fits(thing.id, "", runs[thing.id])]
        assert find(text, let_through, exact=exact) == find(text, OF_RUNS, exact=exact)
        if "@" in text and not meant:
            assert not let_through, "nor does the master list others"


def test_a_run_is_a_label() -> None:
    labels = [pb.Label(key="job", value="j"), pb.Label(key=RUN, value="r")]
    assert run_of(labels) == "r" and run_of(labels[:1]) == ""
    assert task("17", run="r").names == (), "of a task that is of no job it says nothing"


def test_ended_ones_when_none_lives() -> None:
    assert ids(find("web", PAST)) == [PAST[1].id], "the last attempt"
    assert len(find("web", PAST, history=True).fits) == 2
    gone = task("web-0a1b2c3d.w.7.1", live=False)
    assert find("web.w", [OLD, NEW, gone]).left_out == 1, "the first has a later attempt"


def test_a_sidecar_is_not_meant_where_the_main_one_is_there() -> None:
    assert without_asides(find("web.w.0", [NEW, SIDE]).fits) == (NEW,)
    assert without_asides(find("web.w.0+log", [NEW, SIDE]).fits) == (SIDE,)


def test_a_task_of_no_job_has_its_own_name() -> None:
    mine = task("17", name="hello")
    assert find("hello", [mine]).fits == (mine,)
    assert parse_task_id("17") is None
    assert find("w", [task("web-0a1b2c3d.w.0.1", name="w")]).exact is False, "but not one of a job"


name = st.from_regex(r"[a-c]([a-c-]{0,4}[a-c])?", fullmatch=True)
task_id = st.builds(
    lambda *p: f"{p[0]}-{p[1]:08x}.{p[2]}.{p[3]}.{p[4]}{p[5]}",
    name,
    st.integers(0, 3),
    name,
    st.integers(0, 12),
    st.integers(1, 3),
    st.sampled_from(["", "+a", "+b"]),
)


@given(st.lists(task_id | name, unique=True, max_size=12), st.data())
def test_the_masters_quick_look_leaves_out_nothing_that_is_meant(
    task_ids: list[str], data: st.DataObject
) -> None:
    things = [task(t, name="n") for t in task_ids]
    called = [n for thing in things for n in (thing.id, *thing.names)] or ["a"]
    text = data.draw(st.sampled_from(called) | name)
    text = text[: data.draw(st.integers(1, len(text)))]
    for exact in (True, False):
        fits = task_filter(text, exact=exact)
        quick = [thing for thing in things if fits(thing.id, "n")]
        assert find(text, quick, exact=exact, history=True) == find(
            text, things, exact=exact, history=True
        )


def test_the_run_of_a_task_that_is_called_otherwise_is_not_looked_up() -> None:
    """A run stands in a message that has to be read for it, of up to 20,000 tasks for one page."""

    def run() -> str:
        raise AssertionError("nobody is to ask for it")

    for exact in (True, False):
        fits = task_filter(f"reports.daily@{FIRST}", exact=exact)
        assert not fits("reports-0a1b2c3d.hourly.0.1", "", run)
        assert not fits("shop-0a1b2c3d.daily.0.1", "", run)
