"""The life cycles of a master: what each table allows, and what an impossible event says."""

from __future__ import annotations

import pytest

from pymesos_core.lifecycle import ImpossibleTransitionError
from pymesos_master.core import events as ev
from pymesos_master.core.lifecycles import AGENT_LIFE, AgentEvent, AgentState
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
