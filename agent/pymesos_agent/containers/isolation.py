"""What holds a container, on each runtime: declared here, kept by tests, refused where it is not.

`docs/containers.md` shows FACETS and DECLARED; `Runtime.isolation` says what holds on one machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymesos_agent.containers.settings import AllowedPath, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_proto.v1 import types_pb2 as pb

NETWORKS = ("host", "none", "bridge")
MOST_PORT_MAPPINGS = 100
ULIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
    "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
)  # fmt: skip
# Docker's usual ones: what a container has unless it drops them.
USUAL_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip


@dataclass(frozen=True)
class Facet:
    """One thing that may hold a container."""

    name: str  # as in Runtime.isolation
    text: str
    asked_by: str  # the key of a job, or how it comes otherwise


FACETS = (
    Facet("mem", "memory: over its limit it is killed, and the end says so", "resources.mem"),
    Facet("cpu", "CPU: a share in proportion, more when others leave it", "resources.cpus"),
    Facet("cpu_quota", "CPU: its cpus are also the most it gets", "cpu_quota"),
    Facet(
        "pids",
        "processes and threads: no more are made; what forks without end is held at its cpus",
        "pids_max, else --pids-max",
    ),
    Facet("disk", "its sandbox and what it writes elsewhere", "resources.disk"),
    Facet(
        "io",
        "reads and writes of its disk: so many MiB a second",
        "read_mib_per_s, write_mib_per_s",
    ),
    Facet("network", "a network of its own", "network: none"),
    Facet("bridge", "an address of its own, and its ports mapped to it", "network: bridge"),
    Facet("group", "a network of their own that the tasks of a group share", "LAUNCH_GROUP"),
    Facet("root", "a root file system of its own", "image"),
    Facet("read_only", "a root file system that cannot be written", "read_only"),
    Facet("mounts", "paths of the machine that the agent allows; memory as files", "mounts"),
    Facet("ulimits", "ulimits", "ulimits"),
    Facet("user", "a user of its own", "user, else what the image says"),
    Facet("capabilities", "only the usual capabilities, fewer or more", "capabilities"),
    Facet("seccomp", "system calls that containers have no use for are refused", "always"),
    Facet("no_new_privileges", "no set-uid program raises its rights", "always"),
    Facet("namespaces", "sees only its own processes, mounts, host name and IPC", "always"),
    Facet(
        "user_namespace",
        "root of the image is nobody on the machine",
        "the agent's --user-namespace-base",
    ),
    Facet("gpus", "the devices of its GPUs, and no others", "resources.gpus"),
)

WATCHED = "watched: killed when found over it"
# What each runtime can, where the machine lets it; "no" is refused when it is asked for.
DECLARED: Mapping[str, Mapping[str, str]] = {
    "process": {
        "mem": "cgroup; without: watched, and killed when found over it",
        "cpu": "cgroup; without: no",
        "cpu_quota": "cgroup; without: no",
        "pids": "cgroup; without: no",
        "disk": WATCHED,
        "ulimits": "setrlimit",
        "user": "setuid, of an agent that root runs",
    },
    "docker": {
        "mem": "the engine; of Podman 4.3 the end says only the signal",
        "cpu": "the engine",
        "cpu_quota": "the engine",
        "pids": "the engine",
        "disk": WATCHED + "; the sandbox only",
        "io": "the engine; with cgroups v1 reads and direct writes only",
        "network": "the engine",
        "bridge": "the engine's bridge",
        "root": "the image",
        "read_only": "the engine",
        "mounts": "the engine",
        "ulimits": "the engine",
        "user": "the engine",
        "capabilities": "the engine",
        "seccomp": "the engine's profile",
        "no_new_privileges": "the engine",
        "namespaces": "pid, ipc, uts, mount",
    },
    "oci": {
        "mem": "cgroup",
        "cpu": "cgroup",
        "cpu_quota": "cgroup",
        "pids": "cgroup",
        "disk": WATCHED,
        "io": "cgroup; v1: reads and direct writes only",
        "network": "a namespace with a loopback interface",
        "group": "a namespace",
        "bridge": "CNI: a bridge, or what `--cni-config-dir` has",
        "root": "the image; without: the machine's programs, read-only",
        "read_only": "the runtime",
        "mounts": "the runtime",
        "ulimits": "the runtime",
        "user": "the runtime",
        "capabilities": "the runtime",
        "seccomp": "what Docker's profile refuses",
        "no_new_privileges": "the runtime",
        "namespaces": "pid, ipc, uts, mount, cgroup",
        "user_namespace": "of containers with an image",
        "gpus": "the device files /dev/nvidiaN",
    },
}


def asked(info: pb.TaskInfo) -> Iterator[str]:
    """The facets that a task asks for beyond what every task gets as far as it goes."""
    container = info.container
    wants = {
        "cpu_quota": container.cpu_quota,
        "pids": container.pids_max,
        "io": container.read_mib_per_s or container.write_mib_per_s,
        "network": container.network == "none",
        "bridge": container.network not in ("", "host", "none"),
        "root": container.image,
        "read_only": container.read_only,
        "mounts": any(not mount.group_path for mount in container.mounts),
        "ulimits": container.ulimits,
        "capabilities": container.add_capabilities or container.drop_capabilities,
    }
    return (name for name, wanted in wants.items() if wanted)


class Isolating(Protocol):
    """A runtime, as far as it matters here."""

    name: str

    @property
    def isolation(self) -> Mapping[str, str]: ...


def refusal(runtime: Isolating, spec: ContainerSpec, settings: Settings) -> str | None:
    """Why a container is not launched: nothing is silently weaker than it was asked to be."""
    texts = {facet.name: facet for facet in FACETS}
    for name in asked(spec.info):
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
    return (
        _unmappable(spec)
        or _unknown(spec.info.container)
        or _not_allowed(spec.info.container, settings)
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
    more = set(container.add_capabilities) - settings.capabilities - set(USUAL_CAPABILITIES)
    if more:
        return (
            f"the capability {sorted(more)[0][:50]!r} is not among those that this agent allows"
            f" (--allow-capabilities)"
        )
    for mount in container.mounts:
        if mount.host_path and (problem := host_path_problem(mount, settings.host_paths)):
            return problem
    return None


def host_path_problem(mount: pb.ContainerMount, allowed: tuple[AllowedPath, ...]) -> str | None:
    """Whether a path of the machine may be mounted; links are followed before it is judged."""
    real = Path(os.path.realpath(mount.host_path))
    if not mount.host_path.startswith("/"):
        return f"the mount of {mount.host_path[:200]!r}: the path of the machine is not absolute"
    for allow in allowed:
        if real.is_relative_to(os.path.realpath(allow.path)):
            if allow.read_only and not mount.read_only:
                return f"{mount.host_path[:200]} may be mounted read-only only"
            return None if real.exists() else f"there is no {mount.host_path[:200]}"
    return (
        f"{mount.host_path[:200]} is not below a path that this agent allows (--allow-host-paths)"
    )
