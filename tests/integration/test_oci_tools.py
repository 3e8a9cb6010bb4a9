"""Which program makes the containers of the oci runtime, and what it is given."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.containers.sessions import EntryError, run_entry
from pymesos_agent.containers.settings import ImageSettings, Settings
from pymesos_agent.core.events import ContainerFailed, RuntimeBroken, RuntimeMended
from pymesos_agent.runtimes import trials
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_agent.runtimes.oci import tools
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.supervision import supervisor_link
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import INSTALL
from pymesos_testing.registry import Layer, busybox_layer, write_layout
from pymesos_testing.rigs import Rig, oci_rig
from pymesos_testing.waiting import until

MANY_LAYERS = 70  # whose paths are longer than a page, which options of a mount must not be


@pytest.fixture(autouse=True)
def both() -> None:
    if os.geteuid() != 0 or not all(shutil.which(name) for name in tools.NAMES):
        pytest.skip(f"this needs root, crun and runc; {INSTALL}")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose programs come first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def made_by(rig: Rig, container_id: str) -> list[str]:
    return [n for n in tools.NAMES if (rig.folder / "oci" / n / container_id).exists()]


async def test_the_first_that_works_makes_them(tmp_path: Path, path: Path) -> None:
    put(path, "crun", "echo not on this machine >&2; exit 1")
    async with oci_rig(tmp_path) as rig:
        spec = await rig.run("sleep 30")
        assert made_by(rig, spec.container_id) == ["runc"]
        rig.runtime.kill(spec.container_id, force=True)
        await rig.exited(spec)
    assert not (tmp_path / "oci/trial-crun").exists()


async def test_none_that_works(tmp_path: Path, path: Path) -> None:
    for name in tools.NAMES:
        put(path, name, f"echo no {name} today >&2; exit 1")
    with pytest.raises(RuntimeUnavailableError, match=r"crun .*: no crun today; runc .*no runc"):
        await OciRuntime(tmp_path, "tag", Settings()).start(lambda _: None)
    put(path, "runc", "sleep 60")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pymesos_agent.runtimes.oci.preparing.TRIAL_TIMEOUT_S", 0.2)
        settings = Settings(oci_tool="runc")
        with pytest.raises(RuntimeUnavailableError, match="took longer"):
            await OciRuntime(tmp_path, "tag", settings).start(lambda _: None)


async def test_what_the_other_made_goes_on(tmp_path: Path) -> None:
    async with oci_rig(tmp_path, Settings(oci_tool="runc")) as rig:
        spec = await rig.run("sleep 30")
        await rig.runtime.close()
        tag = f"test-{os.getpid()}"
        rig.runtime = OciRuntime(tmp_path, tag, Settings(oci_tool="crun"))
        await rig.start()
        assert list(await rig.runtime.recover({})) == [spec.container_id]
        entry = rig.runtime.entry(spec, ["echo", "here"], "")
        assert await run_entry(entry, 20) == (0, "here\n")
        newer = await rig.run("sleep 30")
        assert made_by(rig, newer.container_id) == ["crun"]
        for one in (spec, newer):
            rig.runtime.kill(one.container_id, force=True)
            await rig.exited(one)
            rig.runtime.destroy(one.container_id)
        await rig.runtime.close()
        with pytest.raises(EntryError, match="has ended"):
            rig.runtime.entry(spec, ["true"], "")


@pytest.mark.parametrize("tool", tools.NAMES)
async def test_an_image_of_many_layers(tool: str, tmp_path: Path) -> None:
    layers = [Layer().file(f"app/{n}", b"x") for n in range(MANY_LAYERS)]
    write_layout(tmp_path / "layout", [busybox_layer(), *layers], {})
    (tmp_path / "work").mkdir()
    settings = Settings(images=ImageSettings(local_paths=(tmp_path,)), oci_tool=tool)
    async with oci_rig(tmp_path / "work", settings) as rig:
        spec = await rig.run("ls /app | wc -l", image=f"oci:{tmp_path}/layout:image")
        await rig.exited(spec)
        assert (spec.sandbox / "stdout").read_text().strip() == str(MANY_LAYERS)


async def test_an_overlay_that_cannot_be_mounted(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine says it on which nothing was compiled; test_mounter.py has the others."""
    monkeypatch.setattr(tools, "MOUNTER", tmp_path / "absent")
    put(path, "mount", "echo mount: no overlay on this kernel >&2; exit 32")
    write_layout(tmp_path / "layout", [busybox_layer()], {})
    (tmp_path / "work").mkdir()
    settings = Settings(images=ImageSettings(local_paths=(tmp_path,)))
    async with oci_rig(tmp_path / "work", settings) as rig:
        spec = rig.spec("true", image=f"oci:{tmp_path}/layout:image")
        rig.runtime.launch(spec)
        failed = await rig.until(ContainerFailed, spec.container_id)
        assert isinstance(failed, ContainerFailed)
        assert failed.message == "mount: no overlay on this kernel"


async def test_one_that_breaks_while_its_agent_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial finds that the program is broken, and later that it works again."""
    monkeypatch.setattr(trials, "AGAIN_S", 0.2)
    async with oci_rig(tmp_path) as rig:
        assert isinstance(rig.runtime, OciRuntime)
        tool = rig.runtime._tool
        assert tool is not None
        rig.runtime._tool = replace(tool, path="/bin/false")
        for _ in range(trials.FAILURES):
            spec = rig.spec("true")
            rig.runtime.launch(spec)
            await rig.until(ContainerFailed, spec.container_id)
        await until("it is told", lambda: rig.availability)
        (broken,) = rig.availability
        assert isinstance(broken, RuntimeBroken) and "status 1" in broken.why
        rig.runtime._tool = tool
        await until("it works again", lambda: len(rig.availability) == 2)
        assert rig.availability[1] == RuntimeMended("oci")
        assert (await rig.exited(await rig.run("exit 3"))).exit_status == 3


@pytest.mark.parametrize("compiled", [True, False])
async def test_one_that_is_not_there_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    """The supervisor's spawner starts it, where there is one; then the supervisor does."""
    if not compiled:
        first, second = supervisor_link.PROGRAM.split(" from ")
        code = "import pymesos_agent.supervision.spawning as s; s.PROGRAM = '/absent';"
        monkeypatch.setattr(supervisor_link, "PROGRAM", f"{first} {code} from {second}")
    async with oci_rig(tmp_path) as rig:
        assert isinstance(rig.runtime, OciRuntime)
        assert (await rig.exited(await rig.run("exit 3"))).exit_status == 3
        tool = rig.runtime._tool
        assert tool is not None
        rig.runtime._tool = replace(tool, path="/absent", hidden="")
        spec = rig.spec("true")
        rig.runtime.launch(spec)
        failed = await rig.until(ContainerFailed, spec.container_id)
        assert isinstance(failed, ContainerFailed) and not failed.no_program
        assert failed.message.startswith("cannot start it") and "No such file" in failed.message
        rig.runtime._tool = tool
        assert (await rig.exited(await rig.run("exit 5"))).exit_status == 5


async def test_what_cannot_be_started_is_not_the_runtime(tmp_path: Path) -> None:
    async with oci_rig(tmp_path) as rig:
        for _ in range(trials.FAILURES + 1):
            spec = rig.spec("true", container=pb.ContainerInfo(network="no-such-network"))
            rig.runtime.launch(spec)
            await rig.until(ContainerFailed, spec.container_id)
        assert isinstance(rig.runtime, OciRuntime)
        tried = rig.runtime._trials
        await until("the trial is over", lambda: not len(tried._trying))
        assert rig.availability == []
