"""What every runtime does. Logs are files in the sandbox, so no runtime has a verb for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerPulling,
    ContainerStarted,
    ContainerState,
)
from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb

ContainerEvent = ContainerPulling | ContainerStarted | ContainerFailed | ContainerExited
OnEvent = Callable[[ContainerEvent], None]


class RuntimeUnavailableError(Exception):
    """The runtime does not work here: the message says why."""


@dataclass(frozen=True)
class Mount:
    """A persistent volume: where it is, and where the task finds it (below its sandbox, unless
    the path is absolute)."""

    host_path: Path
    container_path: str


@dataclass(frozen=True)
class ContainerSpec:
    """A container to launch."""

    container_id: str
    framework_id: str
    user: str  # empty: the agent's own
    info: pb.TaskInfo
    resources: Resources
    sandbox: Path
    volumes: tuple[Mount, ...] = ()


class Runtime(Protocol):
    """Starts and ends containers; tells of each through the callback given to `start`.

    Everything but `start`, `recover` and `close` returns at once; what comes of it is told later,
    in the event loop. Containers outlive the agent: `close` leaves them running.
    """

    name: str

    @property
    def isolation(self) -> Mapping[str, str]:
        """What holds each resource: {"mem": "cgroup v1", "cpu": "none"}."""

    async def start(self, on_event: OnEvent) -> None:
        """Make it work. Raises RuntimeUnavailableError."""

    async def recover(self, pids: Mapping[str, int]) -> Mapping[str, ContainerState]:
        """The containers that are there, given the main process of each that was checkpointed."""

    def launch(self, spec: ContainerSpec) -> None:
        """Start a container; once, however often it is asked."""

    def kill(self, container_id: str, *, force: bool) -> None:
        """SIGTERM, or SIGKILL when `force`, to the whole container."""

    def destroy(self, container_id: str) -> None:
        """Forget a container that has ended, and remove all of it but its sandbox."""

    async def close(self) -> None:
        """Let go of the runtime, not of its containers."""
