"""A bin-packing core whose jobs change."""

from __future__ import annotations

from typing import Any

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs.state import JobState
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

BIG = "cpus:40;mem:40000;ports:[1-9]"


def shop(kind: str = "service", instances: int = 3, **task: Any) -> Job:
    made = {"name": "web", "kind": kind, "instances": instances, "command": "x", **task}
    return parse_job({"name": "j", "tasks": [made]})


def propose(h: BinpackHarness, job: Job, **more: Any) -> str:
    """Change the job; the request id."""
    (state,) = h.core.jobs.values()
    base, what = more.pop("base", state.version), more.pop("what", "apply")
    request_id: str = more.pop("request_id", f"change-{base}-{what}")
    h.feed(c.VersionProposed(request_id, state.job_id, base, job, what, **more))
    return request_id


def run_all(h: BinpackHarness) -> None:
    """Offer room, and have everything run that is launched."""
    h.offer(BIG)
    for instance in state_of(h).instances:
        if instance.live and instance.saved.state == pb.TASK_STAGING:
            h.update(instance.saved.task_id, pb.TASK_RUNNING)


def roll(h: BinpackHarness) -> None:
    """Have a rollout go on until nothing is left to do: what is killed ends, what begins runs."""
    for _ in range(60):
        run_all(h)
        for instance in [i for i in state_of(h).instances if i.killing]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        h.core.check()
        if not state_of(h).unsettled:
            return
        h.advance(5)
    raise AssertionError([r.why for r in state_of(h).rollouts.values()])


def state_of(h: BinpackHarness) -> JobState:
    (state,) = h.core.jobs.values()
    return state


def instances_are_settled(h: BinpackHarness) -> bool:
    return not state_of(h).unsettled


def tasks(h: BinpackHarness) -> list[str]:
    return sorted(i.saved.task_id for i in state_of(h).instances if i.live)


def killed(h: BinpackHarness) -> set[str]:
    return {effect.task_id for effect in h.effects if isinstance(effect, c.Kill)}


def fail_two(h: BinpackHarness) -> JobState:
    """Two tasks of a job that go back from its second version, and are back."""
    h.feed(c.Subscribed("f"))
    update = {"healthy_deadline_s": 60, "progress_deadline_s": 60}
    made = [
        {"name": name, "kind": "service", "instances": n, "command": "x", "update": update}
        for n, name in ((1, "web"), (2, "api"), (1, "other"))
    ]
    h.submit(parse_job({"name": "j", "tasks": made}))
    run_all(h)
    h.advance(20)
    changed = [{**made[0], "command": "y"}, {**made[1], "command": "y", "instances": 3}, made[2]]
    propose(h, parse_job({"name": "j", "tasks": changed}))
    h.offer(BIG)
    h.advance(70)
    for _ in range(10):
        run_all(h)
        for instance in [i for i in state_of(h).instances if i.killing]:
            h.update(instance.saved.task_id, pb.TASK_KILLED)
        h.advance(10)
    return state_of(h)
