"""What do rollouts cost, and how soon is a bad one over?  python bench/rollout.py [--json]

The production decision, without I/O, on instances in pretended time, each ready three seconds
after it runs. All that is kept goes through JSON at each decision, as if the framework restarted.

- bad: of 10 instances of a version that crashes; from the third exit until what ran before is all
  that runs, and how many were ready at the worst time.
- good: of 100 instances; the time of a decision, of all that a whole rollout takes.
- many: 100 rollouts at once among 1,000 services of 5 instances; the part of a core that decisions
  need while these go on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from pymesos_binpack.jobs.rollouts import asking, deciding
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_testing.rollout_world import Kind, World


@contextmanager
def timed_decisions() -> Iterator[list[float]]:
    """Milliseconds of CPU of each decision in this block."""
    spent: list[float] = []
    original = deciding.decide

    def decide(*args: object) -> object:
        begin = time.thread_time()
        try:
            return original(*args)  # type: ignore[arg-type]
        finally:
            spent.append((time.thread_time() - begin) * 1000)

    deciding.decide = decide  # type: ignore[assignment]
    try:
        yield spent
    finally:
        deciding.decide = original


def settled(count: int) -> World:
    """A service that runs well."""
    made = World(count=count)
    made.run(20)
    made.fewest_ready = count
    return made


def bad() -> dict[str, object]:
    """A version that crashes."""
    service = settled(10)
    service.apply(Kind.CRASHES)
    while service.rollout.state is State.ROLLING and service.rollout.exits < asking.MOST_EXITS:
        service.run(1)
    third_exit_s = service.now_s
    service.run_until(State.ROLLED_BACK)
    after_s = service.now_s - third_exit_s
    return {"instances": 10, "rolled_back_after_s": after_s, "ready_at_worst": service.fewest_ready}


def good() -> dict[str, object]:
    """A version that works, of many instances."""
    service = settled(100)
    with timed_decisions() as spent:
        began_s = service.now_s
        service.apply()
        service.run_until(State.DONE)
    return {
        "instances": 100,
        "simulated_s": service.now_s - began_s,
        "decisions": len(spent),
        "mean_ms": round(sum(spent) / len(spent), 2),
        "worst_ms": round(max(spent), 2),
        "ready_at_worst": service.fewest_ready,
    }


def many(services: int, rollouts: int) -> dict[str, object]:
    """Many services, of which some change at the same time."""
    every = [settled(5) for _ in range(services)]
    changing = every[:rollouts]
    with timed_decisions() as spent:
        began_s = changing[0].now_s
        for service in changing:
            service.apply()
        while any(service.rollout.going for service in changing):
            for service in every:
                service.run(1)
        simulated_s = changing[0].now_s - began_s
    return {
        "services": services,
        "rollouts": rollouts,
        "decisions": len(spent),
        "simulated_s": simulated_s,
        "cores": round(sum(spent) / 1000 / simulated_s, 4),
    }


@click.command()
@click.option("--services", default=1000, show_default=True)
@click.option("--rollouts", default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(services: int, rollouts: int, as_json: bool) -> None:
    """Measure a bad rollout, a large one, and many at once."""
    figures = {"bad": bad(), "good": good(), "many": many(services, rollouts)}
    if as_json:
        print(json.dumps(figures))
        return
    for name, row in figures.items():
        print(name, row)


if __name__ == "__main__":
    main()
