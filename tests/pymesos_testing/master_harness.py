"""A master core with hands: events in by name, effects sorted by who they are for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pymesos_core import resources
from pymesos_core.caller import NOBODY, Caller
from pymesos_core.clock import Now
from pymesos_core.errors import Problem
from pymesos_core.outgoing.notices import Notice
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.audit import Entry
from pymesos_core.store import Change
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.core.reported import ReportedTask, read_executor, read_task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

PARTITION_AWARE = (pb.PARTITION_AWARE,)


def registering(
    connection_id: int,
    info: pb.AgentInfo,
    incarnation_id: str,
    records: Iterable[agent_pb.TaskRecord],
    **said: Any,
) -> ev.AgentRegistering:
    """An agent registers with tasks, which are read as the service does it."""
    tasks: list[ReportedTask] = []
    problem = ""
    try:
        tasks += map(read_task, records)
    except ResourceError as error:
        problem = str(error)
    return ev.AgentRegistering(
        connection_id, info, incarnation_id, tuple(tasks), problem=problem, **said
    )


class MasterHarness:
    """Persists at once unless `hold_writes`; checks the invariants after every step."""

    def __init__(
        self,
        config: Config | None = None,
        registry: dict[tuple[str, str], bytes] | None = None,
        now_s: float = 1000.0,
    ) -> None:
        self.registry = dict(registry or {})
        self.now_s = now_s
        self.skew_s = 0.0  # how wrong the clock on the wall is
        self.core = MasterCore(config or Config(), DrfAllocator(), self.registry, "m", self.now)
        self.framework_inbox: dict[int, list[scheduler_pb.Event]] = defaultdict(list)
        self.agent_inbox: dict[int, list[agent_pb.MasterMessage]] = defaultdict(list)
        self.closed: set[int] = set()
        self.answers: dict[int, str | None] = {}
        self.problems: dict[int, Problem | None] = {}  # the same, with their kinds
        self.published: list[fx.PublishEvent] = []
        self.complaints: list[fx.Complain] = []
        self.audited: list[Entry] = []
        self.told: list[Notice] = []
        self.stepped_down: str | None = None
        self.hold_writes = False
        self.hold_reading = False
        self.awaiting: set[int] = set()
        self._reading = False
        self.held: list[tuple[int, tuple[Change, ...]]] = []
        self._ids = itertools.count(1)

    @property
    def now(self) -> Now:
        return Now(self.now_s, 1_700_000_000 + self.now_s + self.skew_s)

    def feed(self, event: ev.Event) -> None:
        for effect in self.core.step(self.now, event):
            self._do(effect)
        self.core.check()

    def _do(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellFramework(connection_id, event):
                self.framework_inbox[connection_id].append(event)
            case fx.TellAgent(connection_id, message):
                self.agent_inbox[connection_id].append(message)
            case fx.CloseConnection(connection_id) | fx.EndUnread(connection_id):
                self.closed.add(connection_id)
            case fx.PersistRegistry(token, changes):
                self.held.append((token, changes))
                if not self.hold_writes:
                    self.write()
            case fx.AwaitDrained(connection_id):
                self.awaiting.add(connection_id)
                if not self.hold_reading:
                    self.read(connection_id)
            case fx.AnswerOperator(request_id, problem):
                self.answers[request_id] = problem.message if problem else None
                self.problems[request_id] = problem
            case fx.StepDown(reason):
                self.stepped_down = reason
            case fx.PublishEvent():
                self.published.append(effect)
            case fx.Complain():
                self.complaints.append(effect)
            case fx.Tell(notice):
                self.told.append(notice)
            case fx.Audit(entry):
                self.audited.append(entry)

    def read(self, connection_id: int) -> None:
        """A framework reads what it was told."""
        if self._reading:
            return  # it is fed below, when the step is over
        self._reading = True
        while connection_id in self.awaiting:
            self.awaiting.discard(connection_id)
            self.feed(ev.Drained(connection_id))
        self._reading = False

    def write(self) -> None:
        """Make what is held durable."""
        while self.held:
            token, changes = self.held.pop(0)
            for change in changes:
                if change.value is None:
                    self.registry.pop((change.kind, change.key), None)
                else:
                    self.registry[change.kind, change.key] = change.value
            self.feed(ev.Persisted(token))

    def advance(self, seconds: float) -> None:
        """Let time pass, with a Tick at every deadline on the way."""
        end = self.now_s + seconds
        while True:
            deadline = self.core.next_deadline_s()
            if deadline is None or deadline > end:
                break
            self.now_s = max(self.now_s, deadline)
            self.feed(ev.Tick())
        self.now_s = end
        self.feed(ev.Tick())

    # Agents.

    def agent(
        self,
        text: str = "cpus:4;mem:4096",
        agent_id: str = "",
        tasks: Iterable[agent_pb.TaskRecord] = (),
        port: int | None = None,
        caller: Caller = NOBODY,
        isolation: Mapping[str, str] | None = None,
        capabilities: Iterable[pb.AgentCapability] = (pb.MAY_RETURN,),
        executors: Iterable[agent_pb.HeldExecutor] = (),
        mesos_port: int = 0,
    ) -> int:
        """Register; the connection id."""
        connection_id = next(self._ids)
        info = pb.AgentInfo(
            agent_id=agent_id,
            address=pb.Address(hostname="h", ip="127.0.0.1", port=port or 10_000 + connection_id),
            resources=resources.to_proto(resources.parse(text)),
            isolation=isolation,
            capabilities=capabilities,
            mesos_port=mesos_port,
        )
        incarnation_id = f"i{connection_id}"
        held = tuple(map(read_executor, executors))
        self.feed(
            registering(connection_id, info, incarnation_id, tasks, caller=caller, executors=held)
        )
        self.feed(ev.AgentHeard(connection_id))
        return connection_id

    def agent_id(self, connection_id: int) -> str:
        return next(
            m.registered.agent_id
            for m in self.agent_inbox[connection_id]
            if m.HasField("registered")
        )

    def update(
        self,
        connection_id: int,
        framework_id: str,
        task_id: str,
        state: pb.TaskState,
        uuid: bytes = b"u",
        latest: pb.TaskState | None = None,
    ) -> None:
        status = pb.TaskStatus(
            task_id=task_id,
            state=state,
            uuid=uuid,
            agent_id=self.agent_id(connection_id),
            timestamp_s=self.now.wall_s,
        )
        update = agent_pb.StatusUpdate(
            framework_id=framework_id, status=status, latest_state=latest or state
        )
        self.feed(ev.TaskStatusUpdated(connection_id, update))

    def launched(self, connection_id: int) -> list[str]:
        return [
            m.launch.task_info.task_id
            for m in self.agent_inbox[connection_id]
            if m.HasField("launch")
        ]

    # Frameworks.

    def subscribe(
        self,
        framework_id: str = "",
        name: str = "f",
        capabilities: Iterable[pb.FrameworkCapability] = PARTITION_AWARE,
        failover_timeout_s: float = 60.0,
        roles: Iterable[str] = (),
        user: str = "",
        caller: Caller = NOBODY,
        epoch: int = 0,
        jobs_address: str = "",
        job_roles: Iterable[str] = (),
    ) -> int:
        connection_id = next(self._ids)
        info = pb.FrameworkInfo(
            jobs_address=jobs_address,
            job_roles=job_roles,
            framework_id=framework_id,
            epoch=epoch,
            name=name,
            capabilities=capabilities,
            failover_timeout_s=failover_timeout_s,
            roles=roles,
            user=user,
        )
        subscribe = scheduler_pb.Call.Subscribe(framework_info=info)
        self.feed(ev.FrameworkSubscribing(connection_id, subscribe, caller))
        return connection_id

    def framework_id(self, connection_id: int) -> str:
        return next(
            e.subscribed.framework_id
            for e in self.framework_inbox[connection_id]
            if e.HasField("subscribed")
        )

    def call(self, connection_id: int, **call: object) -> None:
        self.feed(ev.FrameworkCalled(connection_id, scheduler_pb.Call(**call)))  # type: ignore[arg-type]

    def offers(self, connection_id: int) -> list[pb.Offer]:
        """The offers that are still valid, after the allocation that is due."""
        self.advance(0.002)
        return [
            offer
            for event in self.framework_inbox[connection_id]
            for offer in event.offers.offers
            if offer.offer_id in self.core.state.offers
        ]

    def statuses(self, connection_id: int) -> list[pb.TaskStatus]:
        return [
            e.update.status for e in self.framework_inbox[connection_id] if e.HasField("update")
        ]

    def last(self, connection_id: int) -> pb.TaskStatus:
        return self.statuses(connection_id)[-1]

    def errors(self, connection_id: int) -> list[str]:
        return [e.error.message for e in self.framework_inbox[connection_id] if e.HasField("error")]

    def refused(self, connection_id: int) -> list[scheduler_pb.Event.Refused]:
        return [e.refused for e in self.framework_inbox[connection_id] if e.HasField("refused")]

    def accept(
        self,
        connection_id: int,
        offer_ids: Iterable[str],
        *infos: pb.TaskInfo,
        refuse_s: float = 0.0,
    ) -> None:
        launch = scheduler_pb.Operation.Launch(task_infos=infos)
        accept = scheduler_pb.Call.Accept(
            offer_ids=offer_ids,
            operations=[scheduler_pb.Operation(launch=launch)],
            filters=scheduler_pb.Filters(refuse_seconds=refuse_s),
        )
        self.call(connection_id, accept=accept)

    def decline(
        self, connection_id: int, offer_ids: Iterable[str], refuse_s: float | None = None
    ) -> None:
        filters = scheduler_pb.Filters(refuse_seconds=refuse_s)
        decline = scheduler_pb.Call.Decline(offer_ids=offer_ids, filters=filters)
        self.call(connection_id, decline=decline)

    def run(self, framework: int, task_id: str = "t", text: str = "cpus:1;mem:32") -> pb.Offer:
        """Launch a task on the first offer and let it run."""
        offer = self.offers(framework)[0]
        self.accept(framework, [offer.offer_id], task(offer, task_id, text))
        return offer


def task(
    offer: pb.Offer, task_id: str, text: str = "cpus:1;mem:32", agent_id: str | None = None
) -> pb.TaskInfo:
    """A task for an offer."""
    return pb.TaskInfo(
        task_id=task_id,
        name=task_id,
        agent_id=offer.agent_id if agent_id is None else agent_id,
        resources=resources.to_proto(resources.parse(text)),
        command=pb.CommandInfo(shell=True, value="true"),
    )
