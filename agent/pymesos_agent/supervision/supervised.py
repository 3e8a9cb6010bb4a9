"""What a supervisor does for a runtime: it starts its containers, and tells how they end."""

from __future__ import annotations

import asyncio
import logging
import marshal
import os
import signal
import sys
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from pymesos_agent.containers.environment import plain_error
from pymesos_agent.containers.settings import LogLimits
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerStarted,
    ContainerState,
    RuntimeAway,
    RuntimeBack,
    killed_early,
)
from pymesos_agent.files.memory import Memory
from pymesos_agent.runtimes.interface import OnEvent
from pymesos_agent.supervision import protocol
from pymesos_agent.supervision.limits import raise_limit
from pymesos_agent.supervision.pipes import Pipes
from pymesos_agent.supervision.supervisor_link import PACKAGES, PROGRAM, SupervisorLink, written
from pymesos_core.stop_signals import TERM

log = logging.getLogger(__name__)

AGAIN_S = 1.0
NO_PROGRAM = "cannot execute "  # with which a supervisor's word on a program begins
OF_ITSELF = ("ids", "argv", "env", "cwd", "hidden", "no_new_privileges", "has_path_of_agent")
BECOME = PROGRAM.replace(".supervisor ", ".becoming ")

Message = dict[str, Any]
Ids = tuple[int, int, tuple[int, ...]]  # user, group, further groups


class Supervised:
    """Starts containers through the supervisor of a directory, and hears of their ends."""

    def __init__(
        self,
        name: str,
        directory: Path,
        logs: LogLimits,
        sandbox_of: Callable[[str], Path],
        watch: Callable[[str], Message],
        memory: Memory | None = None,
    ) -> None:
        """`name` is the runtime's; `watch` says how the limits of a container are looked after: see
        container.py. The named pipes of containers are in `memory`, where there is some."""
        self._name = name
        self._sandbox_of = sandbox_of
        self._scratch = directory / "pipes"
        self._pipes = Pipes(name, self._scratch, memory)
        self._logs = logs
        self._watch = watch
        self._on_event: OnEvent = lambda event: None
        self._link = SupervisorLink(directory, self._hear, self._replace)
        self._pids: dict[str, int] = {}
        self._foreign: set[str] = set()  # that it has, and that are not its own
        self._launching: set[str] = set()  # asked for, and not answered yet
        self._unsent: dict[str, Message] = {}  # launches for the next supervisor

    async def start(self, on_event: OnEvent) -> None:
        """Connect to the supervisor that is there, or start one. Raises OSError, TimeoutError."""
        self._on_event = on_event
        self._pipes.make_folders()
        await self._link.connect()

    @property
    def keeps_environments(self) -> bool:
        """Whether none that is launched is on disk meanwhile: see `_become_by_itself`."""
        return self._starts_all

    @property
    def _starts_all(self) -> bool:
        """Whether the supervisor knows all that a launch says: see its VERSION."""
        return self._link.version >= 5

    def _hear(self, message: Message) -> None:
        container_id = message["id"]
        self._launching.discard(container_id)
        if container_id in self._foreign:
            if message["ev"] == "exited":
                self.forget(container_id)
            return
        match message["ev"]:
            case "started":
                self._pids[container_id] = message["pid"]
                self._on_event(ContainerStarted(container_id, message["pid"]))
            case "failed":
                error = plain_error(message["error"])
                no_program = error.startswith(NO_PROGRAM)
                self._on_event(ContainerFailed(container_id, error, no_program=no_program))
            case "exited":
                self._on_event(exited(message))

    async def _replace(self) -> None:
        failed = 0
        while not self._link.is_closing:
            try:
                await self._link.connect()
                break
            except (OSError, TimeoutError, ValueError, LookupError) as error:
                if not failed:
                    log.error("no supervisor: %s; trying again until there is one", error)
                    self._on_event(
                        RuntimeAway(self._name, f"its supervisor does not start: {error}")
                    )
                failed += 1
                await asyncio.sleep(AGAIN_S)
        if self._link.is_closing:
            return
        if failed:
            log.info("a supervisor has started, at the attempt number %d", failed + 1)
        self._take_over()
        if failed:
            found = {c: ContainerState(pid) for c, pid in self._pids.items()}
            found |= {c: ContainerState(0) for c in (*self._launching, *self._unsent)}
            self._on_event(RuntimeBack(self._name, found))

    def _take_over(self) -> None:
        """From what connected us before, to a supervisor that may know nothing yet."""
        for view in self._link.found:
            if view["state"] == "exited":
                self._hear({"ev": "exited", **view})
        for container_id, pid in list(self._pids.items()):
            self.adopt(container_id, pid)
        for container_id in list(self._launching):
            # It may run or not, and nobody knows its process.
            self._launching.discard(container_id)
            text = "its supervisor ended while it was being started"
            self._on_event(ContainerFailed(container_id, text))
        unsent, self._unsent = self._unsent, {}
        for message in unsent.values():
            self._send_launch(message)

    def adopt(self, container_id: str, pid: int) -> None:
        """Watch a container that an earlier supervisor started."""
        self._pids[container_id] = pid
        self._link.send(
            {
                "op": "adopt",
                "id": container_id,
                "pid": pid,
                "logs": self._log_parameters(
                    self._pipes.of_running(container_id), self._sandbox_of(container_id), None
                ),
                "watch": self._watch(container_id),
            }
        )

    def remove_pipes(self, known: Collection[str]) -> None:
        """Remove the pipes of containers of an earlier supervisor that are no more."""
        self._pipes.remove_others(known)

    def found(self, foreign: Collection[str] = ()) -> Mapping[str, ContainerState]:
        """What the supervisor held when this agent connected, but for what is another's.

        One of an older agent may have adopted that; it is to forget it when it has ended.
        """
        states: dict[str, ContainerState] = {}
        for view in self._link.found:
            if view["id"] in foreign:
                self._foreign.add(view["id"])
                if view["state"] == "exited":
                    self.forget(view["id"])
                continue
            self._pids[view["id"]] = view["pid"]
            ended = exited(view) if view["state"] == "exited" else None
            states[view["id"]] = ContainerState(view["pid"], ended)
        return states

    def may_adopt(self, container_id: str) -> bool:
        """Whether an earlier supervisor of this directory started it: its pipes are here."""
        return self._pipes.has(container_id)

    def launch(
        self,
        spec: ContainerSpec,
        owner: tuple[int, int] | None,
        what: Mapping[str, Any],
    ) -> None:
        """`what` are argv, env, cwd and the like; `owner` may read what the task writes."""
        container_id = spec.container_id
        message = {
            "op": "launch",
            "id": container_id,
            "logs": self._log_parameters(self._pipes.of_new(container_id), spec.sandbox, owner),
            "watch": self._watch(container_id),
            **what,
        }
        if self._link.is_connected:
            self._send_launch(message)
        else:
            self._unsent[container_id] = message

    def _send_launch(self, message: Message) -> None:
        if not self._starts_all and "helper" not in message:
            self._become_by_itself(message)
        container_id, line = message["id"], written(message)
        if len(line) > protocol.MAX_LINE_BYTES:
            # It would drop us, and others that we are starting; not from within a step: see `kill`.
            text = (
                f"its command and its environment are {len(line)} bytes, as its supervisor is told"
                f" them; at most {protocol.MAX_LINE_BYTES} are accepted"
            )
            failed = ContainerFailed(container_id, text)
            asyncio.get_running_loop().call_soon(self._on_event, failed)
            return
        self._launching.add(container_id)
        self._link.write(line)

    def _become_by_itself(self, message: Message) -> None:
        """For a supervisor that knows less than we do: what it starts becomes the container."""
        what = {key: message.pop(key) for key in OF_ITSELF if key in message}
        container_id = message["id"]
        message["argv"], _ = becoming(self._scratch, container_id, what)
        message["env"] = {"PYMESOS_CONTAINER_ID": container_id}
        message["cwd"] = "/"

    def entry(self, container_id: str, what: Message) -> tuple[list[str], Path]:
        """A command that turns into one more process of a container: see `becoming`."""
        return becoming(self._scratch, container_id, what)

    def _log_parameters(
        self, pipes: list[str], sandbox: Path, owner: tuple[int, int] | None
    ) -> Message:
        return {
            "folder": str(sandbox),
            "pipes": pipes,
            "max_bytes": self._logs.max_bytes,
            "files": self._logs.files,
            "owner": owner,
        }

    def kill(self, container_id: str, *, force: bool, first: str = TERM) -> None:
        """See Runtime."""
        if self._unsent.pop(container_id, None) is not None:
            # Not from within a step: the core takes one event at a time.
            asyncio.get_running_loop().call_soon(self._on_event, killed_early(container_id))
            return
        if self._link.version < 5:
            first = TERM  # keepers of its time end by others, and the container with them
        number = signal.SIGKILL if force else signal.Signals[first]
        self._link.send({"op": "kill", "id": container_id, "signal": int(number)})

    def signal(self, container_id: str, name: str) -> None:
        """See Runtime."""
        if self._link.version < 5:  # what ends a keeper of its time ends the container with it
            log.warning(
                "container %s is not sent %s, which might end it: its supervisor is of an older"
                " version, and ends with its last task",
                *(container_id, name),
            )
        elif container_id not in self._unsent:  # such a one begins with what is new
            number = int(signal.Signals[name])
            self._link.send({"op": "kill", "id": container_id, "signal": number})

    @property
    def can_limit(self) -> bool:
        """Whether the supervisor knows of limits that change."""
        return self._link.version >= 5

    def limit(self, container_id: str, rss_limit_bytes: int) -> None:
        """Let a container whose memory is watched use more of it."""
        if (message := self._unsent.get(container_id)) is not None:
            raise_limit(message["watch"], rss_limit_bytes)
        else:
            what = {"id": container_id, "rss_limit_bytes": rss_limit_bytes}
            self._link.send({"op": "limit", **what})

    def forget(self, container_id: str) -> None:
        """Forget a container whose end is known."""
        self._link.send({"op": "forget", "id": container_id})
        self._pids.pop(container_id, None)
        self._foreign.discard(container_id)
        self._launching.discard(container_id)
        has_some = self._pids or self._launching or self._foreign
        if self._link.is_old and not (has_some or self._link.is_closing):
            self._link.leave()

    @property
    def launching(self) -> int:
        """How many containers are being started."""
        return len(self._launching) + len(self._unsent)

    def pid(self, container_id: str) -> int:
        """The pid of a container's first process; 0 when it is not known."""
        return self._pids.get(container_id, 0)

    async def close(self) -> None:
        """Disconnect: the supervisor goes on, and ends by itself when it has no container left."""
        await self._link.close()


def becoming(folder: Path, container_id: str, what: Message) -> tuple[list[str], Path]:
    """A command that turns into what is to run as somebody else, and the file that tells it.

    The command itself shows nothing of the task. Raises OSError, ValueError.
    """
    path = folder / f"{container_id}.{uuid.uuid4().hex}"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as opened:
        marshal.dump(what, opened)
    return [sys.executable, "-I", "-S", "-c", BECOME, PACKAGES, str(path)], path


def exited(message: Mapping[str, Any]) -> ContainerExited:
    """An `exited` message, or the view of a container that has ended."""
    return ContainerExited(
        message["id"],
        message["status"],
        message.get("limit"),
        message.get("peak_bytes", 0),
        message.get("pids_refused", 0),
    )
