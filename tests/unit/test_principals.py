"""What has registered belongs to the principal of its certificate."""

from __future__ import annotations

from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_master.core import events as ev
from pymesos_testing.master_harness import MasterHarness


def proved(principal: str) -> Caller:
    return Caller(principal, Method.CERT, "1", "ipv4:10.0.0.1", "grpc")


def test_a_frameworks_id_is_resumed_by_its_principal_only() -> None:
    h = MasterHarness()
    first = h.subscribe(caller=proved("framework/a"))
    framework_id = h.framework_id(first)
    assert h.core.state.frameworks[framework_id].info.principal == "framework/a"
    h.feed(ev.FrameworkDisconnected(first))
    for other in (proved("framework/b"), NOBODY):
        refused = h.subscribe(framework_id, caller=other)
        assert h.errors(refused) == ["Changing framework's principal is not allowed."]
    again = h.subscribe(framework_id, caller=proved("framework/a"))
    assert h.framework_id(again) == framework_id and not h.errors(again)


def test_what_had_no_principal_is_taken_over_once() -> None:
    h = MasterHarness()
    framework_id = h.framework_id(h.subscribe())
    h.subscribe(framework_id, caller=proved("framework/a"))
    assert h.core.state.frameworks[framework_id].info.principal == "framework/a"
    refused = h.subscribe(framework_id, caller=proved("framework/b"))
    assert h.errors(refused) == ["Changing framework's principal is not allowed."]


def test_an_agents_id_belongs_to_its_principal() -> None:
    h = MasterHarness()
    first = h.agent(caller=proved("agent/a"))
    agent_id = h.agent_id(first)
    for other in (proved("agent/b"), NOBODY):
        stranger = h.agent(agent_id=agent_id, caller=other)
        assert [m.refused.message for m in h.agent_inbox[stranger]] == [
            f"agent {agent_id} belongs to agent/a"
        ]
        assert stranger in h.closed
    assert first not in h.closed, "the agent itself does not notice"
    again = h.agent(agent_id=agent_id, caller=proved("agent/a"))
    assert h.agent_id(again) == agent_id


def test_a_principal_survives_a_failover() -> None:
    h = MasterHarness()
    agent_id = h.agent_id(h.agent(caller=proved("agent/a")))
    framework_id = h.framework_id(h.subscribe(caller=proved("framework/a")))
    later = MasterHarness(registry=h.registry)
    refused = later.subscribe(framework_id, caller=proved("framework/b"))
    assert later.errors(refused)
    stranger = later.agent(agent_id=agent_id, caller=proved("agent/b"))
    assert later.agent_inbox[stranger][0].refused.message == f"agent {agent_id} belongs to agent/a"


def test_nobody_says_the_principal_of_another() -> None:
    """What a peer writes into its info is replaced by what its certificate says."""
    h = MasterHarness()
    agent_id = h.agent_id(h.agent(caller=proved("agent/a")))
    assert h.core.state.agents[agent_id].info.principal == "agent/a"
