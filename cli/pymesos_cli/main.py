"""`pymesos-cli`: the commands and their flags."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pymesos_cli import completing, terminal
from pymesos_core import VERSION
from pymesos_core.flags import FiniteRange, WholeRange

DEFAULT_MASTER = "127.0.0.1:5050"
TASKS_SHOWN = 1000
STATES = ("STAGING", "STARTING", "RUNNING", "KILLING", "FINISHED", "FAILED", "KILLED", "ERROR",
          "LOST", "DROPPED", "UNREACHABLE", "GONE", "GONE_BY_OPERATOR")  # fmt: skip

Result = TypeVar("Result")


class Settings:
    """The flags that all commands share."""

    def __init__(self, master: str, timeout_s: float) -> None:
        self.master = master
        self.timeout_s = timeout_s


def _with_cluster(settings: Settings, work: Callable[..., Awaitable[Result]]) -> Result:
    """Run `work(cluster)`."""
    # gRPC takes a fifth of a second to import, which --help need not pay.
    from pymesos_cli.cluster import Cluster

    async def main() -> Result:
        async with Cluster(settings.master, settings.timeout_s) as cluster:
            return await work(cluster)

    try:
        return asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(terminal.EXIT_INTERRUPTED)


class _Cli(click.Group):
    """The group of all commands: whatever one of them prints or raises is fit for people."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """See click.Command."""
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before it is imported
        with terminal.guarded():
            return super().main(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        """See click.Command: Ctrl-C has a status of its own."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            sys.exit(terminal.EXIT_INTERRUPTED)


pass_settings = click.make_pass_decorator(Settings)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=_Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--master",
    metavar="ADDRESS",
    envvar="PYMESOS_MASTER",
    default=DEFAULT_MASTER,
    show_default=True,
    help="The master: host:port, or zk://host:port/path. Also $PYMESOS_MASTER.",
)
@click.option(
    "--timeout",
    type=FiniteRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a master.",
)
@click.version_option(VERSION)
@click.pass_context
def main(context: click.Context, master: str, timeout: float) -> None:
    """Use a pymesos cluster.

    Exit status: 0 done, 1 the work failed, 2 wrong use, 3 no master reachable.
    """
    context.obj = Settings(master, timeout)


@main.command()
@click.option("--agents", type=WholeRange(1, 50), default=3, show_default=True, help="How many.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "process", "docker", "oci"]),
    default="auto",
    show_default=True,
    help="What starts containers.",
)
@click.option(
    "--resources",
    "resource_text",
    default="",
    metavar="TEXT",
    help="Of each agent, as in 'cpus:4;mem:8192'.  [default: cpus:2;mem:1024;disk:1024 and ports]",
)
@click.option(
    "--port", type=WholeRange(0, 65535), default=0, help="The master's.  [default: a free one]"
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Of the logs in the cluster's folder.",
)
def local(agents: int, runtime: str, resource_text: str, port: int, log_level: str) -> None:
    """Run a whole cluster here, on loopback, until Ctrl-C."""
    from pymesos_cli.local.cluster import LocalError, run_local
    from pymesos_core.resources import ResourceError, parse

    try:
        given = parse(resource_text)
    except ResourceError as error:
        raise click.UsageError(f"--resources: {error}") from error
    try:
        sys.exit(run_local(agents, runtime, given, port, log_level))
    except LocalError as error:
        raise click.ClickException(str(error)) from error


class _RunCommand(click.Command):
    """Remembers whether there was a `--`, which tells a command from a job file."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """See click.Command."""
        context.meta["pymesos.command"] = "--" in arguments
        return super().parse_args(context, arguments)


@main.command(cls=_RunCommand)
@click.argument(
    "arguments",
    nargs=-1,
    metavar="[JOB.yaml | -- CMD...]",
    shell_complete=completing.files_here,
)
@click.option("--wait", is_flag=True, help="Stay until batch tasks have ended and services run.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the job: tasks.web.instances=3.",
)
@click.option("--cpus", default=None, help="Of the command, in cores.  [default: 0.1]")
@click.option("--mem", default=None, help="Of the command, in MiB.  [default: 32]")
@click.option("--image", default=None, help="The command's OCI image.")
@click.option("--role", default=None, help="The command's role.  [default: *]")
@click.option(
    "--here", is_flag=True, help="Be the framework of this job, whoever else serves its role."
)
@pass_settings
@click.pass_context
def run(
    context: click.Context,
    settings: Settings,
    arguments: tuple[str, ...],
    wait: bool,
    changes: tuple[str, ...],
    cpus: str | None,
    mem: str | None,
    image: str | None,
    role: str | None,
    here: bool,
) -> None:
    """Run a job file, or a command after `--`.

    A command is waited for, and what it writes is shown. A job goes to a bin-packing framework that
    the master knows; without one, this command is that framework until the job has ended. One job
    of a name runs at a time; of a command as many as you like.
    """
    if not arguments:
        raise click.UsageError("give a job file, or a command after --")
    is_command = context.meta["pymesos.command"]
    if not is_command:
        if len(arguments) > 1:
            raise click.UsageError("one job file at a time; a command comes after --")
        for flag, value in (("cpus", cpus), ("mem", mem), ("image", image), ("role", role)):
            if value is not None:
                raise click.UsageError(f"--{flag} is for a command after --; in a job, use --set")
    elif changes:
        raise click.UsageError("--set is for job files")
    from pymesos_cli import run as running

    if is_command:
        document = running.command_document(
            arguments,
            _number("--cpus", cpus, 0.1),
            _number("--mem", mem, 32),
            image,
            role or "*",
        )
        job = running.check(document, "the command")
    else:
        from pymesos_cli.jobs.settings import apply_settings

        document = apply_settings(running.read_document(Path(arguments[0])), changes)
        job = running.check(document, arguments[0])
    status = _with_cluster(
        settings,
        lambda cluster: running.run_job(
            cluster, job, wait=wait or is_command, is_command=is_command, here=here
        ),
    )
    sys.exit(status)


def _number(flag: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    from pymesos_core.resources import ResourceError, parse_milli

    try:
        milli = parse_milli(flag, text)
    except ResourceError as error:
        raise click.UsageError(str(error)) from error
    return milli // 1000 if milli % 1000 == 0 else milli / 1000


@main.command()
@click.argument("job", shell_complete=completing.live_jobs)
@pass_settings
def watch(settings: Settings, job: str) -> None:
    """Follow a job until its batch tasks have ended and its services run."""
    from pymesos_cli import jobs

    sys.exit(_with_cluster(settings, lambda cluster: jobs.watch_job(cluster, job)))


@main.command("jobs")
@click.option("--all", "ended", is_flag=True, help="Also those that have ended.")
@json_option
@pass_settings
def list_jobs(settings: Settings, ended: bool, as_json: bool) -> None:
    """List jobs."""
    from pymesos_cli import jobs

    _with_cluster(settings, lambda cluster: jobs.list_jobs(cluster, ended=ended, as_json=as_json))


@main.command("stop")
@click.argument("job", shell_complete=completing.live_jobs)
@pass_settings
def stop(settings: Settings, job: str) -> None:
    """End a job and its tasks."""
    from pymesos_cli import jobs

    _with_cluster(settings, lambda cluster: jobs.stop_job(cluster, job))


@main.command()
@click.argument("task", default=None, required=False, shell_complete=completing.tasks)
@click.option("--all", "completed", is_flag=True, help="Also those that have ended.")
@click.option(
    "--framework",
    default=None,
    metavar="ID",
    help="Only of this framework.",
    shell_complete=completing.frameworks,
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    help="Only in this state; may be given more than once.",
)
@click.option(
    "--limit",
    type=WholeRange(0),
    default=None,
    help="At most so many, 0: all.  [default: 1000; with --json all]",
)
@json_option
@pass_settings
def tasks(
    settings: Settings,
    task: str | None,
    completed: bool,
    framework: str | None,
    states: tuple[str, ...],
    limit: int | None,
    as_json: bool,
) -> None:
    """List tasks: all, or those of a job (JOB, JOB.task, JOB.task.instance)."""
    from pymesos_cli import listing

    _with_cluster(
        settings,
        lambda cluster: listing.list_tasks(
            cluster,
            called=task,
            completed=completed,
            framework=framework,
            states=states,
            limit=(0 if as_json else TASKS_SHOWN) if limit is None else limit,
            as_json=as_json,
        ),
    )


@main.command()
@json_option
@pass_settings
def agents(settings: Settings, as_json: bool) -> None:
    """List agents: what they have, what is used, what holds a task to its limits."""
    from pymesos_cli import listing

    _with_cluster(settings, lambda cluster: listing.list_agents(cluster, as_json=as_json))


@main.command()
@click.option("--all", "completed", is_flag=True, help="Also those that were removed.")
@json_option
@pass_settings
def frameworks(settings: Settings, completed: bool, as_json: bool) -> None:
    """List frameworks."""
    from pymesos_cli import listing

    _with_cluster(
        settings,
        lambda cluster: listing.list_frameworks(cluster, completed=completed, as_json=as_json),
    )


@main.command()
@json_option
@pass_settings
def offers(settings: Settings, as_json: bool) -> None:
    """List offers that wait for an answer."""
    from pymesos_cli import listing

    _with_cluster(settings, lambda cluster: listing.list_offers(cluster, as_json=as_json))


@main.command("roles")
@json_option
@pass_settings
def list_roles(settings: Settings, as_json: bool) -> None:
    """List roles: weight, quota, and what they hold with those below them."""
    from pymesos_cli import roles

    _with_cluster(settings, lambda cluster: roles.list_roles(cluster, as_json=as_json))


@main.group()
def explain() -> None:
    """Say why something is not starting, or not getting offers."""


@explain.command("framework")
@click.argument("framework", shell_complete=completing.frameworks)
@json_option
@pass_settings
def explain_framework(settings: Settings, framework: str, as_json: bool) -> None:
    """Where a framework stands in line, and what keeps each agent from it."""
    from pymesos_cli import explain as explaining

    _with_cluster(
        settings, lambda cluster: explaining.explain_framework(cluster, framework, as_json=as_json)
    )


@explain.command("task")
@click.argument("task", shell_complete=completing.tasks)
@json_option
@pass_settings
def explain_task(settings: Settings, task: str, as_json: bool) -> None:
    """Why a task waits, what is missing, and what would help. TASK may be JOB.task.number."""
    from pymesos_cli import explain as explaining

    _with_cluster(settings, lambda cluster: explaining.explain_task(cluster, task, as_json=as_json))


@main.group()
def quarantine() -> None:
    """See what is stored and cannot be handled, and have it tried again or forgotten."""


@quarantine.command("list")
@json_option
@pass_settings
def list_quarantined(settings: Settings, as_json: bool) -> None:
    """List it, with the reasons."""
    from pymesos_cli import quarantine as aside

    _with_cluster(settings, lambda cluster: aside.list_quarantined(cluster, as_json=as_json))


@quarantine.command("show")
@click.argument("id_", metavar="ID")
@json_option
@pass_settings
def show_quarantined(settings: Settings, id_: str, as_json: bool) -> None:
    """Show one as it is stored, by its exact id."""
    from pymesos_cli import quarantine as aside

    _with_cluster(settings, lambda cluster: aside.show(cluster, id_, as_json=as_json))


@quarantine.command("release")
@click.argument("id_", metavar="ID")
@click.option("--discard", is_flag=True, help="Forget it instead, and end its tasks.")
@pass_settings
def release_quarantined(settings: Settings, id_: str, discard: bool) -> None:
    """Have one tried again, by its exact id."""
    from pymesos_cli import quarantine as aside

    _with_cluster(settings, lambda cluster: aside.release(cluster, id_, discard=discard))


@main.group()
def volumes() -> None:
    """What tasks have written for their next runs, and what is left of jobs that have ended."""


@volumes.command("list")
@json_option
@pass_settings
def list_volumes(settings: Settings, as_json: bool) -> None:
    """List volumes, where they are, and who has them."""
    from pymesos_cli import volumes as kept

    _with_cluster(settings, lambda cluster: kept.list_volumes(cluster, as_json=as_json))


@volumes.command("remove")
@click.argument("volume_ids", nargs=-1, required=True, metavar="VOLUME...")
@click.option("--role", default=None, help="Of which role, where several have one of that id.")
@click.option("--host", default=None, help="Of which agent's host, where several have one.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def remove_volumes(
    settings: Settings, volume_ids: tuple[str, ...], role: str | None, host: str | None, yes: bool
) -> None:
    """Destroy volumes that no task has, by their whole ids, with all that is in them."""
    from pymesos_cli import volumes as kept

    _with_cluster(
        settings, lambda cluster: kept.remove_volumes(cluster, volume_ids, role, host, ask=not yes)
    )


@main.group()
def quota() -> None:
    """Guarantee resources to roles, and limit them."""


@quota.command("set")
@click.argument("role", shell_complete=completing.roles)
@click.option("--guarantee", default="", metavar="TEXT", help="'cpus:4;mem:8192': it is first.")
@click.option("--limit", default="", metavar="TEXT", help="'cpus:8': it never holds more.")
@click.option("--force", is_flag=True, help="Guarantee more than the cluster has.")
@pass_settings
def set_quota(settings: Settings, role: str, guarantee: str, limit: str, force: bool) -> None:
    """Give a role, with all below it, a quota in place of the one it has."""
    from pymesos_cli import roles

    _with_cluster(
        settings, lambda cluster: roles.set_quota(cluster, role, guarantee, limit, force=force)
    )


@quota.command("remove")
@click.argument("role", shell_complete=completing.roles)
@pass_settings
def remove_quota(settings: Settings, role: str) -> None:
    """Take a role's quota away."""
    from pymesos_cli import roles

    _with_cluster(settings, lambda cluster: roles.remove_quota(cluster, role))


@main.command()
@click.argument("settings_", metavar="ROLE=WEIGHT...", nargs=-1, required=True)
@pass_settings
def weights(settings: Settings, settings_: tuple[str, ...]) -> None:
    """Give roles weights: a role of weight 2 gets twice the share of a sibling of weight 1."""
    from pymesos_cli import roles

    _with_cluster(settings, lambda cluster: roles.set_weights(cluster, settings_))


@main.command()
@click.option(
    "--nodes",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV with the columns cpu_milli, memory_mib and perhaps gpu: a row for each machine.",
)
@click.option(
    "--pods",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="CSV with cpu_milli, memory_mib and perhaps num_gpu, gpu_milli: a row for each task.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=("default",),
    show_default=True,
    help="Of the planner; may be given more than once, to compare.",
)
@click.option(
    "--load",
    type=FiniteRange(0.01, 10),
    default=None,
    help="Draw tasks of the file at random until they ask for so much of the scarcest resource."
    "  [default: the file as it is]",
)
@click.option("--seed", type=WholeRange(0, 2**63), default=0, show_default=True, help="For --load.")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write a plot: what is allocated over what has come, and what is stranded.",
)
@json_option
def whatif(
    nodes: Path,
    pods: Path,
    policies: tuple[str, ...],
    load: float | None,
    seed: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """How many machines does a workload need? Replays it with the planner; asks no cluster."""
    from pymesos_cli.local.whatif import run_whatif

    run_whatif(nodes, pods, policies, seed, load, plot, as_json=as_json)


@main.command()
@click.argument("agent", shell_complete=completing.agents)
@click.argument("role", shell_complete=completing.roles)
@click.argument("resources", default="")
@click.option(
    "--volume", "volumes", multiple=True, metavar="ID:PATH:MIB", help="A persistent volume."
)
@pass_settings
def reserve(
    settings: Settings, agent: str, role: str, resources: str, volumes: tuple[str, ...]
) -> None:
    """Reserve RESOURCES of an AGENT, such as 'cpus:2;mem:1024', for a ROLE."""
    from pymesos_cli.operators.reserve import reserve

    _with_cluster(settings, lambda cluster: reserve(cluster, agent, role, resources, volumes))


@main.command()
@click.argument("agent", shell_complete=completing.agents)
@click.argument("role", shell_complete=completing.roles)
@click.argument("resources", default="")
@click.option(
    "--volume", "volumes", multiple=True, metavar="ID", help="Destroy a volume, with its data."
)
@pass_settings
def unreserve(
    settings: Settings, agent: str, role: str, resources: str, volumes: tuple[str, ...]
) -> None:
    """End what is reserved of an AGENT for a ROLE: RESOURCES, volumes, or all that is unused."""
    from pymesos_cli.operators.reserve import unreserve

    _with_cluster(settings, lambda cluster: unreserve(cluster, agent, role, resources, volumes))


@main.command()
@json_option
@pass_settings
def leader(settings: Settings, as_json: bool) -> None:
    """Show which master leads."""
    from pymesos_cli import listing

    _with_cluster(settings, lambda cluster: listing.show_leader(cluster, as_json=as_json))


@main.command()
@json_option
@pass_settings
def events(settings: Settings, as_json: bool) -> None:
    """Show the cluster as it is, and then what happens, until Ctrl-C."""
    from pymesos_cli import listing

    _with_cluster(settings, lambda cluster: listing.show_events(cluster, as_json=as_json))


@main.command()
@click.argument("task", shell_complete=completing.tasks)
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the task has ended.")
@click.option("--stderr", is_flag=True, help="stderr instead of stdout.")
@click.option("--tail", type=WholeRange(0, 100_000), default=None, help="Only the last lines.")
@pass_settings
def logs(settings: Settings, task: str, follow: bool, stderr: bool, tail: int | None) -> None:
    """Show what a task writes, or wrote; of a job, what all its instances write."""
    from pymesos_cli.tasks.logs import show_logs

    _with_cluster(
        settings,
        lambda cluster: show_logs(cluster, task, follow=follow, stderr=stderr, tail=tail),
    )


@main.command()
@click.argument("task", default="", shell_complete=completing.live_tasks)
@click.option("-f", "--follow", is_flag=True, help="Again and again, until Ctrl-C.")
@json_option
@pass_settings
def stats(settings: Settings, task: str, follow: bool, as_json: bool) -> None:
    """What tasks use now: all, or those whose id begins with TASK."""
    from pymesos_cli.tasks.stats import show_stats

    _with_cluster(
        settings, lambda cluster: show_stats(cluster, task, follow=follow, as_json=as_json)
    )


@main.command()
@click.argument("task", default="", shell_complete=completing.live_tasks)
@pass_settings
def top(settings: Settings, task: str) -> None:
    """What tasks use, again and again, the busiest first, until Ctrl-C: stats -f."""
    from pymesos_cli.tasks.stats import show_stats

    _with_cluster(settings, lambda cluster: show_stats(cluster, task, follow=True, as_json=False))


@main.command()
@click.argument("task", shell_complete=completing.live_tasks)
@pass_settings
def attach(settings: Settings, task: str) -> None:
    """Show what a task writes from now on, until it ends; its exit status is the command's."""
    from pymesos_cli.tasks.logs import attach_to

    sys.exit(_with_cluster(settings, lambda cluster: attach_to(cluster, task)))


@main.command("ls")
@click.argument("task", shell_complete=completing.tasks)
@click.argument("path", default="", shell_complete=completing.files)
@pass_settings
def list_files(settings: Settings, task: str, path: str) -> None:
    """List the files of a task's sandbox, as long as it is kept."""
    from pymesos_cli import files

    _with_cluster(settings, lambda cluster: files.list_files(cluster, task, path))


@main.command()
@click.argument("task", shell_complete=completing.tasks)
@click.argument("path", shell_complete=completing.files)
@pass_settings
def cat(settings: Settings, task: str, path: str) -> None:
    """Show a file of a task's sandbox."""
    from pymesos_cli import files

    _with_cluster(settings, lambda cluster: files.show_file(cluster, task, path))


@main.command()
@click.argument("source", shell_complete=completing.places)
@click.argument("target", shell_complete=completing.places)
@pass_settings
def cp(settings: Settings, source: str, target: str) -> None:
    """Copy files and folders: cp TASK:PATH PATH, cp PATH TASK:PATH.

    As docker cp: into a folder that is there under its own name, else the target is made; FOLDER/.
    is what is in the folder. PATH of a TASK is in its sandbox. Permission bits are kept.
    """
    from pymesos_cli import copying

    sys.exit(_with_cluster(settings, lambda cluster: copying.copy(cluster, source, target)))


@main.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("task", shell_complete=completing.live_tasks)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@click.option("-i", "--interactive", is_flag=True, help="Pass on what is typed, or piped in.")
@click.option("-t", "--terminal", is_flag=True, help="With a terminal; needs one here.")
@pass_settings
def exec_command(
    settings: Settings, task: str, command: tuple[str, ...], interactive: bool, terminal: bool
) -> None:
    """Run a command in the container of a task: exec [-it] TASK -- CMD [ARG...]."""
    from pymesos_cli.tasks.exec import run_inside

    if not command[0]:
        raise click.UsageError("the command is empty: exec TASK -- CMD [ARG...]")
    if terminal and not sys.stdin.isatty():
        raise click.UsageError("-t needs a terminal, and standard input is none; leave it out")
    status = _with_cluster(
        settings,
        lambda cluster: run_inside(
            cluster, task, command, stdin=0 if interactive else None, terminal=terminal
        ),
    )
    sys.exit(status)


@main.command()
@click.argument("task", shell_complete=completing.live_tasks)
@pass_settings
def kill(settings: Settings, task: str) -> None:
    """Kill a task: SIGTERM, and SIGKILL after its grace period."""
    from pymesos_cli import decisions

    _with_cluster(settings, lambda cluster: decisions.kill_task(cluster, task))


@main.command()
@click.argument("framework", shell_complete=completing.frameworks)
@pass_settings
def teardown(settings: Settings, framework: str) -> None:
    """Remove a framework with all its tasks."""
    from pymesos_cli import decisions

    _with_cluster(settings, lambda cluster: decisions.teardown(cluster, framework))


@main.command()
@click.argument("agent", shell_complete=completing.agents)
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def gone(settings: Settings, agent: str, yes: bool) -> None:
    """Mark an agent as gone for good: its tasks are given up, and it may never come back."""
    from pymesos_cli import decisions

    _with_cluster(settings, lambda cluster: decisions.mark_gone(cluster, agent, ask=not yes))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: source <(pymesos-cli completion bash)."""
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(main, {}, "pymesos-cli", "_PYMESOS_CLI_COMPLETE").source())


if __name__ == "__main__":
    main()
