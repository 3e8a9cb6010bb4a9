"""How many tasks a second go through one master?  python bench/throughput.py --agents A --tasks N

One standalone master (its registry in SQLite, fsynced), one process of simulated agents
(bench/loadgen.py: production cores and streams), and a framework on the SDK that launches tasks
that end at once, as fast as offers come. A task counts when its end has been acknowledged.

- tasks_per_s: whole lives: launched, RUNNING, FINISHED, each update acknowledged.
- accept_to_running_ms: from the ACCEPT leaving the framework to TASK_RUNNING reaching it.
- cpu_ms_per_task: of each process, which does not depend on what else the machine does.
- ratio_to_echo: how long a bare grpc.aio echo (bench/echo.py) takes for as many messages over as
  many connections, in the same run, as a part of how long the tasks took. A task's whole life is
  five messages on its agent's stream.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import psutil
from echo import measure as measure_echo
from failover import LoadGenerator, until

from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import Roles, cpu_s_of

TASK = parse("cpus:1;mem:32")
MESSAGES_PER_TASK = 5
HELD = ("--offer-timeout", "3600")  # the framework holds offers until there is room


class Sprinter(Scheduler):
    """Launches tasks that stay, then others that end at once, until enough of these have ended.

    No more than `in_flight` are on their way at a time: meanwhile it holds the offers.
    """

    def __init__(self, tasks: int, in_flight: int, stay_on_each: int) -> None:
        self.tasks = tasks
        self.ended = 0
        self.failed = 0
        self.staying: set[str] = set()
        self.done = asyncio.Event()
        self.latencies_s: list[float] = []
        self._in_flight = in_flight
        self._stay_on_each = stay_on_each
        self._held: dict[str, pb.Offer] = {}  # by their ids, the oldest first
        self._settled: set[str] = set()  # the agents that have those that stay
        self._sprints = False
        self._ids = itertools.count()
        self._launched = 0
        self._accepted_at: dict[str, float] = {}
        self._resources = to_proto(TASK)

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        for offer in offers:
            if offer.agent_id not in self._settled and self._stay_on_each:
                self._settled.add(offer.agent_id)
                infos = [self._task(offer, "a", "100000") for _ in range(self._stay_on_each)]
                driver.accept([offer.offer_id], infos, refuse_s=0)
            else:
                self._held[offer.offer_id] = offer
        self._launch(driver)

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        """See Scheduler."""
        self._held.pop(offer_id, None)

    def disconnected(self, driver: Driver) -> None:
        """See Scheduler."""
        self._held.clear()

    def sprint(self, driver: Driver) -> None:
        """Begin with the tasks that end, once those that stay are there."""
        self._sprints = True
        self._launch(driver)

    def more(self, driver: Driver, tasks: int) -> None:
        """Launch so many more; `done` says when they have ended."""
        self.done.clear()
        self.tasks += tasks
        self.sprint(driver)

    def _launch(self, driver: Driver) -> None:
        while self._sprints and self._held and self._launched < self.tasks:
            room = self._in_flight - (self._launched - self.ended)
            offer = next(iter(self._held.values()))
            fit = from_proto(offer.resources).quantities["cpus"] // 1000
            count = min(fit, self.tasks - self._launched)
            if count > room:
                return
            del self._held[offer.offer_id]
            infos = [self._task(offer, "t", "0") for _ in range(count)]
            now_s = time.perf_counter()
            self._accepted_at.update((info.task_id, now_s) for info in infos)
            self._launched += count
            driver.accept([offer.offer_id], infos, refuse_s=0)

    def _task(self, offer: pb.Offer, prefix: str, lives_s: str) -> pb.TaskInfo:
        return pb.TaskInfo(
            task_id=f"{prefix}{next(self._ids)}",
            name="t",
            agent_id=offer.agent_id,
            resources=self._resources,
            command=pb.CommandInfo(shell=True, value=lives_s),
        )

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler. The driver acknowledges after this."""
        if status.state == pb.TASK_RUNNING:
            if status.task_id.startswith("a"):
                self.staying.add(status.task_id)
            begin = self._accepted_at.pop(status.task_id, None)
            if begin is not None:
                self.latencies_s.append(time.perf_counter() - begin)
        else:
            self.ended += 1
            self.failed += status.state != pb.TASK_FINISHED
            self._launch(driver)
            if self.ended >= self.tasks:
                self.done.set()


async def measure(
    folder: Path,
    agents: int,
    tasks: int,
    at_once: int,
    in_flight: int,
    alive: int,
    tls: Callable[[str], Path] | None = None,
    gateways: int = 0,
) -> dict[str, object]:
    """Run the tasks, then the echo; `tls` has certificates of principals."""

    def flags(principal: str) -> tuple[str, ...]:
        return ("--tls", str(tls(principal))) if tls else ()

    roles, load = Roles(folder), LoadGenerator()
    running: list[asyncio.Task[None]] = []
    try:
        master = roles.master(
            "master",
            "--log-level",
            "warning",
            "--agent-ping-timeout",
            "15",
            *HELD,
            *("--gateways", str(gateways)),
            *flags("master/m"),
        )
        stay_on_each = -(-alive // agents)
        fit = at_once + stay_on_each
        resources = f"cpus:{fit};mem:{fit * 32};disk:1000"
        running.append(
            asyncio.create_task(load.run(master.address, agents, resources, *flags("agent/load")))
        )
        await until("all agents", lambda: load.last["registered"] == agents, 600)
        master_rss = psutil.Process(master.process.pid).memory_info().rss
        sprinter = Sprinter(tasks, in_flight, stay_on_each)
        info = pb.FrameworkInfo(name="bench", capabilities=[pb.PARTITION_AWARE])
        driver = Driver(sprinter, info, master.address, tls=tls("framework/bench") if tls else None)
        running.append(asyncio.create_task(driver.run()))
        await until(
            "the tasks that stay",
            lambda: (
                len(sprinter.staying) == stay_on_each * agents and not load.last["unacknowledged"]
            ),
            900,
        )
        pids = {"master": master.process.pid, "agents": load.pid, "framework": os.getpid()}
        for number, child in enumerate(psutil.Process(master.process.pid).children()):
            pids[f"gateway-{number + 1}"] = child.pid
        cpu_s = {name: cpu_s_of(pid) for name, pid in pids.items()}
        begin = time.perf_counter()
        messages = load.last["messages"]
        sprinter.sprint(driver)
        await asyncio.wait_for(sprinter.done.wait(), 600)
        took_s = time.perf_counter() - begin
        cpu_s = {name: cpu_s_of(pid) - cpu_s[name] for name, pid in pids.items()}
        messages = load.last["messages"] - messages
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
        "alive": stay_on_each * agents,
        "gateways": gateways,
        "tasks_per_s": round(tasks / took_s, 1),
        "accept_to_running_ms": {
            "p50": round(cuts[49] * 1000, 1),
            "p99": round(cuts[98] * 1000, 1),
        },
        "cpu_ms_per_task": {name: round(s / tasks * 1000, 4) for name, s in cpu_s.items()},
        "master_rss_mib": rss // 2**20,
        "master_rss_idle_kib": master_rss // 1024,
        "echo_messages_per_s": round(tasks * MESSAGES_PER_TASK / echo_s),
        "messages_per_task": round(messages / tasks, 2),
        "ratio_to_echo": round(echo_s / took_s, 3),
    }


@click.command()
@click.option("--agents", default=1000, show_default=True, help="How many agents.")
@click.option("--tasks", default=300_000, show_default=True, help="How many tasks in all.")
@click.option("--at-once", default=16, show_default=True, help="How many fit on one agent.")
@click.option("--in-flight", default=1000, show_default=True, help="How many at a time in all.")
@click.option("--alive", default=0, show_default=True, help="How many others run meanwhile.")
@click.option("--gateways", default=0, show_default=True, help="Processes that hold the streams.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    agents: int,
    tasks: int,
    at_once: int,
    in_flight: int,
    alive: int,
    gateways: int,
    as_json: bool,
) -> None:
    """Measure whole lives of tasks through one master, beside a bare echo."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        measured = measure(Path(folder), agents, tasks, at_once, in_flight, alive, None, gateways)
        result = asyncio.run(measured)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
