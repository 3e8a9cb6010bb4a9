"""What one peer sends is bounded in what it costs, and complaints about it are few."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_core import limits
from pymesos_core.caller import NOBODY
from pymesos_core.complaints import Complaints
from pymesos_core.resources import from_proto
from pymesos_core.turns import Turn
from pymesos_master.core import events as ev
from pymesos_master.core.validation import task_problem
from pymesos_master.services.agent import _Registration
from pymesos_master.services.leading import BadStreamError
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


class Pauses(Turn):
    """A turn that is never over, and counts how often it might have been."""

    def __init__(self) -> None:
        self.count = 0

    async def pause(self, *, joined: bool = False) -> None:
        self.count += 1


class TestCosts:
    """One message is answered in slices, or is bounded: nobody waits for long behind it."""

    def ask(self, h: MasterHarness, framework: int, number: int) -> None:
        questions = [scheduler_pb.Call.Reconcile.Task(task_id=f"u{n}") for n in range(number)]
        h.call(framework, reconcile=scheduler_pb.Call.Reconcile(tasks=questions))

    def test_more_questions_than_can_wait_are_refused(self, h: MasterHarness) -> None:
        framework = h.subscribe()
        self.ask(h, framework, limits.ASKED_TASKS.most + 1)
        assert "at most 20000" in h.refused(framework)[0].message
        assert not h.statuses(framework)

    def test_an_agent_has_no_more_tasks_than_it_could_register_with(self, h: MasterHarness) -> None:
        agent, framework = h.agent("cpus:1000;mem:1000"), h.subscribe()
        tasks = h.core.state.agents[h.agent_id(agent)].tasks
        h.run(framework, "first")
        (offer,) = h.offers(framework)
        for number in range(limits.AGENT_TASKS.most - 1):
            tasks["f", f"planted{number}"] = tasks[h.framework_id(framework), "first"]
        problem = task_problem(
            h.core.state.frameworks[h.framework_id(framework)],
            h.core.state.agents[h.agent_id(agent)],
            task(offer, "one-more"),
            from_proto(offer.resources),
        )[1]
        assert problem == "An agent has 10001 tasks; at most 10000 are accepted"

    def test_one_that_has_seen_a_later_epoch_is_told_what_to_do(self) -> None:
        """The agent would obey nothing: the registry was restored, or this leader is deposed."""
        heard: list[ev.Event] = []
        connection: Any = SimpleNamespace(connection_id=1, caller=NOBODY, feed=heard.append)
        message = agent_pb.AgentMessage(register=agent_pb.Register(epoch_seen=7))
        with pytest.raises(BadStreamError, match=r"--min-epoch 8$"):
            asyncio.run(_Registration(connection, epoch=6).add(message, Pauses()))
        assert not heard
        asyncio.run(_Registration(connection, epoch=7).add(message, Pauses()))
        assert len(heard) == 1

    def test_others_have_their_turn_while_the_tasks_of_a_registration_are_read(self) -> None:
        heard: list[ev.AgentRegistering] = []
        connection: Any = SimpleNamespace(connection_id=1, caller=NOBODY, feed=heard.append)
        registration, turn = _Registration(connection, epoch=1), Pauses()
        records = [
            agent_pb.TaskRecord(
                framework_id="f", task_info=pb.TaskInfo(task_id=f"t{n}"), state=pb.TASK_RUNNING
            )
            for n in range(7)
        ]
        first = agent_pb.Register(tasks=records[:4], more_tasks=True)
        asyncio.run(registration.add(agent_pb.AgentMessage(register=first), turn))
        assert (turn.count, heard) == (4, [])
        rest = agent_pb.MoreTasks(tasks=records[4:])
        asyncio.run(registration.add(agent_pb.AgentMessage(more_tasks=rest), turn))
        assert turn.count == 7 and registration.complete
        assert [task.task_id for task in heard[0].tasks] == [f"t{n}" for n in range(7)]

    def test_what_is_no_task_is_told_by_the_core(self) -> None:
        heard: list[ev.AgentRegistering] = []
        connection: Any = SimpleNamespace(connection_id=1, caller=NOBODY, feed=heard.append)
        good = agent_pb.TaskRecord(
            framework_id="f", task_info=pb.TaskInfo(task_id="t"), state=pb.TASK_RUNNING
        )
        records = [good, agent_pb.TaskRecord(framework_id="f"), agent_pb.TaskRecord(), good]
        message = agent_pb.AgentMessage(register=agent_pb.Register(tasks=records))
        asyncio.run(_Registration(connection, epoch=1).add(message, Pauses()))
        assert heard[0].problem.startswith("a task has no id that can be")
        h = MasterHarness()
        h.feed(heard[0])
        assert "a task has no id that can be" in h.agent_inbox[1][0].refused.message

    def test_a_registration_in_parts_is_bounded_in_all(self) -> None:
        connection: Any = SimpleNamespace(connection_id=1, caller=NOBODY, feed=None)
        registration = _Registration(connection, epoch=1)
        begin = agent_pb.AgentMessage(register=agent_pb.Register(more_tasks=True))
        asyncio.run(registration.add(begin, Pauses()))
        info = pb.TaskInfo(task_id="t", data=b"x" * limits.TASK_INFO.most)
        part = agent_pb.MoreTasks(tasks=[agent_pb.TaskRecord(task_info=info)], more_tasks=True)
        message = agent_pb.AgentMessage(more_tasks=part)
        with pytest.raises(BadStreamError, match="A registration has"):
            for _ in range(limits.REGISTRATION.most // limits.TASK_INFO.most + 1):
                asyncio.run(registration.add(message, Pauses()))

    def test_constraints_are_bounded_in_all(self, h: MasterHarness) -> None:
        one = scheduler_pb.AttributeConstraint(attribute="rack", text_equals="a")
        group = scheduler_pb.OfferConstraints.Group(constraints=[one] * 64)
        constraints = {"*": scheduler_pb.OfferConstraints(groups=[group] * 3)}
        subscribe = scheduler_pb.Call.Subscribe(
            framework_info=pb.FrameworkInfo(name="f"), offer_constraints=constraints
        )
        h.feed(ev.FrameworkSubscribing(1, subscribe))
        assert "192 constraints; at most 128" in h.errors(1)[0]


class TestComplaints:
    def test_one_line_for_each_kind_and_peer_then_a_count(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now_s = 0.0
        complaints = Complaints(logging.getLogger("wire"), lambda: now_s)
        for _ in range(1000):
            complaints.say("a1", "a bad update", "state is 777")
            complaints.say("a2", "a bad update", "state is 777")
        assert [r.getMessage() for r in caplog.records] == [
            "a1: a bad update: state is 777",
            "a2: a bad update: state is 777",
        ]
        now_s = 61.0
        complaints.say("a1", "a bad update", "x\n\u202e" + "y" * 10_000)
        last = caplog.records[-1].getMessage()
        assert last.startswith("a1: a bad update: x\\n\\u202eyyy")
        assert last.endswith("(and 999 more like it before)")
        assert len(last) < 700 and "\n" not in last

    def test_of_many_peers_only_so_many_are_remembered(self) -> None:
        complaints = Complaints(logging.getLogger("wire"), lambda: 0.0)
        for number in range(5000):
            complaints.say(f"p{number}", "k", "m")
        assert len(complaints._said) == 1000
