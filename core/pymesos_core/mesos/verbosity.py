"""How much a server writes to its log for a while, when an operator of Mesos asks for more."""

from __future__ import annotations

import asyncio
import logging

from pymesos_core.mesos.refusing import bad_request
from pymesos_core.text import duration

MOST_LEVEL = 3  # of glog's verbosity; all above 0 is one here
MOST_S = 86400.0

log = logging.getLogger(__name__)


class Verbosity:
    """The level that is set for a while."""

    def __init__(self, *packages: str) -> None:
        """The level is that of `packages` only: what libraries write may have secrets in it."""
        self._packages = packages
        self.level = 0
        self._usual: dict[logging.Logger, int] = {}
        self._back: asyncio.TimerHandle | None = None

    @staticmethod
    def check(level: int, duration_s: float) -> None:
        """Raises RefusalError for what cannot be set."""
        if not 0 <= level <= MOST_LEVEL:
            raise bad_request(f"Invalid level '{level}': 0 to {MOST_LEVEL} is expected")
        if not 0 < duration_s <= MOST_S:
            raise bad_request(f"Invalid duration: more than 0 and at most {duration(MOST_S)}")

    def set(self, level: int, duration_s: float) -> None:
        """Write more for a while, or as usual again with 0. Raises RefusalError."""
        self.check(level, duration_s)
        self._reset()
        if level:
            self.level = level
            self._usual = {
                logger: logger.level for logger in map(logging.getLogger, self._packages)
            }
            log.info("an operator has more written to this log for %s", duration(duration_s))
            for logger in self._usual:
                logger.setLevel(logging.DEBUG)
            self._back = asyncio.get_running_loop().call_later(duration_s, self._reset)

    def _reset(self) -> None:
        if self._back is not None:
            self._back.cancel()
            self._back = None
            self.level = 0
            for logger, usual in self._usual.items():
                logger.setLevel(usual)
