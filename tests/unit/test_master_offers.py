"""Offers of the master core, against what Mesos was recorded to answer: accepts and filters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pymesos_core import VERSION, resources
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task


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
