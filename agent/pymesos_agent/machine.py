"""What this machine has, as an agent reports it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil

from pymesos_core.resource_values import MILLI, ResourceError, format_milli
from pymesos_core.resources import Resources, devices, tagged
from pymesos_proto.v1 import agent_pb2 as agent_pb

MIB = 1024 * 1024
DEFAULT_PORTS = (31000, 32000)  # Mesos' default
MAX_PORT = 65_535
NUMBERS = ("cpus", "mem", "disk", "gpus")
# Left for the system (Mesos' `src/slave/containerizer/containerizer.cpp`): half when it is small.
RESERVED_MEM_MIB = 1024
RESERVED_DISK_MIB = 5 * 1024


def boot_id() -> str:
    """The id of this boot of the kernel; empty where the kernel has none."""
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


def names_in(given: Resources) -> set[str]:
    """Return the names of all that is there of some resources."""
    return {n for _, bag in given.parts() for n in (*bag.scalars, *bag.ranges, *bag.sets)}


def check_kinds(given: Resources) -> None:
    """Raises ResourceError for what every agent knows, and is no number or range here."""
    for _, bag in given.parts():
        for name in NUMBERS:
            if name in bag.ranges or (name in bag.sets and name != "gpus"):
                raise ResourceError(f"{name} is a number, as in {name}:4")
        if "ports" in bag.scalars or "ports" in bag.sets:
            raise ResourceError("ports are ranges, as in ports:[31000-32000]")
        for first, last in bag.ranges.get("ports", ()):
            if first < 1 or last > MAX_PORT:
                raise ResourceError(f"ports has {first}-{last}; ports are from 1 to {MAX_PORT}")


def with_overrides(measured: Resources, given: Resources) -> Resources:
    """What the flags name replaces what was measured. Each GPU is a device of its own.

    `gpus:2` are the devices 0 and 1, `gpus:{GPU-8a56,GPU-77c1}` have names of their own. Raises
    ResourceError.
    """
    check_kinds(given)
    named = names_in(given)
    measured = Resources(
        {n: v for n, v in measured.scalars.items() if n not in named},
        {n: r for n, r in measured.ranges.items() if n not in named},
    )
    out = measured
    next_device = 0
    for tag, bag in given.parts():
        gpus, names = bag.scalars.get("gpus", 0), sorted(bag.sets.get("gpus", ()))
        scalars = {n: v for n, v in bag.scalars.items() if n != "gpus" or tag.device}
        sets = {n: s for n, s in bag.sets.items() if n != "gpus"}
        out = out + tagged(tag, Resources(scalars, bag.ranges, sets))
        if tag.device:
            continue
        if gpus % MILLI:
            raise ResourceError(f"gpus is {format_milli(gpus)}; an agent has whole ones")
        names += [str(next_device + number) for number in range(gpus // MILLI)]
        next_device += gpus // MILLI
        for name in names:
            if name in devices(out):
                raise ResourceError(f"the GPU {name} is given twice")
            out = out + tagged(replace(tag, device=name), Resources({"gpus": MILLI}))
    return out


def disk_used_fraction(work_dir: Path) -> float:
    """The part in use of the disk where the sandboxes are, as `df` counts it."""
    return psutil.disk_usage(str(work_dir)).percent / 100


def usage(work_dir: Path, containers: int) -> agent_pb.Usage:
    """What the whole machine uses now; CPU since the last call."""
    disk = psutil.disk_usage(str(work_dir))
    return agent_pb.Usage(
        cpus_used=psutil.cpu_percent(interval=None) / 100 * (psutil.cpu_count() or 1),
        mem_used_mib=(psutil.virtual_memory().total - psutil.virtual_memory().available) / MIB,
        disk_used_mib=disk.used / MIB,
        disk_total_mib=(disk.used + disk.free) / MIB,  # without what is kept for root, as `df`
        containers=containers,
    )
