"""The one place where a core is stepped: one event at a time, its effects in the order given.

A failure of a runtime, a disk or a peer is an event, and no concern of the runner. What nobody
foresaw is a fault. If the core had not changed yet, the event is refused and the role goes on.
Otherwise the role stops: half a step is worse than a restart, because what was said is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from pymesos_core.clock import Now, read_clock
from pymesos_core.exits import ExitStatus, RoleError
from pymesos_core.limits import MAX_SAID
from pymesos_core.slices import Slices
from pymesos_core.store import Change, CommitQueue
from pymesos_core.streams import to_the_end
from pymesos_core.text import one_line

IDLE_S = 0.005  # without a write, after which the next one waits for no other
MAX_WAITING = 1_000_000  # events that effects bring, before they are taken in

Event = TypeVar("Event")
Effect = TypeVar("Effect")
EventIn = TypeVar("EventIn", contravariant=True)
EffectOut = TypeVar("EffectOut", covariant=True)


class Core(Protocol[EventIn, EffectOut]):
    """What decides: pure and synchronous."""

    def step(self, now: Now, event: EventIn) -> Sequence[EffectOut]:
        """Take one event in and say what is to be done."""

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""


@runtime_checkable
class Guarded(Protocol):
    """A core that knows whether the step in progress has changed it, and can refuse an event."""

    @property
    def changed(self) -> bool:
        """Whether the latest step may have changed something; in doubt it has."""

    def refuse(self, now: Now, event: Any, problem: str) -> Sequence[Any] | None:
        """Tell whoever caused the event that it is not taken in; None: nobody can be told."""


@dataclass(frozen=True)
class Fault:
    """What nobody foresaw: the error, and what was being done."""

    error: Exception
    event: object  # the step of which failed, or an effect of that step
    effect: object | None = None  # that was being carried out; None: the step itself failed

    def __str__(self) -> str:
        during = "the step of" if self.effect is None else f"{type(self.effect).__name__} after"
        what = f"{type(self.error).__name__}: {one_line(str(self.error), MAX_SAID)}"
        return f"{during} {type(self.event).__name__} failed: {what}"


class FaultError(RoleError):
    """A role has stopped by a fault of its own."""

    status = ExitStatus.CRASHED

    def __init__(self, fault: Fault) -> None:
        super().__init__(
            f"a fault of pymesos has ended it: {fault}. Started again it goes on from what is"
            f" stored; please report it with the crash file that the log names"
        )
        self.fault = fault


@dataclass(frozen=True)
class Writes(Generic[Event]):
    """How a role writes what its core wants durable."""

    commit: Callable[[list[Change]], None]  # blocks, so it is called in a thread
    written: Callable[[int, Exception | None], Event | None]  # the event that a token is written
    # The same, for what need only outlive the process. None: there is no faster way. It takes less
    # than a thread would, so whoever has written nothing just now calls it in the loop; who is busy
    # uses the thread, and more comes together meanwhile.
    commit_unsynced: Callable[[list[Change]], None] | None = None
    goes_on: bool = False  # after a write that failed; see CommitQueue


class Runner(Generic[Event, Effect]):
    """Steps one core.

    `feed` may be called from anywhere in the event loop, from within an effect, too: what comes
    then is taken in after the effects of the step in progress.
    """

    def __init__(
        self,
        core: Core[Event, Effect],
        do: Callable[[Effect], None],
        tick: Event,
        on_fault: Callable[[Fault], None],
        writes: Writes[Event] | None = None,
        clock: Callable[[], Now] = read_clock,
    ) -> None:
        """`tick` is fed when the core's next deadline is due.

        `on_fault` is called once, when the role has to stop; `run` raises FaultError then.
        """
        self.fault: Fault | None = None
        self.over = False  # nothing is taken in any more
        self._core = core
        self._step, self._next_deadline_s = core.step, core.next_deadline_s
        self._do = do
        self._tick = tick
        self._on_fault = on_fault
        self._clock = clock
        self.steps = 0  # that were made, so that one may know whether anything can have changed
        self._stepping = False
        self._waiting: deque[Event] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = 0.0
        self._writes = writes
        self._queue = CommitQueue(goes_on=writes is not None and writes.goes_on)
        self._wrote_at_s = float("-inf")
        self._ending = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def feed(self, event: Event) -> None:
        """Take one event in and have done what the core says. Raises nothing."""
        if self._stepping or self.over:
            self._wait(event)
            return
        self._stepping = True
        effect: Effect | None = None
        try:
            while True:
                effect = None
                now = self._clock()
                self.steps += 1
                try:
                    effects = self._step(now, event)
                except Exception as error:
                    effects = self._refusal(now, event, error)
                for effect in effects:
                    self._do(effect)
                if not self._waiting:
                    break
                event = self._waiting.popleft()
            effect = None
            self._set_timer()
        except Exception as error:
            self._fail(Fault(error, event, effect))
        finally:
            self._stepping = False

    def _wait(self, event: Event) -> None:
        if self.over:
            return
        if len(self._waiting) >= MAX_WAITING:
            error = OverflowError(f"{MAX_WAITING} events wait for the end of one step")
            self._fail(Fault(error, event))
            return
        self._waiting.append(event)

    def _refusal(self, now: Now, event: Event, error: Exception) -> Sequence[Effect]:
        """What is done instead when nothing has changed. Raises `error` when something has."""
        core = self._core
        if not isinstance(core, Guarded) or core.changed:
            raise error
        problem = f"it cannot be handled here ({type(error).__name__}: {error})"
        effects = core.refuse(now, event, problem)
        if effects is None:
            raise error
        return effects

    def _fail(self, fault: Fault) -> None:
        if self.over:
            return
        self.fault = fault
        try:
            self._on_fault(fault)
        finally:
            self.stop()
            self._wake.set()

    def stop(self) -> None:
        """Take nothing in any more."""
        self.over = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Deadlines.

    def _set_timer(self) -> None:
        at_s = None if self.over else self._next_deadline_s()
        if self._timer is not None:
            if at_s is not None and self._timer_at_s <= at_s:
                return  # it fires early enough, and looks again
            self._timer.cancel()
            self._timer = None
        if at_s is not None:
            self._timer_at_s = at_s
            self._timer = asyncio.get_running_loop().call_at(at_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.feed(self._tick)

    # Writes.

    def commit(self, token: int, changes: tuple[Change, ...], *, synced: bool = True) -> None:
        """Have `changes` written, together with others that wait; the event of `token` follows.

        What is not `synced` outlives the process, and may be lost in a crash of the machine.

        What is asked for in `on_fault` is written, too, unless a write has failed.
        """
        assert self._writes is not None
        self._queue.submit(token, changes, synced=synced)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, and then what was asked for before. Raises FaultError."""
        writing = asyncio.ensure_future(self._write_groups())
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            self._ending = True
            self._wake.set()
            await to_the_end(writing)
            raise

    async def _write_groups(self) -> None:
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="commit")
        try:
            while True:
                while (changes := self._queue.take()) is not None:
                    failure = self._queue.failure or await self._write(thread, changes)
                    slices = Slices(mono_s=lambda: self._clock().mono_s)
                    for token, error in self._queue.settle(failure):
                        self._written(token, error)
                        await slices.pause()
                self._idle.set()
                if self.fault is not None:
                    raise FaultError(self.fault) from self.fault.error
                if self._ending:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            thread.shutdown(wait=True)

    def _written(self, token: int, error: Exception | None) -> None:
        assert self._writes is not None
        event = self._writes.written(token, error)
        if event is not None:
            self.feed(event)

    async def _write(self, thread: ThreadPoolExecutor, changes: list[Change]) -> Exception | None:
        assert self._writes is not None
        commit, is_quick = self._writes.commit, False
        if self._writes.commit_unsynced is not None and not self._queue.synced:
            commit = self._writes.commit_unsynced
            is_quick = self._clock().mono_s >= self._wrote_at_s + IDLE_S
        try:
            if is_quick:
                commit(changes)
            else:
                await asyncio.get_running_loop().run_in_executor(thread, commit, changes)
        except Exception as error:
            return error
        finally:
            self._wrote_at_s = self._clock().mono_s
        return None

    async def flushed(self) -> None:
        """Wait until nothing is asked for that is not written."""
        await self._idle.wait()
