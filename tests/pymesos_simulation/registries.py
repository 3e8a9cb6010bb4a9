"""A registry in ZooKeeper whose writer counts on it, as masters and instances of frameworks do."""

from __future__ import annotations

from pymesos_core.coordination.zk_registry import ZkRegistry
from pymesos_core.store import Change
from pymesos_simulation.world import here


class InOrderRegistry(ZkRegistry):
    """Nothing is written behind a write that failed: it counts on what that was to write."""

    _failed = False

    def commit(self, changes: list[Change]) -> None:
        with here().world.fatal():
            assert not self._failed, "something is written behind a write that failed"
        try:
            super().commit(changes)
        except Exception:
            self._failed = True
            raise
