"""What may hold a container, on each runtime: a row for each thing, with all that a runtime needs.

A key of a container that a job may set is a row here, a field of the contract's ContainerInfo, and
a property of the job schema (CONTRIBUTING.md). `docs/containers.md` shows the table, and
tests/integration/test_isolation.py tries each row on each runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymesos_agent.containers.cgroups import CPU_PERIOD_US, cpu_quota_us
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_core.capabilities import ALL, CAPABILITIES, bare_name
from pymesos_core.images import is_on_disk
from pymesos_proto.v1 import types_pb2 as pb

# Docker's usual ones but MKNOD: what a container has unless it drops them.
USUAL_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)  # fmt: skip
NOT_USUAL = ("MKNOD",)  # here, though engines give it

Given = Callable[[ContainerSpec, Settings], Mapping[str, Any]]


def _always(_: pb.ContainerInfo) -> bool:
    """Every container gets it as far as it goes, so that nobody is refused for asking."""
    return False


def _nothing(_: ContainerSpec, __: Settings) -> Mapping[str, Any]:
    """What is asked for in no such way: the runtime's own code gives it."""
    return {}


@dataclass(frozen=True)
class Facet:
    """One thing that may hold a container."""

    name: str  # as in Runtime.isolation
    text: str
    asked_by: str  # the key of a job, or how it comes otherwise
    asks: Callable[[pb.ContainerInfo], object] = _always  # whether a task asks for it
    # What holds it on a runtime, where the machine lets it; empty: it is refused when asked for.
    process: str = ""
    docker: str = ""
    oci: str = ""
    engine: Given = _nothing  # for Docker: arguments of APIClient.create_host_config
    bundle: Given = _nothing  # for OCI: parts of config.json


# How each of them is given.


def _engine_read_only(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    return {"read_only": spec.info.container.read_only}


def _bundle_read_only(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    return {"root": {"readonly": True}} if spec.info.container.read_only else {}


def _engine_ulimits(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    limits = spec.info.container.ulimits
    return {"ulimits": [{"Name": u.name, "Soft": u.soft, "Hard": u.hard} for u in limits]}


def _bundle_ulimits(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    limits = spec.info.container.ulimits
    rlimits = [{"type": rlimit(u.name), "soft": u.soft, "hard": u.hard} for u in limits]
    return {"process": {"rlimits": rlimits}}


def rlimit(name: str) -> str:
    """The name of a ulimit as getrlimit(2) has it."""
    return f"RLIMIT_{name.upper()}"


def _engine_pids(spec: ContainerSpec, settings: Settings) -> Mapping[str, Any]:
    return {"pids_limit": spec.info.container.pids_max or settings.pids_max or None}


def _bundle_pids(spec: ContainerSpec, settings: Settings) -> Mapping[str, Any]:
    most = spec.info.container.pids_max or settings.pids_max
    return {"linux": {"resources": {"pids": {"limit": most}}}} if most else {}


def _quota_us(spec: ContainerSpec) -> int:
    return cpu_quota_us(spec.resources.quantities.get("cpus", 0))


def _engine_cpu_quota(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    if not spec.info.container.cpu_quota:
        return {}
    return {"cpu_quota": _quota_us(spec), "cpu_period": CPU_PERIOD_US}


def _bundle_cpu_quota(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    if not spec.info.container.cpu_quota:
        return {}
    cpu = {"quota": _quota_us(spec), "period": CPU_PERIOD_US}
    return {"linux": {"resources": {"cpu": cpu}}}


def _bare(capabilities: Iterable[str]) -> list[str]:
    return [bare_name(name) for name in capabilities]


def _engine_capabilities(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    info = spec.info.container
    added, dropped = _bare(info.add_capabilities), _bare(info.drop_capabilities)
    if ALL not in (*added, *dropped):
        dropped += [c for c in NOT_USUAL if c not in (*added, *dropped)]
    return {"cap_add": added or None, "cap_drop": dropped}


def _bundle_capabilities(spec: ContainerSpec, _: Settings) -> Mapping[str, Any]:
    info = spec.info.container
    added, dropped = _bare(info.add_capabilities), _bare(info.drop_capabilities)
    usual = () if ALL in dropped else USUAL_CAPABILITIES
    # Runtimes know each of them by its name alone.
    kept = [c for c in (CAPABILITIES if ALL in added else usual) if c not in dropped]
    kept += [c for c in added if c not in (*kept, ALL)]
    names = [f"CAP_{c}" for c in kept]
    return {
        "process": {"capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names)}
    }


THE_RUNTIME = "the runtime"  # crun or runc, for every container
WATCHED = "watched: killed when found over it"
FACETS = (
    Facet(
        "mem",
        "memory: over its limit it is killed, and the end says so",
        "resources.mem",
        process="cgroup; without: watched, and killed when found over it",
        docker="the engine; of Podman 4.3 the end says only the signal",
        oci="cgroup",
    ),
    Facet(
        "cpu",
        "CPU: a share in proportion, more when others leave it",
        "resources.cpus",
        process="cgroup; without: no",
        docker="the engine",
        oci="cgroup",
    ),
    Facet(
        "cpu_quota",
        "CPU: its cpus are also the most it gets",
        "cpu_quota",
        lambda container: container.cpu_quota,
        process="cgroup; without: no",
        docker="the engine",
        oci="cgroup",
        engine=_engine_cpu_quota,
        bundle=_bundle_cpu_quota,
    ),
    Facet(
        "pids",
        "processes and threads: no more are made; what forks without end is held at its cpus",
        "pids_max, else --pids-max",
        lambda container: container.pids_max,
        process="cgroup; without: no",
        docker="the engine",
        oci="cgroup",
        engine=_engine_pids,
        bundle=_bundle_pids,
    ),
    Facet(
        "disk",
        "its sandbox and what it writes elsewhere",
        "resources.disk",
        process=WATCHED,
        docker=WATCHED + "; the sandbox only",
        oci=WATCHED,
    ),
    Facet(
        "volumes",
        "a persistent volume: it holds its size, and no more",
        "resources of the volume",
        process="a file system of its own (`--volume-limits`); without: no",
        docker="the same",
        oci="the same",
    ),
    Facet(
        "io",
        "reads and writes of its disk: so many MiB a second",
        "read_mib_per_s, write_mib_per_s",
        lambda container: container.read_mib_per_s or container.write_mib_per_s,
        docker="the engine; with cgroups v1 reads and direct writes only",
        oci="cgroup; v1: reads and direct writes only",
    ),
    Facet(
        "network",
        "a network of its own",
        "network: none",
        lambda container: container.network == "none",
        docker="the engine",
        oci="a namespace with a loopback interface",
    ),
    Facet(
        "bridge",
        "an address of its own, and its ports mapped to it",
        "network: bridge",
        lambda container: container.network not in ("", "host", "none"),
        docker="the engine's bridge",
        oci="CNI: a bridge, or what `--cni-config-dir` has",
    ),
    Facet(
        "bandwidth",
        "what goes through its own network: so many millions of bits a second",
        "network_in_mbit_per_s, network_out_mbit_per_s",
        lambda container: container.network_in_mbit_per_s or container.network_out_mbit_per_s,
        oci="the CNI plugin `bandwidth`: of `bridge`, and of networks that have it",
    ),
    Facet(
        "group",
        "a network of their own that the tasks of a group share",
        "LAUNCH_GROUP",
        oci="a namespace",
    ),
    Facet(
        "root",
        "a root file system of its own",
        "image",
        lambda container: container.image,
        docker="the image",
        oci="the image; without: the machine's programs, read-only",
    ),
    Facet(
        "disk_image",
        "an image on the machine's own disk, below the paths that the agent allows",
        "image: oci:/path",
        lambda container: is_on_disk(container.image),
        oci="skopeo, of a layout or an archive",
    ),
    Facet(
        "read_only",
        "a root file system that cannot be written",
        "read_only",
        lambda container: container.read_only,
        docker="the engine",
        oci=THE_RUNTIME,
        engine=_engine_read_only,
        bundle=_bundle_read_only,
    ),
    Facet(
        "mounts",
        "paths of the machine that the agent allows; memory as files",
        "mounts",
        lambda container: any(not mount.group_path for mount in container.mounts),
        docker="the engine, by the path: of folders that only root can replace",
        oci="the runtime, of what was judged, whatever takes its place",
    ),
    Facet(
        "ulimits",
        "ulimits",
        "ulimits",
        lambda container: container.ulimits,
        process="setrlimit",
        docker="the engine",
        oci=THE_RUNTIME,
        engine=_engine_ulimits,
        bundle=_bundle_ulimits,
    ),
    Facet(
        "user",
        "a user of its own",
        "user, else what the image says",
        process="setuid, of an agent that root runs",
        docker="the engine",
        oci=THE_RUNTIME,
    ),
    Facet(
        "own_user",
        "a user that no other task has, and what it leaves behind ends with it",
        "of a task without an image that names no user",
        process="setuid, of an agent that root runs (`--task-uids`)",
        oci="the same",
    ),
    Facet(
        "capabilities",
        "only the usual capabilities, fewer or more",
        "capabilities",
        lambda container: container.add_capabilities or container.drop_capabilities,
        docker="the engine",
        oci=THE_RUNTIME,
        engine=_engine_capabilities,
        bundle=_bundle_capabilities,
    ),
    Facet(
        "seccomp",
        "system calls that containers have no use for are refused",
        "always",
        docker="the engine's profile",
        oci="what Docker's profile refuses",
    ),
    Facet(
        "no_new_privileges",
        "no set-uid program raises its rights",
        "always",
        process="prctl",
        docker="the engine",
        oci=THE_RUNTIME,
    ),
    Facet(
        "guard",
        "what it leaves in its sandbox and volumes (set-uid programs, devices) is nobody's to run",
        "always",
        process="a folder around each that other users do not get past; of root's agent that can"
        " mount, nosuid and nodev",
        docker="the same; no MKNOD",
        oci="the same; no MKNOD",
    ),
    Facet(
        "hidden",
        "folders that it cannot see, though its user could",
        "the agent's --hide",
        process="a user and a mount namespace, else Landlock; of an agent that root does not run",
    ),
    Facet(
        "namespaces",
        "sees only its own processes, mounts, host name and IPC",
        "always",
        docker="pid, ipc, uts, mount",
        oci="pid, ipc, uts, mount, cgroup",
    ),
    Facet(
        "user_namespace",
        "root of the image is nobody on the machine",
        "the agent's --user-namespace-base, or the engine's settings",
        docker="of an engine with userns-remap, or that is rootless",
        oci="of containers with an image",
    ),
    Facet(
        "secrets",
        "secrets of its role: files in memory, which only its user can read",
        "secrets",
        lambda container: container.secrets or any(f.secrets for f in container.config),
        process="a tmpfs; where no root runs the agent, its user's other tasks read it, too",
        docker="a tmpfs, mounted read-only; of root's agent, and not in user namespaces",
        oci="a tmpfs, mounted read-only",
    ),
    Facet(
        "config",
        "files in its sandbox from its job, and from templates",
        "config",
        lambda container: container.config,
        process="made by the agent; a template in a process without rights",
        docker="the same",
        oci="the same",
    ),
    Facet(
        "secret_env",
        "secrets in variables, which are on no disk",
        "secrets with env",
        lambda container: any(use.env for use in container.secrets),
        process="the environment of its first process",
        docker="the same, from a file on a tmpfs, by /bin/sh of the image",
        oci="the same; what the runtime writes down is on a tmpfs",
    ),
    Facet(
        "image_secret",
        "an image fetched by a secret of its role",
        "image_secret",
        lambda container: container.image_secret,
        docker="the engine, which gives the image to others that name it, too",
        oci="skopeo, for those alone who present the same",
    ),
    Facet(
        "gpus",
        "the devices of its GPUs, and no others",
        "resources.gpus",
        oci="the device files /dev/nvidiaN",
    ),
)
# What each runtime can, where the machine lets it; the rest is refused when it is asked for.
DECLARED: Mapping[str, Mapping[str, str]] = {
    runtime: {facet.name: how for facet in FACETS if (how := getattr(facet, runtime))}
    for runtime in ("process", "docker", "oci")
}


def engine_arguments(spec: ContainerSpec, settings: Settings) -> dict[str, Any]:
    """What the rows above give a container of an engine."""
    out: dict[str, Any] = {}
    for facet in FACETS:
        out |= facet.engine(spec, settings)
    return out


WITH_BUNDLE_PARTS = tuple(facet for facet in FACETS if facet.bundle is not _nothing)


def with_bundle_parts(
    config: Mapping[str, Any], spec: ContainerSpec, settings: Settings
) -> dict[str, Any]:
    """An OCI configuration with what the rows above give a container."""
    out = dict(config)
    for facet in WITH_BUNDLE_PARTS:
        out = _merged(out, facet.bundle(spec, settings))
    return out


def _merged(into: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(into)
    for key, value in more.items():
        old = out.get(key)
        out[key] = _merged(old, value) if isinstance(old, Mapping) else value
    return out
