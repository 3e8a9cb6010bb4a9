"""`pymesos-cli`: all its commands, and the flags before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pymesos_cli.completing import contexts
from pymesos_cli.group import LazyGroup
from pymesos_cli.options import DEFAULT_MASTER, settings_of
from pymesos_core.flags import FiniteRange

# Each command: its room, and what it does in one line that fits beside it.
ROOMS = {
    "agents": ("operators", "List agents: what they have, and what of it is used."),
    "alerts": ("jobs", "List what is wrong; silence it; see and test who is told."),
    "apply": ("jobs", "Make a job what a file says: start it, change it, or nothing."),
    "accounting": ("operators", "Show what roles, frameworks and jobs have used, by day."),
    "audit": ("access", "Show who changed what, and what was denied."),
    "attach": ("tasks", "Show what a task writes from now on, until it ends."),
    "backup": ("backup", "Write what a cluster was told to be to a file."),
    "can": ("access", "Say whether somebody may do something, and by which rule."),
    "cat": ("tasks", "Show a file of a task's sandbox."),
    "cluster": ("certificates", "Say who is in a cluster: authority, tokens, revocations."),
    "context": ("contexts", "Name clusters, and choose the one that is meant."),
    "cp": ("tasks", "Copy files and folders into a task's sandbox, or out of it."),
    "describe": ("jobs", "Show the file of a job as it is in force."),
    "events": ("operators", "Show the cluster as it is, and then what happens."),
    "exec": ("tasks", "Run a command in the container of a task."),
    "explain": ("operators", "Say why something is not starting, or gets no offers."),
    "frameworks": ("operators", "List frameworks."),
    "cordon": ("draining", "Have agents offered to nobody; what runs there runs on."),
    "drain": ("draining", "Empty agents, so that they can be serviced or taken away."),
    "activate": ("draining", "Have agents offered again."),
    "maintenance": ("draining", "Plan when agents may be away, and see what frameworks say."),
    "gone": ("operators", "Mark an agent as gone for good, with its tasks."),
    "history": ("jobs", "List the versions of a job, and what changed."),
    "jobs": ("jobs", "List jobs."),
    "kill": ("operators", "Kill a task: SIGTERM, then SIGKILL."),
    "leader": ("operators", "Show which master leads."),
    "local": ("local", "Run a whole cluster here, on loopback, until Ctrl-C."),
    "logs": ("tasks", "Show what a task writes, or wrote, or all tasks of a job."),
    "ls": ("tasks", "List the files of a task's sandbox."),
    "migrate": ("migrating", "Come from Apache Mesos: see what works here, and what does not."),
    "offers": ("operators", "List offers that wait for an answer."),
    "package": ("packages", "Install what others have made ready, and keep it current."),
    "policy": ("access", "Show, check and set what operators and frameworks may do."),
    "quarantine": ("jobs", "See what is stored and cannot be handled; release it."),
    "quota": ("operators", "Guarantee resources to roles, and limit them."),
    "reserve": ("operators", "Reserve resources of an agent for a role."),
    "restart": ("jobs", "Replace the instances of a job, or of a task of it."),
    "restore": ("backup", "Make a cluster what a backup says."),
    "roles": ("operators", "List roles: weight, quota, and what they hold."),
    "rollback": ("jobs", "Make a job what an earlier version said."),
    "rollout": ("jobs", "Show how a job changes; pause it, resume it, promote, abort."),
    "run": ("jobs", "Run a job file, or a command after --."),
    "scale": ("jobs", "Have other numbers of instances."),
    "webhook": ("access", "Have events sent to URLs; list, remove, test."),
    "secret": ("access", "Set secrets that tasks of a role may use, list, remove."),
    "stats": ("tasks", "Show what tasks use now."),
    "stop": ("jobs", "End a job and its tasks."),
    "tasks": ("operators", "List tasks: all, or those of a job."),
    "teardown": ("operators", "Remove a framework with all its tasks."),
    "token": ("access", "Make access tokens, by which programs ask by HTTP; revoke them."),
    "top": ("tasks", "Show what tasks use, the busiest first, until Ctrl-C."),
    "trigger": ("jobs", "Have a run of a periodic task begin now."),
    "unreserve": ("operators", "End what is reserved of an agent for a role."),
    "variables": ("variables", "Set values that jobs of a role share; list, history, remove."),
    "volumes": ("jobs", "List what tasks have kept for their next runs; remove it."),
    "watch": ("jobs", "Follow a job until it is done, or its services are ready."),
    "web": ("web", "Open the web page of the cluster, as you."),
    "weights": ("operators", "Give roles weights: a larger one gets a larger share."),
    "whatif": ("local", "Replay a workload: how many machines does it need?"),
    "whoami": ("access", "Say who you are to the cluster, and which rules are yours."),
}


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from pymesos_core import VERSION

        click.echo(f"pymesos-cli, version {VERSION}")
        context.exit()


@click.group(cls=LazyGroup, rooms=ROOMS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--master",
    metavar="ADDRESS",
    envvar="PYMESOS_MASTER",
    help="The master: host:port, or zk://host:port/path. Also $PYMESOS_MASTER."
    f"  [default: the context's, or {DEFAULT_MASTER}]",
)
@click.option(
    "--tls",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    envvar="PYMESOS_TLS",
    default=None,
    help="Your certificate, as `cluster issue` made it. Also $PYMESOS_TLS.  [default: the"
    " context's]",
)
@click.option(
    "--context",
    "context_name",
    metavar="NAME",
    default="",
    shell_complete=contexts,
    help="A cluster that you have named: see `context --help`.  [default: the one with that"
    " --master, or the current one]",
)
@click.option(
    "--timeout",
    type=FiniteRange(0.1, 3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a master.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def main(context: click.Context, /, **_: Any) -> None:
    """Use a pymesos cluster.

    Exit status: 0 done, 1 the work failed, 2 wrong use, 3 no master reachable.
    """
    context.obj = settings_of(context)


@main.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: source <(pymesos-cli completion bash)."""
    from click.shell_completion import get_completion_class

    from pymesos_cli import completing  # noqa: F401 - it registers ours

    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(main, {}, "pymesos-cli", "_PYMESOS_CLI_COMPLETE").source())


if __name__ == "__main__":
    main()
