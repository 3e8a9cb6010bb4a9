"""The name server of a role: it hears the leader, and answers clients."""

from __future__ import annotations

import logging
from ipaddress import IPv4Network
from pathlib import Path

from pymesos_core.coordination import Detector
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.forwarding import PORT, Forwarder, Upstream
from pymesos_core.discovery.resolver import CannotListenError, Names, Resolver
from pymesos_core.outside import Outside
from pymesos_core.tasks import until_first

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
        bridge: IPv4Network | None = None,
    ) -> None:
        """`folder` is where it keeps what a restart begins with.

        At the first address of a `bridge` it answers its containers for all names, if it can.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = Names(domain)
        self.held = names.held
        resolver = Resolver(names, ip, port, outside.mono_s)
        self._following = Following(names, outside, folder / FILE)
        self.address = resolver.address
        self._resolvers = [resolver]
        self.bridge_ip = ""  # where it answers containers
        if bridge is not None:
            bridge_ip = str(bridge[1])
            forwarder = Forwarder(Upstream(own_ip=bridge_ip), outside.random, bridge)
            try:
                of_bridge = Resolver(names, bridge_ip, PORT, outside.mono_s, forwarder)
            except CannotListenError as error:
                log.warning("containers have the machine's name servers: %s", error)
            else:
                self._resolvers.append(of_bridge)
                self.bridge_ip = bridge_ip

    async def run(self, detector: Detector) -> None:
        """Serve until this is cancelled."""
        answering = [resolver.run() for resolver in self._resolvers]
        await until_first(*answering, self._following.run(detector))

    def close(self) -> None:
        """Give the ports back."""
        for resolver in self._resolvers:
            resolver.close()
