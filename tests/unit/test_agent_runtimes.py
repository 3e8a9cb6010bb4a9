"""A runtime goes away and comes back: what becomes of its tasks, and of those that are to come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from docker.errors import NotFound

from pymesos_agent.containers.settings import Settings
from pymesos_agent.core import events as ev
from pymesos_agent.runtimes import trials
from pymesos_agent.runtimes.docker.engine import ID_LABEL
from pymesos_agent.runtimes.docker.launching import Launch
from pymesos_agent.runtimes.docker.runtime import DockerRuntime
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_core.resources import parse, to_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

INFO = pb.AgentInfo(
    address=pb.Address(hostname="h", ip="127.0.0.1", port=1),
    resources=to_proto(parse("cpus:8;mem:4096")),
    runtimes=["process", "docker"],
)
CHECK = pb.Check(tcp=pb.Check.Tcp(port=1), delay_s=1, interval_s=1, grace_period_s=0)


def agent(**more: Any) -> AgentHarness:
    made = AgentHarness(info=INFO, **more)
    made.connect()
    return made


def runtimes(harness: AgentHarness) -> list[str]:
    """What it said when it last registered."""
    registered = [m.register for m in harness.sent if m.HasField("register")]
    return list(registered[-1].agent_info.runtimes)


def go(harness: AgentHarness) -> None:
    """The engine ends; the agent registers anew."""
    harness.feed(ev.RuntimeAway("docker", "nobody listens"))
    harness.connect()


def come(harness: AgentHarness, **containers: ev.ContainerState) -> None:
    harness.feed(ev.RuntimeBack("docker", containers))
    harness.connect()


def test_what_is_away_is_not_offered() -> None:
    a = agent()
    assert runtimes(a) == ["process", "docker"]
    go(a)
    assert a.disconnects == ["the runtime docker does not answer: nobody listens"]
    assert runtimes(a) == ["process"]
    a.feed(ev.RuntimeAway("docker", "it takes too long"))
    assert len(a.disconnects) == 1, "said once"
    a.feed(ev.RuntimeAway("process", "no supervisor"))
    a.connect()
    assert runtimes(a) == ["none"], "an empty list is what one says that does not know"
    a.feed(ev.RuntimeBack("process", {}))
    come(a)
    assert runtimes(a) == ["process", "docker"]


def test_what_a_runtime_brings_back_that_nobody_knows_is_not_offered_before_it_has_ended() -> None:
    a = AgentHarness(info=INFO)
    a.connect()
    go(a)
    a.sent.clear()
    come(a, stray=ev.ContainerState(4711))
    assert a.kills[-1] == ("stray", True)
    assert not any(m.HasField("register") for m in a.sent)
    a.feed(ev.ContainerExited("stray", -9))
    assert runtimes(a) == ["process", "docker"] and a.destroyed == ["stray"]


def test_a_launch_that_was_on_its_way_is_dropped_not_failed() -> None:
    a = agent()
    go(a)
    a.launch(image="x")
    (update,) = a.updates()
    assert update.status.state == pb.TASK_DROPPED and "nobody listens" in update.status.message
    a.launch("u")
    assert a.started[-1].runtime == "process"


def test_tasks_are_unknown_for_now_and_go_on() -> None:
    a = agent()
    container = a.run(image="x", health_check=CHECK)
    other = a.run("u")
    go(a)
    (update,) = a.updates()[-1:]
    assert update.status.state == pb.TASK_RUNNING
    assert update.status.message.startswith("Unknown for now: the runtime docker does not answer")
    assert not update.status.HasField("healthy")
    a.acknowledge(update.status)
    count = len(a.updates())
    a.advance(60)
    a.feed(ev.Checked(container, "health", "no answer"))
    assert a.asked == [] and a.kills == [] and len(a.updates()) == count
    come(a, **{container: ev.ContainerState(4711)})
    assert a.updates()[-1].status.message == "The runtime docker answers again, and it runs"
    a.advance(1.5)
    assert len(a.asked) == 1 and a.kills == []
    assert a.core.state.tasks[other].state == pb.TASK_RUNNING


def test_a_kill_meanwhile_is_carried_out_then() -> None:
    a = agent()
    container = a.run(image="x")
    go(a)
    a.acknowledge(a.updates()[-1].status)
    a.kill()
    a.kill()
    says = [u.status.message for u in a.updates() if "killed as soon as" in u.status.message]
    assert len(says) == 1 and a.core.state.tasks[container].state == pb.TASK_RUNNING
    a.acknowledge(a.updates()[-1].status)
    a.advance(60)
    assert a.kills == []
    come(a, **{container: ev.ContainerState(4711)})
    assert a.kills == [(container, False)]
    assert a.core.state.tasks[container].state == pb.TASK_KILLING
    a.advance(5)
    assert a.kills[-1] == (container, True)
    a.feed(ev.ContainerExited(container, -9))
    assert a.core.state.tasks[container].state == pb.TASK_KILLED


def test_one_that_was_being_killed_is_not_so_for_ever() -> None:
    a = agent()
    container = a.run(image="x")
    a.kill()
    go(a)
    kills = list(a.kills)
    a.advance(60)
    assert a.kills == kills, "nobody hears it"
    come(a, **{container: ev.ContainerState(0, ev.ContainerExited(container, 137))})
    assert a.core.state.tasks[container].state == pb.TASK_KILLED


def test_what_ended_and_what_is_gone() -> None:
    a = agent()
    ended, gone = a.run("t", image="x"), a.run("u", image="x")
    a.launch("v", image="x")
    starting = a.container()
    go(a)
    exited = ev.ContainerExited(ended, 3)
    stranger = ev.ContainerState(9)
    come(
        a,
        **{
            ended: ev.ContainerState(0, exited),
            starting: ev.ContainerState(0),
            "stranger": stranger,
        },
    )
    state = {t.info.task_id: t.state for t in a.core.state.tasks.values()}
    assert state == {"t": pb.TASK_FAILED, "u": pb.TASK_FAILED, "v": pb.TASK_STAGING}
    gone_says = a.core.state.tasks[gone].unacknowledged[-1].message
    assert gone_says == "Its container was gone when the runtime docker came back"
    assert ("stranger", True) in a.kills
    a.feed(ev.ContainerExited("stranger", -9))
    assert "stranger" in a.destroyed


def test_an_agent_that_starts_while_it_is_away() -> None:
    """The agent starts with its other tasks, and has the runtime's when that is there."""
    a = agent()
    container, other = a.run(image="x"), a.run("u")
    info = pb.AgentInfo()
    info.CopyFrom(INFO)
    info.runtimes[:] = ["process"]
    b = AgentHarness(dict(a.records), info, {}, 2)
    assert b.core.state.tasks[container].state == pb.TASK_FAILED, "nobody said that it is away"
    c = AgentHarness(
        dict(a.records),
        info,
        {other: ev.ContainerState(1)},
        3,
        away={"docker": "nobody listens"},
    )
    c.connect()
    assert runtimes(c) == ["process"]
    assert c.core.state.tasks[container].state == pb.TASK_RUNNING
    c.kill()
    c.feed(ev.RuntimeBack("docker", {container: ev.ContainerState(4711)}, {"mem": "docker"}))
    c.connect()
    assert runtimes(c) == ["process", "docker"]
    assert (container, False) in c.kills


async def test_an_engine_that_never_was_there_is_let_go_of() -> None:
    engine = DockerRuntime("a", "unix:///no/such.sock", Settings())
    with pytest.raises(RuntimeUnavailableError):
        await engine.start(print)
    await engine.close()


def test_a_launch_that_ends_while_the_engine_lists_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = DockerRuntime("a", None, Settings())
    engine._launches._launching["ends"] = Launch()

    def listing() -> list[Any]:
        del engine._launches._launching["ends"]
        engine._launches._launching["begins"] = Launch()
        return []

    monkeypatch.setattr(engine._engine, "containers", listing)
    told: list[Any] = []
    monkeypatch.setattr(engine, "_on_event", told.append)
    found = engine._recover()
    assert found == {"ends": ev.ContainerState(0), "begins": ev.ContainerState(0)}
    engine._launches._launching["later"] = Launch()
    engine._tell_back(found)
    assert told[0].containers.keys() == {"ends", "begins", "later"}


def test_a_container_that_is_removed_once_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DockerRuntime("a", None, Settings())
    gone = {"Id": "1", "Labels": {ID_LABEL: "gone"}}
    monkeypatch.setattr(engine._engine, "containers", lambda: [gone])

    class Client:
        def inspect_container(self, name: str) -> Any:
            raise NotFound(f"No such container: {name}")

    engine._engine.client = Client()
    assert engine._recover() == {}


def test_one_that_starts_nothing_is_offered_to_nobody() -> None:
    """The runtime answers, so what runs on it is known, checked and killed as before."""
    a = agent()
    container = a.run(image="x", health_check=CHECK)
    a.feed(ev.RuntimeBroken("docker", "no space left on device"))
    a.connect()
    (register,) = [m.register for m in a.sent if m.HasField("register")][-1:]
    assert list(register.agent_info.runtimes) == ["process"]
    assert dict(register.agent_info.unavailable) == {"docker": "no space left on device"}
    a.launch("late", image="y")
    status = a.updates()[-1].status
    assert status.state == pb.TASK_DROPPED
    assert "starts no containers now: no space left on device" in status.message
    a.advance(1.5)
    assert len(a.asked) == 1
    a.kill()
    assert a.kills == [(container, False)]
    a.feed(ev.RuntimeMended("docker"))
    a.connect()
    assert runtimes(a) == ["process", "docker"]


async def test_tasks_that_cannot_be_started_take_no_runtime_from_others() -> None:
    told: list[Any] = []
    problems = ["", "", "it is broken", "it is broken", ""]

    async def trial() -> str:
        return problems.pop(0)

    watched = trials.Trials("x", trial, told.append)

    async def fail(times: int) -> None:
        for _ in range(times):
            watched.look_at(ev.ContainerFailed("c", "no"))
        for _ in range(10):
            await asyncio.sleep(0)

    await fail(trials.FAILURES)
    assert len(problems) == 4 and told == [], "the tasks were to blame"
    await fail(trials.FAILURES - 1)
    watched.look_at(ev.ContainerStarted("c", 1))
    await fail(trials.FAILURES - 1)
    assert len(problems) == 4, "not in a row"
    for _ in range(2 * trials.FAILURES):
        watched.look_at(ev.killed_early("c"))
    await fail(0)
    assert len(problems) == 4, "who kills a task that waits for its image says nothing of it"
    await fail(1)
    assert len(problems) == 3 and told == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "AGAIN_S", 0)
        await fail(trials.FAILURES)
    assert told == [ev.RuntimeBroken("x", "it is broken"), ev.RuntimeMended("x")]
    assert problems == []
    await watched.close()
