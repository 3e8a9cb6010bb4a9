"""Ray: a remote function that runs the command."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peering.interface import COMMAND, CORES, About, Peer, of_venv


class Ray(Peer):
    """See Peer."""

    about = About(
        "Ray",
        durable="nothing: tasks are known to the process that submits",
        process="no: a worker's, which starts the command here",
        limits="none: CPUs and memory are counted only",
        sandbox="none; the log of its worker",
        client_is_part=True,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        return of_venv(prefix, "ray")

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        import ray

        self._ray: Any = ray
        ray.init(
            num_cpus=CORES,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
            object_store_memory=100 * 2**20,
        )

        def task() -> int:
            return subprocess.run(COMMAND, check=True).returncode

        self._task: Any = ray.remote(task)
        return str(ray.__version__)

    def burst(self, tasks: int) -> None:
        """See Peer."""
        self._ray.get([self._task.remote() for _ in range(tasks)])

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        self._ray.get(self._task.remote())
        return {"result": (time.perf_counter() - begin_s) * 1000}

    def stop(self) -> None:
        """See Peer."""
        self._ray.shutdown()
