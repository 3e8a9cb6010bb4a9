"""Where the instances of tasks are that serve clients, as the templates of config files have it.

It is what DNS tells, too. An agent that answers none follows its leader all the same once a task of
its own asks for addresses, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from pymesos_agent.files.config import ConfigError, Found
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.discovery.following import Following
from pymesos_core.discovery.held import Held
from pymesos_proto.v1 import names_pb2, types_pb2

KNOWN_S = 30.0  # for so long a task that is to start waits for what a leader says
LOOK_S = 0.1

Key = tuple[str, str, str]  # role, job, task


class Addresses:
    """What an agent knows of them."""

    def __init__(self, held: Held, following: Following | None = None) -> None:
        """`following` is to be run for what is held, unless somebody else does."""
        self._held = held
        self._following = following
        self._wanted = asyncio.Event()
        self._by_task: dict[Key, list[names_pb2.NamedTask]] = {}
        self._as_of = -1
        # What the files of a container were made with that is to start, until it is looked at.
        self.given: dict[str, Mapping[str, Found]] = {}

    @property
    def changes(self) -> int:
        """How often anything of it has changed."""
        return self._held.changes

    async def run(self, detector: Detector) -> None:
        """Follow from when it is wanted, until this is cancelled. Raises CoordinationError."""
        await self._wanted.wait()
        if self._following is not None:
            await self._following.run(detector)
        await asyncio.Event().wait()

    async def known(self) -> None:
        """Wait until a leader has told what serves; what was kept counts without one.

        Raises ConfigError.
        """
        self._wanted.set()
        try:
            async with asyncio.timeout(KNOWN_S):
                while not self._held.is_heard:
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            if self._held.is_known:
                return
            raise ConfigError(
                f"its config files have addresses of other tasks, and no leader has told within"
                f" {KNOWN_S:g} s what serves"
            ) from None

    def want(self) -> None:
        """A task that runs uses some."""
        self._wanted.set()

    @property
    def is_heard(self) -> bool:
        """Whether a leader has told what serves since the agent was started."""
        return self._held.is_heard

    def told(self, container: types_pb2.ContainerInfo) -> Mapping[str, Found]:
        """Return what each file of a container uses, by its path."""
        return {file.path: self._found(file.addresses) for file in container.config}

    def _found(self, uses: Iterable[types_pb2.AddressesUse]) -> Found:
        if self._as_of != self._held.changes:
            self._as_of, self._by_task = self._held.changes, {}
            for named in self._held.tasks.values():
                key = (named.task.role, named.task.job, named.task.task)
                self._by_task.setdefault(key, []).append(named)
        return {
            use.name: [
                _shown(named)
                for named in sorted(
                    self._by_task.get((use.role, use.job, use.task), ()),
                    key=lambda each: (each.task.instance, each.task.order, each.task.task_id),
                )
            ]
            for use in uses
        }


def _shown(named: names_pb2.NamedTask) -> Mapping[str, Any]:
    """An instance, as templates have it. Without a named port it has no `port` and `address`."""
    ports = {port.name: port.port for port in named.task.ports}
    shown: dict[str, Any] = {"ip": named.ip, "instance": named.task.instance, "ports": ports}
    for port in list(ports.values())[:1]:
        shown |= {"port": port, "address": str(HostPort(named.ip, port))}
    return shown
