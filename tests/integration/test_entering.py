"""What enters a container (exec, a check's command) is held as the container's first process is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

import pytest

from pymesos_agent.containers.sessions import Session, run_entry
from pymesos_agent.containers.settings import ImageSettings, Settings
from pymesos_agent.core.events import ContainerStarted
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import IMAGE
from pymesos_testing.registry import busybox_layer, write_layout
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig
from pymesos_testing.waiting import until

# Who it is, what it may, and where it begins.
HELD = (
    "grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp|CoreDumping):' /proc/self/status;"
    " cat /proc/self/limits /proc/self/oom_score_adj; umask; pwd"
)
OWNER = (65533, 65531)


@pytest.fixture(params=["process", "docker", "podman", "crun", "runc"])
async def rig(request: pytest.FixtureRequest, passable: Path) -> AsyncIterator[tuple[Rig, str]]:
    """Each runtime, and the image to use."""
    work = passable / "work"
    work.mkdir()
    if request.param in ("docker", "podman"):
        host: str = request.getfixturevalue(f"{request.param}_host")
        async with docker_rig(work, host) as made:
            yield made, IMAGE
    elif request.param == "process":
        async with process_rig(work, watched=False) as made:
            yield made, ""
    else:
        write_layout(passable / "layout", [busybox_layer()], {})
        images = ImageSettings(local_paths=(passable,))
        async with oci_rig(work, Settings(images=images, oci_tool=request.param)) as made:
            yield made, f"oci:{passable}/layout:image"


def held(said: str) -> list[str]:
    """In lines; Podman's first process has its group twice, which is no more than once."""
    lines = said.splitlines()
    own = next(line.split()[1] for line in lines if line.startswith("Gid:"))
    return [
        " ".join(w for w in line.split() if w != own or "Groups:" not in line) for line in lines
    ]


@pytest.mark.parametrize("user", ["", "app"])
async def test_what_enters_is_held_as_the_first_process(rig: tuple[Rig, str], user: str) -> None:
    runtime, image = rig
    # Soft is hard: an older Go, of which runc is made, raises what is soft as it likes.
    limits = [pb.Ulimit(name="nofile", soft=77, hard=77), pb.Ulimit(name="core", soft=0, hard=0)]
    container = pb.ContainerInfo(ulimits=limits)
    if image:
        container.drop_capabilities.extend(["NET_RAW", "SETUID"])
    spec = runtime.spec(f"{HELD}; echo end; exec sleep 600", image=image, container=container)
    if image:
        spec.info.command.user = user
    elif user:
        spec = replace(spec, user=f"{OWNER[0]}:{OWNER[1]}", owner=OWNER)
        os.chown(spec.sandbox, *OWNER)
    runtime.runtime.launch(spec)
    await runtime.until(ContainerStarted, spec.container_id)
    first = spec.sandbox / "stdout"
    await until("it has begun", lambda: first.exists() and "end\n" in first.read_text())
    expected = held(first.read_text().removesuffix("end\n"))
    assert len(expected) > 20
    entry = runtime.runtime.entry(spec, ["sh", "-c", HELD], "")
    status, said = await run_entry(entry, 20)
    assert status == 0, said
    assert "\n".join(unified_diff(expected, held(said), n=0)) == ""
    entry = runtime.runtime.entry(spec, ["sh", "-c", HELD], "vt100")
    session = Session(entry, sandbox_pb.TerminalSize())
    await session.start()
    outputs = [output async for output in session.outputs()]
    await session.close()
    assert outputs[-1].exit_status == 0
    said = b"".join(output.stdout for output in outputs).decode()
    assert held(said.replace("\r", "")) == expected
    runtime.runtime.kill(spec.container_id, force=True)
    await runtime.exited(spec)


async def test_the_agents_own_folders_are_not_in_the_path_of_others(
    passable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, shared = passable / "closed", passable / "shared"
    for folder, mode in ((closed, 0o700), (shared, 0o711)):
        folder.mkdir()
        (folder / "tool").write_text(f"#!/bin/sh\necho of {folder.name}\n")
        (folder / "tool").chmod(0o755)
        folder.chmod(mode)
    path = f"{closed}:/no/such:{shared}:/usr/bin:/bin"
    monkeypatch.setenv("PATH", path)
    async with process_rig(passable, watched=False) as rig:

        async def said(user: bool, own_path: str = "") -> list[str]:
            command = 'echo "$PATH"; tool; nosuch; echo $?; exec sleep 600'
            spec = rig.spec(command)
            if user:
                spec = replace(spec, user=f"{OWNER[0]}:{OWNER[1]}", owner=OWNER)
                os.chown(spec.sandbox, *OWNER)
            if own_path:
                spec.info.command.environment.add(name="PATH", value=own_path)
            rig.runtime.launch(spec)
            await rig.until(ContainerStarted, spec.container_id)
            out = spec.sandbox / "stdout"
            await until("it says all", lambda: out.exists() and "127\n" in out.read_text())
            status, words = await run_entry(rig.runtime.entry(spec, ["nosuch"], ""), 20)
            assert (status, "No such file" in words) == (127, True), words
            rig.runtime.kill(spec.container_id, force=True)
            await rig.exited(spec)
            return out.read_text().splitlines()

        others = path.removeprefix(f"{closed}:")
        assert await said(user=True) == [others, "of shared", "127"]
        assert await said(user=False) == [path, "of closed", "127"], "the agent's user has all"
        asked = f"{shared}:/usr/bin:/bin"
        assert await said(user=True, own_path=asked) == [asked, "of shared", "127"]


async def test_who_is_not_the_user_yet_sees_nothing_of_the_environment(passable: Path) -> None:
    """Neither the task's LD_PRELOAD nor its PATH reaches what root runs on the way to it."""
    traps = passable / "traps"
    traps.mkdir()
    traps.chmod(0o777)
    for name in ("sh", "setpriv", "setsid", "env", "true"):
        (traps / name).write_text(f"#!/bin/sh\nid -u >> {traps}/ran\n")
        (traps / name).chmod(0o755)
    async with process_rig(passable, watched=False) as rig:
        spec = replace(rig.spec("exec sleep 600"), user=f"{OWNER[0]}:{OWNER[1]}", owner=OWNER)
        os.chown(spec.sandbox, *OWNER)
        for name, value in (("PATH", f"{traps}:/usr/bin:/bin"), ("LD_PRELOAD", "/no/such.so")):
            spec.info.command.environment.add(name=name, value=value)
        rig.runtime.launch(spec)
        await rig.until(ContainerStarted, spec.container_id)
        status, said = await run_entry(rig.runtime.entry(spec, ["/bin/true"], ""), 20)
        assert (status, said.count("/no/such.so")) == (0, 1), "of the command alone"
        session = Session(
            rig.runtime.entry(spec, ["/bin/true"], "vt100"), sandbox_pb.TerminalSize()
        )
        await session.start()
        seen = b"".join([o.stdout async for o in session.outputs()]).decode()
        await session.close()
        assert seen.count("/no/such.so") == 1, "of the command alone"
        assert not (traps / "ran").exists()
        status, _ = await run_entry(rig.runtime.entry(spec, ["true"], ""), 20)
        assert (traps / "ran").read_text() == f"{OWNER[0]}\n", "its PATH is its own"
        for argv, expected in ((["/no/such"], 127), ([str(traps)], 126)):
            status, said = await run_entry(rig.runtime.entry(spec, argv, ""), 20)
            assert status == expected and f"cannot execute {argv[0]}" in said
        assert list(passable.rglob(f"pipes/{spec.container_id}.*.*")) == []
        rig.runtime.kill(spec.container_id, force=True)
        await rig.exited(spec)
