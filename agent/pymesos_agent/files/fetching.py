"""The files of tasks are made ready in threads, which nobody waits for once a task is not wanted:
artifacts are fetched, and volumes given to the task's user."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pymesos_agent.containers import users
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed, ContainerPulling, killed_early
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.artifacts import ArtifactError, Artifacts, OnSocket
from pymesos_agent.files.config import NOTHING, ConfigError, Found, Rendering
from pymesos_agent.files.handing import hand_over
from pymesos_agent.files.mounting import MountError
from pymesos_agent.files.turns import HandingStoppedError, turn_of
from pymesos_agent.files.unpacking import User
from pymesos_agent.secrets import SecretsError
from pymesos_core.containers import secret_names
from pymesos_core.tasks import Background
from pymesos_core.text import os_problem
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

Stopped = Callable[[], bool]
GiveSecrets = Callable[[ContainerSpec, Mapping[str, Found]], Awaitable[ContainerSpec]]
Step = tuple[str, Callable[[Stopped], None]]  # what is said while it is done; it raises MountError

NOBODY: User = (65534, 65534, ())
MAX_FETCHES = 64  # at a time


class Fetching:
    """The containers that wait for their files."""

    def __init__(
        self,
        artifacts: Artifacts,
        tell: Callable[[ContainerPulling | ContainerFailed], None],
        give_secrets: GiveSecrets,
        rendering: Rendering,
        addresses: Addresses,
    ) -> None:
        self._artifacts = artifacts
        self._addresses = addresses
        self._rendering = rendering
        self._give_secrets = give_secrets
        self._tell = tell
        self._fetches = Background("fetching files")
        self._tasks: dict[str, asyncio.Task[None]] = {}  # of them, that are wanted
        self._slots = asyncio.Semaphore(MAX_FETCHES)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def start(
        self,
        spec: ContainerSpec,
        volumes: Sequence[Path],
        launch: Callable[[ContainerSpec], None],
        first: Sequence[Step] = (),
    ) -> None:
        """Do what is to be done first, give its user some volumes, fetch all that it wants, then
        launch it."""
        fetch = self._fetch(spec, volumes, launch, first)
        self._tasks[spec.container_id] = self._fetches.start(fetch)

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

    async def _fetch(
        self,
        spec: ContainerSpec,
        volumes: Sequence[Path],
        launch: Callable[[ContainerSpec], None],
        first: Sequence[Step],
    ) -> None:
        """Make a container's files ready, one after the other."""
        try:
            for text, step in first:
                self._tell(ContainerPulling(spec.container_id, text))
                await self._in_thread(partial(_do_first, step))
            for volume in volumes:
                text = f"Giving the volume {volume.name} to the task's user"
                self._tell(ContainerPulling(spec.container_id, text))
                await self._in_thread(partial(_hand_over, volume, spec))
            for artifact in spec.info.artifacts:
                text = f"Fetching {artifact.uri[:200]}"
                self._tell(ContainerPulling(spec.container_id, text))
                async with self._slots:
                    await self._in_thread(partial(self._fetch_one, artifact, spec))
            told = NOTHING
            if spec.info.container.config:
                self._tell(ContainerPulling(spec.container_id, "Making its config files"))
                if any(file.addresses for file in spec.info.container.config):
                    await self._addresses.known()
                told = self._addresses.told(spec.info.container)
                self._addresses.given[spec.container_id] = told
                await self._rendering.write(spec, told)
            if secret_names(spec.info.container):
                self._tell(ContainerPulling(spec.container_id, "Waiting for its secrets"))
                spec = await self._give_secrets(spec, told)
        except (ArtifactError, ConfigError, SecretsError) as error:
            del self._tasks[spec.container_id]
            self._tell(ContainerFailed(spec.container_id, str(error)))
        except Exception as error:  # else its task would wait for ever; no secret is quoted
            log.exception("making files ready")
            del self._tasks[spec.container_id]
            said = f"its files cannot be made ready: {type(error).__name__}"
            self._tell(ContainerFailed(spec.container_id, said))
        else:
            del self._tasks[spec.container_id]
            launch(spec)

    def _fetch_one(
        self, artifact: pb.Artifact, spec: ContainerSpec, stopped: Stopped, on_socket: OnSocket
    ) -> None:
        """In a thread. Raises ArtifactError."""
        try:
            self._artifacts.fetch(
                *(artifact, spec.sandbox, spec.owner, stopped, on_socket), reader_of(spec)
            )
        except ArtifactError:
            raise
        except Exception as error:
            log.exception("fetching %s", artifact.uri[:200])
            text = f"{artifact.uri[:200]} cannot be fetched: {error!r}"
            raise ArtifactError(text) from error

    async def _in_thread(self, work: Callable[[Stopped, OnSocket], None]) -> None:
        """A part of it. The thread ends soon after we are cancelled, and keeps no process alive.

        Raises ArtifactError.
        """
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

        def run() -> None:
            problem: Exception | None = None
            try:
                work(stopped.is_set, sockets.append)
            except ArtifactError as error:
                problem = error
            except Exception as error:  # what nobody foresaw is a failure like any other
                log.exception("making files ready")
                problem = ArtifactError(f"its files cannot be made ready: {error!r}")
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                loop.call_soon_threadsafe(settle, problem)

        threading.Thread(target=run, name="files", daemon=True).start()
        try:
            await done
        finally:
            stopped.set()
            for each in sockets:
                with contextlib.suppress(OSError):  # also of one that speaks TLS
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


def _do_first(step: Callable[[Stopped], None], stopped: Stopped, _: OnSocket) -> None:
    """In a thread. Raises ArtifactError."""
    try:
        step(stopped)
    except MountError as error:
        raise ArtifactError(f"its volume cannot be made ready: {error}") from error


def _hand_over(volume: Path, spec: ContainerSpec, stopped: Stopped, _: OnSocket) -> None:
    """In a thread. Raises ArtifactError."""
    try:
        with turn_of(volume):
            hand_over(volume, spec.owner or (0, 0), stopped)
    except HandingStoppedError as error:
        raise ArtifactError("it is not wanted any more") from error
    except OSError as error:
        text = f"its volume cannot be given to its user: {os_problem(error)}"
        raise ArtifactError(text) from error


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
    if spec.own_uid:
        return spec.own_uid, spec.own_uid, ()
    with contextlib.suppress(users.UserError):
        user = users.on_machine(spec.user)
        if (user.uid, user.gid) == spec.owner:
            return user.uid, user.gid, user.more_gids
    return *spec.owner, ()
