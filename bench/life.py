"""What does a task's life cost the cores?  python bench/life.py [--json]

The production cores of master and agents in one process, and between them the bytes that streams
would carry. Every life is launched, RUNNING, FINISHED, each update acknowledged. There is no gRPC,
no asyncio and no disk: what is left is the work of the cores and of protobuf. The least of several
rounds counts, since whatever else the machine does can only add to it.

- master_us, agent_us: for one life.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from pymesos_agent.core import AgentCore
from pymesos_agent.core import Config as AgentConfig
from pymesos_agent.core import effects as agent_fx
from pymesos_agent.core import events as agent_ev
from pymesos_core.clock import read_clock
from pymesos_core.garbage import collect_seldom
from pymesos_core.ids import numbered
from pymesos_core.resources import parse, to_proto
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore, effects, events
from pymesos_proto.v1 import agent_pb2, scheduler_pb2, types_pb2

FRAMEWORK = 1  # its connection; those of agents follow
KINDS: dict[str, Callable[[int, agent_pb2.AgentMessage], events.Event]] = {
    "update": lambda connection, said: events.TaskStatusUpdated(connection, said.update),
    "pong": lambda connection, said: events.AgentHeard(connection),
}


class Stopwatch:
    """Seconds of CPU, by what they were for."""

    def __init__(self) -> None:
        self.spent_s: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """What is done in this block."""
        begin = time.thread_time()
        yield
        self.spent_s[name] += time.thread_time() - begin


class Agents:
    """Agent cores whose checkpoints are durable and whose containers start and end at once."""

    def __init__(self, number: int, slots: int) -> None:
        self.cores: list[AgentCore] = []
        self.said: list[list[agent_pb2.AgentMessage]] = [[] for _ in range(number)]
        self._running: list[list[str]] = [[] for _ in range(number)]
        for index in range(number):
            info = types_pb2.AgentInfo(
                address=types_pb2.Address(hostname=f"h{index}", ip="127.0.0.1", port=index + 1),
                resources=to_proto(parse(f"cpus:{slots};mem:{slots * 32}")),
                runtimes=["process"],
            )
            core = AgentCore(
                AgentConfig(info, ("process",)),
                {},
                numbered("c"),
                iter(lambda: os.urandom(16), b""),
                numbered(f"i{index}-"),
                numbered(f"a{index}-"),
            )
            self.cores.append(core)
            self.feed(index, agent_ev.ContainersRecovered({}))
            self.feed(index, agent_ev.Connected(1))

    def feed(self, index: int, event: agent_ev.Event) -> None:
        """A step, and one for each event that what it wants done brings."""
        waiting = [event]
        for each in waiting:
            for effect in self.cores[index].step(read_clock(), each):
                match effect:
                    case agent_fx.TellMaster(_, message):
                        self.said[index].append(message)
                    case agent_fx.Checkpoint(token, _):
                        waiting.append(agent_ev.Checkpointed(token))
                    case agent_fx.StartContainer(container_id):
                        self._running[index].append(container_id)
                        waiting.append(agent_ev.ContainerStarted(container_id, 1))

    def end_all(self, index: int) -> None:
        """All its containers exit."""
        running, self._running[index] = self._running[index], []
        for container_id in running:
            self.feed(index, agent_ev.ContainerExited(container_id, 0))


class Cluster:
    """A master, its agents, and a framework that fills every offer."""

    def __init__(self, agents: int, slots: int) -> None:
        self.watch = Stopwatch()
        self._slots = slots
        self._task = to_proto(parse("cpus:1;mem:32"))
        self._ids = itertools.count()
        self._master = MasterCore(Config(), DrfAllocator(), {}, "m", read_clock())
        self._master.watch(False)
        self._for_agents: defaultdict[int, list[agent_pb2.MasterMessage]] = defaultdict(list)
        self._for_framework: list[scheduler_pb2.Event] = []
        info = types_pb2.FrameworkInfo(name="f", capabilities=[types_pb2.PARTITION_AWARE])
        subscribe = scheduler_pb2.Call.Subscribe(framework_info=info)
        self._feed(events.FrameworkSubscribing(FRAMEWORK, subscribe))
        self._agents = Agents(agents, slots)
        for index in range(agents):
            (first,) = self._agents.said[index]
            self._agents.said[index].clear()
            register = first.register
            self._feed(
                events.AgentRegistering(
                    self._connection(index), register.agent_info, register.incarnation_id, ()
                )
            )
        self._exchange()

    @staticmethod
    def _connection(index: int) -> int:
        return FRAMEWORK + 1 + index

    def _feed(self, event: events.Event) -> None:
        waiting = [event]
        for each in waiting:
            for effect in self._master.step(read_clock(), each):
                match effect:
                    case effects.TellAgent(connection_id, message):
                        self._for_agents[connection_id].append(message)
                    case effects.TellFramework(_, said):
                        self._for_framework.append(said)
                    case effects.PersistRegistry(token, _):
                        waiting.append(events.Persisted(token))

    def _exchange(self) -> None:
        """What the master and its agents have to say to each other, until that is nothing."""
        while self._for_agents or any(self._agents.said):
            with self.watch.of("master"):
                for_agents = {
                    connection_id: agent_pb2.MasterBatch(
                        epoch=1, message=messages
                    ).SerializeToString()
                    for connection_id, messages in self._for_agents.items()
                }
                self._for_agents.clear()
            with self.watch.of("agent"):
                for connection_id, data in for_agents.items():
                    index = connection_id - FRAMEWORK - 1
                    for message in agent_pb2.MasterBatch.FromString(data).message:
                        self._agents.feed(index, agent_ev.MasterSaid(1, 1, message))
                from_agents = [
                    (index, agent_pb2.AgentBatch(message=said).SerializeToString())
                    for index, said in enumerate(self._agents.said)
                    if said
                ]
                for index, _ in from_agents:
                    self._agents.said[index] = []
            with self.watch.of("master"):
                for index, data in from_agents:
                    for said in agent_pb2.AgentBatch.FromString(data).message:
                        kind = said.WhichOneof("message")
                        assert kind is not None
                        self._feed(KINDS[kind](self._connection(index), said))

    def _events(self) -> list[scheduler_pb2.Event]:
        """What the framework is told."""
        with self.watch.of("master"):
            data = scheduler_pb2.EventBatch(epoch=1, event=self._for_framework).SerializeToString()
            self._for_framework = []
        return list(scheduler_pb2.EventBatch.FromString(data).event)

    def _call(self, calls: list[scheduler_pb2.Call]) -> None:
        """What the framework says."""
        data = scheduler_pb2.CallBatch(call=calls).SerializeToString()
        with self.watch.of("master"):
            for call in scheduler_pb2.CallBatch.FromString(data).call:
                self._feed(events.FrameworkCalled(FRAMEWORK, call))

    def _acknowledge(self) -> None:
        self._call(
            [
                scheduler_pb2.Call(
                    acknowledge=scheduler_pb2.Call.Acknowledge(
                        agent_id=event.update.status.agent_id,
                        task_id=event.update.status.task_id,
                        uuid=event.update.status.uuid,
                    )
                )
                for event in self._events()
                if event.HasField("update") and event.update.status.uuid
            ]
        )

    def _accept(self, offer: types_pb2.Offer) -> scheduler_pb2.Call:
        infos = [
            types_pb2.TaskInfo(
                task_id=f"t{next(self._ids)}",
                name="t",
                agent_id=offer.agent_id,
                resources=self._task,
                command=types_pb2.CommandInfo(shell=True, value="0"),
            )
            for _ in range(self._slots)
        ]
        launch = scheduler_pb2.Operation(launch=scheduler_pb2.Operation.Launch(task_infos=infos))
        filters = scheduler_pb2.Filters(refuse_seconds=0.0)
        return scheduler_pb2.Call(
            accept=scheduler_pb2.Call.Accept(
                offer_ids=[offer.offer_id], operations=[launch], filters=filters
            )
        )

    def lives(self) -> int:
        """One life on every slot; how many these are."""
        offers: list[types_pb2.Offer] = []
        while len(offers) < len(self._agents.cores):
            time.sleep(0.001)
            with self.watch.of("master"):
                self._feed(events.Tick())
            offers += (offer for event in self._events() for offer in event.offers.offers)
        self._call([self._accept(offer) for offer in offers])
        self._exchange()
        self._acknowledge()
        with self.watch.of("agent"):
            for index in range(len(self._agents.cores)):
                self._agents.end_all(index)
        self._exchange()
        self._acknowledge()
        self._exchange()
        return len(offers) * self._slots


@click.command()
@click.option("--agents", default=20, show_default=True, help="How many agents.")
@click.option("--slots", default=16, show_default=True, help="How many tasks fit on one.")
@click.option("--rounds", default=60, show_default=True, help="Of which the least counts.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, slots: int, rounds: int, as_json: bool) -> None:
    """Measure what a life costs the cores."""
    collect_seldom()  # as the roles do
    cluster = Cluster(agents, slots)
    least: dict[str, float] = {}
    for _ in range(rounds):
        cluster.watch.spent_s.clear()
        lives = cluster.lives()
        for name, spent_s in cluster.watch.spent_s.items():
            each_us = spent_s / lives * 1e6
            least[name] = min(least.get(name, each_us), each_us)
    result = {f"{name}_us": round(each_us, 2) for name, each_us in least.items()}
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
