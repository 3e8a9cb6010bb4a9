"""Records that are kept once they were read, for as long as nobody writes them.

Who stands by reads this way, so that little is left to read when it leads. What is kept then is
what is there: ZooKeeper tells of a write before it answers whatever is asked after that write, and
after the epoch was raised nobody else writes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import Callback

from pymesos_core.coordination.zk_registry import Place, ZkRecords, unread
from pymesos_core.store import Records

HEAR_S = 10.0


class WatchedRecords(ZkRecords):
    """Records as znodes, each of which is read again only when it was written."""

    def __init__(self, client: KazooClient, path: str) -> None:
        super().__init__(client, path)
        self._lock = threading.Lock()  # kazoo tells of writes in a thread of its own
        self._kept: dict[str, bytes] = {}  # by znode
        self._asked: dict[str, object] = {}  # by znode: who asked, and was told of no write since

    def read(self, places: Iterable[Place]) -> Records:
        """See ZkRecords."""
        nodes = {self._node(*place): place for place in places}
        me = object()
        self._hear()
        with self._lock:
            found = {node: self._kept[node] for node in nodes if node in self._kept}
            missing = [node for node in nodes if node not in found]
            self._asked.update(dict.fromkeys(missing, me))
        read = self._contents(missing, self._written)
        with self._lock:
            for node in missing:
                if self._asked.get(node) is me:
                    del self._asked[node]
                    if node in read:
                        self._kept[node] = read[node]
        found.update(read)
        return {place: found[node] for node, place in nodes.items() if node in found}

    def forget(self) -> None:
        """See ZkRecords."""
        with self._lock:
            self._kept.clear()
            self._asked.clear()

    def _hear(self) -> None:
        """Return once all writes are noted of which ZooKeeper has told by now.

        Raises RegistryError.
        """
        handler = self._client.handler
        heard = handler.async_result()
        handler.dispatch_callback(Callback("watch", heard.set, (None,)))
        try:
            heard.get(timeout=HEAR_S)
        except KazooTimeoutError as error:  # the client was closed
            raise unread(error) from error

    def _written(self, event: Any) -> None:
        if event.path is None:  # the connection broke, and all watches are gone with it
            self.forget()
            return
        with self._lock:
            self._kept.pop(event.path, None)
            self._asked.pop(event.path, None)
