"""The name server of a role: it hears the leader, and answers clients."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import IO

from pymesos_core.coordination import Detector
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.forwarding import PORT, Bridge, Forwarder, Upstream
from pymesos_core.discovery.resolver import CannotListenError, Names, Resolver, Sockets, bind
from pymesos_core.discovery.stand_in import have_wait
from pymesos_core.outside import Outside
from pymesos_core.tasks import Background, until_first
from pymesos_core.text import os_problem

log = logging.getLogger(__name__)


class NameServer:
    """One of a process. Raises RoleError if it cannot listen."""

    def __init__(
        self,
        ip: str,
        port: int,
        domain: str,
        outside: Outside,
        folder: Path,
        given: MutableMapping[str, Sockets] | None = None,
    ) -> None:
        """`folder` is where it keeps what a restart begins with.

        `given` is what stand-ins answered with, by IP: what it answers with again it takes out.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._names = Names(domain)
        self.held = self._names.held
        self._outside = outside
        self._folder = folder
        self._given = {} if given is None else given
        self._resolver = Resolver(self._names, bind(ip, port), outside.mono_s)
        self._following = Following(self._names, outside, folder / FILE)
        self.address = self._resolver.address
        self._of_bridges: list[Resolver] = []
        self._answering = Background("answering the containers of a bridge")
        self._stand_ins: list[IO[bytes]] = []

    def answer_at(self, bridge: Bridge) -> str:
        """Answer the containers of a bridge for all names, from now on.

        Return where; empty if it cannot be: they have the name servers of before.
        """
        try:
            sockets = self._given.pop(bridge.ip, None) or bind(bridge.ip, PORT, early=True)
        except CannotListenError as error:
            log.warning("containers on %s have other name servers: %s", bridge.link, error)
            return ""
        forwarder = Forwarder(Upstream(own_ip=bridge.ip), self._outside.random, bridge.clients)
        resolver = Resolver(self._names, sockets, self._outside.mono_s, forwarder)
        self._of_bridges.append(resolver)
        self._answering.start(resolver.run())
        domain = self._names.zone.domain
        try:
            stand_in = have_wait(bridge, sockets, domain, self._folder / FILE, self._folder)
        except OSError as error:
            log.warning(
                "containers on %s find no names while this agent is away: %s",
                *(bridge.link, os_problem(error)),
            )
        else:
            self._stand_ins.append(stand_in)
        return bridge.ip

    async def run(self, detector: Detector) -> None:
        """Serve until this is cancelled."""
        await until_first(self._resolver.run(), self._following.run(detector))

    async def close(self) -> None:
        """Give the ports back; those of bridges to stand-ins."""
        await self._answering.close()
        for resolver in (self._resolver, *self._of_bridges):
            resolver.close()
        for stand_in in self._stand_ins:
            stand_in.close()
