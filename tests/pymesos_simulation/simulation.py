"""One run: a cluster in bad weather, then in good; it must end up with all work done."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pymesos_binpack.jobs import Job, parse_job
from pymesos_core.states import is_terminal
from pymesos_master.core.state import AgentState
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.roles import AgentNode, FrameworkNode, MasterNode
from pymesos_simulation.world import Node, World

FAULTY_S = 240.0
HEALED_S = 3600.0  # simulated seconds within which a healed cluster must have converged


@dataclass(frozen=True)
class Result:
    """What a run covered."""

    seed: int
    events: int
    crashes: int
    failovers: int
    finished: int
    simulated_s: float
    faults: dict[str, int]

    def line(self) -> str:
        """For people and for comparing two replays."""
        return json.dumps(self.__dict__, sort_keys=True)


class Simulation:
    """The nodes of one run and the faults that befall them."""

    def __init__(self, seed: int, trace: Callable[[str], None] | None = None) -> None:
        self.world = world = World(seed, trace)
        self.coordinator = Coordinator(world)
        rng = world.random
        self.masters = [
            MasterNode(world, f"master{n}", self.coordinator) for n in range(rng.randint(1, 3))
        ]
        self.agents = [
            AgentNode(world, f"agent{n}", self.coordinator, 5000 + n)
            for n in range(rng.randint(1, 5))
        ]
        self.frameworks = [
            FrameworkNode(world, f"framework{n}", self.coordinator, [self._job(n)])
            for n in range(rng.randint(1, 3))
        ]
        self.nodes: list[Node] = [*self.masters, *self.agents, *self.frameworks]

    def _job(self, number: int) -> Job:
        rng = self.world.random
        tasks = [
            {
                "name": "batch",
                "instances": rng.randint(10, 60),
                "command": "batch",
                "retries": 1000,
                "resources": {"cpus": rng.choice([0.1, 0.5, 1]), "mem": 64},
            },
            {
                "name": "service",
                "kind": "service",
                "command": "service",
                "instances": rng.randint(1, 2),
                "resources": {"cpus": 0.1, "mem": 32, "ports": rng.randint(0, 2)},
            },
        ]
        return parse_job({"name": f"job{number}", "tasks": tasks})

    def run(self) -> Result:
        """Raises AssertionError when an invariant is broken or the cluster does not converge."""
        for node in self.nodes:
            node.start()
        self._schedule_faults()
        self.world.run(lambda: False, FAULTY_S)
        self._heal()
        converged = self.world.run(self.converged, self.world.now_s + HEALED_S)
        assert converged, f"not converged: {self.what_is_missing()}"
        counts = self.world.counts
        faults = ("cut", "crash", "crash in a step", "pause", "partition", "session", "disk full",
                  "fenced write")  # fmt: skip
        return Result(
            self.world.seed,
            counts["event"],
            counts["crash"],
            counts["failover"],
            sum(len(f.ends) for f in self.frameworks),
            self.world.now_s,
            {name: counts[name] for name in faults if counts[name]},
        )

    # Faults.

    def _schedule_faults(self) -> None:
        weather = self.world.weather
        for gap_s, strike in (
            (weather.cut_gap_s, self._cut),
            (weather.crash_gap_s, self._crash),
            (weather.pause_gap_s, self._pause),
            (weather.partition_gap_s, self._partition),
            (weather.session_gap_s, self._expire),
            (weather.disk_gap_s, self._fill_disk),
        ):
            if gap_s < float("inf"):
                self._repeat(gap_s, strike)
        self._restart_the_dead()

    def _repeat(self, gap_s: float, strike: Callable[[], None]) -> None:
        def again() -> None:
            if self.world.faulty:
                strike()
                self._repeat(gap_s, strike)

        self.world.at(self.world.random.expovariate(1 / gap_s), again)

    def _restart_the_dead(self) -> None:
        """Whatever died comes back after a while, as systemd would have it."""
        for node in self.nodes:
            if not node.alive:
                self._restart_later(node)
        self.world.at(0.5, self._restart_the_dead)

    def _restart_later(self, node: Node) -> None:
        generation = node.generation

        def restart() -> None:
            if not node.alive and node.generation == generation:
                node.start()

        self.world.at(self.world.random.uniform(0.1, 15.0 if self.world.faulty else 1.0), restart)

    def _cut(self) -> None:
        streams = [c.stream for c in [*self.agents, *self.frameworks] if c.stream is not None]
        if streams:
            self.world.counts["cut"] += 1
            stream = self.world.random.choice(streams)
            self.world.trace(f"the stream of {stream.client.name} is cut")
            stream.cut(None)

    def _crash(self) -> None:
        self.world.random.choice(self.nodes).crash()

    def _pause(self) -> None:
        node = self.world.random.choice(self.nodes)
        if node.alive:
            seconds = self.world.random.uniform(1, 40)
            node.pause(seconds)
            if isinstance(node, MasterNode) and seconds > 10:
                # Its session ends without it; it goes on as if it led until it is told.
                self.world.at(10, lambda: self.coordinator.expire(node))

    def _partition(self) -> None:
        self.world.counts["partition"] += 1
        rng = self.world.random
        side = {n.name for n in self.nodes if rng.random() < 0.5}
        until = self.world.now_s + rng.uniform(1, 40)
        symmetric = rng.random() < 0.5
        for one in self.nodes:
            for other in self.nodes:
                if one.name in side and other.name not in side:
                    self.world.separated[one.name, other.name] = until
                    if symmetric:
                        self.world.separated[other.name, one.name] = until
        self.world.trace(f"{sorted(side)} are cut off until {until:.1f}")

    def _expire(self) -> None:
        self.world.counts["session"] += 1
        self.coordinator.expire(self.world.random.choice(self.masters))

    def _fill_disk(self) -> None:
        self.world.counts["disk full"] += 1
        node = self.world.random.choice([*self.agents, *self.frameworks])
        node.disk.full_until_s = self.world.now_s + self.world.random.uniform(0.5, 10)
        self.world.trace(f"the disk of {node.name} is full for a while")

    def _heal(self) -> None:
        self.world.trace("the weather is fine")
        self.world.faulty = False
        self.world.separated.clear()
        for node in self.nodes:
            node.paused_until_s = 0.0
        for node in (*self.agents, *self.frameworks):
            node.disk.full_until_s = 0.0

    # What must be true.

    def converged(self) -> bool:
        """All work done, all acknowledged, and the leader's view is the agents'."""
        leader = self.coordinator.leader
        if leader is None or leader.core is None or not all(n.alive for n in self.nodes):
            return False
        if not all(f.done for f in self.frameworks):
            return False
        return not self._differences(leader)

    def _differences(self, leader: MasterNode) -> list[str]:
        """Where the leader and the agents see different tasks."""
        assert leader.core is not None
        out = []
        live = {
            (agent.name, c.key)
            for agent in self.agents
            for c in agent.machine.containers.values()
            if c.exit is None
        }
        seen = {
            (agent.info.address.hostname, key)
            for agent in leader.core.state.agents.values()
            for key, task in agent.tasks.items()
            if not is_terminal(task.state)
        }
        if live != seen:
            out.append(
                f"running {live - seen} unknown to the master, {seen - live} known to it only"
            )
        waiting = [
            t.info.task_id
            for agent in self.agents
            if agent.core is not None
            for t in agent.core.state.tasks.values()
            if t.unacknowledged
        ]
        if waiting:
            out.append(f"unacknowledged updates of {waiting}")
        cores = [f.core for f in self.frameworks if f.core is not None]
        wanted = sum(i.spec.is_service for core in cores for i in core.instances())
        if len(live) != wanted:
            out.append(f"{len(live)} containers run, {wanted} are wanted")
        ids = {core.framework_id for core in cores}
        ghosts = [
            f.framework_id
            for f in leader.core.state.frameworks.values()
            if f.framework_id not in ids and (f.tasks or f.offers)
        ]
        if ghosts:
            out.append(f"ghost frameworks {ghosts} hold tasks or offers")
        if written := self._unlike_the_registry(leader):
            out.append(f"the registry says otherwise of {written}")
        return out

    def _unlike_the_registry(self, leader: MasterNode) -> list[str]:
        """What a successor of the leader would believe, and the leader does not."""
        assert leader.core is not None
        records = self.coordinator.registry
        agents = {
            key: registry_pb.AgentRecord.FromString(value).state
            for (kind, key), value in records.items()
            if kind == "agent"
        }
        reachable = {AgentState.ACTIVE, AgentState.DISCONNECTED, AgentState.RECOVERING}
        out = [
            agent.agent_id
            for agent in leader.core.state.agents.values()
            if (agents.get(agent.agent_id) == registry_pb.AgentRecord.REACHABLE)
            != (agent.state in reachable)
        ]
        known = {key for kind, key in records if kind == "framework"}
        return [*out, *(known ^ leader.core.state.frameworks.keys())]

    def what_is_missing(self) -> str:
        """For the report of a failure."""
        leader = self.coordinator.leader
        parts = [f"down: {[n.name for n in self.nodes if not n.alive]}"]
        if leader is None or leader.core is None:
            return "; ".join([*parts, "nobody leads"])
        parts += self._differences(leader)
        for framework in self.frameworks:
            if framework.core is not None and not framework.done:
                left = [
                    (i.key, i.saved.state, i.saved.task_id, i.explanation)
                    for i in framework.core.instances()
                    if not i.saved.done
                ]
                parts.append(f"{framework.name}: {left[:5]}")
        return "; ".join(parts)


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run one seed. Raises AssertionError, with the seed in its text."""
    simulation = Simulation(seed, trace)
    try:
        return simulation.run()
    except AssertionError as error:
        raise AssertionError(f"seed {seed} at {simulation.world.now_s:.4f} s: {error}") from error
