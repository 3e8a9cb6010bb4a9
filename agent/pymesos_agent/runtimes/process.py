"""The `process` runtime: nothing to install, works without root.

A supervisor of its own (`supervisor.py`) starts and reaps the containers, so that they outlive the
agent. Limits are cgroups where the agent may write them; elsewhere the supervisor samples memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymesos_agent import supervisor
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerStarted,
    ContainerState,
)
from pymesos_agent.runtimes import cgroups
from pymesos_agent.runtimes.environment import host_environment, task_argv, task_environment
from pymesos_agent.runtimes.interface import ContainerSpec, OnEvent, RuntimeUnavailableError

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
MILLI_MIB = 1024 * 1024 / 1000


class ProcessRuntime:
    """The agent's end of the supervisor's socket."""

    name = "process"

    def __init__(self, directory: Path, agent_tag: str) -> None:
        """`directory` is the agent's work directory; its supervisor lives there, too."""
        self._directory = directory
        self._agent_tag = agent_tag
        self._cgroups: cgroups.Cgroups | None = None
        self._on_event: OnEvent = lambda event: None
        self._writer: asyncio.StreamWriter | None = None
        self._reader_task: asyncio.Task[None] | None = None
        self._found: list[dict[str, Any]] = []
        self._pids: dict[str, int] = {}
        self._groups: dict[str, cgroups.Group] = {}
        self._limits: dict[str, int] = {}
        self._closing = False
        self._inherited = host_environment()
        self._me = pwd.getpwuid(os.geteuid()).pw_name

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime."""
        if self._cgroups is None:
            return {"mem": "watched", "cpu": "none", "disk": "none", "gpus": "none"}
        return {**self._cgroups.isolation, "disk": "none", "gpus": "none"}

    async def start(self, on_event: OnEvent) -> None:
        """Connect to the supervisor that is there, or start one."""
        self._on_event = on_event
        self._cgroups, why_not = cgroups.detect(self._agent_tag)
        if self._cgroups is None:
            log.info("no cgroups, so memory is watched and CPU is not limited: %s", why_not)
        try:
            await self._connect()
        except (OSError, TimeoutError) as error:
            raise RuntimeUnavailableError(f"its supervisor does not start: {error}") from error

    async def _connect(self) -> None:
        """Raises OSError or TimeoutError."""
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(ConnectionError, FileNotFoundError):
                await self._greet()
                return
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"no answer on {self._directory}/supervisor.sock")
            await self._spawn()

    async def _greet(self) -> None:
        folder = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            # A path through the folder's descriptor stays below the limit of 108 bytes.
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(
                connection, f"/proc/self/fd/{folder}/supervisor.sock"
            )
        finally:
            os.close(folder)
        reader, writer = await asyncio.open_unix_connection(
            sock=connection, limit=supervisor.MAX_LINE_BYTES
        )
        self._writer = writer
        self._send({"op": "hello", "version": supervisor.VERSION})
        line = await asyncio.wait_for(reader.readline(), START_TIMEOUT_S)
        if not line:
            raise ConnectionResetError("the supervisor was just ending")
        hello = json.loads(line)
        if hello["version"] != supervisor.VERSION:
            raise OSError(
                f"the supervisor speaks version {hello['version']}, not {supervisor.VERSION}; it"
                f" ends with its last task"
            )
        self._found = hello["containers"]
        self._reader_task = asyncio.create_task(self._read(reader))

    async def _spawn(self) -> None:
        """Start a supervisor that no signal to the agent's group or terminal reaches."""
        with (self._directory / "supervisor.log").open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                supervisor.__file__,
                str(self._directory),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                cwd="/",
            )
        assert process.stdout is not None
        await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            match message["ev"]:
                case "started":
                    self._pids[message["id"]] = message["pid"]
                    self._on_event(ContainerStarted(message["id"], message["pid"]))
                case "failed":
                    self._remove_group(message["id"])
                    self._on_event(ContainerFailed(message["id"], message["error"]))
                case "exited":
                    self._on_event(_exited(message))
        if not self._closing:
            log.warning("the supervisor has ended; another takes its containers over")
            await self._replace_supervisor()

    async def _replace_supervisor(self) -> None:
        while not self._closing:
            try:
                await self._connect()
            except (OSError, TimeoutError) as error:
                log.error("no supervisor: %s; trying again", error)
                await asyncio.sleep(1.0)
                continue
            for container_id, pid in list(self._pids.items()):
                self._adopt(container_id, pid)
            return

    def _adopt(self, container_id: str, pid: int) -> None:
        self._send(
            {"op": "adopt", "id": container_id, "pid": pid, "watch": self._watch(container_id)}
        )

    def _watch(self, container_id: str) -> dict[str, Any]:
        group = self._groups.get(container_id)
        if group is not None:
            return {
                "oom_file": group.oom_file,
                "peak_file": group.peak_file,
                "cgroup_procs": group.procs,
            }
        limit = self._limits.get(container_id)
        return {"rss_limit_bytes": limit} if limit else {}

    async def recover(self, pids: Mapping[str, int]) -> Mapping[str, ContainerState]:
        """What the supervisor holds; what only an earlier one held is adopted."""
        found: dict[str, ContainerState] = {}
        if self._cgroups is not None:
            self._groups = {c: self._cgroups.group(c) for c in self._cgroups.leftovers()}
        for view in self._found:
            self._pids[view["id"]] = view["pid"]
            ended = _exited(view) if view["state"] == "exited" else None
            found[view["id"]] = ContainerState(view["pid"], ended)
        for container_id, pid in pids.items():
            if container_id not in found and supervisor.environment_id(pid) == container_id:
                self._pids[container_id] = pid
                self._adopt(container_id, pid)
                found[container_id] = ContainerState(pid)
        if self._cgroups is not None:
            for container_id in self._cgroups.leftovers() - found.keys():
                self._remove_group(container_id)
        return found

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime."""
        amounts = spec.resources.quantities
        mem_bytes = int(amounts.get("mem", 0) * MILLI_MIB)
        joins: tuple[str, ...] = ()
        try:
            _link_volumes(spec)
            if self._cgroups is not None:
                cpus_milli = amounts.get("cpus", 0)
                group = self._cgroups.create(spec.container_id, cpus_milli, mem_bytes)
                self._groups[spec.container_id] = group
                joins = group.join
            elif mem_bytes:
                self._limits[spec.container_id] = mem_bytes
        except (cgroups.CgroupError, OSError) as error:
            # Not from within the caller's step: the core takes one event at a time.
            failed = ContainerFailed(spec.container_id, str(error))
            asyncio.get_running_loop().call_soon(self._on_event, failed)
            return
        self._send(
            {
                "op": "launch",
                "id": spec.container_id,
                "argv": task_argv(spec.info.command),
                "env": task_environment(spec, spec.sandbox, self._inherited),
                "cwd": str(spec.sandbox),
                "stdout": str(spec.sandbox / "stdout"),
                "stderr": str(spec.sandbox / "stderr"),
                "user": "" if spec.user == self._me else spec.user,
                "cgroups": joins,
                "watch": self._watch(spec.container_id),
            }
        )

    def kill(self, container_id: str, *, force: bool) -> None:
        """See Runtime."""
        self._send({"op": "kill", "id": container_id, "signal": 9 if force else 15})

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._send({"op": "forget", "id": container_id})
        self._pids.pop(container_id, None)
        self._remove_group(container_id)

    def _remove_group(self, container_id: str) -> None:
        self._groups.pop(container_id, None)
        self._limits.pop(container_id, None)
        if self._cgroups is not None:
            self._cgroups.destroy(container_id)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """Disconnect. The supervisor ends by itself when it has no container left."""
        self._closing = True
        if self._writer is not None:
            with contextlib.suppress(ConnectionError):
                await self._writer.drain()
            self._writer.close()
        if self._reader_task is not None:
            self._reader_task.cancel()
            await asyncio.gather(self._reader_task, return_exceptions=True)


def _link_volumes(spec: ContainerSpec) -> None:
    """Links in the sandbox, as Mesos' posix file system isolator has them. Raises OSError."""
    for mount in spec.volumes:
        path = Path(mount.container_path)
        if path.is_absolute():
            raise OSError(
                f"the volume's path {path} is absolute; without an image it is below the sandbox"
            )
        link = spec.sandbox / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(mount.host_path)


def _exited(message: Mapping[str, Any]) -> ContainerExited:
    return ContainerExited(
        message["id"], message["status"], message["limit"], message["peak_bytes"]
    )
