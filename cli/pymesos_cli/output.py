"""Tables, JSON and the words for amounts, ages and times."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pymesos_core.resources import Resources, count, format_milli, from_proto
from pymesos_proto.v1 import types_pb2 as pb

WIDE = 10_000  # a pipe has no width: nothing is cut there
GAP = 2  # between columns
MIN_CUT = 10  # what is cut shorter than this says nothing


def print_json(value: Any) -> None:
    """Indented JSON on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    empty: str,
    flexible: Sequence[str] = (),
) -> None:
    """A table that fits the terminal; `empty` says so when there are no rows.

    `flexible` columns are cut first, the last of them first, and left out where that is not enough.
    """
    # rich takes 60 ms to import, which --json need not pay.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    if not rows:
        print(empty)
        return
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    widths = fit(headers, rows, flexible, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for header, width in zip(headers, widths, strict=True):
        if width:
            table.add_column(header, no_wrap=True, overflow="ellipsis", max_width=width)
    for row in rows:
        table.add_row(*(Text(c) for c, width in zip(row, widths, strict=True) if width))
    console.print(table)


def fit(
    headers: Sequence[str], rows: Sequence[Sequence[str]], flexible: Sequence[str], width: int
) -> list[int]:
    """The width of each column so that a table fits; 0 leaves a column out."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for shortest in (MIN_CUT, 0):
        for index in reversed(range(len(headers))):
            excess = sum(w + GAP for w in widths if w) - GAP - width
            if excess > 0 and headers[index] in flexible:
                widths[index] = min(widths[index], max(shortest, widths[index] - excess))
                if not shortest:
                    widths[index] = 0
    return widths


def printable(text: str) -> str:
    """Without what would move a terminal's cursor or colour it: ids and messages are others'."""
    return "".join(c if c.isprintable() else "?" for c in text)


def iso(time_s: float) -> str | None:
    """Unix time as ISO 8601 in UTC; None for 0."""
    if not time_s:
        return None
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


def age(since_s: float) -> str:
    """How long ago: 45s, 12m, 3h, 9d; empty for 0."""
    if not since_s:
        return ""
    seconds = max(0.0, time.time() - since_s)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def scalars_json(resources: Resources) -> dict[str, Any]:
    """cpus, mem and disk always, others when there; ports as [begin, end] pairs."""
    amounts = resources.quantities
    out: dict[str, Any] = {name: amounts.get(name, 0) / 1000 for name in ("cpus", "mem", "disk")}
    out |= {name: value / 1000 for name, value in amounts.items()}
    out["ports"] = [list(interval) for interval in resources.ranges.get("ports", ())]
    return out


def task_resources_json(messages: Iterable[pb.Resource]) -> dict[str, Any]:
    """As `scalars_json`, with the ports one by one."""
    out = scalars_json(from_proto(messages))
    out["ports"] = [port for begin, end in out["ports"] for port in range(begin, end + 1)]
    return out


def short_amounts(resources: Resources) -> str:
    """cpus 0.5, mem 64: what people look at first."""
    parts = [f"{n} {format_milli(v)}" for n, v in resources.quantities.items() if n != "disk"]
    ports = count(resources.ranges.get("ports", ()))
    if ports:
        parts.append(f"ports {ports}")
    return ", ".join(parts)


def used_of(name: str, used: Resources, total: Resources) -> str:
    """0.5/4."""
    return "/".join(format_milli(bag.quantities.get(name, 0)) for bag in (used, total))
