"""How long does `pymesos-cli tasks` take over many tasks?  python bench/listing.py --tasks N

A master, simulated agents, and a framework that launches N tasks which run on. Then:

- tasks_s: `pymesos-cli tasks`, the whole process, the best of five: what a person waits for.
- all_json_s: `pymesos-cli tasks --json`, all of them.
- version_s: `pymesos-cli --version`, the part that is Python starting.
- longest_block_ms: the longest that a health request waited; they were sent all the while.
- master_bytes_per_task: what the master grew by while the tasks were launched, by task.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import click
import grpc.aio
import psutil
from failover import Launcher, LoadGenerator, until

from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_sdk import Driver
from pymesos_testing.components import Roles


async def cli(master: str, *arguments: str) -> float:
    """How long a command takes."""
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pymesos_cli.main", "--master", master, *arguments),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise RuntimeError(f"pymesos-cli {' '.join(arguments)} failed")
    return time.perf_counter() - begin


class Watch:
    """Asks for the master's health, one request after the other."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self, master: str) -> None:
        """Until cancelled."""
        async with grpc.aio.insecure_channel(master) as channel:
            stub = OperatorStub(channel)
            while True:
                begin = time.perf_counter()
                await stub.GetHealth(operator_pb.GetHealthRequest())
                self.longest_s = max(self.longest_s, time.perf_counter() - begin)
                await asyncio.sleep(0.002)


async def measure(folder: Path, agents: int, tasks: int) -> dict[str, object]:
    """Launch the tasks, then list them."""
    roles, load, launcher = Roles(folder), LoadGenerator(), Launcher(tasks)
    running: list[asyncio.Task[None]] = []
    try:
        master = roles.master("master", "--log-level", "warning", "--agent-ping-timeout", "15")
        each = -(-tasks // agents) + 1
        resources = f"cpus:{each};mem:{each * 64};disk:1000"
        running.append(asyncio.create_task(load.run(master.address, agents, resources)))
        await until("all agents", lambda: load.last["registered"] == agents, 180)
        process = psutil.Process(master.process.pid)
        before = process.memory_info().rss
        info = pb.FrameworkInfo(name="bench", capabilities=[pb.PARTITION_AWARE])
        running.append(asyncio.create_task(Driver(launcher, info, master.address).run()))
        await until("all tasks", lambda: launcher.running == tasks, 900)
        grown = process.memory_info().rss - before
        watch = Watch()
        running.append(asyncio.create_task(watch.run(master.address)))
        version_s = min([await cli(master.address, "--version") for _ in range(5)])
        watch.longest_s = 0.0
        tasks_s = min([await cli(master.address, "tasks") for _ in range(5)])
        all_json_s = await cli(master.address, "tasks", "--json")
        return {
            "agents": agents,
            "tasks": tasks,
            "tasks_s": round(tasks_s, 2),
            "all_json_s": round(all_json_s, 2),
            "version_s": round(version_s, 2),
            "longest_block_ms": round(watch.longest_s * 1000, 1),
            "master_bytes_per_task": grown // tasks,
        }
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()


@click.command()
@click.option("--agents", default=100, show_default=True, help="How many agents.")
@click.option("--tasks", default=100_000, show_default=True, help="How many tasks run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, as_json: bool) -> None:
    """Measure listings."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), agents, tasks))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
