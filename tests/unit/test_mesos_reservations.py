"""Reservations and volumes by Mesos' operators' API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import events as ev
from pymesos_master.mesos.operators.endpoints import METHODS
from pymesos_testing.mesos_operating import (
    Cluster,
    cluster,
    refused,
)


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
