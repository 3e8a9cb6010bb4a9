"""What containers of an engine write, copied into files of their sandboxes without losing the end.

A stream that follows a log may end before the last of it (seen with Docker 28: what a container
writes just before it ends, a line without its end above all, on a busy machine one time in four).
The engine has kept it, so the log is read once more when the container has ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from docker.errors import NotFound

from pymesos_agent.containers.settings import LogLimits
from pymesos_agent.files.logfile import RotatingLog
from pymesos_agent.runtimes.docker.engine import AGAIN_S, ENGINE_ERRORS, Engine, engine_name

log = logging.getLogger(__name__)

OUTPUT_TIMEOUT_S = 10.0  # for what an ended container has written to reach its sandbox
KNOWN_BYTES = 4096  # by which the end of what was copied is found in a log whose start is gone


class Copied:
    """One output of one container, and how far it was copied."""

    def __init__(self, file: RotatingLog) -> None:
        self._file = file
        self._bytes = 0
        self._head = b""
        self._tail = b""

    def write(self, chunk: bytes) -> None:
        """What comes next."""
        self._file.write(chunk)
        self._bytes += len(chunk)
        if len(self._head) < KNOWN_BYTES:
            self._head = (self._head + chunk)[:KNOWN_BYTES]
        self._tail = (self._tail + chunk)[-KNOWN_BYTES:]

    def complete(self, whole: Iterable[bytes]) -> None:
        """Write what is missing, given all that the engine still has.

        It may have rotated the start away: then by the last bytes that were copied.
        """
        before, position, rotated, end = self._bytes, 0, False, b""
        for chunk in whole:
            head = self._head[position : position + len(chunk)]
            rotated = rotated or not chunk.startswith(head)
            if rotated:
                end = (end + chunk)[-16 * KNOWN_BYTES :]
            elif position + len(chunk) > before:
                self.write(chunk[max(0, before - position) :])
            position += len(chunk)
        at = end.rfind(self._tail)
        if at >= 0:
            self.write(end[at + len(self._tail) :])


class KeepError(Exception):
    """What a container writes cannot be written into its sandbox."""


class Outputs:
    """The outputs of an engine's containers, each copied by a thread."""

    def __init__(self, engine: Engine, logs: LogLimits) -> None:
        self._engine = engine
        self._logs = logs
        self._copies: dict[str, list[threading.Thread]] = {}
        self._sandboxes: dict[str, Path] = {}  # of containers whose output was copied

    def sandbox(self, container_id: str) -> Path | None:
        """The sandbox into which its output was copied, if it was."""
        return self._sandboxes.get(container_id)

    def is_copied(self, container_id: str) -> bool:
        """Whether its output is being copied."""
        return any(copy.is_alive() for copy in self._copies.get(container_id, ()))

    def forget(self, container_id: str) -> None:
        """Forget a container that is removed."""
        self._sandboxes.pop(container_id, None)

    def copy(self, container_id: str, sandbox: Path) -> None:
        """Write the output into the sandbox, from its start: the engine keeps it all."""

        def copy(out: bool) -> None:
            while not self._engine.closing:
                try:
                    self._copy(container_id, sandbox, out)
                    return
                except (NotFound, FileNotFoundError):
                    return
                except KeepError as error:
                    log.warning("the output of %s cannot be kept: %s", container_id, error)
                    return
                except ENGINE_ERRORS as error:
                    log.debug("the output of %s broke off: %s", container_id, error)
                    self._engine.look()
                    time.sleep(AGAIN_S)
                    self._engine.wait_until_here()

        self._sandboxes[container_id] = sandbox
        copies = [
            threading.Thread(target=copy, args=(out,), name="docker-logs", daemon=True)
            for out in (True, False)
        ]
        self._copies[container_id] = copies
        for thread in copies:
            thread.start()

    def _copy(self, container_id: str, sandbox: Path, out: bool) -> None:
        read = partial(
            self._engine.streams.logs,
            engine_name(container_id),
            stdout=out,
            stderr=not out,
            stream=True,
        )
        with self._log(sandbox, out) as file:
            copied = Copied(file)
            for chunk in read(follow=True):
                copied.write(chunk)
            copied.complete(read(follow=False))

    @contextlib.contextmanager
    def _log(self, sandbox: Path, out: bool) -> Iterator[RotatingLog]:
        """Anew: the engine says all of it again."""
        name = "stdout" if out else "stderr"
        limits = self._logs
        for number in range(limits.files):
            (sandbox / (f"{name}.{number}" if number else name)).unlink(missing_ok=True)
        folder = os.open(sandbox, os.O_PATH | os.O_DIRECTORY)
        try:
            try:
                log = RotatingLog(folder, name, limits.max_bytes, limits.files, None)
            except OSError as error:
                raise KeepError(str(error)) from error
            try:
                yield log
            finally:
                log.close()
        finally:
            os.close(folder)

    def wait(self, container_id: str) -> None:
        """Until the output of an ended container is in its sandbox, for a while."""
        # Two may wait for it at once, and neither may go on before the output is there.
        for thread in self._copies.get(container_id, ()):
            thread.join(OUTPUT_TIMEOUT_S)
        self._copies.pop(container_id, None)
