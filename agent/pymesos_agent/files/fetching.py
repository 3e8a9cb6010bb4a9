"""The files of tasks are fetched in threads, which nobody waits for once a task is not wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

from pymesos_agent.containers import users
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed, ContainerPulling, killed_early
from pymesos_agent.files.artifacts import ArtifactError, Artifacts
from pymesos_agent.files.unpacking import User
from pymesos_core.tasks import Background
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

NOBODY: User = (65534, 65534, ())
MAX_FETCHES = 64  # at a time


class Fetching:
    """The containers that wait for their files."""

    def __init__(
        self, artifacts: Artifacts, tell: Callable[[ContainerPulling | ContainerFailed], None]
    ) -> None:
        self._artifacts = artifacts
        self._tell = tell
        self._fetches = Background("fetching files")
        self._tasks: dict[str, asyncio.Task[None]] = {}  # of them, that are wanted
        self._slots = asyncio.Semaphore(MAX_FETCHES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def start(self, spec: ContainerSpec, launch: Callable[[ContainerSpec], None]) -> None:
        """Fetch all that it wants, then launch it."""
        self._tasks[spec.container_id] = self._fetches.start(self._fetch(spec, launch))

    def stop(self, container_id: str) -> bool:
        """End it before it is launched, if it waits for its files; whether it did."""
        task = self._tasks.pop(container_id, None)
        if task is None:
            return False
        task.cancel()
        self._tell(killed_early(container_id))
        return True

    async def close(self) -> None:
        """Stop all of them, without a word."""
        await self._fetches.close()

    async def _fetch(self, spec: ContainerSpec, launch: Callable[[ContainerSpec], None]) -> None:
        """Fetch a container's artifacts, one after the other."""
        try:
            for artifact in spec.info.artifacts:
                text = f"Fetching {artifact.uri[:200]}"
                self._tell(ContainerPulling(spec.container_id, text))
                async with self._slots:
                    await self._in_thread(artifact, spec)
        except ArtifactError as error:
            del self._tasks[spec.container_id]
            self._tell(ContainerFailed(spec.container_id, str(error)))
        else:
            del self._tasks[spec.container_id]
            launch(spec)

    async def _in_thread(self, artifact: pb.Artifact, spec: ContainerSpec) -> None:
        """One of them. The thread ends soon after we are cancelled, and keeps no process alive."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        stopped = threading.Event()
        sockets: list[socket.socket] = []

        def settle(error: Exception | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def fetch() -> None:
            problem: Exception | None = None
            try:
                self._artifacts.fetch(
                    *(artifact, spec.sandbox, spec.owner, stopped.is_set, sockets.append),
                    reader_of(spec),
                )
            except ArtifactError as error:
                problem = error
            except Exception as error:
                log.exception("fetching %s", artifact.uri[:200])
                problem = ArtifactError(f"{artifact.uri[:200]} cannot be fetched: {error!r}")
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                loop.call_soon_threadsafe(settle, problem)

        threading.Thread(target=fetch, name="artifact", daemon=True).start()
        try:
            await done
        finally:
            stopped.set()
            for each in sockets:
                with contextlib.suppress(OSError):  # also of one that speaks TLS
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


def reader_of(spec: ContainerSpec) -> User | None:
    """As whom files of the machine are read for a task; None: as who the agent is.

    Who a container of an image is, is not known here: it gets what everybody may read.
    """
    if os.geteuid() != 0:
        return None
    if spec.info.container.image:
        return NOBODY
    if spec.owner is None:
        return None
    with contextlib.suppress(users.UserError):
        user = users.on_machine(spec.user)
        if (user.uid, user.gid) == spec.owner:
            return user.uid, user.gid, user.more_gids
    return *spec.owner, ()
