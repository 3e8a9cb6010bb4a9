"""A leader with a bit of everything, and what answers HTTP for it, without any connection."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from pymesos_core import resources
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import Problem
from pymesos_core.outgoing.telling import TellsNobody
from pymesos_core.outside import Outside
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.gate import Gate, open_gate
from pymesos_core.security.secrets import Keyring
from pymesos_core.security.signing import Signer
from pymesos_master.commands import Commands
from pymesos_master.core import events as ev
from pymesos_master.core.records import ROLE
from pymesos_master.http.answering import Answer, Answering, Request
from pymesos_master.http.routes import CALLS
from pymesos_master.overview import Overviews
from pymesos_master.queries import Queries
from pymesos_master.services.access_tokens import AccessTokens
from pymesos_master.services.leading import Leadership
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.services.sandbox_calls import SandboxCalls
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_master.shell import Leader
from pymesos_master.watching import Watching
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness

AT = HostPort("10.0.0.1", 5050)
KEYRING = Keyring([b"k" * 32])
DIGEST = "d" * 64  # of a token to join with


def a_bit_of_everything() -> MasterHarness:
    """Agents, one of them drained; frameworks, tasks that run and that ended, offers, terms."""
    h = MasterHarness(registry={(ROLE, "odd"): b"\xff"})
    first = h.agent("cpus:4;mem:4096;disk:100;ports:[31000-31005]")
    second = h.agent("cpus:2;mem:512")
    framework = h.subscribe(roles=["eng"])
    h.run(framework, "runs", "cpus:1;mem:32;ports:[31000-31001]")
    h.run(framework, "ended")
    agent_ids = (h.agent_id(first), h.agent_id(second))
    for connection_id, agent_id in zip((first, second), agent_ids, strict=True):
        for task_id in h.launched(connection_id):
            state = pb.TASK_RUNNING if task_id == "runs" else pb.TASK_FAILED
            h.update(connection_id, h.framework_id(framework), task_id, state)
            said = {"agent_id": agent_id, "task_id": task_id, "uuid": b"u"}
            h.call(framework, acknowledge=said)
    h.feed(ev.OperatorSetWeight(1, "eng", 2.5))
    quota = pb.Quota(limits=[pb.Resource(name="cpus", scalar=3)])
    h.feed(ev.OperatorSetQuota(2, "eng", quota))
    reserved = tuple(resources.to_proto(resources.parse("cpus:1")))
    h.feed(ev.OperatorReserved(3, agent_ids[0], "ops", reserved))
    h.feed(ev.OperatorScheduledMaintenance(4, agent_ids[1:], h.now.wall_s + 600, 60.0))
    h.feed(ev.OperatorCordonedAgents(5, agent_ids[1:]))
    h.feed(ev.OperatorMadeToken(6, DIGEST, "agent/node-2", 3600.0))
    h.feed(ev.OperatorRevoked(7, "agent/node-9"))
    sealed = KEYRING.seal("eng", "db", b"hidden")
    h.feed(ev.OperatorSetSecret(8, "eng", "db", sealed))
    kinds = (ClusterEvent.WEIGHT_SET,)
    h.feed(ev.OperatorSetWebhook(9, "hook", "http://127.0.0.1:1/in", kinds, ("eng", "db")))
    h.subscribe(name="gone", roles=["ops"])
    h.advance(0.01)
    assert all(answer is None for answer in h.answers.values()), h.answers
    return h


def leadership_of(
    h: MasterHarness, files: AuditFiles | None = None, outside: Outside | None = None
) -> Leadership:
    """A leader of that core."""
    request_ids = itertools.count(1000)

    async def ask(make_event: Callable[[int], ev.Event]) -> Problem | None:
        h.feed(make_event(request_id := next(request_ids)))
        h.advance(0.01)
        return h.problems[request_id]

    queries = Queries(h.core, lambda: h.now)
    leader = SimpleNamespace(
        core=h.core,
        revision=None,  # nothing is kept
        queries=queries,
        overviews=Overviews(h.core.state, queries, lambda: h.now),
        commands=Commands(ask),
        term=SimpleNamespace(epoch=7),
        keyring=KEYRING,
        tells=TellsNobody(lambda notice: None),
        watching=Watching(7, h.core.state, h.core.watch, lambda: h.now_s),
    )
    me = MasterInfo("m1", AT, "first")
    made = Leadership(me, outside or Outside(), audit_files=files)
    made.leader = cast(Leader, leader)
    made.signer = cast(Signer, SimpleNamespace(fingerprint=lambda: b"r" * 32))
    made.join_at = HostPort("10.0.0.1", 5051)
    return made


def operators_of(leadership: Leadership) -> OperatorCalls:
    sandboxes = SandboxCalls(leadership, SandboxRelay(leadership))
    return OperatorCalls(leadership, [OperatorService(leadership), sandboxes], CALLS)


def open_answering(leadership: Leadership) -> Answering:
    """What answers in a cluster without certificates."""
    operators = operators_of(leadership)
    others = {"Sandbox": operators}
    return Answering(operators, open_gate, tokens=None, hostname="first", others=others)


def closed_answering(leadership: Leadership, gate: Gate) -> Answering:
    """What answers in a cluster with certificates, by which that gate knows who asks."""
    operators = operators_of(leadership)
    others = {"Sandbox": operators}
    return Answering(operators, gate, tokens=AccessTokens(leadership), others=others)


async def get(answering: Answering, target: str, **changed: Any) -> Answer:
    """Ask, as from this machine."""
    asked: dict[str, Any] = {
        "method": "GET", "target": target, "host": "127.0.0.1:5080", "peer": "ipv4:127.0.0.1",
    }  # fmt: skip
    admitted = answering.admit(Request(**(asked | changed)))
    return admitted if isinstance(admitted, Answer) else await answering.answer(admitted)


async def post(answering: Answering, target: str, body: Any, **changed: Any) -> Answer:
    """Send a body, which is JSON unless it is bytes already, as from this machine."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(sent))}
    asked: dict[str, Any] = {
        "method": "POST", "target": target, "host": "127.0.0.1:5080", "peer": "ipv4:127.0.0.1",
        "has_body": True, "headers": headers | changed.pop("headers", {}),
    }  # fmt: skip
    admitted = answering.admit(Request(**(asked | changed)))
    return admitted if isinstance(admitted, Answer) else await answering.answer(admitted, sent)


async def post_json(answering: Answering, target: str, body: Any, **changed: Any) -> Any:
    answer = await post(answering, target, body, **changed)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def get_json(answering: Answering, target: str, **changed: Any) -> Any:
    answer = await get(answering, target, **changed)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def values(items: Iterable[Any], key: str) -> list[Any]:
    return [item[key] for item in items]
