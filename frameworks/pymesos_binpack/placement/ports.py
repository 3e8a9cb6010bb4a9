"""Ports of agents: those that a task wants by their numbers, and any others that are free."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator

from pymesos_binpack.placement.tasks import PendingTask
from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import Interval, count, normalize
from pymesos_core.resources import EMPTY, Resources, tagged
from pymesos_sdk.tasks import take_ports

PORTS = "ports"


def in_ranges(ports: Iterable[int]) -> Resources:
    """Return ports as resources."""
    return Resources(ranges={PORTS: normalize(tuple((port, port) for port in ports))})


def ranges_of(bag: Resources) -> Iterator[Interval]:
    """Return all ports of a bag, whatever they are set apart for."""
    for _, part in bag.parts():
        yield from part.ranges.get(PORTS, ())


def has_ports(bag: Resources, wanted: Collection[int]) -> bool:
    """Return whether each of these ports is there."""
    if not wanted:
        return True
    there = list(ranges_of(bag))
    return all(any(begin <= port <= end for begin, end in there) for port in wanted)


def draw_ports(free: Resources, task: PendingTask, avoided: Resources = EMPTY) -> Resources:
    """Draw the ports of a task: those that it wants by number, and others.

    What is reserved comes first. `avoided` are the last to be drawn: others want them by number.
    Raises ValueError when they are not there.
    """
    out, parts = EMPTY, _parts(free)
    for port in task.host_ports:
        of = next((tag for tag, bag in parts if has_ports(bag, (port,))), None)
        if of is None:
            raise ValueError(f"the port {port} is needed, and not offered")
        out = out + tagged(of, in_ranges((port,)))
    left = task.ports - len(task.host_ports)
    # Not always the first: the one that was used last may still be held by somebody.
    start = zlib.crc32(task.task_id.encode())
    for spared in (avoided, EMPTY):
        for tag, bag in _parts(free.minus_what_is_there(out)):
            there = bag.minus_what_is_there(spared)
            taken = min(left, count(there.ranges.get(PORTS, ())))
            if taken:
                out = out + tagged(tag, Resources(ranges={PORTS: take_ports(there, taken, start)}))
                left -= taken
    if left:
        raise ValueError(f"{task.ports} ports are needed, {task.ports - left} are offered")
    return out


def _parts(bag: Resources) -> list[tuple[Tag, Resources]]:
    """The parts that have ports, what is reserved first."""
    parts = [(tag, part) for tag, part in bag.parts() if part.ranges.get(PORTS)]
    return sorted(parts, key=lambda part: not part[0].reservations)
