"""A framework goes on with jobs of the roles only that it is told to take jobs of."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from pymesos_binpack import core as c
from pymesos_binpack import main
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.life import Options, read_core
from pymesos_binpack.roles import read_job_roles
from pymesos_binpack.settings import BinpackSettings
from pymesos_binpack.specs import Job
from pymesos_core.exits import RoleError
from pymesos_testing.binpack_harness import BinpackHarness


def options(role: str) -> Options:
    return Options(BinpackSettings(master="h:1"), read_job_roles(role), Path("/state"), ())


def with_job(role: str, job_id: str = "r", h: BinpackHarness | None = None) -> BinpackHarness:
    h = h or BinpackHarness()
    task = {"name": "t", "command": "x"}
    h.submit(parse_job({"name": "j", "role": role, "tasks": [task]}), job_id)
    return h


def test_with_those_of_another_it_does_not_start() -> None:
    h = with_job("prod/a")
    assert read_core(options("prod/a"), h.records).jobs.keys() == {"j-r"}
    with pytest.raises(RoleError) as refused:
        read_core(options("prod/b"), h.records)
    assert str(refused.value) == (
        "the state in /state has jobs of the role prod/a, and this framework is started for prod/b:"
        " give --role 'prod/b,prod/a', or another --state-dir"
    )
    assert not read_core(options("prod/b"), {}).jobs
    for taken in ("prod/**", "**"):
        core = read_core(options(taken), h.records)
        assert core.jobs and set(core.roles) == {"prod/a", {"**": "*"}.get(taken, "prod")}


def test_a_role_of_which_all_jobs_have_ended_may_be_left_out() -> None:
    h = with_job("old")
    h.feed(c.JobStopped("j-r"))
    core = read_core(options("eng"), h.records)
    assert core.jobs["j-r"].ended and core.roles == ("eng",)


def test_one_in_quarantine_whose_role_is_left_out_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    h = with_job("old")
    h.records["quarantine", "j-r"] = b"planted"
    assert read_core(options("old"), h.records).quarantined
    assert "leaves out" not in caplog.text
    assert read_core(options("eng"), h.records).quarantined
    assert "job 'j-r' is of the role 'old', which --role leaves out" in caplog.text


def test_it_is_not_started_for_more_roles_than_it_can_say() -> None:
    h = BinpackHarness()
    for number in range(255):
        with_job(f"r{number}", f"{number}", h)
    assert len(read_core(options("**"), h.records).roles) == 256
    with pytest.raises(RoleError) as refused:
        read_core(options("**,a"), h.records)
    assert str(refused.value) == (
        "A framework has 257 roles; at most 256 are accepted, and these are those of --role and of"
        " the jobs in /state: name fewer, as in eng/** for all below eng"
    )


def test_job_files_of_too_many_roles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path) -> Job:
        task = {"name": "t", "command": "x"}
        return parse_job({"name": "j", "role": path.name, "tasks": [task]})

    monkeypatch.setattr(main, "read_job", read)
    settings = BinpackSettings(master="h:1")
    files = tuple(Path(f"r{number}") for number in range(257))
    assert len(main._options(settings, files[:256]).roles.patterns) == 256
    with pytest.raises(click.UsageError, match="too many roles: A framework has 257 roles; at"):
        main._options(settings, files)
