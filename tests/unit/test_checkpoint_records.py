"""A record of the checkpoint that no agent can have written is set aside, and the rest goes on.

`PYMESOS_FUZZ=2000` runs so many examples.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pymesos_agent.core import RecoveryError
from pymesos_agent.core import events as ev
from pymesos_core import contract
from pymesos_core.resources import parse, to_proto
from pymesos_core.states import FROM_AGENTS
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.fuzzing import Fuzz

FUZZ = os.environ.get("PYMESOS_FUZZ")  # without it the examples are the same each time
Records = dict[tuple[str, str], bytes]
KINDS: dict[str, type[Message]] = {
    "agent": checkpoint_pb.AgentCheckpoint,
    "task": checkpoint_pb.TaskCheckpoint,
    "sandbox": checkpoint_pb.SandboxRecord,
}
INFO = pb.AgentInfo(
    address=pb.Address(hostname="h", ip="127.0.0.1", port=1),
    resources=to_proto(parse("cpus:16;mem:4096")),
    runtimes=["process", "docker"],
)
CHECK = pb.Check(command=pb.CommandInfo(value="true"), interval_s=1)


def in_executor(task_id: str) -> agent_pb.MasterMessage:
    executor = pb.ExecutorInfo(executor_id="x", command=pb.CommandInfo(value="x"))
    info = pb.TaskInfo(task_id=task_id, resources=to_proto(parse("cpus:0.1")), executor=executor)
    return agent_pb.MasterMessage(launch=agent_pb.LaunchTask(framework_id="f", task_info=info))


def written() -> Records:
    """What an agent has written that has tasks of every kind, as far as they come."""
    h = AgentHarness(info=INFO)
    h.connect()
    for n in range(2):
        h.run(f"old{n}")
        h.feed(ev.ContainerExited(h.container(), 0))
        h.acknowledge(h.updates()[-1].status)
    h.run("runs", health_check=CHECK, max_completion_time_s=600.0)
    h.feed(ev.Checked(h.container(), "health", None))
    h.run("killed")
    h.kill("killed", grace_s=60)
    h.run("ended")
    h.feed(ev.ContainerExited(h.container(), 3))
    h.launch("staging")
    h.launch("starting", image="i")
    h.feed(ev.ContainerPulling(h.container()))
    h.launch_group("one", "two")
    for start in h.started[-2:]:
        h.feed(ev.ContainerStarted(start.container_id, 6000))
    h.hear(in_executor("in"))
    h.hear(in_executor("over"))
    executor = h.started[-1]
    h.feed(ev.ContainerStarted(executor.container_id, 77))
    token = next(v.value for v in executor.info.command.environment if v.name.endswith("TOKEN"))
    subscribe = executor_pb.ExecutorCall.Subscribe(framework_id="f", executor_id="x", token=token)
    h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(subscribe=subscribe)))
    for task_id, state in (("in", pb.TASK_RUNNING), ("over", pb.TASK_FINISHED)):
        status = pb.TaskStatus(task_id=task_id, state=state, uuid=task_id.encode())
        update = executor_pb.ExecutorCall.Update(status=status)
        h.feed(ev.ExecutorSaid(1, executor_pb.ExecutorCall(update=update)))
    return h.records


WRITTEN = written()
TASKS = sorted(key for key in WRITTEN if key[0] == "task")
READY = sum(kind == "task" for kind, _ in WRITTEN)


def drop(records: Records, key: tuple[str, str], chance: random.Random) -> None:
    """A field, or one that is within another."""
    message = KINDS[key[0]].FromString(records[key])
    inner: Message = message
    while fields := [field for field, _ in inner.ListFields()]:
        field = chance.choice(fields)
        value = getattr(inner, field.name)
        goes_in = field.message_type and not field.message_type.GetOptions().map_entry
        if goes_in and chance.random() < 0.5:
            inner = chance.choice(value) if field.is_repeated else value
            continue
        inner.ClearField(field.name)
        break
    records[key] = message.SerializeToString()


def swap(records: Records, key: tuple[str, str], chance: random.Random) -> None:
    """A field with the same one of another record."""
    other = chance.choice([k for k in records if k[0] == key[0]])
    mine, theirs = (KINDS[key[0]].FromString(records[k]) for k in (key, other))
    fields: list[Any] = list(mine.DESCRIPTOR.fields)
    field = chance.choice(fields)
    one, two = type(mine)(), type(mine)()
    one.CopyFrom(mine)
    two.CopyFrom(theirs)
    for target, source in ((one, theirs), (two, mine)):
        target.ClearField(field.name)
        part = type(mine)()
        part.CopyFrom(source)
        for unwanted in fields:
            if unwanted.name != field.name:
                part.ClearField(unwanted.name)
        target.MergeFrom(part)
    records[key], records[other] = one.SerializeToString(), two.SerializeToString()


def alter(records: Records, key: tuple[str, str], chance: random.Random) -> None:
    """A field becomes anything that a message can hold."""
    fuzz = Fuzz(chance.randrange(2**32))
    records[key] = fuzz.spoil(KINDS[key[0]].FromString(records[key])).SerializeToString()


def rename(records: Records, key: tuple[str, str], chance: random.Random) -> None:
    """A record takes another's place."""
    records[chance.choice([k for k in records if k[0] == key[0]])] = records[key]


def cut(records: Records, key: tuple[str, str], chance: random.Random) -> None:
    """Some bytes are lost."""
    records[key] = records[key][: chance.randrange(len(records[key]) + 1)]


DAMAGES: tuple[Callable[[Records, tuple[str, str], random.Random], None], ...] = (
    drop, drop, swap, swap, alter, alter, rename, cut,
)  # fmt: skip


def live_on(h: AgentHarness, chance: random.Random) -> None:
    """A master hears of all, acknowledges it, and has all of it killed."""
    h.connect(9, epoch=2**63)
    for _ in range(3):
        h.advance(700)
        for task in list(h.core.state.tasks.values()):
            for _ in range(len(task.unacknowledged)):
                acknowledgement = agent_pb.MasterMessage.Acknowledgement(
                    framework_id=task.framework_id,
                    task_id=task.info.task_id,
                    uuid=task.unacknowledged[0].uuid if task.unacknowledged else b"",
                )
                message = agent_pb.MasterMessage(acknowledgement=acknowledgement)
                h.hear(message, 9, 2**63)
        for task in list(h.core.state.tasks.values()):
            kill = agent_pb.MasterMessage.KillTask(
                framework_id=task.framework_id, task_id=task.info.task_id
            )
            h.hear(agent_pb.MasterMessage(kill=kill), 9, 2**63)
        for container_id in dict.fromkeys(i for i, _ in h.kills if i in h.core.state.owners):
            h.feed(ev.ContainerExited(container_id, chance.choice([0, 1, -9, None])))
    for sent in h.sent:
        assert contract.problem(sent) is None
        if sent.HasField("update"):
            assert sent.update.status.state in FROM_AGENTS


def found(container_id: str, chance: random.Random) -> ev.ContainerState:
    """What a runtime may find of a container."""
    if chance.random() < 0.5:
        return ev.ContainerState(4711)
    exit_status = chance.choice([0, -9, None])
    return ev.ContainerState(0, ev.ContainerExited(container_id, exit_status))


@settings(max_examples=int(FUZZ or 60), deadline=None, derandomize=not FUZZ)
@given(st.integers(0, 2**32))
@example(22358)  # an executor that is TASK_FINISHED
def test_no_record_stops_an_agent(seed: int) -> None:
    chance = random.Random(seed)
    records = dict(WRITTEN)
    for _ in range(chance.randint(1, 3)):
        with contextlib.suppress(DecodeError):  # it is damaged already
            chance.choice(DAMAGES)(records, chance.choice(sorted(records)), chance)
    containers = [key for kind, key in WRITTEN if kind == "task"]
    there = {i: found(i, chance) for i in containers if chance.random() < 0.7}
    away = {"process": "it is away"} if chance.random() < 0.2 else {}
    try:
        h = AgentHarness(records, INFO, recovered=there, generation=2, away=away)
    except RecoveryError:
        return  # it says what to do
    if away:
        h.connect(7, epoch=2**63)
        h.feed(ev.RuntimeBack("process", there))
    live_on(h, chance)


def one(task_id: str) -> tuple[tuple[str, str], checkpoint_pb.TaskCheckpoint]:
    for key in TASKS:
        record = checkpoint_pb.TaskCheckpoint.FromString(WRITTEN[key])
        if record.task_info.task_id == task_id:
            return key, record
    raise LookupError(task_id)


Damage = Callable[[checkpoint_pb.TaskCheckpoint], object]


@pytest.mark.parametrize(
    ("task_id", "damage", "says"),
    [
        ("runs", lambda r: setattr(r, "state", pb.TASK_FAILED), "latest update says TASK_RUNNING"),
        ("ended", lambda r: setattr(r, "state", pb.TASK_RUNNING), "latest update says TASK_FAILED"),
        ("ended", lambda r: r.ClearField("unacknowledged"), "latest update says TASK_RUNNING"),
        ("killed", lambda r: r.ClearField("kill"), "no kill is under way"),
        ("runs", lambda r: setattr(r, "killed_for", "health"), "no kill is under way"),
        ("runs", lambda r: setattr(r, "pid", -1), "no pid"),
        ("one", lambda r: setattr(r, "group_id", "../.."), "slash"),
        ("runs", lambda r: setattr(r, "container_id", "c"), "of the container 'c'"),
        ("runs", lambda r: setattr(r, "started_at_s", float("nan")), "Unix time"),
        ("in", lambda r: setattr(r.task_info, "task_id", "over"), "another task's"),
        ("staging", lambda r: setattr(r.task_info, "task_id", "runs"), "of the same task"),
        ("x", lambda r: setattr(r, "state", pb.TASK_FINISHED), "which no executor is"),
        ("x", lambda r: r.executor.ClearField("executor_id"), "executor's id"),
    ],
)
def test_a_record_that_contradicts_itself_is_set_aside(
    task_id: str, damage: Damage, says: str
) -> None:
    key, record = one(task_id)
    damage(record)
    records = {**WRITTEN, key: record.SerializeToString()}
    there = {key: ev.ContainerState(1) for kind, key in TASKS}
    h = AgentHarness(records, INFO, recovered=there, generation=2)
    (complaint,) = [c for c in h.complaints if c.kind == "set aside"]
    assert says in complaint.message
    assert f"{key[0]}/{key[1]}" in complaint.peer
    assert h.core.state.set_aside.keys() == {key[1]}
    assert h.records[key] == records[key], "it is kept as it is"
    assert (key[1], True) in h.kills, "what runs under its id is ended"
    h.feed(ev.Connected(2))
    for stray in [i for i, _ in h.kills if i not in h.core.state.owners]:
        assert not h.sent, "what its container holds must not be offered"
        h.feed(ev.ContainerExited(stray, -9))
    (register,) = [m.register for m in h.sent if m.HasField("register")]
    assert says in register.agent_info.set_aside[key[1]]
    assert task_id == "x" or task_id not in {t.task_info.task_id for t in register.tasks} - {"over"}


@pytest.mark.parametrize("key", ["c1-\x11", "c1 ", "x" * 5000, "c1-\u202e", "../x"])
def test_a_record_with_a_damaged_key_keeps_its_agent_from_nothing(key: str) -> None:
    """The master takes what is told of the record, or no task of the agent would be known."""
    h = AgentHarness({**WRITTEN, ("task", key): b"\xff"}, INFO, generation=2)
    h.feed(ev.Connected(2))
    (register,) = [m.register for m in h.sent if m.HasField("register")]
    assert contract.problem(register.agent_info) is None
    assert len(register.agent_info.set_aside) == 1 and len(register.tasks) > 1


def test_a_container_that_does_not_end_keeps_its_agent_away_for_a_while_only() -> None:
    key, record = one("runs")
    record.pid = -1
    records = {**WRITTEN, key: record.SerializeToString()}
    h = AgentHarness(records, INFO, recovered={key[1]: ev.ContainerState(1)}, generation=2)
    h.feed(ev.Connected(2))
    h.advance(59)
    assert not any(m.HasField("register") for m in h.sent)
    h.advance(2)
    assert [m.HasField("register") for m in h.sent].count(True) == 1
    assert "1 container of no record did not end in 60 s" in h.complaints[-1].message
    h.feed(ev.ContainerExited(key[1], -9))
    assert [m.HasField("register") for m in h.sent].count(True) == 1


@pytest.mark.parametrize("cut_bytes", [0, 1])
def test_a_group_ends_with_the_one_whose_record_is_set_aside(cut_bytes: int) -> None:
    """All or nothing: it also ends where the record is cut short, and cannot be decoded."""
    (key, record), (other, _) = one("one"), one("two")
    if cut_bytes:
        damaged = WRITTEN[key][:-cut_bytes]
    else:
        record.pid = -1
        damaged = record.SerializeToString()
    there = {container_id: ev.ContainerState(6000) for _, container_id in TASKS}
    h = AgentHarness({**WRITTEN, key: damaged}, INFO, recovered=there, generation=2)
    assert h.core.state.set_aside.keys() == {key[1]}
    assert {key[1], other[1]} <= {container_id for container_id, _ in h.kills}
    assert h.core.state.tasks[other[1]].killed_for == "group"


def test_a_whole_checkpoint_is_read_whole() -> None:
    h = AgentHarness(dict(WRITTEN), INFO, generation=2, recover=False)
    assert h.complaints == []
    assert len(h.core.state.recorded()) == READY


def in_order(h: AgentHarness) -> Records:
    """The records as the store gives them: by key."""
    return dict(sorted(h.records.items()))


def test_of_two_records_of_a_task_the_one_that_runs_counts() -> None:
    """The disk was full when the first one's acknowledged end was to be written."""
    h = AgentHarness()
    h.connect()
    first = h.run()
    h.feed(ev.ContainerExited(first, 0))
    ended = h.records["task", first]
    h.acknowledge(h.updates()[-1].status)
    second = h.run()
    assert first < second
    h.records["task", first] = ended
    again = AgentHarness(in_order(h), recovered={second: ev.ContainerState(4711)}, generation=2)
    assert again.core.state.by_key["f", "t"].container_id == second
    assert again.core.state.set_aside.keys() == {first} and again.kills == []


def test_an_executor_that_serves_is_found_though_an_older_one_is_ending() -> None:
    """The store gives records by container id, which says nothing of their age."""
    h = AgentHarness()
    h.connect()
    launch(h, "a")
    old = h.started[-1].container_id
    h.feed(ev.ContainerStarted(old, 7))
    h.hear(
        agent_pb.MasterMessage(
            shutdown_executor=agent_pb.MasterMessage.ShutdownExecutor(
                framework_id="f", executor_id="x"
            )
        )
    )
    launch(h, "b")
    new = h.started[-1].container_id
    assert old != new
    there = {old: ev.ContainerState(7), new: ev.ContainerState(8)}
    for records in (in_order(h), dict(reversed(in_order(h).items()))):
        again = AgentHarness(records, recovered=there, generation=2)
        assert again.core.state.executors["f", "x"].container_id == new
        assert {old, new} <= again.core.state.owners.keys()
