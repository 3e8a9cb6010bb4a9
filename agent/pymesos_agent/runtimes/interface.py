"""What every runtime does. Logs are files in the sandbox, so no runtime has a verb for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymesos_agent.containers.sessions import Entry
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerPulling,
    ContainerStarted,
    ContainerState,
    RuntimeAway,
    RuntimeBack,
)
from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb

ContainerEvent = ContainerPulling | ContainerStarted | ContainerFailed | ContainerExited
RuntimeEvent = ContainerEvent | RuntimeAway | RuntimeBack
OnEvent = Callable[[RuntimeEvent], None]


class RuntimeUnavailableError(Exception):
    """The runtime does not work here: the message says why."""


@dataclass(frozen=True)
class LogLimits:
    """How much of what a task writes is kept: `files` files of each stream, of `max_bytes` each."""

    max_bytes: int = 10 * 1024 * 1024
    files: int = 5


@dataclass(frozen=True)
class ImageSettings:
    """Which images may be run, and how much of them is kept."""

    allowed: tuple[str, ...] = ()  # beginnings of full references; none: all
    authfile: Path | None = None  # none: where skopeo looks
    local_paths: tuple[Path, ...] = ()  # below which layouts and archives may be
    cache_mib: int = 20 * 1024
    max_age_s: float = 14 * 86400.0


@dataclass(frozen=True)
class AllowedPath:
    """A folder of the machine that tasks may mount, with all below it."""

    path: Path
    read_only: bool = False


@dataclass(frozen=True)
class NetworkSettings:
    """The networks of the oci runtime, made by CNI plugins."""

    bridge_subnet: str = "10.213.0.0/16"
    config_dir: Path | None = None  # more networks: files *.conflist


@dataclass(frozen=True)
class Settings:
    """What an operator allows containers, and how much."""

    logs: LogLimits = LogLimits()
    pids_max: int = 4096  # processes of a task that does not say how many; 0: no limit
    host_paths: tuple[AllowedPath, ...] = ()
    capabilities: frozenset[str] = frozenset()  # that tasks may have beyond the usual
    images: ImageSettings = ImageSettings()
    artifact_cache_mib: int = 2 * 1024
    networks: NetworkSettings = NetworkSettings()
    user_namespace_base: int = 0  # what an image's root is on the machine; 0: root
    oci_tool: str = "auto"  # crun, runc, or the first that works


@dataclass(frozen=True)
class Mount:
    """A persistent volume: where it is, and where the task finds it (below its sandbox, unless
    the path is absolute)."""

    host_path: Path
    container_path: str


@dataclass(frozen=True)
class MappedPort:
    """A port of the machine that leads to one of a container."""

    host_port: int
    container_port: int
    protocol: str


@dataclass(frozen=True)
class Group:
    """What containers share that live and die together."""

    group_id: str
    container_ids: tuple[str, ...]
    ports: tuple[MappedPort, ...]  # of all of them


@dataclass(frozen=True)
class ContainerSpec:
    """A container to launch."""

    container_id: str
    framework_id: str
    user: str  # empty: the agent's own
    owner: tuple[int, int] | None  # of its sandbox, unless that is the agent's own user
    info: pb.TaskInfo
    resources: Resources
    sandbox: Path
    volumes: tuple[Mount, ...] = ()
    group: Group | None = None

    @property
    def ports(self) -> list[int]:
        """The ports that it was given, in order."""
        return ports_of(self.resources)

    @property
    def own_network(self) -> bool:
        """Whether it has a network of its own."""
        return self.info.container.network not in ("", "host")

    def mapped_ports(self) -> tuple[MappedPort, ...]:
        """Which of its ports lead where."""
        return mapped_ports(self.info, self.ports)


def ports_of(resources: Resources) -> list[int]:
    """One by one, in order."""
    ranges = resources.ranges.get("ports", ())
    return [port for begin, end in ranges for port in range(begin, end + 1)]


def mapped_ports(info: pb.TaskInfo, ports: Sequence[int]) -> tuple[MappedPort, ...]:
    """Which of a task's ports lead where, as far as it has so many."""
    return tuple(
        MappedPort(ports[m.port_index], m.container_port, m.protocol or "tcp")
        for m in info.container.port_mappings
        if m.port_index < len(ports)
    )


class Runtime(Protocol):
    """Starts and ends containers; tells of each through the callback given to `start`.

    Everything but `start`, `recover` and `close` returns at once; what comes of it is told later,
    in the event loop. Containers outlive the agent: `close` leaves them running. One that stops
    answering says RuntimeAway, once, and RuntimeBack with what it holds when it answers again.
    """

    name: str

    @property
    def isolation(self) -> Mapping[str, str]:
        """What holds each resource: {"mem": "cgroup v1", "cpu": "none"}."""

    async def start(self, on_event: OnEvent) -> None:
        """Make it work. Raises RuntimeUnavailableError."""

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """The containers that are there, given the main process of each that was checkpointed.

        `foreign` are the containers of other runtimes: nothing is done to them.
        """

    def launch(self, spec: ContainerSpec) -> None:
        """Start a container; once, however often it is asked."""

    @property
    def can_resize(self) -> bool:
        """Whether the limits of a container that runs can be changed."""

    def resize(self, container_id: str, resources: Resources) -> None:
        """Change its limits. Memory is raised, never lowered: what it uses cannot be taken."""

    def kill(self, container_id: str, *, force: bool) -> None:
        """SIGTERM, or SIGKILL when `force`, to the whole container."""

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in a container that runs; `term` names the terminal it has, if any.

        Raises EntryError.
        """

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """Where a container's files are on the machine, besides its sandbox and volumes."""

    def destroy(self, container_id: str) -> None:
        """Forget a container that has ended, and remove all of it but its sandbox."""

    async def close(self) -> None:
        """Let go of the runtime, not of its containers."""
