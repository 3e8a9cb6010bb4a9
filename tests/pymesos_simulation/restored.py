"""Jobs that begin as a restore begins them: with the versions that a backup has of them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import pairwise

from pymesos_binpack.jobs.history import MAX_VERSIONS, SUBMIT, Version
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Job
from pymesos_simulation.world import World

RESTORE_EVERY = 24  # of so many seeds one, in which people change jobs, has them begin so
NUMBERS = (3, 7)  # of the versions in the backup


def versions_of(world: World, job: Job) -> tuple[Version, ...]:
    """Return those with which a job begins; none where it is begun by whoever submits it."""
    if world.seed % RESTORE_EVERY != RESTORE_EVERY // 3:
        return ()
    return tuple(Version(number, job.document, 0.0, "", SUBMIT) for number in NUMBERS)


def check(world: World, jobs: Iterable[JobState], request_ids: Container[str]) -> None:
    """Fail if a version of a backup is forgotten, or the ones since are not counted from there.

    `request_ids`: of the jobs that begin as `versions_of` says; people begin others.
    """
    for job in jobs:
        numbers = [version.number for version in job.history.versions]
        assert all(a < b for a, b in pairwise(numbers)), f"{job.job_id} has versions {numbers}"
        if job.request_id not in request_ids or not versions_of(world, job.job):
            continue
        full = len(numbers) >= MAX_VERSIONS
        kept = tuple(numbers[: len(NUMBERS)]) == NUMBERS
        assert numbers[-1] >= NUMBERS[-1] and (kept or full), (
            f"{job.job_id} began with the versions {NUMBERS} of a backup, and has {numbers}"
        )
