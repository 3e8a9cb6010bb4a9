"""Which runtimes an agent has, when it starts and later."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pymesos_agent.containers.settings import Settings
from pymesos_agent.core.records import RecordError, read_owner
from pymesos_agent.core.tasks.task import TASK
from pymesos_agent.runtimes.interface import AnswerAt, OnEvent, Runtime, RuntimeUnavailableError
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_core.exits import RoleError
from pymesos_core.store import Records

log = logging.getLogger(__name__)


class NoRuntimeError(RoleError):
    """The agent cannot run anything, or not what it has to: the message says why."""


def tag_of(work_dir: Path) -> str:
    """What an agent's containers are known by on its machine."""
    return hashlib.sha256(str(work_dir).encode()).hexdigest()[:16]


def candidates_of(
    wanted: str,
    docker_host: str | None,
    settings: Settings,
    work_dir: Path,
    answer_at: AnswerAt | None = None,
) -> list[Runtime]:
    """The runtimes that were asked for.

    `answer_at` has the containers of an engine's bridge find the names of the cluster.
    """
    tag = tag_of(work_dir)
    candidates: list[Runtime] = []
    if wanted in ("auto", "process"):
        candidates.append(ProcessRuntime(work_dir, tag, settings))
    # With `auto`, an image's root is to be nobody wherever it runs, so not on an engine.
    namespaced = settings.user_namespace_base
    if wanted == "docker" or (wanted == "auto" and not namespaced):
        from pymesos_agent.runtimes.docker.runtime import (
            DockerRuntime,
        )  # slow to load

        candidates.append(DockerRuntime(tag, docker_host, settings, answer_at))
    if wanted in ("auto", "oci"):
        candidates.append(OciRuntime(work_dir, tag, settings))
    return candidates


async def start_runtimes(
    candidates: Sequence[Runtime], on_event: OnEvent
) -> tuple[list[Runtime], dict[Runtime, str]]:
    """Start runtimes: those that work, and why the others do not."""
    works: list[Runtime] = []
    away: dict[Runtime, str] = {}
    for runtime in candidates:
        try:
            await runtime.start(on_event)
            works.append(runtime)
        except RuntimeUnavailableError as error:
            away[runtime] = str(error)
            log.info("the runtime %s is not available: %s", runtime.name, error)
    for runtime in works:
        holds = ", ".join(f"{name}: {what}" for name, what in runtime.isolation.items())
        log.info("runtime %s (%s)", runtime.name, holds)
    return works, away


def runtimes_of(records: Records) -> set[str]:
    """The runtimes that the tasks of a checkpoint may run on."""
    needed: set[str] = set()
    for (kind, key), value in records.items():
        if kind == TASK:
            try:
                owner = read_owner(key, value)
            except RecordError:
                continue  # set aside when it is recovered
            if owner.begun and owner.runtime:  # a task in an executor has that of its executor
                needed.add(owner.runtime)
    return needed


def check_needed(
    works: Sequence[Runtime], away: Mapping[Runtime, str], needed: Collection[str]
) -> None:
    """Tasks whose runtime does not answer may run all the same: nothing is said of them before it
    does. Raises NoRuntimeError."""
    known = {runtime.name for runtime in (*works, *away)}
    if missing := sorted(set(needed) - known):
        raise NoRuntimeError(
            f"this agent has tasks of the runtime {', '.join(missing)}, which is not there now"
            f" (--runtime does not name it): bring it back, or give the tasks up with"
            f" `pymesos-agent recover --discard`"
        )
    if not works and not needed:
        why = "; ".join(f"{runtime.name}: {problem}" for runtime, problem in away.items())
        others = (
            ""
            if any(runtime.name == "process" for runtime in away)
            else ("; --runtime process needs nothing that is installed")
        )
        raise NoRuntimeError(f"no runtime works here: {why}{others}")
