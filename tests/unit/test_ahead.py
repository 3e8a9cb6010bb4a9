"""What an instance that stands by parses, before it leads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

import pytest

from pymesos_binpack import ahead
from pymesos_binpack.ahead import Ahead
from pymesos_binpack.jobfiles.parsing import parse_stored
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.loading import Parse, Row, load_job
from pymesos_binpack.restoring import restore
from pymesos_binpack.specs import Job
from pymesos_core.coordination import RegistryError

Place = tuple[str, str]


def document(name: str, command: str = "on") -> str:
    return json.dumps({"name": name, "tasks": [{"name": "t", "command": command}]})


def record(of: str) -> bytes:
    said = {"document": of, "submitted_at_s": 1.0, "request_id": "r", "stopping": False}
    return json.dumps(said).encode()


class AllRecords:
    """What is written of all kinds."""

    def __init__(self, there: dict[Place, bytes]) -> None:
        self.there = there
        self.times = 0

    def places(self, wanted: Callable[[str], bool]) -> list[Place]:
        self.times += 1
        assert wanted("framework.0")
        return [(f"{kind}.3", f"_{key}") for kind, key in self.there] + [("part", "job/a-1/1")]

    def read(self, places: Iterable[Place]) -> dict[Place, bytes]:
        return {(f, k): self.there.get((f[:-2], k[1:]), b"x") for f, k in places}


class Records:
    """What is written, and how often it was looked at."""

    def __init__(self, jobs: Mapping[str, bytes]) -> None:
        self.jobs = jobs
        self.times = 0
        self.failure: RegistryError | None = None
        self.gone: set[str] = set()

    def places(self, wanted: Callable[[str], bool]) -> list[Place]:
        self.times += 1
        if self.failure is not None:
            raise self.failure
        kinds = [kind for kind in ("job.3", "instance.3", "part", "journal") if wanted(kind)]
        assert kinds == ["job.3"]
        return [("job.3", key) for key in self.jobs]

    def read(self, places: Iterable[Place]) -> dict[Place, bytes]:
        return {place: self.jobs[place[1]] for place in places if place[1] not in self.gone}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that were parsed, in their order."""
    out: list[str] = []

    def parse(text: str) -> Job:
        out.append(text)
        return parse_stored(text)

    monkeypatch.setattr(ahead, "parse_stored", parse)
    monkeypatch.setattr(ahead, "PAUSE_S", 0.0)
    return out


async def look(kept: Ahead, records: Records, times: int = 1) -> None:
    """Have it look so many times."""
    await until_looked(kept.follow(records), records, times)


async def until_looked(
    looking: Coroutine[Any, Any, None], records: Records | AllRecords, times: int = 1
) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(looking)
        until = records.times + times + 1
        while records.times < until:
            await asyncio.sleep(0.001)
        task.cancel()


def made_ahead() -> Ahead:
    return Ahead(lambda: 0.0)


async def test_jobs_are_parsed_before_they_are_taken_over(parsed: list[str]) -> None:
    a, b = document("a"), document("b")
    kept = made_ahead()
    await look(kept, Records({"a-1": record(a), "b-1": record(b)}), times=3)
    assert parsed == [a, b]  # once, however often it looks
    stored = {("job", "a-1"): record(a), ("job", "b-1"): record(b)}
    restored = restore(stored, kept.load)
    assert {job.job_id: job.job.document for job in restored.jobs} == {"a-1": a, "b-1": b}
    assert len(parsed) == 2


async def test_one_that_has_changed_since_is_parsed_as_it_is_now(parsed: list[str]) -> None:
    kept = made_ahead()
    await look(kept, Records({"a-1": record(document("a"))}))
    now = document("a", "off")
    (job,) = restore({("job", "a-1"): record(now)}, kept.load).jobs
    assert job.job.tasks[0].command == "off"
    assert parsed == [document("a"), now]


async def test_what_is_not_there_any_more_is_forgotten(parsed: list[str]) -> None:
    kept, records = (
        made_ahead(),
        Records({"a-1": record(document("a")), "b-1": record(document("b"))}),
    )
    await look(kept, records)
    records.gone = {"a-1"}
    await look(kept, records)
    kept.parse(document("b"))
    assert len(parsed) == 2
    kept.parse(document("a"))
    assert len(parsed) == 3
    kept.forget()
    kept.parse(document("b"))
    assert len(parsed) == 4


async def test_jobs_are_made_before_they_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def load(job_id: str, rows: Iterable[Row], parse: Parse) -> JobState:
        made.append(job_id)
        return load_job(job_id, rows, parse)

    monkeypatch.setattr(ahead, "load_job", load)
    monkeypatch.setattr(ahead, "KEEP_PAUSE_S", 0.0)
    there = {("job", f"{name}-1"): record(document(name)) for name in "abc"}
    there |= {("instance", "b-1/t/0"): b"{}", ("job", "d-1"): b"no job", ("framework", ""): b"f"}
    kept, records = made_ahead(), AllRecords(there)

    async def look() -> None:
        await until_looked(kept.keep(records), records)

    await look()
    assert made == ["a-1", "b-1", "c-1", *["d-1"] * made.count("d-1")]
    there["instance", "b-1/t/0"] = b'{"attempts": 7}'
    made.clear()
    await look()
    assert [job_id for job_id in made if job_id != "d-1"] == ["b-1"]
    there["instance", "c-1/t/0"] = b'{"attempts": 8}'  # written since, and not read ahead
    made.clear()
    restored = restore(there, kept.load)
    assert made == ["c-1", "d-1"] and restored.quarantined.keys() == {"d-1"}
    attempts = {job.job_id: job.instances[0].saved.attempts for job in restored.jobs}
    assert attempts == {"a-1": 0, "b-1": 7, "c-1": 8}
    restored = restore(there, kept.load)  # who led has changed those
    assert len(made) == 6


async def test_what_cannot_be_read_is_left_to_the_takeover(parsed: list[str]) -> None:
    wrong = document("a").replace("tasks", "taks")
    values = [b"\x00parts 2\n{", b"[]", b'{"document": 3}', record(wrong), record(document("b"))]
    records = Records({f"j-{number}": value for number, value in enumerate(values)})
    records.failure = RegistryError("the connection to it broke")
    kept = made_ahead()
    await look(kept, records)
    assert parsed == []
    records.failure = None
    await look(kept, records)
    assert set(parsed) == {wrong, document("b")}
    parsed.clear()
    assert kept.parse(document("b")).name == "b" and parsed == []
