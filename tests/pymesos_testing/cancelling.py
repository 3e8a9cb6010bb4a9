"""Handlers and clients that are cancelled at each of their awaits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import types
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
)
from pathlib import Path
from typing import Any, ClassVar

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.clock import read_clock
from pymesos_core.coordination import MasterInfo, Term
from pymesos_core.store import Change
from pymesos_core.transport import CallError
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import events as ev
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader

IDLE_S = 0.03  # nothing happens any more


MOST_AWAITS = 80


class FakeCall:
    """A call as its handler sees it: its peer says these batches, and then hangs or is done."""

    peer = "ipv4:127.0.0.1:1"
    caller = Caller(peer="ipv4:127.0.0.1", via="grpc")
    metadata: ClassVar[dict[str, str]] = {}

    def __init__(self, *batches: Any, hangs: bool = True) -> None:
        self._batches = list(batches)
        self._hangs = hangs
        self.written: list[Any] = []

    async def read(self) -> Any | None:
        await asyncio.sleep(0)
        if not self._batches and self._hangs:
            await asyncio.Event().wait()
        return self._batches.pop(0) if self._batches else None

    async def receive(self) -> Callable[[], Any] | None:
        message = await self.read()
        return None if message is None else lambda: message

    async def write(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.written.append(message)


@types.coroutine
def counted(
    coroutine: Coroutine[Any, Any, Any], suspended: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """The coroutine; `suspended` is called whenever it waits."""
    go_on, value = coroutine.send, None
    while True:
        try:
            waits_for = go_on(value)
        except StopIteration as stop:
            return stop.value
        suspended()
        try:
            value = yield waits_for
            go_on = coroutine.send
        except BaseException as error:
            value, go_on = error, coroutine.throw


async def run_cancelled(coroutine: Coroutine[Any, Any, Any], at: set[int]) -> bool:
    """Cancel it as it waits for those times; whether it waited so often."""
    waits = 0

    def suspended() -> None:
        nonlocal waits
        waits += 1
        if waits in at:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def main() -> Any:
        return await counted(coroutine, suspended)

    task = asyncio.create_task(main())
    await asyncio.wait({task}, timeout=IDLE_S)
    reached = waits >= min(at)
    task.cancel()  # a handler that serves until its peer goes
    await asyncio.wait({task})
    if not task.cancelled():
        assert isinstance(task.exception(), CallError | None)
    return reached


def descriptors() -> set[str]:
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{link.name} {link.readlink()}")
    return found


async def cancel_everywhere(make: Callable[[], Awaitable[Any]], check: Callable[[], None]) -> None:
    """At every await in turn, and at the one after it, too; nothing is left of it then."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, int)  # its first thread has descriptors of its own
    for twice in (False, True):
        for number in range(1, MOST_AWAITS):
            tasks, open_before = asyncio.all_tasks(), descriptors()
            gc.disable()  # nothing may depend on it
            try:
                coroutine = make()
                assert isinstance(coroutine, Coroutine)
                reached = await run_cancelled(
                    coroutine, {number, number + 1} if twice else {number}
                )
                for _ in range(5):
                    await asyncio.sleep(0)
                check()
                left = {task for task in asyncio.all_tasks() - tasks if not task.done()}
                assert not left, f"cancelled at await {number}: {left}"
                more = descriptors() - open_before
                for _ in range(100):  # other threads open files, too; what is left behind stays
                    if not more:
                        break
                    await asyncio.sleep(0.01)
                    more &= descriptors()
                assert not more, f"cancelled at await {number}: {more}"
            finally:
                gc.enable()
            if not reached:
                break
        else:
            raise AssertionError("it waits for ever more")


class FakeRegistry:
    def load(self) -> dict[tuple[str, str], bytes]:
        return {}

    def commit(self, changes: list[Change]) -> None: ...


class Master:
    """A leader, and what its core heard of the ends of streams."""

    def __init__(self) -> None:
        core = MasterCore(Config(), DrfAllocator(), {}, "m", read_clock())
        self.leader = Leader(core, Term(1, FakeRegistry()))
        self.leadership = Leadership(MasterInfo("m", HostPort("127.0.0.1", 1), "m", ""))
        self.leadership.leader = self.leader
        self.opened: set[int] = set()
        self.ends: list[int] = []
        feed = self.leader.feed

        def hear(event: ev.Event) -> None:
            if isinstance(event, ev.FrameworkDisconnected | ev.AgentDisconnected):
                self.ends.append(event.connection_id)
            elif not isinstance(event, ev.Tick | ev.Persisted):
                self.opened.add(event.connection_id)  # type: ignore[union-attr]
            feed(event)

        self.leader.feed = hear  # type: ignore[method-assign]

    def check(self) -> None:
        assert len(self.ends) == len(set(self.ends)), "an end is told twice"
        assert self.opened <= set(self.ends), "an end is not told"
        state = self.leader.core.state
        assert not state.framework_by_connection
        assert not state.agent_by_connection
        assert all(f.connection_id is None for f in state.frameworks.values())
