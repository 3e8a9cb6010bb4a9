"""Silences of alerts of jobs are given back from a backup, once the jobs are there."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from pymesos_binpack.jobfiles.parsing import load_document
from pymesos_cli.backup.records import Backup, SavedJob
from pymesos_cli.backup.restored_jobs import Serving, serves_of
from pymesos_cli.backup.restored_telling import NEAR_S
from pymesos_cli.backup.steps import Found, Kind, Step
from pymesos_cli.backup.telling import silences_of_jobs
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.services import all_jobs, refusals_of
from pymesos_core.clock import utc
from pymesos_proto.v1 import jobs_pb2 as pb

Key = tuple[str, str, str]  # a job's name, a task, and what is wrong


async def steps_of_job_silences(
    cluster: Cluster, backup: Backup, stack: AsyncExitStack
) -> list[Step]:
    """Return the steps that silence alerts of jobs for the time that is left.

    Raises CliError when no master is reached.
    """
    of_name = {(job.role, job.name): job for job in reversed(backup.jobs)}  # the first of a name
    by_role: dict[str, list[pb.JobSilenceView]] = {}
    for silence in backup.job_silences:
        by_role.setdefault(silence.role, []).append(silence)
    steps: list[Step] = []
    for role, silences in by_role.items():
        serves = await serves_of(cluster, role, stack)
        if isinstance(serves, CliError):
            why = f"its job is not restored: {serves.format_message()}"
            steps += [_left_out(silence, why) for silence in silences]
            continue
        there = await _there(serves, role)
        for silence in silences:
            job = of_name.get((role, silence.job_name))
            why_not = _why_not(silence, job)
            steps.append(_left_out(silence, why_not) if why_not else _step(serves, silence, there))
    return steps


async def _there(serves: Serving, role: str) -> dict[Key, pb.JobSilenceView]:
    """Raises CliError."""
    with refusals_of(serves.view):
        found = await silences_of_jobs(serves.stub, serves.timeout_s, [])
    return {(one.job_name, one.task_name, one.when): one for one in found if one.role == role}


def _why_not(silence: pb.JobSilenceView, job: SavedJob | None) -> str:
    """Return why a silence has no place here; empty: it has."""
    if silence.until_s - time.time() < 1:
        return "it is over"
    if job is None or job.job_id != silence.job_id:
        return "its job is left out"
    document = load_document(job.versions[-1].job_json, only_json=True)
    tasks = document.get("tasks") if isinstance(document, dict) else None
    names = [each.get("name") for each in tasks or () if isinstance(each, dict)]
    if silence.task_name and silence.task_name not in names:
        return "its job has no such task any more"
    return ""


def _said(silence: pb.JobSilenceView) -> str:
    of = f"{silence.job_name}.{silence.task_name}".removesuffix(".")
    which = f"{silence.when or 'all'} alerts of the job {of}"
    return f"the silence of {which} until {utc(silence.until_s)}"


def _left_out(silence: pb.JobSilenceView, why: str) -> Step:
    return Step(Kind.SILENCES, _said(silence), Found.LEFT_OUT, why)


def _step(serves: Serving, silence: pb.JobSilenceView, there: dict[Key, pb.JobSilenceView]) -> Step:
    async def do() -> None:
        with refusals_of(serves.view):
            jobs = await all_jobs(serves.stub, serves.timeout_s, ended=False)
            of_name = [j for j in jobs if (j.role, j.name) == (silence.role, silence.job_name)]
            runs = [job for job in of_name if job.state == "running"]
            if len(runs) != 1:
                raise CliError(f"{len(runs)} jobs of the name {silence.job_name} run, not one")
            request = pb.SilenceAlertsRequest(
                job_id=runs[0].job_id,
                task_name=silence.task_name,
                when=silence.when,
                for_s=max(1, round(silence.until_s - time.time())),
                why=silence.why,
            )
            await serves.stub.SilenceAlerts(request, timeout=serves.timeout_s)

    known = there.get((silence.job_name, silence.task_name, silence.when))
    if known is None:
        return Step(Kind.SILENCES, _said(silence), Found.MISSING, do=do)
    if abs(known.until_s - silence.until_s) < NEAR_S and known.why == silence.why:
        return Step(Kind.SILENCES, _said(silence), Found.SAME)
    why = f"there is one until {utc(known.until_s)} here"
    return Step(Kind.SILENCES, _said(silence), Found.DIFFERS, why, do)
