"""What this machine has, as an agent reports it."""

from __future__ import annotations

from pathlib import Path

import psutil

from pymesos_core.resources import MILLI, Resources
from pymesos_proto.v1 import agent_pb2 as agent_pb

MIB = 1024 * 1024
DEFAULT_PORTS = (31000, 32000)  # Mesos' default
# Left for the system (Mesos' `src/slave/containerizer/containerizer.cpp`): half when it is small.
RESERVED_MEM_MIB = 1024
RESERVED_DISK_MIB = 5 * 1024


def boot_id() -> str:
    """Of this boot of the kernel; empty where it says none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def measure(work_dir: Path) -> Resources:
    """cpus, mem and disk (what is free where the sandboxes are) less a reserve, and ports."""
    cpus = psutil.cpu_count() or 1
    mem = psutil.virtual_memory().total // MIB
    disk = psutil.disk_usage(str(work_dir)).free // MIB
    return Resources(
        {
            "cpus": cpus * MILLI,
            "mem": _less(mem, RESERVED_MEM_MIB) * MILLI,
            "disk": _less(disk, RESERVED_DISK_MIB) * MILLI,
        },
        {"ports": (DEFAULT_PORTS,)},
    )


def _less(amount: int, reserve: int) -> int:
    return amount - reserve if amount > 2 * reserve else amount // 2


def with_overrides(measured: Resources, given: Resources) -> Resources:
    """What the flags name replaces what was measured."""
    scalars = {**measured.scalars, **given.scalars}
    ranges = {**measured.ranges, **given.ranges}
    return Resources(scalars, ranges, given.sets)


def usage(work_dir: Path, containers: int) -> agent_pb.Usage:
    """What the whole machine uses now; CPU since the last call."""
    disk = psutil.disk_usage(str(work_dir))
    return agent_pb.Usage(
        cpus_used=psutil.cpu_percent(interval=None) / 100 * (psutil.cpu_count() or 1),
        mem_used_mib=(psutil.virtual_memory().total - psutil.virtual_memory().available) / MIB,
        disk_used_mib=disk.used / MIB,
        containers=containers,
    )
