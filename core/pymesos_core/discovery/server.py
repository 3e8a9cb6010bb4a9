"""The name server of a role: it hears the leader, and answers clients."""

from __future__ import annotations

from pathlib import Path

from pymesos_core.coordination import Detector
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.resolver import Names, Resolver
from pymesos_core.outside import Outside
from pymesos_core.tasks import until_first


class NameServer:
    """One of a process. Raises RoleError if it cannot listen."""

    def __init__(self, ip: str, port: int, domain: str, outside: Outside, folder: Path) -> None:
        """`folder` is where it keeps what a restart begins with."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = Names(domain)
        self._resolver = Resolver(names, ip, port, outside.mono_s)
        self._following = Following(names, outside, folder / FILE)
        self.address = self._resolver.address

    async def run(self, detector: Detector) -> None:
        """Serve until this is cancelled."""
        await until_first(self._resolver.run(), self._following.run(detector))

    def close(self) -> None:
        """Give the port back."""
        self._resolver.close()
