"""The allocator's checks, refusals that are cut short, and roles that change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.resources import parse
from pymesos_master.allocator import DrfAllocator, Grant
from pymesos_master.allocator.checks import CHECKS, Look, are_free
from pymesos_master.allocator.interface import Quota, Terms, Withheld
from pymesos_testing.allocating import allocator, cut_by_a_limit


class TestChecks:
    """One ordered list decides: what is granted, what is explained, and what may be seen."""

    @given(
        st.lists(st.sampled_from(["f0", "f1", "f2"]), max_size=12),
        st.lists(st.sampled_from([None, 0.0, 5.0]), min_size=12, max_size=12),
        st.sampled_from([None, Quota(limits={"cpus": 6000}), Quota({"cpus": 3000})]),
        st.booleans(),
    )
    def test_explaining_and_granting_agree(
        self, answers: list[str], refusals: list[float | None], quota: Quota | None, tagged: bool
    ) -> None:
        """Before a cycle: who is granted an agent was not withheld. After it: all are withheld."""
        drf = DrfAllocator()
        for number, role in enumerate(("eng", "eng", "ops")):
            drf.add_framework(f"f{number}", (role,), active=True, terms=Terms(gpus=number == 1))
        if quota is not None:
            drf.set_quota("eng", quota)
        for number in range(3):
            more = ";gpus#0:1" if tagged and number == 1 else ""
            drf.add_agent(f"a{number}", parse(f"cpus:4;mem:400{more}"), {})
        now_s, held = 1.0, list[Grant]()
        # A guarantee that is met needs no room any more, and a claim that is of no use is ended.
        ended_by_a_cycle = (Withheld.HEADROOM, Withheld.CLAIMED)
        for answer, refuse_s in zip([*answers, ""], [*refusals, None], strict=False):
            before = {f: drf.explain(f)[0].withheld for f in ("f0", "f1", "f2")}
            granted = drf.allocate(now_s)
            for grant in granted:
                why = before[grant.framework_id].get(grant.agent_id)
                assert why in (None, *ended_by_a_cycle), (grant, before)
            held += granted
            for framework_id in ("f0", "f1", "f2"):
                withheld = drf.explain(framework_id)[0].withheld
                assert len(withheld) == 3, (framework_id, withheld)
            for grant in [g for g in held if g.framework_id == answer]:
                held.remove(grant)
                drf.answered(grant.framework_id, grant.agent_id)
                drf.recover(
                    *(grant.framework_id, grant.agent_id, grant.role, grant.resources),
                    now_s=now_s,
                    refuse_s=refuse_s,
                )

    def test_every_reason_has_a_check_or_is_a_refinement_of_one(self) -> None:
        of_disconnected = {Withheld.LEAVING, Withheld.CORDONED, Withheld.DRAINING}
        refined = {Withheld.LIMIT, *of_disconnected}  # the first of HEADROOM
        assert {check.reason for check in CHECKS} | refined == set(Withheld)
        assert len({check.reason for check in CHECKS}) == len(CHECKS)

    def test_what_is_free_is_what_the_checks_of_agents_let_pass(self) -> None:
        drf = DrfAllocator()
        drf.add_framework("f", ("*",), active=True)
        drf.add_agent("free", parse("cpus:4;mem:400"), {})
        drf.add_agent("busy", parse("cpus:4;mem:400"), {("f", "*"): parse("cpus:4;mem:400")})
        drf.add_agent("away", parse("cpus:4;mem:400"), {})
        drf.deactivate_agent("away")
        state = drf._state
        of_agents = (Withheld.DISCONNECTED, Withheld.IN_USE)
        for agent in state.agents.values():
            look = Look(state).at(agent, agent.available)
            passes = [check.of(look) is None for check in CHECKS if check.reason in of_agents]
            assert bool(are_free(state, [agent])) == all(passes)


class TestCutRefusals:
    """A filter of what a limit had cut ends when the role has more room."""

    def world(self) -> DrfAllocator:
        drf = cut_by_a_limit(refuse_s=600)
        assert drf.allocate(1) == []
        return drf

    def test_it_is_offered_more_when_its_own_tasks_end(self) -> None:
        drf = self.world()
        drf.recover("f", "full", "eng", parse("cpus:3;mem:100"), now_s=2)
        granted = {grant.agent_id: grant.resources for grant in drf.allocate(2)}
        assert sum(bag.quantities.get("cpus", 0) for bag in granted.values()) == 4000
        assert granted["free"].quantities["cpus"] >= 1000

    def test_also_when_those_end_on_an_agent_that_is_away(self) -> None:
        drf = self.world()
        drf.deactivate_agent("full")
        drf.recover("f", "full", "eng", parse("cpus:3;mem:100"), now_s=2)
        assert drf.changed, "somebody has to look"
        assert [g.resources for g in drf.allocate(2)] == [parse("cpus:4;mem:400")]

    def test_it_holds_when_there_is_no_more_room_than_before(self) -> None:
        drf = self.world()
        drf.add_agent("third", parse("cpus:8;mem:400"), {})
        (grant,) = drf.allocate(2)
        drf.answered("f", "third")
        drf.recover("f", "third", "eng", grant.resources, now_s=2, refuse_s=600)
        assert drf.allocate(3) == []


class TestWhatTheFirstAgentsTake:
    """What is offered of the first agents counts until it is refused, so others are cut for it."""

    def refuse_all(self, drf: DrfAllocator, now_s: float) -> dict[str, int]:
        """What is granted of the cpus of each agent, and refused for a minute."""
        grants = drf.allocate(now_s)
        for grant in grants:
            drf.answered("f", grant.agent_id)
            drf.recover("f", grant.agent_id, "eng", grant.resources, now_s=now_s, refuse_s=60)
        return {grant.agent_id: grant.resources.quantities.get("cpus", 0) for grant in grants}

    def world(self, role: str, quota: Quota) -> DrfAllocator:
        drf = DrfAllocator()
        drf.set_quota(role, quota)
        drf.add_framework("f", ("eng",), active=True)
        for agent_id in ("a", "b", "c"):
            drf.add_agent(agent_id, parse("cpus:4;mem:400"), {})
        return drf

    def test_within_a_limit_the_others_are_offered_once_it_is_refused(self) -> None:
        drf = self.world("eng", Quota(limits={"cpus": 3000}))
        assert self.refuse_all(drf, 0) == {"a": 3000, "b": 0, "c": 0}
        assert self.refuse_all(drf, 0) == {"b": 3000, "c": 0}
        assert self.refuse_all(drf, 0) == {"c": 3000}
        assert self.refuse_all(drf, 1) == {}, "all of it was seen and refused"

    def test_also_when_a_task_ends_before_they_are_refused(self) -> None:
        drf = DrfAllocator()
        drf.set_quota("eng", Quota(limits={"cpus": 3000}))
        drf.add_framework("f", ("eng",), active=True)
        drf.add_agent("a", parse("cpus:4;mem:400"), {})
        drf.add_agent("b", parse("cpus:4;mem:400"), {("f", "eng"): parse("cpus:1;mem:10")})
        grants = drf.allocate(0)
        assert [g.resources.quantities.get("cpus", 0) for g in grants] == [2000, 0]
        drf.recover("f", "b", "eng", parse("cpus:1;mem:10"), now_s=0)
        for grant in grants:
            drf.answered("f", grant.agent_id)
            drf.recover("f", grant.agent_id, "eng", grant.resources, now_s=0, refuse_s=60)
        seen = {g.agent_id: g.resources.quantities.get("cpus", 0) for g in drf.allocate(0)}
        assert seen["b"] == 3000

    def test_what_a_guarantee_cuts_is_refused_for_as_long_as_was_said(self) -> None:
        drf = self.world("eng", Quota(limits={"cpus": 100_000}))
        drf.set_quota("later", Quota(guarantees={"cpus": 8000}))
        assert self.refuse_all(drf, 0) == {"a": 4000, "b": 0, "c": 0}
        assert [self.refuse_all(drf, now_s) for now_s in (0, 1, 2)] == [{}, {}, {}]

    def test_beside_a_guarantee_they_come_first_the_next_time(self) -> None:
        drf = self.world("later", Quota(guarantees={"cpus": 8000}))
        seen = [self.refuse_all(drf, minute * 61.0) for minute in range(3)]
        assert {a for granted in seen for a, cpus in granted.items() if cpus == 4000} == set("abc")


class TestRolesThatChange:
    """One role more or less concerns that role only."""

    def test_of_a_role_that_was_left_nothing_stays_once_it_holds_nothing(self) -> None:
        drf = allocator()
        drf.add_framework("f0", ("*", "eng"), active=True, suppressed=frozenset("*"))
        (grant,) = drf.allocate(0)
        drf.add_framework("f0", ("*",), active=True)
        leaves = drf._state.frameworks["f0"].leaves
        assert set(leaves) == {"*", "eng"} and drf.held("eng") == {"cpus": 4000, "mem": 400_000}
        drf.recover("f0", grant.agent_id, "eng", grant.resources, now_s=0)
        assert set(leaves) == {"*"}
        assert {node.role for node in drf._state.tree.roles()} == {"*"}

    def test_roles_that_come_and_go_leave_nothing(self) -> None:
        drf = allocator()
        for number in range(10):
            drf.add_framework("f0", ("*", f"eng/r{number}"), active=True, keep_filters=True)
            drf.add_framework("f0", ("*",), active=True, keep_filters=True)
        assert set(drf._state.frameworks["f0"].leaves) == {"*"}
        assert {node.role for node in drf._state.tree.roles()} == {"*"}

    @pytest.mark.parametrize("keep_filters", [True, False])
    def test_what_was_refused_stays_refused_if_filters_are_kept(self, keep_filters: bool) -> None:
        drf = allocator()
        (grant,) = drf.allocate(0)
        drf.answered("f0", "a0")
        drf.recover("f0", "a0", "*", grant.resources, now_s=0, refuse_s=100)
        assert not drf.allocate(0)
        drf.add_framework(
            "f0",
            ("*", "eng"),
            active=True,
            suppressed=frozenset({"eng"}),
            keep_filters=keep_filters,
        )
        assert drf.changed is not keep_filters, "agents are looked at only if something may come"
        assert [g.role for g in drf.allocate(1)] == ([] if keep_filters else ["*"])

    def test_a_role_that_is_new_is_offered_what_another_refused(self) -> None:
        drf = allocator()
        (grant,) = drf.allocate(0)
        drf.answered("f0", "a0")
        drf.recover("f0", "a0", "*", grant.resources, now_s=0, refuse_s=100)
        assert not drf.allocate(0)
        drf.add_framework("f0", ("*", "eng"), active=True, keep_filters=True)
        assert [g.role for g in drf.allocate(1)] == ["eng"]

    def test_new_terms_have_all_looked_at(self) -> None:
        drf = DrfAllocator()
        drf.add_framework("f", ("*",), active=True)
        drf.add_agent("a", parse("cpus:1;mem:64;gpus#0:1"), {})
        assert not drf.allocate(0)
        drf.add_framework("f", ("*",), active=True, terms=Terms(gpus=True), keep_filters=True)
        assert len(drf.allocate(0)) == 1

    def test_all_agents_are_looked_at_for_a_role_that_is_revived_not_suppressed(self) -> None:
        drf = allocator(agents=3)
        drf.add_framework("f0", ("*", "eng"), active=True)
        for grant in drf.allocate(0):
            drf.answered("f0", grant.agent_id)
            drf.recover("f0", grant.agent_id, grant.role, grant.resources, now_s=0, refuse_s=9)
        for grant in drf.allocate(0):
            drf.answered("f0", grant.agent_id)
            drf.recover("f0", grant.agent_id, grant.role, grant.resources, now_s=0, refuse_s=9)
        assert not drf.allocate(0)
        drf.suppress("f0", ["eng"])
        assert not drf.changed
        drf.revive("f0", ["eng"])
        assert [grant.role for grant in drf.allocate(0)] == ["eng"] * 3

    def test_what_a_role_has_a_claim_to_is_for_others_once_it_wants_nothing(self) -> None:
        drf = allocator()
        drf.add_framework("other", ("*",), active=True, suppressed=frozenset({"*"}))
        (grant,) = drf.allocate(0)
        drf.recover(grant.framework_id, "a0", "*", parse("cpus:2;mem:64"), now_s=0)
        drf.keep_for("f0", "*", "a0", 0)
        drf.revive("other", ())
        assert not drf.allocate(0), "f0 has not answered, and has a claim to the rest"
        drf.suppress("f0", ["*"])
        assert [grant.framework_id for grant in drf.allocate(0)] == ["other"]
