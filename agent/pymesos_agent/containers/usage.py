"""What a container uses, as the kernel counts it for its cgroups; by its processes without them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class ContainerUsage:
    """Counted since the container's start, or as it is now; bytes and seconds."""

    cpu_s: float = 0.0
    throttled_s: float = 0.0
    mem_bytes: int = 0
    pids: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


def read_usage(pid: int) -> ContainerUsage | None:
    """The usage of the container whose first process is `pid`; None when that has ended. Blocks."""
    try:
        groups = groups_of(pid)
        received, sent = _network(pid)
        if groups is None:
            return _by_processes(pid, received, sent)
        return _by_groups(groups, received, sent)
    except (OSError, psutil.Error, ValueError, LookupError):  # the latter: as it ends just now
        return None


def groups_of(pid: int) -> dict[str, Path] | None:
    """The folder of each controller; None when it shares ours, and so has none of its own.

    With cgroups v2 there is one, under the empty name. Raises OSError.
    """

    def parse(who: int | str) -> dict[str, str]:
        out = {}
        for line in Path(f"/proc/{who}/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                out[controller] = path
        return out

    theirs, mine = parse(pid), parse("self")
    key = "memory" if "memory" in theirs else ""
    if key not in theirs or theirs[key] == mine.get(key):
        return None
    if key == "":
        folder = ROOT / theirs[""].lstrip("/")
        return {"": folder} if folder.is_dir() else None
    # Of a controller that it shares with us the numbers are not its own.
    own = {c: path for c, path in theirs.items() if path != mine.get(c)}
    folders = {c: ROOT / c / path.lstrip("/") for c, path in own.items()}
    return {c: folder for c, folder in folders.items() if folder.is_dir()}


def _number(path: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return 0


def _table(path: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        pairs = (line.split() for line in path.read_text("ascii").splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    return {}


def _by_groups(groups: dict[str, Path], received: int, sent: int) -> ContainerUsage:
    if "" in groups:
        folder = groups[""]
        cpu = _table(folder / "cpu.stat")
        read, written = _io_v2(folder / "io.stat")
        return ContainerUsage(
            cpu.get("usage_usec", 0) / 1e6,
            cpu.get("throttled_usec", 0) / 1e6,
            _number(folder / "memory.current"),
            _number(folder / "pids.current"),
            read,
            written,
            received,
            sent,
        )
    nowhere = Path("/nonexistent")
    io = _io_v1(groups.get("blkio", nowhere) / "blkio.throttle.io_service_bytes")
    cpu_ns = _number(groups.get("cpuacct", nowhere) / "cpuacct.usage")
    throttled = _table(groups.get("cpu", nowhere) / "cpu.stat")
    return ContainerUsage(
        cpu_ns / 1e9,
        throttled.get("throttled_time", 0) / 1e9,
        _number(groups["memory"] / "memory.usage_in_bytes"),
        _number(groups.get("pids", nowhere) / "pids.current"),
        *io,
        received,
        sent,
    )


def _io_v1(path: Path) -> tuple[int, int]:
    sums = {"Read": 0, "Write": 0}
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text("ascii").splitlines():
            fields = line.split()
            if len(fields) == 3 and fields[1] in sums:
                sums[fields[1]] += int(fields[2])
    return sums["Read"], sums["Write"]


def _io_v2(path: Path) -> tuple[int, int]:
    read = written = 0
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text("ascii").splitlines():
            # Some kernels put the numbers of several devices before the values of the last.
            values = dict(field.split("=") for field in line.split()[1:] if "=" in field)
            read += int(values.get("rbytes", 0))
            written += int(values.get("wbytes", 0))
    return read, written


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent in a container's own network; 0 where it uses the machine's."""
    if Path(f"/proc/{pid}/ns/net").stat().st_ino == Path("/proc/self/ns/net").stat().st_ino:
        return 0, 0
    received = sent = 0
    for line in Path(f"/proc/{pid}/net/dev").read_text("ascii").splitlines()[2:]:
        name, _, rest = line.partition(":")
        if name.strip() != "lo":
            fields = rest.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def _by_processes(pid: int, received: int, sent: int) -> ContainerUsage:
    first = psutil.Process(pid)
    processes = [first, *first.children(recursive=True)]
    cpu_s, mem_bytes = 0.0, 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            cpu_s += times.user + times.system
            mem_bytes += process.memory_info().rss
    own = first.cpu_times()
    cpu_s += own.children_user + own.children_system
    return ContainerUsage(cpu_s, 0.0, mem_bytes, len(processes), 0, 0, received, sent)
