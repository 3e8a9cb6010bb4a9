"""`pymesos-lb`: balances the load of the tasks that jobs expose."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import click

from pymesos_core.coordination.detect import detector_for
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.resolver import Names
from pymesos_core.discovery.zone import DOMAIN
from pymesos_core.outside import outside_with
from pymesos_core.role import RoleProcess, serve_role
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.serving import Listen
from pymesos_core.settings.server import read_ip, read_master
from pymesos_core.tasks import until_first
from pymesos_lb.balancer import Balancer
from pymesos_lb.routes import routes_of
from pymesos_proto.v1.names_pb2 import NamesBatch

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class Told(Names):
    """What is held; who balances is woken by what changes."""

    def __init__(self, changed: asyncio.Event) -> None:
        super().__init__(DOMAIN)
        self._changed = changed

    def take(self, batch: NamesBatch) -> bool:
        """See Names."""
        changed = super().take(batch)
        if changed or batch.whole:
            self._changed.set()
        return changed


async def serve(
    process: RoleProcess, master: str, tls: Path | None, ip: str, folder: Path, program: str
) -> None:
    """Balance until the process is to stop. Raises RoleError."""
    credentials = Credentials(tls) if tls is not None else None
    if credentials is not None:
        credentials.need(Kind.OPERATOR)
    outside = outside_with(credentials)
    detector = detector_for(master)
    process.close_later(detector.close)
    await detector.start(patient=True)
    balancer = Balancer(program, folder, ip, outside.mono_s)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = Told(balancer.changed)
    following = Following(names, outside, folder / FILE)

    async def balance() -> None:
        while not names.held.is_known:  # or it would forget what it served before
            await balancer.changed.wait()
            balancer.changed.clear()
        await balancer.run(lambda: routes_of(names.held.tasks.values()))

    await until_first(following.run(detector), balance(), process.stop.wait())


def _master(context: click.Context, option: click.Parameter, written: str) -> str:
    try:
        return read_master(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _ip(context: click.Context, option: click.Parameter, written: str) -> str:
    try:
        return read_ip(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--master", envvar="PYMESOS_MASTER", required=True, callback=_master,
    help="The master: host:port, or zk://host:port/path to find the leader.",
)  # fmt: skip
@click.option(
    "--tls", envvar="PYMESOS_TLS", type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="A folder with the certificate of an operator, who may read the roles that it serves.",
)  # fmt: skip
@click.option(
    "--ip", default="127.0.0.1", show_default=True, callback=_ip,
    help="Where clients come to, at the ports that jobs say.",
)  # fmt: skip
@click.option(
    "--folder", default=Path("pymesos-lb"), show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="For HAProxy's configuration and socket, and what a restart begins with.",
)  # fmt: skip
@click.option("--haproxy", default="haproxy", show_default=True, help="The program.")
@click.option("--log-level", default="info", show_default=True)
def main(
    master: str, tls: Path | None, ip: str, folder: Path, haproxy: str, log_level: str
) -> None:
    """Balance the load of what jobs expose, with HAProxy."""
    program = shutil.which(haproxy) or shutil.which(haproxy, path=PATH)
    if program is None:
        raise click.ClickException(
            f"{haproxy} is not there: install it (Debian's package is haproxy), or give --haproxy"
        )
    serve_role(
        "pymesos-lb",
        Listen(ip, 0, None, None),
        log_level,
        lambda process: serve(process, master, tls, ip, folder.absolute(), program),
    )
