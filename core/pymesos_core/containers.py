"""Which runtimes can give a container what it asks for."""

from __future__ import annotations

from pymesos_proto.v1 import types_pb2 as pb


def fitting_runtimes(container: pb.ContainerInfo, *, grouped: bool = False) -> tuple[str, ...]:
    """By name, the usual one first. Where it asks for one by name, only that.

    `grouped`: it shares its network with the others of a task group.
    """
    if not grouped and not container.ByteSize():
        return ("process", "oci")  # it asks for nothing
    own_network = container.network not in ("", "host")
    if container.runtime:
        return (container.runtime,)
    if grouped and own_network:
        return ("oci",)
    if container.image:
        return ("docker", "oci")
    namespaced = (
        own_network
        or container.read_only
        or any(not mount.group_path for mount in container.mounts)
        or container.add_capabilities
        or container.drop_capabilities
    )
    return ("oci",) if namespaced else ("process", "oci")
