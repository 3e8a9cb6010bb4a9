"""Each rollout has a record of its own; jobs that have all of theirs in one are read, too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.jobs import writes
from pymesos_binpack.jobs.state import JobState
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

Records = dict[tuple[str, str], bytes]
JOB_ID = "shop-r"


def shop(**versions: str) -> Job:
    """Services by their names, each with one thing that differs between versions."""
    of = {"kind": "service", "instances": 2, "command": "x", "update": {"min_healthy_s": 0}}
    tasks = [{**of, "name": name, "env": {"V": text}} for name, text in versions.items()]
    return parse_job({"name": "shop", "tasks": tasks})


def change(h: BinpackHarness, job: Job) -> None:
    number = state_of(h).version
    h.feed(c.VersionProposed(f"to {number + 1}", JOB_ID, number, job, "apply"))


def state_of(h: BinpackHarness) -> JobState:
    return h.core.jobs[JOB_ID]


def written(h: BinpackHarness) -> list[tuple[str, str]]:
    """Return which records of rollouts were written since the last call."""
    stores = [effect for effect in h.effects if isinstance(effect, c.Store)]
    h.effects.clear()
    changes = [change for store in stores for change in store.changes]
    return sorted({(ch.kind, ch.key) for ch in changes if ch.kind.startswith("rollout")})


def go_on(h: BinpackHarness, seconds: float) -> None:
    """All that is launched runs, and all that is killed ends."""
    for _ in range(int(seconds)):
        h.offer("cpus:40;mem:4000")
        effects, h.effects[:] = list(h.effects), [e for e in h.effects if isinstance(e, c.Store)]
        for effect in effects:
            if isinstance(effect, c.Accept):
                for info in effect.tasks:
                    h.update(info.task_id, pb.TASK_RUNNING)
            elif isinstance(effect, c.Kill):
                h.update(effect.task_id, pb.TASK_KILLED)
        h.advance(1)


@pytest.fixture
def h() -> BinpackHarness:
    """Two services that both have changed once, and one that changes again."""
    it = BinpackHarness()
    it.feed(c.Subscribed("f"))
    it.submit(shop(web="1", api="1"))
    go_on(it, 2)
    change(it, shop(web="2", api="2"))
    go_on(it, 30)
    assert {each.state for each in state_of(it).rollouts.values()} == {"done"}
    written(it)
    return it


def as_earlier(records: Records) -> Records:
    """The same as it was stored when all rollouts of a job had one record."""
    of = {key.partition("/")[2]: v for (kind, key), v in records.items() if kind == "rollout"}
    out = {at: value for at, value in records.items() if at[0] != "rollout"}
    rollouts = {task: json.loads(value) for task, value in of.items()}
    ids = json.loads(records.get(("rollouts", JOB_ID), b'{"used": {}, "version": 2}'))
    out["rollouts", JOB_ID] = json.dumps({"rollouts": rollouts, **ids}).encode()
    return out


def kinds(records: Records) -> dict[tuple[str, str], Any]:
    """The records of rollouts, as data."""
    return {at: json.loads(v) for at, v in records.items() if at[0].startswith("rollout")}


def test_a_change_writes_the_rollout_that_it_is_of(h: BinpackHarness) -> None:
    change(h, shop(web="3", api="2"))
    go_on(h, 30)
    assert [at for at in written(h) if at[0] == "rollout"] == [("rollout", f"{JOB_ID}/web")]
    assert kinds(h.records)["rollout", f"{JOB_ID}/web"] == state_of(h).rollouts["web"].record()


def test_they_are_read_again(h: BinpackHarness) -> None:
    change(h, shop(web="3", api="2"))
    again = BinpackHarness(dict(h.records))
    assert state_of(again).rollouts == state_of(h).rollouts
    again.feed(c.Subscribed("f"))
    assert written(again) == [], "nothing is written that is stored already"


def test_one_of_a_task_that_is_gone_is_forgotten(h: BinpackHarness) -> None:
    change(h, shop(web="2"))
    go_on(h, 30)
    assert [key for kind, key in h.records if kind == "rollout"] == [f"{JOB_ID}/web"]
    h.feed(c.JobStopped(JOB_ID))
    go_on(h, 2)
    assert all(change.value is None for change in writes.removal(state_of(h)))
    assert kinds(h.records).keys() <= {(ch.kind, ch.key) for ch in writes.removal(state_of(h))}


def test_those_of_earlier_are_read_and_parted_at_the_next_change(h: BinpackHarness) -> None:
    before = state_of(h).rollouts
    old = BinpackHarness(as_earlier(h.records))
    assert old.core.quarantined == {}
    assert state_of(old).rollouts == before
    old.feed(c.Subscribed("f"))
    change(old, shop(web="3", api="2"))
    assert written(old) == [
        ("rollout", f"{JOB_ID}/api"), ("rollout", f"{JOB_ID}/web"), ("rollouts", JOB_ID),
    ]  # fmt: skip
    assert kinds(old.records)["rollouts", JOB_ID].keys() == {"used", "version"}
    again = BinpackHarness(dict(old.records))
    assert state_of(again).rollouts == state_of(old).rollouts
    assert state_of(again).rollouts["api"] == before["api"]


def mixed(h: BinpackHarness) -> BinpackHarness:
    """A later version, an earlier one, and a later one again: what is in two places differs."""
    rows = {at: value for at, value in h.records.items() if at[0] == "rollout"}
    outdated = rows["rollout", f"{JOB_ID}/web"].replace(b'"done"', b'"paused"')
    rows["rollout", f"{JOB_ID}/web"] = outdated
    rows["rollout", f"{JOB_ID}/gone"] = outdated.replace(b'"to_version": 2', b'"to_version": 9')
    return BinpackHarness({**as_earlier(h.records), **rows})


def test_the_record_of_all_alone_counts_where_both_are_there(h: BinpackHarness) -> None:
    old = mixed(h)
    assert old.core.quarantined == {}
    assert state_of(old).rollouts == state_of(h).rollouts
    old.feed(c.Subscribed("f"))
    change(old, shop(web="2", api="3"))
    assert kinds(old.records)["rollouts", JOB_ID].keys() == {"used", "version"}
    of_tasks = {key for kind, key in old.records if kind == "rollout"}
    assert of_tasks == {f"{JOB_ID}/api", f"{JOB_ID}/web"}
    again = BinpackHarness(dict(old.records))
    assert state_of(again).rollouts == state_of(old).rollouts
    assert state_of(again).rollouts["web"].state == "done"


def test_nothing_is_left_of_a_job_that_has_both(h: BinpackHarness) -> None:
    old = mixed(h)
    removed = {(change.kind, change.key) for change in writes.removal(state_of(old))}
    assert kinds(old.records).keys() == {at for at in removed if at[0].startswith("rollout")}


def test_and_when_only_ids_are_written(h: BinpackHarness) -> None:
    old = state_of(BinpackHarness(as_earlier(h.records)))
    changes = writes.id_changes(old)
    assert sorted(ch.kind for ch in changes) == ["rollout", "rollout", "rollouts"]
    assert [ch.kind for ch in writes.id_changes(old)] == ["rollouts"]


def test_a_record_that_cannot_be_sets_the_job_aside(h: BinpackHarness) -> None:
    damaged = {**h.records, ("rollout", f"{JOB_ID}/web"): b'{"exits": -1, "stable_by_s": {}}'}
    aside = BinpackHarness(damaged).core.quarantined[JOB_ID]
    assert aside.reason == "the record of a rollout has an impossible exits"
    gone = {(change.kind, change.key) for change in aside.removal()}
    assert {("rollout", f"{JOB_ID}/web"), ("rollout", f"{JOB_ID}/api")} <= gone
