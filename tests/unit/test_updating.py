"""What a framework says of itself changes while its subscription goes on: UPDATE_FRAMEWORK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import events as ev
from pymesos_proto.v1 import registry_pb2
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness, task

BOB = Caller("operator/bob", Method.CERT, "2", "ipv4:10.0.0.2", "grpc")
WEB = Caller("framework/web", Method.CERT, "1", "ipv4:10.0.0.1", "grpc")
POLICY = """
allow:
  - {who: framework/web, do: [subscribe], role: "eng/**"}
"""


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def update(
    h: MasterHarness,
    framework: int,
    roles: Iterable[str],
    suppressed: Iterable[str] = (),
    caller: Caller | None = None,
    **fields: Any,
) -> None:
    info = pb.FrameworkInfo(framework_id=h.framework_id(framework), name="f", roles=roles)
    info.capabilities.append(pb.PARTITION_AWARE)
    info.failover_timeout_s = 60
    for name, value in fields.items():
        setattr(info, name, value)
    said = spb.Call.UpdateFramework(framework_info=info, suppressed_roles=suppressed)
    call = spb.Call(update_framework=said)
    h.feed(ev.FrameworkCalled(framework, call, *([caller] if caller else [])))


def updated(h: MasterHarness, framework: int) -> int:
    """How often it was told that what it said is in force."""
    return sum(e.HasField("framework_updated") for e in h.framework_inbox[framework])


def offered(h: MasterHarness, framework: int) -> list[str]:
    return [offer.role for offer in h.offers(framework)]


def stored_roles(h: MasterHarness, framework: int) -> list[str]:
    record = registry_pb2.FrameworkRecord()
    record.ParseFromString(h.registry["framework", h.framework_id(framework)])
    return list(record.info.roles)


def test_offers_follow_the_roles(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe(roles=["eng"])
    (held,) = h.offers(framework)
    update(h, framework, ["web"])
    assert stored_roles(h, framework) == ["web"]
    assert updated(h, framework) == 1
    rescinded = [e.rescind for e in h.framework_inbox[framework] if e.HasField("rescind")]
    assert [r.offer_id for r in rescinded] == [held.offer_id]
    assert offered(h, framework) == ["web"]
    assert not h.refused(framework) and not h.errors(framework)
    assert ClusterEvent.FRAMEWORK_UPDATED in [e.kind for e in h.published]


def test_offers_of_a_role_that_stays_are_kept(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe(roles=["eng"])
    update(h, framework, ["eng", "web"])
    assert not [e for e in h.framework_inbox[framework] if e.HasField("rescind")]


def test_tasks_of_a_role_that_is_dropped_run_on(h: MasterHarness) -> None:
    agent = h.agent()
    framework = h.subscribe(roles=["eng"])
    h.run(framework)
    update(h, framework, ["web"])
    h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
    assert h.last(framework).state == pb.TASK_RUNNING
    assert [
        task.role for task in h.core.state.frameworks[h.framework_id(framework)].tasks.values()
    ] == ["eng"]


def test_a_new_role_may_be_suppressed_from_the_beginning(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe(roles=["eng"])
    h.decline(framework, [o.offer_id for o in h.offers(framework)], refuse_s=100)
    update(h, framework, ["eng", "web"], suppressed=["eng", "web"])
    assert not offered(h, framework)
    h.call(framework, revive=spb.Call.Revive(roles=["web"]))
    assert offered(h, framework) == ["web"]


def test_what_is_said_of_a_role_while_it_is_written_counts(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe(roles=["eng"])
    h.decline(framework, [o.offer_id for o in h.offers(framework)], refuse_s=100)
    h.hold_writes = True
    update(h, framework, ["eng", "web"], suppressed=["eng"])
    h.call(framework, suppress=spb.Call.Suppress(roles=["web"]))
    update(h, framework, ["eng", "web", "db"], suppressed=["eng", "web", "db"])
    h.call(framework, revive=spb.Call.Revive(roles=["db"]))
    assert not h.refused(framework)
    h.hold_writes = False
    h.write()
    assert offered(h, framework) == ["db"]


def test_nothing_goes_by_it_before_it_is_written(h: MasterHarness) -> None:
    framework = h.subscribe(roles=["eng"])
    h.hold_writes = True
    update(h, framework, ["web"])
    h.agent()
    h.hold_writes = False
    h.write()
    assert offered(h, framework) == ["web"]


def test_one_that_has_subscribed_again_since_is_what_it_said_then(h: MasterHarness) -> None:
    framework = h.subscribe(roles=["eng"])
    h.hold_writes = True
    update(h, framework, ["web"])
    again = h.subscribe(h.framework_id(framework), roles=["eng"])
    h.hold_writes = False
    h.write()
    h.agent()
    assert offered(h, again) == ["eng"] and stored_roles(h, again) == ["eng"]


@pytest.mark.parametrize(
    ("roles", "fields", "why"),
    [
        (["eng", "eng"], {}, "given twice"),
        (["a b"], {}, "white space"),
        ([f"r{number}" for number in range(257)], {}, "256"),
        (["eng"], {"name": ""}, "needs a name"),
        (["eng"], {"framework_id": "another"}, "another id"),
        (["eng"], {"user": "root"}, "user is not allowed"),
        (["eng"], {"epoch": 1}, "in epoch 2"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    h: MasterHarness, roles: list[str], fields: dict[str, Any], why: str
) -> None:
    h.agent()
    framework = h.subscribe(roles=["web"], epoch=2)
    update(h, framework, roles, **{"epoch": 2, **fields})
    (refused,) = h.refused(framework)
    assert refused.call == "UPDATE_FRAMEWORK" and why in refused.message
    assert stored_roles(h, framework) == ["web"] and offered(h, framework) == ["web"]


def test_the_policy_is_asked_and_a_denial_ends_nothing(h: MasterHarness) -> None:
    h.core.state.policy = read_policy(POLICY, 1)
    framework = h.subscribe(roles=["eng"], caller=WEB)
    update(h, framework, ["eng", "eng/web"], caller=WEB)
    assert not h.refused(framework)
    update(h, framework, ["eng", "db"], caller=WEB)
    (refused,) = h.refused(framework)
    assert refused.code == spb.Event.Refused.DENIED and "may not subscribe" in refused.message
    assert stored_roles(h, framework) == ["eng", "eng/web"] and not h.errors(framework)


@pytest.mark.parametrize(
    ("taken", "denied"),
    [
        (["eng/**"], ""),
        (["eng", "eng/web/**"], ""),
        (["**"], "serve in the role **"),
        (["eng/**", "db"], "serve in the role db"),
    ],
)
def test_whose_jobs_it_takes_is_for_the_policy(
    h: MasterHarness, taken: list[str], denied: str
) -> None:
    h.core.state.policy = read_policy(POLICY.replace("[subscribe]", "[subscribe, serve]"), 1)
    info = pb.FrameworkInfo(name="f", roles=["eng"], job_roles=taken, jobs_address="10.0.0.1:5")
    h.feed(ev.FrameworkSubscribing(900, spb.Call.Subscribe(framework_info=info), WEB))
    errors = h.errors(900)
    assert bool(errors) is bool(denied)
    assert all(denied in error for error in errors)


class TestPolicyThatChangesMeanwhile:
    """What is written behind a policy goes by that policy."""

    WIDE = """
allow:
  - {who: framework/web, do: [subscribe, serve, launch], role: "**"}
  - {who: operator/bob, do: [policy, teardown], role: "**"}
"""
    NARROW = WIDE.replace('role: "**"', "role: eng", 1)

    @pytest.mark.parametrize("first", ["policy", "update"])
    def test_who_may_not_be_in_a_role_is_not(self, h: MasterHarness, first: str) -> None:
        h.core.state.policy = read_policy(self.WIDE, 0)
        framework = h.subscribe(roles=["eng"], caller=WEB)
        h.hold_writes = True
        if first == "update":
            update(h, framework, ["eng", "secret"], caller=WEB)
        h.feed(ev.OperatorSetPolicy(5, read_policy(self.NARROW, 0), 0, BOB))
        if first == "policy":
            update(h, framework, ["eng", "secret"], caller=WEB)
        h.hold_writes = False
        h.write()
        h.agent()
        assert h.answers == {5: None} and not h.refused(framework)
        (error,) = h.errors(framework)
        assert "may not subscribe in the role secret" in error
        updated = [e for e in h.framework_inbox[framework] if e.HasField("framework_updated")]
        assert len(updated) == (first == "update"), "it is never told that what is denied holds"
        assert not offered(h, framework)
        assert h.core.state.frameworks[h.framework_id(framework)].connection_id is None

    def test_one_that_begins_to_serve_is_told_the_policy_once(self, h: MasterHarness) -> None:
        h.core.state.policy = read_policy(self.WIDE, 3)
        framework = h.subscribe(roles=["eng"], caller=WEB)
        for roles in (["eng"], ["eng", "web"]):
            update(h, framework, roles, caller=WEB, jobs_address="10.0.0.1:5")
        told = [e.policy for e in h.framework_inbox[framework] if e.HasField("policy")]
        assert [(policy.document, policy.version) for policy in told] == [(self.WIDE, 3)]


class TestOnlyTheRoleThatChanges:
    """One role more or less leaves the others as they are."""

    def test_what_another_role_refused_stays_refused(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe(roles=["eng"])
        h.decline(framework, [o.offer_id for o in h.offers(framework)], refuse_s=100)
        update(h, framework, ["eng", "web"], suppressed=["web"])
        assert not offered(h, framework)
        update(h, framework, ["eng"])
        assert not offered(h, framework)
        update(h, framework, ["eng", "web"])
        assert offered(h, framework) == ["web"]

    def test_one_that_is_not_suppressed_any_more_is_offered(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe(roles=["eng"])
        h.decline(framework, [o.offer_id for o in h.offers(framework)], refuse_s=100)
        update(h, framework, ["eng"], suppressed=["eng"])
        update(h, framework, ["eng"])
        assert offered(h, framework) == ["eng"]

    @pytest.mark.parametrize(
        ("roles", "fields", "again"),
        [(["eng", "web"], {}, False), (["eng"], {"hostname": "other"}, True)],
    )
    def test_agents_are_told_it_again_if_more_than_roles_differs(
        self, h: MasterHarness, roles: list[str], fields: dict[str, Any], again: bool
    ) -> None:
        agent = h.agent()
        framework = h.subscribe(roles=["eng"])
        h.run(framework, "first")
        update(h, framework, roles, **fields)
        h.run(framework, "second")
        launches = [m.launch for m in h.agent_inbox[agent] if m.HasField("launch")]
        assert [launch.HasField("framework_info") for launch in launches] == [True, again]

    def test_what_is_so_already_is_not_written(self, h: MasterHarness) -> None:
        h.agent()
        framework = h.subscribe(roles=["eng"])
        h.hold_writes = True
        update(h, framework, ["eng"], suppressed=["eng"])
        assert not h.held and not offered(h, framework)
        update(h, framework, ["web"])
        update(h, framework, ["eng"])
        assert len(h.held) == 2, "it is to be something else by then"


def test_one_that_is_being_removed_gets_no_more_offers(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe(roles=["eng"])
    h.hold_writes = True
    update(h, framework, ["eng", "web"])
    h.call(framework, teardown=spb.Call.Teardown())
    (written, removed) = h.held
    h.held = [written]
    h.write()
    assert not offered(h, framework)
    h.held = [removed]
    h.write()
    assert not h.core.state.offers and framework in h.closed


def test_a_teardown_is_for_who_may_in_the_roles_of_its_tasks_too(h: MasterHarness) -> None:
    h.core.state.policy = read_policy(
        """
allow:
  - {who: framework/web, do: [subscribe, launch], role: "**"}
  - {who: operator/bob, do: [teardown], role: web}
""",
        1,
    )
    agent = h.agent()
    framework = h.subscribe(roles=["eng"], caller=WEB)
    h.run(framework)
    update(h, framework, ["web"], caller=WEB)
    framework_id = h.framework_id(framework)
    h.feed(ev.OperatorToreDown(7, framework_id, BOB))
    assert "teardown in the role eng" in (h.answers[7] or "")
    assert framework_id in h.core.state.frameworks
    h.update(agent, framework_id, "t", pb.TASK_FINISHED)
    h.feed(ev.OperatorToreDown(8, framework_id, BOB))
    assert h.answers[8] is None and framework_id not in h.core.state.frameworks


def test_a_task_that_is_refused_is_of_the_role_of_its_offer(h: MasterHarness) -> None:
    h.core.watch(True)
    h.agent()
    framework = h.subscribe(roles=["secret"])
    update(h, framework, ["eng", "secret"])
    (offer,) = h.offers(framework)
    h.accept(framework, [offer.offer_id], task(offer, "large", "cpus:999;mem:32"))
    (offer,) = h.offers(framework)
    h.accept(framework, [offer.offer_id, offer.offer_id], task(offer, "twice"))
    h.accept(framework, ["unknown"], task(offer, "late"))
    refused = [e for e in h.published if e.kind == ClusterEvent.TASK_REFUSED]
    assert {e.task_id: e.roles for e in refused} == {
        "large": (offer.role,),
        "twice": (offer.role,),
        "late": ("eng", "secret"),
    }
