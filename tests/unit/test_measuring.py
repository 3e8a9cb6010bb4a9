"""What an agent tells of what its tasks have used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.health.watching import report_usage, used_since
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1.sandbox_pb2 import TaskUsage


def measured(cpu_s: float, at_s: float, task_id: str = "t") -> TaskUsage:
    return TaskUsage(framework_id="f", task_id=task_id, cpu_s=cpu_s, timestamp_s=at_s)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, measured(1.5, 100), (1500, 0)),
        (measured(1.5, 100), measured(2.75, 105), (1250, 5000)),
        (measured(2, 100), measured(1, 90), (0, 0)),  # a clock was set, processes are gone
        (measured(0, 100), measured(0, 200_000), (0, 86_400_000)),
    ],
)
def test_used_since(before: TaskUsage | None, now: TaskUsage, expected: tuple[int, int]) -> None:
    assert used_since(before, now) == expected


async def test_what_no_master_heard_is_said_with_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first measurement of an agent only says where counting begins."""
    samples = [[measured(50, 0)], [measured(51, 5)], [measured(53, 10), measured(4, 10, "new")],
               [measured(60, 15)]]  # fmt: skip
    hears = [True, False, True, True]
    told: list[agent_pb.Usage] = []

    class Tasks:
        async def task_usage(self, *_: str) -> list[TaskUsage]:
            return samples[len(told)]

        def told_tasks(self) -> dict[object, object]:
            return {}

        def gauges(self, wanted: object) -> dict[object, object]:
            return {}

    def tell(message: agent_pb.AgentMessage) -> bool:
        told.append(message.usage)
        return hears[len(told) - 1]

    async def sleep(_: float) -> None:
        if len(told) == len(samples):
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    core: Any = type("Core", (), {"state": type("S", (), {"by_key": {}}), "usage_interval_s": 5})
    host: Any = type("Host", (), {"usage": staticmethod(lambda *_: agent_pb.Usage())})
    tasks: Any = Tasks()
    with pytest.raises(asyncio.CancelledError):
        await report_usage(core, tasks, Path(), tell, host)
    said = [[(u.task_id, u.cpu_ms, u.measured_ms) for u in usage.tasks] for usage in told]
    assert said == [
        [("t", 0, 0)],
        [("t", 1000, 5000)],
        [("t", 3000, 10_000), ("new", 4000, 0)],
        [("t", 7000, 5000)],
    ]
    assert told[2].tasks[0].cpus_used == pytest.approx(0.4), "a rate is between two measurements"
