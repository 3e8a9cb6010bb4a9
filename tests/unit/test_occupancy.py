"""What tasks have on agents is the same however it came about."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pymesos_binpack.jobs.instance import Instance, Saved
from pymesos_binpack.jobs.occupancy import Occupancy
from pymesos_testing.binpack_harness import job

SCALARS = [{"cpus": 1000}, {"cpus": 500, "mem": 2000}, {"gpus": 1000, "disk": 0}]
(SPEC,) = job().tasks


def running(number: int, agent_id: str) -> Instance:
    spec = replace(SPEC, scalars=SCALARS[number % len(SCALARS)])
    return Instance("j", "j", spec, number, Saved(task_id=f"t{number}", agent_id=agent_id))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 2), st.booleans()))
)
def test_it_is_the_sum_of_those_that_are_there(
    happened: list[tuple[int, str, int, bool]],
) -> None:
    occupancy = Occupancy()
    there: dict[str, tuple[Instance, int]] = {}
    for number, agent_id, priority, begins in happened:
        instance = running(number, agent_id)
        task_id = instance.saved.task_id
        if begins:  # also one that is there: its job has another priority
            instance = there[task_id][0] if task_id in there else instance
            occupancy.begin("r", priority, instance)
            there[task_id] = (instance, priority)
        else:
            occupancy.end(task_id)
            there.pop(task_id, None)
        anew = Occupancy()
        for each, own in there.values():
            anew.begin("r", own, each)
        assert occupancy == anew
        for agent in "ab":
            lower = [i for i, p in there.values() if p < 2 and i.saved.agent_id == agent]
            assert {i.index for i in occupancy.below("r", agent, 2)} == {i.index for i in lower}
            for name in ("cpus", "mem", "gpus"):
                held = occupancy.held_below("r", agent, 2).get(name, 0)
                assert held == sum(i.spec.scalars.get(name, 0) for i in lower)
    assert not occupancy.held_below("another", "a", 9)
