"""What the `oci` runtime needs of a machine, and what its containers have of it.

It needs a tool that makes containers there, and a folder that no user of the machine reaches.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from pymesos_agent.containers.disks import disk_of
from pymesos_agent.containers.environment import host_environment, path_of_everybody
from pymesos_agent.containers.sessions import Entry, run_entry
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_agent.runtimes.oci.bundle import Host, make_host_root, write_bundle
from pymesos_agent.runtimes.oci.tools import Tool
from pymesos_core.resources import parse, to_proto
from pymesos_core.text import duration
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
TRIAL_TIMEOUT_S = 20.0
# Static programs that are made to be a container's first process.
INITS = ("docker-init", "tini-static", "catatonit")


async def working_tool(
    tools: Iterable[Tool], wanted: str, trial: Callable[[Tool], Awaitable[str]]
) -> Tool:
    """The first that runs a container here. Raises RuntimeUnavailableError, OSError."""
    problems = []
    for tool in tools:
        if wanted in ("auto", tool.name):
            if not (problem := await trial(tool)):
                return tool
            log.warning("%s does not run containers here: %s", tool.name, problem)
            problems.append(f"{tool.name} does not run containers here: {problem}")
    missing = "neither crun nor runc" if wanted == "auto" else f"no {wanted}"
    raise RuntimeUnavailableError(
        "; ".join(problems) or f"{missing} is installed (Debian: apt-get install crun)"
    )


async def try_tool(tool: Tool, sandbox: Path, bundle: Path, host: Host, cgroup: str) -> str:
    """Why a container that does nothing cannot be run, if it cannot. Raises OSError."""
    resources = parse("cpus:0.1;mem:32")
    info = pb.TaskInfo(
        resources=to_proto(resources), command=pb.CommandInfo(shell=True, value="true")
    )
    spec = ContainerSpec(bundle.name, "", "", None, info, resources, sandbox)
    try:
        write_bundle(bundle, spec, None, Settings(), host, cgroup)
        argv = tool.argv("run", "--bundle", str(bundle), bundle.name)
        entry = Entry(argv, host_environment(), sandbox.parent)
        status, said = await run_entry(entry, TRIAL_TIMEOUT_S)
    except TimeoutError:
        return f"a container that does nothing took longer than {duration(TRIAL_TIMEOUT_S)}"
    return (said.strip() or f"it ended with status {status}") if status else ""


def make_directory(directory: Path, base: int) -> None:
    """No user of the machine is to reach the programs of images, least of all set-uid ones.

    The root of a user namespace must, to have them mounted; `base` is its id, 0 without.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, 0, base)
    directory.chmod(0o710 if base else 0o700)


def make_host(directory: Path, bridge_names: Path | None) -> Host:
    """What containers have of this machine; the root of those without an image is made.

    `directory` is the runtime's, `bridge_names` the resolv.conf of containers on the bridge. Raises
    OSError.
    """
    init = next((path for name in INITS if (path := shutil.which(name))), None)
    root = directory / "root"
    root.mkdir(mode=0o755, exist_ok=True)
    make_host_root(root)
    environment = host_environment()
    environment["PATH"] = path_of_everybody(environment["PATH"])
    disk = disk_of(directory)
    return Host(environment, init, socket.gethostname(), disk, root, bridge_names)


def check_user_namespaces(directory: Path) -> None:
    """Raises RuntimeUnavailableError."""
    try:
        allowed = int(USER_NAMESPACES.read_text("ascii"))
    except (OSError, ValueError):
        allowed = 0
    if not allowed:
        raise RuntimeUnavailableError(
            f"it has no user namespaces: {USER_NAMESPACES} is 0 or not there; `sysctl"
            f" user.max_user_namespaces=10000` allows some, and without --user-namespace-base none"
            f" are needed"
        )
    for folder in directory.absolute().parents:
        if not folder.stat().st_mode & 0o001:
            raise RuntimeUnavailableError(
                f"with --user-namespace-base images belong to nobody, who may not pass through"
                f" {folder}: chmod o+x, or give another --work-dir"
            )
