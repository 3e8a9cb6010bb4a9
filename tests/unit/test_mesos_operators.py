"""Mesos' operators' API: what is read, what is changed, and who may."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import events as ev
from pymesos_master.mesos.operators.reading import MOST_KEPT, MOST_KEPT_BYTES, Together
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import task
from pymesos_testing.mesos_operating import (
    FRAMEWORK,
    JSON,
    Cluster,
    cluster,
    refused,
)

SECOND = {"nanoseconds": 10**9}


# What is read.


async def test_agents_are_shown_with_what_is_held_by_role() -> None:
    made, agent_id, _ = cluster()
    shown = await made.get("GET_AGENTS")
    (agent,) = shown["agents"]
    assert shown["recovered_agents"] == []
    assert agent["agent_info"]["id"]["value"] == agent_id
    assert (agent["active"], agent["deactivated"]) == (True, False)
    assert agent["pid"] == "slave(1)@127.0.0.1:5051"
    held = {one["name"]: one for one in agent["allocated_resources"]}
    assert held["cpus"]["scalar"]["value"] == 1.0
    assert held["cpus"]["allocation_info"]["role"] == "dev/a" and held["cpus"]["role"] == "*"
    assert "role" not in agent["agent_info"]["resources"][0]


async def test_where_an_agent_serves_mesos_is_told() -> None:
    made = Cluster()
    made.harness.agent("cpus:4", port=5051, mesos_port=5053)
    (agent,) = (await made.get("GET_AGENTS"))["agents"]
    assert (agent["pid"], agent["agent_info"]["port"]) == ("slave(1)@127.0.0.1:5053", 5053)
    (slave,) = (await made.older("slaves"))["slaves"]
    assert (slave["pid"], slave["port"]) == (agent["pid"], 5053)


async def test_tasks_frameworks_and_roles_are_shown() -> None:
    made, agent_id, framework_id = cluster()
    tasks = await made.get("GET_TASKS")
    (task,) = tasks["tasks"]
    assert (task["task_id"]["value"], task["state"]) == ("t", "TASK_RUNNING")
    assert task["agent_id"]["value"] == agent_id
    assert tasks["completed_tasks"] == tasks["unreachable_tasks"] == []
    (framework,) = (await made.get("GET_FRAMEWORKS"))["frameworks"]
    assert framework["framework_info"]["id"]["value"] == framework_id
    assert framework["framework_info"]["roles"] == ["dev/a"]
    assert framework["offer_constraints"] == {} and framework["connected"]
    names = [role["name"] for role in (await made.get("GET_ROLES"))["roles"]]
    assert names == ["dev", "dev/a"], "also what is above"


async def test_executors_are_shown_with_what_they_hold() -> None:
    made = Cluster()
    h = made.harness
    agent = h.agent(capabilities=(pb.EXECUTOR_RESOURCES,))
    framework = h.subscribe(roles=["dev"])
    framework_id, agent_id = h.framework_id(framework), h.agent_id(agent)
    (offer,) = h.offers(framework)
    info = task(offer, "t")
    info.ClearField("command")
    info.executor.CopyFrom(
        pb.ExecutorInfo(executor_id="x", command=pb.CommandInfo(shell=True, value="run"))
    )
    info.executor.resources.add(name="cpus", scalar=0.5)
    pod = [task(offer, name) for name in ("a", "b")]
    for one in pod:
        one.group_executor_id = "pod"
    launches = (
        scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=[info])),
        scheduler_pb.Operation(launch_group=scheduler_pb.Operation.LaunchGroup(task_infos=pod)),
    )
    accept = scheduler_pb.Call.Accept(offer_ids=[offer.offer_id], operations=launches)
    h.call(framework, accept=accept)
    shown = (await made.get("GET_EXECUTORS"))["executors"]
    by_id = {one["executor_info"]["executor_id"]["value"]: one for one in shown}
    assert len(shown) == 2 and by_id["x"]["agent_id"]["value"] == agent_id
    assert by_id["pod"]["executor_info"]["type"] == "DEFAULT"
    own = by_id["x"]["executor_info"]
    assert (own["type"], own["command"]["value"]) == ("CUSTOM", "run")
    assert own["resources"][0]["scalar"] == {"value": 0.5}
    tasks = (await made.get("GET_TASKS"))["tasks"]
    assert sorted(one["executor_id"]["value"] for one in tasks) == ["pod", "pod", "x"]
    (older,) = (await made.older("state"))["frameworks"]
    assert sorted(one["executor_id"] for one in older["executors"]) == ["pod", "x"]
    assert older["used_resources"]["cpus"] == 3.5
    assert (await made.get("GET_STATE"))["get_executors"]["executors"] == shown
    for task_id in ("t", "a", "b"):
        h.update(agent, framework_id, task_id, pb.TASK_FINISHED, task_id.encode())
        said = scheduler_pb.Call.Acknowledge(
            agent_id=agent_id, task_id=task_id, uuid=task_id.encode()
        )
        h.call(framework, acknowledge=said)
    (idle,) = (await made.get("GET_EXECUTORS"))["executors"]
    assert idle["executor_info"]["resources"][0]["scalar"] == {"value": 0.5}
    (older,) = (await made.older("state"))["frameworks"]
    assert older["used_resources"]["cpus"] == 0.5
    assert [one["role"] for one in older["executors"]] == ["dev"]


async def test_both_encodings_say_the_same() -> None:
    made, agent_id, _ = cluster()
    done = await made.ask("GET_STATE", to="application/x-protobuf")
    assert done.content_type == "application/x-protobuf"
    state = mesos_master.Response.FromString(done.body).get_state
    assert state.get_agents.agents[0].agent_info.id.value == agent_id
    (task,) = (await made.get("GET_STATE"))["get_tasks"]["tasks"]
    assert task["task_id"]["value"] == state.get_tasks.tasks[0].task_id.value == "t"


async def test_what_is_empty_is_written_as_mesos_does() -> None:
    made = Cluster()
    assert (await made.ask("GET_WEIGHTS")).body == b'{"type":"GET_WEIGHTS"}'
    assert await made.get("GET_QUOTA") == {"status": {}}
    assert await made.get("GET_MAINTENANCE_SCHEDULE") == {"schedule": {}}
    assert await made.get("GET_EXECUTORS") == {"executors": []}
    assert await made.get("GET_OPERATIONS") == {}


async def test_a_framework_that_is_not_aware_of_partitions_has_lost_its_task() -> None:
    made = Cluster()
    h = made.harness
    agent = h.agent()
    framework = h.subscribe(capabilities=())
    h.run(framework)
    h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
    for _ in range(10):
        h.advance(20)
    (task,) = (await made.get("GET_TASKS"))["unreachable_tasks"]
    assert task["state"] == "TASK_LOST"


@pytest.mark.parametrize(
    ("body", "headers", "status", "text"),
    [
        (b"{}", {}, 400, "Expecting 'Content-Type' to be present"),
        (b"{}", JSON, 400, "Failed to validate master::Call: Expecting 'type' to be present"),
        (
            b'{"type":"GET_METRICS"}',
            JSON,
            400,
            "Failed to validate master::Call: Expecting 'get_metrics' to be present",
        ),
        (
            b'{"type":"GET_HEALTH"}',
            JSON | {"Accept": "text/html"},
            406,
            "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
        ),
    ],
)
def test_calls_are_checked_in_the_words_of_mesos(
    body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    with pytest.raises(RefusalError) as error:
        Cluster().operators.read(headers, body)
    assert (error.value.status, error.value.text) == (status, text)


async def test_metrics_have_mesos_names() -> None:
    made, _, _ = cluster()
    shown = {
        one["name"]: one["value"]
        for one in (await made.get("GET_METRICS", timeout=SECOND))["metrics"]
    }
    assert shown["master/cpus_total"] == 4.0 and shown["master/cpus_used"] == 1.0
    assert shown["master/tasks_running"] == 1.0 and shown["master/elected"] == 1.0
    assert shown["master/slaves_active"] == 1.0 and shown["master/frameworks_connected"] == 1.0
    assert (await made.older("metrics/snapshot")).keys() == shown.keys()


async def test_metrics_count_what_their_caller_may_read() -> None:
    made, _, _ = cluster()
    lines = "".join(
        f"- {{who: operator/{who}, do: [read], role: {role}}}\n"
        for who, role in (("dev", "dev/a"), ("ops", "ops"))
    )
    root = "- {who: operator/root, do: ['*'], role: '**'}\n"
    policy = read_policy(f"allow:\n{root}{lines}")
    made.feed(ev.OperatorSetPolicy(9, policy, 0, Caller("operator/root", Method.CERT)))
    assert made.harness.problems[9] is None
    for who, tasks in (("dev", 1.0), ("ops", 0.0)):
        caller = Caller(f"operator/{who}", Method.CERT)
        older = await made.older("metrics/snapshot", caller=caller)
        assert older["master/tasks_running"] == older["master/frameworks_connected"] == tasks
        told = (await made.get("GET_METRICS", timeout=SECOND, caller=caller))["metrics"]
        assert {"name": "master/tasks_running", "value": tasks} in told


async def test_agents_are_shown_without_what_is_reserved_for_others() -> None:
    made, _, _ = cluster()
    made.harness.agent("cpus:1;cpus(dev/a):2;cpus(ops):3;mem:100", agent_id="b", port=5052)
    rules = "- {who: operator/dev, do: [read], role: dev/a}\n"
    root = "- {who: operator/root, do: ['*'], role: '**'}\n"
    policy = read_policy(f"allow:\n{root}{rules}")
    made.feed(ev.OperatorSetPolicy(9, policy, 0, Caller("operator/root", Method.CERT)))
    assert made.harness.problems[9] is None
    for who, seen in (("dev", {"dev/a"}), ("root", {"dev/a", "ops"})):
        caller = Caller(f"operator/{who}", Method.CERT)
        (shown,) = [
            one
            for one in (await made.get("GET_AGENTS", caller=caller))["agents"]
            if one["agent_info"]["id"]["value"] == "b"
        ]
        resources = [one for one in shown["agent_info"]["resources"] if one["name"] == "cpus"]
        of_roles = {r["role"] for one in resources for r in one.get("reservations", ())}
        assert of_roles == seen and len(resources) == len(seen) + 1
        totals = {one["role"] for one in shown["total_resources"] if one["name"] == "cpus"}
        assert totals == {"*", *seen}


async def test_who_may_not_read_or_change_is_refused() -> None:
    """The policy of a new cluster lets frameworks do neither."""
    made, agent_id, framework_id = cluster()
    assert (await refused(made.ask("GET_STATE", caller=FRAMEWORK)))[0] == 403
    assert (await refused(made.older("state", caller=FRAMEWORK)))[0] == 403
    for path in ("metrics/snapshot", "system/stats.json", "logging/toggle"):
        assert (await refused(made.older(path, caller=FRAMEWORK)))[0] == 403, path
    for who, known_by in (
        (FRAMEWORK, "by your credentials"),
        (replace(FRAMEWORK, method=Method.ADDRESS), "by the address that you ask from"),
    ):
        _, said = await refused(made.older("state", caller=who))
        assert "framework/f may not read in any role" in said and known_by in said
        assert "'Authorization: Bearer TOKEN': `pymesos-cli token make` prints" in said
    _, said = await refused(made.older("state", caller=replace(FRAMEWORK, method=Method.CERT)))
    assert "Bearer" not in said
    teardown = made.ask("TEARDOWN", FRAMEWORK, framework_id={"value": framework_id})
    assert (await refused(teardown))[0] == 403
    drain = made.ask("DRAIN_AGENT", FRAMEWORK, agent_id={"value": agent_id})
    assert (await refused(drain))[0] == 403
    assert json.loads((await made.ask("GET_HEALTH", FRAMEWORK)).body)["get_health"]["healthy"]


async def test_one_answer_is_made_for_all_who_ask_meanwhile() -> None:
    together, made, gate = Together(), 0, asyncio.Event()

    async def make() -> int:
        nonlocal made
        made += 1
        await gate.wait()
        return made

    async with asyncio.TaskGroup() as group:
        first = group.create_task(together.answer("state", make))
        await asyncio.sleep(0)
        others = [group.create_task(together.answer("state", make)) for _ in range(5)]
        await asyncio.sleep(0)
        gate.set()
    assert await first == 1, "it was begun before the others asked"
    assert {await one for one in others} == {2}
    assert await together.answer("state", make) == 3, "nothing is kept"


async def test_small_answers_are_kept_while_nothing_changes() -> None:
    made: list[str] = []
    at = [1]

    async def ask(what: str, text: str = "x", *, changes: bool = False) -> str:
        async def make() -> str:
            made.append(what)
            if changes:
                at[0] += 1
            return text

        return await together.answer(what, make, lambda: at[0])

    together = Together(len)
    assert [await ask("state"), await ask("state", "y")] == ["x", "x"]
    at[0] = 2
    assert await ask("state", "y") == "y"
    await ask("tasks", changes=True)
    await ask("tasks")
    assert made == ["state", "state", "tasks", "tasks"], "it is of no one revision"
    made.clear()
    for _ in range(2):
        await ask("large", "x" * (MOST_KEPT_BYTES + 1))
    assert made == ["large", "large"]
    for number in range(MOST_KEPT + 1):
        await ask(f"{number}")
    made.clear()
    await ask("0")
    await ask(f"{MOST_KEPT}")
    assert made == ["0"], "the oldest was forgotten"


async def test_no_files_of_a_master_are_served() -> None:
    made = Cluster()
    assert await made.older("files/debug") == {}
    assert await refused(made.older("files/read")) == (400, "Expecting 'path=value' in query.\n")
    assert await refused(made.older("files/browse", path="/etc")) == (404, "")
    assert await refused(made.older("files/download", path="/etc")) == (404, "404 Not Found.")
    assert await refused(made.ask("LIST_FILES", path="/master/log")) == (404, "")
    assert await refused(made.ask("READ_FILE", path="/etc/passwd", offset=0)) == (404, "")
