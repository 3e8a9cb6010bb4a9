"""What a system has to do to be compared, and what is known of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

COMMAND = ("/bin/sh", "-c", "true")
CORES = os.cpu_count() or 1
AT_ONCE = 64  # tasks, where a system has no workers of its own that run one each
INSTALL = "install it with bench/peers-deps.sh"


@dataclass(frozen=True)
class About:
    """What a system is, and what it does for a task."""

    title: str
    durable: str  # what is on disk before it says that a task is accepted
    process: str  # what a task has of its own
    limits: str
    sandbox: str  # its folder and its logs
    share: float = 1.0  # of the tasks and single launches: the slow ones get fewer
    client_is_part: bool = False  # whether the process that submits is a part of the system


class Peer(ABC):
    """A system on one node. What raises ends its turn."""

    about: ClassVar[About]

    @staticmethod
    @abstractmethod
    def python(prefix: Path) -> str:
        """Return the Python in which it is installed. Raises MissingError."""

    @abstractmethod
    def start(self, prefix: Path, folder: Path) -> str:
        """Start it, until it takes tasks, with its files in a folder; its version, or nothing."""

    @abstractmethod
    def burst(self, tasks: int) -> None:
        """Submit so many short tasks, and wait until all have ended well."""

    @abstractmethod
    def one(self) -> Mapping[str, float]:
        """Run one task: milliseconds to `running`, to `result`, what of the two can be seen."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""


class MissingError(Exception):
    """A system is not installed; the message says what is missing and how to get it."""


def of_venv(prefix: Path, name: str) -> str:
    """Return the Python of a virtual environment. Raises MissingError."""
    python = prefix / name / "bin/python"
    if not python.exists():
        raise MissingError(f"there is no {python}; {INSTALL} {name}")
    return str(python)


def run(*argv: str, env: Mapping[str, str] | None = None, text: str = "", limit_s: int = 60) -> str:
    """Run a command and return what it writes; what it writes when it fails is in the error."""
    done = subprocess.run(
        argv, env=env, input=text, capture_output=True, text=True, timeout=limit_s, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


class Servers:
    """The servers of a system: their output goes to a folder, and the last started ends first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, env: Mapping[str, str] | None = None) -> None:
        """Start one."""
        if not shutil.which(argv[0]):
            raise RuntimeError(f"{argv[0]} is missing")
        log = self._folder / f"{Path(argv[0]).name}.log"
        with log.open("ab") as output:
            self._running.append(
                subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env
                )
            )

    def wait_for(self, what: str, ready: Callable[[], bool], limit_s: float = 30) -> None:
        """Poll until it is ready; a server that has ended is an error."""
        deadline_s = time.monotonic() + limit_s
        while not ready():
            ended = [server for server in self._running if server.poll() is not None]
            if ended or time.monotonic() > deadline_s:
                raise RuntimeError(f"{what} is not ready: {self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        logs: Sequence[Path] = sorted(self._folder.glob("*.log"))
        return " | ".join(log.read_text("utf-8", "replace")[-500:] for log in logs)

    def stop(self) -> None:
        """End all, by SIGTERM, and by force after 10 s."""
        for server in reversed(self._running):
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
