"""Does a master grow?  python bench/churn.py [--hours H] [--json]

A production master core and allocator, fed with an hour of events by a clock that runs as fast as
it can: tasks that are launched, run and end by the thousand a minute, agents that go and come back
or are new, frameworks that come, work and are torn down. Printed is the resident memory after each
quarter of the time; it has to be flat.
"""

from __future__ import annotations

import gc
import itertools
import json
import random
from collections import deque
from dataclasses import dataclass, field

import click
import psutil

from pymesos_core.clock import Now
from pymesos_core.resources import parse, to_proto
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

AGENTS = 200
FRAMEWORKS = 5
TASK = to_proto(parse("cpus:1;mem:32"))
AGENT = to_proto(parse("cpus:8;mem:1024"))
TASK_S = 20.0  # how long a task runs


@dataclass
class Churn:
    """A master, and everybody who talks to it."""

    core: MasterCore = field(init=False)
    now_s: float = 1000.0
    tasks: int = 0
    draw: random.Random = field(default_factory=lambda: random.Random(1))
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    agents: dict[int, str] = field(default_factory=dict)  # connection → id
    frameworks: dict[int, str] = field(default_factory=dict)
    running: deque[tuple[float, int, str, str]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        # As many are kept for those who look back as are there from the first quarter on.
        config = Config(max_completed_tasks=1000, max_lost_agents=100, agent_removal_interval_s=0)
        self.core = MasterCore(config, DrfAllocator(), {}, "m", self.now)
        self.core.watch(False)

    @property
    def now(self) -> Now:
        """The time."""
        return Now(self.now_s, self.now_s)

    def feed(self, event: ev.Event) -> None:
        """One event, and what follows from it."""
        todo = deque(self.core.step(self.now, event))
        while todo:
            effect = todo.popleft()
            match effect:
                case fx.PersistRegistry(token, _):
                    todo.extend(self.core.step(self.now, ev.Persisted(token)))
                case fx.TellFramework(connection_id, said):
                    todo.extend(self._framework_hears(connection_id, said))
                case fx.TellAgent(connection_id, message):
                    self._agent_hears(connection_id, message)

    def _framework_hears(self, connection_id: int, said: scheduler_pb.Event) -> list[fx.Effect]:
        if said.HasField("subscribed"):
            self.frameworks[connection_id] = said.subscribed.framework_id
        if said.HasField("offers"):
            return [e for offer in said.offers.offers for e in self._answer(connection_id, offer)]
        if said.HasField("update") and said.update.status.uuid:
            status = said.update.status
            acknowledge = scheduler_pb.Call.Acknowledge(
                agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid
            )
            return self._call(connection_id, scheduler_pb.Call(acknowledge=acknowledge))
        return []

    def _answer(self, connection_id: int, offer: pb.Offer) -> list[fx.Effect]:
        """Two tasks on every offer."""
        infos = [
            pb.TaskInfo(
                task_id=f"t{next(self.ids)}",
                agent_id=offer.agent_id,
                resources=TASK,
                command=pb.CommandInfo(value="x"),
            )
            for _ in range(2)
        ]
        launch = scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=infos))
        accept = scheduler_pb.Call.Accept(
            offer_ids=[offer.offer_id],
            operations=[launch],
            filters=scheduler_pb.Filters(refuse_seconds=5),
        )
        return self._call(connection_id, scheduler_pb.Call(accept=accept))

    def _call(self, connection_id: int, call: scheduler_pb.Call) -> list[fx.Effect]:
        # As it would be on the wire, so that messages share no memory with ours.
        copy = scheduler_pb.Call.FromString(call.SerializeToString())
        return self.core.step(self.now, ev.FrameworkCalled(connection_id, copy))

    def _agent_hears(self, connection_id: int, message: agent_pb.MasterMessage) -> None:
        if message.HasField("registered"):
            self.agents[connection_id] = message.registered.agent_id
        elif message.HasField("launch"):
            end_s = self.now_s + TASK_S
            launch = message.launch
            self.running.append(
                (end_s, connection_id, launch.framework_id, launch.task_info.task_id)
            )

    def second(self) -> None:
        """What happens in one."""
        self.now_s += 1.0
        while len(self.agents) < AGENTS:
            known = self.draw.random() < 0.5
            agent_id = f"back{self.draw.randrange(AGENTS)}" if known else f"a{next(self.ids)}"
            if agent_id in self.agents.values():
                continue
            address = pb.Address(hostname=agent_id, ip="127.0.0.1", port=next(self.ids) % 60000)
            info = pb.AgentInfo(agent_id=agent_id, resources=AGENT, address=address)
            self.feed(ev.AgentRegistering(next(self.ids), info, "i"))
        while len(self.frameworks) < FRAMEWORKS:
            asked = pb.FrameworkInfo(name="f", capabilities=[pb.PARTITION_AWARE])
            subscribe = scheduler_pb.Call.Subscribe(framework_info=asked)
            self.feed(ev.FrameworkSubscribing(next(self.ids), subscribe))
        while self.running and self.running[0][0] <= self.now_s:
            self._end(*self.running.popleft()[1:])
        if self.draw.random() < 0.1:
            connection_id = self.draw.choice(list(self.agents))
            del self.agents[connection_id]
            self.feed(ev.AgentDisconnected(connection_id))
        if self.draw.random() < 0.02:
            connection_id = self.draw.choice(list(self.frameworks))
            del self.frameworks[connection_id]
            self.feed(
                ev.FrameworkCalled(
                    connection_id, scheduler_pb.Call(teardown=scheduler_pb.Call.Teardown())
                )
            )
        for connection_id in list(self.agents):
            self.feed(ev.AgentHeard(connection_id))
        self.feed(ev.Tick())

    def known(self) -> dict[str, int]:
        """How much the master has in mind."""
        state = self.core.state
        owners = (*state.frameworks.values(), *state.completed_frameworks.values())
        return {
            "agents": len(state.agents),
            "frameworks": len(owners),
            "tasks": sum(len(framework.tasks) for framework in owners),
            "completed_tasks": len(state.completed_tasks),
        }

    def _end(self, connection_id: int, framework_id: str, task_id: str) -> None:
        if connection_id not in self.agents:
            return
        for state in (pb.TASK_RUNNING, pb.TASK_FINISHED):
            status = pb.TaskStatus(
                task_id=task_id,
                state=state,
                uuid=f"{next(self.ids):016}".encode(),
                agent_id=self.agents[connection_id],
            )
            update = agent_pb.StatusUpdate(
                framework_id=framework_id, status=status, latest_state=pb.TASK_FINISHED
            )
            self.feed(ev.TaskStatusUpdated(connection_id, update))
        self.tasks += 1


@click.command()
@click.option("--hours", default=1.0, show_default=True, help="Of simulated time.")
@click.option("--json", "as_json", is_flag=True)
def main(hours: float, as_json: bool) -> None:
    """Churn, and measure memory after each quarter."""
    churn, process = Churn(), psutil.Process()
    quarters: list[float] = []
    known: list[dict[str, int]] = []
    for _ in range(4):
        for _ in range(int(hours * 900)):
            churn.second()
        gc.collect()
        quarters.append(round(process.memory_info().rss / 2**20, 1))
        known.append(churn.known())
    out = {
        "hours": hours,
        "tasks": churn.tasks,
        "rss_mib_by_quarter": quarters,
        "known_by_quarter": known,
    }
    print(json.dumps(out) if as_json else "\n".join(f"{n}: {v}" for n, v in out.items()))


if __name__ == "__main__":
    main()
