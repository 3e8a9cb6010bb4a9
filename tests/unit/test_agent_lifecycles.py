"""The life cycles of an agent: what each table allows, and what an impossible event says."""

from __future__ import annotations

import itertools

import pytest

from pymesos_agent.core import events as ev
from pymesos_agent.core.lifecycles import (
    CONTAINER_LIFE,
    EXECUTOR_LIFE,
    SAID,
    TASK_LIFE,
    ContainerEvent,
    ExecutorEvent,
    ExecutorState,
    TaskEffect,
    TaskEvent,
)
from pymesos_agent.core.tasks import updates
from pymesos_core.lifecycle import ImpossibleTransitionError
from pymesos_core.states import is_terminal
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch, say, subscribe, token
from pymesos_testing.agent_harness import AgentHarness


def test_an_end_is_final() -> None:
    for transition in TASK_LIFE:
        assert not is_terminal(transition.source), transition
        ends = is_terminal(transition.target)
        assert (TaskEffect.CLEAN_UP in transition.effects) == ends
        assert TaskEffect.UPDATE in transition.effects, "its framework hears of every change"


def test_what_an_executor_says_is_what_its_task_is() -> None:
    for state, event in SAID.items():
        after = TASK_LIFE.after(pb.TASK_RUNNING, event)
        assert after is not None and after.target == state


def test_a_container_may_be_told_of_in_any_order() -> None:
    """A runtime speaks when it likes; nothing that it says of a container is impossible."""
    states = {t.source for t in CONTAINER_LIFE} | {t.target for t in CONTAINER_LIFE}
    for state, event in itertools.product(states, (ContainerEvent.STARTED, ContainerEvent.ENDED)):
        assert CONTAINER_LIFE.after(state, event) is not None, (state, event)


def test_an_impossible_event_tells_the_story_of_its_task() -> None:
    h = AgentHarness()
    h.connect()
    h.run()
    (task,) = h.core.state.tasks.values()
    with pytest.raises(ImpossibleTransitionError) as raised:
        updates.update(h.core._ctx, task, TaskEvent.DROPPED, pb.REASON_UNSPECIFIED, "")
    text = str(raised.value)
    assert text.startswith("task t of f is TASK_RUNNING, where 'it was not launched' cannot be.")
    assert "TASK_STAGING; its container runs → TASK_RUNNING" in text
    assert task.state == pb.TASK_RUNNING and not task.unacknowledged


def test_an_executor_that_is_back_before_its_runtime_is_not_ended() -> None:
    """The agent restarts; the executor connects before its runtime has said what it holds."""
    before = AgentHarness()
    before.connect()
    launch(before, "a")
    container = before.started[0].container_id
    secret = token(before)
    before.feed(ev.ContainerStarted(container, 7))
    subscribe(before)
    say(before, "a", pb.TASK_RUNNING)
    away = {"process": "its supervisor does not start"}
    h = AgentHarness(before.records, generation=2, away=away)
    h.connect()
    subscribe(h, 5, ("a",), secret=secret)
    (executor,) = h.core.state.executors.values()
    assert executor.state is ExecutorState.SUBSCRIBED
    h.feed(ev.RuntimeBack("process", {container: ev.ContainerState(7)}))
    h.connect(2)
    h.advance(120)
    assert executor.state is ExecutorState.SUBSCRIBED
    assert h.kills == [] and "shutdown" not in [e.WhichOneof("event") for e in h.told[5]]


def test_an_executor_leaves_and_comes_back() -> None:
    state = ExecutorState.PLANNED
    for event, expected in (
        (ExecutorEvent.LAUNCHED, ExecutorState.AWAITED),
        (ExecutorEvent.SUBSCRIBED, ExecutorState.SUBSCRIBED),
        (ExecutorEvent.LEFT, ExecutorState.AWAITED),
        (ExecutorEvent.SHUT_DOWN, ExecutorState.ENDING),
        (ExecutorEvent.SUBSCRIBED, ExecutorState.ENDING),
        (ExecutorEvent.LEFT, ExecutorState.ENDING),
        (ExecutorEvent.ENDED, ExecutorState.ENDED),
    ):
        after = EXECUTOR_LIFE.after(state, event)
        assert after is not None
        state = after.target
        assert state is expected
    assert EXECUTOR_LIFE.after(ExecutorState.ENDED, ExecutorEvent.SUBSCRIBED) is None
