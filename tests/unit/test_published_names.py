"""The bin-packing framework tells which instances serve, and refuses names that clash."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core.events import Disconnected
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs import clashes, roster
from pymesos_binpack.jobs.roster import Roster
from pymesos_binpack.jobs.state import new_job
from pymesos_core import limits
from pymesos_core.clock import Now
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import ServedTask
from pymesos_sdk.core import Connected, DriverCore, MasterSaid, SchedulerCalled, Send
from pymesos_sdk.sizes import parts_of
from pymesos_sdk.standing import Standing
from pymesos_testing.binpack_harness import BinpackHarness

BIG = "cpus:40;mem:40000;ports:[1-9]"


def shop(name: str = "shop", role: str = "*", **task: Any) -> Job:
    web = {"name": "web", "kind": "service", "command": "x", "ports": [{"name": "http"}], **task}
    return parse_job({"name": name, "role": role, "tasks": [web]})


def published(h: BinpackHarness) -> list[c.Publish]:
    return [effect for effect in h.effects if isinstance(effect, c.Publish)]


def served(h: BinpackHarness) -> dict[str, ServedTask]:
    """What the master knows by all that was said since the framework subscribed."""
    out: dict[str, ServedTask] = {}
    for said in published(h):
        if said.whole:
            out.clear()
        for task_id in said.ended:
            out.pop(task_id)
        for task in said.serves:
            out[task.task_id] = task
    return out


def serve(h: BinpackHarness, task_id: str, *, ready: bool | None = None) -> None:
    status = pb.TaskStatus(task_id=task_id, state=pb.TASK_RUNNING, agent_id="a", uuid=b"u")
    if ready is not None:
        status.ready = ready
    h.feed(c.TaskUpdated(status))


def subscribed() -> BinpackHarness:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    return h


class TestPublishing:
    def test_an_instance_is_published_while_it_serves(self) -> None:
        h = subscribed()
        h.submit(shop(role="eng"))
        h.offer(BIG)
        (task_id,) = h.launched()
        assert served(h) == {}
        serve(h, task_id)
        one = served(h)[task_id]
        assert (one.role, one.job, one.task, one.instance) == ("eng", "shop", "web", 0)
        (port,) = h.core.instance_of(task_id).saved.ports  # type: ignore[union-attr]
        assert (one.agent_id, [(p.name, p.port) for p in one.ports]) == ("a", [("http", port)])
        h.update(task_id, pb.TASK_FAILED, 1)
        assert served(h) == {}

    def test_one_that_is_not_ready_is_not(self) -> None:
        h = subscribed()
        check = {"tcp": {"port_index": 0}}
        h.submit(shop(readiness_check=check))
        h.offer(BIG)
        (task_id,) = h.launched()
        for ready, is_served in ((None, False), (False, False), (True, True), (False, False)):
            serve(h, task_id, ready=ready)
            assert bool(served(h)) is is_served

    def test_one_that_is_to_leave_leaves_before_it_is_killed(self) -> None:
        h = subscribed()
        job_id = h.submit(shop(shutdown={"drain_s": 5}))
        h.offer(BIG)
        serve(h, *h.launched())
        h.feed(c.JobStopped(job_id))
        assert served(h) == {} and h.of(c.Kill) == []
        h.advance(6)
        assert len(h.of(c.Kill)) == 1

    def test_nothing_is_said_before_it_is_stored(self) -> None:
        h = subscribed()
        h.submit(shop())
        h.offer(BIG)
        (task_id,) = h.launched()
        h.hold_writes = True
        serve(h, task_id)
        assert served(h) == {}
        h.write()
        assert list(served(h)) == [task_id]

    def test_all_is_said_to_each_master_and_nothing_to_none(self) -> None:
        h = subscribed()
        h.submit(shop(instances=2))
        h.offer(BIG)
        first, second = h.launched()
        serve(h, first)
        h.feed(Disconnected())
        before = len(published(h))
        serve(h, second)
        assert len(published(h)) == before
        h.feed(c.Subscribed("f"))
        assert published(h)[before].whole
        assert list(served(h)) == [first, second]
        again = BinpackHarness(dict(h.records))
        again.feed(c.Subscribed("f"))
        assert list(served(again)) == [first, second]

    def test_what_stays_the_same_is_not_said_again(self) -> None:
        h = subscribed()
        h.submit(shop())
        h.offer(BIG)
        (task_id,) = h.launched()
        for _ in range(3):
            serve(h, task_id)
        assert [len(said.serves) for said in published(h)] == [0, 1]

    def test_batch_tasks_without_ports_are_none_that_clients_look_for(self) -> None:
        h = subscribed()
        h.submit(batch())
        h.offer(BIG)
        serve(h, *h.launched())
        assert served(h) == {}


def batch() -> Job:
    return parse_job({"name": "b", "tasks": [{"name": "t", "kind": "batch", "command": "x"}]})


class TestClashes:
    @pytest.mark.parametrize(
        "name, role", [("Shop", "a-b"), ("shop", "a_b"), ("SHOP", "A-B"), ("sh-op", "a-b")]
    )
    def test_a_name_that_another_job_has(self, name: str, role: str) -> None:
        h = subscribed()
        h.submit(shop("shop", "a-b"))
        h.feed(c.JobSubmitted("s", "second", shop(name, role)))
        refused = [e.message for e in h.effects if isinstance(e, c.JobRefused)]
        if name == "sh-op":
            assert refused == []
        else:
            (problem,) = refused
            assert "has its name in DNS already" in problem and "'shop'" in problem

    def test_the_name_is_free_once_the_job_has_ended(self) -> None:
        h = subscribed()
        first = h.submit(shop("a_b"))
        h.feed(c.JobStopped(first))
        h.feed(c.JobSubmitted("s", "second", shop("a-b")))
        assert not h.of(c.JobRefused)

    def test_a_submission_looks_at_none_of_the_other_names(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[str] = []

        def label_of(text: str) -> str:
            looked.append(text)
            return text.lower().replace("_", "-")

        for module in (roster, clashes):
            monkeypatch.setattr(module, "label_of", label_of)
        h = subscribed()
        for number in range(20):
            h.submit(shop(f"j{number}"), f"r{number}")
        looked.clear()
        h.submit(shop("last"), "last")
        assert "last" in looked and not [name for name in looked if name.startswith("j")]

    def test_what_is_forgotten_leaves_no_name(self) -> None:
        made = Roster()
        jobs = [new_job(f"j-{name}", shop(name), 0.0, name) for name in ("a_b", "a-b", "c")]
        for job in jobs:
            made.name(job)
        assert list(made.names_like("*", "A-b")) == [("*", "a_b"), ("*", "a-b")]
        made.drop(jobs[0])
        assert list(made.names_like("*", "a-b")) == [("*", "a-b")]
        for job in jobs:
            made.forget(job)
        assert not made._named and not made._labelled

    def test_tasks_of_one_job(self) -> None:
        two = [{"name": n, "kind": "service", "command": "x"} for n in ("web_a", "web-a")]
        h = subscribed()
        h.feed(c.JobSubmitted("s", "second", parse_job({"name": "j", "tasks": two})))
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and "one name in DNS" in refused.message

    def test_a_change_is_refused_as_well(self) -> None:
        h = subscribed()
        job_id = h.submit(shop())
        web = {"kind": "service", "command": "x"}
        two = parse_job({"name": "shop", "tasks": [web | {"name": n} for n in ("web", "WEB")]})
        h.feed(c.VersionProposed("v", job_id, 1, two, "apply"))
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and "one name in DNS" in refused.message


class TestCalls:
    def test_what_is_long_goes_in_parts(self) -> None:
        tasks = [ServedTask(task_id=f"t{n}") for n in range(2 * limits.PUBLISHED.most + 1)]
        publish = spb.Call.Publish(serves=tasks, whole=True)
        parts = [call.publish for call in parts_of(spb.Call(publish=publish))]
        assert [len(part.serves) for part in parts] == [1000, 1000, 1]
        assert [(part.whole, part.more) for part in parts] == [(True, True)] * 2 + [(True, False)]
        kept = spb.Call.Publish(keeps=[f"t{n}" for n in range(limits.PUBLISHED.most + 1)])
        kept.whole = True
        parts = [call.publish for call in parts_of(spb.Call(publish=kept))]
        assert [(len(part.keeps), part.more) for part in parts] == [(1000, True), (1, False)]
        (empty,) = parts_of(spb.Call(publish=spb.Call.Publish(whole=True)))
        assert empty.publish.whole and not empty.publish.more

    @pytest.mark.parametrize("knows", [True, False])
    def test_masters_that_do_not_know_it_are_told_nothing(self, knows: bool) -> None:
        core, now = DriverCore(Standing(pb.FrameworkInfo(name="f"))), Now(0.0, 0.0)
        core.step(now, Connected(1))
        capabilities = [spb.SERVES_NAMES] if knows else []
        told = spb.Event.Subscribed(framework_id="f", master_capabilities=capabilities)
        core.step(now, MasterSaid(1, 1, spb.Event(subscribed=told)))
        call = spb.Call(publish=spb.Call.Publish(whole=True))
        sent = [e for e in core.step(now, SchedulerCalled(call)) if isinstance(e, Send)]
        assert bool(sent) is knows
