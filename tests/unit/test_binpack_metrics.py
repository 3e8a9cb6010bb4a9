"""What the bin-packing framework counts for Prometheus."""

from __future__ import annotations

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.metrics import Seen, snapshot, to_metrics
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

JOB = {
    "name": "j",
    "tasks": [
        {"name": "web", "kind": "service", "instances": 2, "command": "x"},
        {"name": "once", "command": "x"},
    ],
}
WEB, ONCE = ("*", "j", "j-r", "web"), ("*", "j", "j-r", "once")


async def seen(h: BinpackHarness) -> Seen:
    return await snapshot(lambda: h.core)


async def test_numbers_stay_when_nothing_runs() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(parse_job(JOB))
    now = await seen(h)
    assert now.wanted == {WEB: 2, ONCE: 1}
    assert now.running == now.ready == {WEB: 0, ONCE: 0}
    h.offer()
    for task_id in h.launched():
        h.update(task_id, pb.TASK_RUNNING)
    now = await seen(h)
    assert now.running == now.ready == {WEB: 2, ONCE: 1}
    h.update("j-r.once.0.1", pb.TASK_FINISHED, 0)
    h.update("j-r.web.0.1", pb.TASK_FAILED, 1)
    now = await seen(h)
    assert now.wanted == {WEB: 2, ONCE: 0}
    assert now.running == now.ready == {WEB: 1, ONCE: 0}
    h.feed(c.JobStopped("j-r"))
    assert (await seen(h)).wanted == {}  # nobody wants it any more


async def test_a_service_that_has_failed_for_good_is_wanted_still() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    task = {**JOB["tasks"][0], "instances": 1, "restart": {"max": 0, "on_max": "fail"}}  # type: ignore[dict-item]
    h.submit(parse_job({"name": "j", "tasks": [task]}))
    h.offer()
    h.update("j-r.web.0.1", pb.TASK_RUNNING)
    h.update("j-r.web.0.1", pb.TASK_FAILED, 1)
    assert h.core.jobs["j-r"].state == "failed"
    now = await seen(h)
    assert (now.wanted, now.ready) == ({WEB: 1}, {WEB: 0})


async def test_an_instance_that_stands_by_says_so() -> None:
    assert await snapshot(lambda: None) == Seen()
    (leads, *others) = to_metrics(Seen())
    assert leads.samples[0].value == 0 and not any(one.samples for one in others)
