"""Faults of a master's own code: what is refused, what stops it, and what the next leader knows."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from types import FrameType, FunctionType, SimpleNamespace
from typing import Any

import pytest

from pymesos_core import contract, limits
from pymesos_core.addresses import HostPort, parse_zk
from pymesos_core.caller import Caller
from pymesos_core.clock import read_clock
from pymesos_core.coordination import MasterInfo, Term
from pymesos_core.coordination.standalone import StandaloneContender
from pymesos_core.outside import Outside
from pymesos_core.store import Change
from pymesos_core.transport import CallError
from pymesos_master import main, metrics, overview
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore, agents, quarantine, tasks
from pymesos_master.core import events as ev
from pymesos_master.core import master as core_of_master
from pymesos_master.core.state import Quarantined
from pymesos_master.services.leading import Leadership
from pymesos_master.settings import MasterSettings
from pymesos_master.shell import Connection, Leader
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

SOMEBODY = Caller(peer="host")
HOST = Caller(peer="ipv4:10.0.0.1")
PASSING = {"now", "event", "changed", "out", "_interned", "answer_s"}


class PlantedError(Exception):
    """The fault."""


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


def calls(kind: str) -> Callable[[MasterHarness, int, int], ev.Event]:
    def make(h: MasterHarness, agent: int, framework: int) -> ev.Event:
        (offer,) = h.offers(framework)
        launch = scheduler_pb.Operation.Launch(task_infos=[task(offer, "new")])
        operations = [scheduler_pb.Operation(launch=launch)]
        if kind == "wrong":
            return ev.FrameworkCalled(
                framework,
                scheduler_pb.Call(accept={"offer_ids": ["none"], "operations": operations}),
            )
        whole = {
            "accept": {"offer_ids": [offer.offer_id], "operations": operations},
            "decline": {"offer_ids": [offer.offer_id]},
            "kill": {"task_id": "t"},
        }
        return ev.FrameworkCalled(framework, scheduler_pb.Call(**{kind: whole[kind]}))  # type: ignore[arg-type]

    return make


def subscribes(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    info = pb.FrameworkInfo(name="new", roles=["*"])
    return ev.FrameworkSubscribing(
        99, scheduler_pb.Call.Subscribe(framework_info=info), Caller(peer="host")
    )


def comes_back(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    known = h.core.state.frameworks[h.framework_id(framework)].info
    return ev.FrameworkSubscribing(
        99, scheduler_pb.Call.Subscribe(framework_info=known), Caller(peer="host")
    )


def registers(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    known = h.core.state.agents[h.agent_id(agent)].info
    return ev.AgentRegistering(98, known, "other", caller=SOMEBODY)


MAKERS = {
    "accept": calls("accept"),
    "wrong": calls("wrong"),
    "decline": calls("decline"),
    "kill": calls("kill"),
    "subscribe": subscribes,
    "come back": comes_back,
    "register": registers,
}


def prepared() -> tuple[MasterHarness, int, int]:
    h = MasterHarness()
    agent = h.agent()
    framework = h.subscribe()
    h.run(framework)
    return h, agent, framework


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


@pytest.mark.parametrize("kind", ["accept", "decline"])
def test_what_is_in_quarantine_keeps_no_offers_from_others(kind: str) -> None:
    h, agent, framework = prepared()
    (offer,) = h.offers(framework)
    framework_id = h.framework_id(framework)
    key = f"{framework_id}:{kind.upper()}"
    h.core.state.quarantined["call", key] = Quarantined("call", key, b"", "why")
    event = MAKERS[kind](h, agent, framework)
    h.feed(event)
    assert not h.core.state.frameworks[framework_id].offers
    said = [e for e in h.framework_inbox[framework] if e.HasField("refused")]
    assert len(said) == 1 and "is in quarantine" in said[0].refused.message
    if kind == "accept":
        status = h.last(framework)
        assert (status.task_id, status.state) == ("new", pb.TASK_DROPPED)
        assert "is in quarantine" in status.message
    other = h.subscribe()
    h.advance(1.0)
    assert [o.agent_id for o in h.offers(other)] == [offer.agent_id]
    h.feed(ev.FrameworkDisconnected(other))
    h.advance(1.0)
    assert not h.offers(framework), "it would be refused again"
    h.advance(5.0)
    assert len(h.offers(framework)) == 1


def test_an_accept_in_quarantine_that_is_too_large_is_not_answered_task_by_task() -> None:
    h, _, framework = prepared()
    (offer,) = h.offers(framework)
    framework_id = h.framework_id(framework)
    key = f"{framework_id}:ACCEPT"
    h.core.state.quarantined["call", key] = Quarantined("call", key, b"", "why")
    infos = [pb.TaskInfo()] * (limits.CALL_TASKS.most + 1)
    launch = scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=infos))
    accept = scheduler_pb.Call.Accept(offer_ids=[offer.offer_id], operations=[launch])
    before = len(h.framework_inbox[framework])
    h.feed(ev.FrameworkCalled(framework, scheduler_pb.Call(accept=accept)))
    (said,) = h.framework_inbox[framework][before:]
    assert said.HasField("refused")
    assert not h.core.state.frameworks[framework_id].offers


def test_what_comes_of_several_deadlines_is_blamed_on_none() -> None:
    """All effects of a Tick are carried out when all that was due is met."""
    h, _, framework = prepared()
    other = h.subscribe()
    assert {framework, other} <= h.framework_inbox.keys()
    h.now_s += 100  # the heartbeats of both are due, and more
    h.feed(ev.Tick())
    assert h.core.set_aside_cause(h.now, "why") == []


def test_whose_stream_ended_is_known_however_far_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    h, agent, _ = prepared()
    agent_id = h.agent_id(agent)

    def wrong(*_: Any) -> None:
        raise PlantedError

    monkeypatch.setattr(agents, "AGENT_LIFE", SimpleNamespace(move=wrong))
    with pytest.raises(PlantedError):
        h.feed(ev.AgentDisconnected(agent))
    (change,) = h.core.set_aside_cause(h.now, "why")
    assert change.key == f"{agent_id}:REGISTER"


@pytest.mark.parametrize("kind", ["heartbeat", "lack", "offer", "ping", "failover", "reregister"])
def test_a_deadline_that_ended_a_leader_is_left_out_by_the_next(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One agent or framework is not served as it should be, and the others are."""
    h, agent, framework = prepared()
    framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
    if kind in ("failover", "reregister"):
        h = MasterHarness(registry=h.registry)
    right = core_of_master._DEADLINES[kind]
    done: list[str] = []

    def wrong(ctx: Any, key: str) -> None:
        if not done:
            ctx.state.offers.clear()  # half a step
            raise PlantedError
        done.append(key)
        right(ctx, key)

    monkeypatch.setitem(core_of_master._DEADLINES, kind, wrong)
    with pytest.raises(PlantedError):
        h.advance(1000)
    (change,) = h.core.set_aside_cause(h.now, "why")
    owner = agent_id if kind in ("ping", "reregister") else framework_id
    assert change.key == f"{owner}:DEADLINE {kind}"
    assert owner in "".join(name for name, _ in h.core.stories())

    registry = {**h.registry, ("call", change.key): change.value or b""}
    again = MasterHarness(Config(max_agent_ping_timeouts=10**6), registry)
    if kind not in ("failover", "reregister"):
        again.agent(agent_id=agent_id)
        again.subscribe(framework_id)
    again.advance(1000)
    done.append("from now on it is right")
    again.feed(ev.OperatorReleasedRecord(1, "call", change.key))
    assert again.answers[1] is None
    again.advance(1000)
    assert len(done) > 1, "released it comes again"


def test_a_record_of_the_registry_that_meets_a_fault_keeps_nobody_from_leading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    h, _, framework = prepared()

    def wrong(*_: Any) -> None:
        raise PlantedError("no such thing")

    monkeypatch.setattr(quarantine, "start_failover_timer", wrong)
    again = MasterHarness(registry=h.registry)
    (aside,) = again.core.state.quarantined.values()
    assert aside.key == h.framework_id(framework)
    assert aside.reason == "PlantedError: no such thing"
    again.core.check()


class Longest(random.Random):
    """Draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


class OneAfterTheOther:
    """A contender that always leads, and a registry of its own that stays empty."""

    def __init__(self, registry: Any) -> None:
        self.registry, self.epoch = registry, 0

    async def lead(self) -> Term:
        self.epoch += 1
        return Term(self.epoch, self.registry)

    async def resign(self, term: Term) -> None:
        pass

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("somebody", [False, True])
async def test_a_master_stands_back_ever_longer_from_a_fault_that_nobody_asked_for(
    somebody: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is set aside comes no more: whoever brings faults must not keep all from leading."""
    standalone = StandaloneContender(tmp_path / "registry")
    registry = (await standalone.lead()).registry
    me = MasterInfo("m", HostPort("127.0.0.1", 5050), "m")
    leadership = Leadership(me, Outside(jitter=Longest()))
    settings = MasterSettings(work_dir=tmp_path, zk=parse_zk("zk://z:1/p"))
    paused: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        if seconds == overview.EVERY_S:  # of those that lead, and not of one that stands back
            await sleep(seconds)
            return
        paused.append(seconds)
        with pytest.raises(CallError, match=f"PlantedError.*stands back for {seconds:.0f} s"):
            leadership.here()
        if len(paused) == 5:
            raise EOFError
        await sleep(0)

    def wrong(*_: Any) -> None:
        raise PlantedError

    monkeypatch.setitem(core_of_master._DEADLINES, "forget", wrong)
    if somebody:
        cause = [Change("call", "x:KILL", b"")]
        monkeypatch.setattr(MasterCore, "set_aside_cause", lambda *_: cause)
    monkeypatch.setattr(asyncio, "sleep", pause)
    with pytest.raises(EOFError):
        await main.contend(settings, OneAfterTheOther(registry), leadership)
    assert paused == ([1.0] * 5 if somebody else [1.0, 2.0, 4.0, 8.0, 16.0])
    assert (await metrics.snapshot(leadership)).faults == 5
    await standalone.close()
