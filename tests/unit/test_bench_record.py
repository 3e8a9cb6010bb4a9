"""The tables of bench/README.md: they are what is kept, and say what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import record
from measurements import MEASUREMENTS, Figure, Measurement

MACHINE = {
    "cores": 2,
    "load_1min": 0.4,
    "spawn_per_s": 2540,
    "fsync_ms": {"p50": 0.26, "p99": 1.0},
    "echo_messages_per_s": 21_000,
    "loop_ms": 9.53,
}


def kept(*runs: Any, **more: Any) -> dict[str, Any]:
    return {"date": "2026-01-02", "machine": MACHINE, "runs": [*runs], **more}


def test_the_page_has_what_is_kept() -> None:
    page = record.README.read_text("utf-8")
    assert record.with_tables(page, record.kept()) == page, "run `python bench/record.py`"
    assert set(record.kept()) <= set(MEASUREMENTS)


def test_the_page_tells_of_every_script() -> None:
    page = record.README.read_text("utf-8")
    for script in record.BENCH.glob("*.py"):
        assert script.name in page, f"bench/README.md has no paragraph on {script.name}"
    for name, measurement in MEASUREMENTS.items():
        assert (record.BENCH / measurement.script).exists(), name


@pytest.mark.parametrize(
    ("figure", "runs", "text"),
    [
        (Figure("", "a"), [3], "3"),
        (Figure("", "a", "ms"), [12.42, 9.126], "9.13–12.4 ms"),
        (Figure("", "a", "ms"), [0.0312, 1234.5], "0.031–1,234 ms"),
        (Figure("", "a", "ms", factor=1000), [0.5], "500 ms"),
        (Figure("", "a", "s", "≤ 1"), [[0.2, 0.5]], "0.2, 0.5 s"),
        (Figure("", "a", "s", "≤ 1"), [[0.2, 1.5]], "**0.2, 1.50 s**"),
        (Figure("", "a", "", "≥ 2,000"), [2000, 2500], "2,000–2,500"),
        (Figure("", "a", "", "≥ 2,000"), [1999, 2500], "**1,999–2,500**"),
        (Figure("", "a", "ms", "4 and one sync"), [9], "9 ms"),
        (Figure("", "a", "ms"), [{"x": 1, "y": 2}, {"x": 3, "y": 2}], "x 1–3, y 2 ms"),
        (Figure("", "a", "", "≥ 1"), [None], "none"),
    ],
)
def test_cells(figure: Figure, runs: list[Any], text: str) -> None:
    assert record.cell(figure, [{"a": run} for run in runs]) == text


def test_a_path_leads_through_objects_and_lists() -> None:
    assert record.at({"rows": [{"b": 1}, {"b": 2}]}, "rows/1/b") == 2
    for path in ("rows/2/b", "rows/0/c", "c", "rows/0/b/d"):
        with pytest.raises(LookupError):
            record.at({"rows": [{"b": 1}, {"b": 2}]}, path)
    assert record.results_of('{"a": 1}\n') == {"a": 1}
    assert record.results_of('{"a": 1}\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]


def test_rows_have_the_date_and_the_machine_once() -> None:
    measurement = Measurement("x.py --a", 1, (Figure("one", "a", "s", "≤ 1"), Figure("two", "b")))
    first, second = record.rows("x", measurement, kept({"a": 0.5, "b": 7}))
    machine = "2 cores, load 0.4; 2,540 processes/s, sync 0.26 ms, echo 21,000/s, loop 9.53 ms"
    assert first == ["`x.py --a`", "one", "0.5 s", "≤ 1 s", "2026-01-02", machine]
    assert second == ["", "two", "7", "", "", ""]
    assert record.rows("x", measurement, None)[0][2] == "not measured yet"


def test_a_figure_that_a_result_lacks_is_an_error_unless_it_may_lack_it() -> None:
    measurement = Measurement("x.py", 1, (Figure("one", "a"), Figure("two", "b")))
    with pytest.raises(record.RecordError, match="x: its result has no b"):
        record.rows("x", measurement, kept({"a": 1}))
    old = kept({"a": 1}, machine=None, load="5 to 8")
    assert record.rows("x", measurement, old) == [
        ["`x.py`", "one", "1", "", "2026-01-02", "load 5 to 8"]
    ]
    may = Measurement("x.py", 1, (Figure("one", "a"), Figure("two", "b", optional=True)))
    assert len(record.rows("x", may, kept({"a": 1}))) == 1


def test_tables_stand_between_their_marks() -> None:
    page = "before\n" + "".join(
        f"<!-- {name}, by bench/record.py -->\nold\n<!-- end of {name} -->\nafter {name}\n"
        for name in record.TABLES
    )
    new = record.with_tables(page, {})
    assert "old" not in new and new.startswith("before\n") and new.endswith("after peers\n")
    assert record.with_tables(new, {}) == new
    with pytest.raises(record.RecordError, match="no marks"):
        record.with_tables("nothing", {})


def test_what_fails_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    monkeypatch.setattr(record, "BENCH", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "calibrate", lambda folder: MACHINE)
    monkeypatch.setitem(MEASUREMENTS, "x", Measurement("x.py --n 2", 1, (Figure("one", "a"),)))
    script.write_text("raise SystemExit(3)")
    with pytest.raises(record.RecordError, match="status 3"):
        record.record("x", 1)
    assert not (tmp_path / "x.json").exists()
    script.write_text("import sys; print('{\"a\": %d}' % len(sys.argv))")
    record.record("x", 2)
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["runs"] == [{"a": 4}, {"a": 4}] and found["machine"] == MACHINE
    assert found["command"] == "x.py --n 2"
