"""`cluster`: the declarations of its commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pymesos_cli.group import Room
from pymesos_core.flags import FiniteRange
from pymesos_core.text import quoted

room = Room()


class FolderPath(click.Path):
    """A path that is not empty, as that of a variable which is not set."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """See click.ParamType."""
        if not str(value).strip():
            self.fail(
                f"{quoted(str(value))} is given; the name of a folder is expected", param, ctx
            )
        return super().convert(value, param, ctx)


AUTHORITY = click.argument("authority", type=FolderPath(), metavar="AUTHORITY")
FOLDER = click.argument("folder", type=FolderPath(), metavar="FOLDER")


@room.group()
def cluster() -> None:
    """Make a cluster's authority, and certificates for its machines, frameworks and people.

    \b
    pymesos-cli cluster init ./authority --name prod
    pymesos-cli cluster issue ./authority master/m1 ./m1
    pymesos-cli cluster issue ./authority agent/node-1 ./node-1
    pymesos-cli cluster issue ./authority operator/alice ~/.config/pymesos/prod
    """


@cluster.command()
@AUTHORITY
@click.option("--name", default="pymesos", show_default=True, metavar="NAME", help="The cluster's.")
def init(authority: Path, name: str) -> None:
    """Make the authority of a new cluster, in a folder for yourself alone."""
    from pymesos_cli.certificates.authority import make_authority

    make_authority(authority, name)


@cluster.command()
@AUTHORITY
@click.argument("principal", metavar="KIND/NAME")
@FOLDER
@click.option(
    "--days",
    type=FiniteRange(0.001, 730),
    default=90.0,
    show_default=True,
    help="How long the certificate lives.",
)
def issue(authority: Path, principal: str, folder: Path, days: float) -> None:
    """Put a new key and its certificate into a folder, which is what --tls takes.

    KIND is master, agent, framework or operator. In a folder of the same principal both are
    replaced, and a server that uses the folder takes the new ones for new connections.
    """
    from pymesos_cli.certificates.authority import issue_certificate

    issue_certificate(authority, principal, folder, days)


@cluster.command()
@FOLDER
def show(folder: Path) -> None:
    """Say whose certificate is in a folder, and until when."""
    from pymesos_cli.certificates.authority import show_certificate

    show_certificate(folder)
