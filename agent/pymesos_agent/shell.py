"""The doing half of an agent: it does what the core says, and tells the core what happens.

`master_stream.py` is the way to the master; runtimes, files and checks have rooms of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pymesos_agent.containers.isolation import refusal
from pymesos_agent.containers.marks import Marks
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.users import UserError
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
    SetRevoked,
    StartContainer,
    TellExecutor,
    TellMaster,
)
from pymesos_agent.core.events import (
    Checkpointed,
    CheckpointFailed,
    ContainerFailed,
    ContainersRecovered,
    ContainerState,
    Event,
    RuntimeAway,
    RuntimeBack,
    TasksEnding,
    Tick,
)
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.artifacts import Artifacts
from pymesos_agent.files.fetching import Fetching
from pymesos_agent.files.renewing import AGAIN_S, Renewing
from pymesos_agent.health.checks import Checks
from pymesos_agent.health.watching import (
    report_usage,
    watch_disk_space,
    watch_disks,
    watch_forks,
    watch_slack,
)
from pymesos_agent.host import HOST, Host
from pymesos_agent.master_stream import MasterStreams
from pymesos_agent.queries import Queries
from pymesos_agent.runtimes.interface import Runtime, RuntimeUnavailableError
from pymesos_agent.secrets import Secrets
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_core import crash
from pymesos_core.complaints import Complaints
from pymesos_core.containers import secret_names
from pymesos_core.coordination import Detector
from pymesos_core.discovery.held import Held
from pymesos_core.following import RECONNECT_S, follow
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.runner import Fault, Runner, Writes
from pymesos_core.security.renewing import asking_leader, keep_renewed
from pymesos_core.store import Store
from pymesos_core.tasks import until_first

log = logging.getLogger(__name__)


MAX_WAIT_S = 10.0  # from one try to start a runtime to the next


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
        outside: Outside = OUTSIDE,
        host: Host = HOST,
        addresses: Addresses | None = None,
    ) -> None:
        """`awaited` are runtimes that do not answer yet, and why."""
        self._core = core
        self._outside = outside
        self._host = host
        self._runner: Runner[Event, Effect] = Runner(
            core,
            self._do,
            Tick(),
            self._on_fault,
            Writes(store.commit, self._written, store.commit_unsynced, goes_on=True),
            outside.clock,
        )
        self._runtimes = {runtime.name: runtime for runtime in runtimes}
        self._awaited = dict(awaited or {})
        self._work_dir = work_dir
        self._settings = settings
        self._master = MasterStreams(
            core, self.feed, lambda told: self._secrets.heard(told), outside.mono_s
        )
        self._artifacts = Artifacts(
            work_dir / "artifacts", settings.host_paths, settings.artifact_cache_mib
        )
        rendering = host.rendering(settings.memory)
        self._secrets: Secrets = Secrets(settings.memory, self._master.tell_registered, rendering)
        addresses = addresses or Addresses(Held())
        self._fetching = Fetching(
            self._artifacts, self.feed, self._secrets.give, rendering, addresses
        )
        self._folders = host.folders(work_dir, bool(settings.volume_limits))
        self._renewing = Renewing(
            core,
            addresses,
            rendering,
            self._runtimes,
            self._folders.spec,
            self.feed,
            partial(outside.backoff, *AGAIN_S),
        )
        marks = Marks(work_dir)
        self._checks = Checks(self._runtimes, self._folders, marks, self.feed, host.ask)
        self.queries = Queries(
            core, self._runtimes, self._folders, marks, outside.clock, host.usage_of
        )
        self.executors = ExecutorStreams()
        self.exit = asyncio.Event()
        self.exit_message: str | None = None
        self._complaints = Complaints(log, outside.mono_s)

    async def run(self, detector: Detector) -> None:
        """Recover, then serve whichever master leads, until Exit or a cancellation.

        Raises RoleError.
        """
        try:
            await until_first(self._runner.run(), self._serve(detector))
        finally:
            self._runner.stop()
            await self._checks.close()
            await self._fetching.close()
            idle = all(owner.ended for owner in self._core.state.owners.values())
            await asyncio.to_thread(self._folders.close, unmount=idle)

    async def _serve(self, detector: Detector) -> None:
        await self._recover()
        offers_slack = self._core.config.revocable_margin is not None
        await until_first(
            self._wait_for_exit(),
            follow(
                detector,
                self._master.session,
                self._outside.backoff(*RECONNECT_S),
                self._outside.dial,
            ),
            keep_renewed(self._outside, asking_leader(detector, self._outside.dial)),
            report_usage(
                self._core,
                self.queries,
                self._work_dir,
                self._master.tell_registered,
                self._host,
                self._outside.credentials,
            ),
            watch_disk_space(self._work_dir, self.feed, self._host),
            watch_disks(self._core, self._runtimes, self._folders, self.feed),
            watch_forks(self._core, self.feed, self._host.forks()),
            self._renewing.run(self._outside.mono_s),
            *([watch_slack(self._core, self.queries, self.feed)] if offers_slack else ()),
            *(self._wait_for(runtime) for runtime in self._awaited),
        )

    async def _wait_for_exit(self) -> None:
        """How its tasks ended reaches the master before the stream does its end."""
        await self.exit.wait()
        await self._master.end()

    async def end_tasks(self, timeout_s: float) -> None:
        """Kill every task and wait until they have ended."""
        self.feed(TasksEnding())
        await asyncio.wait_for(self.exit.wait(), timeout_s)

    async def _recover(self) -> None:
        await asyncio.to_thread(self._artifacts.remove_unfinished)
        needed = {owner.runtime for owner in self._core.state.owners.values() if not owner.ended}
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
        state = self._core.state
        if self._settings.memory is not None:
            live = {c for c, owner in state.owners.items() if not owner.ended}
            self._settings.memory.sweep(live | found.keys())
        self._folders.remove_leftovers(state.with_files() | found.keys(), state.groups.keys())

    async def _containers_of(self, runtime: Runtime) -> Mapping[str, ContainerState]:
        """The containers of a runtime. Each has one owner, which the checkpoint names."""
        owners = self._core.state.owners.values()
        containers = [owner.container for owner in owners if owner.container is not None]
        mine = {c.container_id: c.pid for c in containers if c.pid and c.runtime == runtime.name}
        foreign = {c.container_id for c in containers if c.runtime != runtime.name}
        return await runtime.recover(mine, foreign)

    async def _wait_for(self, runtime: Runtime) -> None:
        """Until it works; from then on it is like the others."""
        backoff = self._outside.backoff(1.0, MAX_WAIT_S)
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

    def feed(self, event: Event) -> None:
        """Take one event in and do what the core says."""
        if isinstance(event, RuntimeBack):
            # What waits for its files is nothing that its runtime could know of.
            fetching = {c: ContainerState(0) for c in self._fetching}
            event = replace(event, containers=fetching | dict(event.containers))
        self._runner.feed(event)

    def _on_fault(self, fault: Fault) -> None:
        stories = self._core.stories(fault.event)
        crash.report("the agent", self._work_dir, fault, stories, self._outside.clock())

    def _do(self, effect: Effect) -> None:
        match effect:
            case TellMaster(connection_id, message):
                self._master.tell(connection_id, message)
            case Checkpoint(token, changes, synced):
                self._runner.commit(token, changes, synced=synced)
            case StartContainer():
                with self._refused_if_it_fails(effect.container_id):
                    self._start(effect)
            case KillContainer(container_id, name, force, first):
                if self._fetching.stop(container_id):
                    return
                for runtime in self._named(name):
                    runtime.kill(container_id, force=force, first=first)
            case ResizeContainer(container_id, name, resources):
                for runtime in self._named(name):
                    runtime.resize(container_id, resources)
            case CapCpu(container_id, cpus_milli, pid):
                try:
                    self._host.cap_cpu(pid, cpus_milli)
                except OSError as error:
                    log.warning("%s cannot be held at its CPU: %s", container_id, error)
            case TellExecutor() | CloseExecutor():
                self.executors.do(effect)
            case RunCheck():
                self._checks.start(effect)
            case DestroyContainer(container_id, name, own_uid, volumes):
                self._fetching.stop(container_id)
                for runtime in self._named(name):
                    runtime.destroy(container_id)
                if self._settings.memory is not None:
                    self._settings.memory.remove(container_id)
                self._folders.leave(own_uid, volumes)
            case DestroyGroup(group_id, names):
                for name in names:
                    for runtime in self._named(name):
                        runtime.destroy(group_id)
                self._folders.remove_group(group_id)
            case RemoveSandbox(container_id):
                self._folders.remove_sandbox(container_id)
            case RemoveVolume(role, volume_id):
                self._folders.remove_volume(role, volume_id)
            case SetRevoked(names):
                self._outside.set_revoked(names)
            case Disconnect(connection_id, reason):
                log.warning("leaving the master: %s", reason)
                self._master.leave(connection_id)
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
            spec = self._folders.spec(effect)
        except UserError as error:
            self._refuse(effect.container_id, str(error))
            return
        runtime = self._runtimes[effect.runtime]
        if effect.resizes and not runtime.can_resize:
            text = (
                f"the limits of an executor change with its tasks, and {runtime.name} cannot change"
                " those of a container that runs here (its engine is Podman, or its supervisor is"
                " of an earlier version, and ends with its last task)"
            )
            self._refuse(effect.container_id, text)
            return
        if problem := refusal(runtime, spec, self._settings) or self._folders.prepare(spec):
            self._refuse(effect.container_id, problem)
            return
        disks = self._folders.to_mount(spec)
        volumes = self._folders.to_hand_over(spec) if spec.volumes else ()
        container = spec.info.container
        made = container.config or secret_names(container)
        if spec.info.artifacts or volumes or disks or made:
            first = [
                (f"Mounting the volume {each.host_path.name}", partial(self._folders.mount, each))
                for each in disks
            ]
            self._fetching.start(spec, volumes, partial(self._launch, runtime), first)
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

    def _refuse(self, container_id: str, problem: str) -> None:
        self.feed(ContainerFailed(container_id, problem))

    def _written(self, token: int, error: Exception | None) -> Event:
        if error is None:
            return Checkpointed(token)
        self._complaints.say("the checkpoint", "it is tried again each second", str(error))
        return CheckpointFailed(token, str(error))
