"""What the master tells its audit, and that an operator is answered after that."""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from pymesos_core import resources
from pymesos_core.caller import Caller, Method
from pymesos_core.clock import read_clock
from pymesos_core.coordination.standalone import StandaloneContender
from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.auditing import Audit
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import Config, MasterCore
from pymesos_master.core import events as ev
from pymesos_master.shell import Leader
from pymesos_proto.v1 import scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

ALICE = Caller("operator/alice", Method.CERT, "a1", "10.0.0.1", "grpc")
MALLORY = Caller("operator/mallory", Method.CERT, "66", "10.0.0.6", "grpc")
FRAMEWORK = Caller("framework/f", Method.CERT, "f1", "10.0.0.2", "grpc")
POLICY = """\
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: framework/f, do: [subscribe, launch, reserve], role: prod}
"""
REQUESTS = [
    event for event in vars(ev).values()
    if isinstance(event, type) and getattr(event, "__name__", "").startswith("Operator")
]  # fmt: skip


# Which the policy denies to nobody, since they are of what is the caller's own.
OF_OWN = (ev.OperatorMadeAccessToken, ev.OperatorRevokedAccessToken, ev.OperatorSignedIn)


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness(Config(audited=True, seed_policy=POLICY))


def lines(h: MasterHarness) -> list[Any]:
    """What was told since the last call."""
    told, h.audited = h.audited, []
    return [json.loads(entry.line()) for entry in told]


def request_of(event: Any, caller: Caller) -> ev.Event:
    """A request of that kind, about nothing."""
    made: dict[str, Any] = {"request_id": 1, "caller": caller}
    empty = {"str": "", "int": 0, "float": 1.0, "bool": False, "bytes": b""}
    for one in fields(event):
        if one.name in made or one.default is not MISSING:
            continue
        kind = str(one.type)
        more = {
            "pb.Quota": pb.Quota(),
            "scheduler_pb.Operation": scheduler_pb2.Operation(),
            "Policy": Policy(),
            "tuple[tuple[str, pb.Quota], ...]": (("r", pb.Quota()),),
            "tuple[tuple[str, float], ...]": (("r", 1.0),),
        }
        made[one.name] = more[kind] if kind in more else empty.get(kind, ())
    return event(**made)  # type: ignore[no-any-return]


@pytest.mark.parametrize("event", [event for event in REQUESTS if event not in OF_OWN])
def test_each_request_of_operators_that_is_denied_has_a_line(h: MasterHarness, event: Any) -> None:
    h.feed(request_of(event, MALLORY))
    (line,) = lines(h)
    assert (line["decision"], line["principal"]) == ("denied", "operator/mallory"), line
    assert line["outcome"] == "denied"
    assert line["result"] == h.answers[1] and line["rule"] is None and line["verb"]


@pytest.mark.parametrize("event", REQUESTS)
def test_and_one_that_is_allowed_has_one_with_what_came_of_it(h: MasterHarness, event: Any) -> None:
    h.feed(request_of(event, ALICE))
    (line,) = lines(h)
    assert line["decision"] == "allowed" and line["serial"] == "a1"
    of_no_role = (ev.OperatorKilledTask, ev.OperatorToreDown, ev.OperatorConverted)
    in_vain = event in of_no_role
    assert in_vain or event in OF_OWN or "operator/alice" in line["rule"]
    assert line["result"] == (h.answers[1] or "done")
    assert line["outcome"] == ("refused" if h.answers[1] else "done")


def test_a_change_is_told_once_it_is_durable_and_before_it_is_answered(h: MasterHarness) -> None:
    h.hold_writes = True
    h.feed(ev.OperatorSetWeight(1, "prod", 2.5, ALICE))
    assert not lines(h) and not h.answers
    h.write()
    (line,) = lines(h)
    assert h.answers == {1: None}
    assert (line["method"], line["verb"]) == ("Operator.SetWeight", "quota")
    assert line["object"] == {"role": "prod", "weight": 2.5} and line["result"] == "done"


def test_a_line_has_all_that_is_set_at_once(h: MasterHarness) -> None:
    h.feed(ev.OperatorSetWeights(1, (("a", 2.5), ("b", 3.0)), ALICE))
    cpu = pb.Quota(guarantees=[pb.Resource(name="cpus", scalar=1.5)])
    h.feed(ev.OperatorSetQuotas(2, (("a", cpu), ("b", pb.Quota())), True, ALICE))
    weights, quotas = lines(h)
    assert weights["object"] == {"role": "a, b", "weights": ["a: 2.5", "b: 3"]}
    shown = ['a: guarantees { name: "cpus" scalar: 1.5 }', "b: "]
    assert quotas["object"] == {"role": "a, b", "force": True, "quotas": shown}


def test_what_was_to_be_replaced_is_told_as_far_as_it_is_given(h: MasterHarness) -> None:
    limits = pb.Quota(limits=[pb.Resource(name="cpus", scalar=2)])
    h.feed(ev.OperatorSetQuota(1, "prod", pb.Quota(), True, ALICE, instead_of=limits))
    h.feed(ev.OperatorSetQuota(2, "prod", limits, True, ALICE))
    first, second = (line["object"] for line in lines(h))
    shown = 'limits { name: "cpus" scalar: 2.0 }'
    assert first == {"role": "prod", "force": True, "instead_of": shown}
    assert second == {"role": "prod", "force": True, "quota": shown}


def launch(h: MasterHarness, framework: int, *names: str, user: str) -> None:
    h.advance(2)
    offer = h.offers(framework)[0]
    infos = [task(offer, name) for name in names]
    for info in infos:
        info.command.user = user
        info.command.environment.add(name="PASSWORD", value="hunter2")
        info.data = b"hunter2"
    operation = scheduler_pb2.Operation(launch=scheduler_pb2.Operation.Launch(task_infos=infos))
    accept = scheduler_pb2.Call.Accept(offer_ids=[offer.offer_id], operations=[operation])
    accept.filters.refuse_seconds = 0
    h.feed(ev.FrameworkCalled(framework, scheduler_pb2.Call(accept=accept), FRAMEWORK))


def test_frameworks_have_a_line_for_each_call_that_changes_something(h: MasterHarness) -> None:
    h.agent("cpus:8;mem:8192")
    framework = h.subscribe(roles=["prod"], caller=FRAMEWORK)
    (line,) = lines(h)
    assert (line["method"], line["result"]) == ("Call.subscribe", "done")

    launch(h, framework, "a", "b", user="app")
    assert [entry.synced for entry in h.audited] == [False]
    (line,) = lines(h)
    assert line["verb"] == "launch" and line["object"]["task_ids"] == ["a", "b"]
    assert line["object"]["role"] == "prod" and "framework/f" in line["rule"]
    assert "hunter2" not in str(line) and "PASSWORD" not in str(line)

    launch(h, framework, "c", user="root")
    assert [entry.synced for entry in h.audited] == [True]
    (line,) = lines(h)
    assert line["decision"] == "denied" and line["object"]["task_ids"] == ["c"]
    assert "which is root" in line["result"] and "hunter2" not in str(line)

    calls = (
        scheduler_pb2.Call(kill=scheduler_pb2.Call.Kill(task_id="a")),
        scheduler_pb2.Call(revive=scheduler_pb2.Call.Revive()),
        scheduler_pb2.Call(teardown=scheduler_pb2.Call.Teardown()),
    )
    for call in calls:
        h.feed(ev.FrameworkCalled(framework, call, FRAMEWORK))
    assert [line["method"] for line in lines(h)] == ["Call.kill", "Call.teardown"]


def test_a_framework_that_is_not_let_in_has_a_line(h: MasterHarness) -> None:
    h.subscribe(roles=["dev"], caller=FRAMEWORK)
    (line,) = lines(h)
    assert line["decision"] == "denied" and line["object"] == {"role": "dev"}


def test_status_updates_and_acknowledgements_have_none(h: MasterHarness) -> None:
    agent = h.agent("cpus:8;mem:8192")
    framework = h.subscribe(roles=["prod"], caller=FRAMEWORK)
    launch(h, framework, "a", user="app")
    lines(h)
    framework_id = h.framework_id(framework)
    h.update(agent, framework_id, "a", pb.TASK_RUNNING)
    said = scheduler_pb2.Call.Acknowledge(task_id="a", uuid=b"u", agent_id=h.agent_id(agent))
    acknowledge = scheduler_pb2.Call(acknowledge=said)
    h.feed(ev.FrameworkCalled(framework, acknowledge, FRAMEWORK))
    assert not h.audited


def test_who_joins_has_a_line_and_who_tries_in_vain(h: MasterHarness) -> None:
    digest = "ab" * 32
    h.feed(ev.OperatorMadeToken(1, digest, "agent/a", 60.0, ALICE))
    (line,) = lines(h)
    assert line["object"] == {"principal": "agent/a", "lifetime_s": 60.0}
    peer = Caller(peer="10.0.0.9")
    for key in (b"k1", b"k2"):
        h.feed(ev.TokenUsed(2, digest, key, peer))
    joined, refused = lines(h)
    assert joined["object"] == {"principal": "agent/a"} and joined["decision"] == "allowed"
    assert refused["decision"] == "denied" and refused["peer"] == "10.0.0.9"


def test_unless_it_is_on_nothing_is_told() -> None:
    h = MasterHarness(Config(seed_policy=POLICY))
    h.feed(ev.OperatorSetWeight(1, "prod", 2.5, MALLORY))
    h.subscribe(roles=["prod"], caller=FRAMEWORK)
    assert h.answers[1] and not h.audited


def test_the_rules_of_a_new_cluster_are_named_too() -> None:
    h = MasterHarness(Config(audited=True, seed_policy=NEW_CLUSTER))
    h.agent(resources.parse("cpus:1").__str__())
    h.feed(ev.OperatorSetWeight(1, "prod", 2.5, ALICE))
    (line,) = lines(h)
    assert "operator/*" in line["rule"]


class FullFiles(AuditFiles):
    """On a disk that may be full, at which point what is written fails, too."""

    full = False

    def make_room(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.folder))
        super().make_room()


class Master:
    """A leader with an audit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = FullFiles(folder / "audit", 1 << 20)
        self.audit = Audit(self.files)

    async def start(self) -> None:
        self.contender = StandaloneContender(self.folder)
        term = await self.contender.lead()
        config = Config(audited=True, seed_policy=POLICY)
        core = MasterCore(config, DrfAllocator(), term.registry.load(), "m", read_clock())
        self.leader = Leader(core, term, audit=self.audit)
        self.running = [asyncio.ensure_future(x) for x in (self.audit.run(), self.leader.run())]

    async def stop(self) -> None:
        for task_ in self.running:
            task_.cancel()
        await asyncio.wait(self.running)
        await self.contender.close()

    def on_disk(self) -> list[Any]:
        text = "".join(path.read_text() for path in sorted(self.files.folder.iterdir()))
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    made = Master(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_what_is_acknowledged_is_on_the_disk(master: Master) -> None:
    for number in range(5):
        await master.leader.commands.set_weight(ALICE, "prod", 1.0 + number)
        assert master.on_disk()[-1]["object"]["weight"] == 1.0 + number
    with pytest.raises(RequestError, match="may not set quotas"):
        await master.leader.commands.set_weight(MALLORY, "prod", 9.0)
    assert master.on_disk()[-1]["decision"] == "denied"


async def test_a_full_disk_refuses_what_operators_change(master: Master) -> None:
    await master.leader.commands.set_weight(ALICE, "prod", 2.0)
    master.files.full = True
    with pytest.raises(RequestError, match="nothing is done, since the audit cannot") as refused:
        await master.leader.commands.set_weight(ALICE, "prod", 3.0)
    assert refused.value.problem.kind == ProblemKind.FULL
    (view,) = [view for view in master.leader.queries.roles(ALICE) if view.role == "prod"]
    assert view.weight == 2.0
    master.files.full = False
    await master.leader.commands.set_weight(ALICE, "prod", 3.0)


async def test_what_may_not_be_read_has_a_line(master: Master) -> None:
    with pytest.raises(RequestError):
        master.leader.queries.permits.policy(MALLORY)
    await master.leader.commands.set_weight(ALICE, "prod", 2.0)
    denied, _ = master.on_disk()
    assert (denied["method"], denied["verb"]) == ("Operator.GetPolicy", "policy")


def test_a_task_that_is_killed_is_of_its_role_though_its_framework_has_left_that() -> None:
    policy = POLICY.replace("role: prod", "role: '**'")
    h = MasterHarness(Config(audited=True, seed_policy=policy))
    h.agent("cpus:8;mem:8192")
    framework = h.subscribe(roles=["prod"], caller=FRAMEWORK)
    launch(h, framework, "a", user="app")
    info = pb.FrameworkInfo(framework_id=h.framework_id(framework), name="f", roles=["dev"])
    said = scheduler_pb2.Call.UpdateFramework(framework_info=info)
    lines(h)
    for call in (
        scheduler_pb2.Call(update_framework=said),
        scheduler_pb2.Call(kill=scheduler_pb2.Call.Kill(task_id="a")),
        scheduler_pb2.Call(kill=scheduler_pb2.Call.Kill(task_id="unknown")),
        scheduler_pb2.Call(teardown=scheduler_pb2.Call.Teardown()),
    ):
        h.feed(ev.FrameworkCalled(framework, call, FRAMEWORK))
    assert [(line["method"], line["object"]["role"]) for line in lines(h)] == [
        ("Call.update_framework", "dev"),
        ("Call.kill", "prod"),
        ("Call.kill", "dev"),
        ("Call.teardown", "dev, prod"),
    ]
