"""A Docker engine that ends, or hangs, and comes back: nothing is forgotten, and little is said."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from pymesos_agent.containers.sessions import EntryError
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed, RuntimeAway, RuntimeBack
from pymesos_agent.runtimes.docker import engine as docker_module
from pymesos_agent.runtimes.docker.runtime import DockerRuntime
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_testing.components import (
    IMAGE,
    MissingError,
    dockerd,
    import_busybox,
)
from pymesos_testing.rigs import Rig
from pymesos_testing.waiting import until


def said_hello(spec: ContainerSpec) -> bool:
    stdout = spec.sandbox / "stdout"
    return stdout.exists() and stdout.read_text() == "hello\n"


def engine_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("docker-")]


async def test_it_ends_and_comes_back(
    engine_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    try:
        with dockerd(engine_folder) as host:
            import_busybox(host)
            rig = Rig(DockerRuntime(f"away-{os.getpid()}", host, Settings()), engine_folder)
            await rig.start()
            specs = [await rig.run("echo hello; sleep 600", image=IMAGE) for _ in range(3)]
            for spec in specs:
                await until("its output", partial(said_hello, spec))
    except MissingError as error:
        pytest.skip(str(error))
    await until("it is missed", lambda: rig.availability)
    (away,) = rig.availability
    assert isinstance(away, RuntimeAway)  # seen while it ends, or after
    assert away.why in ("its socket is not there", "it broke the connection off")
    late = rig.spec("true", image=IMAGE)
    rig.runtime.launch(late)
    failed = await rig.until(ContainerFailed, late.container_id)
    assert isinstance(failed, ContainerFailed) and failed.message == "its socket is not there"
    for spec in specs:
        rig.runtime.kill(spec.container_id, force=True)
    with pytest.raises(EntryError, match="does not answer now"):
        rig.runtime.entry(specs[0], ["true"], "")
    await asyncio.sleep(3)
    assert len(rig.availability) == 1
    with dockerd(engine_folder) as host:
        await until("it is back", lambda: len(rig.availability) == 2)
        back = rig.availability[1]
        assert isinstance(back, RuntimeBack)
        assert back.containers.keys() == {spec.container_id for spec in specs}
        assert all(state.exit is not None for state in back.containers.values())
        for spec in specs:
            assert said_hello(spec)
        again = await rig.run("sleep 600", image=IMAGE)
        rig.runtime.kill(again.container_id, force=True)
        assert (await rig.exited(again)).exit_status == -9
        for spec in (*specs, again):
            rig.runtime.destroy(spec.container_id)
        await rig.runtime.close()
    said = [r.getMessage() for r in caplog.records if r.name.startswith("pymesos")]
    assert len(said) == 2, said
    assert "does not answer" in said[0] and "answers again" in said[1]


async def test_it_hangs(engine_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_module, "LOOK_S", 0.2)
    monkeypatch.setattr(docker_module, "LOOK_TIMEOUT_S", 1.0)
    try:
        with dockerd(engine_folder) as host:
            pid = int((engine_folder / "docker.pid").read_text())
            rig = Rig(DockerRuntime(f"hangs-{os.getpid()}", host, Settings()), engine_folder)
            await rig.start()
            os.kill(pid, signal.SIGSTOP)
            try:
                await until("it is missed", lambda: rig.availability)
            finally:
                os.kill(pid, signal.SIGCONT)
            await until("it is back", lambda: len(rig.availability) == 2)
            assert rig.availability[0] == RuntimeAway("docker", "it takes too long")
            await asyncio.sleep(0.5)
            assert len(rig.availability) == 2  # once
            await rig.runtime.close()
            await until("its threads have ended", lambda: not engine_threads())
    except MissingError as error:
        pytest.skip(str(error))


async def test_there_is_none_at_first(engine_folder: Path) -> None:
    rig = Rig(
        DockerRuntime("none", f"unix://{engine_folder}/docker.sock", Settings()), engine_folder
    )
    with pytest.raises(RuntimeUnavailableError, match="its socket is not there"):
        await rig.start()
    (engine_folder / "docker.sock").write_text("")
    with pytest.raises(RuntimeUnavailableError, match="does not answer"):
        await rig.start()
    (engine_folder / "docker.sock").unlink()
    try:
        with dockerd(engine_folder):
            await rig.start()
            await rig.runtime.close()
    except MissingError as error:
        pytest.skip(str(error))
