"""A framework's state moves to ZooKeeper: what is left behind, and what room that takes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack.answers import SubmitError
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.moving import Opened, _bring, move
from pymesos_binpack.placement.packing import read_policy
from pymesos_binpack.shell import Binpack
from pymesos_binpack.states import (
    MOVED,
    STATE_FILE,
    check_not_moved,
    departure,
    epoch_in,
    jobs_in,
)
from pymesos_core.coordination.standalone import EPOCH
from pymesos_core.exits import RoleError
from pymesos_core.store import RECORD_BYTES, Change, Records, Store
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import (
    Driver,
)


def test_a_move_leaves_a_mark_and_nothing_else() -> None:
    records = {("epoch", ""): b"3", ("job", "j"): b"{}", ("framework", ""): b"f"}
    assert epoch_in(records, "here") == 3
    assert set(jobs_in(records)) == {("job", "j"), ("framework", "")}
    left = dict(records)
    for kind, key, value in departure(records, "zk://h/p"):
        if value is None:
            del left[kind, key]
        else:
            left[kind, key] = value
    assert jobs_in(left) == {}
    with pytest.raises(RoleError, match="zk://h/p"):
        check_not_moved(left)


async def test_the_mark_of_a_move_says_where_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        Path(name).mkdir()
    with contextlib.closing(Store(Path("old") / STATE_FILE)) as store:
        store.commit([Change("job", "j", b"{}")])
    assert await move(Path("old"), Path("new"), "binpack") == 1
    with contextlib.closing(Store(Path("old") / STATE_FILE)) as store:
        assert store.load()[MOVED] == str(tmp_path / "new").encode()


def test_what_says_where_the_state_is_is_no_job() -> None:
    records = {("epoch", ""): b"3", ("moved", ""): b"x", ("framework", ""): b"f"}
    core = BinpackCore(read_policy("default"), records)
    assert (core.framework_id, dict(core.jobs), dict(core.quarantined)) == ("f", {}, {})


class FullStore:
    def load(self) -> Records:
        return {}

    def commit(self, changes: list[Change]) -> None:
        raise AssertionError

    room_bytes: int | None = 100


async def test_a_job_for_which_there_is_no_room_is_refused() -> None:
    core = BinpackCore(read_policy("default"), {})
    driver = cast(type[Driver], lambda *_, **__: None)
    binpack = Binpack(core, FullStore(), pb.FrameworkInfo(name="f"), "h:1", driver=driver)
    job = parse_job({"name": "j", "tasks": [{"name": "t", "kind": "batch", "command": "true"}]})
    with pytest.raises(SubmitError, match="room for 100 bytes more, and this takes about "):
        await binpack.submit(job, "r")


def test_a_move_asks_for_the_room_that_the_records_take_there() -> None:
    jobs = {("job", str(number)): b"{}" for number in range(10)}
    size = 10 * (len("job") + 1 + 2 + RECORD_BYTES)
    done: list[Change] = []
    store: Any = SimpleNamespace(room_bytes=size - 1, commit=done.extend)
    said = f"the state has {size} bytes, and zk://h/p has room for {size - 1}: end jobs"
    with pytest.raises(RoleError, match=said):
        _bring(Opened("zk://h/p", store, {}, 1), jobs, 2)
    assert not done
    store.room_bytes = size
    _bring(Opened("zk://h/p", store, {}, 1), jobs, 2)
    assert len([change for change in done if change.kind == "job"]) == 10


def test_a_move_that_was_cut_short_asks_for_no_room_again() -> None:
    written: list[list[Change]] = []
    store: Any = SimpleNamespace(room_bytes=0, commit=written.append)
    jobs = {("job", "j"): b"{}"}
    _bring(Opened("zk://h/p", store, {**jobs, MOVED: b"/s"}, 1), jobs, 2)
    assert written == [[Change(*MOVED, None), Change(*EPOCH, b"2")]]
