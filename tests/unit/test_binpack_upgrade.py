"""What an earlier release of the bin-packing framework stored is read, and its work goes on.

The records were written by the release before jobs had rooms of their own: two instances of a
service, one of which was replaced since its agent stayed unreachable; a batch task that failed
beside its sidecar and is to be tried again; a service whose volume is on an agent; one that ended.
"""

from __future__ import annotations

import json
from pathlib import Path

from pymesos_binpack import core as c
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

RECORDS = Path(__file__).parent / "data/binpack_records_v1.json"


def restored() -> BinpackHarness:
    records = {(k, key): v.encode() for k, key, v in json.loads(RECORDS.read_text("utf-8"))}
    h = BinpackHarness(records)
    assert h.core.quarantined == {}
    assert h.core.framework_id == "framework-1"
    h.feed(c.Subscribed("framework-1"))
    h.core.check()
    return h


def test_its_jobs_are_what_they_were() -> None:
    h = restored()
    states = {job_id: job.state for job_id, job in h.core.jobs.items()}
    assert states == {"shop-1": "running", "store-2": "running", "old-3": "finished"}
    assert h.core.ledger.given_up == {"shop-1.pair.0.1+log": "a", "shop-1.web.1.1": "a"}
    (asked, *_) = (e for e in h.effects if isinstance(e, c.Reconcile))
    assert {task_id for task_id, _ in asked.tasks} == {
        "shop-1.web.0.1", "shop-1.web.1.1", "shop-1.pair.0.1+log",
    }  # fmt: skip


def test_its_work_goes_on() -> None:
    h = restored()
    h.update("shop-1.web.1.1", pb.TASK_RUNNING)
    assert h.of(c.Kill) == [c.Kill("shop-1.web.1.1", "a")], "another has its place"
    h.offer("cpus:4;mem:400;disk:500;ports:[1-9]", "b")
    assert h.launched() == ["shop-1.web.1.2"]
    groups = [effect.groups for effect in h.effects if isinstance(effect, c.Accept)]
    (main, sidecar) = groups[0][0]
    assert (main.task_id, sidecar.task_id) == ("shop-1.pair.0.2", "shop-1.pair.0.2+log")
    h.update("shop-1.pair.0.2", pb.TASK_FAILED, 1)
    pair = next(i for i in h.core.instances() if i.spec.name == "pair")
    assert (pair.saved.done, pair.saved.failures) == (True, 2), "the first counted"
    (volume,) = h.core.volumes
    assert (volume.agent_id, h.core.job_with(volume)) == ("a", "store-2")
    h.core.check()
