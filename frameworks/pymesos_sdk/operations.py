"""Operations of an ACCEPT: reservations and persistent volumes.

What each makes of the offered resources can be used by the operations and tasks that follow it in
the same ACCEPT. With an `operation_id` the scheduler is told what became of it; without, the next
offers show it.
"""

from __future__ import annotations

from pymesos_core import reservations
from pymesos_core.resource_tags import Volume
from pymesos_core.resources import Resources, to_proto
from pymesos_proto.v1 import scheduler_pb2 as pb


def reserve(
    resources: Resources, role: str, principal: str = "", operation_id: str = ""
) -> tuple[pb.Operation, Resources]:
    """Keep offered resources for a role; the operation, and the resources as they are then."""
    given = reservations.reserve_for(resources, role, principal)
    operation = pb.Operation.Reserve(resources=to_proto(given))
    return pb.Operation(id=operation_id, reserve=operation), given


def unreserve(resources: Resources, operation_id: str = "") -> tuple[pb.Operation, Resources]:
    """End the innermost reservation of offered resources. Raises ResourceError."""
    operation = pb.Operation.Unreserve(resources=to_proto(resources))
    return pb.Operation(id=operation_id, unreserve=operation), reservations.after_unreserve(
        resources
    )


def create(
    disk: Resources,
    volume_id: str,
    container_path: str,
    principal: str = "",
    *,
    shared: bool = False,
    operation_id: str = "",
) -> tuple[pb.Operation, Resources]:
    """Make reserved disk a volume, which tasks find at `container_path`."""
    made = reservations.volume_of(disk, Volume(volume_id, container_path, principal), shared=shared)
    operation = pb.Operation.Create(volumes=to_proto(made))
    return pb.Operation(id=operation_id, create=operation), made


def destroy(volumes: Resources, operation_id: str = "") -> tuple[pb.Operation, Resources]:
    """Delete volumes and their data. Raises ResourceError."""
    operation = pb.Operation.Destroy(volumes=to_proto(volumes))
    return pb.Operation(id=operation_id, destroy=operation), reservations.before_create(volumes)


def grow(
    volume: Resources, addition: Resources, operation_id: str = ""
) -> tuple[pb.Operation, Resources]:
    """Make a volume larger by offered disk of its reservation. Raises ResourceError."""
    larger = reservations.grown(volume, addition)
    (old,), (more,) = to_proto(volume), to_proto(addition)
    operation = pb.Operation.GrowVolume(volume=old, addition=more)
    return pb.Operation(id=operation_id, grow_volume=operation), larger


def shrink(
    volume: Resources, subtraction: Resources, operation_id: str = ""
) -> tuple[pb.Operation, Resources]:
    """Make a volume smaller by disk of its reservation; the volume and the disk. Raises
    ResourceError."""
    given = reservations.shrunk(volume, subtraction)
    (old,), (less,) = to_proto(volume), to_proto(subtraction)
    operation = pb.Operation.ShrinkVolume(volume=old, subtraction=less)
    return pb.Operation(id=operation_id, shrink_volume=operation), given
