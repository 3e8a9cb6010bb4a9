"""What an instance that stands by does of a takeover before it is one: it makes the jobs.

What is parsed is kept by its text, and what is made of records beside them, so that a job of which
any has changed since is only made later, and never taken for what it was.
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
from pymesos_binpack.jobs.state import JOB, JobState
from pymesos_binpack.loading import Row, load_job
from pymesos_binpack.restoring import OF_JOBS, job_of
from pymesos_binpack.specs import Job
from pymesos_core.coordination import RegistryError
from pymesos_core.coordination.zk_store import kind_of, record_of
from pymesos_core.slices import Slices

log = logging.getLogger(__name__)

PAUSE_S = 10.0  # at least, between two times that the jobs are looked at
SHARE = 50  # they are looked at for no more than this part of the time
KEEP_PAUSE_S, KEEP_SHARE = 2.0, 10  # the same of all records, of which few were written meanwhile
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
    """The jobs of who leads, parsed, and those that have not changed since they were made."""

    def __init__(self, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._parsed: dict[str, Job] = {}
        self._made: dict[str, tuple[Mapping[Place, bytes], JobState]] = {}  # by their ids

    def parse(self, document: str) -> Job:
        """Return a job by its document, as it is stored. Raises JobError."""
        known = self._parsed.get(document)
        return parse_stored(document) if known is None else known

    def load(self, job_id: str, rows: Iterable[Row]) -> JobState:
        """Return a job as it is made from its records; once, for who leads changes it.

        Raises what load_job does.
        """
        rows = list(rows)
        of, job = self._made.pop(job_id, ({}, None))
        if job is not None and of == {(kind, key): value for kind, key, value in rows}:
            return job
        return load_job(job_id, rows, self.parse)

    def forget(self) -> None:
        """Keep nothing: this instance leads, and has the jobs themselves."""
        self._parsed, self._made = {}, {}

    async def keep(self, records: Readable) -> None:
        """Make what jobs there are, now and again. `records` keep what they have read."""
        await _again(partial(self._make, records), KEEP_PAUSE_S, KEEP_SHARE, self._mono_s)

    async def _make(self, records: Readable) -> None:
        """Raises RegistryError."""
        rows: dict[str, dict[Place, bytes]] = {}
        slices = Slices(SLICE_S, self._mono_s)
        for some in _parts(await asyncio.to_thread(records.places, lambda kind: True)):
            for (folder, name), value in (await asyncio.to_thread(records.read, some)).items():
                kind, key = record_of(folder, name)
                if kind in OF_JOBS:
                    rows.setdefault(job_of(key), {})[kind, key] = value
        made: dict[str, tuple[Mapping[Place, bytes], JobState]] = {}
        for job_id, of in rows.items():
            if (before := self._made.get(job_id)) is not None and before[0] == of:
                made[job_id] = before
            else:
                # Whatever may be wrong with one, it is said when this instance leads.
                with contextlib.suppress(Exception):
                    mine = [(*place, value) for place, value in of.items()]
                    made[job_id] = of, load_job(job_id, mine, self.parse)
            await slices.pause()
        self._made = made

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
