"""The runner: one event at a time, effects in order; what nobody foresaw stops the role, once."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pymesos_core import crash, runner
from pymesos_core.clock import Now, read_clock
from pymesos_core.runner import Fault, FaultError, Runner, Writes
from pymesos_core.slices import SLICE_S
from pymesos_core.store import Change, StoreError


class Script:
    """A core: an event is a name, its effects are what the script says of it."""

    def __init__(self, **script: Sequence[str]) -> None:
        self.script = script
        self.stepped: list[str] = []
        self.deadline_s: float | None = None
        self.changed = True

    def step(self, now: Now, event: str) -> Sequence[str]:
        self.stepped.append(event)
        if event == "tick":
            self.deadline_s = None
        effects = self.script.get(event, ())
        if "raise" in effects:
            raise ZeroDivisionError(event)
        return effects

    def next_deadline_s(self) -> float | None:
        return self.deadline_s

    def refuse(self, now: Now, event: str, problem: str) -> list[str] | None:
        return None if event == "untold" else [f"refused {event}: {problem}"]


class Rig:
    def __init__(
        self, core: Script, commit: Callable[[list[Change]], None] = lambda changes: None
    ) -> None:
        self.core = core
        self.done: list[str] = []
        self.faults: list[Fault] = []
        self.runner: Runner[str, str] = Runner(
            core,
            self._do,
            "tick",
            self._on_fault,
            Writes(commit, lambda token, error: f"written {token}"),
        )

    def _do(self, effect: str) -> None:
        if effect == "fail":
            raise KeyError(effect)
        self.done.append(effect)
        if effect.startswith("feed "):
            self.runner.feed(effect.removeprefix("feed "))
        if effect.startswith("write "):
            self.runner.commit(int(effect.removeprefix("write ")), (Change("k", effect, b""),))

    def _on_fault(self, fault: Fault) -> None:
        self.faults.append(fault)
        self.runner.commit(99, (Change("k", "last", b""),))


async def test_others_come_between_what_was_written_together() -> None:
    """A thousand answers may have waited for one write."""
    now_s = 0.0

    def clock() -> Now:
        nonlocal now_s
        now_s += SLICE_S  # whatever is done takes a slice
        return Now(now_s, now_s)

    core = Script(a=["write 1", "write 2", "write 3"])
    written = Writes(lambda changes: None, lambda token, error: f"written {token}")

    def do(effect: str) -> None:
        slow.commit(int(effect.removeprefix("write ")), (Change("k", effect, b""),))

    slow: Runner[str, str] = Runner(core, do, "tick", print, written, clock)
    slow.feed("a")
    running = asyncio.ensure_future(slow.run())
    while "written 1" not in core.stepped:
        await asyncio.sleep(0)
    slow.feed("other")
    await slow.flushed()
    running.cancel()
    assert core.stepped == ["a", "written 1", "other", "written 2", "written 3"]


async def test_a_core_that_cannot_say_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a core would never hear a tick again."""
    core = Script(a=["1"])
    monkeypatch.setattr(core, "next_deadline_s", lambda: 1 / 0)
    rig = Rig(core)
    rig.runner.feed("a")
    assert rig.done == ["1"] and rig.runner.over
    assert [type(fault.error) for fault in rig.faults] == [ZeroDivisionError]


async def test_what_an_effect_brings_waits_for_the_end_of_the_step() -> None:
    rig = Rig(Script(a=["1", "feed b", "2", "feed c"], b=["3", "feed d"], c=["4"]))
    rig.runner.feed("a")
    assert rig.core.stepped == ["a", "b", "c", "d"]
    assert rig.done == ["1", "feed b", "2", "feed c", "3", "feed d", "4"]


async def test_a_step_that_fails_stops_the_role() -> None:
    rig = Rig(Script(a=["feed bad", "feed later"], bad=["raise"]))
    rig.core.deadline_s = 0.0
    rig.runner.feed("a")
    rig.runner.feed("more")
    assert rig.core.stepped == ["a", "bad"], "nothing is taken in after it"
    (fault,) = rig.faults
    assert fault.event == "bad" and fault.effect is None
    with pytest.raises(FaultError, match="the step of str failed: ZeroDivisionError: bad"):
        await rig.runner.run()


async def test_an_effect_that_fails_stops_the_role_where_it_is() -> None:
    rig = Rig(Script(a=["1", "fail", "2"]))
    rig.runner.feed("a")
    assert rig.done == ["1"]
    (fault,) = rig.faults
    assert (fault.event, fault.effect) == ("a", "fail")
    with pytest.raises(FaultError, match="str after str failed: KeyError"):
        await rig.runner.run()


async def test_what_was_asked_for_before_a_fault_is_written_and_the_last_word_too() -> None:
    written: list[str] = []
    core = Script(a=["write 1"], bad=["write 2", "fail"])
    rig = Rig(core, lambda changes: written.extend(change.key for change in changes))
    rig.runner.feed("a")
    rig.runner.feed("bad")
    with pytest.raises(FaultError):
        await rig.runner.run()
    assert written == ["write 1", "write 2", "last"]
    assert rig.core.stepped == ["a", "bad"], "it is told of no write any more"


async def test_after_a_failed_write_there_is_no_last_word() -> None:
    written: list[str] = []

    def commit(changes: list[Change]) -> None:
        if any(change.key == "write 1" for change in changes):
            raise StoreError("full")
        written.extend(change.key for change in changes)

    rig = Rig(Script(a=["write 1"], **{"written 1": ["raise"]}), commit)
    rig.runner.feed("a")
    with pytest.raises(FaultError):
        await rig.runner.run()
    assert written == []


async def test_what_fails_before_anything_has_changed_is_refused() -> None:
    rig = Rig(Script(bad=["raise"], untold=["raise"]))
    rig.core.changed = False
    rig.runner.feed("bad")
    rig.runner.feed("next")
    assert rig.core.stepped == ["bad", "next"]
    (refused,) = rig.done
    assert refused.startswith("refused bad: ") and "ZeroDivisionError" in refused
    assert not rig.faults
    rig.runner.feed("untold")
    assert rig.faults, "nobody can be told, so the role stops"


async def test_deadlines_are_met_and_none_after_the_end() -> None:
    rig = Rig(Script())
    loop = asyncio.get_running_loop()
    rig.core.deadline_s = loop.time() + 60
    rig.runner.feed("a")
    rig.core.deadline_s = loop.time() + 0.001
    rig.runner.feed("b")
    while "tick" not in rig.core.stepped:
        await asyncio.sleep(0.001)
    assert rig.core.stepped == ["a", "b", "tick"]
    rig.core.deadline_s = loop.time() + 0.001
    rig.runner.feed("c")
    rig.runner.stop()
    await asyncio.sleep(0.005)
    assert rig.core.stepped == ["a", "b", "tick", "c"]


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_WAITING", 3)
    rig = Rig(Script(a=["feed b"] * 5))
    rig.runner.feed("a")
    (fault,) = rig.faults
    assert isinstance(fault.error, OverflowError)


async def test_writes_are_told_in_order_and_together() -> None:
    batches: list[int] = []
    rig = Rig(Script(), lambda changes: batches.append(len(changes)))
    running = asyncio.create_task(rig.runner.run())
    for token in range(10):
        rig.runner.commit(token, (Change("k", str(token), b""),))
    await rig.runner.flushed()
    running.cancel()
    assert rig.core.stepped == [f"written {n}" for n in range(10)]
    assert batches == [10]


def fault(event: object = "event") -> Fault:
    try:
        raise ValueError("\x1b[2J wrong")
    except ValueError as error:
        return Fault(error, event)


def stories() -> Any:
    yield "framework f", {"name": "f"}
    raise RuntimeError("half a step")


async def test_who_is_idle_writes_in_the_loop_what_is_not_synced() -> None:
    """All else is written in a thread, and so is what comes soon after another."""
    wrote: list[tuple[str, bool]] = []
    now_s = [0.0]

    def commit(kind: str) -> Callable[[list[Change]], None]:
        def write(changes: list[Change]) -> None:
            wrote.append((kind, threading.current_thread() is threading.main_thread()))
            if changes[0].key == "bad":
                raise StoreError("full")

        return write

    writes = Writes(
        commit("synced"),
        lambda token, error: f"{token} {error}",
        commit("unsynced"),
        goes_on=True,
    )
    core = Script()
    one: Runner[str, str] = Runner(
        *(core, lambda _: None, "tick", lambda _: None, writes), lambda: Now(now_s[0], 0.0)
    )
    running = asyncio.create_task(one.run())
    asked = (("a", False), ("bad", False), ("b", True), ("c", False), ("d", False))
    for token, (key, synced) in enumerate(asked):
        one.commit(token, (Change("k", key, b""),), synced=synced)
        await one.flushed()
        now_s[0] += 0.0 if key == "c" else 2 * runner.IDLE_S
    in_loop, in_thread = ("unsynced", True), ("unsynced", False)
    assert wrote == [in_loop, in_loop, ("synced", False), in_loop, in_thread]
    assert core.stepped == ["0 None", "1 full", "2 None", "3 None", "4 None"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_crash_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What happened, to whom, and where; for its owner only, and harmless in a terminal."""
    now = read_clock()
    path = crash.report("the leader", tmp_path / "new", fault("an event"), stories(), now)
    assert path is not None and stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    for part in (
        "the leader",
        "'an event'",
        "framework f: {'name': 'f'}",
        "half a step",
        "Traceback",
    ):
        assert part in text
    assert "\x1b" not in text and "\\x1b[2J wrong" in text
    assert str(path) in caplog.text and "Traceback" in caplog.text
    assert "an event" not in caplog.text and "framework f" not in caplog.text, "tasks have secrets"
    assert "\x1b" not in caplog.text


def test_few_crash_files_are_kept(tmp_path: Path) -> None:
    """A role that crashes again and again does not fill its disk."""
    for number in range(30):
        crash.report("it", tmp_path, fault("x" * 10**6), (), Now(0, number * 60.0))
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == crash.KEPT
    assert all(path.stat().st_size < 10**6 for path in kept)
    assert "1970-01-01T002900Z" in kept[-1].name


def test_a_crash_without_a_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert crash.report("it", tmp_path / "file" / "x", fault(), (), read_clock()) is None


async def test_what_was_asked_for_is_written_though_it_is_cancelled() -> None:
    """Again and again: what is asked for counts, since its asker does not wait."""
    written: list[str] = []
    go = threading.Event()

    def commit(changes: list[Change]) -> None:
        go.wait(10)
        written.extend(change.key for change in changes)

    rig = Rig(Script(), commit)
    running = asyncio.create_task(rig.runner.run())
    rig.runner.commit(1, (Change("k", "1", b""),))
    await asyncio.sleep(0.01)
    rig.runner.commit(2, (Change("k", "2", b""),))
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0)
    go.set()
    await asyncio.wait({running})
    assert running.cancelled() and written == ["1", "2"]


@dataclass
class Thing:
    """Whose text takes long, if all of it is made."""

    name: str
    parts: dict[int, Thing]
    looked_at: ClassVar[int] = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "name":
            Thing.looked_at += 1
        return super().__getattribute__(name)


def test_of_a_large_object_no_more_is_looked_at_than_is_shown() -> None:
    """The whole role waits while a crash file is made, and its record for the next leader."""
    large = Thing("all", {n: Thing(f"part {n}", {}) for n in range(100_000)})
    large.parts[0].parts[0] = large
    text = crash.shown(large, 1000)
    assert text.startswith("Thing(name='all', parts={0: Thing(name='part 0', parts={0: …})")
    assert 900 <= len(text) < 1200 and Thing.looked_at < 100
    assert len(crash.shown("x" * 10**6, 1000)) < 1100
    assert crash.shown(("a", {1: b"b"}, None)) == "['a', {1: b'b'}, None]"
