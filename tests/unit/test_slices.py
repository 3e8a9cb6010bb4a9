"""What is done of very many tasks is done in slices, and what comes between is answered.

Here a slice has two tasks. The work for an agent or a framework with two tasks or fewer is done at
once, in the order that all other tests of the master know.
"""

from __future__ import annotations

import pytest

from pymesos_core import resources
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.accounting import at
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.slices import MOST_WAITING
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import ServedTask
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, registering

SLICED = Config(tasks_in_a_slice=2, told_in_a_turn=100)
TASKS = [f"t{n}" for n in range(5)]
GONE, LOST = pb.TASK_GONE_BY_OPERATOR, pb.TASK_UNREACHABLE


class World(MasterHarness):
    """One framework, and an agent with more tasks than a slice has."""

    def __init__(self, registry: dict[tuple[str, str], bytes] | None = None) -> None:
        super().__init__(SLICED, registry)
        self.framework = 0
        self.agent_id_ = ""

    def records(
        self, task_ids: list[str], state: pb.TaskState = pb.TASK_RUNNING
    ) -> list[agent_pb.TaskRecord]:
        return [
            agent_pb.TaskRecord(
                framework_id=self.framework_id_,
                role="*",
                state=state,
                task_info=pb.TaskInfo(
                    task_id=task_id, resources=resources.to_proto(resources.parse("cpus:1"))
                ),
            )
            for task_id in task_ids
        ]

    @property
    def framework_id_(self) -> str:
        return self.framework_id(self.framework)

    def begin(self, task_ids: list[str] = TASKS, *, port: int = 7000) -> int:
        """The agent registers, and none of its tasks is taken over."""
        connection_id = next(self._ids)
        info = pb.AgentInfo(
            agent_id=self.agent_id_,
            address=pb.Address(hostname="h", ip="127.0.0.1", port=port),
            resources=resources.to_proto(resources.parse("cpus:8")),
            capabilities=[pb.MAY_RETURN],
        )
        self.feed(registering(connection_id, info, f"i{connection_id}", self.records(task_ids)))
        return connection_id

    def slice(self) -> None:
        self.feed(ev.Tick())

    def finish(self) -> None:
        """As many slices as there are."""
        for _ in range(100):
            if (due_s := self.core.next_deadline_s()) is None or due_s > self.now_s:
                return
            self.slice()
        raise AssertionError("there is no end to it")

    def registers(self, task_ids: list[str] = TASKS) -> int:
        """The agent registers, all the way."""
        connection_id = self.begin(task_ids)
        self.finish()
        self.feed(ev.AgentHeard(connection_id))
        self.agent_id_ = self.agent_id(connection_id)
        return connection_id

    def state(self) -> AgentState:
        return self.core.state.agents[self.agent_id_].state

    def known(self, state: pb.TaskState) -> list[str]:
        """The tasks of the framework that are in a state."""
        framework = self.core.state.frameworks[self.framework_id_]
        return [task_id for task_id, task in framework.tasks.items() if task.state == state]

    def told_of(self, connection_id: int, state: pb.TaskState) -> list[str]:
        return [s.task_id for s in self.statuses(connection_id) if s.state == state]

    def is_told(self, connection_id: int, kind: str) -> int:
        """How many messages of a kind an agent was told."""
        return sum(m.WhichOneof("message") == kind for m in self.agent_inbox[connection_id])

    def lose(self, connection_id: int) -> None:
        """The agent's stream ends, and it is given up; its tasks are not looked at yet."""
        self.feed(ev.AgentDisconnected(connection_id))
        while self.state() != AgentState.UNREACHABLE:
            due_s = self.core.next_deadline_s()
            assert due_s is not None
            self.now_s = max(self.now_s, due_s)
            self.feed(ev.Tick())


@pytest.fixture
def w() -> World:
    world = World()
    world.framework = world.subscribe(failover_timeout_s=1e6)
    return world


def test_an_agent_is_admitted_when_all_its_tasks_are_known(w: World) -> None:
    agent = w.begin()
    (state,) = w.core.state.agents.values()
    seen = []
    while state.state == AgentState.RECOVERING:
        assert not w.is_told(agent, "registered") and not w.core.allocator.changed
        seen.append(len(state.tasks))
        w.slice()
    assert seen == [0, 2, 4, 5, 5]
    assert state.state == AgentState.ACTIVE and w.is_told(agent, "registered") == 1
    (offer,) = w.offers(w.framework)
    assert resources.from_proto(offer.resources) == resources.parse("cpus:3")


def test_each_step_is_about_one_slice_and_others_come_between(w: World) -> None:
    w.lose(w.registers())
    w.finish()
    again = w.begin()
    told: list[int] = []
    while w.state() == AgentState.UNREACHABLE:
        before = len(w.told_of(w.framework, pb.TASK_RUNNING))
        w.slice()
        told.append(len(w.told_of(w.framework, pb.TASK_RUNNING)) - before)
        other = w.subscribe()  # is answered at once
        assert w.framework_id(other)
    assert max(told) == 2 and sum(told) == 5 and w.is_told(again, "registered") == 1


def test_those_who_watch_hear_of_the_agent_then_of_each_task_once(w: World) -> None:
    w.registers()
    kinds = (ClusterEvent.AGENT_ADDED, ClusterEvent.TASK_ADDED)
    heard = [(p.kind, p.task_id) for p in w.published if p.kind in kinds]
    assert heard[0][0] == ClusterEvent.AGENT_ADDED
    assert [task_id for _, task_id in heard[1:]] == TASKS


def test_an_agent_with_a_slice_of_tasks_is_admitted_in_one_step(w: World) -> None:
    agent = w.begin(TASKS[:2])
    assert w.is_told(agent, "registered") == 1 and w.known(pb.TASK_RUNNING) == TASKS[:2]


def test_a_framework_that_subscribes_again_meanwhile_is_told_of_each_task_once(w: World) -> None:
    w.lose(w.registers())
    w.finish()
    w.begin()
    w.slice()
    w.slice()
    first = w.told_of(w.framework, pb.TASK_RUNNING)
    second = w.subscribe(w.framework_id_, failover_timeout_s=1e6)
    w.finish()
    assert 0 < len(first) < 5
    assert first + w.told_of(second, pb.TASK_RUNNING) == TASKS


def test_one_that_was_unreachable_and_goes_away_meanwhile_is_as_it_was(w: World) -> None:
    w.lose(w.registers())
    w.finish()
    again = w.begin()
    w.slice()
    assert w.known(pb.TASK_RUNNING) == TASKS[:2]
    w.feed(ev.AgentDisconnected(again))
    w.finish()
    assert w.state() == AgentState.UNREACHABLE and w.known(LOST) == TASKS
    assert w.told_of(w.framework, LOST) == [*TASKS, *TASKS[:2]]
    w.registers()
    assert w.state() == AgentState.ACTIVE and w.known(pb.TASK_RUNNING) == TASKS


def test_a_new_one_that_goes_away_meanwhile_is_awaited(w: World) -> None:
    agent = w.begin()
    w.slice()
    w.feed(ev.AgentDisconnected(agent))
    w.finish()
    ((w.agent_id_, state),) = w.core.state.agents.items()
    assert state.state == AgentState.RECOVERING and not w.is_told(agent, "registered")
    w.registers()
    assert w.state() == AgentState.ACTIVE and w.known(pb.TASK_RUNNING) == TASKS


def test_a_second_registration_meanwhile_is_the_one_that_counts(w: World) -> None:
    w.feed(ev.AgentDisconnected(w.registers()))
    first = w.begin()
    w.slice()
    second = w.begin(TASKS[1:])
    w.finish()
    assert first in w.closed and not w.is_told(first, "registered")
    assert w.is_told(second, "registered") == 1 and w.state() == AgentState.ACTIVE
    assert w.known(pb.TASK_RUNNING) == TASKS[1:]
    assert w.told_of(w.framework, pb.TASK_DROPPED) == TASKS[:1]


def test_what_it_says_meanwhile_does_not_count_and_it_says_it_again(w: World) -> None:
    w.feed(ev.AgentDisconnected(w.registers()))
    agent = w.begin()
    status = pb.TaskStatus(task_id="t4", state=pb.TASK_FINISHED, uuid=b"u")
    update = agent_pb.StatusUpdate(framework_id=w.framework_id_, status=status)
    w.feed(ev.TaskStatusUpdated(agent, update))
    w.finish()
    assert w.known(pb.TASK_RUNNING) == TASKS
    w.feed(ev.TaskStatusUpdated(agent, update))
    assert w.known(pb.TASK_FINISHED) == ["t4"]


def test_what_it_could_not_be_told_meanwhile_it_is_told_then(w: World) -> None:
    w.feed(ev.AgentDisconnected(w.registers()))
    agent = w.begin()
    w.slice()
    w.call(w.framework, kill=scheduler_pb.Call.Kill(task_id="t0"))
    w.call(w.framework, kill=scheduler_pb.Call.Kill(task_id="t4"))
    w.finish()
    inbox = [m.WhichOneof("message") for m in w.agent_inbox[agent]]
    assert inbox[0] == "registered"
    assert sorted(m.kill.task_id for m in w.agent_inbox[agent] if m.HasField("kill")) == [
        "t0",
        "t4",
    ]


def test_a_framework_that_is_removed_meanwhile_is_shut_down_on_it(w: World) -> None:
    w.feed(ev.AgentDisconnected(w.registers()))
    agent = w.begin()
    w.slice()
    w.call(w.framework, teardown=scheduler_pb.Call.Teardown())
    w.finish()
    assert w.state() == AgentState.ACTIVE and w.is_told(agent, "shutdown_framework") == 1
    assert set(w.core.state.completed_frameworks[w.framework_id_].tasks) == set(TASKS)


@pytest.mark.parametrize("slices", [0, 1, 3])
def test_one_that_is_marked_gone_meanwhile_is_gone_with_all_that_is_known(
    w: World, slices: int
) -> None:
    w.lose(w.registers())
    w.finish()
    agent = w.begin()
    for _ in range(slices):
        w.slice()
    w.feed(ev.OperatorMarkedGone(77, w.agent_id_))
    w.finish()
    assert w.answers[77] is None and agent in w.closed
    assert w.state() == AgentState.GONE and not w.known(pb.TASK_RUNNING)
    assert w.told_of(w.framework, GONE) == TASKS
    again = w.begin()
    assert w.agent_inbox[again][0].refused.shut_down


def test_one_whose_machine_goes_down_meanwhile_is_not_admitted(w: World) -> None:
    w.lose(w.registers())
    w.finish()
    agent = w.begin()
    w.slice()
    w.feed(ev.OperatorDrainedAgents(78, (w.agent_id_,), 0.0, down=True))
    w.finish()
    assert w.answers[78] is None and agent in w.closed and not w.is_told(agent, "registered")
    assert w.state() == AgentState.UNREACHABLE and w.known(LOST) == TASKS


def test_a_lost_agent_is_unreachable_at_once_and_its_tasks_in_slices(w: World) -> None:
    w.lose(w.registers())
    assert w.known(LOST) == []
    w.slice()
    assert w.known(LOST) == TASKS[:2]
    w.finish()
    assert w.told_of(w.framework, LOST) == TASKS


def test_one_that_is_back_before_all_its_tasks_are_unreachable_has_them_all(w: World) -> None:
    w.lose(w.registers())
    w.slice()
    again = w.begin()
    w.finish()
    assert w.state() == AgentState.ACTIVE and w.known(pb.TASK_RUNNING) == TASKS
    assert w.told_of(w.framework, pb.TASK_RUNNING) == TASKS
    (offer,) = w.offers(w.framework)
    assert resources.from_proto(offer.resources) == resources.parse("cpus:3")
    assert w.is_told(again, "registered") == 1


def test_an_agent_that_is_lost_while_it_is_admitted_has_its_stream_ended(w: World) -> None:
    w.feed(ev.AgentDisconnected(w.registers()))
    agent = w.begin()
    w.slice()
    known, w.agent_id_ = w.agent_id_, ""
    w.begin([])  # a new one at its address
    w.agent_id_ = known
    w.finish()
    assert agent in w.closed and not w.is_told(agent, "registered")
    assert w.state() == AgentState.UNREACHABLE and w.known(LOST) == TASKS


def test_no_slice_is_done_while_it_is_in_doubt_who_leads(w: World) -> None:
    agent = w.begin()
    w.feed(ev.CoordinationSuspended())
    w.slice()
    assert w.core.next_deadline_s() is None
    w.feed(ev.CoordinationResumed())
    assert not w.known(pb.TASK_RUNNING)
    w.finish()
    assert w.is_told(agent, "registered") == 1


def test_a_teardown_ends_what_no_agent_will_end_in_slices(w: World) -> None:
    w.lose(w.registers())
    w.finish()
    w.call(w.framework, teardown=scheduler_pb.Call.Teardown())
    framework = w.core.state.completed_frameworks[w.framework_id_]
    left = []
    while framework.tasks:
        left.append(len(framework.tasks))
        w.slice()
    assert left[0] == 5 and sorted(set(left), reverse=True) == [5, 3, 1]
    assert not w.core.state.agents[w.agent_id_].tasks


def test_a_teardown_tells_each_agent_once(w: World) -> None:
    agent = w.registers()
    w.call(w.framework, teardown=scheduler_pb.Call.Teardown())
    w.finish()
    assert w.is_told(agent, "shutdown_framework") == 1


def test_the_deadline_of_a_drain_kills_in_slices_as_long_as_it_is_drained(w: World) -> None:
    agent = w.registers()
    w.feed(ev.OperatorDrainedAgents(5, (w.agent_id_,), 0.0))
    w.slice()
    w.slice()
    assert w.is_told(agent, "kill") == 2
    w.feed(ev.OperatorActivatedAgents(6, (w.agent_id_,)))
    w.finish()
    assert w.is_told(agent, "kill") == 2


def test_what_has_ended_before_this_leader_is_kept_in_slices(w: World) -> None:
    agent = w.registers()
    ended = [f"e{n}" for n in range(5)]
    for part in (ended[:3], ended[3:]):
        said = agent_pb.EndedTasks(tasks=w.records(part, pb.TASK_FINISHED))
        w.feed(ev.AgentToldEnded(agent, said))
    assert not w.core.state.completed_tasks
    w.slice()
    assert len(w.core.state.completed_tasks) == 2
    w.finish()
    assert [task_id for _, task_id in w.core.state.completed_tasks] == ended[::-1]


def test_what_tasks_have_used_is_accounted_for_in_slices(w: World) -> None:
    agent = w.registers()
    used = [
        pb.TaskUse(framework_id=w.framework_id_, task_id=t, cpu_ms=10, measured_ms=10)
        for t in TASKS
    ]
    for _ in range(2):  # the second before the first is accounted for
        w.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=used)))
    w.finish()
    accounts, instant = w.core.state.accounts, at(w.now)
    assert sum(sums.used_cpus for sums in accounts.by_role(instant).values()) == 100_000


def test_whoever_says_more_than_is_done_meanwhile_has_not_all_of_it_wait(w: World) -> None:
    agent, reports = w.registers(), 20_000  # each would hold a message
    use = pb.TaskUse(framework_id=w.framework_id_, task_id=TASKS[0], cpu_ms=10, measured_ms=10)
    many = agent_pb.Usage(tasks=[use] * 3)
    w.feed(ev.AgentUsageReported(agent, many))
    for _ in range(reports):
        w.feed(ev.AgentUsageReported(agent, agent_pb.Usage(tasks=[use])))
    accounts, instant = w.core.state.accounts, at(w.now)

    def used_cpus() -> float:
        return sum(sums.used_cpus for sums in accounts.by_role(instant).values())

    assert used_cpus() == 10_000 * (3 + reports - MOST_WAITING), "the rest waits"
    w.finish()
    assert used_cpus() == 10_000 * (3 + reports)


def serves(w: World) -> list[ServedTask]:
    return [
        ServedTask(task_id=task_id, agent_id=w.agent_id_, role="*", job="shop", task="web")
        for task_id in TASKS
    ]


def shown(w: World) -> list[str]:
    return [task_id for _, task_id in w.core.state.names.shown]


def test_what_a_framework_does_not_say_again_is_shown_no_more_in_slices(w: World) -> None:
    w.registers()
    publish = scheduler_pb.Call.Publish
    w.call(w.framework, publish=publish(serves=serves(w)))
    w.call(w.framework, publish=publish(whole=True))
    assert shown(w) == TASKS
    w.slice()
    assert shown(w) == TASKS[2:]
    w.call(w.framework, publish=publish(serves=serves(w)[4:]))  # after all
    w.finish()
    assert shown(w) == TASKS[4:]


def test_names_of_a_framework_that_is_no_more_end_in_slices(w: World) -> None:
    w.registers()
    w.call(w.framework, publish=scheduler_pb.Call.Publish(serves=serves(w)))
    framework_id = w.framework_id_
    w.call(w.framework, teardown=scheduler_pb.Call.Teardown())
    assert shown(w) == TASKS
    w.slice()
    w.slice()
    assert 0 < len(shown(w)) < 5
    w.finish()
    assert not shown(w)
    names = w.core.state.names
    assert framework_id not in names.said and not names.ending


def test_a_new_leader_admits_it_in_slices_and_answers_nothing_of_what_may_come(w: World) -> None:
    w.registers()
    successor = World(w.registry)
    successor.framework = successor.subscribe(w.framework_id_, failover_timeout_s=1e6)
    successor.agent_id_ = w.agent_id_
    successor.begin()
    successor.slice()
    asked = [scheduler_pb.Call.Reconcile.Task(task_id=t, agent_id=w.agent_id_) for t in TASKS]
    successor.call(successor.framework, reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
    assert successor.told_of(successor.framework, pb.TASK_RUNNING) == TASKS[:2]
    assert len(successor.statuses(successor.framework)) == 2
    successor.finish()
    assert successor.known(pb.TASK_RUNNING) == TASKS


def test_works_of_several_agents_take_turns(w: World) -> None:
    w.begin(TASKS, port=1)
    w.begin([f"u{n}" for n in range(5)], port=2)
    w.slice()
    w.slice()
    assert sorted(len(a.tasks) for a in w.core.state.agents.values()) == [2, 2]
    w.finish()
    assert [a.state for a in w.core.state.agents.values()] == [AgentState.ACTIVE] * 2
