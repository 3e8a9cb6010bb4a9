"""Mesos' operators' API: what is read, what is changed, and who may."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.mesos import verbosity
from pymesos_core.mesos.http import query_of
from pymesos_core.mesos.json_messages import ConversionError, from_json
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.verbosity import Verbosity
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.audit import Entry
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError
from pymesos_master.commands import Commands
from pymesos_master.core import events as ev
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.flags import flags_of
from pymesos_master.mesos.operators import (
    api,
    changing,
    converting,
    endpoints,
    watching,
)
from pymesos_master.mesos.operators.api import Done, Operators
from pymesos_master.mesos.operators.endpoints import METHODS, Endpoints, Request
from pymesos_master.mesos.operators.gathering import Gathering
from pymesos_master.mesos.operators.reading import MOST_KEPT, MOST_KEPT_BYTES, Together
from pymesos_master.queries import Queries
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_master.watching import Watching
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

AT = HostPort("10.0.0.1", 5055)
ME = MasterInfo("me", HostPort("10.0.0.1", 5050), "h", mesos=AT)
NOBODY = Caller(peer="ipv4:127.0.0.1", via="mesos")
FRAMEWORK = Caller("framework/f", Method.BASIC, peer="ipv4:1.2.3.4", via="mesos")
SECOND = {"nanoseconds": 10**9}
JSON = {"Content-Type": "application/json"}


class Stub(SimpleNamespace):
    """A leader, of which anything may have changed at any time."""

    revisions: Iterator[int]

    @property
    def revision(self) -> int:
        return next(self.revisions)


class Cluster:
    """A leader on a harness, with its operators' endpoints."""

    def __init__(self) -> None:
        self.harness = h = MasterHarness()
        self.watching = Watching(1, h.core.state, h.core.watch, lambda: h.now_s)
        numbers = itertools.count(1)

        async def ask(make_event: Callable[[int], ev.Event]) -> Problem | None:
            number = next(numbers)
            self.feed(make_event(number))
            return h.problems[number]

        self.leader = cast(
            Leader,
            Stub(
                revisions=itertools.count(),
                core=h.core,
                queries=Queries(h.core, lambda: h.now),
                commands=Commands(ask),
                watching=self.watching,
            ),
        )
        leadership = Leadership(ME, leader=self.leader)
        gathering = Gathering(leadership, Here("me", AT, "h"), {"offer_timeout": "30secs"})
        self.operators = Operators(gathering, Together())
        self.endpoints = Endpoints(gathering, Together())
        self.streams = watching.Streams(gathering)

    def feed(self, event: ev.Event) -> None:
        self.harness.feed(event)
        self.publish()

    def publish(self) -> None:
        for effect in self.harness.published:
            self.watching.publish(effect)
        self.harness.published.clear()

    async def ask(
        self, kind: str, caller: Caller = NOBODY, to: str = "application/json", **said: Any
    ) -> Done:
        body = json.dumps({"type": kind} | ({kind.lower(): said} if said else {})).encode()
        call, media = self.operators.read(JSON | {"Accept": to}, body)
        return await self.operators.answer(self.leader, call, media, caller)

    async def get(self, kind: str, **said: Any) -> Any:
        answer = json.loads((await self.ask(kind, **said)).body)
        assert answer["type"] == kind
        return answer.get(kind.lower())

    async def older(
        self,
        path: str,
        /,
        method: str = "GET",
        body: Any = b"",
        caller: Caller = NOBODY,
        **query: str,
    ) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = Request(method, tuple(path.strip("/").split("/")), query, data, caller)
        done = await self.endpoints.here(asked)
        done = done or await self.endpoints.answer(self.leader, asked)
        return json.loads(done.body) if done.body else done.status


def cluster() -> tuple[Cluster, str, str]:
    """An agent, and a framework with a task that runs: their ids."""
    made = Cluster()
    h = made.harness
    agent = h.agent("cpus:4;mem:4096;ports:[31000-31099]", port=5051)
    framework = h.subscribe(
        roles=["dev/a"], capabilities=(pb.PARTITION_AWARE, pb.MULTI_ROLE), user="root"
    )
    h.run(framework)
    h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
    made.publish()
    return made, h.agent_id(agent), h.framework_id(framework)


async def refused(asked: Any) -> tuple[int, str]:
    with pytest.raises(RefusalError) as error:
        await asked
    return error.value.status, error.value.text


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


# What is changed.


async def test_quotas_and_weights_are_set_and_shown() -> None:
    made, _, _ = cluster()
    config = {
        "role": "dev",
        "guarantees": {"cpus": {"value": 1.0}},
        "limits": {"cpus": {"value": 2.0}},
    }
    assert (await made.ask("UPDATE_QUOTA", quota_configs=[config])).status == 200
    shown = (await made.get("GET_QUOTA"))["status"]
    assert shown["configs"] == [config]
    again = made.ask("SET_QUOTA", quota_request={"role": "dev", "guarantee": [cpus(1)]})
    assert await refused(again) == (
        400,
        "Failed to validate set quota request: Cannot set quota for role 'dev' which already has"
        " quota",
    )
    await made.ask("REMOVE_QUOTA", role="dev")
    assert (await made.get("GET_QUOTA"))["status"] == {}
    status, _ = await refused(made.ask("REMOVE_QUOTA", role="dev"))
    assert status == 400, "where Mesos ends"
    await made.ask("UPDATE_WEIGHTS", weight_infos=[{"role": "dev/a", "weight": 3.0}])
    assert (await made.get("GET_WEIGHTS"))["weight_infos"] == [{"weight": 3.0, "role": "dev/a"}]
    assert await made.older("weights") == [{"weight": 3.0, "role": "dev/a"}]


def cpus(value: float, **said: Any) -> dict[str, Any]:
    return {"name": "cpus", "type": "SCALAR", "scalar": {"value": value}} | said


CONFIG, REQUEST = "Invalid QuotaConfig: ", "Failed to validate set quota request: "


@pytest.mark.parametrize(
    ("kind", "said", "status", "text"),
    [
        (
            "UPDATE_QUOTA",
            {"role": "/a"},
            400,
            f"{CONFIG}Invalid 'QuotaConfig.role': Role '/a' cannot start with a slash",
        ),
        (
            "UPDATE_QUOTA",
            {"role": "a", "limits": {"cpus": {"value": -1.5}}},
            400,
            f"{CONFIG}Invalid limit configuration {{'cpus': -1.5}}: Negative values not supported",
        ),
        (
            "UPDATE_QUOTA",
            {"role": "a", "guarantees": {"mem": {"value": 2e12}}},
            400,
            f"{CONFIG}Invalid 'QuotaConfig.guarantees': {{'mem': 2000000000000}} is invalid: values"
            " greater than 1 exabyte (1099511627776) are not supported",
        ),
        (
            "UPDATE_QUOTA",
            {"role": "a", "guarantees": {"cpus": {"value": 99}}},
            400,
            f"{CONFIG}total quota guarantees 'cpus:99' exceed cluster capacity 'cpus:4; mem:4096'"
            " (use 'force' flag to bypass this check)",
        ),
        (
            "SET_QUOTA",
            {"role": "a", "guarantee": [cpus(99)]},
            409,
            "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total"
            " quota guarantees 'cpus:99' exceed cluster capacity 'cpus:4; mem:4096'",
        ),
        ("SET_QUOTA", {"role": "a"}, 400, f"{REQUEST}QuotaInfo with empty 'guarantee'"),
        (
            "SET_QUOTA",
            {"role": "", "guarantee": [cpus(1)]},
            400,
            f"{REQUEST}QuotaInfo with invalid role: Role names cannot be the empty string",
        ),
        (
            "SET_QUOTA",
            {"role": "a", "guarantee": [cpus(1), cpus(2)]},
            400,
            f"{REQUEST}QuotaInfo contains duplicate resource name 'cpus'",
        ),
        (
            "SET_QUOTA",
            {"role": "a", "guarantee": [cpus(-1)]},
            400,
            f"{REQUEST}QuotaInfo with invalid resource: Resource 'cpus:-1' is invalid: Invalid"
            " scalar resource: value <= 0",
        ),
        (
            "SET_QUOTA",
            {"role": "a", "guarantee": [cpus(1, revocable={})]},
            400,
            f"{REQUEST}QuotaInfo must not contain RevocableInfo",
        ),
    ],
)
async def test_quotas_are_refused_as_by_mesos(
    kind: str, said: dict[str, Any], status: int, text: str
) -> None:
    made, _, _ = cluster()
    asked = {"quota_configs": [said]} if kind == "UPDATE_QUOTA" else {"quota_request": said}
    assert await refused(made.ask(kind, **asked)) == (status, text)
    part = said | {"force": True} if kind == "SET_QUOTA" else said
    forced = {"quota_request": part} if kind == "SET_QUOTA" else asked | {"force": True}
    if "exceed" in text:
        assert (await made.ask(kind, **forced)).status == 200


async def test_weights_are_refused_as_by_mesos() -> None:
    made, _, _ = cluster()
    wrong = "Failed to validate update weights request JSON"
    for said, text in (
        ({"role": "a//b", "weight": 1}, ": Invalid role 'a//b': Role 'a//b' cannot contain two"),
        ({"role": "a", "weight": 0}, " for role 'a': Invalid weight '0': Weights must be positive"),
    ):
        status, told = await refused(made.ask("UPDATE_WEIGHTS", weight_infos=[said]))
        assert (status, told.startswith(wrong + text)) == (400, True), told
    assert await refused(made.older("quota/none", "DELETE")) == (
        400,
        "Failed to remove quota for path '/master/quota/none': Role 'none' has no quota set",
    )


@pytest.mark.parametrize(
    ("path", "method", "body", "text"),
    [
        (
            "weights",
            "PUT",
            b"x",
            "Failed to parse update weights request JSON ('x'): syntax error at line 1 near: x",
        ),
        (
            "weights",
            "PUT",
            b'{"a":1}',
            "Failed to parse update weights request JSON ('{\"a\":1}'): Unexpected JSON type",
        ),
        (
            "weights",
            "PUT",
            b'[{"role":"a"}]',
            'Failed to convert weights JSON array to protobuf (\'[{"role":"a"}]\'): Missing',
        ),
        ("quota", "POST", b"[", "Failed to parse set quota request JSON '[': syntax error"),
        (
            "quota",
            "POST",
            b'{"role":1}',
            "Failed to validate set quota request JSON '{\"role\":1}': ",
        ),
        (
            "quota",
            "DELETE",
            b"",
            "Failed to parse remove quota request for path '/master/quota': expected 3 tokens,"
            " found 2 tokens",
        ),
        ("machine/down", "POST", b"{}", "Unexpected JSON type parsed"),
        ("maintenance/schedule", "POST", b"x", "syntax error at line 1 near: x"),
        (
            "reserve",
            "POST",
            b"slaveId=x&resources={}",
            "Error in parsing 'resources' query parameter in the request body: Unexpected JSON",
        ),
    ],
)
async def test_older_endpoints_say_what_is_wrong_as_mesos(
    path: str, method: str, body: bytes, text: str
) -> None:
    made, _, _ = cluster()
    status, told = await refused(made.older(path, method, body))
    assert (status, told.startswith(text)) == (400, True), told


async def test_conversions_are_checked_as_calls_first() -> None:
    made, agent_id, _ = cluster()
    named = {"value": agent_id}
    asked = made.ask("RESERVE_RESOURCES", agent_id=named, resources=[cpus(-1)])
    wrong = "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"
    assert await refused(asked) == (400, f"Failed to validate master::Call: {wrong}")
    disk = cpus(1) | {"name": "disk"}
    asked = made.ask("GROW_VOLUME", volume=disk, addition=disk)
    status, told = await refused(asked)
    assert (status, "Expecting 'agent_id' to be present; only" in told) == (400, True)


async def test_several_quotas_or_weights_are_set_all_or_none() -> None:
    made, _, _ = cluster()

    def config(role: str, cpus: float) -> dict[str, Any]:
        return {"role": role, "guarantees": {"cpus": {"value": cpus}}}

    for wrong in (config("dev", 99.0), config("../x", 1.0), config("ops", 2.0)):
        configs = [config("ops", 1.0), config("prod", 1.0), wrong]
        assert (await refused(made.ask("UPDATE_QUOTA", quota_configs=configs)))[0] == 400, wrong
        assert (await made.get("GET_QUOTA"))["status"] == {}
    child_first = [config("ops/a", 1.0), config("ops", 1.0)]
    await made.ask("UPDATE_QUOTA", quota_configs=child_first)
    shown = (await made.get("GET_QUOTA"))["status"]["configs"]
    assert {one["role"] for one in shown} == {"ops", "ops/a"}
    for bad in ({"role": "b", "weight": -1.0}, {"role": "a", "weight": 3.0}):
        infos = [{"role": "a", "weight": 2.0}, bad]
        assert (await refused(made.ask("UPDATE_WEIGHTS", weight_infos=infos)))[0] == 400
        assert (await refused(made.older("weights", "PUT", infos)))[0] == 400
        assert (await made.ask("GET_WEIGHTS")).body == b'{"type":"GET_WEIGHTS"}'
    assert await made.older("weights", "PUT", [{"role": "a", "weight": 2.0}]) == 200
    assert await made.older("weights", "PUT", []) == 200


async def test_in_the_older_call_a_guarantee_is_the_limit_too() -> None:
    made, _, _ = cluster()
    cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}}
    assert await made.older("quota", "POST", {"role": "dev", "guarantee": [cpus]}) == 200
    (config,) = (await made.get("GET_QUOTA"))["status"]["configs"]
    assert config["limits"] == config["guarantees"] == {"cpus": {"value": 1.0}}
    assert await made.older("quota/dev", "DELETE") == 200


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


async def test_resources_are_reserved_and_given_back() -> None:
    made, agent_id, _ = cluster()
    reserved = {
        "name": "mem",
        "type": "SCALAR",
        "scalar": {"value": 64.0},
        "reservations": [{"type": "DYNAMIC", "role": "eng"}],
    }
    said: Any = {"agent_id": {"value": agent_id}, "resources": [reserved]}
    assert (await made.ask("RESERVE_RESOURCES", **said)).status == 202
    (slave,) = (await made.older("slaves"))["slaves"]
    assert slave["reserved_resources"]["eng"]["mem"] == 64.0
    assert (await made.ask("UNRESERVE_RESOURCES", **said)).status == 202
    assert (await made.older("slaves"))["slaves"][0]["reserved_resources"] == {}
    plain = {"name": "mem", "type": "SCALAR", "scalar": {"value": 1.0}}
    bare = made.ask("RESERVE_RESOURCES", agent_id={"value": agent_id}, resources=[plain])
    status, text = await refused(bare)
    assert (status, "it names no dynamic reservation" in text) == (400, True)
    assert text.startswith(f"Invalid RESERVE operation on agent {agent_id} at slave(1)@")
    for resources in ([], [reserved | {"scalar": {"value": 1e6}}]):
        status, text = await refused(
            made.ask("RESERVE_RESOURCES", **said | {"resources": resources})
        )
        assert status == (409 if resources else 400), text
    nobody = said | {"agent_id": {"value": "nobody"}}
    unknown = await refused(made.ask("UNRESERVE_RESOURCES", **nobody))
    assert unknown == (400, "No agent found with specified ID")


def disk(amount: float, persistence_id: str = "") -> dict[str, Any]:
    reserved: dict[str, Any] = {
        "name": "disk",
        "type": "SCALAR",
        "scalar": {"value": amount},
        "reservations": [{"type": "DYNAMIC", "role": "dev"}],
    }
    if persistence_id:
        volume = {"container_path": "data", "mode": "RW"}
        reserved["disk"] = {"persistence": {"id": persistence_id}, "volume": volume}
    return reserved


async def test_volumes_are_created_resized_and_destroyed() -> None:
    made = Cluster()
    agent = made.harness.agent("cpus:4;disk:1000", port=5051)
    agent_id = {"value": made.harness.agent_id(agent)}

    async def ask(kind: str, **said: Any) -> dict[str, float]:
        assert (await made.ask(kind, agent_id=agent_id, **said)).status == 202
        (shown,) = (await made.get("GET_AGENTS"))["agents"]
        out: dict[str, float] = {}
        for one in shown["total_resources"]:
            name = ((one.get("disk") or {}).get("persistence") or {}).get("id", one["role"])
            if one["name"] == "disk":
                out[name] = one["scalar"]["value"]
        return out

    assert await ask("RESERVE_RESOURCES", resources=[disk(300)]) == {"*": 700.0, "dev": 300.0}
    with_volume = {"*": 700.0, "dev": 200.0, "v": 100.0}
    assert await ask("CREATE_VOLUMES", volumes=[disk(100, "v")]) == with_volume
    again = made.ask("CREATE_VOLUMES", agent_id=agent_id, volumes=[disk(100, "v")])
    status, text = await refused(again)
    assert (status, "has a volume v on the agent already" in text) == (400, True)
    grown = await ask("GROW_VOLUME", volume=disk(100, "v"), addition=disk(50))
    assert grown == {"*": 700.0, "dev": 150.0, "v": 150.0}
    shrunk = await ask("SHRINK_VOLUME", volume=disk(150, "v"), subtract={"value": 50})
    assert shrunk == with_volume
    early = made.ask("UNRESERVE_RESOURCES", agent_id=agent_id, resources=[disk(100, "v")])
    assert (await refused(early))[0] == 400
    reserved = {"*": 700.0, "dev": 300.0}
    assert await ask("DESTROY_VOLUMES", volumes=[disk(100, "v")]) == reserved
    assert await ask("UNRESERVE_RESOURCES", resources=[disk(300)]) == {"*": 1000.0}


async def test_reservations_and_volumes_by_the_older_endpoints() -> None:
    made = Cluster()
    agent_id = made.harness.agent_id(made.harness.agent("cpus:4;disk:1000", port=5051))

    async def post(path: str, **form: Any) -> Any:
        said = {
            name: one if isinstance(one, str) else json.dumps(one) for name, one in form.items()
        }
        return await made.older(path, "POST", urlencode(said).encode())

    for path, field, named in (
        ("reserve", "resources", disk(100)),
        ("create-volumes", "volumes", disk(100, "v")),
        ("destroy-volumes", "volumes", disk(100, "v")),
        ("unreserve", "resources", disk(100)),
    ):
        assert await post(path, slaveId=agent_id, **{field: [named]}) == 202
        missing = "Missing '{}' query parameter in the request body"
        assert await refused(post(path, **{field: [named]})) == (400, missing.format("slaveId"))
        assert await refused(post(path, slaveId=agent_id)) == (400, missing.format(field))
        for wrong in ("{", "{}", "[1]"):
            status, text = await refused(post(path, slaveId=agent_id, **{field: wrong}))
            assert (status, f"Error in parsing '{field}'" in text) == (400, True)
        assert METHODS[(path,)] == ("POST",)


async def test_who_reserves_does_so_as_himself_and_where_he_may() -> None:
    made, agent_id, _ = cluster()
    rule = "- {who: operator/ops, do: [reserve, read], role: 'dev/a'}\n"
    root = "- {who: operator/root, do: ['*'], role: '**'}\n"
    policy = read_policy(f"allow:\n{root}{rule}")
    made.feed(ev.OperatorSetPolicy(9, policy, 0, Caller("operator/root", Method.CERT)))
    ops = Caller("operator/ops", Method.CERT)
    for role, principal, status in (("dev/a", "ops", 202), ("dev/a", "x", 400), ("dev", "", 403)):
        one = {"type": "DYNAMIC", "role": role, "principal": principal}
        mem = {"name": "mem", "type": "SCALAR", "scalar": {"value": 1.0}, "reservations": [one]}
        said: Any = {"agent_id": {"value": agent_id}, "resources": [mem]}
        asked = made.ask("RESERVE_RESOURCES", ops, **said)
        if status == 202:
            assert (await asked).status == status
        else:
            assert (await refused(asked))[0] == status


async def test_no_files_of_a_master_are_served() -> None:
    made = Cluster()
    assert await made.older("files/debug") == {}
    assert await refused(made.older("files/read")) == (400, "Expecting 'path=value' in query.\n")
    assert await refused(made.older("files/browse", path="/etc")) == (404, "")
    assert await refused(made.older("files/download", path="/etc")) == (404, "404 Not Found.")
    assert await refused(made.ask("LIST_FILES", path="/master/log")) == (404, "")
    assert await refused(made.ask("READ_FILE", path="/etc/passwd", offset=0)) == (404, "")


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


async def test_more_is_logged_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    root, ours = logging.getLogger(), logging.getLogger("pymesos_master")
    monkeypatch.setattr(root, "level", logging.WARNING)
    monkeypatch.setattr(ours, "level", logging.INFO)  # as `set_up_logging` leaves it
    wanted = Verbosity("pymesos_core", "pymesos_master")
    wanted.set(2, 0.01)
    assert (wanted.level, ours.level) == (2, logging.DEBUG)
    assert root.level == logging.WARNING, "of libraries nothing more is written"
    async with asyncio.timeout(10):
        while ours.level != logging.INFO:
            await asyncio.sleep(0.005)
    assert wanted.level == 0
    wanted.set(1, 100)
    wanted.set(0, 100)
    assert ours.level == logging.INFO
    for level, duration_s in ((4, 1.0), (1, 0.0), (1, verbosity.MOST_S + 1)):
        with pytest.raises(RefusalError):
            wanted.set(level, duration_s)


@pytest.mark.parametrize("problem", [None, Problem(ProblemKind.FULL, "the disk is full")])
async def test_more_is_logged_once_the_audit_tells_so(problem: Problem | None) -> None:
    made, _, _ = cluster()
    gathering = made.operators._gathering
    told: list[tuple[Any, int]] = []

    async def record(entry: Entry) -> Problem | None:
        told.append((json.loads(entry.line()), gathering.verbosity.level))
        return problem

    gathering.leadership.audit = cast(Any, SimpleNamespace(record=record))
    asked = made.ask("SET_LOGGING_LEVEL", level=2, duration={"nanoseconds": 10**9})
    if problem is None:
        assert (await asked).status == 200
        assert gathering.verbosity.level == 2
        gathering.verbosity.set(0, 1.0)
    else:
        assert await refused(asked) == (409, "the disk is full")
        assert gathering.verbosity.level == 0
    ((line, level),) = told
    assert (line["method"], line["verb"], line["decision"]) == (
        "SET_LOGGING_LEVEL",
        "policy",
        "allowed",
    )
    assert (line["object"], level) == ({"level": "2", "duration_s": "1"}, 0)
    wrong = made.ask("SET_LOGGING_LEVEL", level=9, duration={"nanoseconds": 10**9})
    assert (await refused(wrong))[0] == 400 and len(told) == 1


# The older endpoints.


async def test_state_and_its_parts() -> None:
    made, agent_id, framework_id = cluster()
    state = await made.older("state")
    assert (state["version"], state["activated_slaves"]) == ("1.12.0", 1)
    assert state["flags"] == {"offer_timeout": "30secs"}
    (framework,) = state["frameworks"]
    (task,) = framework["tasks"]
    assert (task["id"], task["slave_id"], task["resources"]["cpus"]) == ("t", agent_id, 1.0)
    (slave,) = state["slaves"]
    assert slave["used_resources"] == {"disk": 0.0, "mem": 32.0, "gpus": 0.0, "cpus": 1.0}
    assert slave["resources"]["ports"] == "[31000-31099]"
    summary = await made.older("state-summary")
    assert summary["slaves"][0]["TASK_RUNNING"] == summary["frameworks"][0]["TASK_RUNNING"] == 1
    assert summary["slaves"][0]["framework_ids"] == [framework_id]
    assert summary["frameworks"][0]["slave_ids"] == [agent_id]
    (role,) = [one for one in (await made.older("roles"))["roles"] if one["name"] == "dev"]
    assert role["quota"]["consumed"] == {"cpus": 1.0, "mem": 32.0}


async def test_what_is_revocable_consumes_no_quota() -> None:
    made = Cluster()
    h = made.harness
    agent = h.agent("cpus:4;mem:4096")
    slack = to_proto(parse("cpus{REV}:3;mem{REV}:1000"))
    h.feed(ev.AgentSlackTold(agent, agent_pb.AgentMessage.Slack(revocable=slack)))
    taker = h.subscribe(roles=["dev"], capabilities=(pb.REVOCABLE_RESOURCES,))
    (offer,) = (o for o in h.offers(taker) if any(r.revocable for r in o.resources))
    info = task(offer, "t")
    info.ClearField("resources")
    info.resources.extend(to_proto(parse("cpus{REV}:2;mem{REV}:100")))
    h.accept(taker, [offer.offer_id], info)
    h.feed(ev.OperatorReserved(1000, h.agent_id(agent), "dev", tuple(to_proto(parse("mem:64")))))
    (role,) = [one for one in (await made.older("roles"))["roles"] if one["name"] == "dev"]
    assert role["allocated"]["cpus"] == 2.0
    assert role["quota"]["consumed"] == {"mem": 64.0}


async def test_tasks_are_chosen_and_cut() -> None:
    made, _, _ = cluster()
    assert [t["id"] for t in (await made.older("tasks"))["tasks"]] == ["t"]
    query: Any
    for query in ({"task_id": "x"}, {"framework_id": "x"}, {"limit": "0"}, {"offset": "1"}):
        assert await made.older("tasks", **query) == {"tasks": []}, query
    assert len((await made.older("tasks", limit="abc", order="asc"))["tasks"]) == 1
    assert (await made.older("slaves", slave_id="x"))["slaves"] == []
    assert (await made.older("frameworks", framework_id="x"))["frameworks"] == []


async def test_jsonp_is_for_those_whom_a_page_cannot_be() -> None:
    made = Cluster()
    asked = Request("GET", ("tasks",), {"jsonp": "cb"}, b"", NOBODY)
    done = await made.endpoints.answer(made.leader, asked)
    assert (done.body, done.content_type) == (b'cb({"tasks":[]})', "text/javascript")
    problem = endpoints.jsonp_problem
    assert problem("cb", NOBODY, page_is_known=True) is None
    for method in Method:  # a browser shows by itself what is no token
        refused = problem("cb", replace(FRAMEWORK, method=method), page_is_known=False)
        assert (refused is None) is (method is Method.TOKEN), method
    assert problem("cb", NOBODY, page_is_known=False) is not None
    assert problem("alert(1)//", FRAMEWORK, page_is_known=True) is not None


def test_endpoints_have_the_methods_of_mesos() -> None:
    assert METHODS["machine", "down"] == ("POST",)
    assert METHODS["state",] == ("GET", "HEAD")
    assert METHODS["quota",] == ("GET", "HEAD", "POST", "DELETE")
    assert ("roles.json",) not in METHODS


def test_every_call_of_mesos_is_answered() -> None:
    """Each is read, watched, a change, a conversion or of files; UNKNOWN is none."""
    changes = set(re.findall(r"Call\.([A-Z_]+)", inspect.getsource(changing)))
    others = {"SUBSCRIBE", "SET_LOGGING_LEVEL", "LIST_FILES", "READ_FILE", "UNKNOWN"}
    conversions = set(map(mesos_master.Call.Type.Name, converting.OPERATIONS))
    reads = set(re.findall(r"Call\.(GET_[A-Z_]+)", inspect.getsource(api)))
    known = set(mesos_master.Call.Type.keys())
    assert changes | others | conversions | reads >= known


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(RefusalError):
        query_of("&".join(f"a{i}=1" for i in range(1000)))


def test_flags_are_told_as_mesos_writes_them() -> None:
    names = ("agent_ping_timeout_s", "agent_reregister_timeout_s", "zk_session_timeout_s")
    settings = dict.fromkeys(names, 15.0) | {"offer_timeout_s": 0.5, "zk": None, "ip": "::1"}
    rest = ("hostname", "max_agent_ping_timeouts", "max_completed_tasks", "mesos_port", "work_dir")
    told = flags_of(SimpleNamespace(**settings, **dict.fromkeys(rest)))
    assert told["offer_timeout"] == "0.5secs" and told["ip"] == "::1" and "zk" not in told


# The stream of events.


class Reader:
    """What a stream is read by."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.changed = asyncio.Event()

    async def begin(self) -> Callable[[Sequence[bytes]], Any]:
        return self.write

    async def write(self, records: Sequence[bytes]) -> None:
        for record in records:
            self.events.append(json.loads(record.partition(b"\n")[2]))
        self.changed.set()

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.events


async def test_a_stream_tells_what_there_is_and_what_becomes_of_it() -> None:
    made, agent_id, framework_id = cluster()
    h, reader = made.harness, Reader()
    serving = asyncio.create_task(made.streams.serve(made.leader, NOBODY, Media.JSON, reader.begin))
    first, beat = await reader.until(2)
    assert first["subscribed"]["get_state"]["get_tasks"]["tasks"][0]["state"] == "TASK_RUNNING"
    assert (first["type"], beat["type"]) == ("SUBSCRIBED", "HEARTBEAT")
    assert made.streams.of_one.total() == 1
    connection = next(iter(h.core.state.agents.values())).connection_id
    assert connection is not None
    h.update(connection, framework_id, "t", pb.TASK_FINISHED)
    h.agent(port=5052)
    made.publish()
    _, _, updated, added = await reader.until(4)
    assert updated["type"] == "TASK_UPDATED"
    assert updated["task_updated"]["state"] == "TASK_FINISHED"
    assert added["agent_added"]["agent"]["agent_info"]["port"] == 5052
    await made.ask("MARK_AGENT_GONE", agent_id={"value": agent_id})
    await made.ask("TEARDOWN", framework_id={"value": framework_id})
    told = [event["type"] for event in (await reader.until(7))[4:]]
    assert [kind for kind in told if kind != "TASK_UPDATED"] == [
        "AGENT_REMOVED",
        "FRAMEWORK_REMOVED",
    ]
    made.watching.close()
    with pytest.raises(CallError, match="leads no more"):
        await serving
    assert not made.streams.of_one


async def test_streams_are_few_and_not_for_who_may_not_read() -> None:
    made = Cluster()

    async def begin() -> Any:
        raise AssertionError("nothing begins")

    told = made.streams.serve(made.leader, FRAMEWORK, Media.JSON, begin)
    assert (await refused(told))[0] == 403
    made.streams.of_one[NOBODY.taker] = watching.MOST_STREAMS_OF_ONE
    told = made.streams.serve(made.leader, NOBODY, Media.JSON, begin)
    assert (await refused(told))[0] == 429
    made.streams.of_one[NOBODY.taker] = 0
    made.streams.of_one["others"] = watching.MOST_STREAMS
    told = made.streams.serve(made.leader, NOBODY, Media.JSON, begin)
    assert (await refused(told))[0] == 503


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
