"""`pymesos-lb`: balances the load of the tasks that jobs expose."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import click

from pymesos_core.coordination.detect import detector_for
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.resolver import Names
from pymesos_core.discovery.zone import DOMAIN
from pymesos_core.flags import Folder, WholeRange
from pymesos_core.log import LEVELS
from pymesos_core.option_errors import RoleCommand
from pymesos_core.outside import outside_with
from pymesos_core.role import RoleProcess, holding, serve_role
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.serving import Listen
from pymesos_core.settings.server import read_ip, read_master
from pymesos_core.tasks import until_first
from pymesos_core.text import quoted
from pymesos_lb.balancer import Balancer
from pymesos_lb.certificates import Certificates
from pymesos_lb.config import HTTPS_PORT, Doors
from pymesos_lb.routes import routes_of
from pymesos_proto.v1.names_pb2 import NamesBatch

COPIES = "certificates"  # in --folder
PORT = WholeRange(1, 65535)
# What ends or changes a path in HAProxy's configuration, or in a command to its socket.
NOT_IN_PATHS = frozenset(" \t\n\r\v\f,;#$\"'\\")
PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


@dataclass(frozen=True)
class Balancing:
    """What an operator says of HAProxy."""

    program: str
    folder: Path
    doors: Doors
    certificates: Path | None  # where the operator puts them


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


async def serve(process: RoleProcess, master: str, tls: Path | None, balancing: Balancing) -> None:
    """Balance until the process is to stop. Raises RoleError."""
    credentials = Credentials(tls) if tls is not None else None
    if credentials is not None:
        credentials.need(Kind.OPERATOR)
    outside = outside_with(credentials)
    detector = detector_for(master)
    process.close_later(detector.close)
    await detector.start(patient=True)
    folder, source = balancing.folder, balancing.certificates
    copies = Path(balancing.doors.certificates)
    certificates = None if source is None else Certificates(source, copies)
    balancer = Balancer(
        balancing.program, folder, balancing.doors, outside.mono_s,
        certificates=certificates, wall_s=outside.wall_s,
    )  # fmt: skip
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


def _folder(context: click.Context, option: click.Parameter, written: Path) -> Path:
    """Return the whole path, which HAProxy is told."""
    folder = written.absolute()
    if found := sorted(NOT_IN_PATHS.intersection(str(folder))):
        shown = ", ".join(map(repr, found))
        raise click.BadParameter(
            f"{quoted(str(folder))} has {shown} in it, which HAProxy does not take in a path: give"
            f" a folder whose whole path is without blanks and , ; # $ \" ' \\"
        )
    return folder


def doors_of(
    ip: str, folder: Path, source: Path | None, ports: tuple[int, ...], redirect_port: int | None
) -> Doors:
    """Return where clients come to. Raises UsageError."""
    if source is None:
        if ports or redirect_port is not None:
            raise click.UsageError(
                "--tls-port and --redirect-port need certificates: give --certificates, too"
            )
        return Doors(ip)
    ports = ports or (HTTPS_PORT,)
    if redirect_port in ports:
        raise click.UsageError("--redirect-port is a --tls-port, too: clients come there by TLS")
    return Doors(ip, ports, redirect_port, str(folder / COPIES))


@click.command(cls=RoleCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--master", envvar="PYMESOS_MASTER", required=True, callback=_master,
    help="The master: host:port, or zk://host:port/path to find the leader.",
)  # fmt: skip
@click.option(
    "--tls", envvar="PYMESOS_TLS", type=Folder(exists=True),
    help="A folder with the certificate of an operator, who may read the roles that it serves.",
)  # fmt: skip
@click.option(
    "--ip", default="127.0.0.1", show_default=True, callback=_ip,
    help="Where clients come to, at the ports that jobs say.",
)  # fmt: skip
@click.option(
    "--folder", default=Path("pymesos-lb"), show_default=True, callback=_folder,
    type=Folder(),
    help="For HAProxy's configuration and socket, and what a restart begins with.",
)  # fmt: skip
@click.option(
    "--certificates", "source", type=Folder(exists=True),
    help="A folder with NAME.pem (certificates, then the key) or NAME/fullchain.pem and "
    "NAME/privkey.pem; what is new there is used within seconds.",
)  # fmt: skip
@click.option(
    "--tls-port", "tls_ports", type=PORT, multiple=True,
    help="A port at which clients come by TLS; may be given again.  [default: 443]",
)  # fmt: skip
@click.option(
    "--redirect-port", type=PORT,
    help="Where requests for a host of the (first) port of TLS are sent there by 308, as 80.",
)  # fmt: skip
@click.option("--haproxy", default="haproxy", show_default=True, help="The program.")
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True)
def main(
    master: str, tls: Path | None, ip: str, folder: Path, source: Path | None,
    tls_ports: tuple[int, ...], redirect_port: int | None, haproxy: str, log_level: str,
) -> None:  # fmt: skip
    """Balance the load of what jobs expose, with HAProxy."""
    program = shutil.which(haproxy) or shutil.which(haproxy, path=PATH)
    if program is None:
        raise click.ClickException(
            f"{haproxy} is not there: install it (Debian's package is haproxy), or give --haproxy"
        )
    balancing = Balancing(
        program, folder, doors_of(ip, folder, source, tls_ports, redirect_port), source
    )

    async def held(process: RoleProcess) -> None:
        with holding(folder, "--folder"):
            await serve(process, master, tls, balancing)

    serve_role("pymesos-lb", Listen(ip, 0, None, None), log_level, held)
