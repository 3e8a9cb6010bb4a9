"""The life cycles of a master: what each table allows, and what an impossible event says."""

from __future__ import annotations

import pytest

from pymesos_core.lifecycle import ImpossibleTransitionError
from pymesos_core.states import is_terminal
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import (
    AGENT_LIFE,
    OFFER_LIFE,
    OPERATION_LIFE,
    SAID,
    TASK_LIFE,
    AgentEvent,
    AgentState,
    OfferEvent,
    OfferState,
    OperationEvent,
    OperationState,
    TaskEffect,
    TaskEvent,
)
from pymesos_master.core.reservations import Operation
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness


def test_an_agent_that_is_gone_stays_gone() -> None:
    assert not [t for t in AGENT_LIFE if t.source is AgentState.GONE]


def test_an_agent_away_may_come_back_be_lost_or_be_given_up() -> None:
    for away in (AgentState.RECOVERING, AgentState.DISCONNECTED):
        for event in (AgentEvent.REGISTERED, AgentEvent.LOST, AgentEvent.MARKED_GONE):
            assert AGENT_LIFE.after(away, event) is not None, (away, event)


def test_an_impossible_event_tells_the_story_of_its_agent() -> None:
    h = MasterHarness()
    connection = h.agent()
    agent_id = h.agent_id(connection)
    h.feed(ev.AgentDisconnected(connection))
    agent = h.core.state.agents[agent_id]
    with pytest.raises(ImpossibleTransitionError) as raised:
        AGENT_LIFE.move(agent, AgentEvent.STREAM_ENDED, h.now_s)
    text = str(raised.value)
    assert text.startswith(f"agent {agent_id} is disconnected, where 'stream ended' cannot be.")
    assert "active; stream ended → disconnected" in text
    assert agent.state is AgentState.DISCONNECTED


def test_the_end_of_a_task_is_final_and_frees_what_it_held_once() -> None:
    for transition in TASK_LIFE:
        assert not is_terminal(transition.source), transition
        held = transition.source != pb.TASK_UNREACHABLE
        frees = held and is_terminal(transition.target)
        assert (TaskEffect.FREE in transition.effects) == frees, transition


def test_what_an_agent_says_is_what_its_task_is() -> None:
    for state, event in SAID.items():
        after = TASK_LIFE.after(pb.TASK_RUNNING, event)
        assert after is not None and after.target == state


def running(h: MasterHarness) -> tuple[int, int, str, pb.TaskInfo]:
    """A framework with a task that runs: both connections, the framework's id, the task."""
    agent, framework = h.agent(), h.subscribe()
    h.run(framework)
    framework_id = h.framework_id(framework)
    h.update(agent, framework_id, "t", pb.TASK_RUNNING)
    return agent, framework, framework_id, h.core.state.frameworks[framework_id].tasks["t"].info


def test_an_impossible_event_tells_the_story_of_its_task() -> None:
    h = MasterHarness()
    _, _, framework_id, _ = running(h)
    found = h.core.state.find_task(framework_id, "t")
    assert found is not None
    TASK_LIFE.move(found, TaskEvent.AGENT_LOST, h.now_s)
    with pytest.raises(ImpossibleTransitionError) as raised:
        TASK_LIFE.move(found, TaskEvent.AGENT_LOST, h.now_s)
    assert str(raised.value) == (
        f"task t of {framework_id} is TASK_UNREACHABLE, where 'its agent is unreachable' cannot be."
        " Its story: TASK_RUNNING; its agent is unreachable → TASK_UNREACHABLE"
    )


def test_a_task_that_has_ended_does_not_end_otherwise_when_its_agent_registers_again() -> None:
    h = MasterHarness()
    agent, _, framework_id, info = running(h)
    h.update(agent, framework_id, "t", pb.TASK_FINISHED, b"end")
    record = agent_pb.TaskRecord(task_info=info, framework_id=framework_id, state=pb.TASK_FAILED)
    h.agent(agent_id=h.agent_id(agent), tasks=[record])
    found = h.core.state.find_task(framework_id, "t")
    assert found is not None and found.state == pb.TASK_FINISHED


def test_a_task_of_which_something_was_said_is_not_staging() -> None:
    h = MasterHarness()
    agent, framework, framework_id, _ = running(h)
    told = len(h.statuses(framework))
    h.update(agent, framework_id, "t", pb.TASK_RUNNING, b"2", latest=pb.TASK_STAGING)
    found = h.core.state.find_task(framework_id, "t")
    assert found is not None and found.state == pb.TASK_RUNNING
    assert len(h.statuses(framework)) == told
    assert h.complaints[-1].kind == "a bad status update"


def test_an_agent_does_not_say_what_only_masters_say_of_a_task_that_has_ended() -> None:
    h = MasterHarness()
    agent, framework = h.agent(), h.subscribe()
    record = agent_pb.TaskRecord(
        task_info=pb.TaskInfo(task_id="t"),
        framework_id=h.framework_id(framework),
        state=pb.TASK_GONE_BY_OPERATOR,
    )
    h.feed(ev.AgentToldEnded(agent, agent_pb.EndedTasks(tasks=[record])))
    assert not h.core.state.completed_tasks


def test_an_offer_ends_once() -> None:
    assert {t.source for t in OFFER_LIFE} == {OfferState.OFFERED}


def test_how_an_offer_ended_is_known_to_who_still_has_it() -> None:
    h = MasterHarness(Config(offer_timeout_s=30.0))
    for n in range(3):
        h.agent(port=9000 + n)
    framework = h.subscribe()
    accepted, declined, ignored = (h.core.state.offers[o.offer_id] for o in h.offers(framework))
    h.accept(framework, [accepted.offer_id])
    h.decline(framework, [declined.offer_id], 3600.0)
    h.advance(31)
    assert accepted.state is OfferState.ACCEPTED
    assert declined.state is OfferState.DECLINED
    assert ignored.state is OfferState.RESCINDED
    with pytest.raises(ImpossibleTransitionError) as raised:
        OFFER_LIFE.move(ignored, OfferEvent.ACCEPTED, h.now_s)
    assert str(raised.value) == (
        f"offer {ignored.offer_id} is rescinded, where 'accepted' cannot be."
        " Its story: offered; not answered in time → rescinded"
    )


def test_an_operation_ends_once() -> None:
    for event in OperationEvent:
        operation = Operation("o")
        assert OPERATION_LIFE.move(operation, event, 0.0).target is not OperationState.PENDING
        with pytest.raises(ImpossibleTransitionError, match=r"^operation 'o' is OPERATION_"):
            OPERATION_LIFE.move(operation, event, 0.0)
