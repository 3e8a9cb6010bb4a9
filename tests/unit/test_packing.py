"""The pool, its policies, and replaying a trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_binpack.placement.packing import (
    DEFAULT_POLICY,
    POLICIES,
    Placement,
    PolicyError,
    Pool,
    Shape,
    ShapeError,
    Workload,
    policy_told,
    read_policy,
    shape_of,
    text_of,
)
from pymesos_binpack.placement.packing.bins import TooLargeError, fewest_bins
from pymesos_binpack.placement.packing.patience import LEVELS, SIDE_LEVELS, _values
from pymesos_binpack.placement.packing.policies import BestFit
from pymesos_binpack.placement.packing.pool import Floats, Holdings, Ints, Node
from pymesos_binpack.placement.packing.replay import (
    TraceError,
    arrivals,
    read_nodes,
    read_pods,
    replay,
)

NAMES = [DEFAULT_POLICY, *sorted(POLICIES)]


def node(cpus: int, mem: int = 100, gpus: int = 0, model: str = "") -> Node:
    has = {"cpus": cpus * 1000, "mem": mem * 1000}
    return Node(has, has, (1000,) * gpus, model)


def shape(cpus: float, mem: float = 1, gpus: float = 0, models: tuple[str, ...] = ()) -> Shape:
    needs = {"cpus": int(cpus * 1000), "mem": int(mem * 1000), "gpus": int(gpus * 1000)}
    return shape_of(needs, models)


SHAPES = st.builds(
    shape,
    st.sampled_from([0.5, 1, 3]),
    st.sampled_from([1, 40]),
    st.sampled_from([0, 0.3, 0.5, 0.7, 1, 2]),
    st.sampled_from([(), (), ("A",), ("A", "B")]),
)


class Slow:
    """A policy as it is, asked for every node anew."""

    def __init__(self, nodes: list[Node], policy: str, workload: Workload) -> None:
        self.policy = read_policy(policy)
        self.policy.learn(workload)
        self.nodes = nodes
        self.taken: list[Placement] = []

    def choose(self, wanted: Shape) -> Placement | None:
        pool = Pool(self.nodes, self.policy)
        for placement in self.taken:
            pool.take(placement)
        return pool.choose(wanted)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from([50, 100]), st.integers(0, 3),
                       st.sampled_from("AB")), min_size=1, max_size=5),
    st.lists(SHAPES, min_size=1, max_size=14),
    st.sampled_from(NAMES),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_kept_scores_are_those_of_the_nodes_as_they_are(
    sizes: list[tuple[int, int, int, str]], wanted: list[Shape], name: str, draw: random.Random
) -> None:
    nodes = [node(*size) for size in sizes]
    workload = Workload.of(wanted)
    policy = read_policy(name)
    policy.learn(workload)
    pool = Pool(nodes, policy)
    slow = Slow(nodes, name, workload)
    for each in wanted:
        placement = pool.choose(each)
        assert placement == slow.choose(each)
        if placement is not None:
            pool.take(placement)
            slow.taken.append(placement)
        if slow.taken and draw.random() < 0.3:
            pool.release(slow.taken.pop(draw.randrange(len(slow.taken))))


@given(st.lists(SHAPES, min_size=1, max_size=20), st.sampled_from(NAMES))
@settings(max_examples=60, deadline=None)
def test_whatever_fits_is_placed_and_nothing_is_exceeded(wanted: list[Shape], name: str) -> None:
    policy = read_policy(name)
    policy.learn(Workload.of(wanted))
    nodes = [node(4, 100, 2, "A"), node(8, 80, 0), node(2, 100, 1, "B")]
    pool = Pool(nodes, policy)
    for each in wanted:
        rows = np.arange(len(pool))
        placement = pool.choose(each)
        assert (placement is not None) == bool(pool.fits(each, rows).any())
        if placement is not None:
            pool.take(placement)  # asserts that nothing is below zero
            assert len(placement.devices) == (each.whole_gpus or bool(each.gpu_share))


def test_a_part_of_a_gpu_is_of_one_device() -> None:
    assert shape(1, 1, 0.5).gpu_share == 500 and shape(1, 1, 2).whole_gpus == 2
    with pytest.raises(ShapeError, match=r"1\.5"):
        shape(1, 1, 1.5)
    pool = Pool([node(9, 100, 2)], read_policy("best-fit"))
    for _ in range(2):
        placement = pool.choose(shape(1, 1, 0.6))
        assert placement is not None
        pool.take(placement)
    assert pool.choose(shape(1, 1, 0.6)) is None  # 0.8 is free, in two parts
    assert pool.choose(shape(1, 1, 0.4)) is not None


def test_ties_go_to_the_first_node() -> None:
    for name in ("first-fit", "best-fit", "fgd", "patience", DEFAULT_POLICY):
        policy = read_policy(name)
        policy.learn(Workload.of([shape(1)]))
        placement = Pool([node(4), node(4), node(4)], policy).choose(shape(1))
        assert placement is not None and placement.node == 0, name


def test_no_gpu_becomes_useless_where_there_is_none() -> None:
    """What is shown of a choice: beside a node with a GPU, which gives no GPU away, the same."""
    policy = read_policy("fgd")
    policy.learn(Workload.of([shape(1), shape(1, 1, 1)]))
    without = Pool([node(4), node(2)], policy).choose(shape(1))
    among_gpus = Pool([node(4, 100, 1), node(2)], policy).choose(shape(1))
    assert without is not None and among_gpus is not None
    assert (without.node, without.score) == (0, -50.0)
    assert among_gpus.score == -50.0


def test_best_fit_keeps_large_gaps_and_spread_does_not() -> None:
    nodes = [node(8), node(2)]
    chosen = {name: Pool(nodes, read_policy(name)).choose(shape(1)) for name in NAMES}
    assert chosen["best-fit"] is not None and chosen["best-fit"].node == 1
    assert chosen["spread"] is not None and chosen["spread"].node == 0


def test_patience_keeps_a_gap_for_what_fits_it() -> None:
    """Half devices come as often as whole ones: a half goes where half is left."""
    policy = read_policy("patience")
    policy.learn(Workload.of([shape(1, 1, 0.5), shape(1, 1, 1)]))
    pool = Pool([node(8, 100, 1), node(8, 100, 1)], policy)
    first = pool.choose(shape(1, 1, 0.5))
    assert first is not None
    pool.take(first)
    second = pool.choose(shape(1, 1, 0.5))
    assert second is not None and second.node == first.node
    whole = pool.choose(shape(1, 1, 1))
    assert whole is not None and whole.node != first.node


def test_no_more_nodes_are_used_than_must_be() -> None:
    """While there is room for all, the waste of gaps alone would put tasks anywhere."""
    kinds = [shape(1, 10), shape(2, 5), shape(0.5, 20)]
    for name in (DEFAULT_POLICY, "patience"):
        policy = read_policy(name)
        policy.learn(Workload.of(kinds))
        pool = Pool([node(16, 256) for _ in range(20)], policy)
        used = set()
        for index in range(12):
            placement = pool.choose(kinds[index % 3])
            assert placement is not None
            pool.take(placement)
            used.add(placement.node)
        assert len(used) == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 30, LEVELS]), st.sampled_from([0, 3, 2.25, 40.5, SIDE_LEVELS])
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_the_waste_of_a_gap_is_what_patience_says_it_is(kinds: list[tuple[int, float]]) -> None:
    """W[n] by its definition, one gap at a time; between two levels of the side it is straight."""
    known = tuple((main, side, 1 / len(kinds)) for main, side in kinds)
    table = _values(known, 3)

    def waste(main: int, side: float, left: int) -> float:
        if side % 1:
            below, part = int(side), side % 1
            return (1 - part) * waste(main, below, left) + part * waste(main, below + 1, left)
        if left == 0:
            return float(main)
        out = 0.0
        for m, s, part in known:
            skipped = waste(main, side, left - 1)
            fits = m <= main and s <= side
            taken = waste(main - m, side - s, left - 1) if fits else skipped
            out += part * (min(skipped, taken) if m else taken)  # without GPUs: in any case
        return out

    for main, side in ((LEVELS, SIDE_LEVELS), (50, 60), (7, 0)):
        assert table[main, side] == pytest.approx(waste(main, side, 3))
    if all(main for main, _ in kinds):
        assert (np.diff(table, axis=1) <= 1e-9).all(), "more beside a gap never makes it worse"


def test_a_gap_does_not_wait_for_what_its_gpu_will_not_do_for() -> None:
    """Half of a T4 is kept for nobody if the other halves that come want a V100."""
    policy = read_policy("patience")
    half, other = shape(1, 1, 0.5, ("T4",)), shape(1, 1, 0.5, ("V100",))
    policy.learn(Workload.of([half, other, other, other, shape(1, 1, 1)]))
    pool = Pool([node(8, 100, 1, "T4"), node(8, 100, 1, "V100")], policy)
    chosen = pool.choose(shape(1, 1, 1))
    assert chosen is not None and chosen.node == 0
    pool.take(chosen)
    assert pool.choose(half) is None
    placed = pool.choose(other)
    assert placed is not None and placed.node == 1


def test_tasks_without_gpus_go_where_no_gpu_waits_for_cpu() -> None:
    """On a node whose GPUs are given away CPU is of no use to others."""
    for name in (DEFAULT_POLICY, "patience"):
        policy = read_policy(name)
        policy.learn(Workload.of([shape(4), shape(4), shape(4, 1, 1)]))
        pool = Pool([node(16, 100, 2), node(16, 100, 2)], policy)
        nodes = []
        for wanted in (shape(4, 1, 1), shape(4, 1, 1), shape(4), shape(4)):
            placement = pool.choose(wanted)
            assert placement is not None
            pool.take(placement)
            nodes.append(placement.node)
        assert nodes == [nodes[0]] * 4, name


class Own:
    """A policy of a user's."""

    name = "own"

    def learn(self, workload: Workload) -> None:
        """Nothing."""

    def score(self, pool: Pool, wanted: Shape, nodes: Ints, after: Holdings) -> Floats:
        """The last node."""
        return -nodes.astype(np.float64)


def test_policies_are_named_added_and_brought() -> None:
    for text in (DEFAULT_POLICY, "best-fit + 0.5*spread", f"{__name__}:Own"):
        policy = read_policy(text)
        policy.learn(Workload.of([shape(1)]))
        placement = Pool([node(1), node(1)], policy).choose(shape(1))
        assert placement is not None
        assert placement.node == (1 if "Own" in text else 0)
    for text, says in (
        ("bst", "there are default"),
        ("x*best-fit", "not a number"),
        ("no.such:Thing", "cannot be had"),
        ("", "there is no policy"),
    ):
        with pytest.raises(PolicyError, match=says):
            read_policy(text)


class Broken(Own):
    """One of somebody's own that fails, where it is said to."""

    fails = ""

    def learn(self, workload: Workload) -> None:
        """Nothing."""
        if self.fails == "learn":
            raise KeyError("cpus")

    def score(self, pool: Pool, wanted: Shape, nodes: Ints, after: Holdings) -> Any:
        """The last node."""
        number = len(nodes)
        given: dict[str, Callable[[], Any]] = {
            "raises": lambda: 1 / 0,
            "none": lambda: None,
            "nan": lambda: np.full(number, np.nan),
            "text": lambda: ["low"] * number,
            "too few": lambda: np.zeros(0),
            "too many": lambda: np.zeros(number + 1),
            "one number": lambda: 0.0,
            "a table": lambda: np.zeros((number, 1)),
            "infinite": lambda: np.full(number, np.inf),
            "": lambda: super(Broken, self).score(pool, wanted, nodes, after),
        }
        return given[self.fails]()


@pytest.mark.parametrize(
    ("fails", "is_said"),
    [
        ("learn", True), ("raises", True), ("none", True), ("nan", True), ("text", True),
        ("too few", True), ("too many", True), ("one number", True), ("a table", True),
        ("infinite", False), ("", False),
    ],
)  # fmt: skip
def test_a_policy_of_somebodys_own_that_fails_costs_no_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str, is_said: bool
) -> None:
    """Each job went into quarantine, for `shape mismatch`; in `learn` the framework ended."""
    monkeypatch.setattr(Broken, "fails", fails)
    text = f"{__name__}:Broken"
    policy = read_policy(text)
    for _ in range(2):
        policy.learn(Workload.of([shape(1)]))
        placement = Pool([node(1), node(1)], policy).choose(shape(1))
        assert placement is not None and placement.node == (0 if fails else 1)
    assert [record.message.startswith(f"the policy {text} has failed in") for record in
            caplog.records] == [True] * is_said  # fmt: skip
    assert text_of(policy) == text


class TestBins:
    def test_perfect_pairs(self) -> None:
        big, small = shape(7, 1), shape(3, 1)
        assert fewest_bins([big, small] * 5, node(10)) == 5

    @given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 100)), min_size=1, max_size=25))
    @settings(max_examples=40, deadline=None)
    def test_never_below_the_bound_nor_above_one_each(self, items: list[tuple[int, int]]) -> None:
        found = fewest_bins([shape(c, m) for c, m in items], node(10), rounds=20)
        bound = max(sum(c for c, _ in items) / 10, sum(m for _, m in items) / 100)
        assert bound <= found <= len(items)

    def test_a_task_too_large(self) -> None:
        with pytest.raises(TooLargeError):
            fewest_bins([shape(11)], node(10))
        assert fewest_bins([], node(10)) == 0


def csv(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


GPU_COLUMNS = "cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"


class TestReplay:
    def test_the_protocol(self, tmp_path: Path) -> None:
        nodes = read_nodes(csv(tmp_path / "n", "cpu_milli,memory_mib,gpu\n" + "8000,64,2\n" * 20))
        pods = read_pods(
            csv(
                tmp_path / "p",
                "cpu_milli,memory_mib,num_gpu,gpu_milli\n"
                + "1000,4,1,500\n2000,4,1,1000\n1000,4,0,0\n3000,8,2,1000\n" * 5,
            )
        )
        permuted, coming = arrivals(nodes, pods, 1)
        assert sum(pod.gpus for pod in coming) >= 1.3 * 40_000
        assert arrivals(nodes, pods, 1) == (permuted, coming) != arrivals(nodes, pods, 2)
        assert sum(p.gpus for p in arrivals(nodes, pods, 1, 0.2)[1]) <= 0.2 * 40_000 + 2000
        for name in NAMES:
            run = replay(permuted, coming, read_policy(name))
            assert run.placed + run.dropped == len(coming)
            assert 70 < run.allocated_percent <= 100
            assert 0 <= run.stranded["gpus"] <= 1 - run.allocated_percent / 100 + 1e-9

    def test_without_gpus(self, tmp_path: Path) -> None:
        nodes = read_nodes(csv(tmp_path / "n", "cpu_milli,memory_mib\n" + "8000,64\n" * 9))
        pods = read_pods(csv(tmp_path / "p", "cpu_milli,memory_mib\n1000,16\n500,2\n"))
        run = replay(*arrivals(nodes, pods, 1), read_policy(DEFAULT_POLICY))
        assert run.scarce == "mem" and run.allocated_percent > 90

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("cpu_milli\n1\n", "lacks the column memory_mib; it has cpu_milli"),
            (
                "cpu_milli,memory_mib,gpus\n1,1,1\n",
                "line 1: the column 'gpus' is not known; known are",
            ),
            ("cpu_milli,memory_mib,cpu_milli\n1,1,1\n", "the column cpu_milli is there twice"),
            ("cpu_milli,memory_mib\n1,1,1\n", "line 2: it has more values than there are columns"),
            ("cpu_milli,memory_mib\n\n1\n", "line 3: memory_mib is ''"),
            (GPU_COLUMNS + "1,1,1,1000,X\n", "line 2: gpu_spec is 'X'; no machine .* are P4, T4"),
            (GPU_COLUMNS + "1,1,1,1000,T4||P4\n", "line 2: gpu_spec is 'T4||P4'; expected are"),
            (GPU_COLUMNS + "1,1,2,500,\n", "line 2: gpu_milli is '500'; of 2 GPUs each is whole"),
            (GPU_COLUMNS + "1,1,0,500,\n", "gpu_milli is '500'; with a num_gpu of 0"),
            (GPU_COLUMNS + "1,1,1,0,\n", "gpu_milli is '0'; with a num_gpu of 1"),
            (GPU_COLUMNS + "1,1,9999,,\n", "num_gpu is '9999'; a whole number up to 1024"),
            ("", "lacks the column"),
            ("cpu_milli,memory_mib\n", "has no"),
            ("cpu_milli,memory_mib\n1,-2\n", "line 2: memory_mib is '-2'"),
            ("cpu_milli,memory_mib\n1,\n", "a whole number is expected"),
            ("cpu_milli,memory_mib,num_gpu,gpu_milli\n1,1,1,1500\n", "line 2: gpus is 1.5"),
        ],
    )
    def test_a_trace_that_cannot_be_read(self, tmp_path: Path, text: str, says: str) -> None:
        with pytest.raises(TraceError, match=says):
            read_pods(csv(tmp_path / "p", text), [replace(node(1), model=m) for m in ("T4", "P4")])

    def test_models_are_honoured(self, tmp_path: Path) -> None:
        """As the openb traces have them: what may run on a V100 only is not run on a T4."""
        nodes = read_nodes(
            csv(
                tmp_path / "n",
                "sn,cpu_milli,memory_mib,gpu,model\n"
                "a,9000,900,2,T4\nb,9000,900,1,V100M16\nc,9000,900,1,V100M32\nd,9000,900,1,\n",
            )
        )
        wanted = "v,1000,1,1,1000,V100M16|V100M32\n" * 3 + "t,1000,1,2,1000, T4\n"
        pods = read_pods(csv(tmp_path / "p", "name," + GPU_COLUMNS + wanted), nodes)
        assert pods[0].models == ("V100M16", "V100M32") and pods[3].models == ("T4",)
        for name in NAMES:
            run = replay(nodes, pods, read_policy(name))
            assert (run.placed, run.dropped) == (3, 1), name
            assert run.allocated_percent == pytest.approx(80)
            assert run.stranded["gpus"] == pytest.approx(0.2), "the one without a model"

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(TraceError, match="cannot be read"):
            read_nodes(tmp_path / "none")


class Sly(BestFit):
    """One of somebody's own, whose name is one of ours."""


@pytest.mark.parametrize("text", ["default", "fgd", "2*fgd", "best-fit+0.5*spread", "patience"])
def test_a_policy_that_is_told_is_the_one_that_was_read(text: str) -> None:
    assert text_of(read_policy(text)) == text
    told = policy_told(text)
    assert told is not None and text_of(told) == text


def test_one_of_somebodys_own_is_told_by_its_module_and_not_loaded() -> None:
    own = f"{__name__}:Sly"
    for text in (own, f"fgd+2*{own}"):
        assert text_of(read_policy(text)) == text
        assert policy_told(text) is None
    assert policy_told("no-such") is None
    much = "+".join(["fgd"] * 400)
    assert len(text_of(read_policy(much)).encode()) == 1000
    assert policy_told(text_of(read_policy(much))) is None
