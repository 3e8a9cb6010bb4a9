"""Hostile peers against the real cores: nothing but declared refusals, and all invariants hold.

`PYMESOS_FUZZ=2000` runs so many examples of each.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_agent.core import RecoveryError
from pymesos_agent.core import events as agent_ev
from pymesos_core import contract, limits
from pymesos_core.clock import Now
from pymesos_core.resources import parse, to_proto
from pymesos_core.states import FROM_AGENTS
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import core as sdk
from pymesos_sdk.standing import Standing
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.fuzzing import Fuzz, resolve
from pymesos_testing.master_harness import MasterHarness, registering, task

EXAMPLES = int(os.environ.get("PYMESOS_FUZZ", "60"))
STEPS = 12
SEEDS = st.integers(0, 2**32)
ALL = "cpus:8;mem:8192;disk:8192;ports:[31000-31009];gpus#0:1;disks:{a,b}"

fuzzed = settings(max_examples=EXAMPLES, deadline=None)


class HostileMasterPeers:
    """A master with one good neighbour, and a framework, an agent and an operator who are not."""

    def __init__(self, seed: int) -> None:
        self.fuzz = Fuzz(seed)
        self.h = MasterHarness()
        self.agent = self.h.agent(ALL)
        capabilities = (
            pb.PARTITION_AWARE, pb.GPU_RESOURCES, pb.REVOCABLE_RESOURCES, pb.SHARED_RESOURCES,
        )  # fmt: skip
        self.framework = self.h.subscribe(capabilities=capabilities, roles=("*", "db"))
        self.h.run(self.framework, "task0")
        self.requests = 0

    def live(self) -> dict[str, str]:
        framework_id = self.h.framework_id(self.framework)
        framework = self.h.core.state.frameworks.get(framework_id)
        offers = list(framework.offers) if framework else []
        return {
            "$task": "task0",
            "$agent": self.h.agent_id(self.agent),
            "$framework": framework_id,
            "$offer": self.fuzz.random.choice(offers) if offers else "none",
            "$executor": "x",
        }

    def step(self) -> None:
        step = self.fuzz.random.choice(
            [self.call, self.call, self.accept, self.accept, self.tell, self.register,
             self.subscribe, self.operate, self.wait, self.come_back]
        )  # fmt: skip
        step()
        assert self.h.stepped_down is None
        for (kind, key), value in self.h.registry.items():
            assert len(value) <= limits.RECORD.most, (kind, key)

    def call(self) -> None:
        call = resolve(self.fuzz.any(scheduler_pb.Call), self.live())
        self.h.feed(ev.FrameworkCalled(self.framework, call))

    def accept(self) -> None:
        """Nearly as it should be."""
        offers = self.h.offers(self.framework)
        if not offers:
            return
        offer = self.fuzz.random.choice(offers)
        info = task(offer, f"t{self.fuzz.random.randrange(50)}", "cpus:0.1;mem:8")
        operations = [
            scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=[info]))
        ]
        if offer.role != "*" and self.fuzz.random.random() < 0.7:
            wanted = pb.Resource(name="disk", scalar=1)
            wanted.reservations.add(role=offer.role)
            volume = pb.Resource()
            volume.CopyFrom(wanted)
            volume.disk.persistence_id, volume.disk.container_path = "v", "data"
            operation = scheduler_pb.Operation
            operations.insert(0, operation(id="r", reserve=operation.Reserve(resources=[wanted])))
            operations.insert(1, operation(id="c", create=operation.Create(volumes=[volume])))
        accept = scheduler_pb.Call.Accept(offer_ids=[offer.offer_id], operations=operations)
        call = self.fuzz.spoil(scheduler_pb.Call(accept=accept))
        self.h.feed(ev.FrameworkCalled(self.framework, resolve(call, self.live())))

    def tell(self) -> None:
        status = pb.TaskStatus(
            task_id="task0", state=pb.TASK_RUNNING, uuid=b"u", agent_id="$agent", timestamp_s=1
        )
        update = agent_pb.StatusUpdate(framework_id="$framework", status=status)
        message = self.fuzz.spoil(agent_pb.AgentMessage(update=update))
        if self.fuzz.random.random() < 0.5:
            message = self.fuzz.any(agent_pb.AgentMessage)
        resolve(message, self.live())
        match message.WhichOneof("message"):
            case "update":
                self.h.feed(ev.TaskStatusUpdated(self.agent, message.update))
            case "usage":
                self.h.feed(ev.AgentUsageReported(self.agent, message.usage))
            case "executor_message":
                self.h.feed(ev.ExecutorTold(self.agent, message.executor_message))
            case "executor_exited":
                self.h.feed(ev.ExecutorTold(self.agent, message.executor_exited))

    def register(self) -> None:
        info = pb.AgentInfo(
            agent_id="$agent" if self.fuzz.random.random() < 0.3 else "",
            address=pb.Address(hostname="h", ip="127.0.0.1", port=5051),
            resources=to_proto(parse(ALL)),
        )
        running = pb.TaskInfo(task_id="task0", resources=to_proto(parse("cpus:1")))
        record = agent_pb.TaskRecord(
            framework_id="$framework", task_info=running, state=pb.TASK_RUNNING, role="*"
        )
        if self.fuzz.random.random() < 0.5:
            record.task_info.task_id = "task1"  # another agent has task0
            state = self.fuzz.random.choice(sorted(FROM_AGENTS))
            said = pb.TaskStatus(task_id="task1", state=state, uuid=b"u")
            record.role = "/".join(["a"] * self.fuzz.random.choice([1, 2, 100, 3000]))
            record.state = self.fuzz.random.choice(sorted(FROM_AGENTS))
            record.unacknowledged.append(self.fuzz.spoil(said))
        register = agent_pb.Register(agent_info=info, incarnation_id="i", tasks=[record])
        register = self.fuzz.spoil(register)
        if self.fuzz.random.random() < 0.3:
            register = self.fuzz.any(agent_pb.Register)
        resolve(register, self.live())
        connection = 500 + self.requests
        self.requests += 1
        self.h.feed(
            registering(
                connection, register.agent_info, register.incarnation_id, register.tasks,
                epoch_seen=register.epoch_seen, boot_id=register.boot_id, mono_s=register.mono_s,
                reserved=tuple(register.reserved),
            )
        )  # fmt: skip
        self.h.feed(ev.AgentHeard(connection))
        agent_id = self.h.core.state.agent_by_connection.get(connection, "")
        call = scheduler_pb.Call.Acknowledge
        acknowledge = call(agent_id=agent_id, task_id="task1", uuid=b"u")
        self.h.feed(ev.FrameworkCalled(self.framework, scheduler_pb.Call(acknowledge=acknowledge)))
        if self.fuzz.random.random() < 0.5:
            self.h.feed(ev.AgentDisconnected(connection))

    def subscribe(self) -> None:
        info = pb.FrameworkInfo(name="f", roles=["db"], failover_timeout_s=1)
        subscribe = self.fuzz.spoil(scheduler_pb.Call.Subscribe(framework_info=info))
        if self.fuzz.random.random() < 0.3:
            subscribe = self.fuzz.any(scheduler_pb.Call.Subscribe)
        resolve(subscribe, self.live())
        connection = 500 + self.requests
        self.requests += 1
        self.h.feed(ev.FrameworkSubscribing(connection, subscribe))
        self.h.feed(
            ev.FrameworkCalled(connection, resolve(self.fuzz.any(scheduler_pb.Call), self.live()))
        )
        self.h.feed(ev.FrameworkDisconnected(connection))

    def operate(self) -> None:
        self.requests += 1
        number, live = 10_000 + self.requests, self.live()
        named = [resolve(self.fuzz.any(pb.Resource), live) for _ in range(2)]
        text = self.fuzz.any(pb.Label, 0)
        resolve(text, live)
        number_of: Callable[[], float] = lambda: self.fuzz.any(pb.KillPolicy).grace_period_s  # noqa: E731
        choices: list[ev.Event] = [
            ev.OperatorSetQuota(number, text.key, self.fuzz.any(pb.Quota), force=True),
            ev.OperatorSetWeight(number, text.key, number_of()),
            ev.OperatorSetQuota(number, text.key, pb.Quota(), instead_of=self.fuzz.any(pb.Quota)),
            ev.OperatorSetWeight(number, text.key, 2.0, instead_of=number_of()),
            ev.OperatorReserved(number, live["$agent"], text.key, tuple(named)),
            ev.OperatorUnreserved(number, live["$agent"], text.key, tuple(named)),
            ev.OperatorReserved(
                number, live["$agent"], "db", tuple(to_proto(parse("cpus:1;disk:1")))
            ),
            ev.OperatorUnreserved(number, live["$agent"], "db", ()),
            ev.OperatorConverted(
                number,
                live["$agent"],
                resolve(self.fuzz.any(scheduler_pb.Operation), live),
            ),
            ev.OperatorKilledTask(number, text.key, text.value),
        ]
        event = self.fuzz.random.choice(choices)
        self.h.feed(event)
        assert number in self.h.answers, event

    def wait(self) -> None:
        self.h.advance(self.fuzz.random.choice([0.002, 1.0, 20.0]))

    def come_back(self) -> None:
        """The framework has been removed, or its agent gone: others take their places."""
        state = self.h.core.state
        if self.h.agent_id(self.agent) not in {
            a.agent_id for a in state.agents.values() if a.connection_id == self.agent
        }:
            self.agent = self.h.agent(ALL)
        if self.framework not in state.framework_by_connection:
            self.framework = self.h.subscribe(roles=("*", "db"))

    def check_end(self) -> None:
        for messages in self.h.agent_inbox.values():
            for message in messages:
                assert message.ByteSize() < limits.MESSAGE.most
                assert contract.problem(message) is None
        for events in self.h.framework_inbox.values():
            for event in events:
                assert event.ByteSize() < limits.MESSAGE.most
        now = self.h.now
        MasterCore(Config(), DrfAllocator(), self.h.registry, "n", now).step(now, ev.Tick())
        self.check_nothing_is_lost()

    def check_nothing_is_lost(self) -> None:
        """What no task holds is offered to those who come after."""
        state = self.h.core.state
        for connection in list(state.framework_by_connection):
            self.h.feed(ev.FrameworkDisconnected(connection))
        if any(terms.quota for terms in self.h.core.state.roles().values()):
            return
        last = self.h.subscribe(
            capabilities=(pb.GPU_RESOURCES, pb.REVOCABLE_RESOURCES, pb.SHARED_RESOURCES)
        )
        self.h.offers(last)
        for agent in state.agents.values():
            if agent.connection_id is None:
                continue
            left = agent.total.minus_what_is_there(agent.allocated()).scalar("cpus")
            if left >= 10:
                assert agent.offered().scalar("cpus") == left, agent.agent_id


@fuzzed
@given(SEEDS)
def test_a_master_outlives_its_peers(seed: int) -> None:
    peers = HostileMasterPeers(seed)
    for _ in range(STEPS):
        peers.step()
    peers.check_end()


class HostileAgentPeers:
    """An agent whose master and whose executors say what they like."""

    def __init__(self, seed: int) -> None:
        self.fuzz = Fuzz(seed)
        self.h = AgentHarness()
        self.h.connect()
        self.h.launch("task0")
        self.h.feed(agent_ev.ContainerStarted(self.h.container(), 1))
        executor = pb.ExecutorInfo(executor_id="x", command=pb.CommandInfo(shell=True, value="x"))
        info = pb.TaskInfo(task_id="in", resources=to_proto(parse("cpus:0.1")), executor=executor)
        launch = agent_pb.LaunchTask(framework_id="f", task_info=info)
        self.h.hear(agent_pb.MasterMessage(launch=launch))
        environment = {v.name: v.value for v in self.h.started[-1].info.command.environment}
        self.token = environment["PYMESOS_EXECUTOR_TOKEN"]
        self.streams = 0
        self.connections = 1

    def live(self) -> dict[str, str]:
        names = {"$task": "task0", "$agent": "a", "$framework": "f", "$executor": "x"}
        return {**names, "$offer": "o"}

    def step(self) -> None:
        step = self.fuzz.random.choice(
            [self.hear, self.hear, self.launch, self.say, self.say, self.run, self.wait, self.leave]
        )
        step()

    def hear(self) -> None:
        message = self.fuzz.any(agent_pb.MasterMessage)
        if message.HasField("refused"):
            message.refused.shut_down = False
        self.h.hear(resolve(message, self.live()), self.connections)

    def launch(self) -> None:
        info = pb.TaskInfo(
            task_id=f"t{self.fuzz.random.randrange(50)}",
            resources=to_proto(parse("cpus:0.01;mem:1")),
            command=pb.CommandInfo(shell=True, value="true"),
        )
        launch = agent_pb.LaunchTask(framework_id="f", role="*", task_info=info)
        message = self.fuzz.spoil(agent_pb.MasterMessage(launch=launch))
        self.h.hear(resolve(message, self.live()), self.connections)

    def say(self) -> None:
        stream, self.streams = self.streams, self.streams + (self.fuzz.random.random() < 0.3)
        status = pb.TaskStatus(task_id="in", state=pb.TASK_RUNNING, uuid=b"e")
        subscribe = executor_pb.ExecutorCall.Subscribe(
            framework_id="f", executor_id="x", token=self.token, task_ids=["in"],
            unacknowledged=[status],
        )  # fmt: skip
        calls = [
            executor_pb.ExecutorCall(subscribe=subscribe),
            executor_pb.ExecutorCall(update=executor_pb.ExecutorCall.Update(status=status)),
        ]
        call = self.fuzz.spoil(self.fuzz.random.choice(calls))
        if self.fuzz.random.random() < 0.3:
            call = self.fuzz.any(executor_pb.ExecutorCall)
        self.h.feed(agent_ev.ExecutorSaid(stream, resolve(call, self.live())))
        if self.fuzz.random.random() < 0.1:
            self.h.feed(agent_ev.ExecutorLeft(stream))

    def run(self) -> None:
        for start in self.h.started:
            if self.fuzz.random.random() < 0.5:
                self.h.feed(agent_ev.ContainerStarted(start.container_id, 7))
            if self.fuzz.random.random() < 0.2:
                self.h.feed(agent_ev.ContainerExited(start.container_id, 0))

    def wait(self) -> None:
        self.h.advance(self.fuzz.random.choice([0.002, 1.0, 20.0]))

    def leave(self) -> None:
        self.connections += 1
        self.h.connect(self.connections)

    def check_end(self) -> None:
        for message in self.h.sent:
            if message.HasField("update"):
                assert message.update.status.state in FROM_AGENTS
                assert contract.problem(message) is None
        for kills in (False, True):
            there = {s.container_id: agent_ev.ContainerState(1) for s in self.h.started}
            try:
                again = AgentHarness(self.h.records, recovered={} if kills else there, generation=2)
            except RecoveryError as error:
                assert "than its resources are now" in str(error) or "overlap" in str(error)
                return
            again.connect(99, epoch=2**62)
            again.advance(700)


@fuzzed
@given(SEEDS)
def test_an_agent_outlives_its_peers(seed: int) -> None:
    peers = HostileAgentPeers(seed)
    for _ in range(STEPS):
        peers.step()
    peers.check_end()


@fuzzed
@given(SEEDS)
def test_a_framework_outlives_its_master(seed: int) -> None:
    fuzz = Fuzz(seed)
    core = sdk.DriverCore(Standing(pb.FrameworkInfo(name="f", roles=["db"])))
    live = {"$task": "t", "$agent": "a", "$framework": "f", "$executor": "x", "$offer": "o"}
    now_s = 0.0

    def feed(event: sdk.Event) -> None:
        for effect in core.step(Now(now_s, now_s), event):
            assert not isinstance(effect, sdk.Fail)

    for connection in range(1, 4):
        feed(sdk.Connected(connection))
        for _ in range(STEPS):
            event = resolve(fuzz.any(scheduler_pb.Event), live)
            if event.HasField("error"):
                continue
            feed(sdk.MasterSaid(connection, 1, event))
            feed(sdk.SchedulerCalled(resolve(fuzz.any(scheduler_pb.Call), live)))
            now_s = max(now_s, core.next_deadline_s() or 0.0)
            feed(sdk.Tick())
        feed(sdk.Disconnected(connection))
