"""Tables fit the terminal."""

from __future__ import annotations

import pytest

from pymesos_cli.cluster import CliError, unique
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


def test_part_of_an_id_is_enough_when_it_fits_only_one() -> None:
    ids = ["job-1.web.0", "job-1.web.1", "job-2.db.0"]
    assert unique("job-2", ids, str, "task") == "job-2.db.0"
    assert unique("db", ids, str, "task") == "job-2.db.0"
    assert unique("job-1.web.1", [*ids, "job-1.web.10"], str, "task") == "job-1.web.1"
    for text, says in (("job-1", "fits 2 tasks"), ("x", "there is no task 'x'")):
        with pytest.raises(CliError, match=says) as caught:
            unique(text, ids, str, "task")
        assert caught.value.exit_code == 2
