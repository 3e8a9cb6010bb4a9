"""The store survives a log that was torn while it was written: it reads up to a whole commit."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from pymesos_core.store import Change, Store, StoreError


def write_history(folder: Path, commits: int) -> list[int]:
    """One record is counted up, another is written anew; the size of the log after each commit."""
    store = Store(folder / "s.sqlite")
    sizes = []
    for number in range(commits):
        store.commit([Change("count", "", b"%d" % number), Change("n", str(number), b"x" * 300)])
        sizes.append((folder / "s.sqlite-wal").stat().st_size)
    for name in ("s.sqlite", "s.sqlite-wal"):  # as they are, not as a clean end leaves them
        shutil.copy(folder / name, folder / f"torn-{name}")
    store.close()
    return sizes


def read(folder: Path) -> int:
    """How many commits are there; each whole."""
    store = Store(folder / "torn-s.sqlite")
    records = store.load()
    store.close()
    last = int(records.get(("count", ""), b"-1"))
    assert {key for kind, key in records if kind == "n"} == {str(n) for n in range(last + 1)}
    return last + 1


def test_what_is_read_at_a_start_is_synced(tmp_path: Path) -> None:
    """A start empties the log of a process that was killed, perhaps as it synced."""
    write_history(tmp_path, 3)
    again = Store(tmp_path / "torn-s.sqlite")
    shutil.copy(tmp_path / "torn-s.sqlite", tmp_path / "without-its-log.sqlite")
    assert Store(tmp_path / "without-its-log.sqlite").load() == again.load() != {}


@pytest.mark.parametrize("seed", range(12))
def test_a_torn_log(tmp_path: Path, seed: int) -> None:
    """The power went: what was not synced is cut off, or is garbage."""
    dice = random.Random(seed)
    sizes = write_history(tmp_path, 20)
    torn_at = dice.randrange(sizes[0], sizes[-1])
    log = tmp_path / "torn-s.sqlite-wal"
    data = bytearray(log.read_bytes())
    if seed % 2:
        data[torn_at:] = dice.randbytes(len(data) - torn_at)
    else:
        del data[torn_at:]
    log.write_bytes(data)
    durable = sum(size <= torn_at for size in sizes)
    assert read(tmp_path) == durable


def test_only_what_must_outlive_the_machine_waits_for_the_disk(tmp_path: Path) -> None:
    normal, full = 1, 2  # PRAGMA synchronous
    store = Store(tmp_path / "s.sqlite")

    def level() -> int:
        return int(store._db.execute("PRAGMA synchronous").fetchone()[0])

    def empties_its_log() -> bool:
        return bool(store._db.execute("PRAGMA wal_autocheckpoint").fetchone()[0])

    assert level() == full
    store.commit_unsynced([Change("k", "a", b"1")])
    assert level() == normal
    assert not empties_its_log(), "that waits for the disk"
    store.commit([Change("k", "b", b"2")])
    assert level() == full
    assert empties_its_log()
    store.commit_unsynced([Change("k", "a", None), Change("k", "c", b"3")])
    other = Store(tmp_path / "s.sqlite")  # as after the end of the process
    assert other.load() == {("k", "b"): b"2", ("k", "c"): b"3"}
    store.close()
    other.close()


def test_a_file_that_is_no_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.sqlite").write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match=r"s\.sqlite"):
        Store(tmp_path / "s.sqlite")


@pytest.mark.parametrize("how", ["removed", "moved", "replaced", "removed with its folder"])
@pytest.mark.parametrize("synced", [True, False])
def test_a_file_that_was_removed_in_use_takes_nothing_more(
    tmp_path: Path, how: str, synced: bool
) -> None:
    """SQLite writes on without an error: what was answered was gone after the next start."""
    folder = tmp_path / "work"
    folder.mkdir()
    path = folder / "s.sqlite"
    store = Store(path)
    write = store.commit if synced else store.commit_unsynced
    write([Change("weight", "a", b"2")])
    if how == "removed with its folder":
        shutil.rmtree(folder)
    else:
        if how == "replaced":
            shutil.copy(path, tmp_path / "other")
        path.rename(tmp_path / "moved")
        if how == "replaced":
            (tmp_path / "other").rename(path)
    with pytest.raises(StoreError, match="it was removed, moved or replaced while it was in use"):
        write([Change("weight", "a", b"3")])
    if how == "moved":  # and back
        (tmp_path / "moved").rename(path)
        write([Change("weight", "a", b"3")])
        assert store.load() == {("weight", "a"): b"3"}
    store.close()
