"""What a container asks for and does not get is refused before its launch, with a sentence.

`facets.py` declares what each runtime can; `Runtime.isolation` says what holds on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from pymesos_agent.containers import users
from pymesos_agent.containers.facets import FACETS, USUAL_CAPABILITIES
from pymesos_agent.containers.hostpaths import HostPathError, judged
from pymesos_agent.containers.settings import AllowedPath, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_core.capabilities import bare_name
from pymesos_core.images import image_refusal
from pymesos_proto.v1 import types_pb2 as pb

NETWORKS = ("host", "none", "bridge")
MOST_PORT_MAPPINGS = 100
ULIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
    "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip


def asked(info: pb.TaskInfo) -> Iterator[str]:
    """The facets that a task asks for beyond what every task gets as far as it goes."""
    return (facet.name for facet in FACETS if facet.asks(info.container))


class Isolating(Protocol):
    """A runtime, as far as it matters here."""

    name: str

    @property
    def isolation(self) -> Mapping[str, str]: ...


def refusal(runtime: Isolating, spec: ContainerSpec, settings: Settings) -> str | None:
    """Why a container is not launched: nothing is silently weaker than it was asked to be."""
    if spec.group is None and not spec.info.container.ByteSize():
        return _given_to_others(spec, settings)  # it asks for nothing, as most do
    texts = {facet.name: facet for facet in FACETS}
    asked_for = tuple(asked(spec.info))
    for name in asked_for:
        if name not in runtime.isolation:
            facet = texts[name]
            return (
                f"the task asks for {facet.asked_by} ({facet.text}), which the runtime"
                f" {runtime.name} cannot give here; it gives {', '.join(sorted(runtime.isolation))}"
            )
    if spec.group is not None and spec.own_network and "group" not in runtime.isolation:
        return f"the runtime {runtime.name} cannot give the tasks of a group a network of their own"
    networks = ["", "host", "none", *runtime.isolation.get("bridge", "").split(", ")]
    if spec.info.container.network not in networks:
        return (
            f"there is no network {spec.info.container.network[:50]!r} on this agent; it has"
            f" {', '.join(filter(None, networks))}"
        )
    bandwidth = runtime.isolation.get("bandwidth", "").split(", ")
    if "bandwidth" in asked_for and spec.info.container.network not in bandwidth:
        return (
            f"the task limits what goes through its network, and has none that can be limited:"
            f" ask for one of {', '.join(bandwidth)} (network)"
        )
    return (
        _unmappable(spec)
        or _unknown(spec.info.container)
        or _not_allowed(spec.info.container, settings)
        or _given_to_others(spec, settings)
    )


def _unmappable(spec: ContainerSpec) -> str | None:
    mappings = spec.info.container.port_mappings
    if mappings and spec.info.container.network in ("", "host", "none"):
        return "ports are mapped into a network like `bridge`; this task's has no use for it"
    if len(mappings) > MOST_PORT_MAPPINGS:
        return f"the task maps {len(mappings)} ports; at most {MOST_PORT_MAPPINGS} are"
    for mapping in mappings:
        if mapping.port_index >= len(spec.ports):
            return (
                f"the task maps its port number {mapping.port_index}, the first being 0, and has"
                f" {len(spec.ports)}"
            )
        if not 0 < mapping.container_port < 65536 or mapping.protocol not in ("", "tcp", "udp"):
            return "a port is mapped to 1 to 65535 of tcp or udp"
    return None


def _unknown(container: pb.ContainerInfo) -> str | None:
    for limit in container.ulimits:
        if limit.name not in ULIMITS:
            return f"the ulimit {limit.name[:50]!r} is not one of {', '.join(ULIMITS)}"
        if limit.soft > limit.hard:
            return f"the ulimit {limit.name}: soft ({limit.soft}) is more than hard ({limit.hard})"
    for mount in container.mounts:
        if not mount.container_path or ".." in mount.container_path.split("/"):
            return f"the mount {mount.container_path[:100]!r}: the path leads elsewhere"
        if "/" in mount.group_path or mount.group_path in (".", ".."):
            return (
                f"the folder {mount.group_path[:100]!r} of a group: a name without slashes is due"
            )
        if mount.group_path and (mount.host_path or mount.size_mib or mount.read_only):
            return "the mount of a folder of the group is that and nothing else"
        if "\0" in mount.container_path + mount.host_path + mount.group_path:
            return "a mount has a NUL character in its path"
    return None


def _not_allowed(container: pb.ContainerInfo, settings: Settings) -> str | None:
    if container.image and (problem := image_refusal(container.image, settings.images.allowed)):
        return problem
    more = (
        set(map(bare_name, container.add_capabilities))
        - settings.capabilities
        - set(USUAL_CAPABILITIES)
    )
    if more:
        return (
            f"the capability {sorted(more)[0][:50]!r} is not among those that this agent allows"
            f" (--allow-capabilities)"
        )
    for mount in container.mounts:
        if mount.host_path and (problem := host_path_problem(mount, settings.host_paths)):
            return problem
    return None


def _given_to_others(spec: ContainerSpec, settings: Settings) -> str | None:
    """Whether it names a user that the agent gives to one task alone."""
    given = settings.task_uids
    if given is None or spec.own_uid:
        return None
    named = spec.owner or [int(part) for part in spec.user.split(":") if users.is_id(part)]
    if not any(each in given for each in named):
        return None
    return (
        f"the task names the user {spec.user[:100]!r}, and the users {given.base} to"
        f" {given.end - 1} are given by the agent, each to one task (--task-uids): name none"
    )


def host_path_problem(mount: pb.ContainerMount, allowed: tuple[AllowedPath, ...]) -> str | None:
    """Whether a path of the machine may be mounted.

    It is judged again when it is used: see hostpaths.py.
    """
    try:
        judged(mount, allowed)
    except HostPathError as error:
        return str(error)
    return None
