"""How long does a master's event loop keep others waiting?  python bench/lag.py --master ADDRESS

Asks for the master's health every 10 ms until SIGTERM, in a process that does nothing else, and
then prints how long the answers took: what whoever comes next waits for, at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator

import click
import grpc.aio

from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub

EVERY_S = 0.01
READY = "ready"


async def ask(master: str) -> list[float]:
    """How long each answer took, in milliseconds."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    took_ms: list[float] = []
    async with grpc.aio.insecure_channel(master) as channel:
        stub = OperatorStub(channel)
        await stub.GetHealth(pb.GetHealthRequest(), wait_for_ready=True)
        print(READY, flush=True)
        while not stop.is_set():
            begin_s = time.perf_counter()
            await stub.GetHealth(pb.GetHealthRequest())
            took_ms.append((time.perf_counter() - begin_s) * 1000)
            await asyncio.sleep(EVERY_S)
    return took_ms


def summed_up(took_ms: list[float]) -> dict[str, float]:
    """The figures."""
    cuts = statistics.quantiles(took_ms, n=100, method="inclusive") if len(took_ms) > 1 else []
    return {
        "asked": len(took_ms),
        "p50_ms": round(cuts[49], 1) if cuts else 0.0,
        "p99_ms": round(cuts[98], 1) if cuts else 0.0,
        "longest_ms": round(max(took_ms, default=0.0), 1),
    }


class Lag:
    """This script as a process beside the one that measures something else."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def of(self, master: str) -> AsyncIterator[None]:
        """Ask while this block lasts; then `found` has the figures."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--master", master), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            ready = (await process.stdout.readline()).decode().strip()
            assert ready == READY, ready
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            said, _ = await process.communicate()
        self.found = json.loads(said)


@click.command()
@click.option("--master", required=True, help="host:port")
def main(master: str) -> None:
    """Ask a master for its health until SIGTERM."""
    print(json.dumps(summed_up(asyncio.run(ask(master)))))


if __name__ == "__main__":
    main()
