"""What a master that does not lead passes on, and what a closed cluster answers by HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import CoordinationError, MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.audit import Entry
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.gate import CertificateGate, telling
from pymesos_core.security.identities import Kind
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.http import openapi
from pymesos_master.http.answering import Answering
from pymesos_master.http.routes import ROUTES
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import masters_pb2, operator_pb2
from pymesos_testing.http_cluster import (
    AT,
    a_bit_of_everything,
    closed_answering,
    get,
    get_json,
    leadership_of,
    open_answering,
    operators_of,
    post,
)
from pymesos_testing.master_harness import MasterHarness

READS = [route for route in ROUTES if route.method == "GET" and route.service == "Operator"]


@pytest.fixture
def leadership(tmp_path: Path) -> Leadership:
    files = AuditFiles(tmp_path / "audit", 1 << 20)
    line = {"time": "2026-01-01T00:00:00.000Z", "principal": "operator/a", "object": {}}
    files.append([json.dumps(line).encode() + b"\n"], sync=False)
    return leadership_of(a_bit_of_everything(), files)


@pytest.fixture
def answering(leadership: Leadership) -> Answering:
    return open_answering(leadership)


class TestClosed:
    """Answers in a cluster with certificates. How the gate judges one is tested with the gate."""

    POLICY = "allow:\n- {who: operator/root, do: ['*'], role: '**'}\n"

    @pytest.fixture
    def answering(self) -> Answering:
        h = MasterHarness(Config(seed_policy=self.POLICY))
        self.refused: list[str] = []

        def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
            who = next(iter(authentication["peer_uri"])).decode()
            if not who.startswith("operator/"):
                return CertificateGate("prod", Kind.MASTER)(method, peer, authentication)
            return Caller(who, Method.CERT, "1", peer, "grpc")

        told = telling(gate, lambda caller, method, why: self.refused.append(why))
        return closed_answering(leadership_of(h), told)

    async def test_by_the_policy(self, answering: Answering) -> None:
        root = {"peer_uri": [b"operator/root"]}
        assert await get_json(answering, "/v1/agents", authentication=root, host="any")
        nobody = await get(answering, "/v1/agents", authentication={"peer_uri": [b"operator/x"]})
        assert nobody.status == 403 and b"operator/x may not read" in nobody.body

    async def test_without_a_certificate_only_health_is_told(self, answering: Answering) -> None:
        for path in (*(route.path for route in READS), openapi.PATH):
            status = 200 if path == "/health" else 401
            assert (await get(answering, path)).status == status, path
        for route in ROUTES:
            if route.method == "POST":
                assert (await post(answering, route.path, {})).status == 401, route.path
        assert not self.refused, "whoever comes by would fill the audit"

    async def test_what_the_gate_refuses_is_told(self, answering: Answering) -> None:
        other = {"peer_uri": [b"spiffe://lab/operator/a"]}
        answer = await get(answering, "/v1/agents", authentication=other)
        assert answer.status == 401 and b"another cluster" in answer.body and self.refused


class TestRelayed:
    """By a master that does not lead, to the one that does."""

    ROOT = Caller("operator/root", Method.CERT, "1", "ipv4:10.0.0.9", "http", 2e9, ("2",))
    OPEN = Caller(peer="ipv4:10.0.0.3")  # a master of a cluster without certificates

    @pytest.fixture
    def follower(self, leadership: Leadership) -> Leadership:
        self.by = Caller("master/m2", Method.CERT)
        self.lead = leadership
        self.refusal: CallError | None = None  # by which the leader does not let it in
        masters = MastersService(leadership, operators_of(leadership))

        class Channel:
            def stream(self, method: Any, metadata: Any = None) -> Any:
                assert method.path == "/pymesos.v1.Masters/Relay"
                return self

            async def write(self, request: Any) -> None:
                self.request = request

            async def done_writing(self) -> None: ...

            async def read(inner) -> Any:  # noqa: N805
                if self.refusal is not None:
                    raise self.refusal
                call = type("Call", (), {"caller": self.by})()
                return await masters.Relay(inner.request, call)

            async def close(self) -> None: ...

        def dial(address: HostPort, to: Kind, name: str = "") -> Any:
            assert (address, to) == (AT, Kind.MASTER)
            return Channel()

        me = MasterInfo("m2", HostPort("10.0.0.2", 5050), "second")
        made = Leadership(me, Outside(dial=dial))
        made.known_leader = lambda: leadership.me
        return made

    async def test_it_answers_what_the_leader_does(
        self, follower: Leadership, answering: Answering
    ) -> None:
        self.by = self.OPEN
        for path in ("/v1/agents", "/v1/tasks?completed=true", "/v1/roles", "/v1/audit"):
            assert await get_json(open_answering(follower), path) == await get_json(answering, path)
        refused = await get(open_answering(follower), "/v1/agents?page_token=7.1")
        assert refused.status == 409 and b"list again" in refused.body

    async def test_of_itself_it_answers_itself(self, follower: Leadership) -> None:
        assert await get_json(open_answering(follower), "/health") == {"status": "following"}
        said = await get_json(open_answering(follower), "/v1/leader")
        assert said == {"address": str(AT), "hostname": "first", "epoch": None}

    async def test_nobody_leads(self, follower: Leadership) -> None:
        follower.known_leader = lambda: None
        answer = await get(open_answering(follower), "/v1/agents")
        assert answer.status == 503 and b"nobody does yet" in answer.body

    async def test_the_one_that_led_leads_no_more(self, follower: Leadership) -> None:
        self.by = self.OPEN
        self.lead.leader = None
        self.lead.known_leader = lambda: follower.me
        answer = await get(open_answering(follower), "/v1/agents")
        assert answer.status == 503 and b"10.0.0.2:5050 does" in answer.body

    @pytest.mark.parametrize(
        ("refusal", "status", "words"),
        [
            (
                CallError(Code.UNAVAILABLE, "failed to connect to all addresses: Socket closed"),
                503, "5050, did not answer this one: what listens there hangs up at once",
            ),
            (CallError(Code.UNAUTHENTICATED, "m2 is revoked"), 503, "m2 is revoked; ask again"),
            (CallError(Code.PERMISSION_DENIED, "nobody may call it"), 503, "nobody may call it"),
            (CallError(Code.RESOURCE_EXHAUSTED, "too many"), 503, "too many; ask again"),
            (CallError(Code.UNIMPLEMENTED, "no Relay"), 501, "let all masters be of one version"),
            (CallError(Code.INTERNAL, "a fault"), 500, "this one: a fault; its log has more"),
        ],
        ids=lambda value: value.code.name if isinstance(value, CallError) else None,
    )  # fmt: skip
    async def test_what_the_leader_refuses_to_the_master_is_no_refusal_of_who_asked(
        self, follower: Leadership, refusal: CallError, status: int, words: str
    ) -> None:
        self.refusal = refusal
        answer = await get(open_answering(follower), "/v1/agents")
        assert answer.status == status and words in answer.body.decode()

    async def test_what_is_not_there_for_the_leader_keeps_its_words(
        self, follower: Leadership
    ) -> None:
        async def masters() -> list[MasterInfo]:
            raise CoordinationError("ZooKeeper is away")

        self.lead.masters = masters
        self.by = self.OPEN
        answer = await get(open_answering(follower), "/v1/audit")
        assert answer.status == 503
        assert json.loads(answer.body)["error"]["message"] == "ZooKeeper is away; try again"

    async def test_what_cannot_be_read_is_a_refusal(
        self, follower: Leadership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = masters_pb2.RelayRequest(method="ListAgents", request=b"\xff")
        with pytest.raises(CallError, match="what is relayed cannot be read") as refused:
            await operators_of(self.lead).relayed(request, self.OPEN)
        assert refused.value.code is Code.INTERNAL

        async def garbage(*_: Any) -> masters_pb2.RelayResponse:
            return masters_pb2.RelayResponse(response=b"\xff")

        monkeypatch.setattr(OperatorCalls, "relayed", garbage)
        answer = await get(open_answering(follower), "/v1/agents")
        assert answer.status == 500 and b"answered what cannot be read" in answer.body

    @pytest.mark.parametrize(
        "said",
        [
            masters_pb2.RelayedCaller(),
            masters_pb2.RelayedCaller(principal="operator/root"),
            masters_pb2.RelayedCaller(principal="framework/f", credential="cert"),
            masters_pb2.RelayedCaller(principal="operator/", credential="cert"),
        ],
        ids=["nobody", "without a credential", "of another kind", "without a name"],
    )
    async def test_a_master_relays_only_who_could_have_called_it(
        self, leadership: Leadership, said: masters_pb2.RelayedCaller
    ) -> None:
        """Else a master's certificate would do for what no policy denies."""
        request = masters_pb2.RelayRequest(method="ListAgents", caller=said)
        with pytest.raises(CallError) as refused:
            await operators_of(leadership).relayed(request, Caller("master/m2", Method.CERT))
        assert refused.value.code in (Code.PERMISSION_DENIED, Code.UNAUTHENTICATED)

    async def test_the_leader_goes_by_who_called_the_other(
        self, follower: Leadership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        h = MasterHarness(Config(seed_policy=TestClosed.POLICY))
        self.lead.leader = leadership_of(h).leader
        calls, asked = operators_of(follower), operator_pb2.ListAgentsRequest()
        assert await calls.ask("Operator.ListAgents", asked, self.ROOT) is not None
        told: list[Entry] = []
        monkeypatch.setattr(self.lead.here().queries.permits, "_audit", told.append)
        with pytest.raises(CallError, match="operator/x may not read") as refused:
            await calls.ask("Operator.ListAgents", asked, Caller("operator/x", Method.CERT))
        assert refused.value.code is Code.PERMISSION_DENIED
        assert [(e.caller.principal, e.caller.relayed_by) for e in told] == [
            ("operator/x", "master/m2")
        ]

    async def test_who_is_no_master_cannot_say_who_calls(
        self, follower: Leadership, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[Caller] = []
        permits = self.lead.here().queries.permits
        monkeypatch.setattr(permits, "check", lambda caller, *_: heard.append(caller))
        calls, asked = operators_of(follower), operator_pb2.ListAgentsRequest()
        await calls.ask("Operator.ListAgents", asked, self.ROOT)
        self.by = self.OPEN
        await calls.ask("Operator.ListAgents", asked, self.ROOT)
        assert heard == [
            replace(self.ROOT, relayed_by="master/m2"),
            Caller(peer="ipv4:10.0.0.9", via="http", relayed_by="ipv4:10.0.0.3"),
        ]

    async def test_the_leader_knows_who_is_revoked(self, follower: Leadership) -> None:
        revocations = Revocations()
        self.lead.outside = Outside(credentials=cast(Any, SimpleNamespace(revocations=revocations)))
        calls, asked = operators_of(follower), operator_pb2.ListAgentsRequest()
        await calls.ask("Operator.ListAgents", asked, self.ROOT)
        for name in ("operator/root", "1", "2"):
            revocations.set([name])
            with pytest.raises(CallError, match="revoked") as refused:
                await calls.ask("Operator.ListAgents", asked, self.ROOT)
            assert refused.value.code is Code.UNAUTHENTICATED

    async def test_only_what_http_calls_is_relayed(self, leadership: Leadership) -> None:
        for method in ("WatchEvents", "ListSealedSecrets", "RestoreSecret", "Nothing", "Jobs.No"):
            request = masters_pb2.RelayRequest(method=method)
            with pytest.raises(CallError) as refused:
                await operators_of(leadership).relayed(request, Caller("master/m2", Method.CERT))
            assert refused.value.code is Code.UNIMPLEMENTED
