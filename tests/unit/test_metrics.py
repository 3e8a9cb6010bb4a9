"""What a master tells Prometheus of agents that are alike, and of resources with odd names."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from pymesos_core import metrics as serving
from pymesos_core import resources
from pymesos_core.slices import in_slices
from pymesos_master import metrics


def exposition(seen: metrics.Snapshot) -> list[str]:
    class Fixed(Collector):
        def collect(self):  # type: ignore[no-untyped-def]
            return metrics.to_metrics(seen)

    registry = CollectorRegistry()
    registry.register(Fixed())
    return generate_latest(registry).decode().splitlines()


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("cpus:1.5;mem:64", {"cpus": 1500, "mem": 64000}),
        ("cpus:1;ports:[1-10,20-29]", {"cpus": 1000, "ports": 20_000}),
        ("cpus(db):1;ports(db):[5-6];cpus:1", {"cpus": 2000, "ports": 2000}),
        ("disks:{a,b,c}", {"disks": 3000}),
        ("", {}),
    ],
)
def test_amounts(text: str, amounts: dict[str, int]) -> None:
    assert dict(resources.parse(text).amounts()) == amounts


def test_names_that_others_chose_make_no_metric() -> None:
    seen = metrics.Snapshot(leads=True)
    seen.counted.resources["total"].update(
        {"cpus": 1000, "agents": 1000, "a-b": 1, "a.b": 1, 'x"y': 1}
    )
    lines = exposition(seen)
    assert 'pymesos_master_cpus{kind="total"} 1.0' in lines
    assert 'pymesos_master_other_resources{kind="total",resource="agents"} 1.0' in lines
    assert 'pymesos_master_other_resources{kind="total",resource="x\\"y"} 0.001' in lines
    names = [line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")]
    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)) and set(names) <= set(heads)


def test_many_names_do_not_make_the_answer_grow() -> None:
    seen = metrics.Snapshot(leads=True)
    seen.counted.resources["total"].update({f"r{n}": 1 for n in range(5000)})
    assert len(exposition(seen)) < 100 + 3 * metrics.MAX_OTHERS


async def test_slices_leave_nothing_out_and_stand_what_goes() -> None:
    table = {n: n for n in range(1000)}
    seen = []
    async for item in in_slices(table.values(), slice_s=0.0):
        table.pop(item + 1, None)
        seen.append(item)
    assert seen == list(range(1000))


def test_a_thread_that_cannot_start_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    server = serving._Server.__new__(serving._Server)  # without its socket
    server._free = threading.BoundedSemaphore(serving.MOST_CONNECTIONS)

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    for _ in range(2 * serving.MOST_CONNECTIONS):
        with pytest.raises(RuntimeError):
            server.process_request("request", "address")


def test_agents_that_are_not_offered_are_counted_by_what_was_decided() -> None:
    seen = metrics.Snapshot(leads=True)
    seen.counted.drains.update({"draining": 2, "drained": 1})
    lines = exposition(seen)
    assert 'pymesos_master_withheld_agents{state="draining"} 2.0' in lines
    assert 'pymesos_master_withheld_agents{state="drained"} 1.0' in lines
    assert 'pymesos_master_withheld_agents{state="cordoned"} 0.0' in lines
