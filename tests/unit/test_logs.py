"""Logs that rotate: no line is lost or cut, whoever reads meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_agent.files.logfile import RotatingLog
from pymesos_agent.files.logs import LogPlace, LogReader
from pymesos_agent.files.sandbox import SandboxError
from pymesos_agent.runtimes.docker.output import KNOWN_BYTES, Copied


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def everything(reader: LogReader) -> bytes:
    data = b""
    while part := reader.read():
        data += part
    return data


def test_files_are_bounded_and_no_line_is_cut(tmp_path: Path, folder: int) -> None:
    log = RotatingLog(folder, "stdout", 100, 3, None)
    for number in range(50):
        log.write(f"this is line {number:03}\n".encode())
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["stdout", "stdout.1", "stdout.2"]
    text = b"".join((tmp_path / n).read_bytes() for n in ("stdout.2", "stdout.1", "stdout"))
    lines = text.decode().splitlines()
    assert lines == [f"this is line {n:03}" for n in range(50 - len(lines), 50)]
    assert all((tmp_path / n).stat().st_size <= 117 for n in files)


def test_a_line_longer_than_a_file_is_cut_rather_than_grow(tmp_path: Path, folder: int) -> None:
    log = RotatingLog(folder, "stdout", 100, 10, None)
    log.write(b"x" * 1000)
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) == 1000
    assert max(p.stat().st_size for p in tmp_path.iterdir()) <= 200


def test_it_goes_on_where_an_earlier_one_ended(tmp_path: Path, folder: int) -> None:
    RotatingLog(folder, "stdout", 100, 2, None).write(b"one\n")
    RotatingLog(folder, "stdout", 100, 2, None).write(b"two\n")
    assert (tmp_path / "stdout").read_bytes() == b"one\ntwo\n"


def test_a_link_that_the_task_made_is_not_written_through(tmp_path: Path, folder: int) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    log = RotatingLog(folder, "stdout", 10, 2, None)
    (tmp_path / "stdout").unlink()
    (tmp_path / "stdout").symlink_to(target)
    for _ in range(5):
        log.write(b"0123456789\n")
    assert target.read_text() == "untouched"


def test_a_full_disk_loses_lines_and_says_how_many(
    folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RotatingLog(folder, "stdout", 1000, 2, None)
    with monkeypatch.context() as full:

        def no_space(*_: object) -> int:
            raise OSError(28, "No space left on device")

        full.setattr(os, "write", no_space)
        log.write(b"lost\n")
        log.write(b"lost, too\n")
    log.write(b"kept\n")
    text = (tmp_path / "stdout").read_text()
    assert text == "\n[pymesos: 15 bytes are lost; the disk was full]\nkept\n"


def test_a_reader_misses_nothing_while_files_rotate(tmp_path: Path, folder: int) -> None:
    log = RotatingLog(folder, "stdout", 100, 4, None)
    reader = LogReader(tmp_path, "stdout", None)
    seen, written = b"", b""
    for number in range(300):
        line = f"line {number}\n".encode()
        log.write(line)
        written += line
        if number % 7 == 0:
            seen += everything(reader)
    assert seen + everything(reader) == written
    reader.close()


def test_a_reader_of_nothing_waits(tmp_path: Path, folder: int) -> None:
    reader = LogReader(tmp_path, "stdout", 5)
    assert reader.read() == b""
    RotatingLog(folder, "stdout", 100, 2, None).write(b"now\n")
    assert everything(reader) == b"now\n"
    with pytest.raises(SandboxError, match="removed"):
        LogReader(tmp_path / "none", "stdout", None)


@given(
    lines=st.lists(st.integers(0, 60).map(lambda n: "x" * n), max_size=40),
    tail=st.integers(0, 45),
    ends=st.booleans(),
)
def test_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], tail: int, ends: bool
) -> None:
    place = tmp_path_factory.mktemp("log")
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
    log = RotatingLog(descriptor, "stdout", 100, 100, None)
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    log.write(text.encode())
    reader = LogReader(place, "stdout", tail)
    expected = text.splitlines(keepends=True)[-tail:] if tail else []
    assert everything(reader).decode() == "".join(expected)
    reader.close()
    log.close()
    os.close(descriptor)


@given(
    before=st.lists(st.integers(1, 60), max_size=10),
    after=st.lists(st.integers(1, 60), max_size=10),
)
def test_a_reader_goes_on_where_another_has_ended(
    tmp_path_factory: pytest.TempPathFactory, before: list[int], after: list[int]
) -> None:
    """Whatever is rotated meanwhile, as long as the file is kept."""
    place = tmp_path_factory.mktemp("log")
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
    log = RotatingLog(descriptor, "stdout", 100, 100, None)
    for size in before:
        log.write(b"a" * size + b"\n")
    reader = LogReader(place, "stdout", 1)
    everything(reader)
    reached = reader.place
    reader.close()
    for size in after:
        log.write(b"b" * size + b"\n")
    reader = LogReader(place, "stdout", 1, reached)
    assert everything(reader) == b"".join(b"b" * size + b"\n" for size in after)
    reader.close()
    log.close()
    os.close(descriptor)


def test_where_the_file_of_a_place_is_gone_it_goes_on_with_the_oldest(
    tmp_path: Path, folder: int
) -> None:
    log = RotatingLog(folder, "stdout", 10, 2, None)
    log.write(b"the first line\n")
    reader = LogReader(tmp_path, "stdout", None)
    assert everything(reader) == b"the first line\n"
    held = reader.place  # its inode is not another's meanwhile
    for line in (b"the second line\n", b"the third line\n", b"the fourth line\n"):
        log.write(line)
    oldest = (tmp_path / "stdout.1").read_bytes() + (tmp_path / "stdout").read_bytes()
    assert b"first" not in oldest and oldest.endswith(b"the fourth line\n")
    for place in (held, LogPlace(), LogPlace(2**63, 5)):
        kept = LogReader(tmp_path, "stdout", 0, place)
        assert everything(kept) == oldest
        kept.close()
    reader.close()


@given(st.data())
def test_what_an_engine_says_late_is_kept(data: st.DataObject) -> None:
    """A stream that follows may end early; by then the engine may have rotated the start away."""
    lines = data.draw(st.lists(st.binary(min_size=1, max_size=3000), max_size=20))
    text = b"".join(b"%d %s" % pair for pair in enumerate(lines))
    followed = data.draw(st.integers(0, len(text)))
    start = data.draw(st.integers(0, max(0, followed - KNOWN_BYTES)))
    sizes = data.draw(st.integers(1, 5000))
    with tempfile.TemporaryDirectory() as place:
        folder = os.open(place, os.O_PATH | os.O_DIRECTORY)
        log = RotatingLog(folder, "stdout", 10**6, 2, None)
        copied = Copied(log)
        for at in range(0, followed, sizes):
            copied.write(text[at : min(followed, at + sizes)])
        copied.complete(text[at : at + sizes] for at in range(start, len(text), sizes))
        log.close()
        os.close(folder)
        assert (Path(place) / "stdout").read_bytes() == text


@pytest.mark.parametrize("planted", ["fifo", "link", "hard link"])
def test_what_a_task_puts_in_the_place_of_its_log_is_not_opened(
    tmp_path: Path, folder: int, planted: str
) -> None:
    """When another supervisor goes on with it: a pipe would hold that up, a link is another's."""
    others = tmp_path / "others"
    others.write_bytes(b"theirs")
    if planted == "fifo":
        os.mkfifo(tmp_path / "stdout")
    elif planted == "link":
        (tmp_path / "stdout").symlink_to(others)
    else:
        (tmp_path / "stdout").hardlink_to(others)
    log = RotatingLog(folder, "stdout", 100, 3, (65533, 65533) if os.geteuid() == 0 else None)
    log.write(b"ours\n")
    log.close()
    assert (tmp_path / "stdout").read_bytes() == b"ours\n"
    assert others.read_bytes() == b"theirs" and others.stat().st_uid == os.geteuid()
