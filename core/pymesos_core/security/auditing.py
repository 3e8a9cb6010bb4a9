"""The audit of a role: it is written in a thread, many lines at once, beside the event loop.

Lines that are synced are on the disk before whoever caused them is answered. The others, of which
there may be many, wait a moment for each other.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pymesos_core.caller import Caller
from pymesos_core.complaints import Complaints
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.audit import DenialLimit, Entry, entry, lost
from pymesos_core.security.audit_files import AuditSink
from pymesos_core.security.gate import OnRefused
from pymesos_core.security.needs import call_of_path
from pymesos_core.security.policy import Decision
from pymesos_core.streams import to_the_end
from pymesos_core.tasks import running
from pymesos_core.text import os_problem

TOGETHER_S = 0.5  # how long lines that are not synced wait for each other
COUNTED_S = 60.0  # how often a line says how many denials were left out
MAX_WAITING = 20_000  # lines; of those that are not synced no more are taken then

log = logging.getLogger(__name__)

Then = Callable[[Problem | None], None]


class Audit:
    """Takes lines in, has them written, and says when they are on the disk. Off without a sink."""

    def __init__(self, sink: AuditSink | None = None, outside: Outside = OUTSIDE) -> None:
        self._sink = sink
        self._outside = outside
        self._limit = DenialLimit()
        self._waiting: list[Entry] = []
        self._then: list[Then] = []  # once all that waits is written
        self._then_now: list[Then] | None = None  # of the write that is on its way
        self._count_at_s = math.inf  # when a line is due that says how many denials had none
        self._left_out = 0  # lines that could not be taken, or not be written
        self._sync = False
        self._wake = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audit")
        self._ending = False
        self._complaints = Complaints(log, outside.mono_s)

    @property
    def is_on(self) -> bool:
        """Whether anything is written."""
        return self._sink is not None

    def write(self, entry: Entry) -> None:
        """Have a line written. Denials of one caller that come fast are counted instead."""
        if self._sink is None:
            return
        if entry.denied:
            passed = self._limit.passed(entry, self._outside.mono_s())
            if passed is None:
                self._count_at_s = min(self._count_at_s, self._outside.mono_s() + COUNTED_S)
                self._later_on(COUNTED_S)
                return
            entry = passed
        if not entry.synced and len(self._waiting) >= MAX_WAITING:
            self._left_out += 1
            return
        self._waiting.append(entry)
        if entry.synced:
            self._sync = True
            self._wake.set()
        else:
            self._later_on(TOGETHER_S)

    def _later_on(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._later is not None:
            if self._later.when() <= loop.time() + seconds:
                return
            self._later.cancel()
        self._later = loop.call_later(seconds, self._in_time)

    def _in_time(self) -> None:
        self._later = None
        self._wake.set()

    def then(self, do: Then) -> None:
        """Do something once all synced lines so far are on the disk, or it is said why not."""
        if self._sync:
            self._then.append(do)
        elif self._then_now is not None:
            self._then_now.append(do)
        else:
            do(None)

    async def make_room(self) -> Problem | None:
        """Why what is asked for now could not be written afterwards, so that it is not done."""
        if self._sink is None:
            return None
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._sink.make_room)
        except OSError as error:
            return Problem(
                ProblemKind.FULL,
                f"nothing is done, since the audit cannot be written ({os_problem(error)}): make"
                f" room on the disk of who was asked, or give it another --audit-dir",
            )
        return None

    async def record(self, entry: Entry) -> Problem | None:
        """Have a line on the disk before what it tells of begins; why that is not possible."""
        if (problem := await self.make_room()) is not None:
            return problem
        return await self.written(entry)

    async def written(self, entry: Entry) -> Problem | None:
        """Have a line on the disk; why it is not there."""
        written: asyncio.Future[Problem | None] = asyncio.get_running_loop().create_future()

        def tell(problem: Problem | None) -> None:
            if not written.done():
                written.set_result(problem)

        self.write(entry)
        self.then(tell)
        return await written

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        if self._sink is None:
            await asyncio.get_running_loop().create_future()
        async with running(self._write_groups()) as writing:
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                self._ending = True
                self._wake.set()
                await to_the_end(writing)
                raise

    async def _write_groups(self) -> None:
        assert self._sink is not None
        try:
            while True:
                if self._ending or self._outside.mono_s() >= self._count_at_s:
                    self._count_at_s = math.inf
                    self._waiting += self._limit.counted(self._outside.wall_s())
                while self._waiting or self._then:
                    await self._write_group(self._sink)
                if self._ending:
                    return
                await self._wake.wait()
                self._wake.clear()
        finally:
            if self._later is not None:
                self._later.cancel()
            await asyncio.get_running_loop().run_in_executor(self._thread, self._sink.close)

    async def _write_group(self, sink: AuditSink) -> None:
        group, self._waiting = self._waiting, []
        self._then_now, self._then = self._then, []
        left_out, self._left_out = self._left_out, 0
        sync, self._sync = self._sync, False
        if left_out:
            group.append(lost(self._outside.wall_s(), left_out))
        loop = asyncio.get_running_loop()
        problem = None
        try:
            await loop.run_in_executor(self._thread, _append, sink, group, sync)
        except OSError as error:
            self._left_out += left_out + len(group) - bool(left_out)
            said = os_problem(error)
            self._complaints.say("audit", "cannot be written", said)
            problem = Problem(
                ProblemKind.FULL,
                f"it may be done, but the audit could not be written ({said}): see what there is,"
                f" and make room on the disk of who was asked before anything else",
            )
        then, self._then_now = self._then_now, None
        for do in then:
            do(problem)


def _append(sink: AuditSink, group: list[Entry], sync: bool) -> None:
    sink.append([entry.line() for entry in group], sync=sync)


def at_gate(audit: Audit, outside: Outside = OUTSIDE) -> OnRefused:
    """What tells an audit whom the gate of a server refuses."""

    def refused(caller: Caller, method: str, why: str) -> None:
        call = call_of_path(method)
        audit.write(entry(outside.wall_s(), caller, call, Decision(why), {}))

    return refused
