"""The command that opens the web page."""

from __future__ import annotations

import sys

import click

from pymesos_cli.group import Room
from pymesos_cli.options import Settings, pass_settings, with_cluster
from pymesos_core.flags import WholeRange

room = Room()


@room.command()
@click.option(
    "--no-open", is_flag=True, help="Print the address, and leave it to you to open a browser."
)
@click.option(
    "--port", type=WholeRange(0, 65535), default=0, help="On 127.0.0.1.  [default: a free one]"
)
@click.option(
    "--code",
    is_flag=True,
    help="Print a code instead, with which one browser signs in as you where a master serves the"
    " page by a public name (--http-cert). It is good once, within 5 minutes.",
)
@pass_settings
def web(settings: Settings, no_open: bool, port: int, code: bool) -> None:
    """Open the web page of the cluster in your browser, as you, until Ctrl-C.

    What the page asks goes through this command, which shows your certificate. The address that it
    prints works once, for the first browser that opens it; nobody else on this machine gets in.
    """
    if code:
        from pymesos_cli.access.tokens import make_code

        with_cluster(settings, make_code)
        return
    from pymesos_cli.web.serving import serve_page

    sys.exit(with_cluster(settings, lambda cluster: serve_page(cluster, port, opens=not no_open)))
