"""What met a fault is set aside: its next leaders leave it out, and all others go on."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_core import limits
from pymesos_core.addresses import HostPort, parse_zk
from pymesos_core.coordination import MasterInfo, Term
from pymesos_core.coordination.standalone import StandaloneContender
from pymesos_core.outside import Outside
from pymesos_core.store import Change
from pymesos_core.transport import CallError
from pymesos_master import main, metrics, overview
from pymesos_master.core import Config, MasterCore, agents, quarantine
from pymesos_master.core import events as ev
from pymesos_master.core import master as core_of_master
from pymesos_master.core.state import Quarantined
from pymesos_master.services.leading import Leadership
from pymesos_master.settings import MasterSettings
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.planted_faults import (
    MAKERS,
    PlantedError,
    prepared,
)


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
