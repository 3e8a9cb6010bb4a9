"""Whatever frameworks and agents do: no agent is promised twice over, and nothing is forgotten.

`MasterHarness.feed` checks the invariants of `check_agent` after every step.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pymesos_core.resources import EMPTY, Resources
from pymesos_core.states import is_terminal
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

NUMBERS = st.integers(0, 10)


class Cluster(RuleBasedStateMachine):
    """Up to four agents and three frameworks that come, go, accept, decline, fail."""

    def __init__(self) -> None:
        super().__init__()
        self.h = MasterHarness()
        self.agents: list[int] = []
        self.frameworks: list[int] = []
        self.launched = 0
        self.uuid = 0

    @rule(cpus=st.integers(1, 8))
    def agent_registers(self, cpus: int) -> None:
        if len(self.agents) < 4:
            self.agents.append(self.h.agent(f"cpus:{cpus};mem:1024"))

    @rule(which=NUMBERS, lost=st.booleans())
    def agent_registers_again(self, which: int, lost: bool) -> None:
        """With all its tasks, or without those whose launch was lost."""
        if not self.agents:
            return
        old = self.agents.pop(which % len(self.agents))
        agent_id = self.h.agent_id(old)
        agent = self.h.core.state.agents[agent_id]
        records = [
            agent_pb.TaskRecord(
                framework_id=t.framework_id, task_info=t.info, state=t.state, role=t.role
            )
            for t in agent.tasks.values()
            if not (lost and t.state == pb.TASK_STAGING) and t.state != pb.TASK_UNREACHABLE
        ]
        total = str(agent.total)
        port = agent.info.address.port
        self.agents.append(self.h.agent(total, agent_id=agent_id, tasks=records, port=port))

    @rule(which=NUMBERS)
    def agent_disconnects(self, which: int) -> None:
        if self.agents:
            self.h.feed(ev.AgentDisconnected(self.agents[which % len(self.agents)]))

    @rule(timeout_s=st.sampled_from([0.0, 30.0, 1e6]))
    def framework_subscribes(self, timeout_s: float) -> None:
        if len(self.frameworks) < 3:
            self.frameworks.append(self.h.subscribe(failover_timeout_s=timeout_s))

    @rule(which=NUMBERS, comes_back=st.booleans())
    def framework_disconnects(self, which: int, comes_back: bool) -> None:
        if not self.frameworks:
            return
        old = self.frameworks.pop(which % len(self.frameworks))
        self.h.feed(ev.FrameworkDisconnected(old))
        if comes_back:
            new = self.h.subscribe(self.h.framework_id(old), failover_timeout_s=30)
            if not self.h.errors(new):
                self.frameworks.append(new)

    @rule(which=NUMBERS, cpus=st.integers(1, 6), stale=st.booleans())
    def framework_accepts(self, which: int, cpus: int, stale: bool) -> None:
        if not self.frameworks:
            return
        framework = self.frameworks[which % len(self.frameworks)]
        offers = self.h.offers(framework)
        if not offers:
            return
        offer = offers[which % len(offers)]
        self.launched += 1
        info = task(offer, f"t{self.launched}", f"cpus:{cpus};mem:100")
        ids = [offer.offer_id, "stale"] if stale else [offer.offer_id]
        self.h.accept(framework, ids, info, refuse_s=float(which))

    @rule(which=NUMBERS, refuse_s=st.sampled_from([None, 0.0, 1.0, 100.0]))
    def framework_declines(self, which: int, refuse_s: float | None) -> None:
        if self.frameworks:
            framework = self.frameworks[which % len(self.frameworks)]
            ids = [offer.offer_id for offer in self.h.offers(framework)]
            self.h.decline(framework, ids, refuse_s)

    @rule(which=NUMBERS, suppress=st.booleans())
    def framework_changes_its_mind(self, which: int, suppress: bool) -> None:
        if self.frameworks:
            framework = self.frameworks[which % len(self.frameworks)]
            if suppress:
                self.h.call(framework, suppress=scheduler_pb.Call.Suppress())
            else:
                self.h.call(framework, revive=scheduler_pb.Call.Revive())

    @rule(which=NUMBERS)
    def framework_tears_down(self, which: int) -> None:
        if self.frameworks and which == 0:
            self.h.call(self.frameworks.pop(), teardown=scheduler_pb.Call.Teardown())

    @rule(
        which=NUMBERS,
        state=st.sampled_from([pb.TASK_RUNNING, pb.TASK_FINISHED, pb.TASK_FAILED]),
    )
    def task_moves_on(self, which: int, state: pb.TaskState) -> None:
        for connection_id in self.agents:
            agent = self.h.core.state.agents[self.h.agent_id(connection_id)]
            tasks = list(agent.tasks.values())
            if tasks and agent.connection_id == connection_id:
                chosen = tasks[which % len(tasks)]
                self.uuid += 1
                uuid = str(self.uuid).encode()
                self.h.update(connection_id, chosen.framework_id, chosen.info.task_id, state, uuid)

    @rule(seconds=st.sampled_from([0.001, 1.0, 20.0, 90.0]))
    def time_passes(self, seconds: float) -> None:
        self.h.advance(seconds)

    @invariant()
    def the_allocator_counts_what_the_master_holds(self) -> None:
        state = self.h.core.state
        for framework in state.frameworks.values():
            held = EMPTY
            for a in state.agents.values():
                if a.state.value in ("active", "disconnected"):
                    for t in framework.tasks.values():
                        if t.agent_id == a.agent_id and t.holds_resources:
                            held = held + t.resources
            for offer in framework.offers.values():
                held = held + Resources(offer.resources.scalars)
            totals = [
                a.total.scalar("cpus")
                for a in state.agents.values()
                if a.state.value in ("active", "disconnected")
            ]
            share = self.h.core.allocator.dominant_share(framework.framework_id)
            if sum(totals):
                assert share >= held.scalar("cpus") / sum(totals) - 1e-9

    @invariant()
    def no_launched_task_is_forgotten(self) -> None:
        """Each is live, completed, or was answered with a terminal update."""
        state = self.h.core.state
        known = {task_id for _, task_id in state.completed_tasks}
        for framework in [*state.frameworks.values(), *state.completed_frameworks.values()]:
            known |= framework.tasks.keys()
        for statuses in self.h.framework_inbox.values():
            for event in statuses:
                if event.HasField("update") and is_terminal(event.update.status.state):
                    known.add(event.update.status.task_id)
        launched = {
            message.launch.task_info.task_id
            for messages in self.h.agent_inbox.values()
            for message in messages
            if message.HasField("launch")
        }
        assert launched <= known


Cluster.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestCluster = Cluster.TestCase
