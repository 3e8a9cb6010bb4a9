"""What a container of the engine writes, copied into a file of its sandbox without losing the end.

A stream that follows a log may end before the last of it (seen with Docker 28: what a container
writes just before it ends, a line without its end above all, on a busy machine one time in four).
The engine has kept it, so the log is read once more when the container has ended.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_agent.files.logfile import RotatingLog

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
