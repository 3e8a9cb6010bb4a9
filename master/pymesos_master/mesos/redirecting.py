"""Where the master is that leads, for those who ask another."""

from __future__ import annotations

from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.transport import CallError
from pymesos_master.mesos.events import Here
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader


@dataclass(frozen=True)
class Redirecting:
    """Sends requests to the master that leads."""

    leadership: Leadership
    here: Here

    def leader(self, path: str) -> Leader:
        """Return the leader of this process. Raises RefusalError that says where it is instead."""
        try:
            return self.leadership.here()
        except CallError as error:
            elsewhere = self._elsewhere()
            if elsewhere is None:
                raise RefusalError(503, error.message) from None
            at = path if path.startswith("/") and not path.startswith("//") else "/"
            raise RefusalError(307, "", {"Location": f"//{elsewhere}{at}"}) from None

    def leads(self) -> HostPort:
        """Return where the leader is; this master where none is known."""
        return self._elsewhere() or self.here.address

    def _elsewhere(self) -> HostPort | None:
        if self.leadership.leader is not None:
            return None
        known = self.leadership.known_leader()
        if known is None or known.mesos is None or known.master_id == self.here.master_id:
            return None
        return known.mesos
