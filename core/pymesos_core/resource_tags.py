"""What sets resources apart from others of the same name, and how tags are told on the wire.

A Tag says who resources are reserved for, which volume is on them, which device they are of,
whether they are shared, and whether they may be taken back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pymesos_core import contract, limits
from pymesos_core.ids import id_problem, role_problem, size_of
from pymesos_core.resource_values import ResourceError
from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb

_NAME_OF_DEVICE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


@dataclass(frozen=True, slots=True, order=True)
class Reservation:
    """For whom resources are kept. A static one is of the agent's flags and stays for ever."""

    role: str
    static: bool = False
    principal: str = ""
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Volume:
    """A directory on an agent that outlives the tasks that use it (docs/persistent-volume.md)."""

    id: str
    container_path: str
    principal: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """What sets resources apart from others of the same name.

    `reservations` go from the outermost role to the innermost, as each refined the one before
    (docs/reservation.md of Mesos). A shared volume is not used up by those who use it. Revocable
    resources may be taken back. `device` names the GPU that the amount is a part of.
    """

    reservations: tuple[Reservation, ...] = ()
    volume: Volume | None = None
    shared: bool = False
    revocable: bool = False
    device: str = ""
    # It is a key of every bag, and computing this anew is what bags would spend their time on.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.reservations, self.volume, self.shared, self.revocable, self.device)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash

    @property
    def role(self) -> str:
        """Who may use it; empty: everybody."""
        return self.reservations[-1].role if self.reservations else ""

    def usable_by(self, role: str) -> bool:
        """Whether it is reserved for nobody, the role itself, or one above it."""
        mine = self.role
        return not mine or role == mine or role.startswith(mine + "/")


PLAIN = Tag()
REVOCABLE = Tag(revocable=True)


def mark_of(tag: Tag) -> str:
    """What follows the name of a tagged resource, much as Mesos prints it."""
    out = "".join(f"({r.role})" for r in tag.reservations)
    out += f"[{tag.volume.id}]" if tag.volume else ""
    out += f"#{tag.device}" if tag.device else ""
    return out + ("<SHARED>" if tag.shared else "") + ("{REV}" if tag.revocable else "")


def static_reservation(name: str, role: str) -> Reservation:
    """The reservation of an agent's flags. Raises ResourceError, of the resource `name`."""
    if problem := reserved_role_problem(role):
        raise ResourceError(f"{name}({role}): {problem}")
    return Reservation(role, static=True)


def reserved_role_problem(role: str) -> str | None:
    """Why nothing can be reserved for a role, or None."""
    if role == "*":
        return "nothing is reserved for *, which stands for everybody"
    return role_problem(role)


def tag_problem(name: str, tag: Tag) -> str | None:
    """Why resources cannot be set apart so, or None."""
    above = ""
    if problem := limits.REFINEMENTS.problem(len(tag.reservations), "a resource"):
        return problem
    for reservation in tag.reservations:
        if problem := reserved_role_problem(reservation.role):
            return problem
        if above and not reservation.role.startswith(above + "/"):
            return f"a reservation for {reservation.role} does not refine one for {above}"
        above = reservation.role
    if any(r.static for r in tag.reservations[1:]):
        return "only the outermost reservation can be static"
    if tag.volume is not None:
        if name != "disk" or not tag.reservations or tag.revocable:
            return "a volume is of reserved disk that is not revocable"
        if problem := id_problem(tag.volume.id):
            return f"the volume's id: {problem}"
        if not tag.volume.container_path or "\0" in tag.volume.container_path:
            return "a volume needs the path at which tasks find it"
        path_bytes = size_of(tag.volume.container_path)
        if problem := limits.PATH.problem(path_bytes, "the path of a volume"):
            return problem
        if ".." in tag.volume.container_path.split("/"):
            return "the path of a volume cannot contain '..'"
    if tag.shared and tag.volume is None:
        return "only volumes can be shared"
    if tag.device and not _NAME_OF_DEVICE.fullmatch(tag.device):
        return f"{quoted(tag.device)} is not the name of a device"
    return None


def tag_from_proto(name: str, message: pb.Resource) -> Tag:
    """What a message sets apart, checked. Raises ResourceError."""
    if not (message.reservations or message.HasField("disk") or message.device) and not (
        message.shared or message.revocable
    ):
        return PLAIN
    parts = (*message.reservations, *((message.disk,) if message.HasField("disk") else ()))
    for part in parts:
        if problem := contract.problem(part):
            raise ResourceError(f"{name}: {problem}")
    tag = Tag(
        tuple(
            Reservation(
                r.role,
                r.type == pb.Resource.Reservation.STATIC,
                r.principal,
                tuple((label.key, label.value) for label in r.labels),
            )
            for r in message.reservations
        ),
        _volume_from_proto(message.disk) if message.HasField("disk") else None,
        message.shared,
        message.revocable,
        message.device,
    )
    if problem := tag_problem(name, tag):
        raise ResourceError(f"{name}: {problem}")
    return tag


def _volume_from_proto(disk: pb.Resource.Disk) -> Volume:
    return Volume(disk.persistence_id, disk.container_path, disk.principal)


def tag_to_proto(tag: Tag, message: pb.Resource) -> None:
    """Set in a message what sets its resource apart."""
    kinds = pb.Resource.Reservation
    for r in tag.reservations:
        message.reservations.add(
            type=kinds.STATIC if r.static else kinds.DYNAMIC,
            role=r.role,
            principal=r.principal,
            labels=[pb.Label(key=key, value=value) for key, value in r.labels],
        )
    if tag.volume is not None:
        message.disk.persistence_id = tag.volume.id
        message.disk.container_path = tag.volume.container_path
        message.disk.principal = tag.volume.principal
    message.shared, message.revocable, message.device = tag.shared, tag.revocable, tag.device
