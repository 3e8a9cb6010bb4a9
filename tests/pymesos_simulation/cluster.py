"""All nodes of a cluster, and what must be true of it once the weather is fine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymesos_agent.core.executors.executor import Executor
from pymesos_binpack.specs import Job
from pymesos_core.states import is_terminal
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.core.state import ClusterState, TaskKey
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_simulation import addresses, daemons, volumes
from pymesos_simulation.agents import AgentNode
from pymesos_simulation.changes import Editor
from pymesos_simulation.coordinator import Coordinator
from pymesos_simulation.desk import Desk
from pymesos_simulation.disk import Disk
from pymesos_simulation.frameworks import DriverNode, FrameworkNode, SchedulerNode
from pymesos_simulation.loop import describe
from pymesos_simulation.masters import MasterNode
from pymesos_simulation.network import Network
from pymesos_simulation.operators import Operators
from pymesos_simulation.pairs import ElectedNode, FrameworkPair
from pymesos_simulation.removing import Remover
from pymesos_simulation.resolvers import ResolverNode
from pymesos_simulation.rude import RudeFramework
from pymesos_simulation.strangers import Lodger, Snoop, Stranger, policy
from pymesos_simulation.variables import Setter
from pymesos_simulation.world import Node, World


class Cluster:
    """The nodes of one run.

    It has more than 300 lines and is better whole: what begins the nodes, and whether they all
    have come to rest, is asked of all of them together.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        world.drained = self._check_drained
        self.coordinator = Coordinator(world)
        self.network = Network(world)
        self.operators = Operators()
        self.masters: list[MasterNode] = []
        self.agents: list[AgentNode] = []
        self.frameworks: list[FrameworkNode] = []
        self.pairs: list[FrameworkPair] = []
        self.rude: list[RudeFramework] = []
        self.others: list[DriverNode] = []  # frameworks of which nothing is expected
        self.desk: Desk | None = None
        self.editor: Editor | None = None
        self.setter: Setter | None = None
        self.keeper: volumes.Keeper | None = None
        self.remover: Remover | None = None
        self.resolvers: list[ResolverNode] = []
        self.strangers: list[Node] = []  # whom the policy gives little or nothing

    def add_master(self) -> MasterNode:
        """One more that contends."""
        number = len(self.masters)
        node = MasterNode(self.world, f"master{number}", self.coordinator, self.network, number)
        self.masters.append(node)
        return node

    def add_agent(self, cpus: int) -> AgentNode:
        """One more machine, with 512 MiB for each of its cpus."""
        number = len(self.agents)
        node = AgentNode(
            self.world, f"agent{number}", self.coordinator, self.network, 5000 + number, cpus
        )
        self.agents.append(node)
        return node

    def has_room(self) -> bool:
        """Whether some agent has as many CPUs beside its services as a task that waits needs."""
        instances = [i for f in self.owners if f.core is not None for i in f.core.instances()]
        waiting = [i.spec.scalars.get("cpus", 0) for i in instances if i.pending]
        free = {
            agent.core.state.agent_id: agent.machine.total.quantities["cpus"]
            for agent in self.agents
            if agent.core is not None
        }
        for instance in instances:
            if instance.live and instance.spec.is_service and instance.saved.agent_id in free:
                free[instance.saved.agent_id] -= instance.spec.scalars.get("cpus", 0)
        return any(cpus >= min(waiting, default=0) for cpus in free.values())

    def add_framework(
        self, name: str, jobs: Sequence[Job], role: str = "*", *, executors: bool = False
    ) -> FrameworkNode:
        """One more that has work to do; with `executors` one process of its own on each agent."""
        node = FrameworkNode(
            self.world,
            name,
            self.coordinator,
            self.network,
            list(jobs),
            self.updates_sent,
            role,
            len(self.frameworks),
        )
        node.executors = executors
        self.frameworks.append(node)
        return node

    def add_pair(self, jobs: Sequence[Job]) -> FrameworkPair:
        """One framework more that has work to do, of two instances."""
        name = f"framework-pair{len(self.pairs)}"
        nodes = [
            ElectedNode(
                self.world,
                f"{name}-{which}",
                self.coordinator,
                self.network,
                list(jobs),
                self.updates_sent,
                "*",
                100 + 2 * len(self.pairs) + number,
            )
            for number, which in enumerate("ab")
        ]
        pair = FrameworkPair(name, self.coordinator, nodes)
        self.pairs.append(pair)
        return pair

    def add_rude(self, manner: str) -> RudeFramework:
        """One more that does not behave."""
        node = RudeFramework(
            self.world, f"rude{len(self.rude)}", self.coordinator, self.network, manner
        )
        self.rude.append(node)
        return node

    def add_desk(self) -> None:
        """An operator who looks at it all."""
        self.desk = Desk(self.world, self.network, self.masters, self.frameworks, self.live)

    def add_editor(self) -> None:
        """People who change the jobs."""
        self.editor = Editor(self.world, self.network, self.owners, len(self.agents))

    def add_setter(self) -> None:
        """Somebody who sets a variable."""
        self.setter = Setter(self.world, self.network, self.frameworks[0], self.agents)

    def add_volumes(self) -> None:
        """A framework of which jobs have volumes, and somebody who gives some of these up."""
        framework = self.add_framework("framework-data", volumes.volume_jobs(), volumes.ROLE)
        self.keeper = volumes.Keeper(self.world, self.network, framework)
        if volumes.removed_volumes(self.world):
            self.remover = Remover(self.world, self.network, self.coordinator, framework)

    def add_resolver(self) -> None:
        """One more that follows what serves."""
        name = f"resolver{len(self.resolvers)}"
        self.resolvers.append(
            ResolverNode(self.world, name, self.coordinator, self.network, lambda: self.owners)
        )
        self.world.withdrawn = self._withdrawn

    def _withdrawn(self, key: TaskKey) -> None:
        for resolver in self.resolvers:
            resolver.on_withdrawn(key)

    def add_strangers(self) -> None:
        """One operator and two frameworks that try what they may not."""
        world = self.world
        world.certified, world.seed_policy = True, policy(1)
        self.strangers = [
            Snoop(world, self.network, self.masters, lambda i: world.roles.get(i, ("unknown",))),
            Stranger(world, "stranger", self.coordinator, self.network),
            Lodger(world, "lodger", self.coordinator, self.network),
        ]

    def live(self) -> set[TaskKey]:
        """The tasks that run on some machine."""
        return {key for _, key in self._live()}

    @property
    def nodes(self) -> list[Node]:
        """All processes."""
        pairs = self._instances
        return [*self.masters, *self.agents, *self.frameworks, *self.rude, *self.others, *pairs]

    @property
    def contenders(self) -> list[Node]:
        """The processes that are elected."""
        return [*self.masters, *self._instances]

    @property
    def _instances(self) -> list[ElectedNode]:
        return [node for pair in self.pairs for node in pair.nodes]

    @property
    def owners(self) -> list[FrameworkNode | FrameworkPair]:
        """The frameworks that have work to do."""
        return [*self.frameworks, *self.pairs]

    @property
    def disks(self) -> list[Disk]:
        """The disks that hold something."""
        return [a.disk for a in self.agents] + [f.disk for f in self.frameworks]

    def node(self, name: str) -> Node:
        """By its name. Raises KeyError."""
        return {node.name: node for node in self.nodes}[name]

    def updates_sent(self, task_id: str) -> list[bytes]:
        """By the agent that has the task, in the order first sent."""
        return next((a.sent[task_id] for a in self.agents if task_id in a.sent), [])

    def heal(self) -> None:
        """From now on nothing fails."""
        world = self.world
        world.trace("the weather is fine")
        world.faulty = False
        world.separated.clear()
        for node in self.nodes:
            node.resume()
        for disk in self.disks:
            disk.full_until_s = 0.0
        for rude in self.rude:
            rude.offers_seen = 0
        for resolver in self.resolvers:
            resolver.fine_from_s = world.now_s
        self.coordinator.heal()

    def everybody(self) -> Iterator[Node]:
        """What runs, and the people who use it."""
        yield from self.nodes
        yield from self.strangers
        yield from self.resolvers
        people = (self.desk, self.editor, self.setter, self.keeper, self.remover)
        yield from (person for person in people if person is not None)

    def end(self) -> None:
        """Nothing runs any more."""
        for node in self.everybody():
            node.loop.kill()
        for master in self.masters:
            for gateway in master.gateways:
                gateway.loop.kill()

    def converged(self) -> bool:
        """All work done, all acknowledged, and the leader's view is the agents'."""
        leader = self.coordinator.leader
        if leader is None or leader.core is None or not all(n.alive for n in self.nodes):
            return False
        if not all(f.done for f in self.owners):
            return False
        if not all(rude.offers_seen for rude in self.rude):
            return False
        return next(self.differences(), None) is None

    def differences(self) -> Iterator[str]:
        """Where the leader, the agents, the frameworks and the registry see different things.

        Those that last longest, and cost least to see, come first: it is asked at every look
        whether there is any.
        """
        leader = self.coordinator.leader
        if leader is None or leader.core is None:
            doing = [f"{m.name}: {describe(m.loop.tasks)}" for m in self.masters]
            yield f"nobody leads ({'; '.join(doing)})"
            return
        state = leader.core.state
        yield from self._unacknowledged()
        yield from self._unlike_the_agents(state)
        yield from self._in_other_roles(state)
        yield from self._unlike_connections(leader)
        if unlike := self._unlike_reservations(state):
            yield f"{unlike} keep other reservations than the master knows"
        if withheld := [
            f"{agent.agent_id} ({agent.state.value}, {agent.drain.state})"
            for agent in state.agents.values()
            if agent.drain.state != DrainState.NONE and agent.state == AgentState.ACTIVE
        ]:
            yield f"not offered are {withheld}"
        for side in (self.desk, self.editor, self.setter):
            if side is not None:
                yield from side.differences()
        cores = [framework.core for framework in self.owners if framework.core is not None]
        yield from daemons.differences(self.agents, cores)
        yield from addresses.differences(self.agents, cores)
        yield from volumes.differences(self.agents)
        for resolver in self.resolvers:
            yield from resolver.differences()
        yield from self._unlike_history(state)
        if forgotten := self._forgotten():
            yield f"the ends of {forgotten} were told to nobody"
        if written := self._unlike_the_registry(state):
            yield f"the registry says otherwise of {written}"
        for pair in self.pairs:
            yield from pair.differences()
        yield from self.operators.broken(self.coordinator.registry)

    def _unacknowledged(self) -> Iterator[str]:
        waiting = [
            task.info.task_id
            for agent in self.agents
            if agent.core is not None
            for task in agent.core.state.tasks.values()
            if task.unacknowledged
        ]
        if waiting:
            yield f"unacknowledged updates of {waiting}"

    def _unlike_connections(self, leader: MasterNode) -> Iterator[str]:
        """Frameworks, streams and calls that the leader knows, and nobody else."""
        assert leader.core is not None, "of one who leads"
        state = leader.core.state
        others = (*self.frameworks, *self.rude, *self.others, *self.strangers)
        mine = {f.framework_id for f in others if f.alive and isinstance(f, SchedulerNode)}
        mine |= {pair.framework_id for pair in self.pairs if pair.alive}
        ghosts = [
            f.framework_id
            for f in state.frameworks.values()
            if f.framework_id not in mine and (f.tasks or f.offers)
        ]
        if ghosts:
            yield f"ghost frameworks {ghosts} hold tasks or offers"
        known = len(state.agent_by_connection) + len(state.framework_by_connection)
        holders: Sequence[Node] = leader.gateways or [leader]
        if known > (there := sum(map(self.network.open_at, holders))):
            yield f"the leader knows {known} streams, {there} are open"
        if leader.calls is not None:
            carried = sum(gateway.open for gateway in leader.gateways)
            if leader.calls.open > carried:
                yield f"the leader answers {leader.calls.open} calls, its gateways carry {carried}"

    def _check_drained(self, agent_id: str) -> None:
        """Nothing runs on an agent that is drained by the registry."""
        for node in self.agents:
            if node.core is not None and node.core.state.agent_id == agent_id:
                live = sorted(node.machine.live())
                assert not live, f"{agent_id} is drained, and {live} run on {node.name}"

    def _live(self) -> set[tuple[str, TaskKey]]:
        return {(agent.name, key) for agent in self.agents for key in agent.machine.live()}

    def _unlike_the_agents(self, state: ClusterState) -> Iterator[str]:
        live = self._live()
        seen = {
            (agent.info.address.hostname, key)
            for agent in state.agents.values()
            for key, task in agent.tasks.items()
            if not is_terminal(task.state)
        }
        if live != seen:
            yield f"running {live - seen} unknown to the master, {seen - live} known to it only"
        held = {
            executor.key
            for agent in self.agents
            if agent.core is not None
            for executor in agent.core.state.owners.values()
            if isinstance(executor, Executor) and executor.held
        }
        held |= {
            key
            for agent in self.agents
            if agent.core is not None
            for key, tasks in agent.core.state.group_executors.items()
            if not all(task.end_durable for task in tasks)
        }
        if held != (charged := {key for agent in state.agents.values() for key in agent.executors}):
            yield f"executors {held} hold resources, {charged} are charged"
        cores = {f.framework_id: f.core for f in self.owners if f.core is not None}
        wanted = sum(
            1 + len(instance.spec.sidecars)
            for core in cores.values()
            for instance in core.instances()
            if instance.spec.is_service and not instance.saved.done
        )
        running = sum(key[0] in cores for _, key in live)
        if running != wanted:
            yield f"{running} containers run, {wanted} are wanted"

    def _unlike_history(self, state: ClusterState) -> Iterator[str]:
        """What is told of a task survives a failover: when it ran, how it is, how it ended."""
        for agent in self.agents:
            for task in agent.core.state.by_key.values() if agent.core is not None else ():
                seen = state.find_task(*task.key)
                if seen is None or task.unacknowledged:
                    continue  # said elsewhere
                told = seen.status
                healthy = told.healthy if told is not None and told.HasField("healthy") else None
                mine, leaders = (task.started_at_s, task.healthy), (seen.started_at_s, healthy)
                if mine != leaders:
                    yield f"{task.key} is {mine} on {agent.name}, {leaders} to the master"
            for ended in agent.ended_lately():
                key = (ended.framework_id, ended.task_info.task_id)
                seen = state.completed_tasks.get(key)
                if seen is None or seen.state != ended.state:
                    yield f"the end of {key} on {agent.name} is not known to the master"

    def _unlike_reservations(self, state: ClusterState) -> list[str]:
        known = {agent.agent_id: agent.reserved for agent in state.agents.values()}
        return [
            agent.name
            for agent in self.agents
            if agent.core is not None
            and agent.core.state.reserved != known.get(agent.core.state.agent_id)
        ]

    def _forgotten(self) -> list[str]:
        """Tasks that were started, do not run, and have no end that their framework knows."""
        running = {key for _, key in self._live()}
        by_id = {f.framework_id: f for f in self.owners}
        return [
            task_id
            for framework_id, task_id in sorted(self.world.started - running)
            if framework_id in by_id and task_id not in by_id[framework_id].ends
        ]

    def _unlike_the_registry(self, state: ClusterState) -> list[str]:
        """What a successor of the leader would believe, and the leader does not."""
        records = self.coordinator.registry
        agents = {
            key: registry_pb.AgentRecord.FromString(value).state
            for (kind, key), value in records.items()
            if kind == "agent"
        }
        reachable = {AgentState.ACTIVE, AgentState.DISCONNECTED, AgentState.RECOVERING}
        out = [
            agent.agent_id
            for agent in state.agents.values()
            if (agents.get(agent.agent_id) == registry_pb.AgentRecord.REACHABLE)
            != (agent.state in reachable)
        ]
        known = {key for kind, key in records if kind == "framework"}
        return [*out, *(known ^ state.frameworks.keys())]

    def _in_other_roles(self, state: ClusterState) -> Iterator[str]:
        """The frameworks that the leader has in other roles than they have to be in."""
        for framework in self.owners:
            listed = state.frameworks.get(framework.framework_id)
            mine = framework.core.roles if framework.core is not None else ()
            if listed is not None and mine and set(listed.roles) != set(mine):
                yield f"{framework.name} is in {listed.roles}, and has to be in {mine}"

    def what_is_missing(self) -> str:
        """For the report of a failure."""
        parts = [f"down: {[n.name for n in self.nodes if not n.alive]}", *self.differences()]
        parts += [
            f"{r.name}, which {r.manner}, got no offers" for r in self.rude if not r.offers_seen
        ]
        for framework in self.owners:
            if framework.core is not None and not framework.done:
                left = [
                    (i.key, i.saved.state, i.saved.task_id, i.explanation)
                    for i in framework.core.instances()
                    if not i.saved.done
                ]
                parts.append(f"{framework.name}: {left[:5]}")
        return "; ".join(parts)
