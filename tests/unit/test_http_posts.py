"""What is done by HTTP: each POST by the table of routes, its body, and whom it is taken from."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.security.joining import Invitation, read_invitation
from pymesos_core.transport import CallError
from pymesos_master.core import Config
from pymesos_master.core.secrets import key_of
from pymesos_master.http import openapi
from pymesos_master.http.answering import Answering
from pymesos_master.http.asking import read_body
from pymesos_master.http.routes import ROUTES
from pymesos_testing.http_cluster import (
    DIGEST,
    KEYRING,
    a_bit_of_everything,
    closed_answering,
    get,
    get_json,
    leadership_of,
    open_answering,
    post,
    post_json,
    values,
)
from pymesos_testing.http_posts import QUOTA
from pymesos_testing.master_harness import MasterHarness

POSTS = [route for route in ROUTES if route.method == "POST" and route.service == "Operator"]


DOCUMENT = openapi.document(ROUTES)


POLICY = "allow: [{who: operator/root, do: ['*'], role: '**'}]"


WEBHOOK = {"name": "w", "url": "http://127.0.0.1:9/", "kinds": ["task_added"]}


def agent_id(h: MasterHarness, number: int = 0) -> str:
    return sorted(h.core.state.agents)[number]


def framework_id(h: MasterHarness) -> str:
    return next(iter(h.core.state.frameworks))


def bodies(h: MasterHarness) -> dict[str, Any]:
    """One that each route takes, as things are."""
    both = [agent_id(h), agent_id(h, 1)]
    return {
        "/v1/agents/cordon": {"agent_ids": both},
        "/v1/agents/drain": {"agent_ids": both, "within_s": 3600, "then_gone": True},
        "/v1/agents/activate": {"agent_ids": both},
        "/v1/agents/gone": {"agent_id": agent_id(h, 1)},
        "/v1/reservations/reserve": {
            "agent_id": agent_id(h), "role": "ops", "resources": {"cpus": 0.5},
            "volumes": [{"id": "v", "path": "data", "disk": 10}],
        },
        "/v1/reservations/unreserve": {"agent_id": agent_id(h), "role": "ops"},
        "/v1/maintenance/schedule": {
            "agent_ids": both, "start": "2033-05-18T03:33:20Z", "duration_s": 60,
        },
        "/v1/maintenance/cancel": {"agent_ids": both},
        "/v1/frameworks/teardown": {"framework_id": framework_id(h)},
        "/v1/tasks/kill": {"task_id": "runs", "framework_id": framework_id(h)},
        "/v1/quota/set": QUOTA,
        "/v1/quota/remove": {"role": "eng"},
        "/v1/weights/set": {"role": "eng", "weight": 3},
        "/v1/policy/set": {"document": POLICY, "instead_of": 0},
        "/v1/secrets/set": {"role": "eng", "name": "db", "value": "hidden"},
        "/v1/secrets/remove": {"role": "eng", "name": "db", "force": True},
        "/v1/join-tokens/make": {
            "digest": "a" * 64, "principal": "agent/node-1", "lifetime_s": 3600,
        },
        "/v1/join-tokens/remove": {"digest": DIGEST},
        "/v1/revocations/revoke": {"name": "agent/node-1"},
        "/v1/access-tokens/make": {"digest": "b" * 64, "lifetime_s": 60, "rights": ["read:**"]},
        "/v1/access-tokens/revoke": {"id": "d" * 16},
        "/v1/sign-in": {},
        "/v1/sign-out": {},
        "/v1/webhooks/set": WEBHOOK,
        "/v1/webhooks/remove": {"name": "w"},
        "/v1/webhooks/test": {"name": "w"},
        "/v1/cluster-alerts/silence": {"when": "disk_full", "for_s": 60, "why": "a test"},
        "/v1/cluster-alerts/test": {"receiver": "oncall"},
        "/v1/quarantine/release": {"kind": "role", "key": "odd", "discard": True},
    }  # fmt: skip


@pytest.fixture
def h() -> MasterHarness:
    return a_bit_of_everything()


@pytest.fixture
def answering(h: MasterHarness) -> Answering:
    return open_answering(leadership_of(h))


def test_the_example_of_each_route_is_a_body_by_its_schema(h: MasterHarness) -> None:
    assert bodies(h).keys() == {route.path for route in POSTS}
    for route in POSTS:
        schema = openapi.body_schema(route)
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(bodies(h)[route.path])
        said = DOCUMENT["paths"][route.path]["post"]["requestBody"]["content"]
        assert said == {"application/json": {"schema": schema}}


# Those of access tokens, of which an open cluster has none, are in test_http_tokens.py, those of
# sessions in test_sessions.py; what is sent to webhooks is in test_webhooks.py.
ELSEWHERE = ("/v1/access-tokens/", "/v1/sign-", "/v1/webhooks/test", "/v1/cluster-alerts/test")


async def test_a_silence_that_is_replaced_is_told(h: MasterHarness, answering: Answering) -> None:
    path, body = "/v1/cluster-alerts/silence", {"when": "disk_full", "for_s": 60, "why": "a test"}
    assert await post_json(answering, path, body) == {"replaced": None}
    said = (await post_json(answering, path, {**body, "for_s": 0}))["replaced"]
    assert said.startswith("they were silenced until 20") and said.endswith(": a test")


@pytest.mark.parametrize(
    "route",
    [route for route in POSTS if not route.path.startswith(ELSEWHERE)],
    ids=lambda route: route.path,
)
async def test_every_answer_is_as_it_says(
    h: MasterHarness, answering: Answering, route: Any
) -> None:
    if route.path == "/v1/webhooks/remove":
        await post_json(answering, "/v1/webhooks/set", WEBHOOK)
    said = await post_json(answering, route.path, bodies(h)[route.path])
    schema = {**route.schema, "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(said)


class TestDeeds:
    """Each does what it says."""

    async def test_agents(self, h: MasterHarness, answering: Answering) -> None:
        async def drains() -> dict[str, Any]:
            found = (await get_json(answering, "/v1/drains"))["drains"]
            return {one["agent_id"]: (one["state"], one["then_gone"]) for one in found}

        first, second = agent_id(h), agent_id(h, 1)
        await post_json(answering, "/v1/agents/activate", {"agent_ids": [first, second]})
        assert await drains() == {}
        drained = {"agent_ids": [first], "within_s": 60, "then_gone": True}
        await post_json(answering, "/v1/agents/drain", drained)
        assert await drains() == {first: ("draining", True)}
        await post_json(answering, "/v1/agents/cordon", {"agent_ids": [first]})
        assert await drains() == {first: ("cordoned", False)}
        await post_json(answering, "/v1/agents/gone", {"agent_id": second})
        states = {one["agent_id"]: one["state"] for one in
                  (await get_json(answering, "/v1/agents"))["agents"]}  # fmt: skip
        assert states == {first: "active", second: "gone"}

    async def test_maintenance(self, h: MasterHarness, answering: Answering) -> None:
        first, second = agent_id(h), agent_id(h, 1)
        window = {"agent_ids": [first], "start": "2033-05-18T05:33:20+02:00"}
        await post_json(answering, "/v1/maintenance/schedule", window)
        await post_json(answering, "/v1/maintenance/cancel", {"agent_ids": [second]})
        (found,) = (await get_json(answering, "/v1/maintenance"))["maintenance"]
        assert (found["agent_id"], found["start"], found["duration_s"]) == (
            first, "2033-05-18T03:33:20.000+00:00", None,
        )  # fmt: skip

    async def test_reservations(self, h: MasterHarness, answering: Answering) -> None:
        named = {"agent_id": agent_id(h), "role": "ops"}

        async def reserved() -> list[Any]:
            found = (await get_json(answering, "/v1/reservations"))["reservations"]
            return [(one["resources"], one["volume"]) for one in found]

        await post_json(answering, "/v1/reservations/unreserve", named)
        assert await reserved() == []
        made = {
            **named, "resources": {"mem": 64.5},
            "volumes": [{"id": "v", "path": "d", "disk": 10}],
        }  # fmt: skip
        await post_json(answering, "/v1/reservations/reserve", made)
        assert await reserved() == [({"mem": 64.5}, None), ({"disk": 10.0}, "v")]
        some = {**named, "resources": {"mem": 0.5}, "volume_ids": ["v"]}
        await post_json(answering, "/v1/reservations/unreserve", some)
        assert ({"disk": 10.0}, "v") not in await reserved()
        assert ({"mem": 64.0}, None) in [(r, v) for r, v in await reserved() if "mem" in r]
        ports = {**named, "resources": {"ports": [[31003, 31004]]}}
        await post_json(answering, "/v1/reservations/reserve", ports)
        total = str(h.core.state.agents[agent_id(h)].total)
        assert "31003-31004" in total, total

    async def test_roles(self, answering: Answering) -> None:
        quota = {"role": "eng", "guarantees": {"cpus": 1}, "limits": {"cpus": 2, "mem": 0}}
        await post_json(answering, "/v1/quota/set", quota)
        said = (await get_json(answering, "/v1/quota"))["quota"]
        assert said == [{**quota, "guarantees": {"cpus": 1.0}, "limits": {"cpus": 2.0, "mem": 0.0}}]
        too_much = {"role": "eng", "guarantees": {"cpus": 1000}}
        refused = await post(answering, "/v1/quota/set", too_much)
        assert refused.status == 400 and b"cpus" in refused.body
        await post_json(answering, "/v1/quota/set", {**too_much, "force": True})
        await post_json(answering, "/v1/quota/remove", {"role": "eng"})
        assert (await get_json(answering, "/v1/quota"))["quota"] == []
        await post_json(answering, "/v1/weights/set", {"role": "eng/web", "weight": 0.5})
        weights = (await get_json(answering, "/v1/weights"))["weights"]
        assert {"role": "eng/web", "weight": 0.5} in weights

    async def test_tasks_and_frameworks(self, h: MasterHarness, answering: Answering) -> None:
        await post_json(answering, "/v1/tasks/kill", {"task_id": "runs"})
        told = [
            message.kill.task_id
            for inbox in h.agent_inbox.values()
            for message in inbox
            if message.WhichOneof("message") == "kill"
        ]
        assert told == ["runs"]
        gone = framework_id(h)
        await post_json(answering, "/v1/frameworks/teardown", {"framework_id": gone})
        left = (await get_json(answering, "/v1/frameworks"))["frameworks"]
        assert gone not in values(left, "framework_id")
        refused = await post(answering, "/v1/frameworks/teardown", {"framework_id": "nobody"})
        assert refused.status == 404 and b"nobody" in refused.body

    async def test_the_policy(self, answering: Answering) -> None:
        sent = {"document": POLICY, "instead_of": 0}
        assert await post_json(answering, "/v1/policy/set", sent) == {"version": 1}
        refused = await post(answering, "/v1/policy/set", sent)
        assert refused.status == 409
        said = await get_json(answering, "/v1/policy")
        assert (said["document"], said["version"]) == (POLICY, 1)
        broken = await post(answering, "/v1/policy/set", {"document": "allow: 7", "instead_of": 1})
        assert broken.status == 400 and b"the policy:" in broken.body
        can = await get_json(answering, "/v1/can?verb=read&role=eng")
        assert can["allowed"] and can["rule"] is None
        assert (await get_json(answering, "/v1/whoami"))["principal"] is None

    async def test_secrets(self, h: MasterHarness, answering: Answering) -> None:
        """As they are, text or not; and nothing that is answered has a value."""
        named = {"role": "eng", "name": "key"}
        for number, value in enumerate(({"value": "a\nb"}, {"value_base64": "AP8="}), 1):
            said = await post_json(answering, "/v1/secrets/set", {**named, **value})
            assert said == {"version": number}
            sealed = h.core.state.secrets()[key_of("eng", "key")].sealed
            assert KEYRING.open("eng", "key", sealed) == (b"a\nb", b"\x00\xff")[number - 1]
        listed = (await get_json(answering, "/v1/secrets?role=eng"))["secrets"]
        assert [(one["name"], one["version"]) for one in listed] == [("db", 1), ("key", 2)]
        await post_json(answering, "/v1/secrets/remove", named)
        listed = (await get_json(answering, "/v1/secrets"))["secrets"]
        assert values(listed, "name") == ["db"]

    @pytest.mark.parametrize(
        "value",
        [
            {}, {"value": ""}, {"value": "planted", "value_base64": "AP8="},
            {"value": ["planted"]}, {"value": "planted" * 10_000},
            {"value": "planted\ud800"}, {"value_base64": "planted!"},
            {"value_base64": "planted" * 20_000}, {"value": "planted", "extra": 1},
        ],
    )  # fmt: skip
    async def test_a_secret_that_is_refused_is_not_told(
        self, answering: Answering, value: Any
    ) -> None:
        sent = {"role": "eng", "name": "key", **value}
        answer = await post(answering, "/v1/secrets/set", sent)
        assert answer.status == 400 and b"planted" not in answer.body, answer.body

    async def test_who_comes_in(self, answering: Answering) -> None:
        secret = b"s" * 32
        digest = hashlib.sha256(secret).hexdigest()
        sent = {"digest": digest, "principal": "agent/node-1", "lifetime_s": 60}
        made = await post_json(answering, "/v1/join-tokens/make", sent)
        text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
        token = f"pymesos.{made['root']}.{text}@{made['join_at']}"
        assert read_invitation(token) == Invitation(b"r" * 32, secret, HostPort("10.0.0.1", 5051))
        tokens = (await get_json(answering, "/v1/join-tokens"))["join_tokens"]
        assert values(tokens, "digest") == [digest, DIGEST]
        await post_json(answering, "/v1/join-tokens/remove", {"digest": DIGEST})
        tokens = (await get_json(answering, "/v1/join-tokens"))["join_tokens"]
        assert values(tokens, "principal") == ["agent/node-1"]
        bad = await post(answering, "/v1/join-tokens/remove", {"digest": "D" * 64})
        assert bad.status == 400 and b"64 hexadecimal digits" in bad.body
        none = await post(answering, "/v1/join-tokens/remove", {"digest": "0" * 64})
        assert none.status == 404
        await post_json(answering, "/v1/revocations/revoke", {"name": "operator/eve"})
        undone = {"name": "agent/node-9", "undo": True}
        await post_json(answering, "/v1/revocations/revoke", undone)
        revoked = (await get_json(answering, "/v1/revocations"))["revocations"]
        assert values(revoked, "name") == ["operator/eve"]

    async def test_the_quarantine(self, answering: Answering) -> None:
        (listed,) = (await get_json(answering, "/v1/quarantine"))["records"]
        assert (listed["kind"], listed["key"], listed["document"]) == ("role", "odd", None)
        (one,) = (await get_json(answering, "/v1/quarantine?kind=role&key=odd"))["records"]
        assert one["document"] == "ff"
        released = {"kind": "role", "key": "odd"}
        again = await post(answering, "/v1/quarantine/release", released)
        assert again.status == 400
        await post_json(answering, "/v1/quarantine/release", {**released, "discard": True})
        assert (await get_json(answering, "/v1/quarantine"))["records"] == []


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "the body is not one JSON object"),
            (b"[]", "the body is not one JSON object"),
            (b"{} {}", "the body is not one JSON object"),
            (b"\xff", "the body is not one JSON object"),
            (b'{"weight": NaN}', "the body is not one JSON object"),
            (b"[" * 15_000, "the body is not one JSON object"),
            (b'{"weight": ' + b"9" * 5000 + b"}", "the body is not one JSON object"),
            (b"{}", "the body has no field role, which has to be given"),
            (b'{"role": null, "weight": 1}', "the body has no field role"),
            (b'{"role": "a", "role": "b", "weight": 1}', "the field 'role' is given twice"),
            (b'{"x": {"a": {}, "b": 1, "a": {}}}', "the field 'a' is given twice"),
            (b'{"role": "a", "zzz": 1}', "no field 'zzz' here; these are: role, weight"),
            (b'{"role": "a", "wieght": 1}', "no field 'wieght' here; did you mean weight?"),
            (b'{"role": 1, "weight": 1}', "the field role: expected is a text of at most 255"),
            (b'{"role": "a\\u0000", "weight": 1}', "none is a control character"),
            (b'{"role": "\\ud800", "weight": 1}', "none is a control character"),
            (b'{"role": "' + b"a" * 256 + b'", "weight": 1}', "at most 255 characters"),
            (b'{"role": "a", "weight": "1"}', "the field weight: expected is a number"),
            (b'{"role": "a", "weight": true}', "the field weight: expected is a number"),
            (b'{"role": "a", "weight": 1e999}', "the field weight: expected is a number"),
            (b'{"role": "a", "weight": ' + b"9" * 400 + b"}", "expected is a number"),
            (b'{"role": "a", "weight": -1}', "a number from 0 to 1000000"),
            (b'{"role": "a", "weight": 0}', "the weight is 0; more than 0"),
            (b'{"role": "a b", "weight": 1}', "white space"),
        ],
    )
    async def test_what_is_refused_says_why(
        self, answering: Answering, body: bytes, words: str
    ) -> None:
        answer = await post(answering, "/v1/weights/set", body)
        said = json.loads(answer.body)["error"]["message"]
        assert answer.status == 400 and words in said, said

    def test_of_many_fields_the_doubled_one_is_found_at_once(self) -> None:
        """Within the time that a test has: to look through all before each would take minutes."""
        names = [*range(120_000), 119_999]
        body = "{" + ",".join(f'"{name}":0' for name in names) + "}"
        with pytest.raises(CallError, match="the field '119999' is given twice"):
            read_body(body.encode(), ())

    @pytest.mark.parametrize(
        ("path", "body", "words"),
        [
            ("/v1/agents/cordon", {"agent_ids": []}, "agent_ids: expected is a list of 1 to 1000"),
            ("/v1/agents/cordon", {"agent_ids": "a"}, "agent_ids: expected is a list of 1 to 1000"),
            ("/v1/agents/cordon", {"agent_ids": ["a"] * 1001}, "a list of 1 to 1000"),
            ("/v1/agents/cordon", {"agent_ids": [["a"]]}, "a text of at most 255"),
            ("/v1/agents/drain", {"agent_ids": ["a"], "within_s": 2592001}, "from 0 to 2592000"),
            ("/v1/agents/drain", {"agent_ids": ["a"], "within_s": 1, "then_gone": 1}, "true or"),
            ("/v1/maintenance/schedule", {"agent_ids": ["a"], "start": 1.0}, "ISO 8601"),
            ("/v1/maintenance/schedule", {"agent_ids": ["a"], "start": "2033-05-18"}, "ISO 8601"),
            ("/v1/quota/set", {"role": "r", "limits": [1]}, "an object of at most 64 amounts"),
            ("/v1/quota/set", {"role": "r", "limits": {"a b": 1}}, "is not a resource name"),
            ("/v1/quota/set", {"role": "r", "limits": {"\ud800": 1}}, "is not a resource name"),
            ("/v1/quota/set", {"role": "r", "limits": {"cpus": -1}}, "of cpus a number from 0"),
            ("/v1/quota/set", {"role": "r", "limits": {"ports": [[1, 2]]}}, "of ports a number"),
            (
                "/v1/quota/set",
                {"role": "r", "limits": {f"r{i}": 1 for i in range(65)}},
                "at most 64 amounts",
            ),
            (
                "/v1/reservations/reserve",
                {"agent_id": "a", "role": "r", "resources": {"ports": [[2, 1]]}},
                "pairs of first and last",
            ),
            (
                "/v1/reservations/reserve",
                {"agent_id": "a", "role": "r", "volumes": [{"id": "v", "path": "p"}]},
                "volumes as in",
            ),
            (
                "/v1/reservations/reserve",
                {"agent_id": "a", "role": "r", "volumes": [{"id": "v", "path": "p", "disk": 0}]},
                "a number of MiB above 0",
            ),
        ],
    )
    async def test_what_a_field_may_be(
        self, answering: Answering, path: str, body: Any, words: str
    ) -> None:
        answer = await post(answering, path, body)
        said = json.loads(answer.body)["error"]["message"]
        assert answer.status == 400 and words in said, said

    @pytest.mark.parametrize(
        "headers",
        [
            {"content-type": "text/plain"}, {"content-type": ""},
            {"content-type": "application/x-www-form-urlencoded"},
            {"content-type": "application/json; charset=latin-1"},
            {"content-type": "text/plain; application/json"},
            {"content-encoding": "gzip"},
        ],
    )  # fmt: skip
    async def test_only_json_is_a_body(self, answering: Answering, headers: Any) -> None:
        answer = await post(answering, "/v1/quota/set", QUOTA, headers=headers)
        assert answer.status == 415 and b"Content-Type: application/json" in answer.body

    async def test_more_than_a_route_takes(self, answering: Answering) -> None:
        for length, status in (("16384", 200), ("16385", 413), ("9" * 30, 413)):
            answer = await post(
                answering, "/v1/quota/set", QUOTA, headers={"content-length": length}
            )
            assert answer.status == status, length

    async def test_a_query_has_no_place_beside_a_body(self, answering: Answering) -> None:
        answer = await post(answering, "/v1/quota/set?role=eng", QUOTA)
        assert answer.status == 400 and b"it takes none" in answer.body


async def test_by_the_policy_and_in_the_audit() -> None:
    h = MasterHarness(Config(seed_policy=POLICY, audited=True))
    h.agent()

    def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
        who = next(iter(authentication["peer_uri"])).decode()
        return Caller(who, Method.CERT, "1", peer, "grpc")

    answering = closed_answering(leadership_of(h), gate)
    named = {"agent_ids": [agent_id(h)]}
    root, other = ({"peer_uri": [who]} for who in (b"operator/root", b"operator/x"))
    assert (await post(answering, "/v1/agents/cordon", named)).status == 401
    refused = await post(answering, "/v1/agents/cordon", named, authentication=other)
    assert refused.status == 403 and b"operator/x may not manage agents" in refused.body
    await post_json(answering, "/v1/agents/cordon", named, authentication=root)
    said = [(e.caller.principal, e.caller.via, e.call, e.denied) for e in h.audited]
    assert said == [
        ("operator/x", "http", "Operator.CordonAgents", True),
        ("operator/root", "http", "Operator.CordonAgents", False),
    ]


async def test_parts_of_a_path(h: MasterHarness, answering: Answering) -> None:
    name = framework_id(h)
    said = await get_json(answering, f"/v1/frameworks/{name}/explain")
    assert said["framework"]["framework_id"] == name
    odd = "".join(f"%{ord(c):02x}" for c in name)
    assert await get_json(answering, f"/v1/frameworks/{odd}/explain") == said
    for path, status, words in (
        ("/v1/frameworks/nobody/explain", 404, b"nobody"),
        ("/v1/frameworks//explain", 404, b"there is no"),
        ("/v1/frameworks/a/b/explain", 404, b"there is no"),
        ("/v1/frameworks/%ff/explain", 400, b"not UTF-8"),
        ("/v1/frameworks/a%00/explain", 400, b"control character"),
        (f"/v1/frameworks/{'a' * 256}/explain", 400, b"at most 255"),
        ("/v1/frameworks/%2e%2e%2f/explain", 404, b"../"),
    ):
        answer = await get(answering, path)
        assert answer.status == status and words in answer.body, answer.body
