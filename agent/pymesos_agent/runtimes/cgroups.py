"""Memory and CPU limits through cgroups, v1 and v2, where the agent may write them.

Every container gets a group `…/pymesos/CONTAINER_ID`. CPU is a share (cpu.shares, cpu.weight): a
task may use what others leave; memory is a hard limit, swap included.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

MIB = 1024 * 1024
MIN_MEM_BYTES = 4 * MIB  # below it not even a shell starts; an absent `mem` gets DEFAULT_MEM_BYTES
DEFAULT_MEM_BYTES = 32 * MIB  # Mesos' MIN_MEMORY
NAME = "pymesos"


@dataclass(frozen=True)
class Group:
    """A container's groups.

    A process of one thread joins by writing "0" to each of `join`. In v1 these are the `tasks`
    files: `cgroup.procs` takes a lock of the whole machine, which costs 8 to 16 ms.
    """

    join: tuple[str, ...]
    procs: str  # lists the processes
    oom_file: str
    peak_file: str


class CgroupError(Exception):
    """A group could not be made: the message says what failed."""


class Cgroups:
    """The groups of one agent, below `memory_root` and `cpu_root` (the same folder in v2)."""

    def __init__(self, version: int, memory_root: Path, cpu_root: Path | None) -> None:
        self.version = version
        self._join_file = "tasks" if version == 1 else "cgroup.procs"
        self._memory_root = memory_root
        self._cpu_root = cpu_root

    @property
    def isolation(self) -> dict[str, str]:
        """What holds, for people."""
        cpu = f"cgroup v{self.version} shares" if self._cpu_root else "none"
        return {"mem": f"cgroup v{self.version}", "cpu": cpu}

    def create(self, container_id: str, cpus_milli: int, mem_bytes: int) -> Group:
        """Make a container's groups with their limits. Raises CgroupError."""
        try:
            memory = self._memory_root / container_id
            memory.mkdir(exist_ok=True)
            self._limit_memory(memory, max(mem_bytes or DEFAULT_MEM_BYTES, MIN_MEM_BYTES))
            if self._cpu_root is not None:
                cpu = self._cpu_root / container_id
                cpu.mkdir(exist_ok=True)
                self._share_cpu(cpu, cpus_milli)
        except OSError as error:
            self.destroy(container_id)
            raise CgroupError(f"cannot make its cgroup: {error}") from error
        return self.group(container_id)

    def group(self, container_id: str) -> Group:
        """A container's groups, as they are once made."""
        memory = self._memory_root / container_id
        roots = [self._memory_root]
        if self._cpu_root not in (None, self._memory_root):
            assert self._cpu_root is not None
            roots.append(self._cpu_root)
        join = tuple(str(root / container_id / self._join_file) for root in roots)
        oom, peak = (
            ("memory.oom_control", "memory.max_usage_in_bytes")
            if self.version == 1
            else ("memory.events", "memory.peak")
        )
        procs = str(memory / "cgroup.procs")
        return Group(join, procs, str(memory / oom), str(memory / peak))

    def _limit_memory(self, group: Path, mem_bytes: int) -> None:
        if self.version == 1:
            _write(group / "memory.limit_in_bytes", str(mem_bytes))
            with contextlib.suppress(OSError):  # kernels without swap accounting
                _write(group / "memory.memsw.limit_in_bytes", str(mem_bytes))
            return
        _write(group / "memory.max", str(mem_bytes))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):
                _write(group / name, value)

    def _share_cpu(self, group: Path, cpus_milli: int) -> None:
        shares = max(2, min(262144, cpus_milli * 1024 // 1000))
        if self.version == 1:
            _write(group / "cpu.shares", str(shares))
        else:
            # The mapping of the OCI runtimes (containers/crun, "cgroup v2").
            _write(group / "cpu.weight", str(1 + ((shares - 2) * 9999) // 262142))

    def destroy(self, container_id: str) -> None:
        """Remove a container's groups; one that is still busy is tried a few times."""
        for root in {self._memory_root, self._cpu_root} - {None}:
            assert root is not None
            _remove(root / container_id)

    def leftovers(self) -> set[str]:
        """The container ids that have groups."""
        return {p.name for p in self._memory_root.iterdir() if p.is_dir()}


def _write(path: Path, value: str) -> None:
    with path.open("w", encoding="ascii") as file:
        file.write(value)


def _remove(group: Path) -> None:
    for attempt in range(5):
        try:
            group.rmdir()
            return
        except FileNotFoundError:
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


def _detect_v1(agent_tag: str, root: Path) -> Cgroups:
    own = _own_groups()
    roots: dict[str, Path] = {}
    for controller in ("memory", "cpu"):
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
    return Cgroups(1, roots["memory"], roots.get("cpu"))


def _detect_v2(agent_tag: str, root: Path) -> Cgroups:
    own = root / _own_groups().get("", "/").lstrip("/")
    if not own.is_dir():
        own = root
    if own.name == "agent" and (own.parent / NAME).is_dir():
        own = own.parent  # an earlier agent moved itself, and us with it
    processes = (own / "cgroup.procs").read_text().split() if own != root else []
    if processes == [str(os.getpid())]:
        # Processes may live in leaves only, so the agent moves into one (Delegate=yes lets it).
        (own / "agent").mkdir(exist_ok=True)
        _write(own / "agent" / "cgroup.procs", str(os.getpid()))
        base = own
    elif processes:
        base = root  # not ours alone: only root may make a group at the top
    else:
        base = own
    try:
        group = base
        for part in ("", NAME, agent_tag):
            group = group / part if part else group
            group.mkdir(exist_ok=True)
            if part != agent_tag:
                _write(group / "cgroup.subtree_control", "+memory +cpu")
        _write(group / "cgroup.subtree_control", "+memory +cpu")
    except OSError as error:
        raise CgroupError(
            f"cannot write {base}: {error.strerror} (systemd's Delegate=yes gives an agent its own)"
        ) from error
    return Cgroups(2, group, group)
