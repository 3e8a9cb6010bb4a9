"""A runtime to try things on: what it runs, and what an operator allows there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.containers.settings import AllowedPath, ImageSettings, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerStarted
from pymesos_agent.core.uids import UidRange
from pymesos_agent.files.memory import Memory, memory_of
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import IMAGE, MissingError
from pymesos_testing.registry import busybox_layer, write_layout
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig

BASE = 300_000
OWN = 400_000  # a user that the machine does not know
V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
# With what user namespace base, by what.
OCI = {
    "oci": (0, "crun"),
    "oci by runc": (0, "runc"),
    "user namespace": (BASE, "crun"),
    "user namespace by runc": (BASE, "runc"),
}


class Tried:
    """A rig, the image to use, and a folder of the machine."""

    def __init__(self, rig: Rig, image: str, folder: Path, memory: Memory) -> None:
        self.rig, self.image, self.folder = rig, image, folder
        self.memory = memory

    async def says(self, command: str, text: str = "cpus:0.5;mem:64", **container: object) -> str:
        """What a task writes, both streams."""
        info = pb.ContainerInfo(**container)  # type: ignore[arg-type]
        # Podman looks at the process of a container that it started, and fails if it has ended.
        spec = await self.rig.run(f"sleep 0.1; {command}", text, self.image, info)
        await self.rig.exited(spec)
        return "".join((spec.sandbox / n).read_text() for n in ("stdout", "stderr"))

    async def group(self, v1: str, v2: str, **container: object) -> str:
        """What a file of a container's cgroup says: see group_says."""
        info = pb.ContainerInfo(**container)  # type: ignore[arg-type]
        spec = await self.rig.run("sleep 30", "cpus:0.5;mem:64", self.image, info)
        text = group_says(self.pid(spec), v1, v2)
        self.rig.runtime.kill(spec.container_id, force=True)
        await self.rig.exited(spec)
        return text

    def pid(self, spec: ContainerSpec) -> int:
        """The pid of a container's first process."""
        return next(
            e.pid
            for e in self.rig.events
            if isinstance(e, ContainerStarted) and e.container_id == spec.container_id
        )


def group_says(pid: int, v1: str, v2: str) -> str:
    """A file of a process's cgroup: as `cpu/cpu.shares` with v1, as `cpu.weight` with v2."""
    root = Path("/sys/fs/cgroup")
    paths = {
        controller: root / controller / group.split(":")[2].lstrip("/")
        for group in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        for controller in group.split(":")[1].split(",")
    }
    if V2:
        return (paths[""] / v2).read_text().strip()
    controller, name = v1.split("/")
    return (paths[controller] / name).read_text().strip()


@contextlib.asynccontextmanager
async def tried_on(name: str, request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Tried]:
    work = folder / "work"
    work.mkdir()
    memory = memory_of(f"test-{os.getpid()}")
    assert memory is not None
    settings = Settings(memory=memory)
    if name in ("docker", "podman"):
        host: str = request.getfixturevalue(f"{name}_host")
        settings = replace(settings, host_paths=(AllowedPath(folder),))
        async with docker_rig(work, host, settings) as rig:
            yield Tried(rig, IMAGE, folder, memory)
    elif name in OCI:
        try:
            write_layout(folder / "layout", [busybox_layer()], {})
        except MissingError as error:
            pytest.skip(str(error))
        base, tool = OCI[name]
        settings = replace(
            settings,
            images=ImageSettings(local_paths=(folder,)),
            host_paths=(AllowedPath(folder),),
            user_namespace_base=base,
            oci_tool=tool,
            task_uids=UidRange(OWN, 2),
        )
        async with oci_rig(work, settings) as rig:
            yield Tried(rig, f"oci:{folder}/layout:image", folder, memory)
    else:
        settings = replace(settings, task_uids=UidRange(OWN, 2))
        async with process_rig(work, watched=name == "keeper", settings=settings) as rig:
            yield Tried(rig, "", folder, memory)
    memory.remove_all()
