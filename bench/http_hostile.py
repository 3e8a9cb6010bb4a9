"""What can strangers take of a master by HTTP?  python bench/http_hostile.py [--json]

One standalone master without anything else to do. Strangers of many addresses open connections and
say nothing, send headers a byte at a time, or begin bodies that are huge and do not end. Meanwhile
somebody asks `/health` and the first page of `/v1/agents` again and again.

- memory_mib: the master's memory before they came, at its most, and after they went; aim: 64 more.
- health_ms, list_ms: the median and the longest of what it answered meanwhile.
- unanswered: how many of these requests failed; aim: none.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import click
import psutil

from pymesos_testing.components import Roles, free_port

SLOW = b"GET /v1/agents HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HUGE = (
    b"POST /v1/weights/set HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 16000\r\n\r\n" + b" " * 8000
)
OF_AN_ADDRESS = 200
AT_ONCE = 200


async def be_a_nuisance(port: int, number: int, opening: asyncio.Semaphore) -> None:
    """One connection, opened again whenever it is ended."""
    own = f"127.0.{number // OF_AN_ADDRESS // 250 + 1}.{number // OF_AN_ADDRESS % 250 + 2}"
    first = (b"", SLOW, HUGE)[number % 3]
    while True:
        writer = None
        try:
            async with opening:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, local_addr=(own, 0)
                )
            writer.write(first)
            if first is SLOW:
                while not reader.at_eof():
                    await asyncio.sleep(1.0)
                    writer.write(b"a")
                    await writer.drain()
            while await reader.read(1 << 16):
                pass
        except OSError:
            pass
        finally:
            if writer is not None:
                writer.close()
        await asyncio.sleep(1.0)


async def measure(folder: Path, connections: int, for_s: float) -> dict[str, Any]:
    """Have them come, and go again."""
    port, roles = free_port(), Roles(folder)
    try:
        master = roles.master("master", "--log-level", "warning", "--http-port", str(port))
        memory = psutil.Process(master.process.pid).memory_info
        url = f"http://127.0.0.1:{port}"
        took: dict[str, list[float]] = {"/health": [], "/v1/agents": []}
        unanswered = 0

        async def ask(until_s: float) -> int:
            nonlocal unanswered
            most = 0
            for path in itertools.cycle(took):
                if time.perf_counter() > until_s:
                    return most
                most = max(most, memory().rss)
                began_s = time.perf_counter()
                try:
                    async with aiohttp.ClientSession() as session, session.get(url + path) as got:
                        await got.read()
                        unanswered += got.status != 200
                except (OSError, aiohttp.ClientError):
                    unanswered += 1
                took[path].append(time.perf_counter() - began_s)
                await asyncio.sleep(0.1)
            raise AssertionError

        before = await ask(time.perf_counter() + 2)
        for some in took.values():
            some.clear()
        opening = asyncio.Semaphore(AT_ONCE)
        strangers = [
            asyncio.create_task(be_a_nuisance(port, number, opening))
            for number in range(connections)
        ]
        most = await ask(time.perf_counter() + for_s)
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)
        await asyncio.sleep(2)
        after = memory().rss
    finally:
        roles.close()
    return {
        "memory_mib": [round(some / 2**20, 1) for some in (before, most, after)],
        "unanswered": unanswered,
        **{
            name: {
                "p50": round(statistics.median(took[path]) * 1000, 1),
                "longest": round(max(took[path]) * 1000, 1),
            }
            for name, path in (("health_ms", "/health"), ("list_ms", "/v1/agents"))
        },
    }


@click.command()
@click.option("--connections", default=10_000, show_default=True, help="Of strangers.")
@click.option("--for", "for_s", default=20.0, show_default=True, help="Seconds that they stay.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(connections: int, for_s: float, as_json: bool) -> None:
    """Measure what strangers take of a master."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = {"connections": connections} | asyncio.run(
            measure(Path(folder), connections, for_s)
        )
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
