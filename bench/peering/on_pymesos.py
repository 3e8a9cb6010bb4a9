"""Ours as in production: a master, an agent with the process runtime, the bin-packing framework."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from collections.abc import Coroutine, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peering.interface import AT_ONCE, About, Peer


class Pymesos(Peer):
    """See Peer. The framework runs in the process that submits, on a thread of its own."""

    about = About(
        "pymesos",
        durable="synced: the job, the launch, the agent's record of it, each update",
        process="yes, and a session and a user",
        limits="a cgroup: CPU, memory, processes",
        sandbox="a folder, and files for its output, kept",
        client_is_part=True,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        return sys.executable

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._numbers = itertools.count()

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        from pymesos_cli.local.cluster import LocalCluster

        self._thread.start()
        folder.chmod(0o711)  # tasks of other users find their sandboxes
        self._cluster = LocalCluster(folder)
        master = self._cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", "0", "--work-dir", str(folder / "master"), "--log-level", "warning"),
            "--no-http",
        )
        self._cluster.start(
            "agent",
            "pymesos_agent.main",
            *("--port", "0", "--master", master.address, "--work-dir", str(folder / "agent")),
            *("--resources", f"cpus:{AT_ONCE};mem:65536", "--runtime", "process"),
            *("--kill-tasks-on-exit", "--log-level", "warning"),
        )
        self._wait(self._subscribe(folder, master.address))
        return version("pymesos-cluster")

    async def _subscribe(self, folder: Path, master: str) -> None:
        from launch import Timed

        from pymesos_binpack.core import BinpackCore
        from pymesos_binpack.placement.packing import DEFAULT_POLICY, read_policy
        from pymesos_core.store import Store
        from pymesos_proto.v1 import types_pb2 as pb

        info = pb.FrameworkInfo(
            name="bench", capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE]
        )
        core = BinpackCore(read_policy(DEFAULT_POLICY), {})
        self._binpack = Timed(core, Store(folder / "framework.sqlite"), info, master)
        self._running = asyncio.create_task(self._binpack.run())

    async def _run(self, tasks: int, cpus: float) -> tuple[float, str]:
        """When it was submitted, and the job."""
        from launch import ended, job

        name = f"job-{next(self._numbers)}"
        described = job(tasks, "true", cpus)
        begin_s = time.perf_counter()
        job_id = await self._binpack.submit(described, name)
        await ended(self._binpack, job_id)
        return begin_s, job_id

    def burst(self, tasks: int) -> None:
        """See Peer."""
        self._wait(self._run(tasks, 1))

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        return self._wait(self._one())  # type: ignore[no-any-return]

    async def _one(self) -> Mapping[str, float]:
        begin_s, job_id = await self._run(1, 0.1)
        end_s = time.perf_counter()
        task_id = self._binpack.core.jobs[job_id].instances[0].saved.task_id
        return {
            "running": (self._binpack.running_at[task_id] - begin_s) * 1000,
            "result": (end_s - begin_s) * 1000,
        }

    async def _teardown(self) -> None:
        self._binpack.driver.teardown()
        await asyncio.wait_for(self._running, 20)

    def stop(self) -> None:
        """See Peer."""
        try:
            if hasattr(self, "_running"):
                self._wait(self._teardown())
        finally:
            if hasattr(self, "_cluster"):
                self._cluster.stop()
