"""The bin-packing framework leaves agents that are drained: the other one runs first."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import WALL_S, BinpackHarness, job

DEADLINE_S = WALL_S + 3600.0


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


def update(
    h: BinpackHarness,
    task_id: str,
    state: pb.TaskState,
    agent_id: str,
    reason: pb.Reason = pb.REASON_UNSPECIFIED,
) -> None:
    uuid = f"{task_id} {state}".encode()
    status = pb.TaskStatus(
        task_id=task_id, state=state, uuid=uuid, agent_id=agent_id, reason=reason
    )
    h.feed(c.TaskUpdated(status))


def drain(h: BinpackHarness, agent_id: str = "a", *, cancelled: bool = False) -> None:
    h.feed(c.AgentDraining(agent_id, 0.0 if cancelled else DEADLINE_S, cancelled))


def killed(h: BinpackHarness) -> list[str]:
    return [effect.task_id for effect in h.of(c.Kill) if isinstance(effect, c.Kill)]


def run_on(h: BinpackHarness, agent_id: str) -> str:
    """Have what waits launched on an agent, and run; the task."""
    h.offer(agent=agent_id)
    task_id = h.launched()[-1]
    update(h, task_id, pb.TASK_RUNNING, agent_id)
    return task_id


def test_a_single_instance_is_replaced_before_it_is_killed(h: BinpackHarness) -> None:
    h.submit(job("service"))
    old = run_on(h, "a")
    drain(h)
    assert killed(h) == []
    assert len(h.core.jobs["j-r"].instances) == 2
    new = run_on(h, "b")
    assert new != old and killed(h) == [old]
    update(h, old, pb.TASK_KILLED, "a")
    h.advance(1.0)
    (left,) = h.core.jobs["j-r"].instances
    assert left.saved.task_id == new
    assert h.core.jobs["j-r"].state == "running"


def test_it_is_killed_only_when_the_other_one_is_ready(h: BinpackHarness) -> None:
    check = {"command": "true", "interval_s": 1}
    h.submit(job("service", readiness_check=check))
    h.offer(agent="a")
    old = h.launched()[-1]
    h.feed(c.TaskUpdated(running(old, "a", ready=True)))
    drain(h)
    h.offer(agent="b")
    new = h.launched()[-1]
    h.feed(c.TaskUpdated(running(new, "b", ready=False)))
    h.advance(60.0)
    assert killed(h) == []
    h.feed(c.TaskUpdated(running(new, "b", ready=True)))
    assert killed(h) == [old]


def running(task_id: str, agent_id: str, *, ready: bool) -> pb.TaskStatus:
    return pb.TaskStatus(
        task_id=task_id,
        state=pb.TASK_RUNNING,
        uuid=f"{task_id} {ready}".encode(),
        agent_id=agent_id,
        ready=ready,
    )


def test_only_what_is_on_the_agent_moves(h: BinpackHarness) -> None:
    h.submit(job("service", instances=2, resources={"cpus": 3, "mem": 10}))
    first, second = run_on(h, "a"), run_on(h, "b")
    drain(h)
    third = run_on(h, "c")
    assert killed(h) == [first] and len({first, second, third}) == 3


def test_a_cancelled_drain_leaves_what_runs(h: BinpackHarness) -> None:
    h.submit(job("service"))
    old = run_on(h, "a")
    drain(h)
    drain(h, cancelled=True)
    (instance,) = h.core.jobs["j-r"].instances
    assert instance.saved.task_id == old and killed(h) == []
    h.offer(agent="b")
    assert h.launched() == [old]


def test_one_with_data_stays(h: BinpackHarness) -> None:
    job_id = h.submit(job("service"))
    old = run_on(h, "a")
    instance = h.core.jobs[job_id].instances[0]
    instance.amend(data_on="a")
    instance.is_durable(instance.saved)
    drain(h)
    assert killed(h) == [] and [i.saved.task_id for i in h.core.jobs[job_id].instances] == [old]


def test_a_batch_task_may_finish_and_then_runs_elsewhere_without_a_retry(
    h: BinpackHarness,
) -> None:
    h.submit(job("batch", retries=0))
    first = run_on(h, "a")
    drain(h)
    h.advance(60.0)
    assert killed(h) == []
    update(h, first, pb.TASK_KILLED, "a", pb.REASON_AGENT_DRAINING)
    second = run_on(h, "b")
    assert second == "j-r.t.0.2"
    assert h.core.jobs["j-r"].instances[0].saved.failures == 0


def test_an_agent_that_is_offered_is_drained_no_more(h: BinpackHarness) -> None:
    h.submit(job("service"))
    run_on(h, "b")
    drain(h, "a")
    h.offer(agent="a")  # activated, when nothing of ours was there
    h.submit(job("service"), "s")
    again = run_on(h, "a")
    assert killed(h) == [] and again.startswith("j-s.")


class TestFailover:
    def test_what_is_told_again_goes_on(self, h: BinpackHarness) -> None:
        h.submit(job("service"))
        old = run_on(h, "a")
        drain(h)
        h.feed(c.Disconnected())
        h.feed(c.Subscribed("f"))
        drain(h)
        h.advance(10.0)
        run_on(h, "b")
        assert killed(h) == [old]

    def test_what_is_not_told_again_is_forgotten(self, h: BinpackHarness) -> None:
        h.submit(job("service"))
        old = run_on(h, "a")
        drain(h)
        h.feed(c.Disconnected())
        h.feed(c.Subscribed("f"))
        h.advance(10.0)
        (instance,) = h.core.jobs["j-r"].instances
        assert instance.saved.task_id == old and killed(h) == []


def test_inverse_offers_are_accepted_but_for_agents_with_data(h: BinpackHarness) -> None:
    job_id = h.submit(job("service"))
    run_on(h, "a")
    asked = [pb.InverseOffer(inverse_offer_id=f"i{agent}", agent_id=agent) for agent in ("a", "b")]
    h.feed(c.InverseOffersReceived(tuple(asked)))
    instance = h.core.jobs[job_id].instances[0]
    instance.amend(data_on="a")
    instance.is_durable(instance.saved)
    h.feed(c.InverseOffersReceived(tuple(asked)))
    said = [e for e in h.effects if isinstance(e, c.AnswerInverseOffer)]
    assert [(e.inverse_offer_id, e.accepts) for e in said] == [
        ("ia", True),
        ("ib", True),
        ("ia", False),
        ("ib", True),
    ]


def test_a_job_that_is_stopped_in_the_middle_of_it_is_settled(h: BinpackHarness) -> None:
    """Found by the simulator: it was shown as one that changes, for good."""
    job_id = h.submit(job("service"))
    old = run_on(h, "a")
    drain(h)
    h.feed(c.JobStopped(job_id))
    assert not h.core.jobs[job_id].unsettled
    update(h, old, pb.TASK_KILLED, "a")
    assert h.core.jobs[job_id].state == "stopped"
    again = BinpackHarness(h.records)
    assert not again.core.jobs[job_id].unsettled


def test_one_with_a_host_port_moves_to_another_agent_that_has_it(h: BinpackHarness) -> None:
    h.submit(job("service", ports=[{"name": "http", "host": 80}]))
    offered = "cpus:4;mem:400;ports:[80-81]"
    h.offer(offered, agent="a")
    (old,) = h.launched()
    update(h, old, pb.TASK_RUNNING, "a")
    drain(h)
    assert killed(h) == []
    h.offer("cpus:4;mem:400;ports:[81-89]", agent="b")
    assert h.launched() == [old]
    h.offer(offered, agent="c")
    new = h.launched()[-1]
    update(h, new, pb.TASK_RUNNING, "c")
    assert killed(h) == [old]


def test_a_change_stops_what_has_a_host_port_first(h: BinpackHarness) -> None:
    ports = [{"name": "http", "host": 80}]
    job_id = h.submit(job("service", ports=ports))
    offered = "cpus:4;mem:400;ports:[80-81]"
    h.offer(offered, agent="a")
    (old,) = h.launched()
    update(h, old, pb.TASK_RUNNING, "a")
    changed = job("service", ports=ports, env={"A": "1"})
    h.feed(c.VersionProposed("change", job_id, 1, changed, "apply"))
    assert killed(h) == [old] and h.launched() == [old]
    update(h, old, pb.TASK_KILLED, "a")
    h.advance(1.0)
    h.offer(offered, agent="a")
    assert h.launched() == [old, "j-r.t.0.v2.1"]


def test_what_was_seen_of_a_host_port_is_told_until_more_is_seen(h: BinpackHarness) -> None:
    job_id = h.submit(job("service", ports=[{"name": "http", "host": 80}]))
    h.offer("cpus:4;mem:400;ports:[80-89]", agent="a")
    other = h.submit(job("service", ports=[{"name": "http", "host": 80}]), "other")
    h.offer("cpus:3;mem:300;ports:[81-89]", agent="b")
    (waits,) = h.core.jobs[other].instances
    assert waits.refusal is not None and waits.refusal.cause == "PORT_TAKEN"
    h.submit(job("service", resources={"cpus": 3}), "more")  # nothing is offered for it
    h.advance(5.0)
    assert "the host port 80, which others hold" in waits.explanation
    h.feed(c.AgentLost("a"))
    assert waits.refusal.cause == "NO_SUCH_PORT"
    assert h.core.jobs[job_id].instances[0].live
