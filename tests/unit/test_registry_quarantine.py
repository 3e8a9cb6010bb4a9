"""A record of the registry that cannot be handled is set aside, and the rest goes on."""

from __future__ import annotations

import math

import pytest

from pymesos_core.resources import parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

Registry = dict[tuple[str, str], bytes]
CPUS = to_proto(parse("cpus:1"))
NO_CPUS = [pb.Resource(name="cpus", scalar=math.nan)]

DRAINING = registry_pb.DrainRecord(state=registry_pb.DrainRecord.DRAINING, deadline_s=1.0)
BAD_WINDOW = registry_pb.MaintenanceRecord(unavailability=pb.Unavailability(start_s=math.nan))


def agent(agent_id: str = "a", **keys: object) -> bytes:
    whole = {"info": pb.AgentInfo(agent_id=agent_id, resources=CPUS), **keys}
    return registry_pb.AgentRecord(**whole).SerializeToString()  # type: ignore[arg-type]


def framework(framework_id: str = "f", since_s: float = 1.0, **keys: object) -> bytes:
    info = pb.FrameworkInfo(framework_id=framework_id, name="f", **keys)  # type: ignore[arg-type]
    return registry_pb.FrameworkRecord(info=info, registered_at_s=since_s).SerializeToString()


def role(name: str = "r", weight: float = 2.0, cpus: float = 1.0) -> bytes:
    quota = pb.Quota(guarantees=[pb.Resource(name="cpus", scalar=cpus)])
    return registry_pb.RoleRecord(role=name, weight=weight, quota=quota).SerializeToString()


@pytest.mark.parametrize(
    ("kind", "key", "record"),
    [
        ("agent", "x", agent("x", drain=DRAINING, maintenance=BAD_WINDOW)),
        ("agent", "x", b"\xff nonsense"),
        ("agent", "x", b""),
        ("agent", "x", agent("y")),
        ("agent", "x", agent("x", state=777)),
        ("agent", "x", agent("x", changed_at_s=math.nan)),
        ("agent", "x", agent("x", reserved=NO_CPUS)),
        ("agent", "x", agent("x", info=pb.AgentInfo(agent_id="x", resources=NO_CPUS))),
        ("framework", "x", b"\xff"),
        ("framework", "x", framework("x", roles=["a//b"])),
        ("framework", "x", framework("x", failover_timeout_s=math.nan)),
        ("framework", "x", framework("x", since_s=math.inf)),
        ("role", "x", b"\xff"),
        ("role", "x", role("x", weight=math.nan)),
        ("role", "x", role("x", weight=-1.0)),
        ("role", "x", role("x", cpus=math.inf)),
        ("role", "x y", role("x y")),
    ],
)
def test_one_bad_record_keeps_no_master_from_leading(kind: str, key: str, record: bytes) -> None:
    good: Registry = {
        ("agent", "a"): agent(),
        ("framework", "f"): framework(failover_timeout_s=60.0),
        ("role", "r"): role(),
        ("newer", "n"): b"\xff",
    }
    h = MasterHarness(registry={**good, (kind, key): record})
    (aside,) = h.core.state.quarantined.values()
    assert (aside.kind, aside.key, aside.record) == (kind, key, record) and aside.reason
    assert list(h.core.state.agents) == ["a"] and not h.core.state.draining
    assert h.core.state.terms("r").weight == 2.0
    h.advance(1)
    assert f"{kind}/{key}" in h.complaints[0].peer
    assert h.core.state.frameworks["f"].info.failover_timeout_s == 60.0
    h.advance(10_000)
    assert h.registry[kind, key] == record, "it stays as it is"

    h.feed(ev.OperatorReleasedRecord(1, kind, key))
    assert "no better than before" in (h.answers[1] or "")
    assert "--discard forgets it" in (h.answers[1] or "")
    h.feed(ev.OperatorReleasedRecord(2, kind, key, discard=True))
    assert h.answers[2] is None
    assert not h.core.state.quarantined and (kind, key) not in h.registry
    h.feed(ev.OperatorReleasedRecord(3, kind, key))
    assert "no record" in (h.answers[3] or "")


def test_an_agent_whose_record_is_set_aside_is_refused_and_its_tasks_are_not_lost() -> None:
    h = MasterHarness(registry={("agent", "x"): b"\xff"})
    connection = h.agent(agent_id="x")
    (refused,) = h.agent_inbox[connection]
    assert "quarantine release agent/x --discard" in refused.refused.message
    assert not refused.refused.shut_down and connection in h.closed
    one = h.subscribe()
    for asked in (("t", "x"), ("t", "")):
        question = scheduler_pb.Call.Reconcile.Task(task_id=asked[0], agent_id=asked[1])
        h.call(one, reconcile=scheduler_pb.Call.Reconcile(tasks=[question]))
    assert not h.statuses(one)
    h.feed(ev.OperatorReleasedRecord(1, "agent", "x", discard=True))
    assert h.agent_id(h.agent(agent_id="x")) == "x"


def test_the_tasks_of_a_framework_whose_record_is_set_aside_run_on() -> None:
    h = MasterHarness(registry={("framework", "x"): b"\xff"})
    info = pb.TaskInfo(task_id="t", resources=CPUS)
    record = agent_pb.TaskRecord(framework_id="x", task_info=info, state=pb.TASK_RUNNING, role="db")
    connection = h.agent(tasks=[record])
    assert not any(m.HasField("shutdown_framework") for m in h.agent_inbox[connection])
    again = h.subscribe("x")
    assert "quarantine release framework/x --discard" in h.errors(again)[0]
    other = h.subscribe()
    (offer,) = h.offers(other)
    assert [r.scalar for r in offer.resources if r.name == "cpus"] == [3.0], "one is used"
    h.advance(60)
    assert h.core.state.find_task("x", "t") is not None

    h.feed(ev.OperatorReleasedRecord(1, "framework", "x", discard=True))
    assert h.answers[1] is None
    shutdown = [m for m in h.agent_inbox[connection] if m.HasField("shutdown_framework")]
    assert [m.shutdown_framework.framework_id for m in shutdown] == ["x"]


def test_a_framework_that_is_torn_down_is_in_quarantine_no_more() -> None:
    h = MasterHarness(registry={("framework", "x"): b"\xff"})
    h.feed(ev.OperatorToreDown(1, "x"))
    assert h.answers[1] is None
    assert not h.core.state.quarantined and not h.registry
    h.feed(ev.OperatorReleasedRecord(2, "framework", "x"))
    assert "no record" in (h.answers[2] or "")
    assert "x" not in h.core.state.frameworks, "nothing brings it back"


def test_a_role_whose_record_is_set_aside_is_not_written_over() -> None:
    h = MasterHarness(registry={("role", "x"): b"\xff"})
    h.feed(ev.OperatorSetWeight(1, "x", 2.0))
    h.feed(ev.OperatorSetQuota(2, "x", pb.Quota(), force=True))
    for number in (1, 2):
        assert "quarantine release role/x --discard" in (h.answers[number] or "")
    assert h.registry["role", "x"] == b"\xff"
