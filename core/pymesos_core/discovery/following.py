"""Hearing what serves, from whichever master leads, and keeping it for a restart."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.discovery.held import OldLeaderError
from pymesos_core.discovery.resolver import Names
from pymesos_core.following import RECONNECT_S, follow
from pymesos_core.outside import Outside
from pymesos_core.streams import in_thread
from pymesos_core.tasks import until_first
from pymesos_core.text import os_problem
from pymesos_core.transport import CallError, Channel, Code, method_of
from pymesos_proto.v1 import names_pb2 as pb

FOLLOW = method_of("/pymesos.v1.Names/Follow", pb.FollowNamesRequest, pb.NamesBatch)
SILENCE_S = 20.0  # a leader says something every 5 s
WRITE_S = 5.0  # what changes is written so often at most
WRITE_AGAIN_S = 300.0  # and what does not, since it is dated
FILE = "names"

log = logging.getLogger(__name__)


class Following:
    """Follows for one resolver."""

    def __init__(self, names: Names, outside: Outside, kept: Path | None = None) -> None:
        """`kept` is the file that a restart begins with."""
        self._names = names
        self._outside = outside
        self._kept = kept
        self._heard_at_s = 0.0
        self._written_s = outside.mono_s()
        self._is_new = False  # something that is not written
        if kept is not None:
            self._restore(kept)

    def _restore(self, kept: Path) -> None:
        try:
            self._names.restore(kept.read_bytes(), self._outside.wall_s())
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("names begin with what the leader tells: %s", os_problem(error))

    async def run(self, detector: Detector) -> None:
        """Follow until this is cancelled. Raises CoordinationError."""
        backoff = self._outside.backoff(*RECONNECT_S)
        await until_first(
            follow(detector, self._session, backoff, self._outside.dial), self._keep()
        )

    async def _session(self, channel: Channel, address: HostPort) -> None:
        stream = channel.stream(FOLLOW)
        try:
            await stream.write(pb.FollowNamesRequest())
            await stream.done_writing()
            self._names.held.begin()
            while True:
                async with asyncio.timeout(SILENCE_S):
                    batch = await stream.read()
                if batch is None:
                    return
                self._is_new |= self._names.take(batch)
                self._heard_at_s = self._outside.wall_s()
        except TimeoutError:
            said = f"it has said nothing of names for {SILENCE_S:g} s"
            raise CallError(Code.UNAVAILABLE, said) from None
        except OldLeaderError:
            raise CallError(Code.ABORTED, "it speaks in an older epoch than was heard") from None
        finally:
            stream.cancel()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            due = self._outside.mono_s() - self._written_s >= WRITE_AGAIN_S
            if self._kept is None or not self._heard_at_s or not (self._is_new or due):
                continue
            self._is_new, self._written_s = False, self._outside.mono_s()
            data = self._names.held.keep(self._heard_at_s)
            try:
                await in_thread(_write, self._kept, data)
            except OSError as error:
                log.warning("a restart would not know what serves: %s", os_problem(error))


def _write(path: Path, data: bytes) -> None:
    """Replace the file; nobody but its owner reads it, as nobody else may ask for names."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
        file.write(data)
    new.replace(path)
