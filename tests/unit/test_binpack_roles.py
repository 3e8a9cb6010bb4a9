"""A framework of several roles: each is placed by itself, on what is offered to it."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.specs import Job
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness


def of_role(role: str, name: str, instances: int = 1, priority: int = 0, **task: object) -> Job:
    made = {"name": "t", "command": "x", "instances": instances, "kill_grace_s": 1, **task}
    document = {"name": name, "role": role, "priority": priority, "preempt": priority > 0}
    return parse_job({**document, "tasks": [made]})


def offer(h: BinpackHarness, role: str, text: str, agent: str = "a") -> str:
    h.role = role
    return h.offer(text, agent)


def launched_on(h: BinpackHarness) -> dict[str, str]:
    """By task id: the offer."""
    accepts = [e for e in h.of(c.Accept) if isinstance(e, c.Accept)]
    return {info.task_id: a.offer_ids[0] for a in accepts for info in a.tasks}


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(of_role("web", "site"), "1")
    harness.submit(of_role("db", "store"), "2")
    harness.effects.clear()
    return harness


def test_a_task_is_launched_on_what_its_role_is_offered(h: BinpackHarness) -> None:
    first = offer(h, "db", "cpus:4;mem:400")
    assert launched_on(h) == {"store-2.t.0.1": first}, "the other one waits for offers of its own"
    second = offer(h, "web", "cpus:4;mem:400")
    assert launched_on(h)["site-1.t.0.1"] == second
    h.core.check()


def test_offers_of_an_agent_to_two_roles_are_two(h: BinpackHarness) -> None:
    made = [
        pb.Offer(offer_id=role, agent_id="a", hostname="a", role=role, resources=there)
        for role in ("web", "db")
        for there in [[pb.Resource(name="cpus", scalar=1), pb.Resource(name="mem", scalar=400)]]
    ]
    h.feed(c.OffersReceived(tuple(made)))
    assert launched_on(h) == {"site-1.t.0.1": "web", "store-2.t.0.1": "db"}


def test_a_role_of_which_nothing_waits_is_suppressed_and_the_other_is_not(
    h: BinpackHarness,
) -> None:
    offer(h, "db", "cpus:4;mem:400")
    assert h.of(c.Suppress) == [c.Suppress("db")]
    h.effects.clear()
    h.submit(of_role("db", "more"), "3")
    assert h.of(c.Revive) == [c.Revive("db")]


def test_what_does_not_fit_one_role_is_no_news_to_the_other(h: BinpackHarness) -> None:
    offer(h, "db", "cpus:0.01;mem:1")
    refused = {i.job_id: i.line.refusal for i in h.core.instances() if i.line is not None}
    assert refused["store-2"] is not None and refused["site-1"] is None


def test_jobs_preempt_those_of_their_own_role(h: BinpackHarness) -> None:
    size = {"cpus": 4, "mem": 10}
    for role, number, priority in (("db", "3", 5), ("web", "4", 1)):
        h.submit(of_role(role, "low", priority=priority, resources=size), number)
        offer(h, role, "cpus:4.5;mem:900")
        h.update(f"low-{number}.t.0.1", pb.TASK_RUNNING)
    h.effects.clear()
    h.submit(of_role("db", "high", priority=9, resources=size), "5")
    h.advance(2)
    killed = [e.task_id for e in h.of(c.Kill) if isinstance(e, c.Kill)]
    assert killed == ["low-3.t.0.1"], "the other is less urgent, and another role's"


def test_an_offer_that_is_rescinded_is_of_its_role_alone() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(of_role("db", "store", 2, gang=True), "1")
    held = offer(h, "db", "cpus:0.15;mem:400")  # kept for the gang
    h.feed(c.OfferRescinded(held))
    offer(h, "db", "cpus:0.15;mem:400", "b")
    assert not launched_on(h), "half of what it needs is gone"
    offer(h, "db", "cpus:0.15;mem:400")
    assert len(launched_on(h)) == 2
