"""Watching a master: whoever folds what comes has the state, and hears of each change once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_core.resources import Resources, parse
from pymesos_core.security.policy import Roles
from pymesos_core.states import kind_name
from pymesos_master import watching
from pymesos_master.core import effects as fx
from pymesos_master.core.lifecycles import AgentState, FrameworkState
from pymesos_master.core.state import (
    Agent,
    ClusterState,
    Framework,
    Offer,
    Task,
)
from pymesos_master.watching import Batch, Bounds, Cursor, CursorError, Watch, Watching
from pymesos_proto.v1 import operator_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, task

BAG = parse("cpus:1;mem:32")
Facts = dict[tuple[str, str], int]


class World:
    """A state of a master that changes, and says so."""

    def __init__(self, bounds: Bounds = watching.BOUNDS) -> None:
        self.state = ClusterState()
        self.wanted: list[bool] = []
        self.watching = Watching(7, self.state, self.wanted.append, bounds=bounds)
        self.state.frameworks["f"] = Framework(
            pb.FrameworkInfo(framework_id="f", name="f"), FrameworkState.ACTIVE
        )
        self.number = 0

    def publish(self, kind: ClusterEvent.Kind, **fields: Any) -> None:
        if self.wanted and self.wanted[-1]:
            self.watching.publish(fx.PublishEvent(1.0, kind, **fields))

    def add_agent(self) -> None:
        self.number += 1
        info = pb.AgentInfo(agent_id=f"a{self.number}")
        self.state.agents[info.agent_id] = Agent(info, AgentState.ACTIVE, BAG)
        self.publish(ClusterEvent.AGENT_ADDED, agent_id=info.agent_id, resources=BAG)

    def add_task(self, agent: Agent, *, told: bool = True) -> None:
        self.number += 1
        info = pb.TaskInfo(task_id=f"t{self.number}")
        made = Task(info, "f", agent.agent_id, "*", BAG, pb.TASK_STAGING, 1.0)
        agent.tasks[made.key] = made
        if told:
            self.tell(ClusterEvent.TASK_ADDED, made)

    def tell(self, kind: ClusterEvent.Kind, of: Task) -> None:
        self.publish(
            kind,
            agent_id=of.agent_id,
            framework_id="f",
            task_id=of.info.task_id,
            task_state=of.state,
        )

    def move(self, of: Task) -> None:
        of.state = pb.TASK_RUNNING if of.state == pb.TASK_STAGING else pb.TASK_FINISHED
        self.tell(ClusterEvent.TASK_UPDATED, of)
        if of.state == pb.TASK_FINISHED:
            del self.state.agents[of.agent_id].tasks[of.key]

    def offer(self, agent: Agent) -> None:
        self.number += 1
        offer = Offer(f"o{self.number}", "f", agent.agent_id, "*", BAG, 1.0, 1.0)
        self.state.offers[offer.offer_id] = offer
        self.publish(ClusterEvent.OFFER_SENT, agent_id=agent.agent_id, offer_id=offer.offer_id)

    def answer(self, offer: Offer) -> None:
        del self.state.offers[offer.offer_id]
        self.publish(ClusterEvent.OFFER_DECLINED, agent_id=offer.agent_id, offer_id=offer.offer_id)

    def change(self, draw: random.Random) -> None:
        """Something happens."""
        agents = list(self.state.agents.values())
        tasks = [t for agent in agents for t in agent.tasks.values()]
        offers = list(self.state.offers.values())
        match draw.randrange(6):
            case 0 if agents:
                self.add_task(draw.choice(agents))
            case 1 if tasks:
                self.move(draw.choice(tasks))
            case 2 if agents:
                self.offer(draw.choice(agents))
            case 3 if offers:
                self.answer(draw.choice(offers))
            case 4 if tasks:
                self.move(draw.choice(tasks))
            case _:
                self.add_agent()

    def facts(self) -> Facts:
        out: Facts = {("framework", "f"): 0}
        for agent in self.state.agents.values():
            out["agent", agent.agent_id] = 0
            for of in agent.tasks.values():
                out["task", of.info.task_id] = of.state
        out |= {("offer", offer_id): 0 for offer_id in self.state.offers}
        return out


class Reader:
    """Folds what comes, and finds what cannot be."""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.cursor = ""
        self.begun = 0
        self.events: list[operator_pb2.ClusterEvent] = []

    def take(self, batch: Batch) -> None:
        if batch.snapshot_begins:
            self.begun += 1
            self.facts = {}
        self.cursor = str(batch.cursor or "")
        for event in batch.events:
            self.events.append(event)
            self.fold(event)

    def fold(self, event: operator_pb2.ClusterEvent) -> None:
        what, _, how = kind_name(event.kind).partition("_")
        ids = {"agent": event.agent_id, "framework": event.framework_id, "task": event.task_id}
        key = (what, event.offer_id if what == "offer" else ids[what])
        if how in ("present", "added", "sent"):
            assert key not in self.facts, f"{key} comes twice"
            self.facts[key] = event.task_state
        elif how == "updated":
            assert self.facts[key] < event.task_state, f"{key} goes back"
            self.facts[key] = event.task_state
            if event.task_state == pb.TASK_FINISHED:
                del self.facts[key]
        else:
            del self.facts[key]


async def next_of(watch: Watch) -> Batch:
    async with asyncio.timeout(5):
        batch = await watch.batch()
    assert batch is not None
    return batch


async def read_all(watch: Watch, reader: Reader, world: World) -> None:
    latest = world.watching._history.latest
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
            assert len(batch.events) <= watching.PAGE and len(watch._waiting) <= watching.PAGE
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
    history = watching.History()
    for _ in range(1000):
        history.add(fx.PublishEvent(1.0, ClusterEvent.AGENT_ADDED, "a", resources=bag))
    assert history.has_all_since(1000 - 50) and not history.has_all_since(1000 - 200), "of 128 KiB"
    usual = watching.History()
    for _ in range(watching.MAX_EVENTS):
        usual.add(
            fx.PublishEvent(1.0, ClusterEvent.TASK_ADDED, "a", task_id="a-usual-id", resources=BAG)
        )
    assert usual.has_all_since(0)


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
    happened = watching._Happened(effect, 1, 0)
    assert happened.is_seen_by(Roles(exact=frozenset(readable))) is seen
