"""How long does a page of a long list take by HTTP?  python bench/http_lists.py --tasks N [--json]

A standalone master, simulated agents (bench/loadgen.py), and a framework that launches N tasks
which run on. A client asks for pages of 100 of them, in every order and by every filter that the
API has, one after the other. None is asked for again before what was sorted for it is too old to be
shown. First nothing else happens; then another framework has the master launch and end tasks.

- idle, working: `list_ms` of all that was asked, the median and the longest; `slowest` is the query
  whose own median is the largest, and `slowest_ms` that. `cpu_ms` is what a page takes of the
  master's CPU, which nothing else uses while it is idle: the machine's load does not change that.
- by_query: the median and the longest of each, while the master works.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import click
from failover import Launcher, LoadGenerator, until
from throughput import HELD, Sprinter

from pymesos_core.addresses import HostPort
from pymesos_master.queries.ordering import FRESH_S, TASK_SORTS
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_testing.components import Roles, cpu_s_of, free_port

PAGE = 100
AGAIN_S = FRESH_S + 0.5  # at least, from one time to the next that the same is asked for
BEAT_S, IN_FLIGHT, ROOM = 0.1, 500, 16
JOBS = 200  # that the tasks are of


class Crowd(Launcher):
    """Launches tasks that are called as those of jobs are, which run on."""

    def __init__(self, tasks: int) -> None:
        super().__init__(tasks)
        draw = random.Random(tasks)
        self.left = [
            f"job{number % JOBS}-{draw.getrandbits(32):08x}.web.{number}.0"
            for number in range(tasks)
        ]


Queries = list[dict[str, str]]


def queries(task_id: str, agent_id: str, framework_id: str) -> Queries:
    """All that is asked: each order, each filter, and both, whether they find many or nothing."""
    job = task_id.partition("-")[0]
    filters = [
        {},
        {"search": "web"},
        {"search": task_id},
        {"search": "nothing is called so"},
        {"state": "TASK_RUNNING"},
        {"state": "TASK_LOST"},
        {"id_prefix": job},
        {"name": task_id},
        {"called": f"{job}.web"},
        {"called": f"{job}.web@2026"},
        {"agent_id": agent_id},
        {"framework_id": framework_id},
        {"completed": "true"},
    ]
    sorts = [{"sort": f"{way}{sort}"} for sort in TASK_SORTS for way in ("", "-")]
    return [*filters, *sorts, *({**each, "sort": "id"} for each in filters[1:])]


async def ask(at: str, asked: Queries, rounds: int) -> dict[str, list[float]]:
    """How long each query took, in milliseconds, as a client has it."""
    took_ms: dict[str, list[float]] = {}
    async with aiohttp.ClientSession() as session:
        for _ in range(rounds):
            began_s = time.perf_counter()
            for query in asked:
                sent_s = time.perf_counter()
                async with session.get(at, params={"limit": str(PAGE), **query}) as answer:
                    said = await answer.json()
                took = took_ms.setdefault(urlencode(query), [])
                took.append((time.perf_counter() - sent_s) * 1000)
                if answer.status != 200 or len(said["tasks"]) > PAGE:
                    raise RuntimeError(f"{query}: {said}")
            await asyncio.sleep(max(0.0, began_s + AGAIN_S - time.perf_counter()))
    return took_ms


@contextlib.asynccontextmanager
async def at_work(master: str, lives_per_s: int) -> AsyncIterator[None]:
    """While this lasts, the master launches and ends so many tasks a second."""
    sprinter = Sprinter(0, IN_FLIGHT, 0)
    info = pb.FrameworkInfo(name="sprinter", capabilities=[pb.PARTITION_AWARE])
    driver = Driver(sprinter, info, master)

    async def beat() -> None:
        while True:
            sprinter.more(driver, round(lives_per_s * BEAT_S))
            await asyncio.sleep(BEAT_S)

    running = [asyncio.create_task(driver.run()), asyncio.create_task(beat())]
    try:
        await until("tasks that end", lambda: sprinter.ended > lives_per_s, 60)
        yield
        if sprinter.ended < sprinter.tasks / 2:
            raise RuntimeError(f"only {sprinter.ended} of {sprinter.tasks} tasks have ended")
    finally:
        await stopped(running)


async def stopped(tasks: list[asyncio.Task[None]]) -> None:
    """Return once these are cancelled."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def figures(took_ms: dict[str, list[float]]) -> dict[str, Any]:
    """The figures of all queries together, and which was the slowest."""
    slowest = max(took_ms, key=lambda query: statistics.median(took_ms[query]))
    every = [took for some in took_ms.values() for took in some]
    return {"list_ms": of(every), "slowest": slowest, "slowest_ms": of(took_ms[slowest])}


def of(took_ms: Iterable[float]) -> dict[str, float]:
    """The median and the longest."""
    some = list(took_ms)
    return {"p50": round(statistics.median(some), 1), "longest": round(max(some), 1)}


async def measure(
    folder: Path, agents: int, tasks: int, rounds: int, lives_per_s: int
) -> dict[str, Any]:
    """Launch tasks that run on, and ask for pages of them."""
    port = free_port()
    roles, load, crowd = Roles(folder), LoadGenerator(), Crowd(tasks)
    running: list[asyncio.Task[None]] = []
    try:
        quiet = ("--log-level", "warning", "--agent-ping-timeout", "15")
        master = roles.master("list", *quiet, *HELD, "--http-port", str(port))
        each = -(-tasks // agents) + ROOM
        resources = f"cpus:{each};mem:{each * 64};disk:1000"
        running.append(asyncio.create_task(load.run(master.address, agents, resources)))
        await until("all agents", lambda: load.last["registered"] == agents, 180)
        info = pb.FrameworkInfo(name="crowd", capabilities=[pb.PARTITION_AWARE])
        driver = Driver(crowd, info, master.address)
        running.append(asyncio.create_task(driver.run()))
        await until("all tasks", lambda: crowd.running == tasks, 900)
        task_id, agent_id = next(iter(crowd.launched.items()))
        asked = queries(task_id, agent_id, driver.framework_id)
        at = f"http://{HostPort('127.0.0.1', port)}/v1/tasks"
        cpu_s = cpu_s_of(master.process.pid)
        idle = await ask(at, asked, rounds)
        cpu_ms = (cpu_s_of(master.process.pid) - cpu_s) * 1000 / rounds / len(asked)
        async with at_work(master.address, lives_per_s):
            working = await ask(at, asked, rounds)
    finally:
        await stopped(running)
        roles.close()
    by_query = {query: of(took_ms) for query, took_ms in working.items()}
    return {
        "idle": figures(idle) | {"cpu_ms": round(cpu_ms, 1)},
        "working": figures(working),
        "by_query": by_query,
    }


@click.command()
@click.option("--agents", default=500, show_default=True, help="How many agents.")
@click.option("--tasks", default=100_000, show_default=True, help="How many tasks run.")
@click.option("--rounds", default=5, show_default=True, help="How often each query is asked.")
@click.option("--lives", default=300, show_default=True, help="Tasks a second while it works.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, rounds: int, lives: int, as_json: bool) -> None:
    """Measure pages of a list."""
    result: dict[str, Any] = {"agents": agents, "tasks": tasks, "lives_per_s": lives}
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result |= asyncio.run(measure(Path(folder), agents, tasks, rounds, lives))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
