"""Addresses that change reach tasks: they are told by a signal, or begin anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import Any, cast

import pytest

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.users import UserError
from pymesos_agent.core import events as ev
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import ConfigError, Found, Remade, Rendering
from pymesos_agent.files.renewing import AGAIN_S, LEAST_S, LOOK_S, SPLAY_S, Renewing
from pymesos_core.backoff import Backoff
from pymesos_core.discovery.held import Held
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import agent_pb2, types_pb2
from pymesos_testing.addressed import PEERS, USE, batch, named
from pymesos_testing.agent_harness import AgentHarness


class Runtime:
    """A runtime that keeps what its containers are sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def signal(self, container_id: str, name: str) -> None:
        self.sent.append((container_id, name))


class Scripted(Rendering):
    """What is made: files differ as soon as what is told does."""

    def __init__(self) -> None:
        self.made: list[Mapping[str, Found]] = []
        self.tries = 0
        self.problem: Exception | None = None
        self.unmade: set[str] = set()  # files that are not made; with a problem alone, none is
        self.slow: set[str] = set()  # containers whose files are never made

    async def rewrite(self, spec: ContainerSpec, told: Mapping[str, Found]) -> Remade:
        self.tries += 1
        if spec.container_id in self.slow:
            await asyncio.Event().wait()
        if self.problem and not self.unmade:
            raise self.problem
        self.made.append(told)
        changed = [path for path in told if path not in self.unmade]
        return Remade(changed, [self.problem] if self.problem else [])


class Machine:
    """An agent with a task that has addresses, and what looks after it."""

    def __init__(self, on_change: Any, signal: str = "", second: Any = None) -> None:
        self.h = AgentHarness()
        self.h.connect()
        self.held = Held()
        self.held.take(batch(named("a", 0, ("http", 1))))
        self.addresses = Addresses(self.held)
        self.rendering, self.runtime = Scripted(), Runtime()
        self.on_change, self.signal = on_change, signal
        self.no_user: Exception | None = None
        self.second = second  # what is done when a second file changes, if it has one
        self.launch("t")
        self.now_s = 0.0
        self.told: list[ev.ConfigChanged] = []
        self.renewing = self.look_after()

    def launch(self, task_id: str) -> None:
        info = types_pb2.TaskInfo(
            task_id=task_id,
            resources=to_proto(parse("cpus:1;mem:32")),
            command=types_pb2.CommandInfo(shell=True, value="true"),
        )
        info.container.config.add(
            path="peers",
            template=PEERS,
            addresses=[USE],
            on_change=self.on_change,
            signal=self.signal,
        )
        if self.second is not None:
            info.container.config.add(
                path="second",
                template=PEERS,
                addresses=[USE],
                on_change=self.second,
                signal="SIGHUP",
            )
        launch = agent_pb2.LaunchTask(
            framework_id="f", task_info=info, framework_info=types_pb2.FrameworkInfo(name="f")
        )
        self.h.hear(agent_pb2.MasterMessage(launch=launch))
        self.container_id = self.h.container()
        self.addresses.given[self.container_id] = self.addresses.told(info.container)

    def look_after(self) -> Renewing:
        (runtime_name,) = {task.runtime for task in self.h.core.state.tasks.values()}

        def spec_of(start: Any) -> ContainerSpec:
            if self.no_user:
                raise self.no_user
            return cast(ContainerSpec, start)

        return Renewing(
            self.h.core, self.addresses, self.rendering, {runtime_name: cast(Any, self.runtime)},
            spec_of, self.told.append, partial(Backoff, *AGAIN_S, Random(1)),
        )  # fmt: skip

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += LOOK_S
            asyncio.run(self.look_once())

    async def look_once(self) -> None:
        """Look, and let be made what can be at once."""
        self.renewing.look(self.now_s)
        for _ in range(5):
            await asyncio.sleep(0)

    def run(self) -> None:
        self.h.feed(ev.ContainerStarted(self.container_id, 1))
        self.h.acknowledge(self.h.updates()[-1].status)


def test_a_task_is_told_by_a_signal_of_what_has_changed() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.look()
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert not m.rendering.made, "it does not run yet"
    m.run()
    m.look(3)
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]
    m.held.take(batch(named("other", 0, task="web"), named("b", 1, ("http", 2))))
    m.look(3)
    assert len(m.rendering.made) == 1, "nothing of its own has changed"
    m.rendering.problem = ConfigError("its template has no line 1")
    m.held.take(batch(ended="b"))
    m.look(3)
    assert len(m.runtime.sent) == 1, "the file stays as it was"
    m.rendering.problem = None
    m.held.take(batch(named("b", 1, ("http", 3))))
    m.look()
    assert len(m.runtime.sent) == 2 and not m.told


def test_what_could_not_be_made_is_tried_again_later_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    m.rendering.problem = ConfigError("No space left on device")
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert m.rendering.tries == 1
    m.held.take(batch(named("other", 0, task="web"), named("b", 1, ("http", 2))))
    m.look()
    assert m.rendering.tries == 1, "what has changed is nothing of its own"
    while m.now_s < 3600:
        m.look()
    assert 3600 / AGAIN_S[1] < m.rendering.tries < 3600 / AGAIN_S[1] * 4
    assert len(caplog.messages) == 1, "it is said once"
    m.rendering.problem, m.no_user = None, UserError("there is no user nobody")
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert len(caplog.messages) == 2 and not m.rendering.made
    m.no_user = None
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]
    tries = m.rendering.tries
    m.look(2 * int(AGAIN_S[1] / LOOK_S))
    assert m.rendering.tries == tries, "it is as it should be"


def test_a_task_is_told_once_its_runtime_answers_again() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    (task,) = m.h.core.state.tasks.values()
    m.h.feed(ev.RuntimeAway(task.runtime, "it is restarted"))
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look(3)
    assert not m.rendering.made and not m.runtime.sent
    found = {m.container_id: ev.ContainerState(1)}
    m.h.feed(ev.RuntimeBack(task.runtime, found, {}))
    m.look(2)
    assert len(m.rendering.made) == 1 and m.runtime.sent == [(m.container_id, "SIGUSR1")]


@pytest.mark.parametrize("is_known_to_fail", [False, True])
def test_what_nobody_foresaw_is_said_once_and_tried_again_later_each_time(
    caplog: pytest.LogCaptureFixture, is_known_to_fail: bool
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    m.look()
    m.held.take(batch(named("b", 1, ("http", 2))))
    if is_known_to_fail:
        m.no_user = UserError("there is no user nobody")
        m.look()
    m.no_user = None
    m.rendering.problem = RuntimeError("can't start new thread")
    caplog.clear()
    while m.now_s < 3600:
        m.look()
    assert 3600 / AGAIN_S[1] < m.rendering.tries < 3600 / AGAIN_S[1] * 4
    (record,) = caplog.records
    assert record.exc_info and record.exc_info[1] is m.rendering.problem
    assert 'RuntimeError("can\'t start new thread")' in record.message
    m.rendering.problem = None
    m.look(1 + int(AGAIN_S[1] / LOOK_S))
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")]


def test_a_file_that_cannot_be_made_withholds_no_signal_of_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1", types_pb2.ON_CHANGE_NONE)
    m.run()
    m.look()
    m.rendering.problem = ConfigError("its config file second cannot be made: 'db' is empty")
    m.rendering.unmade = {"second"}
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look()
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")]
    (said,) = caplog.messages
    assert said == (
        "t: its config file second cannot be made: 'db' is empty;"
        " what cannot be made stays as it was, and is tried again"
    )
    m.look(1 + int(AGAIN_S[0] / LOOK_S))
    assert m.rendering.tries == 2


def test_a_task_begins_anew_once_all_its_files_can_be_made() -> None:
    m = Machine(types_pb2.ON_CHANGE_RESTART, "", types_pb2.ON_CHANGE_SIGNAL)
    m.run()
    m.look()
    m.rendering.problem = ConfigError("its config file third cannot be made: 'db' is empty")
    m.rendering.unmade = {"third"}
    m.held.take(batch(named("b", 1, ("http", 2))))
    m.look(2 + int((LEAST_S + SPLAY_S + AGAIN_S[1]) / LOOK_S))
    assert not m.told, "its start would fail"
    assert (m.container_id, "SIGHUP") in m.runtime.sent, "it goes on, and is told of the others"
    m.rendering.problem, m.rendering.unmade = None, {"peers"}  # made already: no change any more
    m.held.take(batch(named("b", 1, ("http", 3))))
    m.look()
    assert not m.told, "at a moment of its own"
    m.look(2 + int(SPLAY_S / LOOK_S))
    assert m.told == [ev.ConfigChanged(m.container_id)], "and it is not forgotten"


def test_a_task_begins_anew_within_a_while_and_once() -> None:
    m = Machine(types_pb2.ON_CHANGE_RESTART)
    m.run()
    m.look()
    for port in range(2, 3 + int((LEAST_S + SPLAY_S) / LOOK_S)):  # it changes all the time
        assert not m.h.kills
        m.held.take(batch(named("a", 0, ("http", port))))
        m.look()
        while m.told:
            m.h.feed(m.told.pop())
        if m.h.kills:
            break
    assert m.h.kills == [(m.container_id, False)] and not m.runtime.sent
    assert m.now_s > LEAST_S, "whoever restarts because others do takes his time"
    m.held.take(batch(named("a", 0, ("http", 1000))))
    m.look(2 + int((LEAST_S + SPLAY_S) / LOOK_S))
    assert not m.told, "it is to end already"
    m.h.feed(ev.ContainerExited(m.container_id, -15))
    status = m.h.updates()[-1].status
    assert (status.state, status.reason) == (
        types_pb2.TASK_KILLED,
        types_pb2.REASON_CONFIG_CHANGED,
    )


def test_an_agent_that_starts_again_looks_at_the_files_once() -> None:
    m = Machine(types_pb2.ON_CHANGE_NONE)
    m.run()
    m.look(2)
    assert not m.rendering.made, "they were just made"
    m.renewing = m.look_after()
    m.look(3)
    assert len(m.rendering.made) == 1 and not m.runtime.sent and not m.told


def test_a_slow_template_holds_up_no_other_task() -> None:
    m = Machine(types_pb2.ON_CHANGE_SIGNAL, "SIGUSR1")
    m.run()
    first = m.container_id
    m.launch("u")
    m.run()
    assert m.container_id != first
    m.rendering.slow = {first}

    async def look() -> None:
        m.held.take(batch(named("b", 1, ("http", 2))))
        await m.look_once()
        m.held.take(batch(named("b", 1, ("http", 3))))
        await m.look_once()

    asyncio.run(look())
    assert m.runtime.sent == [(m.container_id, "SIGUSR1")] * 2
