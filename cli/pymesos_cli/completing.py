"""What a shell offers after TAB: tasks, jobs, agents, frameworks, roles and files, as they are now.

The master is asked, for a second at most; whatever goes wrong offers nothing and says nothing.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    split_arg_string,
)

if TYPE_CHECKING:
    from pymesos_cli.cluster import Cluster

ASK_S = 1.0
AT_MOST_S = 2  # with all that comes before and after, as when a name server does not answer
MAX_OFFERED = 200
# What is put on a command line must mean nothing to the shell, whoever made up the name.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+=-]*")

Offer = Callable[["Cluster", click.Context, str], Awaitable[Iterable[str]]]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local response completion type value
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD COMP_LINE="$COMP_LINE" \\
        COMP_POINT=$COMP_POINT %(complete_var)s=bash_complete "$1" 2> /dev/null)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        if [[ $type == 'dir' ]]; then
            COMPREPLY=()
            compopt -o dirnames
        elif [[ $type == 'file' ]]; then
            COMPREPLY=()
            compopt -o default
        elif [[ $type == 'plain' ]]; then
            COMPREPLY+=("$value")
            if [[ $value == */ || $value == *: || $value == *= ]]; then compopt -o nospace; fi
        fi
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Bash ends a word at a colon, as in TASK:PATH and HOST:PORT: here it is put together again."""

    source_template = _BASH
    _cut = 0  # how much of a completion is before the word that bash completes

    def get_completion_args(self) -> tuple[list[str], str]:
        """See ShellComplete."""
        try:
            current = int(os.environ["COMP_CWORD"])
        except (KeyError, ValueError):
            raise SystemExit(2) from None  # no shell asks so
        words = split_arg_string(os.environ["COMP_WORDS"])[: current + 1]
        words += [""] * (current + 1 - len(words))
        line = os.environ.get("COMP_LINE", "")[: int(os.environ.get("COMP_POINT") or 0)]
        joined: list[str] = []
        for word in words:
            glued = joined[-1] + word if joined else ""
            parted = joined and (word.startswith(":") or joined[-1].endswith(":"))
            if parted and glued in line and (word or line.endswith(joined[-1])):
                joined[-1] = glued
            else:
                joined.append(word)
        if len(joined) < len(words):
            self._cut = joined[-1].rfind(":") + 1
        return joined[1:-1], joined[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """See ShellComplete."""
        return f"{item.type},{item.value[self._cut :] if item.type == 'plain' else item.value}"


add_completion_class(Bash, "bash")


def from_cluster(offer: Offer) -> Complete:
    """For `shell_complete=`: what the function finds that begins so."""

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        with _in_time(), redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
            found = {v for v in _ask(context, offer, incomplete) if v.startswith(incomplete)}
            plain = sorted(value for value in found if _PLAIN.fullmatch(value))
            return [CompletionItem(value) for value in plain[:MAX_OFFERED]]
        return []

    return complete


def files_here(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Files of this machine, which the shell finds by itself."""
    return [CompletionItem(incomplete, type="file")]


def places(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """TASK:PATH, or a file of this machine."""
    here = files_here(context, parameter, incomplete)
    is_here = "/" in incomplete.partition(":")[0]
    return here if is_here else here + _remote_places(context, parameter, incomplete)


def contexts(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Contexts of this user."""
    from pymesos_core.contexts import own_contexts

    with contextlib.suppress(Exception):
        names = [one.name for one in own_contexts().all()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return []


def packages(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Packages of the repositories of this user."""
    from pymesos_cli.packages.repositories import own_repositories

    with _in_time(), redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        own = own_repositories(ASK_S)
        names = {entry.name for one in own.all() for entry in own.index(one).entries}
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
    return []


def package_options(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Options of the package that was typed; of `update`, of the one that the job is called by."""
    from pymesos_cli.packages.repositories import own_repositories

    with _in_time(), redirect_stderr(io.StringIO()), contextlib.suppress(Exception):
        own = own_repositories(ASK_S)
        (typed,) = context.args  # as an option is being typed, no argument has been read
        package = own.load(own.find(typed))
        names = [f"{name}=" for name in package.options.known]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return []


def repositories(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Repositories of this user."""
    from pymesos_cli.packages.repositories import own_repositories

    with contextlib.suppress(Exception):
        names = [one.name for one in own_repositories(ASK_S).all()]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return []


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.alarm(AT_MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _ask(context: click.Context, offer: Offer, incomplete: str) -> Iterable[str]:
    import asyncio

    from pymesos_cli.cluster import Cluster
    from pymesos_cli.options import settings_of

    # No command has begun, which would have left its settings.
    way = settings_of(context.find_root()).way()

    async def ask() -> Iterable[str]:
        async with Cluster(way, ASK_S) as cluster:
            return await offer(cluster, context, incomplete)

    async def in_time() -> Iterable[str]:
        return await asyncio.wait_for(ask(), ASK_S)

    return asyncio.run(in_time())


async def _tasks(cluster: Cluster, incomplete: str, *, completed: bool) -> set[str]:
    from pymesos_core.names import named_task, run_of

    found: set[str] = set()
    views = await cluster.tasks(completed=completed, called=incomplete, limit=MAX_OFFERED)
    for view in views:
        info = view.task_info
        run = run_of(info.labels)
        thing = named_task(view, info.task_id, info.name, live=True, run=run)
        found |= {thing.id, *thing.names}
    return found


@from_cluster
async def live_tasks(cluster: Cluster, _: click.Context, incomplete: str) -> Iterable[str]:
    """Ids and names of tasks that live."""
    return await _tasks(cluster, incomplete, completed=False)


@from_cluster
async def tasks(cluster: Cluster, _: click.Context, incomplete: str) -> Iterable[str]:
    """Ids and names of tasks, also of those that have ended."""
    return await _tasks(cluster, incomplete, completed=True)


@from_cluster
async def live_jobs(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Ids and names of jobs that have not ended."""
    from pymesos_cli.jobs.hosted import hosted_jobs
    from pymesos_cli.services import ask_jobs

    answers = await ask_jobs(cluster, ended=False, patient=False)
    served = [name for _, job in answers.items for name in (job.job_id, job.name)]
    hosted = [name for job in await hosted_jobs(cluster) for name in (job.job_id, job.name)]
    return served + hosted


@from_cluster
async def jobs_of_packages(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Ids and names of jobs that were made from packages."""
    from pymesos_cli.services import ask_jobs

    jobs = [job for _, job in (await ask_jobs(cluster, ended=False, patient=False)).items]
    made = [job for job in jobs if job.HasField("package")]
    return [name for job in made for name in (job.job_id, job.name)]


@from_cluster
async def receivers(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Receivers of alerts that frameworks or masters know."""
    from pymesos_cli.errors import CliError
    from pymesos_cli.services import of_each
    from pymesos_proto.v1 import jobs_pb2 as pb
    from pymesos_proto.v1 import operator_pb2

    told, _silent = await of_each(
        cluster,
        lambda _, stub: stub.ListAlerts(pb.ListAlertsRequest(page_size=1), timeout=ASK_S),
        patient=False,
    )
    names = [name for response in told for name in response.receivers]
    try:
        masters = await cluster.call(
            lambda stub, _: stub.ListClusterAlerts(
                operator_pb2.ListClusterAlertsRequest(), timeout=ASK_S
            )
        )
    except CliError:
        return names
    return [*names, *(view.name for view in masters.receivers)]


@from_cluster
async def variables(cluster: Cluster, context: click.Context, _incomplete: str) -> Iterable[str]:
    """Names of variables of the role that was typed."""
    from pymesos_cli.services import of_each
    from pymesos_proto.v1 import jobs_pb2 as pb

    request = pb.ListVariablesRequest(role=context.params.get("role") or "")
    told, _silent = await of_each(
        cluster, lambda _, stub: stub.ListVariables(request, timeout=ASK_S), patient=False
    )
    return [view.name for response in told for view in response.variables]


@from_cluster
async def left_volumes(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Volumes that no task has."""
    from pymesos_cli.jobs.volumes import all_volumes

    found, _silent = await all_volumes(cluster)
    return [volume.volume_id for volume in found if not volume.task_id]


@from_cluster
async def agents(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Ids and hosts of agents."""
    views = await cluster.agents()
    return [n for v in views for n in (v.info.agent_id, v.info.address.hostname)]


@from_cluster
async def frameworks(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Ids and names of frameworks."""
    return [n for v in await cluster.frameworks() for n in (v.info.framework_id, v.info.name)]


@from_cluster
async def roles(cluster: Cluster, _: click.Context, _incomplete: str) -> Iterable[str]:
    """Roles that the master knows."""
    from pymesos_proto.v1 import operator_pb2 as pb

    response = await cluster.call(
        lambda stub, timeout_s: stub.ListRoles(pb.ListRolesRequest(), timeout=timeout_s)
    )
    return [view.role for view in response.roles]


@from_cluster
async def files(cluster: Cluster, context: click.Context, incomplete: str) -> Iterable[str]:
    """Files of the sandbox of the task that was named before."""
    return await _files(cluster, context.params["task"], incomplete)


@from_cluster
async def _remote_places(cluster: Cluster, _: click.Context, incomplete: str) -> Iterable[str]:
    """TASK:PATH."""
    task, colon, path = incomplete.partition(":")
    if colon:
        return [f"{task}:{file}" for file in await _files(cluster, task, path)]
    return [f"{name}:" for name in await _tasks(cluster, incomplete, completed=False)]


async def _files(cluster: Cluster, task: str, path: str) -> Iterable[str]:
    from pymesos_cli.finding import find_task
    from pymesos_cli.sandboxes import sandbox_of
    from pymesos_cli.tasks.files import Remote

    view = await find_task(cluster, task, completed=True)
    folder, slash, _ = path.rpartition("/")
    async with sandbox_of(cluster, view) as (stub, metadata):
        listed = await Remote(stub, metadata, view).list(folder)
    return [f"{folder}{slash}{f.name}{'/' if f.is_directory else ''}" for f in listed]
