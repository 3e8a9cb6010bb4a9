"""The benchmarks run, and what they count is right; how fast they are is for bench/README.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pymesos_testing.components import ZooKeeper

BENCH = Path(__file__).resolve().parents[2] / "bench"


def bench(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON that it prints."""
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_failover_loses_and_doubles_nothing(zookeeper_server: ZooKeeper) -> None:
    # The shared server only says whether ZooKeeper is installed; the benchmark starts its own.
    result = bench("failover.py", "--agents", "20", "--tasks", "60", "--session-timeout", "2")
    assert (result["lost"], result["doubled"]) == (0, 0)
    assert result["last_agent_s"] > 1


def test_a_million_in_small(zookeeper_server: ZooKeeper) -> None:
    size = ("--agents", "10", "--tasks", "1000", "--session-timeout", "2")
    result = bench("million.py", *size)
    assert (result["lost"], result["doubled"]) == (0, 0)
    assert result["task_info_bytes"] >= 300
    assert 0 < result["elected_s"] <= result["first_offer_s"]
    assert result["first_page_ms"]["p50"] > 0 and result["lag_asking"]["asked"] > 0


def test_rollouts_and_a_listing_of_jobs() -> None:
    result = bench("rollout.py", "--services", "30", "--rollouts", "3")
    assert result["bad"]["ready_at_worst"] == 10
    assert result["listing"]["jobs"] == 300


def test_launch() -> None:
    result = bench("launch.py", "--rounds", "3", "--tasks", "20")
    assert result["submit_to_running_ms"]["p50"] > 0 and result["tasks_per_s"] > 0


def test_peers(tmp_path: Path) -> None:
    """Who is not installed is said to be missing; of the others nothing is left."""
    small = ("--rounds", "1", "--tasks", "20", "--singles", "3", "--prefix", str(tmp_path))
    result = bench("peers.py", "--peers", "us,ray,bare", *small)
    peers = result["peers"]
    assert "peers-deps.sh" in peers["ray"]["missing"]
    assert peers["us"]["tasks_per_s"]["median"] > 0 and peers["us"]["ratio_to_bare"] > 0
    assert 0 < peers["us"]["one_ms"]["running"] <= peers["us"]["one_ms"]["result"]
    assert peers["us"]["rss_mib"] > peers["bare"]["rss_mib"] > 0
    assert peers["us"]["cpu_ms_per_task"]["median"] > 0
    assert result["machine"]["after"]["fsync_ms"]["p50"] > 0


def test_a_warden_ends_what_its_command_has_left() -> None:
    leaves = "setsid sh -c 'setsid sleep 1000 & echo $!'; :"
    done = subprocess.run(
        [sys.executable, "-m", "peering.warden", "sh", "-c", leaves],
        cwd=BENCH,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_throughput() -> None:
    result = bench("throughput.py", "--agents", "10", "--tasks", "100")
    assert result["tasks_per_s"] > 0 and result["ratio_to_echo"] > 0


def test_security() -> None:
    small = ("--runs", "1", "--agents", "5", "--tasks", "50", "--rounds", "3")
    result = bench("security.py", *small)
    assert result["ratio_throughput"] > 0 and result["ratio_launch_p50"] > 0


def test_planning() -> None:
    rows = bench("planning.py", "--lives", "3")["rows"]
    assert len(rows) == 5
    assert all(row["life_ms"] > 0 for row in rows)


def test_allocation() -> None:
    for scenario in ("decline", "suppress", "filtered", "quota"):
        size = ("--agents", "40", "--frameworks", "8", "--scenario", scenario)
        result = bench("allocation.py", *size, "--cycles", "3")
        assert result["first_cycle_offers"] >= (8 if scenario == "quota" else 40)


def test_packing(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("cpu_milli,memory_mib,gpu\n" + "8000,16384,2\n" * 10)
    pods.write_text(
        "cpu_milli,memory_mib,num_gpu,gpu_milli\n"
        + "1000,1024,1,500\n2000,2048,1,1000\n1000,512,0,0\n4000,512,2,1000\n" * 4
    )
    for visibility in ("full", "offers"):
        trace = ("--nodes", str(nodes), "--pods", str(pods), "--seeds", "2")
        result = bench("packing.py", *trace, "--visibility", visibility)
        assert 80 <= result["allocated_percent"]["mean"] <= 100


OPENB = BENCH.parents[1] / "shared" / "data" / "openb"


@pytest.mark.skipif(not OPENB.exists(), reason="the traces are not here")
@pytest.mark.parametrize("kind", ["cpuonly25", "cpuonly35", "gpuspec33"])
def test_default_is_above_fgd(kind: str) -> None:
    """Where CPU runs out before GPUs, and where models are named."""
    nodes = OPENB / "openb_node_list_gpu_node.csv"
    pods = OPENB / "openb_pod_list_default.csv"
    trace = ("--nodes", str(nodes), "--pods", str(pods), "--trace", kind, "--seeds", "1")
    percent = {
        policy: bench("packing.py", *trace, "--policy", policy)["allocated_percent"]["mean"]
        for policy in ("default", "fgd")
    }
    assert percent["default"] >= percent["fgd"]


def test_listing() -> None:
    result = bench("listing.py", "--agents", "5", "--tasks", "200")
    assert result["tasks_s"] > 0 and result["master_bytes_per_task"] > 0


def test_http_lists() -> None:
    size = ("--agents", "5", "--tasks", "200", "--rounds", "1", "--lives", "20")
    result = bench("http_lists.py", *size)
    assert result["idle"]["list_ms"]["p50"] > 0 and result["by_query"]["sort=-id"]["p50"] > 0


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_web() -> None:
    result = bench("web.py", "--agents", "5", "--tasks", "2000", "--times", "1")
    assert result["filter_ms"] > 0 and result["quiet_script_ms"] > 0
    assert result["change_script_ms"] < 100  # below nothing, where this machine is busy


def test_churn_keeps_no_more_than_it_says() -> None:
    result = bench("churn.py", "--hours", "0.1")
    known = result["known_by_quarter"][-1]
    assert result["tasks"] > 1000 and known["completed_tasks"] <= 1000
    assert known["frameworks"] <= 105 and known["agents"] <= 1000


@pytest.mark.skipif(os.geteuid() != 0, reason="limits that hold need root")
def test_containers() -> None:
    result = bench("containers.py", "--rounds", "3", "--tasks", "12", "--no-swarm")
    assert result["launches_per_s"] > 0 and result["bare_launches_per_s"] > 0
    assert result["kill_ms"]["p50"] > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="limits that hold need root")
def test_neighbour() -> None:
    result = bench("neighbour.py", "--runtime", "oci", "--seconds", "1")
    assert result["ratio"].keys() == {"memory", "pids", "disk", "cpu", "revocable"}
    assert result["cpu_share_kept"] > 0
