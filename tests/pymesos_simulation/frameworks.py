"""Frameworks: the bin-packing one on the SDK, and some that do not behave."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pymesos_binpack import core as bp
from pymesos_binpack.calls import make_call
from pymesos_binpack.jobfiles.parsing import Job
from pymesos_binpack.jobs.state import INSTANCE
from pymesos_binpack.placement.packing import read_policy
from pymesos_core.states import is_terminal, state_name
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import core as sdk
from pymesos_sdk.calls import Calls
from pymesos_simulation.clients import ClientNode
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.executors import in_executor
from pymesos_simulation.world import Link, World


class DriverNode(ClientNode, Calls):
    """A framework on the SDK's driver."""

    disconnected = master_ev.FrameworkDisconnected

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name, coordinator)
        self.driver: sdk.DriverCore | None = None
        self._heard_by: sdk.DriverCore | None = None
        self._epoch = 0  # of the master that speaks now
        self._highest_epoch = 0  # that this process has obeyed

    @property
    def framework_id(self) -> str:
        """What the master calls it, in this life."""
        return self.driver.info.framework_id if self.driver is not None else ""

    def on_stream(self, link: Link) -> None:
        self.feed_driver(sdk.Connected(link.link_id))

    def on_stream_lost(self, connection_id: int) -> None:
        self.feed_driver(sdk.Disconnected(connection_id))

    def on_master_said(self, connection_id: int, epoch: int, message: Any) -> None:
        if self._heard_by is not self.driver:
            self._heard_by, self._highest_epoch = self.driver, 0
        self._epoch = epoch
        self.feed_driver(sdk.MasterSaid(connection_id, epoch, message))

    def call(self, call: scheduler_pb.Call) -> None:
        """Ask the driver to make a call."""
        self.feed_driver(sdk.SchedulerCalled(call))

    def feed_driver(self, event: sdk.Event) -> None:
        """One step of the driver, and what it wants done."""
        assert self.driver is not None
        if not self.alive:
            return
        generation = self.generation
        for effect in self.driver.step(self.now, event):
            if self.generation != generation:
                return
            self._do_driver(effect)
        if self.generation == generation:
            self.wake()

    def _do_driver(self, effect: sdk.Effect) -> None:
        match effect:
            case sdk.Send(connection_id, call):
                if self.stream is not None and self.stream.link_id == connection_id:
                    self.stream.send(self, _as_master_event(connection_id, call))
            case sdk.Deliver(event):
                assert self._epoch >= self._highest_epoch, (
                    f"{self.name} obeys epoch {self._epoch} after {self._highest_epoch}"
                )
                self._highest_epoch = self._epoch
                self.on_event(event)
            case sdk.Lost():
                self.on_lost()
            case sdk.Disconnect(connection_id, reason):
                self.world.trace(f"{self.name} leaves the master: {reason}")
                self.soon(0, lambda: self.leave(connection_id))
            case sdk.Fail(message):
                self.on_fail(message)

    def wake(self) -> None:
        """Have the next deadline of the driver or the framework met."""
        assert self.driver is not None
        deadlines = (self.deadline_s(), self.driver.next_deadline_s())
        self.wake_at(min((d for d in deadlines if d is not None), default=None), self._tick)

    def _tick(self) -> None:
        self.feed_driver(sdk.Tick())
        self.on_tick()

    def deadline_s(self) -> float | None:
        """The framework's own next deadline."""
        return None

    def on_tick(self) -> None:
        """That deadline may be due."""

    def on_event(self, event: scheduler_pb.Event) -> None:
        """What the driver delivers."""

    def on_lost(self) -> None:
        """The stream is gone, and its offers with it."""

    def on_fail(self, message: str) -> None:
        """The master will not have this framework."""


class FrameworkNode(DriverNode):
    """A bin-packing framework."""

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        jobs: list[Job],
        updates_sent: Callable[[str], list[bytes]],
        role: str,
    ) -> None:
        super().__init__(world, name, coordinator)
        self.role = role
        self.updates_sent = updates_sent  # of a task, by its agent, in order
        self.jobs = {f"{name}-r{n}": job for n, job in enumerate(jobs)}
        # What preempts comes when there is something to preempt.
        self.due_s = {
            request_id: world.now_s + (world.random.uniform(3, 20) if job.preempt else 0)
            for request_id, job in self.jobs.items()
        }
        self.accepted: set[str] = set()  # request ids that were acknowledged
        self.ends: dict[str, pb.TaskState] = {}  # task id → the terminal state that was told
        self.settled: set[str] = set()  # tasks whose end was stored and acknowledged
        self.heard: dict[str, list[bytes]] = {}  # task id → its updates, in the order first heard
        self.core: bp.BinpackCore | None = None
        self.executors = False  # its tasks run in an executor of its own

    def on_start(self) -> None:
        self.core = bp.BinpackCore(read_policy("default"), dict(self.disk.records))
        missing = self.accepted - {job.request_id for job in self.core.jobs.values()}
        assert not missing, f"{self.name} forgot {missing}, which it had acknowledged"
        info = pb.FrameworkInfo(
            framework_id=self.core.framework_id,
            name=self.name,
            roles=[self.role],
            failover_timeout_s=1e7,
            capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE],
        )
        self.driver = sdk.DriverCore(info, ledger=self.core.ledger)
        self.feed(bp.Tick())
        self.look_for_leader()
        self.watch_leader()
        self._submit()

    def _submit(self) -> None:
        """A client that repeats its request until it is acknowledged."""
        for request_id, job in self.jobs.items():
            if request_id not in self.accepted and self.due_s[request_id] <= self.world.now_s:
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

    def deadline_s(self) -> float | None:
        return self.core.next_deadline_s() if self.core is not None else None

    def on_tick(self) -> None:
        self.feed(bp.Tick())

    def on_lost(self) -> None:
        self.feed(bp.Disconnected())

    def on_fail(self, message: str) -> None:
        # A newer stream of our own may end the older one; nothing else may be refused.
        assert message == "Framework failed over", f"{self.name}: {message}"
        self.soon(0, self.crash)  # the shell ends, and says why

    def on_event(self, event: scheduler_pb.Event) -> None:
        """What the driver delivers."""
        match event.WhichOneof("event"):
            case "subscribed":
                self.feed(bp.Subscribed(event.subscribed.framework_id))
            case "offers":
                self.feed(bp.OffersReceived(tuple(event.offers.offers)))
            case "rescind":
                self.feed(bp.OfferRescinded(event.rescind.offer_id))
            case "failure" if not event.failure.executor_id:
                self.feed(bp.AgentLost(event.failure.agent_id))
            case "update":
                self._check_end(event.update.status)
                self._check_order(event.update.status)
                self.feed(bp.TaskUpdated(event.update.status))

    def _check_end(self, status: pb.TaskStatus) -> None:
        """A task has one end. GONE, DROPPED and GONE_BY_OPERATOR all say that no agent has it.

        An end that the framework did not store dies with the agent that an operator marks gone; and
        one that comes again from such an agent, unasked, may make it ask once more.
        """
        if not is_terminal(status.state):
            return
        known = self.ends.setdefault(status.task_id, status.state)
        never_was = {pb.TASK_GONE, pb.TASK_DROPPED, pb.TASK_GONE_BY_OPERATOR}
        asked = status.reason == pb.REASON_RECONCILIATION
        lost = status.state == pb.TASK_GONE_BY_OPERATOR and (
            asked or status.task_id not in self.settled
        )
        if lost:
            known = self.ends[status.task_id] = status.state
        assert known == status.state or {known, status.state} <= never_was, (
            f"{status.task_id} ended as {state_name(known)} and as {state_name(status.state)}"
        )

    def _check_order(self, status: pb.TaskStatus) -> None:
        """Updates come in the order in which their agent made them, and none is left out."""
        heard = self.heard.setdefault(status.task_id, [])
        if status.uuid and status.uuid not in heard:
            sent = self.updates_sent(status.task_id)
            assert sent[len(heard)] == status.uuid, (
                f"{self.name} hears update {sent.index(status.uuid)} of {status.task_id}"
                f" after {len(heard)} others"
            )
            heard.append(status.uuid)
            ended = status.task_id in self.ends
            assert is_terminal(status.state) or not ended, (
                f"{status.task_id} is {state_name(status.state)} after its end"
            )

    def feed(self, event: bp.Event) -> None:
        assert self.core is not None
        if not self.alive:
            return
        self.world.counts["event"] += 1
        generation = self.generation
        effects = self.core.step(self.now, event)
        self.core.check()
        for effect in effects:
            if self.generation != generation or self.dies_here():
                return
            self._do(effect)
        if self.generation == generation:
            self.wake()

    def _do(self, effect: bp.Effect) -> None:
        match effect:
            case bp.Store(token, changes):
                self.disk.write(changes, lambda ok: self._stored(ok, token))
            case bp.JobAccepted(request_id, _):
                self.accepted.add(request_id)
            case bp.JobChanged() | bp.JobRefused() | bp.Released():
                pass
            case _:
                if isinstance(effect, bp.Acknowledge):
                    self._acknowledge_again(effect.status)
                    if is_terminal(effect.status.state):
                        self.settled.add(effect.status.task_id)
                if isinstance(effect, bp.Kill):
                    self._check_preempted(effect.task_id)
                if self.executors and isinstance(effect, bp.Accept):
                    effect = replace(effect, tasks=tuple(map(in_executor, effect.tasks)))
                make_call(self, effect)

    def _acknowledge_again(self, status: pb.TaskStatus) -> None:
        """Now and then an acknowledgement comes twice, the second time when another is due."""
        heard = self.heard.get(status.task_id, [])
        if self.world.faulty and len(heard) > 1 and self.world.random.random() < 0.1:
            again = pb.TaskStatus(task_id=status.task_id, agent_id=status.agent_id, uuid=heard[-2])
            self.acknowledge(again)

    def _check_preempted(self, task_id: str) -> None:
        """What is killed for another is stored as such first: its end is not the instance's."""
        assert self.core is not None
        instance = self.core.instance_of(task_id)
        if instance is not None and instance.saved.preempted:
            stored = json.loads(self.disk.records[INSTANCE, instance.key])
            assert stored["preempted"], f"{task_id} is killed for another before that is stored"

    def _stored(self, ok: bool, token: int) -> None:
        if ok:
            self.feed(bp.Stored(token))
        else:
            self.crash()  # the shell ends, and says why


def _as_master_event(connection_id: int, call: scheduler_pb.Call) -> master_ev.Event:
    """What the Scheduler service makes of a call."""
    if call.HasField("subscribe"):
        return master_ev.FrameworkSubscribing(connection_id, call.subscribe)
    return master_ev.FrameworkCalled(connection_id, call)
