"""Frameworks that do not behave: they hoard, decline everything, are slow, or call nonsense."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.frameworks import DriverNode
from pymesos_simulation.network import Network
from pymesos_simulation.world import World

MANNERS = ("hoards", "declines", "is slow", "calls nonsense", "tears down")


class RudeFramework(DriverNode):
    """On the real driver. It remembers nothing, so each start of it is another framework."""

    def __init__(
        self, world: World, name: str, coordinator: Coordinator, network: Network, manner: str
    ) -> None:
        super().__init__(world, name, coordinator, network)
        assert manner in MANNERS
        self.manner = manner
        self.failover_timeout_s = world.random.choice([0.0, 20.0])
        self.offers_seen = 0
        self.offers: dict[str, pb.Offer] = {}
        self._task_ids = itertools.count()

    def make_info(self) -> pb.FrameworkInfo:
        self.offers.clear()
        return pb.FrameworkInfo(
            name=self.name,
            failover_timeout_s=self.failover_timeout_s,
            capabilities=[pb.PARTITION_AWARE],
        )

    def on_lost(self) -> None:
        self.offers.clear()

    def on_offers(self, offers: Sequence[pb.Offer]) -> None:
        self.offers_seen += len(offers)
        self.offers.update({o.offer_id: o for o in offers})
        for offer in offers:
            self._treat(offer)

    def on_rescinded(self, offer_id: str) -> None:
        if self.manner != "calls nonsense":  # that one uses them all the same
            self.offers.pop(offer_id, None)

    def _treat(self, offer: pb.Offer) -> None:
        random = self.world.random
        match self.manner:
            case "declines":
                self._decline(offer.offer_id, 0.0)
            case "is slow":
                wait_s = random.uniform(5, 60)
                self.soon(wait_s, lambda: self._decline(offer.offer_id, random.choice([0.0, 60.0])))
            case "tears down" if self.world.faulty:
                self.soon(random.uniform(0, 20), self._tear_down)
            case "calls nonsense":
                self.soon(random.uniform(0, 40), lambda: self._call_nonsense(offer))

    def _tear_down(self) -> None:
        """The framework is torn down, and started again as another one."""
        if self.world.faulty:
            self.world.counts["torn down"] += 1
            self.calls.call(scheduler_pb.Call(teardown=scheduler_pb.Call.Teardown()))

    def _decline(self, offer_id: str, refuse_s: float) -> None:
        self.offers.pop(offer_id, None)
        self.calls.decline([offer_id], refuse_s)

    def _call_nonsense(self, offer: pb.Offer) -> None:
        """Tasks that are too large, on offers that are not there or twice; calls about nobody."""
        random = self.world.random
        others = random.sample(sorted(self.offers), min(2, len(self.offers)))
        info = pb.TaskInfo(
            task_id=random.choice([f"t{next(self._task_ids)}", "", "../t"]),
            name="nonsense",
            agent_id=random.choice([offer.agent_id, "nobody"]),
            resources=to_proto(parse("cpus:10000;mem:1")),
        )
        self.offers.pop(offer.offer_id, None)
        refuse_s = random.choice([-1.0, 0.0, float("nan")])
        self.calls.accept([offer.offer_id, *others], [info, info], refuse_s)
        self.calls.kill("nobody's", offer.agent_id)
        self.calls.acknowledge(pb.TaskStatus(agent_id=offer.agent_id, task_id="x", uuid=b"x"))
        self.calls.reconcile([("x", "")])
