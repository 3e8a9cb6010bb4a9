"""Fresh seeds in every run; a seed replays to the same line."""

from __future__ import annotations

import os
import random

from pymesos_simulation.simulation import simulate

SEEDS = int(os.environ.get("SEEDS", "200"))


def test_a_seed_replays_to_the_same_line() -> None:
    first: list[str] = []
    second: list[str] = []
    assert simulate(42, first.append) == simulate(42, second.append)
    assert first == second and len(first) > 10


def test_fresh_seeds() -> None:
    base = int(os.environ.get("SEED_BASE") or random.SystemRandom().randrange(10**9))
    print(f"SEED_BASE={base} SEEDS={SEEDS}")
    results = [simulate(seed) for seed in range(base, base + SEEDS)]
    if SEEDS >= 200:
        assert sum(r.events for r in results) >= 500_000
        assert sum(r.crashes for r in results) >= 1_000
        assert sum(r.failovers for r in results) >= 200
        assert sum(r.finished for r in results) >= 10_000
