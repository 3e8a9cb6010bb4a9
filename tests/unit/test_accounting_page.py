"""The examples of docs/accounting.md: its commands are taken, and its table is what they print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pymesos_cli.main import main
from pymesos_cli.operators import accounting
from pymesos_core import limits
from pymesos_core.json_dialect import accounting_json
from pymesos_core.security.policy import EVERY_ROLE
from pymesos_master import metrics
from pymesos_master.core.accounts import HOUR_MS, Account, Day, Held, Sums, held_for
from pymesos_master.core.state import Config
from pymesos_master.queries import accounted
from pymesos_proto.v1 import operator_pb2 as pb

PAGE = (Path(__file__).parents[2] / "docs/accounting.md").read_text("utf-8")
COMMANDS = re.findall(r"^pymesos-cli (accounting.*)$", PAGE, re.MULTILINE)
(TABLE,) = re.findall(r"^```\n(ROLE .*?)^```", PAGE, re.DOTALL | re.MULTILINE)
HOUR = 1000 * HOUR_MS
GIB = 1024


def days() -> dict[int, Day]:
    """A day on which dev held 1.5 CPUs and ops a third of one."""
    dev = held_for(Held(1500, 3000 * GIB), 24 * HOUR_MS)
    ops = held_for(Held(2000, 4000 * GIB, 1000), 4 * HOUR_MS)
    return {
        20_000: Day({Account("dev", "jobs", "shop"): dev, Account("ops", "=spark"): ops}),
        20_001: Day(
            {
                Account("dev", "jobs", "shop"): Sums(used_cpus=9 * HOUR, used_mem=54 * HOUR * GIB),
                Account("ops", rest=True): Sums(used_cpus=6 * HOUR, used_mem=4 * HOUR * GIB),
            }
        ),
    }


class FakeCluster:
    """Answers in pages of two rows."""

    async def pages(self, ask: Any, rows_of: Any) -> list[pb.AccountingRow]:
        out: list[pb.AccountingRow] = []
        for token in ("", "2", "4"):
            out += rows_of(ask(self, pb.Page(page_token=token), 1.0))
        return out

    def GetAccounting(
        self, request: pb.GetAccountingRequest, timeout: float
    ) -> pb.GetAccountingResponse:
        begin = int(request.page.page_token or 0)
        found = accounted.groups(days(), request, EVERY_ROLE)[begin : begin + 2]
        return pb.GetAccountingResponse(rows=map(accounted.row_view, found))


async def shown(capsys: pytest.CaptureFixture[str], by: str = "role", **how: Any) -> str:
    asked = accounting.asked(by, "", "", "", daily=how.pop("daily", False))
    cluster: Any = FakeCluster()
    how = {"as_csv": False, "as_json": False, **how}
    await accounting.show(cluster, asked, **how)
    return capsys.readouterr().out


async def test_the_table_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert await shown(capsys) == TABLE


async def test_jobs_and_what_is_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (await shown(capsys, "job", daily=True)).splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["2024-10-04", "dev", "shop"],
        ["2024-10-04", "ops", "(no"],
        ["2024-10-05", "dev", "shop"],
        ["2024-10-05", "ops", "(rest)"],
    ]


async def test_a_framework_makes_no_formula(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (await shown(capsys, "framework", as_csv=True)).splitlines()
    assert lines[0].startswith("day,role,framework,job,rest,asked_cpu_hours,asked_mem_gib_hours")
    assert lines[1] == ",,'=spark,,false,8.000000,16.000000,4.000000,0.000000,0.000000"
    assert lines[-1] == ",,,,true,0.000000,0.000000,0.000000,6.000000,4.000000"


async def test_json_says_null_of_what_it_is_not_of() -> None:
    (row, *_) = accounted.groups(days(), pb.GetAccountingRequest(), EVERY_ROLE)
    said = accounting_json(accounted.row_view(row))
    assert said["role"] == "dev" and said["job"] is said["framework"] is said["day"] is None
    assert said["asked_cpu_hours"] == 36 and said["used_mem_gib_hours"] == 54


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_taken(command: str) -> None:
    words = shlex.split(command, comments=True)
    found: click.Command | None = main
    assert isinstance(found, click.Group)
    found = found.get_command(click.Context(found), words[0])
    assert found is not None
    found.make_context(words[0], words[1:])


def test_the_command_is_found_by_what_others_call_it() -> None:
    done = CliRunner().invoke(main, ["usage", "--csv", "--json"])
    assert "--csv and --json exclude each other" in done.output
    assert "usage" not in main.list_commands(click.Context(main))


def test_csv_and_json_exclude_each_other() -> None:
    done = CliRunner().invoke(main, ["accounting", "--csv", "--json"])
    assert done.exit_code == 2 and "--csv and --json exclude each other" in done.output


def test_the_page_has_the_numbers_and_metrics_that_there_are() -> None:
    for limit in (limits.ACCOUNTED_DAYS, limits.ACCOUNTS, limits.ACCOUNTS_OF_ROLE):
        assert f"{limit.most}" in PAGE, limit.name
    assert f"more than {limits.ACCOUNTED_RESTS.most} roles" in PAGE
    assert Config().accounting_interval_s == 60 and "every minute" in PAGE
    assert Config().usage_interval_s == 5 and "every 5 seconds" in PAGE
    named = set(re.findall(r"`(pymesos_master_role_\w+)_total`", PAGE))
    assert named == {f"pymesos_master_role_{name}" for _, name, _, _ in metrics.ACCOUNTED}
