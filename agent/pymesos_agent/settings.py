"""Settings of `pymesos-agent`, each declared once."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.claims import COUNT, FIRST, read_task_uids
from pymesos_agent.containers.settings import AllowedPath, ImageSettings, LogLimits, NetworkSettings
from pymesos_agent.containers.settings import Settings as ContainerSettings
from pymesos_agent.core.uids import UidRange
from pymesos_agent.files import disks
from pymesos_agent.runtimes.oci import tools
from pymesos_core.attributes import parse_attributes
from pymesos_core.capabilities import ALL, CAPABILITIES, bare_name, capability_problem
from pymesos_core.directories import default_directory
from pymesos_core.private import check_private
from pymesos_core.resources import Resources, parse
from pymesos_core.serving import Listen
from pymesos_core.settings import (
    DAYS,
    MIB,
    choice,
    file,
    folder,
    number,
    switch,
    text,
    texts,
    whole,
)
from pymesos_core.settings.server import (
    ServerSettings,
    dns_domain,
    dns_port,
    listen_port,
    mask_credentials,
    master_address,
    metrics_ip,
    metrics_port,
    zk_session_timeout,
)
from pymesos_core.text import os_problem, quoted

DEFAULT_PORT = 5051
DEFAULT_EXECUTOR_PORT = 5052
DAY_S = 86400.0
CENTURY_DAYS = 36_500
RUNTIMES = ("auto", "process", "docker", "oci")


def read_host_paths(written: list[str]) -> tuple[AllowedPath, ...]:
    """`/data` and `/srv/www:ro`. Raises ValueError."""
    out = []
    for part in written:
        path, _, mode = part.partition(":")
        if not path.startswith("/") or mode not in ("", "ro", "rw"):
            raise ValueError(f"{quoted(part)} is not an absolute path, with :ro at its end or not")
        out.append(AllowedPath(Path(path), mode == "ro"))
    return tuple(out)


def read_folders(written: list[str]) -> tuple[Path, ...]:
    """Folders that are there. Raises ValueError."""
    for part in written:
        if not part.startswith("/") or not Path(part).is_dir():
            raise ValueError(f"{quoted(part)} is not the absolute path of a folder that is there")
    return tuple(map(Path, written))


def _is_of_hosts(address: ipaddress.IPv4Address) -> bool:
    """Whether packets to it may leave this machine for one other."""
    return not (
        address.is_loopback
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
        or address in ipaddress.IPv4Network("0.0.0.0/8")
    )


def read_subnet(written: str) -> str:
    """An IPv4 network with room for a bridge and containers. Raises ValueError."""
    try:
        network = ipaddress.IPv4Network(written)
    except ValueError as error:
        raise ValueError(
            f"{quoted(written)} is given, and an IPv4 network is expected, whose address ends in"
            f" zeros where its prefix does, as in 10.213.0.0/16"
        ) from error
    if network.prefixlen > 29:
        raise ValueError(f"{written} has too few addresses; /29 is the least")
    if network.prefixlen < 8 or not all(map(_is_of_hosts, (network[0], network[-1]))):
        raise ValueError(
            f"{written} has addresses that no container can have; a part of a private network is"
            f" expected, as 10.213.0.0/16"
        )
    return written


def read_capabilities(written: list[str]) -> frozenset[str]:
    """Names of capabilities, in any case; ALL is each of them. Raises ValueError."""
    for name in written:
        if problem := capability_problem(name.upper()):
            raise ValueError(problem)
    names = frozenset(bare_name(name.upper()) for name in written)
    return names | frozenset(CAPABILITIES) if ALL in names else names


@dataclass(frozen=True)
class AgentSettings(ServerSettings):
    """All that an agent may be told."""

    port: int = listen_port(DEFAULT_PORT)
    executor_port: int = whole(
        DEFAULT_EXECUTOR_PORT,
        0,
        65535,
        help="With --tls, the port of 127.0.0.1 for executors, which have no certificates but a"
        " token each; without it they use --port.",
    )
    master: str = master_address()
    zk_session_timeout_s: float = zk_session_timeout(
        "Seconds of the ZooKeeper session with which the leader is found."
    )
    work_dir: Path = folder(
        lambda: default_directory("agent"),
        default_text="/var/lib/pymesos/agent for root, else ~/.local/state/pymesos/agent",
        help="Checkpoint and sandboxes.",
    )
    resources: Resources = text(
        "",
        read=parse,
        default_text="what is measured",
        help="What to offer instead of what is measured: 'cpus:4;mem:8192;ports:[31000-32000]'.",
    )
    attributes: dict[str, str] = text(
        "", read=parse_attributes, help="What constraints go by: 'rack:a;ssd:true'."
    )
    runtime: str = choice(
        "auto", RUNTIMES, help="What starts containers; auto enables all that work here."
    )
    docker_host: str | None = text(
        None,
        metavar="URL",
        default_text="its usual socket",
        mask=mask_credentials,
        help="The engine's address.",
    )
    pids_max: int = whole(
        4096,
        0,
        2**22,
        help="Processes and threads of a task that does not say how many; 0: no limit.",
    )
    revocable_margin: int | None = whole(
        None,
        5,
        90,
        default_text="none",
        help="Offer what no task uses as revocable CPUs and memory, less so many percent of the"
        " agent. Tasks on it are killed when its owners use it.",
    )
    log_max_size_mib: int = whole(
        10,
        1,
        100_000,
        unit=MIB,
        help="How large stdout and stderr of a task become before they are rotated.",
    )
    log_max_files: int = whole(5, 1, 100, help="How many files of each are kept.")
    allow_host_paths: tuple[AllowedPath, ...] = texts(
        read=read_host_paths,
        metavar="PATH,…",
        help="Paths of this machine that tasks may mount, with all below: '/data,/srv/www:ro'.",
    )
    hide: tuple[Path, ...] = texts(
        read=read_folders,
        metavar="PATH,…",
        help="Folders that tasks of the process runtime cannot see, though their user could; then"
        " those of the agent, too. For agents that root does not run.",
    )
    allow_capabilities: frozenset[str] = texts(
        read=read_capabilities,
        metavar="NAME,…",
        help="What containers may have beyond the usual: 'NET_ADMIN,SYS_PTRACE'.",
    )
    bridge_subnet: str = text(
        NetworkSettings.bridge_subnet,
        read=read_subnet,
        metavar="CIDR",
        help="Addresses of containers of the oci runtime with `network: bridge`.",
    )
    user_namespace_base: int | None = whole(
        None,
        65536,
        2**32 - 2 * 65536,
        default_text="none",
        help="Images run in user namespaces (oci): their ids 0 to 65535 are this one and up on"
        " the machine.",
    )
    task_uids: UidRange | None = text(
        None,
        read=read_task_uids,
        metavar="BASE:COUNT",
        default_text=f"{COUNT} from {FIRST} on that no other agent of the machine has",
        help="Of root's agent, the users of tasks without an image that name none: each has one of"
        " its own. `none`: such tasks run as root.",
    )
    volume_limits: str = choice(
        disks.AUTO,
        disks.WAYS,
        help="What holds a new persistent volume at its size: a file system of its own in a file"
        " (loop), or nothing; auto: loop where the agent can mount.",
    )
    oci_tool: str = choice(
        "auto",
        ("auto", *tools.NAMES),
        help="What makes containers of the oci runtime; auto: the first of them that works here.",
    )
    cni_config_dir: Path | None = folder(
        None,
        exists=True,
        default_text="none",
        help="More networks for them: CNI network lists, *.conflist.",
    )
    allow_images: tuple[str, ...] = texts(
        metavar="PREFIX,…",
        default_text="all",
        help="What images begin with, of every runtime: 'docker.io/library/,registry:5000/'.",
    )
    registry_auth: Path | None = file(
        default_text="skopeo's places",
        help="Credentials for registries, a config.json of Docker's, for its owner alone.",
    )
    image_cache_size_mib: int = whole(
        20 * 1024,
        0,
        unit=MIB,
        help="How much of images is kept; the ones not used for longest go first.",
    )
    image_max_age_days: float = number(
        14, 0, CENTURY_DAYS, unit=DAYS, help="How long an image is kept that no task uses."
    )
    artifact_cache_size_mib: int = whole(
        2 * 1024, 0, unit=MIB, help="How much of artifacts with a checksum is kept."
    )
    mesos_port: int | None = whole(
        None,
        0,
        65535,
        default_text="it is not served",
        help="Serve Apache Mesos' HTTP APIs (v1) on this port: for executors that were written for"
        " it, and, in a cluster without certificates, for operators' tools. With --tls it is of"
        " 127.0.0.1 alone; 0 takes a free one.",
    )
    dns_port: int | None = dns_port()
    dns_domain: str = dns_domain()
    metrics_port: int | None = metrics_port()
    metrics_ip: str | None = metrics_ip()
    sandbox_max_age_days: float = number(
        7,
        0,
        CENTURY_DAYS,
        unit=DAYS,
        help="How long the files of ended tasks are kept on an empty disk; less as it fills.",
    )
    kill_tasks_on_exit: bool = switch(
        False, help="On SIGTERM end all tasks first, for clusters that are thrown away."
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """See Settings."""
        yield from super().problems()
        if self.user_namespace_base is not None and self.runtime in ("process", "docker"):
            yield (
                "user_namespace_base",
                f"user namespaces are for the runtime oci, not {self.runtime}; a Docker engine has"
                f" `userns-remap` of its own",
            )
        if self.registry_auth is not None:
            try:
                check_private(self.registry_auth, self.registry_auth.stat())
            except OSError as error:
                yield "registry_auth", os_problem(error)
        if self.hide and os.geteuid() == 0:
            yield (
                "hide",
                "nothing is hidden from tasks of root, which could undo it; have the agent run as"
                " another user",
            )

    @property
    def executors_at(self) -> Listen:
        """Where executors connect, which have no certificates: on this machine alone."""
        return Listen("127.0.0.1", self.executor_port, None, None)

    @property
    def mesos_at(self) -> Listen | None:
        """Where executors of Mesos connect, and its operators: these from other machines as far as
        they reach all else here, without certificates. None: nowhere."""
        if self.mesos_port is None:
            return None
        if self.tls is None and ipaddress.ip_address(self.ip).version == 4:
            return Listen(self.ip, self.mesos_port, self.advertise_ip, None)
        return Listen("127.0.0.1", self.mesos_port, None, None)

    @property
    def containers(self) -> ContainerSettings:
        """What the runtimes are told."""
        return ContainerSettings(
            LogLimits(self.log_max_size_mib * 1024 * 1024, self.log_max_files),
            self.pids_max,
            self.allow_host_paths,
            self.allow_capabilities,
            ImageSettings(
                self.allow_images,
                self.registry_auth,
                tuple(allowed.path for allowed in self.allow_host_paths),
                self.image_cache_size_mib,
                self.image_max_age_days * DAY_S,
            ),
            self.artifact_cache_size_mib,
            NetworkSettings(self.bridge_subnet, self.cni_config_dir),
            self.user_namespace_base or 0,
            oci_tool=self.oci_tool,
            hidden=self.hide,
        )
