"""How long does the allocator take?  python bench/allocation.py --agents A --frameworks F
--scenario decline|suppress|filtered|quota [--json]

The scenarios of Mesos' HierarchicalAllocator_BENCHMARK_Test, on the production allocator:

- decline: every agent is offered; then each cycle all offers are declined with a long filter, so
  that the next one offers every agent to somebody else.
- suppress: the same, and in each cycle frameworks suppress their role, until one is left.
- filtered: everybody has filtered every agent; a cycle looks at all agents and offers nothing.
- quota: as many roles as frameworks, half with a large guarantee, half with a small one.

first_cycle_s: all agents offered for the first time. cycle_s: the cycles after that. idle_cycle_s:
a cycle after one framework has declined one agent. add_agents_s: adding all agents.
"""

from __future__ import annotations

import json
import resource
import statistics
import time

import click

from pymesos_core.garbage import collect_seldom
from pymesos_core.resources import parse
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Grant, Quota

SCENARIOS = ("decline", "suppress", "filtered", "quota")
AGENT = parse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
USED = parse("cpus:16;mem:2014;disk:1024")
FOREVER_S = 1e7


class Bench:
    """One allocator, its clock, and the times of its cycles."""

    def __init__(self, agents: int, frameworks: int, scenario: str) -> None:
        self.allocator = DrfAllocator()
        self.now_s = 1000.0
        self.offers: list[Grant] = []
        self.cycles_s: list[float] = []
        self.offers_per_cycle: list[int] = []
        quota = scenario == "quota"
        for number in range(frameworks):
            role = f"role{number}" if quota else "*"
            self.allocator.add_framework(f"f{number}", (role,), active=True)
            if quota:
                cpus = 24_000 if number % 2 else 1_000
                guarantees = {"cpus": cpus, "mem": cpus * 100}
                self.allocator.set_quota(role, Quota(guarantees, guarantees))
        begin = time.perf_counter()
        for number in range(agents):
            used = {} if quota else {(f"f{number % frameworks}", "*"): USED}
            self.allocator.add_agent(f"a{number}", AGENT, used)
        self.add_agents_s = time.perf_counter() - begin

    def cycle(self) -> float:
        """Allocate; how long it took."""
        self.now_s += 1.0
        begin = time.perf_counter()
        granted = self.allocator.allocate(self.now_s)
        took_s = time.perf_counter() - begin
        self.offers += granted
        self.cycles_s.append(took_s)
        self.offers_per_cycle.append(len(granted))
        return took_s

    def decline(self, refuse_s: float) -> None:
        """All that is offered."""
        offers, self.offers = self.offers, []
        for offer in offers:
            self.allocator.answered(offer.framework_id, offer.agent_id)
            self.allocator.recover(
                offer.framework_id,
                offer.agent_id,
                offer.role,
                offer.resources,
                now_s=self.now_s,
                refuse_s=refuse_s,
            )

    def idle(self) -> float:
        """One framework declines one agent."""
        if not self.offers:
            self.allocator.revive("f0", ())
            self.cycle()
        offer = self.offers.pop()
        keep, self.offers = self.offers, [offer]
        self.decline(FOREVER_S)
        self.offers = keep
        return self.cycle()


def measure(agents: int, frameworks: int, scenario: str, cycles: int) -> dict[str, object]:
    """Run one scenario."""
    bench = Bench(agents, frameworks, scenario)
    first_s = bench.cycle()
    offered = bench.offers_per_cycle[0]
    bench.cycles_s.clear()
    bench.offers_per_cycle.clear()
    if scenario == "filtered":
        while bench.offers:
            bench.decline(FOREVER_S)
            bench.cycle()
        last_s = bench.cycles_s[-1]  # the one that looked at all agents and found nobody
        bench.cycles_s = [last_s]
        bench.offers_per_cycle = [0]
    for number in range(cycles if scenario != "filtered" else 0):
        bench.decline(0.0 if scenario == "quota" else FOREVER_S)
        if scenario == "suppress":
            step = max(1, frameworks // cycles)
            for index in range(number * step, min((number + 1) * step, frameworks - 1)):
                bench.allocator.suppress(f"f{index}", ())
        bench.cycle()
    times = list(bench.cycles_s)
    counts = list(bench.offers_per_cycle)
    idle = [bench.idle() for _ in range(50)]
    cuts = statistics.quantiles(times * 2, n=100, method="inclusive")
    return {
        "agents": agents,
        "frameworks": frameworks,
        "scenario": scenario,
        "offers_per_cycle": round(statistics.mean(counts)),
        "first_cycle_offers": offered,
        "first_cycle_s": round(first_s, 4),
        "cycle_s": {"p50": round(cuts[49], 4), "p99": round(cuts[98], 4)},
        "idle_cycle_s": round(statistics.median(idle), 6),
        "add_agents_s": round(bench.add_agents_s, 4),
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


@click.command()
@click.option("--agents", default=10_000, show_default=True, help="How many agents.")
@click.option("--frameworks", default=200, show_default=True, help="How many frameworks.")
@click.option("--scenario", type=click.Choice(SCENARIOS), default="decline", show_default=True)
@click.option("--cycles", default=10, show_default=True, help="How many cycles after the first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(agents: int, frameworks: int, scenario: str, cycles: int, as_json: bool) -> None:
    """Measure the allocator's cycles."""
    collect_seldom()  # as the master does
    result = measure(agents, frameworks, scenario, cycles)
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
