"""Is this tree as good as another?  python bench/compare.py --base TREE SCRIPT [OPTIONS OF SCRIPT]

Runs a script of each tree's own `bench` in turn, with its own Python, that is, with its code, and
prints the median of every figure and the ratio of ours to the base's. On a machine that others use
too only the CPU time of the processes can be compared.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).resolve().parent


def figures(found: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """All numbers of a result, by their path."""
    out: dict[str, float] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            out |= figures(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            out[prefix + name] = value
    return out


def run(tree: Path, arguments: tuple[str, ...]) -> dict[str, float]:
    """One run of a script with the code of a tree."""
    script, *rest = arguments
    command = [str(tree / ".venv/bin/python"), str(tree / "bench" / script), *rest, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return figures(json.loads(done.stdout))


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--base", required=True, type=click.Path(path_type=Path), help="The other tree.")
@click.option("--runs", default=5, show_default=True, help="Of each.")
@click.argument("arguments", nargs=-1, required=True)
def main(base: Path, runs: int, arguments: tuple[str, ...]) -> None:
    """Run ARGUMENTS, a script and its options, in both trees, one after the other."""
    trees = {"base": base.resolve(), "ours": HERE.parent}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    for number in range(runs):
        # Each is first every other time: what the first does to the machine the second feels.
        for name, tree in sorted(trees.items(), reverse=bool(number % 2)):
            results[name].append(run(tree, arguments))
            print(name, json.dumps(results[name][-1]), file=sys.stderr, flush=True)
    print(f"{'median of ' + str(runs):40} {'base':>12} {'ours':>12} {'ours/base':>10}")
    for figure in filter(results["ours"][0].__contains__, results["base"][0]):
        base_s, ours_s = (
            statistics.median(result[figure] for result in results[name]) for name in trees
        )
        ratio = f"{ours_s / base_s:10.3f}" if base_s else f"{'':>10}"
        print(f"{figure:40} {base_s:12.4f} {ours_s:12.4f} {ratio}")


if __name__ == "__main__":
    main()
