"""Weights and quota, from an operator's word to the offers, and over a failover."""

from __future__ import annotations

import pytest

from pymesos_core import limits
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.errors import ProblemKind
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.records import RoleTerms
from pymesos_master.core.roles import read_quota
from pymesos_master.queries.queries import Queries
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness


def quota(guarantee: str = "", limit: str = "") -> pb.Quota:
    return pb.Quota(guarantees=to_proto(parse(guarantee)), limits=to_proto(parse(limit)))


def set_quota(h: MasterHarness, role: str, made: pb.Quota, force: bool = False) -> str | None:
    number = len(h.answers) + 1
    h.feed(ev.OperatorSetQuota(number, role, made, force))
    return h.answers[number]


def offered(h: MasterHarness, framework: int) -> list[str]:
    return sorted(f"{o.role} {to_text(o)}" for o in h.offers(framework))


def to_text(offer: pb.Offer) -> str:
    return ";".join(f"{r.name}:{r.scalar:g}" for r in offer.resources)


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def test_a_limit_cuts_offers(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    assert set_quota(h, "eng", quota(limit="cpus:1;mem:512")) is None
    framework = h.subscribe(roles=["eng"])
    assert offered(h, framework) == ["eng cpus:1;mem:512"]


def test_a_guarantee_is_kept_free_for_who_comes_later(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    assert set_quota(h, "prod", quota(guarantee="cpus:3;mem:3000")) is None
    early = h.subscribe(roles=["dev"])
    assert offered(h, early) == ["dev cpus:1;mem:1096"]
    late = h.subscribe(roles=["prod"], name="late")
    assert offered(h, late) == ["prod cpus:3;mem:3000"]
    assert set_quota(h, "prod", pb.Quota()) is None
    (offer,) = h.offers(late)
    h.decline(late, [offer.offer_id], refuse_s=1000)
    assert "dev cpus:3;mem:3000" in offered(h, early) or "dev cpus:1;mem:1096" in offered(h, early)


def test_a_limit_of_a_role_holds_for_those_below_it(h: MasterHarness) -> None:
    h.agent("cpus:8;mem:8192")
    assert set_quota(h, "eng", quota(limit="cpus:3;mem:3000")) is None
    first, second = h.subscribe(roles=["eng/web"]), h.subscribe(roles=["eng/db"], name="g")
    held = [o for f in (first, second) for o in h.offers(f)]
    assert sum(r.scalar for o in held for r in o.resources if r.name == "cpus") == 3


@pytest.mark.parametrize(
    ("role", "made", "problem"),
    [
        ("a b", quota("cpus:1"), "white space"),
        ("eng", quota("cpus:2", "cpus:1"), "the guarantee of cpus (2) is more than its limit (1)"),
        ("eng", quota("cpus:99"), "the cluster has 4; --force"),
        ("eng", quota("cpu:1"), "no agent has a resource cpu; did you mean cpus? --force"),
        ("eng", quota("", "memory:1"), "no agent has a resource memory; did you mean mem? --force"),
        ("eng", quota("ports:[1-2]"), "a quota is of scalars"),
        ("top/child", quota("cpus:2"), "raise that first"),
        ("top/child", quota("", "cpus:9"), "a role below top would be limited to 9 cpus"),
    ],
)
def test_what_cannot_be_is_said(h: MasterHarness, role: str, made: pb.Quota, problem: str) -> None:
    h.agent("cpus:4;mem:4096")
    assert set_quota(h, "top", quota("cpus:1", "cpus:2")) is None
    assert problem in (set_quota(h, role, made) or "")
    assert {key for kind, key in h.registry if kind == "role"} == {"top"}


def test_force_guarantees_more_than_there_is(h: MasterHarness) -> None:
    assert set_quota(h, "eng", quota("cpus:99"), force=True) is None
    assert set_quota(h, "eng", quota("cpu:1"), force=True) is None


def test_a_resource_of_an_agents_own_is_no_slip(h: MasterHarness) -> None:
    h.agent("cpus:4;cpu:4;mem:4096")
    assert set_quota(h, "eng", quota("cpu:1")) is None


def test_weights(h: MasterHarness) -> None:
    for number, weight in ((1, float("nan")), (2, 0.0), (3, -1.0)):
        h.feed(ev.OperatorSetWeight(number, "eng", weight))
        assert "is expected" in (h.answers[number] or "")
    h.feed(ev.OperatorSetWeight(4, "eng", 3.0))
    assert h.answers[4] is None
    eng, ops = h.subscribe(roles=["eng"]), h.subscribe(roles=["ops"], name="g")
    for _ in range(8):
        h.agent("cpus:1;mem:1024")
    assert (len(h.offers(eng)), len(h.offers(ops))) == (6, 2)


def test_so_many_roles_have_terms_and_no_more(h: MasterHarness) -> None:
    for number in range(limits.ROLES.most):
        h.core.state.image.load(("role", f"r{number}"), RoleTerms(2.0))
    h.feed(ev.OperatorSetWeight(1, "one-more", 2.0))
    assert "10001 roles with a weight or a quota; at most 10000" in (h.answers[1] or "")
    assert "at most 10000" in (set_quota(h, "one-more", quota("", "cpus:1")) or "")
    h.feed(ev.OperatorSetWeight(2, "one-more", 1.0))  # as it is without terms
    h.feed(ev.OperatorSetWeight(3, "r7", 3.0))
    h.feed(ev.OperatorSetWeight(4, "r8", 1.0))
    h.feed(ev.OperatorSetWeight(5, "one-more", 2.0))
    assert [h.answers[number] for number in (2, 3, 4, 5)] == [None] * 4


def test_the_quota_of_a_role_is_held_to_what_is_above_and_below_it_alone(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    for role in ("far", "far/child", "near", "near/a", "near/a/x"):
        assert set_quota(h, role, quota("cpus:1"), force=True) is None
    h.core.state.image.load(("role", "far"), RoleTerms())  # as another version may have left it
    assert set_quota(h, "near/b", quota("", "cpus:1")) is None
    assert "below near would be guaranteed 2" in (set_quota(h, "near/c", quota("cpus:1")) or "")
    assert "below near/a would be" in (set_quota(h, "near/a", quota()) or "")


def test_those_of_several_roles_are_one_write(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    h.hold_writes = True
    quotas = (("eng/a", quota("cpus:1")), ("eng", quota("cpus:2")))
    h.feed(ev.OperatorSetQuotas(1, quotas))
    h.feed(ev.OperatorSetWeights(2, (("eng", 2.0), ("ops", 3.0))))
    roles = [[change.key for change in changes] for _, changes in h.held]
    assert roles == [["eng/a", "eng"], ["eng", "ops"]] and not h.answers
    h.hold_writes = False
    h.write()
    assert h.answers == {1: None, 2: None}
    assert h.core.state.roles()["eng"] == RoleTerms(2.0, read_quota(quota("cpus:2")))
    h.feed(ev.OperatorSetQuotas(3, (("eng", quota("cpus:3")), ("eng/a", quota("cpus:4")))))
    assert "raise that first" in (h.answers[3] or "")
    assert h.core.state.roles()["eng"].quota == read_quota(quota("cpus:2"))


def test_who_may_not_set_one_of_them_sets_none(h: MasterHarness) -> None:
    root, dev = (Caller(f"operator/{name}", Method.CERT) for name in ("root", "dev"))
    rules = "allow:\n- {who: operator/root, do: ['*'], role: '**'}\n"
    rules += "- {who: operator/dev, do: [quota], role: dev}\n"
    h.feed(ev.OperatorSetPolicy(1, read_policy(rules), 0, root))
    h.feed(ev.OperatorSetWeights(2, (("dev", 2.0), ("prod", 9.0)), dev))
    h.feed(ev.OperatorSetQuotas(3, (("dev", quota()), ("prod", quota())), False, dev))
    assert h.problems[2] is not None and h.problems[2].kind is ProblemKind.DENIED
    assert h.problems[3] is not None and h.problems[3].kind is ProblemKind.DENIED
    assert h.core.state.roles() == {}


def test_the_next_leader_knows_them(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    set_quota(h, "eng", quota("cpus:1", "cpus:2"))
    set_quota(h, "gone", quota("cpus:1"))
    set_quota(h, "gone", pb.Quota())
    h.feed(ev.OperatorSetWeight(9, "ops", 2.5))
    after = MasterHarness(registry=h.registry)
    terms = after.core.state.roles()
    assert sorted(terms) == ["eng", "ops"] and terms["ops"] == RoleTerms(2.5)
    assert terms["eng"].weight == 1.0 and terms["eng"].quota.limits == {"cpus": 2000}


def test_a_limit_of_zero_survives(h: MasterHarness) -> None:
    made = pb.Quota(limits=[pb.Resource(name="cpus", scalar=0)])
    set_quota(h, "none", made)
    after = MasterHarness(registry=h.registry)
    assert after.core.state.terms("none").quota.limits == {"cpus": 0}


def test_with_quota_offers_wait_until_most_agents_are_back(h: MasterHarness) -> None:
    """Mesos' docs/quota.md; without quota they do not."""
    ids = [h.agent_id(h.agent()) for _ in range(5)]
    set_quota(h, "eng", quota("cpus:1"))
    for waits in (True, False):
        after = MasterHarness(Config(agent_reregister_timeout_s=20), registry=h.registry)
        framework = after.subscribe(name="f")
        for agent_id in ids[:3]:
            after.agent(agent_id=agent_id)
        assert after.offers(framework) == []
        if waits:
            after.agent(agent_id=ids[3])
            assert len(after.offers(framework)) > 0
        else:
            after.advance(19)
            assert after.offers(framework) == []
            after.advance(2)
            assert len(after.offers(framework)) > 0


def withheld(h: MasterHarness, framework: int) -> dict[str, str]:
    """Why a framework is not offered more, in words by their reasons."""
    said = Queries(h.core).explain(NOBODY, h.framework_id(framework), [])
    return {each.reason: each.text for role in said.roles for each in role.withheld}


def test_whoever_is_at_a_limit_is_told_of_which_role(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    assert set_quota(h, "eng", quota(limit="cpus:1;mem:512")) is None
    framework = h.subscribe(roles=["eng/web"])
    h.run(framework, text="cpus:1;mem:512")
    assert withheld(h, framework)["LIMIT"] == (
        "the role eng/web is at its limit (eng holds 1 cpus of 1 at most, eng holds 512 mem of 512"
        " at most)"
    )


def test_whoever_refused_what_a_limit_leaves_is_told_of_it(h: MasterHarness) -> None:
    """An offer that a quota had cut was refused as too small: of the quota nothing was said."""
    h.agent("cpus:4;mem:4096")
    assert set_quota(h, "lim", quota(limit="cpus:0.05")) is None
    framework = h.subscribe(roles=["lim"])
    h.decline(framework, [offer.offer_id for offer in h.offers(framework)], refuse_s=60)
    assert withheld(h, framework)["REFUSED"] == (
        "the framework refused as much, of what the limits of the role lim leave (lim holds 0 cpus"
        " of 0.05 at most)"
    )


def test_for_whose_guarantees_room_is_kept_is_told(h: MasterHarness) -> None:
    h.agent("cpus:4;mem:4096")
    for number in range(4):
        assert set_quota(h, f"prod{number}", quota(guarantee="cpus:1;mem:1024")) is None
    framework = h.subscribe(roles=["dev"])
    assert withheld(h, framework)["HEADROOM"] == (
        "it is kept free for the guarantees of other roles (prod0 holds 0 cpus of 1 guaranteed,"
        " prod0 holds 0 mem of 1024 guaranteed, prod1 holds 0 cpus of 1 guaranteed, and 5 more)"
    )
