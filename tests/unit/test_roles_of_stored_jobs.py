"""A framework goes on with jobs of the roles only that it is told to take jobs of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.life import Options, read_core
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.settings import BinpackSettings
from pymesos_core.exits import RoleError
from pymesos_testing.binpack_harness import BinpackHarness


def options(role: str) -> Options:
    return Options(BinpackSettings(master="h:1"), JobRoles((role,)), Path("/state"), ())


def test_with_those_of_another_it_does_not_start() -> None:
    h = BinpackHarness()
    h.submit(parse_job({"name": "j", "role": "prod/a", "tasks": [{"name": "t", "command": "x"}]}))
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
