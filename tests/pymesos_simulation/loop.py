"""The event loop of one simulated process, on the timeline of all.

Callbacks run in the order in which they became ready, as asyncio promises; of timers that are due
at the same time, and of calls in threads, chance decides, as asyncio promises nothing. A process
that is stopped (SIGSTOP) runs nothing until it goes on; one that is killed (kill -9) never runs
again, not even the clearing up in its `finally` clauses, as far as anybody else can see.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import warnings
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Executor
from contextvars import Context
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from pymesos_simulation.threads import InstantThread, Killed, LaterThread, Thread, real_function
from pymesos_simulation.timeline import Timeline

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

EPOCH_S = 1000.0  # what the monotonic clock of every process shows at the beginning
MAX_TURNS = 100_000  # of one loop without that time passes
MAX_AWAITS_AT_END = 20
NEVER_WAIT = {  # called in threads only because they may take long on a real machine
    "Artifacts.remove_unfinished",
    "Folders.close",
    "NoForks.look",
    "Queries.task_usage.<locals>.<lambda>",
    "SimulatedFolders.remove_leftovers",
}
DEFAULT_WORKERS = 6  # of the pool for `to_thread`


class DeadlockError(Exception):
    """Nothing is left to run, and something is still awaited: the message names it."""


class SimulatedFuture(asyncio.Future[Any]):
    """A future whose hash depends on its loop alone, not its address: asyncio has sets of them."""

    def __init__(self, *, loop: SimulatedLoop) -> None:
        super().__init__(loop=loop)
        self._number = next(loop.numbers)

    def __hash__(self) -> int:
        return self._number

    def add_done_callback(self, *arguments: Any, **more: Any) -> None:
        """See asyncio; in a process that was killed nothing is waited for."""
        self.get_loop()._check_alive()  # type: ignore[attr-defined]
        super().add_done_callback(*arguments, **more)


class SimulatedTask(asyncio.Task[Any]):
    """The same for tasks."""

    def __init__(self, coro: Any, *, loop: SimulatedLoop, **kwargs: Any) -> None:
        self._number = next(loop.numbers)
        super().__init__(coro, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self._number

    def add_done_callback(self, *arguments: Any, **more: Any) -> None:
        """See asyncio; in a process that was killed nothing is waited for."""
        self.get_loop()._check_alive()  # type: ignore[attr-defined]
        super().add_done_callback(*arguments, **more)


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one process of a timeline."""

    def __init__(self, timeline: Timeline, name: str = "process") -> None:
        super().__init__()
        self.timeline = timeline
        self.name = name
        self.numbers = itertools.count()  # of its futures and tasks
        self.process: Any = None  # who runs in it
        self.dead = False
        self.paused = False
        self.callbacks_left: int | None = None  # until the process dies by itself
        self.on_death: Callable[[], None] = lambda: None
        self._soon: deque[asyncio.Handle] = deque()
        self._scheduled_run = False
        self._running_now = False
        self._made: list[asyncio.Task[Any]] = []
        self._prune_at = 64
        self._pools: dict[Executor | None, _Pool] = {}
        self._held: list[Callable[[], None]] = []  # what threads do when the process goes on
        self.set_debug(False)
        self.set_task_factory(self._make_task)

    # Time and callbacks.

    def time(self) -> float:
        """The monotonic clock of the process."""
        return self.timeline.now_s + EPOCH_S

    def call_soon(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio."""
        self._check_alive()
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        if not self._running_now:
            self._schedule()
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio. From a thread of a process that was killed, or has ended, it fails."""
        if self.dead:
            raise RuntimeError("Event loop is closed")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        self._check_alive()
        timer = asyncio.TimerHandle(when, callback, args, self, context)

        def due() -> None:
            if not timer.cancelled() and not self.dead:
                self._soon.append(timer)
                self._run()

        self.timeline.at_about(when - EPOCH_S, due)
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        self._check_alive()
        return SimulatedFuture(loop=self)

    def __del__(self) -> None:
        """There is nothing to close."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer is skipped when it is due."""

    def _check_alive(self) -> None:
        if self.dead:
            raise Killed

    def _schedule(self) -> None:
        if not self._scheduled_run and not self.paused:
            self._scheduled_run = True
            self.timeline.at(0.0, self._run_scheduled)

    def _run_scheduled(self) -> None:
        self._scheduled_run = False
        self._run()

    def _run(self) -> None:
        """Run what is ready, and what becomes ready by that, until the loop would wait."""
        if self.paused or self.dead or self._running_now:
            return
        left = MAX_TURNS
        with self.entered():
            while self._soon and not self.dead and self.timeline.failure is None:
                handle = self._soon.popleft()
                if handle._cancelled:
                    continue
                handle._run()
                left -= 1
                if not left:
                    raise DeadlockError(f"{self.name} runs on without that time passes: {handle}")
                if self.callbacks_left is not None:
                    self.callbacks_left -= 1
                    if self.callbacks_left <= 0 and not self.dead:
                        self.callbacks_left = None
                        self.on_death()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """While code of this process is run."""
        before, running = events._get_running_loop(), self._running_now
        events._set_running_loop(self)
        self._running_now = True
        try:
            yield
        finally:
            self._running_now = running
            events._set_running_loop(before)
            if self._soon and not running and not self.dead:
                self._schedule()

    # Tasks and failures.

    def _make_task(
        self,
        _: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Any,
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        if self.dead:
            coro.close()
            raise Killed
        task = SimulatedTask(coro, loop=self, **kwargs)
        if len(self._made) >= self._prune_at:
            self._made = [t for t in self._made if not t.done()]
            self._prune_at = 2 * len(self._made) + 64
        self._made.append(task)
        return task

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended, the oldest first."""
        return [task for task in self._made if not task.done()]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """What nobody caught ends the run: production would have gone on half broken."""
        error = context.get("exception")
        if self.dead or isinstance(error, Killed):
            return
        if not isinstance(error, Exception):
            error = RuntimeError(f"{self.name}: {context.get('message')}: {context}")
        error.add_note(f"in {self.name}: {context.get('message')}")
        self.timeline.fail(error)

    # Threads.

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> asyncio.Future[Result]:
        """Call it in a simulated thread, in which it may wait (see `threads`)."""
        self._check_alive()
        workers = getattr(executor, "_max_workers", DEFAULT_WORKERS)
        pool = self._pools.setdefault(executor, _Pool(workers))
        future: asyncio.Future[Result] = self.create_future()

        def ended(result: Any, error: BaseException | None) -> None:
            pool.running -= 1
            if self.dead:
                return
            self.call_soon(_settle, future, result, error)
            if pool.waiting:
                self._begin(pool)

        call = partial(func, *args)
        real = real_function(call)
        if getattr(real, "__qualname__", "") in NEVER_WAIT:
            thread: Thread = InstantThread(self.timeline, call, ended)
        elif (later := getattr(getattr(real, "__self__", None), "later", None)) is not None:
            thread = LaterThread(self.timeline, partial(later, call), ended)
        else:
            thread = Thread(self.timeline, call, ended)
        thread.process = self.process
        pool.waiting.append(thread)
        if pool.running < pool.workers:
            self._begin(pool)
        return future

    def _begin(self, pool: _Pool) -> None:
        pool.running += 1
        thread = pool.waiting.popleft()
        pool.threads = [t for t in pool.threads if not t.done]
        pool.threads.append(thread)

        def begin() -> None:
            if self.dead:
                return
            if self.paused:
                self._held.append(begin)
            else:
                thread.go_on()

        thread.may_run = lambda: self._may_run(thread)
        self.timeline.at(self.timeline.random.uniform(0.0, 0.0002), begin)

    def _may_run(self, thread: Thread) -> bool:
        if self.paused:
            self._held.append(thread.go_on)
        return not self.paused

    # Signals.

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: everything that was held happens, in the order in which it would have."""
        if not self.paused or self.dead:
            return
        self.paused = False
        held, self._held = self._held, []
        for action in held:
            action()
        self._schedule()

    def kill(self) -> None:
        """kill -9. The coroutines end, and find a world in which they can change nothing."""
        if self.dead:
            return
        self.dead = True
        self._soon.clear()
        running = asyncio.current_task(self) if self._running_now else None
        with self.entered(), warnings.catch_warnings():
            # What was to be awaited next is not awaited.
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in self._made:
                if task.done() or task is running:
                    continue
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task)
        for pool in self._pools.values():
            for thread in pool.threads:
                thread.kill()
        self._made.clear()
        self._pools.clear()

    # For tests.

    def run_until_complete(self, future: Any) -> Any:
        """Run the timeline until it is done. Raises DeadlockError, naming what is awaited."""
        with self.entered():
            waited = asyncio.ensure_future(future, loop=self)
        while not waited.done():
            if not self.timeline.step():
                raise DeadlockError("nothing is left to run; " + describe(self.tasks))
        return waited.result()


def _close(task: asyncio.Task[Any]) -> None:
    """End its coroutine, also one that waits for something else at its end."""
    for _ in range(MAX_AWAITS_AT_END):
        try:
            task.get_coro().close()
        except RuntimeError:  # it ignores that and goes on to its next await
            continue
        except BaseException:
            return
        return


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class _Pool:
    """The threads of one executor."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.running = 0
        self.waiting: deque[Thread] = deque()
        self.threads: list[Thread] = []


def describe(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """What each task awaits, for people."""
    lines = []
    for task in tasks:
        place = ""
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
            if frame is not None:
                place = f"{frame.f_code.co_qualname}, line {frame.f_lineno}"
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
        lines.append(f"{task.get_name()} waits in {place or task.get_coro()}")
    return "; ".join(lines) or "no task waits"
