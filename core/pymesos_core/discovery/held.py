"""What a resolver knows of names, by what leaders have told it, one after the other.

A new leader learns what serves only as frameworks and agents come back to it. So what an earlier
one has told counts until it is told otherwise: by the leader of a later epoch, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from google.protobuf.message import DecodeError

from pymesos_core.copies import copy_of
from pymesos_proto.v1 import names_pb2 as pb

Key = tuple[str, str]  # framework id, task id
KEPT_S = 3600.0  # how old may be what a restart begins with


class OldLeaderError(Exception):
    """A leader of an earlier epoch spoke than one that was heard."""


class Held:
    """What serves, by framework and task."""

    def __init__(self) -> None:
        self.epoch = 0
        self.changes = 0  # how often any of it has changed
        self.is_known = False  # what serves, or that nothing does
        self.is_heard = False  # a leader has told all it knew, and nothing is only what was kept
        self._tasks: dict[Key, pb.NamedTask] = {}
        self._told: set[Key] = set()  # on this stream
        self._awaited: set[str] = set()  # frameworks of which this leader does not know yet
        self._whole = False  # this leader has told all it knew

    @property
    def tasks(self) -> Mapping[Key, pb.NamedTask]:
        """What serves."""
        return self._tasks

    @property
    def is_told(self) -> bool:
        """Whether the leader that is heard has told all it knew."""
        return self._whole

    def begin(self) -> None:
        """A stream begins: what it tells comes as a whole, and until then all stays as it is."""
        self._told.clear()
        self._awaited.clear()
        self._whole = False

    def take(self, batch: pb.NamesBatch) -> dict[Key, pb.NamedTask | None]:
        """Take in what a leader tells; return what is another now. Raises OldLeaderError."""
        if batch.epoch < self.epoch:
            raise OldLeaderError
        self.epoch = batch.epoch
        changed: dict[Key, pb.NamedTask | None] = {}
        for named in batch.serves:
            self._tell(named, changed)
        for ended in batch.ended:
            self._drop((ended.framework_id, ended.task_id), changed)
        if batch.whole:
            self.is_known = self.is_heard = self._whole = True
            self._awaited = set(batch.awaited_frameworks)
            self._drop_untold(changed, lambda framework_id: framework_id not in self._awaited)
        settled = self._awaited.intersection(batch.settled_frameworks)
        if self._whole and settled:
            self._awaited -= settled
            self._drop_untold(changed, settled.__contains__)
        self.changes += bool(changed)
        return changed

    def _tell(self, named: pb.NamedTask, changed: dict[Key, pb.NamedTask | None]) -> None:
        key = (named.framework_id, named.task.task_id)
        known = self._tasks.get(key)
        self._told.add(key)
        if known is not None and (known.ip, known.task) == (named.ip, named.task):
            return
        if named.awaited:  # nobody has said so who could tell
            self._drop(key, changed)
            return
        self._tasks[key] = changed[key] = copy_of(named)

    def _drop(self, key: Key, changed: dict[Key, pb.NamedTask | None]) -> None:
        self._told.discard(key)
        if self._tasks.pop(key, None) is not None:
            changed[key] = None

    def _drop_untold(
        self, changed: dict[Key, pb.NamedTask | None], of: Callable[[str], bool]
    ) -> None:
        untold = [key for key in self._tasks if key not in self._told and of(key[0])]
        for key in untold:
            self._drop(key, changed)

    def keep(self, heard_at_s: float) -> bytes:
        """What a restart begins with."""
        kept = pb.KeptNames(epoch=self.epoch, heard_at_s=heard_at_s, serves=self._tasks.values())
        return kept.SerializeToString()

    def restore(self, data: bytes, now_s: float) -> Iterable[pb.NamedTask]:
        """Begin with what was kept; nothing of what is too old, or cannot be read."""
        try:
            kept = pb.KeptNames.FromString(data)
        except DecodeError:
            return ()
        if not now_s - KEPT_S <= kept.heard_at_s <= now_s + KEPT_S:
            return ()
        self.epoch, self.is_known = kept.epoch, True
        self.changes += 1
        self._tasks = {(n.framework_id, n.task.task_id): n for n in kept.serves}
        return self._tasks.values()
