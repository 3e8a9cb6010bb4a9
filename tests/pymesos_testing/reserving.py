"""Frameworks that reserve, and what they are told."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from pymesos_core import resources
from pymesos_core.resources import Resources, from_proto, parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

Update = scheduler_pb.Event.OperationUpdate


REQUESTS = itertools.count(1)


def subscribe(h: MasterHarness, role: str, *capabilities: pb.FrameworkCapability) -> int:
    return h.subscribe(roles=[role], name=role, capabilities=(pb.PARTITION_AWARE, *capabilities))


def accept(
    h: MasterHarness,
    framework: int,
    offer: pb.Offer,
    *made: scheduler_pb.Operation,
    tasks: Iterable[pb.TaskInfo] = (),
) -> None:
    launch = scheduler_pb.Operation(launch=scheduler_pb.Operation.Launch(task_infos=tasks))
    call = scheduler_pb.Call.Accept(
        offer_ids=[offer.offer_id],
        operations=[*made, launch],
        filters=scheduler_pb.Filters(refuse_seconds=0),
    )
    h.call(framework, accept=call)


def task(offer: pb.Offer, task_id: str, needed: Resources) -> pb.TaskInfo:
    return pb.TaskInfo(
        task_id=task_id,
        agent_id=offer.agent_id,
        resources=to_proto(needed),
        command=pb.CommandInfo(shell=True, value="true"),
    )


def told(h: MasterHarness, agent: int) -> list[Resources]:
    """What the agent was told is reserved, each time."""
    return [
        from_proto(m.set_reserved.reserved)
        for m in h.agent_inbox[agent]
        if m.HasField("set_reserved")
    ]


def outcomes(h: MasterHarness, framework: int) -> list[tuple[str, int]]:
    return [
        (e.operation_update.operation_id, e.operation_update.state)
        for e in h.framework_inbox[framework]
        if e.HasField("operation_update")
    ]


def offered(h: MasterHarness, framework: int) -> Resources:
    return resources.total(from_proto(offer.resources) for offer in h.offers(framework))


def unreserve(
    h: MasterHarness, agent: int, role: str, text: str = "", volume: str = ""
) -> str | None:
    request = next(REQUESTS)
    wanted = to_proto(parse(text))
    if volume:
        disk = pb.Resource.Disk(persistence_id=volume, container_path="data")
        wanted.append(pb.Resource(name="disk", scalar=500, disk=disk))
    h.feed(ev.OperatorUnreserved(request, h.agent_id(agent), role, tuple(wanted)))
    return h.answers[request]
