"""A long queue costs what the offers hold, and everybody in it knows why he waits."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import line_name, line_of
from pymesos_binpack.jobs.state import new_job
from pymesos_binpack.placement.agents import OfferedAgent
from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing import read_policy
from pymesos_binpack.placement.planner import plan
from pymesos_binpack.placement.queue import Queue, to_plan
from pymesos_binpack.specs import RestartRules
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness, job

SIZES = st.fixed_dictionaries(
    {"cpus": st.integers(1, 4), "mem": st.integers(1, 40), "ports": st.integers(0, 2)}
)


def offers(sizes: list[tuple[int, int]]) -> list[AgentOffers]:
    made = []
    for number, (cpus, mem) in enumerate(sizes):
        total = parse(f"cpus:{cpus};mem:{mem};ports:[1-3]")
        agent = OfferedAgent(
            f"a{number}", {"hostname": f"a{number}", "rack": str(number % 2)}, total
        )
        made.append(AgentOffers((f"o{number}",), agent, total))
    return made


@given(
    st.lists(
        st.tuples(SIZES, st.integers(1, 12), st.sampled_from([[], ["rack:GROUP_BY"]])),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 80)), max_size=4),
)
def test_as_many_are_placed_as_of_the_whole_queue(
    tasks: list[tuple[dict[str, int], int, list[str]]], sizes: list[tuple[int, int]]
) -> None:
    specs = [
        {"name": f"t{n}", "instances": instances, "command": "x", "resources": size,
         "constraints": constraints}
        for n, (size, instances, constraints) in enumerate(tasks)
    ]  # fmt: skip
    state = new_job("j", parse_job({"name": "j", "tasks": specs}), 0.0, "r")
    waiting: Queue[Instance] = Queue()
    for instance in state.instances:
        waiting.join(instance, line_name(instance), partial(line_of, instance, state.job))
    in_hand = offers(sizes)
    lines = list(waiting)
    some = [task for line in lines for task, _ in to_plan(line, in_hand).values()]
    for line in lines:
        line.preempt = True  # those are all looked at
    everybody = [task for line in lines for task, _ in to_plan(line, in_hand).values()]
    assert len(everybody) == len(state.instances)
    policy = read_policy("best-fit")
    whole, short = plan(everybody, in_hand, policy), plan(some, in_hand, policy)
    # In the first order; a longer queue of several kinds is searched for a better one.
    if len(lines) == 1:
        assert len(short.launches) == len(whole.launches)
    placed = {launch.task.task_id for launch in short.launches}
    for line in lines:
        ids = to_plan(line, in_hand).keys()
        assert ids <= placed or ids & short.unplaced.keys(), "somebody says why the others wait"


def test_everybody_in_a_long_queue_knows_why_he_waits() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    job_id = h.submit(job(instances=5000, resources={"cpus": 1, "mem": 10}))
    h.offer("cpus:3;mem:400")
    assert len(h.launched()) == 3
    last = h.core.jobs[job_id].instances[-1]
    assert "cpus" in last.explanation
    assert last.offers_seen == 1
    h.offer("cpus:1;mem:5")
    assert last.offers_seen == 2
    h.core.check()


def test_one_that_comes_back_says_why_it_ended_until_it_was_planned() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    job_id = h.submit(job(instances=3, retries=1, resources={"cpus": 4, "mem": 10}))
    h.offer("cpus:4;mem:400")
    h.update(h.launched()[0], pb.TASK_FAILED, 3)
    first, second = h.core.jobs[job_id].instances[:2]
    assert "TASK_FAILED" in first.explanation
    assert first.offers_seen == 0
    assert second.offers_seen == 1
    h.offer("cpus:1;mem:400")
    assert first.explanation == second.explanation
    assert (first.offers_seen, second.offers_seen) == (1, 2)


def test_one_that_is_kept_back_is_not_in_the_line() -> None:
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    job_id = h.submit(job("service", instances=1))
    for _ in range(2):
        h.offer()
        h.update(h.launched()[-1], pb.TASK_FAILED, 1)
    instance = h.core.jobs[job_id].instances[0]
    h.offer()
    assert len(h.launched()) == 2
    assert "TASK_FAILED" in instance.explanation
    h.core.check()
    h.advance(RestartRules().backoff_min_s)
    h.core.check()
    h.offer()
    assert len(h.launched()) == 3
