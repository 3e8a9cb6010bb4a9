"""Commands on variables of roles."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import WholeRange

room = Room()
ROLE = click.argument("role", shell_complete=completing.roles)
NAME = click.argument("name", shell_complete=completing.variables)


@room.group()
def variables() -> None:
    """Set values that jobs of a role share: `{{ variables.NAME }}` in job files.

    What is set reaches services by rollouts. A value that nobody is to see is a `secret`.
    """


@variables.command("set")
@ROLE
@NAME
@click.argument("value", required=False)
@click.option(
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Take the value from a file; - is standard input.",
)
@click.option(
    "--if-version",
    type=WholeRange(0, 2**32 - 1),
    help="Only if it is at this version; 0: not there.",
)
@pass_settings
def set_variable(
    settings: Settings,
    role: str,
    name: str,
    value: str | None,
    file: Path | None,
    if_version: int | None,
) -> None:
    """Set a variable. Each job that refers to it gets another version, and its services roll."""
    if (value is None) is (file is None):
        given_as = name.partition("=")
        apart = f" after the name, as in {given_as[0]} {given_as[2]}" if given_as[1] else ""
        raise click.UsageError(f"give the value{apart}, or --file")
    from pymesos_cli.variables import calls

    given = calls.read_value(file) if file is not None else value or ""
    with_cluster(
        settings, lambda cluster: calls.set_variable(cluster, role, name, given, if_version)
    )


@variables.command("list")
@click.argument("role", required=False, shell_complete=completing.roles)
@json_option
@pass_settings
def list_variables(settings: Settings, role: str | None, as_json: bool) -> None:
    """List variables, of a role or of all."""
    from pymesos_cli.variables import calls

    with_cluster(
        settings, lambda cluster: calls.list_variables(cluster, role or "", as_json=as_json)
    )


@variables.command("history")
@ROLE
@NAME
@json_option
@pass_settings
def show_history(settings: Settings, role: str, name: str, as_json: bool) -> None:
    """Show what a variable was set to, when, and by whom; the last 10 times are kept."""
    from pymesos_cli.variables import calls

    with_cluster(settings, lambda cluster: calls.show_history(cluster, role, name, as_json=as_json))


@variables.command("remove")
@ROLE
@NAME
@click.option("--force", is_flag=True, help="Although jobs refer to it: they keep the value.")
@pass_settings
def remove_variable(settings: Settings, role: str, name: str, force: bool) -> None:
    """Remove a variable that no job refers to."""
    from pymesos_cli.variables import calls

    with_cluster(settings, lambda cluster: calls.remove_variable(cluster, role, name, force=force))
