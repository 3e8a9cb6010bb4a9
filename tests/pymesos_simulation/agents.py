"""Agents with the production shell, on simulated machines."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

from pymesos_agent.containers.settings import Settings
from pymesos_agent.core import AgentCore, Config, RecoveryError
from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_agent.core.uids import UidRange
from pymesos_agent.main import run
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_agent.services.executor import ExecutorService
from pymesos_agent.shell import Shell
from pymesos_core.addresses import HostPort
from pymesos_core.clock import Now
from pymesos_core.exits import RemovedError
from pymesos_core.resources import Resources, parse, to_proto
from pymesos_core.security.identities import Kind
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.addresses import Known
from pymesos_simulation.coordinator import Coordinator, detector_of
from pymesos_simulation.disk import Disk, SimulatedStore
from pymesos_simulation.executors import CONNECT
from pymesos_simulation.machine import host_on
from pymesos_simulation.network import Network, outside_of
from pymesos_simulation.revocable import check_agent, margin_of
from pymesos_simulation.runtime import NAME, Machine, SimulatedRuntime
from pymesos_simulation.secrets import SimulatedMemory, check_step
from pymesos_simulation.threads import Killed
from pymesos_simulation.volumes import DISK_MIB, volume_seed
from pymesos_simulation.world import FSYNC_S, Node, World

TASK_UIDS = UidRange(100_000, 1_100)  # a few more than the sandboxes that are kept

AGAIN_S = 2.0  # by then an agent has written what a full disk, or a stop, kept it from writing


class WatchedAgent(AgentCore):
    """Each step is looked at by its node; what fails in one ends the run."""

    node: AgentNode

    def step(self, now: Now, event: ev.Event) -> list[fx.Effect]:
        self.node.world.counts["event"] += 1
        try:
            effects = super().step(now, event)
            self.node.check(event, effects)
            check_agent(self.node, self, effects)
            check_step(self.node.world, event, effects)
        except Exception as error:
            self.node.world.fail(error)
            raise
        return effects


class AgentNode(Node):
    """An agent with its machine."""

    kind = Kind.AGENT

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        network: Network,
        port: int,
        cpus: int,
    ) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.network = network
        self.disk = Disk(self)
        self.machine = Machine(self, resources_of(world, cpus))
        self.address = HostPort("10.0.0.1", port)
        self.core: WatchedAgent | None = None
        self.known: set[str] = set()  # containers of which the runtime tells
        self.away = False  # its runtime does not answer
        self.highest_epoch = 0  # in which it has obeyed, in any of its lives
        self.sent: dict[str, list[bytes]] = {}  # task id → its updates, in the order first sent
        self.said_ended: dict[str, bytes] = {}  # task id → the update that tells its end
        self.boots = 0
        self.crowded_since_s = 0.0  # since when it has had more guests than fit
        self.looks = 0  # at what its tasks use, that were checked
        self._stop = asyncio.Event()
        self._runtime = SimulatedRuntime(self)
        self._addresses = Known(self, coordinator, network)
        self.shell: Shell | None = None

    def on_start(self) -> None:
        world = self.world
        restored = self.machine.total
        if world.faulty and world.random.random() < world.weather.other_resources:
            self.machine.total = resources_of(world, world.random.choice([2, 4, 8]))
        store = SimulatedStore(self.disk, goes_on=True)
        try:
            core = self._core(store)
            world.counts["other resources"] += self.machine.total != restored
        except RecoveryError:
            # The operator reads what it says, and restores the flags.
            world.counts["too small for its tasks"] += 1
            self.machine.total = restored
            core = self._core(store)
        self.core, self.crowded_since_s = core, 0.0
        self.known = set()
        self._stop = asyncio.Event()
        self._runtime = SimulatedRuntime(self)
        self.spawn(self._serve(core, store))

    async def _serve(self, core: WatchedAgent, store: SimulatedStore) -> None:
        """As the main program does."""
        detector = detector_of(self, self.coordinator)
        await detector.start(patient=True)
        holder: list[Shell] = []
        runtime, away = self._runtime, ""
        try:
            await runtime.start(lambda event: holder[0].feed(event) if holder else None)
        except RuntimeUnavailableError as error:
            away = str(error)
        shell = Shell(
            core,
            store,
            [] if away else [runtime],
            Path(f"/nonexistent/{self.name}"),
            Settings(memory=SimulatedMemory(self.machine.secrets)),
            {runtime: away} if away else {},
            outside=outside_of(self, self.network),
            host=host_on(self.machine),
            addresses=self._addresses.begin(),
        )
        holder.append(shell)
        self.shell = shell
        service = ExecutorService(shell.executors, shell.feed)
        self.network.listen(self, self.address, {CONNECT: service.Connect})
        try:
            await run(shell, detector, self._stop, kill_tasks_on_exit=True)
        except RemovedError as error:
            assert "marked gone" in str(error), f"{self.name}: {error}"
            self.end()
            self._discard()
        self.end()

    def _core(self, store: SimulatedStore) -> WatchedAgent:
        info = pb.AgentInfo(
            address=pb.Address(hostname=self.name, ip=self.address.host, port=self.address.port),
            resources=to_proto(self.machine.total),
            runtimes=[NAME],
            capabilities=[
                pb.SECRETS,
                pb.CONFIG,
                pb.ADDRESSES,
                pb.KILL_SIGNAL,
                pb.EXECUTOR_RESOURCES,
                pb.GROUP_EXECUTORS,
                pb.MAY_RETURN,
            ],
        )
        tag = f"{self.name}.{self.generation}"
        core = WatchedAgent(
            Config(
                info,
                (NAME,),
                TASK_UIDS,
                boot_id=f"{self.name}.{self.boots}",
                resend_min_s=5.0,
                revocable_margin=margin_of(self.world),
            ),
            store.load(),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}".encode() for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
        )
        core.node = self
        return core

    def on_crash(self) -> None:
        self._addresses.end()
        self.network.died(self)
        self.coordinator.died(self)
        self.disk.crash()

    def lose_power(self) -> None:
        """Crash its machine: no container is left, and of its disk what was synced."""
        self.crash()
        self.boots += 1
        self.machine.lose_power()
        lost = self.disk.lose_power()
        self.world.counts["power failure"] += 1
        self.world.counts["unsynced write"] += lost
        self.world.trace(f"the power of {self.name} fails, and {lost} writes are lost")

    def on_pause(self, seconds: float) -> None:
        self.coordinator.stopped(self, seconds)

    def may_die_here(self) -> None:
        """Between two things that are done to the machine."""
        if self.dies_here():
            raise Killed

    def terminate(self) -> None:
        """SIGTERM, with --kill-tasks-on-exit: it ends when its tasks have, or does not wait."""
        self.world.trace(f"{self.name} ends with its tasks")
        with self.loop.entered():
            self._stop.set()

    def _discard(self) -> None:
        """`pymesos-agent recover --discard`: the machine joins again as a new agent."""
        self.world.trace(f"{self.name} ends, and is discarded")
        self.disk.clear()
        self.machine.discard()
        self.highest_epoch = 0

    def snoop(self, framework_id: str, task_id: str) -> None:
        """Ask for the secrets of a task that is not its own."""
        if self.shell is not None:
            wanted = agent_pb.AgentMessage.SecretsWanted(framework_id=framework_id, task_id=task_id)
            with self.loop.entered():
                self.shell._master.tell_registered(agent_pb.AgentMessage(secrets_wanted=wanted))

    # The runtime.

    def lose_runtime(self, seconds: float) -> None:
        """The runtime does not answer for a while."""
        self.world.trace(f"the runtime of {self.name} is away for {seconds:g} s")
        self.away = True
        self.soon(0.01, lambda: self._runtime.went_away())

        def back() -> None:
            self.away = False
            self.soon(0.02, lambda: self._runtime.came_back())

        self.world.at(seconds, back)

    def tell_soon(self, delay_s: float, event: ev.ContainerExited) -> None:
        """What the runtime notices, unless it does not answer now or then."""
        if self.alive and not self.away:
            self.soon(delay_s, lambda: None if self.away else self._runtime.tell(event))

    def tell_started(self, container_id: str) -> None:
        """The runtime's word."""
        container = self.machine.containers.get(container_id)
        if container is not None and not self.away:
            self._runtime.tell(ev.ContainerStarted(container_id, 1))
            self.known.add(container_id)
            if container.exit is not None:
                self._runtime.tell(container.exit)

    # What is watched.

    def check_kill_is_stored(self, container_id: str) -> None:
        """An agent that starts anew knows which of those that run it has killed, if it can."""
        container = self.machine.containers.get(container_id)
        value = self.disk.records.get(("task", container_id))
        if container is None or container.exit is not None or value is None:
            return
        record = checkpoint_pb.TaskCheckpoint.FromString(value)
        is_written = record.HasField("kill") or is_terminal(record.state)
        hindered_until_s = max(self.disk.full_until_s, self.paused_until_s)
        could = hindered_until_s < self.world.now_s - AGAIN_S
        assert is_written or not could, f"{container_id} is killed, and its disk has it not"

    def check(self, event: ev.Event, effects: list[fx.Effect]) -> None:
        """After a step."""
        assert self.core is not None
        seen = self.core.state.epoch_seen
        if self.core._ctx.epoch_durable > self.highest_epoch:
            self.highest_epoch = self.core._ctx.epoch_durable
            if self.world.now_s < self.coordinator.lags_until_s:
                self._die_by_chance_within(1.0)  # and look for the leader at a server that lags
        match event:
            case ev.MasterSaid(connection_id, epoch, message) if seen:
                if message.HasField("set_reserved"):
                    self._die_by_chance_within(2 * FSYNC_S)  # and may have stored it, or not
                assert seen >= self.highest_epoch, (
                    f"{self.name} obeys {seen} after {self.highest_epoch}"
                )
                leaving = self.core.connection_id != connection_id
                assert leaving or epoch >= seen, f"{self.name} obeys epoch {epoch} after {seen}"
        for effect in effects:
            if isinstance(effect, fx.TellMaster):
                self._note_updates(effect.message)
            elif isinstance(effect, fx.Checkpoint) and not effect.synced:
                self._lose_power_by_chance_within(10 * FSYNC_S)

    def _die_by_chance_within(self, seconds: float) -> None:
        """Where it matters what it knows when it starts again."""
        aside = self.world.aside
        if self.world.faulty and aside.random() < 0.3:
            self.soon(aside.uniform(0, seconds), self.crash)

    def _lose_power_by_chance_within(self, seconds: float) -> None:
        """When something is known that the disk may not have."""
        world, aside = self.world, self.world.aside
        if world.faulty and world.crashing_machines and aside.random() < 0.1:
            self.soon(aside.uniform(0, seconds), self.lose_power)

    def _note_updates(self, message: Any) -> None:
        """The order in which a task's updates are first told, by themselves or in a report."""
        told = [message.update.status] if message.HasField("update") else []
        told += [s for task in message.register.tasks for s in task.unacknowledged]
        for status in told:
            sent = self.sent.setdefault(status.task_id, [])
            if status.uuid not in sent:
                sent.append(status.uuid)
            if is_terminal(status.state):
                first = self.said_ended.setdefault(status.task_id, status.uuid)
                assert status.uuid == first, f"{self.name} tells two ends of {status.task_id}"

    def ended_lately(self) -> list[agent_pb.TaskRecord]:
        """The ended tasks that are kept, which a new master is told of."""
        if self.core is None:
            return []
        state = self.core.state
        kept = [*state.sandboxes.values(), *state.in_executors.values()]
        kept.sort(key=lambda record: -record.number)
        told = [record.task for record in kept if record.HasField("task")]
        return told[: Config.max_ended_told]


def resources_of(world: World, cpus: int) -> Resources:
    """A machine's."""
    disk = f";disk:{DISK_MIB}" if volume_seed(world) else ""
    return parse(f"cpus:{cpus};mem:{cpus * 512};ports:[1-100]{disk}")
