"""`accounting`: what was used."""

from __future__ import annotations

import csv
import sys

from pymesos_cli.cluster import Cluster
from pymesos_cli.output import print_json, print_table, printable
from pymesos_core.json_dialect import accounting_json
from pymesos_proto.v1 import operator_pb2 as pb

REST = "(rest)"
NO_JOB = "(no job)"
FORMULAS = ("=", "+", "-", "@")  # with which a spreadsheet begins one


def asked(by: str, since: str, until: str, role: str, *, daily: bool) -> pb.GetAccountingRequest:
    """What is asked for, without a page."""
    return pb.GetAccountingRequest(by=by, since=since, until=until, role=role, daily=daily)


async def show(
    cluster: Cluster, asked: pb.GetAccountingRequest, *, as_csv: bool, as_json: bool
) -> None:
    """`pymesos-cli accounting`."""

    def request(page: pb.Page) -> pb.GetAccountingRequest:
        one = pb.GetAccountingRequest(page=page)
        one.MergeFrom(asked)
        return one

    rows = await cluster.pages(
        lambda s, p, t: s.GetAccounting(request(p), timeout=t), lambda answer: answer.rows
    )
    if as_json:
        print_json([accounting_json(row) for row in rows])
    elif as_csv:
        _print_csv(rows)
    else:
        _print(rows, asked.by, daily=asked.daily)


def _print_csv(rows: list[pb.AccountingRow]) -> None:
    names = [field.name for field in pb.AccountingRow.DESCRIPTOR.fields]
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        out.writerow([_cell(getattr(row, name)) for name in names])


def _cell(value: object) -> str:
    """A name that a spreadsheet would take for a formula is quoted, since others have made it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6f}"
    text = printable(str(value))
    return f"'{text}" if text.startswith(FORMULAS) else text


def _print(rows: list[pb.AccountingRow], by: str, *, daily: bool) -> None:
    days = ("DAY",) if daily else ()
    names = ("ROLE", "JOB") if by == "job" else (by.upper(),)
    table = [(*((row.day,) if daily else ()), *_names(row, by), *_amounts(row)) for row in rows]
    headers = (*days, *names, "CPU HOURS", "USED", "MEM GIB HOURS", "USED", "GPU HOURS")
    print_table(headers, table, "nothing has been used in these days")


def _names(row: pb.AccountingRow, by: str) -> tuple[str, ...]:
    if by == "job":
        return row.role or REST, REST if row.rest else row.job or NO_JOB
    return (REST if row.rest else row.framework if by == "framework" else row.role,)


def _amounts(row: pb.AccountingRow) -> tuple[str, ...]:
    return (
        f"{row.asked_cpu_hours:.2f}",
        _used(row.used_cpu_hours, row.asked_cpu_hours),
        f"{row.asked_mem_gib_hours:.2f}",
        _used(row.used_mem_gib_hours, row.asked_mem_gib_hours),
        f"{row.asked_gpu_hours:.2f}",
    )


def _used(used: float, asked: float) -> str:
    return f"{used:.2f} ({used / asked:.0%})" if asked else f"{used:.2f}"
