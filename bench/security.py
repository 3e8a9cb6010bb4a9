"""What do certificates cost?  python bench/security.py --json

The same work, in turn, on a cluster that is open and on one where every connection is TLS with a
certificate at both ends: that of bench/throughput.py, and that of bench/launch.py.

- ratio_throughput: tasks per second with certificates, by those without; the median of the pairs.
- ratio_cpu: the same of the tasks that a second of CPU time is enough for, of master, agents and
  framework together. It hardly depends on what else the machine does.
- ratio_launch_p50: from submit to TASK_RUNNING with certificates, by without.
- kib_per_agent: what the master's memory is larger for each agent that is connected, before it
  has a task.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import launch
import throughput

from pymesos_core.security.authority import certificate_pem, make_root
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue

Tls = Callable[[str], Path]


def authority(folder: Path) -> Tls:
    """A new authority; what it returns makes the folder of a principal's certificate."""
    now_s = time.time()
    root = make_root("bench", now_s)
    signing = root.make_intermediate("bench", now_s)

    roots = certificate_pem(root.certificate)

    def made(principal: str) -> Path:
        own, to = Path(tempfile.mkdtemp(dir=folder)), read_principal("bench", principal)
        issue(own, to, signing, roots, 86400, now_s)
        return own

    return made


def in_turn(runs: int, measure: Callable[[Path, Tls | None], Any]) -> list[tuple[Any, Any]]:
    """Pairs of what was measured: open, and with certificates."""
    pairs = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
            Path(folder).chmod(0o711)  # tasks of other users find their sandboxes
            tls = authority(Path(folder))
            results = []
            for number, how in enumerate((None, tls)):
                (own := Path(folder) / str(number)).mkdir()
                results.append(asyncio.run(measure(own, how)))
        pairs.append((results[0], results[1]))
    return pairs


def ratio(pairs: list[tuple[Any, Any]], of: Callable[[Any], float]) -> float:
    """The median, over pairs, of the second by the first."""
    return round(statistics.median(of(closed) / of(opened) for opened, closed in pairs), 3)


@click.command()
@click.option("--runs", default=3, show_default=True, help="Pairs of each.")
@click.option("--agents", default=300, show_default=True, help="For the throughput.")
@click.option("--tasks", default=30_000, show_default=True, help="For the throughput.")
@click.option("--rounds", default=100, show_default=True, help="Launches for the latency.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(runs: int, agents: int, tasks: int, rounds: int, as_json: bool) -> None:
    """Compare a cluster with certificates with one that is open."""
    through = in_turn(
        runs, lambda folder, tls: throughput.measure(folder, agents, tasks, 16, 1000, 0, tls)
    )
    launched = in_turn(runs, lambda folder, tls: launch.measure(folder, rounds, 200, 64, tls))
    more = [
        closed["master_rss_idle_kib"] - opened["master_rss_idle_kib"] for opened, closed in through
    ]
    result = {
        "ratio_throughput": ratio(through, lambda one: one["tasks_per_s"]),
        "ratio_cpu": ratio(through, lambda one: 1 / sum(one["cpu_ms_per_task"].values())),
        "ratio_launch_p50": ratio(launched, lambda one: one["submit_to_running_ms"]["p50"]),
        "kib_per_agent": round(statistics.median(more) / agents, 1),
        "tasks_per_s": [[one["tasks_per_s"] for one in pair] for pair in through],
        "launch_p50_ms": [
            [one["submit_to_running_ms"]["p50"] for one in pair] for pair in launched
        ],
    }
    if as_json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
