"""Agents are drained and maintained by Mesos' operators' API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pymesos_core.mesos.json_messages import ConversionError, from_json
from pymesos_master.core import events as ev
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_testing.mesos_operating import (
    cluster,
    refused,
)


async def test_agents_are_deactivated_drained_and_given_up() -> None:
    made, agent_id, _ = cluster()
    named = {"value": agent_id}
    await made.ask("DEACTIVATE_AGENT", agent_id=named)
    (agent,) = (await made.get("GET_AGENTS"))["agents"]
    assert (agent["active"], agent["deactivated"]) == (False, True)
    await made.ask("REACTIVATE_AGENT", agent_id=named)
    assert (await made.get("GET_AGENTS"))["agents"][0]["active"]
    period = {"seconds": 60}
    await made.ask("DRAIN_AGENT", agent_id=named, max_grace_period=period, mark_gone=True)
    (agent,) = (await made.get("GET_AGENTS"))["agents"]
    assert agent["drain_info"]["state"] == "DRAINING"
    assert agent["drain_info"]["config"]["mark_gone"]
    (slave,) = (await made.older("slaves"))["slaves"]
    assert slave["drain_info"] == agent["drain_info"]
    await made.ask("MARK_AGENT_GONE", agent_id=named)
    assert (await made.get("GET_AGENTS"))["agents"] == []
    nobody = {"value": "nobody"}
    for kind, status, text in (
        ("MARK_AGENT_GONE", 404, "Agent 'nobody' not found"),
        ("DRAIN_AGENT", 400, "Unknown agent"),
        ("DEACTIVATE_AGENT", 400, "Unknown agent"),
        ("REACTIVATE_AGENT", 400, "Agent is not deactivated"),
    ):
        assert await refused(made.ask(kind, agent_id=nobody)) == (status, text)


async def test_an_agent_that_is_gone_is_unknown() -> None:
    made, agent_id, _ = cluster()
    named = {"value": agent_id}
    await made.ask("MARK_AGENT_GONE", agent_id=named)
    for kind in ("DRAIN_AGENT", "DEACTIVATE_AGENT"):
        assert await refused(made.ask(kind, agent_id=named)) == (400, "Unknown agent")
    assert (await made.ask("MARK_AGENT_GONE", agent_id=named)).status == 200


async def test_an_agent_that_is_to_be_maintained_is_not_drained() -> None:
    made, agent_id, _ = cluster()
    window = {
        "machine_ids": [{"hostname": "h", "ip": "127.0.0.1"}],
        "unavailability": {"start": {"nanoseconds": 10**18}},
    }
    await made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": [window]})
    drained = made.ask("DRAIN_AGENT", agent_id={"value": agent_id})
    assert await refused(drained) == (
        400,
        f"Agent {agent_id} is part of a maintenance schedule under Machine h (127.0.0.1)",
    )
    await made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": []})
    assert (await made.ask("DRAIN_AGENT", agent_id={"value": agent_id})).status == 200


async def test_an_agent_is_reactivated_once_it_is_drained() -> None:
    made, agent_id, _ = cluster()
    named = {"value": agent_id}
    early = made.ask("REACTIVATE_AGENT", agent_id=named)
    assert await refused(early) == (400, "Agent is not deactivated")
    await made.ask("DRAIN_AGENT", agent_id=named)
    early = made.ask("REACTIVATE_AGENT", agent_id=named)
    assert await refused(early) == (400, "Agent is still in the DRAINING state")


async def test_a_framework_is_torn_down() -> None:
    made, _, framework_id = cluster()
    unknown = made.ask("TEARDOWN", framework_id={"value": "x"})
    assert await refused(unknown) == (400, "No framework found with specified ID")
    body = f"frameworkId={framework_id}".encode()
    assert await made.older("teardown", "POST", body) == 200
    shown = await made.get("GET_FRAMEWORKS")
    assert shown["frameworks"] == []
    (ended,) = shown["completed_frameworks"]
    assert ended["framework_info"]["id"]["value"] == framework_id


MACHINE = {"hostname": "h", "ip": "127.0.0.1"}


SAID = f"Machine '{json.dumps(MACHINE, separators=(',', ':'))}'"


WINDOW = {"start": {"nanoseconds": 2_000_000_000 * 10**9}, "duration": {"nanoseconds": 10**9}}


async def test_maintenance_from_the_schedule_to_its_end() -> None:
    made, agent_id, _ = cluster()
    schedule = {"windows": [{"machine_ids": [MACHINE], "unavailability": WINDOW}]}
    await made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule=schedule)
    assert (await made.get("GET_MAINTENANCE_SCHEDULE"))["schedule"] == schedule
    assert await made.older("maintenance/schedule") == schedule
    status = await made.older("maintenance/status")
    assert [one["id"] for one in status["draining_machines"]] == [MACHINE]
    assert await made.older("machine/down", "POST", [MACHINE]) == 200
    assert await made.older("maintenance/status") == {"down_machines": [MACHINE]}
    assert (await made.get("GET_AGENTS"))["agents"] == []
    said = SAID
    empty = made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": []})
    problem = f"{said} is deactivated and cannot be removed from the schedule"
    assert await refused(empty) == (400, problem)
    again = made.ask("START_MAINTENANCE", machines=[MACHINE])
    problem = f"{said} is not in DRAINING mode and cannot be brought down"
    assert await refused(again) == (400, problem)
    assert await made.older("machine/up", "POST", [MACHINE]) == 200
    assert await made.older("maintenance/status") == {}
    made.harness.agent(agent_id=agent_id)
    assert (await made.get("GET_AGENTS"))["agents"][0]["active"]


async def test_a_machine_that_is_drained_is_not_down_yet() -> None:
    made, agent_id, _ = cluster()
    schedule = {"windows": [{"machine_ids": [MACHINE], "unavailability": WINDOW}]}
    await made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule=schedule)
    made.feed(ev.OperatorDrainedAgents(1000, (agent_id,), 60.0))
    status = await made.older("maintenance/status")
    assert [one["id"] for one in status["draining_machines"]] == [MACHINE]
    early = made.ask("STOP_MAINTENANCE", machines=[MACHINE])
    problem = f"{SAID} is not in DOWN mode and cannot be brought up"
    assert await refused(early) == (400, problem)
    await made.ask("START_MAINTENANCE", machines=[MACHINE])
    assert await made.older("maintenance/status") == {"down_machines": [MACHINE]}


@pytest.mark.parametrize(
    ("windows", "text"),
    [
        ([{"machine_ids": []}], "List of machines in the maintenance window is empty"),
        ([{"machine_ids": [{}]}], "Both 'hostname' and 'ip' for a machine are empty"),
        (
            [{"machine_ids": [MACHINE]}, {"machine_ids": [MACHINE]}],
            f"{SAID} appears more than once in the schedule",
        ),
        (
            [{"machine_ids": [{"hostname": "x"}]}],
            'Machine \'{"hostname":"x"}\' has no agent here: windows are of agents that are known',
        ),
    ],
)
async def test_a_schedule_that_cannot_be_changes_nothing(windows: list[Any], text: str) -> None:
    made, _, _ = cluster()
    whole = [one | {"unavailability": WINDOW} for one in windows]
    asked = made.ask("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": whole})
    assert await refused(asked) == (400, text)
    assert (await made.get("GET_MAINTENANCE_SCHEDULE")) == {"schedule": {}}


def test_a_drain_may_be_asked_for_in_the_json_of_mesos() -> None:
    said: dict[str, Any] = {
        "type": "DRAIN_AGENT",
        "drain_agent": {"agent_id": {"value": "a"}, "mark_gone": True},
    }
    call = from_json(said, mesos_master.Call)
    assert call.drain_agent.mark_gone and call.drain_agent.agent_id.value == "a"
    said["drain_agent"]["max_grace_period"] = "1.5mins"
    period = from_json(said, mesos_master.Call).drain_agent.max_grace_period
    assert (period.seconds, period.nanos) == (90, 0)
    said["drain_agent"]["max_grace_period"] = "soon"
    with pytest.raises(ConversionError, match="max_grace_period"):
        from_json(said, mesos_master.Call)
