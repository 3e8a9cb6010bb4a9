"""The master core against what Mesos was recorded to answer (shared recordings 01–18)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pymesos_core import VERSION, resources
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import AgentState, FrameworkState
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

SUPERSEDED = scheduler_pb.Event.Error.SUPERSEDED


def names(status: pb.TaskStatus) -> tuple[str, str]:
    return pb.TaskState.Name(status.state), pb.Reason.Name(status.reason)


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


class TestAccept:
    """Recording 06a."""

    def test_good_use_of_an_offer(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], task(offer, "t"))
        assert h.launched(agent) == ["t"]
        (rest,) = h.offers(framework)
        assert str(resources.from_proto(rest.resources)) == "cpus:3;mem:4064"

    def test_unknown_offer(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, ["no-such-offer"], task(offer, "t"))
        status = h.last(framework)
        assert names(status) == ("TASK_DROPPED", "REASON_INVALID_OFFERS")
        assert status.message == (
            "Task launched with invalid offers: Offer no-such-offer is no longer valid"
        )
        assert not status.uuid
        assert [o.offer_id for o in h.offers(framework)] == [offer.offer_id]

    def test_not_partition_aware_is_told_lost(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe(capabilities=())
        (offer,) = h.offers(framework)
        h.accept(framework, ["gone"], task(offer, "t"))
        assert names(h.last(framework)) == ("TASK_LOST", "REASON_INVALID_OFFERS")
        assert h.launched(agent) == []

    @pytest.mark.parametrize("second_use", ["accepted", "declined"])
    def test_an_answered_offer_is_no_longer_valid(self, h: MasterHarness, second_use: str) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        if second_use == "declined":
            h.decline(framework, [offer.offer_id])
        else:
            h.accept(framework, [offer.offer_id])
        h.accept(framework, [offer.offer_id], task(offer, "t"))
        assert names(h.last(framework)) == ("TASK_DROPPED", "REASON_INVALID_OFFERS")
        assert h.launched(agent) == []

    def test_offers_of_two_agents(self, h: MasterHarness) -> None:
        first, second, framework = h.agent(), h.agent(), h.subscribe()
        offers = h.offers(framework)
        h.accept(framework, [o.offer_id for o in offers], task(offers[0], "t"))
        assert names(h.last(framework)) == ("TASK_DROPPED", "REASON_INVALID_OFFERS")
        assert "must belong to one single agent" in h.last(framework).message
        assert h.launched(first) == h.launched(second) == []
        assert len(h.offers(framework)) == 2, "the good offers return to the pool"

    def test_an_offer_twice_in_one_accept(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id] * 2, task(offer, "t"))
        assert "Duplicate offer" in h.last(framework).message
        assert len(h.offers(framework)) == 1

    def test_accepting_in_vain_for_ever_starves_nobody(self, h: MasterHarness) -> None:
        """Found by the simulator: the agent came back at once to the one of the lowest share."""
        h.agent()
        busy = h.subscribe(name="busy")
        h.run(busy)
        fool = h.subscribe(name="fool")
        for offer in h.offers(busy):
            h.decline(busy, [offer.offer_id], refuse_s=0)
        for _ in range(10):
            for offer in h.offers(fool):
                h.accept(fool, [offer.offer_id] * 2, task(offer, "t"))
            if h.offers(busy):
                return
        raise AssertionError("the other framework was offered nothing")

    def test_no_offers_at_all(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.accept(framework, [], task(pb.Offer(agent_id="a"), "t"))
        assert h.last(framework).message == "Task launched with invalid offers: No offers specified"

    def test_another_frameworks_offer(self, h: MasterHarness) -> None:
        agent, owner = h.agent(), h.subscribe()
        (offer,) = h.offers(owner)
        thief = h.subscribe(name="thief")
        h.accept(thief, [offer.offer_id], task(offer, "t"))
        assert names(h.last(thief)) == ("TASK_DROPPED", "REASON_INVALID_OFFERS")
        assert h.launched(agent) == []
        assert [o.offer_id for o in h.offers(owner)] == [offer.offer_id]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"task_id": "a/b"}, "slash"),
            ({"task_id": ".."}, "is not an id"),
            ({"task_id": ""}, "must not be empty"),
            ({"task_id": "x" * 256}, "at most 255"),
            ({"task_id": "a\x07"}, "control character"),
            ({"agent_id": "other"}, "Task uses invalid agent other"),
            ({"command": pb.CommandInfo()}, "neither a command nor an image"),
            ({"command": pb.CommandInfo(shell=True, value="a\0b")}, "NUL"),
            ({"resources": []}, "no resources"),
            (
                {"kill_policy": pb.KillPolicy(grace_period_s=math.nan)},
                "kill_policy.grace_period_s is nan",
            ),
            ({"data": b"x" * 300_000}, "at most 262144"),
        ],
    )
    def test_an_invalid_task(self, h: MasterHarness, change: dict[str, object], says: str) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        info = task(offer, "t")
        info = pb.TaskInfo(**{**{f.name: v for f, v in info.ListFields()}, **change})
        h.accept(framework, [offer.offer_id], info)
        assert names(h.last(framework)) == ("TASK_ERROR", "REASON_TASK_INVALID")
        assert says in h.last(framework).message
        assert h.launched(agent) == []
        assert len(h.offers(framework)) == 1

    @pytest.mark.parametrize("task_id", ["with space", "größe", "x" * 255])
    def test_an_unusual_but_valid_id(self, h: MasterHarness, task_id: str) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework, task_id)
        assert h.launched(agent) == [task_id]

    @pytest.mark.parametrize(
        ("scalar", "says"),
        [
            (-1.0, "cannot be negative"),
            (math.nan, "a finite number is expected"),
            (math.inf, "a finite number is expected"),
            (0.0001, "rounds to zero"),
            (5.0, "more resources cpus:5 than available"),
        ],
    )
    def test_bad_amounts(self, h: MasterHarness, scalar: float, says: str) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        info = task(offer, "t")
        del info.resources[:]
        info.resources.append(pb.Resource(name="cpus", scalar=scalar))
        h.accept(framework, [offer.offer_id], info)
        assert names(h.last(framework)) == ("TASK_ERROR", "REASON_TASK_INVALID")
        assert says in h.last(framework).message

    def test_more_than_three_decimals_are_rounded(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        info = task(offer, "t", "cpus:1")
        info.resources[0].scalar = 0.12345
        h.accept(framework, [offer.offer_id], info)
        (rest,) = h.offers(framework)
        assert resources.from_proto(rest.resources).scalar("cpus") == 3877

    def test_a_duplicate_task_id(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework, "t")
        h.run(framework, "t")
        assert h.launched(agent) == ["t"]
        assert h.last(framework).message == "Task has duplicate ID: t"

    def test_the_second_task_finds_what_the_first_left(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:4;mem:100"), h.subscribe()
        (offer,) = h.offers(framework)
        infos = [task(offer, "a", "cpus:3;mem:10"), task(offer, "b", "cpus:3;mem:10")]
        h.accept(framework, [offer.offer_id], *infos)
        assert h.launched(agent) == ["a"]
        assert names(h.last(framework)) == ("TASK_ERROR", "REASON_TASK_INVALID")


class TestFilters:
    """Recordings 04 and 05."""

    @pytest.mark.parametrize("refuse_s", [None, -1.0, math.nan])
    def test_the_default_filter_lasts_five_seconds(
        self, h: MasterHarness, refuse_s: float | None
    ) -> None:
        h.agent()
        framework = h.subscribe()
        h.decline(framework, [h.offers(framework)[0].offer_id], refuse_s)
        h.advance(4.9)
        assert h.offers(framework) == []
        h.advance(0.2)
        assert len(h.offers(framework)) == 1

    def test_revive_ends_a_filter_at_once(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        h.decline(framework, [h.offers(framework)[0].offer_id], 3600)
        assert h.offers(framework) == []
        h.call(framework, revive=scheduler_pb.Call.Revive())
        assert len(h.offers(framework)) == 1

    def test_an_idle_cluster_offers_at_once_to_who_revives(self, h: MasterHarness) -> None:
        """What comes free waits for its other half, and so does who asks again and again."""
        agent, framework = h.agent(), h.subscribe()
        h.run(framework, "t")
        h.decline(framework, [h.offers(framework)[0].offer_id], 3600)
        delay_s = Config().allocation_delay_s
        h.advance(1)
        h.call(framework, revive=scheduler_pb.Call.Revive())
        assert h.core.next_deadline_s() == h.now_s
        (offer,) = h.offers(framework)
        h.decline(framework, [offer.offer_id], 3600)
        h.call(framework, revive=scheduler_pb.Call.Revive())
        assert h.core.next_deadline_s() == h.now_s + delay_s, "it was just looked at"
        h.advance(1)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED, b"v")
        h.call(framework, revive=scheduler_pb.Call.Revive())
        assert h.core.next_deadline_s() == h.now_s + delay_s, "something has come free"

    def test_a_filter_ends_when_the_agent_has_more(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework, "t")
        h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
        h.decline(framework, [h.offers(framework)[0].offer_id], 3600)
        assert h.offers(framework) == []
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED, b"v")
        (offer,) = h.offers(framework)
        assert str(resources.from_proto(offer.resources)) == "cpus:4;mem:4096"

    def test_declining_without_filters_backs_off(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        waits = []
        for _ in range(12):
            (offer,) = h.offers(framework)
            h.decline(framework, [offer.offer_id], 0)
            begin = h.now_s
            while not h.offers(framework):
                h.advance(0.001)
            waits.append(h.now_s - begin)
        assert waits[0] < 0.005, "at once the first time"
        assert 0.5 < waits[-1] < 1.1, "then up to a second"

    def test_suppress_keeps_offers_and_stops_new_ones(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe()
        (offer,) = h.offers(framework)
        h.call(framework, suppress=scheduler_pb.Call.Suppress())
        assert len(h.offers(framework)) == 1
        h.decline(framework, [offer.offer_id], 0)
        h.advance(60)
        assert h.offers(framework) == []

    @pytest.mark.parametrize(
        "call",
        [
            {"suppress": {"roles": ["db"]}},
            {"revive": {"roles": ["web", "db"]}},
            {"subscribe": {}},
            {},  # of a kind that a later version knows
        ],
    )
    def test_a_wrong_call_is_refused_and_the_stream_goes_on(
        self, h: MasterHarness, call: dict[str, Any]
    ) -> None:
        h.agent()
        framework = h.subscribe(roles=["web"])
        offer = h.offers(framework)[0]
        h.call(framework, suppress=scheduler_pb.Call.Suppress(roles=["web"]))
        h.call(framework, **call)
        (refused,) = h.refused(framework)
        assert refused.call == next(iter(call), "").upper() and refused.message
        assert refused.code == (
            scheduler_pb.Event.Refused.INVALID if call else scheduler_pb.Event.Refused.UNKNOWN_CALL
        )
        assert not h.errors(framework) and framework not in h.closed
        h.decline(framework, [offer.offer_id], refuse_s=0)
        assert not h.offers(framework), "nothing of a refused REVIVE is done"
        h.call(framework, revive=scheduler_pb.Call.Revive(roles=["web"]))
        assert h.offers(framework), "the stream goes on"

    def test_all_tasks_of_a_framework_are_told_in_turns(self) -> None:
        h = MasterHarness(Config(told_in_a_turn=2))
        agent, framework = h.agent("cpus:8;mem:4096"), h.subscribe(failover_timeout_s=1000)
        (offer,) = h.offers(framework)
        ids = [f"t{number}" for number in range(7)]
        h.accept(framework, [offer.offer_id], *(task(offer, i, "cpus:1;mem:32") for i in ids))
        framework_id = h.framework_id(framework)
        for number, task_id in enumerate(ids):
            h.update(agent, framework_id, task_id, pb.TASK_RUNNING, bytes([number]))

        def told(connection_id: int) -> list[str]:
            inbox = h.framework_inbox[connection_id]
            out = [e.update.status.task_id for e in inbox if e.HasField("update")]
            inbox.clear()
            return out

        told(framework)
        h.hold_reading = True
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        assert told(framework) == ids[:2], "before it has read of these"
        for _ in range(3):  # asked for again, it is answered once more, from the beginning
            h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        asked = [scheduler_pb.Call.Reconcile.Task(task_id=i) for i in ("t3", "none", "t5")]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert told(framework) == []
        h.hold_reading = False
        h.read(framework)
        assert told(framework) == [*ids[2:], *ids, "t3", "none", "t5"]
        h.hold_reading = True
        again = h.subscribe(framework_id=framework_id, failover_timeout_s=1000)
        assert told(again) == ids[:2], "so are updates that were not acknowledged"
        h.call(again, acknowledge={"agent_id": offer.agent_id, "task_id": "t2", "uuid": b"\2"})
        h.feed(ev.FrameworkDisconnected(framework))
        h.hold_reading = False
        h.read(again)
        assert told(again) == ids[3:]
        h.hold_reading = True
        h.call(again, reconcile=scheduler_pb.Call.Reconcile())
        h.feed(ev.FrameworkDisconnected(again))
        h.hold_reading = False
        told(again)
        h.read(again)
        assert told(again) == [], "it is not there any more"

    def test_what_waits_to_be_answered_is_bounded(self, h: MasterHarness) -> None:
        h.hold_reading = True
        framework = h.subscribe()
        asked = [scheduler_pb.Call.Reconcile.Task(task_id=f"t{n}") for n in range(1000)]
        for _ in range(42):
            h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert framework in h.closed, "it asks, and does not read the answers"
        assert not h.errors(framework)

    def test_a_master_says_its_version_and_what_it_can(self, h: MasterHarness) -> None:
        (told,) = h.framework_inbox[h.subscribe()]
        assert told.subscribed.master_version == VERSION
        assert scheduler_pb.REFUSES_CALLS in told.subscribed.master_capabilities

    def test_an_unanswered_offer_times_out(self) -> None:
        h = MasterHarness(Config(offer_timeout_s=10))
        h.agent()
        silent = h.subscribe()
        assert len(h.offers(silent)) == 1
        h.advance(9.9)
        assert len(h.offers(silent)) == 1
        h.advance(0.2)
        assert h.framework_inbox[silent][-1].rescind.reason == "offer timed out"


class TestUpdates:
    """Recordings 02, 07 and 09."""

    def test_a_life(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        offer = h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING, b"1")
        acknowledge = scheduler_pb.Call.Acknowledge(agent_id=offer.agent_id, task_id="t", uuid=b"1")
        h.call(framework, acknowledge=acknowledge)
        assert h.agent_inbox[agent][-1].acknowledgement.uuid == b"1"
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"2")
        acknowledge.uuid = b"2"
        h.call(framework, acknowledge=acknowledge)
        assert [names(s)[0] for s in h.statuses(framework)] == ["TASK_RUNNING", "TASK_FINISHED"]
        assert not h.core.state.frameworks[framework_id].tasks
        completed = h.core.state.completed_tasks[framework_id, "t"]
        assert completed.started_at_s and completed.finished_at_s

    def test_resources_come_free_on_the_transition(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:1;mem:100"), h.subscribe()
        h.run(framework, "t", "cpus:1;mem:100")
        assert h.offers(framework) == []
        # The update being delivered is still RUNNING; the agent says it has ended already.
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING, b"1", pb.TASK_FINISHED)
        assert len(h.offers(framework)) == 1

    def test_what_comes_free_in_one_message_is_offered_together(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:2;mem:64"), h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], task(offer, "a"), task(offer, "b"))
        other = h.agent()
        h.now_s += 0.1  # a busy master: the allocation for the other agent is due already
        h.update(agent, h.framework_id(framework), "a", pb.TASK_FINISHED, b"1")
        h.update(agent, h.framework_id(framework), "b", pb.TASK_FINISHED, b"2")
        (offer,) = (o for o in h.offers(framework) if o.agent_id != h.agent_id(other))
        assert str(resources.from_proto(offer.resources)) == "cpus:2;mem:64"

    def test_a_terminal_state_is_final(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"1")
        h.update(agent, framework_id, "t", pb.TASK_FAILED, b"2")
        assert h.core.state.frameworks[framework_id].tasks["t"].state == pb.TASK_FINISHED

    def test_an_end_without_a_uuid_is_the_end(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_DROPPED, b"")
        assert names(h.last(framework))[0] == "TASK_DROPPED"
        assert not h.core.state.frameworks[h.framework_id(framework)].tasks

    def test_completed_tasks_are_bounded(self) -> None:
        h = MasterHarness(Config(max_completed_tasks=3))
        agent, framework = h.agent(), h.subscribe()
        for number in range(5):
            task_id = f"t{number}"
            offer = h.run(framework, task_id)
            h.update(agent, h.framework_id(framework), task_id, pb.TASK_FINISHED, b"1")
            acknowledge = scheduler_pb.Call.Acknowledge(
                agent_id=offer.agent_id, task_id=task_id, uuid=b"1"
            )
            h.call(framework, acknowledge=acknowledge)
        kept = [task_id for _, task_id in h.core.state.completed_tasks]
        assert kept == ["t2", "t3", "t4"]

    def test_an_update_of_a_removed_framework_is_acknowledged_for_it(
        self, h: MasterHarness
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.call(framework, teardown=scheduler_pb.Call.Teardown())
        assert h.agent_inbox[agent][-1].shutdown_framework.framework_id == framework_id
        assert h.core.state.agents[h.agent_id(agent)].allocated(), "until the agent says so"
        h.update(agent, framework_id, "t", pb.TASK_KILLED, b"9")
        assert h.agent_inbox[agent][-1].acknowledgement.uuid == b"9"
        assert not h.core.state.agents[h.agent_id(agent)].tasks


class TestKillAndReconcile:
    """Recordings 03b and 07."""

    def test_kill_reaches_the_agent_with_its_policy(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        policy = pb.KillPolicy(grace_period_s=1.5)
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", kill_policy=policy))
        assert h.agent_inbox[agent][-1].kill.kill_policy.grace_period_s == 1.5

    def test_kill_naming_the_wrong_agent_does_nothing(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        before = len(h.agent_inbox[agent])
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", agent_id="other"))
        assert len(h.agent_inbox[agent]) == before
        assert h.statuses(framework) == []

    def test_kill_of_an_unknown_task_is_answered_like_a_reconciliation(
        self, h: MasterHarness
    ) -> None:
        framework = h.subscribe()
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="ghost"))
        assert names(h.last(framework)) == ("TASK_UNKNOWN", "REASON_RECONCILIATION")

    def test_kill_for_a_disconnected_agent_is_sent_when_it_returns(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=7), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t"))
        info = h.core.state.frameworks[h.framework_id(framework)].tasks["t"].info
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework), task_info=info, state=pb.TASK_RUNNING
        )
        again = h.agent(agent_id=agent_id, tasks=[record], port=7)
        assert [m.kill.task_id for m in h.agent_inbox[again] if m.HasField("kill")] == ["t"]

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (("ghost", ""), "TASK_UNKNOWN"),
            (("ghost", "live"), "TASK_GONE"),
            (("ghost", "no-such-agent"), "TASK_UNKNOWN"),
            (("t", ""), "TASK_RUNNING"),
            (("t", "no-such-agent"), "TASK_RUNNING"),
            (("a/b", ""), "TASK_UNKNOWN"),
        ],
    )
    def test_explicit(self, h: MasterHarness, asked: tuple[str, str], expected: str) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
        task_id, where = asked
        where = h.agent_id(agent) if where == "live" else where
        question = scheduler_pb.Call.Reconcile.Task(task_id=task_id, agent_id=where)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(h.last(framework)) == (expected, "REASON_RECONCILIATION")
        assert not h.last(framework).uuid

    @pytest.mark.parametrize("as_mesos", [True, False])
    def test_of_a_task_whose_end_is_acknowledged(self, h: MasterHarness, as_mesos: bool) -> None:
        more = [pb.MESOS_RECONCILIATION] if as_mesos else []
        agent, framework = h.agent(), h.subscribe(capabilities=[pb.PARTITION_AWARE, *more])
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED, b"1")
        asked = [scheduler_pb.Call.Reconcile.Task(task_id="t")]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert names(h.last(framework))[0] == "TASK_FINISHED", "it has not acknowledged it yet"
        told = scheduler_pb.Call.Acknowledge(agent_id=h.agent_id(agent), task_id="t", uuid=b"1")
        h.call(framework, acknowledge=told)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        expected = "TASK_UNKNOWN" if as_mesos else "TASK_FINISHED"
        assert names(h.last(framework)) == (expected, "REASON_RECONCILIATION")
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", agent_id=h.agent_id(agent)))
        assert names(h.last(framework))[0] == "TASK_GONE" if as_mesos else "TASK_FINISHED"

    @pytest.mark.parametrize("as_mesos", [True, False])
    def test_implicit_of_a_task_that_is_unreachable(self, h: MasterHarness, as_mesos: bool) -> None:
        more = [pb.MESOS_RECONCILIATION] if as_mesos else []
        agent, framework = h.agent(), h.subscribe(capabilities=[pb.PARTITION_AWARE, *more])
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(3600)
        assert names(h.last(framework))[0] == "TASK_UNREACHABLE"
        before = len(h.statuses(framework))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        assert len(h.statuses(framework)) - before == (0 if as_mesos else 1)
        asked = [scheduler_pb.Call.Reconcile.Task(task_id="t")]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert names(h.last(framework)) == ("TASK_UNREACHABLE", "REASON_RECONCILIATION")
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t"))
        killed = h.core.state.frameworks[h.framework_id(framework)].tasks["t"].kill
        assert (killed is None) == as_mesos

    def test_a_command_that_says_nothing(self, h: MasterHarness) -> None:
        """The master launches it for a framework that is told of every start; there it fails."""
        capabilities = [pb.PARTITION_AWARE, pb.TASK_STARTING_STATE]
        agent, framework = h.agent(), h.subscribe(capabilities=capabilities)
        (offer,) = h.offers(framework)
        info = task(offer, "t")
        info.command.CopyFrom(pb.CommandInfo(shell=True))
        h.accept(framework, [offer.offer_id], info)
        assert h.launched(agent) == ["t"]

    def test_no_answer_before_an_agent_has_confirmed_its_registration(
        self, h: MasterHarness
    ) -> None:
        """Found by the simulator: it may still work for the master before this one."""
        framework = h.subscribe()
        info = pb.AgentInfo(agent_id="a", address=pb.Address(ip="127.0.0.1", port=9))
        h.feed(ev.AgentRegistering(77, info, "i"))
        question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id="a")
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert h.statuses(framework) == []
        h.feed(ev.AgentHeard(77))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(h.last(framework))[0] == "TASK_GONE"

    def test_implicit_tells_the_last_forwarded_state(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_STARTING, b"1", pb.TASK_RUNNING)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        assert names(h.last(framework)) == ("TASK_STARTING", "REASON_RECONCILIATION")

    def test_no_answer_while_agents_may_come_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        agent_id, framework_id = h.agent_id(agent), h.framework_id(framework)
        successor = MasterHarness(registry=h.registry)
        again = successor.subscribe(framework_id)
        for where in (agent_id, ""):
            question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=where)
            successor.call(again, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert successor.statuses(again) == []
        successor.advance(601)
        question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=agent_id)
        successor.call(again, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(successor.last(again))[0] == "TASK_UNREACHABLE"


class TestFrameworks:
    """Recordings 01, 10c and 11."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": ""}, "needs a name"),
            ({"failover_timeout_s": -1.0}, "failover_timeout_s"),
            ({"failover_timeout_s": math.nan}, "failover_timeout_s"),
            ({"roles": ["a b"]}, "white space"),
            ({"roles": ["-a"]}, "starts with '-'"),
            ({"roles": ["a", "a"]}, "given twice"),
            ({"framework_id": "never-seen"}, "not known to this cluster"),
            ({"framework_id": "../x"}, "slash"),
        ],
    )
    def test_bad_infos_are_refused_with_an_error(
        self, h: MasterHarness, change: dict[str, object], says: str
    ) -> None:
        framework = h.subscribe(**change)  # type: ignore[arg-type]
        assert says in h.errors(framework)[0]
        assert framework in h.closed
        assert not h.core.state.frameworks

    def test_it_is_written_before_it_is_told(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe()
        assert h.framework_inbox[framework] == []
        h.write()
        assert h.framework_id(framework)
        assert len(h.registry) == 1

    def test_a_client_that_left_before_it_was_told_leaves_no_ghost(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe(failover_timeout_s=1e6)
        h.feed(ev.FrameworkDisconnected(framework))
        h.hold_writes = False
        h.write()
        assert not h.core.state.frameworks
        assert not h.registry

    def test_a_newer_subscription_ends_the_older(self, h: MasterHarness) -> None:
        h.agent()
        older = h.subscribe()
        (offer,) = h.offers(older)
        newer = h.subscribe(h.framework_id(older))
        rescinds = [e.rescind.offer_id for e in h.framework_inbox[older] if e.HasField("rescind")]
        assert rescinds == [offer.offer_id]
        assert h.errors(older) == ["Framework failed over"]
        assert h.framework_inbox[older][-1].error.code == SUPERSEDED
        assert older in h.closed
        h.feed(ev.FrameworkDisconnected(older))
        assert len(h.offers(newer)) == 1
        h.decline(older, [h.offers(newer)[0].offer_id])
        assert len(h.offers(newer)) == 1, "calls on the old stream are ignored"

    def test_an_instance_of_an_earlier_epoch_does_not_lead_again(self, h: MasterHarness) -> None:
        older = h.subscribe(epoch=1)
        framework_id = h.framework_id(older)
        newer = h.subscribe(framework_id, epoch=2)
        stale = h.subscribe(framework_id, epoch=1)
        assert h.errors(stale) == [
            "another instance of this framework leads, in epoch 2; this is 1"
        ]
        assert h.framework_inbox[stale][-1].error.code == SUPERSEDED
        assert h.core.state.frameworks[framework_id].connection_id == newer

    def test_an_epoch_that_is_being_written_counts(self, h: MasterHarness) -> None:
        framework_id = h.framework_id(h.subscribe(epoch=1))
        h.hold_writes = True
        newer = h.subscribe(framework_id, epoch=2)
        stale = h.subscribe(framework_id, epoch=1)
        assert h.errors(stale) == [
            "another instance of this framework leads, in epoch 2; this is 1"
        ]
        h.hold_writes = False
        h.write()
        assert h.core.state.frameworks[framework_id].connection_id == newer

    def test_the_user_cannot_change(self, h: MasterHarness) -> None:
        framework = h.subscribe(user="alice")
        again = h.subscribe(h.framework_id(framework), user="bob")
        assert h.errors(again) == ["Changing framework's user is not allowed."]
        assert not h.framework_inbox[again][-1].error.code
        assert framework not in h.closed

    def test_updates_wait_for_the_framework_to_come_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.update(agent, framework_id, "t", pb.TASK_FINISHED)
        again = h.subscribe(framework_id)
        assert names(h.last(again))[0] == "TASK_FINISHED"

    def test_after_the_failover_timeout_its_tasks_end(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe(failover_timeout_s=30)
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.advance(29)
        assert not any(m.HasField("shutdown_framework") for m in h.agent_inbox[agent])
        h.advance(2)
        assert h.agent_inbox[agent][-1].shutdown_framework.framework_id == framework_id
        late = h.subscribe(framework_id)
        assert h.errors(late) == ["Framework has been removed: Framework failover timeout"]
        error = h.framework_inbox[late][-1].error
        assert error.code == scheduler_pb.Event.Error.FRAMEWORK_REMOVED
        assert not any(kind == "framework" for kind, _ in h.registry)

    def test_coming_back_in_time_stops_the_timer(self, h: MasterHarness) -> None:
        framework = h.subscribe(failover_timeout_s=10)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.advance(9)
        h.subscribe(framework_id, failover_timeout_s=10)
        h.advance(60)
        assert h.core.state.frameworks[framework_id].state == FrameworkState.ACTIVE

    def test_the_failover_timeout_survives_the_master(self, h: MasterHarness) -> None:
        """MESOS-4659."""
        framework = h.subscribe(failover_timeout_s=500)
        successor = MasterHarness(registry=h.registry)
        successor.advance(499)
        assert h.framework_id(framework) in successor.core.state.frameworks
        successor.advance(2)
        assert not successor.core.state.frameworks

    def test_an_empty_id_never_adopts_another_frameworks_tasks(self, h: MasterHarness) -> None:
        """The Chronos failures (Jepsen, 2015)."""
        h.agent()
        framework = h.subscribe(name="chronos")
        h.run(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        other = h.subscribe(name="chronos")
        assert h.framework_id(other) != h.framework_id(framework)
        assert h.statuses(other) == []
        h.call(other, reconcile=scheduler_pb.Call.Reconcile())
        assert h.statuses(other) == []

    def test_a_heartbeat_comes_every_interval(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.advance(46)
        beats = [e for e in h.framework_inbox[framework] if e.HasField("heartbeat")]
        assert len(beats) == 3


class TestAgents:
    """Recordings 16a and 16b."""

    def test_tasks_of_a_removed_framework_end_with_their_agent(self, h: MasterHarness) -> None:
        """Found by bench/churn.py: they were kept for ever."""
        agent, framework = h.agent(), h.subscribe()
        framework_id = h.framework_id(framework)
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.call(framework, teardown=scheduler_pb.Call.Teardown())
        assert h.core.state.completed_frameworks[framework_id].tasks, "it may still come back"
        h.advance(100)
        assert not h.core.state.completed_frameworks[framework_id].tasks
        assert not h.core.state.agents[h.agent_id(agent)].tasks

    def test_unreachable_after_five_missed_pings_and_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(74)
        assert h.core.state.agents[agent_id].state == AgentState.DISCONNECTED
        h.advance(20)
        assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE
        assert names(h.last(framework)) == ("TASK_UNREACHABLE", "REASON_AGENT_REMOVED")
        failures = [e.failure for e in h.framework_inbox[framework] if e.HasField("failure")]
        assert [failure.agent_id for failure in failures] == [agent_id]
        info = h.core.state.frameworks[framework_id].tasks["t"].info
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=info, state=pb.TASK_RUNNING
        )
        h.agent(agent_id=agent_id, tasks=[record], port=9)
        assert names(h.last(framework)) == ("TASK_RUNNING", "REASON_AGENT_REREGISTERED")
        (offer,) = h.offers(framework)
        assert str(resources.from_proto(offer.resources)) == "cpus:3;mem:4064"

    def test_the_more_agents_the_less_often_each_is_to_report_its_usage(self) -> None:
        h = MasterHarness(Config(usage_interval_s=5, usage_reports_per_s=0.5))
        agents = [h.agent(port=9)]
        h.advance(16)
        agents += [h.agent(port=10 + n) for n in range(3)]
        h.advance(16)
        pings = [m.ping for m in h.agent_inbox[agents[0]] if m.HasField("ping")]
        assert [ping.usage_interval_s for ping in pings] == [5, 8]

    def test_an_agent_that_returns_tells_the_update_that_is_due_first(
        self, h: MasterHarness
    ) -> None:
        """Found by the simulator: the latest state was told before those that led to it."""
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(100)
        due = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, uuid=b"1", agent_id=agent_id)
        record = agent_pb.TaskRecord(
            framework_id=framework_id,
            task_info=h.core.state.frameworks[framework_id].tasks["t"].info,
            state=pb.TASK_FINISHED,
            unacknowledged=[due],
        )
        h.agent(agent_id=agent_id, tasks=[record], port=9)
        assert h.last(framework) == due

    def test_gone_is_not_written_over(self, h: MasterHarness) -> None:
        """Found by the simulator: an agent that was being marked gone became unreachable."""
        agent = h.agent()
        agent_id = h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.hold_writes = True
        h.feed(ev.OperatorMarkedGone(1, agent_id))
        h.advance(200)
        h.write()
        assert MasterHarness(registry=h.registry).core.state.agents[agent_id].state == (
            AgentState.GONE
        )

    @pytest.mark.parametrize("end", [AgentState.GONE, AgentState.UNREACHABLE])
    def test_a_reservation_does_not_bring_an_agent_back(
        self, h: MasterHarness, end: AgentState
    ) -> None:
        """Found by the simulator: it was reserved while its end was being written."""
        agent_id = h.agent_id(h.agent())
        h.hold_writes = True
        if end == AgentState.GONE:
            h.feed(ev.OperatorMarkedGone(1, agent_id))
        else:
            h.advance(100)
        assert h.held
        wanted = tuple(resources.to_proto(resources.parse("cpus:1")))
        h.feed(ev.OperatorReserved(2, agent_id, "eng", wanted))
        h.write()
        assert h.core.state.agents[agent_id].state == end
        assert MasterHarness(registry=h.registry).core.state.agents[agent_id].state == end

    def test_a_late_registration_does_not_count(self, h: MasterHarness) -> None:
        """Found by the simulator: what an agent had said earlier was taken for the latest."""
        info = pb.AgentInfo(
            agent_id="a",
            address=pb.Address(hostname="h", ip="127.0.0.1", port=9),
            resources=resources.to_proto(resources.parse("cpus:4;mem:4096")),
        )
        h.hold_writes = True
        h.feed(ev.AgentRegistering(101, info, "i1", boot_id="b", mono_s=10.0))
        h.feed(ev.AgentRegistering(102, info, "i2", boot_id="b", mono_s=20.0))
        h.write()
        assert 101 in h.closed and not h.agent_inbox[101]
        assert h.agent_inbox[102][0].HasField("registered")
        # The tail of a stream that is older still.
        h.feed(ev.AgentRegistering(103, info, "i0", boot_id="b", mono_s=5.0))
        assert "registered again since" in h.agent_inbox[103][0].refused.message
        assert h.core.state.agents["a"].connection_id == 102
        # After a reboot the clock begins anew.
        h.feed(ev.AgentRegistering(104, info, "i3", boot_id="c", mono_s=1.0))
        h.write()
        assert h.core.state.agents["a"].connection_id == 104

    def test_the_files_of_an_agent_on_another_machine_are_no_agent(self, h: MasterHarness) -> None:
        """Two machines of one image ended each other's streams, and lost each other's tasks."""

        def register(connection_id: int, ip: str, boot_id: str) -> None:
            info = pb.AgentInfo(
                agent_id="a",
                address=pb.Address(hostname=f"at-{ip}", ip=ip, port=9),
                resources=resources.to_proto(resources.parse("cpus:4;mem:4096")),
            )
            h.feed(ev.AgentRegistering(connection_id, info, f"i{connection_id}", boot_id=boot_id))

        register(101, "10.0.0.1", "b")
        assert h.agent_inbox[101][0].HasField("registered")
        for _ in range(2):
            register(102, "10.0.0.2", "c")
            said = h.agent_inbox[102][-1].refused.message
            assert "agent a is connected from another machine, at-10.0.0.1 (10.0.0.1)" in said
            assert "was its --work-dir copied?" in said
        assert h.core.state.agents["a"].connection_id == 101 and 101 not in h.closed
        register(103, "10.0.0.3", "b")  # it has another address, and runs on
        assert h.core.state.agents["a"].connection_id == 103
        register(104, "10.0.0.3", "d")  # its machine was started again
        assert h.core.state.agents["a"].connection_id == 104
        h.feed(ev.AgentDisconnected(104))
        register(105, "10.0.0.4", "e")  # its disk has moved
        assert h.core.state.agents["a"].connection_id == 105

    def test_only_so_many_lost_agents_are_kept(self) -> None:
        h = MasterHarness(Config(max_lost_agents=2, agent_removal_interval_s=0.001))
        lost = [h.agent_id(h.agent()) for _ in range(4)]
        framework = h.subscribe()
        h.run(framework)  # on one of them, which is kept for its task
        busy = next(iter(h.core.state.frameworks[h.framework_id(framework)].tasks.values()))
        for number, agent_id in enumerate(lost):
            if agent_id != busy.agent_id:
                h.feed(ev.OperatorMarkedGone(number, agent_id))
                h.advance(1)
        h.advance(2000)
        kept = [agent_id for agent_id in lost if agent_id in h.core.state.agents]
        expected = [agent_id for agent_id in lost if agent_id != busy.agent_id][-2:]
        assert set(kept) == {*expected, busy.agent_id}
        assert {key for kind, key in h.registry if kind == "agent"} == set(kept)

    def test_nothing_counts_while_it_is_in_doubt_who_leads(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        h.feed(ev.CoordinationSuspended())
        h.decline(framework, [offer.offer_id], refuse_s=0)
        h.advance(1000)
        assert h.offers(framework) == []
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE
        h.feed(ev.CoordinationResumed())
        assert len(h.offers(framework)) == 1
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE

    def test_any_message_counts_as_a_pong(self, h: MasterHarness) -> None:
        agent = h.agent()
        for _ in range(20):
            h.advance(14)
            h.feed(ev.AgentHeard(agent))
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE

    def test_a_partition_of_many_is_no_massacre(self) -> None:
        h = MasterHarness(Config(agent_removal_interval_s=10))
        agents = [h.agent() for _ in range(6)]
        for agent in agents:
            h.feed(ev.AgentDisconnected(agent))
        h.advance(95)
        states = [a.state for a in h.core.state.agents.values()]
        assert 1 <= states.count(AgentState.UNREACHABLE) <= 3

    def test_a_lost_launch_is_dropped_when_the_agent_returns(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.agent(agent_id=h.agent_id(agent), port=9)
        assert names(h.last(framework)) == ("TASK_DROPPED", "REASON_RECONCILIATION")
        (offer,) = h.offers(framework)
        assert str(resources.from_proto(offer.resources)) == "cpus:4;mem:4096"

    def test_a_new_leader_learns_the_tasks_from_the_agents(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        offer = h.run(framework)
        framework_id = h.framework_id(framework)
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=task(offer, "t"), state=pb.TASK_RUNNING
        )
        successor = MasterHarness(registry=h.registry)
        successor.agent(agent_id=h.agent_id(agent), tasks=[record], port=9)
        again = successor.subscribe(framework_id)
        (rest,) = successor.offers(again)
        assert str(resources.from_proto(rest.resources)) == "cpus:3;mem:4064"
        assert "t" in successor.core.state.frameworks[framework_id].tasks

    def test_tasks_of_an_unknown_framework_are_shut_down(self, h: MasterHarness) -> None:
        info = task(pb.Offer(agent_id="x"), "t")
        record = agent_pb.TaskRecord(framework_id="ghost", task_info=info, state=pb.TASK_RUNNING)
        agent = h.agent(agent_id="x", tasks=[record])
        assert [
            m.shutdown_framework.framework_id
            for m in h.agent_inbox[agent]
            if m.HasField("shutdown_framework")
        ] == ["ghost"]

    def test_gone_is_final(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        h.feed(ev.OperatorMarkedGone(1, agent_id))
        assert h.answers == {1: None}
        assert names(h.last(framework)) == (
            "TASK_GONE_BY_OPERATOR",
            "REASON_AGENT_REMOVED_BY_OPERATOR",
        )
        again = h.agent(agent_id=agent_id, port=9)
        assert h.agent_inbox[again][0].refused.shut_down
        assert again in h.closed

    def test_two_registrations_at_once_are_one_agent(self, h: MasterHarness) -> None:
        """Found by the simulator: the second must take back what the first was offered."""
        framework = h.subscribe()
        h.hold_writes = True
        h.agent("cpus:4;mem:400;ports:[1-9]", agent_id="a", port=9)
        h.agent("cpus:4;mem:400;ports:[1-9]", agent_id="a", port=9)
        while h.held:
            token, _ = h.held.pop(0)
            h.feed(ev.Persisted(token))
            h.advance(0.01)
        assert len(h.offers(framework)) == 1

    @pytest.mark.parametrize("text", ["", "../x"])
    def test_bad_registrations_are_refused(self, h: MasterHarness, text: str) -> None:
        connection_id = 99
        bad = pb.AgentInfo(agent_id=text, resources=[pb.Resource(name="cpus", scalar=math.nan)])
        if text:
            bad.ClearField("resources")
        h.feed(ev.AgentRegistering(connection_id, bad, "i"))
        assert h.agent_inbox[connection_id][0].refused.message
        assert connection_id in h.closed
        assert not h.core.state.agents

    def test_a_shrunken_agent_is_never_oversold(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:4;mem:4096", port=9), h.subscribe()
        offer = h.run(framework, "t", "cpus:3;mem:100")
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework),
            task_info=task(offer, "t", "cpus:3;mem:100"),
            state=pb.TASK_RUNNING,
        )
        h.feed(ev.AgentDisconnected(agent))
        h.agent("cpus:3;mem:4096", agent_id=h.agent_id(agent), tasks=[record], port=9)
        (rest,) = h.offers(framework)
        assert resources.from_proto(rest.resources).scalar("cpus") == 0


class TestCertainty:
    """A deposed leader that does not know it yet must not say that something is unknown."""

    def test_of_an_unknown_task(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.hold_writes = True
        asked = scheduler_pb.Call.Reconcile.Task(task_id="t")
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[asked]))
        assert h.statuses(framework) == []
        h.write()
        assert names(h.last(framework)) == ("TASK_UNKNOWN", "REASON_RECONCILIATION")

    def test_of_an_unknown_framework(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe(framework_id="another-cluster-0000")
        assert h.errors(framework) == []
        token, changes = h.held[0]
        assert changes == ()
        h.feed(ev.PersistFailed(token, "the epoch was raised"))
        assert h.errors(framework) == [] and h.stepped_down == "the epoch was raised"

    def test_an_end_that_was_told_stays_the_same(self, h: MasterHarness) -> None:
        """Found by the simulator: a task that had ended was GONE when it was asked for again."""
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED)
        acknowledge = scheduler_pb.Call.Acknowledge(
            agent_id=h.agent_id(agent), task_id="t", uuid=b"u"
        )
        h.call(framework, acknowledge=acknowledge)
        asked = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=h.agent_id(agent))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[asked]))
        assert names(h.last(framework)) == ("TASK_FINISHED", "REASON_RECONCILIATION")


class TestOperators:
    def test_killing_a_task_by_its_id(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.feed(ev.OperatorKilledTask(1, "", "t"))
        assert h.agent_inbox[agent][-1].kill.task_id == "t"
        h.feed(ev.OperatorKilledTask(2, "", "nothing"))
        assert h.answers == {1: None, 2: "there is no live task nothing"}

    def test_an_ambiguous_id_names_the_owners(self, h: MasterHarness) -> None:
        h.agent()
        h.agent()
        first, second = h.subscribe(), h.subscribe(name="g")
        h.run(first)
        h.run(second)
        h.feed(ev.OperatorKilledTask(1, "", "t"))
        assert "exists in several frameworks" in (h.answers[1] or "")

    def test_teardown(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.feed(ev.OperatorToreDown(1, h.framework_id(framework)))
        assert h.answers == {1: None}
        assert framework in h.closed
        h.feed(ev.OperatorToreDown(2, "x"))
        assert h.answers[2] == "there is no framework x"

    def test_a_failed_write_steps_down(self, h: MasterHarness) -> None:
        h.hold_writes = True
        h.subscribe()
        token, _ = h.held[0]
        h.feed(ev.PersistFailed(token, "disk full"))
        assert h.stepped_down == "disk full"


class TestAnAgentThatIsEnding:
    def test_is_offered_to_nobody(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        offer = h.run(framework)
        h.advance(1)
        (rest,) = h.offers(framework)
        h.feed(ev.AgentLeaving(agent))
        assert h.offers(framework) == [], "rescinded"
        h.update(agent, h.framework_id(framework), "t", pb.TASK_KILLED, b"1")
        h.call(framework, revive={})
        h.advance(10)
        assert h.offers(framework) == []
        h.accept(framework, [rest.offer_id], task(rest, "late"))
        assert h.last(framework).state in (pb.TASK_DROPPED, pb.TASK_LOST)
        assert h.launched(agent) == ["t"]
        assert offer.agent_id

    def test_until_it_registers_again(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=7), h.subscribe()
        h.advance(1)
        h.feed(ev.AgentLeaving(agent))
        h.feed(ev.AgentDisconnected(agent))
        h.advance(1)
        assert h.offers(framework) == []
        h.agent(agent_id=h.agent_id(agent), port=7)
        h.advance(1)
        assert len(h.offers(framework)) == 1

    def test_nor_when_its_reservations_change(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.advance(1)
        h.feed(ev.AgentLeaving(agent))
        wanted = tuple(resources.to_proto(resources.parse("cpus:1")))
        h.feed(ev.OperatorReserved(1, h.agent_id(agent), "ops", wanted))
        h.advance(10)
        assert h.answers[1] is None
        assert h.offers(framework) == []
        h.core.check()

    def test_nor_by_a_leader_that_it_registers_with_meanwhile(self, h: MasterHarness) -> None:
        info = pb.AgentInfo(address=pb.Address(hostname="h", ip="127.0.0.1", port=7))
        info.resources.extend(resources.to_proto(resources.parse("cpus:4;mem:4096")))
        framework = h.subscribe()
        h.feed(ev.AgentRegistering(99, info, "i", leaving=True))
        h.advance(10)
        assert h.offers(framework) == []
        (agent,) = h.core.state.agents.values()
        assert agent.state_name == "leaving"
