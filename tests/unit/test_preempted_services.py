"""Preemption takes from the budget that rollouts and drains have of a service."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import launches
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.placement import preemption
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation import preempted as simulated
from pymesos_testing.binpack_harness import BinpackHarness

LOW = {
    "name": "web",
    "kind": "service",
    "instances": 3,
    "command": "x",
    "resources": {"cpus": 1, "mem": 10},
    "update": {"max_surge": 0, "max_unavailable": 1, "min_healthy_s": 0},
}
HIGH = {
    "name": "t",
    "command": "y",
    "resources": {"cpus": 1, "mem": 10},
    "constraints": ["hostname:IS:b"],
}


@pytest.mark.parametrize("held", [False, True])
def test_what_is_preempted_counts_as_missing_for_rollouts(held: bool) -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    low = h.submit(parse_job({"name": "low", "tasks": [LOW]}), "1")
    h.offer("cpus:2;mem:400", "a")
    h.offer("cpus:1;mem:400", "b")
    for task_id, agent in zip(h.launched(), "aab", strict=True):
        h.update(task_id, pb.TASK_RUNNING, agent=agent)
    h.submit(parse_job({"name": "high", "priority": 9, "preempt": True, "tasks": [HIGH]}), "2")
    h.hold_writes = held
    h.advance(2.0)
    (victim,) = [i for i in h.core.instances() if i.saved.preempted]
    assert victim.saved.state == pb.TASK_RUNNING, "no master has said yet that it ends"
    changed = parse_job({"name": "low", "tasks": [{**LOW, "command": "z"}]})
    h.feed(c.VersionProposed("v", low, 1, changed, "apply"))
    h.hold_writes = False
    h.write()
    h.advance(1.0)
    killed = [e.task_id for e in h.of(c.Kill) if isinstance(e, c.Kill)]
    assert killed == [victim.saved.task_id], "one is missing already, and no other may be"


def job(name: str, priority: int = 0, **task: Any) -> Job:
    made = {"name": "t", "command": "x", "resources": {"cpus": 2, "mem": 10}, **task}
    preempt = priority == 9
    return parse_job({"name": name, "priority": priority, "preempt": preempt, "tasks": [made]})


def service(name: str, instances: int = 1, **update: Any) -> Job:
    rules = {"min_healthy_s": 0, **update}
    return job(name, kind="service", instances=instances, update=rules)


def filled(*jobs: tuple[Job, str]) -> BinpackHarness:
    """Agents with no room for more: the instances of each job run on those that are named."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    for each, agents in jobs:
        h.submit(each, f"low{len(h.core.jobs)}")
        for agent in agents:
            before = set(h.launched())
            h.offer("cpus:2;mem:400", agent)
            (task_id,) = set(h.launched()) - before
            h.update(task_id, pb.TASK_RUNNING, agent=agent)
    return h


def preempted(h: BinpackHarness, instances: int = 1) -> list[str]:
    """The jobs and agents of those that go for an urgent job."""
    number = len(h.core.jobs)
    h.submit(job(f"urgent{number}", 9, instances=instances), f"urgent{number}")
    h.advance(2.0)
    gone = [i for i in h.core.instances() if i.saved.preempted]
    return sorted(f"{i.job_id.partition('-')[0]} {i.saved.agent_id}" for i in gone)


SPARES_ONE = {"max_surge": 0, "max_unavailable": 1}


def test_a_batch_task_goes_before_a_service_that_nobody_may_miss() -> None:
    h = filled((service("web"), "a"), (job("batch", 5), "b"))
    assert preempted(h) == ["batch b"]


def test_a_service_goes_first_where_it_can_spare_one() -> None:
    h = filled((service("web", **SPARES_ONE), "a"), (job("batch", 5), "b"))
    assert preempted(h) == ["web a"]


def test_what_nobody_else_makes_room_for_goes_beyond_the_budget() -> None:
    """Else what is most urgent waits for ever where only services run."""
    h = filled((service("web", 2), "ab"))
    assert preempted(h, 2) == ["web a", "web b"]


def test_two_at_once_take_from_one_budget() -> None:
    """Also where each is made room for by itself."""
    h = filled((service("web", 2, **SPARES_ONE), "ab"), (job("batch", 5), "c"))
    assert preempted(h, 2) == ["batch c", "web a"]


def test_one_after_another_takes_from_one_budget() -> None:
    h = filled((service("web", 2, **SPARES_ONE), "ab"), (job("batch", 5), "c"))
    assert preempted(h) == ["web a"]
    assert preempted(h) == ["batch c", "web a"]


def test_one_that_does_no_work_is_missed_by_nobody() -> None:
    check = {"command": "true"}
    not_ready = job("web", kind="service", readiness_check=check, update={"min_healthy_s": 0})
    h = filled((not_ready, "a"), (job("batch", 5), "b"))
    assert preempted(h) == ["web a"]


def test_a_daemon_is_spared_by_its_own_budget() -> None:
    """One may be missing; none does the work of another."""
    daemon = job("agentd", kind="daemon", constraints=["hostname:UNLIKE:c"])
    h = filled((daemon, "ab"), (job("batch", 5), "c"))
    assert preempted(h) == ["agentd a"]
    assert preempted(h) == ["agentd a", "batch c"]


def test_what_preempts_in_vain_looks_at_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be 100,000, and each offer has it tried again."""
    h = filled((job("batch"), "a"), (service("web"), "b"))
    looked_at: list[str] = []
    monkeypatch.setattr(launches, "running_task", lambda i, *_: looked_at.append(i.key))
    h.submit(job("urgent", 9, resources={"cpus": 3, "mem": 10}), "urgent")
    h.advance(2.0)
    h.offer("cpus:0.5;mem:30", "a")
    assert (len(h.launched()), looked_at) == (2, [])


def test_a_job_that_became_less_urgent_makes_room() -> None:
    h = filled((job("batch", 9), "a"))
    assert preempted(h) == []
    (low,) = [i for i in h.core.jobs if i.startswith("batch")]
    h.feed(c.VersionProposed("v", low, 1, job("batch", 5), "apply"))
    h.core.check()
    h.offer("cpus:0.5;mem:30", "a")
    assert [i.job_id for i in h.core.instances() if i.saved.preempted] == [low]


def test_the_simulator_finds_services_that_go_before_batch_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Few of its seeds preempt where both are: this bug is planted here."""
    fine = filled((service("web"), "a"), (job("batch"), "a"))
    assert preempted(fine) == ["batch a"]
    simulated.check(fine.core, simulated.of(fine.core))
    monkeypatch.setattr(
        preemption, "_missed", lambda victims, _: [v for v in victims if not v.service]
    )
    wrong = filled((service("web"), "a"), (job("batch"), "a"))
    assert preempted(wrong) == ["web a"]
    with pytest.raises(AssertionError, match="though batch tasks might go"):
        simulated.check(wrong.core, simulated.of(wrong.core))
