"""Which runtimes can give a container what it asks for."""

from __future__ import annotations

from pymesos_core.images import is_on_disk
from pymesos_proto.v1 import types_pb2 as pb

# What the process runtime can give, too; networks and mounts of some kinds only.
OF_PROCESSES = frozenset(
    {"cpu_quota", "pids_max", "ulimits", "network", "mounts", "secrets", "config"}
)


def fitting_runtimes(container: pb.ContainerInfo, *, grouped: bool = False) -> tuple[str, ...]:
    """By name, the usual one first. Where it asks for one by name, only that.

    `grouped`: it shares its network with the others of a task group.
    """
    if not grouped and not container.ByteSize():
        return ("process", "oci")  # it asks for nothing
    own_network = container.network not in ("", "host")
    if container.runtime:
        return (container.runtime,)
    limited = container.network_in_mbit_per_s or container.network_out_mbit_per_s
    if own_network and (grouped or limited):
        return ("oci",)
    if container.image:
        if is_on_disk(container.image):
            return ("oci",)
        # An engine is not told of them, and so needs the image's shell.
        in_variables = any(use.env for use in container.secrets)
        return ("oci", "docker") if in_variables else ("docker", "oci")
    asked = {field.name for field, _ in container.ListFields()} - OF_PROCESSES
    namespaced = own_network or any(not mount.group_path for mount in container.mounts) or asked
    return ("oci",) if namespaced else ("process", "oci")


def secret_names(container: pb.ContainerInfo) -> tuple[str, ...]:
    """The secrets that a container uses, by their names, as often as it uses each."""
    image = (container.image_secret,) if container.image_secret else ()
    config = (name for file in container.config for name in file.secrets)
    return (*(use.name for use in container.secrets), *config, *image)
