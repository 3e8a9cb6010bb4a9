"""`jobs`, `watch`, `stop`: what the Jobs services hold."""

from __future__ import annotations

from pymesos_cli.cluster import EXIT_USAGE, CliError, Cluster, jobs_at
from pymesos_cli.finding import about_job, find_job, has_ended
from pymesos_cli.interrupts import run_interruptibly
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.jobs.run import how_to_go_on, see_through, watch
from pymesos_cli.output import age, print_json, print_table
from pymesos_cli.services import ask_jobs, jobs_of_silent, refuse_silent, warn
from pymesos_core.json_dialect import job_json
from pymesos_core.names import Named, find
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb


async def list_jobs(cluster: Cluster, *, ended: bool, as_json: bool) -> None:
    """`pymesos-cli jobs`."""
    answers = await ask_jobs(cluster, ended=ended)
    jobs = [job for _, job in answers.items]
    for silent in answers.silent:
        jobs += await jobs_of_silent(cluster, silent)
    warn(answers.silent)
    if as_json:
        print_json([job_json(job) for job in jobs])
        return
    rows = [
        (
            job.job_id,
            job.state,
            ", ".join(f"{number} {phase}" for phase, number in sorted(job.counts.items()))
            or job.explanation,
            age(job.submitted_at_s) if job.submitted_at_s else "",
        )
        for job in jobs
    ]
    hint = "" if ended else "; --all shows those that have ended"
    print_table(("JOB", "STATE", "TASKS", "AGE"), rows, f"no jobs{hint}", ("TASKS",))
    if any(job.state == "quarantined" for job in jobs):
        print("`pymesos-cli quarantine show JOB` says what is wrong with what is quarantined")


async def _find(cluster: Cluster, text: str, *, exact: bool = False) -> tuple[str, pb.JobView]:
    answers = await ask_jobs(cluster, ended=True)
    if answers.silent:
        things = (Named(job, job.job_id, (job.name,)) for _, job in answers.items)
        if not find(text, things, exact=exact).fits:
            await refuse_silent(cluster, text, answers.silent)
    if not answers.items:
        raise CliError(f"there is no job {quoted(text)}, and no Jobs service holds any", EXIT_USAGE)
    return find_job(text, answers.items, exact=exact)


async def watch_job(cluster: Cluster, text: str) -> int:
    """`pymesos-cli watch`; the exit status."""
    address, job = await _find(cluster, text)
    progress = Progress()
    views = watch(cluster, "", address, job.job_id)
    following = see_through(cluster, views, progress, wait=True, show_output=False)
    return await run_interruptibly(following, words=lambda: how_to_go_on(job.job_id))


async def stop_job(cluster: Cluster, text: str) -> None:
    """`pymesos-cli stop`."""
    address, job = await _find(cluster, text, exact=True)
    if has_ended(job):
        raise CliError(
            f"the job {job.job_id} has ended already ({job.state}); nothing of it is left to stop",
            EXIT_USAGE,
        )
    async with jobs_at(address) as stub:
        await stub.StopJob(pb.StopJobRequest(job_id=job.job_id), timeout=cluster.timeout_s)
    print(f"stopping {job.job_id} ({about_job(job)})")
