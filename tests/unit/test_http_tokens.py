"""Access tokens by HTTP: on the master that leads, and on one that asks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pymesos_core.caller import Caller, Method
from pymesos_core.security.access_tokens import digest_of, new_access_token
from pymesos_core.security.rights import SCRAPE
from pymesos_master.core import events as ev
from pymesos_master.http import openapi
from pymesos_master.http.answering import Answer, Answering, Request
from pymesos_master.http.routes import ROUTES
from pymesos_master.services.access_tokens import NOT_GOOD
from pymesos_testing.http_cluster import (
    get,
    get_json,
    leadership_of,
    open_answering,
    post,
    post_json,
    values,
)
from pymesos_testing.http_masters import Cluster
from pymesos_testing.master_harness import MasterHarness

POLICY = """
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/bob, do: [read], role: eng}
"""
ALICE, BOB = ({"peer_uri": [who]} for who in (b"operator/alice", b"operator/bob"))
SCHEMAS = {"components": openapi.document(ROUTES)["components"]}


def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
    who = next(iter(authentication["peer_uri"])).decode()
    return Caller(who, Method.CERT, "1", peer, "grpc")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(gate, POLICY)


async def ask(
    answering: Answering, method: str, target: str, headers: Any, body: Any = None
) -> tuple[int, Any]:
    """As the server does: once it is known who asks, he is answered."""
    sent = json.dumps(body).encode() if body is not None else b""
    asked = {"content-type": "application/json", "content-length": str(len(sent)), **headers}
    request = Request(method, target, "any", "ipv4:10.0.0.9", has_body=bool(sent), headers=asked)
    admitted = answering.admit(request)
    if not isinstance(admitted, Answer) and admitted.token:
        assert admitted.taker == "ipv4:10.0.0.9", "it is charged to the address until then"
        admitted = await answering.identified(admitted)
    answer = admitted if isinstance(admitted, Answer) else await answering.answer(admitted, sent)
    return answer.status, json.loads(answer.body)


BOTH = pytest.mark.parametrize("where", ["leader", "follower"])


@BOTH
async def test_it_is_who_made_it(cluster: Cluster, where: str) -> None:
    headers, answering = (
        await cluster.make_token(ALICE, "read:eng", "quota:eng"),
        getattr(cluster, where),
    )
    status, me = await ask(answering, "GET", "/v1/whoami", headers)
    assert (status, me["principal"], me["certificate_ends_at"]) == (200, "operator/alice", None)
    assert me["access_token"]["rights"] == ["read:eng", "quota:eng"]
    status, said = await ask(answering, "GET", "/v1/tasks", headers)
    assert status == 200 and values(said["tasks"], "task_id") == ["t"]
    for path in ("/v1/leader", openapi.PATH):
        assert (await ask(answering, "GET", path, headers))[0] == 200
    weight = {"role": "eng", "weight": 2}
    assert (await ask(answering, "POST", "/v1/weights/set", headers, weight))[0] == 200
    entry = cluster.h.audited[-1]
    assert (entry.call, entry.caller.principal, entry.caller.via) == (
        "Operator.SetWeight", "operator/alice", "http",
    )  # fmt: skip
    line = json.loads(entry.line())
    assert (line["access_token"], line["via"]) == (me["access_token"]["id"], "http")
    assert line.get("relayed_by") == (None if where == "leader" else "master/m2")


@BOTH
async def test_it_may_no_more_than_its_rights(cluster: Cluster, where: str) -> None:
    headers, answering = await cluster.make_token(ALICE, "read:other/**"), getattr(cluster, where)
    assert (await ask(answering, "GET", "/v1/tasks", headers))[1]["tasks"] == []
    weight = {"role": "other/a", "weight": 2}
    status, said = await ask(answering, "POST", "/v1/weights/set", headers, weight)
    assert status == 403 and "may not set quotas in the role other/a" in said["error"]["message"]
    made = {"digest": "a" * 64, "lifetime_s": 60, "rights": ["*:**"]}
    status, said = await ask(answering, "POST", "/v1/access-tokens/make", headers, made)
    assert status == 403 and "none makes another" in said["error"]["message"]
    for path in ("/v1/policy", "/v1/audit", "/v1/join-tokens"):
        assert (await ask(answering, "GET", path, headers))[0] == 403, path


@BOTH
async def test_it_may_no_more_than_its_principal(cluster: Cluster, where: str) -> None:
    headers, answering = await cluster.make_token(BOB, "*:**"), getattr(cluster, where)
    assert (await ask(answering, "GET", "/v1/tasks", headers))[0] == 200
    status, said = await ask(
        answering, "POST", "/v1/weights/set", headers, {"role": "eng", "weight": 2}
    )
    assert status == 403 and "operator/bob may not set quotas" in said["error"]["message"]
    policy = {"document": POLICY.partition("- {who: operator/bob")[0], "instead_of": 1}
    await post_json(cluster.leader, "/v1/policy/set", policy, authentication=ALICE)
    assert (await ask(answering, "GET", "/v1/tasks", headers))[0] == 403


@BOTH
async def test_what_is_no_good_is_told_in_one_way(cluster: Cluster, where: str) -> None:
    answering = getattr(cluster, where)
    never = {"authorization": f"Bearer {new_access_token()}"}
    ended, revoked = (
        await cluster.make_token(ALICE, "read:**"),
        await cluster.make_token(ALICE, "read:**"),
    )
    tokens = await get_json(cluster.leader, "/v1/access-tokens", authentication=ALICE)
    Draft202012Validator({**ROUTE.schema, **SCHEMAS}).validate(tokens)
    assert (await ask(answering, "GET", "/v1/agents", revoked))[0] == 200
    named = {"id": digest_of(revoked["authorization"].partition(" ")[2]).hex()[:16]}
    assert named["id"] in values(tokens["access_tokens"], "id")
    done = await post_json(cluster.leader, "/v1/access-tokens/revoke", named, authentication=ALICE)
    assert done == {}
    junk = {"authorization": "Basic YWxpY2U6"}
    for headers in (never, revoked, junk):
        status, said = await ask(answering, "GET", "/v1/agents", headers)
        assert (status, said["error"]["message"]) == (401, NOT_GOOD)
    assert (await ask(answering, "GET", "/v1/agents", ended))[0] == 200
    cluster.h.advance(61)
    assert (await ask(answering, "GET", "/v1/agents", ended))[1]["error"]["message"] == NOT_GOOD
    bob = await cluster.make_token(BOB, "read:**")
    assert (await ask(answering, "GET", "/v1/agents", bob))[0] == 200
    cluster.h.feed(ev.OperatorRevoked(77, "operator/bob"))
    assert (await ask(answering, "GET", "/v1/agents", bob))[1]["error"]["message"] == NOT_GOOD


ROUTE = next(route for route in ROUTES if route.path == "/v1/access-tokens")


async def test_a_refusal_says_how_to_ask(cluster: Cluster) -> None:
    for headers in ({}, {"authorization": "Bearer x"}):
        request = Request("GET", "/v1/agents", "any", "ipv4:10.0.0.9", headers=headers)
        answer = cluster.leader.admit(request)
        assert isinstance(answer, Answer) and answer.status == 401
        assert answer.headers == {"WWW-Authenticate": 'Bearer realm="pymesos"'}


@BOTH
async def test_for_scraping_it_finds_what_runs_and_nothing_else(
    cluster: Cluster, where: str
) -> None:
    headers, answering = await cluster.make_token(ALICE, SCRAPE), getattr(cluster, where)
    assert (await ask(answering, "GET", "/v1/sd", headers))[0] == 200
    for route in ROUTES:
        if route.path in ("/v1/sd", "/health"):
            continue
        path = route.path.replace("{", "").replace("}", "")
        sent: dict[str, Any] | None = {} if route.method == "POST" else None
        query = "&".join(f"{one.name}=read" for one in route.parameters if one.required)
        target = f"{path}?{query}" if query else path
        status, said = await ask(answering, route.method, target, headers, sent)
        assert status == 403, path
        assert "is for scraping alone" in said["error"]["message"], path
    bob = await cluster.make_token(BOB, SCRAPE)
    cluster.h.feed(ev.OperatorRevoked(78, "operator/bob"))
    assert (await ask(answering, "GET", "/v1/sd", bob))[0] == 401


async def test_a_certificate_that_is_shown_too_adds_nothing(cluster: Cluster) -> None:
    headers = await cluster.make_token(ALICE, "read:other")
    said = await get_json(cluster.leader, "/v1/whoami", authentication=BOB, headers=headers)
    assert said["principal"] == "operator/alice"
    refused = await get(cluster.leader, "/v1/policy", authentication=ALICE, headers=headers)
    assert refused.status == 403


async def test_who_cannot_ask_the_leader_says_so(cluster: Cluster) -> None:
    headers = await cluster.make_token(ALICE, "read:**")
    cluster.down = True
    status, said = await ask(cluster.follower, "GET", "/v1/agents", headers)
    assert status == 503 and "the master that leads" in said["error"]["message"]
    cluster.leadership.leader = None
    cluster.leadership.known_leader = lambda: None
    status, said = await ask(cluster.leader, "GET", "/v1/agents", headers)
    assert status == 503 and "nobody does yet" in said["error"]["message"]


async def test_an_open_cluster_has_none() -> None:
    answering = open_answering(leadership_of(MasterHarness()))
    headers = {"authorization": f"Bearer {new_access_token()}"}
    refused = await get(answering, "/v1/agents", headers=headers)
    assert refused.status == 401 and b"this cluster has no certificates" in refused.body
    made = {"digest": "a" * 64, "lifetime_s": 60, "rights": ["read:**"]}
    refused = await post(answering, "/v1/access-tokens/make", made)
    assert refused.status == 403 and b"needs no access token" in refused.body
    assert await get_json(answering, "/v1/access-tokens") == {"access_tokens": []}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("digest", "a" * 63, "64 hexadecimal digits"),
        ("rights", [], "a list of 1 to 64"),
        ("rights", ["fly:**"], "no verb"),
        ("rights", ["read:" + "a" * 600], "at most 512"),
        ("lifetime_s", 365 * 86400 + 1, "a number of seconds from 0 to 31536000"),
        ("lifetime_s", 31 * 86400, "1 s to 30 days"),
        ("name", "a\u202eb", "nobody sees"),
    ],
)
async def test_what_cannot_be_made(cluster: Cluster, field: str, value: Any, words: str) -> None:
    made = {"digest": "a" * 64, "lifetime_s": 60, "rights": ["read:**"], field: value}
    refused = await post(cluster.leader, "/v1/access-tokens/make", made, authentication=ALICE)
    said = json.loads(refused.body)["error"]["message"]
    assert refused.status == 400 and words in said, said
