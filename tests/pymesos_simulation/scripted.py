"""A framework that does what a story says: it holds offers, launches, and notes what it hears."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_core.states import state_name
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import core as sdk
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.executors import in_executor
from pymesos_simulation.frameworks import DriverNode
from pymesos_simulation.world import World

TASK = parse("cpus:1;mem:64")
SMALL = parse("cpus:0.5;mem:32")


class ScriptedFramework(DriverNode):
    """It keeps its id over restarts, as if in a file, unless the story takes that away."""

    def __init__(
        self, world: World, name: str, coordinator: Coordinator, failover_timeout_s: float
    ) -> None:
        super().__init__(world, name, coordinator)
        self.failover_timeout_s = failover_timeout_s
        self.stored_id = ""
        self.offers: dict[str, pb.Offer] = {}
        self.states: dict[str, list[str]] = {}  # task id → the states heard, without repetitions
        self.errors: list[str] = []
        self.acknowledges = True

    def on_start(self) -> None:
        self.offers.clear()
        info = pb.FrameworkInfo(
            framework_id=self.stored_id,
            name=self.name,
            failover_timeout_s=self.failover_timeout_s,
            capabilities=[pb.PARTITION_AWARE],
        )
        self.driver = sdk.DriverCore(info)
        if self.stored_id and self.states:
            self.reconcile((task_id, "") for task_id in self.states)
        self.look_for_leader()
        self.watch_leader()

    def on_lost(self) -> None:
        self.offers.clear()

    def on_fail(self, message: str) -> None:
        self.errors.append(message)
        self.soon(0, self.crash)

    def on_event(self, event: scheduler_pb.Event) -> None:
        match event.WhichOneof("event"):
            case "subscribed":
                self.stored_id = event.subscribed.framework_id
            case "offers":
                self.offers.update({o.offer_id: o for o in event.offers.offers})
            case "rescind":
                self.offers.pop(event.rescind.offer_id, None)
            case "update":
                status = event.update.status
                heard = self.states.setdefault(status.task_id, [])
                if not heard or heard[-1] != state_name(status.state):
                    heard.append(state_name(status.state))
                if self.acknowledges:
                    self.acknowledge(status)

    def launch(self, task_id: str, command: str, hostname: str | None) -> None:
        """A task of TASK's size on an offer in hand. Raises StopIteration when none fits."""
        offer = next(
            offer
            for offer in self.offers.values()
            if hostname in (None, offer.hostname) and from_proto(offer.resources).contains(TASK)
        )
        del self.offers[offer.offer_id]
        self.accept([offer.offer_id], [self._task(offer, task_id, command, TASK)], refuse_s=0)

    def _task(self, offer: pb.Offer, task_id: str, command: str, size: Resources) -> pb.TaskInfo:
        self.states.setdefault(task_id, [])
        return pb.TaskInfo(
            task_id=task_id,
            name=task_id,
            agent_id=offer.agent_id,
            resources=to_proto(size),
            command=pb.CommandInfo(shell=True, value=command),
        )

    def launch_together(self, commands: Mapping[str, str], *, in_one_executor: bool) -> None:
        """Small tasks, as a group or in an executor, on an offer in hand."""
        offer_id, offer = self.offers.popitem()
        tasks = [self._task(offer, t, command, SMALL) for t, command in commands.items()]
        if in_one_executor:
            self.accept([offer_id], map(in_executor, tasks), refuse_s=0)
        else:
            self.accept([offer_id], groups=[tasks], refuse_s=0)
