"""Bugs that were planted and that nothing saw: one test for each, with the right value."""

from __future__ import annotations

import pytest

from pymesos_core.resources import parse, to_proto
from pymesos_core.timers import Timers
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Grant, Quota
from pymesos_master.core import events as ev
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task


def refuse(drf: DrfAllocator, grant: Grant, now_s: float, refuse_s: float | None) -> None:
    drf.answered(grant.framework_id, grant.agent_id)
    drf.recover(
        grant.framework_id,
        grant.agent_id,
        grant.role,
        grant.resources,
        now_s=now_s,
        refuse_s=refuse_s,
    )


@pytest.mark.parametrize("later_s", [60.0, 20.0])
def test_the_end_of_an_old_filter_leaves_a_newer_one(later_s: float) -> None:
    """The first ends at 10 s; meanwhile more came free, which was refused for longer."""
    drf = DrfAllocator()
    drf.add_framework("f", ("*",), active=True)
    drf.add_framework("busy", ("*",), active=True)
    held = parse("cpus:1;mem:100")
    drf.add_agent("a", parse("cpus:4;mem:400"), {("busy", "*"): held})
    drf.suppress("busy", ())
    (first,) = drf.allocate(0.0)
    refuse(drf, first, 0.0, 10.0)
    assert not drf.allocate(1.0)
    drf.recover("busy", "a", "*", held, now_s=2.0)
    (second,) = drf.allocate(2.0)
    refuse(drf, second, 2.0, later_s)
    assert not drf.allocate(11.0) and not drf.allocate(2.0 + later_s - 0.1)
    assert drf.allocate(2.0 + later_s + 0.1)


def test_what_a_quota_kept_back_is_looked_at_when_it_need_not_be_any_more() -> None:
    """A limit: an agent is kept from a role until what it holds elsewhere comes back."""
    drf = DrfAllocator()
    drf.add_framework("f", ("eng",), active=True)
    drf.set_quota("eng", Quota({}, {"cpus": 2000, "mem": 100_000}))
    held = parse("cpus:2;mem:100")
    drf.add_agent("full", parse("cpus:2;mem:100"), {("f", "eng"): held})
    drf.add_agent("free", parse("cpus:2;mem:100"), {})
    assert not drf.allocate(0.0)
    drf.deactivate_agent("full")
    drf.recover("f", "full", "eng", held, now_s=1.0)
    assert [grant.agent_id for grant in drf.allocate(1.0)] == ["free"]


class TestMaster:
    def test_an_acknowledgement_of_another_update_is_none(self) -> None:
        h = MasterHarness()
        agent = h.agent()
        framework = h.subscribe()
        h.run(framework)
        framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"end")
        for uuid in (b"another", b"en", b"endx"):
            h.call(framework, acknowledge={"task_id": "t", "agent_id": agent_id, "uuid": uuid})
            assert "t" in h.core.state.frameworks[framework_id].tasks
        again = h.subscribe(framework_id)
        assert h.last(again).uuid == b"end", "it is told to whoever takes over"
        h.call(again, acknowledge={"task_id": "t", "agent_id": agent_id, "uuid": b"end"})
        assert "t" not in h.core.state.frameworks[framework_id].tasks

    @pytest.mark.parametrize("by", ["an operator", "itself", "its failover timeout"])
    def test_a_framework_that_is_removed_takes_its_offers_along(self, by: str) -> None:
        h = MasterHarness()
        h.agent()
        framework = h.subscribe(failover_timeout_s=5)
        framework_id = h.framework_id(framework)
        (offer,) = h.offers(framework)
        other = h.subscribe()
        h.hold_writes = True
        if by == "an operator":
            h.feed(ev.OperatorToreDown(1, framework_id))
        elif by == "itself":
            h.call(framework, teardown={})
        else:
            h.feed(ev.FrameworkDisconnected(framework))
            h.advance(6)
        assert not h.core.state.offers.get(offer.offer_id)
        h.accept(framework, [offer.offer_id], task(offer, "late"))
        h.write()
        h.hold_writes = False
        assert h.offers(other)[0].resources == to_proto(parse("cpus:4;mem:4096"))

    def test_a_master_that_was_stopped_has_many_deadlines_at_once(self) -> None:
        """Found by the simulator: what one of them rescinds, another would have timed out."""
        h = MasterHarness()
        h.agent()
        holds = h.subscribe()
        assert h.offers(holds)
        lacks = h.subscribe()
        assert not h.offers(lacks)
        h.now_s += 1000  # SIGSTOP, SIGCONT: no Tick meanwhile
        h.feed(ev.Tick())
        assert h.offers(lacks)


def test_a_deadline_that_an_earlier_one_ends_does_not_come() -> None:
    timers: Timers[str] = Timers()
    for number, name in enumerate(("first", "cancelled", "moved", "last")):
        timers.set(name, number)
    came = []
    for name in timers.each_due(10):
        came.append(name)
        if name == "first":
            timers.cancel("cancelled")
            timers.set("moved", 5)
            timers.set("new", 1)
    assert came == ["first", "last"]
    assert timers.due(10) == ["new", "moved"] and timers.next_s() is None
