"""Tests of receivers, which are not to flood them: one at a time of each, and one now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymesos_core.transport import CallError, Code

EVERY_S = 10.0  # between the beginnings of two tests of one receiver


class Tests:
    """Tests of the receivers of a process, by name."""

    __test__ = False  # for pytest

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._going: set[str] = set()
        self._free_s: dict[str, float] = {}  # when each may be tested again

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Be the one test of a receiver. Raises CallError, where it is tested or was just now."""
        now_s = self._clock_s()
        self._free_s = {each: at_s for each, at_s in self._free_s.items() if at_s > now_s}
        if name in self._going:
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"{name} is being tested already: try it again once that is over",
            )
        if name in self._free_s:
            left_s = math.ceil(self._free_s[name] - now_s)
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"{name} was tested less than {EVERY_S:g} s ago: try it again in {left_s} s",
            )
        self._going.add(name)
        self._free_s[name] = now_s + EVERY_S
        try:
            yield
        finally:
            self._going.discard(name)
