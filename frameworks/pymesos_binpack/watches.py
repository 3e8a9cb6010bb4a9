"""Who follows a job is woken here whenever it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Watch:
    """Wakes when a job changes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.changed.set()


class Watches:
    """The watches of each job."""

    def __init__(self) -> None:
        self._by_job: dict[str, dict[Watch, None]] = {}

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """A watch that is set now, and again whenever the job changes."""
        watch = Watch()
        self._by_job.setdefault(job_id, {})[watch] = None
        try:
            yield watch
        finally:
            watches = self._by_job[job_id]
            del watches[watch]
            if not watches:
                del self._by_job[job_id]

    def changed(self, job_id: str) -> None:
        """Wake those who watch a job."""
        for watch in self._by_job.get(job_id, ()):
            watch.changed.set()

    def end(self) -> None:
        """Wake all, since no job changes here any more."""
        for job_id in self._by_job:
            self.changed(job_id)
