"""dask.distributed: a function that runs the command, on workers of this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peering.interface import COMMAND, CORES, About, Peer, of_venv


def task(number: int) -> int:
    """Run the command in a worker."""
    return subprocess.run(COMMAND, check=True).returncode


class Dask(Peer):
    """See Peer."""

    about = About(
        "dask.distributed",
        durable="nothing: the scheduler has all in memory",
        process="no: a worker's, which starts the command here",
        limits="none; a worker that holds too much memory is started anew",
        sandbox="none; the log of its worker",
        client_is_part=True,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        return of_venv(prefix, "distributed")

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        import distributed

        self._cluster: Any = distributed.LocalCluster(
            n_workers=CORES,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(folder),
        )
        self._client: Any = distributed.Client(self._cluster)
        self._client.wait_for_workers(CORES)
        return str(distributed.__version__)

    def burst(self, tasks: int) -> None:
        """See Peer."""
        self._client.gather(self._client.map(task, range(tasks), pure=False))

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        self._client.submit(task, 0, pure=False).result()
        return {"result": (time.perf_counter() - begin_s) * 1000}

    def stop(self) -> None:
        """See Peer."""
        self._client.close()
        self._cluster.close()
