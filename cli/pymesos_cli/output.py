"""Tables, JSON and the words for amounts, ages and times."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from pymesos_cli import terminal
from pymesos_cli.terminal import note, printable
from pymesos_core.clock import utc
from pymesos_core.json_dialect import to_json
from pymesos_core.resource_values import count, format_milli
from pymesos_core.resources import Resources
from pymesos_core.text import count_of

__all__ = ["count_of", "note", "print_json", "print_table", "printable"]

GAP = 2  # between columns
MIN_CUT = 10  # what is cut shorter than this says nothing


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """JSON on stdout, on one line without `indent`; what cannot be printed is escaped in it."""
    print(to_json(value, indent, ascii_only=not terminal.stream().can_encode("é…漢")), flush=True)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    empty: str,
    flexible: Sequence[str] = (),
) -> None:
    """A table that fits the terminal; `empty` says so when there are no rows.

    `flexible` columns are cut first, the last of them first, and left out where that is not enough,
    which is said. The first column is never cut: it is what other commands are given.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    if not rows:
        print(empty)
        return
    room = terminal.width()
    widths = fit(headers, rows, flexible, room)
    ellipsis = "…" if terminal.stream().can_encode("…") else "..."
    for row in (headers, *rows):
        cells = [_cut(c, width, ellipsis) for c, width in zip(row, widths, strict=True) if width]
        print((" " * GAP).join(cells).rstrip())
    if left_out := [h for h, width in zip(headers, widths, strict=True) if h and not width]:
        said = f"left out: {', '.join(left_out)}; a wider terminal, a pipe or --json shows them"
        print(said)


def _cut(text: str, width: int, ellipsis: str) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(0, width - len(ellipsis))) + ellipsis


def fit(
    headers: Sequence[str], rows: Sequence[Sequence[str]], flexible: Sequence[str], width: int
) -> list[int]:
    """The width of each column so that a table fits; 0 leaves a column out."""
    widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    bends = [header in flexible for header in headers]
    for shortest, only in ((MIN_CUT, True), (0, True), (0, False)):
        for index in reversed(range(1, len(headers))):
            excess = sum(w + GAP for w in widths if w) - GAP - width
            if excess > 0 and (bends[index] or not only):
                cut = max(shortest, widths[index] - excess)
                widths[index] = min(widths[index], cut) if shortest else 0
    return widths


def age(since_s: float) -> str:
    """How long ago: 45s, 12m, 3h, 9d; empty for 0."""
    if not 0 < since_s < 1e11:  # others say when, and not always with sense
        return ""
    seconds = max(0.0, time.time() - since_s)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def moment(wall_s: float) -> str:
    """When, as in a table; `-` where nobody said it."""
    return utc(wall_s) if wall_s else "-"


def short_amounts(resources: Resources) -> str:
    """cpus 0.5, mem 64, disk 100, ports 2."""
    parts = [f"{n} {format_milli(v)}" for n, v in resources.quantities.items() if v]
    ports = count(resources.ranges.get("ports", ()))
    if ports:
        parts.append(f"ports {ports}")
    return ", ".join(parts)


def used_of(name: str, used: Resources, total: Resources) -> str:
    """0.5/4."""
    return "/".join(format_milli(bag.quantities.get(name, 0)) for bag in (used, total))
