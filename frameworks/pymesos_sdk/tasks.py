"""Making TaskInfos from an offer."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from numbers import Real
from typing import Any

from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import Interval, count, to_milli
from pymesos_core.resources import EMPTY, Resources, from_proto, tagged, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.calls import text

MAX_PORTS = 65_535


def take_ports(resources: Resources, number: int, start: int = 0) -> tuple[Interval, ...]:
    """`number` ports of an offer as intervals, from the `start`-th on, wrapping round.

    Raises ValueError when there are fewer.
    """
    number = _whole_ports(number)
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


def _drawn_from(resources: Resources) -> list[tuple[Tag, Resources]]:
    """What can be used as it is, what is reserved first."""
    parts = ((tag, bag) for tag, bag in resources.parts() if not tag.device and not tag.volume)
    return sorted(parts, key=lambda part: not part[0].reservations)


def draw(resources: Resources, scalars: Mapping[str, int]) -> Resources:
    """Draw scalars, in thousandths: of one kind if one has enough, else of several.

    What is reserved comes first. Neither devices nor volumes are drawn from. Raises ValueError when
    there is less.
    """
    kinds = _drawn_from(resources)
    out = EMPTY
    for name, needed in scalars.items():
        if needed < 0 or needed % 1:
            raise ValueError(f"{name} is {needed}; thousandths are expected: 500 is half of one")
        left = needed
        alone = [(tag, bag) for tag, bag in kinds if bag.scalar(name) >= needed][:1]
        for tag, bag in alone or kinds:
            taken = min(left, bag.scalar(name))
            out = out + tagged(tag, Resources({name: taken}))
            left -= taken
        if left:
            raise ValueError(f"{Resources({name: left})} more is needed than {resources}")
    return out


def draw_ports(resources: Resources, number: int) -> Resources:
    """Draw ports, reserved ones first. Raises ValueError when there are fewer."""
    out, left = EMPTY, (number := _whole_ports(number))
    for tag, bag in _drawn_from(resources):
        taken = min(left, count(bag.ranges.get("ports", ())))
        if taken:
            out = out + tagged(tag, Resources(ranges={"ports": take_ports(bag, taken)}))
            left -= taken
    if left:
        raise ValueError(f"{number} ports are needed, {number - left} are offered")
    return out


class Room:
    """What an offer has for tasks: each that is made takes its part of it.

    The parts keep their reservations, of which a role's own are used up first.
    """

    def __init__(self, offer: pb.Offer) -> None:
        self.offer = offer
        self.left = from_proto(offer.resources)

    def fits(self, cpus: float, mem: float, ports: int = 0) -> bool:
        """Whether there is room for a task of that size."""
        try:
            self._find(cpus, mem, ports)
        except ValueError:
            return False
        return True

    def _find(self, cpus: float, mem: float, ports: int) -> Resources:
        scalars = {"cpus": _milli_of("cpus", cpus), "mem": _milli_of("mem", mem)}
        found = draw(self.left, scalars)
        return found + draw_ports(self.left, _whole_ports(ports)) if ports else found

    def make_task(
        self,
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

        Raises ValueError when there is less, and TypeError for what is no text or no number.
        """
        _check_texts({"task_id": task_id, "command": command, "image": image}, env or {})
        given = self._find(cpus, mem, ports)
        variables = [pb.EnvironmentVariable(name=n, value=v) for n, v in (env or {}).items()]
        made = pb.TaskInfo(
            task_id=task_id,
            name=task_id,
            agent_id=self.offer.agent_id,
            resources=to_proto(given),
            command=pb.CommandInfo(shell=True, value=command, environment=variables),
            container=pb.ContainerInfo(image=image),
        )
        self.left = self.left - given  # of one that cannot be made, nothing is taken
        return made


def _check_texts(given: Mapping[str, object], env: Mapping[str, object]) -> None:
    """Raises TypeError for what is no text; protobuf would not say which."""
    if not isinstance(env, Mapping):
        raise TypeError(
            f"env is {env!r}; names with their values are expected: {{'NAME': 'value'}}"
        )
    named = [(f"the name {key!r} in env", key) for key in env]
    for name, value in [*given.items(), *named, *((f"env[{k!r}]", v) for k, v in env.items())]:
        if not isinstance(value, str):
            raise TypeError(f"{name} is {value!r}, which is no text: {_as_text(value)} is expected")
        text(name, value)


def _as_text(value: object) -> str:
    """How what was given is written as a text."""
    words = value if isinstance(value, list | tuple) else [value]
    return repr(shlex.join(map(str, words)))


def _milli_of(name: str, value: Any) -> int:
    """An amount in thousandths. Raises TypeError for what is no number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; a number is expected, as in {name}=0.5")
    return to_milli(name, float(value))


def _whole_ports(ports: Any) -> int:
    """A number of ports; 2.0 is 2, as others compute it. Raises ValueError, TypeError."""
    if isinstance(ports, bool) or not isinstance(ports, Real):
        raise TypeError(f"ports is {ports!r}; a whole number is expected, as in ports=2")
    number = float(ports)
    if not 0 <= number <= MAX_PORTS or number != int(number):
        raise ValueError(f"ports is {ports!r}; a whole number from 0 to {MAX_PORTS} is expected")
    return int(number)


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
    """A task like that of `Room.make_task`; for several tasks of one offer use a Room.

    Cpus and memory that the offer has not are asked for all the same: the master says TASK_ERROR.
    Raises ValueError when the offer has fewer ports.
    """
    room = Room(offer)
    if not room.fits(cpus, mem):
        room.left = room.left + Resources(
            {"cpus": to_milli("cpus", cpus), "mem": to_milli("mem", mem)}
        )
    return room.make_task(task_id, command, cpus=cpus, mem=mem, ports=ports, image=image, env=env)
