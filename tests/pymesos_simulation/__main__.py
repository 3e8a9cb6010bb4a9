"""`python -m pymesos_simulation`: run seeds, or replay one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter

import click

from pymesos_simulation.simulation import simulate


def commit() -> str:
    """Which code this is: a seed means nothing without it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"


@click.command()
@click.option("--seed", type=int, default=None, help="Replay this one.")
@click.option("--seeds", default=50, show_default=True, help="How many to run.")
@click.option("--base", type=int, default=None, help="The first one.  [default: random]")
@click.option("--trace", is_flag=True, help="Print what happens.")
def main(seed: int | None, seeds: int, base: int | None, trace: bool) -> None:
    """Simulate clusters in bad weather."""
    first = seed if seed is not None else base
    if first is None:
        first = random.SystemRandom().randrange(10**9)
    number = 1 if seed is not None else seeds
    print(f"commit {commit()}, seeds {first} to {first + number - 1}", flush=True)
    begin = time.monotonic()
    totals: Counter[str] = Counter()
    for one in range(first, first + number):
        try:
            result = simulate(one, print if trace else None)
        except AssertionError as error:
            print(f"FAILED {error}", file=sys.stderr)
            sys.exit(1)
        totals.update(
            events=result.events,
            crashes=result.crashes,
            failovers=result.failovers,
            finished=result.finished,
            simulated_s=int(result.simulated_s),
        )
        totals.update(result.faults)
        if seed is not None:
            print(result.line())
    shown = ", ".join(f"{name} {count}" for name, count in totals.items())
    print(f"{number} seeds in {time.monotonic() - begin:.0f} s: {shown}")


if __name__ == "__main__":
    main()
