"""A container to launch, in terms of this machine: its paths, its user's ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_agent.core.ports import Group, MappedPort, mapped_ports, ports_of
from pymesos_core.resources import Resources
from pymesos_proto.v1 import types_pb2 as pb


@dataclass(frozen=True)
class Mount:
    """A persistent volume: where it is, and where the task finds it (below its sandbox, unless
    the path is absolute)."""

    host_path: Path
    container_path: str
    shared: bool = False  # with other tasks, at the same time
    disk: Path | None = None  # the file system that is mounted there, of a volume that has its own
    size_mib: int = 0


@dataclass(frozen=True)
class SecretValues:
    """What a container is given of secrets beside files: as it is launched, and never kept."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    login: str = field(default="", repr=False)  # USER:PASSWORD, by which its image is fetched


NO_SECRETS = SecretValues()


@dataclass(frozen=True)
class ContainerSpec:
    """A container to launch."""

    container_id: str
    framework_id: str
    user: str  # empty: one of its own, if it has one, else the agent's
    owner: tuple[int, int] | None  # of its sandbox, unless that is the agent's own user
    info: pb.TaskInfo
    resources: Resources
    sandbox: Path
    volumes: tuple[Mount, ...] = ()
    group: Group | None = None
    own_uid: int = 0  # the user that it has, and no other; 0: `user`
    secrets: SecretValues = NO_SECRETS

    @property
    def has_secret_files(self) -> bool:
        """Whether it finds secrets in files."""
        container = self.info.container
        in_config = any(file.secrets for file in container.config)
        return in_config or any(use.path for use in container.secrets)

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
