"""The doing half of an agent: runtimes, checkpoint, the stream to the master, the timer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import grpc.aio

from pymesos_agent import machine
from pymesos_agent.containers import users
from pymesos_agent.containers.isolation import refusal
from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.usage import read_usage
from pymesos_agent.core import AgentCore
from pymesos_agent.core.effects import (
    CapCpu,
    Checkpoint,
    CloseExecutor,
    Complain,
    DestroyContainer,
    DestroyGroup,
    Disconnect,
    Effect,
    Exit,
    KillContainer,
    RemoveSandbox,
    RemoveVolume,
    ResizeContainer,
    RunCheck,
    StartContainer,
    TellExecutor,
    TellMaster,
)
from pymesos_agent.core.events import (
    Checked,
    Checkpointed,
    CheckpointFailed,
    Connected,
    ContainerFailed,
    ContainersRecovered,
    ContainerState,
    Disconnected,
    DiskExceeded,
    DiskMeasured,
    Event,
    MasterSaid,
    ProcessesRefused,
    RuntimeAway,
    RuntimeBack,
    TasksEnding,
    Tick,
)
from pymesos_agent.core.executors import resources_of
from pymesos_agent.core.tasks import AgentTask
from pymesos_agent.files.artifacts import Artifacts
from pymesos_agent.files.fetching import Fetching
from pymesos_agent.files.sandbox import Files, disk_usage
from pymesos_agent.health.checking import CheckError, run_check
from pymesos_agent.health.forks import ForkWatch, cap_cpu
from pymesos_agent.runtimes.interface import (
    ContainerSpec,
    Group,
    Mount,
    Runtime,
    RuntimeUnavailableError,
    Settings,
    mapped_ports,
    ports_of,
)
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_core.addresses import HostPort
from pymesos_core.backoff import Backoff
from pymesos_core.clock import read_clock
from pymesos_core.complaints import Complaints
from pymesos_core.coordination import Detector
from pymesos_core.following import follow
from pymesos_core.outbox import Outbox
from pymesos_core.reservations import volumes_of
from pymesos_core.resources import from_proto
from pymesos_core.store import GroupCommit, Store
from pymesos_core.streams import use_stream
from pymesos_core.wakeup import Wakeup
from pymesos_proto.v1 import agent_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1 import types_pb2 as pb_types
from pymesos_proto.v1.agent_pb2_grpc import AgentStub

log = logging.getLogger(__name__)

DISK_SPACE_INTERVAL_S = 5.0
REGISTER_BYTES = 512 * 1024
MAX_USES = 5000  # so that a message stays below its limit
DISK_INTERVAL_S = 2.0
FORKS_INTERVAL_S = 1.0
MAX_COMMANDS, MAX_ASKED = 32, 256  # checks at a time
MAX_REMOVERS = 2
LAST_WORD_S = 1.0
MAX_WAIT_S = 10.0  # from one try to start a runtime to the next
MILLI_MIB = 1024 * 1024 / 1000


class Shell:
    """One agent."""

    def __init__(
        self,
        core: AgentCore,
        store: Store,
        runtimes: Sequence[Runtime],
        work_dir: Path,
        settings: Settings,
        awaited: Mapping[Runtime, str] | None = None,
    ) -> None:
        """`awaited` are runtimes that do not answer yet, and why."""
        self._core = core
        self._commits = GroupCommit(store.commit, self._committed, goes_on=True)
        self._runtimes = {runtime.name: runtime for runtime in runtimes}
        self._awaited = dict(awaited or {})
        self._work_dir = work_dir
        self._settings = settings
        self._streams: dict[int, Outbox[pb.AgentMessage]] = {}
        self._connections = itertools.count(1)
        self._wakeup = Wakeup(core.next_deadline_s, lambda: self.feed(Tick()))
        self._backoff = Backoff(0.1, 5.0)
        self._artifacts = Artifacts(
            work_dir / "artifacts", settings.host_paths, settings.artifact_cache_mib
        )
        self._fetching = Fetching(self._artifacts, self.feed)
        self._checks: set[asyncio.Task[None]] = set()
        self._running = asyncio.Semaphore(MAX_COMMANDS)
        self._asking = asyncio.Semaphore(MAX_ASKED)
        self._removers = ThreadPoolExecutor(MAX_REMOVERS, thread_name_prefix="remove")
        self.executors = ExecutorStreams()
        self.exit = asyncio.Event()
        self._last = asyncio.Event()  # what is said now is said last
        self.exit_message: str | None = None
        self._complaints = Complaints(log)
        self._broken: Exception | None = None  # what a step failed with

    async def run(self, detector: Detector) -> None:
        """Recover, then serve whichever master leads, until Exit or a cancellation."""
        commits = asyncio.create_task(self._commits.run())
        tasks: list[asyncio.Task[None]] = [commits]
        try:
            await self._recover()
            tasks += [asyncio.create_task(self._wait_for(runtime)) for runtime in self._awaited]
            tasks.append(asyncio.create_task(follow(detector, self._session, self._backoff)))
            tasks.append(asyncio.create_task(self._report_usage()))
            tasks.append(asyncio.create_task(self._watch_disk_space()))
            tasks.append(asyncio.create_task(self._watch_disks()))
            tasks.append(asyncio.create_task(self._watch_forks()))
            ended = asyncio.create_task(self._wait_for_exit())
            tasks.append(ended)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._say_last()
        finally:
            self._wakeup.cancel()
            if not commits.done():
                await self._commits.flushed()
            for task in (*tasks, *self._checks):
                task.cancel()
            await asyncio.gather(*tasks, *self._checks, return_exceptions=True)
            await self._fetching.close()
            await asyncio.to_thread(self._removers.shutdown)

    async def _say_last(self) -> None:
        """How its tasks ended reaches the master before the stream does its end."""
        self._last.set()
        for outbox in self._streams.values():
            outbox.close()
        begin = time.monotonic()
        while self._streams and time.monotonic() < begin + LAST_WORD_S:
            await asyncio.sleep(0.01)

    async def end_tasks(self, timeout_s: float) -> None:
        """Kill every task and wait until they have ended."""
        self.feed(TasksEnding())
        await asyncio.wait_for(self.exit.wait(), timeout_s)

    async def _wait_for_exit(self) -> None:
        await self.exit.wait()
        if self._broken is not None:
            raise self._broken

    async def _recover(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._work_dir / "removed-volumes", True)
        await asyncio.to_thread(self._artifacts.remove_unfinished)
        needed = {task.runtime for task in self._core.state.tasks.values() if not task.ended}
        for runtime, why in self._awaited.items():
            if runtime.name in needed:
                log.warning("waiting for the runtime %s, which tasks need: %s", runtime.name, why)
                self.feed(RuntimeAway(runtime.name, why))
        found: dict[str, ContainerState] = {}
        for runtime in self._runtimes.values():
            try:
                found.update(await self._containers_of(runtime))
            except Exception as error:
                log.warning("the runtime %s does not say what it holds: %s", runtime.name, error)
                self._awaited[runtime] = str(error)
                self.feed(RuntimeAway(runtime.name, str(error)))
        if found:
            log.info("%d containers of an earlier run are still known", len(found))
        self.feed(ContainersRecovered(found))
        for folder in (self._work_dir / "groups").glob("*"):
            if folder.name not in self._core.state.groups:
                await asyncio.to_thread(shutil.rmtree, folder, True)

    async def _containers_of(self, runtime: Runtime) -> Mapping[str, ContainerState]:
        """Those that are there. Every container has one owner, and the checkpoint says which."""
        tasks = self._core.state.tasks.values()
        mine = {t.container_id: t.pid for t in tasks if t.pid and t.runtime == runtime.name}
        foreign = {t.container_id for t in tasks if t.runtime != runtime.name}
        return await runtime.recover(mine, foreign)

    async def _wait_for(self, runtime: Runtime) -> None:
        """Until it works; from then on it is like the others."""
        backoff = Backoff(1.0, MAX_WAIT_S)
        while True:
            await asyncio.sleep(backoff.next_s())
            try:
                if runtime.name not in self._runtimes:
                    await runtime.start(self.feed)
                    self._runtimes[runtime.name] = runtime
                found = await self._containers_of(runtime)
                break
            except RuntimeUnavailableError as error:
                log.debug("the runtime %s is not available: %s", runtime.name, error)
            except Exception as error:
                log.debug("the runtime %s does not say what it holds: %r", runtime.name, error)
        log.info("the runtime %s works now", runtime.name)
        self.feed(RuntimeBack(runtime.name, found, runtime.isolation))
        await asyncio.Event().wait()  # with the agent's other work, not before it

    # The master.

    async def _session(self, channel: grpc.aio.Channel, address: HostPort) -> None:
        """One stream: register, then pass messages both ways until it ends."""
        connection_id = next(self._connections)
        outbox: Outbox[pb.AgentMessage] = Outbox()
        self._streams[connection_id] = outbox
        call = AgentStub(channel).Connect()  # type: ignore[no-untyped-call, unused-ignore]

        def hear(batch: pb.MasterBatch) -> None:
            for message in batch.message:
                if message.HasField("registered"):
                    log.info("registered with %s as %s", address, message.registered.agent_id)
                    self._backoff.reset()
                self.feed(MasterSaid(connection_id, batch.epoch, message))

        def ended() -> None:
            del self._streams[connection_id]
            self.feed(Disconnected(connection_id))

        begun = partial(self.feed, Connected(connection_id))
        await use_stream(call, outbox, _write(call, outbox, self._last), begun, hear, ended)

    async def _report_usage(self) -> None:
        before: dict[tuple[str, str], sandbox_pb.TaskUsage] = {}
        while True:
            running = sum(not task.ended for task in self._core.state.by_key.values())
            usage = machine.usage(self._work_dir, running)
            measured = await self.task_usage("", "")
            usage.tasks.extend(
                _use(before.get((u.framework_id, u.task_id)), u) for u in measured[:MAX_USES]
            )
            before = {(u.framework_id, u.task_id): u for u in measured}
            if (connection_id := self._core.registered_on) in self._streams:
                self._streams[connection_id].put(pb.AgentMessage(usage=usage))
            await asyncio.sleep(self._core.usage_interval_s)

    async def _watch_disk_space(self) -> None:
        while True:
            self.feed(DiskMeasured(machine.disk_used_fraction(self._work_dir)))
            await asyncio.sleep(DISK_SPACE_INTERVAL_S)

    # The core.

    def feed(self, event: Event) -> None:
        """Take one event in and do what the core says."""
        if isinstance(event, RuntimeBack):
            # What waits for its files is nothing that its runtime could know of.
            fetching = {c: ContainerState(0) for c in self._fetching}
            event = replace(event, containers=fetching | dict(event.containers))
        try:
            for effect in self._core.step(read_clock(), event):
                self._do(effect)
        except Exception as error:
            # Half a step is worse than a restart, whoever was told of the event.
            self._broken = self._broken or error
            self.exit.set()
            raise
        self._wakeup.reset()

    def _do(self, effect: Effect) -> None:
        match effect:
            case TellMaster(connection_id, message):
                if connection_id in self._streams:
                    for part in cut_registration(message):
                        # A registration is bounded by what an agent may hold.
                        self._streams[connection_id].put(
                            part, bounded=not message.HasField("register")
                        )
            case Checkpoint(token, changes):
                self._commits.submit(token, changes)
            case StartContainer():
                with self._refused_if_it_fails(effect.container_id):
                    self._start(effect)
            case KillContainer(container_id, name, force):
                if self._fetching.stop(container_id):
                    return
                for runtime in self._named(name):
                    runtime.kill(container_id, force=force)
            case ResizeContainer(container_id, name, resources):
                for runtime in self._named(name):
                    runtime.resize(container_id, resources)
            case CapCpu(container_id, cpus_milli):
                self._cap_cpu(container_id, cpus_milli)
            case TellExecutor() | CloseExecutor():
                self.executors.do(effect)
            case RunCheck():
                task = asyncio.create_task(self._check(effect))
                self._checks.add(task)
                task.add_done_callback(self._checks.discard)
            case DestroyContainer(container_id, name):
                self._fetching.stop(container_id)
                for runtime in self._named(name):
                    runtime.destroy(container_id)
            case DestroyGroup(group_id, names):
                for name in names:
                    for runtime in self._named(name):
                        runtime.destroy(group_id)
                self._removers.submit(shutil.rmtree, self.group(group_id), True)
            case RemoveSandbox(container_id):
                # In a thread: a sandbox may hold a lot.
                self._removers.submit(shutil.rmtree, self.sandbox(container_id), True)
            case RemoveVolume(role, volume_id):
                self._remove_volume(self.volume(role, volume_id))
            case Disconnect(connection_id, reason):
                log.warning("leaving the master: %s", reason)
                if connection_id in self._streams:
                    self._streams[connection_id].close()
            case Complain(peer, kind, message):
                self._complaints.say(peer, kind, message)
            case Exit(message):
                self.exit_message = message
                self.exit.set()

    def _named(self, name: str) -> list[Runtime]:
        """The runtime of that name; all of them for a container of which only the id is known."""
        if not name:
            return list(self._runtimes.values())
        return [self._runtimes[name]] if name in self._runtimes else []

    def _start(self, effect: StartContainer) -> None:
        try:
            spec = self._spec(effect)
        except LookupError as error:
            self._refuse(effect.container_id, str(error))
            return
        runtime = self._runtimes[effect.runtime]
        if effect.resizes and not runtime.can_resize:
            text = (
                f"the limits of an executor change with its tasks, and {runtime.name} cannot change"
                " those of a container that runs here (it has no cgroups, or its engine is Podman)"
            )
            self._refuse(effect.container_id, text)
            return
        if problem := refusal(runtime, spec, self._settings) or self._prepare_sandbox(spec):
            self._refuse(effect.container_id, problem)
            return
        if spec.info.artifacts:
            self._fetching.start(spec, partial(self._launch, runtime))
        else:
            runtime.launch(spec)

    def _launch(self, runtime: Runtime, spec: ContainerSpec) -> None:
        """When its files are there."""
        with self._refused_if_it_fails(spec.container_id):
            runtime.launch(spec)

    @contextlib.contextmanager
    def _refused_if_it_fails(self, container_id: str) -> Iterator[None]:
        """What nobody foresaw ends one task, not the agent with all the others."""
        try:
            yield
        except Exception as error:
            log.exception("the container %s cannot be launched", container_id)
            self._refuse(container_id, f"{type(error).__name__}: {error}")

    def _spec(self, of: StartContainer | AgentTask) -> ContainerSpec:
        """Raises LookupError with a sentence."""
        resources = from_proto(of.info.resources)
        group = self._group_of(of.container_id)
        return ContainerSpec(
            of.container_id,
            of.framework_id,
            of.user,
            # The user of an image is one of the image's own.
            None if of.info.container.image else _owner(of.user),
            of.info,
            resources,
            self.sandbox(of.container_id),
            self._volumes(of),
            group,
        )

    def _volumes(self, of: StartContainer | AgentTask) -> tuple[Mount, ...]:
        """Persistent ones, and the folders that it shares with its group."""
        volumes = [
            Mount(self.volume(role, volume.id), volume.container_path)
            for role, volume in volumes_of(from_proto(of.info.resources))
        ]
        if group_id := self._core.state.tasks[of.container_id].group_id:
            volumes += [
                Mount(self.group(group_id) / mount.group_path, mount.container_path)
                for mount in of.info.container.mounts
                if mount.group_path
            ]
        return tuple(volumes)

    def _group_of(self, container_id: str) -> Group | None:
        task = self._core.state.tasks[container_id]
        if not task.group_id:
            return None
        tasks = self._core.state.groups[task.group_id]
        return Group(
            task.group_id,
            tuple(t.container_id for t in tasks),
            tuple(
                port
                for t in tasks
                for port in mapped_ports(t.info, ports_of(from_proto(t.info.resources)))
            ),
        )

    def entry(self, framework_id: str, task_id: str, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in the container of a task. Raises EntryError."""
        task = self._core.state.by_key.get((framework_id, task_id))
        if task is None or task.ended:
            raise EntryError(f"the task {task_id[:255]} does not run on this agent any more")
        if task.state not in (pb_types.TASK_RUNNING, pb_types.TASK_KILLING):
            raise EntryError(f"the task {task_id[:255]} does not run yet")
        try:
            container = task.executor or task
            runtime = self._runtimes.get(task.runtime)
            if runtime is None:
                raise EntryError(f"the runtime {task.runtime} does not answer now")
            return runtime.entry(self._spec(container), argv, term)
        except LookupError as error:
            raise EntryError(str(error)) from error

    async def _check(self, effect: RunCheck) -> None:
        """Ask, and tell the core what the answer was."""
        container_id = effect.container_id
        problem: str | None = None
        async with self._running if effect.check.HasField("command") else self._asking:
            task = self._core.state.tasks.get(container_id)
            if task is None or task.ended:
                return
            runtime = self._runtimes[task.runtime]
            try:
                spec = self._spec(task)
                await run_check(
                    effect.check,
                    spec,
                    task.pid,
                    lambda argv: runtime.entry(spec, argv, ""),
                    effect.timeout_s,
                )
            except (CheckError, LookupError) as error:
                problem = str(error)
            except Exception as error:  # unheard, it would be the last check of this task
                log.exception("checking %s", container_id)
                problem = f"it cannot be asked: {type(error).__name__}: {error}"
        self.feed(Checked(container_id, effect.name, problem))

    async def _watch_disks(self) -> None:
        """End what has written more than it may, as far as it asked for disk at all."""
        while True:
            await asyncio.sleep(DISK_INTERVAL_S)
            for task in list(self._core.state.tasks.values()):
                asked = resources_of(task) if task.is_executor else from_proto(task.info.resources)
                limit = asked.quantities.get("disk", 0) * MILLI_MIB
                if task.executor_container_id:
                    continue  # its files are its executor's
                if task.ended or not limit or task.runtime not in self._runtimes:
                    continue
                more = self._runtimes[task.runtime].private_paths(task.container_id)
                paths = (self.sandbox(task.container_id), *more)
                used = await asyncio.to_thread(disk_usage, paths)
                if used > limit:
                    self.feed(DiskExceeded(task.container_id, used))

    async def _watch_forks(self) -> None:
        watch = ForkWatch()
        while True:
            await asyncio.sleep(FORKS_INTERVAL_S)
            pids = {c: t.pid for c, t in self._core.state.tasks.items() if t.pid and not t.ended}
            for container_id, count in (await asyncio.to_thread(watch.look, pids)).items():
                self.feed(ProcessesRefused(container_id, count))

    def _cap_cpu(self, container_id: str, cpus_milli: int) -> None:
        task = self._core.state.tasks[container_id]
        try:
            cap_cpu(task.pid, cpus_milli)
        except OSError as error:
            log.warning("%s cannot be held at its CPU: %s", task.info.task_id, error)

    async def task_usage(self, framework_id: str, task_id: str) -> list[sandbox_pb.TaskUsage]:
        """What tasks that run use now; empty ids mean all."""
        tasks = [
            task
            for task in self._core.state.tasks.values()
            if task.pid
            and not task.ended
            and framework_id in ("", task.framework_id)
            and task_id in ("", task.info.task_id)
        ]
        pids = [task.pid for task in tasks]
        read = await asyncio.to_thread(lambda: [read_usage(pid) for pid in pids])
        now_s = read_clock().wall_s
        out: list[sandbox_pb.TaskUsage] = []
        for task, usage in zip(tasks, read, strict=True):
            if usage is not None:
                amounts = from_proto(task.info.resources).quantities
                out.append(
                    sandbox_pb.TaskUsage(
                        framework_id=task.framework_id,
                        task_id=task.info.task_id,
                        timestamp_s=now_s,
                        cpus_limit=amounts.get("cpus", 0) / 1000,
                        mem_limit_bytes=int(amounts.get("mem", 0) * MILLI_MIB),
                        **asdict(usage),
                    )
                )
        return out

    def _refuse(self, container_id: str, problem: str) -> None:
        # Not from within a step: the core takes one event at a time.
        asyncio.get_running_loop().call_soon(self.feed, ContainerFailed(container_id, problem))

    def _prepare_sandbox(self, spec: ContainerSpec) -> str | None:
        """Make the folder, owned by the task's user; the problem, or None."""
        try:
            spec.sandbox.mkdir(mode=0o750)
            if spec.owner is not None:
                os.chown(spec.sandbox, *spec.owner)
            if spec.group is not None:
                _make_group_folders(self.group(spec.group.group_id), spec.info.container.mounts)
            for mount in spec.volumes:
                _make_volume(mount, spec.owner)
        except OSError as error:
            return f"cannot make its sandbox: {error}"
        return None

    def sandbox(self, container_id: str) -> Path:
        """Where a container's files are."""
        return self._work_dir / "sandboxes" / container_id

    def group(self, group_id: str) -> Path:
        """Where the folders are that the tasks of a group share."""
        return self._work_dir / "groups" / group_id

    def volume(self, role: str, volume_id: str) -> Path:
        """Where a persistent volume is."""
        return self._work_dir / "volumes" / quote(role, safe="") / volume_id

    def _remove_volume(self, volume: Path) -> None:
        """Out of the way at once, for the next of that id; deleted in a thread."""
        removed = self._work_dir / "removed-volumes" / uuid.uuid4().hex
        try:
            removed.parent.mkdir(mode=0o700, exist_ok=True)
            volume.rename(removed)
        except FileNotFoundError:
            return  # never used
        except OSError as error:
            log.error("the volume %s cannot be removed: %s", volume, error)
            return
        self._removers.submit(shutil.rmtree, removed, True)

    def find_files(self, framework_id: str, task_id: str) -> Files | None:
        """Of the latest task of that id. Others may have its volumes once it has ended."""
        task = self._core.state.by_key.get((framework_id, task_id))
        task = task or self._core.state.executors.get((framework_id, task_id))
        if task is not None:
            container_id = task.executor_container_id or task.container_id
            volumes = () if task.ended else self._volumes(task.executor or task)
            return Files(self.sandbox(container_id), task.ended, volumes)
        state = self._core.state
        kept = (*reversed(state.sandboxes.values()), *reversed(state.in_executors.values()))
        for record in kept:
            if (record.framework_id, record.task_id) == (framework_id, task_id):
                container_id = record.executor_container_id or record.container_id
                return Files(self.sandbox(container_id), ended=True)
        return None

    def _committed(self, token: int, error: Exception | None) -> None:
        if error is None:
            self.feed(Checkpointed(token))
        else:
            log.error("the checkpoint cannot be written: %s", error)
            self.feed(CheckpointFailed(token, str(error)))


def _owner(user: str) -> tuple[int, int] | None:
    """The ids of a user that is not the agent's own. Raises LookupError with a sentence."""
    if not user or users.is_own(user):
        return None
    if os.geteuid() != 0:
        me = users.own_name()
        raise LookupError(f"only an agent run by root can run a task as {user}, not {me}")
    try:
        found = users.on_machine(user)
    except users.UserError as error:
        raise LookupError(str(error)) from None
    return found.uid, found.gid


def _make_group_folders(folder: Path, mounts: Iterable[pb_types.ContainerMount]) -> None:
    """Whatever the users of its tasks are, they all may write there. Raises OSError."""
    folder.parent.mkdir(mode=0o711, exist_ok=True)
    folder.mkdir(mode=0o711, exist_ok=True)
    for mount in mounts:
        if mount.group_path:
            (folder / mount.group_path).mkdir(exist_ok=True)
            (folder / mount.group_path).chmod(0o777)


def _make_volume(mount: Mount, owner: tuple[int, int] | None) -> None:
    """There since its first use; it belongs to the user of that. Raises OSError."""
    if not mount.host_path.is_dir():
        mount.host_path.mkdir(mode=0o750, parents=True)
        if owner is not None:
            os.chown(mount.host_path, *owner)


async def _write(
    call: grpc.aio.StreamStreamCall[pb.AgentBatch, pb.MasterBatch],
    outbox: Outbox[pb.AgentMessage],
    last: asyncio.Event,
) -> None:
    while (batch := await outbox.batch()) is not None:
        await call.write(pb.AgentBatch(message=batch))
    if last.is_set():
        await call.done_writing()  # the master ends the stream when it has read all
    else:
        call.cancel()


def _use(before: sandbox_pb.TaskUsage | None, now: sandbox_pb.TaskUsage) -> pb_types.TaskUse:
    """Between two measurements; the first one has no rate."""
    cpus = 0.0
    if before is not None and now.timestamp_s > before.timestamp_s:
        cpus = max(0.0, now.cpu_s - before.cpu_s) / (now.timestamp_s - before.timestamp_s)
    return pb_types.TaskUse(
        framework_id=now.framework_id,
        task_id=now.task_id,
        cpus_used=cpus,
        mem_used_mib=now.mem_bytes / (1024 * 1024),
    )


def cut_registration(message: pb.AgentMessage) -> list[pb.AgentMessage]:
    """A registration that would exceed the limit of a message, in several."""
    if not message.HasField("register") or message.ByteSize() <= REGISTER_BYTES:
        return [message]
    register = pb.Register()
    register.CopyFrom(message.register)
    records = list(register.tasks)
    del register.tasks[:]
    groups: list[list[pb.TaskRecord]] = [[]]
    size = 0
    for record in records:
        if groups[-1] and size + record.ByteSize() > REGISTER_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(record)
        size += record.ByteSize()
    register.more_tasks = True
    parts = [pb.AgentMessage(register=register)]
    for index, group in enumerate(groups):
        more = pb.MoreTasks(tasks=group, more_tasks=index + 1 < len(groups))
        parts.append(pb.AgentMessage(more_tasks=more))
    return parts
