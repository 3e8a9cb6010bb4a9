"""The volumes of a name are of one job of that name, and what an older version stored is read."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_core.resource_tags import Tag
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.volume_jobs import (
    ROOM,
    database,
    made,
    offer_with,
    run,
)


@pytest.fixture
def h() -> BinpackHarness:
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    return harness


class TestWhatAnOlderVersionStored:
    """Ids had the id of the job, and no record but the instance's said where it is."""

    def old(self, *, live: bool) -> dict[tuple[str, str], bytes]:
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(database(), "1")
        h.offer(ROOM, "a")
        h.update("db-1.t.0.1", pb.TASK_RUNNING)
        if not live:
            h.feed(c.JobStopped("db-1"))
            h.update("db-1.t.0.1", pb.TASK_KILLED)
        for key, value in list(h.records.items()):
            if key[0] == "volume":
                del h.records[key]
            elif key[0] == "instance":
                record = json.loads(value)
                del record["volume_ids"], record["unreachable_since_s"]
                h.records[key] = json.dumps(record).encode()
        return h.records

    def tags(self) -> list[Tag]:
        """As if the id were of the older kind."""
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        (tag,) = run(h)
        renamed = json.loads(json.dumps("db-1.t.0.data"))
        from dataclasses import replace

        assert tag.volume is not None
        return [replace(tag, volume=replace(tag.volume, id=renamed))]

    def test_goes_on(self) -> None:
        again = BinpackHarness(self.old(live=True))
        again.feed(c.Subscribed("f"))
        again.update("db-1.t.0.1", pb.TASK_FAILED)
        again.offer(ROOM, "b")
        assert not again.launched()
        offer_with(again, self.tags())
        assert again.launched() == ["db-1.t.0.2"] and not made(again)

    def test_is_found_by_the_next_run(self) -> None:
        again = BinpackHarness(self.old(live=False))
        again.feed(c.Subscribed("f"))
        assert [v.volume_id for v in again.core.volumes] == ["db-1.t.0.data"]
        assert [key for kind, key in again.records if kind == "volume"] == ["ops/db/t/0/data"]
        again.submit(database(), "2")
        offer_with(again, self.tags())
        assert again.launched() == ["db-2.t.0.1"] and not made(again)


class TestOneJobOfAName:
    """`run svc.yaml` twice."""

    def submit(self, h: BinpackHarness, request_id: str, kind: str = "service") -> None:
        task = {"name": "t", "kind": kind, "command": "x"}
        job = parse_job({"name": "svc", "tasks": [task]})
        h.feed(c.JobSubmitted(request_id, f"svc-{request_id}", job, unique_name=True))

    def refusals(self, h: BinpackHarness) -> list[str]:
        return [e.message for e in h.of(c.JobRefused) if isinstance(e, c.JobRefused)]

    @pytest.mark.parametrize("kind", ["service", "batch"])
    @pytest.mark.parametrize("stored", [True, False])
    def test_while_it_has_not_ended(self, h: BinpackHarness, kind: str, stored: bool) -> None:
        h.hold_writes = not stored
        self.submit(h, "1", kind)
        self.submit(h, "2", kind)
        (message,) = self.refusals(h)
        assert "the job svc-1 of that name" in message and "pymesos-cli stop svc-1" in message

    def test_the_same_request_is_the_same_job(self, h: BinpackHarness) -> None:
        self.submit(h, "1")
        self.submit(h, "1")
        assert h.of(c.JobAccepted) == [c.JobAccepted("1", "svc-1")] * 2

    def test_again_when_it_has_ended(self, h: BinpackHarness) -> None:
        self.submit(h, "1", "batch")
        h.offer()
        h.update("svc-1.t.0.1", pb.TASK_FINISHED, 0)
        self.submit(h, "2", "batch")
        assert not self.refusals(h)

    def test_over_a_restart(self, h: BinpackHarness) -> None:
        self.submit(h, "1")
        again = BinpackHarness(h.records)
        self.submit(again, "2")
        assert self.refusals(again)
