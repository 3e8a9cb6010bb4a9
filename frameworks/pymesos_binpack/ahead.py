"""What an instance that stands by does of a takeover before it is one: it reads, and parses jobs.

To check a job file takes most of what it takes to read a job back. What is parsed is kept by its
text, so that one that has changed since is only parsed later, and never taken for what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

from pymesos_binpack.jobfiles.parsing import parse_stored
from pymesos_binpack.jobs.state import JOB
from pymesos_binpack.specs import Job
from pymesos_core.coordination import RegistryError
from pymesos_core.coordination.zk_store import kind_of

log = logging.getLogger(__name__)

PAUSE_S = 10.0  # at least, between two times that the jobs are looked at
SHARE = 50  # they are looked at for no more than this part of the time
READ_PAUSE_S, READ_SHARE = 2.0, 10  # the same of all records, of which few were written meanwhile
AT_ONCE = 100  # so many are read together; a takeover that begins meanwhile waits for no more
SLICE_S = 0.02  # so long the parsing keeps all else waiting

Place = tuple[str, str]  # the kind and the key of a record
Look = Callable[[], Awaitable[None]]  # raises RegistryError


class Readable(Protocol):
    """Records that another instance writes: see ZkRecords and WatchedRecords."""

    def places(self, wanted: Callable[[str], bool]) -> list[Place]:
        """Which records there are of the kinds that are wanted. Blocks. Raises RegistryError."""

    def read(self, places: Iterable[Place]) -> Mapping[Place, bytes]:
        """Return those that are there. Blocks. Raises RegistryError."""


async def keep_read(records: Readable, mono_s: Callable[[], float]) -> None:
    """Read what was written, now and again: `records` keep what they have read."""

    async def look() -> None:
        for some in _parts(await asyncio.to_thread(records.places, lambda kind: True)):
            await asyncio.to_thread(records.read, some)

    await _again(look, READ_PAUSE_S, READ_SHARE, mono_s)


async def _again(look: Look, pause_s: float, share: int, mono_s: Callable[[], float]) -> None:
    """Look at the records of another instance, for no more than that part of the time."""
    while True:
        began_s = mono_s()
        try:
            await look()
        except RegistryError as error:
            log.debug("the records are not read ahead: %s", error)
        took_s = mono_s() - began_s
        await asyncio.sleep(max(pause_s, took_s * (share - 1)))


def _parts(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Yield what is read together."""
    rest = iter(places)
    while some := list(itertools.islice(rest, AT_ONCE)):
        yield some


class Ahead:
    """The jobs of who leads, parsed."""

    def __init__(self, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._parsed: dict[str, Job] = {}

    def parse(self, document: str) -> Job:
        """Return a job by its document, as it is stored. Raises JobError."""
        known = self._parsed.get(document)
        return parse_stored(document) if known is None else known

    def forget(self) -> None:
        """Keep nothing: this instance leads, and has the jobs themselves."""
        self._parsed = {}

    async def follow(self, records: Readable) -> None:
        """Parse what jobs there are, now and again."""
        await _again(partial(self._renew, records), PAUSE_S, SHARE, self._mono_s)

    async def _renew(self, records: Readable) -> None:
        """Raises RegistryError."""
        places = await asyncio.to_thread(records.places, lambda kind: kind_of(kind) == JOB)
        there: dict[str, Job] = {}
        for some in _parts(places):
            found = await asyncio.to_thread(records.read, some)
            until_s = self._mono_s() + SLICE_S
            for document in _documents(found.values()):
                # Whatever may be wrong with one, it is said when this instance leads.
                with contextlib.suppress(Exception):
                    there[document] = self._parsed[document] = self.parse(document)
                if self._mono_s() >= until_s:
                    await asyncio.sleep(0)
                    until_s = self._mono_s() + SLICE_S
        self._parsed = there


def _documents(values: Iterable[bytes]) -> Iterator[str]:
    """Yield those that can be read: one in parts cannot, and is parsed later."""
    for value in values:
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict) and isinstance(document := read.get("document"), str):
            yield document
