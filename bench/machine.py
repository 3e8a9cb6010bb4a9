"""How fast is this machine?  python bench/machine.py [--json]

What figures of other scripts hang on, measured in a few seconds:

- spawn_per_s: `/bin/sh -c true` started and reaped by a bare loop, 64 at a time.
- fsync_ms: 4 KiB appended to a file of the folder for temporary files and synced, p50 and p99.
- echo_messages_per_s: messages of a bare grpc.aio echo over ten connections (bench/echo.py).
- loop_ms: a loop of pure Python, the best of five: one core, without the system.
- load_1min: what else it does. Figures of a machine that is loaded are coarse.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import click
import psutil
from echo import measure as measure_echo
from peering.bare import Bare

SPAWNS, SYNCS, MESSAGES = 300, 100, 10_000


def fsync_ms(folder: Path, times: int) -> list[float]:
    """Milliseconds of each append of 4 KiB that is synced."""
    out = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(times):
            begin_s = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            out.append((time.perf_counter() - begin_s) * 1000)
    return out


def spawn_per_s(spawns: int) -> float:
    """Return how many processes a bare loop starts and reaps in a second."""
    begin_s = time.perf_counter()
    Bare().burst(spawns)
    return spawns / (time.perf_counter() - begin_s)


def loop_ms() -> float:
    """Return the least of five loops."""
    times = []
    for _ in range(5):
        begin_s = time.perf_counter()
        sum(number * number for number in range(200_000))
        times.append(time.perf_counter() - begin_s)
    return min(times) * 1000


def _processor() -> str:
    """The name of the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def calibrate(folder: Path) -> dict[str, object]:
    """Return what the machine is and how fast it is; the folder's disk is the one that counts."""
    load = os.getloadavg()[0]
    syncs = statistics.quantiles(fsync_ms(folder, SYNCS), n=100, method="inclusive")
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1min": round(load, 1),
        "spawn_per_s": round(spawn_per_s(SPAWNS)),
        "fsync_ms": {"p50": round(syncs[49], 2), "p99": round(syncs[98], 2)},
        "echo_messages_per_s": round(
            MESSAGES / asyncio.run(measure_echo(10, MESSAGES, b"x" * 150))
        ),
        "loop_ms": round(loop_ms(), 1),
    }


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(as_json: bool) -> None:
    """Measure the machine."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        found = calibrate(Path(folder))
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
