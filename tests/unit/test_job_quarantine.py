"""What is stored and cannot be handled is set aside with its reason, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_binpack import core as c
from pymesos_binpack import loading, restoring
from pymesos_binpack.core import launches, submissions
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs import launching
from pymesos_binpack.jobs.instance import Saved
from pymesos_binpack.placement import placing
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job

Records = dict[tuple[str, str], bytes]
BAD, GOOD = "j-bad", "j-good"


def two_jobs() -> BinpackHarness:
    """Both are services, and both run."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job("service"), "bad")
    h.submit(job("service"), "good")
    h.offer()
    for job_id in (BAD, GOOD):
        h.update(f"{job_id}.t.0.1", pb.TASK_RUNNING)
    return h


def restarted(records: Records) -> BinpackHarness:
    h = BinpackHarness(records)
    h.feed(c.Subscribed("f"))
    return h


def changed(kind: str, key: str, **values: object) -> Callable[[Records], None]:
    def change(records: Records) -> None:
        records[kind, key] = json.dumps({**json.loads(records[kind, key]), **values}).encode()

    return change


def replaced(kind: str, key: str, value: bytes) -> Callable[[Records], None]:
    return lambda records: records.update({(kind, key): value})


def document(**task: object) -> str:
    return json.dumps({"name": "j", "tasks": [{"name": "t", "command": "x", **task}]})


DAMAGE: dict[str, tuple[Callable[[Records], None], str]] = {
    "another key": (
        changed("job", BAD, document=document(cron="* * * * *")), "tasks[0]: unknown key 'cron'"
    ),
    "a resource of old": (
        changed("job", BAD, document=document(resources={"cpu": 1})), "unknown resource cpu"
    ),
    "an expression of old": (
        changed("job", BAD, document=document(constraints=["h:UNLIKE:(?!a)b"])),
        "not a regular expression of RE2",
    ),
    "half a character": (
        changed("job", BAD, document=document(command="echo \ud83d")), "U+D83D, half of a character"
    ),
    "YAML": (changed("job", BAD, document="name: j\ntasks: []"), "not JSON"),
    "no job": (changed("job", BAD, document="3"), "a job is a mapping"),
    "no document": (changed("job", BAD, document=None), "no text where text is expected"),
    "a time that is none": (changed("job", BAD, submitted_at_s="now"), "another time"),
    "no time": (changed("job", BAD, submitted_at_s=float("inf")), "another time"),
    "stopping, perhaps": (changed("job", BAD, stopping="maybe"), "another `stopping`"),
    "a record that is none": (replaced("job", BAD, b"[]"), "its record is no mapping"),
    "a record without": (replaced("job", BAD, b"{}"), "its record lacks 'document'"),
    "no JSON": (replaced("job", BAD, b"\xff\x00"), "its record is not JSON"),
    "deep": (replaced("job", BAD, b"[" * 100_000), "its record is not JSON"),
    "an instance of a newer version": (
        changed("instance", f"{BAD}/t/0", moon=1), "has 'moon', unknown to this version"
    ),
    "ports that are none": (changed("instance", f"{BAD}/t/0", ports=["x"]), "impossible ports"),
    "a state that is none": (changed("instance", f"{BAD}/t/0", state="x"), "impossible state"),
    "a huge state": (changed("instance", f"{BAD}/t/0", state=2**70), "impossible state"),
    "attempts below": (changed("instance", f"{BAD}/t/0", attempts=-1), "impossible attempts"),
    "no instance": (replaced("instance", f"{BAD}/t/0", b"null"), "is no mapping"),
    "an instance cut short": (
        replaced("instance", f"{BAD}/t/0", b'{"task_id'), "the record of j-bad/t/0 is not JSON"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_what_cannot_be_read_is_set_aside_and_the_rest_goes_on(name: str) -> None:
    """F1: each of these ended the framework, and again at every start."""
    damage, reason = DAMAGE[name]
    h = two_jobs()
    damage(h.records)
    again = restarted(h.records)
    (aside,) = again.core.quarantined.values()
    assert aside.job_id == BAD and reason in aside.reason
    assert list(again.core.jobs) == [GOOD]
    again.update(f"{GOOD}.t.0.1", pb.TASK_FAILED)
    again.offer()
    assert again.launched() == [f"{GOOD}.t.0.2"], "the other is kept up"
    assert again.of(c.Kill) == []


def test_what_an_older_version_took_is_run() -> None:
    """F1 and F2, as they are stored by the version that ended over them."""
    h = two_jobs()
    odd = document(
        kind="service",
        command="echo 🚀",
        instances=1.0,
        resources={"ports": 1.0, "cpus": 0.1 + 0.2},
    )
    assert "\\ud83d" in odd
    changed("job", BAD, document=odd)(h.records)
    again = restarted(h.records)
    assert set(again.core.jobs) == {BAD, GOOD} and not again.core.quarantined
    again.update(f"{BAD}.t.0.1", pb.TASK_FAILED)
    again.offer()
    (accept,) = again.of(c.Accept)
    assert isinstance(accept, c.Accept) and accept.tasks[0].command.value == "echo 🚀"


def test_every_field_of_an_instance_is_checked() -> None:
    assert loading._MAY_BE.keys() == set(Saved._fields)


def test_its_tasks_are_left_alone_and_their_ends_kept_for_it() -> None:
    h = two_jobs()
    good = h.records["job", BAD]
    h.records["job", BAD] = b"{}"
    again = restarted(h.records)
    again.effects.clear()
    for state in (pb.TASK_RUNNING, pb.TASK_FAILED):
        again.update(f"{BAD}.t.0.1", state)
    assert again.effects == [], "neither killed nor acknowledged: it comes again"
    h.records["job", BAD] = good
    mended = restarted(h.records)
    mended.update(f"{BAD}.t.0.1", pb.TASK_FAILED)
    mended.offer()
    assert mended.launched() == [f"{BAD}.t.0.2"]


def test_a_request_of_it_that_comes_again_is_answered_with_it() -> None:
    h = two_jobs()
    changed("job", BAD, document="3")(h.records)
    again = restarted(h.records)
    again.feed(c.JobSubmitted("bad", "j-third", job()))
    assert again.of(c.JobAccepted) == [c.JobAccepted("bad", BAD)]


def test_released_it_is_tried_again() -> None:
    h = two_jobs()
    changed("job", BAD, document="3")(h.records)
    again = restarted(h.records)
    again.feed(c.QuarantineReleased(BAD))
    (refused,) = again.of(c.Released)
    assert isinstance(refused, c.Released) and "a job is a mapping" in refused.problem
    assert BAD in again.core.quarantined
    again.feed(c.QuarantineReleased("j-other"))
    assert again.of(c.Released)[-1] == c.Released(
        "j-other", "there is no job j-other in quarantine"
    )


def test_released_after_its_fault_was_mended_it_goes_on() -> None:
    h = two_jobs()
    h.records["quarantine", BAD] = b"TypeError: whatever"
    again = restarted(h.records)
    assert again.core.quarantined[BAD].reason == "TypeError: whatever"
    again.hold_writes = True
    again.feed(c.QuarantineReleased(BAD))
    assert again.of(c.Released) == [], "stored before said"
    again.hold_writes = False
    again.write()
    assert again.of(c.Released) == [c.Released(BAD)]
    assert again.of(c.Reconcile)[-1] == c.Reconcile(((f"{BAD}.t.0.1", "a"),))
    assert set(again.core.jobs) == {BAD, GOOD} and not again.core.quarantined
    assert not restarted(again.records).core.quarantined


@pytest.mark.parametrize("damage", ["another key", "no document", "no JSON"])
def test_its_tasks_keep_their_names(damage: str) -> None:
    h = two_jobs()
    DAMAGE[damage][0](h.records)
    (said,) = restarted(h.records).of(c.Publish)
    assert isinstance(said, c.Publish) and said.whole
    assert [served.task_id for served in said.serves] == [f"{GOOD}.t.0.1"]
    assert said.keeps == (f"{BAD}.t.0.1",)


@pytest.mark.parametrize("serves", [True, False])
def test_released_its_names_are_told_anew(serves: bool) -> None:
    """Also that what is to leave, as it was stored to, serves no more."""
    h = two_jobs()
    h.records["quarantine", BAD] = b"TypeError: whatever"
    if not serves:
        changed("instance", f"{BAD}/t/0", leaving="scaled")(h.records)
    again = restarted(h.records)
    again.feed(c.QuarantineReleased(BAD))
    said = again.of(c.Publish)[-1]
    assert isinstance(said, c.Publish) and not said.whole
    told = tuple(served.task_id for served in said.serves)
    of_bad = (f"{BAD}.t.0.1",)
    assert (told, said.ended) == ((of_bad, ()) if serves else ((), of_bad))


def one_aside(role: str = "*") -> BinpackHarness:
    """A job of a role waits in quarantine, for no fault that is still there."""
    h = BinpackHarness()
    task = {"name": "t", "command": "x"}
    h.submit(parse_job({"name": "j", "role": role, "tasks": [task]}), "bad")
    h.records["quarantine", BAD] = b"TypeError: whatever"
    return restarted(h.records)


def problems(h: BinpackHarness) -> list[str]:
    """What each release came to."""
    return [told.problem for told in h.of(c.Released) if isinstance(told, c.Released)]


def test_a_release_is_stored_before_anything_follows_from_it() -> None:
    again = one_aside("web")
    again.hold_writes = True
    again.effects.clear()
    again.feed(c.QuarantineReleased(BAD))
    assert [type(effect) for effect in again.effects] == [c.Store]
    assert BAD in again.core.quarantined and BAD not in again.core.jobs
    again.core.check()
    again.hold_writes = False
    again.write()
    assert again.of(c.BeInRoles) == [c.BeInRoles(("*", "web"))]
    again.core.check()
    again.role = "web"
    again.offer()
    assert again.launched() == [f"{BAD}.t.0.1"]
    assert again.of(c.Reconcile) == [], "nobody knows yet of what is launched now"


def test_what_cannot_begin_is_back_with_the_reason_that_it_has_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise TypeError("another fault")

    again = one_aside()
    monkeypatch.setattr(submissions, "begin", fails)
    again.feed(c.QuarantineReleased(BAD))
    (problem,) = problems(again)
    assert "another fault" in problem
    assert "another fault" in again.core.quarantined[BAD].reason
    assert b"another fault" in again.records["quarantine", BAD]


def test_what_is_being_released_is_not_released_again_nor_discarded() -> None:
    again = one_aside()
    again.hold_writes = True
    for discard in (False, False, True):
        again.feed(c.QuarantineReleased(BAD, discard))
    assert not again.of(c.Released)
    again.hold_writes = False
    again.write()
    late = f"there is no job {BAD} in quarantine"
    answers = [c.Released(BAD), c.Released(BAD, late), c.Released(BAD, late, discard=True)]
    assert again.of(c.Released) == answers
    assert list(again.core.jobs) == [BAD]


def test_what_cannot_go_on_after_its_release_is_back_in_quarantine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = one_aside("web")
    with monkeypatch.context() as patch:
        broken(launching, "pending_task", patch, of=BAD)
        again.feed(c.QuarantineReleased(BAD))
    (problem,) = problems(again)
    assert problem.startswith("it still cannot be handled: TypeError: planted")
    assert not again.core.jobs and again.core.roles == ("*",)
    assert b"planted" in again.records["quarantine", BAD]
    again.core.check()
    again.feed(c.QuarantineReleased(BAD))
    assert problems(again)[1:] == [""] and list(again.core.jobs) == [BAD]


def test_a_job_of_one_role_too_many_stays_in_quarantine() -> None:
    again = one_aside("one-too-many")
    task = {"name": "t", "command": "x"}
    for number in range(255):
        again.submit(parse_job({"name": "j", "role": f"r{number}", "tasks": [task]}), f"{number}")
    again.feed(c.QuarantineReleased(BAD))
    (problem,) = problems(again)
    assert problem == (
        "A framework has 257 roles; at most 256 are accepted: end the jobs of another role first"
    )
    assert BAD in again.core.quarantined and len(again.core.roles) == 256
    again.core.check()
    again.feed(c.JobStopped("j-7"))
    again.feed(c.QuarantineReleased(BAD))
    assert problems(again)[1:] == [""] and "one-too-many" in again.core.roles


def test_a_job_that_has_ended_is_released_whatever_its_role() -> None:
    h = BinpackHarness()
    task = {"name": "t", "command": "x"}
    h.submit(parse_job({"name": "j", "role": "old", "tasks": [task]}), "bad")
    h.feed(c.JobStopped(BAD))
    h.records["quarantine", BAD] = b"TypeError: whatever"
    again = restarted(h.records)
    for number in range(255):
        again.submit(parse_job({"name": "j", "role": f"r{number}", "tasks": [task]}), f"{number}")
    again.feed(c.QuarantineReleased(BAD))
    assert problems(again) == [""] and len(again.core.roles) == 256
    again.core.check()


def test_the_role_of_one_in_quarantine_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page of a listing asks for the roles of all."""
    aside = one_aside("web").core.quarantined[BAD]
    assert aside.role == "web"
    monkeypatch.setattr(restoring, "load_document", lambda *_, **more: 1 / 0)
    assert aside.role == "web"


def test_discarded_it_is_forgotten_and_its_tasks_end() -> None:
    h = two_jobs()
    changed("job", BAD, document="3")(h.records)
    again = restarted(h.records)
    again.feed(c.QuarantineReleased(BAD, discard=True))
    assert again.of(c.Reconcile)[-1] == c.Reconcile(((f"{BAD}.t.0.1", "a"),))
    assert again.of(c.Released) == [c.Released(BAD, discard=True)]
    assert again.of(c.Kill) == [c.Kill(f"{BAD}.t.0.1", "a")]
    assert not any(BAD in key for kind, key in again.records if kind != "replaced")
    later = restarted(again.records)
    later.update(f"{BAD}.t.0.1", pb.TASK_RUNNING)
    assert later.of(c.Kill) == [c.Kill(f"{BAD}.t.0.1", "a")], "also after another restart"
    later.update(f"{BAD}.t.0.1", pb.TASK_KILLED)
    assert not any(kind == "replaced" for kind, _ in later.records)


def broken(module: Any, name: str, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    """Have a function of the core raise for one job."""
    right = getattr(module, name)

    def wrong(*arguments: Any, **more: Any) -> Any:
        if of in repr(arguments[0]):
            raise TypeError("planted")
        return right(*arguments, **more)

    monkeypatch.setattr(module, name, wrong)


@pytest.mark.parametrize("name", ["task_infos", "with_volumes", "plan"])
def test_a_job_that_makes_the_core_fail_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job("service"), "good")
    h.submit(job("service"), "bad")
    broken(placing if name == "plan" else launches, name, monkeypatch, of=BAD)
    with pytest.raises(c.JobFault) as caught:
        h.offer()
    assert caught.value.job_id == BAD and "TypeError: planted" in str(caught.value)
    change = caught.value.change
    assert change.value is not None
    h.records[change.kind, change.key] = change.value
    again = restarted(h.records)
    again.offer()
    assert again.launched() == [f"{GOOD}.t.0.1"]
    assert "planted" in again.core.quarantined[BAD].reason


def test_a_job_that_cannot_be_added_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    h = BinpackHarness()
    h.submit(parse_job({"name": "j", "tasks": [{"name": "t", "command": "x"}]}), "bad")
    h.submit(job(), "good")

    broken(launching, "pending_task", monkeypatch, of=BAD)
    again = restarted(h.records)
    assert "planted" in again.core.quarantined[BAD].reason
    again.offer()
    assert again.launched() == [f"{GOOD}.t.0.1"]
    again.core.check()


def test_a_fault_of_no_job_ends_the_step_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    h = two_jobs()
    monkeypatch.setattr(placing.Placement, "answer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        h.offer()


ODD = st.sampled_from(
    [None, True, -1, 0, 1.5, 2**70, "", "x", "\ud83d", "\0", [], [None], {}, {"a": None}, [-1],
     ["x"], float("nan"), float("inf"), "9" * 5000]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_to_what_is_stored_ends_the_framework(data: st.DataObject) -> None:
    h = two_jobs()
    kind, key = data.draw(st.sampled_from(sorted(k for k in h.records if BAD in k[1])))
    record = json.loads(h.records[kind, key])
    if data.draw(st.booleans()):
        record[data.draw(st.sampled_from(sorted(record)))] = data.draw(ODD)
        h.records[kind, key] = json.dumps(record).encode()
    else:
        at = data.draw(st.integers(0, len(h.records[kind, key])))
        junk = data.draw(st.binary(max_size=3))
        h.records[kind, key] = h.records[kind, key][:at] + junk + h.records[kind, key][at + 1 :]
    again = restarted(h.records)
    assert GOOD in again.core.jobs
    again.offer()
    for job_id in (BAD, GOOD):
        for attempt in (1, 2):
            again.update(f"{job_id}.t.0.{attempt}", pb.TASK_RUNNING)
            again.update(f"{job_id}.t.0.{attempt}", pb.TASK_FAILED)
            again.offer()
    assert f"{GOOD}.t.0.2" in again.launched(), "the other is kept up"
    again.feed(c.QuarantineReleased(BAD))
    again.feed(c.JobStopped(BAD))
    restarted(again.records)
