"""Tables fit the terminal."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable

import pytest

from pymesos_cli.finding import about_framework
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.output import GAP, age, fit, printable
from pymesos_cli.terminal import OutputError, SafeStream, Screen
from pymesos_core.json_dialect import iso, to_json
from pymesos_proto.v1 import jobs_pb2, operator_pb2, types_pb2

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


def written(encoding: str, write: Callable[[SafeStream], object]) -> bytes:
    """What reaches a terminal of an encoding."""
    raw = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    write(SafeStream(raw, Screen()))
    buffer = raw.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp437", "koi8-r", "shift_jis"])
@pytest.mark.parametrize(
    "text", ["…×é漢🚀", "\ud800", "".join(map(chr, range(0x250))), "\u202egnp"]
)
def test_whatever_is_printed_can_be_written(encoding: str, text: str) -> None:
    said = written(encoding, lambda out: print(text, file=out)).decode(encoding)
    assert all(c.isprintable() or c in "\n\t" for c in said)
    assert "\x1b" not in said and "\u202e" not in said


def test_what_an_encoding_lacks_is_written_plainly() -> None:
    assert written("ascii", lambda out: print("a … b × é", file=out)) == b"a ... b x \\u00e9\n"


def test_text_begins_a_line_after_raw_output() -> None:
    def both(out: SafeStream) -> None:
        out.write_raw(b"\x1b[1mraw\xff")
        print("said", file=out)
        print("more", file=out)

    assert written("utf-8", both) == b"\x1b[1mraw\xff\nsaid\nmore\n"


@pytest.mark.parametrize(("number", "gone"), [(errno.EPIPE, True), (errno.ENOSPC, False)])
def test_what_cannot_be_written_is_one_kind_of_error(number: int, gone: bool) -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=os.strerror(number)) as caught:
        print("x", file=SafeStream(Broken(), Screen()))
    assert caught.value.reader_has_gone == gone


def test_json_has_no_control_characters_and_only_numbers_that_json_has() -> None:
    value = {"a\x9b": ["\u202e", "é…", float("nan"), float("inf"), 1.5]}
    text = to_json(value, 2)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == {"a\x9b": ["\u202e", "é…", None, None, 1.5]}
    assert to_json(value, None, ascii_only=True).isascii()


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), -1e300, 1e300, 2.0**62])
def test_times_that_make_no_sense_are_left_out(time_s: float) -> None:
    assert iso(time_s) is None
    assert isinstance(age(time_s), str)


def test_columns_are_left_out_before_the_first_is_cut() -> None:
    assert fit(HEADERS, ROWS, (), 70) == [20, 40, 0]
    assert fit(HEADERS, ROWS, (), 10) == [20, 0, 0]
    assert fit(("A", "B"), [("漢" * 4, "b")], (), 80) == [8, 1], "what is wide counts twice"


def test_what_others_call_themselves_makes_up_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a framework, or what an executor says, forged lines of prompts and progress."""
    framework = operator_pb2.FrameworkView(info=types_pb2.FrameworkInfo(name="a\njob done\x1b[2K"))
    assert about_framework(framework).startswith("a?job done?[2K, ")
    view = jobs_pb2.JobView(job_id="j-1", state="running")
    view.instances.add(task_name="w", state=types_pb2.TASK_FAILED, explanation="x\n5 finished")
    Progress().update(view)
    assert capsys.readouterr().out == "w failed: x?5 finished\n"


@pytest.mark.parametrize("here", [False, True])
def test_who_waits_is_told_once_how_to_ask_the_master(
    here: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The framework does not know what the master withholds by a quota."""
    progress = Progress(here=here)
    for why in ("needs 2 cpus", "needs 2 cpus; none is offered"):
        view = jobs_pb2.JobView(job_id="j-1", framework_id="F", state="running")
        view.instances.add(task_name="w", name="w.0", explanation=why, cause="NOT_OFFERED")
        progress.update(view)
    what = "framework F" if here else "task j-1.w.0"
    assert capsys.readouterr().out.splitlines() == [
        "w waits: needs 2 cpus",
        f"`pymesos-cli explain {what}` says what the master withholds",
        "w waits: needs 2 cpus; none is offered",
    ]
