"""The production cores in simulated processes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from pymesos_agent.core import AgentCore
from pymesos_agent.core import Config as AgentConfig
from pymesos_agent.core import effects as agent_fx
from pymesos_agent.core import events as agent_ev
from pymesos_binpack import core as bp
from pymesos_binpack.jobs import Job
from pymesos_binpack.policies import POLICIES
from pymesos_core.resources import EMPTY, Resources, from_proto, parse, to_proto
from pymesos_core.states import is_terminal, state_name
from pymesos_core.store import Change
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config as MasterConfig
from pymesos_master.core import MasterCore
from pymesos_master.core import effects as master_fx
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import core as sdk
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.world import Link, Node, World

RETRY_S = 1.0
FSYNC_S = 0.005
Records = dict[tuple[str, str], bytes]


class Disk:
    """Records that survive a crash. A write that was not confirmed may be there after, or not."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.records: Records = {}
        self.full_until_s = 0.0
        self._pending: list[tuple[Change, ...]] = []

    def write(self, changes: tuple[Change, ...], done: Any) -> None:
        """Durable after a while, in order; `done(ok)` then."""
        self._pending.append(changes)

        def finish() -> None:
            self._pending.remove(changes)
            full = self.full_until_s > self.node.world.now_s
            if not full:
                self._apply(changes)
            done(not full)

        self.node.soon(FSYNC_S, finish)

    def _apply(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            if change.value is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = change.value

    def crash(self) -> None:
        """Of what was not confirmed, a prefix has reached the disk."""
        for changes in self._pending[: self.node.world.random.randint(0, len(self._pending))]:
            self._apply(changes)
        self._pending.clear()


class MasterNode(Node):
    """A master: a follower, or with a core while it believes to lead."""

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        coordinator.masters.append(self)
        self.core: MasterCore | None = None
        self.epoch = 0
        self.session = 0
        self._commit_at = 0.0

    def on_start(self) -> None:
        self.core = None
        self.coordinator.join(self)

    def on_crash(self) -> None:
        self.core = None
        self.coordinator.node_died(self)

    def on_elected(self) -> None:
        if self.core is not None:
            return
        epoch = self.coordinator.raise_epoch(self)
        if epoch is None:
            return
        self.epoch = epoch
        self.world.counts["failover"] += 1
        self.world.trace(f"{self.name} leads in epoch {epoch}")
        config = MasterConfig(
            agent_ping_timeout_s=3, max_agent_ping_timeouts=3, agent_reregister_timeout_s=120
        )
        records = dict(self.coordinator.registry)
        self.core = MasterCore(config, DrfAllocator(), records, f"e{epoch}", self.now)
        self.feed(master_ev.Tick())

    def on_session_lost(self) -> None:
        self._follow()
        self.coordinator.join(self)

    def _follow(self) -> None:
        self.core = None
        for link in list(self.links.values()):
            link.cut(self)

    def on_message(self, link: Link, message: Any) -> None:
        if self.core is None:
            link.cut(None)
        else:
            self.feed(message)

    def on_closed(self, link: Link) -> None:
        if self.core is not None:
            agent = isinstance(link.client, AgentNode)
            kind = master_ev.AgentDisconnected if agent else master_ev.FrameworkDisconnected
            self.feed(kind(link.link_id))

    def feed(self, event: master_ev.Event) -> None:
        core = self.core
        if core is None:
            return
        self.world.counts["event"] += 1
        effects = core.step(self.now, event)
        core.check()
        for effect in effects:
            if self.dies_here():
                return
            self._do(effect)
        self.wake_at(core.next_deadline_s(), lambda: self.feed(master_ev.Tick()))

    def _do(self, effect: master_fx.Effect) -> None:
        match effect:
            case master_fx.TellAgent(connection_id, message) | master_fx.TellFramework(
                connection_id, message
            ):
                if connection_id in self.links:
                    self.links[connection_id].send(self, (self.epoch, message))
            case master_fx.CloseConnection(connection_id):
                if connection_id in self.links:
                    link = self.links[connection_id]
                    link.send(self, None)
            case master_fx.PersistRegistry(token, changes):
                self._persist(token, changes)
            case master_fx.StepDown():
                self.world.trace(f"{self.name} steps down")
                self._follow()
                self.coordinator.expire(self)

    def _persist(self, token: int, changes: tuple[Change, ...]) -> None:
        epoch = self.epoch

        def done(ok: bool) -> None:
            event = master_ev.Persisted(token) if ok else master_ev.PersistFailed(token, "fenced")
            self.soon(self.world.delay_s(), lambda: self._persisted(epoch, event))

        # The request dies with this process, or is on its way already.
        later = self.soon if self.world.random.random() < 0.5 else self.world.at
        slow_s = self.world.random.choice([0.0, 0.0, 1.0]) if self.world.faulty else 0.0
        # Requests of one session are not reordered.
        self._commit_at = max(self._commit_at, self.world.now_s + FSYNC_S + slow_s)
        wait_s = self._commit_at - self.world.now_s
        later(wait_s, lambda: self.coordinator.commit(epoch, changes, done))

    def _persisted(self, epoch: int, event: master_ev.Event) -> None:
        if self.core is not None and self.epoch == epoch:
            self.feed(event)


class ClientNode(Node):
    """A process that stays connected to whichever master leads."""

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.disk = Disk(self)
        self.stream: Link | None = None

    def on_crash(self) -> None:
        self.disk.crash()
        self.stream = None

    def look_for_leader(self) -> None:
        """Connect when a leader is known and reached; else try again."""
        if self.stream is not None or not self.alive:  # it may have died in its first step
            return
        leader = self.coordinator.leader
        believers = [m for m in self.coordinator.masters if m.core is not None]
        if self.world.faulty and len(believers) > 1 and self.world.random.random() < 0.5:
            leader = self.world.random.choice(believers)  # what it knows may be old
        reached = leader is not None and leader.alive and leader.core is not None
        if leader is None or not reached or self.world.apart(self.name, leader.name):
            self.soon(self.world.random.uniform(0.1, RETRY_S), self.look_for_leader)
            return
        self.world.counts["stream"] += 1
        self.stream = Link(self.world, self.world.counts["stream"], self, leader)
        self.on_stream(self.stream)

    def leave(self, connection_id: int) -> None:
        """The core wants the stream ended."""
        if self.stream is not None and self.stream.link_id == connection_id:
            self.stream.hang_up()
            self._gone(self.stream)

    def _gone(self, link: Link) -> None:
        self.stream = None
        self.on_stream_lost(link.link_id)
        self.soon(self.world.random.uniform(0.1, RETRY_S), self.look_for_leader)

    def on_closed(self, link: Link) -> None:
        if self.stream is link:
            self._gone(link)

    def on_message(self, link: Link, message: Any) -> None:
        if message is None:  # the master ended the stream
            link.cut(None)
        elif self.stream is link:
            self.on_master_said(link.link_id, *message)

    def watch_leader(self) -> None:
        """Leave a master that leads no more, when that is noticed."""
        leader = self.coordinator.leader
        if self.stream is not None and leader is not None and self.stream.server is not leader:
            self.leave(self.stream.link_id)
        self.soon(self.world.random.uniform(0.5, 2.0), self.watch_leader)

    def on_stream(self, link: Link) -> None:
        """For the role."""

    def on_stream_lost(self, connection_id: int) -> None:
        """For the role."""

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        """For the role."""


@dataclass
class Container:
    """What runs on a machine, whoever started it."""

    container_id: str
    key: tuple[str, str]
    resources: Resources
    exit: agent_ev.ContainerExited | None = None


@dataclass
class Machine:
    """The containers of one machine. They outlive the agent."""

    node: AgentNode
    total: Resources
    containers: dict[str, Container] = field(default_factory=dict)

    def start(self, effect: agent_fx.StartContainer) -> None:
        """Run it for a while."""
        world = self.node.world
        if effect.container_id in self.containers:
            return
        key = (effect.framework_id, effect.info.task_id)
        starts = world.counts
        starts[f"started {key}"] += 1
        assert starts[f"started {key}"] == 1, f"{key} was started twice"
        needs = from_proto(effect.info.resources)
        container = Container(effect.container_id, key, needs)
        self.containers[effect.container_id] = container
        running = EMPTY
        for other in self.containers.values():
            if other.exit is None:
                running = running + other.resources
        assert self.total.contains(running), f"{self.node.name} runs {running} of {self.total}"
        world.counts["container"] += 1
        generation_free = world.random
        fails = world.faulty and generation_free.random() < world.weather.container_failure
        service = effect.info.command.value == "service"
        lives_s = generation_free.expovariate(1 / 5) if not service or fails else float("inf")
        status = generation_free.choice([1, -9]) if fails else 0
        limit = "memory" if fails and status == -9 else None
        if lives_s < float("inf"):
            world.at(lives_s, lambda: self.end(effect.container_id, status, limit))
        container_id = effect.container_id
        self.node.soon(0.01, lambda: self.node.tell_started(container_id))

    def end(self, container_id: str, status: int, limit: str | None = None) -> None:
        """It has ended, now or before."""
        container = self.containers.get(container_id)
        if container is None or container.exit is not None:
            return
        container.exit = agent_ev.ContainerExited(container_id, status, limit)
        if self.node.alive and container_id in self.node.known:
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

    def __init__(self, world: World, name: str, coordinator: Coordinator, port: int) -> None:
        super().__init__(world, name, coordinator)
        cpus = world.random.choice([2, 4, 8])
        self.machine = Machine(self, parse(f"cpus:{cpus};mem:{cpus * 512};ports:[1-100]"))
        self.port = port
        self.core: AgentCore | None = None
        self.known: set[str] = set()
        self.highest_epoch = 0  # that was durable

    def on_start(self) -> None:
        info = pb.AgentInfo(
            address=pb.Address(hostname=self.name, ip="10.0.0.1", port=self.port),
            resources=to_proto(self.machine.total),
            runtimes=["process"],
        )
        tag = f"{self.name}.{self.generation}"
        self.core = AgentCore(
            AgentConfig(info, ("process",), resend_min_s=5.0),
            dict(self.disk.records),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}".encode() for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
            (f"{tag}-{n}" for n in itertools.count()),
        )
        self.known = set(self.machine.containers)
        found = {
            c.container_id: agent_ev.ContainerState(1, c.exit)
            for c in self.machine.containers.values()
        }
        self.feed(agent_ev.ContainersRecovered(found))
        self.look_for_leader()
        self.watch_leader()

    def on_stream(self, link: Link) -> None:
        self.feed(agent_ev.Connected(link.link_id))

    def on_stream_lost(self, connection_id: int) -> None:
        self.feed(agent_ev.Disconnected(connection_id))

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        assert self.core is not None
        self.feed(agent_ev.MasterSaid(connection_id, epoch, message))
        if self.stream is not None and self.core.state.epoch_seen:
            seen = self.core.state.epoch_seen
            assert seen >= self.highest_epoch, f"{self.name} obeyed {seen}, then {epoch}"
            leaving = self.core.connection_id != connection_id
            assert leaving or epoch >= seen, f"{self.name} obeys epoch {epoch} after {seen}"

    def tell_started(self, container_id: str) -> None:
        """The runtime's word."""
        if container_id in self.machine.containers:
            self.feed(agent_ev.ContainerStarted(container_id, 1))
            ended = self.machine.containers[container_id].exit
            self.known.add(container_id)
            if ended is not None:
                self.feed(ended)

    def feed(self, event: agent_ev.Event) -> None:
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
            self.wake_at(self.core.next_deadline_s(), lambda: self.feed(agent_ev.Tick()))

    def _do(self, effect: agent_fx.Effect) -> None:
        match effect:
            case agent_fx.TellMaster(connection_id, message):
                if self.stream is not None and self.stream.link_id == connection_id:
                    self.stream.send(self, _as_master_event(connection_id, message))
            case agent_fx.Checkpoint(token, changes):

                def done(ok: bool) -> None:
                    assert self.core is not None
                    if ok:
                        self.highest_epoch = self.core.state.epoch_seen
                    kind = agent_ev.Checkpointed(token)
                    self.feed(kind if ok else agent_ev.CheckpointFailed(token, "disk full"))

                self.disk.write(changes, done)
            case agent_fx.StartContainer():
                self.machine.start(effect)
            case agent_fx.KillContainer(container_id, _, force):
                self.machine.kill(container_id, force)
            case agent_fx.DestroyContainer(container_id, _):
                container = self.machine.containers.get(container_id)
                if container is not None and container.exit is not None:
                    del self.machine.containers[container_id]
            case agent_fx.Disconnect(connection_id, reason):
                self.world.trace(f"{self.name} leaves the master: {reason}")
                self.soon(0, lambda: self.leave(connection_id))
            case agent_fx.Exit(message):
                raise AssertionError(f"{self.name} exits: {message}")


def _as_master_event(connection_id: int, message: Any) -> master_ev.Event:
    """What the Agent service makes of a message."""
    match message.WhichOneof("message"):
        case "register":
            register = message.register
            return master_ev.AgentRegistering(
                connection_id, register.agent_info, register.incarnation_id, tuple(register.tasks)
            )
        case "update":
            return master_ev.TaskStatusUpdated(connection_id, message.update)
        case _:
            return master_ev.AgentHeard(connection_id)


class FrameworkNode(ClientNode):
    """A bin-packing framework on the SDK."""

    def __init__(self, world: World, name: str, coordinator: Coordinator, jobs: list[Job]) -> None:
        super().__init__(world, name, coordinator)
        self.jobs = {f"{name}-r{n}": job for n, job in enumerate(jobs)}
        self.accepted: set[str] = set()  # request ids that were acknowledged
        self.ends: dict[str, pb.TaskState] = {}  # task id → the terminal state that was told
        self.core: bp.BinpackCore | None = None
        self.driver: sdk.DriverCore | None = None

    def on_start(self) -> None:
        self.core = bp.BinpackCore(POLICIES["best-fit"], dict(self.disk.records))
        missing = self.accepted - {job.request_id for job in self.core.jobs.values()}
        assert not missing, f"{self.name} forgot {missing}, which it had acknowledged"
        info = pb.FrameworkInfo(
            framework_id=self.core.framework_id,
            name=self.name,
            failover_timeout_s=1e7,
            capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE],
        )
        self.driver = sdk.DriverCore(info)
        self.feed(bp.Tick())
        self.look_for_leader()
        self.watch_leader()
        self._submit()

    def _submit(self) -> None:
        """A client that repeats its request until it is acknowledged."""
        for request_id, job in self.jobs.items():
            if request_id not in self.accepted:
                self.feed(bp.JobSubmitted(request_id, f"j-{request_id}", job))
        if self.accepted != self.jobs.keys():
            self.soon(2.0, self._submit)

    @property
    def done(self) -> bool:
        """Whether every batch task has ended well and every service runs."""
        if self.core is None or not self.alive or len(self.core.jobs) < len(self.jobs):
            return False
        return all(
            i.saved.state == (pb.TASK_RUNNING if i.spec.is_service else pb.TASK_FINISHED)
            for i in self.core.instances()
        )

    def on_stream(self, link: Link) -> None:
        self.feed_driver(sdk.Connected(link.link_id))

    def on_stream_lost(self, connection_id: int) -> None:
        self.feed_driver(sdk.Disconnected(connection_id))

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        self.feed_driver(sdk.MasterSaid(connection_id, epoch, message))

    def feed_driver(self, event: sdk.Event) -> None:
        assert self.driver is not None
        if not self.alive:
            return
        generation = self.generation
        for effect in self.driver.step(self.now, event):
            if self.generation != generation:
                return
            self._do_driver(effect)
        if self.generation == generation:
            self._wake()

    def _wake(self) -> None:
        assert self.core is not None and self.driver is not None
        deadlines = (self.core.next_deadline_s(), self.driver.next_deadline_s())
        self.wake_at(min((d for d in deadlines if d is not None), default=None), self._tick)

    def _tick(self) -> None:
        self.feed_driver(sdk.Tick())
        self.feed(bp.Tick())

    def _do_driver(self, effect: sdk.Effect) -> None:
        match effect:
            case sdk.Send(connection_id, call):
                if self.stream is not None and self.stream.link_id == connection_id:
                    self.stream.send(self, _as_framework_event(connection_id, call))
            case sdk.Deliver(event):
                self._deliver(event)
            case sdk.Lost():
                self.feed(bp.Disconnected())
            case sdk.Disconnect(connection_id, reason):
                self.world.trace(f"{self.name} leaves the master: {reason}")
                self.soon(0, lambda: self.leave(connection_id))
            case sdk.Fail(message):
                # A newer stream of our own may end the older one; nothing else may be refused.
                assert message == "Framework failed over", f"{self.name}: {message}"

    def _deliver(self, event: scheduler_pb.Event) -> None:
        match event.WhichOneof("event"):
            case "subscribed":
                self.feed(bp.Subscribed(event.subscribed.framework_id))
            case "offers":
                self.feed(bp.OffersReceived(tuple(event.offers.offers)))
            case "rescind":
                self.feed(bp.OfferRescinded(event.rescind.offer_id))
            case "update":
                self._check_end(event.update.status)
                self.feed(bp.TaskUpdated(event.update.status))

    def _check_end(self, status: pb.TaskStatus) -> None:
        """A task has one end. GONE and DROPPED may both be said of one that never was."""
        if not is_terminal(status.state):
            return
        known = self.ends.setdefault(status.task_id, status.state)
        never_was = {pb.TASK_GONE, pb.TASK_DROPPED}
        assert known == status.state or {known, status.state} <= never_was, (
            f"{status.task_id} ended as {state_name(known)} and as {state_name(status.state)}"
        )

    def feed(self, event: bp.Event) -> None:
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
            self._wake()

    def _do(self, effect: bp.Effect) -> None:
        match effect:
            case bp.Store(token, changes):
                self.disk.write(changes, lambda ok: self._stored(ok, token))
            case bp.Accept(offer_ids, tasks):
                launch = scheduler_pb.Operation.Launch(task_infos=tasks)
                accept = scheduler_pb.Call.Accept(
                    offer_ids=offer_ids,
                    operations=[scheduler_pb.Operation(launch=launch)],
                    filters=scheduler_pb.Filters(refuse_seconds=0),
                )
                self._call(scheduler_pb.Call(accept=accept))
            case bp.Decline(offer_ids, refuse_s):
                filters = scheduler_pb.Filters(refuse_seconds=refuse_s)
                decline = scheduler_pb.Call.Decline(offer_ids=offer_ids, filters=filters)
                self._call(scheduler_pb.Call(decline=decline))
            case bp.Revive():
                self._call(scheduler_pb.Call(revive=scheduler_pb.Call.Revive()))
            case bp.Suppress():
                self._call(scheduler_pb.Call(suppress=scheduler_pb.Call.Suppress()))
            case bp.Kill(task_id, agent_id):
                kill = scheduler_pb.Call.Kill(task_id=task_id, agent_id=agent_id)
                self._call(scheduler_pb.Call(kill=kill))
            case bp.Acknowledge(status):
                if status.uuid:
                    acknowledge = scheduler_pb.Call.Acknowledge(
                        agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
                    )
                    self._call(scheduler_pb.Call(acknowledge=acknowledge))
            case bp.Reconcile(tasks):
                asked = [scheduler_pb.Call.Reconcile.Task(task_id=t, agent_id=a) for t, a in tasks]
                reconcile = scheduler_pb.Call.Reconcile(tasks=asked)
                self._call(scheduler_pb.Call(reconcile=reconcile))
            case bp.JobAccepted(request_id, _):
                self.accepted.add(request_id)

    def _call(self, call: scheduler_pb.Call) -> None:
        self.feed_driver(sdk.SchedulerCalled(call))

    def _stored(self, ok: bool, token: int) -> None:
        if ok:
            self.feed(bp.Stored(token))
        else:
            self.crash()  # the shell ends, and says why


def _as_framework_event(connection_id: int, call: scheduler_pb.Call) -> master_ev.Event:
    """What the Scheduler service makes of a call."""
    if call.HasField("subscribe"):
        return master_ev.FrameworkSubscribing(connection_id, call.subscribe)
    return master_ev.FrameworkCalled(connection_id, call)
