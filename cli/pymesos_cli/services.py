"""The Jobs services that frameworks brought, and what is known of those that do not answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, UnreachableError
from pymesos_cli.jobs_stub import dialled_jobs, refusals_at
from pymesos_cli.output import note, printable
from pymesos_core import serving_jobs
from pymesos_core.following import describe
from pymesos_core.grpc_transport import call_error
from pymesos_core.names import parse_task_id
from pymesos_core.serving_jobs import START_IT, silent_text
from pymesos_core.states import state_name
from pymesos_core.text import count_of, quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

MAX_PAGES = 10_000
COMES_BACK_S = 6.0  # a framework finds the next leader within that (following.RECONNECT_S)
ASK_AGAIN_S = 0.5

Item = TypeVar("Item")
_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
UNREACHABLE = "unreachable"  # the state of a job of which its framework says nothing


@dataclass(frozen=True)
class Silent:
    """A framework that serves jobs and does not answer."""

    framework: operator_pb2.FrameworkView
    why: str

    def __str__(self) -> str:
        return silent_text(self.framework, self.why)


@dataclass
class Answers:
    """What the services that answered said, and which did not."""

    items: list[tuple[str, pb.JobView]] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)


async def serving(cluster: Cluster) -> list[operator_pb2.FrameworkView]:
    """The frameworks that serve jobs, connected or not."""
    return [view for view in await cluster.frameworks() if view.info.jobs_address]


async def serving_again(cluster: Cluster) -> list[operator_pb2.FrameworkView]:
    """The same, once those are back that have been away only just now, or after a while.

    After a failover of the masters all of them are away for a moment.
    """
    views = await serving(cluster)
    wait_s = min(COMES_BACK_S, cluster.timeout_s)
    deadline_s = time.monotonic() + wait_s
    told = False
    while (away := next(filter(_just_left, views), None)) is not None:
        if not told:
            told = True
            name = f"{printable(away.info.name)} ({away.info.framework_id})"
            note(
                f"framework {name} is disconnected since a moment ago: waiting up to {wait_s:.0f} s"
                f" for it to come back"
            )
        if time.monotonic() >= deadline_s:
            break
        await asyncio.sleep(ASK_AGAIN_S)
        views = await serving(cluster)
    return views


def _just_left(view: operator_pb2.FrameworkView) -> bool:
    """Whether a framework is away, and was not before, or not to this leader; other clocks do."""
    at_s = view.disconnected_at_s
    return bool(at_s) and not_connected(view) is not None and time.time() - at_s < COMES_BACK_S


def not_connected(view: operator_pb2.FrameworkView) -> Silent | None:
    """The error for a framework that is not connected; None when it is."""
    why = serving_jobs.not_connected(view)
    return None if why is None else Silent(view, why)


@asynccontextmanager
async def service(
    cluster: Cluster, view: operator_pb2.FrameworkView
) -> AsyncIterator[JobsAsyncStub]:
    """Reach the Jobs service of a framework. Raises SilentError, CliError."""
    async with dialled(cluster, view) as stub:
        with refusals_of(view):
            yield stub


def dialled(
    cluster: Cluster, view: operator_pb2.FrameworkView
) -> AbstractAsyncContextManager[JobsAsyncStub]:
    """Return its service for several calls, each of which is made in `refusals_of`."""
    return dialled_jobs(cluster, view.info.jobs_address, view.info.principal)


@contextmanager
def refusals_of(view: operator_pb2.FrameworkView) -> Iterator[None]:
    """Raises SilentError, CliError for what a framework refuses, or when it does not answer."""
    try:
        with refusals_at(view.info.jobs_address):
            yield
    except CliError as error:
        cause = error.__cause__
        if isinstance(cause, grpc.aio.AioRpcError) and cause.code() in _SILENT:
            late = cause.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            why = "it has not answered in time" if late else describe(call_error(cause))
            raise SilentError(Silent(view, why)) from cause
        raise


class SilentError(UnreachableError):
    """A framework that serves jobs does not answer: the message says which, and what to do."""

    def __init__(self, silent: Silent) -> None:
        super().__init__(f"{silent}. Its tasks run on meanwhile; {START_IT}")
        self.silent = silent


async def of_each(
    cluster: Cluster,
    ask: Callable[[operator_pb2.FrameworkView, JobsAsyncStub], Awaitable[Item]],
    *,
    patient: bool = True,
) -> tuple[list[Item], list[Silent]]:
    """What each service answers, and those that do not; `patient` as in `serving_again`."""
    items: list[Item] = []
    silent: list[Silent] = []
    for view in await (serving_again if patient else serving)(cluster):
        if (apart := not_connected(view)) is not None:
            silent.append(apart)
            continue
        try:
            async with service(cluster, view) as stub:
                items.append(await ask(view, stub))
        except SilentError as error:
            silent.append(error.silent)
        except CliError as error:  # whatever is wrong with it, it is of this framework alone
            silent.append(Silent(view, error.format_message()))
    return items, silent


async def ask_jobs(cluster: Cluster, *, ended: bool, patient: bool = True) -> Answers:
    """Every job with the address of the service that has it; `patient` as in `serving_again`."""

    async def ask(
        view: operator_pb2.FrameworkView, stub: JobsAsyncStub
    ) -> list[tuple[str, pb.JobView]]:
        jobs = await all_jobs(stub, cluster.timeout_s, ended=ended)
        return [(view.info.jobs_address, job) for job in jobs]

    found, silent = await of_each(cluster, ask, patient=patient)
    return Answers([item for items in found for item in items], silent)


async def all_jobs(stub: JobsAsyncStub, timeout_s: float, *, ended: bool) -> list[pb.JobView]:
    """Every job of a service, without its instances."""

    async def ask(token: str) -> pb.ListJobsResponse:
        request = pb.ListJobsRequest(include_ended=ended, page_token=token)
        return await stub.ListJobs(request, timeout=timeout_s)

    return [job for page in await all_pages(ask) for job in page.jobs]


class Page(Protocol):
    """A page of a listing; an empty token says that it is the last."""

    next_page_token: str


OfPage = TypeVar("OfPage", bound=Page)


async def all_pages(ask: Callable[[str], Awaitable[OfPage]]) -> list[OfPage]:
    """Return every page of a listing of a service. Raises CliError for one that has no end."""
    pages = [await ask("")]
    seen = {""}
    while token := pages[-1].next_page_token:
        if token in seen or len(pages) >= MAX_PAGES:
            raise CliError(
                f"its listing has no end: after {count_of(len(pages), 'page')} it names a next one"
                f" that was there before, or is one too many; its program is at fault"
            )
        seen.add(token)
        pages.append(await ask(token))
    return pages


async def jobs_of_silent(cluster: Cluster, silent: Silent) -> list[pb.JobView]:
    """What the master knows of its jobs by their tasks: those that wait are not among them."""
    jobs = await jobs_of(cluster, silent.framework.info.framework_id)
    for job in jobs:
        job.state = UNREACHABLE
    return jobs


async def jobs_of(cluster: Cluster, framework_id: str) -> list[pb.JobView]:
    """The jobs of a framework that the tasks which the master knows are of, as running."""
    jobs: dict[str, pb.JobView] = {}
    counts: dict[str, Counter[str]] = {}
    for view in await cluster.tasks(framework_id=framework_id):
        labels = {label.key: label.value for label in view.task_info.labels}
        job_id = labels.get("job", "")
        if not job_id or "+" in view.task_info.task_id:  # a sidecar is of another's instance
            continue
        parts = parse_task_id(view.task_info.task_id)
        name = parts.job if parts else job_id
        job = jobs.setdefault(
            job_id,
            pb.JobView(job_id=job_id, name=name, state="running", framework_id=framework_id),
        )
        phase = state_name(view.state).removeprefix("TASK_").lower()
        counts.setdefault(job.job_id, Counter())[phase] += 1
    for job_id, counted in counts.items():
        jobs[job_id].counts.update(counted)
    return list(jobs.values())


def warn(silent: list[Silent]) -> None:
    """Say of each that it does not answer."""
    for one in silent:
        note(f"{one}. Its tasks run on meanwhile; {START_IT}")


async def refuse_silent(cluster: Cluster, text: str, silent: list[Silent]) -> None:
    """Raise CliError if the job that was asked for may be one of a service that is silent."""
    for one in silent:
        for job in await jobs_of_silent(cluster, one):
            if text in (job.job_id, job.name) or job.job_id.startswith(text):
                raise CliError(
                    f"the job {job.job_id} cannot be reached: {one}. Its tasks run on meanwhile;"
                    f" {START_IT}, or end them for good with"
                    f" `pymesos-cli teardown {one.framework.info.framework_id}`"
                )
    if silent:
        which = "; ".join(map(str, silent))
        raise CliError(
            f"no job {quoted(text)} is known to those that answer, but {which}. {_CAPITAL}"
        )


_CAPITAL = START_IT[0].upper() + START_IT[1:]
