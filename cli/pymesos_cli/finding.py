"""From what was typed to the task, job, agent or framework that is meant, or an error that helps.

`exact` is for what destroys: a whole id, name or host. Elsewhere the beginning will do, and what it
was taken for is said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError, NotFoundError
from pymesos_cli.jobs.waiting import Waiting, ask_services
from pymesos_cli.output import age, count_of, note, printable
from pymesos_core.names import Found, Named, find, named_task, parse_task_id, run_of, without_asides
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import from_proto
from pymesos_core.states import is_terminal, state_name
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb

Item = TypeVar("Item")
SHOWN = 10
MAX_BEGINNINGS = 1000  # tasks that are looked at when only the beginning of an id was typed


class WaitsError(NotFoundError):
    """The name is that of instances of a job that wait to be placed, and are no tasks yet."""


class EndedError(CliError):
    """The name is that of tasks that have ended, and of none that lives."""

    def __init__(self, message: str, example: str) -> None:
        super().__init__(message, EXIT_USAGE)
        self.example = example  # the id of one of them


@dataclass(frozen=True)
class Kind:
    """What is looked for, in words."""

    word: str
    listing: str  # the command that lists them
    whole: str  # what is asked for where a beginning will not do


TASK = Kind("task", "tasks --all", "id, or JOB.task.instance")
LIVE_TASK = Kind("task", "tasks", "id, or JOB.task.instance")
JOB = Kind("job", "jobs --all", "id or name")
AGENT = Kind("agent", "agents", "id or host")
FRAMEWORK = Kind("framework", "frameworks", "id or name")


def about_agent(view: pb.AgentView) -> str:
    """What distinguishes it from others."""
    drain = f", {view.drain.state}" if view.drain.state else ""
    return f"host {view.info.address.hostname}, {view.state}{drain}, {count_of(view.tasks, 'task')}"


def volumes_on(view: pb.AgentView) -> str:
    """The volumes of which the data are lost with an agent, for people; empty: it has none."""
    named = sorted({volume.id for _, volume in volumes_of(from_proto(view.total))})
    if not named:
        return ""
    more = ", …" if len(named) > SHOWN else ""
    return f"{count_of(len(named), 'volume')} ({printable(', '.join(named[:SHOWN]))}{more})"


def about_framework(view: pb.FrameworkView) -> str:
    """What distinguishes it from others: its name is of its own making, and may have line ends."""
    return f"{printable(view.info.name) or 'no name'}, {view.state}, {count_of(view.tasks, 'task')}"


def about_task(view: pb.TaskView) -> str:
    """What distinguishes it from others."""
    state = state_name(view.state).removeprefix("TASK_")
    where = f" on {view.hostname}" if view.hostname else ""
    since = age(view.finished_at_s or view.started_at_s or view.launched_at_s)
    return f"{state}{where}{f', {since} ago' if since else ''}, of framework {view.framework_id}"


def about_job(view: jobs_pb.JobView) -> str:
    """What distinguishes it from others."""
    counts = ", ".join(f"{number} {phase}" for phase, number in sorted(view.counts.items()))
    role = f" in the role {view.role}" if view.role not in ("", "*") else ""
    return f"{view.state}{role}, submitted {age(view.submitted_at_s)} ago, {counts or 'no tasks'}"


def one(text: str, found: Found[Item], kind: Kind, about: Callable[[Item], str]) -> Item:
    """The one that is meant. Raises CliError when it is none, or one of several."""
    fits = without_asides(found.fits)
    if len(fits) > 1:
        raise several(text, fits, kind, about)
    if not fits:
        raise NotFoundError(f"there is no {kind.word} {quoted(text)}{_where(kind)}")
    if not found.exact:
        note(f"{text}… is {kind.word} {fits[0].id} ({about(fits[0].item)})")
    return fits[0].item


def several(
    text: str, fits: Sequence[Named[Item]], kind: Kind, about: Callable[[Item], str]
) -> CliError:
    """The error for a text that may mean several things, with their names."""
    lines = [f"  {thing.id}  ({about(thing.item)})" for thing in fits[:SHOWN]]
    if len(fits) > SHOWN:
        lines.append(f"  … and {len(fits) - SHOWN} more")
    listed = "\n".join(lines)
    found = count_of(len(fits), kind.word)
    return CliError(
        f"{quoted(text)} fits {found}; say which, by its {kind.whole}:\n{listed}", EXIT_USAGE
    )


def _where(kind: Kind) -> str:
    return f"; `pymesos-cli {kind.listing}` lists them"


def _pick(
    text: str,
    things: Iterable[Named[Item]],
    kind: Kind,
    about: Callable[[Item], str],
    *,
    exact: bool,
) -> Item:
    known = list(things)
    found = find(text, known, exact=exact)
    if exact and not found.fits and (near := find(text, known).fits):
        some = ", ".join(f"{t.id} ({about(t.item)})" for t in near[:3])
        raise NotFoundError(
            f"there is no {kind.word} {quoted(text)}: a whole {kind.whole} is needed here; so"
            f" begins {some}{', …' if near[3:] else ''}"
        )
    return one(text, found, kind, about)


def check_given(text: str, kind: Kind) -> None:
    """Raises CliError for an empty or blank name."""
    if not text.strip():
        raise CliError(f"the name of the {kind.word} is empty{_where(kind)}", EXIT_USAGE)


async def find_agent(cluster: Cluster, text: str, *, exact: bool = False) -> pb.AgentView:
    """The agent of an id or a host. Raises CliError."""
    check_given(text, AGENT)
    views = await cluster.agents()
    things = [
        Named(v, v.info.agent_id, (v.info.address.hostname,), v.state != "gone") for v in views
    ]
    return _pick(text, things, AGENT, about_agent, exact=exact)


async def find_agents(cluster: Cluster, texts: Sequence[str]) -> list[pb.AgentView]:
    """The agents of whole ids or hosts, each once, in the order named. Raises CliError."""
    views = await cluster.agents()
    things = [
        Named(v, v.info.agent_id, (v.info.address.hostname,), v.state != "gone") for v in views
    ]
    found: dict[str, pb.AgentView] = {}
    for text in texts:
        check_given(text, AGENT)
        view = _pick(text, things, AGENT, about_agent, exact=True)
        found[view.info.agent_id] = view
    return list(found.values())


async def find_framework(
    cluster: Cluster, text: str, *, exact: bool = False, completed: bool = False
) -> pb.FrameworkView:
    """The framework of an id or a name. Raises CliError."""
    check_given(text, FRAMEWORK)
    views = await cluster.frameworks(completed=completed)
    things = [Named(v, v.info.framework_id, (v.info.name,), v.state != "completed") for v in views]
    return _pick(text, things, FRAMEWORK, about_framework, exact=exact)


async def find_task(
    cluster: Cluster, text: str, *, completed: bool, exact: bool = False
) -> pb.TaskView:
    """The one task of an id or a name; of several attempts of an instance the latest.

    Raises CliError.
    """
    found = await _tasks(cluster, text, completed=completed, exact=exact)
    if not found.fits and not completed:
        await _check_not_ended(cluster, text)
    if not exact:
        found = _of_latest_job(text, found)
    if not found.fits:
        await _check_not_waiting(cluster, text)
        await _check_not_awaited(cluster, text)
    if exact and not found.fits:
        near = await _tasks(cluster, text, completed=completed, exact=False)
        if not near.fits:
            await _check_not_of_job(cluster, text)
        return _pick(text, near.fits, LIVE_TASK, about_task, exact=True)
    if not found.fits:
        await _check_not_of_job(cluster, text)
    return one(text, found, TASK if completed else LIVE_TASK, about_task)


async def _check_not_ended(cluster: Cluster, text: str) -> None:
    """Raise EndedError where all that is called so has ended."""
    ended = _of_latest_job(text, await _tasks(cluster, text, completed=True, exact=True)).fits
    if ended:
        raise EndedError(
            f"no task {quoted(text)} lives any more: {ended[0].id} has ended"
            f" ({about_task(ended[0].item)}); `pymesos-cli explain task {ended[0].id}` says how",
            ended[0].id,
        )


async def _check_not_waiting(cluster: Cluster, text: str) -> None:
    """Raise WaitsError where instances that wait are called so, as far as their services say."""
    fits: Sequence[Named[Waiting]] = ()
    with contextlib.suppress(CliError):  # that there is no such task is true all the same
        fits = find(text, (await ask_services(cluster, text)).waiting, exact=True).fits
    if not fits:
        return
    named = ", ".join(thing.id for thing in fits[:SHOWN])
    more = f", … ({len(fits)} in all)" if len(fits) > SHOWN else ""
    verb = "waits" if len(fits) == 1 else "wait"
    raise WaitsError(
        f"no task {quoted(text)} was started yet: {named}{more} {verb} to be placed;"
        f" `pymesos-cli explain task {fits[0].id}` says why"
    )


async def _check_not_of_job(cluster: Cluster, text: str) -> None:
    """Raise NotFoundError with what there is where the name begins with that of a job."""
    job, dot, rest = text.partition(".")
    if not dot or not job.strip():
        return
    tasks = (await _tasks(cluster, job, completed=True, exact=True)).fits
    live = [thing for thing in tasks if thing.live] or tasks
    parts = filter(None, (parse_task_id(thing.id) for thing in live))
    there = {(each.task, each.instance) for each in parts}
    with contextlib.suppress(CliError):  # that there is no such task is true all the same
        for thing in find(job, (await ask_services(cluster, job)).waiting, exact=True).fits:
            there.add((thing.item.instance.task_name, thing.item.instance.instance))
    task = rest.partition(".")[0]
    names = [f"{name}.{number}" for name, number in sorted(there) if name == task]
    if names := names or sorted({name for name, _ in there}):
        more = ", …" if len(names) > SHOWN else ""
        raise NotFoundError(
            f"there is no task {quoted(text)}: the job {quoted(job)} has"
            f" {', '.join(names[:SHOWN])}{more}; `pymesos-cli tasks {job}` lists its tasks"
        )


async def _check_not_awaited(cluster: Cluster, text: str) -> None:
    """Raise NotFoundError where an agent that is not back since a failover may have it."""
    if away := await what_is_awaited(cluster):
        raise NotFoundError(f"the master that leads knows no task {quoted(text)}, and {away}")


async def what_is_awaited(cluster: Cluster) -> str:
    """Which agents are not back since a failover, so that what they run is not known; or nothing.

    It is nothing for who may not see agents.
    """
    agents: Sequence[pb.AgentView] = ()
    with contextlib.suppress(CliError):
        agents = await cluster.awaited_agents()
    if not agents:
        return ""
    hosts = ", ".join(view.info.address.hostname for view in agents[:SHOWN])
    more = f" and {len(agents) - SHOWN} more" if len(agents) > SHOWN else ""
    have = "has" if len(agents) == 1 else "have"
    return f"{hosts}{more} {have} not come back to it yet: what runs there is not known until then"


def _of_latest_job(text: str, found: Found[pb.TaskView]) -> Found[pb.TaskView]:
    """Where several jobs of a name have ended and none lives, the tasks of the last."""
    jobs = {_job_id(thing): thing.item.launched_at_s for thing in found.fits}
    if len(jobs) < 2 or not found.exact or any(thing.live for thing in found.fits):
        return found
    latest = max(jobs, key=lambda job_id: jobs[job_id])
    fits = tuple(thing for thing in found.fits if _job_id(thing) == latest)
    note(f"{text} is {latest}, the latest of {len(jobs)} that have ended")
    return Found(fits, exact=True)


async def find_tasks(
    cluster: Cluster, text: str, *, completed: bool, history: bool = False
) -> list[pb.TaskView]:
    """The tasks of a job, or of a task of it, or the one task of an id. Raises CliError.

    The live ones where there are any, and with `history` all.
    """
    found = await _tasks(cluster, text, completed=completed, exact=False, history=history)
    if not history:
        found = _of_latest_job(text, found)
    jobs = {(thing.item.framework_id, _job_id(thing)) for thing in found.fits}
    if not found.fits or (len(jobs) > 1 and not history):
        if not completed:
            await _check_not_ended(cluster, text)
        if not found.fits:
            await _check_not_waiting(cluster, text)
            await _check_not_awaited(cluster, text)
            await _check_not_of_job(cluster, text)
        one(text, found, TASK if completed else LIVE_TASK, about_task)  # says what is wrong
    if not found.exact:
        some = ", ".join(thing.id for thing in found.fits[:3])
        note(f"{text}… is {some}{', …' if found.fits[3:] else ''}")
    if found.left_out:
        note(f"left out: {count_of(found.left_out, 'instance')} that ended; name one to see it")
    return [thing.item for thing in found.fits]


def _job_id(thing: Named[pb.TaskView]) -> str:
    parts = parse_task_id(thing.id)
    return parts.job_id if parts else thing.id


async def _tasks(
    cluster: Cluster, text: str, *, completed: bool, exact: bool, history: bool = False
) -> Found[pb.TaskView]:
    """What fits: asked of the master by exact name first, since many may begin so."""
    check_given(text, LIVE_TASK)
    for exactly in (True,) if exact else (True, False):
        views = await cluster.tasks(
            completed=completed,
            called=text,
            called_exactly=exactly,
            limit=0 if exactly else MAX_BEGINNINGS,
        )
        things = [
            named_task(
                view,
                view.task_info.task_id,
                view.task_info.name,
                live=not is_terminal(view.state),
                run=run_of(view.task_info.labels),
            )
            for view in views
        ]
        found = find(text, things, exact=exactly, history=history)
        if found.fits:
            return found
    return Found((), exact)


def find_job(
    text: str,
    jobs: Sequence[tuple[str, jobs_pb.JobView]],
    *,
    exact: bool,
) -> tuple[str, jobs_pb.JobView]:
    """The job of an id or a name, with the address of its service. Raises CliError."""
    check_given(text, JOB)
    things = [Named(item, item[1].job_id, (item[1].name,), not has_ended(item[1])) for item in jobs]
    ended = [thing.item for thing in find(text, things, exact=True).fits if not thing.live]
    if ended:
        latest = max(ended, key=lambda item: item[1].submitted_at_s)
        if len(ended) > 1:
            note(f"{text} is {latest[1].job_id}, the latest of {len(ended)} that have ended")
        return latest
    return _pick(text, things, JOB, lambda item: about_job(item[1]), exact=exact)


def has_ended(job: jobs_pb.JobView) -> bool:
    """Whether nothing of it is left to do."""
    return job.state in ("finished", "failed", "stopped")
