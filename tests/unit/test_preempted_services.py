"""Preemption takes from the budget that rollouts and drains have of a service."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_proto.v1 import types_pb2 as pb
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
