"""The program that makes a container of a bundle: crun or runc, which take the same arguments.

What has to be mounted for it, or unmounted, is so in a mount namespace that ends with its call: the
container's own is a copy. The mounter does that, a compiled program; where there is none, a script.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# In the order in which they are tried: a container takes crun half the time that it takes runc.
NAMES = ("crun", "runc")
UNIFIED = Path("/sys/fs/cgroup/unified")
# Where no core is idle, threads for 20 ms of work only get in each other's way, and in others'.
ONE_THREAD = {"GOMAXPROCS": "1"}
ROOT, ERROR_LOG, PID_FILE = "rootfs", "error.log", "pid"  # in a bundle
MOUNTER = Path(__file__).with_name("pymesos-mounter")
# The mounter's twin: what is changed here is changed in mounter.c. What to unmount; of an overlay
# the folder to be in and the options; the bundle; of each path of the machine itself, where it is
# mounted, and what it was when it was judged; the command. The variable is for util-linux from 2.39
# on, whose other way to mount has no room for many layers.
PREPARE = f"""
if [ -n "$1" ]; then umount "$1" || exit; fi
if [ -n "$2" ]; then
  cd "$2" || exit
  export LIBMOUNT_FORCE_MOUNT2=always
  mount -t overlay -o "nosuid,nodev,$3" overlay "$4/{ROOT}" 2> "$4/{ERROR_LOG}" || exit
fi
log="$4/{ERROR_LOG}"
shift 4
while [ "$1" != -- ]; do
  mount --bind "$1" "$2" 2> "$log" || exit
  if [ "$(stat -c %d:%i "$2")" != "$3" ]; then
    echo "$1 is something else than what was allowed a moment ago" > "$log"
    exit 1
  fi
  shift 3
done
shift
exec "$@"
"""


@dataclass(frozen=True)
class Overlay:
    """An image's layers, one over the other, with a folder of the container's on top."""

    layers: Path  # the folder with all of them
    options: str

    @classmethod
    def of(cls, layers: Sequence[Path], written: Path, *more: str) -> Overlay:
        """`layers`, the uppermost first, go by their names: options have one page of memory. What
        is written is in the folder `written`."""
        (folder,) = {layer.parent for layer in layers}
        lower = ":".join(layer.name for layer in layers)
        upper = (f"upperdir={written}/upper", f"workdir={written}/work")
        return cls(folder, ",".join((f"lowerdir={lower}", *upper, *more)))


@dataclass(frozen=True)
class HostMount:
    """A path of the machine, mounted in the bundle if it still is what it was."""

    path: Path
    target: Path
    identity: str  # device and inode


@dataclass(frozen=True)
class Prepared:
    """What is mounted for a call, in its own mount namespace."""

    bundle: Path
    overlay: Overlay | None = None
    host_mounts: tuple[HostMount, ...] = ()

    def __bool__(self) -> bool:
        return self.overlay is not None or bool(self.host_mounts)


@dataclass(frozen=True)
class Tool:
    """An OCI runtime in the sense of the specification."""

    name: str
    path: str
    states: Path  # where it keeps what it knows of its containers
    mounter: tuple[str, ...]  # what mounts for it, and becomes it
    hidden: str = ""  # what it is not to see of the machine
    env_when_busy: Mapping[str, str] = field(default_factory=dict)

    @property
    def sends_terminals(self) -> bool:
        """Whether the terminal of a command that it waits for can be ours to read.

        crun, left to copy it, says the last words of what ends soon as errors of its own. runc
        copies it to its end, and refuses to send it.
        """
        return self.name == "crun"

    def argv(self, *arguments: str, prepared: Prepared | None = None) -> list[str]:
        """A call of it, with what a container has mounted or not."""
        command = [self.path, "--root", str(self.states), *arguments]
        if not self.hidden and not prepared:
            return command
        mounts = ["", "", ""]
        binds: list[str] = []
        if prepared:
            overlay = prepared.overlay
            mounts = ["", "", str(prepared.bundle)]
            if overlay is not None:
                mounts[:2] = str(overlay.layers), overlay.options
            for each in prepared.host_mounts:
                binds += (str(each.path), str(each.target), each.identity)
        return [*self.mounter, self.hidden, *mounts, *binds, "--", *command]


def installed(directory: Path) -> dict[str, Tool]:
    """Name → tool, the preferred first; their states are below the directory."""
    mounter = (str(MOUNTER),) if _works(MOUNTER) else script_that_mounts()
    hidden, busy = {"crun": _hidden()}, {"runc": ONE_THREAD}
    return {
        name: Tool(name, path, directory / name, mounter, hidden.get(name, ""), busy.get(name, {}))
        for name in NAMES
        if (path := shutil.which(name))
    }


def _works(mounter: Path) -> bool:
    """Whether the mounter is there, and built for this machine."""
    try:
        nothing = ("", "", "", "", "--", "/bin/true")
        return subprocess.run([mounter, *nothing], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def script_that_mounts() -> tuple[str, ...]:
    """What takes the mounter's arguments and does the same where it is not there."""
    unshare = shutil.which("unshare") or "unshare"  # util-linux'
    return (unshare, "--mount", "--propagation", "private", "/bin/sh", "-c", PREPARE, "sh")


def _hidden() -> str:
    """crun refuses cgroups v1 beside a v2 hierarchy with controllers, unless it sees only v1."""
    try:
        controllers = (UNIFIED / "cgroup.controllers").read_text("ascii")
    except OSError:
        return ""
    return str(UNIFIED) if controllers.strip() else ""
