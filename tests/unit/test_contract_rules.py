"""Every field of the contract has a rule, and what breaks it is said by its name."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from pymesos_core import contract, contract_rules, limits
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

PROTO = Path(contract.__file__).resolve().parents[2] / "proto" / "pymesos_proto" / "v1"
# What comes in on the streams of masters, agents, frameworks and executors, from operators, and
# from a backup.
STREAMS = [
    scheduler_pb.CallBatch,
    scheduler_pb.EventBatch,
    agent_pb.AgentBatch,
    agent_pb.MasterBatch,
    executor_pb.ExecutorCallBatch,
    executor_pb.ExecutorEventBatch,
    backup_pb.BackupRecord,
    jobs_pb.RestoreJobRequest,
]
REQUESTS = [
    getattr(operator_pb, name)
    for name in operator_pb.DESCRIPTOR.message_types_by_name
    if name.endswith("Request")
]


def reachable(descriptor: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    if descriptor.full_name not in seen:
        seen[descriptor.full_name] = descriptor
        for field in descriptor.fields:
            if field.message_type is not None:
                reachable(field.message_type, seen)
    return seen


def fields() -> list[FieldDescriptor]:
    seen: dict[str, Descriptor] = {}
    for message in (*STREAMS, *REQUESTS):
        reachable(message.DESCRIPTOR, seen)
    return [
        field
        for descriptor in seen.values()
        if descriptor.name not in contract_rules.READ_ELSEWHERE
        for field in descriptor.fields
        if field.message_type is None and field.type != FieldDescriptor.TYPE_BOOL
    ]


def test_every_field_has_a_rule() -> None:
    without = [field.full_name for field in fields() if contract.rule_of(field) is None]
    assert not without, f"say in core/pymesos_core/contract_rules.py what these may be: {without}"


def test_no_rule_is_of_a_field_that_is_not_there() -> None:
    there: set[str] = set()
    for path in PROTO.glob("*.proto"):
        module = importlib.import_module(f"pymesos_proto.v1.{path.stem}_pb2")
        seen: dict[str, Descriptor] = {}
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            reachable(descriptor, seen)
        for descriptor in seen.values():
            names = {field.name for field in descriptor.fields}
            there |= names | {f"{descriptor.name}.{name}" for name in names} | {descriptor.name}
    assert set(contract_rules.RULES) <= there
    assert set(contract_rules.COUNTS) <= there
    assert set(contract_rules.SIZES) <= there


def test_every_number_that_is_not_finite_is_refused_or_has_a_meaning() -> None:
    doubles = {f.name: f for f in fields() if f.type == FieldDescriptor.TYPE_DOUBLE}
    # Of which the one who reads it says what any number means.
    elsewhere = {"refuse_seconds", "usage_interval_s", "weight"}
    assert len(doubles) > 15
    for name, field in doubles.items():
        rule = contract.rule_of(field)
        assert rule is not None
        for value in (math.nan, -1.0, -math.inf):
            assert bool(rule(value)) == (name not in elsewhere), (name, value)
        for value in (1e308, math.inf):
            assert bool(rule(value)) == (name not in {*elsewhere, "failover_timeout_s"}), name
        assert rule(1.0) is None, name


def test_every_state_that_is_not_one_is_refused() -> None:
    states = [f for f in fields() if f.enum_type is not None and f.enum_type.name == "TaskState"]
    assert len(states) >= 4
    for field in states:
        rule = contract.rule_of(field)
        assert rule is not None
        assert rule(pb.TASK_RUNNING) is None
        assert rule(777) == " is 777, which is no TaskState"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (pb.KillPolicy(grace_period_s=math.nan), "grace_period_s is nan; a number of seconds"),
        (
            pb.TaskInfo(kill_policy=pb.KillPolicy(grace_period_s=1e308)),
            "kill_policy.grace_period_s",
        ),
        (pb.TaskInfo(labels=[pb.Label(key="a"), pb.Label(key="\u202e")]), r"labels[1].key: "),
        (pb.TaskInfo(labels=[pb.Label(key="a")] * 257), "labels has 257 labels; at most 256"),
        (pb.TaskInfo(data=b"x" * 262_145), "Task has 26"),
        (
            pb.TaskInfo(command=pb.CommandInfo(arguments=["a", "b\0"])),
            "command.arguments has a NUL",
        ),
        (pb.TaskStatus(state=777), "state is 777"),  # type: ignore[arg-type]
        (pb.TaskStatus(message="x" * 70_000), "A status update has 70004 bytes; at most 65536"),
        (pb.AgentInfo(version="x" * 70_000), "The AgentInfo has 70004 bytes; at most 65536"),
        (pb.AgentInfo(address=pb.Address(hostname="a\u202eb")), "address.hostname: "),
        (pb.AgentInfo(address=pb.Address(port=70_000)), "address.port is 70000; a port"),
        (pb.AgentInfo(isolation={"cpus": "a\nb"}), "isolation[cpus] "),
        (pb.FrameworkInfo(roles=["a", "b c"]), "roles: role 'b c' has white space"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(message: Any, says: str) -> None:
    problem = contract.problem(message)
    assert problem is not None and problem.startswith(says)


def test_what_only_a_newer_peer_says_is_left_out_of_a_status() -> None:
    newer = {"reason": 777, "source": 777, "image_trouble": 777}
    status = pb.TaskStatus(state=pb.TASK_FAILED, **newer)  # type: ignore[arg-type]
    assert contract.problem(status) is None
    assert contract.tame(status) == pb.TaskStatus(state=pb.TASK_FAILED)


def test_the_comments_of_the_contract_name_the_limits_as_they_are() -> None:
    table = {limit.name: limit for limit in limits.TABLE}
    named: set[str] = set()
    for path in PROTO.glob("*.proto"):
        text = " ".join(path.read_text("utf-8").replace("//", " ").split())
        for name, number, unit in re.findall(r"Limit: ([a-z ]+), (\d+) (\w+)\.", text):
            limit = table[name]
            assert (limit.most, limit.unit) == (int(number), unit), f"{path.name}: {name}"
            named.add(name)
    assert len(named) > 30


def test_the_limits_leave_room_in_a_message_and_in_a_record() -> None:
    total = limits.AGENT_INFO.most + limits.RESERVED.most
    assert total < limits.RECORD.most
    offer = 2 * total + limits.AGENT_INFO.most  # what is offered, all there is, the attributes
    assert offer < limits.MESSAGE.most
    assert limits.TASK_INFO.most + limits.FRAMEWORK_INFO.most < limits.MESSAGE.most
    assert limits.GROUP.most + limits.FRAMEWORK_INFO.most < limits.MESSAGE.most
    assert limits.FRAMEWORK_INFO.most < limits.RECORD.most
    each = limits.FRAMEWORK_ROLES.most
    roles = ["x" * (limits.ROLES_OF_JOBS.most // each)] * each
    name = "x" * limits.NAME.most
    info = pb.FrameworkInfo(name=name, user=name, roles=roles, job_roles=roles)
    the_rest = 8 * limits.ID.most  # ids, addresses, numbers
    assert info.ByteSize() + the_rest < limits.FRAMEWORK_INFO.most
    assert limits.QUOTA.most < limits.RECORD.most


def test_many_ids_in_a_large_message_are_each_looked_at() -> None:
    """The tasks of a large RECONCILE are recognized at a glance: 20,000 may come at once."""
    asked = [scheduler_pb.Call.Reconcile.Task(task_id=f"task-{n}") for n in range(20_000)]
    call = scheduler_pb.Call(reconcile=scheduler_pb.Call.Reconcile(tasks=asked))
    assert contract.problem(call) is None
    call.reconcile.tasks[19_999].agent_id = "x" * 256
    assert contract.problem(call) == (
        "reconcile.tasks[19999].agent_id: An id has 256 bytes; at most 255 are accepted"
    )
