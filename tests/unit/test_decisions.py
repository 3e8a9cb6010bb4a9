"""Why a task is where it is: what the planner compared when it chose, told and stored in bounds."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pymesos_binpack import core as c
from pymesos_binpack.constraints import parse_constraint
from pymesos_binpack.placement.agents import OfferedAgent
from pymesos_binpack.placement.decisions import (
    MAX_BYTES,
    OTHERS,
    Decision,
    Other,
    RuledOut,
    from_text,
    most_first,
    to_text,
)
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import (
    DEFAULT_POLICY,
    POLICIES,
    Pool,
    Workload,
    meaning_of,
    read_policy,
    shape_of,
)
from pymesos_binpack.placement.packing.pool import Holdings, Node
from pymesos_binpack.placement.planner import KEPT, Situation, plan
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_binpack.services.views import placement_view
from pymesos_cli.operators.placements import placement_lines
from pymesos_core.jobs_json import placement_json
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job

BEST_FIT = read_policy("best-fit")
CHEAP = sorted(POLICIES.keys() - {"patience"})  # which solves a problem for every workload


def offer(name: str, text: str, of: str = "", **attributes: str) -> AgentOffers:
    agent = OfferedAgent(name, {"hostname": name, **attributes}, parse(of or text), ("process",))
    return AgentOffers((f"o-{name}",), agent, parse(text))


def task(name: str, text: str = "cpus:1;mem:10", *rules: str) -> PendingTask:
    constraints = tuple(parse_constraint(rule) for rule in rules)
    return PendingTask(name, "group", parse(text).scalars, 0, constraints)


def decision(
    tasks: list[PendingTask], offers: list[AgentOffers], situation: Situation | None = None
) -> Decision:
    made = plan(tasks, offers, BEST_FIT, situation).launches[-1].decision
    assert made is not None
    return made


def test_the_scores_are_those_that_decided() -> None:
    offers = [offer("big", "cpus:8;mem:800"), offer("small", "cpus:2;mem:200")]
    made = decision([task("t", "cpus:1;mem:100")], offers)
    # What is left of each, as parts of what it has; the ports count as one that is left whole.
    assert made.score == pytest.approx(0.5 + 0.5)
    assert made.others == (Other("big", pytest.approx(0.875 + 0.875)),)  # type: ignore[arg-type]
    assert (made.policy, made.considered, made.fitted, made.ruled_out) == ("best-fit", 2, 2, ())


def test_what_rules_agents_out_is_counted_with_examples() -> None:
    offers = [
        *(offer(f"b{n}", "cpus:4;mem:400", rack="b") for n in range(4)),
        offer("unnamed", "cpus:4;mem:400"),
        offer("full", "cpus:1;mem:5", "cpus:4;mem:400", rack="a"),
        offer("slow", "cpus:0.5;mem:400", "cpus:4;mem:400", rack="a"),
        offer("other", "cpus:4;mem:400", rack="a"),
        offer("good", "cpus:2;mem:20", rack="a"),
    ]
    wanted = replace(task("t", "cpus:1;mem:10", "rack:IS:a"), runtimes=("process", "oci"))
    bare = replace(offers[-2].agent, runtimes=("docker",))
    offers[-2] = replace(offers[-2], agent=bare)
    made = decision([wanted], offers)
    assert (made.considered, made.fitted, made.others) == (9, 1, ())
    assert made.ruled_out == (
        RuledOut("rack:IS:a", 5, ("b0: rack is b", "b1: rack is b", "b2: rack is b")),
        RuledOut("it has none of the runtimes process, oci", 1, ("other",)),
        RuledOut("too little cpus is free", 1, ("slow",)),
        RuledOut("too little mem is free", 1, ("full",)),
    )


def test_room_that_is_kept_for_others_is_named() -> None:
    offers = [offer("kept", "cpus:1;mem:10"), offer("good", "cpus:2;mem:20")]
    made = decision([task("t")], offers, Situation(kept={"kept": 5}))
    assert made.ruled_out == (RuledOut(KEPT, 1, ("kept",)),) and made.fitted == 1


def test_what_became_full_during_the_plan_is_told_of_the_later_tasks() -> None:
    offers = [offer(f"a{n}", "cpus:1;mem:10") for n in range(3)]
    made = plan([task(f"t{n}") for n in range(3)], offers, BEST_FIT)
    fitted = [launch.decision and launch.decision.fitted for launch in made.launches]
    assert fitted == [3, 2, 1]
    last = made.launches[-1].decision
    assert last is not None and last.ruled_out[0].examples == ("a0", "a1")


def test_a_whole_gpu_that_is_missing_rules_an_agent_out() -> None:
    offers = [offer("none", "cpus:9;mem:99"), offer("two", "cpus:1;mem:10;gpus#0:1;gpus#1:1")]
    made = decision([task("t", "cpus:1;mem:10;gpus:1")], offers)
    assert made.ruled_out == (RuledOut("too little gpus is free", 1, ("none",)),)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.booleans()), max_size=12),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=7),
    st.sampled_from(CHEAP),
)
@example([(2, 3, True), (5, 1, False), (2, 3, True)], [(9, 9), (20, 4), (6, 30)], DEFAULT_POLICY)
def test_of_any_plan_all_agents_are_accounted_for_and_none_scored_lower(
    needs: list[tuple[int, int, bool]], sizes: list[tuple[int, int]], policy: str
) -> None:
    offers = [offer(f"a{n}", f"cpus:{c};mem:{m}", rack=f"r{n % 2}") for n, (c, m) in
              enumerate(sizes)]  # fmt: skip
    tasks = [
        task(f"t{n}", f"cpus:{c};mem:{m}", *(["rack:IS:r0"] if rule else []))
        for n, (c, m, rule) in enumerate(needs)
    ]
    chosen, again = read_policy(policy), read_policy(policy)
    workload = Workload.of([shape_of(each.scalars) for each in tasks])
    chosen.learn(workload)
    again.learn(workload)
    pool = Pool([_node(c, m) for c, m in sizes], again)
    for launch in plan(tasks, offers, chosen).launches:
        made = launch.decision
        assert made is not None
        assert made.considered == len(offers)
        assert made.fitted + sum(rule.agents for rule in made.ruled_out) == len(offers)
        assert all(made.score <= other.score for other in made.others)
        assert len(made.others) == min(3, made.fitted - 1)
        shape = shape_of({**launch.task.scalars})
        row = int(launch.offer.agent.agent_id[1:])
        rows = np.array([row], dtype=np.int64)
        need = np.array([dict(shape.scalars).get(name, 0) for name in pool.names])
        after = Holdings(pool.scalars[rows] - need, pool.gpus[rows])
        score = float(again.score(pool, shape, rows, after)[0])
        assert made.score == pytest.approx(score), policy
        pool.scalars[row] -= need


def _node(cpus: int, mem: int) -> Node:
    whole = {**parse(f"cpus:{cpus};mem:{mem}").scalars, "ports": 1}
    return Node(whole, {**whole, "ports": 0})


# Stored, and told.


@given(
    st.lists(st.tuples(st.text(max_size=300), st.floats(allow_nan=False)), max_size=3),
    st.lists(
        st.tuples(st.text(max_size=300), st.integers(1, 10**6), st.lists(st.text(), max_size=3)),
        max_size=12,
    ),
    st.text(max_size=300),
)
def test_what_is_stored_is_small_whatever_it_says(
    others: list[tuple[str, float]], ruled: list[tuple[str, int, list[str]]], policy: str
) -> None:
    rules = most_first(RuledOut(r, n, tuple(e)) for r, n, e in ruled)
    made = Decision(policy, 9, 5, 0.5, tuple(Other(*o) for o in others), rules, 7.0)
    text = to_text(made)
    assert len(text.encode()) <= MAX_BYTES
    back = from_text(text)
    assert back is not None and (back.considered, back.fitted, back.score) == (9, 5, 0.5)
    told = sum(rule.agents for rule in back.ruled_out)
    assert told == sum(number for _, number, _ in ruled)


def test_what_is_small_is_stored_as_it_is() -> None:
    made = Decision("p", 9, 5, 0.5, (Other("h", 1.5),), (RuledOut("r", 4, ("x: y", "z")),), 7.0)
    assert from_text(to_text(made)) == made
    assert to_text(made) == json.dumps(asdict(made), separators=(",", ":"))


def test_what_is_too_long_loses_its_last_rules_and_no_agent() -> None:
    rules = most_first(RuledOut("\u00e9" * 90 + str(n), 9 - n) for n in range(8))
    back = from_text(to_text(Decision("p", 60, 16, 0.5, (), rules, 7.0)))
    assert back is not None and back.ruled_out[-1].rule == OTHERS
    assert sum(rule.agents for rule in back.ruled_out) == 44
    assert back.ruled_out[0] == rules[0]


def test_beyond_six_rules_the_rest_is_summed() -> None:
    rules = most_first(RuledOut(f"r{n}", n + 1) for n in range(8))
    assert [rule.rule for rule in rules] == ["r7", "r6", "r5", "r4", "r3", "r2", OTHERS]
    assert rules[-1].agents == 2 + 1


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", "7", '{"policy": "p"}',
     json.dumps({"policy": "p", "considered": -1, "fitted": 0, "score": 0, "others": [],
                 "ruled_out": [], "at_s": 0}),
     json.dumps({"policy": "p", "considered": 1, "fitted": 1, "score": 0, "others": [{}],
                 "ruled_out": [], "at_s": 0})],
)  # fmt: skip
def test_what_cannot_be_read_is_no_decision(text: str) -> None:
    assert from_text(text) is None


def test_the_scores_of_every_policy_are_explained() -> None:
    for name in POLICIES:
        assert f"{name} is " in meaning_of(name)
    default = meaning_of(DEFAULT_POLICY)
    assert "patience is " in default and "0.003*fgd is " in default
    assert "my.module:Mine has scores of its own" in meaning_of("best-fit+my.module:Mine")


def running() -> BinpackHarness:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job())
    h.offer()
    h.update("j-r.t.0.1", pb.TASK_RUNNING)
    return h


def test_a_decision_is_told_after_a_failover_too() -> None:
    h = running()
    for core in (h.core, BinpackHarness(h.records).core):
        instance = core.instance_of("j-r.t.0.1")
        assert instance is not None
        view = placement_view(instance)
        assert (view.hostname, view.considered, view.fitted, view.unknown) == ("a", 1, 1, "")
        assert view.policy == "default" and view.placed_at_s == pytest.approx(1.8e9)
        assert len(view.SerializeToString()) < 8192


def test_of_what_an_earlier_version_placed_no_reason_is_known() -> None:
    h = running()
    key = ("instance", "j-r/t/0")
    record = json.loads(h.records[key])
    del record["decision"]
    h.records[key] = json.dumps(record).encode()
    instance = BinpackHarness(h.records).core.instance_of("j-r.t.0.1")
    assert instance is not None
    view = placement_view(instance)
    assert "earlier version" in view.unknown and view.hostname == "a"
    (line,) = placement_lines(view)
    assert line == f"  why on a: {view.unknown}"
    assert placement_json(view)["considered"] is None


def test_people_are_told_what_was_compared() -> None:
    h = running()
    made = Decision(
        "best-fit", 9, 6, 0.25, (Other("b", 0.5), Other("c", 0.75)),
        (RuledOut("rack:IS:a", 3, ("d: rack is b",)),), 1.8e9,
    )  # fmt: skip
    instance = h.core.instance_of("j-r.t.0.1")
    assert instance is not None
    instance.restore(instance.saved._replace(decision=to_text(made)))
    first, second, third, scores = placement_lines(placement_view(instance))
    assert first.startswith("  why on a: of 9 agents that were offered ")
    assert first.endswith(" ago, 6 would have done; its score was 0.25")
    assert second == "  the next best: b 0.5, c 0.75, and 3 more"
    assert third == "  ruled out 3: rack:IS:a (d: rack is b; …)"
    assert scores.startswith("  scores of the policy best-fit: the lowest wins, ")
    assert list(placement_lines(None)) == []
