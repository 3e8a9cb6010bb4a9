"""Jobs and tasks are found by names of DNS, in which `_` is `-` and letters are small."""

from __future__ import annotations

from pymesos_binpack.jobs.roster import Roster
from pymesos_binpack.specs import Job
from pymesos_core.discovery.zone import label_of
from pymesos_core.text import quoted

AS = "names are found without regard to capitals, and with - for _"


def clash_problem(roster: Roster, job: Job) -> str | None:
    """Return why a job cannot have its names beside those that are there, or None."""
    tasks: dict[str, str] = {}
    for spec in job.tasks:
        other = tasks.setdefault(label_of(spec.name), spec.name)
        if other != spec.name:
            return (
                f"the tasks {quoted(other)} and {quoted(spec.name)} would have one name in DNS"
                f" ({AS}): give one of them another"
            )
    for role, name in roster.names_like(job.role, job.name):
        if (role, name) != (job.role, job.name):
            return (
                f"the job {quoted(name)} of the role {quoted(role)} has its name in DNS already"
                f" ({AS}): give this one another, or end that one first with `pymesos-cli stop`"
            )
    return None
