"""The traces that the packing benchmark draws are what their names say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from family import FAMILY, of_the_family

from pymesos_binpack.placement.packing import Shape, shape_of
from pymesos_binpack.placement.packing.pool import Node
from pymesos_binpack.placement.packing.replay import TraceError


def pod(cpus: int, gpus: float) -> Shape:
    return shape_of({"cpus": cpus * 1000, "mem": 1000, "gpus": int(gpus * 1000)})


NODES = [
    Node({"cpus": 96_000}, {"cpus": 96_000}, (1000,) * number, model)
    for number, model in ((8, "G2"), (2, "T4"), (4, "V100M16"), (8, "G3"), (2, "P100"))
]
PODS = [pod(8, 0), pod(16, 0.25), pod(4, 0.5), pod(4, 1), pod(8, 1), pod(9, 2), pod(40, 8)] * 40


def part(pods: list[Shape], *, of_gpus: bool, least: int, most: int) -> float:
    """The part of all pods, or of the GPUs they want, that want between `least` and `most`."""
    weights = [pod.gpus if of_gpus else 1 for pod in pods]
    chosen = [w for w, p in zip(weights, pods, strict=True) if least <= p.gpus <= most]
    return 100 * sum(chosen) / sum(weights)


def test_parts() -> None:
    for name, of_gpus, least, most, expected in (
        ("cpuonly35", False, 0, 0, 35),
        ("gpushare60", True, 1, 999, 60),
        ("gpushare100", True, 1, 999, 100),
        ("multigpu50", True, 2000, 8000, 50),
        ("manygpu50", False, 2000, 8000, 50),
    ):
        found = part(of_the_family(name, PODS, NODES, 1), of_gpus=of_gpus, least=least, most=most)
        assert found == pytest.approx(expected, abs=5), name
    alone = [len([p for p in of_the_family(f"cpu{n}", PODS, NODES, 1) if not p.gpus])
             for n in (50, 100, 250)]  # fmt: skip
    assert alone == [20, 40, 100]


def test_models() -> None:
    pods = of_the_family("gpuspec33", PODS, NODES, 1)
    asking = [p for p in pods if p.models]
    assert len(asking) / len([p for p in pods if p.gpus]) == pytest.approx(0.33, abs=0.08)
    assert {p.models for p in asking if p.gpus == 8000} <= {
        ("G2",), ("G3",), ("G2", "P100", "T4", "V100M16", "V100M32")
    }  # fmt: skip
    assert not any(p.models for p in pods if not p.gpus)


def test_the_same_seed_draws_the_same() -> None:
    for name in FAMILY:
        drawn = of_the_family(name, PODS, NODES, 1)
        assert drawn == of_the_family(name, PODS, NODES, 1)
        assert name == "default" or drawn != of_the_family(name, PODS, NODES, 2) or "cpu" in name


@pytest.mark.parametrize("name", ["gpu", "cpu", "ram20", "multigpu100", "gpuspec101", "cpu-1"])
def test_no_such_trace(name: str) -> None:
    with pytest.raises(TraceError):
        of_the_family(name, PODS, NODES, 1)
