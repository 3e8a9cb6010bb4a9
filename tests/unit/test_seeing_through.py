"""`--wait` of the commands that change jobs: when it has seen enough, and with which status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pymesos_cli.jobs import versions
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.jobs.run import see_through
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2

RUNS = pb.InstanceView(
    task_name="web", instance=0, state=types_pb2.TASK_RUNNING, ready=True, service=True
)
CRASHES = pb.InstanceView(
    task_name="web", instance=0, service=True, explanation="it ended 9 times in a row", attempts=9
)


@pytest.mark.parametrize(
    ("state", "instance", "status"),
    [
        ("done", RUNS, 0),
        ("rolled_back", RUNS, 1),
        ("rolled_back", CRASHES, 1),
        ("rollback_failed", CRASHES, 1),
        ("aborted", CRASHES, 1),
    ],
)
async def test_it_ends_once_its_rollout_has_whatever_runs(
    monkeypatch: pytest.MonkeyPatch, state: str, instance: pb.InstanceView, status: int
) -> None:
    async def watch(*_: Any) -> AsyncIterator[pb.JobView]:
        for going in (True, False):
            view = pb.JobView(job_id="shop-1", state="running", settled=not going, version=2)
            view.rollouts.add(
                task_name="web", to_version=2, going=going, state="rolling" if going else state
            )
            view.instances.append(instance)
            yield view
        await asyncio.Event().wait()

    monkeypatch.setattr(versions, "watch", watch)
    async with asyncio.timeout(5):
        assert await versions._see_through(cast(Any, None), "h:1", "shop-1", 2) == status


async def test_what_runs_and_is_not_ready_is_waited_for_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def watch(*_: Any) -> AsyncIterator[pb.JobView]:
        for ready in (False, False, True):
            view = pb.JobView(job_id="shop-1", state="running", settled=True, version=1)
            view.instances.append(RUNS)
            view.instances[0].ready = ready
            view.instances[0].task_id = "shop-1.web.0.1"
            yield view
        await asyncio.Event().wait()

    monkeypatch.setattr(versions, "watch", watch)
    async with asyncio.timeout(5):
        assert await versions._see_through(cast(Any, None), "h:1", "shop-1", 1) == 0
    said = capsys.readouterr().out
    assert said.count("1 instance runs and is not ready yet; `pymesos-cli explain task") == 1
    assert "explain task shop-1.web.0.1` says why" in said


@pytest.mark.parametrize("wait", [True, False])
async def test_run_waits_for_what_runs_and_is_not_ready(
    wait: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that asks the service next met one that did not answer yet."""
    seen: list[bool] = []

    async def views() -> AsyncIterator[pb.JobView]:
        for ready in (False, False, True):
            view = pb.JobView(job_id="shop-1", state="running", version=1)
            view.instances.append(RUNS)
            view.instances[0].ready = ready
            seen.append(ready)
            yield view
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        going = see_through(cast(Any, None), views(), Progress(), wait=wait, show_output=False)
        assert await going == 0
    assert seen == ([False, False, True] if wait else [False])
    assert capsys.readouterr().out.count("not ready yet") == wait


async def test_run_waits_no_longer_where_an_instance_has_failed_for_good() -> None:
    async def views() -> AsyncIterator[pb.JobView]:
        view = pb.JobView(job_id="shop-1", state="running", version=1)
        view.instances.append(RUNS)
        view.instances[0].ready = False
        view.instances.add(task_name="setup", done=True, state=types_pb2.TASK_FAILED)
        yield view
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        going = see_through(cast(Any, None), views(), Progress(), wait=True, show_output=False)
        assert await going == 1


async def test_what_crashes_is_waited_for_while_no_rollout_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def watch(*_: Any) -> AsyncIterator[pb.JobView]:
        for instance in (CRASHES, RUNS):
            view = pb.JobView(job_id="shop-1", state="running", settled=True, version=3)
            view.rollouts.add(task_name="web", to_version=2, state="rolled_back")
            view.instances.append(instance)
            yield view

    monkeypatch.setattr(versions, "watch", watch)
    assert await versions._see_through(cast(Any, None), "h:1", "shop-1", 3) == 0


@pytest.mark.parametrize("to_version", [2, 3])
async def test_a_rollout_that_is_held_waits_for_somebody_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], to_version: int
) -> None:
    """With `on_failure: pause` it had waited for ever; also of a change in the middle of one."""

    async def watch(*_: Any) -> AsyncIterator[pb.JobView]:
        for web, db in (("rolling", "rolling"), ("paused", "rolling"), ("paused", "done")):
            view = pb.JobView(job_id="shop-1", state="running", version=3)
            for name, state in (("web", web), ("db", db)):
                going = state != "done"
                of = view.rollouts.add(task_name=name, to_version=to_version, going=going)
                of.state, of.why = state, f"{name} is {state}"
            view.instances.append(RUNS)
            yield view
        await asyncio.Event().wait()

    monkeypatch.setattr(versions, "watch", watch)
    async with asyncio.timeout(5):
        assert await versions._see_through(cast(Any, None), "h:1", "shop-1", 3) == 1
    assert "web: paused: web is paused" in capsys.readouterr().out
