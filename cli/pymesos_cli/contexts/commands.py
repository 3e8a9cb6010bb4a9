"""`context`: the declarations of its commands."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli.completing import contexts
from pymesos_cli.group import Room
from pymesos_cli.options import json_option

room = Room()
NAME = click.argument("name", metavar="NAME", shell_complete=contexts)


@room.group()
def context() -> None:
    """Name clusters, and choose the one that is meant where no flag and no variable says it.

    \b
    pymesos-cli context add prod --master zk://zk1,zk2/pymesos --tls ~/.config/pymesos/prod
    pymesos-cli context use prod
    pymesos-cli --context lab agents
    """


@context.command("list")
@json_option
def list_all(as_json: bool) -> None:
    """List the contexts; the current one has a star."""
    from pymesos_cli.contexts.managing import list_contexts

    list_contexts(as_json=as_json)


@context.command()
@NAME
def use(name: str) -> None:
    """Make a context the current one."""
    from pymesos_cli.contexts.managing import use_context

    use_context(name)


@context.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--master",
    required=True,
    metavar="ADDRESS",
    help="The master: host:port, or zk://host:port/path.",
)
@click.option(
    "--tls",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Your certificate, of operator/NAME.",
)
@click.option(
    "--framework-tls",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A certificate of framework/NAME, for frameworks that you start by hand.",
)
@click.option("--use", "current", is_flag=True, help="Make it the current one.")
def add(
    name: str, master: str, tls: Path | None, framework_tls: Path | None, current: bool
) -> None:
    """Name a cluster. The first one is the current one.

    The certificates stay where they are: only the names of their folders are kept.
    """
    from pymesos_cli.contexts.managing import add_context

    add_context(name, master, tls, framework_tls, current=current)


@context.command()
@NAME
def remove(name: str) -> None:
    """Forget a context. Its certificates stay where they are."""
    from pymesos_cli.contexts.managing import remove_context

    remove_context(name)


@context.command()
@click.argument("name", metavar="[NAME]", default="", shell_complete=contexts)
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a context, or the current one, and whose certificates it has."""
    from pymesos_cli.contexts.managing import show_context

    show_context(name, as_json=as_json)
