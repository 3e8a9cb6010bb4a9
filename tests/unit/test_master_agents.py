"""Agents of the master core, against what Mesos was recorded to answer."""

from __future__ import annotations

import math

import pytest

from pymesos_core import resources
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import AgentState
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task


def names(status: pb.TaskStatus) -> tuple[str, str]:
    return pb.TaskState.Name(status.state), pb.Reason.Name(status.reason)


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


class TestAgents:
    """Recordings 16a and 16b."""

    def test_tasks_of_a_removed_framework_end_with_their_agent(self, h: MasterHarness) -> None:
        """Found by bench/churn.py: they were kept for ever."""
        agent, framework = h.agent(), h.subscribe()
        framework_id = h.framework_id(framework)
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.call(framework, teardown=scheduler_pb.Call.Teardown())
        assert h.core.state.completed_frameworks[framework_id].tasks, "it may still come back"
        h.advance(100)
        assert not h.core.state.completed_frameworks[framework_id].tasks
        assert not h.core.state.agents[h.agent_id(agent)].tasks

    def test_unreachable_after_five_missed_pings_and_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(74)
        assert h.core.state.agents[agent_id].state == AgentState.DISCONNECTED
        h.advance(20)
        assert h.core.state.agents[agent_id].state == AgentState.UNREACHABLE
        assert names(h.last(framework)) == ("TASK_UNREACHABLE", "REASON_AGENT_REMOVED")
        failures = [e.failure for e in h.framework_inbox[framework] if e.HasField("failure")]
        assert [failure.agent_id for failure in failures] == [agent_id]
        info = h.core.state.frameworks[framework_id].tasks["t"].info
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=info, state=pb.TASK_RUNNING
        )
        h.agent(agent_id=agent_id, tasks=[record], port=9)
        assert names(h.last(framework)) == ("TASK_RUNNING", "REASON_AGENT_REREGISTERED")
        (offer,) = h.offers(framework)
        assert str(resources.from_proto(offer.resources)) == "cpus:3;mem:4064"

    def test_the_more_agents_the_less_often_each_is_to_report_its_usage(self) -> None:
        h = MasterHarness(Config(usage_interval_s=5, usage_reports_per_s=0.5))
        agents = [h.agent(port=9)]
        h.advance(16)
        agents += [h.agent(port=10 + n) for n in range(3)]
        h.advance(16)
        pings = [m.ping for m in h.agent_inbox[agents[0]] if m.HasField("ping")]
        assert [ping.usage_interval_s for ping in pings] == [5, 8]

    def test_an_agent_that_returns_tells_the_update_that_is_due_first(
        self, h: MasterHarness
    ) -> None:
        """Found by the simulator: the latest state was told before those that led to it."""
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(100)
        due = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, uuid=b"1", agent_id=agent_id)
        record = agent_pb.TaskRecord(
            framework_id=framework_id,
            task_info=h.core.state.frameworks[framework_id].tasks["t"].info,
            state=pb.TASK_FINISHED,
            unacknowledged=[due],
        )
        h.agent(agent_id=agent_id, tasks=[record], port=9)
        assert h.last(framework) == due

    def test_gone_is_not_written_over(self, h: MasterHarness) -> None:
        """Found by the simulator: an agent that was being marked gone became unreachable."""
        agent = h.agent()
        agent_id = h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.hold_writes = True
        h.feed(ev.OperatorMarkedGone(1, agent_id))
        h.advance(200)
        h.write()
        assert MasterHarness(registry=h.registry).core.state.agents[agent_id].state == (
            AgentState.GONE
        )

    @pytest.mark.parametrize("end", [AgentState.GONE, AgentState.UNREACHABLE])
    def test_a_reservation_does_not_bring_an_agent_back(
        self, h: MasterHarness, end: AgentState
    ) -> None:
        """Found by the simulator: it was reserved while its end was being written."""
        agent_id = h.agent_id(h.agent())
        h.hold_writes = True
        if end == AgentState.GONE:
            h.feed(ev.OperatorMarkedGone(1, agent_id))
        else:
            h.advance(100)
        assert h.held
        wanted = tuple(resources.to_proto(resources.parse("cpus:1")))
        h.feed(ev.OperatorReserved(2, agent_id, "eng", wanted))
        h.write()
        assert h.core.state.agents[agent_id].state == end
        assert MasterHarness(registry=h.registry).core.state.agents[agent_id].state == end

    def test_a_late_registration_does_not_count(self, h: MasterHarness) -> None:
        """Found by the simulator: what an agent had said earlier was taken for the latest."""
        info = pb.AgentInfo(
            agent_id="a",
            address=pb.Address(hostname="h", ip="127.0.0.1", port=9),
            resources=resources.to_proto(resources.parse("cpus:4;mem:4096")),
        )
        h.hold_writes = True
        h.feed(ev.AgentRegistering(101, info, "i1", boot_id="b", mono_s=10.0))
        h.feed(ev.AgentRegistering(102, info, "i2", boot_id="b", mono_s=20.0))
        h.write()
        assert 101 in h.closed and not h.agent_inbox[101]
        assert h.agent_inbox[102][0].HasField("registered")
        # The tail of a stream that is older still.
        h.feed(ev.AgentRegistering(103, info, "i0", boot_id="b", mono_s=5.0))
        assert "registered again since" in h.agent_inbox[103][0].refused.message
        assert h.core.state.agents["a"].connection_id == 102
        # After a reboot the clock begins anew.
        h.feed(ev.AgentRegistering(104, info, "i3", boot_id="c", mono_s=1.0))
        h.write()
        assert h.core.state.agents["a"].connection_id == 104

    def test_the_files_of_an_agent_on_another_machine_are_no_agent(self, h: MasterHarness) -> None:
        """Two machines of one image ended each other's streams, and lost each other's tasks."""

        def register(connection_id: int, ip: str, boot_id: str) -> None:
            info = pb.AgentInfo(
                agent_id="a",
                address=pb.Address(hostname=f"at-{ip}", ip=ip, port=9),
                resources=resources.to_proto(resources.parse("cpus:4;mem:4096")),
            )
            h.feed(ev.AgentRegistering(connection_id, info, f"i{connection_id}", boot_id=boot_id))

        register(101, "10.0.0.1", "b")
        assert h.agent_inbox[101][0].HasField("registered")
        for _ in range(2):
            register(102, "10.0.0.2", "c")
            said = h.agent_inbox[102][-1].refused.message
            assert "agent a is connected from another machine, at-10.0.0.1 (10.0.0.1)" in said
            assert "was its --work-dir copied?" in said
        assert h.core.state.agents["a"].connection_id == 101 and 101 not in h.closed
        register(103, "10.0.0.3", "b")  # it has another address, and runs on
        assert h.core.state.agents["a"].connection_id == 103
        register(104, "10.0.0.3", "d")  # its machine was started again
        assert h.core.state.agents["a"].connection_id == 104
        h.feed(ev.AgentDisconnected(104))
        register(105, "10.0.0.4", "e")  # its disk has moved
        assert h.core.state.agents["a"].connection_id == 105

    def test_only_so_many_lost_agents_are_kept(self) -> None:
        h = MasterHarness(Config(max_lost_agents=2, agent_removal_interval_s=0.001))
        lost = [h.agent_id(h.agent()) for _ in range(4)]
        framework = h.subscribe()
        h.run(framework)  # on one of them, which is kept for its task
        busy = next(iter(h.core.state.frameworks[h.framework_id(framework)].tasks.values()))
        for number, agent_id in enumerate(lost):
            if agent_id != busy.agent_id:
                h.feed(ev.OperatorMarkedGone(number, agent_id))
                h.advance(1)
        h.advance(2000)
        kept = [agent_id for agent_id in lost if agent_id in h.core.state.agents]
        expected = [agent_id for agent_id in lost if agent_id != busy.agent_id][-2:]
        assert set(kept) == {*expected, busy.agent_id}
        assert {key for kind, key in h.registry if kind == "agent"} == set(kept)

    def test_nothing_counts_while_it_is_in_doubt_who_leads(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        (offer,) = h.offers(framework)
        h.feed(ev.CoordinationSuspended())
        h.decline(framework, [offer.offer_id], refuse_s=0)
        h.advance(1000)
        assert h.offers(framework) == []
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE
        h.feed(ev.CoordinationResumed())
        assert len(h.offers(framework)) == 1
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE

    def test_any_message_counts_as_a_pong(self, h: MasterHarness) -> None:
        agent = h.agent()
        for _ in range(20):
            h.advance(14)
            h.feed(ev.AgentHeard(agent))
        assert h.core.state.agents[h.agent_id(agent)].state == AgentState.ACTIVE

    def test_a_partition_of_many_is_no_massacre(self) -> None:
        h = MasterHarness(Config(agent_removal_interval_s=10))
        agents = [h.agent() for _ in range(6)]
        for agent in agents:
            h.feed(ev.AgentDisconnected(agent))
        h.advance(95)
        states = [a.state for a in h.core.state.agents.values()]
        assert 1 <= states.count(AgentState.UNREACHABLE) <= 3

    def test_a_lost_launch_is_dropped_when_the_agent_returns(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.agent(agent_id=h.agent_id(agent), port=9)
        assert names(h.last(framework)) == ("TASK_DROPPED", "REASON_RECONCILIATION")
        (offer,) = h.offers(framework)
        assert str(resources.from_proto(offer.resources)) == "cpus:4;mem:4096"

    def test_a_new_leader_learns_the_tasks_from_the_agents(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        offer = h.run(framework)
        framework_id = h.framework_id(framework)
        record = agent_pb.TaskRecord(
            framework_id=framework_id, task_info=task(offer, "t"), state=pb.TASK_RUNNING
        )
        successor = MasterHarness(registry=h.registry)
        successor.agent(agent_id=h.agent_id(agent), tasks=[record], port=9)
        again = successor.subscribe(framework_id)
        (rest,) = successor.offers(again)
        assert str(resources.from_proto(rest.resources)) == "cpus:3;mem:4064"
        assert "t" in successor.core.state.frameworks[framework_id].tasks

    def test_tasks_of_an_unknown_framework_are_shut_down(self, h: MasterHarness) -> None:
        info = task(pb.Offer(agent_id="x"), "t")
        record = agent_pb.TaskRecord(framework_id="ghost", task_info=info, state=pb.TASK_RUNNING)
        agent = h.agent(agent_id="x", tasks=[record])
        assert [
            m.shutdown_framework.framework_id
            for m in h.agent_inbox[agent]
            if m.HasField("shutdown_framework")
        ] == ["ghost"]

    def test_gone_is_final(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=9), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        h.feed(ev.OperatorMarkedGone(1, agent_id))
        assert h.answers == {1: None}
        assert names(h.last(framework)) == (
            "TASK_GONE_BY_OPERATOR",
            "REASON_AGENT_REMOVED_BY_OPERATOR",
        )
        again = h.agent(agent_id=agent_id, port=9)
        assert h.agent_inbox[again][0].refused.shut_down
        assert again in h.closed

    def test_two_registrations_at_once_are_one_agent(self, h: MasterHarness) -> None:
        """Found by the simulator: the second must take back what the first was offered."""
        framework = h.subscribe()
        h.hold_writes = True
        h.agent("cpus:4;mem:400;ports:[1-9]", agent_id="a", port=9)
        h.agent("cpus:4;mem:400;ports:[1-9]", agent_id="a", port=9)
        while h.held:
            token, _ = h.held.pop(0)
            h.feed(ev.Persisted(token))
            h.advance(0.01)
        assert len(h.offers(framework)) == 1

    @pytest.mark.parametrize("text", ["", "../x"])
    def test_bad_registrations_are_refused(self, h: MasterHarness, text: str) -> None:
        connection_id = 99
        bad = pb.AgentInfo(agent_id=text, resources=[pb.Resource(name="cpus", scalar=math.nan)])
        if text:
            bad.ClearField("resources")
        h.feed(ev.AgentRegistering(connection_id, bad, "i"))
        assert h.agent_inbox[connection_id][0].refused.message
        assert connection_id in h.closed
        assert not h.core.state.agents

    def test_a_shrunken_agent_is_never_oversold(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:4;mem:4096", port=9), h.subscribe()
        offer = h.run(framework, "t", "cpus:3;mem:100")
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework),
            task_info=task(offer, "t", "cpus:3;mem:100"),
            state=pb.TASK_RUNNING,
        )
        h.feed(ev.AgentDisconnected(agent))
        h.agent("cpus:3;mem:4096", agent_id=h.agent_id(agent), tasks=[record], port=9)
        (rest,) = h.offers(framework)
        assert resources.from_proto(rest.resources).scalar("cpus") == 0


class TestCertainty:
    """A deposed leader that does not know it yet must not say that something is unknown."""

    def test_of_an_unknown_task(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.hold_writes = True
        asked = scheduler_pb.Call.Reconcile.Task(task_id="t")
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[asked]))
        assert h.statuses(framework) == []
        h.write()
        assert names(h.last(framework)) == ("TASK_UNKNOWN", "REASON_RECONCILIATION")

    def test_of_an_unknown_framework(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe(framework_id="another-cluster-0000")
        assert h.errors(framework) == []
        token, changes = h.held[0]
        assert changes == ()
        h.feed(ev.PersistFailed(token, "the epoch was raised"))
        assert h.errors(framework) == [] and h.stepped_down == "the epoch was raised"

    def test_an_end_that_was_told_stays_the_same(self, h: MasterHarness) -> None:
        """Found by the simulator: a task that had ended was GONE when it was asked for again."""
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED)
        acknowledge = scheduler_pb.Call.Acknowledge(
            agent_id=h.agent_id(agent), task_id="t", uuid=b"u"
        )
        h.call(framework, acknowledge=acknowledge)
        asked = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=h.agent_id(agent))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[asked]))
        assert names(h.last(framework)) == ("TASK_FINISHED", "REASON_RECONCILIATION")


class TestAnAgentThatIsEnding:
    def test_is_offered_to_nobody(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        offer = h.run(framework)
        h.advance(1)
        (rest,) = h.offers(framework)
        h.feed(ev.AgentLeaving(agent))
        assert h.offers(framework) == [], "rescinded"
        h.update(agent, h.framework_id(framework), "t", pb.TASK_KILLED, b"1")
        h.call(framework, revive={})
        h.advance(10)
        assert h.offers(framework) == []
        h.accept(framework, [rest.offer_id], task(rest, "late"))
        assert h.last(framework).state in (pb.TASK_DROPPED, pb.TASK_LOST)
        assert h.launched(agent) == ["t"]
        assert offer.agent_id

    def test_until_it_registers_again(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=7), h.subscribe()
        h.advance(1)
        h.feed(ev.AgentLeaving(agent))
        h.feed(ev.AgentDisconnected(agent))
        h.advance(1)
        assert h.offers(framework) == []
        h.agent(agent_id=h.agent_id(agent), port=7)
        h.advance(1)
        assert len(h.offers(framework)) == 1

    def test_nor_when_its_reservations_change(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.advance(1)
        h.feed(ev.AgentLeaving(agent))
        wanted = tuple(resources.to_proto(resources.parse("cpus:1")))
        h.feed(ev.OperatorReserved(1, h.agent_id(agent), "ops", wanted))
        h.advance(10)
        assert h.answers[1] is None
        assert h.offers(framework) == []
        h.core.check()

    def test_nor_by_a_leader_that_it_registers_with_meanwhile(self, h: MasterHarness) -> None:
        info = pb.AgentInfo(address=pb.Address(hostname="h", ip="127.0.0.1", port=7))
        info.resources.extend(resources.to_proto(resources.parse("cpus:4;mem:4096")))
        framework = h.subscribe()
        h.feed(ev.AgentRegistering(99, info, "i", leaving=True))
        h.advance(10)
        assert h.offers(framework) == []
        (agent,) = h.core.state.agents.values()
        assert agent.state_name == "leaving"
