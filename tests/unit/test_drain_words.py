"""What `pymesos-cli drain --wait` says keeps an agent from being empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pymesos_cli import services
from pymesos_cli.draining import drains, leaving
from pymesos_cli.operators import decisions
from pymesos_proto.v1 import jobs_pb2, operator_pb2, types_pb2


def task(task_id: str, volume: str = "") -> operator_pb2.TaskView:
    info = types_pb2.TaskInfo(task_id=task_id)
    if volume:
        disk = info.resources.add(name="disk", scalar=64)
        disk.reservations.add(role="data")
        disk.disk.persistence_id = volume
        disk.disk.container_path = "data"
    return operator_pb2.TaskView(task_info=info, state=types_pb2.TASK_RUNNING)


@pytest.mark.parametrize(("others", "pinned", "shown"), [(7, 2, 5), (1, 2, 3), (9, 8, 8)])
def test_what_its_volume_pins_is_named_before_all_else(
    others: int, pinned: int, shown: int
) -> None:
    tasks = [task(f"a{n}") for n in range(others)]
    tasks += [task(f"db{n}", f"shop.db.{n}.data") for n in range(pinned)]
    named = [view.task_info.task_id for view in leaving.shown_of(tasks)]
    assert len(named) == shown
    assert named[:pinned] == [f"db{n}" for n in range(pinned)]


async def test_a_volume_is_named() -> None:
    (reason,) = await leaving.reasons(cast(Any, None), [task("db", "shop.db.0.data")])
    assert reason == "db RUNNING: its volume shop.db.0.data is on the agent"


def instance(**more: Any) -> jobs_pb2.InstanceView:
    given = {"task_name": "web", "instance": 0, "service": True, **more}
    return jobs_pb2.InstanceView(**given)


RUNS = {"task_id": "shop-0a1b2c3d.web.0.1", "state": types_pb2.TASK_RUNNING}


@pytest.mark.parametrize(
    ("instances", "daemons", "silent", "why"),
    [
        ([instance(**RUNS)], [], [], "what replaces it is not planned yet; drains and rollouts"),
        ([instance(**RUNS, service=False)], [], [], "it is no service, and may finish until then"),
        ([instance(**RUNS)], ["web"], [], "a daemon, which ends here once all others have left"),
        ([instance(**RUNS, leaving="it moves")], [], [], "it is ending: it moves"),
        (
            [instance(**RUNS), instance(explanation="no agent has room")],
            [],
            [],
            "what replaces it waits: no agent has room",
        ),
        (
            [instance(**RUNS), instance(task_id="x", state=types_pb2.TASK_RUNNING, hostname="b")],
            [],
            [],
            "what replaces it on b is not ready yet",
        ),
        ([], [], ["f"], "its framework binpack does not answer"),
        ([], [], [], "its framework was told, and has it run on"),
    ],
)
async def test_each_task_has_its_reason(
    monkeypatch: pytest.MonkeyPatch,
    instances: list[jobs_pb2.InstanceView],
    daemons: list[str],
    silent: list[str],
    why: str,
) -> None:
    async def ask_jobs(*_: Any, **__: Any) -> services.Answers:
        view = operator_pb2.FrameworkView()
        view.info.framework_id, view.info.name = "f", "binpack"
        job = jobs_pb2.JobView(job_id="shop-0a1b2c3d")
        return services.Answers([("h:1", job)], [services.Silent(view, "away") for _ in silent])

    async def views(*_: Any) -> AsyncIterator[jobs_pb2.JobView]:
        view = jobs_pb2.JobView(instances=instances)
        for name in daemons:
            view.daemons.add(task_name=name)
        yield view

    monkeypatch.setattr(leaving, "ask_jobs", ask_jobs)
    monkeypatch.setattr(leaving, "_views", views)
    mine = task("shop-0a1b2c3d.web.0.1")
    mine.framework_id = "f"
    (reason,) = await leaving.reasons(cast(Any, None), [mine])
    assert reason.startswith(f"shop-0a1b2c3d.web.0.1 RUNNING: {why}")


async def test_a_framework_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_jobs(*_: Any, **__: Any) -> services.Answers:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(leaving, "ask_jobs", ask_jobs)
    monkeypatch.setattr(leaving, "ASK_S", 0.01)
    (reason,) = await leaving.reasons(cast(Any, None), [task("shop-0a1b2c3d.web.0.1")])
    assert "its framework has not answered in" in reason


def agent(*volumes: str) -> operator_pb2.AgentView:
    view = operator_pb2.AgentView(state="active", tasks=1)
    view.info.agent_id, view.info.address.hostname = "a-1", "a"
    for name in volumes:
        view.total.extend(task("t", name).task_info.resources)
    return view


class Told:
    """A cluster that takes every call."""

    async def call(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("volumes", [(), ("shop.db.0.data",), ("b", "a")])
async def test_data_that_go_with_an_agent_are_named_before(
    volumes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`drain --then-gone` said nothing of them, and `gone` asked for its tasks only."""

    async def found(*_: Any, **__: Any) -> Any:
        return agent(*volumes)

    async def all_found(*_: Any) -> list[operator_pb2.AgentView]:
        return [agent(*volumes)]

    monkeypatch.setattr(decisions, "find_agent", found)
    monkeypatch.setattr(decisions, "confirm", lambda _: None)
    monkeypatch.setattr(drains, "find_agents", all_found)
    named = {0: "", 1: "1 volume (shop.db.0.data)", 2: "2 volumes (a, b)"}[len(volumes)]
    cluster = cast(Any, Told())
    await decisions.mark_gone(cluster, "a", ask=True)
    asked = capsys.readouterr().err
    assert ("data of" in asked) == bool(named) and named in asked
    for then_gone in (True, False):
        await drains.drain(cluster, ["a"], 60.0, wait=False, then_gone=then_gone)
        said = capsys.readouterr().err
        assert ("with it the data of" in said) == (then_gone and bool(named))
        assert not then_gone or named in said
