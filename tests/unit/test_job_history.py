"""The versions of a job are kept, bounded, and told once they are stored."""

from __future__ import annotations

import json

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.differences import (
    differences,
    is_of_environment,
    without_environments,
)
from pymesos_binpack.jobs.history import MAX_VERSIONS
from pymesos_binpack.services.views import instance_view
from pymesos_core.names import parse_task_id
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.changing_jobs import (
    fail_two,
    killed,
    propose,
    run_all,
    shop,
    state_of,
    tasks,
)


@pytest.fixture
def h() -> BinpackHarness:
    """Three instances of a service run."""
    harness = BinpackHarness()
    harness.feed(c.Subscribed("f"))
    harness.submit(shop())
    run_all(harness)
    assert tasks(harness) == ["j-r.web.0.1", "j-r.web.1.1", "j-r.web.2.1"]
    return harness


def test_a_version_is_told_once_it_is_stored(h: BinpackHarness) -> None:
    h.hold_writes = True
    request_id = propose(h, shop(instances=4))
    assert c.JobAccepted(request_id, "j-r", 2) not in h.effects
    assert len(state_of(h).told_instances()) == 3
    h.write()
    assert c.JobAccepted(request_id, "j-r", 2) in h.effects
    assert len(state_of(h).told_instances()) == 4


def test_a_request_sent_twice_is_one_change(h: BinpackHarness) -> None:
    for _ in range(2):
        propose(h, shop(instances=4), base=1, request_id="once")
    assert state_of(h).version == 2
    assert h.of(c.JobAccepted)[-2:] == [c.JobAccepted("once", "j-r", 2)] * 2


def test_a_change_of_another_version_is_refused(h: BinpackHarness) -> None:
    propose(h, shop(instances=4))
    propose(h, shop(instances=5), base=1, request_id="late")
    (refused,) = h.of(c.JobRefused)
    assert isinstance(refused, c.JobRefused)
    assert refused.stale
    assert state_of(h).version == 2


def test_a_job_of_before_there_were_versions_is_the_first(h: BinpackHarness) -> None:
    record = json.loads(h.records["job", "j-r"])
    del record["version"]
    h.records["job", "j-r"] = json.dumps(record).encode()
    again = BinpackHarness(dict(h.records))
    again.feed(c.Subscribed("f"))
    assert state_of(again).version == 1
    propose(again, shop(instances=3))
    assert killed(again) == set()


def test_the_history_is_bounded_and_keeps_what_runs(h: BinpackHarness) -> None:
    for number in range(2, MAX_VERSIONS + 12):
        propose(h, shop(instances=3 + number % 2), what="scale", request_id=f"s{number}")
    kept = [v.number for v in state_of(h).history.versions]
    assert len(kept) == MAX_VERSIONS
    assert {i.version for i in state_of(h).instances} <= set(kept)
    assert kept[-1] == MAX_VERSIONS + 11
    stored = {int(key.partition("/")[2]) for kind, key in h.records if kind == "version"}
    assert stored == set(kept[:-1])
    again = BinpackHarness(dict(h.records))
    assert again.core.quarantined == {}


def test_what_runs_on_unchanged_keeps_no_version(h: BinpackHarness) -> None:
    for count in range(4, MAX_VERSIONS + 12):
        propose(h, shop(instances=count), what="scale")
        h.offer("cpus:400;mem:400000")
    assert len(state_of(h).history.versions) == MAX_VERSIONS
    again = BinpackHarness(dict(h.records))
    assert again.core.quarantined == {}
    versions = {i.key: i.version for i in state_of(h).instances}
    assert {i.key: i.version for i in state_of(again).instances} == versions
    # One that is changed is kept for as long as what it was runs.
    latest = state_of(h).version
    propose(h, shop(command="y", instances=31))
    for count in range(32, 32 + MAX_VERSIONS + 2):
        propose(h, shop(command="y", instances=count), what="scale")
    assert state_of(h).history.get(latest) is not None
    assert instances_are_kept(h)


def instances_are_kept(h: BinpackHarness) -> bool:
    kept = {v.number for v in state_of(h).history.versions}
    return all(i.version in kept for i in state_of(h).instances)


def test_of_which_version_something_is_is_told_once_it_is_stored(h: BinpackHarness) -> None:
    for number in range(2, MAX_VERSIONS + 1):
        propose(h, shop(instances=3 + number % 2), what="scale")
    (first, *_) = state_of(h).instances
    assert first.version == 1
    h.hold_writes = True
    propose(h, shop(instances=5), what="scale")
    assert first.version == MAX_VERSIONS + 1 and instance_view(first).version == 1
    h.hold_writes = False
    h.write()
    assert instance_view(first).version == MAX_VERSIONS + 1


def test_a_stopped_job_leaves_no_record_of_what_was_removed(h: BinpackHarness) -> None:
    propose(h, shop(instances=1), what="scale")
    h.feed(c.JobStopped("j-r"))
    for task_id in sorted(killed(h)):
        h.update(task_id, pb.TASK_KILLED)
    assert state_of(h).state == "stopped"
    assert [key for kind, key in h.records if kind == "instance"] == ["j-r/web/0"]
    h.core.check()


def test_ids_of_later_versions_are_read() -> None:
    parts = parse_task_id("shop-0a1b2c3d.web.4.v12.3+log")
    assert parts is not None
    assert (parts.instance, parts.version, parts.attempt, parts.sidecar) == (4, 12, 3, "log")
    assert parts.of_instance == "shop-0a1b2c3d.web.4+log"


def test_differences_are_told_by_key() -> None:
    before = {"name": "j", "tasks": [{"name": "web", "env": {"A": "1"}, "image": "x:1"}]}
    after = {
        "name": "j",
        "tasks": [{"name": "web", "env": {"A": "2"}, "image": "x:2"}, {"name": "b"}],
    }
    assert list(differences(before, after)) == [
        ("tasks.web.env.A", '"1"', '"2"'),
        ("tasks.web.image", '"x:1"', '"x:2"'),
        ("tasks.b", "", '{"name": "b"}'),
    ]
    assert without_environments(before)["tasks"][0]["env"] == {"A": ""}


def test_options_of_packages_are_as_hidden_as_environments() -> None:
    """Environments are made from them."""
    package = {"name": "redis", "version": "1.0.0", "options": {"password": "x"}}
    before, after = {"package": package}, {"package": package | {"version": "1.1.0", "options": {}}}
    shown = without_environments(before)["package"]
    assert shown == {"name": "redis", "version": "1.0.0", "options": {"password": ""}}
    hidden = {each.path: is_of_environment(each) for each in differences(before, after)}
    assert hidden == {"package.version": False, "package.options.password": True}


def test_one_version_says_what_is_back() -> None:
    state = fail_two(BinpackHarness())
    assert {t: r.state.value for t, r in state.rollouts.items()} == {
        "web": "rolled_back", "api": "rolled_back",
    }  # fmt: skip
    assert [v.what for v in state.history.versions] == ["submit", "apply", "rollback of 2 tasks"]
    assert [(t.name, t.command, t.instances) for t in state.job.tasks] == [
        ("web", "x", 1), ("api", "x", 3), ("other", "x", 1),
    ]  # fmt: skip
    assert not state.unsettled
