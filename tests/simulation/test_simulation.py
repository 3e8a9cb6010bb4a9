"""Fresh seeds in every run; a seed replays to the same line."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pymesos_core.coordination.zk_watched import WatchedRecords
from pymesos_master.core import slices
from pymesos_master.core.context import Context
from pymesos_simulation import __main__ as command
from pymesos_simulation.frameworks import side_of
from pymesos_simulation.masters import SETTINGS, SimulatedSettings
from pymesos_simulation.pairs import ElectedNode
from pymesos_simulation.simulation import SIDE_EVERY, build_cluster, simulate
from pymesos_simulation.world import World

SLICED = (9000, 9001, 9003)  # seeds of masters that do one task at a time
OF_A_PAIR = (53, 35, 8)  # seeds with a framework of two instances
SEEDS = int(os.environ.get("SEEDS", "100"))


def test_a_seed_replays_to_the_same_line() -> None:
    first: list[str] = []
    second: list[str] = []
    assert simulate(42, first.append) == simulate(42, second.append)
    assert first == second and len(first) > 10


@pytest.mark.parametrize("seed", range(2 * SIDE_EVERY))
def test_in_every_third_seed_frameworks_begin_with_jobs_of_two_roles(seed: int) -> None:
    cluster = build_cluster(World(seed))
    try:
        for framework in cluster.frameworks:
            mine = {framework.role}
            both = {*mine, side_of(framework.role)} if seed % SIDE_EVERY == 1 else mine
            assert {job.role for job in framework.jobs.values()} == both
    finally:
        cluster.end()


def test_the_command_replays_a_seed() -> None:
    runs = [CliRunner().invoke(command.main, ["--seed", "7", "--trace"]) for _ in range(2)]
    traces = [run.stdout.splitlines()[:-2] for run in runs]
    assert runs[0].exit_code == 0 and traces[0] == traces[1]
    assert "simulated hours" in runs[0].stdout and "faults: " in runs[0].stdout


def test_a_failure_says_how_to_replay_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(seed: int, trace: object) -> None:
        raise AssertionError(f"seed {seed} at 1 s: broken")

    monkeypatch.setattr(command, "simulate", fails)
    run = CliRunner().invoke(command.main, ["--base", "9"])
    assert run.exit_code == 1
    assert "FAILED seed 9 at 1 s: broken" in run.output and "--seed 9 --trace" in run.output
    story = tmp_path / "s.txt"
    story.write_text("S\n--\n1 master\nexpect epoch 7 now\n")
    told = CliRunner().invoke(command.main, ["--story", str(story)])
    assert told.exit_code == 1 and "s, line 4" in told.output


@pytest.mark.timeout(600)
def test_what_a_standby_keeps_is_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ElectedNode, "keeps_read", True)
    for seed in OF_A_PAIR:
        simulate(seed, lambda line: None)
    monkeypatch.setattr(WatchedRecords, "_written", lambda self, event: None)
    with pytest.raises(AssertionError, match=r"forgot|before it is stored|and stored as"):
        for seed in OF_A_PAIR:
            simulate(seed, lambda line: None)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SLICED)
def test_what_masters_do_in_slices_may_be_interrupted_after_each_task(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sliced, run, begun = replace(SETTINGS.core, tasks_in_a_slice=1), slices.run, set[str]()

    def noted(ctx: Context, key: slices.WorkKey, size: int, steps: Iterator[None]) -> None:
        begun.add(key[0])
        run(ctx, key, size, steps)

    monkeypatch.setattr(SimulatedSettings, "core", property(lambda _: sliced))
    monkeypatch.setattr(slices, "run", noted)
    simulate(seed, lambda line: None)
    assert begun >= {"tasks", "ended"}


def _begin(seeds: range, hash_seed: int) -> subprocess.Popen[str]:
    options = ("--base", str(seeds.start), "--seeds", str(len(seeds)), "--digest")
    # The tests of real components run beside it, and they have the way.
    return subprocess.Popen(
        ["nice", sys.executable, "-m", "pymesos_simulation", *options],
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(1800)  # SEEDS of them on a busy machine
def test_fresh_seeds_and_some_twice_with_other_hashes() -> None:
    """Nothing depends on the order of a set: it is another in the second run."""
    base = int(os.environ.get("SEED_BASE") or random.SystemRandom().randrange(10**9))
    print(f"SEED_BASE={base} SEEDS={SEEDS}")
    both = max(1, SEEDS // 8)
    fresh, of_each = range(base, base + SEEDS), (SEEDS + both) // 2
    parts = fresh[: SEEDS - of_each + both], fresh[SEEDS - of_each :]
    runs = [_begin(seeds, hash_seed) for hash_seed, seeds in enumerate(parts, 1)]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs[0][-2000:] + outputs[1][-2000:]
    first, second = (
        dict(zip(seeds, (line for line in out.splitlines() if line[0] == "{"), strict=True))
        for seeds, out in zip(parts, outputs, strict=True)
    )
    twice = first.keys() & second.keys()
    assert [first[seed] for seed in twice] == [second[seed] for seed in twice]
    assert len(twice) == both and (first | second).keys() == set(fresh)
    if SEEDS >= 100:
        results = [json.loads(line.rpartition(" ")[0]) for line in (first | second).values()]
        assert sum(r["events"] for r in results) >= 250_000
        assert sum(r["crashes"] for r in results) >= 500
        assert sum(r["failovers"] for r in results) >= 100
        assert sum(r["finished"] for r in results) >= 5_000
