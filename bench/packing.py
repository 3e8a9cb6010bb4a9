"""How much of a cluster can be allocated?  python bench/packing.py --nodes F --pods F
[--policy P] [--trace T] [--seeds N] [--visibility full|offers] [--json]

Replays the protocol of ../shared/data/openb/README.md (`pymesos_binpack.placement.packing.replay`).

- full: the planner sees every node.
- offers: nodes are agents of the production allocator, and the planner sees what it is offered. A
  competing framework keeps a quarter of the agents in its hands, others at other times, and gives
  each back unused after a while. A pod that fits on nothing that is offered waits, and is tried
  again with what is offered later, until the end.

With --policy several, comma-separated, all are replayed in the same run. --trace draws others of
the family from the pods that are given, anew for each seed (`family.py`): cpu250, gpuspec33,
several, or all with `family`; what each policy is above the last one is said at the end.

--vectors N instead packs generated vectors into the fewest bins, beside first-fit-decreasing,
dot-product and the LP bound.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import statistics
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import vectors
from family import FAMILY, of_the_family

from pymesos_binpack.placement.packing import PolicyError, Pool, Shape, Workload, read_policy
from pymesos_binpack.placement.packing.policies import Policy
from pymesos_binpack.placement.packing.pool import Node, Placement
from pymesos_binpack.placement.packing.replay import (
    TraceError,
    arrivals,
    read_nodes,
    read_pods,
    replay,
)
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Grant, Terms

RIVAL_PART = 0.25  # of the agents, in the hands of the competing framework
# A pod comes every second, and what is left of its agent is offered to the competing framework
# first; held for so long each, these add up to a quarter.
HELD_FOR_S = (500.0, 1500.0)
OURS, RIVAL = "ours", "rival"


class Offers:
    """The nodes as agents of an allocator; which of them are in our hands."""

    def __init__(self, nodes: Sequence[Node], seed: int) -> None:
        self._allocator = DrfAllocator()
        self._draw = random.Random(seed)
        self._now_s = 0.0
        self._agents = len(nodes)
        self._rival: list[tuple[float, int, Grant]] = []  # a heap: when each is given back
        self._number = itertools.count()
        self._hand: dict[int, Grant] = {}
        self.waiting: deque[Shape] = deque()
        for name in (OURS, RIVAL):
            self._allocator.add_framework(name, ("*",), active=True, terms=Terms(gpus=True))
        for number, node in enumerate(nodes):
            gpus = {
                Tag(device=str(device)): Resources({"gpus": milli})
                for device, milli in enumerate(node.gpus)
            }
            self._allocator.add_agent(str(number), Resources(node.free, tagged=gpus), {})

    def advance(self) -> None:
        """A second passes: the rival gives back what it has held long enough, offers go out."""
        self._now_s += 1.0
        while self._rival and self._rival[0][0] <= self._now_s:
            _, _, grant = heapq.heappop(self._rival)
            self._give_back(grant, grant.resources, 5.0)
        self._allocate()

    def _allocate(self) -> None:
        while granted := self._allocator.allocate(self._now_s):
            for grant in granted:
                if grant.framework_id == OURS:
                    self._hand[int(grant.agent_id)] = grant
                elif len(self._rival) < RIVAL_PART * self._agents:
                    until_s = self._now_s + self._draw.uniform(*HELD_FOR_S)
                    heapq.heappush(self._rival, (until_s, next(self._number), grant))
                else:
                    self._give_back(grant, grant.resources, 5.0)

    def rival_part(self) -> float:
        """The part of the agents that the competing framework holds."""
        return len(self._rival) / self._agents

    def _give_back(self, grant: Grant, rest: Resources, refuse_s: float) -> None:
        self._allocator.answered(grant.framework_id, grant.agent_id)
        self._allocator.recover(
            grant.framework_id, grant.agent_id, "*", rest, now_s=self._now_s, refuse_s=refuse_s
        )

    def place_waiting(self, pool: Pool) -> None:
        """In the order in which they came; of a kind that does not fit one is tried."""
        failed: set[Shape] = set()
        for _ in range(len(self.waiting)):
            shape = self.waiting.popleft()
            placement = None if shape in failed else self._accept(pool, shape)
            if placement is None:
                failed.add(shape)
                self.waiting.append(shape)
            else:
                pool.take(placement)

    def _accept(self, pool: Pool, shape: Shape) -> Placement | None:
        """The planner's choice among what is offered to us; what it leaves is offered anew."""
        allowed = np.zeros(len(pool), dtype=bool)
        allowed[list(self._hand)] = True
        placement = pool.choose(shape, allowed)
        if placement is not None:
            grant = self._hand.pop(placement.node)
            self._allocator.used(OURS, grant.agent_id)
            rest = grant.resources - _used(placement)
            self._give_back(grant, rest, 0.0)
            self._allocate()
        return placement


def _used(placement: Placement) -> Resources:
    used = Resources(dict(placement.shape.scalars))
    for column in placement.devices:
        milli = placement.shape.gpu_share or 1000
        tag = Tag(device=str(column))
        used = used + Resources(tagged={tag: Resources({"gpus": milli})})
    return used


def through_offers(
    nodes: Sequence[Node], pods: Sequence[Shape], policy: Policy, seed: int
) -> tuple[float, float]:
    """The percentage allocated at the end, and the part of the agents that the rival held."""
    offers = Offers(nodes, seed)
    policy.learn(Workload.of(pods))
    pool = Pool(nodes, policy)
    parts = []
    for shape in pods:
        offers.advance()
        parts.append(offers.rival_part())
        offers.waiting.append(shape)
        offers.place_waiting(pool)
    for _ in range(int(HELD_FOR_S[1])):  # until each agent has been in our hands once more
        offers.advance()
        offers.place_waiting(pool)
    free, total = pool.free_and_total("gpus")
    return 100 * (1 - free.sum() / total.sum()), statistics.fmean(parts)


@click.command()
@click.option("--nodes", type=click.Path(path_type=Path), help="CSV: cpu_milli,memory_mib,gpu.")
@click.option("--pods", type=click.Path(path_type=Path), help="CSV: cpu_milli,…,gpu_milli.")
@click.option("--policy", default="default", show_default=True, help="One or more, with commas.")
@click.option("--trace", default="default", show_default=True, help="One or more, or: family.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option("--first-seed", type=click.IntRange(0, 10**9), default=0, show_default=True)
@click.option(
    "--visibility", type=click.Choice(["full", "offers"]), default="full", show_default=True
)
@click.option("--vectors", "instances", type=click.IntRange(1), help="Pack N generated instances.")
@click.option("--json", "as_json", is_flag=True)
def main(
    nodes: Path | None,
    pods: Path | None,
    policy: str,
    trace: str,
    seeds: int,
    first_seed: int,
    visibility: str,
    instances: int | None,
    as_json: bool,
) -> None:
    """Replay a trace, or pack vectors."""
    if instances is not None:
        vectors.report(instances, as_json=as_json)
        return
    if nodes is None or pods is None:
        raise click.UsageError("give --nodes and --pods, or --vectors")
    names, traces = policy.split(","), FAMILY if trace == "family" else trace.split(",")
    means: dict[str, dict[str, float]] = {}
    try:
        machines = read_nodes(nodes)
        given = read_pods(pods, machines)
        for kind in traces:
            for name in names:
                run = range(first_seed, first_seed + seeds)
                found = measure(machines, given, kind, name, run, visibility)
                means.setdefault(kind, {})[name] = found["allocated_percent"]["mean"]
                print(json.dumps(found) if as_json else _line(found), flush=True)
    except (TraceError, PolicyError) as error:
        raise click.ClickException(str(error)) from error
    if len(traces) > 1 and not as_json:
        _compare(names, means)


def _line(found: dict[str, Any]) -> str:
    percent = found["allocated_percent"]
    return (
        f"{found['trace']}, {found['policy']} ({found['visibility']}): {percent['mean']:.2f} % of"
        f" the GPUs allocated, sd {percent['sd']:.2f}, {found['seconds_per_run']:.1f} s a run"
    )


def _compare(names: Sequence[str], means: dict[str, dict[str, float]]) -> None:
    *others, last = names
    for name in others:
        above = {kind: mean[name] - mean[last] for kind, mean in means.items()}
        worst = min(above, key=above.__getitem__)
        print(f"{name} above {last}: {statistics.fmean(above.values()):+.2f} on the mean of"
              f" {len(above)} traces, at least {above[worst]:+.2f} ({worst})")  # fmt: skip


def measure(
    nodes: Sequence[Node], given: list[Shape], trace: str, name: str, seeds: range, visibility: str
) -> dict[str, Any]:
    """One policy on one trace over several seeds."""
    read_policy(name)
    percents, took_s, rival = [], [], []
    for seed in seeds:
        pods = of_the_family(trace, given, nodes, seed)
        permuted, coming = arrivals(nodes, pods, seed)
        begin = time.perf_counter()
        if visibility == "full":
            percents.append(replay(permuted, coming, read_policy(name)).allocated_percent)
        else:
            percent, part = through_offers(permuted, coming, read_policy(name), seed)
            percents.append(percent)
            rival.append(part)
        took_s.append(time.perf_counter() - begin)
    out = {
        "trace": trace,
        "policy": name,
        "visibility": visibility,
        "seeds": len(seeds),
        "allocated_percent": {
            "mean": round(statistics.fmean(percents), 3),
            "sd": round(statistics.pstdev(percents), 3),
        },
        "seconds_per_run": round(statistics.fmean(took_s), 2),
    }
    if rival:
        out["held_by_rival"] = round(statistics.fmean(rival), 3)
    return out


if __name__ == "__main__":
    main()
