"""Making a TaskInfo from an offer."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_core.resources import (
    EMPTY,
    Interval,
    Resources,
    count,
    from_proto,
    tagged,
    to_proto,
)
from pymesos_proto.v1 import types_pb2 as pb


def take_ports(resources: Resources, number: int, start: int = 0) -> tuple[Interval, ...]:
    """`number` ports of an offer as intervals, from the `start`-th on, wrapping round.

    Raises ValueError when there are fewer.
    """
    intervals = resources.ranges.get("ports", ())
    available = count(intervals)
    if number > available:
        raise ValueError(f"{number} ports are needed, {available} are offered")
    chosen = []
    for index in range(number):
        position = (start + index) % available
        for begin, end in intervals:
            if position <= end - begin:
                chosen.append((begin + position, begin + position))
                break
            position -= end - begin + 1
    return tuple(sorted(chosen))


def draw(resources: Resources, scalars: Mapping[str, int]) -> Resources:
    """So much of each scalar (in thousandths): of one kind if one has enough, else of several.

    What is reserved comes first. Devices are not drawn from. Raises ValueError when there is less.
    """
    kinds = sorted(
        ((tag, bag) for tag, bag in resources.parts() if not tag.device),
        key=lambda kind: not kind[0].reservations,
    )
    out = EMPTY
    for name, needed in scalars.items():
        left = needed
        alone = [(tag, bag) for tag, bag in kinds if bag.scalar(name) >= needed][:1]
        for tag, bag in alone or kinds:
            taken = min(left, bag.scalar(name))
            out = out + tagged(tag, Resources({name: taken}))
            left -= taken
        if left:
            raise ValueError(f"{Resources({name: left})} more is needed than {resources}")
    return out


def make_task(
    offer: pb.Offer,
    task_id: str,
    command: str,
    *,
    cpus: float = 0.1,
    mem: float = 32,
    ports: int = 0,
    image: str = "",
    env: Mapping[str, str] | None = None,
) -> pb.TaskInfo:
    """A task that runs `command` in a shell on the offer's agent; cpus in cores, mem in MiB.

    Raises ValueError when the offer has fewer ports.
    """
    needed = [pb.Resource(name="cpus", scalar=cpus), pb.Resource(name="mem", scalar=mem)]
    if ports:
        taken = take_ports(from_proto(offer.resources), ports)
        needed += to_proto(Resources(ranges={"ports": taken}))
    return pb.TaskInfo(
        task_id=task_id,
        name=task_id,
        agent_id=offer.agent_id,
        resources=needed,
        command=pb.CommandInfo(
            shell=True,
            value=command,
            environment=[pb.EnvironmentVariable(name=n, value=v) for n, v in (env or {}).items()],
        ),
        container=pb.ContainerInfo(image=image),
    )
