"""A driver core, and what it says and tells."""

from __future__ import annotations

from pymesos_core.clock import Now
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.core import (
    Connected,
    Deliver,
    DriverCore,
    Effect,
    Event,
    MasterSaid,
    SchedulerCalled,
    Send,
)
from pymesos_sdk.standing import Standing


class Harness:
    def __init__(self) -> None:
        self.core = DriverCore(Standing(pb.FrameworkInfo(name="f")))
        self.now_s = 0.0
        self.effects: list[Effect] = []
        self.connection = 0

    def feed(self, event: Event) -> None:
        self.effects += self.core.step(Now(self.now_s, self.now_s), event)

    def connect(self, epoch: int = 1) -> None:
        self.connection += 1
        self.feed(Connected(self.connection))
        subscribed = spb.Event.Subscribed(framework_id="id", heartbeat_interval_s=15)
        self.hear(spb.Event(subscribed=subscribed), epoch)

    def hear(self, event: spb.Event, epoch: int = 1) -> None:
        self.feed(MasterSaid(self.connection, epoch, event))

    def update(self, task_id: str, state: pb.TaskState) -> None:
        status = pb.TaskStatus(task_id=task_id, state=state, uuid=b"u")
        self.hear(spb.Event(update=spb.Event.Update(status=status)))

    def answer(self, task_id: str, state: pb.TaskState) -> None:
        """As a master answers RECONCILE: without a uuid."""
        status = pb.TaskStatus(
            task_id=task_id,
            state=state,
            reason=pb.REASON_RECONCILIATION,
            source=pb.SOURCE_MASTER,
        )
        self.hear(spb.Event(update=spb.Event.Update(status=status)))

    def told(self, task_id: str) -> list[pb.TaskState]:
        updates = [e.event.update for e in self.effects if isinstance(e, Deliver)]
        return [u.status.state for u in updates if u.status.task_id == task_id]

    def call(self, **call: object) -> None:
        self.feed(SchedulerCalled(spb.Call(**call)))  # type: ignore[arg-type]

    def launch(self, task_id: str) -> None:
        info = pb.TaskInfo(task_id=task_id, agent_id="a")
        operation = spb.Operation(launch=spb.Operation.Launch(task_infos=[info]))
        self.call(accept=spb.Call.Accept(offer_ids=["o"], operations=[operation]))

    def sent(self, kind: str) -> list[spb.Call]:
        return [e.call for e in self.effects if isinstance(e, Send) and e.call.HasField(kind)]

    def asked(self) -> list[str]:
        return [t.task_id for call in self.sent("reconcile") for t in call.reconcile.tasks]
