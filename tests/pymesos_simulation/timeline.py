"""What happens next, in simulated time: the one queue that all simulated processes share."""

from __future__ import annotations

import contextlib
import heapq
import random
from collections.abc import Callable, Iterator

Action = Callable[[], object]


class Timeline:
    """A queue of actions by time. Time passes only from one action to the next."""

    def __init__(self, seed: int) -> None:
        self.now_s = 0.0
        self.random = random.Random(seed)
        self.failure: BaseException | None = None
        self._queue: list[tuple[float, float, int, Action]] = []
        self._sequence = 0

    def at(self, delay_s: float, action: Action) -> None:
        """Do something later; what is due at the same time is done in the order of these calls."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now_s + delay_s, 0.0, self._sequence, action))

    def at_about(self, when_s: float, action: Action) -> None:
        """Do something at a time; of what is due at the same time chance says what comes first."""
        self._sequence += 1
        tie = self.random.random() - 0.5
        when_s = max(when_s, self.now_s)
        heapq.heappush(self._queue, (when_s, tie, self._sequence, action))

    def fail(self, error: BaseException) -> None:
        """End the run with an error that was raised where somebody might have caught it."""
        if self.failure is None:
            self.failure = error

    @contextlib.contextmanager
    def fatal(self) -> Iterator[None]:
        """What goes wrong in here ends the run: production code around it may catch and go on."""
        try:
            yield
        except Exception as error:
            self.fail(error)
            raise

    def step(self) -> bool:
        """Do what is next; False when there is nothing left. Raises what was given to `fail`."""
        if not self._queue:
            return False
        self.now_s, _, _, action = heapq.heappop(self._queue)
        action()
        if self.failure is not None:
            raise self.failure
        return True

    def seldom(self, gap_s: float, condition: Callable[[], bool]) -> Callable[[], bool]:
        """A condition that is looked at once in a while, and does not hold meanwhile."""
        next_s = self.now_s

        def holds() -> bool:
            nonlocal next_s
            if self.now_s < next_s:
                return False
            next_s = self.now_s + gap_s
            return condition()

        return holds

    def run(self, until: Callable[[], bool], limit_s: float) -> bool:
        """Let things happen until a condition holds; whether it did before `limit_s`."""
        while self._queue and self._queue[0][0] <= limit_s:
            self.step()
            if until():
                return True
        self.now_s = max(self.now_s, limit_s)
        return until()
