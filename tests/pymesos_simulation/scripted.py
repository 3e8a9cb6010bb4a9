"""A framework that does what a story says: it holds offers, launches, and notes what it hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_core.states import reason_name, state_name
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.executors import in_executor, in_group_executor
from pymesos_simulation.frameworks import DriverNode
from pymesos_simulation.network import Network
from pymesos_simulation.world import World

TASK = parse("cpus:1;mem:64")
SMALL = parse("cpus:0.5;mem:32")


class ScriptedFramework(DriverNode):
    """A framework that keeps its id over restarts, unless the story takes that away."""

    def __init__(
        self,
        world: World,
        name: str,
        coordinator: Coordinator,
        network: Network,
        failover_timeout_s: float,
    ) -> None:
        super().__init__(world, name, coordinator, network)
        self.failover_timeout_s = failover_timeout_s
        self.stored_id = ""
        self.offers: dict[str, pb.Offer] = {}
        self.states: dict[str, list[str]] = {}  # task id → the states heard, without repetitions
        self.errors: list[str] = []
        self.drained: set[str] = set()  # the agents of which it is told so
        self.reasons: dict[str, str] = {}  # task id → the latest heard
        self.acknowledges = True

    def make_info(self) -> pb.FrameworkInfo:
        self.offers.clear()
        return pb.FrameworkInfo(
            framework_id=self.stored_id,
            name=self.name,
            failover_timeout_s=self.failover_timeout_s,
            capabilities=[pb.PARTITION_AWARE],
        )

    def on_start(self) -> None:
        super().on_start()
        if self.stored_id and self.states:
            with self.loop.entered():
                self.calls.reconcile((task_id, "") for task_id in self.states)

    def on_lost(self) -> None:
        self.offers.clear()

    def on_drain(self, drain: scheduler_pb.Event.Drain) -> None:
        if drain.cancelled:
            self.drained.discard(drain.agent_id)
        else:
            self.drained.add(drain.agent_id)

    def on_fail(self, message: str) -> None:
        self.errors.append(message)

    def on_subscribed(self, framework_id: str) -> None:
        self.stored_id = framework_id
        self.drained.clear()  # it is told anew

    def on_offers(self, offers: Sequence[pb.Offer]) -> None:
        self.offers.update({o.offer_id: o for o in offers})

    def on_rescinded(self, offer_id: str) -> None:
        self.offers.pop(offer_id, None)

    def on_update(self, status: pb.TaskStatus) -> None:
        heard = self.states.setdefault(status.task_id, [])
        if not heard or heard[-1] != state_name(status.state):
            heard.append(state_name(status.state))
        self.reasons[status.task_id] = reason_name(status.reason)
        if self.acknowledges:
            self.calls.acknowledge(status)

    def kill(self, task_id: str) -> None:
        """As the story says."""
        with self.loop.entered():
            self.calls.kill(task_id)

    def launch(self, task_id: str, command: str, hostname: str | None) -> None:
        """A task of TASK's size on an offer in hand. Raises StopIteration when none fits."""
        offer = next(
            offer
            for offer in self.offers.values()
            if hostname in (None, offer.hostname) and from_proto(offer.resources).contains(TASK)
        )
        del self.offers[offer.offer_id]
        with self.loop.entered():
            self.calls.accept(
                [offer.offer_id], [self._task(offer, task_id, command, TASK)], refuse_s=0
            )

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
        with self.loop.entered():
            if in_one_executor:
                self.calls.accept([offer_id], map(in_executor, tasks), refuse_s=0)
            else:
                self.calls.accept([offer_id], groups=[in_group_executor(tasks)], refuse_s=0)
