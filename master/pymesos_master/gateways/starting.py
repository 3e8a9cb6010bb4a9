"""The gateways of a master: it reserves its port for them, starts them, and starts them again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pymesos_core.addresses import HostPort
from pymesos_core.backoff import Backoff
from pymesos_core.exits import RoleError
from pymesos_core.frames import FrameStream
from pymesos_core.outside import OUTSIDE
from pymesos_core.role import RoleProcess
from pymesos_core.serving import reserve_port
from pymesos_core.text import count_of, os_problem
from pymesos_core.transport import CallError
from pymesos_master.gateways.calls import GatewayCalls
from pymesos_master.settings import MasterSettings
from pymesos_proto.v1 import gateways_pb2 as pb

RESTART_S = (0.1, 10.0)
READY_S = 60.0  # in which a gateway lets peers in, on a machine that has much to do
END_S = 3.0  # that a gateway has to end in

log = logging.getLogger(__name__)


class Gateways:
    """The gateways of one master, and their socket in a folder that only its user may enter."""

    def __init__(self, settings: MasterSettings, process: RoleProcess) -> None:
        """Raises ServingError, RoleError."""
        self._settings = settings
        self._running: list[asyncio.subprocess.Process] = []
        self._ready: set[int] = set()  # the pids of those that let peers in
        self._reserved = reserve_port(settings.listen_at)
        process.close_later(self._reserved.close)
        self.address: HostPort = settings.listen_at.advertised(self._port)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="pymesos-gateways-"))  # 0700
        except OSError as error:
            raise RoleError(f"no folder for the gateways' socket: {os_problem(error)}") from error
        process.close_later(lambda: shutil.rmtree(self._folder, ignore_errors=True))

    @property
    def count(self) -> int:
        """How many there are."""
        return self._settings.gateways

    @property
    def _port(self) -> int:
        return int(self._reserved.getsockname()[1])

    @property
    def _socket(self) -> Path:
        return self._folder / "master.sock"

    async def listen(self, process: RoleProcess, calls: GatewayCalls) -> None:
        """Let gateways connect. Raises RoleError."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            encode, decode = pb.GatewayAnswers.SerializeToString, pb.GatewayBatch.FromString
            stream = FrameStream(reader, writer, encode, decode)
            try:
                await calls.serve(stream)
            except CallError as error:
                log.warning("the line to a gateway broke: %s", error.message)
            finally:
                stream.cancel()

        try:
            server = await asyncio.start_unix_server(serve, str(self._socket))
        except OSError as error:
            raise RoleError(f"gateways cannot connect: {os_problem(error)}") from error
        process.close_later(server.close)

    def end_silent(self, pid: int) -> None:
        """Kill a gateway that hangs: another begins."""
        for gateway in self._running:
            if gateway.pid == pid and gateway.returncode is None:
                log.warning("the gateway of pid %d says nothing, and is killed", pid)
                gateway.kill()

    def lets_in(self, pid: int) -> None:
        """Take note that a gateway lets peers in."""
        self._ready.add(pid)

    def _end_unready(self, gateway: asyncio.subprocess.Process) -> None:
        """Kill a gateway that hangs before it says anything: another begins."""
        if gateway.pid not in self._ready and gateway.returncode is None:
            log.warning("the gateway of pid %d lets nobody in, and is killed", gateway.pid)
            gateway.kill()

    async def run(self) -> None:
        """Keep all of them running until this is cancelled; they have ended then."""
        cores = os.cpu_count() or 1
        log.info("%s of --gateways hold the streams", count_of(self.count, "process", "processes"))
        if self.count >= cores:
            log.warning(
                "--gateways %d: this machine has %d CPUs for them and the master; fewer are faster",
                self.count,
                cores,
            )
        async with asyncio.TaskGroup() as group:
            for number in range(self._settings.gateways):
                group.create_task(self._keep(number + 1))

    async def _keep(self, number: int) -> None:
        backoff = Backoff(*RESTART_S, OUTSIDE.random)
        while True:
            began_s = OUTSIDE.mono_s()
            what = await self._run_one()
            backoff.after(OUTSIDE.mono_s() - began_s)
            wait_s = backoff.next_s()
            log.warning(
                "gateway %d %s; another begins in %.1f s: its peers connect again",
                number,
                what,
                wait_s,
            )
            await asyncio.sleep(wait_s)

    async def _run_one(self) -> str:
        """Run a gateway to its end; return what became of it."""
        try:
            gateway = await asyncio.create_subprocess_exec(*self._argv())
        except OSError as error:  # the machine has no room for a process now
            return f"cannot be started: {os_problem(error)}"
        self._running.append(gateway)
        due = asyncio.get_running_loop().call_later(READY_S, self._end_unready, gateway)
        try:
            return f"has ended with status {await gateway.wait()}"
        finally:
            due.cancel()
            self._ready.discard(gateway.pid)
            self._running.remove(gateway)
            await _end(gateway)

    def _argv(self) -> Sequence[str]:
        settings = self._settings
        argv = [sys.executable, "-m", "pymesos_master.gateways", "--socket", str(self._socket)]
        argv += ["--ip", settings.ip, "--port", str(self._port)]
        argv += ["--log-level", settings.log_level]
        return argv if settings.tls is None else [*argv, "--tls", str(settings.tls)]


async def _end(gateway: asyncio.subprocess.Process) -> None:
    if gateway.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        gateway.terminate()
        try:
            await asyncio.wait_for(gateway.wait(), END_S)
        except TimeoutError:
            gateway.kill()
