"""What an operator allows containers, and how much: the flags of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.core.uids import UidRange
from pymesos_agent.files.memory import Memory


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
    name_server: str = ""  # that containers on the bridge ask; empty: the machine's


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
    task_uids: UidRange | None = None  # for tasks that name no user; None: they have the agent's
    oci_tool: str = "auto"  # crun, runc, or the first that works
    memory: Memory | None = None  # for what no disk is to have; None: there is no such place
    hidden: tuple[Path, ...] = ()  # from tasks of the process runtime, with the agent's own
    volume_limits: str = ""  # what holds new volumes at their sizes; empty: nothing does
    protected: bool = False  # what tasks write is mounted with nosuid and nodev

    @property
    def holds(self) -> Mapping[str, str]:
        """What holds a container on every runtime because this agent is so set."""
        volumes = {"volumes": self.volume_limits} if self.volume_limits else {}
        return volumes | ({"guard": "nosuid, nodev"} if self.protected else {})
