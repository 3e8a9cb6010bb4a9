"""Values that are set anew, given to one job after the other: which are left alone meanwhile.

A version that is made for a value has all tasks become what the job says. Where a rollout of what
people said has stopped on the way, that would finish it, though nobody has asked for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pymesos_binpack.jobs.aligning import MIDWAY
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.state import JobState

PACE_S = 0.01  # from one job to the next, so that others are heard meanwhile
HELD_S = 5.0  # until jobs that are left alone are looked at again
MAX_LOOKS = 100  # jobs that are looked at in one step
OF_VALUES = ("secret ", "variable ")  # how it begins what made a version: its value can be mended
STOPPED = (State.PAUSED, *MIDWAY)


@dataclass(slots=True)
class Spread:
    """How far a value has come: those that use it are looked at in rounds, a few in each step.

    The last round is one in which none is changed and none is left alone. A restart begins anew.
    """

    request_id: str  # by which jobs are changed for this value
    not_taking: set[str] = field(default_factory=set)  # jobs that cannot be changed for it
    making: bool = False  # a job is being made with it
    _left: deque[str] | None = None  # jobs of this round; None: a round is to begin
    _changed: bool = False
    _held: bool = False

    def next_of(
        self,
        users: Callable[[], Iterable[str]],
        jobs: Mapping[str, JobState],
        is_due: Callable[[JobState], bool],
    ) -> JobState | None:
        """Return the next job that is to be changed, if it is among those looked at now."""
        if self._left is None:
            self._left, self._changed, self._held = deque(users()), False, False
        for _ in range(min(MAX_LOOKS, len(self._left))):
            job = jobs.get(self._left.popleft())
            if job is None or job.job_id in self.not_taking or not is_due(job):
                continue
            if not _is_left_alone(job):
                self._changed = True
                return job
            self._held = True
        return None

    def wait_s(self) -> float | None:
        """Return in how many seconds jobs are to be looked at again; None: it has come to all."""
        if self._left:
            return PACE_S
        self._left = None
        return PACE_S if self._changed else HELD_S if self._held else None


def spread_of(spreads: dict[str, Spread], key: str, request_id: str) -> Spread:
    """Return how far the value of a key has come, if it is still the one of this request."""
    spread = spreads.get(key)
    if spread is None or spread.request_id != request_id:
        spread = spreads[key] = Spread(request_id)
    return spread


def _is_left_alone(job: JobState) -> bool:
    for rollout in job.rollouts.values():
        version = job.history.get(rollout.to_version) if rollout.state in STOPPED else None
        if version is not None and not version.what.startswith(OF_VALUES):
            return True
    return False
