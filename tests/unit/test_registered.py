"""What one address may keep in the registry."""

from __future__ import annotations

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.limits import Limit
from pymesos_core.store import Change
from pymesos_master.core import events as ev
from pymesos_master.core import registered
from pymesos_master.core.records import AGENT, FRAMEWORK
from pymesos_master.core.registered import Registered
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Limit("few", 3, "frameworks registered", "An address")
    all_of_them = Limit("all", 5, "frameworks registered", "The cluster")
    monkeypatch.setitem(registered._LIMITS, FRAMEWORK, (all_of_them, few))


def subscribe(h: MasterHarness, connection_id: int, peer: str, framework_id: str = "") -> None:
    info = pb.FrameworkInfo(name="f", failover_timeout_s=1e6, framework_id=framework_id)
    h.feed(
        ev.FrameworkSubscribing(
            connection_id, scheduler_pb.Call.Subscribe(framework_info=info), Caller(peer=peer)
        )
    )


def new(kind: str, size: int) -> Change:
    return Change(kind, "new", b"x" * size)


def vanish(h: MasterHarness, connection_id: int, peer: str) -> str:
    """Subscribe, and go away for a long time; the framework's id."""
    subscribe(h, connection_id, peer)
    (framework_id,) = {
        f for c, f in h.core.state.framework_by_connection.items() if c == connection_id
    }
    h.feed(ev.FrameworkDisconnected(connection_id))
    return framework_id


def test_frameworks_that_vanish_are_bounded_by_address_and_in_all() -> None:
    h = MasterHarness()
    first = [vanish(h, n, "ipv4:10.0.0.1") for n in range(1000, 1003)]
    subscribe(h, 1003, "ipv4:10.0.0.1")
    assert h.errors(1003) == [
        "The address ipv4:10.0.0.1 has 4 frameworks registered; at most 3 are accepted: end some"
        " with `pymesos-cli teardown`, or let their failover_timeout pass"
    ]
    assert 1003 in h.closed and len(h.core.state.frameworks) == 3
    for n in (1004, 1005):
        vanish(h, n, "ipv4:10.0.0.2")
    subscribe(h, 1006, "ipv4:10.0.0.3")
    assert "The cluster has 6 frameworks registered" in h.errors(1006)[0]
    subscribe(h, 1007, "ipv4:10.0.0.1", first[0])
    assert not h.errors(1007), "one that is known comes back"
    h.feed(ev.OperatorToreDown(1, first[1]))
    subscribe(h, 1008, "ipv4:10.0.0.1")
    assert not h.errors(1008), "another ended"


def test_whose_principal_is_known_counts_by_that_wherever_it_comes_from() -> None:
    h = MasterHarness()

    def come(connection_id: int, name: str, address: str) -> list[str]:
        caller = Caller(f"framework/{name}", Method.CERT, peer=address)
        info = pb.FrameworkInfo(name="f", failover_timeout_s=1e6)
        asked = scheduler_pb.Call.Subscribe(framework_info=info)
        h.feed(ev.FrameworkSubscribing(connection_id, asked, caller))
        return h.errors(connection_id)

    for n in range(3):
        assert come(2000 + n, "one", f"ipv4:10.0.0.{n}") == []
    assert "framework/one has 4 frameworks registered" in come(2003, "one", "ipv4:10.0.0.9")[0]
    assert come(2004, "another", "ipv4:10.0.0.1") == []
    after = MasterHarness(registry=h.registry).core._ctx.registered
    assert after.problem(new(FRAMEWORK, 100), "framework/one") is not None
    assert after.problem(new(FRAMEWORK, 100), "ipv4:10.0.0.1") is None


def test_the_count_survives_a_failover() -> None:
    h = MasterHarness()
    for n in range(1000, 1003):
        vanish(h, n, "ipv4:10.0.0.1")
    after = MasterHarness(registry=h.registry)
    problem = after.core._ctx.registered.problem(new(FRAMEWORK, 100), "ipv4:10.0.0.1")
    assert problem and "has 4 frameworks registered" in problem
    assert after.core._ctx.registered.problem(new(FRAMEWORK, 100), "ipv4:10.0.0.2") is None


def test_bytes_are_counted_whatever_they_are_of() -> None:
    those = Registered()
    those.note(Change(AGENT, "a", b"x" * 60_000_000), "p")
    assert those.problem(new(AGENT, 1_000_000), "p") is None
    problem = those.problem(new(FRAMEWORK, 10_000_000), "p")
    assert problem and "70000000 bytes of agents and frameworks registered" in problem
    assert those.problem(new(FRAMEWORK, 10_000_000), "q") is None
    larger = those.problem(Change(AGENT, "a", b"x" * 70_000_000), "q")
    assert larger and "The address p" in larger, "one that is known may not grow beyond it"
    assert those.problem(Change(AGENT, "a", b"x" * 50_000_000), "p") is None
    those.note(Change(AGENT, "a", b"x"))
    assert those.problem(new(FRAMEWORK, 10_000_000), "p") is None, "it became smaller"
    those.note(Change(AGENT, "a", None))
    assert not those._bytes_of_peer and not those._of_peer
