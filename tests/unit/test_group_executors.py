"""Executors that groups name: charged with the first group, free when the last task has ended."""

from __future__ import annotations

import pytest

from pymesos_agent.core import events as ev
from pymesos_core.resources import Resources, parse, to_proto
from pymesos_master.core import events as master_ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import COMMAND
from pymesos_testing.agent_harness import INFO, AgentHarness
from pymesos_testing.master_harness import MasterHarness, task

HELD = parse("cpus:0.1;mem:32")
KNOWS = (pb.EXECUTOR_RESOURCES, pb.GROUP_EXECUTORS)


def member(info: pb.TaskInfo, held: Resources = HELD, executor_id: str = "pod") -> pb.TaskInfo:
    info.group_executor_id = executor_id
    info.group_executor_resources.extend(to_proto(held))
    return info


class Cluster:
    """A master with an agent and a framework that launches groups."""

    def __init__(self, capabilities: tuple[pb.AgentCapability, ...] = KNOWS) -> None:
        self.h = MasterHarness()
        self.agent = self.h.agent("cpus:4;mem:4096", capabilities=capabilities)
        self.framework = self.h.subscribe()

    def launch(self, *task_ids: str, text: str = "cpus:1;mem:32", held: Resources = HELD) -> None:
        self.h.advance(10)
        (offer,) = self.h.offers(self.framework)
        infos = [member(task(offer, task_id, text), held) for task_id in task_ids]
        self.launch_infos(offer, infos)

    def launch_infos(self, offer: pb.Offer, infos: list[pb.TaskInfo]) -> None:
        group = scheduler_pb.Operation.LaunchGroup(task_infos=infos)
        accept = scheduler_pb.Call.Accept(
            offer_ids=[offer.offer_id], operations=[scheduler_pb.Operation(launch_group=group)]
        )
        self.h.call(self.framework, accept=accept)

    def charged(self) -> list[bool]:
        said = self.h.agent_inbox[self.agent]
        return [m.launch_group.launch_executor for m in said if m.HasField("launch_group")]

    def allocated(self) -> Resources:
        return self.h.core.state.agents[self.h.agent_id(self.agent)].allocated()


class TestMaster:
    def test_it_is_charged_with_its_first_group_only(self) -> None:
        c = Cluster()
        c.launch("a", "b")
        assert c.allocated() == parse("cpus:2.1;mem:96")
        c.launch("c")
        assert c.charged() == [True, False]
        assert c.allocated() == parse("cpus:3.1;mem:128")

    def test_a_task_in_no_group_has_none(self) -> None:
        c = Cluster()
        (offer,) = c.h.offers(c.framework)
        c.h.accept(c.framework, [offer.offer_id], member(task(offer, "a")))
        status = c.h.last(c.framework)
        assert status.state == pb.TASK_ERROR
        assert "executor of its group, and is in none" in status.message
        assert not c.allocated() and not c.h.launched(c.agent)

    def test_it_is_free_when_its_agent_says_so(self) -> None:
        c = Cluster()
        c.launch("a")
        framework_id = c.h.framework_id(c.framework)
        c.h.update(c.agent, framework_id, "a", pb.TASK_FINISHED)
        assert c.allocated() == HELD
        exited = agent_pb.AgentMessage.ExecutorExited(
            framework_id=framework_id, executor_id="pod", held=True, quiet=True
        )
        c.h.feed(master_ev.ExecutorTold(c.agent, exited))
        assert not c.allocated()

    def test_it_has_to_fit_beside_its_tasks(self) -> None:
        c = Cluster()
        c.launch("a", "b", text="cpus:2;mem:32")
        status = c.h.last(c.framework)
        assert (status.state, status.reason) == (pb.TASK_ERROR, pb.REASON_TASK_GROUP_INVALID)
        assert "required by group and its executor is more than available" in status.message
        assert not c.allocated()

    def test_one_of_other_resources_is_another_one(self) -> None:
        c = Cluster()
        c.launch("a")
        c.launch("b", held=parse("cpus:1;mem:32"))
        assert "pod is there with other resources" in c.h.last(c.framework).message
        assert c.charged() == [True]

    def test_the_tasks_of_a_group_have_one(self) -> None:
        c = Cluster()
        (offer,) = c.h.offers(c.framework)
        c.launch_infos(offer, [member(task(offer, "a")), task(offer, "b")])
        assert "these name several" in c.h.last(c.framework).message

    def test_an_agent_that_does_not_know_of_it_gets_none(self) -> None:
        c = Cluster((pb.EXECUTOR_RESOURCES,))
        c.launch("a")
        assert "upgrade the agent" in c.h.last(c.framework).message
        assert not c.allocated()


@pytest.fixture
def h() -> AgentHarness:
    harness = AgentHarness()
    harness.connect()
    return harness


def launch(h: AgentHarness, *task_ids: str, new: bool = False, held: Resources = HELD) -> None:
    infos = [
        member(
            pb.TaskInfo(task_id=name, resources=to_proto(parse("cpus:1;mem:32")), command=COMMAND),
            held,
        )
        for name in task_ids
    ]
    group = agent_pb.LaunchGroup(framework_id="f", task_infos=infos, launch_executor=new)
    h.hear(agent_pb.MasterMessage(launch_group=group))


def end(h: AgentHarness, task_id: str) -> None:
    (container_id,) = (s.container_id for s in h.started if s.info.task_id == task_id)
    h.feed(ev.ContainerStarted(container_id, 100))
    h.feed(ev.ContainerExited(container_id, 0))


def free(h: AgentHarness) -> list[str]:
    said = (m.executor_exited for m in h.sent if m.HasField("executor_exited"))
    return [one.executor_id for one in said if one.held and one.quiet]


class TestAgent:
    def test_it_ends_with_the_last_task_of_all_its_groups(self, h: AgentHarness) -> None:
        launch(h, "a", "b", new=True)
        launch(h, "c")
        end(h, "a")
        end(h, "b")
        assert free(h) == []
        end(h, "c")
        assert free(h) == ["pod"]

    def test_tasks_that_come_too_late_are_dropped(self, h: AgentHarness) -> None:
        launch(h, "a", new=True)
        end(h, "a")
        launch(h, "b")
        status = h.updates()[-1].status
        assert (status.task_id, status.state) == ("b", pb.TASK_DROPPED)
        launch(h, "c", new=True)
        assert [s.info.task_id for s in h.started] == ["a", "c"]

    def test_what_cannot_be_stored_holds_nothing(self, h: AgentHarness) -> None:
        h.hold_writes, h.fail_writes = True, "the disk is full"
        launch(h, "a", new=True)
        assert free(h) == []
        h.write()
        assert free(h) == ["pod"]

    def test_one_of_other_resources_is_refused(self, h: AgentHarness) -> None:
        launch(h, "a", new=True)
        launch(h, "b", held=parse("cpus:1"))
        assert h.updates()[-1].status.state == pb.TASK_ERROR

    def test_it_is_reported_as_long_as_it_has_tasks(self, h: AgentHarness) -> None:
        launch(h, "a", "b", new=True)
        found = {start.container_id: ev.ContainerState(77) for start in h.started}
        again = AgentHarness(records=h.records, recovered=found)
        again.connect()
        (said,) = (m.register for m in again.sent if m.HasField("register"))
        (held,) = said.executors
        assert (held.framework_id, held.executor_id) == ("f", "pod")
        assert list(held.resources) == to_proto(HELD)

    def test_what_has_ended_holds_nothing_after_a_start_either(self, h: AgentHarness) -> None:
        launch(h, "a", new=True)
        end(h, "a")
        assert free(h) == ["pod"] and h.updates(), "its update is not acknowledged yet"
        smaller = pb.AgentInfo()
        smaller.CopyFrom(INFO)
        del smaller.resources[:]
        smaller.resources.extend(to_proto(parse("cpus:0.001;mem:1")))
        again = AgentHarness(records=h.records, info=smaller)
        again.connect()
        (said,) = (m.register for m in again.sent if m.HasField("register"))
        assert [task.state for task in said.tasks] == [pb.TASK_FINISHED] and not said.executors
