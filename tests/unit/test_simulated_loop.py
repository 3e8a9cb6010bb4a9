"""The simulator's event loop is asyncio, with time and threads of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pymesos_simulation import threads
from pymesos_simulation.loop import EPOCH_S, DeadlockError, SimulatedLoop
from pymesos_simulation.timeline import Timeline


def run(coro: Coroutine[Any, Any, Any], seed: int = 0) -> Any:
    return SimulatedLoop(Timeline(seed)).run_until_complete(coro)


def test_sleepers_wake_in_the_order_of_their_time() -> None:
    async def main() -> tuple[list[str], float]:
        out: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            out.append(name)

        await asyncio.gather(sleeper("c", 300), sleeper("a", 1), sleeper("b", 20))
        return out, asyncio.get_running_loop().time()

    assert run(main()) == (["a", "b", "c"], EPOCH_S + 300)


def test_what_is_due_at_once_is_in_an_order_that_the_seed_says() -> None:
    async def main() -> str:
        out: list[str] = []
        loop = asyncio.get_running_loop()
        for name in "abcdef":
            loop.call_later(1, out.append, name)
        await asyncio.sleep(2)
        return "".join(out)

    orders = [run(main(), seed) for seed in range(10)]
    assert orders == [run(main(), seed) for seed in range(10)]
    assert len(set(orders)) > 1


def test_callbacks_run_first_come_first_served() -> None:
    async def main() -> list[int]:
        out: list[int] = []
        for number in range(5):
            asyncio.get_running_loop().call_soon(out.append, number)
        await asyncio.sleep(0)
        return out

    assert run(main()) == [0, 1, 2, 3, 4]


def test_a_call_in_a_thread_waits_without_the_loop() -> None:
    timeline = Timeline(0)
    loop = SimulatedLoop(timeline)

    def slow(seconds: float) -> float:
        threads.sleep(timeline, seconds)
        return timeline.now_s

    async def main() -> tuple[float, float, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(1)
                ticks += 1

        ticking = asyncio.create_task(tick())
        at, later = await asyncio.gather(asyncio.to_thread(slow, 5), asyncio.to_thread(slow, 7.5))
        ticking.cancel()
        return at, later, ticks

    at, later, ticks = loop.run_until_complete(main())
    assert 5 <= at < 5.1 and 7.5 <= later < 7.6 and ticks == 7


def test_an_error_in_a_thread_is_raised_where_it_is_awaited() -> None:
    def broken() -> None:
        raise ValueError("so it is")

    async def main() -> None:
        with pytest.raises(ValueError, match="so it is"):
            await asyncio.to_thread(broken)

    run(main())


def test_an_executor_has_so_many_threads_and_no_more() -> None:
    timeline = Timeline(0)
    loop = SimulatedLoop(timeline)
    executor = ThreadPoolExecutor(1)

    async def main() -> float:
        calls = [loop.run_in_executor(executor, threads.sleep, timeline, 1.0) for _ in range(3)]
        await asyncio.gather(*calls)
        return timeline.now_s

    assert loop.run_until_complete(main()) >= 3


def test_what_would_keep_a_loop_waiting_is_an_error() -> None:
    async def main() -> None:
        with pytest.raises(threads.BlockingError, match="keeps the event loop waiting"):
            threads.sleep(Timeline(0), 1)

    run(main())


def test_a_thread_hands_over_to_the_loop() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()

        def callback() -> None:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            loop.call_soon_threadsafe(event.set)

        calling = loop.run_in_executor(None, callback)
        await event.wait()
        await calling
        return "heard"

    assert run(main()) == "heard"


def test_timeouts_cancel_and_are_cancelled() -> None:
    async def main() -> list[str]:
        out: list[str] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                try:
                    await asyncio.Event().wait()
                finally:
                    out.append("cleared up")
        async with asyncio.timeout(3):
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        return out

    assert run(main()) == ["cleared up"]


def test_a_group_cancels_its_tasks_when_one_fails() -> None:
    async def main() -> list[str]:
        out: list[str] = []

        async def waits() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                out.append("cancelled")
                raise

        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError("fails")

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(waits())
                group.create_task(fails())
        out.append(str(caught.value.exceptions[0]))
        return out

    assert run(main()) == ["cancelled", "fails"]


def test_a_deadlock_is_said_with_what_is_awaited() -> None:
    async def for_what_never_comes() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(for_what_never_comes(), name="hopeful")

    with pytest.raises(DeadlockError, match=r"hopeful waits in Event.wait, line \d+"):
        run(main())


def test_a_loop_that_never_rests_is_said() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(DeadlockError, match="without that time passes"):
        run(main())


def test_what_nobody_catches_ends_the_run() -> None:
    async def main() -> None:
        def fails() -> None:
            raise ValueError("nobody catches this")

        asyncio.get_running_loop().call_soon(fails)
        await asyncio.sleep(1)

    with pytest.raises(ValueError, match="nobody catches this"):
        run(main())


def test_a_stopped_process_goes_on_where_it_was() -> None:
    timeline = Timeline(0)
    loop = SimulatedLoop(timeline)
    woken: list[tuple[str, float]] = []

    async def sleeper() -> None:
        await asyncio.sleep(2)
        woken.append(("sleeper", timeline.now_s))

    def in_thread() -> None:
        threads.sleep(timeline, 3)
        woken.append(("thread", timeline.now_s))

    async def main() -> None:
        await asyncio.gather(sleeper(), asyncio.to_thread(in_thread))

    timeline.at(1, loop.pause)
    timeline.at(10, loop.resume)
    loop.run_until_complete(main())
    assert sorted(name for name, _ in woken) == ["sleeper", "thread"]
    assert all(at == 10 for _, at in woken)


def test_a_killed_process_does_nothing_more() -> None:
    timeline = Timeline(0)
    loop = SimulatedLoop(timeline)
    other = SimulatedLoop(timeline)
    did: list[str] = []

    def in_thread() -> None:
        threads.sleep(timeline, 5)
        did.append("the thread went on")

    async def main() -> None:
        try:
            await asyncio.gather(asyncio.to_thread(in_thread), asyncio.sleep(5))
        finally:
            await asyncio.sleep(0)  # nothing is waited for in a process that is dead
            did.append("cleared up")

    with loop.entered():
        task = loop.create_task(main())
    timeline.at(1, loop.kill)
    other.run_until_complete(asyncio.sleep(10))
    assert not did and not task.done() and not loop.tasks
    with pytest.raises(threads.Killed):
        loop.call_soon(print)


def test_the_same_seed_is_the_same_run() -> None:
    def once(seed: int) -> list[float]:
        timeline = Timeline(seed)
        loop = SimulatedLoop(timeline)
        dice = random.Random(seed)
        out: list[float] = []

        async def worker() -> None:
            for _ in range(5):
                await asyncio.to_thread(threads.sleep, timeline, dice.random())
                await asyncio.sleep(dice.random())
                out.append(timeline.now_s)

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(worker())

        loop.run_until_complete(main())
        return out

    assert once(1) == once(1) != once(2)


def test_the_hash_of_a_future_does_not_depend_on_earlier_loops() -> None:
    """asyncio keeps futures in sets: an earlier seed of the process would show in their order."""

    async def main() -> tuple[int, int | None]:
        future = asyncio.get_running_loop().create_future()
        return hash(future), hash(asyncio.current_task())

    assert run(main()) == run(main())
