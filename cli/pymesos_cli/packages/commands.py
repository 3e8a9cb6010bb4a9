"""`package`: the declarations of its commands."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pymesos_cli import completing
from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster

if TYPE_CHECKING:
    from pymesos_cli.packages.repositories import Repositories

room = Room()
PACKAGE = click.argument("name", metavar="PACKAGE", shell_complete=completing.packages)
JOB = click.argument("job", metavar="JOB", shell_complete=completing.jobs_of_packages)
VERSION = click.option(
    "--version", default="", metavar="N.N.N", help="Which version.  [default: the latest]"
)


def _changing(command: Any) -> Any:
    """What `install` and `update` share."""
    for option in (
        click.option("--wait", is_flag=True, help="Stay until all instances are as it says."),
        click.option("--plan", is_flag=True, help="Show what would change, and change nothing."),
        click.option("--downgrade", is_flag=True, help="Take an older version than is installed."),
        click.option(
            "--set",
            "changes",
            multiple=True,
            metavar="NAME=VALUE",
            help="An option of the package, as `package show` lists them.",
            shell_complete=completing.package_options,
        ),
        VERSION,
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def _repositories(settings: Settings) -> Iterator[Repositories]:
    """Give the repositories of this user. Raises CliError."""
    from pymesos_cli.errors import EXIT_USAGE, CliError
    from pymesos_cli.packages.parts import PackageError
    from pymesos_cli.packages.repositories import own_repositories
    from pymesos_core.contexts import ContextError

    try:
        yield own_repositories(settings.timeout_s)
    except (PackageError, ContextError) as error:
        raise CliError(str(error), EXIT_USAGE) from error


@room.group()
def package() -> None:
    """Install what others have made ready: databases, web servers and the like.

    \b
    pymesos-cli package repository add ours https://packages.example --key ed25519:KEY
    pymesos-cli package search
    pymesos-cli package install redis --set mem=256

    A package is a template of a job with options. What is installed is a job as any other, which
    `history`, `rollback` and the like are for. docs/packages.md says how packages are made.
    """


@package.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@json_option
@pass_settings
def search(settings: Settings, words: tuple[str, ...], as_json: bool) -> None:
    """List the packages whose name or summary has all WORDs; without any, all."""
    from pymesos_cli.packages import showing

    with _repositories(settings) as own:
        showing.search(own, words, as_json=as_json)


@package.command()
@PACKAGE
@VERSION
@json_option
@pass_settings
def show(settings: Settings, name: str, version: str, as_json: bool) -> None:
    """Show a package: what it is, its options, and what to know of upgrades."""
    from pymesos_cli.packages import showing

    with _repositories(settings) as own:
        showing.show(own, name, version, as_json=as_json)


@package.command()
@PACKAGE
@click.option("--name", "called", default="", help="Of the job.  [default: the package's]")
@click.option(
    "--role", default="*", show_default=True, help="Of the job.", shell_complete=completing.roles
)
@_changing
@click.option("--print", "only_print", is_flag=True, help="Print the job file, and ask no cluster.")
@pass_settings
def install(
    settings: Settings,
    name: str,
    called: str,
    role: str,
    version: str,
    changes: tuple[str, ...],
    downgrade: bool,
    plan: bool,
    wait: bool,
    only_print: bool,
) -> None:
    """Make a job from PACKAGE, or change the one that was made from it to what is said now.

    The options are those that are given here, and defaults. With --plan the exit status is as of
    `apply`.
    """
    from pymesos_cli.errors import errors_of_a_plan
    from pymesos_cli.jobs.versions import Apply
    from pymesos_cli.packages import installing, showing

    source = name.rpartition("/")[0]
    wanted = installing.Wanted(changes, (), version, downgrade, source, Apply(plan, wait))
    with errors_of_a_plan(planned=plan), _repositories(settings) as own:
        found, asked = installing.package_and_job(own, name, called, role, wanted)
        if only_print:
            showing.print_job(found, asked)
            return
        sys.exit(
            with_cluster(
                settings, lambda cluster: installing.install(cluster, found, asked, wanted)
            )
        )


@package.command()
@JOB
@_changing
@click.option(
    "--unset", multiple=True, metavar="NAME", help="Let an option be what is usual again."
)
@click.option(
    "--from",
    "source",
    default="",
    metavar="REPOSITORY",
    help="Take it from this one.  [default: the one that it came from]",
    shell_complete=completing.repositories,
)
@pass_settings
def update(
    settings: Settings,
    job: str,
    version: str,
    changes: tuple[str, ...],
    downgrade: bool,
    plan: bool,
    wait: bool,
    unset: tuple[str, ...],
    source: str,
) -> None:
    """Bring JOB to the latest version of its package, by a rollout. Its options stay.

    It comes from the repository that the package came from, which is known by its key.
    `pymesos-cli rollback JOB` goes back, as with any job.
    """
    from pymesos_cli.errors import errors_of_a_plan
    from pymesos_cli.jobs.versions import Apply
    from pymesos_cli.packages import installing

    wanted = installing.Wanted(changes, unset, version, downgrade, source, Apply(plan, wait))
    with errors_of_a_plan(planned=plan), _repositories(settings) as own:
        sys.exit(
            with_cluster(settings, lambda cluster: installing.update(cluster, own, job, wanted))
        )


@package.command()
@JOB
@pass_settings
def remove(settings: Settings, job: str) -> None:
    """End JOB, which was made from a package. Its volumes stay."""
    from pymesos_cli.packages import installing

    with _repositories(settings):
        with_cluster(settings, lambda cluster: installing.remove(cluster, job))


@package.command("list")
@json_option
@pass_settings
def list_all(settings: Settings, as_json: bool) -> None:
    """List the jobs that were made from packages, and the latest version of each package."""
    from pymesos_cli.packages import installing

    with _repositories(settings) as own:
        with_cluster(
            settings, lambda cluster: installing.list_installed(cluster, own, as_json=as_json)
        )


@package.group("repository")
def repository() -> None:
    """Say where packages come from."""


@repository.command("add")
@click.argument("name", metavar="NAME")
@click.argument("location", metavar="FOLDER|URL", shell_complete=completing.files_here)
@click.option("--key", required=True, metavar="ed25519:KEY", help="By which its index is signed.")
@pass_settings
def add_repository(settings: Settings, name: str, location: str, key: str) -> None:
    """Take packages from a FOLDER, or an https address. Learn the key from who keeps it."""
    from pymesos_cli.packages import showing

    with _repositories(settings) as own:
        showing.add_repository(own, name, location, key)


@repository.command("list")
@json_option
@pass_settings
def list_repositories(settings: Settings, as_json: bool) -> None:
    """List the repositories that packages are taken from."""
    from pymesos_cli.packages import showing

    with _repositories(settings) as own:
        showing.list_repositories(own, as_json=as_json)


@repository.command("remove")
@click.argument("name", metavar="NAME", shell_complete=completing.repositories)
@pass_settings
def remove_repository(settings: Settings, name: str) -> None:
    """Take no packages from a repository any more. What was installed stays."""
    from pymesos_cli.packages import showing

    with _repositories(settings) as own:
        showing.remove_repository(own, name)
