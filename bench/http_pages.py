"""What do open pages cost a master?  python bench/http_pages.py [--json]

Three standalone masters take turns. Each has simulated agents (bench/loadgen.py) and a framework
that launches tasks that end at once, as in throughput.py. Nobody watches the first. The second
notes what happens, since it was watched a moment ago. The third has pages open, 20 of each address,
in a process of their own: each hears `/v1/events` and asks for lists, as the web page does where
much happens. What counts is the masters' CPU, compared within a round of turns: wall time would
count what the readers take of the same cores, and all cores are slower at times.

- tasks_per_s, master_cpu_ms_per_task: of the three, the median of their turns.
- noting: how much more CPU a task takes on the second than on the first.
- pages_cpu_ms_per_s: what the pages take of the third beside that, however many tasks there are.
- cost: the part of the throughput that both take of a master that uses all of a core.
- bytes_per_page: what a page was sent for each task.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from failover import LoadGenerator, until
from throughput import HELD, Sprinter

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_testing.components import Roles, cpu_s_of, free_port

OF_THE_PAGE = "without_state=true&latest=100"  # what the web page asks for
OF_AN_ADDRESS = 20
# What a page asks for again and again, how often, and how old the answers may be.
LISTS = ("/v1/overview?failures=50", "/v1/tasks?limit=200&sort=-launched")
ASKS_EVERY_S = 5.0
HEADERS = "Host: 127.0.0.1\r\nCache-Control: max-age=2\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
AT_ONCE, IN_FLIGHT = 16, 500


async def read_pages(port: int, query: str, pages: int, *, asks: bool) -> None:
    """Open pages and read them until standard input ends; then say how much came."""
    came = 0
    opened, opening = asyncio.Semaphore(0), asyncio.Semaphore(OF_AN_ADDRESS)

    async def read(number: int) -> None:
        nonlocal came
        own = f"127.0.0.{number // OF_AN_ADDRESS + 2}"
        async with opening:  # the master has few connections that are no streams
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))
            head = f"GET /v1/events?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"event: complete")
        opened.release()
        while part := await reader.read(1 << 20):
            came += len(part)

    async def ask(number: int) -> None:
        nonlocal came
        own = f"127.0.0.{number // OF_AN_ADDRESS + 2}"
        await asyncio.sleep(ASKS_EVERY_S * number / pages)
        # One connection for all that a page asks, as browsers have it.
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(own, 0))
        while True:
            for path in LISTS:
                writer.write(f"GET {path} HTTP/1.1\r\n{HEADERS}".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                length = LENGTH.search(head)
                if not head.startswith(b"HTTP/1.1 200") or length is None:
                    raise RuntimeError(f"{path}: {head!r}")
                came += len(head) + len(await reader.readexactly(int(length[1])))
            await asyncio.sleep(ASKS_EVERY_S)

    reading = [asyncio.create_task(read(number)) for number in range(pages)]
    for _ in reading:
        await opened.acquire()
    print("open", flush=True)
    asking = [asyncio.create_task(ask(number)) for number in range(pages if asks else 0)]
    await asyncio.to_thread(sys.stdin.read)
    print(came, flush=True)
    for one in asking:
        if one.done():
            one.result()
    for one in (*reading, *asking):
        one.cancel()


class Pages:
    """A process that has pages open."""

    def __init__(self, port: int, query: str, pages: int, *, asks: bool) -> None:
        self._arguments = ["--read", str(port), "--query", query, "--pages", str(pages)]
        self._arguments += ["--asks" if asks else "--no-asks"]
        self._process: asyncio.subprocess.Process | None = None

    async def open(self) -> None:
        """Return once all are."""
        self._process = await asyncio.create_subprocess_exec(
            *("nice", sys.executable, __file__, *self._arguments),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        if await asyncio.wait_for(self._process.stdout.readline(), 120) != b"open\n":
            raise RuntimeError("the pages could not be opened")

    async def close(self) -> int:
        """How many bytes came."""
        assert self._process is not None
        said, _ = await self._process.communicate(b"")
        return int(said)


class Side:
    """One master, with its agents and a framework that sprints when it is told."""

    def __init__(self, roles: Roles, name: str, agents: int) -> None:
        self.port = free_port()
        quiet = ("--log-level", "warning", "--agent-ping-timeout", "15")
        self._master = roles.master(name, *quiet, *HELD, "--http-port", str(self.port))
        self._agents = agents
        self._load = LoadGenerator()
        self._sprinter = Sprinter(0, IN_FLIGHT, 0)
        info = pb.FrameworkInfo(name="bench", capabilities=[pb.PARTITION_AWARE])
        self._driver = Driver(self._sprinter, info, self._master.address)
        self.turns: list[tuple[float, float]] = []

    async def begin(self, running: list[asyncio.Task[None]]) -> None:
        """Return once all agents are there."""
        resources = f"cpus:{AT_ONCE};mem:{AT_ONCE * 32};disk:1000"
        load = self._load.run(self._master.address, self._agents, resources)
        running.append(asyncio.create_task(load))
        await until("all agents", lambda: self._load.last["registered"] == self._agents, 180)
        running.append(asyncio.create_task(self._driver.run()))

    async def turn(self, tasks: int) -> None:
        """Note the tasks per second, and the master's CPU for each in milliseconds."""
        pid, began_s = self._master.process.pid, time.perf_counter()
        cpu_s = cpu_s_of(pid)
        self._sprinter.more(self._driver, tasks)
        await asyncio.wait_for(self._sprinter.done.wait(), 600)
        took_s = time.perf_counter() - began_s
        self.turns.append((tasks / took_s, (cpu_s_of(pid) - cpu_s) / tasks * 1000))


async def measure_pages(
    folder: Path, agents: int, tasks: int, turns: int, pages: int, query: str, *, asks: bool
) -> dict[str, Any]:
    """Launch tasks on masters that nobody watches, that note what happens, and with pages."""
    roles = Roles(folder)
    sides = [Side(roles, name, agents) for name in ("never", "noted", "pages")]
    running: list[asyncio.Task[None]] = []
    try:
        for side in sides:
            await side.begin(running)
        glance = Pages(sides[1].port, query, 1, asks=False)
        await glance.open()
        await glance.close()
        opened = Pages(sides[2].port, query, pages, asks=asks)
        await opened.open()
        await asyncio.sleep(ASKS_EVERY_S)  # in which each has begun to ask
        for number in range(turns + 1):
            for at in range(len(sides)):
                await sides[(number + at) % len(sides)].turn(tasks)
        came = await opened.close()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()
    rounds = list(zip(*(side.turns[1:] for side in sides), strict=True))  # in the first all is new
    rates, cpus = (
        [statistics.median(one[at][part] for one in rounds) for at in range(len(sides))]
        for part in (0, 1)
    )
    noting = statistics.median(noted[1] / never[1] - 1 for never, noted, _ in rounds)
    pages_ms_per_s = statistics.median((to[1] - noted[1]) * to[0] for _, noted, to in rounds)
    return {
        "tasks_per_s": [round(rate) for rate in rates],
        "master_cpu_ms_per_task": [round(cpu, 3) for cpu in cpus],
        "noting": round(noting, 3),
        "pages_cpu_ms_per_s": round(pages_ms_per_s, 1),
        "cost": round(1 - (1 - pages_ms_per_s / 1000) / (1 + noting), 3),
        "bytes_per_page": round(came / max(1, pages) / ((turns + 1) * tasks)),  # 0 without pages
    }


@click.command()
@click.option("--agents", default=100, show_default=True, help="How many agents.")
@click.option("--tasks", default=2000, show_default=True, help="How many tasks in a turn.")
@click.option("--turns", default=15, show_default=True, help="How many turns each master has.")
@click.option("--pages", default=200, show_default=True, help="How many pages are open.")
@click.option("--query", default=OF_THE_PAGE, show_default=True, help="Of their streams.")
@click.option("--read", type=int, default=None, hidden=True)
@click.option("--asks/--no-asks", default=True, help="Whether they ask for lists, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    agents: int,
    tasks: int,
    turns: int,
    pages: int,
    query: str,
    read: int | None,
    asks: bool,
    as_json: bool,
) -> None:
    """Measure what open pages cost."""
    if read is not None:
        asyncio.run(read_pages(read, query, pages, asks=asks))
        return
    result: dict[str, Any] = {
        "agents": agents,
        "tasks": tasks,
        "pages": pages,
        "query": query,
        "asks": asks,
    }
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        measured = measure_pages(Path(folder), agents, tasks, turns, pages, query, asks=asks)
        result |= asyncio.run(measured)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
