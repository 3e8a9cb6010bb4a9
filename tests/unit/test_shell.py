"""The shell of an agent, with a core that only takes notes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import AgentCore
from pymesos_agent.core import effects as fx
from pymesos_agent.core import events as ev
from pymesos_agent.main import run
from pymesos_agent.shell import Shell
from pymesos_core.resources import Resources
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb


class Notes:
    """A core that is told, and says what it was given to say."""

    def __init__(self) -> None:
        self.told: list[ev.Event] = []
        self.says: list[fx.Effect] = []

    def step(self, _: object, event: ev.Event) -> list[fx.Effect]:
        self.told.append(event)
        says, self.says = self.says, []
        return says

    def next_deadline_s(self) -> None:
        return None


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def shell(tmp_path: Path, notes: Notes) -> Iterator[Shell]:
    store = Store(tmp_path / "checkpoint.sqlite")
    yield Shell(cast(AgentCore, notes), store, [], tmp_path, Settings())
    store.close()


async def fetch(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A container that waits for its files for ever; what is launched."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    launched: list[Any] = []
    monkeypatch.setattr(shell._fetching, "_in_thread", never)
    info = pb.TaskInfo(artifacts=[pb.Artifact(uri="http://h/a")])
    spec = ContainerSpec("c", "f", "", None, info, Resources(), tmp_path)
    shell._fetching.start(spec, (), launched.append)
    await asyncio.sleep(0)
    return launched


async def test_what_waits_for_its_files_is_there_when_its_runtime_is_back(
    shell: Shell, notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetch(shell, tmp_path, monkeypatch)
    other = ev.ContainerState(7)
    shell.feed(ev.RuntimeBack("docker", {"o": other}, {"mem": "docker"}))
    back = notes.told[-1]
    assert back == ev.RuntimeBack(
        "docker", {"c": ev.ContainerState(0), "o": other}, {"mem": "docker"}
    )
    await shell._fetching.close()


async def test_what_is_destroyed_does_not_wait_for_its_files_any_more(
    shell: Shell, notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = await fetch(shell, tmp_path, monkeypatch)
    notes.says = [fx.DestroyContainer("c", "docker")]
    shell.feed(ev.Tick())
    assert list(shell._fetching) == [] and launched == []


async def test_an_agent_that_ends_its_tasks_waits_for_its_last_word() -> None:
    """What says last how they ended begins with the same event as the end."""
    said: list[str] = []
    ended, stop = asyncio.Event(), asyncio.Event()

    class Ending:
        exit_message = None

        async def run(self, _: object) -> None:
            await ended.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            said.append("killed")

        async def end_tasks(self, _: float) -> None:
            ended.set()

    stop.set()
    await run(cast(Shell, Ending()), cast(Any, None), stop, kill_tasks_on_exit=True)
    assert said == ["killed"]
