"""`pymesos-simulate`: run seeds, replay one, tell a story."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pymesos_core.flags import WholeRange
from pymesos_core.option_errors import RoleCommand
from pymesos_simulation.faults import FAULTS
from pymesos_simulation.simulation import Result, simulate
from pymesos_simulation.stage import StoryError
from pymesos_simulation.stories import read, tell, vocabulary


def commit() -> str:
    """Which code this is: a seed means nothing without it."""
    described = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def report(results: list[Result], took_s: float) -> str:
    """What some runs covered."""
    faults = Counter[str]()
    for result in results:
        faults.update(result.faults)
    shown = ", ".join(f"{name} {faults[name]:,}" for name in FAULTS if faults[name])
    return (
        f"{len(results)} seeds in {took_s:.0f} s:"
        f" {sum(r.events for r in results):,} events,"
        f" {sum(r.failovers for r in results):,} failovers,"
        f" {sum(r.finished for r in results):,} tasks ended,"
        f" {sum(r.simulated_s for r in results) / 3600:.1f} simulated hours\n"
        f"faults: {shown or 'none'}"
    )


def _into(traced: Any) -> Callable[[str], object]:
    return lambda line: traced.update(line.encode())


@click.command(cls=RoleCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", type=WholeRange(min=0), help="Replay this one.")
@click.option(
    "--seeds", type=WholeRange(min=1), default=50, show_default=True, help="How many to run."
)
@click.option("--base", type=WholeRange(min=0), help="The first one.  [default: random]")
@click.option(
    "--story",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Tell a story instead (tests/simulation/stories).",
)
@click.option("--vocabulary", "words", is_flag=True, help="Print the steps a story may have.")
@click.option("--trace", is_flag=True, help="Print what happens.")
@click.option("--digest", is_flag=True, help="Print a line for each seed, to compare two runs by.")
def main(
    seed: int | None,
    seeds: int,
    base: int | None,
    story: Path | None,
    words: bool,
    trace: bool,
    digest: bool,
) -> None:
    """Simulate clusters in bad weather: production cores, every fault drawn from a seed."""
    if words:
        print("\n".join(vocabulary()))
        return
    say: Callable[[str], object] | None = print if trace else None
    if story is not None:
        try:
            tell(read(story), say)
        except (AssertionError, StoryError) as error:
            sys.exit(f"FAILED {error}")
        print(f"{story.stem}: as told")
        return
    first = next((n for n in (seed, base) if n is not None), random.SystemRandom().randrange(10**9))
    numbers = range(first, first + (1 if seed is not None else seeds))
    print(f"commit {commit()}, seeds {numbers[0]} to {numbers[-1]}", flush=True)
    begin = time.monotonic()
    results: list[Result] = []
    for one in numbers:
        traced = hashlib.sha256()
        if digest:
            say = _into(traced)
        try:
            results.append(simulate(one, say))
            if digest:
                print(results[-1].line(), traced.hexdigest(), flush=True)
        except AssertionError as error:
            sys.exit(
                f"FAILED {error}\non commit {commit()}; to replay it:"
                f" pymesos-simulate --seed {one} --trace"
            )
    print(report(results, time.monotonic() - begin))


if __name__ == "__main__":
    main()
