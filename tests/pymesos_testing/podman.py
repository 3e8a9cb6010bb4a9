"""A real Podman with folders of its own, for the docker runtime."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from pymesos_testing.components import (
    INSTALL,
    MissingError,
    docker_works,
    process,
    unmount_all,
    wait_for,
    wait_until_it_serves,
)

# Podman raises two limits further than root may on a machine that has taken CAP_SYS_RESOURCE from
# it, whatever its configuration says. Those that cannot be set are left out here.
RUNC = """#!{python}
import json, os, resource, sys

def keep_possible(path, key):
    config = json.load(open(path))
    process = config[key] if key else config
    limits = process.get("rlimits") or []
    process["rlimits"] = [
        limit for limit in limits
        if limit["hard"] <= resource.getrlimit(getattr(resource, limit["type"]))[1]
    ]
    json.dump(config, open(path, "w"))

if "create" in sys.argv:
    keep_possible(sys.argv[sys.argv.index("--bundle") + 1] + "/config.json", "process")
if "exec" in sys.argv:
    keep_possible(sys.argv[sys.argv.index("--process") + 1], "")
os.execv("{runc}", ["runc", *sys.argv[1:]])
"""


@contextlib.contextmanager
def podman_service(folder: Path) -> Iterator[str]:
    """The address of its compatible API. Raises MissingError."""
    runc = shutil.which("runc")
    if not shutil.which("podman") or runc is None or os.geteuid() != 0:
        raise MissingError(f"this needs podman, runc and root; {INSTALL}")
    wrapper = folder / "runc"
    wrapper.write_text(RUNC.format(python=sys.executable, runc=runc))
    wrapper.chmod(0o755)
    host = f"unix://{folder}/podman.sock"
    argv = (
        *("env", "--chdir", str(folder)),  # its conmon leaves a file where it is
        *("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run"),
        *("--cgroup-manager", "cgroupfs", "--runtime", str(wrapper)),
        *("system", "service", "--time", "0", host),
    )
    try:
        log = folder / "podman.log"
        with process(*argv, log=log) as running:
            wait_until_it_serves("podman", running, log, lambda: docker_works(host), 60)
            yield host
    finally:
        _end_all(folder)
        unmount_all(folder)


def _end_all(folder: Path) -> None:
    """What watches containers goes on without the service, and mounts its folder again."""

    def left() -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"{folder}/".encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return found

    def all_ended() -> bool:
        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left()

    wait_for("the end of what podman has started", all_ended, 20)
