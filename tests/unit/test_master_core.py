"""The master core against what Mesos was recorded to answer (shared recordings 01–18)."""

from __future__ import annotations

import math

import pytest

from pymesos_core import resources
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import FrameworkState
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

SUPERSEDED = scheduler_pb.Event.Error.SUPERSEDED


def names(status: pb.TaskStatus) -> tuple[str, str]:
    return pb.TaskState.Name(status.state), pb.Reason.Name(status.reason)


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


class TestUpdates:
    """Recordings 02, 07 and 09."""

    def test_a_life(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        offer = h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING, b"1")
        acknowledge = scheduler_pb.Call.Acknowledge(agent_id=offer.agent_id, task_id="t", uuid=b"1")
        h.call(framework, acknowledge=acknowledge)
        assert h.agent_inbox[agent][-1].acknowledgement.uuid == b"1"
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"2")
        acknowledge.uuid = b"2"
        h.call(framework, acknowledge=acknowledge)
        assert [names(s)[0] for s in h.statuses(framework)] == ["TASK_RUNNING", "TASK_FINISHED"]
        assert not h.core.state.frameworks[framework_id].tasks
        completed = h.core.state.completed_tasks[framework_id, "t"]
        assert completed.started_at_s and completed.finished_at_s

    def test_resources_come_free_on_the_transition(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:1;mem:100"), h.subscribe()
        h.run(framework, "t", "cpus:1;mem:100")
        assert h.offers(framework) == []
        # The update being delivered is still RUNNING; the agent says it has ended already.
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_RUNNING, b"1", pb.TASK_FINISHED)
        assert len(h.offers(framework)) == 1

    def test_what_comes_free_in_one_message_is_offered_together(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:2;mem:64"), h.subscribe()
        (offer,) = h.offers(framework)
        h.accept(framework, [offer.offer_id], task(offer, "a"), task(offer, "b"))
        other = h.agent()
        h.now_s += 0.1  # a busy master: the allocation for the other agent is due already
        h.update(agent, h.framework_id(framework), "a", pb.TASK_FINISHED, b"1")
        h.update(agent, h.framework_id(framework), "b", pb.TASK_FINISHED, b"2")
        (offer,) = (o for o in h.offers(framework) if o.agent_id != h.agent_id(other))
        assert str(resources.from_proto(offer.resources)) == "cpus:2;mem:64"

    def test_a_terminal_state_is_final(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"1")
        h.update(agent, framework_id, "t", pb.TASK_FAILED, b"2")
        assert h.core.state.frameworks[framework_id].tasks["t"].state == pb.TASK_FINISHED

    def test_an_end_without_a_uuid_is_the_end(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_DROPPED, b"")
        assert names(h.last(framework))[0] == "TASK_DROPPED"
        assert not h.core.state.frameworks[h.framework_id(framework)].tasks

    def test_completed_tasks_are_bounded(self) -> None:
        h = MasterHarness(Config(max_completed_tasks=3))
        agent, framework = h.agent(), h.subscribe()
        for number in range(5):
            task_id = f"t{number}"
            offer = h.run(framework, task_id)
            h.update(agent, h.framework_id(framework), task_id, pb.TASK_FINISHED, b"1")
            acknowledge = scheduler_pb.Call.Acknowledge(
                agent_id=offer.agent_id, task_id=task_id, uuid=b"1"
            )
            h.call(framework, acknowledge=acknowledge)
        kept = [task_id for _, task_id in h.core.state.completed_tasks]
        assert kept == ["t2", "t3", "t4"]

    def test_an_update_of_a_removed_framework_is_acknowledged_for_it(
        self, h: MasterHarness
    ) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.call(framework, teardown=scheduler_pb.Call.Teardown())
        assert h.agent_inbox[agent][-1].shutdown_framework.framework_id == framework_id
        assert h.core.state.agents[h.agent_id(agent)].allocated(), "until the agent says so"
        h.update(agent, framework_id, "t", pb.TASK_KILLED, b"9")
        assert h.agent_inbox[agent][-1].acknowledgement.uuid == b"9"
        assert not h.core.state.agents[h.agent_id(agent)].tasks


class TestKillAndReconcile:
    """Recordings 03b and 07."""

    def test_kill_reaches_the_agent_with_its_policy(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        policy = pb.KillPolicy(grace_period_s=1.5)
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", kill_policy=policy))
        assert h.agent_inbox[agent][-1].kill.kill_policy.grace_period_s == 1.5

    def test_kill_naming_the_wrong_agent_does_nothing(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        before = len(h.agent_inbox[agent])
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", agent_id="other"))
        assert len(h.agent_inbox[agent]) == before
        assert h.statuses(framework) == []

    def test_kill_of_an_unknown_task_is_answered_like_a_reconciliation(
        self, h: MasterHarness
    ) -> None:
        framework = h.subscribe()
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="ghost"))
        assert names(h.last(framework)) == ("TASK_UNKNOWN", "REASON_RECONCILIATION")

    def test_kill_for_a_disconnected_agent_is_sent_when_it_returns(self, h: MasterHarness) -> None:
        agent, framework = h.agent(port=7), h.subscribe()
        h.run(framework)
        agent_id = h.agent_id(agent)
        h.feed(ev.AgentDisconnected(agent))
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t"))
        info = h.core.state.frameworks[h.framework_id(framework)].tasks["t"].info
        record = agent_pb.TaskRecord(
            framework_id=h.framework_id(framework), task_info=info, state=pb.TASK_RUNNING
        )
        again = h.agent(agent_id=agent_id, tasks=[record], port=7)
        assert [m.kill.task_id for m in h.agent_inbox[again] if m.HasField("kill")] == ["t"]

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (("ghost", ""), "TASK_UNKNOWN"),
            (("ghost", "live"), "TASK_GONE"),
            (("ghost", "no-such-agent"), "TASK_UNKNOWN"),
            (("t", ""), "TASK_RUNNING"),
            (("t", "no-such-agent"), "TASK_RUNNING"),
            (("a/b", ""), "TASK_UNKNOWN"),
        ],
    )
    def test_explicit(self, h: MasterHarness, asked: tuple[str, str], expected: str) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
        task_id, where = asked
        where = h.agent_id(agent) if where == "live" else where
        question = scheduler_pb.Call.Reconcile.Task(task_id=task_id, agent_id=where)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(h.last(framework)) == (expected, "REASON_RECONCILIATION")
        assert not h.last(framework).uuid

    @pytest.mark.parametrize("as_mesos", [True, False])
    def test_of_a_task_whose_end_is_acknowledged(self, h: MasterHarness, as_mesos: bool) -> None:
        more = [pb.MESOS_RECONCILIATION] if as_mesos else []
        agent, framework = h.agent(), h.subscribe(capabilities=[pb.PARTITION_AWARE, *more])
        h.run(framework)
        h.update(agent, h.framework_id(framework), "t", pb.TASK_FINISHED, b"1")
        asked = [scheduler_pb.Call.Reconcile.Task(task_id="t")]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert names(h.last(framework))[0] == "TASK_FINISHED", "it has not acknowledged it yet"
        told = scheduler_pb.Call.Acknowledge(agent_id=h.agent_id(agent), task_id="t", uuid=b"1")
        h.call(framework, acknowledge=told)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        expected = "TASK_UNKNOWN" if as_mesos else "TASK_FINISHED"
        assert names(h.last(framework)) == (expected, "REASON_RECONCILIATION")
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t", agent_id=h.agent_id(agent)))
        assert names(h.last(framework))[0] == "TASK_GONE" if as_mesos else "TASK_FINISHED"

    @pytest.mark.parametrize("as_mesos", [True, False])
    def test_implicit_of_a_task_that_is_unreachable(self, h: MasterHarness, as_mesos: bool) -> None:
        more = [pb.MESOS_RECONCILIATION] if as_mesos else []
        agent, framework = h.agent(), h.subscribe(capabilities=[pb.PARTITION_AWARE, *more])
        h.run(framework)
        h.feed(ev.AgentDisconnected(agent))
        h.advance(3600)
        assert names(h.last(framework))[0] == "TASK_UNREACHABLE"
        before = len(h.statuses(framework))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        assert len(h.statuses(framework)) - before == (0 if as_mesos else 1)
        asked = [scheduler_pb.Call.Reconcile.Task(task_id="t")]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
        assert names(h.last(framework)) == ("TASK_UNREACHABLE", "REASON_RECONCILIATION")
        h.call(framework, kill=scheduler_pb.Call.Kill(task_id="t"))
        killed = h.core.state.frameworks[h.framework_id(framework)].tasks["t"].kill
        assert (killed is None) == as_mesos

    def test_a_command_that_says_nothing(self, h: MasterHarness) -> None:
        """The master launches it for a framework that is told of every start; there it fails."""
        capabilities = [pb.PARTITION_AWARE, pb.TASK_STARTING_STATE]
        agent, framework = h.agent(), h.subscribe(capabilities=capabilities)
        (offer,) = h.offers(framework)
        info = task(offer, "t")
        info.command.CopyFrom(pb.CommandInfo(shell=True))
        h.accept(framework, [offer.offer_id], info)
        assert h.launched(agent) == ["t"]

    def test_no_answer_before_an_agent_has_confirmed_its_registration(
        self, h: MasterHarness
    ) -> None:
        """Found by the simulator: it may still work for the master before this one."""
        framework = h.subscribe()
        info = pb.AgentInfo(agent_id="a", address=pb.Address(ip="127.0.0.1", port=9))
        h.feed(ev.AgentRegistering(77, info, "i"))
        question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id="a")
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert h.statuses(framework) == []
        h.feed(ev.AgentHeard(77))
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(h.last(framework))[0] == "TASK_GONE"

    def test_implicit_tells_the_last_forwarded_state(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.update(agent, framework_id, "t", pb.TASK_STARTING, b"1", pb.TASK_RUNNING)
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile())
        assert names(h.last(framework)) == ("TASK_STARTING", "REASON_RECONCILIATION")

    def test_no_answer_while_agents_may_come_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        agent_id, framework_id = h.agent_id(agent), h.framework_id(framework)
        successor = MasterHarness(registry=h.registry)
        again = successor.subscribe(framework_id)
        for where in (agent_id, ""):
            question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=where)
            successor.call(again, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert successor.statuses(again) == []
        successor.advance(601)
        question = scheduler_pb.Call.Reconcile.Task(task_id="t", agent_id=agent_id)
        successor.call(again, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
        assert names(successor.last(again))[0] == "TASK_UNREACHABLE"


class TestFrameworks:
    """Recordings 01, 10c and 11."""

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"name": ""}, "needs a name"),
            ({"failover_timeout_s": -1.0}, "failover_timeout_s"),
            ({"failover_timeout_s": math.nan}, "failover_timeout_s"),
            ({"roles": ["a b"]}, "white space"),
            ({"roles": ["-a"]}, "starts with '-'"),
            ({"roles": ["a", "a"]}, "given twice"),
            ({"framework_id": "never-seen"}, "not known to this cluster"),
            ({"framework_id": "../x"}, "slash"),
        ],
    )
    def test_bad_infos_are_refused_with_an_error(
        self, h: MasterHarness, change: dict[str, object], says: str
    ) -> None:
        framework = h.subscribe(**change)  # type: ignore[arg-type]
        assert says in h.errors(framework)[0]
        assert framework in h.closed
        assert not h.core.state.frameworks

    def test_it_is_written_before_it_is_told(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe()
        assert h.framework_inbox[framework] == []
        h.write()
        assert h.framework_id(framework)
        assert len(h.registry) == 1

    def test_a_client_that_left_before_it_was_told_leaves_no_ghost(self, h: MasterHarness) -> None:
        h.hold_writes = True
        framework = h.subscribe(failover_timeout_s=1e6)
        h.feed(ev.FrameworkDisconnected(framework))
        h.hold_writes = False
        h.write()
        assert not h.core.state.frameworks
        assert not h.registry

    def test_a_newer_subscription_ends_the_older(self, h: MasterHarness) -> None:
        h.agent()
        older = h.subscribe()
        (offer,) = h.offers(older)
        newer = h.subscribe(h.framework_id(older))
        rescinds = [e.rescind.offer_id for e in h.framework_inbox[older] if e.HasField("rescind")]
        assert rescinds == [offer.offer_id]
        assert h.errors(older) == ["Framework failed over"]
        assert h.framework_inbox[older][-1].error.code == SUPERSEDED
        assert older in h.closed
        h.feed(ev.FrameworkDisconnected(older))
        assert len(h.offers(newer)) == 1
        h.decline(older, [h.offers(newer)[0].offer_id])
        assert len(h.offers(newer)) == 1, "calls on the old stream are ignored"

    def test_an_instance_of_an_earlier_epoch_does_not_lead_again(self, h: MasterHarness) -> None:
        older = h.subscribe(epoch=1)
        framework_id = h.framework_id(older)
        newer = h.subscribe(framework_id, epoch=2)
        stale = h.subscribe(framework_id, epoch=1)
        assert h.errors(stale) == [
            "another instance of this framework leads, in epoch 2; this is 1"
        ]
        assert h.framework_inbox[stale][-1].error.code == SUPERSEDED
        assert h.core.state.frameworks[framework_id].connection_id == newer

    def test_an_epoch_that_is_being_written_counts(self, h: MasterHarness) -> None:
        framework_id = h.framework_id(h.subscribe(epoch=1))
        h.hold_writes = True
        newer = h.subscribe(framework_id, epoch=2)
        stale = h.subscribe(framework_id, epoch=1)
        assert h.errors(stale) == [
            "another instance of this framework leads, in epoch 2; this is 1"
        ]
        h.hold_writes = False
        h.write()
        assert h.core.state.frameworks[framework_id].connection_id == newer

    def test_the_user_cannot_change(self, h: MasterHarness) -> None:
        framework = h.subscribe(user="alice")
        again = h.subscribe(h.framework_id(framework), user="bob")
        assert h.errors(again) == ["Changing framework's user is not allowed."]
        assert not h.framework_inbox[again][-1].error.code
        assert framework not in h.closed

    def test_updates_wait_for_the_framework_to_come_back(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.update(agent, framework_id, "t", pb.TASK_FINISHED)
        again = h.subscribe(framework_id)
        assert names(h.last(again))[0] == "TASK_FINISHED"

    def test_after_the_failover_timeout_its_tasks_end(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe(failover_timeout_s=30)
        h.run(framework)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.advance(29)
        assert not any(m.HasField("shutdown_framework") for m in h.agent_inbox[agent])
        h.advance(2)
        assert h.agent_inbox[agent][-1].shutdown_framework.framework_id == framework_id
        late = h.subscribe(framework_id)
        assert h.errors(late) == ["Framework has been removed: Framework failover timeout"]
        error = h.framework_inbox[late][-1].error
        assert error.code == scheduler_pb.Event.Error.FRAMEWORK_REMOVED
        assert not any(kind == "framework" for kind, _ in h.registry)

    def test_coming_back_in_time_stops_the_timer(self, h: MasterHarness) -> None:
        framework = h.subscribe(failover_timeout_s=10)
        framework_id = h.framework_id(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        h.advance(9)
        h.subscribe(framework_id, failover_timeout_s=10)
        h.advance(60)
        assert h.core.state.frameworks[framework_id].state == FrameworkState.ACTIVE

    def test_the_failover_timeout_survives_the_master(self, h: MasterHarness) -> None:
        """MESOS-4659."""
        framework = h.subscribe(failover_timeout_s=500)
        successor = MasterHarness(registry=h.registry)
        successor.advance(499)
        assert h.framework_id(framework) in successor.core.state.frameworks
        successor.advance(2)
        assert not successor.core.state.frameworks

    def test_an_empty_id_never_adopts_another_frameworks_tasks(self, h: MasterHarness) -> None:
        """The Chronos failures (Jepsen, 2015)."""
        h.agent()
        framework = h.subscribe(name="chronos")
        h.run(framework)
        h.feed(ev.FrameworkDisconnected(framework))
        other = h.subscribe(name="chronos")
        assert h.framework_id(other) != h.framework_id(framework)
        assert h.statuses(other) == []
        h.call(other, reconcile=scheduler_pb.Call.Reconcile())
        assert h.statuses(other) == []

    def test_a_heartbeat_comes_every_interval(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.advance(46)
        beats = [e for e in h.framework_inbox[framework] if e.HasField("heartbeat")]
        assert len(beats) == 3


class TestOperators:
    def test_killing_a_task_by_its_id(self, h: MasterHarness) -> None:
        agent, framework = h.agent(), h.subscribe()
        h.run(framework)
        h.feed(ev.OperatorKilledTask(1, "", "t"))
        assert h.agent_inbox[agent][-1].kill.task_id == "t"
        h.feed(ev.OperatorKilledTask(2, "", "nothing"))
        assert h.answers == {1: None, 2: "there is no live task nothing"}

    def test_an_ambiguous_id_names_the_owners(self, h: MasterHarness) -> None:
        h.agent()
        h.agent()
        first, second = h.subscribe(), h.subscribe(name="g")
        h.run(first)
        h.run(second)
        h.feed(ev.OperatorKilledTask(1, "", "t"))
        assert "exists in several frameworks" in (h.answers[1] or "")

    def test_teardown(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        h.feed(ev.OperatorToreDown(1, h.framework_id(framework)))
        assert h.answers == {1: None}
        assert framework in h.closed
        h.feed(ev.OperatorToreDown(2, "x"))
        assert h.answers[2] == "there is no framework x"

    def test_a_failed_write_steps_down(self, h: MasterHarness) -> None:
        h.hold_writes = True
        h.subscribe()
        token, _ = h.held[0]
        h.feed(ev.PersistFailed(token, "disk full"))
        assert h.stepped_down == "disk full"
