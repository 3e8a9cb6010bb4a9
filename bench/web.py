"""How long does somebody wait for the page of a large cluster?  python bench/web.py --tasks N

A master, simulated agents, a framework that launches N tasks which run on, and Chromium. Then, each
the median of five:

- first_paint_ms: from the address of the tasks to the first thing that is seen.
- rows_ms: from there to the first rows.
- filter_ms: from a word that few tasks have, typed, to these tasks.
- sort_ms: from a click on the head of a column to the rows in that order.
- map_ms: from the address of the agents to the map of all.
- heap_mib: what the browser holds in the end.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
from failover import Launcher, LoadGenerator, until
from playwright.async_api import Page, async_playwright

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_testing.components import Roles

TIMES = 5
ROWS = "main tbody tr:not(.space)"
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


async def median_ms(measure: Callable[[int], Awaitable[float]]) -> float:
    return round(statistics.median([await measure(n) for n in range(TIMES)]), 1)


async def look(page: Page, url: str, tasks: int) -> dict[str, float]:
    """What somebody waits for who looks at tasks and agents."""

    async def timed(do: Callable[[], Awaitable[object]], seen: str) -> float:
        begin = time.perf_counter()
        await do()
        await page.wait_for_function(seen, polling="raf")
        return (time.perf_counter() - begin) * 1000

    async def first_paint(_: int) -> float:
        await page.goto(f"{url}/tasks")
        await page.wait_for_selector(ROWS)
        return float(await page.evaluate(FIRST_PAINT))

    async def rows(_: int) -> float:
        begin = time.perf_counter()
        await page.goto(f"{url}/tasks")
        await page.wait_for_selector(ROWS)
        return (time.perf_counter() - begin) * 1000

    async def filtered(number: int) -> float:
        # Few tasks have such a number, whose ids count up.
        word = str(tasks - 7 - number)
        field = page.locator("main input[type=search]")
        ends = f"document.querySelector('{ROWS}')?.textContent.includes('{word}')"
        return await timed(lambda: field.fill(word), ends)

    async def sort(number: int) -> float:
        head = page.locator("th a", has_text="Task")
        way = ("ascending", "descending")[number % 2]
        want = f"document.querySelector('th[aria-sort={way}]') && document.querySelector('{ROWS}')"
        return await timed(head.click, want)

    async def mapped(_: int) -> float:
        begin = time.perf_counter()
        await page.goto(f"{url}/agents")
        await page.wait_for_selector("canvas.map")
        return (time.perf_counter() - begin) * 1000

    out = {"first_paint_ms": await median_ms(first_paint), "rows_ms": await median_ms(rows)}
    out["filter_ms"] = await median_ms(filtered)
    await page.goto(f"{url}/tasks")
    await page.wait_for_selector(ROWS)
    out["sort_ms"] = await median_ms(sort)
    out["map_ms"] = await median_ms(mapped)
    heap = await page.evaluate("performance.memory.usedJSHeapSize")
    return out | {"heap_mib": round(heap / 2**20, 1)}


async def measure(folder: Path, agents: int, tasks: int) -> dict[str, float]:
    """Launch the tasks, then look at them."""
    roles, load, launcher = Roles(folder), LoadGenerator(), Launcher(tasks)
    running: list[asyncio.Task[None]] = []
    try:
        flags = ("--log-level", "warning", "--agent-ping-timeout", "15", "--http-port", "0")
        master = roles.master("master", *flags)
        assert master.process.stdout is not None
        url = master.process.stdout.readline().decode().removeprefix("web ").strip()
        each = -(-tasks // agents) + 1
        resources = f"cpus:{each};mem:{each * 64};disk:1000"
        running.append(asyncio.create_task(load.run(master.address, agents, resources)))
        await until("all agents", lambda: load.last["registered"] == agents, 300)
        info = pb.FrameworkInfo(name="bench", capabilities=[pb.PARTITION_AWARE])
        running.append(asyncio.create_task(Driver(launcher, info, master.address).run()))
        await until("all tasks", lambda: launcher.running == tasks, 900)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = await browser.new_page(bypass_csp=True)  # for what is waited for
            try:
                return {"agents": agents, "tasks": tasks} | await look(page, url, tasks)
            finally:
                await browser.close()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        roles.close()


@click.command()
@click.option("--agents", default=1000, show_default=True, help="How many agents.")
@click.option("--tasks", default=100_000, show_default=True, help="How many tasks run.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, as_json: bool) -> None:
    """Measure the page."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), agents, tasks))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
