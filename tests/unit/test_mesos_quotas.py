"""Quotas and weights by Mesos' operators' API: set, shown, and refused in the words of Mesos."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_testing.mesos_operating import (
    cluster,
    refused,
)

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
