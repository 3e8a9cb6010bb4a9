"""What was used, as it is asked for: of some days, by role, framework or job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pymesos_core.errors import invalid
from pymesos_core.security.policy import Roles
from pymesos_core.text import quoted
from pymesos_master.core.accounting import day_name, read_day
from pymesos_master.core.accounts import HOUR_MS, NO_SUMS, Account, Day, Sums
from pymesos_proto.v1 import operator_pb2 as pb

MILLI_HOURS = 1000 * HOUR_MS
MIB_IN_GIB = 1024
BY = ("role", "framework", "job")


class Group(NamedTuple):
    """What is added up; a day is empty where all are."""

    day: str
    role: str
    framework: str
    job: str
    rest: bool


class Copied(NamedTuple):
    """What was used on a day, as it was when it was looked at."""

    rows: Mapping[Account, Sums]


def copied(days: Mapping[int, Day]) -> Mapping[int, Copied]:
    """Return what was used as it is now, for a thread to read."""
    return {day: Copied(dict(used.rows)) for day, used in days.items()}


def groups(
    days: Mapping[int, Day | Copied], request: pb.GetAccountingRequest, may: Roles
) -> list[tuple[Group, Sums]]:
    """The rows that are asked for, of these roles, in their order. Raises RequestError."""
    by = request.by or "role"
    if by not in BY:
        raise invalid(f"what is used is added up by {', '.join(BY)}, not by {quoted(by)}")
    since, until = _day(request.since, "since"), _day(request.until, "until")
    if since is not None and until is not None and since > until:
        raise invalid(f"since, {request.since}, is after until, {request.until}: swap them")
    out: dict[Group, Sums] = {}
    for day, used in days.items():
        if (since is not None and day < since) or (until is not None and day > until):
            continue
        named = day_name(day) if request.daily else ""
        for account, sums in used.rows.items():
            # The rest of all roles has none: it is for those who may read every role.
            if request.role in ("", account.role) and account.role in may:
                group = _group_of(account, by, named)
                out[group] = out.get(group, NO_SUMS).plus(sums)
    return sorted(out.items(), key=lambda row: _place(row[0]))


def _place(group: Group) -> tuple[object, ...]:
    """By day and role, what there was no room for behind the others."""
    return (group.day, group.rest and not group.role, group.role, group.rest, *group[2:4])


def _group_of(account: Account, by: str, day: str) -> Group:
    role, framework, job, rest = account
    if by == "role":
        return Group(day, role, "", "", rest and not role)
    if by == "framework":
        return Group(day, "", framework, "", rest)
    return Group(day, role, "", job, rest)


def _day(text: str, name: str) -> int | None:
    try:
        return read_day(text) if text else None
    except ValueError:
        raise invalid(f"{name} is {quoted(text)}: a day is expected, as in 2026-11-29") from None


def row_view(row: tuple[Group, Sums]) -> pb.AccountingRow:
    """A row, in hours."""
    group, sums = row
    return pb.AccountingRow(
        **group._asdict(),
        asked_cpu_hours=sums.asked_cpus / MILLI_HOURS,
        asked_mem_gib_hours=sums.asked_mem / MILLI_HOURS / MIB_IN_GIB,
        asked_gpu_hours=sums.asked_gpus / MILLI_HOURS,
        used_cpu_hours=sums.used_cpus / MILLI_HOURS,
        used_mem_gib_hours=sums.used_mem / MILLI_HOURS / MIB_IN_GIB,
    )
