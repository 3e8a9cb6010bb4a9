"""What the cluster keeps in ZooKeeper, as the simulation looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from pymesos_core.addresses import parse_zk
from pymesos_core.coordination import MasterInfo
from pymesos_core.coordination.zk_client import MakeClient
from pymesos_core.coordination.zookeeper import PREFIX, ZkDetector
from pymesos_simulation.ensemble import SESSION_S, Ensemble
from pymesos_simulation.world import Node, World
from pymesos_simulation.zookeeper import Client

if TYPE_CHECKING:
    from pymesos_simulation.masters import MasterNode

URL = parse_zk("zk://zookeeper:2181/pymesos")


def client_of(node: Node, ensemble: Ensemble) -> MakeClient:
    """What makes the clients of one process."""
    return lambda url, session_timeout_s: Client(ensemble, node)


def detector_of(node: Node, ensemble: Ensemble) -> ZkDetector:
    """What a process finds the leader by."""
    return ZkDetector(URL, SESSION_S, client=client_of(node, ensemble))


class Coordinator(Ensemble):
    """The election, the epoch, the registry."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.masters: list[MasterNode] = []
        self._epoch = 0
        self.on_change = self._check

    def _check(self, path: str, data: bytes | None) -> None:
        """The epoch is raised by one at a time, and never lowered."""
        if path == f"{URL.path}/epoch" and data != b"0":
            assert data is not None and int(data) == self._epoch + 1, f"epoch {data!r}"
            self._epoch = int(data)

    @property
    def epoch(self) -> int:
        """The latest."""
        return self._epoch

    @property
    def leader(self) -> MasterNode | None:
        """Whose znode is the lowest."""
        znode = self.lowest(URL.path, PREFIX)
        if znode is None:
            return None
        if znode.holder is None:
            name = MasterInfo.from_json(znode.data).hostname
            znode.holder = next(master for master in self.masters if master.name == name)
        holder: MasterNode = znode.holder
        return holder

    @property
    def registry(self) -> dict[tuple[str, str], bytes]:
        """What is kept for the next leader."""
        records = self.records(f"{URL.path}/registry")
        return {(kind, unquote(key)): data for (kind, key), data in records.items()}
