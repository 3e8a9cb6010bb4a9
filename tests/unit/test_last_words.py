"""The last lines of stderr of tasks that failed, as `jobs`, `tasks` and `explain` show them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_cli.errors import CliError
from pymesos_cli.jobs.instances import has_failed
from pymesos_cli.tasks import last_words as words
from pymesos_proto.v1 import jobs_pb2, operator_pb2, sandbox_pb2, types_pb2


def task(name: str, finished_at_s: float = 1.0, state: Any = types_pb2.TASK_FAILED) -> Any:
    info = types_pb2.TaskInfo(task_id=name)
    return operator_pb2.TaskView(task_info=info, state=state, finished_at_s=finished_at_s)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks whose agents were asked: each has what its name says."""
    out: list[str] = []

    @asynccontextmanager
    async def sandbox_of(_: Any, view: operator_pb2.TaskView) -> AsyncIterator[Any]:
        name = view.task_info.task_id

        async def read(request: sandbox_pb2.ReadLogRequest, **_: Any) -> AsyncIterator[Any]:
            assert (request.stderr, request.tail_lines, request.follow) == (True, 3, False)
            out.append(name)
            if name == "denied":
                raise CliError("you may not see logs")
            if name == "away":
                await asyncio.Event().wait()
            for part in (b"one\n", b"\n tw\xff\x1b[1mo\n" if name == "odd" else b"x" * 9000):
                yield SimpleNamespace(data=part)

        yield SimpleNamespace(ReadLog=read), ()

    monkeypatch.setattr(words, "sandbox_of", sandbox_of)
    monkeypatch.setattr(words, "TIMEOUT_S", 0.05)
    return out


OPEN = cast(Any, SimpleNamespace(credentials=None))


async def said_by(*views: Any) -> dict[str, list[str]]:
    return await words.last_words(OPEN, views)


async def test_those_that_failed_are_asked_and_nobody_is_waited_for(asked: list[str]) -> None:
    ended_well = task("well", state=types_pb2.TASK_FINISHED)
    said = await said_by(task("odd"), task("denied"), task("away"), ended_well)
    assert sorted(asked) == ["away", "denied", "odd"]
    assert said == {"odd": ["one", "tw\ufffd\x1b[1mo"]}, "printing it makes it harmless"
    assert words.in_a_line(said["odd"]) == "stderr: one / tw\ufffd\x1b[1mo"
    assert words.in_a_line(()) == ""


async def test_the_latest_are_asked_and_what_they_say_is_bounded(asked: list[str]) -> None:
    said = await said_by(*(task(f"t{n}", finished_at_s=n) for n in range(30)))
    assert sorted(asked) == sorted(f"t{n}" for n in range(20, 30))
    assert {len(line) for lines in said.values() for line in lines} == {words.MAX_BYTES}


async def test_nothing_is_asked_that_would_be_denied(asked: list[str]) -> None:
    """Whoever lists tasks wants no logs, and the audit is to tell of those who do."""
    wanted: list[tuple[str, str]] = []

    async def can(request: Any, **_: Any) -> Any:
        wanted.append((request.verb, request.role))
        if request.role == "away":
            raise CliError("the master does not answer")
        return operator_pb2.CanResponse(allowed=request.role == "dev")

    async def call(make: Any) -> Any:
        return await make(SimpleNamespace(Can=can), 1.0)

    cluster = cast(Any, SimpleNamespace(credentials=object(), call=call))
    views = [task(f"t{n}") for n in range(4)]
    for view, role in zip(views, ("dev", "prod", "away", "dev"), strict=True):
        view.role = role
    said = await words.last_words(cluster, views)
    assert sorted(asked) == sorted(said) == ["t0", "t3"]
    assert sorted(wanted) == [("logs", "away"), ("logs", "dev"), ("logs", "prod")]


async def test_a_task_is_found_by_its_whole_id(asked: list[str]) -> None:
    async def tasks(**_: Any) -> list[Any]:
        return [task("s.0.1"), task("s.0.12")]

    cluster = cast(Any, SimpleNamespace(tasks=tasks, credentials=None))
    assert list(await words.last_words_of(cluster, "f", ["s.0.1"])) == ["s.0.1"]


@pytest.mark.parametrize(
    ("instance", "failed"),
    [
        (jobs_pb2.InstanceView(task_id="a", exit_status=3), True),
        (jobs_pb2.InstanceView(task_id="a", exit_status=3, state=types_pb2.TASK_FAILED), True),
        (jobs_pb2.InstanceView(task_id="a", exit_status=3, state=types_pb2.TASK_RUNNING), False),
        (jobs_pb2.InstanceView(task_id="a"), False),
        (jobs_pb2.InstanceView(exit_status=3), False),
    ],
)
def test_an_instance_whose_latest_task_failed(
    instance: jobs_pb2.InstanceView, failed: bool
) -> None:
    assert has_failed(instance) == failed
