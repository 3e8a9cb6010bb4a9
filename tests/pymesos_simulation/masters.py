"""A master: a follower, or with a core while it believes to lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pymesos_core.coordination import RegistryError
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.store import Change, CommitQueue
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Client, Grant, Quota
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.core.state import ClusterState, Task
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.coordinator import SESSION_S, Coordinator
from pymesos_simulation.world import FSYNC_S, Link, Node, World

CONFIG = Config(
    agent_ping_timeout_s=3,
    max_agent_ping_timeouts=3,
    agent_reregister_timeout_s=120,
    told_in_a_turn=2,
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

    def __init__(self) -> None:
        super().__init__()
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
        for grant in granted if not self.quotas() else ():
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

    def add_framework(self, framework_id: str, *arguments: Any, **more: Any) -> None:
        super().add_framework(framework_id, *arguments, **more)
        self._forget(framework_id)


class MasterNode(Node):
    """Contends from its start on; sends are held back while it is in doubt whether it leads."""

    def __init__(self, world: World, name: str, coordinator: Coordinator) -> None:
        super().__init__(world, name)
        self.coordinator = coordinator
        coordinator.masters.append(self)
        self.core: MasterCore | None = None
        self.epoch = 0
        self.session = 0
        self.suspended = False
        self.answers: dict[int, str | None] = {}  # to operators, by request id
        self.on_answer: Callable[[int, str | None], None] = lambda number, problem: None
        self._held: list[tuple[int, Any]] = []
        self._commits = CommitQueue()  # of this leadership
        self._writing = False

    def on_start(self) -> None:
        self._clear()
        self.coordinator.join(self)

    def on_crash(self) -> None:
        self._clear()
        self.coordinator.node_died(self)

    def _clear(self) -> None:
        self.core = None
        self.suspended = False
        self._held.clear()
        self._commits = CommitQueue()
        self._writing = False

    def on_elected(self) -> None:
        """The coordinator says that its znode is the lowest."""
        if self.core is not None:
            return
        epoch = self.coordinator.raise_epoch(self)
        if epoch is None:
            return
        self.epoch = epoch
        self.world.counts["failover"] += 1
        self.world.trace(f"{self.name} leads in epoch {epoch}")
        records = dict(self.coordinator.registry)
        self.core = MasterCore(CONFIG, WatchedAllocator(), records, f"e{epoch}", self.now)
        self.feed(ev.Tick())

    def on_session_lost(self) -> None:
        """The coordinator has ended its session."""
        self._follow()
        self.coordinator.join(self)

    def on_suspended(self) -> None:
        """The coordinator does not answer."""
        if self.core is None or self.suspended:
            return
        self.suspended = True
        self.world.trace(f"{self.name} does not reach ZooKeeper")
        self.feed(ev.CoordinationSuspended())
        epoch = self.epoch

        def presume_lost() -> None:
            if self.suspended and self.epoch == epoch:
                self.world.trace(f"{self.name} gives leadership up")
                self._follow()
                self.coordinator.resign(self)

        self.soon(SESSION_S, presume_lost)

    def on_resumed(self) -> None:
        """The coordinator answers, in the same session."""
        if self.suspended:
            self.world.trace(f"{self.name} leads on in epoch {self.epoch}")
            self.suspended = False
            held, self._held = self._held, []
            for connection_id, message in held:
                self._send(connection_id, message)
            self.feed(ev.CoordinationResumed())

    def _follow(self) -> None:
        self._clear()
        for link in list(self.links.values()):
            link.cut(self)

    def on_message(self, link: Link, message: Any) -> None:
        if self.core is None:
            link.cut(None)
        else:
            self.feed(message)

    def on_closed(self, link: Link) -> None:
        if self.core is not None:
            self.feed(link.disconnected(link.link_id))

    def feed(self, event: ev.Event) -> None:
        """One step, and what it wants done."""
        core = self.core
        if core is None:
            return
        self.world.counts["event"] += 1
        waiting = _waiting_for_another(core.state, event)
        effects = core.step(self.now, event)
        for task, due in waiting:
            assert task.unacknowledged is due, f"another acknowledgement ends {task.key}"
        core.check()
        for effect in effects:
            if self.dies_here():
                return
            self._do(effect)
        self.wake_at(core.next_deadline_s(), lambda: self.feed(ev.Tick()))

    def _do(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellAgent(connection_id, message) | fx.TellFramework(connection_id, message):
                self._send(connection_id, (self.epoch, message))
            case fx.CloseConnection(connection_id) | fx.EndUnread(connection_id):
                self._send(connection_id, None)
            case fx.AwaitDrained(connection_id):
                drained = ev.Drained(connection_id)
                self.soon(self.world.delay_s(), lambda: self.feed(drained))
            case fx.PersistRegistry(token, changes):
                self._persist(token, changes)
            case fx.AnswerOperator(request_id, refused):
                problem = refused.message if refused else None
                self.answers[request_id] = problem
                self.on_answer(request_id, problem)
            case fx.StepDown():
                self.world.trace(f"{self.name} steps down")
                self._follow()
                self.coordinator.resign(self)

    def _send(self, connection_id: int, message: Any) -> None:
        if self.suspended:
            self._held.append((connection_id, message))
        elif connection_id in self.links:
            self.links[connection_id].send(self, message)

    def _persist(self, token: int, changes: tuple[Change, ...]) -> None:
        self._commits.submit(token, changes)
        self._write()

    def _write(self) -> None:
        """One request at a time; it may be lost with the way to ZooKeeper, or its answer."""
        if self._writing:
            return
        changes = self._commits.take()
        if changes is None:
            return
        self._writing = True
        epoch, random, commits = self.epoch, self.world.random, self._commits

        def done(ok: bool) -> None:
            failure = None if ok else RegistryError("not written")
            self.soon(self.world.delay_s(), lambda: self._written(commits, failure))

        def arrive() -> None:
            coordinator = self.coordinator
            if coordinator.reached_by(self):
                coordinator.commit(epoch, tuple(changes), done)
            elif random.random() < 0.5:
                coordinator.when_reached(self, arrive)
            else:
                self.world.counts["unknown write"] += 1
                if random.random() < 0.5:
                    coordinator.commit(epoch, tuple(changes), lambda ok: None)
                done(False)

        # The request dies with this process, or is on its way already.
        send = self.soon if random.random() < 0.5 else self.world.at
        slow_s = random.choice([0.0, 0.0, 1.0]) if self.world.faulty else 0.0
        send(FSYNC_S + slow_s, arrive)

    def _written(self, commits: CommitQueue, failure: Exception | None) -> None:
        """Tell the core, unless the term of that write is over."""
        if self._commits is not commits:
            return
        for token, error in commits.settle(failure):
            self.feed(ev.PersistFailed(token, str(error)) if error else ev.Persisted(token))
            if self._commits is not commits:
                return
        self._writing = False
        self._write()
