"""A stand-in answers the containers of a bridge while their agent is away.

Containers outlive their agent, and go on looking up names. So a shell waits beside the agent, and
holds the sockets of the bridge with it. When the agent ends, however it does, the shell becomes
this program: it answers by the names that the agent kept last, and asks others for all else. What
is asked between the two waits in the sockets. It ends when the agent is back, or when no container
is on the bridge any more.
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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
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


def end_all(folder: Path) -> None:
    """End the stand-ins of an agent that is back, or gone for good: their ports are free then.

    `folder` is its work directory.
    """
    own = folder / FOLDER
    if not own.is_dir():
        return
    try:
        with _short(own) as short:
            for path in own.iterdir():
                if path.is_socket():
                    _end(short, path.name)
    except OSError as error:
        log.warning("what answers containers while there is no agent does not end: %s", error)


def _end(folder: str, name: str) -> None:
    """End one, or say that it does not end: others are ended all the same."""
    path = Path(folder, name)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(LEAVE_WITHIN_S)
            with contextlib.suppress(ConnectionError):  # it is not there, or ends without a word
                connection.connect(str(path))
                connection.recv(1)
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("what answers containers at %s without an agent does not end: %s", name, error)


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
    with socket.socket(fileno=plan.back_fd) as back:  # its end is the word that all is given back
        sockets = Sockets(socket.socket(fileno=plan.tcp_fd), socket.socket(fileno=plan.udp_fd))
        forwarder = Forwarder(Upstream(own_ip=plan.ip), SystemRandom(), IPv4Network(plan.clients))
        resolver = Resolver(names, sockets, time.monotonic, forwarder)
        try:
            await until_first(resolver.run(), _until_back(back), _until_unused(plan))
        finally:
            resolver.close()


async def _until_back(back: socket.socket) -> None:
    """Return when the agent connects."""
    is_back = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(back, is_back.set)
    try:
        await is_back.wait()
    finally:
        loop.remove_reader(back)


async def _until_unused(plan: Plan) -> None:
    """Return when no container is on the bridge, or the agent's files are gone."""
    ports, agent = LINKS / plan.link / "brif", Path(plan.names).parent
    while agent.is_dir() and ports.is_dir() and any(ports.iterdir()):
        await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    asyncio.run(serve(Plan(**json.loads(sys.argv[1]))))
