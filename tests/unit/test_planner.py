"""The planner: a pure function from tasks and offers to launches and reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_binpack.constraints import ConstraintError, parse_constraint
from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import (
    DEFAULT_POLICY,
    POLICIES,
    Workload,
    read_policy,
    shape_of,
)
from pymesos_binpack.placement.planner import Plan, Situation, plan
from pymesos_binpack.placement.ports import in_ranges
from pymesos_binpack.placement.reasons import explain
from pymesos_binpack.placement.tasks import Cause, PendingTask, Refusal
from pymesos_core.resource_tags import Reservation, Tag, Volume
from pymesos_core.resource_values import count
from pymesos_core.resources import Resources, parse, total

BEST_FIT = read_policy("best-fit")


def offer(name: str, text: str, of: str = "", **attributes: str) -> AgentOffers:
    agent = OfferedAgent(name, {"hostname": name, **attributes}, parse(of or text), ("process",))
    return AgentOffers((f"o-{name}",), agent, parse(text))


def task(name: str, text: str = "cpus:1;mem:10", ports: int = 0, *rules: str) -> PendingTask:
    constraints = tuple(parse_constraint(rule) for rule in rules)
    return PendingTask(name, "group", parse(text).scalars, ports, constraints)


def where(made: Plan) -> dict[str, str]:
    return {launch.task.task_id: launch.offer.agent.agent_id for launch in made.launches}


def test_best_fit_keeps_large_gaps_large() -> None:
    offers = [offer("big", "cpus:8;mem:800"), offer("small", "cpus:2;mem:200")]
    assert where(plan([task("t")], offers, BEST_FIT)) == {"t": "small"}
    assert where(plan([task("t")], offers, read_policy("spread"))) == {"t": "big"}


def test_what_uses_secrets_goes_to_agents_that_know_them() -> None:
    old = offer("old", "cpus:8;mem:800")
    old = replace(old, agent=replace(old.agent, knows_secrets=False))
    asking = replace(task("t"), secrets=True)
    known = KnownAgents([old.agent])
    assert not plan([asking], [old], BEST_FIT).launches
    assert where(plan([task("t")], [old], BEST_FIT)) == {"t": "old"}
    refusal = explain(asking, known, [(old.agent, old.available)], Placements())
    assert refusal.cause == Cause.UNWELCOME and "knows no secrets" in refusal.text
    new = offer("new", "cpus:2;mem:200")
    assert where(plan([asking], [old, new], BEST_FIT)) == {"t": "new"}


def test_what_another_signal_ends_goes_to_agents_that_know_it() -> None:
    old = offer("old", "cpus:8;mem:800")
    old = replace(old, agent=replace(old.agent, knows_signals=False))
    asking = replace(task("t"), signals=True)
    (refusal,) = plan([asking], [old], BEST_FIT).unplaced.values()
    assert refusal.cause == Cause.UNWELCOME and "by SIGTERM only" in refusal.text
    assert where(plan([task("t")], [old], BEST_FIT)) == {"t": "old"}
    new = offer("new", "cpus:2;mem:200")
    assert (
        where(plan([asking, replace(task("u"), signals=False)], [old, new], BEST_FIT))["t"] == "new"
    )


def test_the_largest_tasks_go_first() -> None:
    offers = [offer("a", "cpus:4;mem:400"), offer("b", "cpus:3;mem:400")]
    tasks = [task("small", "cpus:3;mem:10"), task("large", "cpus:4;mem:10")]
    assert where(plan(tasks, offers, BEST_FIT)) == {"large": "a", "small": "b"}


def test_another_order_is_tried_when_something_is_left() -> None:
    """The largest first leaves one over here; together they are exactly the two agents."""
    offers = [offer("a", "cpus:10;mem:10"), offer("b", "cpus:10;mem:10")]
    needs = ("cpus:6;mem:1", "cpus:5;mem:5", "cpus:5;mem:5", "cpus:4;mem:9")
    tasks = [task(f"t{n}", text) for n, text in enumerate(needs)]
    assert len(plan(tasks, offers, BEST_FIT).launches) == 4


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    offers = [offer("a", "cpus:4;mem:400"), offer("b", "cpus:1;mem:400")]
    gang = [
        PendingTask(f"g{n}", "gang", parse("cpus:2;mem:10").scalars, gang="gang") for n in range(3)
    ]
    made = plan([*gang, task("alone", "cpus:1;mem:10")], offers, BEST_FIT)
    assert set(where(made)) == {"alone"}
    assert "its gang does not fit" in made.unplaced["g0"].text
    assert made.of_use_to_gangs == {"o-a"}
    assert set(where(plan(gang[:2], offers, BEST_FIT))) == {"g0", "g1"}


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3)), max_size=25),
    st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), max_size=6),
    st.sampled_from([DEFAULT_POLICY, *sorted(POLICIES)]),
)
def test_no_offer_is_ever_exceeded_and_every_task_is_accounted_for(
    needs: list[tuple[int, int, int]], sizes: list[tuple[int, int]], policy: str
) -> None:
    offers = [
        offer(f"a{n}", f"cpus:{c};mem:{m};ports:[{n * 10}-{n * 10 + 4}]")
        for n, (c, m) in enumerate(sizes)
    ]
    tasks = [task(f"t{n}", f"cpus:{c};mem:{m}", p) for n, (c, m, p) in enumerate(needs)]
    made = plan(tasks, offers, read_policy(policy))
    assert {*where(made), *made.unplaced} == {t.task_id for t in tasks}
    assert len(made.launches) + len(made.unplaced) == len(tasks)
    for one in offers:
        used = total(launch.resources for launch in made.launches if launch.offer is one)
        assert one.available.contains(used)
    assert all(refusal.text for refusal in made.unplaced.values())


@pytest.mark.parametrize(
    ("wanted", "says", "lasting"),
    [
        (task("t", "cpus:8;mem:10"), "needs 8 cpus, the largest agent has 4 cpus", True),
        (task("t", "mem:900"), "needs 900 MiB mem, the largest agent has 800 MiB mem", True),
        (task("t", "gpus:1"), "needs 1 gpus, the largest agent has 0 gpus", True),
        (task("t", "cpus:1", 9), "needs 9 ports, the largest agent has 0", True),
        (task("t", "cpus:4;mem:700"), "no agent has that much of all", True),
        (task("t", "cpus:1", 0, "rack:IS:z"), "rack:IS:z: rack is r1", True),
        (task("t", "cpus:1", 0, "gpu:UNIQUE"), "it has no attribute gpu", True),
        (task("t", "cpus:3;mem:10"), "needs 3 cpus, the most that is free is 2 cpus", False),
    ],
)
def test_why_not(wanted: PendingTask, says: str, lasting: bool) -> None:
    offers = [
        offer("a", "cpus:2;mem:400", "cpus:4;mem:400", rack="r1"),
        offer("b", "cpus:1;mem:800", "cpus:2;mem:800", rack="r1"),
    ]
    refusal = plan([wanted], offers, BEST_FIT).unplaced["t"]
    assert says in refusal.text
    assert refusal.lasting == lasting


@pytest.mark.parametrize(
    ("gang", "cause", "says"),
    [("", Cause.OTHERS_FIRST, "others went first"), ("g", Cause.GANG, "as a whole")],
)
def test_what_would_fit_and_was_not_placed(gang: str, cause: Cause, says: str) -> None:
    agent = offer("a", "cpus:4;mem:400").agent
    wanted = replace(task("t"), gang=gang)
    refusal = explain(
        wanted, KnownAgents([agent]), [(agent, parse("cpus:4;mem:400"))], Placements()
    )
    assert refusal.cause is cause and says in refusal.text and not refusal.lasting


def test_nothing_offered() -> None:
    assert "no agent has been offered" in plan([task("t")], [], BEST_FIT).unplaced["t"].text
    seen = [offer("a", "cpus:4;mem:400").agent]
    refusal = plan([task("t")], [], BEST_FIT, Situation(KnownAgents(seen))).unplaced["t"]
    assert "in use" in refusal.text and not refusal.lasting


def test_what_was_too_large_or_unwelcome_is_asked_again_when_an_agent_is_new() -> None:
    situation = Situation()
    tasks = [task("big", "cpus:8", 0), task("there", "cpus:1", 0, "rack:IS:r2")]
    first = plan(tasks, [offer("a", "cpus:4;mem:400", rack="r1")], BEST_FIT, situation)
    assert all(refusal.lasting for refusal in first.unplaced.values())
    grown = plan(tasks[:1], [offer("a", "cpus:0;mem:1", "cpus:8;mem:400")], BEST_FIT, situation)
    assert not grown.unplaced["big"].lasting
    second = plan(tasks, [offer("b", "cpus:8;mem:1", rack="r2")], BEST_FIT, situation)
    assert where(second) == {"big": "b"}
    assert not second.unplaced["there"].lasting


class TestConstraints:
    RACKS = (
        offer("a", "cpus:9;mem:900", rack="r1"),
        offer("b", "cpus:9;mem:900", rack="r1"),
        offer("c", "cpus:9;mem:900", rack="r2"),
        offer("d", "cpus:9;mem:900"),
    )

    def test_unique(self) -> None:
        tasks = [task(f"t{n}", "cpus:1", 0, "rack:UNIQUE") for n in range(3)]
        made = plan(tasks, self.RACKS, BEST_FIT)
        racks = {launch.offer.agent.attributes["rack"] for launch in made.launches}
        assert len(made.launches) == 2 and racks == {"r1", "r2"}
        assert "has one already" in next(iter(made.unplaced.values())).text

    def test_unique_counts_what_runs(self) -> None:
        placed = {"group": [{"hostname": "x", "rack": "r2"}]}
        made = plan(
            [task("t", "cpus:1", 0, "rack:UNIQUE")],
            self.RACKS,
            BEST_FIT,
            Situation(placed=Placements(placed)),
        )
        assert where(made)["t"] in ("a", "b")

    def test_group_by_spreads_evenly(self) -> None:
        tasks = [task(f"t{n}", "cpus:1", 0, "rack:GROUP_BY") for n in range(6)]
        made = plan(tasks, self.RACKS, BEST_FIT)
        racks = [launch.offer.agent.attributes["rack"] for launch in made.launches]
        assert sorted(racks) == ["r1"] * 3 + ["r2"] * 3

    def test_is_and_unlike(self) -> None:
        assert where(plan([task("t", "cpus:1", 0, "rack:IS:r2")], self.RACKS, BEST_FIT)) == {
            "t": "c"
        }
        unlike = task("t", "cpus:1", 0, "hostname:UNLIKE:[abc]")
        assert where(plan([unlike], self.RACKS, BEST_FIT)) == {"t": "d"}

    def test_in_is_one_of_several(self) -> None:
        wanted = [task(f"t{n}", "cpus:1", 0, "hostname:IN:c|d|z") for n in range(3)]
        made = plan(wanted, self.RACKS, BEST_FIT)
        assert set(where(made).values()) <= {"c", "d"}
        nowhere = plan([task("t", "cpus:1", 0, "rack:IN:r8|r9")], self.RACKS, BEST_FIT)
        assert "rack:IN:r8|r9: rack is r1; rack:IN:r8|r9: rack is r2" in nowhere.unplaced["t"].text

    @pytest.mark.parametrize(
        "text",
        ["rack", "rack:NEAR", ":IS:a", "rack:IS", "rack:IS:", "rack:UNLIKE:(", "rack:UNIQUE:x",
         "rack:IN:", "rack:IN:a||b", "rack:IN:a|"],
    )  # fmt: skip
    def test_what_is_no_constraint(self, text: str) -> None:
        with pytest.raises(ConstraintError):
            parse_constraint(text)


class TestModels:
    """`gpu_model` is what an agent's GPUs are; a task says which will do."""

    OFFERS = (
        offer("t4", "cpus:8;mem:80;gpus#0:1;gpus#1:1", gpu_model="T4"),
        offer("v16", "cpus:8;mem:80;gpus#0:1", gpu_model="V100M16"),
        offer("v32", "cpus:8;mem:80;gpus#0:1;gpus#1:1", gpu_model="V100M32"),
        offer("none", "cpus:8;mem:80;gpus#0:1;gpus#1:1"),
    )

    @pytest.mark.parametrize("policy", [DEFAULT_POLICY, *sorted(POLICIES)])
    def test_only_models_that_will_do(self, policy: str) -> None:
        wanted = [
            task(f"t{n}", "cpus:1;gpus:1", 0, "gpu_model:IN:V100M16|V100M32") for n in range(5)
        ]
        made = plan(wanted, self.OFFERS, read_policy(policy))
        assert sorted(where(made).values()) == ["v16", "v32", "v32"]
        (two,) = plan(
            [task("t", "gpus:2", 0, "gpu_model:IS:T4")], self.OFFERS, read_policy(policy)
        ).launches
        assert two.offer.agent.agent_id == "t4"

    def test_why_not(self) -> None:
        for text, rule, says in (
            ("gpus:2", "gpu_model:IN:V100M16|A10", "gpu_model:IN:V100M16|A10: gpu_model is T4"),
            ("gpus:1", "gpu_model:IS:A10", "gpu_model:IS:A10: gpu_model is V100M16"),
        ):
            made = plan([task("t", text, 0, rule)], self.OFFERS, BEST_FIT)
            assert says in made.unplaced["t"].text and made.unplaced["t"].lasting

    def test_the_policy_is_told(self) -> None:
        """An FGD that knows what comes does not spend the only agent that will do for it."""
        policy = read_policy("fgd")
        only_v = shape_of({"cpus": 1000, "gpus": 1000}, ["V100M16"])
        policy.learn(Workload.of([shape_of({"cpus": 1000, "gpus": 1000}), only_v, only_v]))
        offers = [self.OFFERS[1], offer("t", "cpus:8;mem:80;gpus#0:1", gpu_model="T4")]
        assert where(plan([task("any", "cpus:1;gpus:1")], offers, policy)) == {"any": "t"}


def test_ports_are_not_always_the_first() -> None:
    one = offer("a", "cpus:99;mem:900;ports:[1000-1999]")
    made = plan([task(f"t{n}", "cpus:1", 1) for n in range(20)], [one], BEST_FIT)
    ports = [launch.ports[0][0] for launch in made.launches]
    assert len(set(ports)) == 20
    assert max(ports) - min(ports) > 100


class TestHostPorts:
    def test_each_goes_where_just_that_port_is_offered_and_to_an_agent_once(self) -> None:
        offers = [
            offer("a", "cpus:9;mem:900;ports:[1-5]"),
            offer("b", "cpus:9;mem:900;ports:[6-9]"),
            offer("c", "cpus:9;mem:900;ports:[1-2,7-9]"),
        ]
        tasks = [replace(task(f"t{n}", "cpus:1", 2), host_ports=(7,)) for n in range(3)]
        made = plan(tasks, offers, BEST_FIT)
        assert sorted(where(made).values()) == ["b", "c"]
        for launch in made.launches:
            ports = [p for begin, end in launch.ports for p in range(begin, end + 1)]
            assert 7 in ports and len(ports) == 2
        (refusal,) = made.unplaced.values()
        assert refusal.cause == Cause.OTHERS_FIRST and "the host port 7" in refusal.text

    def test_reserved_ports_are_given_with_their_reservation(self) -> None:
        one = offer("a", "cpus:9;mem:900;ports:[1-1];ports(prod):[7-8]")
        (launch,) = plan(
            [replace(task("t", "cpus:1", 2), host_ports=(8,))], [one], BEST_FIT
        ).launches
        assert one.available.contains(launch.resources)
        assert launch.ports == ((7, 8),)

    def test_a_port_that_others_hold_is_waited_for(self) -> None:
        known = KnownAgents()
        offers = [
            offer("a", "cpus:9;mem:900;ports:[1-6]", "cpus:9;mem:900;ports:[1-9]"),
            offer("b", "cpus:9;mem:900;ports:[1-6]"),
        ]
        wanted = replace(task("t", "cpus:1", 1), host_ports=(7,))
        (refusal,) = plan([wanted], offers, BEST_FIT, Situation(known)).unplaced.values()
        assert (refusal.cause, refusal.lasting) == (Cause.PORT_TAKEN, False)
        assert refusal.text == (
            "needs the host port 7, which others hold: free on none of 2 agents offered;"
            " 1 agent in all can offer it"
        )
        one = plan([wanted], offers[:1], BEST_FIT, Situation(known)).unplaced["t"]
        assert "which others hold: not free on the one agent offered;" in one.text
        freed = [offer("a", "cpus:9;mem:900;ports:[1-9]"), offers[1]]
        assert where(plan([wanted], freed, BEST_FIT, Situation(known))) == {"t": "a"}

    def test_one_that_no_agent_has_is_said_to_be(self) -> None:
        offers = [
            offer("a", "cpus:9;mem:900;ports:[1-6]"),
            offer("b", "cpus:9;mem:900;ports:[7-9]"),
        ]
        for ports, says in (
            ((99,), "the host port 99, which no agent has:"),
            (
                (6, 7),
                "the host ports 6, 7, which no agent has at once",
            ),
        ):
            wanted = replace(task("t", "cpus:1", len(ports)), host_ports=ports)
            (refusal,) = plan([wanted], offers, BEST_FIT).unplaced.values()
            assert (refusal.cause, refusal.lasting) == (Cause.NO_SUCH_PORT, True)
            assert says in refusal.text

    def test_where_the_port_is_free_something_else_may_be_missing(self) -> None:
        offers = [
            offer("a", "cpus:9;mem:900;ports:[1-6]"),
            offer("b", "cpus:1;mem:900;ports:[7-9]", "cpus:9;mem:900;ports:[7-9]"),
        ]
        wanted = replace(task("t", "cpus:2", 1), host_ports=(7,))
        (refusal,) = plan([wanted], offers, BEST_FIT).unplaced.values()
        assert refusal.text == "needs 2 cpus, the most that is free is 1 cpus with the host port 7"

    def test_ports_that_are_wanted_by_number_are_given_last_to_others(self) -> None:
        one = offer("a", "cpus:99;mem:900;ports:[1-9]")
        wanted = Situation(wanted_ports=in_ranges([*range(1, 5), *range(6, 10)]))
        (launch,) = plan([task("t", "cpus:1", 1)], [one], BEST_FIT, wanted).launches
        assert launch.ports == ((5, 5),)
        (launch,) = plan([task("t", "cpus:1", 9)], [one], BEST_FIT, wanted).launches
        assert count(launch.ports) == 9


def with_data(name: str, text: str, of: str) -> AgentOffers:
    """An agent that offers a volume v beside other resources."""
    made = offer(name, text, of=of)
    tag = Tag((Reservation("r"),), Volume("v", "data"))
    return replace(made, available=made.available + Resources(tagged={tag: parse("disk:10")}))


class TestDataOnOneAgent:
    """Room on another agent is none for a task that has its data on this one."""

    def refusal(self, text: str, *offers: AgentOffers, rule: str = "") -> Refusal:
        rules = (rule,) if rule else ()
        waiting = replace(task("t", text, 0, *rules), volumes=("v",), home="a", home_name="host-a")
        (refusal,) = plan([waiting], offers, BEST_FIT).unplaced.values()
        return refusal

    def test_too_little_is_free_there(self) -> None:
        here, big = with_data("a", "cpus:1;mem:400", "cpus:4;mem:400"), offer("b", "cpus:8;mem:800")
        refusal = self.refusal("cpus:2;mem:10", here, big)
        assert refusal.cause == Cause.TOO_LITTLE_FREE, "others did not go first"
        assert refusal.text == "on host-a: needs 2 cpus, the most that is free is 1 cpus"

    def test_it_has_become_too_large_for_it(self) -> None:
        here, big = with_data("a", "cpus:1;mem:400", "cpus:1;mem:400"), offer("b", "cpus:8;mem:800")
        refusal = self.refusal("cpus:2;mem:10", here, big)
        assert refusal.cause == Cause.TOO_LARGE
        assert refusal.text == "on host-a: needs 2 cpus, the largest agent has 1 cpus"
        assert not refusal.lasting, "its data may be given up"

    def test_a_constraint_that_another_meets(self) -> None:
        here, big = with_data("a", "cpus:4;mem:400", ""), offer("b", "cpus:8;mem:800", rack="r1")
        refusal = self.refusal("cpus:2;mem:10", here, big, rule="rack:IS:r1")
        assert refusal.cause == Cause.VOLUME_RULED_OUT
        assert "on host-a, where it may not run (rack:IS:r1: it has no attrib" in refusal.text


def test_what_is_kept_for_others_is_no_reason_where_it_would_not_do() -> None:
    """The agent that the constraint asks for is in use, whoever the other is kept for."""
    wrong, right = offer("a", "cpus:4;mem:400", rack="r1"), offer("b", "cpus:4;mem:400", rack="r2")
    known = KnownAgents([wrong.agent, right.agent])
    waiting = task("t", "cpus:1;mem:10", 0, "rack:IS:r2")
    refusal = explain(waiting, known, [], Placements(), [(wrong.agent, wrong.available)])
    assert refusal.cause == Cause.NOT_OFFERED
    assert "of those offered none will do: rack:IS:r2: rack is r1" in refusal.text
    refusal = explain(waiting, known, [], Placements(), [(right.agent, right.available)])
    assert refusal.cause == Cause.KEPT


def test_a_task_of_an_agent_that_is_unreachable_is_told_so() -> None:
    known = KnownAgents([offer("a", "cpus:4;mem:400").agent])
    known.lose("a")
    refusal = explain(replace(task("t"), home="a", home_name="host-a"), known, [], Placements())
    assert refusal.text == "on host-a: the agent is unreachable" and not refusal.lasting
