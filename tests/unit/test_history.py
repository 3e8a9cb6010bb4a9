"""A new leader shows of a task what the old one did: agents bring it back."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as agent_ev
from pymesos_core.resources import parse, to_proto
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.state import Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.master_harness import MasterHarness

BEGAN_S = 1_600_000_000.0


class NewLeader(MasterHarness):
    """A leader that knows one framework, from the registry."""

    def __init__(self) -> None:
        before = MasterHarness()
        self.owner = before.framework_id(before.subscribe())
        super().__init__(Config(max_completed_tasks=3), registry=before.registry)

    def record(self, task_id: str, state: pb.TaskState = pb.TASK_RUNNING) -> agent_pb.TaskRecord:
        """What an agent says of a task of that framework."""
        status = pb.TaskStatus(task_id=task_id, state=state, timestamp_s=BEGAN_S + 20, healthy=True)
        return agent_pb.TaskRecord(
            framework_id=self.owner,
            task_info=pb.TaskInfo(
                task_id=task_id, name=task_id, agent_id="a", resources=to_proto(parse("cpus:1"))
            ),
            state=state,
            role="*",
            launched_at_s=BEGAN_S,
            started_at_s=BEGAN_S + 10,
            status=status,
        )

    def ended(self, *task_ids: str) -> agent_pb.EndedTasks:
        return agent_pb.EndedTasks(tasks=[self.record(t, pb.TASK_FAILED) for t in task_ids])

    def known(self, task_id: str) -> Task:
        key = (self.owner, task_id)
        found = self.core.state.find_task(*key) or self.core.state.completed_tasks.get(key)
        assert found is not None
        return found

    def completed(self) -> list[str]:
        return [task_id for _, task_id in self.core.state.completed_tasks]

    def asked_for(self, task_id: str) -> pb.TaskStatus:
        """What the framework hears when it asks."""
        framework = self.subscribe(self.owner)
        self.call(framework, reconcile={"tasks": [{"task_id": task_id, "agent_id": "a"}]})
        return self.last(framework)


@pytest.fixture
def h() -> NewLeader:
    return NewLeader()


class TestMaster:
    def test_age_is_age_and_health_is_known(self, h: NewLeader) -> None:
        h.agent(agent_id="a", tasks=[h.record("t")])
        task = h.known("t")
        assert (task.launched_at_s, task.started_at_s) == (BEGAN_S, BEGAN_S + 10)
        assert task.status is not None and task.status.healthy
        told = h.asked_for("t")
        assert told.healthy and told.state == pb.TASK_RUNNING

    def test_an_end_that_waits_for_its_framework_has_its_own_time(self, h: NewLeader) -> None:
        record = h.record("t", pb.TASK_FINISHED)
        record.unacknowledged.add(
            task_id="t", state=pb.TASK_FINISHED, timestamp_s=BEGAN_S + 30, uuid=b"u"
        )
        h.agent(agent_id="a", tasks=[record])
        assert h.known("t").finished_at_s == BEGAN_S + 30

    def test_ended_tasks_come_back(self, h: NewLeader) -> None:
        agent = h.agent(agent_id="a")
        assert h.agent_inbox[agent][0].registered.wants_ended_tasks
        h.feed(ev.AgentToldEnded(agent, h.ended("new", "old")))
        task = h.known("new")
        assert (task.state, task.agent_id) == (pb.TASK_FAILED, "a")
        assert task.finished_at_s == BEGAN_S + 20
        assert h.completed() == ["old", "new"]
        assert h.asked_for("old").state == pb.TASK_FAILED, "and not GONE"

    def test_they_are_asked_for_once(self, h: NewLeader) -> None:
        agent = h.agent(agent_id="a", port=7)
        h.feed(ev.AgentToldEnded(agent, h.ended("t")))
        h.feed(ev.AgentDisconnected(agent))
        again = h.agent(agent_id="a", port=7)
        assert not h.agent_inbox[again][0].registered.wants_ended_tasks

    def test_they_are_bounded_and_replace_nothing(self, h: NewLeader) -> None:
        agent = h.agent(agent_id="a", tasks=[h.record("live")])
        h.feed(ev.AgentToldEnded(agent, h.ended("live", "1", "2", "3", "4")))
        assert h.completed() == ["3", "2", "1"]
        assert h.known("live").state == pb.TASK_RUNNING

    @pytest.mark.parametrize(
        "wrong",
        [
            agent_pb.TaskRecord(task_info=pb.TaskInfo(task_id="../x")),
            agent_pb.TaskRecord(state=pb.TASK_RUNNING),
            agent_pb.TaskRecord(started_at_s=float("nan")),
            agent_pb.TaskRecord(role="a//b"),
            agent_pb.TaskRecord(
                task_info=pb.TaskInfo(resources=[pb.Resource(name="cpus", scalar=float("inf"))])
            ),
        ],
    )
    def test_what_is_no_ended_task_is_left_out(
        self, h: NewLeader, wrong: agent_pb.TaskRecord
    ) -> None:
        agent = h.agent(agent_id="a")
        good, bad = h.record("t", pb.TASK_FAILED), h.record("bad", pb.TASK_FAILED)
        bad.MergeFrom(wrong)
        h.feed(ev.AgentToldEnded(agent, agent_pb.EndedTasks(tasks=[bad, good])))
        assert h.completed() == ["t"]


def told(h: AgentHarness, *, wanted: bool = True) -> list[agent_pb.TaskRecord]:
    """What a new master hears of ended tasks before it hears that it is obeyed."""
    before = len(h.sent)
    h.feed(agent_ev.Connected(2))
    registered = agent_pb.MasterMessage.Registered(agent_id="a", wants_ended_tasks=wanted)
    h.hear(agent_pb.MasterMessage(registered=registered), 2, 2)
    sent = h.sent[before:]
    kinds = [message.WhichOneof("message") for message in sent]
    assert kinds.index("pong") >= kinds.count("ended_tasks")
    return [task for message in sent for task in message.ended_tasks.tasks]


def run_and_end(h: AgentHarness, task_id: str, **labels: str) -> None:
    h.launch(task_id, labels=[pb.Label(key=key, value=value) for key, value in labels.items()])
    container_id = h.started[-1].container_id
    h.feed(agent_ev.ContainerStarted(container_id, 7))
    h.acknowledge(h.updates()[-1].status)
    h.advance(5)
    h.feed(agent_ev.ContainerExited(container_id, 3))
    h.acknowledge(h.updates()[-1].status)


class TestAgent:
    def test_a_restarted_agent_says_when_a_task_began_and_how_it_is(self) -> None:
        before = AgentHarness()
        before.connect()
        before.launch()
        container_id = before.started[0].container_id
        before.advance(3)
        before.feed(agent_ev.ContainerStarted(container_id, 7))
        before.acknowledge(before.updates()[-1].status)
        found = {container_id: agent_ev.ContainerState(7, None)}
        after = AgentHarness(before.records, recovered=found, generation=2)
        after.feed(agent_ev.Connected(1))
        (task,) = after.sent[-1].register.tasks
        assert (task.launched_at_s, task.started_at_s) == (1.7e9 + 100, 1.7e9 + 103)
        assert (task.status.state, len(task.unacknowledged)) == (pb.TASK_RUNNING, 0)

    def test_ended_tasks_are_told_the_latest_first(self) -> None:
        before = AgentHarness()
        before.connect()
        run_and_end(before, "one")
        run_and_end(before, "two")
        h = AgentHarness(before.records, generation=2)
        two, one = told(h)
        assert (two.task_info.task_id, one.task_info.task_id) == ("two", "one")
        assert (one.state, one.status.exit_status) == (pb.TASK_FAILED, 3)
        assert (one.started_at_s, one.status.timestamp_s) == (1.7e9 + 100, 1.7e9 + 105)
        assert not one.task_info.HasField("command"), "nor what is secret in it"

    def test_the_latest_are_told_though_the_clock_was_set_back(self) -> None:
        before = AgentHarness()
        before.connect()
        run_and_end(before, "one")
        before.wall_s -= 86400
        run_and_end(before, "two")
        after = AgentHarness(before.records, generation=2)
        after.connect()
        run_and_end(after, "three")
        assert [task.task_info.task_id for task in told(before)] == ["two", "one"]
        assert [task.task_info.task_id for task in told(after)] == ["three", "two", "one"]

    def test_the_run_that_one_was_of_is_kept_and_no_other_label(self) -> None:
        before = AgentHarness()
        before.connect()
        run_and_end(before, "one", job="j-1", run="2026-11-28T01:30Z")
        run_and_end(before, "two", run="r" * 256)
        two, one = told(AgentHarness(before.records, generation=2))
        (label,) = one.task_info.labels
        assert (label.key, label.value) == ("run", "2026-11-28T01:30Z")
        assert not two.task_info.labels, "no run has so long a name"

    def test_only_the_last_hundred_and_only_to_who_wants_them(self) -> None:
        h = AgentHarness()
        h.connect()
        for number in range(120):
            run_and_end(h, f"t{number}")
        names = [task.task_info.task_id for task in told(h)]
        assert names == [f"t{number}" for number in range(119, 19, -1)]
        assert not told(h, wanted=False)
