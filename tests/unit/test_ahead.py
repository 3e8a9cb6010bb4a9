"""What an instance that stands by parses, before it leads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping

import pytest

from pymesos_binpack import ahead
from pymesos_binpack.ahead import Ahead
from pymesos_binpack.jobfiles.parsing import parse_stored
from pymesos_binpack.restoring import restore
from pymesos_binpack.specs import Job
from pymesos_core.coordination import RegistryError

Place = tuple[str, str]


def document(name: str, command: str = "on") -> str:
    return json.dumps({"name": name, "tasks": [{"name": "t", "command": command}]})


def record(of: str) -> bytes:
    said = {"document": of, "submitted_at_s": 1.0, "request_id": "r", "stopping": False}
    return json.dumps(said).encode()


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
    async with asyncio.TaskGroup() as group:
        task = group.create_task(kept.follow(records))
        until = records.times + times + 1
        while records.times < until:
            await asyncio.sleep(0.001)
        task.cancel()


def made() -> Ahead:
    return Ahead(lambda: 0.0)


async def test_jobs_are_parsed_before_they_are_taken_over(parsed: list[str]) -> None:
    a, b = document("a"), document("b")
    kept = made()
    await look(kept, Records({"a-1": record(a), "b-1": record(b)}), times=3)
    assert parsed == [a, b]  # once, however often it looks
    stored = {("job", "a-1"): record(a), ("job", "b-1"): record(b)}
    restored = restore(stored, kept.parse)
    assert {job.job_id: job.job.document for job in restored.jobs} == {"a-1": a, "b-1": b}
    assert len(parsed) == 2


async def test_one_that_has_changed_since_is_parsed_as_it_is_now(parsed: list[str]) -> None:
    kept = made()
    await look(kept, Records({"a-1": record(document("a"))}))
    now = document("a", "off")
    (job,) = restore({("job", "a-1"): record(now)}, kept.parse).jobs
    assert job.job.tasks[0].command == "off"
    assert parsed == [document("a"), now]


async def test_what_is_not_there_any_more_is_forgotten(parsed: list[str]) -> None:
    kept, records = made(), Records({"a-1": record(document("a")), "b-1": record(document("b"))})
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


async def test_what_cannot_be_read_is_left_to_the_takeover(parsed: list[str]) -> None:
    wrong = document("a").replace("tasks", "taks")
    values = [b"\x00parts 2\n{", b"[]", b'{"document": 3}', record(wrong), record(document("b"))]
    records = Records({f"j-{number}": value for number, value in enumerate(values)})
    records.failure = RegistryError("the connection to it broke")
    kept = made()
    await look(kept, records)
    assert parsed == []
    records.failure = None
    await look(kept, records)
    assert set(parsed) == {wrong, document("b")}
    parsed.clear()
    assert kept.parse(document("b")).name == "b" and parsed == []
