"""`jobs`, `watch`, `stop`: what the Jobs services hold."""

from __future__ import annotations

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError, NotFoundError
from pymesos_cli.finding import JOB, about_job, check_given, find_job, has_ended
from pymesos_cli.interrupts import run_interruptibly
from pymesos_cli.jobs.hosted import Hosted, end, find_hosted, hosted_jobs
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.jobs.run import how_to_go_on, see_through, watch
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import age, print_json, print_table
from pymesos_cli.services import ask_jobs, jobs_of_silent, refuse_silent, warn
from pymesos_core.jobs_json import job_json
from pymesos_core.names import Named, find
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb

MAX_GOING = 2  # rollouts that are named


async def list_jobs(cluster: Cluster, *, ended: bool, as_json: bool) -> None:
    """`pymesos-cli jobs`."""
    answers = await ask_jobs(cluster, ended=ended)
    jobs = [job for _, job in answers.items]
    for silent in answers.silent:
        jobs += await jobs_of_silent(cluster, silent)
    hosted = await hosted_jobs(cluster)
    jobs += [
        job.view
        or pb.JobView(
            job_id=job.job_id,
            name=job.name,
            state="running",
            framework_id=job.framework.info.framework_id,
            explanation="no task of it has been started",
        )
        for job in hosted
    ]
    warn(answers.silent)
    if as_json:
        print_json([job_json(job) for job in jobs])
        return
    rows = [
        (
            job.job_id,
            job.role,
            _state(job),
            str(job.version or ""),
            f"{job.package.name} {job.package.version}" if job.HasField("package") else "",
            ", ".join(f"{number} {phase}" for phase, number in sorted(job.counts.items()))
            or job.explanation,
            age(job.submitted_at_s) if job.submitted_at_s else "",
        )
        for job in jobs
    ]
    hint = "" if ended else "; --all shows those that have ended"
    headers = ("JOB", "ROLE", "STATE", "VERSION", "PACKAGE", "TASKS", "AGE")
    print_table(headers, rows, f"no jobs{hint}", ("TASKS",))
    for job in hosted:
        print(f"{job.job_id} is run by {job.where}, and ends with it")
    if any(job.state == "quarantined" for job in jobs):
        print("`pymesos-cli quarantine show JOB` says what is wrong with what is quarantined")


def _state(job: pb.JobView) -> str:
    """The state of a job, and of its rollouts that go on."""
    going = [f"{each.task_name} {each.state}" for each in job.rollouts if each.going]
    more = ", …" if len(going) > MAX_GOING else ""
    return ", ".join([job.state, *going[:MAX_GOING]]) + more


async def find_held(
    cluster: Cluster, text: str, *, exact: bool = False
) -> tuple[str, pb.JobView] | Hosted:
    """The job with the address of its service, or one that a command runs. Raises CliError."""
    check_given(text, JOB)
    answers = await ask_jobs(cluster, ended=True)
    things = [Named(job, job.job_id, (job.name,), not has_ended(job)) for _, job in answers.items]
    if not any(thing.live for thing in find(text, things, exact=exact).fits):
        hosted = find_hosted(text, await hosted_jobs(cluster), exact=exact)
        if hosted is not None:
            return hosted
    if answers.silent and not find(text, things, exact=exact).fits:
        await refuse_silent(cluster, text, answers.silent)
    if not answers.items:
        raise NotFoundError(f"there is no job {quoted(text)}, and no Jobs service holds any")
    return find_job(text, answers.items, exact=exact)


async def watch_job(cluster: Cluster, text: str) -> int:
    """`pymesos-cli watch`; the exit status."""
    found = await find_held(cluster, text)
    if isinstance(found, Hosted):
        raise CliError(
            f"the job {found.job_id} is run by {found.where}, which shows how it goes; here"
            f" `pymesos-cli tasks {found.job_id}` lists its tasks, and `pymesos-cli stop"
            f" {found.job_id}` ends it",
            EXIT_USAGE,
        )
    address, job = found
    progress = Progress()
    views = watch(cluster, "", address, job.job_id)
    following = see_through(cluster, views, progress, wait=True, show_output=False)
    return await run_interruptibly(following, words=lambda: how_to_go_on(job.job_id))


async def stop_job(cluster: Cluster, text: str, *, now: bool = False) -> None:
    """`pymesos-cli stop`."""
    found = await find_held(cluster, text, exact=True)
    if isinstance(found, Hosted):
        await end(cluster, found)
        print(f"stopping {found.job_id}, and with it {found.where}")
        return
    address, job = found
    if has_ended(job):
        raise CliError(
            f"the job {job.job_id} has ended already ({job.state}); nothing of it is left to stop",
            EXIT_USAGE,
        )
    async with jobs_at(cluster, address) as stub:
        request = pb.StopJobRequest(job_id=job.job_id, now=now)
        await stub.StopJob(request, timeout=cluster.timeout_s)
    print(f"stopping {job.job_id} ({about_job(job)})")
