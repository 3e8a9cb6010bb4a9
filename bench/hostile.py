"""What does a neighbour notice of a hostile peer?  python bench/hostile.py [--json] [KIND…]

One standalone master and simulated agents (bench/loadgen.py), and a framework that behaves: it
wants one task, gets an offer, launches it, and hears that it runs; then it wants nothing for a
moment. Beside it, from a process of its own, one kind of flood at a time (bench/flood.py).
Those that behave come from an address of their own (OURS, by a relay), since the peers of one
address share what that may take of a master. With --same-address they share the flood's. The
flood is nice: it would come from another machine, and is not to take this one's CPU from the rest.

- neighbour_p99_ms, neighbour_p50_ms: from wanting a task (REVIVE) to TASK_RUNNING.
- launches: how many of them were measured.
- master_mib: by how much the master's memory grew during the flood.
- left_mib: how much of that it still has when the flood is over, its streams have ended, and what
  is free has gone back (pymesos_core/garbage.py).

`quiet` is the same without a flood. The aim is a p99 below 500 ms beside each kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import psutil
from failover import LoadGenerator, until
from flood import FLOODS

from pymesos_core.addresses import HostPort, parse_host_port
from pymesos_core.budgets import FIRST_MESSAGE_S
from pymesos_core.garbage import LOOK_S
from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.components import Role, Roles

TASK = parse("cpus:1;mem:32")
QUIET = "quiet"
FLOODED, OURS = "127.0.0.1", "127.0.0.2"
PAUSE_S = 0.02
WARM_UP_S = 1.0
MIB = 1024 * 1024


class Neighbour(Scheduler):
    """Wants one task after the other."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self._launched = 0
        self._wanted: str | None = None
        self._running = asyncio.Event()
        self._subscribed = asyncio.Event()

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        """See Scheduler."""
        driver.suppress()
        self._subscribed.set()

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        for offer in offers:
            if self._wanted is None or not from_proto(offer.resources).contains(TASK):
                driver.decline([offer.offer_id], refuse_s=0)
                continue
            info = pb.TaskInfo(
                task_id=self._wanted,
                name="neighbour",
                agent_id=offer.agent_id,
                resources=to_proto(TASK),
                command=pb.CommandInfo(shell=True, value="0"),
            )
            self._wanted = None
            driver.suppress()
            driver.accept([offer.offer_id], [info], refuse_s=0)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler."""
        if status.task_id == f"t{self._launched}":
            self._running.set()

    async def launch(self, driver: Driver) -> None:
        """Want one task, until it runs."""
        await self._subscribed.wait()
        self._launched += 1
        self._running.clear()
        self._wanted = f"t{self._launched}"
        begin_s = time.monotonic()
        driver.revive()
        await self._running.wait()
        self.latencies_s.append(time.monotonic() - begin_s)


@contextlib.asynccontextmanager
async def relay(master: HostPort, ours: str) -> AsyncIterator[str]:
    """An address that leads to a master, to which its connections are from the address `ours`."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):  # at the end of the relay
            there = await asyncio.open_connection(master.host, master.port, local_addr=(ours, 0))
            await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    async with await asyncio.start_server(connect, master.host, 0) as server:
        yield f"{master.host}:{server.sockets[0].getsockname()[1]}"


async def measure(
    kind: str, folder: Path, agents: int, seconds: float, ours: str
) -> dict[str, float]:
    """Beside one kind of flood, with the neighbour and the agents at the address `ours`."""
    roles = Roles(folder)
    load, neighbour = LoadGenerator(), Neighbour()
    running: list[asyncio.Task[None]] = []
    flooding: asyncio.subprocess.Process | None = None
    closing = contextlib.AsyncExitStack()
    try:
        flags = ("--log-level", "error", "--agent-ping-timeout", "15", "--no-http")
        master = roles.master("master", *flags)
        behaving = await closing.enter_async_context(relay(parse_host_port(master.address), ours))
        info = pb.FrameworkInfo(name="neighbour", capabilities=[pb.PARTITION_AWARE])
        driver = Driver(neighbour, info, behaving)
        running.append(asyncio.create_task(load.run(behaving, agents, "cpus:8;mem:4096")))
        await until("all agents", lambda: load.last["registered"] == agents, 60)
        running.append(asyncio.create_task(driver.run()))
        await neighbour.launch(driver)
        before_mib = _mib(master)
        if kind != QUIET:
            script = str(Path(__file__).with_name("flood.py"))
            flooding = await asyncio.create_subprocess_exec(
                "nice", sys.executable, script, kind, "--master", master.address,
                stderr=(folder / "flood.log").open("wb"),
            )  # fmt: skip
        await asyncio.sleep(WARM_UP_S)
        neighbour.latencies_s.clear()
        measured = await _launch_for(seconds, neighbour, driver)
        measured["master_mib"] = round(_mib(master) - before_mib, 1)
        if flooding is not None:
            await _end(flooding)
            await asyncio.sleep(FIRST_MESSAGE_S + LOOK_S)
        return {**measured, "left_mib": round(_mib(master) - before_mib, 1)}
    finally:
        if flooding is not None:
            await _end(flooding)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()
        await closing.aclose()


async def _end(flooding: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        flooding.terminate()
    await flooding.wait()


def _mib(master: Role) -> float:
    return psutil.Process(master.process.pid).memory_info().rss / MIB


async def _launch_for(seconds: float, neighbour: Neighbour, driver: Driver) -> dict[str, float]:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        await asyncio.wait_for(neighbour.launch(driver), 120)
        await asyncio.sleep(PAUSE_S)
    latencies_ms = sorted(s * 1000 for s in neighbour.latencies_s)
    return {
        "neighbour_p50_ms": round(statistics.median(latencies_ms), 1),
        "neighbour_p99_ms": round(latencies_ms[int(len(latencies_ms) * 0.99)], 1),
        "launches": len(latencies_ms),
    }


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice([QUIET, *FLOODS]))
@click.option("--agents", default=20, show_default=True, help="How many agents.")
@click.option("--seconds", default=8.0, show_default=True, help="How long for each kind.")
@click.option("--same-address", is_flag=True, help="The neighbour is at the flood's address.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    kinds: tuple[str, ...], agents: int, seconds: float, same_address: bool, as_json: bool
) -> None:
    """Measure a neighbour's launches beside each kind of flood: all of them, or those named."""
    results = {}
    ours = FLOODED if same_address else OURS
    for kind in kinds or (QUIET, *FLOODS):
        with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
            results[kind] = asyncio.run(measure(kind, Path(folder), agents, seconds, ours))
        if not as_json:
            row = results[kind]
            print(
                f"{kind:18} p50 {row['neighbour_p50_ms']:8} ms   p99 {row['neighbour_p99_ms']:8} ms"
                f"   {row['launches']:5} launches   {row['master_mib']:+7} MiB,"
                f" {row['left_mib']:+7} after it",
                flush=True,
            )
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
