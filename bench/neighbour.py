"""Does a bully slow its neighbour down?  python bench/neighbour.py --runtime oci [--json]

On one agent a task does a little work every few milliseconds and notes how long each piece took:
alone, then beside a bully that eats memory past its limit, one that forks without end, one that
fills its disk, one that spins on every core, and one that does so on what nobody uses (revocable).
Figures:

- p99_ms: of the pieces, alone and beside each bully.
- ratio: the p99 beside each bully to the p99 alone. Alone is measured before and after, and counted
  as one.
- cpu_share_kept: beside the spinning bully the task computes without pause; the CPU time it got to
  what its share entitles it to, 1.0 or more when it is kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from launch import Timed, ended

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.placement.packing import DEFAULT_POLICY, read_policy
from pymesos_cli.local.cluster import LocalCluster
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb

MARK = "pieces:"
PYTHON = "/usr/bin/python3"  # a container without an image sees the machine's /usr
PIECES = """
import hashlib, time, sys
data, times, end = b"x" * 200_000, [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    begin = time.perf_counter()
    hashlib.sha256(data).digest()
    times.append(round((time.perf_counter() - begin) * 1000, 3))
    time.sleep(0.004)
print("pieces:", *times, flush=True)
"""
SPIN = """
import time, sys
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    pass
print("pieces:", time.process_time(), flush=True)
"""
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
EAT = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"
SPIN_ON_EVERY_CORE = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
BULLIES: dict[str, dict[str, Any]] = {
    "memory": {"command": EAT, "resources": {"cpus": 0.1, "mem": 64}, "retries": 1000},
    "pids": {
        "command": f"exec {PYTHON} -c '{BOMB}'",
        "pids_max": 100,
        # Enough for a hundred processes: it is to be held by their number.
        "resources": {"cpus": 0.1, "mem": 1024},
        "retries": 1000,
    },
    "disk": {
        "command": "dd if=/dev/zero of=$PYMESOS_SANDBOX/big bs=1M count=200; sleep 1000",
        "resources": {"cpus": 0.1, "mem": 64, "disk": 50},
        "retries": 1000,
    },
    "cpu": {"command": SPIN_ON_EVERY_CORE},
    "revocable": {
        "command": SPIN_ON_EVERY_CORE,
        "resources": {"cpus": 1, "mem": 64},
        "revocable": True,
    },
}
STAYING = ("cpu", "revocable")  # the others are ended by their limits, and begun again
NEIGHBOUR_CPUS, BULLY_CPUS = 1.0, 0.1


class Bench:
    """One agent, and the framework that puts both tasks on it."""

    def __init__(self, binpack: Timed, runtime: str, sandboxes: Path, seconds: float) -> None:
        self._binpack, self._runtime = binpack, runtime
        self._sandboxes, self._seconds = sandboxes, seconds
        self._jobs = 0

    async def _submit(self, **task: Any) -> str:
        self._jobs += 1
        task = {"name": "t", "runtime": self._runtime, **task}
        job = parse_job({"name": f"bench{self._jobs}", "tasks": [task]})
        return await self._binpack.submit(job, f"job-{self._jobs}")

    async def beside(self, bully: str | None, script: str) -> list[float]:
        """What the neighbour wrote."""
        job_id = None
        if bully is not None:
            job_id = await self._submit(**BULLIES[bully])
            await self._begun(job_id)
        quoted = script.replace("'", "'\\''")
        mine = await self._submit(
            command=f"exec {PYTHON} -c '{quoted}' {self._seconds:g}",
            resources={"cpus": NEIGHBOUR_CPUS, "mem": 128},
        )
        await ended(self._binpack, mine)
        if bully in STAYING:
            (instance,) = self._binpack.core.jobs[str(job_id)].instances
            if instance.saved.attempts > 1 or not instance.live:
                raise click.ClickException(f"the bully {bully} was not there all the time")
        if job_id is not None:
            await self._binpack.stop_job(job_id)
            while not self._binpack.core.jobs[job_id].is_over:
                await asyncio.sleep(0.1)
        texts = [p.read_text(errors="replace") for p in self._sandboxes.glob("*/*/stdout")]
        (said,) = [t for t in texts if t.startswith(MARK)]
        for path in self._sandboxes.glob("*/*/stdout"):
            if path.read_text(errors="replace").startswith(MARK):
                path.write_text("")
        return [float(word) for word in said.split()[1:]]

    async def _begun(self, job_id: str) -> None:
        """Until it does what it does. What nobody uses is offered after some seconds."""
        while not any(task_id.startswith(job_id) for task_id in self._binpack.running_at):
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)


def p99(times: list[float]) -> float:
    """The 99th percentile of times in milliseconds."""
    return statistics.quantiles(times, n=100, method="inclusive")[98]


async def measure(folder: Path, runtime: str, seconds: float) -> dict[str, object]:
    """Alone, beside each bully, alone again."""
    folder.chmod(0o711)  # tasks of other users find their sandboxes
    cluster = LocalCluster(folder)
    try:
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", "0", "--work-dir", str(folder / "master"), "--log-level", "warning"),
            "--no-http",
        )
        cluster.start(
            "agent",
            "pymesos_agent.main",
            *("--port", "0", "--master", master.address, "--work-dir", str(folder / "agent")),
            *("--resources", "cpus:4;mem:4096;disk:4096", "--runtime", runtime),
            *("--kill-tasks-on-exit", "--log-level", "warning", "--revocable-margin", "20"),
        )
        can = [pb.PARTITION_AWARE, pb.REVOCABLE_RESOURCES]
        info = pb.FrameworkInfo(name="bench", capabilities=can)
        core = BinpackCore(read_policy(DEFAULT_POLICY), {})
        binpack = Timed(core, Store(folder / "framework.sqlite"), info, master.address)
        running = asyncio.create_task(binpack.run())
        bench = Bench(binpack, runtime, folder / "agent/guarded/sandboxes", seconds)
        alone = await bench.beside(None, PIECES)
        beside = {name: p99(await bench.beside(name, PIECES)) for name in BULLIES}
        alone += await bench.beside(None, PIECES)
        (cpu_s,) = await bench.beside("cpu", SPIN)
        binpack.driver.teardown()
        await running
    finally:
        cluster.stop()
    # Of one core at the most: it has one thread, and its share of all cores is more than that.
    cores = os.cpu_count() or 1
    entitled = min(1.0, cores * NEIGHBOUR_CPUS / (NEIGHBOUR_CPUS + BULLY_CPUS))
    own = p99(alone)
    return {
        "runtime": runtime,
        "p99_ms": {"alone": round(own, 3), **{n: round(v, 3) for n, v in beside.items()}},
        "ratio": {name: round(value / own, 3) for name, value in beside.items()},
        "cpu_share_kept": round(cpu_s / seconds / entitled, 3),
        "seconds": seconds,
    }


@click.command()
@click.option("--runtime", type=click.Choice(["process", "oci"]), default="process")
@click.option("--seconds", default=30.0, show_default=True, help="Of each measurement.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(runtime: str, seconds: float, as_json: bool) -> None:
    """Measure a task alone and beside each bully."""
    if os.geteuid() != 0:
        raise click.ClickException("limits that hold need root")
    if not Path(PYTHON).exists():
        raise click.ClickException(f"{PYTHON} is missing (Debian: apt-get install python3)")
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), runtime, seconds))
    print(json.dumps(result) if as_json else json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
