"""Frameworks: the bin-packing one with its production shell, others on the production driver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from pymesos_binpack import core as bp
from pymesos_binpack.answers import StartsAgainError
from pymesos_binpack.jobs.instance import INSTANCE, Instance
from pymesos_binpack.placement.packing import read_policy
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.shell import Binpack, StateError
from pymesos_binpack.specs import Job
from pymesos_core.addresses import HostPort
from pymesos_core.clock import Now
from pymesos_core.outgoing.alert_life import State
from pymesos_core.outgoing.notices import Notice
from pymesos_core.security.auditing import Audit
from pymesos_core.security.identities import Kind
from pymesos_core.states import is_terminal, state_name
from pymesos_core.store import Records, StoreError
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, FrameworkError, Scheduler
from pymesos_sdk import core as sdk
from pymesos_sdk.ledger import GIVEN_UP, is_over
from pymesos_simulation import (
    periodic,
    restored,
    scaling,
)
from pymesos_simulation.budgets import Budgets
from pymesos_simulation.coordinator import URL, Coordinator, detector_of
from pymesos_simulation.disk import Disk, SimulatedStore
from pymesos_simulation.executors import in_executor, in_group_executor
from pymesos_simulation.network import Network, handlers_of, outside_of
from pymesos_simulation.pages import Pager, Paging, Promises
from pymesos_simulation.watched_binpack import WatchedBinpack
from pymesos_simulation.world import Node, World, here

MASTER = str(URL)
RETRY_S = 2.0
FRAGILE = "fragile"  # jobs of which some updates break the framework, while the weather is bad
BREAKS = 0.2


def side_of(role: str) -> str:
    """The other role that a framework of this one may have jobs of."""
    return "side" if role == "*" else f"{role}/side"


class WatchedDriver(sdk.DriverCore):
    """No master is obeyed whose epoch is older than one that was obeyed.

    An answer that comes after the end of its task is not told, nor anything after a teardown.
    """

    def step(self, now: Now, event: sdk.Event) -> list[sdk.Effect]:
        world = here().world
        leaving = self.tearing_down
        try:
            effects = super().step(now, event)
            self._check_told(event, effects, leaving)
            if isinstance(event, sdk.MasterSaid) and any(
                isinstance(effect, sdk.Deliver) for effect in effects
            ):
                highest = getattr(self, "highest_epoch", 0)
                assert event.epoch >= highest, f"obeys epoch {event.epoch} after {highest}"
                self.highest_epoch = event.epoch
        except Exception as error:
            world.fail(error)
            raise
        return effects

    def _check_told(self, event: sdk.Event, effects: list[sdk.Effect], leaving: bool) -> None:
        ended: set[str] = self.__dict__.setdefault("ended", set())
        if isinstance(event, sdk.SchedulerCalled):  # asked by the framework: it is answered
            ended.difference_update(task.task_id for task in event.call.reconcile.tasks)
        for effect in effects:
            if isinstance(effect, sdk.Deliver):
                assert not leaving, f"told after its teardown: {effect.event}"
                status = effect.event.update.status
                answers = status.reason == pb.REASON_RECONCILIATION and not status.uuid
                late = answers and status.task_id in ended
                assert not late, f"told after its end: {status}"
                if status.uuid and is_terminal(status.state):
                    ended.add(status.task_id)


class SchedulerNode(Node):
    """A process with a framework, which may have a disk."""

    kind = Kind.FRAMEWORK

    def __init__(self, world: World, name: str, coordinator: Coordinator, network: Network) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.network = network
        self.disk = Disk(self)
        self.driver: Driver | None = None

    @property
    def framework_id(self) -> str:
        """What the master calls it, in this life."""
        return self.driver.framework_id if self.driver is not None else ""

    def on_crash(self) -> None:
        self.network.died(self)
        self.coordinator.died(self)
        self.disk.crash()

    def on_pause(self, seconds: float) -> None:
        self.coordinator.stopped(self, seconds)


class _Ears(Scheduler):
    """Hands on what the driver tells."""

    def __init__(self, node: DriverNode) -> None:
        self._node = node

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        self._node.on_subscribed(framework_id)

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        self._node.on_offers(offers)

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        self._node.on_rescinded(offer_id)

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        self._node.on_update(status)

    def drain(self, driver: Driver, drain: scheduler_pb.Event.Drain) -> None:
        self._node.on_drain(drain)

    def disconnected(self, driver: Driver) -> None:
        self._node.on_lost()


class DriverNode(SchedulerNode):
    """A framework that is written here, on the production driver."""

    def make_info(self) -> pb.FrameworkInfo:
        """What it says of itself when it starts."""
        raise NotImplementedError

    def on_start(self) -> None:
        with self.loop.entered():
            self.driver = Driver(
                _Ears(self),
                self.make_info(),
                MASTER,
                acknowledge=False,
                detector=detector_of(self, self.coordinator),
                outside=outside_of(self, self.network),
                core=WatchedDriver,
            )
        self.spawn(self._drive(self.driver))

    async def _drive(self, driver: Driver) -> None:
        try:
            await driver.run()
        except FrameworkError as error:
            self.on_fail(str(error))
        self.end()

    @property
    def calls(self) -> Driver:
        """What calls are made by."""
        assert self.driver is not None
        return self.driver

    def on_subscribed(self, framework_id: str) -> None:
        """For the framework."""

    def on_offers(self, offers: Sequence[pb.Offer]) -> None:
        """For the framework."""

    def on_rescinded(self, offer_id: str) -> None:
        """For the framework."""

    def on_update(self, status: pb.TaskStatus) -> None:
        """For the framework."""

    def on_drain(self, drain: scheduler_pb.Event.Drain) -> None:
        """For the framework."""

    def on_lost(self) -> None:
        """The stream is gone, and its offers with it."""

    def on_fail(self, message: str) -> None:
        """The master will not have this framework."""


class FrameworkNode(SchedulerNode):
    """A bin-packing framework with its production shell."""

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        network: Network,
        jobs: list[Job],
        updates_sent: Callable[[str], list[bytes]],
        role: str,
        number: int,
    ) -> None:
        super().__init__(world, name, coordinator, network)
        self.role = role
        self.address = HostPort(f"10.0.2.{number}", 5060)
        self.updates_sent = updates_sent  # of a task, by its agent, in order
        self.jobs = {f"{name}-r{n}": job for n, job in enumerate(jobs)}
        # What preempts comes when there is something to preempt.
        self.due_s = {
            request_id: world.now_s + (world.random.uniform(3, 20) if job.preempt else 0)
            for request_id, job in self.jobs.items()
        }
        self.accepted: dict[str, str] = {}  # request ids that were acknowledged → job ids
        self.ends: dict[str, pb.TaskState] = {}  # task id → the terminal state that was told
        self.settled: set[str] = set()  # tasks whose end was stored and acknowledged
        self.heard: dict[str, list[bytes]] = {}  # task id → its updates, in the order first heard
        self.core: WatchedBinpack | None = None
        self.binpack: Binpack | None = None
        self.pager = Pager(world)
        self.begun_runs: periodic.Begun = {}
        self.scale_steps: scaling.Seen = {}
        self.begun_first: set[str] = set()  # instances that were launched and come after others
        self.executors = False  # its tasks run in an executor of its own

    def on_start(self) -> None:
        store = SimulatedStore(self.disk, goes_on=False)
        service = JobsService(self._live_on(store), JobRoles((self.role, side_of(self.role))))
        self.network.listen(self, self.address, handlers_of(AuditedJobs(service, Audit())))
        self.spawn(self._run(store, service))
        for request_id, job in self.jobs.items():
            if request_id not in self.accepted:
                self.spawn(self._submit(request_id, job))

    def info_of(self, name: str) -> pb.FrameworkInfo:
        """What the master is told."""
        return pb.FrameworkInfo(
            name=name,
            roles=[self.role],
            failover_timeout_s=1e7,
            capabilities=[
                pb.PARTITION_AWARE,
                pb.TASK_KILLING_STATE,
                pb.INVERSE_OFFERS,
                pb.REVOCABLE_RESOURCES,
            ],
            jobs_address=str(self.address) if self.world.certified else "",
        )

    def _live_on(self, store: SimulatedStore) -> Binpack:
        """Take over from the disk."""
        self.core = core = WatchedBinpack(read_policy("default"), store.load(), (self.role,))
        core.node, core.budgets, core.offered = self, Budgets(), {}
        core.promises = Promises(store.load())
        missing = self.accepted.keys() - {job.request_id for job in core.jobs.values()}
        assert not missing, f"{self.name} forgot {missing}, which it had acknowledged"
        restored.check(self.world, core.jobs.values(), self.jobs)
        with self.loop.entered():
            self.binpack = binpack = Binpack(
                core,
                store,
                self.info_of(self.name),
                MASTER,
                detector=detector_of(self, self.coordinator),
                outside=outside_of(self, self.network),
                driver=partial(Driver, core=WatchedDriver),
                tells=self.paging,
            )
        self.driver = binpack.driver
        return binpack

    def paging(self, taken: Callable[[Notice], None]) -> Paging:
        """What tells the receiver of its alerts."""
        return Paging(self.pager, outside_of(self, self.network), taken)

    async def _run(self, store: SimulatedStore, service: JobsService) -> None:
        """As `serve` of the framework's process does: what a job breaks goes on without it."""
        try:
            while True:
                try:
                    await service.binpack.run()
                    break
                except bp.JobFault as fault:
                    self.world.trace(f"{self.name} sets aside: {fault}")
                    self.world.counts["set aside"] += 1
                    # It begins anew from what is stored, whichever write failed before.
                    store = SimulatedStore(self.disk, goes_on=False)
                    await asyncio.to_thread(store.commit, [fault.change])
                    service.binpack = self._live_on(store)
        except (StateError, StoreError) as error:
            self.world.trace(f"{self.name} ends: {error}")
        except FrameworkError as error:
            # A newer stream of our own may end the older one; nothing else may be refused.
            assert str(error) == "Framework failed over", f"{self.name}: {error}"
        self.end()

    async def _submit(self, request_id: str, job: Job) -> None:
        """A client that repeats its request until it is acknowledged."""
        await asyncio.sleep(max(0.0, self.due_s[request_id] - self.world.now_s))
        while request_id not in self.accepted:
            try:
                assert self.binpack is not None
                versions = restored.versions_of(self.world, job)
                job_id = await self.binpack.submit(job, request_id, versions=versions)
                self.accepted[request_id] = job_id
            except StartsAgainError:
                await asyncio.sleep(RETRY_S)

    @property
    def acts(self) -> bool:
        """Whether it is the instance that goes by what is stored."""
        return True

    @property
    def stored(self) -> Records:
        """What is durable of its state."""
        return self.disk.records

    @property
    def done(self) -> bool:
        """Whether every batch task has ended well, or by an operator, and every service runs."""
        if self.core is None or not self.alive or len(self.core.jobs) < len(self.jobs):
            return False
        if not self._all_know():
            return False
        return all(map(self._is_done, self.core.instances()))

    def _all_know(self) -> bool:
        """Whether its receiver has taken all that there is to tell."""
        assert self.core is not None
        return all(one.known and one.state is not State.RESOLVED for one in self.core.alerts)

    def _is_done(self, instance: Instance) -> bool:
        assert self.core is not None
        saved = instance.saved
        if self.core.jobs[instance.job_id].stopping:
            return saved.done
        if instance.spec.is_service:
            return saved.state == pb.TASK_RUNNING
        killed = (self.framework_id, saved.task_id) in self.world.killed and saved.done
        return killed or saved.state == pb.TASK_FINISHED

    def breaks_over(self, task_id: str) -> bool:
        """Whether what is said of a task is too much, this time."""
        fragile = task_id.startswith(FRAGILE) and self.world.faulty
        return fragile and self.world.aside.random() < BREAKS

    def check_end(self, status: pb.TaskStatus) -> None:
        """A task has one end. GONE, DROPPED and GONE_BY_OPERATOR all say that no agent has it.

        An end that the framework did not store dies with the agent that an operator marks gone; and
        one that comes again from such an agent, unasked, may make it ask once more. If it has not
        stored that either, a leader that does not know of its successor may tell the first again.
        """
        if not is_terminal(status.state):
            return
        known = self.ends.setdefault(status.task_id, status.state)
        never_was = {pb.TASK_GONE, pb.TASK_DROPPED, pb.TASK_GONE_BY_OPERATOR}
        asked = status.reason == pb.REASON_RECONCILIATION
        settled = status.task_id in self.settled
        lost = status.state == pb.TASK_GONE_BY_OPERATOR and (asked or not settled)
        found = known == pb.TASK_GONE_BY_OPERATOR and asked and not settled
        if lost or found:
            known = self.ends[status.task_id] = status.state
        assert known == status.state or {known, status.state} <= never_was, (
            f"{status.task_id} ended as {state_name(known)} and as {state_name(status.state)}"
        )

    def check_order(self, status: pb.TaskStatus) -> None:
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

    def wanted(self, effect: bp.Effect) -> list[bp.Effect]:
        """What is done of an effect: it, otherwise, or more."""
        match effect:
            case bp.Acknowledge(status):
                self._check_stored(status)
                began = status.state not in (pb.TASK_DROPPED, pb.TASK_ERROR)
                if began and status.source != pb.SOURCE_MASTER:  # its agent says so
                    self.world.data.heard(status.task_id)
                if is_terminal(status.state):
                    self.settled.add(status.task_id)
                return [*self._acknowledged_again(status), effect]
            case bp.Kill(task_id):
                self._check_preempted(task_id)
                self._withdrawn(task_id)
            case bp.Publish(_, ended):
                for task_id in ended:
                    self._withdrawn(task_id)
            case bp.Accept() if self.executors:
                groups = tuple(map(in_group_executor, effect.groups))
                tasks = tuple(map(in_executor, effect.tasks))
                return [replace(effect, tasks=tasks, groups=groups)]
        return [effect]

    def _withdrawn(self, task_id: str) -> None:
        if self.core is not None and self.core.connected:
            self.world.withdrawn((self.framework_id, task_id))

    def _check_stored(self, status: pb.TaskStatus) -> None:
        """An end that is acknowledged is never told again, so it is stored first."""
        if not is_over(status) or not self.acts:
            return
        task_id, records = status.task_id, self.stored
        assert (GIVEN_UP, task_id) not in records, f"{task_id} is acknowledged, not forgotten"
        main, _, beside = task_id.partition("+")
        key = "/".join(main.rsplit(".", 3)[:3])
        stored = json.loads(records.get((INSTANCE, key), b"{}"))
        if stored.get("task_id") != main:
            return
        live = not stored["done"] and not is_terminal(stored["state"]) and stored["state"]
        known = task_id in stored["ended_beside"] if beside else False
        assert known or not live, f"the end of {task_id} is acknowledged before it is stored"

    def _acknowledged_again(self, status: pb.TaskStatus) -> list[bp.Effect]:
        """Now and then an acknowledgement comes twice, the second time when another is due."""
        heard = self.heard.get(status.task_id, [])
        if self.world.faulty and len(heard) > 1 and self.world.random.random() < 0.1:
            again = pb.TaskStatus(task_id=status.task_id, agent_id=status.agent_id, uuid=heard[-2])
            return [bp.Acknowledge(again)]
        return []

    def _check_preempted(self, task_id: str) -> None:
        """What is killed for another is stored as such first: its end is not the instance's."""
        assert self.core is not None
        instance = self.core.instance_of(task_id)
        if instance is not None and instance.saved.preempted and self.acts:
            stored = json.loads(self.stored[INSTANCE, instance.key])
            assert stored["preempted"], f"{task_id} is killed for another before that is stored"
