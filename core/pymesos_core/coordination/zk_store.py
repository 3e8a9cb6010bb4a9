"""The state of a framework in ZooKeeper: records of any size, written all or none.

ZooKeeper takes 1 MiB in one batch, and a framework may write more at once: a job of thousands of
instances, or one record of all of them. A record that is too large for a znode is cut into parts.
A write that is too large for a batch is noted in a journal first, part by part; the last part says
that the note is whole. Whoever takes over finishes what is noted whole and forgets what is not.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pymesos_core import limits
from pymesos_core.addresses import ZkUrl
from pymesos_core.coordination.interface import Registry
from pymesos_core.exits import RoleError
from pymesos_core.limits import KIB
from pymesos_core.store import MAX_GROUP_BYTES, RECORD_BYTES, Change, Records

PART = "part"  # KIND/KEY/NUMBER → the part of a record behind its first one
JOURNAL = "journal"  # NUMBER → a part of a note, and `whole` → how many there are
WHOLE = "whole"
PART_BYTES = 256 * KIB
# An ordinary record is written as it is. One in parts begins with a byte that none begins with.
IN_PARTS = b"\x00parts "
SHARDS = 16  # folders of each kind: ZooKeeper lists about 20,000 znodes of one, and no more
_FOLDER = re.compile(r"[a-z_]+\.[0-9a-f]", re.ASCII)  # of records: KIND.SHARD
MARK = "_"  # every key begins with it: some are empty, and no znode has an empty name


def framework_url(url: ZkUrl, name: str) -> ZkUrl:
    """Return where a framework of that name has its election, epoch and state below a path.

    It is never the path itself, which is the masters' own.
    """
    return replace(url, path=f"{url.path}/frameworks/{quote(name, safe='')}")


class ZkStore:
    """Records of a framework, under the epoch of the term in which it leads."""

    def __init__(self, registry: Registry, max_bytes: int = limits.FRAMEWORK_STATE.most) -> None:
        self._registry = registry
        self._max_bytes = max_bytes
        self._parts: dict[tuple[str, str], int] = {}  # of the records that are in parts
        self._sizes: dict[tuple[str, str], int] = {}
        self._total_bytes = 0

    def load(self) -> Records:
        """Return all records, and finish the write that another has noted.

        Raises RegistryError, which may pass, and RoleError when the state is damaged.
        """
        raw = dict(self._registry.load())
        if any(kind == JOURNAL for kind, _ in raw):
            self._finish(raw)
            raw = dict(self._registry.load())
        records: dict[tuple[str, str], bytes] = {}
        self._parts = {}
        for (kind, key), value in raw.items():
            place = record_of(kind, key)
            if not place[0]:
                continue  # parts, or something that is not of this store
            if value.startswith(IN_PARTS):
                value = self._joined(*place, value, raw)
            records[place] = value
        self._sizes = {place: kept_bytes(*place, value) for place, value in records.items()}
        self._total_bytes = sum(self._sizes.values())
        return records

    def commit(self, changes: list[Change]) -> None:
        """Write all or none; without changes check the epoch only. Raises RegistryError."""
        latest = {(change.kind, change.key): change for change in changes}
        parts = dict(self._parts)
        raw = [cut for change in latest.values() for cut in _cut(change, parts)]
        batches = list(_batches(raw))
        if len(batches) > 1:
            noted = list(_note(raw))
            for number, part in enumerate(noted[:-1]):
                self._registry.commit([Change(JOURNAL, str(number), part)])
            last = Change(JOURNAL, str(len(noted) - 1), noted[-1])
            self._registry.commit([last, Change(JOURNAL, WHOLE, str(len(noted)).encode())])
            self._write(batches, len(noted))
        else:
            self._registry.commit(raw)
        self._parts = parts
        for place, change in latest.items():
            self._total_bytes -= self._sizes.pop(place, 0)
            if change.value is not None:
                self._sizes[place] = kept_bytes(*change[:2], change.value)
                self._total_bytes += self._sizes[place]

    @property
    def room_bytes(self) -> int:
        """How much more is taken; less than nothing if there is too much."""
        return self._max_bytes - self._total_bytes

    def _write(self, batches: list[list[Change]], noted: int) -> None:
        for batch in batches:
            self._registry.commit(batch)
        # Its mark first: what is noted in part is forgotten.
        gone = [Change(JOURNAL, key, None) for key in (WHOLE, *map(str, range(noted)))]
        for batch in _batches(gone):
            self._registry.commit(batch)

    def _finish(self, raw: Records) -> None:
        if (said := raw.get((JOURNAL, WHOLE))) is None:
            for key in [key for kind, key in raw if kind == JOURNAL]:
                self._registry.commit([Change(JOURNAL, key, None)])
            return
        try:
            number = int(said)
            noted = zlib.decompress(b"".join(raw[JOURNAL, str(n)] for n in range(number)))
            batches = list(_batches(_noted(json.loads(noted))))
        except (KeyError, ValueError, TypeError, RecursionError, zlib.error) as error:
            raise RoleError(
                f"the state in ZooKeeper is damaged: the write noted in {JOURNAL} cannot be read"
                f" ({error!r}). Restore it from a backup"
            ) from error
        self._write(batches, number)

    def _joined(self, kind: str, key: str, first: bytes, raw: Records) -> bytes:
        header, _, value = first.partition(b"\n")
        try:
            if (number := int(header.removeprefix(IN_PARTS))) < 1:
                raise ValueError(f"it says that there are {number}")
            rest = [raw[PART, f"{kind}/{key}/{n}"] for n in range(1, number)]
        except (KeyError, ValueError) as error:
            raise RoleError(
                f"the state in ZooKeeper is damaged: of the record {kind}/{key} a part is missing"
                f" ({error!r}). Restore it from a backup"
            ) from error
        self._parts[kind, key] = number
        return b"".join([value, *rest])


def kind_of(folder: str) -> str:
    """Return the kind of the records that a folder of the registry has; or nothing, of others."""
    return folder.rpartition(".")[0] if _FOLDER.fullmatch(folder) else ""


def record_of(folder: str, name: str) -> tuple[str, str]:
    """Return the kind and the key of the record of a znode; the kind is empty of other znodes."""
    return kind_of(folder), name.removeprefix(MARK)


def kept_bytes(kind: str, key: str, value: bytes) -> int:
    """Return what a record counts of what the state may have."""
    return len(value) + len(kind) + len(key) + RECORD_BYTES


def _place(kind: str, key: str) -> tuple[str, str]:
    """Return the folder and the name of the znode of a record."""
    return f"{kind}.{zlib.crc32(key.encode()) % SHARDS:x}", MARK + key


def _cut(change: Change, parts: dict[tuple[str, str], int]) -> Iterator[Change]:
    """Yield what is written for a change; `parts` has how many there are, before and after."""
    kind, key, value = change
    before = parts.pop((kind, key), 1)
    number = 1 if value is None else max(1, -(-len(value) // PART_BYTES))
    if value is not None and (number > 1 or value.startswith(IN_PARTS)):
        parts[kind, key] = number
        yield Change(*_place(kind, key), IN_PARTS + b"%d\n" % number + value[:PART_BYTES])
        for n in range(1, number):
            piece = value[n * PART_BYTES : (n + 1) * PART_BYTES]
            yield Change(PART, f"{kind}/{key}/{n}", piece)
    else:
        yield Change(*_place(kind, key), value)
    for n in range(number, before):
        yield Change(PART, f"{kind}/{key}/{n}", None)


def _batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Yield what goes together into one batch of ZooKeeper."""
    batch: list[Change] = []
    size = 0
    for change in changes:
        # The registry counts a record as RECORD_BYTES more, which a long key may exceed.
        name = 2 * len(quote(change.key, safe=""))
        weight = len(change.value or b"") + max(RECORD_BYTES, name + RECORD_BYTES // 2)
        if batch and size + weight > MAX_GROUP_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += weight
    if batch:
        yield batch


def _noted(said: Any) -> Iterator[Change]:
    """Yield the changes of a note. Raises ValueError, TypeError."""
    for kind, key, value in said:
        texts = (kind, key, "" if value is None else value)
        known = all(isinstance(text, str) for text in texts)
        if not known or not (kind == PART or _FOLDER.fullmatch(kind)):
            raise ValueError("a change has another shape than the note of one")
        yield Change(kind, key, value if value is None else value.encode("latin-1"))


def _note(changes: list[Change]) -> Iterator[bytes]:
    """Yield the parts of the note of a write."""
    said = json.dumps([(k, y, v if v is None else v.decode("latin-1")) for k, y, v in changes])
    noted = zlib.compress(said.encode(), 1)
    for begin in range(0, len(noted), PART_BYTES):
        yield noted[begin : begin + PART_BYTES]
