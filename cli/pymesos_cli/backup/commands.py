"""Commands that write a backup of a cluster that runs, and restore it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pymesos_cli.group import Room
from pymesos_cli.options import Settings, pass_settings, with_cluster

room = Room()
FILE = click.argument("file", metavar="FILE", type=click.Path(allow_dash=True))


@room.command()
@FILE
@click.option("--force", is_flag=True, help="Overwrite FILE if it is there.")
@pass_settings
def backup(settings: Settings, file: str, force: bool) -> None:
    """Write what a cluster was told to be to FILE: policy, quotas, weights, secrets, jobs and more.

    The cluster runs on meanwhile. Secrets are in FILE as masters keep them, sealed by their key,
    which is not. It is for those who may `policy` and `agents`, and in every role `read`,
    `read-env` and `secrets`. FILE is for you alone; - is standard output.

    If something could not be reached, FILE is not touched, and the rest is in FILE.incomplete,
    until a backup has everything. The exit status is 1 then, and also if there is something that no
    restore can bring back: it is said what.
    """
    from pymesos_cli.backup import gathering

    status = with_cluster(settings, lambda cluster: gathering.back_up(cluster, file, force=force))
    sys.exit(status)


@room.command()
@FILE
@click.option("--plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option(
    "--existing",
    type=click.Choice(["refuse", "keep", "replace"]),
    default="refuse",
    show_default=True,
    help="What becomes of what is there already and differs: nothing at all is restored, it stays,"
    " or it is made as in FILE.",
)
@click.option(
    "--secrets-key",
    type=click.Path(path_type=Path),
    default=None,
    metavar="PATH",
    help="The keys of secrets of the cluster in FILE.  [default: those that the masters have]",
)
@click.option("--partly", is_flag=True, help="Restore the rest where something cannot be restored.")
@pass_settings
def restore(
    settings: Settings,
    file: str,
    plan: bool,
    existing: str,
    secrets_key: Path | None,
    partly: bool,
) -> None:
    """Restore what `backup` wrote to FILE: what is missing is added, what is the same stays.

    FILE is checked to its end before anything is done; - is standard input. Jobs begin with the
    versions that they had, by whoever serves their role. Volumes, and the data in them, are in no
    backup. To restore once more does what was not done.

    With --plan the exit status is as of `apply`: 0 if there is nothing to do, and 1 if there is.
    """
    from pymesos_cli.backup import restoring
    from pymesos_cli.errors import errors_of_a_plan

    with errors_of_a_plan(planned=plan):
        status = with_cluster(
            settings,
            lambda cluster: restoring.restore(
                cluster,
                file,
                plan=plan,
                existing=restoring.Existing(existing),
                key_file=secrets_key,
                partly=partly,
            ),
        )
    sys.exit(status)
