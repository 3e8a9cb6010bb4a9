"""The process of a gateway: `python -m pymesos_master.gateways`, which a master starts itself."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import click

from pymesos_core.exits import ExitStatus, RoleError
from pymesos_core.frames import FrameStream
from pymesos_core.garbage import collect_seldom
from pymesos_core.grpc_transport import add_prefix
from pymesos_core.log import LEVELS
from pymesos_core.processes import hear_of_parents_end
from pymesos_core.role import STOP_GRACE_S, RoleProcess, serve_role
from pymesos_core.security.credentials import Credentials
from pymesos_core.serving import Listen, bind, make_server
from pymesos_core.tasks import running
from pymesos_core.text import os_problem
from pymesos_core.transport import CallError
from pymesos_master.gateways.line import Line
from pymesos_master.serving_limits import SERVER_LIMITS
from pymesos_proto.v1 import gateways_pb2 as pb

ALL_METHODS = "/pymesos.v1."


async def serve(
    socket: Path, listen: Listen, tls: Path | None, process: RoleProcess
) -> ExitStatus | None:
    """Carry calls to the master until it ends, or this is to. Raises RoleError."""
    hear_of_parents_end(signal.SIGCONT)  # it reads the end of its line, even if it was stopped
    credentials = None if tls is None else Credentials(tls)
    line = Line()
    server = make_server(SERVER_LIMITS, credentials, on_refused=line.refused, shares_port=True)
    bind(server, listen, credentials, shares_port=True)
    add_prefix(server, ALL_METHODS, line.relay)
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError as error:
        raise RoleError(f"the master of this gateway is not there: {os_problem(error)}") from None
    encode, decode = pb.GatewayBatch.SerializeToString, pb.GatewayAnswers.FromString
    stream = FrameStream(reader, writer, encode, decode)
    async with running(line.run(stream)) as carrying, running(process.stop.wait()) as stopping:
        await server.start()
        process.close_later(lambda: server.stop(STOP_GRACE_S))
        line.ready()
        await asyncio.wait({carrying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            return None
        try:
            await carrying
        except CallError as error:
            raise RoleError(f"the line to the master broke: {error.message}") from None
        finally:
            await remove_if_deserted(socket)
    raise RoleError("the master of this gateway has ended")


async def remove_if_deserted(socket: Path) -> None:
    """Remove the socket's folder unless a master listens: one that was killed has left it.

    A master whose line to one gateway broke needs it for the next one.
    """
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except (ConnectionRefusedError, FileNotFoundError):
        shutil.rmtree(socket.parent, ignore_errors=True)
    except OSError:
        pass  # it is there, and busy
    else:
        writer.close()


@click.command()
@click.option("--socket", type=click.Path(path_type=Path), required=True)
@click.option("--ip", required=True)
@click.option("--port", type=int, required=True)
@click.option("--tls", type=click.Path(path_type=Path))
@click.option("--log-level", type=click.Choice(LEVELS), default="info")
def main(socket: Path, ip: str, port: int, tls: Path | None, log_level: str) -> None:
    """Hold streams for the master that has started this: see --gateways of pymesos-master."""
    collect_seldom()
    listen = Listen(ip, port, None, None)
    serve_role(
        "pymesos-gateway", listen, log_level, lambda process: serve(socket, listen, tls, process)
    )
