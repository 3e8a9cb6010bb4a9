"""What befalls a cluster while the weather is bad."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pymesos_core.caller import NOBODY
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import read_policy
from pymesos_master.commands import Commands
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.core.reservations import intended
from pymesos_master.core.roles import read_quota
from pymesos_master.core.secrets import key_of
from pymesos_master.core.state import ClusterState
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation.changes import LOOK_S, work_waits
from pymesos_simulation.cluster import Cluster
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.secrets import KEYRING, NAME, PLANTED
from pymesos_simulation.strangers import ROOT, policy
from pymesos_simulation.volumes import drained_volumes
from pymesos_simulation.world import Node

# What is counted, in the order of the report.
FAULTS = (
    "cut",
    "crash",
    "crash in a step",
    "gateway crash",
    "pause",
    "partition",
    "session",
    "ZooKeeper away",
    "ZooKeeper lags",
    "unknown write",
    "stopped before a write",
    "fenced write",
    "runtime away",
    "disk full",
    "torn write",
    "power failure",
    "unsynced write",
    "clock jump",
    "rolling upgrade",
    "marked gone",
    "cordoned",
    "drained",
    "activated",
    "window planned",
    "changed",
    "variable set",
    "volumes given up",
    "volume removed",
    "config made anew",
    "agent ended",
    "torn down",
    "other resources",
    "too small for its tasks",
    "quota or weight set",
    "reserved or unreserved",
    "policy set",
    "secret set or removed",
    "secret given",
    "secret used",
    "asked for another's secret",
    "denied",
    "snooped",
)
POLICY_GAP_S = 15.0
SECRETS_GAP_S = 8.0
DRAIN_EVERY = 8  # of so many seeds one has operators who drain agents
POWER_GAP_S = 12.0
END_DRAINS_S = 5.0  # how often these look, once the weather is fine, whether agents are drained
ROLES = ("eng", "eng/web", "ops")


class Faults:
    """Strikes at random times, each kind with a mean gap of its own.

    It has more than 300 lines and is better whole: each kind is a short method, and the order in
    which they take random numbers is what a seed stands for.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self._operator = ROOT if cluster.world.certified else NOBODY

    def begin(self) -> None:
        """Until the world is not faulty any more."""
        weather = self.world.weather
        for gap_s, strike in (
            (weather.cut_gap_s, self._cut),
            (weather.crash_gap_s, self._crash),
            (weather.pause_gap_s, self._pause),
            (weather.partition_gap_s, self._partition),
            (weather.session_gap_s, self._expire),
            (weather.disk_gap_s, self._fill_disk),
            (weather.coordinator_gap_s, self._take_zookeeper_away),
            (weather.clock_gap_s, self._jump),
            (weather.runtime_gap_s, self._take_runtime_away),
            (weather.upgrade_gap_s, self._upgrade),
            (weather.gone_gap_s, self._mark_gone),
            (weather.ending_gap_s, self._end_agent),
            (weather.gone_gap_s, self._tear_down),
            (weather.quota_gap_s, self._set_quota),
            (weather.reserve_gap_s, self._reserve),
        ):
            if gap_s < float("inf"):
                self._repeat(gap_s, strike)
        if self.world.certified:
            self._set_policy()
        if self.world.seed % DRAIN_EVERY == 0 or drained_volumes(self.world):
            self._drain()
            self._plan()
            self._end_drains()
        if self.world.crashing_machines:
            self._fail_power()
        if self.world.secrets:
            self._set_secrets()
        self._restart_the_dead()

    def _repeat(self, gap_s: float, strike: Callable[[], None]) -> None:
        def again() -> None:
            if self.world.faulty:
                strike()
                self._repeat(gap_s, strike)

        self.world.at(self.world.random.expovariate(1 / gap_s), again)

    def _restart_the_dead(self) -> None:
        """Whatever died comes back after a while, as systemd would have it."""
        for node in self.cluster.nodes:
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
        streams = [*self.cluster.network.streams.values()]
        if streams:
            self.world.counts["cut"] += 1
            stream = self.world.random.choice(streams)
            self.world.trace(f"the stream of {stream.client.node.name} is cut")
            stream.cut(None)

    def _crash(self) -> None:
        self.world.random.choice(self.cluster.nodes).crash()

    def _fail_power(self) -> None:
        """The machine of an agent crashes, by a dice of its own: other seeds go on as they did."""
        world, random = self.world, self.world.aside
        if world.faulty:
            random.choice(self.cluster.agents).lose_power()
            world.at(random.expovariate(1 / POWER_GAP_S), self._fail_power)

    def _pause(self) -> None:
        node = self.world.random.choice(self.cluster.nodes)
        if node.alive:
            node.pause(self.world.random.uniform(1, 40))

    def _partition(self) -> None:
        self.world.counts["partition"] += 1
        random, nodes = self.world.random, self.cluster.nodes
        side = {n.name for n in nodes if random.random() < 0.5}
        seconds = random.uniform(1, 40)
        symmetric = random.random() < 0.5
        for one in nodes:
            for other in nodes:
                if one.name in side and other.name not in side:
                    self.world.separate(one.name, other.name, seconds, symmetric=symmetric)
        self.world.trace(f"{sorted(side)} are cut off for {seconds:.1f} s")

    def _expire(self) -> None:
        self.world.counts["session"] += 1
        self.cluster.coordinator.expire(self.world.random.choice(self.cluster.contenders))

    def _take_zookeeper_away(self) -> None:
        """For a moment or for long; from all who contend, or from one of them."""
        self.world.counts["ZooKeeper away"] += 1
        random, contenders = self.world.random, self.cluster.contenders
        seconds = random.choice([0.5, 5.0, 15.0, 60.0])
        down = random.random() < 0.5
        nodes = contenders if down else [random.choice(contenders)]
        self.cluster.coordinator.interrupt(nodes, seconds, down=down)

    def _fill_disk(self) -> None:
        self.world.counts["disk full"] += 1
        disk = self.world.random.choice(self.cluster.disks)
        disk.full_until_s = self.world.now_s + self.world.random.uniform(0.5, 10)
        self.world.trace(f"the disk of {disk.node.name} is full for a while")

    def _take_runtime_away(self) -> None:
        """Nobody hears of containers, or reaches them; they go on."""
        agent = self.world.random.choice(self.cluster.agents)
        if agent.alive and not agent.away:
            self.world.counts["runtime away"] += 1
            agent.lose_runtime(self.world.random.choice([0.1, 3.0, 30.0]))

    def _jump(self) -> None:
        """Somebody sets a clock; only the wall clock can be set."""
        self.world.counts["clock jump"] += 1
        node = self.world.random.choice(self.cluster.nodes)
        node.skew_s += self.world.random.choice([-1, 1]) * self.world.random.choice([1, 60, 1e5])

    def _upgrade(self) -> None:
        """Restart everything in the order that the documentation gives, in some pace."""
        self.world.counts["rolling upgrade"] += 1
        self.world.trace("a rolling upgrade begins")
        pace_s = self.world.random.uniform(0.1, 6)
        for number, node in enumerate(self.cluster.nodes):
            self.world.at(number * pace_s, node.crash)

    def _end_agent(self) -> None:
        agent = self.world.random.choice(self.cluster.agents)
        if agent.alive:
            self.world.counts["agent ended"] += 1
            agent.terminate()

    def _mark_gone(self) -> None:
        """An operator is told that an agent will not come back, and does not look."""
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return
        agents = [*leader.core.state.agents]
        if agents:
            self.world.counts["marked gone"] += 1
            agent_id = self.world.random.choice(agents)
            self.world.trace(f"an operator marks {agent_id} gone")
            self.world.data.given_up.add(agent_id)
            self.cluster.operators.ask(
                leader,
                ("gone", agent_id),
                True,
                lambda commands: commands.mark_gone(self._operator, agent_id),
            )

    def _drain(self) -> None:
        """An operator cordons, drains or activates an agent, whatever it is doing."""
        world, random = self.world, self.world.aside
        if not world.faulty:
            return
        world.at(random.expovariate(1 / world.weather.drain_gap_s), self._drain)
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None or not leader.core.state.agents:
            return
        agent_id = random.choice(sorted(leader.core.state.agents))
        what = random.choice(["cordoned", "drained", "drained", "activated"])
        within_s, then_gone = random.choice([0.0, 5.0, 30.0, 120.0]), random.random() < 0.1
        world.counts[what] += 1
        if what == "drained" and then_gone:
            world.data.given_up.add(agent_id)
        said = f" within {within_s:g} s{', then gone' if then_gone else ''}"
        world.trace(f"an operator has {agent_id} {what}{said if what == 'drained' else ''}")
        self.cluster.operators.ask(
            leader,
            ("drain", agent_id),
            what,
            {
                "cordoned": lambda commands: commands.cordon(self._operator, [agent_id]),
                "drained": lambda commands: commands.drain(
                    self._operator, [agent_id], within_s, then_gone=then_gone
                ),
                "activated": lambda commands: commands.activate(self._operator, [agent_id]),
            }[what],
        )

    def _plan(self) -> None:
        """An operator plans when an agent may be away, or plans so no more."""
        world, random = self.world, self.world.aside
        if not world.faulty:
            return
        world.at(random.expovariate(1 / world.weather.drain_gap_s), self._plan)
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None or not leader.core.state.agents:
            return
        agent_id = random.choice(sorted(leader.core.state.agents))
        start_s = random.choice([0.0, float(random.randrange(1, 10**6))])
        world.counts["window planned"] += bool(start_s)
        world.trace(f"an operator plans that {agent_id} may be away from {start_s:g} on")

        def plan(commands: Commands) -> Awaitable[None]:
            if not start_s:
                return commands.cancel_maintenance(self._operator, [agent_id])
            return commands.schedule_maintenance(
                self._operator, [agent_id], start_s, 60.0, also_past=True
            )

        self.cluster.operators.ask(leader, ("window", agent_id), start_s, plan)

    def _end_drains(self) -> None:
        """When the weather is fine each drain ends, and what is drained is given back."""
        self.world.at(END_DRAINS_S, self._end_drains)
        leader = self.cluster.coordinator.leader
        if self.world.faulty or leader is None or leader.core is None:
            return
        for agent in leader.core.state.agents.values():
            if agent.drain.state in (DrainState.CORDONED, DrainState.DRAINED):
                self._activate(leader, agent.agent_id)

    def _activate(self, leader: MasterNode, agent_id: str) -> None:
        self.cluster.operators.ask(
            leader,
            ("drain", agent_id),
            "activated",
            lambda commands: commands.activate(self._operator, [agent_id]),
        )

    def _set_secrets(self) -> None:
        """An operator sets or removes a secret, and an agent asks for what is not its own; in fine
        weather each role has one."""
        world, aside = self.world, self.world.aside
        gap_s = aside.expovariate(1 / SECRETS_GAP_S) if world.faulty else SECRETS_GAP_S
        world.at(gap_s, self._set_secrets)
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return
        roles = sorted({framework.role for framework in self.cluster.frameworks})
        there = leader.core.state.secrets(durable=False)
        if world.faulty:
            self._snoop(leader.core.state)
            role = aside.choice(roles)
            self._set_secret(leader, role, remove=aside.random() < 0.3)
        for role in roles if not world.faulty else ():
            if key_of(role, NAME) not in there:
                self._set_secret(leader, role)

    def _set_secret(self, leader: MasterNode, role: str, *, remove: bool = False) -> None:
        self.world.counts["secret set or removed"] += 1
        key, sealed = key_of(role, NAME), KEYRING.seal(role, NAME, PLANTED)
        self.world.trace(f"an operator {'removes' if remove else 'sets'} the secret {key}")
        self.cluster.operators.ask(
            leader,
            ("secret", key),
            b"" if remove else sealed.data,
            (lambda commands: commands.remove_secret(self._operator, role, NAME, force=True))
            if remove
            else (lambda commands: commands.set_secret(self._operator, role, NAME, sealed)),
        )

    def _snoop(self, state: ClusterState) -> None:
        agents = [node for node in self.cluster.agents if node.alive]
        keys = [key for agent in state.agents.values() for key in agent.tasks]
        keys = [key for key in keys if key[1].startswith("secret-")] or keys  # those that have some
        if agents and keys:
            self.world.counts["asked for another's secret"] += 1
            self.world.aside.choice(agents).snoop(*self.world.aside.choice(keys))

    def _tear_down(self) -> None:
        """An operator removes a framework of which nothing is expected."""
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return
        known = [f for f in leader.core.state.frameworks.values() if f.info.name.startswith("rude")]
        if known:
            self.world.counts["torn down"] += 1
            framework_id = self.world.random.choice(known).framework_id
            self.world.trace(f"an operator tears {framework_id} down")
            self.cluster.operators.ask(
                leader,
                ("torn down", framework_id),
                True,
                lambda commands: commands.tear_down(self._operator, framework_id),
            )

    def _reserve(self) -> None:
        """An operator reserves so little of an agent that all work fits beside it, or ends it."""
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None or not leader.core.state.agents:
            return
        self.world.counts["reserved or unreserved"] += 1
        random = self.world.random
        agent_id = random.choice(sorted(leader.core.state.agents))
        role = random.choice(ROLES)
        reserved = intended(leader.core.state, leader.core.state.agents[agent_id]).quantities
        enough = reserved.get("cpus", 0) >= 300 or reserved.get("mem", 0) >= 256_000
        wanted = tuple(to_proto(parse(random.choice(["cpus:0.1", "cpus:0.1;mem:32", "mem:64"]))))
        if enough or random.random() < 0.4:
            self._unreserve(leader, agent_id, role)
        else:
            self.world.trace(f"an operator reserves some of {agent_id} for {role}")
            leader.ask(
                lambda commands: commands.reserve(self._operator, agent_id, role, wanted),
                lambda problem: None,
            )

    def _unreserve(self, leader: MasterNode, agent_id: str, role: str) -> None:
        self.world.trace(f"an operator unreserves all of {agent_id} for {role}")
        leader.ask(
            lambda commands: commands.unreserve(self._operator, agent_id, role, ()),
            lambda problem: None,
        )

    def _set_policy(self) -> None:
        """An operator sets another policy, which says the same of those who are there."""
        if not self.world.faulty:
            return
        self.world.at(self.world.aside.expovariate(1 / POLICY_GAP_S), self._set_policy)
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return
        self.world.counts["policy set"] += 1
        meant = leader.core.state.policy_record(durable=False)
        version = meant.policy.version if meant is not None else 0
        read = read_policy(policy(self.world.counts["policy set"]))
        self.cluster.operators.ask(
            leader,
            ("policy", "policy"),
            read.document,
            lambda commands: commands.set_policy(self._operator, read, version),
        )

    def _set_quota(self) -> None:
        """An operator gives a role a weight, or a quota that all work fits below, or both."""
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            return
        self.world.counts["quota or weight set"] += 1
        random, ask = self.world.random, self.cluster.operators.ask
        role = random.choice(ROLES)
        which = random.random()
        if which < 0.6:
            weight = random.choice([0.5, 2.0, 10.0])
            ask(
                leader,
                ("weight", role),
                weight,
                lambda commands: commands.set_weight(self._operator, role, weight),
            )
        if which > 0.3:
            guarantee = parse(random.choice(["", "cpus:0.2", "cpus:0.2;mem:64"]))
            limit = parse(random.choice(["", "cpus:2;mem:1024", "cpus:3"]))
            self.world.trace(f"an operator sets {role} to at least {guarantee}, at most {limit}")
            quota = pb.Quota(guarantees=to_proto(guarantee), limits=to_proto(limit))
            self._ask_for_quota(leader, role, quota)

    def _ask_for_quota(self, leader: MasterNode, role: str, quota: pb.Quota) -> None:
        self.cluster.operators.ask(
            leader,
            ("quota", role),
            read_quota(quota),
            lambda commands: commands.set_quota(self._operator, role, quota, force=True),
        )

    def make_room(self) -> None:
        """Take all quotas and reservations back if work waits in fine weather.

        What is kept for a role that has nothing to do is more than a small cluster can spare; and
        where services alone are too many for it, it becomes larger.
        """
        leader = self.cluster.coordinator.leader
        if leader is None or leader.core is None:
            self.world.at(LOOK_S, self.make_room)
        elif work_waits(self.cluster.owners):
            for role in ROLES:
                self._ask_for_quota(leader, role, pb.Quota())
                for agent_id in sorted(leader.core.state.agents):
                    self._unreserve(leader, agent_id, role)
            if not self.cluster.has_room():
                self.cluster.add_agent(cpus=8).start()
