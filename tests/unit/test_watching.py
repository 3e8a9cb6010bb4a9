"""Watching a master: whoever folds what comes has the state, and hears of each change once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_core.resources import Resources
from pymesos_core.security.policy import Roles
from pymesos_master import snapshots, watching
from pymesos_master.core import effects as fx
from pymesos_master.event_filter import EventFilter
from pymesos_master.history import MAX_EVENTS, Cursor, CursorError, Happened, History
from pymesos_master.watching import Batch, Bounds, View, Watch, Watching
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, task
from pymesos_testing.watched_world import BAG, Reader, World


async def next_of(watch: Watch) -> Batch:
    async with asyncio.timeout(5):
        batch = await watch.batch()
    assert batch is not None
    return batch


async def read_all(watch: Watch, reader: Reader, world: World) -> None:
    latest = world.watching.history.latest
    while not reader.cursor or Cursor.parse(reader.cursor).sequence < latest:
        reader.take(await next_of(watch))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 7), st.integers(1, 40), st.booleans())
def test_whoever_folds_what_comes_has_the_state(
    seed: int, page: int, kept: int, often: bool
) -> None:
    """However small the pages, whatever happens between them, and whoever is too slow."""
    draw = random.Random(seed)

    async def main() -> None:
        world = World(Bounds(kept, page))
        for _ in range(draw.randrange(60)):
            world.change(draw)
        reader, cursor = Reader(), ""
        for _ in range(draw.randrange(1, 4)):
            with world.watching.watch(cursor) as watch:
                for _ in range(draw.randrange(40)):
                    for _ in range(draw.randrange(4 if often else 2)):
                        world.change(draw)
                    if watch._snapshot or not reader.cursor or watch._place < world.number:
                        world.change(draw)
                        reader.take(await next_of(watch))
                if draw.random() < 0.7:
                    await read_all(watch, reader, world)
                    assert reader.facts == world.facts()
            cursor = reader.cursor
            for _ in range(draw.randrange(30)):
                world.change(draw)
        with world.watching.watch(cursor) as watch:
            await read_all(watch, reader, world)
        assert reader.facts == world.facts()

    asyncio.run(main())


async def test_a_cursor_goes_on_without_missing_or_doubling() -> None:
    world, reader = World(), Reader()
    world.add_agent()
    with world.watching.watch() as watch:
        await read_all(watch, reader, world)
    assert reader.begun == 1 and reader.cursor == "7-0"
    world.add_agent()
    agent = world.state.agents["a1"]
    world.add_task(agent)
    with world.watching.watch(reader.cursor) as watch:
        await read_all(watch, reader, world)
    assert reader.begun == 1
    kinds = [event.kind for event in reader.events]
    assert kinds == [
        ClusterEvent.FRAMEWORK_PRESENT,
        ClusterEvent.AGENT_PRESENT,
        ClusterEvent.AGENT_ADDED,
        ClusterEvent.TASK_ADDED,
    ]
    assert [event.sequence for event in reader.events] == [0, 0, 1, 2]
    with world.watching.watch("7-1") as watch:
        batch = await next_of(watch)
        assert [event.sequence for event in batch.events] == [2] and str(batch.cursor) == "7-2"


@pytest.mark.parametrize("cursor", ["6-1", "8-1", "7-99", "7-0"])
async def test_a_cursor_of_another_leader_or_too_old_begins_anew(cursor: str) -> None:
    world = World(Bounds(events=3))
    with world.watching.watch():
        for _ in range(5):
            world.add_agent()
    with world.watching.watch(cursor) as watch:
        batch = await next_of(watch)
    assert batch.snapshot_begins and str(batch.cursor) == "7-5"
    assert Counter(e.kind for e in batch.events) == {
        ClusterEvent.FRAMEWORK_PRESENT: 1,
        ClusterEvent.AGENT_PRESENT: 5,
    }


@pytest.mark.parametrize(
    "text", ["x", "7", "-", "7-", "7-x", "-7-1", "7-1-2", "٧-1", "7-" + "1" * 30]
)
def test_what_is_no_cursor_is_said(text: str) -> None:
    with pytest.raises(CursorError, match="EPOCH-SEQUENCE"):
        Cursor.parse(text)


async def test_what_happened_while_nobody_noted_it_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "REMEMBER_S", 0.0)
    world, reader = World(), Reader()
    with world.watching.watch() as watch:
        await read_all(watch, reader, world)
    assert world.wanted == [True]
    await asyncio.sleep(0.01)
    assert world.wanted == [True, False]
    with world.watching.watch(reader.cursor) as watch:
        assert (await next_of(watch)).snapshot_begins
    assert world.wanted == [True, False, True]


async def test_the_end_of_a_leader_ends_a_watch() -> None:
    world = World()
    with world.watching.watch() as watch:
        await next_of(watch)
        asyncio.get_running_loop().call_soon(world.watching.close)
        assert await watch.batch() is None
    with world.watching.watch() as late:
        assert await late.batch() is None


async def test_20_000_tasks_are_shown_in_slices_and_with_bounded_memory() -> None:
    world, reader = World(), Reader()
    for _ in range(20):
        world.add_agent()
    for agent in world.state.agents.values():
        for _ in range(1000):
            world.add_task(agent, told=False)
    steps: list[float] = []
    with world.watching.watch() as watch:
        while not reader.cursor:
            began = time.thread_time()
            batch = await next_of(watch)
            steps.append(time.thread_time() - began)
            assert len(batch.events) <= snapshots.PAGE and len(watch._waiting) <= snapshots.PAGE
            reader.take(batch)
    assert reader.facts == world.facts() and len(reader.facts) > 20_000
    assert sorted(steps)[len(steps) // 2] < 0.05, "a page is a small part of it"


def test_what_the_core_publishes_folds_to_its_state() -> None:
    h = MasterHarness()

    async def main() -> None:
        watched = Watching(1, h.core.state, h.core.watch)
        reader = Reader()
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], task(offer, "t"))
        h.published.clear()
        with watched.watch() as watch:
            reader.take(await next_of(watch))
            assert reader.facts["task", "t"] == pb.TASK_STAGING
            h.offers(framework)
            h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
            for effect in h.published:
                watched.publish(effect)
            reader.take(await next_of(watch))
        assert reader.facts["task", "t"] == pb.TASK_RUNNING

    asyncio.run(main())


def test_a_history_is_bounded_by_what_its_events_keep() -> None:
    bag = Resources({"cpus": 1000}, {"ports": tuple((3 * n, 3 * n + 1) for n in range(1024))})
    history = History()
    for _ in range(1000):
        history.add(fx.PublishEvent(1.0, ClusterEvent.AGENT_ADDED, "a", resources=bag))
    assert history.has_all_since(1000 - 50) and not history.has_all_since(1000 - 200), "of 128 KiB"
    usual = History()
    for _ in range(MAX_EVENTS):
        usual.add(
            fx.PublishEvent(1.0, ClusterEvent.TASK_ADDED, "a", task_id="a-usual-id", resources=BAG)
        )
    assert usual.has_all_since(0)


def test_what_is_read_of_a_history_is_made_once_and_goes_with_the_rest() -> None:
    history = History(max_events=3)
    for number in range(1, 6):
        history.add(fx.PublishEvent(1.0, ClusterEvent.TASK_ADDED, task_id=f"t{number}"))
        read = history.since(number - 1, 9)
        assert [(one.sequence, one.effect.task_id) for one in read] == [(number, f"t{number}")]
        assert read[0] is history.since(number - 1, 1)[0]
    assert [one.sequence for one in history.since(2, 2)] == [3, 4]
    assert history.kinds_since(2, 2) == {ClusterEvent.TASK_ADDED: 2}
    assert history.kinds_since(5, 0) == {} and len(history._read) == 3
    history.forget()
    assert not history._read and not history.has_all_since(5) and history.has_all_since(6)


@pytest.mark.parametrize(
    ("kind", "readable", "seen"),
    [
        (ClusterEvent.TASK_REFUSED, ("eng",), False),
        (ClusterEvent.TASK_REFUSED, ("eng", "secret"), True),
        (ClusterEvent.FRAMEWORK_UPDATED, ("eng",), True),
        (ClusterEvent.FRAMEWORK_UPDATED, ("db",), False),
    ],
)
def test_a_task_whose_role_is_not_known_is_shown_to_who_may_read_all(
    kind: ClusterEvent.Kind, readable: tuple[str, ...], seen: bool
) -> None:
    effect = fx.PublishEvent(1.0, kind, framework_id="f", roles=("eng", "secret"))
    happened = Happened(effect, 1)
    assert happened.is_seen_by(Roles(exact=frozenset(readable))) is seen


async def test_one_with_a_pace_is_woken_once_and_takes_all_that_gathered() -> None:
    """Many who watch cost next to nothing for each event, and fall behind no more than others."""
    world, seen = World(Bounds(page=10)), list[int]()
    view = View(wanted=EventFilter(agent_id="none"), pace_s=0.05)
    with world.watching.watch("", view) as watch, world.watching.watch() as other:
        assert await watch.batch() and await other.batch()
        waiting = asyncio.ensure_future(watch.batch())
        await asyncio.sleep(0)
        assert len(world.watching._asleep) == 1
        for _ in range(95):
            world.add_agent()
            seen.append(len(world.watching._asleep))
        assert seen == [0] * 95
        while watch._place < 95:
            await asyncio.sleep(0)
        assert not waiting.done(), "nothing of it is wanted"
        waiting.cancel()


async def test_who_wants_the_latest_hears_how_many_of_which_kind_came_before() -> None:
    """Whatever it may not see, or does not want, is neither shown nor counted."""
    world = World()
    readers = [
        View(latest=2),
        View(latest=2, wanted=EventFilter(kinds=frozenset({ClusterEvent.TASK_ADDED}))),
        View(latest=2, may=lambda: Roles(exact=frozenset({"eng"}))),
        View(latest=9),
    ]
    with ExitStack() as stack:
        watches = [stack.enter_context(world.watching.watch("", view)) for view in readers]
        for watch in watches:
            assert await next_of(watch)
        for number in range(3):
            world.publish(ClusterEvent.TASK_ADDED, task_id=f"t{number}", roles=("db",))
            world.publish(ClusterEvent.TASK_UPDATED, task_id=f"t{number}", roles=("eng",))
        told = [await next_of(watch) for watch in watches]
    shown = [[(e.task_id, e.kind) for e in batch.events] for batch in told]
    added, updated = ClusterEvent.TASK_ADDED, ClusterEvent.TASK_UPDATED
    assert shown[0] == [("t2", added), ("t2", updated)]
    assert shown[1] == [("t1", added), ("t2", added)]
    assert shown[2] == [("t1", updated), ("t2", updated)]
    left_out = [dict(batch.left_out) for batch in told]
    assert left_out == [{added: 2, updated: 2}, {added: 1}, {updated: 1}, {}]
    assert len(shown[3]) == 6 and {str(batch.cursor) for batch in told} == {"7-6"}


async def test_what_goes_on_happening_hurries_nobody_who_has_a_pace() -> None:
    """Else those who look on are served without a rest, where most happens."""
    world, batches = World(), 0
    view = View(pace_s=3600.0, latest=1)

    async def read(watch: Watch) -> None:
        nonlocal batches
        while (batch := await watch.batch()) is not None:
            batches += 1
            world.add_agent()  # while it is sent
            await watch.pause(batch)

    with world.watching.watch("", view) as watch:
        assert await next_of(watch)
        world.add_agent()
        reading = asyncio.ensure_future(read(watch))
        for _ in range(50):
            world.add_agent()
            await asyncio.sleep(0)
        reading.cancel()
    assert batches == 1


async def test_those_of_one_pace_are_told_up_to_the_same() -> None:
    """Else each is at a place of its own, and nothing that is made is of use to another."""
    world, view = World(), View(pace_s=3600.0, latest=5)
    with world.watching.watch("", view) as first, world.watching.watch("", view) as second:
        assert await next_of(first) and await next_of(second)
        world.add_agent()
        told = await next_of(first)
        world.add_agent()
        assert await next_of(second) is told and str(told.cursor) == "7-1"
        assert str((await next_of(second)).cursor) == "7-2", "it has no need to wait"
        assert str((await next_of(first)).cursor) == "7-2"
