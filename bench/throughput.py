"""How many tasks a second go through one master?  python bench/throughput.py --agents A --tasks N

One standalone master (its registry in SQLite, fsynced), one process of simulated agents
(bench/loadgen.py: production cores and streams), and a framework on the SDK that launches tasks
that end at once, as fast as offers come. A task counts when its end has been acknowledged.

- tasks_per_s: whole lives: launched, RUNNING, FINISHED, each update acknowledged.
- accept_to_running_ms: from the ACCEPT leaving the framework to TASK_RUNNING reaching it.
- ratio_to_echo: how long a bare grpc.aio echo (bench/echo.py) takes for as many messages over as
  many connections, in the same run, as a part of how long the tasks took. A task's whole life is
  five messages on its agent's stream.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import psutil
from echo import measure as measure_echo
from failover import LoadGenerator, until

from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import Roles

TASK = parse("cpus:1;mem:32")
MESSAGES_PER_TASK = 5


class Sprinter(Scheduler):
    """Launches tasks that end at once until a number of them have ended."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.ended = 0
        self.failed = 0
        self.done = asyncio.Event()
        self.latencies_s: list[float] = []
        self._ids = itertools.count()
        self._launched = 0
        self._accepted_at: dict[str, float] = {}
        self._resources = to_proto(TASK)

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        for offer in offers:
            rest = from_proto(offer.resources)
            infos = []
            now_s = time.perf_counter()
            while self._launched < self.tasks and rest.contains(TASK):
                rest = rest - TASK
                self._launched += 1
                task_id = f"t{next(self._ids)}"
                self._accepted_at[task_id] = now_s
                infos.append(
                    pb.TaskInfo(
                        task_id=task_id,
                        name="t",
                        agent_id=offer.agent_id,
                        resources=self._resources,
                        command=pb.CommandInfo(shell=True, value="0"),
                    )
                )
            if infos:
                driver.accept([offer.offer_id], infos, refuse_s=0)
            else:
                driver.decline([offer.offer_id], refuse_s=3600)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler. The driver acknowledges after this."""
        if status.state == pb.TASK_RUNNING:
            begin = self._accepted_at.pop(status.task_id, None)
            if begin is not None:
                self.latencies_s.append(time.perf_counter() - begin)
        else:
            self.ended += 1
            self.failed += status.state != pb.TASK_FINISHED
            if self.ended >= self.tasks:
                self.done.set()


async def measure(folder: Path, agents: int, tasks: int, at_once: int) -> dict[str, object]:
    """Run the tasks, then the echo."""
    roles, load = Roles(folder), LoadGenerator()
    running: list[asyncio.Task[None]] = []
    try:
        master = roles.master("master", "--log-level", "warning", "--agent-ping-timeout", "15")
        resources = f"cpus:{at_once};mem:{at_once * 32};disk:1000"
        running.append(asyncio.create_task(load.run(master.address, agents, resources)))
        await until("all agents", lambda: load.last["registered"] == agents, 180)
        sprinter = Sprinter(tasks)
        info = pb.FrameworkInfo(name="bench", capabilities=[pb.PARTITION_AWARE])
        begin = time.perf_counter()
        running.append(asyncio.create_task(Driver(sprinter, info, master.address).run()))
        await asyncio.wait_for(sprinter.done.wait(), 600)
        took_s = time.perf_counter() - begin
        rss = psutil.Process(master.process.pid).memory_info().rss
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()
    if sprinter.failed:
        raise RuntimeError(f"{sprinter.failed} tasks did not finish")
    echo_s = await measure_echo(agents, tasks * MESSAGES_PER_TASK, b"x" * 150)
    cuts = statistics.quantiles(sprinter.latencies_s, n=100, method="inclusive")
    return {
        "agents": agents,
        "tasks": tasks,
        "tasks_per_s": round(tasks / took_s, 1),
        "accept_to_running_ms": {
            "p50": round(cuts[49] * 1000, 1),
            "p99": round(cuts[98] * 1000, 1),
        },
        "master_rss_mib": rss // 2**20,
        "echo_messages_per_s": round(tasks * MESSAGES_PER_TASK / echo_s),
        "ratio_to_echo": round(echo_s / took_s, 3),
    }


@click.command()
@click.option("--agents", default=1000, show_default=True, help="How many agents.")
@click.option("--tasks", default=50_000, show_default=True, help="How many tasks in all.")
@click.option("--at-once", default=2, show_default=True, help="How many fit on one agent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, at_once: int, as_json: bool) -> None:
    """Measure whole lives of tasks through one master, beside a bare echo."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), agents, tasks, at_once))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
