"""Peers that open all they can and say nothing leave a master as it was, and others served."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import grpc.aio
import psutil

from pymesos_core.addresses import parse_host_port
from pymesos_core.grpc_transport import open_channel
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_testing.components import Roles, wait_for

FLOOD = str(Path(__file__).parents[2] / "bench/flood.py")
FLOODED_S = 15.0
MOST_MIB = 64.0
AFTER_S = 60.0
SERVED_S = 20.0  # on a busy machine


async def served(address: str, over: asyncio.Event) -> float:
    """How long somebody else waits at the most for an answer, or to be let in at last."""
    longest_s = 0.0
    async with open_channel(parse_host_port(address)) as channel:
        stub: Any = OperatorStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        while not over.is_set():
            begin_s = time.monotonic()
            while True:
                try:
                    await stub.ListAgents(pb.ListAgentsRequest())
                    break
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)
            longest_s = max(longest_s, time.monotonic() - begin_s)
            await asyncio.sleep(0.05)
    return longest_s


async def test_20_000_silent_streams(roles: Roles) -> None:
    master = roles.master()
    process = psutil.Process(master.process.pid)

    def mib() -> float:
        return float(process.memory_info().rss) / 2**20

    async with open_channel(parse_host_port(master.address)) as channel:
        stub: Any = OperatorStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        for _ in range(100):
            await stub.ListAgents(pb.ListAgentsRequest())
    begin_mib, over = mib(), asyncio.Event()
    other = asyncio.create_task(served(master.address, over))
    flood = await asyncio.create_subprocess_exec(
        "nice", sys.executable, FLOOD, "silent_streams", "--master", master.address
    )
    try:
        await asyncio.sleep(FLOODED_S)
    finally:
        flood.terminate()
        await flood.wait()
    over.set()
    assert await other < SERVED_S
    await asyncio.to_thread(
        wait_for, "the master is small again", lambda: mib() < begin_mib + MOST_MIB, AFTER_S
    )
