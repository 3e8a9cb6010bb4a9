"""A stand-in answers the containers of a bridge while their agent is away.

Containers outlive their agent, and go on looking up names. So a shell waits beside the agent, and
holds the sockets of the bridge with it. When the agent ends, however it does, the shell becomes
this program: it answers by the names that the agent kept last, and asks others for all else. What
is asked between the two waits in the sockets. It ends when the agent is back, which is handed the
sockets, or when no container is on the bridge any more. So nobody is refused when either begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from itertools import chain
from pathlib import Path
from random import SystemRandom
from typing import IO

from pymesos_core.discovery.forwarding import LINKS, Bridge, Forwarder, Upstream
from pymesos_core.discovery.resolver import Names, Resolver, Sockets
from pymesos_core.tasks import until_first

FOLDER = "stand-ins"  # in an agent's work directory: a socket by which each hears that it is back
LOG = "log"
LOOK_S = 5.0  # how often a stand-in looks whether containers are left
LEAVE_WITHIN_S = 10.0
HERE = b"."  # a byte, by which descriptors go
# Nothing is ever written: what is read is the end of file, once the agent is away.
WAIT = 'read -r _; exec "$@"'

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a stand-in is told: numbers of descriptors are of sockets that it inherits."""

    ip: str
    clients: str
    link: str
    domain: str
    names: str  # the file that the agent keeps them in
    tcp_fd: int
    udp_fd: int
    back_fd: int


def have_wait(
    bridge: Bridge, sockets: Sockets, domain: str, names: Path, folder: Path
) -> IO[bytes]:
    """Have a stand-in wait for the end of this process, or of what is returned, its standard input.

    `folder` is the agent's work directory. Raises OSError.
    """
    own = folder / FOLDER
    own.mkdir(mode=0o700, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as back, _short(own) as short:
        (own / bridge.ip).unlink(missing_ok=True)
        back.bind(f"{short}/{bridge.ip}")
        back.listen()
        back.setblocking(False)
        descriptors = (sockets.tcp.fileno(), sockets.udp.fileno(), back.fileno())
        plan = Plan(
            bridge.ip, str(bridge.clients), bridge.link, domain, str(names.absolute()), *descriptors
        )
        program = (sys.executable, "-I", "-m", __name__, json.dumps(asdict(plan)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os.fdopen(os.open(own / LOG, flags, 0o600), "ab") as log:
            process = subprocess.Popen(
                ("/bin/sh", "-c", WAIT, "pymesos-stand-in", *program),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=descriptors,
                start_new_session=True,
                cwd="/",
            )
    process.returncode = 0  # nobody waits for it: it outlives this process
    assert process.stdin is not None
    return process.stdin


def end_all(folder: Path) -> dict[str, Sockets]:
    """End the stand-ins of an agent that is back, or gone for good.

    `folder` is its work directory. What they answered with is returned, by the IP of each: their
    ports are free once it is closed.
    """
    own = folder / FOLDER
    given: dict[str, Sockets] = {}
    if not own.is_dir():
        return given
    try:
        with _short(own) as short:
            for path in own.iterdir():
                if path.is_socket() and (sockets := _end(short, path.name)) is not None:
                    given[path.name] = sockets
    except OSError as error:
        log.warning("what answers containers while there is no agent does not end: %s", error)
    return given


def _end(folder: str, name: str) -> Sockets | None:
    """End one and return its sockets, or say that it does not end; others end."""
    path, given = Path(folder, name), list[int]()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LEAVE_WITHIN_S)
            with contextlib.suppress(ConnectionError):  # it is not there, or ends without a word
                connection.connect(str(path))
                _, given, _, _ = socket.recv_fds(connection, len(HERE), len(Sockets._fields))
                connection.recv(1)  # nothing: it is the end
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("what answers containers at %s without an agent does not end: %s", name, error)
    sockets = [socket.socket(fileno=descriptor) for descriptor in given]
    for each in sockets:
        each.set_inheritable(False)  # no task has them
    if len(sockets) == len(Sockets._fields):
        return Sockets(*sockets)
    for each in sockets:  # where this process may have no more of them; else there are none: one of
        each.close()  # an earlier version hands none over
    return None


def close_all(sockets: Iterable[Sockets]) -> None:
    """Give ports back."""
    for each in chain.from_iterable(sockets):
        each.close()


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path that leads to a folder and stays below the limit of 108 bytes for sockets."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def serve(plan: Plan) -> None:
    """Answer until the agent is back, or no container is left."""
    names = Names(plan.domain)
    with contextlib.suppress(OSError):
        names.restore(Path(plan.names).read_bytes(), time.time())
    with contextlib.ExitStack() as at_the_end:
        back = at_the_end.enter_context(socket.socket(fileno=plan.back_fd))
        sockets = Sockets(socket.socket(fileno=plan.tcp_fd), socket.socket(fileno=plan.udp_fd))
        forwarder = Forwarder(Upstream(own_ip=plan.ip), SystemRandom(), IPv4Network(plan.clients))
        resolver = Resolver(names, sockets, time.monotonic, forwarder)

        async def hand_over() -> None:
            """Return when the agent has connected, whose end of it ends when all is closed here."""
            agent = at_the_end.enter_context(await _accepted(back))
            descriptors = [each.fileno() for each in sockets]
            with contextlib.suppress(OSError):  # it has gone again
                socket.send_fds(agent, [HERE], descriptors)

        try:
            await until_first(resolver.run(), hand_over(), _until_unused(plan))
        finally:
            resolver.close()


async def _accepted(back: socket.socket) -> socket.socket:
    """The connection of the agent, when it comes."""
    connection, _ = await asyncio.get_running_loop().sock_accept(back)
    return connection


async def _until_unused(plan: Plan) -> None:
    """Return when no container is on the bridge, or the agent's files are gone."""
    ports, agent = LINKS / plan.link / "brif", Path(plan.names).parent
    while agent.is_dir() and ports.is_dir() and any(ports.iterdir()):
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    asyncio.run(serve(Plan(**json.loads(sys.argv[1]))))
