"""The curves of docs/scaling.md: python bench/scaling.py [--out docs/images]

Runs `allocation.py` over growing clusters, and a replay of the planner over growing pools, each
point in a process of its own, and writes the plots.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import click
import matplotlib

from pymesos_binpack.placement.packing import Pool, Shape, Workload, read_policy, shape_of
from pymesos_binpack.placement.packing.pool import Node

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
AGENTS = (1000, 2000, 5000, 10_000, 20_000)
FRAMEWORKS = (10, 50, 200, 1000)
# Mesos 1.12-dev, C++, on a machine like the one measured on: agents → seconds, 200 frameworks.
MESOS = {10_000: (0.38, 0.57)}


def allocation(agents: int, frameworks: int) -> dict[str, float]:
    """One run of the benchmark."""
    command = [sys.executable, str(HERE / "allocation.py"), "--json", "--cycles", "5"]
    command += ["--agents", str(agents), "--frameworks", str(frameworks)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def planning(nodes: int) -> tuple[float, float]:
    """Seconds to place the first task of a kind, and microseconds for each one after."""
    draw = random.Random(1)
    has = {"cpus": 32_000, "mem": 128_000_000}
    shapes = [
        shape_of({"cpus": 500 * draw.randint(1, 8), "mem": 1_000_000 * draw.randint(1, 16)})
        for _ in range(20)
    ]
    policy = read_policy("default")
    policy.learn(Workload.of(shapes))
    pool = Pool([Node(has, has) for _ in range(nodes)], policy)
    _place(pool, shapes[0])  # the policy's plan of the workload is made once
    begin = time.perf_counter()
    _place(pool, shapes[1])
    first_s = time.perf_counter() - begin
    for shape in shapes:
        _place(pool, shape)
    begin = time.perf_counter()
    for _ in range(500):
        _place(pool, draw.choice(shapes))
    return first_s, (time.perf_counter() - begin) / 500 * 1e6


def _place(pool: Pool, shape: Shape) -> None:
    placement = pool.choose(shape)
    assert placement is not None
    pool.take(placement)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parent / "docs" / "images")
def main(out: Path) -> None:
    """Measure, print, and write the plots."""
    out.mkdir(parents=True, exist_ok=True)
    by_agents = {n: allocation(n, 200) for n in AGENTS}
    by_frameworks = {n: allocation(10_000, n) for n in FRAMEWORKS}
    by_nodes = {n: planning(n) for n in AGENTS}
    for name, found in (("agents", by_agents), ("frameworks", by_frameworks)):
        for number, result in found.items():
            times = f"first {result['first_cycle_s']} s, idle {result['idle_cycle_s']} s"
            print(f"{number} {name}: {times}, adding {result['add_agents_s']} s")
    for number, (first_s, next_us) in by_nodes.items():
        print(f"{number} nodes: first of a kind {first_s * 1e3:.1f} ms, then {next_us:.0f} us")

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    left, middle, right = axes
    for key, label in (("first_cycle_s", "all offered"), ("idle_cycle_s", "one decline")):
        left.loglog(AGENTS, [by_agents[n][key] for n in AGENTS], "o-", label=label)
    for agents, (low, high) in MESOS.items():
        left.vlines(agents, low, high, color="black", lw=4, label="Mesos, all offered")
    left.set(xlabel="agents (200 frameworks)", ylabel="s", title="allocation cycle")
    middle.loglog(
        FRAMEWORKS, [by_frameworks[n]["first_cycle_s"] for n in FRAMEWORKS], "o-", label="first"
    )
    middle.loglog(
        FRAMEWORKS,
        [by_frameworks[n]["idle_cycle_s"] for n in FRAMEWORKS],
        "o-",
        label="one decline",
    )
    middle.set(xlabel="frameworks (10,000 agents)", ylabel="s", title="allocation cycle")
    right.loglog(AGENTS, [by_nodes[n][0] * 1e6 for n in AGENTS], "o-", label="first of a kind")
    right.loglog(AGENTS, [by_nodes[n][1] for n in AGENTS], "o-", label="of a known kind")
    right.set(xlabel="nodes in the pool", ylabel="us", title="placing a task (default policy)")
    for axis in axes:
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    figure.tight_layout()
    figure.savefig(out / "scaling.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
