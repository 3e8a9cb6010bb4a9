"""Simulated threads: real ones, of which one at a time runs, and only when the timeline says so.

A call that would wait in a thread (a write to disk, a request to ZooKeeper) parks it with `wait`;
meanwhile time passes and the rest of the world goes on. So what blocks is run as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from pymesos_simulation.timeline import Timeline


class Killed(BaseException):
    """The process of whoever sees this has been killed."""


class BlockingError(Exception):
    """Something would have kept an event loop waiting: the message says what."""


_here = threading.local()
_idle: list[_Worker] = []


class _Worker:
    """A real thread that runs one simulated thread after another."""

    def __init__(self) -> None:
        self.turn = threading.Semaphore(0)
        self.back = threading.Semaphore(0)  # the timeline's turn
        self.thread: Thread | None = None
        threading.Thread(target=self._run, daemon=True, name="simulated").start()

    def _run(self) -> None:
        while True:
            self.turn.acquire()
            thread = self.thread
            assert thread is not None
            _here.thread = thread
            thread._call()
            _here.thread = None
            self.thread = None
            _idle.append(self)
            self.back.release()


class Thread:
    """One call in a thread of a simulated process."""

    def __init__(
        self,
        timeline: Timeline,
        function: Callable[[], Any],
        ended: Callable[[Any, BaseException | None], None],
    ) -> None:
        """`ended` gets the result, or the error, when the function has ended."""
        self.timeline = timeline
        self.process: Any = None  # whose it is
        self.may_run: Callable[[], bool] = lambda: True  # False: `go_on` is called again
        self.done = False
        self._killed = False
        self._function = function
        self._ended = ended
        self._worker: _Worker | None = None
        self._answer: tuple[Any, BaseException | None] = (None, None)
        self._outcome: tuple[Any, BaseException | None] | None = None

    def go_on(self) -> None:
        """Run until it waits for something, or ends."""
        if self.done or not self.may_run():
            return
        worker = self._worker
        if worker is None:
            worker = self._worker = _idle.pop() if _idle else _Worker()
            worker.thread = self
        worker.turn.release()
        worker.back.acquire()
        if self._outcome is not None and not self._killed:
            self._ended(*self._outcome)

    def kill(self) -> None:
        """The thread's process is killed: the thread unwinds, and nobody hears of its end."""
        if self.done:
            return
        self._killed = True
        if self._worker is None:
            self.done = True
        else:
            self._answer = (None, Killed())
            self.may_run = lambda: True
            self.go_on()

    def _call(self) -> None:
        try:
            self._outcome = (self._function(), None)
        except BaseException as error:
            self._outcome = (None, error)
        self.done = True

    def _wait(self, begin: Callable[[Callable[..., None]], None]) -> Any:
        assert self._worker is not None
        if self._killed:
            raise Killed
        worker = self._worker
        answered = False

        def answer(result: Any = None, error: BaseException | None = None) -> None:
            nonlocal answered
            if not answered and not self._killed:
                answered = True
                self._answer = (result, error)
                self.timeline.at(0.0, self.go_on)

        begin(answer)
        worker.back.release()
        worker.turn.acquire()
        result, error = self._answer
        if error is not None:
            raise error
        return result


class InstantThread(Thread):
    """A call that never waits: a real thread would cost more than the call."""

    def go_on(self) -> None:
        if self.done or not self.may_run():
            return
        before = getattr(_here, "thread", None)
        _here.thread = self
        try:
            self._call()
        finally:
            _here.thread = before
        assert self._outcome is not None
        self._ended(*self._outcome)


class LaterThread(Thread):
    """A call that waits once, for an answer of which it makes no more than its result."""

    def go_on(self) -> None:
        if self.done or not self.may_run():
            return
        if self._outcome is not None:
            self.done = True
            self._ended(*self._outcome)
        elif not self._begun:
            self._begun = True
            self._function(self._answered)  # type: ignore[call-arg]

    _begun = False

    def _answered(self, result: Any = None, error: BaseException | None = None) -> None:
        if not self._killed:
            self._outcome = (result, error)
            self.timeline.at(0.0, self.go_on)


def real_function(call: Any) -> Any:
    """What is called in the end, below partials and `Context.run`."""
    while isinstance(call, partial):
        inner = getattr(call.func, "__name__", "") == "run" and call.args
        call = call.args[0] if inner else call.func
    return call


def process() -> Any:
    """Whose simulated thread calls. Raises BlockingError when none does."""
    thread: Thread | None = getattr(_here, "thread", None)
    if thread is None:
        raise BlockingError("no simulated process runs here")
    return thread.process


def wait(what: str, begin: Callable[[Callable[..., None]], None]) -> Any:
    """Park the thread that calls this; `begin` gets a function that is called with the answer.

    That is `answer(result)` or `answer(error=...)`, later. Raises the error, and BlockingError when
    it is no simulated thread that calls.
    """
    thread: Thread | None = getattr(_here, "thread", None)
    if thread is None:
        raise BlockingError(f"{what} keeps the event loop waiting")
    return thread._wait(begin)


def sleep(timeline: Timeline, seconds: float) -> None:
    """Let time pass in a simulated thread."""
    wait("sleep", lambda answer: timeline.at(seconds, answer))
