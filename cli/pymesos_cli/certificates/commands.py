"""`cluster`: the declarations of its commands."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli.group import Room
from pymesos_cli.options import Settings, json_option, pass_settings, with_cluster
from pymesos_core.flags import FiniteRange, Lifetime

room = Room()
AUTHORITY = click.argument("authority", type=click.Path(path_type=Path), metavar="AUTHORITY")
FOLDER = click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")


@room.group()
def cluster() -> None:
    """Make a cluster's authority, and say who comes into the cluster.

    \b
    pymesos-cli cluster init ./prod --name prod
    pymesos-master --tls ./prod/master
    (umask 077; pymesos-cli --tls ./prod/operator cluster token agent/node-1 > node-1.token)
    pymesos-agent --tls /var/lib/pymesos/tls --join-file node-1.token --master HOST:PORT
    """


@cluster.command()
@AUTHORITY
@click.option("--name", default="pymesos", show_default=True, metavar="NAME", help="The cluster's.")
@click.option(
    "--master", default="m1", show_default=True, metavar="NAME", help="The first master's."
)
@click.option(
    "--operator", default="admin", show_default=True, metavar="NAME", help="The first person's."
)
def init(authority: Path, name: str, master: str, operator: str) -> None:
    """Make the authority of a new cluster, in a folder for yourself alone.

    In it are the folders of its first master and its first operator, which is what --tls takes.
    """
    from pymesos_cli.certificates.authority import make_authority

    make_authority(authority, name, master, operator)


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


@cluster.command("secrets-key")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
def secrets_key(file: Path) -> None:
    """Make the key by which masters keep secrets, or put a new one on top of those in FILE.

    The first in FILE seals, all open. What older ones have sealed the next leader seals anew: then
    they may be deleted.
    """
    from pymesos_cli.certificates.authority import make_secrets_key

    make_secrets_key(file)


@cluster.command()
@FOLDER
def show(folder: Path) -> None:
    """Say whose certificate is in a folder, and until when."""
    from pymesos_cli.certificates.authority import show_certificate

    show_certificate(folder)


@cluster.command()
@click.argument("principals", nargs=-1, required=True, metavar="KIND/NAME...")
@click.option(
    "--ttl",
    type=Lifetime(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long the tokens can be used: 30m, 1h, 7d; at most 30d.",
)
@pass_settings
def token(settings: Settings, principals: tuple[str, ...], ttl: float) -> None:
    """Print a token for each principal that is to join, with the address that takes it.

    Who has a token can join as that principal, once: send it as you would send a password.
    """
    from pymesos_cli.certificates.enrolment import make_tokens

    with_cluster(settings, lambda cluster: make_tokens(cluster, principals, ttl))


@cluster.command()
@click.option("--remove", metavar="ID", default=None, help="Take a token back.")
@json_option
@pass_settings
def tokens(settings: Settings, remove: str | None, as_json: bool) -> None:
    """List the tokens that have not ended, or take one back."""
    from pymesos_cli.certificates.enrolment import list_tokens, remove_token

    if remove is not None:
        with_cluster(settings, lambda cluster: remove_token(cluster, remove))
    else:
        with_cluster(settings, lambda cluster: list_tokens(cluster, as_json=as_json))


@cluster.command()
@FOLDER
@click.argument("token", required=False, metavar="TOKEN@HOST:PORT", envvar="PYMESOS_JOIN")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=None,
    metavar="PATH",
    help="A file that has it: other users of the machine see what is on a command line.",
)
def join(folder: Path, token: str | None, file: Path | None) -> None:
    """Get a certificate into a folder, with a token; `-` reads it from standard input.

    The key is made here and stays here. Also $PYMESOS_JOIN.
    """
    from pymesos_cli.certificates.enrolment import join_cluster

    join_cluster(token, file, folder)


@cluster.command()
@click.argument("name", metavar="KIND/NAME|SERIAL")
@click.option("--undo", is_flag=True, help="Let it in again.")
@pass_settings
def revoke(settings: Settings, name: str, undo: bool) -> None:
    """Let a principal, or one certificate by its serial number, in no more.

    What it has open ends within seconds; its tasks run on.
    """
    from pymesos_cli.certificates.enrolment import revoke as revoke_it

    with_cluster(settings, lambda cluster: revoke_it(cluster, name, undo=undo))


@cluster.command()
@json_option
@pass_settings
def revoked(settings: Settings, as_json: bool) -> None:
    """List what is let in no more."""
    from pymesos_cli.certificates.enrolment import list_revocations

    with_cluster(settings, lambda cluster: list_revocations(cluster, as_json=as_json))
