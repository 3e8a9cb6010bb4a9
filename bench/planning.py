"""What does a task cost the bin-packing framework?  python bench/planning.py [--json]

The production core, without I/O: a job's queue of so many tasks, so many agents that it has seen,
and one agent on which eight run at a time. One task after another ends and its room is offered;
what a life costs from the update to the next launch. The first row is the yardstick of the others:
a long queue and a large cluster are to cost no more than a short one on one agent (`ratio`).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pymesos_binpack import core as c
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job

CASES = ((100, 1, ""), (9_000, 1, ""), (100, 10_000, ""), (9_000, 10_000, ""),
         (9_000, 10_000, "rack:GROUP_BY"))  # fmt: skip
AT_ONCE = 8
TASK = {"cpus": 0.5, "mem": 10}


def _others(agents: int) -> c.OffersReceived:
    """Offers of the other agents, on which nothing is free."""
    little, whole = to_proto(parse("cpus:0.1;mem:1")), to_proto(parse("cpus:16;mem:4096"))
    return c.OffersReceived(
        tuple(
            pb.Offer(
                offer_id=f"other{number}",
                agent_id=f"other{number}",
                hostname=f"other{number}",
                resources=little,
                agent_total=whole,
                attributes=[pb.Attribute(name="rack", text=f"r{number % 40}")],
            )
            for number in range(agents)
        )
    )


def life_ms(queue: int, agents: int, constraint: str, lives: int) -> float:
    """Milliseconds for each life."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    if agents > 1:
        h.feed(_others(agents - 1))
    constraints = [constraint] if constraint else []
    h.submit(job(instances=queue, resources=TASK, constraints=constraints))
    h.offer("cpus:4;mem:80", rack="r0")
    running = h.launched()
    assert len(running) == AT_ONCE or constraint
    begin = time.perf_counter()
    for _ in range(lives):
        task_id = running.pop(0)
        h.update(task_id, pb.TASK_RUNNING)
        h.update(task_id, pb.TASK_FINISHED, 0)
        h.effects.clear()
        h.offer("cpus:0.5;mem:10", rack="r0")
        running += h.launched()
    return (time.perf_counter() - begin) * 1000 / lives


@click.command()
@click.option("--lives", default=80, show_default=True, help="Tasks that end, for each row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(lives: int, as_json: bool) -> None:
    """Measure lives over short and long queues, few agents and many."""
    times = [life_ms(*case, lives) for case in CASES]
    rows = [
        {"queue": queue, "agents": agents, "constraint": constraint,
         "life_ms": round(ms, 3), "ratio": round(ms / times[0], 2)}
        for (queue, agents, constraint), ms in zip(CASES, times, strict=True)
    ]  # fmt: skip
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
