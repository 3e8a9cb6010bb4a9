"""`logs`: what tasks wrote."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_NO_MASTER, EXIT_USAGE, CliError
from pymesos_cli.finding import find_task, find_tasks
from pymesos_cli.leader import RETRY_S
from pymesos_cli.output import note
from pymesos_cli.sandboxes import AwayError, sandbox_of
from pymesos_cli.tasks.exec import exit_code
from pymesos_cli.terminal import SafeStream, stream
from pymesos_core.names import parse_task_id
from pymesos_core.states import is_terminal, state_name
from pymesos_core.text import count_of, cut
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import sandbox_pb2 as pb

MAX_TASKS = 100
MAX_LINE_BYTES = 64 * 1024  # of several tasks, whose lines are kept apart
COMES_BACK_S = 60.0  # who follows a log waits so long for another master, or its agent
END_TRIES, END_WAIT_S = 50, 0.2


async def show_logs(
    cluster: Cluster, text: str, *, follow: bool, stderr: bool, tail: int | None
) -> None:
    """`pymesos-cli logs`: of a task, or of all live instances of a job."""
    views = await _views(cluster, text)
    several = len(views) > 1
    prefixes = _prefixes([v.task_info.task_id for v in views]) if several else [b""]
    copies = [
        copy_log(cluster, view, stderr=stderr, follow=follow, tail=tail, prefix=prefix)
        for view, prefix in zip(views, prefixes, strict=True)
    ]
    results = await asyncio.gather(*copies, return_exceptions=True)
    failed = [result for result in results if isinstance(result, CliError)]
    problems = [*{str(problem): problem for problem in failed}.values()]  # each is said once
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, CliError):
            raise result
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise CliError("; ".join(map(str, problems)))
    if not (any(results) or stderr or tail == 0):
        await _say_if_in_stderr(cluster, text, views)


async def _say_if_in_stderr(
    cluster: Cluster, text: str, views: Sequence[operator_pb.TaskView]
) -> None:
    """Say how much is kept of the stderr of tasks that wrote nothing to stdout."""
    sizes = await asyncio.gather(*(_stderr_bytes(cluster, view) for view in views))
    if not any(sizes):
        return
    if len(views) == 1:
        text = views[0].task_info.task_id
        what, whose = f"{text} wrote nothing", "its"
    else:
        what, whose = f"none of {len(views)} tasks wrote anything", "their"
    note(
        f"{what} to stdout; `pymesos-cli logs --stderr {text}` shows"
        f" {count_of(sum(sizes), 'byte')} of {whose} stderr"
    )


async def _stderr_bytes(cluster: Cluster, view: operator_pb.TaskView) -> int:
    request = pb.ListFilesRequest(framework_id=view.framework_id, task_id=view.task_info.task_id)
    with contextlib.suppress(CliError):  # nobody asked for it
        async with sandbox_of(cluster, view) as (stub, metadata):
            found = await stub.ListFiles(request, metadata=metadata, timeout=cluster.timeout_s)
        return sum(f.size_bytes for f in found.files if re.fullmatch(r"stderr(\.[0-9]+)?", f.name))
    return 0


async def attach_to(cluster: Cluster, text: str) -> int:
    """`pymesos-cli attach`: both streams; the exit status, 128 and the number for a signal's."""
    view = await find_task(cluster, text, completed=False)
    await asyncio.gather(
        *(copy_log(cluster, view, stderr=stderr, follow=True, tail=0) for stderr in (False, True))
    )
    task_id = view.task_info.task_id
    for _ in range(END_TRIES):
        found = await cluster.tasks(
            completed=True, id_prefix=task_id, framework_id=view.framework_id
        )
        for now in found:
            if now.task_info.task_id == task_id and is_terminal(now.state):
                status = now.status
                if status.HasField("exit_status"):
                    return exit_code(status.exit_status)
                raise CliError(f"{task_id} ended as {state_name(now.state)}: {status.message}")
        await asyncio.sleep(END_WAIT_S)
    raise CliError(f"{task_id} writes no more, and the master does not know yet how it ended")


async def _views(cluster: Cluster, text: str) -> Sequence[operator_pb.TaskView]:
    """The task of that id or name; of a job, all that live, or all when it has ended."""
    views = await find_tasks(cluster, text, completed=True)
    if len(views) > MAX_TASKS:
        raise CliError(
            f"{cut(text)} has {len(views)} tasks; at most {MAX_TASKS} are shown at once: name some"
            f" of them, as in JOB.task.instance",
            EXIT_USAGE,
        )
    return views


def _prefixes(task_ids: Sequence[str]) -> list[bytes]:
    """What is before each line of a task: its instance, as `web.0`, padded to the same width.

    With its job where there are several, and with its attempt where several are of one instance.
    """
    parts = [parse_task_id(task_id) for task_id in task_ids]
    jobs = {part.job_id for part in parts if part}
    instances = Counter(part.of_instance for part in parts if part)
    names = []
    for task_id, part in zip(task_ids, parts, strict=True):
        name = task_id
        if part:
            name = part.of_instance
            name = name if len(jobs) > 1 else name.removeprefix(f"{part.job_id}.")
            if instances[part.of_instance] > 1:
                name += f" v{part.version}" if part.version > 1 else ""
                name += f" attempt {part.attempt}"
        names.append(name)
    width = max(map(len, names))
    return [f"{name:<{width}} | ".encode() for name in names]


async def copy_log(
    cluster: Cluster,
    view: operator_pb.TaskView,
    *,
    stderr: bool = False,
    follow: bool = False,
    tail: int | None = None,
    prefix: bytes = b"",
) -> bool:
    """Write a task's stdout to our own, or its stderr to our stderr; whether there was any.

    Raises CliError.
    """
    out = stream(stderr=stderr)
    request = pb.ReadLogRequest(
        framework_id=view.framework_id,
        task_id=view.task_info.task_id,
        stderr=stderr,
        follow=follow,
    )
    if tail is not None:
        request.tail_lines = tail
    rest, wrote = b"", False
    async with aclosing(_parts(cluster, view, request)) as parts:
        async for data in parts:
            rest = _write(out, prefix, rest + data)
            wrote = wrote or bool(data)
    if rest:
        _write(out, prefix, rest + b"\n" if prefix else rest)
    return wrote


async def _parts(
    cluster: Cluster, view: operator_pb.TaskView, request: pb.ReadLogRequest
) -> AsyncGenerator[bytes]:
    """What is in a log. One that is followed goes on where it was when another master leads, or its
    agent is back. Raises CliError.
    """
    loop = asyncio.get_running_loop()
    until_s: float | None = None  # while nobody answers
    while True:
        try:
            async with sandbox_of(cluster, view) as (stub, metadata):
                async for part in stub.ReadLog(request, metadata=metadata):
                    until_s = None
                    yield part.data
                    if request.follow and part.HasField("end"):
                        request.after.CopyFrom(part.end)
            return
        except AwayError:
            if until_s is None:
                until_s = loop.time() + max(cluster.timeout_s, COMES_BACK_S)
            if not request.HasField("after") or loop.time() > until_s:
                raise
        await asyncio.sleep(RETRY_S)
        view = await _found_again(cluster, view, until_s)


async def _found_again(
    cluster: Cluster, view: operator_pb.TaskView, until_s: float
) -> operator_pb.TaskView:
    """The task as the master that leads now knows it: agents tell a new one what they have. As it
    was known before, if that master hears nothing of it in time. Raises CliError.
    """
    loop, task_id = asyncio.get_running_loop(), view.task_info.task_id
    while loop.time() < until_s:
        try:
            found = await cluster.tasks(
                completed=True, id_prefix=task_id, framework_id=view.framework_id
            )
        except CliError as error:
            if error.exit_code != EXIT_NO_MASTER or loop.time() > until_s:
                raise
            found = []
        for now in found:
            if now.task_info.task_id == task_id and now.HasField("agent_address"):
                return now
        await asyncio.sleep(RETRY_S)
    return view


def _write(out: SafeStream, prefix: bytes, data: bytes) -> bytes:
    """Whole lines, each with its prefix; what is left of the last. All of it without a prefix.

    A line that is too long comes as several.
    """
    rest = b""
    if prefix:
        *lines, rest = data.split(b"\n")
        if len(rest) > MAX_LINE_BYTES:  # it may never end, as that of a progress bar
            lines, rest = [*lines, rest], b""
        data = b"".join(prefix + line + b"\n" for line in lines)
    out.write_raw(data)
    return rest
