"""What would others do with the same work?  python bench/peers.py [--peers us,ray,dask] [--json]

Short tasks (`/bin/sh -c true`) on one node, by us and by other systems on loopback, one after the
other in each round, each started anew, so that all have the machine for themselves and the same
hour. Of each system:

- tasks_per_s: from the submission of many tasks until the submitter knows that all have ended.
- one_ms: one task on the idle system: from its submission until it is known as running, and until
  its result is there; p50 of all rounds. Not every system says both.
- rss_mib: its processes after the burst; the process that submits counts where it is a part of the
  system, as the owner of tasks (Ray, dask), the framework (ours) or all of it (HyperQueue).
- cpu_ms_per_task: CPU of all its processes and of the tasks in the burst. Here the one that submits
  counts always, with the clients that it starts.
- ratio_to_bare, ratio_to_best: tasks a second by those of a bare loop, and by the better one of Ray
  and dask; the median of the ratios of each round.

Each system has a module in bench/peering, and is installed by bench/peers-deps.sh; one that is not
there, or that fails, is in the table with the reason. Systems that need 100 ms for a task get a
part of the tasks. `machine` are the calibrators of bench/machine.py, before and after.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import psutil
from machine import calibrate
from peering.interface import MissingError, Peer
from peering.systems import SYSTEMS
from peering.warden import descendants

BENCH = Path(__file__).resolve().parent
PREFIX = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pymesos-peers"
WARM_UP = 20  # tasks, after which workers run and code is read
IDLE_S = 0.05  # before each single task
ANSWER_S = 180.0
BEST_OF = ("ray", "dask")  # what people would pick for short tasks
GIVES_UP = {"durable": "durable when accepted", "process": "a process of its own",
            "limits": "limits that hold", "sandbox": "folder, logs"}  # fmt: skip


class PeerError(Exception):
    """A system has failed; the message says how."""


class Driven:
    """A system that runs below a warden, in a folder of its own."""

    def __init__(self, name: str, prefix: Path, folder: Path) -> None:
        """Start it. Raises MissingError, PeerError."""
        self._kind = SYSTEMS[name]
        driver = [self._kind.python(prefix), "-m", "peering", name, str(prefix), str(folder)]
        self._log = folder.parent / f"{name}.log"
        with self._log.open("wb") as log:
            self._warden = subprocess.Popen(
                [sys.executable, "-m", "peering.warden", *driver],
                cwd=BENCH,
                env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                bufsize=0,
            )
        try:
            self.version: str = self._answer()["version"]
        except BaseException:
            self.close()
            raise

    def ask(self, **request: Any) -> dict[str, Any]:
        """Have something done. Raises PeerError."""
        assert self._warden.stdin is not None
        try:
            self._warden.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise PeerError(f"its driver has ended: {self._last_words()}") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._warden.stdout is not None
        if not select.select([self._warden.stdout], [], [], ANSWER_S)[0]:
            raise PeerError(f"no answer for {ANSWER_S:.0f} s: {self._last_words()}")
        line = self._warden.stdout.readline()
        if not line:
            raise PeerError(f"its driver has ended: {self._last_words()}")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise PeerError(said["error"])
        return said

    def _last_words(self) -> str:
        return self._log.read_text("utf-8", "replace").strip()[-500:]

    def cpu_s(self) -> float:
        """Seconds of CPU of all that was ever below the warden."""
        times = psutil.Process(self._warden.pid).cpu_times()
        total = times.children_user + times.children_system
        for pid in descendants(self._warden.pid):
            try:
                total += sum(psutil.Process(pid).cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return float(total)

    def rss_mib(self) -> float:
        """Memory of the system's processes."""
        pids = descendants(self._warden.pid)  # the driver is the first
        total = 0
        for pid in pids if self._kind.about.client_is_part else pids[1:]:
            try:
                total += psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20

    def close(self) -> None:
        """End it, by force if it does not end by itself."""
        assert self._warden.stdin is not None and self._warden.stdout is not None
        self._warden.stdin.close()
        try:
            self._warden.wait(30)
        except subprocess.TimeoutExpired:
            self._warden.terminate()  # which kills what is below
            self._warden.wait()
        self._warden.stdout.close()


@dataclass
class Turn:
    """What one system did in one round."""

    version: str
    ready_s: float
    tasks: int
    tasks_per_s: float
    cpu_ms_per_task: float
    rss_mib: float
    one_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def share_of(peer: type[Peer], number: int) -> int:
    """Return how many of so many a system gets."""
    return max(3, round(number * peer.about.share))


def take_turn(name: str, prefix: Path, tasks: int, singles: int) -> Turn:
    """Start a system, measure, end it. Raises MissingError, PeerError."""
    tasks, singles = share_of(SYSTEMS[name], tasks), share_of(SYSTEMS[name], singles)
    # Short, since sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="pb-") as scratch:
        Path(scratch).chmod(0o711)
        folder = Path(scratch) / name
        folder.mkdir()
        begin_s = time.perf_counter()
        peer = Driven(name, prefix, folder)
        try:
            ready_s = time.perf_counter() - begin_s
            peer.ask(do="burst", tasks=min(tasks, WARM_UP))
            cpu_s = peer.cpu_s()
            took_s = peer.ask(do="burst", tasks=tasks)["took_s"]
            cpu_ms = (peer.cpu_s() - cpu_s) * 1000
            rss_mib = peer.rss_mib()
            turn = Turn(peer.version, ready_s, tasks, tasks / took_s, cpu_ms / tasks, rss_mib)
            for _ in range(singles):
                time.sleep(IDLE_S)
                for what, ms in peer.ask(do="one").items():
                    turn.one_ms[what].append(ms)
        finally:
            peer.close()
        return turn


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Median and range."""
    figures = (statistics.median(values), min(values), max(values))
    return dict(zip(("median", "least", "most"), (round(f, digits) for f in figures), strict=True))


def summary(turns: Sequence[Turn]) -> dict[str, Any]:
    """All rounds of one system."""
    return {
        "version": turns[0].version,
        "tasks": turns[0].tasks,
        "tasks_per_s": spread([turn.tasks_per_s for turn in turns]),
        "one_ms": {
            what: round(statistics.median(ms for turn in turns for ms in turn.one_ms[what]), 2)
            for what in turns[0].one_ms
        },
        "rss_mib": round(statistics.median(turn.rss_mib for turn in turns)),
        "cpu_ms_per_task": spread([turn.cpu_ms_per_task for turn in turns], 2),
        "ready_s": round(statistics.median(turn.ready_s for turn in turns), 1),
    }


def ratio(turns: Sequence[Turn], others: Sequence[Sequence[Turn]]) -> float | None:
    """Return the median of a system's speed by the best of the others in the same round."""
    if not others or any(len(other) != len(turns) for other in others):
        return None
    return round(
        statistics.median(
            turn.tasks_per_s / max(other[number].tasks_per_s for other in others)
            for number, turn in enumerate(turns)
        ),
        3,
    )


def compare(names: Sequence[str], prefix: Path, rounds: int, tasks: int, singles: int) -> Any:
    """Measure each system in each round. One that fails has no further turn."""
    turns: dict[str, list[Turn]] = {name: [] for name in names}
    reasons: dict[str, dict[str, str]] = {}
    for number in range(rounds):
        # Each begins a round once: what one does to the machine the next one feels.
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            if name in reasons:
                continue
            try:
                turns[name].append(take_turn(name, prefix, tasks, singles))
            except MissingError as error:
                reasons[name] = {"missing": str(error)}
            except PeerError as error:
                reasons[name] = {"failed": str(error)}
            else:
                print(f"round {number + 1}, {name}: {turns[name][-1].tasks_per_s:.0f} tasks/s",
                      file=sys.stderr, flush=True)  # fmt: skip
    measured = {name: turns[name] for name in names if turns[name] and name not in reasons}
    best = [measured[name] for name in BEST_OF if name in measured]
    bare = [measured["bare"]] if "bare" in measured else []
    found: dict[str, Any] = {}
    for name in names:
        about = SYSTEMS[name].about
        found[name] = {"title": about.title, **reasons.get(name, {})}
        if name in measured:
            found[name] |= summary(measured[name])
            found[name]["ratio_to_bare"] = ratio(measured[name], bare)
            found[name]["ratio_to_best"] = ratio(measured[name], best)
        found[name]["gives"] = {what: asdict(about)[what] for what in GIVES_UP}
    return found


def row(peer: dict[str, Any]) -> list[str]:
    """One system's cells of the table."""
    gives = [peer["gives"][what] for what in GIVES_UP]
    if reason := peer.get("missing") or peer.get("failed"):
        kind = "missing" if "missing" in peer else "failed"
        return [peer["title"], f"{kind}: {reason}", *[""] * 4, *gives]
    rate, one = peer["tasks_per_s"], peer["one_ms"]
    least, most = f"{rate['least']:,.0f}", f"{rate['most']:,.0f}"
    return [
        f"{peer['title']} {peer['version']}".strip(),
        f"{rate['median']:,.0f}" + (f" ({least}–{most})" if least != most else ""),
        f"{one['running']:.1f} ms" if "running" in one else "",
        f"{one['result']:.1f} ms",
        f"{peer['rss_mib']:,} MiB",
        f"{peer['cpu_ms_per_task']['median']:.2f} ms",
        *gives,
    ]


def table(result: dict[str, Any]) -> str:
    """Return a result as a table of Markdown."""
    head = ["one node", "tasks a second", "one task running", "its result", "memory",
            "CPU a task", *GIVES_UP.values()]  # fmt: skip
    rows = [head, ["---"] * len(head), *map(row, result["peers"].values())]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def chosen(_context: click.Context, _option: click.Parameter, value: str) -> list[str]:
    """The names in an option."""
    names = [name.strip() for name in value.split(",")]
    for name in names:
        if name not in SYSTEMS:
            raise click.BadParameter(f"there is no {name!r}; there are {', '.join(SYSTEMS)}")
    if len(set(names)) < len(names):
        raise click.BadParameter("a system is named twice")
    return names


@click.command()
@click.option("--peers", default=",".join(SYSTEMS), show_default=True, callback=chosen,
              help="Which systems, by commas.")  # fmt: skip
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Of each.")
@click.option(
    "--tasks", default=1000, show_default=True, type=click.IntRange(3), help="In a burst."
)
@click.option("--singles", default=30, show_default=True, type=click.IntRange(3),
              help="Tasks one by one, in each round.")  # fmt: skip
@click.option("--prefix", default=PREFIX, show_default=True, type=click.Path(path_type=Path),
              help="Where bench/peers-deps.sh has installed them.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    peers: list[str], rounds: int, tasks: int, singles: int, prefix: Path, as_json: bool
) -> None:
    """Measure short tasks on one node, by us and by others."""
    with tempfile.TemporaryDirectory(prefix="pymesos-bench-") as folder:
        before = calibrate(Path(folder))
        found = compare(peers, prefix.resolve(), rounds, tasks, singles)
        after = calibrate(Path(folder))
    result = {
        "rounds": rounds,
        "tasks": tasks,
        "singles": singles,
        "peers": found,
        "machine": {"before": before, "after": after},
    }
    print(json.dumps(result) if as_json else table(result))


if __name__ == "__main__":
    main()
