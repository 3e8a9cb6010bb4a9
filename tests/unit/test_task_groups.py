"""LAUNCH_GROUP at the master: all of a group is launched, or nothing."""

from __future__ import annotations

import pytest

from pymesos_core.resources import parse
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import operations
from pymesos_testing.master_harness import MasterHarness, task


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


def group(*infos: pb.TaskInfo) -> scheduler_pb.Operation:
    return scheduler_pb.Operation(launch_group=scheduler_pb.Operation.LaunchGroup(task_infos=infos))


def accept(h: MasterHarness, framework: int, offer: pb.Offer, *ops: scheduler_pb.Operation) -> None:
    call = scheduler_pb.Call.Accept(
        offer_ids=[offer.offer_id],
        operations=ops,
        filters=scheduler_pb.Filters(refuse_seconds=0),
    )
    h.call(framework, accept=call)


def groups(h: MasterHarness, agent: int) -> list[list[str]]:
    return [
        [info.task_id for info in m.launch_group.task_infos]
        for m in h.agent_inbox[agent]
        if m.HasField("launch_group")
    ]


def test_a_group_and_a_task_on_one_offer(h: MasterHarness) -> None:
    agent, framework = h.agent(), h.subscribe()
    offer = h.offers(framework)[0]
    launch = scheduler_pb.Operation(
        launch=scheduler_pb.Operation.Launch(task_infos=[task(offer, "alone")])
    )
    accept(h, framework, offer, launch, group(task(offer, "a"), task(offer, "b")))
    assert groups(h, agent) == [["a", "b"]] and h.launched(agent) == ["alone"]
    rest = h.offers(framework)[0]
    assert {r.name: r.scalar for r in rest.resources} == {"cpus": 1, "mem": 4096 - 96}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"text": "cpus:4;mem:32"}, "Task 'b' is invalid: Task uses more resources"),
        ({"task_id": "a"}, "two tasks of one id"),
        ({"network": "none"}, "have one network"),
        ({"port": 80}, "Two ports are mapped to the same one"),
        ({"in_mbit": 9}, "The network of a group has one limit each way; these ask for several"),
    ],
)
def test_one_bad_task_is_the_end_of_all(
    h: MasterHarness, change: dict[str, object], says: str
) -> None:
    agent, framework = h.agent(), h.subscribe()
    offer = h.offers(framework)[0]
    mapping = [pb.PortMapping(container_port=80)]
    good = task(offer, "a")
    bad = task(offer, str(change.get("task_id", "b")), str(change.get("text", "cpus:1;mem:32")))
    bad.container.network = str(change.get("network", ""))
    if change.get("in_mbit"):
        good.container.network_in_mbit_per_s = 8
        bad.container.network_in_mbit_per_s = 9
    if change.get("port"):
        good.container.port_mappings.extend(mapping)
        bad.container.port_mappings.extend(mapping)
    accept(h, framework, offer, group(good, bad))
    assert groups(h, agent) == []
    for status in h.statuses(framework):
        assert (status.state, status.reason) == (pb.TASK_ERROR, pb.REASON_TASK_GROUP_INVALID)
        assert says in status.message
    assert len(h.statuses(framework)) == 2
    assert h.offers(framework)[0].resources == offer.resources, "all of it is free"


def test_offers_that_are_gone(h: MasterHarness) -> None:
    h.agent()
    framework = h.subscribe()
    offer = h.offers(framework)[0]
    h.decline(framework, [offer.offer_id], 0.0)
    accept(h, framework, offer, group(task(offer, "a"), task(offer, "b")))
    assert [s.task_id for s in h.statuses(framework)] == ["a", "b"]
    assert {s.reason for s in h.statuses(framework)} == {pb.REASON_INVALID_OFFERS}


def test_after_a_reservation_in_one_accept(h: MasterHarness) -> None:
    agent = h.agent()
    framework = h.subscribe(roles=["web"])
    offer = h.offers(framework)[0]
    reserve, _ = operations.reserve(parse("cpus:1"), "web")
    accept(h, framework, offer, reserve, group(task(offer, "a"), task(offer, "b", "cpus:9")))
    assert groups(h, agent) == []
    assert {s.reason for s in h.statuses(framework)} == {pb.REASON_TASK_GROUP_INVALID}
    offer = h.offers(framework)[0]
    accept(h, framework, offer, group(task(offer, "c"), task(offer, "d")))
    assert groups(h, agent) == [["c", "d"]]


def test_a_folder_of_a_group_is_for_groups(h: MasterHarness) -> None:
    agent, framework = h.agent(), h.subscribe()
    offer = h.offers(framework)[0]
    info = task(offer, "a")
    info.container.mounts.add(container_path="shared", group_path="shared")
    h.accept(framework, [offer.offer_id], info)
    assert "is in none" in h.last(framework).message
    accept(h, framework, h.offers(framework)[0], group(info))
    assert groups(h, agent) == [["a"]]


@pytest.mark.parametrize("way", ["network_in_mbit_per_s", "network_out_mbit_per_s"])
@pytest.mark.parametrize(
    ("isolation", "limited"),
    [({}, False), ({"bandwidth": "bridge"}, True), ({"oci bandwidth": "bridge"}, True)],
)
def test_an_agent_that_limits_no_network_gets_no_task_that_asks_for_it(
    h: MasterHarness, isolation: dict[str, str], way: str, *, limited: bool
) -> None:
    """One of an older version would run the task, and ignore what it asks for."""
    h.agent(isolation={"bridge": "bridge", **isolation})
    framework = h.subscribe()
    offer = h.offers(framework)[0]
    info = task(offer, "t")
    info.container.network = "bridge"
    setattr(info.container, way, 8)
    h.accept(framework, [offer.offer_id], info)
    said = [status.message for status in h.statuses(framework)]
    assert said == [] if limited else "which its agent cannot do" in said[0]
