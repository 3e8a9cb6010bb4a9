"""A loop that starts processes and waits for them: the floor."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from peering.interface import AT_ONCE, COMMAND, About, Peer


class Bare(Peer):
    """See Peer."""

    about = About(
        "a bare loop",
        durable="nothing",
        process="yes",
        limits="none",
        sandbox="none",
        client_is_part=True,
    )

    @staticmethod
    def python(prefix: Path) -> str:
        """See Peer."""
        return sys.executable

    def start(self, prefix: Path, folder: Path) -> str:
        """See Peer."""
        return ""

    def burst(self, tasks: int) -> None:
        """See Peer."""
        running: list[subprocess.Popen[bytes]] = []
        for _ in range(tasks):
            if len(running) == AT_ONCE:
                running.pop(0).wait()
            running.append(subprocess.Popen(COMMAND, start_new_session=True))
        for process in running:
            process.wait()

    def one(self) -> Mapping[str, float]:
        """See Peer."""
        begin_s = time.perf_counter()
        process = subprocess.Popen(COMMAND, start_new_session=True)
        running_s = time.perf_counter()
        process.wait()
        return {
            "running": (running_s - begin_s) * 1000,
            "result": (time.perf_counter() - begin_s) * 1000,
        }

    def stop(self) -> None:
        """See Peer."""
