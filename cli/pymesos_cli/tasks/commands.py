"""Commands on what tasks write, use and hold, where they run."""

from __future__ import annotations

import sys

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import WholeRange

room = Room()


@room.command()
@click.argument("task", shell_complete=completing.tasks)
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the task has ended.")
@click.option("--stderr", is_flag=True, help="stderr instead of stdout.")
@click.option("--tail", type=WholeRange(0, 100_000), default=None, help="Only the last lines.")
@pass_settings
def logs(settings: Settings, task: str, follow: bool, stderr: bool, tail: int | None) -> None:
    """Show what a task writes, or wrote; of a job, what all its instances write."""
    from pymesos_cli.tasks.logs import show_logs

    with_cluster(
        settings,
        lambda cluster: show_logs(cluster, task, follow=follow, stderr=stderr, tail=tail),
    )


@room.command()
@click.argument("task", default=None, required=False, shell_complete=completing.live_tasks)
@click.option("-f", "--follow", is_flag=True, help="Again and again, until Ctrl-C.")
@json_option
@pass_settings
def stats(settings: Settings, task: str | None, follow: bool, as_json: bool) -> None:
    """What tasks use now: all, or those whose id begins with TASK."""
    from pymesos_cli.tasks.stats import show_stats

    with_cluster(
        settings, lambda cluster: show_stats(cluster, task, follow=follow, as_json=as_json)
    )


@room.command()
@click.argument("task", default=None, required=False, shell_complete=completing.live_tasks)
@pass_settings
def top(settings: Settings, task: str | None) -> None:
    """What tasks use, again and again, the busiest first, until Ctrl-C: stats -f."""
    from pymesos_cli.tasks.stats import show_stats

    with_cluster(settings, lambda cluster: show_stats(cluster, task, follow=True, as_json=False))


@room.command()
@click.argument("task", shell_complete=completing.live_tasks)
@pass_settings
def attach(settings: Settings, task: str) -> None:
    """Show what a task writes from now on, until it ends; its exit status is the command's."""
    from pymesos_cli.tasks.logs import attach_to

    sys.exit(with_cluster(settings, lambda cluster: attach_to(cluster, task)))


@room.command("ls")
@click.argument("task", shell_complete=completing.tasks)
@click.argument("path", default="", shell_complete=completing.files)
@pass_settings
def list_files(settings: Settings, task: str, path: str) -> None:
    """List the files of a task's sandbox, as long as it is kept."""
    from pymesos_cli.tasks import files

    with_cluster(settings, lambda cluster: files.list_files(cluster, task, path))


@room.command()
@click.argument("task", shell_complete=completing.tasks)
@click.argument("path", shell_complete=completing.files)
@pass_settings
def cat(settings: Settings, task: str, path: str) -> None:
    """Show a file of a task's sandbox."""
    from pymesos_cli.tasks import files

    with_cluster(settings, lambda cluster: files.show_file(cluster, task, path))


@room.command()
@click.argument("source", shell_complete=completing.places)
@click.argument("target", shell_complete=completing.places)
@pass_settings
def cp(settings: Settings, source: str, target: str) -> None:
    """Copy files and folders: cp TASK:PATH PATH, cp PATH TASK:PATH.

    As docker cp: into a folder that is there under its own name, else the target is made; FOLDER/.
    is what is in the folder. PATH of a TASK is in its sandbox. Permission bits are kept.
    """
    from pymesos_cli.tasks import copying

    sys.exit(with_cluster(settings, lambda cluster: copying.copy(cluster, source, target)))


@room.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("task", shell_complete=completing.live_tasks)
@click.argument("command", metavar="CMD...", nargs=-1, type=click.UNPROCESSED, required=True)
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
    status = with_cluster(
        settings,
        lambda cluster: run_inside(
            cluster, task, command, stdin=0 if interactive else None, terminal=terminal
        ),
    )
    sys.exit(status)
