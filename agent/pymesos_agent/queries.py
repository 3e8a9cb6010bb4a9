"""What people ask of an agent: the files of a task, a way into its container, what it uses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pymesos_agent.containers.marks import Marks
from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.usage import ContainerUsage, read_usage
from pymesos_agent.containers.users import UserError
from pymesos_agent.core import AgentCore
from pymesos_agent.core.context import AgentState, Owner
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.core.slack import Measured
from pymesos_agent.core.tasks.task import Task
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.sandbox import Files
from pymesos_agent.health.checking import CheckError
from pymesos_agent.health.gauges import read_gauge
from pymesos_agent.runtimes.interface import Runtime
from pymesos_core.clock import Now, read_clock
from pymesos_core.resources import from_proto
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.checkpoint_pb2 import SandboxRecord

TaskKey = tuple[str, str]  # framework id, task id

RUNS = (pb.TASK_RUNNING, pb.TASK_KILLING)
MIB = 1024 * 1024
MILLI_MIB = 1024 * 1024 / 1000


class Queries:
    """Answers from the core's state and the machine; nothing is changed."""

    def __init__(
        self,
        core: AgentCore,
        runtimes: Mapping[str, Runtime],
        folders: Folders,
        marks: Marks,
        clock: Callable[[], Now] = read_clock,
        usage_of: Callable[[int], ContainerUsage | None] = read_usage,
    ) -> None:
        """`runtimes`, by name, may become more later."""
        self._clock = clock
        self._usage_of = usage_of
        self._core = core
        self._runtimes = runtimes
        self._folders = folders
        self._marks = marks

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in the container of a task. Raises EntryError."""
        task = self._core.state.by_key.get((framework_id, task_id))
        return self._entry(task, f"the task {task_id[:255]}", argv, term)

    def entry_in(self, record_id: str, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in a container, by its id or that of a task in it.

        Raises EntryError.
        """
        owner, _ = self._recorded(record_id)
        return self._entry(owner, f"the container {record_id[:255]}", argv, term)

    def _entry(self, owner: Owner | None, name: str, argv: Sequence[str], term: str) -> Entry:
        """Raises EntryError."""
        if owner is None or owner.ended:
            raise EntryError(f"{name} does not run on this agent any more")
        if not (owner.begun if isinstance(owner, Executor) else owner.state in RUNS):
            raise EntryError(f"{name} does not run yet")
        whose = owner if isinstance(owner, Executor) else owner.executor or owner
        try:
            runtime = self._runtimes.get(whose.runtime)
            if runtime is None:
                raise EntryError(f"the runtime {whose.runtime} does not answer now")
            start = self._core.start_of(whose)
            entry = runtime.entry(self._folders.spec(start), argv, term)
            return entry.kept_in(self._marks)
        except UserError as error:
            raise EntryError(str(error)) from error

    def has_framework(self, framework_id: str) -> bool:
        """Whether it has a task or an executor of a framework."""
        owners = self._core.state.owners.values()
        return any(owner.framework_id == framework_id for owner in owners)

    def executor(self, framework_id: str, executor_id: str) -> Executor | None:
        """The executor of that id which has not ended, if there is one."""
        executor = self._core.state.executors.get((framework_id, executor_id))
        return executor if executor is not None and not executor.ended else None

    def agent_info(self) -> pb.AgentInfo:
        """The agent, as it was started; without its id."""
        return self._core.config.info

    def agent_id(self) -> str:
        """The agent's id; empty until a master has known it."""
        return self._core.state.agent_id

    @property
    def state(self) -> AgentState:
        """What the agent knows, to be read."""
        return self._core.state

    def folder_of(self, container_id: str) -> Path:
        """Where the files of a container are."""
        return self._folders.sandbox(container_id)

    def find_files(self, framework_id: str, task_id: str) -> Files | None:
        """The files of the latest task of an id. Others may have its volumes once it has ended."""
        record_id = self.latest(framework_id, task_id)
        return None if record_id is None else self.files_in(record_id)

    def latest(self, framework_id: str, task_id: str) -> str | None:
        """The id of the record of the latest task, or executor, of an id."""
        state = self._core.state
        key = framework_id, task_id
        owner = state.by_key.get(key) or state.executors.get(key)
        if owner is not None:
            return owner.container_id
        kept = (*reversed(state.sandboxes.values()), *reversed(state.in_executors.values()))
        found = (one.container_id for one in kept if (one.framework_id, one.task_id) == key)
        return next(found, None)

    def key_of(self, record_id: str) -> TaskKey | None:
        """The framework and the task, or executor, that a record is of."""
        owner, record = self._recorded(record_id)
        if owner is not None:
            return owner.key
        return None if record is None else (record.framework_id, record.task_id)

    def role_of(self, record_id: str) -> str:
        """The role of the task, or executor, that a record is of; empty: it is not known."""
        owner, record = self._recorded(record_id)
        if owner is not None:
            return owner.role
        return "" if record is None else record.task.role

    def has_ended(self, record_id: str) -> bool:
        """Whether the task, or executor, that a record is of has ended, or is not known."""
        owner, _ = self._recorded(record_id)
        return owner is None or owner.ended

    def files_in(self, record_id: str) -> Files | None:
        """The files of the task, or executor, that a record is of."""
        owner, record = self._recorded(record_id)
        if owner is not None:
            if isinstance(owner, Task) and owner.inside is not None:
                return Files(self._folders.sandbox(owner.inside.container_id), owner.ended)
            shown = isinstance(owner, Task) and not owner.ended
            volumes = self._folders.volumes(self._core.start_of(owner)) if shown else ()
            return Files(self._folders.sandbox(owner.container_id), owner.ended, volumes)
        if record is None:
            return None
        container_id = record.executor_container_id or record.container_id
        return Files(self._folders.sandbox(container_id), ended=True)

    def _recorded(self, record_id: str) -> tuple[Owner | None, SandboxRecord | None]:
        """Who has it, or what is kept of who had."""
        state = self._core.state
        owner = state.tasks.get(record_id) or state.owners.get(record_id)
        return owner, state.sandboxes.get(record_id) or state.in_executors.get(record_id)

    def told_tasks(self) -> dict[TaskKey, Task]:
        """Return the tasks that run and of whose use their frameworks want to know."""
        return {
            (owner.framework_id, owner.info.task_id): owner
            for owner in self._core.state.owners.values()
            if isinstance(owner, Task)
            and owner.container is not None
            and owner.container.pid
            and not owner.ended
            and owner.info.HasField("measure")
        }

    def gauges(self, told: Mapping[TaskKey, Task]) -> dict[TaskKey, Callable[[], Awaitable[float]]]:
        """Return how the gauges of tasks are read, of those that have one."""
        return {
            key: partial(self._gauge_of, owner)
            for key, owner in told.items()
            if owner.info.measure.metric
        }

    async def _gauge_of(self, owner: Task) -> float:
        """Raises CheckError, UserError."""
        container = owner.container
        if container is None:
            raise CheckError("its container is gone")
        spec = self._folders.spec(self._core.start_of(owner))
        return await read_gauge(owner.info.measure, spec, container.pid)

    async def measured(self) -> dict[str, Measured]:
        """What has been used, by container: of all that run and can be measured."""
        return {
            container_id: Measured(usage.cpu_s, usage.mem_bytes / MIB)
            for container_id, usage in (await self.container_usage()).items()
        }

    async def container_usage(self) -> dict[str, ContainerUsage]:
        """What is used, by container: of all that run and can be measured."""
        pids = {
            container_id: owner.container.pid
            for container_id, owner in self._core.state.owners.items()
            if owner.container is not None and owner.container.pid and not owner.ended
        }
        read = await asyncio.to_thread(lambda: {c: self._usage_of(p) for c, p in pids.items()})
        return {container_id: usage for container_id, usage in read.items() if usage is not None}

    async def task_usage(self, framework_id: str, task_id: str) -> list[sandbox_pb.TaskUsage]:
        """What tasks that run use now; empty ids mean all."""
        containers = [
            owner.container
            for owner in self._core.state.owners.values()
            if owner.container is not None
            and owner.container.pid
            and not owner.ended
            and framework_id in ("", owner.framework_id)
            and task_id in ("", owner.info.task_id)
        ]
        pids = [container.pid for container in containers]
        read = await asyncio.to_thread(lambda: [self._usage_of(pid) for pid in pids])
        now_s = self._clock().wall_s
        out: list[sandbox_pb.TaskUsage] = []
        for container, usage in zip(containers, read, strict=True):
            if usage is not None:
                amounts = from_proto(container.info.resources).quantities
                out.append(
                    sandbox_pb.TaskUsage(
                        framework_id=container.framework_id,
                        task_id=container.info.task_id,
                        timestamp_s=now_s,
                        cpus_limit=amounts.get("cpus", 0) / 1000,
                        mem_limit_bytes=int(amounts.get("mem", 0) * MILLI_MIB),
                        **asdict(usage),
                    )
                )
        return out
