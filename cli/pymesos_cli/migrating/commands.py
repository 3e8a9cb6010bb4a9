"""Commands for those who come from Apache Mesos."""

from __future__ import annotations

from pathlib import Path

import click

from pymesos_cli.group import Room
from pymesos_cli.options import json_option
from pymesos_core.flags import WholeRange

room = Room()


@room.group()
def migrate() -> None:
    """Come from Apache Mesos: see what will work here, and what will not."""


@migrate.command("check")
@click.option(
    "--mesos", "url", required=True, metavar="URL", help="A master of Mesos, as http://HOST:5050."
)
@click.option("--principal", metavar="NAME", help="Who asks, where Mesos wants to know.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="The secret of that principal; - is standard input.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="An access token (Bearer) in place of these; - is standard input.",
)
@click.option(
    "--also",
    "others",
    multiple=True,
    metavar="HOST:PORT",
    help="Another master that may see the credentials, should it lead.",
)
@click.option(
    "--agents",
    type=WholeRange(0, 1000),
    default=20,
    show_default=True,
    help="How many agents are asked for their flags.",
)
@json_option
def check(
    url: str,
    principal: str | None,
    secret_file: Path | None,
    token_file: Path | None,
    others: tuple[str, ...],
    agents: int,
    as_json: bool,
) -> None:
    """Ask a running master of Mesos what its frameworks, agents and flags use.

    Nothing is changed there. Exit status: 0 all of it works here, 1 something does not.
    """
    if (principal is None) is not (secret_file is None):
        raise click.UsageError("give --principal and --secret-file, or neither")
    if principal is not None and token_file is not None:
        raise click.UsageError("give --token-file, or --principal and --secret-file")
    from pymesos_cli.migrating import checking, showing
    from pymesos_cli.migrating.asking import Asking, by_password, by_token
    from pymesos_cli.migrating.tables import Verdict

    shown = None
    if principal is not None and secret_file is not None:
        shown = by_password(principal, secret_file)
    elif token_file is not None:
        shown = by_token(token_file)
    asking = Asking(url, shown, others)
    found = checking.findings(asking.master(), asking.agents_flags(agents))
    showing.show(found, as_json=as_json)
    if any(one.verdict is Verdict.MISSING for one in found):
        raise SystemExit(1)
