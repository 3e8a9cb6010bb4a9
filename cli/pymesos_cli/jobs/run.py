"""`run`: submit a job, or a command, and see it through."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc.aio

from pymesos_binpack.hosting import HostError, host
from pymesos_binpack.jobfiles.parsing import parse_job, read_job_file
from pymesos_binpack.jobfiles.scaling import scale_warnings
from pymesos_binpack.jobfiles.variables import reference_warnings
from pymesos_binpack.specs import Job, JobError
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, EXIT_USAGE, CliError, UnreachableError
from pymesos_cli.finding import find_task
from pymesos_cli.interrupts import OF_SIGNAL, run_interruptibly
from pymesos_cli.jobs.following import Following
from pymesos_cli.jobs.hosted import end_orphans, mark
from pymesos_cli.jobs.leftovers import state_folder
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.services import (
    ASK_AGAIN_S,
    COMES_BACK_S,
    Silent,
    SilentError,
    not_connected,
    service,
    serving,
)
from pymesos_cli.tasks.logs import copy_log
from pymesos_cli.terminal import OutputError, note
from pymesos_core.outside import outside_with
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import Kind
from pymesos_core.serving_jobs import START_IT, takers
from pymesos_core.tasks import running
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_proto.v1.operator_pb2 import FrameworkView

GLANCE_S = 4.0  # how long `run` without --wait looks for tasks that do not fit
# How long the tasks of a job that this command runs itself outlive its connection. A change of
# leaders takes a moment of it, since a new leader begins to count when it leads, and who cannot be
# reached is noticed only after 30 s without an answer. Nobody comes back for a command that died.
HOSTED_FAILOVER_S = 30.0
RECONNECT_S = 0.5
NO_ORIGINS: Mapping[str, str] = MappingProxyType({})
# Of a command: which flag gives what of its job.
FLAGS = {
    "role": "--role",
    "tasks[0].image": "--image",
    "tasks[0].resources.cpus": "--cpus",
    "tasks[0].resources.mem": "--mem",
}


def read_document(path: Path) -> Any:
    """A job file as data. Raises CliError."""
    if not path.name:
        raise CliError("the job file is '' or a folder; a file is expected, or -", EXIT_USAGE)
    try:
        return read_job_file(path)
    except JobError as error:
        raise CliError(str(error), EXIT_USAGE) from error


def check(document: Any, where: str, origins: Mapping[str, str] = NO_ORIGINS) -> Job:
    """Make it a Job. Raises CliError.

    `origins` has the paths of what does not come from `where`, with what gave it: a flag.
    """
    try:
        return parse_job(document)
    except JobError as error:
        said = str(error)
        for path, origin in origins.items():
            if said.startswith(f"{path}: "):
                raise CliError(f"{origin}: {said.removeprefix(f'{path}: ')}", EXIT_USAGE) from error
            if said.startswith((f"{path}.", f"{path}[")):
                raise CliError(f"{origin}: {said}", EXIT_USAGE) from error
        raise CliError(f"{where}: {said}", EXIT_USAGE) from error


def command_document(
    command: tuple[str, ...], cpus: float, mem: float, image: str | None, role: str
) -> Any:
    """A job of one batch task. One word is a shell script; several are a program's arguments.

    Raises CliError.
    """
    if not command[0].strip():
        raise CliError(
            "the command is empty: give a program and its arguments after --, or one word that is a"
            " shell script, as in run -- 'echo hello'",
            EXIT_USAGE,
        )
    script = command[0] if len(command) == 1 else shlex.join(command)
    program = Path((command[0].split() or [""])[0]).name
    name = "".join(c for c in program if c.isascii() and c.isalnum())[:40] or "command"
    task = {
        "name": name,
        "kind": "batch",
        "command": script,
        "image": image,
        "resources": {"cpus": cpus, "mem": mem},
    }
    return {"name": name, "role": role, "tasks": [task]}


async def run_job(
    cluster: Cluster, job: Job, *, wait: bool, is_command: bool, here: bool = False
) -> int:
    """Submit the job where it is taken, or host its framework; the exit status.

    A command is shown with what it writes, and others of its name may run. With `here` the
    framework is hosted whoever else serves jobs.
    """
    show_output = is_command
    for warning in (*scale_warnings(job), *reference_warnings(job)):
        note(warning)
    serves = None if here else await serving_of(cluster, job.role)
    progress = Progress(quiet=show_output, here=serves is None)
    if serves is None:
        credentials = _of_framework(cluster, job.role)
        why = (
            "as --here says"
            if here
            else f"since the master knows no Jobs service of the role {job.role}"
        )
        note(f"this command runs the job itself, {why}, and stays until it ends; Ctrl-C ends it")
        await end_orphans(cluster)
        views = run_here(cluster.master, job, progress, credentials)
        hosting = see_through(
            cluster, views, progress, wait=True, show_output=show_output, to_the_end=True
        )
        return await run_interruptibly(hosting, words=lambda: "ending the job with its tasks …")
    address = serves.info.jobs_address
    job_id = await _submit(cluster, serves, job, same_name=is_command)
    progress.say(f"job {job_id} submitted")
    views = watch(cluster, job.role, address, job_id)
    if show_output:
        return await _run_command(cluster, views, progress, address, job_id)
    following = see_through(cluster, views, progress, wait=wait, show_output=False)
    if wait:
        return await run_interruptibly(following, words=lambda: how_to_go_on(job_id))
    glance = run_interruptibly(_at_most(GLANCE_S, following), words=lambda: how_to_go_on(job_id))
    status = await glance
    if status < OF_SIGNAL:
        progress.close()
        progress.say(f"follow it with: pymesos-cli watch {job_id}")
        return 0
    return status


def _of_framework(cluster: Cluster, role: str) -> Credentials | None:
    """The certificate with which this command is a framework. Raises CliError for none."""
    if cluster.credentials is None:
        return None
    if cluster.way.framework_tls is None:
        raise CliError(
            f"nobody takes jobs of the role {role}, and this command cannot run the job itself:"
            f" your certificate is of {cluster.credentials.identity.principal}, no framework."
            f" Start pymesos-binpack --listen --role {shlex.quote(role)} --tls FOLDER, or use a"
            f" context with --framework-tls; one that runs is seen by those who may `read` in the"
            f" role",
            EXIT_USAGE,
        )
    try:
        credentials = Credentials(cluster.way.framework_tls)
        credentials.need(Kind.FRAMEWORK)
    except CredentialsError as error:
        raise CliError(f"the context {cluster.way.context}: {error}", EXIT_USAGE) from error
    return credentials


async def _at_most(seconds: float, work: Coroutine[Any, Any, int]) -> int:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work
    return 0


async def _submit(cluster: Cluster, to: FrameworkView, job: Job, *, same_name: bool) -> str:
    """The job's id. Raises CliError."""
    request = pb.SubmitJobRequest(
        job_json=job.document, request_id=str(uuid.uuid4()), same_name=same_name
    )
    try:
        async with service(cluster, to) as stub:
            return (await stub.SubmitJob(request, timeout=cluster.timeout_s)).job_id
    except SilentError as error:
        raise _away(error.silent) from error
    except asyncio.CancelledError:
        note("the job may have been submitted: `pymesos-cli jobs` tells")
        raise


def how_to_go_on(job_id: str) -> str:
    """What to say when a job is left to itself."""
    return (
        f"{job_id} runs on: `pymesos-cli watch {job_id}` follows it, `pymesos-cli stop {job_id}`"
        f" ends it"
    )


async def _run_command(
    cluster: Cluster,
    views: AsyncIterator[pb.JobView],
    progress: Progress,
    address: str,
    job_id: str,
) -> int:
    """A command ends with the one who waits for it, as it would here."""

    async def stop() -> None:
        async with jobs_at(cluster, address) as stub:
            await stub.StopJob(pb.StopJobRequest(job_id=job_id), timeout=cluster.timeout_s)

    async def end() -> None:
        progress.say(f"ending {job_id} … (Ctrl-C again leaves it)")
        await stop()

    following = see_through(cluster, views, progress, wait=True, show_output=True)
    try:
        return await run_interruptibly(following, words=lambda: _may_run_on(job_id), end=end)
    except OutputError:
        with contextlib.suppress(CliError):
            await stop()  # nobody is there to read it, as when a pipe is closed
        raise


def _may_run_on(job_id: str) -> str:
    return f"{job_id} may run on: `pymesos-cli stop {job_id}` ends it"


def _away(silent: Silent) -> CliError:
    """The error when nobody takes the job now: to run it here would end it with this command."""
    return UnreachableError(
        f"{silent}. {START_IT[0].upper()}{START_IT[1:]}, and then run this; or --here makes this"
        f" command the framework of this one job, which ends with it"
    )


async def serving_of(cluster: Cluster, role: str, framework_id: str = "") -> FrameworkView | None:
    """Who takes jobs of a role. Raises CliError when it is away: nobody else is to run its jobs.

    Who says that very role goes before those that take it with others. After a failover it is
    away for a moment. With an id it is that framework and no other.
    """
    deadline_s = time.monotonic() + min(COMES_BACK_S, cluster.timeout_s)
    while True:
        there = await serving(cluster)
        meant = (view for view in there if framework_id in ("", view.info.framework_id))
        served = takers(meant, role)
        silent = [not_connected(view) for view in served]
        for view, why in zip(served, silent, strict=True):
            if why is None:
                return view
        if not served:
            return None
        if time.monotonic() >= deadline_s:
            assert silent[0] is not None
            raise _away(silent[0])
        await asyncio.sleep(ASK_AGAIN_S)


async def watch(
    cluster: Cluster, role: str, address: str, job_id: str, following: Following | None = None
) -> AsyncIterator[pb.JobView]:
    """The job's views until it has ended, over restarts of the framework.

    Whoever watches again and again keeps a `following`, to be told of what is gone meanwhile.
    """
    ended = said = False
    framework_id = ""  # of the one that has the job, wherever it serves from later
    following = following or Following()
    while not ended:
        following.begin()
        try:
            async with jobs_at(cluster, address) as stub:
                async for view in stub.WatchJob(pb.WatchJobRequest(job_id=job_id)):
                    framework_id = view.framework_id or framework_id
                    yield following.take(view)
                    said = False
                    ended = not view.more and view.state not in ("running", "stopping")
            return
        except CliError as error:
            if not isinstance(error.__cause__, grpc.aio.AioRpcError) or (
                error.__cause__.code() != grpc.StatusCode.UNAVAILABLE
            ):
                raise
            if not said:
                note(f"{error.format_message()}; trying again. Ctrl-C twice leaves")
                said = True
        await asyncio.sleep(RECONNECT_S)
        with contextlib.suppress(CliError):
            serves = await serving_of(cluster, role, framework_id)
            address = serves.info.jobs_address if serves is not None else address


async def run_here(
    master: str, job: Job, progress: Progress, credentials: Credentials | None = None
) -> AsyncIterator[pb.JobView]:
    """Be the bin-packing framework for one job: its views, until it has ended. Raises CliError."""
    info = types_pb2.FrameworkInfo(name=f"run {job.name}", failover_timeout_s=HOSTED_FAILOVER_S)
    mark(info, job.name)
    try:
        with state_folder() as folder:
            views = host(
                master,
                job,
                folder,
                info,
                lambda job_id: progress.say(f"job {job_id} started"),
                outside_with(credentials),
            )
            async with contextlib.aclosing(views) as stream:
                async for view in stream:
                    yield view
    except HostError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(
            f"the job's state cannot be kept in a temporary folder: {error.strerror or error}. Make"
            f" room there, or name another with TMPDIR"
        ) from error


async def see_through(
    cluster: Cluster,
    views: AsyncIterator[pb.JobView],
    progress: Progress,
    *,
    wait: bool,
    show_output: bool,
    to_the_end: bool = False,
) -> int:
    """Show progress until batch tasks have ended and services are ready; the exit status.

    Services are waited for no longer when an instance has failed for good. Without `wait`: until
    every task is placed. `to_the_end`: until services have ended, too.
    """
    output: list[asyncio.Task[None]] = []  # the one that shows it, once the task has started
    status = 0
    async with contextlib.AsyncExitStack() as begun:
        begun.callback(progress.close)
        async with contextlib.aclosing(views) as stream:  # type: ignore[type-var]
            async for view in _while_it_can_be_shown(stream, output):
                progress.update(view)
                if show_output and not output and progress.started():
                    showing = running(_show_output(cluster, progress))
                    output.append(await begun.enter_async_context(showing))
                if view.more:
                    continue
                if view.state not in ("running", "stopping"):
                    status = 0 if view.state == "finished" else EXIT_FAILED
                    break
                if to_the_end:
                    continue
                failed = progress.failed()
                is_there = progress.settled() and (not wait or failed or progress.all_ready())
                if is_there or (not wait and progress.all_placed()):
                    status = EXIT_FAILED if failed else 0
                    break
        await asyncio.gather(*output)
    if wait:
        progress.summarize(output_shown=bool(output))
    return status


async def _while_it_can_be_shown(
    views: AsyncIterator[pb.JobView], output: list[asyncio.Task[None]]
) -> AsyncIterator[pb.JobView]:
    """The views; raises what ends the showing of the output meanwhile."""
    while True:
        async with running(_next(views)) as coming:
            shows = [task for task in output if not task.done()]
            await asyncio.wait({coming, *shows}, return_when=asyncio.FIRST_COMPLETED)
            for task in output:
                if task.done():
                    task.result()
            view = await coming
        if view is None:
            return
        yield view


async def _next(views: AsyncIterator[pb.JobView]) -> pb.JobView | None:
    return await anext(views, None)


async def _show_output(cluster: Cluster, progress: Progress) -> None:
    """What the one task of a command writes, both streams as they come. Raises OutputError."""
    task_id = progress.task_ids()[0]
    try:
        view = await find_task(cluster, task_id, completed=True)
        async with (
            running(copy_log(cluster, view, stderr=False, follow=True)) as stdout,
            running(copy_log(cluster, view, stderr=True, follow=True)) as stderr,
        ):
            await asyncio.gather(stdout, stderr)
    except CliError as error:
        progress.say(f"what it writes cannot be shown: {error.format_message()}")
