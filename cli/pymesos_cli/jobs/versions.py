"""`apply`, `scale`, `restart`, `rollback`, `history`, `describe`: jobs and their versions."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymesos_binpack.specs import Job
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, EXIT_NO_MASTER, EXIT_USAGE, CliError, NotFoundError
from pymesos_cli.interrupts import run_interruptibly
from pymesos_cli.jobs.foreseen import agents_to_plan, told, where_they_go
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held
from pymesos_cli.jobs.preemptible import Running, running_tasks
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.jobs.run import how_to_go_on, serving_of, watch
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import age, count_of, note, print_json, print_table
from pymesos_cli.services import service
from pymesos_core.jobs_json import described_json, document_of, rollout_json, version_json
from pymesos_core.serving_jobs import nobody_takes
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1.operator_pb2 import FrameworkView

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

MAX_INSTANCES = 10_000
MAX_DIGITS = 10  # of a number that is typed
FAILED = ("rolled_back", "rollback_failed", "aborted")
MAX_TASKS = 10  # that are named
SHOWN_CHANGES = 3  # of a version, in a table


@dataclass(frozen=True)
class Apply:
    """How a file is applied."""

    plan: bool = False
    wait: bool = False
    if_version: int = 0
    keep_counts: bool = False
    rerun: bool = False
    job_id: str = ""


async def apply_job(cluster: Cluster, job: Job, asked: Apply) -> int:
    """`pymesos-cli apply`; the exit status."""
    serves = await serving_of(cluster, job.role)
    if serves is None:
        raise CliError(
            f"{nobody_takes(job.role)}, or use `pymesos-cli run`, which is the framework of one job"
            f" itself",
            EXIT_USAGE,
        )
    request = pb.ApplyJobRequest(
        job_json=job.document,
        request_id=str(uuid.uuid4()),
        job_id=asked.job_id,
        dry_run=asked.plan,
        if_version=asked.if_version,
        keep_counts=asked.keep_counts,
        rerun=asked.rerun,
    )
    if asked.plan and job.preempt:
        agents, request.agents_left_out = await agents_to_plan(cluster)
        request.agents.extend(agents)
    async with service(cluster, serves) as stub:
        answer = await stub.ApplyJob(request, timeout=cluster.timeout_s)
    _show_plan(job.name, answer, planned=asked.plan)
    if asked.plan:
        if answer.changed:
            lines = told(answer) if answer.where else await _where(cluster, serves, job, answer)
            for line in lines:
                print(f"  {line}")
        return EXIT_FAILED if answer.changed else 0
    if asked.wait:
        return await _see_through(cluster, serves.info.jobs_address, answer.job_id, answer.version)
    return 0


async def _where(
    cluster: Cluster, serves: FrameworkView, job: Job, answer: pb.ApplyJobResponse
) -> list[str]:
    """Where new instances would go now, as far as the caller may look."""

    async def running() -> Running:
        return await running_tasks(cluster, serves, job.role)

    try:
        return await where_they_go(cluster, job, answer, running)
    except CliError as error:
        if error.exit_code == EXIT_NO_MASTER:
            raise
        return [f"where they would go is not known: {error.format_message()}"]


def _show_plan(name: str, answer: pb.ApplyJobResponse, *, planned: bool) -> None:
    """Say what would change, or changes."""
    called = answer.job_id or name
    for warning in answer.warnings:
        note(warning)
    if not answer.changed:
        print(f"nothing to do: {called} is what the file says (version {answer.version})")
        return
    for change in answer.changes:
        print(f"  {change.path}: {change.before or 'not there'} -> {change.after or 'not there'}")
    if answer.more_changes:
        print(f"  and {count_of(answer.more_changes, 'other key')}")
    for task in answer.tasks:
        print(f"  {task.task_name}: {becomes(task)}")
        if task.outage:
            print(f"  {task.task_name}: {task.outage}")
    would = "would be" if planned else "is"
    if answer.created:
        print(f"{called} {would} started" + ("" if planned else " (version 1)"))
    elif planned:
        print(f"{called} would be changed, to version {answer.version + 1}")
    else:
        print(f"{called} is changed, to version {answer.version}")


def becomes(task: pb.TaskChange) -> str:
    """What becomes of the instances of a task."""
    numbers = (
        (task.stay, "stays", "stay"),
        (task.start, "starts", "start"),
        (task.stop, "stops", "stop"),
        (task.replace, "is replaced", "are replaced"),
        (task.finish, "finishes as it is", "finish as they are"),
    )
    said = [count_of(number, one, many) for number, one, many in numbers if number]
    return ", ".join(said) or "no instances"


async def held(cluster: Cluster, text: str) -> tuple[str, pb.JobView]:
    """The job with the address of its service. Raises CliError."""
    found = await find_held(cluster, text, exact=True)
    if isinstance(found, Hosted):
        raise CliError(
            f"the job {found.job_id} is run by {found.where}, which keeps no versions: end it and"
            f" start it anew, or have a pymesos-binpack --listen take it with `pymesos-cli apply`",
            EXIT_USAGE,
        )
    return found


async def scale_job(cluster: Cluster, texts: Sequence[str], *, wait: bool) -> int:
    """`pymesos-cli scale`; the exit status."""
    counts: dict[str, int] = {}
    named = ""
    for text in texts:
        path, equals, number = text.partition("=")
        name, _, task = path.rpartition(".")
        if not (equals and name and task):
            raise CliError(f"{quoted(text)} is not JOB.TASK=N, as in shop.web=5", EXIT_USAGE)
        if named not in ("", name):
            raise CliError(
                f"{quoted(named)} and {quoted(name)} are two jobs: scale one at a time", EXIT_USAGE
            )
        if task in counts:
            raise CliError(f"{quoted(task)} is given twice: give one number for it", EXIT_USAGE)
        named, counts[task] = name, _number(text, number)
    address, job = await held(cluster, named)

    async def ask(stub: JobsAsyncStub) -> pb.ChangeJobResponse:
        request = pb.ScaleJobRequest(job_id=job.job_id, counts=counts, request_id=str(uuid.uuid4()))
        return await stub.ScaleJob(request, timeout=cluster.timeout_s)

    done = ", ".join(f"{task}={number}" for task, number in counts.items())
    return await _change(cluster, address, job.job_id, ask, f"scaled to {done}", wait=wait)


def _number(text: str, number: str) -> int:
    if not 1 <= (count := _whole_number(number)) <= MAX_INSTANCES:
        raise CliError(
            f"{quoted(text)}: {quoted(number)} is no number of instances; 1 to {MAX_INSTANCES} are"
            f" possible, and `pymesos-cli stop` ends a job",
            EXIT_USAGE,
        )
    return count


def _whole_number(text: str) -> int:
    """Return the number that was typed; 0 where it is none, or far too long."""
    is_one = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return int(text) if is_one else 0


async def restart_job(cluster: Cluster, text: str, *, wait: bool) -> int:
    """`pymesos-cli restart`; the exit status."""
    name, _, task = text.partition(".")
    address, job = await held(cluster, name)

    async def ask(stub: JobsAsyncStub) -> pb.ChangeJobResponse:
        request = pb.RestartJobRequest(
            job_id=job.job_id, tasks=[task] if task else [], request_id=str(uuid.uuid4())
        )
        return await stub.RestartJob(request, timeout=cluster.timeout_s)

    what = f"restarting {task}" if task else "restarting"
    return await _change(cluster, address, job.job_id, ask, what, wait=wait)


async def roll_back(cluster: Cluster, text: str, number: str, *, wait: bool) -> int:
    """`pymesos-cli rollback`; the exit status."""
    version = _whole_number(number)
    if number and not 0 < version < 2**31:
        raise CliError(
            f"{quoted(number)} is no version: a number is expected, as `pymesos-cli history"
            f" {text}` lists them",
            EXIT_USAGE,
        )
    address, job = await held(cluster, text)

    async def ask(stub: JobsAsyncStub) -> pb.ChangeJobResponse:
        request = pb.RollbackJobRequest(
            job_id=job.job_id, version=version, request_id=str(uuid.uuid4())
        )
        return await stub.RollbackJob(request, timeout=cluster.timeout_s)

    return await _change(cluster, address, job.job_id, ask, "", wait=wait)


async def _change(
    cluster: Cluster,
    address: str,
    job_id: str,
    ask: Callable[[JobsAsyncStub], Awaitable[pb.ChangeJobResponse]],
    what: str,
    *,
    wait: bool,
) -> int:
    """Have a job changed, and see that through; the exit status."""
    async with jobs_at(cluster, address) as stub:
        answer = await ask(stub)
    if not answer.changed:
        print(f"nothing to do: {job_id} is so already (version {answer.version})")
    else:
        print(f"{job_id} is at version {answer.version}: {what or answer.what}")
    return await _see_through(cluster, address, job_id, answer.version) if wait else 0


async def _see_through(cluster: Cluster, address: str, job_id: str, version: int) -> int:
    """Show how it goes until every instance is as a version wants it; the exit status."""
    progress = Progress()
    said: dict[str, str] = {}

    async def follow() -> int:
        try:
            async for view in watch(cluster, "", address, job_id):
                progress.update(view)
                if view.more:
                    continue
                rollouts = [
                    each
                    for each in view.rollouts
                    if each.to_version >= version or each.going or each.task_name in said
                ]
                for each in rollouts:
                    line = f"{each.task_name}: {each.state}: {each.why}"
                    if said.setdefault(each.task_name, "") != line:
                        said[each.task_name] = line
                        progress.say(line)
                if view.state not in ("running", "stopping"):
                    return 0 if view.state == "finished" else EXIT_FAILED
                going = [each.state for each in rollouts if each.going]
                if going and all(state == "paused" for state in going):
                    return EXIT_FAILED  # it waits for whoever resumes or aborts it, as it has said
                failed = any(each.state in FAILED for each in rollouts)
                is_there = progress.settled() and (failed or progress.all_ready())
                # What a rollout that failed has left may never run.
                if view.settled and (failed or is_there):
                    return EXIT_FAILED if failed or progress.failed() else 0
        finally:
            progress.close()
        return EXIT_FAILED

    return await run_interruptibly(follow(), words=lambda: how_to_go_on(job_id))


async def show_rollouts(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli rollout status`."""
    name, _, task = text.partition(".")
    address, job = await held(cluster, name)
    rollouts = [each for each in job.rollouts if task in ("", each.task_name)]
    if task and not rollouts:
        await _check_task(cluster, address, job.job_id, task)
    if as_json:
        print_json([rollout_json(each) for each in rollouts])
        return
    rows = [
        (
            each.task_name,
            each.state,
            f"{each.from_version} -> {each.to_version}",
            each.by,
            age(each.began_at_s),
            each.why,
        )
        for each in rollouts
    ]
    headers = ("TASK", "STATE", "VERSIONS", "BY", "AGE", "WHY")
    print_table(headers, rows, f"no instance of {text} was replaced since it began", ("WHY",))


async def _check_task(cluster: Cluster, address: str, job_id: str, name: str) -> None:
    """Raises NotFoundError where a job has no task of that name."""
    async with jobs_at(cluster, address) as stub:
        answer = await stub.DescribeJob(
            pb.DescribeJobRequest(job_id=job_id), timeout=cluster.timeout_s
        )
    names = [str(task["name"]) for task in told_document(answer)["tasks"]]
    if name not in names:
        raise NotFoundError(
            f"the job {job_id} has no task {quoted(name)}: it has {', '.join(names[:MAX_TASKS])}"
        )


async def steer(cluster: Cluster, text: str, what: str) -> None:
    """`pymesos-cli rollout pause`, `resume`, `promote` and `abort`."""
    name, _, task = text.partition(".")
    address, job = await held(cluster, name)
    if task not in ("", *(each.task_name for each in job.rollouts)):
        await _check_task(cluster, address, job.job_id, task)
    request = pb.RolloutRequest(job_id=job.job_id, task_name=task)
    async with jobs_at(cluster, address) as stub:
        calls = {
            "pause": stub.PauseRollout,
            "resume": stub.ResumeRollout,
            "promote": stub.PromoteRollout,
            "abort": stub.AbortRollout,
        }
        answer = await calls[what](request, timeout=cluster.timeout_s)
    for each in answer.rollouts:
        print(f"{each.task_name}: {each.state}: {each.why}")


async def show_history(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli history`."""
    address, job = await held(cluster, text)
    async with jobs_at(cluster, address) as stub:
        answer = await stub.ListVersions(
            pb.ListVersionsRequest(job_id=job.job_id), timeout=cluster.timeout_s
        )
    if as_json:
        print_json([version_json(view) for view in answer.versions])
        return
    rows = [
        (
            str(view.version),
            age(view.made_at_s),
            view.made_by,
            view.what,
            _in_short(view.changes, view.more_changes),
        )
        for view in answer.versions
    ]
    print_table(("VERSION", "AGE", "BY", "WHAT", "CHANGES"), rows, "no versions", ("CHANGES",))


def _in_short(changes: Iterable[pb.FieldChange], more: int) -> str:
    listed = [f"{each.path}: {each.before or '-'} -> {each.after or '-'}" for each in changes]
    left = len(listed) - SHOWN_CHANGES + more
    return ", ".join(listed[:SHOWN_CHANGES]) + (f", and {left} more" if left > 0 else "")


def told_document(answer: pb.DescribeJobResponse) -> dict[str, Any]:
    """Return the document that a framework tells of a job. Raises CliError."""
    try:
        return document_of(answer)
    except ValueError as error:
        raise CliError(str(error)) from error


async def describe(cluster: Cluster, text: str, version: int, *, as_json: bool) -> None:
    """`pymesos-cli describe`."""
    address, job = await held(cluster, text)
    async with jobs_at(cluster, address) as stub:
        answer = await stub.DescribeJob(
            pb.DescribeJobRequest(job_id=job.job_id, version=version), timeout=cluster.timeout_s
        )
    document = told_document(answer)
    if answer.env_hidden:
        note("what is in environments is left out: you may not read it (`read-env`)")
    if as_json:
        print_json(described_json(answer))
        return
    import yaml

    view = answer.version
    by = f" by {view.made_by}" if view.made_by else ""
    print(f"# {answer.job_id}, version {view.version}: {view.what}{by}, {age(view.made_at_s)} ago")
    print(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), end="")
