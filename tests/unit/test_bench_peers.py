"""What the comparison with other systems counts and says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import peers
from peering.interface import MissingError
from peering.systems import SYSTEMS


def turn(tasks_per_s: float, *ones_ms: float, rss_mib: float = 100.0) -> peers.Turn:
    return peers.Turn("1.0", 2.0, 50, tasks_per_s, 1.5, rss_mib, {"result": [*ones_ms]})


def test_a_summary_has_medians_and_ranges_of_all_rounds() -> None:
    found = peers.summary([turn(100, 5, 7), turn(300, 6), turn(200, 1, 20, rss_mib=400)])
    assert found["tasks_per_s"] == {"median": 200, "least": 100, "most": 300}
    assert found["one_ms"] == {"result": 6}
    assert (found["rss_mib"], found["version"], found["tasks"]) == (100, "1.0", 50)


def test_a_ratio_is_of_the_same_round_and_to_the_best_one() -> None:
    ours = [turn(100), turn(300)]
    assert peers.ratio(ours, [[turn(200), turn(100)], [turn(50), turn(400)]]) == 0.625
    assert peers.ratio(ours, []) is None
    assert peers.ratio(ours, [[turn(200)]]) is None  # it has missed a round


def test_who_is_missing_or_fails_is_in_the_table_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def take(name: str, *_: object) -> peers.Turn:
        asked.append(name)
        if name == "dask":
            raise peers.PeerError("it has ended")
        if name == "ray":
            raise MissingError("there is no ray")
        return turn(40.0 if name == "us" else 80.0, 3.0)

    monkeypatch.setattr(peers, "take_turn", take)
    found = peers.compare(["us", "ray", "dask", "bare"], tmp_path, 2, 50, 3)
    assert asked == ["us", "ray", "dask", "bare", "bare", "us"]  # another one begins; no new tries
    assert found["us"]["ratio_to_bare"] == 0.5 and found["us"]["ratio_to_best"] is None
    assert found["ray"]["missing"] == "there is no ray"
    assert found["dask"]["failed"] == "it has ended"
    lines = peers.table({"peers": found}).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 2 + 4
    assert "missing: there is no ray" in lines[3] and "failed: it has ended" in lines[4]
    assert all(found[name]["gives"]["durable"] for name in found)


def test_slow_systems_get_fewer_tasks_and_each_gets_some() -> None:
    assert peers.share_of(SYSTEMS["us"], 1000) == 1000
    assert peers.share_of(SYSTEMS["swarm"], 1000) == 50
    assert peers.share_of(SYSTEMS["swarm"], 10) == 3


def test_systems_are_chosen_by_name() -> None:
    def choose(value: str) -> list[str]:
        return peers.chosen(click.Context(peers.main), peers.main.params[0], value)

    assert choose("ray, us") == ["ray", "us"]
    for wrong, says in (("us,rai", "'rai'; there are us, ray"), ("us,us", "twice")):
        with pytest.raises(click.BadParameter, match=says):
            choose(wrong)


def test_what_is_not_installed_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("ray", "dask", "hyperqueue"):
        with pytest.raises(MissingError, match=r"there is no .*bench/peers-deps\.sh"):
            SYSTEMS[name].python(tmp_path)


def test_peers_can_be_read_without_what_they_need() -> None:
    """The drivers of peers run in other Pythons, which do not have our packages."""
    code = "import peering.systems, sys; sys.exit('pymesos_core' in sys.modules)"
    subprocess.run([sys.executable, "-S", "-c", code], cwd=peers.BENCH, check=True)
