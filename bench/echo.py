"""The floor of anything on gRPC: a bare echo over many streams, by a server process of its own.

Used by throughput.py. `python bench/echo.py serve` prints its port and echoes until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from pymesos_core.grpc_transport import CHANNEL_OPTIONS

METHOD = "/bench.Echo/Connect"


class _Handler(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        """Echo whatever comes, as bytes."""
        return grpc.stream_stream_rpc_method_handler(_echo)


async def _echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve() -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def measure(streams: int, messages: int, payload: bytes) -> float:
    """Seconds until `messages` have gone to and fro over `streams` connections."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "serve", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    channels = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        for _ in range(streams)
    ]
    try:
        calls: list[Any] = []
        for first in range(0, streams, 20):  # a thousand at once overrun the server's backlog
            group: list[Any] = [
                channel.stream_stream(METHOD)() for channel in channels[first : first + 20]
            ]
            await asyncio.gather(*(_ping(call, 1, payload) for call in group))
            calls += group
        begin = time.perf_counter()
        each = max(1, messages // (2 * streams))  # an echo is two messages
        await asyncio.gather(*(_ping(call, each, payload) for call in calls))
        return (time.perf_counter() - begin) * messages / (2 * each * streams)
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
        process.terminate()
        await process.wait()


async def _ping(call: Any, times: int, payload: bytes) -> None:
    for _ in range(times):
        await call.write(payload)
        await call.read()


if __name__ == "__main__":
    asyncio.run(serve())
