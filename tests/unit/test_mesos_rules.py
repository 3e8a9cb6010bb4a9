"""What Mesos' master refuses is refused in its words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pymesos_core.mesos.json_messages import from_json
from pymesos_core.mesos.statuses import NOWHERE, Places, status_to_mesos
from pymesos_master.mesos import calls
from pymesos_master.mesos.rules import names, quotas, resources
from pymesos_master.mesos.rules.frameworks import info_problem
from pymesos_master.mesos.rules.tasks import group_problem, task_problem
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.mesos_resources import VOLUME, scalar

HELD = [
    {"name": name, "type": "SCALAR", "scalar": {"value": value}}
    for name, value in (("cpus", 0.1), ("mem", 32), ("disk", 1))
]


EXECUTOR = {"executor_id": {"value": "e"}, "command": {"value": "x"}}


POD = {"executor_id": {"value": "pod"}, "type": "DEFAULT", "resources": HELD}


def task(**said: Any) -> mesos.TaskInfo:
    base = {
        "name": "n",
        "task_id": {"value": "t"},
        "agent_id": {"value": "a"},
        "resources": HELD,
        "command": {"value": "true"},
    }
    return from_json(base | said, mesos.TaskInfo)


def volume(mode: str = "RW", **said: Any) -> dict[str, Any]:
    made = {"container_path": "x", "mode": mode} | said
    return {"container": {"type": "MESOS", "volumes": [made]}}


def check(**said: Any) -> dict[str, Any]:
    return {"health_check": said}


INVALID = "Task uses invalid resources: "


TASKS: list[tuple[dict[str, Any], str]] = [
    ({"task_id": {"value": "a/b"}}, "'a/b' contains invalid characters"),
    ({"task_id": {"value": "a\\b"}}, "'a\\b' contains invalid characters"),
    ({"task_id": {"value": "a\x01"}}, "'a\x01' contains invalid characters"),
    ({"task_id": {"value": "."}}, "'.' is disallowed"),
    ({"task_id": {"value": ".."}}, "'..' is disallowed"),
    ({"task_id": {"value": ""}}, "ID must not be empty"),
    ({"task_id": {"value": "x" * 256}}, "ID must not be greater than 255 characters"),
    (
        {"kill_policy": {"grace_period": {"nanoseconds": -1}}},
        "Task's 'kill_policy.grace_period' must be non-negative",
    ),
    (
        {"max_completion_time": {"nanoseconds": -1}},
        "Task's `max_completion_time` must be non-negative",
    ),
    ({"resources": []}, "Task uses no resources"),
    (
        {"resources": [scalar("cpus", 0.0001)]},
        f"{INVALID}Invalid resources: Resource 'cpus(allocated: dev):0' is invalid: Invalid scalar"
        " resource: value <= 0",
    ),
    (
        {"resources": [scalar("cpus", -1.5, allocation_info={"role": "x"})]},
        f"{INVALID}Invalid resources: Resource 'cpus(allocated: x):-1.5' is invalid: Invalid scalar"
        " resource: value <= 0",
    ),
    (
        {"resources": [scalar("cpus", 1), scalar("gpus", 0.5)]},
        f"{INVALID}Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
    ),
    (
        {
            "resources": [
                {
                    "name": "ports",
                    "type": "RANGES",
                    "ranges": {"range": [{"begin": 2, "end": 9}, {"begin": 9, "end": 9}]},
                }
            ]
        },
        f"{INVALID}Invalid resources: Resource 'ports(allocated: dev):[2-9, 9-9]' is invalid:"
        " Invalid ranges resource: overlapping ranges",
    ),
    (
        {"resources": [scalar("disk", 1, disk=VOLUME)]},
        f"{INVALID}Invalid DiskInfo: Persistent volumes cannot be created from unreserved"
        " resources",
    ),
    (
        {"resources": [scalar("cpus", 1), scalar("cpus", 1, revocable={})]},
        "Task mixes revocable and non-revocable resources: Cannot use both revocable and"
        " non-revocable 'cpus' at the same time",
    ),
    (
        {
            "resources": [
                scalar("cpus", 1, allocation_info={"role": "a"}),
                scalar("mem", 1, allocation_info={"role": "b"}),
            ]
        },
        "Invalid task resources: The resources have multiple allocation roles ('b' and 'a') but"
        " only one allocation role is allowed",
    ),
    (
        {"command": {"value": "x", "environment": {"variables": [{"name": "A"}]}}},
        "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a"
        " value set",
    ),
    (
        {
            "command": {
                "value": "x",
                "environment": {"variables": [{"name": "A", "type": "SECRET"}]},
            }
        },
        "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'SECRET' must have a"
        " secret set",
    ),
    (
        {"container": {"type": "DOCKER"}},
        "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed"
        " ContainerInfo",
    ),
    (
        volume(),
        "Task's `ContainerInfo` is invalid: Invalid volume: Only one of them should be set:"
        " 'host_path', 'image' and 'source'",
    ),
    (
        volume(source={"type": "SANDBOX_PATH"}),
        "Task's `ContainerInfo` is invalid: Invalid volume: 'source.sandbox_path' is not set for"
        " SANDBOX_PATH volume",
    ),
    (
        {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}},
        "Only tasks in a task group may have 'share_cgroups' set to 'false'",
    ),
    (
        {"limits": {"gpus": {"value": 1}}},
        "Only cpus and mem may be included in a task's resource limits",
    ),
    (
        {"limits": {"cpus": {"value": 0.01}}},
        "The cpu limit must be greater than or equal to the cpu request",
    ),
    (
        {"limits": {"mem": {"value": 1}}, "resources": [scalar("cpus", 1)]},
        "When a memory limit is specified, a memory request must also be specified",
    ),
    (
        {"command": None},
        "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
    ),
    (
        {"executor": EXECUTOR},
        "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
    ),
    (
        {"command": None, "executor": {"executor_id": {"value": "e"}, "type": "CUSTOM"}},
        "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
    ),
    (
        {"command": None, "executor": {"executor_id": {"value": "e"}, "type": "DEFAULT"}},
        "'ExecutorInfo.type' must be 'CUSTOM'",
    ),
    ({"command": None, "executor": EXECUTOR | {"executor_id": {"value": "a/"}}}, "'a/' contains"),
    (
        {"command": None, "executor": EXECUTOR | {"resources": [scalar("", 1)]}},
        "Executor uses invalid resources: Invalid resources: Resource '(allocated: dev):1' is"
        " invalid: Empty resource name",
    ),
    (check(delay_seconds=1), "HealthCheck must specify 'type'"),
    (check(type="UNKNOWN"), "'UNKNOWN' is not a valid health check type"),
    (check(type="COMMAND"), "Expecting 'command' to be set for COMMAND health check"),
    (
        check(type="COMMAND", command={"shell": False}),
        "Command health check must contain 'executable path'",
    ),
    (check(type="HTTP"), "Expecting 'http' to be set for HTTP health check"),
    (
        check(type="HTTP", http={"port": 1, "scheme": "ftp"}),
        "Unsupported HTTP health check scheme: 'ftp'",
    ),
    (
        check(type="HTTP", http={"port": 1, "path": "x"}),
        "The path 'x' of HTTP health check must start with '/'",
    ),
    (
        check(type="TCP", tcp={"port": 1}, grace_period_seconds=-1),
        "Expecting 'grace_period_seconds' to be non-negative",
    ),
    (
        {"check": {"type": "TCP"}},
        "Task uses invalid check: Expecting 'tcp' to be set for TCP check",
    ),
    ({"check": {}}, "Task uses invalid check: CheckInfo must specify 'type'"),
]


@pytest.mark.parametrize(("said", "text"), TASKS, ids=[text[-30:] for _, text in TASKS])
def test_a_task_is_refused_as_by_mesos(said: dict[str, Any], text: str) -> None:
    problem = task_problem(task(**said), "dev")
    assert problem is not None
    if "health_check" in said:
        text = f"Task uses invalid health check: {text}"
    assert problem.startswith(text)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"task_id": {"value": "a b ü"}},
        {"command": None, "executor": EXECUTOR},
        {"resources": [scalar("cpus", 0), scalar("mem", 0.001)]},
        {"max_completion_time": {"nanoseconds": 0}},
        {
            "resources": [
                scalar("disk", 1, disk=VOLUME, reservations=[{"type": "DYNAMIC", "role": "dev"}])
            ]
        },
        {"resources": [scalar("cpus", 1, role="dev", reservation={})]},
        volume(host_path="/x"),
        check(type="TCP", tcp={"port": 1}),
    ],
)
def test_what_mesos_takes_is_taken(said: dict[str, Any]) -> None:
    assert task_problem(task(**said), "dev") is None


@pytest.mark.parametrize(
    ("executor", "info", "text"),
    [
        (POD, {"task_id": {"value": ""}}, "Task '' is invalid: ID must not be empty"),
        (
            POD,
            {"container": {"type": "DOCKER", "docker": {"image": "i"}}},
            "Task 't' is invalid: Docker ContainerInfo is not supported on the task",
        ),
        (POD | {"type": None}, {}, "'ExecutorInfo.type' must be set"),
        (
            POD | {"command": {"value": "x"}},
            {},
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor",
        ),
        (
            POD | {"resources": HELD[1:]},
            {},
            "Executor 'pod' uses less CPUs (None) than the minimum required (0.01)",
        ),
        (
            POD | {"resources": [HELD[0], scalar("mem", 1), HELD[2]]},
            {},
            "Executor 'pod' uses less memory (1MB) than the minimum required (32MB)",
        ),
        (POD | {"resources": HELD[:2]}, {}, "Executor 'pod' uses no disk"),
        (
            POD,
            {"executor": {"executor_id": {"value": "x"}, "type": "DEFAULT"}},
            "The `ExecutorInfo` of task 't' is different from executor 'pod'",
        ),
        (
            POD,
            {"limits": {"cpus": {"value": 1}}},
            "Task 't' is invalid: Resource limits may only be set for tasks within a task group"
            " when the 'share_cgroups' field is set to 'false'.",
        ),
    ],
)
def test_a_group_is_refused_as_by_mesos(
    executor: dict[str, Any], info: dict[str, Any], text: str
) -> None:
    made = from_json(executor, mesos.ExecutorInfo)
    assert group_problem(made, [task(**info)], "dev") == text
    assert group_problem(from_json(POD, mesos.ExecutorInfo), [task()], "dev") is None


@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("", "Role names cannot be the empty string"),
        ("/a", "Role '/a' cannot start with a slash"),
        ("a/", "Role 'a/' cannot end with a slash"),
        ("a//b", "Role 'a//b' cannot contain two adjacent slashes"),
        ("a/.", "Role 'a/.' cannot include '.' as a component"),
        ("..", "Role '..' cannot include '..' as a component"),
        ("a/*", "Role 'a/*' cannot include '*' as a component"),
        ("-a", "Role component '-a' is invalid because it starts with a dash"),
        ("a b", "Role component 'a b' is invalid because it contains backspace or whitespace"),
        ("*", None),
        ("a/b-c", None),
    ],
)
def test_roles_are_refused_as_by_mesos(role: str, text: str | None) -> None:
    assert names.role_problem(role) == text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (scalar("cpus", 2.5), "cpus(allocated: dev):2.5"),
        (scalar("cpus", 0.1, role="r"), "cpus(allocated: dev)(reservations: [(STATIC,r)]):0.1"),
        (
            scalar(
                "disk",
                50,
                reservations=[{"type": "DYNAMIC", "role": "dev", "principal": "p"}],
                disk=VOLUME,
                shared={},
            ),
            "disk(allocated: dev)(reservations: [(DYNAMIC,dev,p)])[v:d]<SHARED>:50",
        ),
        ({"name": "s", "type": "SET", "set": {"item": ["a", "b"]}}, "s(allocated: dev):{a, b}"),
    ],
)
def test_resources_are_written_as_by_mesos(said: dict[str, Any], text: str) -> None:
    assert resources.shown(from_json(said, mesos.Resource), "dev") == text


@pytest.mark.parametrize("value", [1e306, math.inf, math.nan])
def test_no_amount_is_too_large_to_be_checked(value: float) -> None:
    info = task()
    info.resources[0].scalar.value = value
    assert task_problem(info) is None, "the core refuses it"
    info.resources[0].name = "gpus"
    assert "must be an unsigned integer" in (task_problem(info) or "")
    written = "nan" if math.isnan(value) else "inf"
    assert resources.shown(info.resources[0]) == f"gpus:{written}"
    told = quotas.overcommit({"a": {"cpus": value}}, [{"cpus": 4.0}])
    assert told == f"'cpus:{written}' exceed cluster capacity 'cpus:4'"
    info.resources[0].scalar.value = -value
    assert task_problem(info) is not None


MULTI = [{"type": "MULTI_ROLE"}]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (
            {"role": "x", "capabilities": MULTI},
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
        ),
        (
            {"roles": ["x"]},
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
        ),
        (
            {"roles": ["a", "b", "a"], "capabilities": MULTI},
            "'FrameworkInfo.roles' contains duplicate items: { a }",
        ),
        (
            {"roles": ["/a"], "capabilities": MULTI},
            "'FrameworkInfo.roles' contains invalid role: Role '/a' cannot start with a slash",
        ),
        (
            {"role": ".."},
            "'FrameworkInfo.role' is not a valid role: Role '..' cannot include '..' as a"
            " component",
        ),
        ({"id": {"value": "a/b"}}, "'a/b' contains invalid characters"),
        ({"failover_timeout": 1e20}, "The framework failover_timeout (1e+20) is invalid"),
        (
            {
                "offer_filters": {
                    "dev": {
                        "min_allocatable_resources": {
                            "quantities": [{"quantities": {"cpus": {"value": -1}}}]
                        }
                    }
                }
            },
            "Invalid resource quantity for 'cpus': Negative values not supported",
        ),
        ({}, None),
        ({"role": "dev", "id": {"value": ""}, "failover_timeout": 1e9}, None),
        ({"roles": [], "capabilities": MULTI}, None),
    ],
)
def test_a_framework_is_refused_as_by_mesos(said: dict[str, Any], text: str | None) -> None:
    info = from_json({"user": "u", "name": "n"} | said, mesos.FrameworkInfo)
    assert info_problem(info) == text


def test_what_is_refused_is_told_word_for_word() -> None:
    launch = {"type": "LAUNCH", "launch": {"task_infos": [{**TASK, "resources": []}]}}
    accept = {"offer_ids": [{"value": "o"}], "operations": [launch]}
    said = {"framework_id": {"value": "f"}, "type": "ACCEPT", "accept": accept}
    translation = calls.translate(from_json(said, mesos_scheduler.Call), "dev", 17.5)
    (told,) = translation.told
    status = told.update.status
    assert (status.message, status.timestamp) == ("Task uses no resources", 17.5)
    assert translation.call is not None and not translation.call.accept.operations


@pytest.mark.parametrize(("state", "has_reason"), [("TASK_RUNNING", True), ("TASK_KILLED", False)])
def test_a_task_that_ends_by_its_health_checks_has_no_reason(state: str, has_reason: bool) -> None:
    status = pb.TaskStatus(
        task_id="t",
        state=state,
        reason=pb.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED,
        source=pb.SOURCE_AGENT,
        healthy=False,
    )
    told = status_to_mesos(status, NOWHERE)
    assert (told.HasField("reason"), told.healthy) == (has_reason, False)
    assert told.source == mesos.TaskStatus.SOURCE_EXECUTOR


@pytest.mark.parametrize("state", [pb.TASK_KILLING, pb.TASK_KILLED])
@pytest.mark.parametrize("drained", [True, False])
def test_whatever_a_task_is_killed_for_on_a_drained_agent_is_that(
    state: pb.TaskState, drained: bool
) -> None:
    status = pb.TaskStatus(task_id="t", state=state, source=pb.SOURCE_EXECUTOR, agent_id="a")
    told = status_to_mesos(status, Places(is_drained=lambda agent_id: drained))
    assert told.HasField("reason") is drained
    status.source = pb.SOURCE_MASTER  # which tells what it knows
    assert not status_to_mesos(status, Places(is_drained=lambda agent_id: True)).HasField("reason")


@pytest.mark.parametrize(("gone", "state"), [(True, 12), (False, 4)])
def test_of_an_agent_that_is_drained_and_given_up_tasks_are_gone(gone: bool, state: int) -> None:
    status = pb.TaskStatus(
        task_id="t",
        state=pb.TASK_KILLED,
        reason=pb.REASON_AGENT_DRAINING,
        source=pb.SOURCE_AGENT,
        agent_id="a",
    )
    told = status_to_mesos(status, Places(is_given_up=lambda agent_id: gone and agent_id == "a"))
    assert (told.state, told.source) == (state, mesos.TaskStatus.SOURCE_EXECUTOR)
    assert told.reason == mesos.TaskStatus.REASON_AGENT_DRAINING
    assert mesos.TaskState.Name(told.state) == ("TASK_GONE_BY_OPERATOR" if gone else "TASK_KILLED")


TASK = {
    "name": "n",
    "task_id": {"value": "t"},
    "agent_id": {"value": "a"},
    "command": {"value": "true"},
}
