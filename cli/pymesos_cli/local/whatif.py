"""`whatif`: how much of a workload some machines hold, and how many machines it needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pymesos_binpack.placement.packing import (
    DEFAULT_POLICY,
    PolicyError,
    Pool,
    Shape,
    read_policy,
)
from pymesos_binpack.placement.packing.bins import fewest_bins
from pymesos_binpack.placement.packing.pool import Node
from pymesos_binpack.placement.packing.replay import (
    Replay,
    TraceError,
    arrivals,
    line_of_pod,
    read_nodes,
    read_pods,
    replay,
)
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.output import count_of, note, print_json, print_table

MAX_SEARCHED = 5000
MAX_TIMES = 64  # the machines are multiplied at most so often


def run_whatif(
    nodes_csv: Path,
    pods_csv: Path,
    policies: Sequence[str],
    seed: int,
    load: float | None,
    plot: Path | None,
    *,
    as_json: bool,
) -> None:
    """Replay the workload for each policy; print what was placed, and write the plot.

    Whatever can be wrong is found before the work begins. Raises CliError.
    """
    if plot is not None:
        check_plot(plot)
    try:
        for name in policies:
            read_policy(name)
        nodes = read_nodes(nodes_csv)
        pods = read_pods(pods_csv, nodes)
        permuted, coming = arrivals(nodes, pods, seed, load) if load else (nodes, pods)
        lost = _fits_nowhere(nodes, pods)
        if lost is not None:
            note(f"{line_of_pod(pods_csv, lost)}: this pod fits on no machine, even an empty one")
    except (TraceError, PolicyError) as error:
        raise CliError(str(error), EXIT_USAGE) from error
    runs = {name: replay(permuted, coming, read_policy(name)) for name in policies}
    needed = {name: _needed(nodes, pods, name) if lost is None else None for name in policies}
    together = _together(nodes, pods) if lost is None else None
    if as_json:
        print_json([run_json(name, run, needed[name]) for name, run in runs.items()])
    else:
        _print(runs, needed, len(nodes))
        if together is not None:
            hold = "machine holds" if together == 1 else "machines hold"
            print(f"Packed together, in whatever order, {together} such {hold} all pods.")
    if plot is not None:
        write_plot(plot, runs)
        if not as_json:
            print(f"the plot is in {plot}")


def _fits_nowhere(nodes: Sequence[Node], pods: Sequence[Shape]) -> int | None:
    """The index of the first pod that is too large for every machine, or None."""
    empty, everywhere = Pool(nodes, read_policy(DEFAULT_POLICY)), np.arange(len(nodes))
    fits = {kind: bool(empty.fits(kind, everywhere).any()) for kind in set(pods)}
    return next((index for index, pod in enumerate(pods) if not fits[pod]), None)


def _together(nodes: Sequence[Node], pods: Sequence[Shape]) -> int | None:
    """How many machines hold all pods when none has to be placed before the others are known.

    Only for machines of one kind without GPUs, and not for too many pods to search.
    """
    one_kind = all(node.total == nodes[0].total for node in nodes)
    if not one_kind or any(node.gpus for node in nodes) or len(pods) > MAX_SEARCHED:
        return None
    return None if any(pod.gpus or pod.models for pod in pods) else fewest_bins(pods, nodes[0])


def _needed(nodes: Sequence[Node], pods: Sequence[Shape], policy: str) -> int | None:
    """How many machines of this mix hold every pod of the file, within a hundredth.

    None when MAX_TIMES as many are not enough.
    """

    def holds(number: int) -> bool:
        some = [nodes[index % len(nodes)] for index in range(number)]
        return replay(some, pods, read_policy(policy)).dropped == 0

    high = len(nodes)
    while not holds(high):
        high *= 2
        if high > MAX_TIMES * len(nodes):
            return None
    low = high // 2 if high > len(nodes) else 0
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def run_json(name: str, run: Replay, needed: int | None) -> dict[str, Any]:
    """A replay for --json; parts of all that there is."""
    last = run.curve[-1]
    return {
        "policy": name,
        "placed": run.placed,
        "not_placed": run.dropped,
        "load": round(last.load, 4),
        "allocated": {n: round(v, 4) for n, v in last.allocated.items()},
        "stranded": {n: round(v, 4) for n, v in run.stranded.items()},
        "machines_needed": needed,
    }


def _print(runs: dict[str, Replay], needed: dict[str, int | None], machines: int) -> None:
    names = sorted({name for run in runs.values() for name in run.stranded})
    rows = []
    for policy, run in runs.items():
        allocated = run.curve[-1].allocated
        rows.append(
            (
                policy,
                str(run.placed),
                str(run.dropped),
                *(f"{allocated[n]:.1%} ({run.stranded[n]:.1%})" for n in names),
                "some pod fits on no machine" if needed[policy] is None else f"{needed[policy]}",
            )
        )
    headers = ("POLICY", "PLACED", "NOT", *(f"{n.upper()} (STRANDED)" for n in names), "NEEDED")
    print_table(headers, rows, "no policies")
    scarce = next(iter(runs.values())).scarce
    print(
        f"{count_of(machines, 'machine')}; the scarcest is {scarce}. Stranded: free where no usual"
        f" pod that needs it fits.\nNeeded: machines of the same mix that hold every pod of"
        f" the file, within a hundredth."
    )


def check_plot(path: Path) -> None:
    """Check that a plot can be written; nothing is left of the trial. Raises CliError."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise CliError(
            "plots need matplotlib: pip install 'pymesos-cluster[plot]', or leave --plot out"
        ) from error
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FigureCanvasBase.filetypes:
        known = ", ".join(f".{name}" for name in FigureCanvasBase.filetypes)
        raise CliError(
            f"cannot write the plot to {path}: its name should end in one of {known}", EXIT_USAGE
        )
    try:
        was_there = path.exists()
        path.open("ab").close()
        if not was_there:
            path.unlink()
    except OSError as error:
        raise CliError(f"cannot write the plot to {path}: {error.strerror}", EXIT_USAGE) from error


def write_plot(path: Path, runs: dict[str, Replay]) -> None:
    """What is allocated over what has come, and what is stranded by kind. Raises CliError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for name, run in runs.items():
        loads = [100 * point.load for point in run.curve]
        left.plot(loads, [100 * p.allocated[run.scarce] for p in run.curve], label=name)
    scarce = next(iter(runs.values())).scarce
    left.set(xlabel=f"{scarce} asked for, % of all", ylabel=f"{scarce} allocated, %")
    left.grid(alpha=0.3)
    left.legend()
    width = 0.8 / len(runs)
    for number, (name, run) in enumerate(runs.items()):
        kinds = sorted(run.stranded)
        places = [index + number * width for index in range(len(kinds))]
        right.bar(places, [100 * run.stranded[kind] for kind in kinds], width, label=name)
        right.set_xticks([index + 0.4 - width / 2 for index in range(len(kinds))], kinds)
    right.set(ylabel="stranded at the end, % of all")
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        problem = (error.strerror if isinstance(error, OSError) else None) or error
        raise CliError(f"cannot write the plot to {path}: {problem}") from error
    finally:
        pyplot.close(figure)
