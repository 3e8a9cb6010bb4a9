"""What holds a container holds over crashes, in commands, and as limits change."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.facets import DECLARED
from pymesos_agent.containers.sessions import run_entry
from pymesos_agent.containers.settings import AllowedPath, ImageSettings, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerExited, ContainerFailed
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_agent.runtimes.oci import tools
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.runtimes.oci.seccomp import profile
from pymesos_agent.supervision.supervised import Supervised
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import supervisors
from pymesos_testing.isolating import own_user
from pymesos_testing.registry import Layer, busybox_layer, write_layout
from pymesos_testing.rigs import oci_rig
from pymesos_testing.tried import BASE, V2, Tried, group_says, tried_on


async def test_what_has_left_a_task_without_cgroups_ends_with_it(
    request: pytest.FixtureRequest, passable: Path
) -> None:
    """Also what entered it, and is no child of its keeper."""
    async with tried_on("keeper", request, passable) as tried:
        await own_user(tried)


async def test_the_layers_of_other_ids_go_once_nobody_uses_them(passable: Path) -> None:
    write_layout(passable / "layout", [busybox_layer()], {})
    (passable / "work").mkdir()
    stores = []
    for base in (0, BASE, BASE):
        settings = Settings(images=ImageSettings(local_paths=(passable,)), user_namespace_base=base)
        async with oci_rig(passable / "work", settings) as rig:
            await rig.runtime.recover({})
            spec = await rig.run("sleep 30", image=f"oci:{passable}/layout:image")
            stores.append(sorted(p.name for p in (passable / "work/oci").glob("images*")))
            rig.runtime.kill(spec.container_id, force=True)
            await rig.exited(spec)
    assert stores == [["images"], [f"images-{BASE}"], [f"images-{BASE}"]]


async def test_user_namespaces_need_a_folder_that_others_may_pass(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    runtime = OciRuntime(tmp_path, "tag", Settings(user_namespace_base=BASE))
    with pytest.raises(RuntimeUnavailableError, match=r"chmod o\+x"):
        await runtime.start(lambda _: None)


@pytest.fixture
async def oci(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tried]:
    async with tried_on("oci", request, tmp_path) as tried:
        yield tried


async def test_without_an_image_it_sees_the_programs_and_little_else(oci: Tried) -> None:
    oci.image = ""
    said = await oci.says("cat /etc/shadow; ls /root /work; touch /usr/x; pwd; touch /tmp/x && ls")
    assert "root:" not in said and said.lower().count("read-only") == 1
    assert "/mnt/pymesos/sandbox\n" in said


async def test_the_user_and_the_command_of_an_image(oci: Tried) -> None:
    top = Layer().file("app/run", b"#!/bin/sh\nid; pwd; echo $COLOUR $0 $@\n", 0o755)
    config = {
        "User": "app",
        "Entrypoint": ["/app/run"],
        "Cmd": ["one"],
        "WorkingDir": "/app",
        "Env": ["COLOUR=blue"],
    }
    write_layout(oci.folder / "app", [busybox_layer(), top], config)
    spec = oci.rig.spec("", image=f"oci:{oci.folder}/app:image")
    spec.info.command.Clear()
    oci.rig.runtime.launch(spec)
    await oci.rig.exited(spec)
    assert (spec.sandbox / "stdout").read_text() == (
        "uid=1234(app) gid=2345(app) groups=3456(extra)\n/app\nblue /app/run one\n"
    )
    assert (spec.sandbox.stat().st_uid, spec.sandbox.stat().st_gid) == (1234, 2345)


async def test_a_user_that_the_image_does_not_have(oci: Tried) -> None:
    spec = oci.rig.spec("true", image=oci.image)
    spec.info.command.user = "nobody-here"
    oci.rig.runtime.launch(spec)
    failed = await oci.rig.until(ContainerFailed, spec.container_id)
    assert isinstance(failed, ContainerFailed) and "no user 'nobody-here'" in failed.message


async def test_kernel_calls_that_are_refused(oci: Tried) -> None:
    said = await oci.says("mount -t tmpfs x /tmp; hostname evil; echo done")
    assert said.count("ermitted") + said.count("denied") == 2 and "done" in said
    names = {name for rule in profile()["syscalls"] for name in rule["names"]}
    assert {"mount", "bpf", "keyctl", "unshare", "setns", "clone"} <= names


async def test_nothing_is_left_of_it(oci: Tried) -> None:
    spec = await oci.rig.run("echo x > /written", image=oci.image)
    await oci.rig.exited(spec)
    oci.rig.runtime.destroy(spec.container_id)
    for _ in range(100):
        if not leftovers(oci, spec):
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"left: {leftovers(oci, spec)}")


def leftovers(oci: Tried, spec: ContainerSpec) -> list[str]:
    """Folders, cgroups and mounts of a container."""
    found = [str(p) for p in Path("/sys/fs/cgroup").glob(f"*/pymesos/*/{spec.container_id}")]
    for name in ("containers", "pipes"):
        found += [str(p) for p in (oci.folder / "work/oci" / name).glob(f"{spec.container_id}*")]
    found += [str(p) for p in oci.memory.folder.glob(f"*/*/{spec.container_id}*")]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [line for line in mounts if spec.container_id in line]


async def test_after_a_crash_in_a_launch_nothing_stays(oci: Tried) -> None:
    """The agent and its supervisor are gone while the tool is at work."""
    runs = await oci.rig.run("sleep 60", image=oci.image)
    spec = oci.rig.spec("sleep 60", image=oci.image)
    oci.rig.runtime.launch(spec)
    at_work = [oci.memory.of_runtime("oci") / name / spec.container_id for name in tools.NAMES]
    for _ in range(200):
        await asyncio.sleep(0.001)
        if any(path.exists() for path in at_work):
            break
    await oci.rig.runtime.close()
    for pid in supervisors(oci.folder):
        os.kill(pid, signal.SIGKILL)
    settings = Settings(memory=oci.memory)
    again = OciRuntime(oci.folder / "work", f"test-{os.getpid()}", settings)
    told: list[object] = []
    await again.start(told.append)
    pid = next(e.pid for e in oci.rig.events if e.container_id == runs.container_id
               and hasattr(e, "pid"))  # fmt: skip
    found = await again.recover({runs.container_id: pid})
    assert found.keys() == {runs.container_id}, "what is known goes on"
    assert leftovers(oci, spec) == []
    again.kill(runs.container_id, force=True)
    for _ in range(200):
        await asyncio.sleep(0.02)
        if any(isinstance(event, ContainerExited) for event in told):
            break
    again.destroy(runs.container_id)
    await again.close()
    assert leftovers(oci, runs) == []


@pytest.mark.parametrize("runtime", [*DECLARED, "podman"])
async def test_a_command_inside(
    runtime: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with tried_on(runtime, request, tmp_path) as tried:
        spec = await tried.rig.run("echo mine > /proc/self/comm; sleep 60", image=tried.image)
        script = 'cat /proc/1/comm; echo "$PYMESOS_TASK_ID"; cat /proc/self/cgroup; exit 7'
        entry = tried.rig.runtime.entry(spec, ["sh", "-c", script], "")
        status, said = await run_entry(entry, 20)
        assert status == 7
        assert "t1" in said.splitlines()
        tried.rig.runtime.kill(spec.container_id, force=True)
        await tried.rig.exited(spec)


@pytest.mark.parametrize("runtime", DECLARED)
async def test_limits_that_change(
    runtime: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async with tried_on(runtime, request, tmp_path) as tried:
        assert tried.rig.runtime.can_resize
        spec = await tried.rig.run("sleep 60", "cpus:0.5;mem:64", tried.image)
        weights = (39, 10) if V2 else (1024, 256)
        for text, expected in (
            ("cpus:1;mem:128", (weights[0], 128)),
            ("cpus:0.25;mem:64", (weights[1], 128)),
        ):
            tried.rig.runtime.resize(spec.container_id, parse(text))
            for _ in range(100):
                if (now := limits_now(tried, spec)) == expected:
                    break
                await asyncio.sleep(0.05)
            assert now == expected, "memory is not taken back"
        tried.rig.runtime.kill(spec.container_id, force=True)
        await tried.rig.exited(spec)


async def test_memory_that_is_watched_may_become_more(
    request: pytest.FixtureRequest, passable: Path
) -> None:
    """As of an executor, which uses what its tasks were given, on an agent without cgroups."""
    async with tried_on("keeper", request, passable) as tried:
        runtime = tried.rig.runtime
        assert runtime.can_resize
        eats = "until test -e go; do sleep 0.1; done; x=$(head -c 60000000 /dev/zero | tr '\\0' a)"
        for mem_mib in (None, 400):
            spec = await tried.rig.run(f"{eats}; sleep 0.5; echo lived", "cpus:0.5;mem:32")
            if mem_mib:
                runtime.resize(spec.container_id, parse(f"cpus:0.5;mem:{mem_mib}"))
                runtime.resize(spec.container_id, parse("cpus:0.5;mem:32"))  # it is not taken back
            (spec.sandbox / "go").touch()
            assert (await tried.rig.exited(spec)).limit == (None if mem_mib else "memory")


def limits_now(t: Tried, spec: ContainerSpec) -> tuple[int, int]:
    """What is in proportion to its CPUs, and memory in MiB."""
    pid = t.pid(spec)
    memory = group_says(pid, "memory/memory.limit_in_bytes", "memory.max")
    return int(group_says(pid, "cpu/cpu.shares", "cpu.weight")), int(memory) // 2**20


@pytest.mark.parametrize("tool", ["crun", "runc"])
async def test_a_path_that_is_swapped_after_it_was_judged_is_not_mounted(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent gave a container whatever a link led to, and so the machine."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "f").write_text("theirs")
    (tmp_path / "work").mkdir()
    settings = Settings(oci_tool=tool, host_paths=(AllowedPath(tmp_path),))
    async with oci_rig(tmp_path / "work", settings) as rig:
        info = pb.ContainerInfo(
            mounts=[
                pb.ContainerMount(container_path="data", host_path=str(shared)),
                pb.ContainerMount(container_path="file", host_path=str(shared / "f")),
            ]
        )
        spec = await rig.run("cat data/f file", container=info)
        await rig.exited(spec)
        assert (spec.sandbox / "stdout").read_text() == "theirstheirs"
        launch = Supervised.launch

        def swap_and_launch(*arguments: Any) -> None:
            shared.rename(tmp_path / "old")
            shared.symlink_to("/etc")
            launch(*arguments)

        monkeypatch.setattr(Supervised, "launch", swap_and_launch)
        spec = rig.spec("cat data/passwd", container=info)
        rig.runtime.launch(spec)
        failed = await rig.until(ContainerFailed, spec.container_id)
        assert isinstance(failed, ContainerFailed)
        assert "is something else than what was allowed" in failed.message
