"""`stats`: what tasks use now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pymesos_cli import terminal
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.finding import find_tasks
from pymesos_cli.output import note, print_json, print_table
from pymesos_cli.sandboxes import sandbox_of
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_proto.v1 import types_pb2

SAMPLE_S = 1.0
SAMPLED = (types_pb2.TASK_RUNNING, types_pb2.TASK_KILLING)
MIB = 1024 * 1024
Key = tuple[str, str]


async def show_stats(cluster: Cluster, text: str | None, *, follow: bool, as_json: bool) -> None:
    """`pymesos-cli stats`: of all tasks, or of those that `text` names.

    Again and again on a terminal is a screen that is drawn anew; elsewhere one table after another.
    """
    screen = terminal.stream()
    while True:
        rows = await _rows(cluster, text)
        if as_json:
            print_json(rows)
        else:
            if follow:
                screen.control("\x1b[2J\x1b[H")
            _print(rows)
        if not follow:
            return
        print(flush=True)


async def _rows(cluster: Cluster, text: str | None) -> list[dict[str, Any]]:
    if text is not None:
        views = [v for v in await find_tasks(cluster, text, completed=False) if v.state in SAMPLED]
    else:
        views = await cluster.tasks(states=["TASK_RUNNING", "TASK_KILLING"])
    by_agent: dict[str, list[operator_pb.TaskView]] = defaultdict(list)
    for view in views:
        by_agent[view.task_info.agent_id].append(view)
    found = await asyncio.gather(
        *(_of_agent(cluster, of) for of in by_agent.values()), return_exceptions=True
    )
    rows: list[dict[str, Any]] = []
    for result in found:
        if isinstance(result, CliError):
            note(f"not shown is what runs there: {result.format_message()}")
        elif isinstance(result, BaseException):
            raise result
        else:
            rows += result
    return sorted(rows, key=lambda row: -row["cpus"])


async def _of_agent(
    cluster: Cluster, views: Sequence[operator_pb.TaskView]
) -> list[dict[str, Any]]:
    """Two samples, for the rates between them."""
    wanted = {(v.framework_id, v.task_info.task_id): v for v in views}
    async with sandbox_of(cluster, views[0]) as (stub, metadata):
        samples: list[dict[Key, pb.TaskUsage]] = []
        for number in range(2):
            await asyncio.sleep(SAMPLE_S * number)
            response = await stub.GetUsage(pb.GetUsageRequest(), metadata=metadata)
            samples.append({(u.framework_id, u.task_id): u for u in response.tasks})
    before, after = samples
    return [
        _row(wanted[key], before[key], usage)
        for key, usage in after.items()
        if key in wanted and key in before
    ]


def _row(view: operator_pb.TaskView, before: pb.TaskUsage, now: pb.TaskUsage) -> dict[str, Any]:
    seconds = max(1e-3, now.timestamp_s - before.timestamp_s)

    def rate(name: str) -> float:
        return max(0.0, float(getattr(now, name) - getattr(before, name))) / seconds

    return {
        "task_id": now.task_id,
        "framework_id": now.framework_id,
        "hostname": view.hostname,
        "cpus": round(rate("cpu_s"), 3),
        "cpus_limit": now.cpus_limit,
        "throttled": round(rate("throttled_s"), 3),
        "mem": round(now.mem_bytes / MIB, 1),
        "mem_limit": round(now.mem_limit_bytes / MIB, 1),
        "pids": now.pids,
        "read_per_s": round(rate("read_bytes")),
        "written_per_s": round(rate("written_bytes")),
        "received_per_s": round(rate("received_bytes")),
        "sent_per_s": round(rate("sent_bytes")),
    }


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = [
        (
            row["task_id"],
            row["hostname"],
            f"{row['cpus']:.2f}/{row['cpus_limit']:g}",
            f"{row['throttled']:.0%}",
            f"{row['mem']:.0f}/{row['mem_limit']:.0f}",
            str(row["pids"]),
            f"{row['read_per_s'] / MIB:.1f}/{row['written_per_s'] / MIB:.1f}",
            f"{row['received_per_s'] / MIB:.1f}/{row['sent_per_s'] / MIB:.1f}",
        )
        for row in rows
    ]
    headers = ("TASK", "HOST", "CPUS", "THROTTLED", "MEM", "PIDS", "I/O MIB/S", "NET MIB/S")
    print_table(headers, table, "no tasks run", ("HOST",))
