"""The runtimes for real: starts, ends, limits, and what outlives whom."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from pymesos_agent.containers.settings import Settings
from pymesos_agent.core.events import ContainerExited, ContainerFailed
from pymesos_agent.runtimes.docker.runtime import DockerRuntime
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_testing.components import (
    IMAGE,
    descendants,
    supervisors,
)
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig
from pymesos_testing.waiting import until

MIB = 1024 * 1024
EAT_MEMORY = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"


@pytest.fixture(params=["cgroups", "watched"])
async def process(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """The process runtime."""
    async with process_rig(tmp_path, request.param == "watched") as rig:
        yield rig


@pytest.fixture(params=["cgroups", "watched", "docker", "podman", "oci"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Rig, str]]:
    """Each runtime, and the image to use."""
    if request.param in ("docker", "podman"):
        host: str = request.getfixturevalue(f"{request.param}_host")
        async with docker_rig(tmp_path, host) as made:
            yield made, IMAGE
    elif request.param == "oci":
        async with oci_rig(tmp_path) as made:
            yield made, ""
    else:
        async with process_rig(tmp_path, request.param == "watched") as made:
            yield made, ""


async def test_output_status_and_environment(rig: tuple[Rig, str]) -> None:
    runtime, image = rig
    script = (
        'echo "$GREETING $PYMESOS_TASK_ID $PORT0,$PORT1"; echo oops >&2;'
        ' echo x > "$PYMESOS_SANDBOX/f"; exit 7'
    )
    spec = await runtime.run(script, "cpus:0.1;mem:32;ports:[1000-1000,2000-2000]", image)
    exited = await runtime.exited(spec)
    assert (exited.exit_status, exited.limit) == (7, None)
    assert (spec.sandbox / "f").read_text() == "x\n"
    for _ in range(100):  # docker copies its output
        if (spec.sandbox / "stderr").exists() and (spec.sandbox / "stderr").read_text():
            break
        await asyncio.sleep(0.05)
    assert (spec.sandbox / "stdout").read_text() == "hello t1 1000,2000\n"
    assert (spec.sandbox / "stderr").read_text() == "oops\n"


async def test_a_task_over_its_memory_limit_is_ended_and_its_neighbour_is_not(
    rig: tuple[Rig, str],
) -> None:
    runtime, image = rig
    neighbour = await runtime.run("sleep 60", image=image)
    bully = await runtime.run(EAT_MEMORY, "cpus:0.5;mem:48", image)
    exited = await runtime.exited(bully)
    if runtime.runtime.isolation["mem"] != "podman":
        assert exited.limit == "memory"
    assert exited.exit_status != 0
    assert not any(
        isinstance(e, ContainerExited) and e.container_id == neighbour.container_id
        for e in runtime.events
    )
    runtime.runtime.kill(neighbour.container_id, force=True)
    assert (await runtime.exited(neighbour)).exit_status == -9


async def test_another_signal_comes_first(rig: tuple[Rig, str]) -> None:
    runtime, image = rig
    script = "trap 'exit 7' USR1; cd $PYMESOS_SANDBOX; touch up; while :; do sleep 0.05; done"
    spec = await runtime.run(script, image=image)
    await until("it listens", (spec.sandbox / "up").exists)
    runtime.runtime.kill(spec.container_id, force=False, first="SIGUSR1")
    assert (await runtime.exited(spec)).exit_status == 7


async def test_a_command_that_cannot_be_started_says_so(rig: tuple[Rig, str]) -> None:
    runtime, image = rig
    spec = runtime.spec("", image=image)
    spec.info.command.shell = False
    spec.info.command.value = "/no/such/program"
    runtime.runtime.launch(spec)
    if runtime.runtime.isolation.get("init", "none") != "none":
        # The container's first process runs by then, and says what it could not.
        assert (await runtime.exited(spec)).exit_status == 127
        assert "No such file" in (spec.sandbox / "stderr").read_text()
        return
    failed = await runtime.until(ContainerFailed, spec.container_id)
    assert isinstance(failed, ContainerFailed)
    assert "no such file" in failed.message.lower() or "not found" in failed.message.lower()


async def test_a_kill_that_comes_with_the_launch_is_told(rig: tuple[Rig, str]) -> None:
    """One member of a group is refused as it is launched: the others are killed at once."""
    runtime, image = rig
    spec = runtime.spec("sleep 600", image=image)
    runtime.runtime.launch(spec)
    runtime.runtime.kill(spec.container_id, force=False)
    for _ in range(2):  # it is said again each second, until the end is known
        await asyncio.sleep(0.2)
        runtime.runtime.kill(spec.container_id, force=True)
    end = await runtime.until((ContainerFailed, ContainerExited), spec.container_id)
    assert isinstance(end, ContainerExited) or getattr(end, "killed", False)


async def test_containers_outlive_the_runtime_and_are_found_again(
    rig: tuple[Rig, str], successor: Callable[[Rig], Rig]
) -> None:
    runtime, image = rig
    stays = await runtime.run("sleep 60", image=image)
    ends = await runtime.run("sleep 0.5; exit 9", image=image)
    await runtime.runtime.close()
    await asyncio.sleep(1.5)
    again = successor(runtime)
    await again.start()
    found = await again.runtime.recover({})
    assert found[stays.container_id].exit is None
    ended = found[ends.container_id].exit
    assert ended is not None and ended.exit_status == 9
    again.runtime.kill(stays.container_id, force=True)
    await again.exited(stays)
    await again.runtime.close()


@pytest.fixture
def successor(request: pytest.FixtureRequest) -> Callable[[Rig], Rig]:
    """A second runtime over the same containers."""

    def make(first: Rig) -> Rig:
        old = first.runtime
        if isinstance(old, DockerRuntime):
            return Rig(DockerRuntime(old._agent_tag, old._host, Settings()), first.folder)
        kind = OciRuntime if isinstance(old, OciRuntime) else ProcessRuntime
        return Rig(kind(first.folder, f"test-{os.getpid()}", Settings()), first.folder)

    return make


async def test_a_kill_reaches_the_whole_container(process: Rig) -> None:
    # A child in a session of its own, and one that ignores SIGTERM.
    script = "setsid sleep 61 & (trap '' TERM; sleep 62 & wait; sleep 62) & echo; wait"
    spec = await process.run(script)
    (supervisor,) = supervisors(process.folder)
    await asyncio.sleep(0.3)
    assert len(descendants(supervisor)) >= 4
    process.runtime.kill(spec.container_id, force=False)
    exited = await process.exited(spec)
    assert exited.exit_status in (-15, 143)
    assert descendants(supervisor) == []


async def test_what_a_task_leaves_behind_ends_with_it(process: Rig) -> None:
    spec = await process.run("setsid sh -c 'sleep 63 & sleep 64' & sleep 0.2; exit 3")
    assert (await process.exited(spec)).exit_status == 3
    (supervisor,) = supervisors(process.folder)
    assert descendants(supervisor) == []


@pytest.mark.parametrize("end", ["exit", "kill", "keeper"])
async def test_what_leaves_session_and_environment_ends_with_its_task(
    process: Rig, end: str
) -> None:
    """Twice forked, in a session of its own, with nothing of its environment; others run on."""
    other = await process.run("(setsid env -i sleep 668 &); sleep 668")
    await until("the other one's", lambda: len(sleeping(668)) == 2)
    last = "exec sleep 666" if end != "exit" else "while test ! -e go; do sleep 0.05; done; exit 3"
    spec = await process.run(f"(setsid env -i sleep 667 &); {last}")
    await until("it has left", lambda: len(sleeping(667)) == 1)
    if end == "exit":
        (spec.sandbox / "go").touch()
    elif end == "kill":
        process.runtime.kill(spec.container_id, force=False)
    else:
        (main,) = sleeping(666)
        keeper = psutil.Process(main).parent()
        assert keeper is not None
        os.kill(keeper.pid if keeper.name() == "pymesos-keeper" else main, signal.SIGKILL)
    exited = await process.exited(spec)
    assert exited.exit_status == {"exit": 3, "kill": -15, "keeper": -9}[end]
    assert sleeping(667) == sleeping(666) == []
    assert len(sleeping(668)) == 2
    process.runtime.kill(other.container_id, force=True)
    assert (await process.exited(other)).exit_status == -9
    assert sleeping(668) == []


def sleeping(seconds: int) -> list[int]:
    words = ["sleep", str(seconds)]
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == words]


async def test_a_dead_supervisor_is_replaced_and_its_containers_are_adopted(process: Rig) -> None:
    stays = await process.run("sleep 65")
    (supervisor,) = supervisors(process.folder)
    os.kill(supervisor, signal.SIGKILL)
    for _ in range(100):
        await asyncio.sleep(0.05)
        if supervisors(process.folder) not in ([supervisor], []):
            break
    await asyncio.sleep(0.3)
    after = await process.run("exit 4")
    assert (await process.exited(after)).exit_status == 4
    process.runtime.kill(stays.container_id, force=True)
    assert (await process.exited(stays)).exit_status is None


async def test_nothing_is_left_of_a_destroyed_container(process: Rig) -> None:
    spec = await process.run("true")
    await process.exited(spec)
    process.runtime.destroy(spec.container_id)
    left = list(Path("/sys/fs/cgroup").rglob(spec.container_id))
    assert left == []


async def test_a_supervisor_without_agent_and_tasks_ends(process: Rig) -> None:
    spec = await process.run("true")
    await process.exited(spec)
    process.runtime.destroy(spec.container_id)
    await process.runtime.close()
    for _ in range(100):
        if not supervisors(process.folder):
            return
        await asyncio.sleep(0.05)
    pytest.fail("the supervisor stays")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs tasks as others")
async def test_a_task_of_another_user(process: Rig) -> None:
    spec = process.spec("id -un; id -Gn; touch file; ls -ld / > /dev/null")
    os.chown(spec.sandbox, 65534, 65534)
    for parent in spec.sandbox.parents:
        if parent != Path("/") and parent.stat().st_mode & 0o001 == 0:
            parent.chmod(0o711)
    object.__setattr__(spec, "user", "nobody")
    process.runtime.launch(spec)
    assert (await process.exited(spec)).exit_status == 0
    assert (spec.sandbox / "stdout").read_text() == "nobody\nnogroup\n"


async def test_many_short_tasks_leak_nothing(process: Rig) -> None:
    (supervisor,) = supervisors(process.folder)
    warm = [await process.run("true") for _ in range(5)]
    for spec in warm:
        await process.exited(spec)
        process.runtime.destroy(spec.container_id)
    fds = len(list(Path(f"/proc/{supervisor}/fd").iterdir()))
    specs = [process.spec("true") for _ in range(100)]
    for spec in specs:
        process.runtime.launch(spec)
    for spec in specs:
        await process.exited(spec)
        process.runtime.destroy(spec.container_id)
    await asyncio.sleep(0.2)
    assert len(list(Path(f"/proc/{supervisor}/fd").iterdir())) <= fds
    assert descendants(supervisor) == []
