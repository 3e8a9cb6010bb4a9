"""Mesos' executor API: its calls as ours, our events as its."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from pymesos_agent.mesos import calls, events
from pymesos_agent.mesos.about import state
from pymesos_agent.mesos.events import Around
from pymesos_core.mesos.json_messages import from_json, to_object
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.outside import uuid_bytes
from pymesos_proto.mesos.v1 import executor_pb2 as mesos_executor
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import types_pb2 as pb

STAMP = uuid.UUID("c3c5468f-4e5f-41ea-a8a8-bd871de9268e").bytes
AROUND = Around(
    "f", "eng", "c-1",
    pb.AgentInfo(
        address=pb.Address(hostname="node", ip="10.0.0.1", port=5051),
        resources=[pb.Resource(name="cpus", scalar=4)],
        attributes=[pb.Attribute(name="level", text="3")],
    ),
    5052,
)  # fmt: skip
EXECUTOR = pb.ExecutorInfo(
    executor_id="e",
    name="n",
    data=b"d",
    command=pb.CommandInfo(shell=False, value="prog", arguments=["a"], user="app"),
    artifacts=[pb.Artifact(uri="http://x/y.tar", extract=True)],
    shutdown_grace_period_s=7,
)


def call(**said: Any) -> calls.Call:
    who = {"executor_id": {"value": "e"}, "framework_id": {"value": "f"}}
    return from_json(who | said, mesos_executor.Call)


def update(**more: Any) -> calls.Call:
    made = call(type="UPDATE", update={"status": {"task_id": {"value": "t"}} | more})
    if "uuid" not in more:
        made.update.status.uuid = STAMP
    return made


RUNNING = {"state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (call(), "Expecting 'type' to be present"),
        (call(type="SUBSCRIBE"), "Expecting 'subscribe' to be present"),
        (call(type="MESSAGE"), "Expecting 'message' to be present"),
        (call(type="UPDATE"), "Expecting 'update' to be present"),
        (update(**RUNNING, uuid="AAAA"), "Not a valid UUID"),
        (
            update(**RUNNING, executor_id={"value": "o"}),
            "ID in Call: e does not match ExecutorID in TaskStatus: o",
        ),
        (update(state="TASK_RUNNING"), "expecting 'SOURCE_EXECUTOR'"),
        (update(state="TASK_RUNNING", source="SOURCE_AGENT"), "expecting 'SOURCE_EXECUTOR'"),
        (update(**RUNNING | {"state": "TASK_STAGING"}), "Received TASK_STAGING"),
    ],
)
def test_calls_that_lack_something(wrong: calls.Call, says: str) -> None:
    with pytest.raises(RefusalError, match=says) as refused:
        calls.validate(wrong)
    assert refused.value.status == 400


def test_updates_that_come_with_a_subscription_are_looked_at_too() -> None:
    told = {"status": {"task_id": {"value": "t"}, "state": "TASK_RUNNING"}}
    with pytest.raises(RefusalError, match="uuid"):
        calls.validate(call(type="SUBSCRIBE", subscribe={"unacknowledged_updates": [told]}))


def test_a_subscription_names_the_tasks_that_the_agent_has_heard_of() -> None:
    """Mesos' executors name the others alone; those that run are not to end."""
    task = {"name": "n", "task_id": {"value": "new"}, "agent_id": {"value": "a"}}
    said = call(type="SUBSCRIBE", subscribe={"unacknowledged_tasks": [task]})
    status = said.subscribe.unacknowledged_updates.add().status
    status.CopyFrom(update(**RUNNING).update.status)
    ours = calls.subscribe_of(said, "secret", ["runs"]).subscribe
    assert (ours.framework_id, ours.executor_id, ours.token) == ("f", "e", "secret")
    assert list(ours.task_ids) == ["runs", "new"]
    assert [one.uuid for one in ours.unacknowledged] == [STAMP]


def test_an_update() -> None:
    labels = {"labels": [{"key": "k", "value": "v"}]}
    more = {"message": "m", "data": "ZGF0YQ==", "healthy": False, "labels": labels}
    reason = {"reason": "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", "timestamp": 2.5}
    said = calls.translate(update(**RUNNING, **more, **reason))
    assert said is not None
    assert said.update.status == pb.TaskStatus(
        task_id="t",
        state=pb.TASK_RUNNING,
        reason=pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
        source=pb.SOURCE_EXECUTOR,
        message="m",
        uuid=STAMP,
        timestamp_s=2.5,
        healthy=False,
        data=b"data",
        labels=[pb.Label(key="k", value="v")],
    )


def test_an_update_without_a_reason_has_none() -> None:
    said = calls.translate(update(**RUNNING))
    assert said is not None and said.update.status.reason == pb.REASON_UNSPECIFIED


def test_calls_that_change_nothing() -> None:
    assert calls.translate(call(type="HEARTBEAT")) is None
    message = calls.translate(call(type="MESSAGE", message={"data": "aGk="}))
    assert message is not None and message.message.data == b"hi"


def told(**event: Any) -> dict[str, Any]:
    made = events.translate(executor_pb.ExecutorEvent(**event), AROUND)
    assert made is not None and made.IsInitialized()
    return to_object(made)


def test_what_it_is_told_first() -> None:
    declared = [pb.PARTITION_AWARE, pb.TASK_STARTING_STATE, pb.MULTI_ROLE]
    info = pb.FrameworkInfo(
        name="fw", user="u", roles=["eng"], principal="p", capabilities=declared
    )
    subscribed = executor_pb.ExecutorEvent.Subscribed(
        executor_info=EXECUTOR, framework_info=info, agent_id="a-1"
    )
    said = told(subscribed=subscribed)["subscribed"]
    assert said["container_id"] == {"value": "c-1"}
    assert said["agent_info"] == {
        "id": {"value": "a-1"},
        "hostname": "node",
        "port": 5052,
        "resources": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 4.0}}],
        "attributes": [{"name": "level", "type": "SCALAR", "scalar": {"value": 3.0}}],
    }
    assert (said["framework_info"]["id"], said["framework_info"]["principal"]) == (
        {"value": "f"},
        "p",
    )
    assert said["framework_info"]["capabilities"] == [
        {"type": "MULTI_ROLE"},
        {"type": "PARTITION_AWARE"},
    ]
    executor = said["executor_info"]
    assert executor["command"]["arguments"] == ["prog", "a"], "its name is the first"
    assert executor["command"]["uris"][0]["value"] == "http://x/y.tar"
    assert executor["shutdown_grace_period"] == {"nanoseconds": 7_000_000_000}
    assert executor["type"] == "CUSTOM" and executor["data"] == "ZA=="


def test_a_task() -> None:
    info = pb.TaskInfo(
        task_id="t", name="n", agent_id="a", executor=EXECUTOR, data=b"d",
        resources=[pb.Resource(name="cpus", scalar=0.5)],
        labels=[pb.Label(key="k", value="v")],
        kill_policy=pb.KillPolicy(grace_period_s=2),
    )  # fmt: skip
    task = told(launch=executor_pb.ExecutorEvent.Launch(task_info=info))["launch"]["task"]
    assert task["resources"][0]["allocation_info"] == {"role": "eng"}
    assert task["kill_policy"] == {"grace_period": {"nanoseconds": 2_000_000_000}}
    assert task["executor"]["executor_id"] == {"value": "e"}
    assert task["labels"] == {"labels": [{"key": "k", "value": "v"}]}


def test_the_rest_of_what_it_is_told() -> None:
    kind = executor_pb.ExecutorEvent
    killed = told(kill=kind.Kill(task_id="t", kill_policy=pb.KillPolicy(grace_period_s=1)))
    assert killed["kill"]["kill_policy"] == {"grace_period": {"nanoseconds": 1_000_000_000}}
    assert "kill_policy" not in told(kill=kind.Kill(task_id="t"))["kill"]
    silent = told(kill=kind.Kill(task_id="t", kill_policy=pb.KillPolicy()))
    assert "kill_policy" not in silent["kill"], "it says nothing of a period"
    assert told(acknowledged=kind.Acknowledged(task_id="t", uuid=b"1234"))["acknowledged"] == {
        "task_id": {"value": "t"},
        "uuid": "MTIzNA==",
    }
    assert told(message=kind.Message(data=b"hi")) == {
        "type": "MESSAGE",
        "message": {"data": "aGk="},
    }
    assert told(shutdown=kind.Shutdown()) == {"type": "SHUTDOWN"}
    assert told(error=kind.Error(message="m")) == {"type": "ERROR", "error": {"message": "m"}}
    assert told(refused=kind.Refused(message="m")) == {"type": "ERROR", "error": {"message": "m"}}


def test_what_an_agent_says_of_itself() -> None:
    ranges = pb.Ranges(range=[pb.Range(begin=1, end=2), pb.Range(begin=5, end=9)])
    info = pb.AgentInfo(
        address=pb.Address(hostname="node", ip="10.0.0.1", port=5051),
        resources=[
            pb.Resource(name="cpus", scalar=4),
            pb.Resource(name="ports", ranges=ranges),
            pb.Resource(name="gpus", set=pb.StringSet(item=["a", "b"])),
        ],
        attributes=[pb.Attribute(name="rack", text="r1"), pb.Attribute(name="n", text="3")],
    )
    said = state(info, "a-1", "127.0.0.1:5053")
    held = {"cpus": 4.0, "ports": "[1-2, 5-9]", "gpus": "{a, b}", "mem": 0.0, "disk": 0.0}
    assert said["resources"] == held
    assert (said["id"], said["pid"]) == ("a-1", "slave(1)@127.0.0.1:5053")
    assert (said["version"], said["attributes"]) == ("1.12.0", {"rack": "r1", "n": 3.0})
    assert said["frameworks"] == [], "who calls is not known"


def test_numbers_of_the_wire() -> None:
    """The numbers are those of Mesos, where SHUTDOWN is no error."""
    kinds = mesos_executor.Event.Type
    assert (kinds.ERROR, kinds.SHUTDOWN, kinds.LAUNCH_GROUP) == (6, 7, 8)
    assert mesos.TaskStatus.SOURCE_EXECUTOR == 2


def test_updates_have_uuids_that_mesos_takes() -> None:
    made = [uuid.UUID(bytes=uuid_bytes()) for _ in range(64)]
    assert {(one.version, one.variant) for one in made} == {(4, uuid.RFC_4122)}
    assert len(set(made)) == 64
