"""What `pymesos-cli drain --wait` says keeps an agent from being empty."""

from __future__ import annotations

import pytest

from pymesos_cli.draining import leaving
from pymesos_proto.v1 import operator_pb2, types_pb2


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
    (reason,) = await leaving.reasons(None, [task("db", "shop.db.0.data")])  # type: ignore[arg-type]
    assert reason == "db RUNNING: its volume shop.db.0.data is on the agent"
