"""From what `--master` says to a detector."""

from __future__ import annotations

from pymesos_core.addresses import ZkUrl, parse_master
from pymesos_core.coordination.interface import Detector
from pymesos_core.coordination.standalone import StandaloneDetector


def detector_for(master: str, session_timeout_s: float = 10.0) -> Detector:
    """A detector for `host:port` or `zk://…`. Raises AddressError."""
    address = parse_master(master)
    if isinstance(address, ZkUrl):
        # kazoo takes 50 ms to import, which a CLI without ZooKeeper need not pay.
        from pymesos_core.coordination.zookeeper import ZkDetector

        return ZkDetector(address, session_timeout_s)
    return StandaloneDetector([address])
