"""A runtime by itself, and what it told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pymesos_agent.containers import cgroups
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerStarted,
    RuntimeAway,
    RuntimeBack,
    RuntimeBroken,
    RuntimeMended,
)
from pymesos_agent.runtimes.docker.runtime import DockerRuntime
from pymesos_agent.runtimes.interface import (
    AnswerAt,
    ContainerEvent,
    Runtime,
    RuntimeEvent,
    RuntimeUnavailableError,
)
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import INSTALL, end_supervisors


class Rig:
    """A runtime, and what it told."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.runtime = runtime
        self.folder = folder
        self.events: list[ContainerEvent] = []
        self.availability: list[RuntimeAway | RuntimeBack | RuntimeBroken | RuntimeMended] = []
        self.number = 0

    async def start(self) -> None:
        await self.runtime.start(self._hear)

    def _hear(self, event: RuntimeEvent) -> None:
        if isinstance(event, (RuntimeAway, RuntimeBack, RuntimeBroken, RuntimeMended)):
            self.availability.append(event)
        else:
            self.events.append(event)

    def spec(
        self,
        command: str,
        text: str = "cpus:0.5;mem:64",
        image: str = "",
        container: pb.ContainerInfo | None = None,
    ) -> ContainerSpec:
        self.number += 1
        resources = parse(text)
        container_id = f"{os.getpid()}-{time.time_ns()}-{self.number}"
        sandbox = self.folder / "sandboxes" / container_id
        sandbox.mkdir(mode=0o755, parents=True)
        info = pb.TaskInfo(
            task_id=f"t{self.number}",
            agent_id="agent",
            resources=to_proto(resources),
            command=pb.CommandInfo(
                shell=True,
                value=command,
                environment=[
                    pb.EnvironmentVariable(name="GREETING", value="hello"),
                    pb.EnvironmentVariable(name="PYMESOS_TASK_ID", value="forged"),
                ],
            ),
            container=container or pb.ContainerInfo(),
        )
        info.container.image = image
        return ContainerSpec(container_id, "framework", "", None, info, resources, sandbox)

    async def until(
        self, kind: type | tuple[type, ...], container_id: str, timeout_s: float = 30
    ) -> ContainerEvent:
        deadline = time.monotonic() + timeout_s
        while True:
            for event in self.events:
                if isinstance(event, kind) and event.container_id == container_id:
                    return event
            assert time.monotonic() < deadline, f"no {kind}; {self.events}"
            await asyncio.sleep(0.02)

    async def exited(self, spec: ContainerSpec) -> ContainerExited:
        event = await self.until(ContainerExited, spec.container_id)
        assert isinstance(event, ContainerExited)
        return event

    async def run(
        self,
        command: str,
        text: str = "cpus:0.5;mem:64",
        image: str = "",
        container: pb.ContainerInfo | None = None,
    ) -> ContainerSpec:
        """Launch and wait until it runs."""
        spec = self.spec(command, text, image, container)
        self.runtime.launch(spec)
        await self.until(ContainerStarted, spec.container_id)
        return spec


def no_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "detect", lambda *_: (None, "switched off by the test"))


@contextlib.asynccontextmanager
async def process_rig(
    folder: Path,
    watched: bool,
    settings: Settings = Settings(),  # noqa: B008
) -> AsyncIterator[Rig]:
    """The process runtime with cgroups (where they may be written) or without."""
    with pytest.MonkeyPatch.context() as patch:
        if watched:
            no_cgroups(patch)
        tag = f"test-{os.getpid()}"
        rig = Rig(ProcessRuntime(folder, tag, settings), folder)
        await rig.start()
        try:
            yield rig
        finally:
            await rig.runtime.close()
            end_supervisors(folder)
            groups, _ = cgroups.detect(tag)
            if groups is not None:
                for container_id in groups.leftovers():
                    groups.destroy(container_id)
                groups.close()


@contextlib.asynccontextmanager
async def docker_rig(
    folder: Path,
    host: str,
    settings: Settings = Settings(),  # noqa: B008
    answer_at: AnswerAt | None = None,
) -> AsyncIterator[Rig]:
    """The docker runtime on a real engine."""
    tag = f"test-{os.getpid()}-{time.time_ns()}"
    rig = Rig(DockerRuntime(tag, host, settings, answer_at), folder)
    await rig.start()
    try:
        yield rig
    finally:
        for container_id in await rig.runtime.recover({}):
            rig.runtime.destroy(container_id)
        await rig.runtime.close()


@contextlib.asynccontextmanager
async def oci_rig(folder: Path, settings: Settings = Settings()) -> AsyncIterator[Rig]:  # noqa: B008
    """The oci runtime on a real runc."""
    runtime = OciRuntime(folder, f"test-{os.getpid()}", settings)
    rig = Rig(runtime, folder)
    try:
        await rig.start()
    except RuntimeUnavailableError as error:
        pytest.skip(f"{error}; {INSTALL}")
    try:
        yield rig
    finally:
        await runtime.close()
        end_supervisors(folder)
        left = OciRuntime(folder, f"test-{os.getpid()}", Settings())
        await left.start(lambda event: None)
        await left.recover({})
        await left.close()
