"""Who goes for whom: held against the planner, which is to place what room was made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_binpack.placement.agents import KnownAgents, OfferedAgent, Placements
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import read_policy
from pymesos_binpack.placement.planner import Situation, plan
from pymesos_binpack.placement.ports import ranges_of
from pymesos_binpack.placement.preemption import (
    MakingRoom,
    Preemption,
    Running,
    RunningTask,
)
from pymesos_binpack.placement.preemption import preemption as preemption_of
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_core.resource_values import count
from pymesos_core.resources import Resources, devices, parse

BEST_FIT = read_policy("best-fit")
WHOLE = "cpus:8;mem:80;ports:[1-4];gpus#0:1;gpus#1:1"
AGENTS = [OfferedAgent(name, {"hostname": name}, parse(WHOLE)) for name in ("a", "b", "c")]
KINDS = [
    "cpus:2;mem:10",
    "cpus:1;mem:40",
    "cpus:4;mem:20;gpus#0:1",
    "cpus:1;mem:1;gpus#1:0.5",
    "cpus:1;mem:1;ports:[1-2]",
]


def preemption(
    unit: Sequence[PendingTask],
    there: Sequence[RunningTask],
    free: Mapping[str, Resources],
    agents: Sequence[OfferedAgent] = AGENTS,
    homes: Mapping[str, str] = MappingProxyType({}),
) -> Preemption | None:
    return preemption_of(unit, Running.of(there), free, agents, Placements(), homes)


def running(task_id: str, agent_id: str, priority: int, has: str) -> RunningTask:
    given = parse(has)
    ports = frozenset(p for begin, end in ranges_of(given) for p in range(begin, end + 1))
    return RunningTask(task_id, agent_id, priority, given.quantities, ports, devices(given))


def gang(size: int, priority: int, text: str) -> list[PendingTask]:
    needs = parse(text)
    ports = sum(count(bag.ranges.get("ports", ())) for _, bag in needs.parts())
    name = "g" if size > 1 else ""
    return [
        PendingTask(f"t{n}", "g", dict(needs.quantities), ports, priority=priority, gang=name)
        for n in range(size)
    ]


def placed_without(
    gone: Sequence[str], tasks: list[tuple[RunningTask, Resources]], unit: list[PendingTask]
) -> int:
    """How many of the unit the planner places when some have ended."""
    offers = []
    for agent in AGENTS:
        left = agent.total
        for task, has in tasks:
            if task.agent_id == agent.agent_id and task.task_id not in gone:
                left = left - has
        offers.append(AgentOffers((agent.agent_id,), agent, left))
    return len(plan(unit, offers, BEST_FIT, Situation(KnownAgents(AGENTS))).launches)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from(KINDS))),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from(["cpus:3;mem:15", "cpus:1;mem:50", "cpus:1;gpus:1", "cpus:2;ports:[1-3]"]),
)
def test_room_is_made_where_it_can_be_and_by_the_less_urgent_only(
    there: list[tuple[str, int, str]], size: int, priority: int, text: str
) -> None:
    """All of a unit are alike, so that how many fit does not depend on the order."""
    left = {agent.agent_id: agent.total for agent in AGENTS}
    tasks: list[tuple[RunningTask, Resources]] = []
    for number, (agent_id, lower, kind) in enumerate(there):
        if left[agent_id].contains(parse(kind)):
            left[agent_id] = left[agent_id] - parse(kind)
            tasks.append((running(f"r{number}", agent_id, lower, kind), parse(kind)))
    unit = gang(size, priority, text)
    everyone = [task for task, _ in tasks]
    lower_ids = [task.task_id for task in everyone if task.priority < priority]
    made = preemption(unit, everyone, left, AGENTS, {})
    if placed_without((), tasks, unit) == size:
        assert made is None, "nobody has to go"
    elif made is None:
        assert placed_without(lower_ids, tasks, unit) < size
    else:
        assert set(made.victims) <= set(lower_ids)
        assert placed_without(made.victims, tasks, unit) == size
        assert {t.agent_id for t in everyone if t.task_id in made.victims} <= made.agents


def test_the_least_important_go_where_the_fewest_must() -> None:
    tasks = [
        running("a1", "a", 2, "cpus:8;mem:10"),
        running("b1", "b", 1, "cpus:4;mem:10"),
        running("b2", "b", 1, "cpus:4;mem:10"),
        running("c1", "c", 1, "cpus:8;mem:10"),
    ]
    made = preemption(gang(1, 5, "cpus:8;mem:10"), tasks, {}, AGENTS, {})
    assert made == Preemption(("c1",), frozenset("c"))


def test_a_task_with_data_is_made_room_for_where_they_are() -> None:
    tasks = [running("a1", "a", 2, "cpus:8;mem:10"), running("b1", "b", 1, "cpus:8;mem:10")]
    made = preemption(gang(1, 5, "cpus:8;mem:10"), tasks, {}, AGENTS, {"t0": "a"})
    assert made is not None and made.victims == ("a1",)


def test_who_has_the_host_port_goes_and_nobody_else() -> None:
    there = [
        running("has-it", "a", 1, "cpus:1;mem:10;ports:[2-2]"),
        running("other", "a", 0, "cpus:6;mem:60;ports:[3-3]"),
    ]
    free = {"a": parse("cpus:1;mem:10;ports:[1-1,4-4]")}
    wanted = replace(gang(1, 2, "cpus:1;mem:10;ports:[1-1]")[0], host_ports=(2,))
    agents = AGENTS[:1]
    made = preemption([wanted], there, free, agents, {})
    assert made is not None and made.victims == ("has-it",)
    free_one = replace(wanted, host_ports=(4,))
    assert preemption([free_one], there, free, agents, {}) is None  # it fits
    elsewhere = replace(wanted, host_ports=(9,))
    assert preemption([elsewhere], there, free, agents, {}) is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from(KINDS))),
    st.integers(1, 6),
    st.sampled_from(["cpus:3;mem:15", "cpus:1;mem:50", "cpus:1;gpus:1", "cpus:2;ports:[1-3]"]),
)
def test_one_after_another_is_made_room_for_in_what_is_left(
    there: list[tuple[str, int, str]], size: int, text: str
) -> None:
    """All are alike and alone: each takes what was free, or what victims of its own leave."""
    left = {agent.agent_id: agent.total for agent in AGENTS}
    tasks: list[tuple[RunningTask, Resources]] = []
    for number, (agent_id, lower, kind) in enumerate(there):
        if left[agent_id].contains(parse(kind)):
            left[agent_id] = left[agent_id] - parse(kind)
            tasks.append((running(f"r{number}", agent_id, lower, kind), parse(kind)))
    units = [[replace(task, gang="")] for task in gang(size, 2, text)]
    making = MakingRoom(Running.of(task for task, _ in tasks), left, AGENTS, Placements(), ())
    chosen = [making.choose(unit, {}) for unit in units]
    gone = [task_id for made in chosen if made is not None for task_id in made.victims]
    assert len(gone) == len(set(gone)), "nobody goes twice"
    everyone = [unit[0] for unit in units]
    fit_before = placed_without((), tasks, everyone)
    helped = sum(made is not None for made in chosen)
    assert placed_without(gone, tasks, everyone) >= helped
    lower_ids = [task.task_id for task, _ in tasks if task.priority < 2]
    assert set(gone) <= set(lower_ids)
    if placed_without(lower_ids, tasks, everyone) > fit_before:
        assert helped, "somebody can be helped"


def test_a_gang_for_which_there_is_no_room_takes_none() -> None:
    tasks = [running("a1", "a", 1, "cpus:8;mem:10"), running("b1", "b", 1, "cpus:8;mem:10")]
    making = MakingRoom(Running.of(tasks), {}, AGENTS[:2], Placements(), ())
    assert making.choose(gang(3, 5, "cpus:8;mem:10"), {}) is None
    made = making.choose(gang(2, 5, "cpus:8;mem:10"), {})
    assert made is not None and set(made.victims) == {"a1", "b1"}
    assert making.choose(gang(1, 5, "cpus:8;mem:10"), {}) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.sampled_from(KINDS), st.booleans())
    ),
    st.sampled_from(["cpus:3;mem:15", "cpus:1;mem:50", "cpus:1;gpus:1", "cpus:2;ports:[1-3]"]),
)
def test_nobody_is_missed_where_the_others_would_do(
    there: list[tuple[str, int, str, bool]], text: str
) -> None:
    left = {agent.agent_id: agent.total for agent in AGENTS}
    tasks: list[tuple[RunningTask, Resources]] = []
    for number, (agent_id, lower, kind, missed) in enumerate(there):
        if left[agent_id].contains(parse(kind)):
            left[agent_id] = left[agent_id] - parse(kind)
            task = running(f"r{number}", agent_id, lower, kind)
            service = replace(task, service=f"s{number % 2}", spare=0 if missed else 9)
            tasks.append((service, parse(kind)))
    unit = gang(1, 2, text)
    everyone = [task for task, _ in tasks]
    spared = [task.task_id for task in everyone if task.spare and task.priority < 2]
    made = preemption(unit, everyone, left, AGENTS, {})
    if made is not None and placed_without(spared, tasks, unit):
        assert set(made.victims) <= set(spared)


def test_whom_a_service_can_spare_goes_before_whom_it_cannot() -> None:
    """As in Kubernetes: the budgets come first, and priorities then."""
    tight = replace(running("tight", "a", 0, "cpus:8;mem:10"), service="s")
    loose = replace(running("loose", "b", 2, "cpus:8;mem:10"), service="t", spare=1)
    batch = running("batch", "b", 3, "cpus:8;mem:10")
    wanted = gang(1, 5, "cpus:8;mem:10")
    for there, victim in (([tight, loose], "loose"), ([tight, batch], "batch"), ([tight], "tight")):
        made = preemption(wanted, there, {}, AGENTS, {})
        assert made is not None and made.victims == (victim,)


def test_each_that_goes_is_one_that_its_service_can_spare_less() -> None:
    there = [
        replace(running(f"web{n}", agent, 0, "cpus:8;mem:10"), service="web", spare=1)
        for n, agent in enumerate("ab")
    ] + [running("batch", "c", 3, "cpus:8;mem:10")]
    wanted = gang(2, 5, "cpus:8;mem:10")
    made = preemption(wanted, there, {}, AGENTS, {})
    assert made is not None and made.victims == ("web0", "batch")
    making = MakingRoom(Running.of(there), {}, AGENTS, Placements(), ())
    chosen = [making.choose([replace(task, gang="")], {}) for task in wanted]
    assert [made.victims for made in chosen if made is not None] == [("web0",), ("batch",)]
    both = Running.of(there)
    chosen = [preemption_of([t], both, {}, AGENTS, Placements(), {}) for t in wanted]
    assert [made.victims for made in chosen if made is not None] == [("web0",), ("batch",)]


def test_who_need_not_go_is_spared_the_most_important_first() -> None:
    there = [
        running("least", "a", 0, "cpus:2;mem:10"),
        running("more", "a", 1, "cpus:2;mem:10"),
        running("large", "a", 2, "cpus:4;mem:70"),
    ]
    made = preemption(gang(1, 5, "cpus:6;mem:60"), there, {}, AGENTS[:1], {})
    assert made is not None and set(made.victims) == {"least", "large"}


def web(name: str, has: str, spare: int = 1) -> RunningTask:
    return replace(running(name, "a", 0, has), service="web", spare=spare)


def test_of_two_versions_the_one_goes_that_makes_the_room() -> None:
    """A service that can spare one is not to lose two."""
    there = [web("1", "cpus:2;mem:30"), web("2", "cpus:2;mem:30"), web("3", "cpus:4;mem:10")]
    made = preemption(gang(1, 5, "cpus:4;mem:10"), there, {})
    assert made is not None and made.victims == ("3",)


def test_a_service_is_spared_more_before_others_are() -> None:
    there = [web("1", "cpus:1;mem:40"), web("2", "cpus:4;mem:10")]
    batch = running("batch", "a", 3, "cpus:1;mem:10")
    made = preemption(gang(1, 5, "cpus:5;mem:10"), [*there, batch], {})
    assert made is not None and set(made.victims) == {"2", "batch"}


def test_those_that_may_miss_fewer_take_nothing_from_those_that_may_miss_more() -> None:
    """Instances that there were before a rollout may miss fewer than those beyond them."""
    there = [web("before", "cpus:4;mem:10", 0), web("beyond", "cpus:4;mem:10", 1)]
    batch = running("batch", "a", 3, "cpus:4;mem:10")
    made = preemption(gang(1, 5, "cpus:4;mem:10"), [*there, batch], {})
    assert made is not None and made.victims == ("beyond",)


def test_many_agents_with_two_versions_are_not_looked_at_in_all_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands of them would hold up the framework, and its lead with it, for minutes."""
    monkeypatch.setattr("pymesos_binpack.placement.preemption.MOST_WAYS_TOGETHER", 100)
    agents = [OfferedAgent(f"a{n}", {}, parse(WHOLE)) for n in range(20)]
    there = Running.of(
        replace(
            web(f"{agent.agent_id}{service}{n}", has, 2), agent_id=agent.agent_id, service=service
        )
        for agent in agents
        for service in "rst"
        for n, has in enumerate((f"cpus:1;mem:{ord(service)}", "cpus:2;mem:1") * 2)
    )
    made = preemption_of(gang(1, 2, "cpus:6;mem:2"), there, {}, agents, Placements(), {})
    assert made is not None and len(made.victims) == 3 and there.ways_left == 0


@given(
    st.lists(
        st.tuples(st.sampled_from("st"), st.sampled_from(KINDS[:3]), st.booleans()),
        min_size=1,
        max_size=7,
    ),
    st.integers(0, 2),
    st.sampled_from(["cpus:4;mem:10", "cpus:3;mem:50", "cpus:6;mem:30"]),
)
def test_nobody_is_missed_where_some_choice_would_spare_all(
    there: list[tuple[str, str, bool]], spare: int, text: str
) -> None:
    """Held against every choice that there is."""
    tasks = [
        replace(running(f"r{n}", "a", 0, has), service="" if batch else service, spare=spare)
        for n, (service, has, batch) in enumerate(there)
    ]
    wanted = gang(1, 2, text)

    def makes_room(some: Sequence[RunningTask]) -> bool:
        freed = [sum(task.scalars.get(name, 0) for task in some) for name in ("cpus", "mem")]
        return freed[0] >= wanted[0].scalars["cpus"] and freed[1] >= wanted[0].scalars["mem"]

    def is_spared(some: Sequence[RunningTask]) -> bool:
        return all(sum(t.service == s for t in some) <= spare for s in "st")

    choices = [c for size in range(8) for c in combinations(tasks, size) if makes_room(c)]
    made = preemption(wanted, tasks, {}, AGENTS[:1])
    assert (made is None) == (not choices)
    if made is not None and any(map(is_spared, choices)):
        assert is_spared([task for task in tasks if task.task_id in made.victims])
