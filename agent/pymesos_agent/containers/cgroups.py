"""Limits of memory, CPU and processes through cgroups, v1 and v2, where the agent may write them.

Every container gets a group `…/pymesos/CONTAINER_ID`. CPU is a share (cpu.shares, cpu.weight): a
task may use what others leave, unless it asked for a quota; memory is a hard limit, swap included.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymesos_core.resources import Resources, is_revocable

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MIN_MEM_BYTES = 4 * MIB  # below it not even a shell starts; an absent `mem` gets DEFAULT_MEM_BYTES
DEFAULT_MEM_BYTES = 32 * MIB  # Mesos' MIN_MEMORY
NAME = "pymesos"
CPU_PERIOD_US = 100_000
CONTROLLERS = ("memory", "cpu", "pids", "cpuacct")  # the last, of v1, only counts


@dataclass(frozen=True)
class Group:
    """A container's groups.

    A process of one thread joins by writing "0" to each of `join`. In v1 these are the `tasks`
    files: `cgroup.procs` takes a lock of the whole machine, which costs 8 to 16 ms. In v2 there is
    nothing else to write, so the spawner forks into the group.
    """

    join: tuple[str, ...]
    procs: str  # lists the processes
    oom_file: str
    peak_file: str
    pids_file: str  # counts the processes that were refused; empty without the controller


@dataclass(frozen=True)
class Limits:
    """What a container may use."""

    cpus_milli: int
    mem_bytes: int  # 0: DEFAULT_MEM_BYTES
    pids_max: int = 0  # 0: no limit
    cpu_quota: bool = False  # whether cpus_milli is also the most
    yields: bool = False  # it runs on what is others', and has the least weight


def limits_of(resources: Resources) -> Limits:
    """The limits that an amount of resources sets, without a CPU quota."""
    amounts = resources.quantities
    mem_bytes = int(amounts.get("mem", 0) * MIB / 1000)
    return Limits(amounts.get("cpus", 0), mem_bytes, yields=is_revocable(resources))


def weight_of(resources: Resources) -> int:
    """The CPU shares of a container; the least for one on what is others'."""
    return cpu_shares(0 if is_revocable(resources) else resources.quantities.get("cpus", 0))


class CgroupError(Exception):
    """A group could not be made: the message says what failed."""


class Cgroups:
    """The groups of one agent: the folder of each controller, in v2 the same for all."""

    def __init__(self, version: int, roots: Mapping[str, Path], mount: Path) -> None:
        assert "memory" in roots
        self._mount = mount
        self.version = version
        self._join_file = "tasks" if version == 1 else "cgroup.procs"
        self._roots = roots
        self._folders = tuple(dict.fromkeys(roots.values()))
        # As texts: what is made and removed for each container goes without pathlib.
        self._bases = {name: f"{root}/" for name, root in roots.items()}
        self._all_bases = tuple(dict.fromkeys(self._bases.values()))
        self._own_procs = _own_procs(mount / "memory" if version == 1 else mount)
        below = mount / "memory" if version == 1 else mount
        self._path = f"/{roots['memory'].relative_to(below)}/"
        mounts = sorted(mount.iterdir()) if version == 1 else [mount]
        self._everywhere = [f"{each}{self._path}" for each in mounts if not each.is_symlink()]

    @property
    def isolation(self) -> dict[str, str]:
        """What holds, for people."""
        name = f"cgroup v{self.version}"
        holds = {"mem": name}
        if "cpu" in self._roots:
            holds |= {"cpu": f"{name} shares", "cpu_quota": name}
        if "pids" in self._roots:
            holds |= {"pids": name}
        return holds

    @property
    def limits_io(self) -> bool:
        """Whether an OCI runtime can limit reads and writes."""
        if self.version == 1:
            return (self._mount / "blkio").is_dir()
        return "io" in (self._mount / "cgroup.controllers").read_text("ascii").split()

    def create(self, container_id: str, limits: Limits) -> Group:
        """Make a container's groups with their limits. Raises CgroupError."""
        try:
            for base in self._all_bases:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(base + container_id)  # noqa: PTH102
            mem_bytes = max(limits.mem_bytes or DEFAULT_MEM_BYTES, MIN_MEM_BYTES)
            self._limit_memory(self._bases["memory"] + container_id, mem_bytes)
            if "cpu" in self._bases:
                self._limit_cpu(self._bases["cpu"] + container_id, limits)
            if "pids" in self._bases and limits.pids_max:
                _write(f"{self._bases['pids']}{container_id}/pids.max", str(limits.pids_max))
        except OSError as error:
            self.destroy(container_id)
            raise CgroupError(f"cannot make its cgroup: {error}") from error
        return self.group(container_id)

    def resize(self, container_id: str, limits: Limits, *, by_runtime: bool = False) -> None:
        """Other limits for a container's groups. As in Mesos memory is raised, never lowered.

        `by_runtime`: an OCI runtime made them, in v1 at the same path below every controller.
        """
        folders = {name: root / container_id for name, root in self._roots.items()}
        if by_runtime and self.version == 1:
            path = self.path(container_id).lstrip("/")
            folders = {name: self._mount / name / path for name in self._roots}
        memory = folders["memory"]
        mem_bytes = max(limits.mem_bytes or DEFAULT_MEM_BYTES, MIN_MEM_BYTES)
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        try:
            now = (memory / name).read_text("ascii").strip()
            if now != "max" and int(now) < mem_bytes:
                if self.version == 1:
                    with contextlib.suppress(OSError):  # never below the other, so it goes first
                        _write(f"{memory}/memory.memsw.limit_in_bytes", str(mem_bytes))
                _write(f"{memory}/{name}", str(mem_bytes))
            if "cpu" in folders:
                self._limit_cpu(str(folders["cpu"]), limits)
        except FileNotFoundError:
            return  # it has ended, or is only being made: then it has these from the start
        except OSError as error:
            log.warning("the limits of %s stay as they were: %s", container_id, error)

    def group(self, container_id: str) -> Group:
        """A container's groups, as they are once made."""
        memory = self._bases["memory"] + container_id
        join = tuple(f"{base}{container_id}/{self._join_file}" for base in self._all_bases)
        pids = self._bases.get("pids")
        pids_file = f"{pids}{container_id}/pids.events" if pids else ""
        oom, peak = (
            ("memory.oom_control", "memory.max_usage_in_bytes")
            if self.version == 1
            else ("memory.events", "memory.peak")
        )
        procs = f"{memory}/cgroup.procs"
        return Group(join, procs, f"{memory}/{oom}", f"{memory}/{peak}", pids_file)

    def _limit_memory(self, group: str, mem_bytes: int) -> None:
        if self.version == 1:
            _write(f"{group}/memory.limit_in_bytes", str(mem_bytes))
            with contextlib.suppress(OSError):  # kernels without swap accounting
                _write(f"{group}/memory.memsw.limit_in_bytes", str(mem_bytes))
            return
        _write(f"{group}/memory.max", str(mem_bytes))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):
                _write(f"{group}/{name}", value)

    def _limit_cpu(self, group: str, limits: Limits) -> None:
        shares = cpu_shares(0 if limits.yields else limits.cpus_milli)
        quota_us = cpu_quota_us(limits.cpus_milli)
        if self.version == 1:
            _write(f"{group}/cpu.shares", str(shares))
            if limits.cpu_quota:
                _write(f"{group}/cpu.cfs_period_us", str(CPU_PERIOD_US))
                _write(f"{group}/cpu.cfs_quota_us", str(quota_us))
            return
        # The mapping of the OCI runtimes (containers/crun, "cgroup v2").
        _write(f"{group}/cpu.weight", str(1 + ((shares - 2) * 9999) // 262142))
        if limits.cpu_quota:
            _write(f"{group}/cpu.max", f"{quota_us} {CPU_PERIOD_US}")

    def destroy(self, container_id: str) -> None:
        """Remove a container's groups; one that is still busy is tried a few times."""
        for base in self._all_bases:
            _remove(base + container_id)

    def path(self, container_id: str) -> str:
        """A container's path below the mount of cgroups, as an OCI runtime expects it."""
        return self._path + container_id

    def destroy_everywhere(self, container_id: str) -> None:
        """Remove a container's groups in every controller: OCI runtimes make more than we do."""
        for base in self._everywhere:
            _remove(base + container_id)

    def close(self) -> None:
        """Remove the agent's own groups, unless containers live on in them."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def warm_up(self) -> None:
        """Take the lock that a move of a process from group to group takes, and move nothing.

        Unless it was taken a moment ago the kernel waits for an RCU grace period, 8 to 16 ms.
        """
        if self._own_procs is not None:
            with contextlib.suppress(OSError):
                _write(str(self._own_procs), str(os.getpid()))

    def leftovers(self) -> set[str]:
        """The container ids that have a group of any controller: a crash may leave but one."""
        return {p.name for folder in self._folders for p in folder.iterdir() if p.is_dir()}


def cpu_shares(cpus_milli: int) -> int:
    """1024 for one CPU, within the kernel's bounds."""
    return max(2, min(262144, cpus_milli * 1024 // 1000))


def cpu_quota_us(cpus_milli: int) -> int:
    """The microseconds of CPU time in each CPU_PERIOD_US; at least the kernel's 1 ms."""
    return max(1000, cpus_milli * CPU_PERIOD_US // 1000)


def _write(path: str, value: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, value.encode("ascii"))
    finally:
        os.close(file)


def _remove(group: str) -> None:
    for attempt in range(5):
        try:
            os.rmdir(group)  # noqa: PTH106
            return
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == 4:
                log.warning("the cgroup %s stays behind: %s", group, error)
                return
            time.sleep(0.002)


def detect(agent_tag: str, root: Path = Path("/sys/fs/cgroup")) -> tuple[Cgroups | None, str]:
    """The groups this agent may use, or None and why not. `agent_tag` tells agents apart."""
    try:
        if (root / "cgroup.controllers").exists():
            return _detect_v2(agent_tag, root), ""
        return _detect_v1(agent_tag, root), ""
    except (OSError, CgroupError) as error:
        return None, str(error)


def _own_groups() -> dict[str, str]:
    """Controller → path of this process's group; "" is v2's."""
    out: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            out[controller] = path
    return out


def _own_procs(mount: Path) -> Path | None:
    """The list that this process is in, if that is the one its group's path leads to."""
    own = _own_groups()
    path = mount / own.get("memory", own.get("", "/")).lstrip("/") / "cgroup.procs"
    with contextlib.suppress(OSError):
        if str(os.getpid()) in path.read_text("ascii").split():
            return path
    return None


def _detect_v1(agent_tag: str, root: Path) -> Cgroups:
    own = _own_groups()
    roots: dict[str, Path] = {}
    for controller in CONTROLLERS:
        mount = root / controller
        if not (mount / "cgroup.procs").exists():
            continue
        parent = mount / own.get(controller, "/").lstrip("/")
        if not (parent / "cgroup.procs").exists():
            parent = mount  # the path is another namespace's
        base = parent / NAME / agent_tag
        try:
            base.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if controller == "memory":
                raise CgroupError(f"cannot write {parent}: {error.strerror}") from error
            continue
        roots[controller] = base
    if "memory" not in roots:
        raise CgroupError(f"there is no memory controller below {root}")
    return Cgroups(1, roots, root)


def _detect_v2(agent_tag: str, root: Path) -> Cgroups:
    own = root / _own_groups().get("", "/").lstrip("/")
    if not own.is_dir():
        own = root
    if own.name == "agent" and (own.parent / NAME).is_dir():
        own = own.parent  # an earlier agent moved itself, and us with it
    processes = (own / "cgroup.procs").read_text().split() if own != root else []
    if os.geteuid() == 0:
        # Not below the unit's own group: systemd cannot start a unit again whose group has groups.
        base = root
    elif processes == [str(os.getpid())]:
        # Processes may live in leaves only, so the agent moves into one (Delegate=yes lets it).
        (own / "agent").mkdir(exist_ok=True)
        _write(f"{own}/agent/cgroup.procs", str(os.getpid()))
        base = own
    elif processes:
        base = root  # not ours alone: only root may make a group at the top
    else:
        base = own
    there = (root / "cgroup.controllers").read_text().split()
    controllers = [c for c in CONTROLLERS if c in there]
    if "memory" not in controllers:
        raise CgroupError(f"there is no memory controller below {root}")
    try:
        group = base
        for part in ("", NAME, agent_tag):
            group = group / part if part else group
            group.mkdir(exist_ok=True)
            if part != agent_tag:
                _write(f"{group}/cgroup.subtree_control", _enable(controllers))
        _write(f"{group}/cgroup.subtree_control", _enable(controllers))
    except OSError as error:
        raise CgroupError(
            f"cannot write {base}: {error.strerror} (systemd's Delegate=yes gives an agent its own)"
        ) from error
    return Cgroups(2, dict.fromkeys(controllers, group), root)


def _enable(controllers: Iterable[str]) -> str:
    return " ".join(f"+{controller}" for controller in controllers)
