"""A framework of several roles: each is placed by itself, on what is offered to it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core.subscription import TRY_AGAIN_S
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.roles import read_job_roles
from pymesos_binpack.specs import Job
from pymesos_cli.jobs.run import serving_of
from pymesos_core.security.policy_file import new_cluster
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView
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


@pytest.mark.parametrize("role", ["db", "web"])
def test_an_agent_that_changed_is_asked_for_by_those_with_constraints_whoever_is_offered_it(
    role: str,
) -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(of_role("web", "pinned", constraints=["rack:IS:r1"]), "1")
    h.submit(of_role("db", "large", resources={"cpus": 100, "mem": 10}), "2")
    h.role = "web"
    h.offer("cpus:4;mem:400", rack="r0")
    h.effects.clear()
    h.role = role
    h.offer("cpus:4;mem:400", rack="r2")
    assert h.of(c.Revive) == [c.Revive("web")]


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


class TestSubscription:
    """The roles that the framework is in follow the jobs that it has."""

    @staticmethod
    def said(h: BinpackHarness) -> list[tuple[str, ...]]:
        return [e.roles for e in h.of(c.BeInRoles) if isinstance(e, c.BeInRoles)]

    def test_a_job_of_another_role_is_followed_to_its_end(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("web", "site"), "1")
        assert self.said(h) == [("*", "web")] and h.core.roles == ("*", "web")
        h.submit(of_role("web", "more"), "2")
        assert len(self.said(h)) == 1, "nothing has changed"
        offer(h, "web", "cpus:4;mem:400")
        for job_id in ("site-1", "more-2"):
            h.feed(c.JobStopped(job_id, now=True))
            assert h.core.roles == ("*", "web"), "its task may run"
            h.update(f"{job_id}.t.0.1", pb.TASK_KILLED)
            h.core.check()
        assert self.said(h) == [("*", "web"), ("*",)]

    def test_nothing_is_asked_of_a_role_before_it_is_subscribed(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("web", "site"), "1")
        said = [type(e) for e in h.effects if isinstance(e, c.BeInRoles | c.Revive)]
        assert said[0] is c.BeInRoles

    def test_it_is_durable_before_it_is_followed(self) -> None:
        h = BinpackHarness()
        h.hold_writes = True
        h.submit(of_role("web", "site"), "1")
        assert not self.said(h)
        h.write()
        assert self.said(h) == [("*", "web")]

    def test_after_a_restart_it_is_in_the_roles_of_its_jobs(self) -> None:
        h = BinpackHarness()
        h.submit(of_role("web", "site"), "1")
        h.submit(of_role("db", "store"), "2")
        again = BinpackHarness(h.records)
        assert again.core.roles == ("*", "db", "web")
        again.feed(c.Subscribed("f"))
        assert not self.said(again), "it has subscribed so"

    def test_an_offer_of_a_role_that_it_has_left_is_declined(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        late = offer(h, "web", "cpus:4;mem:400")
        assert h.of(c.Decline) == [c.Decline((late,), 0.0)]
        h.core.check()

    @staticmethod
    def reasons(h: BinpackHarness) -> dict[str, str]:
        h.advance(2)
        h.core.check()
        return {instance.job_id: instance.explanation for instance in h.core.instances()}

    def test_jobs_of_a_role_that_the_master_refuses_say_so_and_others_go_on(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("secret", "site"), "1")
        h.feed(c.RolesAnswered(("*", "secret"), ("*",), "the policy denies it"))
        assert self.said(h) == [("*", "secret"), ("*",)]
        assert self.reasons(h)["site-1"] == (
            "the master does not take this framework into the role secret: the policy denies it"
        )
        h.effects.clear()
        h.submit(of_role("secret", "more"), "2")
        h.submit(of_role("web", "other"), "3")
        assert self.said(h) == [("*", "web")] and h.of(c.Revive) == [c.Revive("web")]
        assert "denies" in self.reasons(h)["more-2"]
        assert "denies" not in self.reasons(h)["other-3"]
        for job_id in ("site-1", "more-2"):
            h.feed(c.JobStopped(job_id, now=True))
        h.submit(of_role("secret", "again"), "4")
        assert self.said(h)[-1] == ("*", "secret", "web"), "whoever asks anew is answered anew"

    @pytest.mark.parametrize("event", [c.Subscribed("f"), c.PolicyTold(new_cluster())])
    def test_another_master_or_policy_is_asked_again(self, event: c.Event) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("secret", "site"), "1")
        h.feed(c.RolesAnswered(("*", "secret"), ("*",), "the policy denies it"))
        h.effects.clear()
        h.feed(event)
        assert self.said(h) == [("*", "secret")]
        assert "denies" not in self.reasons(h)["site-1"]

    def test_a_refusal_that_may_have_passed_is_asked_about_again(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("secret", "site"), "1")
        h.feed(c.RolesAnswered(("*", "secret"), ("*",), "the registry has no room"))
        h.effects.clear()
        h.advance(TRY_AGAIN_S - 1)
        assert self.said(h) == [], "not again and again"
        h.advance(1)
        assert self.said(h) == [("*", "secret")]
        h.feed(c.RolesAnswered(("*", "secret"), ("*",)))
        h.advance(2 * TRY_AGAIN_S)
        assert self.said(h) == [("*", "secret")], "what is granted is asked for no more"

    def test_of_roles_that_are_refused_together_each_is_tried_by_itself(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        for number, role in enumerate(("bad", "good", "worse")):
            h.submit(of_role(role, "j"), str(number))
        mine: tuple[str, ...] = ("*",)
        asked = h.core.roles
        for _ in range(9):  # the driver says the latest, and only that
            if asked == mine:
                break
            denied = {"bad", "worse"} & set(asked)
            h.feed(c.RolesAnswered(asked, mine, f"no {sorted(denied)}" if denied else ""))
            mine = mine if denied else asked
            h.core.check()
            asked = h.core.roles
        assert mine == ("*", "good") == h.core.roles
        reasons = self.reasons(h)
        assert "no ['bad']" in reasons["j-0"] and "no ['worse']" in reasons["j-2"]

    def test_an_answer_to_what_was_asked_before_a_refusal_is_no_news(self) -> None:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(of_role("bad", "j"), "1")
        h.submit(of_role("good", "j"), "2")
        h.feed(c.RolesAnswered(("*", "bad"), ("*",), "no"))
        h.feed(c.RolesAnswered(("*", "bad", "good"), ("*",), "no"))
        assert h.core.roles == ("*", "good")
        assert self.reasons(h)["j-2"] != self.reasons(h)["j-1"]

    def test_there_are_only_so_many(self) -> None:
        h = BinpackHarness()
        for number in range(255):
            h.submit(of_role(f"r{number}", "j"), f"{number}")
        h.submit(of_role("one-too-many", "j"), "x")
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and "256" in refused.message
        h.submit(of_role("r1", "k"), "y")
        assert len(h.of(c.JobRefused)) == 1 and len(h.core.roles) == 256
        h.feed(c.JobStopped("j-1"))
        h.feed(c.JobStopped("k-y"))
        h.submit(of_role("one-too-many", "j"), "z")
        assert len(h.of(c.JobRefused)) == 1

    def test_their_text_is_only_so_long(self) -> None:
        h = BinpackHarness()
        for number in range(96):
            h.submit(of_role(f"r{number}".ljust(255, "x"), "j"), f"{number}")
        assert not h.of(c.JobRefused) and len(h.core.roles) == 97
        h.submit(of_role("y" * 255, "j"), "long")
        (refused,) = h.of(c.JobRefused)
        assert isinstance(refused, c.JobRefused) and refused.message == (
            "The list of a framework's roles has 24736 bytes; at most 24576 are accepted: end the"
            " jobs of another role first"
        )
        h.submit(of_role("y" * 90, "j"), "short")
        assert len(h.core.roles) == 98
        h.core.check()


@pytest.mark.parametrize(
    ("written", "always", "taken", "not_taken"),
    [
        ("*", ("*",), ["*"], ["eng"]),
        ("eng", ("eng",), ["eng"], ["eng/web", "*"]),
        ("eng/**", ("eng",), ["eng", "eng/web/x"], ["engine", "*"]),
        ("**", ("*",), ["*", "eng/web"], []),
        ("eng, eng/**,ops", ("eng", "ops"), ["eng/web", "ops"], ["ops/a"]),
    ],
)
def test_the_roles_of_a_setting(
    written: str, always: tuple[str, ...], taken: list[str], not_taken: list[str]
) -> None:
    roles = read_job_roles(written)
    assert roles.always == always
    assert all(role in roles for role in taken)
    assert not any(role in roles for role in not_taken)


@pytest.mark.parametrize(
    "written",
    [
        *("", ",", "a b", "eng/", "/**", "*/**", "-x", "eng/*"),
        ",".join(f"r{number}" for number in range(257)),
        ",".join(f"r{number}".ljust(255, "x") for number in range(97)),
    ],
)
def test_what_is_no_role_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="role"):
        read_job_roles(written)


def view(framework_id: str, roles: list[str], job_roles: list[str]) -> FrameworkView:
    info = pb.FrameworkInfo(
        framework_id=framework_id, roles=roles, job_roles=job_roles, jobs_address="h:1"
    )
    return FrameworkView(info=info, state="active")


@pytest.mark.parametrize(
    ("role", "found"),
    [("*", "any"), ("eng", "eng"), ("eng/web", "below"), ("db", "old"), ("other", "any")],
)
def test_who_says_the_very_role_goes_before_who_takes_it_with_others(role: str, found: str) -> None:
    views = [
        view("any", ["*", "db"], ["**"]),
        view("below", ["eng"], ["eng/**", "eng/web"]),
        view("eng", ["eng"], ["eng"]),
        view("old", ["db"], []),
    ]

    async def frameworks() -> list[FrameworkView]:
        return views

    cluster: Any = SimpleNamespace(frameworks=frameworks, timeout_s=0.0)
    chosen = asyncio.run(serving_of(cluster, role))
    assert chosen is not None and chosen.info.framework_id == found


def test_nobody_takes_jobs_of_a_role_that_no_one_says() -> None:
    async def frameworks() -> list[FrameworkView]:
        return [view("below", ["eng"], ["eng/**"])]

    cluster: Any = SimpleNamespace(frameworks=frameworks, timeout_s=0.0)
    assert asyncio.run(serving_of(cluster, "db")) is None
