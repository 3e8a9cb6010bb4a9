"""A secret that is set anew reaches services by rollouts, told of by the master without a value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.core import secrets as of_core
from pymesos_binpack.core.spreading import MAX_LOOKS, PACE_S, Spread
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.jobs.secrets import SEEN, read_seen, services_with
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Job
from pymesos_core.caller import Caller
from pymesos_core.security.secrets import Keyring
from pymesos_master.core.events import OperatorRemovedSecret, OperatorSetSecret
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.master_harness import MasterHarness

WEB = {
    "name": "web", "kind": "service", "instances": 3, "command": "x",
    "secrets": [{"name": "db"}],
}  # fmt: skip
OTHER = {"name": "other", "kind": "service", "command": "y"}
BATCH = {"name": "once", "command": "z", "secrets": [{"name": "db"}]}


def told(version: int, set_at_s: float = 1.0, role: str = "*", name: str = "db") -> c.SecretsTold:
    return c.SecretsTold(role, ((name, version, set_at_s),))


@pytest.fixture
def h() -> BinpackHarness:
    """A job that uses a secret, at its version 3, and runs."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.feed(told(3))
    h.submit(parse_job({"name": "j", "tasks": [WEB, OTHER, BATCH]}))
    settle(h)
    return h


def settle(h: BinpackHarness) -> None:
    for _ in range(30):
        h.offer("cpus:40;mem:40000")
        for each in [i for i in h.core.instances() if i.live]:
            state = types_pb2.TASK_KILLED if each.killing else types_pb2.TASK_RUNNING
            h.update(each.saved.task_id, state)
        h.advance(5)


def job_of(h: BinpackHarness) -> JobState:
    (job,) = h.core.jobs.values()
    return job


def tasks(h: BinpackHarness, name: str) -> set[str]:
    return {i.saved.task_id for i in h.core.instances() if i.live and i.spec.name == name}


def test_what_is_heard_first_begins_nothing(h: BinpackHarness) -> None:
    h.feed(told(3))
    h.feed(told(7, name="another"))
    h.advance(60)
    assert job_of(h).version == 1


def test_services_that_use_it_are_replaced_step_by_step(h: BinpackHarness) -> None:
    web, other, once = tasks(h, "web"), tasks(h, "other"), tasks(h, "once")
    h.feed(told(4, 2.0))
    h.advance(0.1)
    assert job_of(h).history.latest.what == "secret db" and job_of(h).version == 2
    h.offer("cpus:40;mem:40000")
    assert len([i for i in h.core.instances() if not i.killing and i.saved.task_id in web]) > 0
    settle(h)
    assert len(tasks(h, "web")) == 3 and not tasks(h, "web") & web
    assert tasks(h, "other") == other and tasks(h, "once") == once
    h.feed(told(4, 2.0))
    h.advance(60)
    assert job_of(h).version == 2, "once for each time that it is set"


def test_one_that_was_removed_and_set_again_is_another(h: BinpackHarness) -> None:
    for number, (version, set_at_s) in enumerate(((1, 5.0), (1, 6.0)), 2):
        h.feed(told(version, set_at_s))
        h.advance(1)
        assert job_of(h).version == number


def test_that_of_another_role_is_another(h: BinpackHarness) -> None:
    h.feed(told(1, role="prod"))
    h.feed(told(2, 2.0, role="prod"))
    h.advance(60)
    assert job_of(h).version == 1


def test_a_restart_goes_on_with_it_and_hears_what_it_missed(h: BinpackHarness) -> None:
    h.feed(told(4, 2.0))
    again = BinpackHarness(h.records)
    again.feed(c.Subscribed("f"))
    again.core.check()
    again.advance(1)
    assert job_of(again).version == 2
    later = BinpackHarness(again.records)
    later.feed(c.Subscribed("f"))
    later.feed(told(4, 2.0))
    later.advance(60)
    assert job_of(later).version == 2
    later.feed(told(5, 3.0))
    later.advance(1)
    assert job_of(later).version == 3


def test_many_jobs_are_each_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    h, looked = BinpackHarness(), list[str]()
    h.feed(c.Subscribed("f"))
    h.feed(told(3))
    job = parse_job({"name": "j", "tasks": [WEB]})
    for number in range(150):
        h.submit(replace(job, name=f"j{number}"), f"r{number}")
    other = parse_job({"name": "other", "tasks": [OTHER]})
    for number in range(150):
        h.submit(replace(other, name=f"o{number}"), f"o{number}")

    def services_looked_at(job: Job, name: str) -> tuple[str, ...]:
        looked.append(job.name)
        return services_with(job, name)

    monkeypatch.setattr(of_core, "services_with", services_looked_at)
    h.feed(told(4, 2.0))
    h.advance(5)
    assert [each.version for each in h.core.jobs.values()] == [2] * 150 + [1] * 150
    assert not any(name.startswith("o") for name in looked), "they do not use it"
    assert len(looked) <= 150 * 2, "once to find that it is due, and once to replace its services"
    h.core.check()


def test_a_step_looks_at_no_more_than_a_few(h: BinpackHarness) -> None:
    spread, looked = Spread("r"), list[str]()
    job = job_of(h)
    jobs = {f"j{number}": replace(job, job_id=f"j{number}") for number in range(MAX_LOOKS * 2)}

    def never(job: JobState) -> bool:
        looked.append(job.job_id)
        return False

    assert spread.next_of(jobs.keys, jobs, never) is None and len(looked) == MAX_LOOKS
    assert spread.wait_s() == PACE_S
    assert spread.next_of(jobs.keys, jobs, never) is None and looked == [*jobs]
    assert spread.wait_s() is None, "none was changed in this round"


def test_what_was_removed_is_forgotten_once_nothing_uses_it(h: BinpackHarness) -> None:
    h.feed(told(1, name="unused"))
    h.feed(told(1, role="prod"))
    assert {key for kind, key in h.records if kind == SEEN} == {"*:db", "*:unused", "prod:db"}
    for name in ("unused", "db", "never-heard-of"):
        h.feed(c.SecretsTold("*", (), removed=name))
    assert {key for kind, key in h.records if kind == SEEN} == {"*:db", "prod:db"}
    h.feed(told(1, 9.0))
    h.advance(1)
    assert job_of(h).version == 2, "it was set again: what runs by the one before is replaced"
    without = parse_job({"name": "j", "tasks": [{**WEB, "secrets": []}, OTHER]})
    h.feed(c.VersionProposed("w", job_of(h).job_id, 2, without, "apply"))
    h.feed(c.SecretsTold("*", (), complete=True))
    assert ("secret", "*:db") in h.records, "tasks of the version before still run"
    settle(h)
    h.feed(c.SecretsTold("*", (("other", 1, 1.0),), complete=True))
    assert {key for kind, key in h.records if kind == SEEN} == {"*:other", "prod:db"}
    h.core.check()


def test_those_that_use_it_are_found() -> None:
    template = {"path": "a", "template": "{{ secrets.db }}"}
    sidecar = {"name": "s", "command": "y", "secrets": [{"name": "db", "env": "DB"}]}
    made = [
        {**OTHER, "name": "a", "config": [template]},
        {**OTHER, "name": "b", "sidecars": [sidecar]},
        {**OTHER, "name": "c", "image": "i", "image_secret": "db"},
        {**WEB, "name": "d"},
        BATCH,
    ]
    assert services_with(parse_job({"name": "j", "tasks": made}), "db") == ("a", "b", "d")


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"version": "1"}'])
def test_a_record_that_cannot_be_is_left_out(value: bytes) -> None:
    with pytest.raises(ValueError, match="the secret"):
        read_seen("*:db", value)
    assert BinpackHarness({("secret", "*:db"): value}).core.jobs == {}


def test_masters_tell_who_serves_jobs_of_its_roles() -> None:
    h = MasterHarness()
    keyring = Keyring([b"k" * 32])

    def set_secret(role: str, name: str) -> None:
        sealed = keyring.seal(role, name, b"value")
        h.feed(OperatorSetSecret(1, role, name, sealed, Caller()))

    def heard(connection: int) -> list[tuple[str, str, int]]:
        events = [e.secret_versions for e in h.framework_inbox[connection]]
        return [(e.role, s.name, s.version) for e in events for s in e.secrets]

    set_secret("ops", "before")
    set_secret("else", "before")
    serving = h.subscribe(name="a", roles=["ops"], jobs_address="10.0.0.1:1")
    other = h.subscribe(name="b", roles=["ops"])
    assert heard(serving) == [("ops", "before", 1)]
    set_secret("ops", "db")
    set_secret("ops", "db")
    set_secret("else", "db")
    assert heard(serving)[1:] == [("ops", "db", 1), ("ops", "db", 2)]
    assert heard(other) == [], "nobody runs jobs by it"
    every = [e.secret_versions for e in h.framework_inbox[serving]]
    first, *later = [each for each in every if each.role]
    assert first.complete and not any(each.complete for each in later)
    h.feed(OperatorRemovedSecret(2, "ops", "db", False, Caller()))
    h.feed(OperatorRemovedSecret(2, "else", "db", False, Caller()))
    last = h.framework_inbox[serving][-1].secret_versions
    assert (last.role, last.removed, last.complete) == ("ops", "db", False)
    without = h.subscribe(name="c", roles=["none"], jobs_address="10.0.0.1:2")
    assert [e.secret_versions.complete for e in h.framework_inbox[without]].count(True) == 1


@pytest.mark.parametrize("stop", [Asked.PAUSE, Asked.ABORT])
def test_what_people_have_stopped_is_left_alone(h: BinpackHarness, stop: Asked) -> None:
    def wanted(command: str, request_id: str) -> None:
        job = parse_job({"name": "j", "tasks": [{**WEB, "command": command}, OTHER, BATCH]})
        number = job_of(h).version
        h.feed(c.VersionProposed(request_id, job_of(h).job_id, number, job, "apply"))

    wanted("bad", "a")
    h.feed(c.RolloutAsked("p", job_of(h).job_id, "web", stop))
    h.feed(told(4, 2.0))
    settle(h)
    assert job_of(h).version == 2
    assert "x" in {i.spec.command for i in h.core.instances() if i.spec.name == "web"}
    wanted("good", "b")
    settle(h)
    assert job_of(h).version == 4 and job_of(h).history.latest.what == "secret db"
    assert {i.spec.command for i in h.core.instances() if i.spec.name == "web"} == {"good"}


def test_a_rollout_of_a_secret_that_was_paused_gives_way_to_the_next_one(
    h: BinpackHarness,
) -> None:
    h.feed(told(4, 2.0))
    h.advance(1)
    h.feed(c.RolloutAsked("p", job_of(h).job_id, "web", Asked.PAUSE))
    h.feed(told(5, 3.0))
    settle(h)
    assert job_of(h).version == 3 and job_of(h).rollouts["web"].state == "done"
