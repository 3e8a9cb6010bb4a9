"""Masters: the production election, services, leader and core, which are watched."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.clock import Now
from pymesos_core.coordination import MasterInfo
from pymesos_core.coordination.zookeeper import ZkContender
from pymesos_core.errors import RequestError
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.security.audit import DONE
from pymesos_core.security.auditing import Audit
from pymesos_core.security.identities import Kind
from pymesos_core.store import Change, Records
from pymesos_core.transport import Service
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Client, Grant, Quota, Settings
from pymesos_master.commands import Commands
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.core.records import ACCOUNTING, AGENT, FRAMEWORK
from pymesos_master.core.state import ClusterState, Task
from pymesos_master.gateways.calls import GatewayCalls
from pymesos_master.main import contend
from pymesos_master.services.agent import AgentService
from pymesos_master.services.leading import Leadership
from pymesos_master.services.names import NamesService
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.scheduler import SchedulerService
from pymesos_master.settings import MasterSettings
from pymesos_master.shell import STOPPED_LEADING
from pymesos_master.watching import Bounds
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.accounted import Integral, asked_cpus, asked_cpus_of
from pymesos_simulation.coordinator import URL, Coordinator, client_of, detector_of
from pymesos_simulation.ensemble import SESSION_S
from pymesos_simulation.gateways import GatewayNode, serve_gateways
from pymesos_simulation.network import Handler, Network, handlers_of, outside_of
from pymesos_simulation.registries import InOrderRegistry
from pymesos_simulation.secrets import SimulatedKeys, check_step, check_written
from pymesos_simulation.threads import wait
from pymesos_simulation.world import FSYNC_S, Node, World, here


class SimulatedSettings(MasterSettings):
    """Short timeouts, so that more happens."""

    @property
    def core(self) -> Config:
        return replace(super().core, told_in_a_turn=2, audited=True)

    @property
    def watched(self) -> Bounds:
        return Bounds(events=60, page=7)


SETTINGS = SimulatedSettings(
    zk=URL,
    zk_session_timeout_s=SESSION_S,
    work_dir=Path("/nonexistent"),
    agent_ping_timeout_s=3,
    max_agent_ping_timeouts=3,
    agent_reregister_timeout_s=120,
)


def _waiting_for_another(state: ClusterState, event: ev.Event) -> list[tuple[Task, pb.TaskStatus]]:
    """The update that a task's framework owes, when it acknowledges some other one of it."""
    if not isinstance(event, ev.FrameworkCalled) or not event.call.HasField("acknowledge"):
        return []
    said = event.call.acknowledge
    framework = state.frameworks.get(state.framework_by_connection.get(event.connection_id, ""))
    task = framework.tasks.get(said.task_id) if framework is not None else None
    if task is None or task.unacknowledged is None or task.unacknowledged.uuid == said.uuid:
        return []
    return [(task, task.unacknowledged)]


class WatchedAllocator(DrfAllocator):
    """Nobody is offered again what it has refused before its filter ends."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._refused: dict[tuple[str, str, str], tuple[Resources, float]] = {}

    def _forget(self, framework_id: str = "", agent_id: str = "") -> None:
        self._refused = {
            key: refused
            for key, refused in self._refused.items()
            if framework_id not in ("", key[0]) or agent_id not in ("", key[2])
        }

    def recover(
        self,
        framework_id: str,
        agent_id: str,
        role: str,
        resources: Resources,
        *,
        now_s: float,
        refuse_s: float | None = None,
        timed_out: bool = False,
    ) -> None:
        super().recover(
            framework_id,
            agent_id,
            role,
            resources,
            now_s=now_s,
            refuse_s=refuse_s,
            timed_out=timed_out,
        )
        if refuse_s is not None:  # the latest word counts
            self._refused[framework_id, role, agent_id] = (resources, now_s + refuse_s)

    def allocate(self, now_s: float) -> list[Grant]:
        granted = super().allocate(now_s)
        # A refusal holds while an agent has no more than what was refused; with quota not all that
        # it has is offered.
        for grant in granted if not self._state.quotas else ():
            key = (grant.framework_id, grant.role, grant.agent_id)
            refused, until_s = self._refused.get(key, (EMPTY, 0.0))
            assert now_s >= until_s or not refused.contains(grant.resources), (
                f"{key} is offered {grant.resources}, which it refused for {until_s - now_s:g} s"
            )
        return granted

    def add_agent(self, agent_id: str, total: Resources, used: Mapping[Client, Resources]) -> None:
        super().add_agent(agent_id, total, used)
        self._forget(agent_id=agent_id)

    def revive(self, framework_id: str, roles: Sequence[str]) -> None:
        super().revive(framework_id, roles)
        self._forget(framework_id)

    def suppress(self, framework_id: str, roles: Sequence[str]) -> None:
        super().suppress(framework_id, roles)
        self._forget(framework_id)

    def set_quota(self, role: str, quota: Quota) -> None:
        super().set_quota(role, quota)
        self._forget()  # it may be offered otherwise now

    def add_framework(self, framework_id: str, roles: Sequence[str], **more: Any) -> None:
        super().add_framework(framework_id, roles, **more)
        kept = set(roles) - more.get("suppressed", set()) if more.get("keep_filters") else set()
        self._refused = {
            key: refused
            for key, refused in self._refused.items()
            if framework_id != key[0] or key[1] in kept
        }


class WatchedRegistry(InOrderRegistry):
    """What a master writes is looked at, too."""

    def commit(self, changes: list[Change]) -> None:
        for change in changes:
            with here().world.fatal():
                check_written(here().world, change.value or b"", "the registry")
            if change.kind == FRAMEWORK and change.value is not None:
                info = registry_pb.FrameworkRecord.FromString(change.value).info
                here().world.roles[change.key] = tuple(info.roles) or ("*",)
        super().commit(changes)
        for change in changes:
            if change.kind == ACCOUNTING:
                here().world.accounted[change.key] = asked_cpus_of(change.value)
            if change.kind == AGENT and change.value is not None:
                record = registry_pb.AgentRecord.FromString(change.value)
                if record.drain.state == registry_pb.DrainRecord.DRAINED:
                    with here().world.fatal():
                        here().world.drained(change.key)


class SimulatedAudit:
    """The audit's file on a simulated disk: what was not synced goes with the process."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._written: list[bytes] = []
        self.synced: list[bytes] = []

    def make_room(self) -> None:
        """See AuditSink."""

    def append(self, lines: list[bytes], *, sync: bool) -> None:
        """See AuditSink."""
        wait("a write to the audit", partial(self._append, lines, sync))

    def _append(self, lines: list[bytes], sync: bool, answer: Callable[..., None]) -> None:
        for line in lines:
            with self._node.world.fatal():
                check_written(self._node.world, line, "the audit")

        def finish() -> None:
            self._written += lines
            if sync:
                self.synced, self._written = self.synced + self._written, []
            answer()

        self._node.soon(FSYNC_S if sync else 0.0, finish)

    def close(self) -> None:
        """See AuditSink."""

    def done(self) -> int:
        """How many changes of operators a crash leaves in it that were made."""
        said = map(json.loads, self.synced)
        return sum(s["result"] == DONE and s["method"].startswith("Operator.") for s in said)


class WatchedCore(MasterCore):
    """Each step is checked; what fails in one ends the run, whoever else might catch it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._world = here().world
        self._world.counts["failover"] += 1
        self._integral = Integral(self.state, self._ctx.now)
        loaded = asked_cpus(self.state.accounts.days.values())
        if not any(kind == ACCOUNTING for kind, _ in self.state.quarantined):
            with self._world.fatal():
                written = sum(self._world.accounted.values())
                assert loaded >= written, f"accounted for is {loaded}, and written was {written}"

    def step(self, now: Now, event: ev.Event) -> list[fx.Effect]:
        self._world.counts["event"] += 1
        try:
            waiting = _waiting_for_another(self.state, event)
            effects = super().step(now, event)
            for task, due in waiting:
                assert task.unacknowledged is due, f"another acknowledgement ends {task.key}"
            check_step(self._world, event, effects)
            if effects:  # else nobody has seen anything of what the step did
                self.check()
            self._integral.look(now)
        except Exception as error:
            self._world.fail(error)
            raise
        return effects


def watched_core(settings: MasterSettings, records: Records, prefix: str, now: Now) -> WatchedCore:
    """What makes the core of each term."""
    config = settings.core
    if here().world.certified:
        config = replace(config, seed_policy=here().world.seed_policy)
    return WatchedCore(config, WatchedAllocator(settings.allocation), records, prefix, now)


class MasterNode(Node):
    """Contends from its start on, with the production election, services and leader."""

    kind = Kind.MASTER

    def __init__(
        self, world: World, name: str, coordinator: Coordinator, network: Network, number: int
    ) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        self.network = network
        self.address = HostPort(f"10.0.1.{number}", 5050)
        self.leadership: Leadership | None = None
        self.acknowledged = 0  # changes of operators, in this life
        self.file = SimulatedAudit(self)
        self.gateways: list[GatewayNode] = []
        self.calls: GatewayCalls | None = None  # that come through them
        coordinator.masters.append(self)

    @property
    def core(self) -> MasterCore | None:
        """The core of the term that this master leads."""
        if not self.alive or self.leadership is None or self.leadership.leader is None:
            return None
        return self.leadership.leader.core

    def on_start(self) -> None:
        self.spawn(self._serve())

    def add_gateway(self) -> None:
        """From its next start on it leaves its streams to one."""
        self.gateways.append(GatewayNode(self, self.network, self.address, self._socket))

    @property
    def _socket(self) -> HostPort:
        return HostPort(self.address.host, 1)

    async def _serve(self) -> None:
        """As the main program does."""
        me = MasterInfo(f"{self.name}.{self.generation}", self.address, self.name)
        outside = outside_of(self, self.network)
        self.file, self.acknowledged = SimulatedAudit(self), 0
        audit = Audit(self.file, outside)
        self.spawn(audit.run())
        self.leadership = leadership = Leadership(me, outside, audit=audit, keys=SimulatedKeys())
        contender = ZkContender(
            URL,
            me,
            SESSION_S,
            client=client_of(self, self.coordinator),
            registry=WatchedRegistry,
        )
        detector = detector_of(self, self.coordinator)
        services: list[Service] = [
            SchedulerService(leadership),
            AgentService(leadership),
            OperatorService(leadership),
            NamesService(leadership),
        ]
        await detector.start(patient=True)
        leadership.known_leader = lambda: detector.leader
        if self.gateways:
            self.calls = serve_gateways(self, self.network, self._socket, self.gateways, services)
        else:
            handlers: dict[str, Handler] = {}
            for service in services:
                handlers |= handlers_of(service)
            self.network.listen(self, self.address, handlers)
        await contend(SETTINGS, contender, leadership, watched_core)

    def on_crash(self) -> None:
        self.leadership = None
        self.network.died(self)
        self.coordinator.died(self)
        for gateway in self.gateways:
            gateway.master_is_gone()

    def on_pause(self, seconds: float) -> None:
        self.coordinator.stopped(self, seconds)

    def ask(
        self,
        decide: Callable[[Commands], Awaitable[None]],
        answered: Callable[[str | None], None],
    ) -> None:
        """An operator's command to the leader that is here; nobody is answered if it ends."""
        leader = self.leadership.leader if self.leadership is not None else None
        if leader is None or not self.alive:
            return

        async def ask() -> None:
            try:
                await decide(leader.commands)
            except RequestError as error:
                if error.problem.message != STOPPED_LEADING:
                    answered(error.problem.message)
            else:
                self.acknowledged += 1
                with self.world.fatal():
                    assert self.file.done() >= self.acknowledged, (
                        "an operator is answered before the audit has the change"
                    )
                answered(None)

        def begin() -> None:
            self.spawn(ask())

        self.soon(0, begin)
