"""The tree that ZooKeeper keeps, as it is and as it was, to be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from kazoo.exceptions import NoNodeError

from pymesos_simulation.world import World


@dataclass
class Znode:
    """One node of the tree."""

    data: bytes = b""
    version: int = 0
    owner: int = 0  # the session that it ends with
    made: int = 0  # of sequential children
    holder: Any = None  # whoever looks at the tree notes here whose it is


class Tree:
    """Znodes by their paths."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._tree: dict[str, Znode] = {"/": Znode()}
        self._children: dict[str, dict[str, None]] = {"/": {}}

    def get(self, path: str) -> tuple[bytes, Any]:
        """Raises NoNodeError."""
        znode = self._find(path)
        stat = SimpleNamespace(version=znode.version, ephemeralOwner=znode.owner)
        return znode.data, stat

    def _find(self, path: str) -> Znode:
        if path not in self._tree:
            raise NoNodeError(path)
        return self._tree[path]

    def exists(self, path: str) -> Any:
        """The stat of a node, or None."""
        return self.get(path)[1] if path in self._tree else None

    def children(self, path: str) -> list[str]:
        """In no order, as ZooKeeper gives them. Raises NoNodeError."""
        self._find(path)
        out = list(self._children[path])
        self.world.random.shuffle(out)
        return out


class Past(Tree):
    """The tree as it was at some time: what a server knows that lags behind the others.

    With local sessions (`localSessionsEnabled`) such a server takes clients in without asking the
    others, and so a process that starts again may read what was before it read it last.
    """

    def __init__(self, present: Tree) -> None:
        super().__init__(present.world)
        self._tree = {path: replace(znode) for path, znode in present._tree.items()}
        self._children = {path: dict(names) for path, names in present._children.items()}
