"""A container as the OCI runtime specification describes it: a folder with a `config.json`.

Nothing is mounted on the machine: the sandbox and the volumes are mounts of the container's own
namespace, and the layers of the image of one that it gets a copy of; all are gone with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers import cgroups, hostpaths, users
from pymesos_agent.containers.disks import MIB
from pymesos_agent.containers.environment import DEFAULT_PATH, task_argv, task_environment
from pymesos_agent.containers.facets import with_bundle_parts
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.memory import IN_CONTAINER
from pymesos_agent.runtimes.oci import programs, seccomp
from pymesos_agent.runtimes.oci.networks import BRIDGE
from pymesos_agent.runtimes.oci.tools import ROOT, HostMount, Overlay, Prepared
from pymesos_core.resources import devices
from pymesos_proto.v1 import types_pb2 as pb

SANDBOX = Path("/mnt/pymesos/sandbox")
INIT = "/dev/init"
USER_NAMESPACE_IDS = 65536
SHARED = "/dev/shm"  # noqa: S108 - of the container
WRITABLE = ("/tmp", "/run", "/var/tmp")  # noqa: S108 - of the container
MILLI_MIB = 1024 * 1024 / 1000
# What a container without an image sees of the machine.
HOST_PROGRAMS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt")
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
]  # fmt: skip
HOST_SECRETS = [
    "/etc/gshadow", "/etc/gshadow-", "/etc/shadow", "/etc/shadow-", "/etc/ssh", "/etc/ssl/private",
]  # fmt: skip
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
RESOLVED = Path("/run/systemd/resolve/resolv.conf")
NVIDIA_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


CONFIG = "config.json"


class BundleError(Exception):
    """The container cannot be described: the message says why."""


@dataclass(frozen=True)
class Image:
    """What an image says of its containers; none: the machine's own programs."""

    layers: tuple[Path, ...] = ()  # the uppermost first
    environment: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""


@dataclass(frozen=True)
class Host:
    """What bundles need of this machine."""

    environment: dict[str, str] = field(default_factory=dict)
    init: str | None = None  # a static program that reaps and passes signals on
    hostname: str = "localhost"
    disk: tuple[int, int] | None = None  # that has the sandboxes
    root: Path | None = None  # see make_host_root
    bridge_names: Path | None = None  # the resolv.conf of containers on the bridge, if they ask us


@dataclass(frozen=True)
class Bundle:
    """What is made of a container before it is launched."""

    owner: tuple[int, int]  # the ids on the machine of who it runs as
    prepared: Prepared  # what is to be mounted
    held: contextlib.ExitStack  # what of that is open until it is mounted


def write_bundle(
    bundle: Path,
    spec: ContainerSpec,
    image: Image | None,
    settings: Settings,
    host: Host,
    cgroup: str,
    network: Path | None = None,
    written: Path | None = None,
) -> Bundle:
    """Make the folder. Raises BundleError, OSError.

    What the container writes into its image is in the folder `written`; without, in the bundle.
    What it returns is closed once the container is made, or is not to be. `network` is the
    namespace that it enters; without, it has the machine's or a new one.
    """
    user = _user(spec, image)
    argv = _argv(spec, image)
    if not argv:
        raise BundleError("the task has no command, and its image has none either")
    environment = _environment(spec, image, host)
    cwd = image.cwd if image else str(SANDBOX)
    if problem := programs.problem_of(_root(spec, image), argv, cwd, environment.get("PATH", "")):
        raise BundleError(problem)
    base = settings.user_namespace_base if image is not None else 0
    if base and max(user.uid, user.gid) >= USER_NAMESPACE_IDS:
        raise BundleError(
            f"it runs as {user.uid}:{user.gid}; in a user namespace ids end at"
            f" {USER_NAMESPACE_IDS - 1}"
        )
    bundle.mkdir(parents=True)
    overlay = None if image is None else _make_overlay(bundle, written or bundle, image, base)
    root = bundle / ROOT
    if image is None:
        root = _host_root(bundle, spec, host)
    process = {
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.more_gids)},
        "args": [INIT, "--", *argv] if host.init else argv,
        "env": [f"{n}={v}" for n, v in environment.items()],
        "cwd": cwd,
        "noNewPrivileges": True,
    }
    with contextlib.ExitStack() as held:
        asked, host_mounts = _asked_mounts(bundle, spec.info.container, settings, held)
        config = {
            "ociVersion": "1.0.2",
            "process": process,
            "root": {"path": str(root), "readonly": image is None},
            "hostname": host.hostname,
            "mounts": [
                *_mounts(spec, image, host, user_namespace=bool(base)),
                *asked,
                *_secrets(spec, settings),
            ],
            "linux": _linux(spec, image, host, cgroup, base, network),
        }
        config = with_bundle_parts(config, spec, settings)
        _write_config(bundle, json.dumps(config))
        prepared = Prepared(bundle, overlay, host_mounts)
        return Bundle((user.uid + base, user.gid + base), prepared, held.pop_all())


def _linux(
    spec: ContainerSpec,
    image: Image | None,
    host: Host,
    cgroup: str,
    base: int,
    network: Path | None,
) -> dict[str, Any]:
    """What of a container is Linux'."""
    return {
        "namespaces": _namespaces(spec, network, user_namespace=bool(base)),
        **_user_namespace(base),
        "cgroupsPath": cgroup,
        "resources": _resources(spec) | _block_io(spec.info.container, host),
        "devices": [_device(path) for path in _gpu_files(spec)],
        "maskedPaths": MASKED if image else MASKED + HOST_SECRETS,
        "readonlyPaths": READ_ONLY,
        "seccomp": seccomp.profile(),
    }


def _make_overlay(bundle: Path, written: Path, image: Image, base: int) -> Overlay:
    """Make an overlay whose folders belong to the container's root, and to this container alone."""
    written.mkdir(exist_ok=True)
    # While it is there, none of these is removed (images.py).
    (written / "layers").write_text("\n".join(layer.name for layer in image.layers), "ascii")
    for folder in (bundle / ROOT, written / "upper", written / "work"):
        folder.mkdir(mode=0o755)
        os.chown(folder, base, base)
    return Overlay.of(image.layers, written, *(["userxattr"] if base else []))


def _host_root(bundle: Path, spec: ContainerSpec, host: Host) -> Path:
    """The one of all, unless there is none or the container mounts something of its own there."""
    if host.root is not None and _mounts_below_its_sandbox(spec):
        return host.root
    root = bundle / ROOT
    root.mkdir()
    make_host_root(root)
    return root


def _user(spec: ContainerSpec, image: Image | None) -> users.User:
    try:
        if image is not None:
            read = partial(users.read_layers, image.layers)
            return users.resolve(spec.info.command.user or image.user, read)
        if spec.own_uid:
            return users.User(spec.own_uid, spec.own_uid)
        if spec.owner is None:
            return users.User(os.geteuid(), os.getegid())
        return users.on_machine(spec.user)
    except users.UserError as error:
        raise BundleError(str(error)) from error


def _argv(spec: ContainerSpec, image: Image | None) -> list[str]:
    argv = task_argv(spec.info.command)
    if image is None or spec.info.command.shell:
        return argv
    return [*image.entrypoint, *(argv or image.command)]


def _root(spec: ContainerSpec, image: Image | None) -> programs.Root:
    """Where its programs are before it is made."""
    paths = [volume.container_path for volume in spec.volumes]
    paths += [mount.container_path for mount in spec.info.container.mounts]
    return programs.Root(
        image.layers if image is not None else (Path("/"),),
        (SANDBOX, spec.sandbox),
        [str(SANDBOX / path) for path in paths],
    )


def _environment(spec: ContainerSpec, image: Image | None, host: Host) -> dict[str, str]:
    inherited = dict(host.environment)
    if image is not None:
        inherited = {"PATH": DEFAULT_PATH}
        inherited |= dict(e.partition("=")[::2] for e in image.environment)
    return task_environment(spec, SANDBOX, inherited)


def make_host_root(root: Path) -> None:
    """What containers without an image are mounted over: the links at the top of the machine's own
    file system (/bin → usr/bin), as they are there, and folders that the tool makes to mount on.

    Containers write to mounts only, so one such folder does for all that mount the same.
    """
    for name in HOST_PROGRAMS:
        path = Path("/") / name
        if path.is_symlink() and not (root / name).is_symlink():
            (root / name).symlink_to(path.readlink())


def write_bridge_names(path: Path, name_server: str) -> None:
    """Write the resolv.conf of containers on the bridge, also of those that run: as the machine's,
    with another name server unless that is empty. Raises OSError.

    It is written in place, since they have the file itself.
    """
    own = RESOLVED if RESOLVED.exists() else Path("/etc/resolv.conf")
    lines = own.read_text(errors="replace").splitlines() if own.exists() else []
    if name_server:
        kept = [line for line in lines if line.split()[:1] != ["nameserver"]]
        lines = [f"nameserver {name_server}", *kept]
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o644)


def _mounts_below_its_sandbox(spec: ContainerSpec) -> bool:
    paths = [volume.container_path for volume in spec.volumes]
    paths += [mount.container_path for mount in spec.info.container.mounts]
    return not any(path.startswith("/") for path in paths)


def _mounts(
    spec: ContainerSpec, image: Image | None, host: Host, *, user_namespace: bool
) -> Iterator[dict[str, Any]]:
    if image is None:
        for name in HOST_PROGRAMS:
            if _is_folder(path := f"/{name}"):
                yield _bind(path, path, read_only=True, nested=True)
    yield _mount("/proc", "proc", "nosuid", "noexec", "nodev")
    yield _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
    yield _mount(
        "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"
    )
    yield _mount(SHARED, "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k")
    yield _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev")
    if user_namespace:
        # Only who owns a network namespace may mount a sysfs, which shows its devices.
        yield _bind(Path("/sys"), "/sys", read_only=True, nested=True)
    else:
        yield _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro")
    yield _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
    if image is None:
        for where in WRITABLE:
            yield _mount(where, "tmpfs", "nosuid", "nodev", "mode=1777")
    if spec.info.container.network != "none":
        if spec.info.container.network == BRIDGE and host.bridge_names is not None:
            yield _bind(host.bridge_names, "/etc/resolv.conf", read_only=True)
        elif spec.own_network and RESOLVED.exists():
            # The machine's own file may name a resolver on its loopback interface.
            yield _bind(RESOLVED, "/etc/resolv.conf", read_only=True)
        elif image is not None and Path("/etc/resolv.conf").exists():
            yield _bind(Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf", read_only=True)
        if image is not None and Path("/etc/hosts").exists():
            yield _bind(Path("/etc/hosts").resolve(), "/etc/hosts", read_only=True)
    if host.init:
        yield _bind(Path(host.init), INIT, read_only=True)
    yield _bind(spec.sandbox, str(SANDBOX))
    for volume in spec.volumes:
        yield _bind(volume.host_path, str(SANDBOX / volume.container_path))


def _asked_mounts(
    bundle: Path, info: pb.ContainerInfo, settings: Settings, held: contextlib.ExitStack
) -> tuple[list[dict[str, Any]], tuple[HostMount, ...]]:
    """What a task asks to have mounted; of paths of the machine also what is mounted for it first.

    Raises BundleError, OSError.
    """
    out: list[dict[str, Any]] = []
    host_mounts: list[HostMount] = []
    for number, mount in enumerate(info.mounts):
        where = str(SANDBOX / mount.container_path)
        if mount.host_path:
            try:
                path = held.enter_context(hostpaths.opened(mount, settings.host_paths))
            except hostpaths.HostPathError as error:
                raise BundleError(str(error)) from error
            target = bundle / "mounts" / str(number)
            target.parent.mkdir(mode=0o711, exist_ok=True)
            target.mkdir() if path.is_folder else target.touch()
            host_mounts.append(HostMount(path.path, target, path.identity))
            flags = os.statvfs(path.descriptor).f_flag
            out.append(_bind(target, where, read_only=mount.read_only, flags=flags))
        elif not mount.group_path:
            size = f"size={mount.size_mib or 64}m"
            out.append(_mount(where, "tmpfs", "nosuid", "nodev", "mode=1777", size))
    return out, tuple(host_mounts)


def _secrets(spec: ContainerSpec, settings: Settings) -> Iterator[dict[str, Any]]:
    """Secrets in files, over whatever else is mounted there."""
    if spec.has_secret_files and settings.memory is not None:
        folder = settings.memory.secrets_of(spec.container_id)
        yield _bind(folder, IN_CONTAINER, read_only=True)


def _write_config(bundle: Path, config: str) -> None:
    """Raises OSError."""
    path = bundle / CONFIG
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb", buffering=0) as opened:
        opened.write(config.encode())


def _is_folder(path: str) -> bool:
    """Whether it is one, and not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _mount(where: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": where, "type": kind, "source": kind, "options": list(options)}


def _bind(
    path: Path | str,
    where: str,
    *,
    read_only: bool = False,
    nested: bool = False,
    flags: int | None = None,
) -> dict[str, Any]:
    # What the machine's own mount does not allow is not given back; in a user namespace, it cannot.
    flags = os.statvfs(path).f_flag if flags is None else flags
    options = ["rbind" if nested else "bind", "rprivate"]
    options.append("ro" if read_only or flags & os.ST_RDONLY else "rw")
    options += ["noexec"] if flags & os.ST_NOEXEC else []
    return {
        "destination": where,
        "type": "bind",
        "source": str(path),
        "options": [*options, "nosuid", "nodev"],
    }


def _namespaces(
    spec: ContainerSpec, network: Path | None, *, user_namespace: bool
) -> list[dict[str, str]]:
    kinds = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup")]
    kinds += [{"type": "user"}] if user_namespace else []
    if network is not None:
        return [*kinds, {"type": "network", "path": str(network)}]
    return [*kinds, {"type": "network"}] if spec.own_network else kinds


def _user_namespace(base: int) -> dict[str, Any]:
    """The ids of an image, all of them nobody's on the machine."""
    mapping = [{"containerID": 0, "hostID": base, "size": USER_NAMESPACE_IDS}]
    return {"uidMappings": mapping, "gidMappings": mapping} if base else {}


def _resources(spec: ContainerSpec) -> dict[str, Any]:
    amounts = spec.resources.quantities
    mem_bytes = int(amounts.get("mem", 0) * MILLI_MIB) or cgroups.DEFAULT_MEM_BYTES
    mem_bytes = max(mem_bytes, cgroups.MIN_MEM_BYTES)
    allowed = [
        {"allow": True, "type": "c", "access": "rw", **_numbers(path)} for path in _gpu_files(spec)
    ]
    return {
        "memory": {"limit": mem_bytes, "swap": mem_bytes},
        "cpu": {"shares": cgroups.weight_of(spec.resources)},
        "devices": [{"allow": False, "access": "rwm"}, *allowed],
    }


def _block_io(info: pb.ContainerInfo, host: Host) -> dict[str, Any]:
    given = {
        "throttleReadBpsDevice": info.read_mib_per_s,
        "throttleWriteBpsDevice": info.write_mib_per_s,
    }
    if host.disk is None or not any(given.values()):
        return {}
    major, minor = host.disk
    return {
        "blockIO": {
            name: [{"major": major, "minor": minor, "rate": mib * MIB}]
            for name, mib in given.items()
            if mib
        }
    }


def _gpu_files(spec: ContainerSpec) -> list[Path]:
    """The device files of the GPUs that the task was given, as far as they are there."""
    given = [f"nvidia{name}" for name in devices(spec.resources) if name.isdigit()]
    names = [*given, *NVIDIA_SHARED] if given else []
    return [path for name in names if (path := Path("/dev") / name).is_char_device()]


def _numbers(path: Path) -> dict[str, int]:
    device = path.stat().st_rdev
    return {"major": os.major(device), "minor": os.minor(device)}


def _device(path: Path) -> dict[str, Any]:
    return {"path": str(path), "type": "c", "fileMode": 0o666, "uid": 0, "gid": 0, **_numbers(path)}


def write_process(config: Path, argv: Sequence[str], more: Mapping[str, str]) -> Path:
    """One more process of a container, like its first: a file for the tool, beside its config.

    Not by the tool's options: crun takes what they say of the environment for all of it, and who
    may list the machine's processes would read it. Raises OSError, ValueError, LookupError.
    """
    process = json.loads(config.read_text("utf-8"))["process"]
    process["args"] = list(argv)
    process["env"] += [f"{name}={value}" for name, value in more.items()]
    process["terminal"] = "TERM" in more
    path = config.parent / f"exec-{uuid.uuid4().hex}.json"
    path.write_text(json.dumps(process), "utf-8")
    return path
