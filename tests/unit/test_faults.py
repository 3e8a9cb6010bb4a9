"""Faults of a master's own code: what is refused, what stops it, and what the next leader knows."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import FrameType, FunctionType
from typing import Any

import pytest

from pymesos_core import contract
from pymesos_core.caller import Caller
from pymesos_core.clock import read_clock
from pymesos_core.coordination.standalone import StandaloneContender
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore, tasks
from pymesos_master.core import events as ev
from pymesos_master.shell import Connection, Leader
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.planted_faults import (
    MAKERS,
    PlantedError,
    comes_back,
    prepared,
    registers,
    subscribes,
)

HOST = Caller(peer="ipv4:10.0.0.1")


PASSING = {"now", "event", "changed", "out", "_interned", "answer_s"}


def named(key: Any) -> str:
    """The same for the same key of another core, whatever its address."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(key))


def picture(thing: Any, above: tuple[int, ...] = ()) -> Any:
    """All that can be seen of an object, to be compared; ids that are drawn are nothing of it."""
    if thing is None or isinstance(thing, str | bytes | int | float | Enum | FunctionType):
        return thing
    if id(thing) in above:
        return "above"
    above = (*above, id(thing))
    if isinstance(thing, dict):
        return [(named(k), picture(v, above)) for k, v in thing.items()]
    if isinstance(thing, set | frozenset):
        return sorted(map(named, thing))
    if isinstance(thing, list | tuple) or type(thing).__name__ in ("deque", "OrderedDict"):
        return [picture(item, above) for item in thing]
    names = [*getattr(thing, "__dict__", ())]
    for kind in type(thing).__mro__:
        names += [n for n in getattr(kind, "__slots__", ()) if n != "__weakref__"]
    if not type(thing).__module__.startswith("pymesos_"):
        return str(thing) if hasattr(thing, "DESCRIPTOR") else type(thing).__name__
    return {n: picture(getattr(thing, n, None), above) for n in names if n not in PASSING}


class Faulty:
    """Fails at the nth line of the master's code that is run."""

    def __init__(self, at_line: int) -> None:
        self.left = at_line

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if "pymesos_master" not in name and "pymesos_core" not in name:
            return None
        if frame.f_code.co_name in ("changed", "read_clock"):
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                raise PlantedError
        return self


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_refused_has_changed_nothing(name: str) -> None:
    """A fault at every line in turn: either nothing has changed, or the core says that it may.

    Then a refusal makes of the core what it makes of one that has never heard the event.
    """
    refusals = faults = at_line = 0
    other, agent, framework = prepared()
    event = MAKERS[name](other, agent, framework)
    other.core.refuse(other.now, event, "it cannot be handled")
    refused = picture(other.core._ctx)
    while True:
        at_line += 1 if not faults else 5
        h, agent, framework = prepared()
        event = MAKERS[name](h, agent, framework)
        sys.settrace(Faulty(at_line))
        try:
            h.core.step(h.now, event)
        except PlantedError:
            sys.settrace(None)
        else:
            break
        finally:
            sys.settrace(None)
        if h.core.changed:
            faults += 1
            continue
        refusals += 1
        effects = h.core.refuse(h.now, event, "it cannot be handled")
        assert effects, "who asked is told"
        assert picture(h.core._ctx) == refused, f"line {at_line}"
        h.core.check()
    assert refusals and faults, (refusals, faults)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that cannot kill a task called boom."""
    right = tasks.kill

    def kill(ctx: Any, framework: Any, call: Any) -> None:
        if call.task_id == "boom":
            ctx.out.clear()
            raise PlantedError("no \x1b[2J such thing")
        right(ctx, framework, call)

    monkeypatch.setattr(tasks, "kill", kill)


class Cluster:
    """One leader after the other, on one registry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leader: Leader
        self.running: asyncio.Task[None]

    def leads(self) -> bool:
        return self.leader.fault is None and not self.running.done()

    async def lead(self) -> None:
        contender = StandaloneContender(self.folder)
        term = await contender.lead()
        core = MasterCore(
            Config(), DrfAllocator(), term.registry.load(), f"m{term.epoch}", read_clock()
        )
        self.contender, self.leader = contender, Leader(core, term, self.folder / "crashes")
        self.running = asyncio.create_task(self.leader.run())

    async def ended(self) -> None:
        await asyncio.wait_for(self.running, 10)
        await self.contender.close()

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait({self.running})
        await self.contender.close()

    async def subscribe(self, framework_id: str = "") -> tuple[Connection, str]:
        connection = self.leader.open(HOST, ev.FrameworkDisconnected)
        info = pb.FrameworkInfo(name="f", framework_id=framework_id, failover_timeout_s=1000)
        subscribe = scheduler_pb.Call.Subscribe(framework_info=info)
        connection.feed(ev.FrameworkSubscribing(connection.connection_id, subscribe, HOST))
        (event,) = await self.said(connection, 1)
        return connection, event.subscribed.framework_id

    async def said(self, connection: Connection, count: int) -> list[scheduler_pb.Event]:
        said: list[scheduler_pb.Event] = []
        while len(said) < count:
            batch = await asyncio.wait_for(connection.outbox.batch(), 10)
            assert batch is not None
            said += batch
        return said


def kill(connection: Connection, task_id: str = "boom") -> None:
    call = scheduler_pb.Call(kill=scheduler_pb.Call.Kill(task_id=task_id))
    connection.feed(ev.FrameworkCalled(connection.connection_id, call))


async def test_one_hostile_framework_costs_one_failover(tmp_path: Path, planted: None) -> None:
    """The call ends one leader; the next refuses it, and takes the same call of others."""
    cluster = Cluster(tmp_path)
    await cluster.lead()
    hostile, hostile_id = await cluster.subscribe()
    _, good_id = await cluster.subscribe()
    kill(hostile)
    kill(hostile)  # there is nobody any more who could take it in
    await cluster.ended()
    assert not cluster.leads()
    (crash,) = (tmp_path / "crashes").iterdir()
    text = crash.read_text()
    assert "PlantedError" in text and f"framework {hostile_id}" in text and "\x1b" not in text

    for _ in range(2):  # it stays so, however often masters change
        await cluster.lead()
        hostile, _ = await cluster.subscribe(hostile_id)
        kill(hostile)
        kill(hostile)
        refusals = [event.refused for event in await cluster.said(hostile, 2)]
        assert [r.call for r in refusals] == ["KILL", "KILL"]
        assert f"pymesos-cli quarantine release call/{hostile_id}:KILL" in refusals[0].message
        good, _ = await cluster.subscribe(good_id)
        kill(good, "other")
        assert not good.outbox._items, "others are not refused"
        assert cluster.leads()
        await cluster.stop()

    await cluster.lead()
    leader = cluster.leader  # the fourth
    ((kind, key),) = leader.core.state.quarantined
    assert (kind, key) == ("call", f"{hostile_id}:KILL")
    release = lambda number: ev.OperatorReleasedRecord(number, kind, key)  # noqa: E731
    assert await leader.ask(release) is None
    assert "no record" in str(await leader.ask(release))
    hostile, _ = await cluster.subscribe(hostile_id)
    kill(hostile)
    await cluster.ended()
    assert not cluster.leads(), "an operator wanted to see it again"


async def test_what_fails_before_a_change_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(tmp_path)
    await cluster.lead()
    framework, _ = await cluster.subscribe()

    def problem(message: Any) -> str | None:
        raise PlantedError

    monkeypatch.setattr(contract, "problem", problem)
    kill(framework)
    (event,) = await cluster.said(framework, 1)
    assert "PlantedError" in event.refused.message
    assert cluster.leads()
    await cluster.stop()


def blamed(h: MasterHarness, event: ev.Event) -> Iterator[str]:
    """The keys of the records that are written when this event ends a leader."""
    h.core._ctx.event = event
    for change in h.core.set_aside_cause(h.now, "reason"):
        yield change.key


def test_whose_call_it_was() -> None:
    h, agent, framework = prepared()
    framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
    update = agent_pb.StatusUpdate(framework_id=framework_id)
    new = ev.AgentRegistering(7, pb.AgentInfo(), "i", caller=Caller(peer="10.0.0.9"))
    for event, expected in (
        (subscribes(h, agent, framework), "host:SUBSCRIBE"),
        (comes_back(h, agent, framework), f"{framework_id}:SUBSCRIBE"),
        (ev.FrameworkCalled(framework, scheduler_pb.Call(revive={})), f"{framework_id}:REVIVE"),
        (ev.FrameworkCalled(framework, scheduler_pb.Call()), f"{framework_id}:UNKNOWN"),
        (ev.TaskStatusUpdated(agent, update), f"{agent_id}:UPDATE {framework_id}"),
        (registers(h, agent, framework), f"{agent_id}:REGISTER"),
        (new, "10.0.0.9:REGISTER"),
        (ev.AgentUsageReported(agent, agent_pb.Usage()), f"{agent_id}:USAGE"),
        (ev.OperatorMarkedGone(1, "x"), "operators:MARK_AGENT_GONE x"),
        (ev.OperatorSetQuota(1, "r", pb.Quota()), "operators:SET_QUOTA r"),
        (ev.FrameworkDisconnected(framework), f"{framework_id}:SUBSCRIBE"),
        (ev.AgentDisconnected(agent), f"{agent_id}:REGISTER"),
    ):
        assert list(blamed(h, event)) == [expected]
        if isinstance(event, ev.FrameworkDisconnected | ev.AgentDisconnected):
            continue  # what began the stream is refused
        registry = {("call", expected): h.core.set_aside_cause(h.now, "why")[0].value or b""}
        again = MasterHarness(registry=registry)
        again.core._ctx.state.frameworks |= h.core.state.frameworks
        again.core._ctx.state.framework_by_connection |= h.core.state.framework_by_connection
        again.core._ctx.state.agents |= h.core.state.agents
        again.core._ctx.state.agent_by_connection |= h.core.state.agent_by_connection
        told = again.core.step(again.now, event)
        assert "is in quarantine" in repr(told), expected
    assert not list(blamed(h, ev.Tick()))
    assert not list(blamed(h, ev.OperatorReleasedRecord(1, "call", "x"))), "the way out stays"


def test_who_left_is_blamed_though_half_of_that_is_done() -> None:
    h, agent, framework = prepared()
    h.core.state.agent_by_connection.clear()
    h.core.state.framework_by_connection.clear()
    assert list(blamed(h, ev.AgentDisconnected(agent))) == [f"{h.agent_id(agent)}:REGISTER"]
    left = ev.FrameworkDisconnected(framework)
    assert list(blamed(h, left)) == [f"{h.framework_id(framework)}:SUBSCRIBE"]


def test_the_call_that_was_being_written_is_blamed() -> None:
    """What a write was asked for by counts, not that it is done now."""
    h = MasterHarness()
    h.hold_writes = True
    h.subscribe()
    h.core._ctx.event = None
    ((token, _),) = h.held
    h.core.step(h.now, ev.Persisted(token))
    (change,) = h.core.set_aside_cause(h.now, "reason")
    assert change.key == ":SUBSCRIBE"


def test_a_record_of_a_call_is_short_whatever_a_peer_says() -> None:
    h, agent, _ = prepared()
    keys = set()
    for letter in "ab":
        update = agent_pb.StatusUpdate(framework_id="x" * 900_000 + letter)
        h.core._ctx.event = ev.TaskStatusUpdated(agent, update)
        (change,) = h.core.set_aside_cause(h.now, "why")
        assert len(change.key) < 300 and change.value is not None and len(change.value) < 600
        keys.add(change.key)
    assert len(keys) == 2
