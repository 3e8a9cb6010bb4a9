"""How long does somebody wait for the page of a large cluster?  python bench/web.py --tasks N

A master, simulated agents, a framework that launches N tasks which run on, and Chromium. Then, each
the median of five (`--times`):

- first_paint_ms: from the address of the tasks to the first thing that is seen.
- rows_ms: from there to the first rows.
- filter_ms: from a word that few tasks have, typed, to these tasks.
- sort_ms: from a click on the head of a column to the rows in that order.
- map_ms: from the address of the agents to the map of all.
- heap_mib: what the browser holds then.
- quiet_script_ms: the CPU time of script in 8 s of a page of tasks that nothing happens to, with
  the collection of its garbage and the layout that it waits for.
- change_script_ms: how much more it is when 1,000 tasks are killed as these 8 s begin, all that are
  in sight among them. They last until others are shown in their place, if that is later.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import click
from failover import Launcher, LoadGenerator, until
from playwright.async_api import Page, async_playwright, expect

from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver
from pymesos_testing.components import Roles

CHANGED, CHANGE_S = 1000, 8.0
ROWS = "main tbody tr:not(.space)"
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


# What a browser's trace calls script, and in which of its categories that is.
SCRIPT = frozenset({"v8.callFunction", "v8.run", "RunMicrotasks", "MinorGC", "MajorGC"})
TRACED = ["devtools.timeline", "v8", "v8.execute", "-*"]

Measure = Callable[[int], Awaitable[float]]


async def median_ms(measure: Measure, times: int) -> float:
    return round(statistics.median([await measure(n) for n in range(times)]), 1)


async def look(page: Page, url: str, tasks: int, times: int) -> dict[str, float]:
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

    out = {"first_paint_ms": await median_ms(first_paint, times)}
    out["rows_ms"] = await median_ms(rows, times)
    out["filter_ms"] = await median_ms(filtered, times)
    await page.goto(f"{url}/tasks")
    await page.wait_for_selector(ROWS)
    out["sort_ms"] = await median_ms(sort, times)
    out["map_ms"] = await median_ms(mapped, times)
    heap = await page.evaluate("performance.memory.usedJSHeapSize")
    return out | {"heap_mib": round(heap / 2**20, 1)}


async def watch(page: Page, url: str, kill: Callable[[], None], times: int) -> dict[str, float]:
    """What script takes while somebody looks at tasks, and what more as many of them end."""
    await page.goto(f"{url}/tasks")
    await page.wait_for_selector(ROWS)

    quiet_ms: list[float] = []
    first = page.locator(f"{ROWS} a").first

    async def more(_: int) -> float:
        quiet_ms.append(await script_ms(page, nothing))
        gone = await first.text_content()

        async def end() -> None:
            kill()
            await asyncio.sleep(CHANGE_S)
            await expect(first).not_to_have_text(str(gone), timeout=60_000)

        return await script_ms(page, end) - quiet_ms[-1]

    change_ms = await median_ms(more, times)
    quiet = round(statistics.median(quiet_ms), 1)
    return {"quiet_script_ms": quiet, "change_script_ms": change_ms}


async def nothing() -> None:
    await asyncio.sleep(CHANGE_S)


async def script_ms(page: Page, change: Callable[[], Awaitable[None]]) -> float:
    """The CPU time that script takes meanwhile, by the browser's own trace."""
    browser = page.context.browser
    assert browser is not None
    await browser.start_tracing(page=page, categories=TRACED)
    await change()
    return script_us(json.loads(await browser.stop_tracing())["traceEvents"]) / 1000


def script_us(events: Iterable[dict[str, Any]]) -> float:
    """The CPU time of script; what runs within another is part of that."""
    total_us = 0.0
    until_us: dict[tuple[int, int], float] = {}  # of each thread, in its own CPU time
    script = (event for event in events if event["name"] in SCRIPT and event["ph"] == "X")
    for event in sorted(script, key=lambda event: event["tts"]):
        end_us = event["tts"] + event.get("tdur", 0)
        thread = event["pid"], event["tid"]
        begin_us = max(event["tts"], until_us.get(thread, 0.0))
        total_us += max(0.0, end_us - begin_us)
        until_us[thread] = max(begin_us, end_us)
    return total_us


async def measure(folder: Path, agents: int, tasks: int, times: int) -> dict[str, float]:
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
        driver = Driver(launcher, info, master.address)
        running.append(asyncio.create_task(driver.run()))
        await until("all tasks", lambda: launcher.running == tasks, 900)
        driver.suppress()  # so that nothing else happens
        alive = list(launcher.launched)

        def kill() -> None:
            """Kill the latest tasks that are alive: those are in sight."""
            for task_id in alive[-CHANGED:]:
                driver.kill(task_id)
            del alive[-CHANGED:]

        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = await browser.new_page(bypass_csp=True)  # for what is waited for
            try:
                seen = await look(page, url, tasks, times)
                seen |= await watch(page, url, kill, times)
                return {"agents": agents, "tasks": tasks} | seen
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
@click.option("--times", default=5, show_default=True, help="How often each is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, tasks: int, times: int, as_json: bool) -> None:
    """Measure the page."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        result = asyncio.run(measure(Path(folder), agents, tasks, times))
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
