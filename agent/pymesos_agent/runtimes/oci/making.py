"""What a container of the `oci` runtime needs before a tool runs it.

That is its network, its image and its bundle; sandbox, volumes and secrets are given to its user.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerPulling
from pymesos_agent.core.ports import bandwidth_of
from pymesos_agent.files.guards import let_pass
from pymesos_agent.files.shifting import shift
from pymesos_agent.files.turns import turn_of
from pymesos_agent.runtimes.oci.bundle import Host, Image, write_bundle
from pymesos_agent.runtimes.oci.images import Images
from pymesos_agent.runtimes.oci.networks import Networks, Wanted
from pymesos_agent.runtimes.oci.places import Places
from pymesos_agent.runtimes.oci.tools import Prepared


@dataclass(frozen=True)
class Made:
    """A container that a tool may run."""

    bundle: Path
    owner: tuple[int, int]  # the ids on the machine of who it runs as
    prepared: Prepared  # what is to be mounted


class Making:
    """Makes containers, and holds open what a tool mounts until it has."""

    def __init__(
        self,
        places: Places,
        settings: Settings,
        images: Images,
        networks: Networks,
        tell: Callable[[ContainerPulling], None],
    ) -> None:
        self._places = places
        self._settings = settings
        self._images = images
        self._networks = networks
        self._tell = tell
        self._held: dict[str, contextlib.ExitStack] = {}

    async def make(self, spec: ContainerSpec, host: Host, cgroup: str) -> Made:
        """Make all of it. Raises ImageError, BundleError, NetworkError, OSError."""
        container_id = spec.container_id
        bundle = self._places.bundle(container_id)
        network = await self._network(spec)
        # From here to the bundle nothing waits, so no layer of it is removed meanwhile.
        image = await self._image(spec)
        written = self._places.written_by(container_id)
        made = write_bundle(bundle, spec, image, self._settings, host, cgroup, network, written)
        self._held[container_id] = made.held
        if spec.has_secret_files and self._settings.memory is not None:
            self._settings.memory.give(container_id, *made.owner)
        if image is not None:
            for volume in spec.volumes:
                if not volume.shared:
                    await self._shift(volume.host_path)
            for path in (spec.sandbox, *(volume.host_path for volume in spec.volumes)):
                os.chown(path, *made.owner)
                if base := self._settings.user_namespace_base:
                    let_pass(path.parent, base)  # its root mounts it
        return Made(bundle, made.owner, made.prepared)

    def let_go(self, container_id: str) -> None:
        """Close what was held for a container that runs now, or is not to."""
        self._held.pop(container_id, contextlib.ExitStack()).close()

    def close(self) -> None:
        """Let go of all."""
        for held in self._held.values():
            held.close()

    async def _network(self, spec: ContainerSpec) -> Path | None:
        """The network namespace, unless the tool makes it or it is the machine's.

        Raises NetworkError.
        """
        name = spec.info.container.network
        if not spec.own_network or (name == "none" and spec.group is None):
            return None
        if (group := spec.group) is not None:
            members, ports = group.container_ids, group.ports
            wanted = Wanted(group.group_id, name, members, ports, group.bandwidth)
        else:
            owner = spec.container_id
            ports, bandwidth = spec.mapped_ports(), bandwidth_of(spec.info)
            wanted = Wanted(owner, name, (owner,), ports, bandwidth)
        return await self._networks.make(wanted)

    async def _image(self, spec: ContainerSpec) -> Image | None:
        """What the image says. Raises ImageError."""
        if not spec.info.container.image:
            return None
        return await self._images.get(
            spec.info.container.image,
            lambda text: self._tell(ContainerPulling(spec.container_id, text)),
            spec.secrets.login,
        )

    async def _shift(self, volume: Path) -> None:
        """Have a volume belong to the users of containers. Its thread ends soon after we are
        cancelled, and before anybody else is given the volume. Raises OSError.
        """
        stopped = threading.Event()

        def shift_in_turn() -> None:
            with turn_of(volume):
                shift(volume, self._settings.user_namespace_base, stopped.is_set)

        try:
            await asyncio.to_thread(shift_in_turn)
        finally:
            stopped.set()
