"""Removing an agent from its machine: tasks, containers, networks, and its work directory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from pymesos_agent.core.events import ContainerExited
from pymesos_agent.core.executors.executor import read
from pymesos_agent.core.tasks.task import TASK
from pymesos_agent.files.mounting import unmount_own
from pymesos_agent.files.trees import remove_tree
from pymesos_agent.runtimes.interface import Runtime, RuntimeEvent
from pymesos_core.exits import RoleError
from pymesos_core.store import Records
from pymesos_core.text import duration, os_problem

END_TIMEOUT_S = 30.0
CLEAN_TIMEOUT_S = 10.0


class PurgeError(RoleError):
    """Something could not be removed: the message says what, and what to do."""


class Ended:
    """Which containers have ended; a runtime's callback."""

    def __init__(self) -> None:
        self.container_ids: set[str] = set()
        self._changed = asyncio.Event()

    def __call__(self, event: RuntimeEvent) -> None:
        """Note an exit."""
        if isinstance(event, ContainerExited):
            self.container_ids.add(event.container_id)
            self._changed.set()

    async def wait_for(self, container_ids: set[str]) -> None:
        """Return when all of them have ended."""
        while not container_ids <= self.container_ids:
            self._changed.clear()
            await self._changed.wait()


Pids = Mapping[str, Mapping[str, int]]  # by runtime, then by container id: its main process


def pids_of(records: Records) -> Pids:
    """The main process of each checkpointed container; a record that is damaged is passed over."""
    out: dict[str, dict[str, int]] = {}
    for (kind, _), value in records.items():
        if kind == TASK:
            try:
                container = read(value).container
            except (DecodeError, ValueError):
                continue
            if container is not None and container.pid:
                out.setdefault(container.runtime, {})[container.container_id] = container.pid
    return out


async def end_containers(runtimes: Sequence[Runtime], ended: Ended, pids: Pids) -> int:
    """Kill and remove all containers of an agent that is not running; how many there were.

    Raises PurgeError when some do not end.
    """
    where: dict[str, Runtime] = {}
    for runtime in runtimes:
        for container_id, state in (await runtime.recover(pids.get(runtime.name, {}))).items():
            where[container_id] = runtime
            if state.exit is not None:
                ended.container_ids.add(container_id)
            else:
                runtime.kill(container_id, force=True)
    try:
        await asyncio.wait_for(ended.wait_for(set(where)), END_TIMEOUT_S)
    except TimeoutError:
        left = ", ".join(sorted(set(where) - ended.container_ids))
        raise PurgeError(
            f"these containers did not end within {duration(END_TIMEOUT_S)}: {left}. Nothing"
            f" was deleted; end their processes, and try again"
        ) from None
    for container_id, runtime in where.items():
        runtime.destroy(container_id)
    return len(where)


async def unmount_files(work_dir: Path) -> None:
    """Unmount what agents have mounted there, so whoever deletes it can. Raises PurgeError."""
    try:
        await asyncio.to_thread(unmount_own, work_dir)
    except OSError as error:
        raise PurgeError(
            f"what is mounted in {work_dir} stays: {os_problem(error)}. Unmount it, and try again"
        ) from error


async def remove_files(work_dir: Path) -> None:
    """Delete the work directory. Raises PurgeError."""
    deadline_s = asyncio.get_running_loop().time() + CLEAN_TIMEOUT_S
    while work_dir.exists():  # what was destroyed is cleaned up beside this
        try:
            await asyncio.to_thread(unmount_own, work_dir)
            await asyncio.to_thread(remove_tree, work_dir)
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline_s:
                raise PurgeError(f"{work_dir} cannot be deleted: {os_problem(error)}") from error
            await asyncio.sleep(0.2)
