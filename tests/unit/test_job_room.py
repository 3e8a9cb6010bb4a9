"""A job, or a change of one, is taken where the state has room for it."""

from __future__ import annotations

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import MAX_INSTANCES
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.room import INSTANCE_BYTES
from pymesos_binpack.placement.decisions import (
    MAX_BYTES,
    MAX_RULES,
    Decision,
    Other,
    RuledOut,
    to_text,
)
from pymesos_core import limits
from pymesos_core.coordination.zk_store import kept_bytes
from pymesos_testing.binpack_harness import BinpackHarness, job


@pytest.fixture
def h() -> BinpackHarness:
    """A service with three instances is stored."""
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(job("service", 3))
    return harness


def submit(h: BinpackHarness, request_id: str, room_bytes: int | None, *earlier: Version) -> str:
    """Submit a job, with these versions; return why it is refused, or nothing."""
    h.effects.clear()
    wanted = job(instances=2)
    versions = (*earlier, Version(9, wanted.document, 0.0, "", "apply", "")) if earlier else ()
    h.feed(c.JobSubmitted(request_id, f"j-{request_id}", wanted, False, "", versions, room_bytes))
    return refusal(h)


def change(h: BinpackHarness, instances: int, room_bytes: int, request_id: str = "change") -> str:
    """Scale the service; return why that is refused, or nothing."""
    h.effects.clear()
    base = h.core.jobs["j-r"].version
    wanted = job("service", instances)
    h.feed(c.VersionProposed(request_id, "j-r", base, wanted, "scale", room_bytes=room_bytes))
    return refusal(h)


def refusal(h: BinpackHarness) -> str:
    refused = [effect.message for effect in h.effects if isinstance(effect, c.JobRefused)]
    assert len(refused) + len(h.of(c.JobAccepted)) == 1
    return "".join(refused)


TAKES = 2 * len(job(instances=2).document) + 2 * INSTANCE_BYTES


def test_a_job_for_which_there_is_no_room_is_refused(h: BinpackHarness) -> None:
    assert submit(h, "2", TAKES - 1) == (
        f"the state has room for {TAKES - 1} bytes more, and this takes about {TAKES}: end jobs"
        f" with `pymesos-cli stop`, or make this smaller"
    )
    assert submit(h, "2", -5).startswith("the state has room for 0 bytes more")
    assert "j-2" not in h.core.jobs
    assert submit(h, "2", TAKES) == "" and "j-2" in h.core.jobs
    assert submit(h, "3", None) == "", "a disk has no limit"


def test_the_versions_that_a_backup_has_count(h: BinpackHarness) -> None:
    earlier = Version(8, "é" * 500, 0.0, "", "submit", "")
    assert submit(h, "2", TAKES + 1999, earlier) != ""
    assert submit(h, "2", TAKES + 2000, earlier) == ""


def test_what_is_done_already_is_answered_without_room(h: BinpackHarness) -> None:
    """The leader may go before it answers: the next one is asked the same again."""
    assert submit(h, "r", 0) == ""
    assert change(h, 4, 1_000_000) == ""
    assert change(h, 4, 0) == ""
    assert h.core.jobs["j-r"].version == 2


def test_of_a_change_that_counts_which_is_more_than_before(h: BinpackHarness) -> None:
    assert "make this smaller" in change(h, 4, INSTANCE_BYTES - 1)
    assert change(h, 4, INSTANCE_BYTES) == ""


def test_what_becomes_no_larger_needs_no_room(h: BinpackHarness) -> None:
    assert change(h, 1, -1) == ""
    assert [task.instances for task in h.core.jobs["j-r"].job.tasks] == [1]


def test_what_is_taken_in_has_room_for_its_launch(h: BinpackHarness) -> None:
    h.offer(agent="agent-0123456789-0123456789-0123456789-a")
    instance = next(i for i in h.core.instances() if i.live)
    rules = tuple(RuledOut(f"rule {n} {'x' * 90}", n, ("a: b", "c: d")) for n in range(MAX_RULES))
    others = tuple(Other(f"host-{n}.cluster.example.com", 0.123456789) for n in range(3))
    decision = to_text(Decision("best-fit", 9, 3, 0.123456789, others, rules, 1.8e9))
    assert len(decision) > 0.9 * MAX_BYTES
    instance.amend(decision=decision, message="x" * 100, ports=[31000, 31001])
    value = instance.change().value
    assert value is not None
    assert kept_bytes("instance", instance.key, value) <= INSTANCE_BYTES


def test_the_largest_job_has_room_in_zookeeper() -> None:
    assert limits.FRAMEWORK_STATE.most > MAX_INSTANCES * INSTANCE_BYTES
