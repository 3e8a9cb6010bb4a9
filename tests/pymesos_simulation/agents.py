"""Agents with their machines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pymesos_agent.core import AgentCore, Config, RecoveryError
from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_agent.shell import cut_registration
from pymesos_core.reservations import origin, retagged
from pymesos_core.resources import EMPTY, Resources, from_proto, parse, to_proto, total
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.clients import ClientNode, Uplink
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.executors import SimulatedExecutor
from pymesos_simulation.network import Network
from pymesos_simulation.world import World

END_TASKS_TIMEOUT_S = 30.0


AWAY = ev.RuntimeAway("process", "it does not answer")


@dataclass
class Container:
    """What runs on a machine, whoever started it."""

    container_id: str
    key: tuple[str, str]
    resources: Resources
    exit: ev.ContainerExited | None = None


@dataclass
class Machine:
    """The containers of one machine. They outlive the agent."""

    node: AgentNode
    total: Resources
    containers: dict[str, Container] = field(default_factory=dict)
    executors: dict[str, SimulatedExecutor] = field(default_factory=dict)  # by container id

    def start(self, effect: fx.StartContainer) -> None:
        """Run it for a while."""
        world = self.node.world
        if effect.container_id in self.containers:
            return
        key = (effect.framework_id, effect.info.task_id)
        if effect.resizes:
            self._start_executor(effect, key)
            return
        assert key not in world.started, f"{key} was started twice"
        world.started.add(key)
        container = Container(effect.container_id, key, from_proto(effect.info.resources))
        self.containers[effect.container_id] = container
        self.check_room()
        world.counts["container"] += 1
        self._live(container.container_id, effect.info.command.value)

    def _start_executor(self, effect: fx.StartContainer, key: tuple[str, str]) -> None:
        container_id, world = effect.container_id, self.node.world
        world.counts["executor"] += 1
        self.containers[container_id] = Container(container_id, key, EMPTY)
        self.executors[container_id] = SimulatedExecutor(self.node, effect)
        if world.faulty and world.random.random() < world.weather.container_failure:
            lives_s = world.random.expovariate(1 / 10)
            world.at(lives_s, lambda: self.end(container_id, -9))
        self.node.soon(0.01, lambda: self.node.tell_started(container_id))

    def live(self) -> dict[tuple[str, str], Resources]:
        """All tasks that run, in containers of their own and in executors."""
        out = {
            c.key: c.resources
            for c in self.containers.values()
            if c.exit is None and c.container_id not in self.executors
        }
        for executor in self.executors.values():
            out |= executor.live()
        return out

    def check_room(self) -> None:
        """No more runs than there is."""
        running = total(retagged(resources, origin) for resources in self.live().values())
        assert self.total.contains(running), f"{self.node.name} runs {running} of {self.total}"

    def _live(self, container_id: str, command: str) -> None:
        """`service` runs on, `batch` for some seconds, `N` for N seconds; unless it fails."""
        world, random = self.node.world, self.node.world.random
        fails = world.faulty and random.random() < world.weather.container_failure
        if command == "service" and not fails:
            lives_s = float("inf")
        elif command in ("service", "batch"):
            lives_s = random.expovariate(1 / 5)
        else:
            lives_s = float(command)
        status = random.choice([1, -9]) if fails else 0
        limit = "memory" if status == -9 else None
        if lives_s < float("inf"):
            world.at(lives_s, lambda: self.end(container_id, status, limit))
        slow_s = random.uniform(0.01, world.weather.slow_start_s) if world.faulty else 0.01
        self.node.soon(slow_s, lambda: self.node.tell_started(container_id))

    def end(self, container_id: str, status: int, limit: str | None = None) -> None:
        """It has ended, now or before."""
        container = self.containers.get(container_id)
        if container is None or container.exit is not None:
            return
        container.exit = ev.ContainerExited(container_id, status, limit)
        if container_id in self.executors:
            self.executors[container_id].end()
        if self.node.alive and container_id in self.node.known and not self.node.away:
            exited = container.exit
            self.node.soon(0.001, lambda: self.node.feed(exited))

    def kill(self, container_id: str, force: bool) -> None:
        """SIGTERM may be ignored; SIGKILL not."""
        heeds = force or self.node.world.random.random() < 0.8
        if heeds:
            status = -9 if force else -15
            self.node.world.at(0.02, lambda: self.end(container_id, status))


class AgentNode(ClientNode):
    """An agent with its machine."""

    path = "/pymesos.v1.Agent/Connect"
    outlives_failed_writes = True

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        network: Network,
        port: int,
        cpus: int,
    ) -> None:
        super().__init__(world, name, coordinator, network)
        self.machine = Machine(self, resources_of(cpus))
        self.port = port
        self.core: AgentCore | None = None
        self.known: set[str] = set()
        self.away = False  # its runtime does not answer
        self.highest_epoch = 0  # that was durable
        self.executor_streams: dict[int, SimulatedExecutor] = {}
        self.sent: dict[str, list[bytes]] = {}  # task id → its updates, in the order first sent

    def on_start(self) -> None:
        world = self.world
        restored = self.machine.total
        if world.faulty and world.random.random() < world.weather.other_resources:
            self.machine.total = resources_of(world.random.choice([2, 4, 8]))
        try:
            self.core = self._core()
            world.counts["other resources"] += self.machine.total != restored
        except RecoveryError:
            # The operator reads what it says, and restores the flags.
            world.counts["too small for its tasks"] += 1
            self.machine.total = restored
            self.core = self._core()
        if self.away:
            self.known = set()
            self.feed(AWAY)
            self.feed(ev.ContainersRecovered({}))
        else:
            self.feed(ev.ContainersRecovered(self._found()))
        self.look_for_leader()
        self.watch_leader()

    def _found(self) -> dict[str, ev.ContainerState]:
        """What the runtime holds; from now on it tells of that."""
        there = self.machine.containers.values()
        self.known = {c.container_id for c in there}
        return {c.container_id: ev.ContainerState(1, c.exit) for c in there}

    def lose_runtime(self, seconds: float) -> None:
        """It does not answer for a while."""
        self.world.trace(f"the runtime of {self.name} is away for {seconds:g} s")
        self.away = True
        self.soon(0.01, lambda: self.feed(AWAY) if self.away else None)

        def back() -> None:
            self.away = False
            self.soon(0.02, self._tell_back)

        self.world.at(seconds, back)

    def _tell_back(self) -> None:
        if not self.away:
            self.feed(ev.RuntimeBack("process", self._found()))

    def on_crash(self) -> None:
        super().on_crash()
        for executor in self.executor_streams.values():
            executor.cut()
        self.executor_streams.clear()

    def open_executor(self, executor: SimulatedExecutor) -> int:
        """A stream of an executor on this machine."""
        self.world.counts["executor stream"] += 1
        stream_id = self.world.counts["executor stream"]
        self.executor_streams[stream_id] = executor
        return stream_id

    def ended_lately(self) -> list[agent_pb.TaskRecord]:
        """Of what it keeps, what its framework knows and a new master is told."""
        if self.core is None:
            return []
        state = self.core.state
        kept = [*state.sandboxes.values(), *state.in_executors.values()]
        kept.sort(key=lambda record: -record.ended_at_s)
        told = [record.task for record in kept if record.HasField("task")]
        return told[: Config.max_ended_told]

    def _core(self) -> AgentCore:
        info = pb.AgentInfo(
            address=pb.Address(hostname=self.name, ip="10.0.0.1", port=self.port),
            resources=to_proto(self.machine.total),
            runtimes=["process"],
        )
        tag = f"{self.name}.{self.generation}"
        return AgentCore(
            Config(info, ("process",), boot_id=self.name, resend_min_s=5.0),
            dict(self.disk.records),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}".encode() for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
        )

    def messages(self, batch: agent_pb.MasterBatch) -> Sequence[agent_pb.MasterMessage]:
        return batch.message

    def on_stream(self, link: Uplink) -> None:
        self.feed(ev.Connected(link.link_id))

    def on_stream_lost(self, connection_id: int) -> None:
        self.feed(ev.Disconnected(connection_id))

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        assert self.core is not None
        self.feed(ev.MasterSaid(connection_id, epoch, message))
        if self.stream is not None and self.core.state.epoch_seen:
            seen = self.core.state.epoch_seen
            assert seen >= self.highest_epoch, f"{self.name} obeyed {seen}, then {epoch}"
            leaving = self.core.connection_id != connection_id
            assert leaving or epoch >= seen, f"{self.name} obeys epoch {epoch} after {seen}"

    def tell_started(self, container_id: str) -> None:
        """The runtime's word."""
        if container_id in self.machine.containers and not self.away:
            container = self.machine.containers[container_id]
            self.feed(ev.ContainerStarted(container_id, 1))
            ended = container.exit
            self.known.add(container_id)
            if ended is not None:
                self.feed(ended)

    def feed(self, event: ev.Event) -> None:
        assert self.core is not None
        if not self.alive:
            return
        self.world.counts["event"] += 1
        generation = self.generation
        for effect in self.core.step(self.now, event):
            if self.generation != generation or self.dies_here():
                return
            self._do(effect)
        if self.generation == generation:
            self.wake_at(self.core.next_deadline_s(), lambda: self.feed(ev.Tick()))

    def _do(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellMaster(connection_id, message):
                self._note_updates(message)
                if self.stream is not None and self.stream.link_id == connection_id:
                    for part in cut_registration(message):
                        self.stream.send(agent_pb.AgentBatch(message=[part]))
            case fx.Checkpoint(token, changes):

                def done(ok: bool) -> None:
                    assert self.core is not None
                    if ok:
                        self.highest_epoch = self.core.state.epoch_seen
                    kind = ev.Checkpointed(token)
                    self.feed(kind if ok else ev.CheckpointFailed(token, "disk full"))

                self.disk.request(changes, done)
            case fx.StartContainer():
                if self.away:
                    failed = ev.ContainerFailed(effect.container_id, "it does not answer")
                    self.soon(0.01, lambda: self.feed(failed))
                else:
                    self.machine.start(effect)
            case fx.KillContainer(container_id, _, force):
                if not self.away:
                    self.machine.kill(container_id, force)
            case fx.TellExecutor(stream_id, said):
                if stream_id in self.executor_streams:
                    self.executor_streams[stream_id].hear(stream_id, said)
            case fx.CloseExecutor(stream_id, _):
                executor = self.executor_streams.pop(stream_id, None)
                if executor is not None:
                    executor.cut()
                    self.soon(0.001, lambda: self.feed(ev.ExecutorLeft(stream_id)))
            case fx.RunCheck(container_id, name, _, timeout_s):
                world = self.world
                fails = world.faulty and world.random.random() < world.weather.container_failure
                after_s = timeout_s if fails else world.random.uniform(0.001, 0.1)
                answer = ev.Checked(container_id, name, "no answer" if fails else None)
                self.soon(after_s, lambda: self.feed(answer))
            case fx.DestroyContainer(container_id, _):
                container = self.machine.containers.get(container_id)
                if container is not None and container.exit is not None and not self.away:
                    del self.machine.containers[container_id]
                    self.machine.executors.pop(container_id, None)
            case fx.Disconnect(connection_id, reason):
                self.world.trace(f"{self.name} leaves the master: {reason}")
                self.soon(0, lambda: self.leave(connection_id))
            case fx.Exit(None):
                if self.stream is not None:
                    self.stream.done_writing()  # after all that it has said
                self.soon(1.0, self.crash)
            case fx.Exit(message):
                assert message is not None and "marked gone" in message, f"{self.name}: {message}"
                self._discard()

    def terminate(self) -> None:
        """SIGTERM, with --kill-tasks-on-exit: it ends when its tasks have, or does not wait."""
        generation = self.generation
        self.world.trace(f"{self.name} ends with its tasks")
        self.feed(ev.TasksEnding())

        def give_up() -> None:
            if self.alive and self.generation == generation:
                self.crash()

        self.world.at(END_TASKS_TIMEOUT_S, give_up)

    def _note_updates(self, message: Any) -> None:
        """The order in which a task's updates are first told, by themselves or in a report."""
        told = [message.update.status] if message.HasField("update") else []
        told += [s for task in message.register.tasks for s in task.unacknowledged]
        for status in told:
            sent = self.sent.setdefault(status.task_id, [])
            if status.uuid not in sent:
                sent.append(status.uuid)

    def _discard(self) -> None:
        """`pymesos-agent recover --discard`: the machine joins again as a new agent."""
        self.world.trace(f"{self.name} ends, and is discarded")
        self.crash()
        self.disk.records.clear()
        for gone in self.machine.executors.values():
            gone.alive = False
        self.machine.executors.clear()
        self.machine.containers.clear()
        self.highest_epoch = 0


def resources_of(cpus: int) -> Resources:
    """A machine's."""
    return parse(f"cpus:{cpus};mem:{cpus * 512};ports:[1-100]")
