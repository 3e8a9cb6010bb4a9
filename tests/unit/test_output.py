"""Tables fit the terminal."""

from __future__ import annotations

import pytest

from pymesos_cli.output import GAP, fit, printable

HEADERS = ("ID", "WHY", "MORE")
ROWS = [("x" * 20, "y" * 40, "z" * 40)]


@pytest.mark.parametrize("width", [200, 104, 80, 60, 44, 30, 22])
def test_a_table_fits(width: int) -> None:
    widths = fit(HEADERS, ROWS, ("WHY", "MORE"), width)
    assert sum(w + GAP for w in widths if w) - GAP <= width
    assert widths[0] == 20, "what is not flexible is never cut"


def test_the_last_flexible_column_goes_first() -> None:
    assert fit(HEADERS, ROWS, ("WHY", "MORE"), 90) == [20, 40, 26]
    assert fit(HEADERS, ROWS, ("WHY", "MORE"), 32) == [20, 10, 0]
    assert fit(HEADERS, ROWS, ("WHY", "MORE"), 104) == [20, 40, 40]


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\x1b[31mb\n") == "a?[31mb?"
