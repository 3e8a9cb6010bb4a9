"""`pymesos-cli whatif` as a person types it; it asks no cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymesos_testing.cli import Cli

CLI = Cli("127.0.0.1:1")  # where nobody listens


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu\n" + "n,8000,16384,2\n" * 4)
    pods.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"
        + "a,1000,1024,1,500\nb,2000,2048,1,1000\nc,1000,512,0,0\n" * 6
    )
    return str(nodes), str(pods)


def test_a_table_a_plot_and_json(files: tuple[str, str], tmp_path: Path) -> None:
    nodes, pods = files
    plot = tmp_path / "plot.png"
    said = CLI.ok("whatif", "--nodes", nodes, "--pods", pods, "--policy", "default",
                  "--policy", "best-fit", "--plot", str(plot))  # fmt: skip
    assert "the scarcest is gpus" in said and "best-fit" in said
    assert plot.read_bytes().startswith(b"\x89PNG")
    (run,) = json.loads(CLI.ok("whatif", "--nodes", nodes, "--pods", pods, "--json"))
    assert run["placed"] + run["not_placed"] == 18
    assert run["placed"] == 17 and run["allocated"]["gpus"] == 1
    assert run["machines_needed"] == 5, "nine GPUs in pairs"
    (overload,) = json.loads(
        CLI.ok("whatif", "--nodes", nodes, "--pods", pods, "--load", "2", "--seed", "3", "--json")
    )
    assert overload["load"] >= 2


def test_machines_of_one_kind(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("cpu_milli,memory_mib\n" + "10000,100\n" * 2)
    pods.write_text("cpu_milli,memory_mib\n" + "3000,10\n7000,10\n" * 5)
    said = CLI.ok("whatif", "--nodes", str(nodes), "--pods", str(pods))
    assert "Packed together, in whatever order, 5 such machines hold all pods." in said


def test_models(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("cpu_milli,memory_mib,gpu,model\n8000,100,2,T4\n8000,100,2,V100M16\n")
    head = "cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"
    pods.write_text(head + "1000,1,1,1000,V100M16|V100M32\n" * 4)
    (run,) = json.loads(CLI.ok("whatif", "--nodes", str(nodes), "--pods", str(pods), "--json"))
    assert (run["placed"], run["not_placed"], run["machines_needed"]) == (2, 2, 4)
    pods.write_text(head + "1000,1,1,1000,\n1000,1,1,1000,V1OO\n")
    wrong = CLI.run("whatif", "--nodes", str(nodes), "--pods", str(pods))
    assert wrong.returncode != 0
    assert "line 3: gpu_spec is 'V1OO'" in wrong.stderr and "T4, V100M16" in wrong.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("--nodes", "/nowhere.csv"), "cannot be read"),
        (("--policy", "bst"), "there is no policy 'bst'; there are default"),
        (("--load", "0"), "--load"),
        (("--nodes", "/nowhere.csv"), "/nowhere.csv cannot be read: No such file or directory\n"),
        (("--policy", "default", "--policy", "bst"), "there is no policy 'bst'"),
        (("--plot", "/nowhere/plot.png"), "plot.png: No such file or directory\n"),
        (("--plot", "plot.nonsense"), "should end in one of"),
        (("--plot", "/"), "is a directory"),
    ],
)
def test_what_is_wrong(files: tuple[str, str], change: tuple[str, str], says: str) -> None:
    nodes, pods = files
    wrong = CLI.run("whatif", "--nodes", nodes, "--pods", pods, *change)
    assert wrong.returncode == 2 and says in wrong.stderr
    assert "Errno" not in wrong.stderr and not wrong.stdout, "before any work"


def test_a_plot_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    missing = str(tmp_path / "nodes.csv")
    wrong = CLI.run("whatif", "--nodes", missing, "--pods", missing, "--plot", "/nowhere/x.png")
    assert "cannot write the plot to /nowhere/x.png: No such file" in wrong.stderr
    CLI.run("whatif", "--nodes", missing, "--pods", missing, "--plot", str(tmp_path / "x.png"))
    assert not (tmp_path / "x.png").exists(), "nothing is left of the trial"


@pytest.mark.parametrize("kinds", [["10000,100"] * 2, ["10000,100", "9000,100"]])
def test_a_pod_that_is_too_large_is_named_by_its_line(tmp_path: Path, kinds: list[str]) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("cpu_milli,memory_mib\n" + "\n".join(kinds))
    pods.write_text("cpu_milli,memory_mib\n3000,10\n\n11000,10\n3000,101\n")
    done = CLI.run("whatif", "--nodes", str(nodes), "--pods", str(pods))
    assert done.returncode == 0
    assert done.stderr == f"{pods}, line 4: this pod fits on no machine, even an empty one\n"
    assert "some pod fits on no machine" in done.stdout


def test_one_machine(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("cpu_milli,memory_mib\n10000,100\n")
    pods.write_text("cpu_milli,memory_mib\n3000,10\n")
    said = CLI.ok("whatif", "--nodes", str(nodes), "--pods", str(pods))
    assert "1 machine;" in said and "hold all pods" not in said.replace("1 such machine holds", "")
