"""What is reserved on an agent while it runs, and the volumes on it.

Dynamic reservations and volumes (docs/reservation.md, docs/persistent-volume.md of Mesos) are kept
apart from what the agent's flags say: `reserved` has all that they changed, as it is now. So an
agent's resources are always what the flags say, with `reserved` in place of the part that it was
taken from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pymesos_core import limits
from pymesos_core.resource_tags import PLAIN, Reservation, Tag, Volume
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources, checked_total, tagged, to_proto


def is_dynamic(tag: Tag) -> bool:
    """Whether it is not as the agent's flags said."""
    return tag.volume is not None or any(not r.static for r in tag.reservations)


def origin(tag: Tag) -> Tag:
    """The tag that the agent's flags gave it."""
    static = tuple(r for r in tag.reservations if r.static)
    return replace(tag, reservations=static, volume=None, shared=False)


def retagged(bag: Resources, change: Callable[[Tag], Tag]) -> Resources:
    """All of it under other tags. Raises ResourceError when it overlaps then."""
    return checked_total(tagged(change(tag), part) for tag, part in bag.parts())


def with_reserved(base: Resources, reserved: Resources) -> Resources:
    """What an agent has. Raises ResourceError when the flags leave less than what is reserved."""
    origins = retagged(reserved, origin)
    if not base.contains(origins):
        raise ResourceError(
            f"{reserved} is reserved on the agent, and it has no more than {base}: unreserve it, or"
            f" give the agent back what it had"
        )
    return base.minus_what_is_there(origins) + reserved


def dynamic(total: Resources) -> Resources:
    """What of an agent's resources is reserved dynamically."""
    return total.where(is_dynamic)


def without(bag: Resources, part: Resources) -> Resources:
    """Take away, what is shared as well. Raises ResourceError unless all of it is there."""
    if not bag.contains(part):
        raise ResourceError(f"{part} is not in {bag}")
    rest = bag.minus_what_is_there(part)
    if not any(tag.shared for tag in part.tagged):
        return rest
    return rest.where(lambda tag: tag not in part.tagged or not tag.shared)


def before_reserve(wanted: Resources) -> Resources:
    """What becomes `wanted` by one reservation. Raises ResourceError."""
    for tag, _ in wanted.parts():
        if not tag.reservations or tag.reservations[-1].static:
            raise ResourceError("it names no dynamic reservation")
        if tag.volume is not None:
            raise ResourceError("a volume cannot be reserved, only the disk before it is created")
    return retagged(wanted, lambda tag: replace(tag, reservations=tag.reservations[:-1]))


def after_unreserve(reserved: Resources) -> Resources:
    """What is left when the innermost reservation ends. Raises ResourceError."""
    return before_reserve(reserved)


def before_create(volumes: Resources) -> Resources:
    """The disk that becomes volumes. Raises ResourceError."""
    for tag, _ in volumes.parts():
        if tag.volume is None:
            raise ResourceError("it names no volume")
    return retagged(volumes, lambda tag: replace(tag, volume=None, shared=False))


def grown(volume: Resources, addition: Resources) -> Resources:
    """Return a volume with more disk of its reservation. Raises ResourceError."""
    tag = _resized(volume, addition)
    return volume + retagged(addition, lambda _: tag)


def shrunk(volume: Resources, subtraction: Resources) -> Resources:
    """Return what a volume and its disk are when a part is no volume any more. Raises
    ResourceError."""
    tag = _resized(volume, subtraction)
    part = retagged(subtraction, lambda _: tag)
    if volume.amounts()["disk"] <= part.amounts()["disk"]:
        raise ResourceError(f"{subtraction} is not less than the volume, which is {volume}")
    return volume.minus_what_is_there(part) + subtraction


def _resized(volume: Resources, part: Resources) -> Tag:
    """The tag of a volume that is to have this part more or less. Raises ResourceError."""
    tags, others = [tag for tag, _ in volume.parts()], [tag for tag, _ in part.parts()]
    sizes = [{name for _, bag in of.parts() for name in bag.scalars} for of in (volume, part)]
    no_size = any(bag.ranges or bag.sets for of in (volume, part) for _, bag in of.parts())
    if len(tags) != 1 or len(others) != 1 or no_size or sizes != [{"disk"}, {"disk"}]:
        raise ResourceError("it names more or less than one volume and a part of its disk")
    (tag,), (other,) = tags, others
    if tag.volume is None:
        raise ResourceError("it names no volume")
    if tag.shared:
        raise ResourceError("a shared volume cannot be resized")
    if other != replace(tag, volume=None):
        raise ResourceError(f"{part} has not the reservation of the volume {volume}")
    return tag


def size_bytes(reserved: Resources) -> int:
    """How large it is as a part of a record or a message."""
    return sum(message.ByteSize() + 4 for message in to_proto(reserved))


def size_problem(size: int, kept: Resources, given: Resources = EMPTY) -> str | None:
    """Why no more can be reserved on an agent, in bytes or in entries, or None."""
    if problem := limits.RESERVED.problem(size):
        return problem
    # What is there has passed; what is given may be merged with it, and in doubt has no room.
    entries = len(kept.tagged)
    for bag in given.tagged.values():
        entries += len(bag.scalars) + len(bag.ranges) + len(bag.sets)
    return limits.RESERVED_ENTRIES.problem(entries) or _parts_problem(kept, given)


def _parts_problem(kept: Resources, given: Resources) -> str | None:
    """Who reads it again refuses a resource of too many ranges or items."""
    for tag, bag in given.tagged.items():
        there = kept.tagged.get(tag, EMPTY)
        for name, ranges in bag.ranges.items():
            count = len(ranges) + len(there.ranges.get(name, ()))
            if problem := limits.RANGES.problem(count, name):
                return problem
        for name, items in bag.sets.items():
            count = len(items) + len(there.sets.get(name, ()))
            if problem := limits.ITEMS.problem(count, name):
                return problem
    return None


def volumes_of(bag: Resources) -> Iterator[tuple[str, Volume]]:
    """Each volume, with the role it is reserved for."""
    for tag in bag.tagged:
        if tag.volume is not None:
            yield tag.role, tag.volume


def reserve_for(bag: Resources, role: str, principal: str) -> Resources:
    """Resources without a dynamic reservation, with one for `role`."""
    reservation = Reservation(role, principal=principal)
    return retagged(bag, lambda tag: replace(tag, reservations=(*tag.reservations, reservation)))


def unreserved(tag: Tag) -> bool:
    """Whether it is for everybody, and for good: what fair shares and headroom are made of."""
    return tag is PLAIN or (not tag.reservations and not tag.revocable)


def volume_of(disk: Resources, volume: Volume, *, shared: bool = False) -> Resources:
    """Reserved disk as one volume."""
    return retagged(disk, lambda tag: replace(tag, volume=volume, shared=shared))
