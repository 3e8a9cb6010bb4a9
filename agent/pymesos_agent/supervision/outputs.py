"""What a container writes, on its way into the sandbox.

It comes through named pipes. A container holds both ends of its own, so that nothing is lost, and
nobody gets SIGPIPE, while no supervisor reads. The standard library only.
"""

from __future__ import annotations

import contextlib
import os
import selectors

from pymesos_agent.files.logfile import RotatingLog

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from typing import Any

    Message = dict[str, Any]

CHUNK_BYTES = 64 * 1024  # as much as a pipe holds
MAX_LAST_WORDS_BYTES = 16 * 1024 * 1024  # of an ended container, should something go on writing


class Output:
    """One stream of a container: what comes through its pipe goes into its log."""

    def __init__(self, path: str, log: RotatingLog) -> None:
        """Raises OSError."""
        self.path = path
        self.log = log
        # For reading and writing: it never ends for us before we close it.
        self.pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def copy(self) -> int:
        """A chunk, as far as there is one; its size."""
        if self.pipe < 0:
            return 0  # closed by what was handled just before
        try:
            data = os.read(self.pipe, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        self.log.write(data)
        return len(data)

    def close(self) -> None:
        """After the last words."""
        total = 0
        while (size := self.copy()) and total < MAX_LAST_WORDS_BYTES:
            total += size
        os.close(self.pipe)
        self.pipe = -1
        self.log.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Outputs:
    """Both streams of a container, which the loop of a selector copies."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._outputs: list[Output] = []
        self._folder: int | None = None  # the sandbox, as long as there are outputs

    def open(self, logs: Message) -> None:
        """Make the named pipes and the files they go to.

        Raises OSError; what could be opened is open then, too.
        """
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._folder = os.open(logs["folder"], flags)
        owner = tuple(logs["owner"]) if logs.get("owner") else None
        for name, path in zip(("stdout", "stderr"), logs["pipes"], strict=True):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
                if owner is not None:
                    os.chown(path, *owner)
            log = RotatingLog(self._folder, name, logs["max_bytes"], logs["files"], owner)
            try:
                output = Output(path, log)
            except OSError:
                log.close()
                raise
            self._outputs.append(output)
            self._selector.register(output.pipe, selectors.EVENT_READ, output.copy)

    def close(self) -> None:
        """With all that is still in them."""
        for output in self._outputs:
            self._selector.unregister(output.pipe)
            output.close()
        self._outputs.clear()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None
