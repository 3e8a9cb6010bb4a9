"""Which runtimes can give a container what it asks for."""

from __future__ import annotations

from pymesos_proto.v1 import types_pb2 as pb


def fitting_runtimes(container: pb.ContainerInfo) -> tuple[str, ...]:
    """By name, the usual one first. Where it asks for one by name, only that."""
    if container.runtime:
        return (container.runtime,)
    if container.image:
        return ("docker", "oci")
    namespaced = (
        container.network not in ("", "host")
        or container.read_only
        or container.mounts
        or container.add_capabilities
        or container.drop_capabilities
    )
    return ("oci",) if namespaced else ("process", "oci")
