"""The state of a framework in ZooKeeper: records of any size, written all or none."""

from __future__ import annotations

import random
import zlib

import pytest

from pymesos_core.addresses import parse_zk
from pymesos_core.coordination import RegistryError
from pymesos_core.coordination.zk_store import (
    JOURNAL,
    PART,
    PART_BYTES,
    SHARDS,
    WHOLE,
    ZkStore,
    framework_url,
)
from pymesos_core.exits import RoleError
from pymesos_core.store import MAX_GROUP_BYTES, Change, Records, weight_bytes


class FakeRegistry:
    """Takes batches as ZooKeeper does; the one that `fails` is not written, nor any after it."""

    def __init__(self, fails: int = -1) -> None:
        self.records: dict[tuple[str, str], bytes] = {}
        self.batches = 0
        self.fails = fails

    def load(self) -> Records:
        return dict(self.records)

    def commit(self, changes: list[Change]) -> None:
        assert weight_bytes(changes) <= MAX_GROUP_BYTES
        assert all(change.key for change in changes), "no znode has an empty name"
        assert len({change[:2] for change in changes}) == len(changes)
        if self.fails >= 0 and self.batches >= self.fails:
            raise RegistryError("away")
        self.batches += 1
        for kind, key, value in changes:
            if value is None:
                self.records.pop((kind, key), None)
            else:
                self.records[kind, key] = value


def many(number: int = 4000, size: int = 300, seed: int = 1) -> list[Change]:
    draw = random.Random(seed)
    return [Change("instance", f"j/t/{n}", draw.randbytes(size)) for n in range(number)]


def as_records(changes: list[Change]) -> dict[tuple[str, str], bytes]:
    return {(kind, key): value for kind, key, value in changes if value is not None}


def test_what_is_small_is_written_as_it_is_in_one_batch() -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    store.commit([Change("framework", "", b"id"), Change("job", "j", b"{}")])
    assert registry.batches == 1
    assert set(registry.records.values()) == {b"id", b"{}"}
    assert ZkStore(registry).load() == {("framework", ""): b"id", ("job", "j"): b"{}"}
    store.commit([Change("job", "j", b"1"), Change("job", "j", None)])
    assert ZkStore(registry).load() == {("framework", ""): b"id"}


def test_a_large_record_is_in_parts_and_becomes_small_again() -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    large = random.Random(2).randbytes(5 * PART_BYTES + 1)
    for value in (large, large[: PART_BYTES + 1], b"small", b"\x00parts 7\n", large):
        store.commit([Change("rollouts", "j", value)])
        assert ZkStore(registry).load() == {("rollouts", "j"): value}
    again = ZkStore(registry)  # the next leader knows of the parts
    again.load()
    again.commit([Change("rollouts", "j", None)])
    assert registry.records == {}


def test_what_another_has_put_there_is_left_alone() -> None:
    registry = FakeRegistry()
    registry.records = {("foreign", "x"): b"1", ("", "x"): b"2", ("job.a", "_j"): b"3"}
    assert ZkStore(registry).load() == {("job", "j"): b"3"}


def test_a_kind_is_in_several_folders() -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    store.commit(many(500, 3))
    assert len({kind for kind, _ in registry.records}) == SHARDS


def test_a_write_of_many_batches_is_all_or_none_wherever_it_ends() -> None:
    before, after = many(seed=1), many(seed=2)
    gone = [Change("instance", "j/t/7", None), Change("job", "j", None)]
    whole = FakeRegistry()
    store = ZkStore(whole)
    store.load()
    store.commit([*before, Change("job", "j", b"1")])
    batches = whole.batches
    store.commit([*after, *gone])
    needed = whole.batches - batches
    assert needed > 5
    expected = as_records(after)
    del expected["instance", "j/t/7"]
    assert ZkStore(whole).load() == expected
    assert not any(kind == JOURNAL for kind, _ in whole.records)
    seen = set()
    for fails in range(needed):
        registry = FakeRegistry()
        store = ZkStore(registry)
        store.load()
        store.commit([*before, Change("job", "j", b"1")])
        registry.fails = registry.batches + fails
        with pytest.raises(RegistryError, match="away"):
            store.commit([*after, *gone])
        registry.fails = -1
        found = ZkStore(registry).load()
        assert found in (expected, as_records([*before, Change("job", "j", b"1")]))
        seen.add(found == expected)
        assert not any(kind == JOURNAL for kind, _ in registry.records)
    assert seen == {True, False}


def test_what_a_leader_finishes_may_be_cut_short_again() -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    store.commit([Change("job", "j", b"1")])
    changes = many(size=3)  # a note of one part
    registry.fails = registry.batches + 2
    with pytest.raises(RegistryError):
        store.commit(changes)
    assert (JOURNAL, WHOLE) in registry.records
    registry.fails = registry.batches + 1
    with pytest.raises(RegistryError):
        ZkStore(registry).load()
    registry.fails = -1
    assert ZkStore(registry).load() == {**as_records(changes), ("job", "j"): b"1"}


@pytest.mark.parametrize("number", [b"-1", b"0", b"x", b"", b"9" * 5000])
def test_a_number_of_parts_that_cannot_be_is_said(number: bytes) -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    store.commit([Change("job", "j", bytes(2 * PART_BYTES))])
    (place,) = [place for place in registry.records if place[0] != PART]
    registry.records[place] = registry.records[place].replace(b"parts 2", b"parts " + number)
    with pytest.raises(RoleError, match=r"of the record job/j a part is missing .*from a backup"):
        ZkStore(registry).load()


def test_a_part_that_is_missing_is_said() -> None:
    registry = FakeRegistry()
    store = ZkStore(registry)
    store.load()
    store.commit([Change("job", "j", bytes(2 * PART_BYTES))])
    del registry.records[PART, "job/j/1"]
    with pytest.raises(RoleError, match=r"of the record job/j a part is missing") as raised:
        ZkStore(registry).load()
    assert not isinstance(raised.value, RegistryError), "it would be read again"


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        (b"x", None),
        (b"2", None),
        (b"1", b"not compressed"),
        (b"1", zlib.compress(b"no JSON")),
        (b"1", zlib.compress(b"[[1, 2]]")),
        (b"1", zlib.compress(b"3")),
        (b"1", zlib.compress(b"[" * 100_000)),
        (b"1", zlib.compress(b'[["job.a", "_j", 3]]')),
        (b"1", zlib.compress(b'[["job.a", "_j", {}]]')),
        (b"1", zlib.compress(b'[["job.a", 3, "x"]]')),
        (b"1", zlib.compress(b'[["job.a", ["_j"], "x"]]')),
        (b"1", zlib.compress(b'[[null, "_j", "x"]]')),
        (b"1", zlib.compress(b'[["", "_j", "x"]]')),
        (b"1", zlib.compress(b'[["job.a/x", "_j", "x"]]')),
        (b"1", zlib.compress(b'[["job.a", "\\ud800", "x"]]')),
        (b"9" * 5000, None),
        (b"-1", None),
        (b"1", zlib.compress('[["job", "j", "\u20ac"]]'.encode())),
    ],
)
def test_a_note_that_cannot_be_read_is_said_and_nothing_is_written(
    whole: bytes, part: bytes | None
) -> None:
    registry = FakeRegistry()
    registry.records = {(JOURNAL, WHOLE): whole}
    if part is not None:
        registry.records[JOURNAL, "0"] = part
    before = dict(registry.records)
    with pytest.raises(
        RoleError, match=r"noted in journal cannot be read .*from a backup"
    ) as raised:
        ZkStore(registry).load()
    assert not isinstance(raised.value, RegistryError), "it would be read again"
    assert registry.records == before


def test_how_much_more_is_taken_is_known() -> None:
    store = ZkStore(FakeRegistry(), max_bytes=5000)
    store.load()
    store.commit([Change("job", "j", bytes(2000))])
    assert store.room_bytes == 5000 - 2516
    store.commit([Change("job", "k", bytes(3000))])
    assert store.room_bytes == 5000 - 2516 - 3516
    store.commit([Change("job", "j", None)])
    assert store.room_bytes == 5000 - 3516


def test_a_framework_is_never_at_the_path_of_the_masters() -> None:
    url = parse_zk("zk://h:1/pymesos")
    assert framework_url(url, "binpack").path == "/pymesos/frameworks/binpack"
