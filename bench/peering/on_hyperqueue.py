"""HyperQueue, by its Python package, which has server, worker and client in one process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peering.interface import AT_ONCE, COMMAND, About, Peer, of_venv

POLL_S = (0.001, 0.02)  # of one task, of many: each time costs the server


class _RunningError(Exception):
    """A job has tasks that have not ended."""


class HyperQueue(Peer):
    """See Peer."""

    about = About(
        "HyperQueue",
        durable="nothing; a journal can be had",
        process="yes",
        limits="none: CPUs are counted, memory if named",
        sandbox="none; two files for its output",
        client_is_part=True,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        return of_venv(prefix, "hyperqueue")

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        import hyperqueue
        from hyperqueue.cluster import WorkerConfig

        self._folder, self._job_class = folder, hyperqueue.Job
        server = folder / "server"
        server.mkdir()
        self._cluster: Any = hyperqueue.LocalCluster(str(server), WorkerConfig(cores=AT_ONCE))
        self._client: Any = self._cluster.client()
        return str(hyperqueue.get_version()).removeprefix("v")

    def burst(self, tasks: int) -> None:
        """See Peer."""
        job = self._job_class(default_workdir=self._folder)
        for _ in range(tasks):
            job.program(list(COMMAND))
        submitted = self._client.submit(job)
        while not self._has_ended(submitted.id):
            time.sleep(POLL_S[tasks > 1])

    def _has_ended(self, job_id: int) -> bool:
        """Return whether a job has ended.

        The package asks once a second; what is raised in its callback ends that wait.
        """

        def raise_at_once(jobs: dict[int, dict[str, int]]) -> None:
            if not jobs[job_id]["completed"]:
                raise _RunningError

        try:
            failed = self._client.connection.wait_for_jobs((job_id,), raise_at_once)
        except _RunningError:
            return False
        if failed:
            raise RuntimeError(f"tasks failed: {failed}")
        return True

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        self.burst(1)
        return {"result": (time.perf_counter() - begin_s) * 1000}

    def stop(self) -> None:
        """See Peer."""
        self._cluster.stop()
