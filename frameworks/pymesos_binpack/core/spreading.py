"""Values that are set anew, given to one job after the other: which are left alone meanwhile.

A version that is made for a value has all tasks become what the job says. Where a rollout of what
people said has stopped on the way, that would finish it, though nobody has asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pymesos_binpack.jobs.aligning import MIDWAY
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.state import JobState

PACE_S = 0.01  # from one job to the next, so that others are heard meanwhile
HELD_S = 5.0  # until jobs that are left alone are looked at again
OF_VALUES = ("secret ", "variable ")  # how it begins what made a version: its value can be mended
STOPPED = (State.PAUSED, *MIDWAY)


class Next(NamedTuple):
    """The job that is to be changed now, and whether others are left alone so far."""

    job: JobState | None
    held: bool


def next_of(jobs: Iterable[JobState]) -> Next:
    """Return the first of these jobs that is not left alone."""
    held = False
    for job in jobs:
        if not _is_left_alone(job):
            return Next(job, held)
        held = True
    return Next(None, held)


def _is_left_alone(job: JobState) -> bool:
    for rollout in job.rollouts.values():
        version = job.history.get(rollout.to_version) if rollout.state in STOPPED else None
        if version is not None and not version.what.startswith(OF_VALUES):
            return True
    return False
