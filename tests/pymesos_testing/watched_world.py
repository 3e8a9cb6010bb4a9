"""A state of a master that changes by chance, and one who folds what is told of it."""

from __future__ import annotations

import random
from typing import Any

from pymesos_core.resources import parse
from pymesos_core.states import kind_name
from pymesos_master import watching
from pymesos_master.core import effects as fx
from pymesos_master.core.lifecycles import AgentState, FrameworkState
from pymesos_master.core.state import Agent, ClusterState, Framework, Offer, Task
from pymesos_master.watching import Batch, Bounds, Watching
from pymesos_proto.v1 import operator_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent

BAG = parse("cpus:1;mem:32")
Facts = dict[tuple[str, str], int]


class World:
    """A state of a master that changes, and says so."""

    def __init__(self, bounds: Bounds = watching.BOUNDS) -> None:
        self.state = ClusterState()
        self.wanted: list[bool] = []
        self.watching = Watching(7, self.state, self.wanted.append, bounds=bounds)
        self.state.frameworks["f"] = Framework(
            pb.FrameworkInfo(framework_id="f", name="f"), FrameworkState.ACTIVE
        )
        self.number = 0

    def publish(self, kind: ClusterEvent.Kind, **fields: Any) -> None:
        if self.wanted and self.wanted[-1]:
            self.watching.publish(fx.PublishEvent(1.0, kind, **fields))

    def add_agent(self) -> None:
        self.number += 1
        info = pb.AgentInfo(agent_id=f"a{self.number}")
        self.state.agents[info.agent_id] = Agent(info, AgentState.ACTIVE, BAG)
        self.publish(ClusterEvent.AGENT_ADDED, agent_id=info.agent_id, resources=BAG)

    def add_task(self, agent: Agent, *, told: bool = True) -> None:
        self.number += 1
        info = pb.TaskInfo(task_id=f"t{self.number}")
        made = Task(info, "f", agent.agent_id, "*", BAG, pb.TASK_STAGING, 1.0)
        agent.tasks[made.key] = made
        if told:
            self.tell(ClusterEvent.TASK_ADDED, made)

    def tell(self, kind: ClusterEvent.Kind, of: Task) -> None:
        self.publish(
            kind,
            agent_id=of.agent_id,
            framework_id="f",
            task_id=of.info.task_id,
            task_state=of.state,
        )

    def move(self, of: Task) -> None:
        of.state = pb.TASK_RUNNING if of.state == pb.TASK_STAGING else pb.TASK_FINISHED
        self.tell(ClusterEvent.TASK_UPDATED, of)
        if of.state == pb.TASK_FINISHED:
            del self.state.agents[of.agent_id].tasks[of.key]

    def offer(self, agent: Agent) -> None:
        self.number += 1
        offer = Offer(f"o{self.number}", "f", agent.agent_id, "*", BAG, 1.0, 1.0)
        self.state.offers[offer.offer_id] = offer
        self.publish(ClusterEvent.OFFER_SENT, agent_id=agent.agent_id, offer_id=offer.offer_id)

    def answer(self, offer: Offer) -> None:
        del self.state.offers[offer.offer_id]
        self.publish(ClusterEvent.OFFER_DECLINED, agent_id=offer.agent_id, offer_id=offer.offer_id)

    def change(self, draw: random.Random) -> None:
        """Something happens."""
        agents = list(self.state.agents.values())
        tasks = [t for agent in agents for t in agent.tasks.values()]
        offers = list(self.state.offers.values())
        match draw.randrange(6):
            case 0 if agents:
                self.add_task(draw.choice(agents))
            case 1 if tasks:
                self.move(draw.choice(tasks))
            case 2 if agents:
                self.offer(draw.choice(agents))
            case 3 if offers:
                self.answer(draw.choice(offers))
            case 4 if tasks:
                self.move(draw.choice(tasks))
            case _:
                self.add_agent()

    def facts(self) -> Facts:
        out: Facts = {("framework", "f"): 0}
        for agent in self.state.agents.values():
            out["agent", agent.agent_id] = 0
            for of in agent.tasks.values():
                out["task", of.info.task_id] = of.state
        out |= {("offer", offer_id): 0 for offer_id in self.state.offers}
        return out


class Reader:
    """Folds what comes, and finds what cannot be."""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.cursor = ""
        self.begun = 0
        self.events: list[operator_pb2.ClusterEvent] = []

    def take(self, batch: Batch) -> None:
        if batch.snapshot_begins:
            self.begun += 1
            self.facts = {}
        self.cursor = str(batch.cursor or "")
        for event in batch.events:
            self.events.append(event)
            self.fold(event)

    def fold(self, event: operator_pb2.ClusterEvent) -> None:
        what, _, how = kind_name(event.kind).partition("_")
        ids = {"agent": event.agent_id, "framework": event.framework_id, "task": event.task_id}
        key = (what, event.offer_id if what == "offer" else ids[what])
        if how in ("present", "added", "sent"):
            assert key not in self.facts, f"{key} comes twice"
            self.facts[key] = event.task_state
        elif how == "updated":
            assert self.facts[key] < event.task_state, f"{key} goes back"
            self.facts[key] = event.task_state
            if event.task_state == pb.TASK_FINISHED:
                del self.facts[key]
        else:
            del self.facts[key]
