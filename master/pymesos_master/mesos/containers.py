"""Containers of tasks, as Mesos describes them and as we do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb

UNLIMITED = 2**64 - 1
_DOCKER = mesos.ContainerInfo.DockerInfo
_NETWORKS = {_DOCKER.HOST: "host", _DOCKER.BRIDGE: "bridge", _DOCKER.NONE: "none"}


def container_of(info: mesos.ContainerInfo, ports: Sequence[int]) -> pb.ContainerInfo:
    """Return our container of a task that has these ports. Raises UnsupportedError."""
    out = pb.ContainerInfo()
    if len(info.network_infos) > 1:
        raise UnsupportedError(
            "ContainerInfo.network_infos names several networks; one is possible"
        )
    named = info.network_infos[0].name if info.network_infos else ""
    if info.type == mesos.ContainerInfo.DOCKER:
        docker = info.docker
        out.image = docker.image
        if docker.privileged:
            raise UnsupportedError("ContainerInfo.docker.privileged is not supported here")
        if docker.network == _DOCKER.USER and not named:
            raise UnsupportedError("the network USER lacks its name in network_infos")
        out.network = _NETWORKS.get(docker.network, named)
        out.port_mappings.extend(mapping_of(one, ports) for one in docker.port_mappings)
    else:
        if info.mesos.HasField("image"):
            if info.mesos.image.type != mesos.Image.DOCKER:
                raise UnsupportedError("images of the type APPC are not supported here")
            out.image = info.mesos.image.docker.name
        out.network = named
    for network in info.network_infos:
        out.port_mappings.extend(mapping_of(one, ports) for one in network.port_mappings)
    out.mounts.extend(map(_mount, info.volumes))
    out.ulimits.extend(_ulimits(info.rlimit_info.rlimits))
    _add_capabilities(info.linux_info, out)
    return out


def mapping_of(
    one: mesos.ContainerInfo.DockerInfo.PortMapping | mesos.NetworkInfo.PortMapping,
    ports: Sequence[int],
) -> pb.PortMapping:
    """Return the mapping of one of these ports. Raises UnsupportedError."""
    if one.host_port not in ports:
        raise UnsupportedError(
            f"the host port {one.host_port} is mapped, and is none of the task's own resources"
        )
    return pb.PortMapping(
        port_index=ports.index(one.host_port),
        container_port=one.container_port,
        protocol=one.protocol,
    )


def _mount(volume: mesos.Volume) -> pb.ContainerMount:
    source = volume.source
    if source.type == mesos.Volume.Source.SANDBOX_PATH and source.HasField("sandbox_path"):
        if source.sandbox_path.type != mesos.Volume.Source.SandboxPath.PARENT:
            raise UnsupportedError(
                "Volume.source.sandbox_path is supported of the type PARENT: a folder of the group"
            )
        if volume.mode == mesos.Volume.RO:
            raise UnsupportedError("Volume.mode is RO of a folder of the group; RW is supported")
        return pb.ContainerMount(
            container_path=volume.container_path, group_path=source.sandbox_path.path
        )
    host_path = volume.source.host_path.path if volume.HasField("source") else volume.host_path
    if not host_path.startswith("/"):
        raise UnsupportedError(
            "Volume needs the absolute path of a folder of the machine: no other volumes are"
            " supported here"
        )
    return pb.ContainerMount(
        container_path=volume.container_path,
        host_path=host_path,
        read_only=volume.mode == mesos.Volume.RO,
    )


def _ulimits(limits: Iterable[mesos.RLimitInfo.RLimit]) -> Iterable[pb.Ulimit]:
    for limit in limits:
        name = mesos.RLimitInfo.RLimit.Type.Name(limit.type)
        if not name.startswith("RLMT_"):
            raise UnsupportedError("an rlimit has no type")
        if limit.HasField("soft") != limit.HasField("hard"):
            raise UnsupportedError(f"{name} has one of soft and hard; both or neither are expected")
        has = limit.HasField("hard")
        yield pb.Ulimit(
            name=name.removeprefix("RLMT_").lower(),
            soft=limit.soft if has else UNLIMITED,
            hard=limit.hard if has else UNLIMITED,
        )


def _add_capabilities(info: mesos.LinuxInfo, out: pb.ContainerInfo) -> None:
    """Give it the capabilities that are named, and no others."""
    field = (
        "effective_capabilities" if info.HasField("effective_capabilities") else "capability_info"
    )
    if not info.HasField(field):
        return
    out.drop_capabilities.append("ALL")
    for number in getattr(info, field).capabilities:
        out.add_capabilities.append(mesos.CapabilityInfo.Capability.Name(number))
