"""Job files on the command line of `pymesos-binpack` are checked as jobs that are sent are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pymesos_binpack.core import JobSubmitted
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.life import Options, read_core
from pymesos_binpack.roles import read_job_roles
from pymesos_binpack.settings import BinpackSettings
from pymesos_binpack.specs import Job
from pymesos_core.exits import RoleError
from pymesos_testing.binpack_harness import BinpackHarness

FILE = "/jobs/j.yaml"


def job_with(template: str, **more: Any) -> Job:
    file = {"path": "a.conf", "template": template, **more}
    task = {"name": "t", "kind": "service", "command": "x", "env": {"A": "1"}, "config": [file]}
    return parse_job({"name": "j", "tasks": [task]})


def options(job: Job) -> Options:
    settings = BinpackSettings(master="h:1")
    return Options(settings, read_job_roles("*"), Path("/state"), ((FILE, job),))


BAD = {
    "an environment without that name": (
        job_with("{{ env.NOPE }}"),
        "tasks[0] (t).config[0].template: there is no env.NOPE;",
    ),
    "a task that would restart itself": (
        job_with("{{ addresses.t }}", on_change="restart"),
        "tasks[0] (t).config[0].on_change: its template has the addresses of t itself",
    ),
}


@pytest.mark.parametrize(("job", "problem"), BAD.values(), ids=BAD.keys())
def test_a_new_one_is_refused_before_the_framework_starts(job: Job, problem: str) -> None:
    with pytest.raises(RoleError) as refused:
        read_core(options(job), {})
    assert str(refused.value).startswith(f"{FILE}: {problem}")


@pytest.mark.parametrize("job", [job for job, _ in BAD.values()], ids=BAD.keys())
def test_one_that_was_taken_before_goes_on(job: Job) -> None:
    h = BinpackHarness()
    h.feed(JobSubmitted(FILE, "j-1", job))
    assert [each.request_id for each in read_core(options(job), h.records).jobs.values()] == [FILE]


def test_one_in_quarantine_was_taken_before_too() -> None:
    job, _ = BAD["an environment without that name"]
    h = BinpackHarness()
    h.feed(JobSubmitted(FILE, "j-1", job))
    h.records["quarantine", "j-1"] = b"planted"
    assert read_core(options(job), h.records).quarantined


def test_one_in_order_is_taken() -> None:
    assert not read_core(options(job_with("{{ env.A }}")), {}).jobs
