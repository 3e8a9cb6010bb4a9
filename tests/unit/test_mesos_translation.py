"""Calls and events of Mesos' scheduler API, and what they are to the core."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymesos_core import resources as core_resources
from pymesos_core.limits import CALL_TASKS
from pymesos_core.mesos import older, unsupported
from pymesos_core.mesos.json_messages import from_json, to_object
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.resources import attribute_to_mesos, from_mesos, to_mesos
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import executor_id_of
from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_core.resources import parse, to_proto
from pymesos_master.mesos import alike, calls, validating
from pymesos_master.mesos.alike import task_of_launch
from pymesos_master.mesos.frameworks import ALWAYS, info_of
from pymesos_master.mesos.rules.tasks import task_problem
from pymesos_master.mesos.tasks import task_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import operator_pb2 as operator_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.mesos_calls import accept, call, launch, task
from pymesos_testing.odd_messages import messages

slow = settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)


# Nothing that is said is too odd.


@slow
@given(messages(mesos_scheduler.Call))
def test_every_call_is_translated_or_refused(said: mesos_scheduler.Call) -> None:
    try:
        validating.validate(said)
    except RefusalError as refusal:
        assert refusal.status == 400
    functions: list[Any] = [calls.translate, calls.subscribe_of, calls.update_of]
    for function in functions:
        try:
            function(said)
        except UnsupportedError as error:
            assert str(error)


@slow
@given(messages(mesos.TaskInfo))
def test_every_task_is_translated_or_refused_by_name(said: mesos.TaskInfo) -> None:
    try:
        out = task_of(said)
    except UnsupportedError as error:
        assert str(error)
        return
    assert out.task_id == said.task_id.value


def looked_at_alone(info: mesos.TaskInfo, role: str) -> pb.TaskInfo | str:
    try:
        return task_problem(info, role) or task_of(info)
    except UnsupportedError as error:
        return str(error)


def launched(info: mesos.TaskInfo, role: str) -> pb.TaskInfo | str:
    try:
        return task_of_launch(info, role)
    except UnsupportedError as error:
        return str(error)


@slow
@given(messages(mesos.TaskInfo), st.sampled_from(["", "dev"]))
def test_every_task_is_what_it_would_be_alone(said: mesos.TaskInfo, role: str) -> None:
    assert launched(said, role) == looked_at_alone(said, role)
    assert launched(said, role) == looked_at_alone(said, role), "once such a task is known"


def test_tasks_that_are_alike_have_their_own_names() -> None:
    labels = {"labels": [{"key": "k", "value": "v"}]}
    for name in ("x", "y"):
        names = {"name": name, "task_id": {"value": f"t{name}"}, "agent_id": {"value": f"a{name}"}}
        info = task(labels=labels, **names)
        out = task_of_launch(info, "dev")
        assert (out.name, out.task_id, out.agent_id) == (name, f"t{name}", f"a{name}")
        assert out == task_of(info)
    assert launched(task(labels=labels, task_id={"value": "a/b"}), "dev") == (
        "'a/b' contains invalid characters"
    )


def test_a_refusal_of_tasks_that_are_alike_names_the_role_of_each() -> None:
    of_none = [{"name": "cpus", "type": "SCALAR"}]
    for role in ("dev", "prod"):
        assert f"'cpus(allocated: {role}):0' is invalid" in str(
            launched(task(resources=of_none), role)
        )


def test_large_tasks_are_not_remembered() -> None:
    before = alike._of_nameless.cache_info().currsize
    for number in range(3):
        large = task(command={"value": f"{number}" * (alike.MAX_BYTES + 1)})
        assert task_of_launch(large, "") == task_of(large)
    assert alike._of_nameless.cache_info().currsize == before


def test_what_a_task_holds_is_shown_alike_for_each() -> None:
    many = ",".join(f"{begin}-{begin}" for begin in range(1, 2000, 2))
    for text, ports in (
        ("cpus:0.5;mem:32;ports:[7-9]", "[7-9]"),
        (f"cpus:0.5;mem:32;ports:[{many}]", f"[{', '.join(many.split(','))}]"),
    ):
        info = pb.TaskInfo(task_id="t", resources=to_proto(parse(text)))
        view = operator_pb.TaskView(task_info=info, state=pb.TASK_RUNNING)
        for _ in range(2):
            shown = older.task(view, (), Places())["resources"]
            assert shown == {"disk": 0.0, "mem": 32.0, "gpus": 0.0, "cpus": 0.5, "ports": ports}
            shown["cpus"] = 9.0  # which is of this answer alone


def reachable(descriptor: Any, name: str) -> None:
    """Every message that may be looked into has a row."""
    fields = unsupported.TRANSLATED[name]
    assert fields <= {field.name for field in descriptor.fields}, name
    for field in descriptor.fields:
        if field.name in fields and field.message_type is not None:
            inner = field.message_type.full_name.removeprefix(unsupported.PACKAGE)
            reachable(field.message_type, inner)


@pytest.mark.parametrize("kind", [mesos.TaskInfo, mesos.Resource])
def test_the_table_of_what_is_translated_is_whole(kind: type[Message]) -> None:
    reachable(kind.DESCRIPTOR, kind.DESCRIPTOR.name)


def test_what_is_left_out_are_fields_that_there_are() -> None:
    for name in unsupported.LEFT_OUT:
        owner, _, field = name.rpartition(".")
        descriptor = mesos.DESCRIPTOR.message_types_by_name[owner.split(".")[0]]
        for part in owner.split(".")[1:]:
            descriptor = descriptor.nested_types_by_name[part]
        assert field in descriptor.fields_by_name, name


# Tasks.


def test_a_command_is_run_by_a_shell_unless_it_says_otherwise() -> None:
    assert task_of(task()).command == pb.CommandInfo(shell=True, value="true")
    said = {"shell": False, "value": "/bin/ls", "arguments": ["ls", "-l"]}
    plain = task_of(task(command=said)).command
    assert (plain.shell, plain.value, list(plain.arguments)) == (False, "/bin/ls", ["-l"])


def test_a_docker_image_gets_all_arguments() -> None:
    docker = {"type": "DOCKER", "docker": {"image": "img", "network": "BRIDGE"}}
    said = {"shell": False, "arguments": ["-a", "-b"]}
    out = task_of(task(command=said, container=docker))
    assert (out.container.image, out.container.network) == ("img", "bridge")
    assert list(out.command.arguments) == ["-a", "-b"]


def test_a_volume_is_made_larger_or_smaller() -> None:
    reserved = {
        "name": "disk",
        "type": "SCALAR",
        "reservations": [{"type": "DYNAMIC", "role": "dev"}],
    }
    persistence = {"persistence": {"id": "v"}, "volume": {"container_path": "d", "mode": "RW"}}
    volume = {**reserved, "scalar": {"value": 64}, "disk": persistence}
    grow = {"volume": volume, "addition": {**reserved, "scalar": {"value": 16}}}
    shrink = {"volume": volume, "subtract": {"value": 30}}
    translation = accept(
        {"type": "GROW_VOLUME", "grow_volume": grow},
        {"type": "SHRINK_VOLUME", "shrink_volume": shrink},
    )
    assert translation.call is not None and translation.told == []
    growing, shrinking = translation.call.accept.operations
    assert growing.grow_volume.volume.disk.persistence_id == "v"
    assert growing.grow_volume.addition.scalar == 16
    less = shrinking.shrink_volume.subtraction
    assert (less.scalar, less.HasField("disk")) == (30, False)
    assert less.reservations == shrinking.shrink_volume.volume.reservations


def test_operations_that_are_not_there_are_refused_to_those_who_ask() -> None:
    translation = accept(
        {"type": "CREATE_DISK", "id": {"value": "op"}},
        {"type": "DESTROY_DISK"},
        {"type": "NO_SUCH_OPERATION"},
        {"type": "LAUNCH"},
    )
    assert translation.call is not None and not translation.call.accept.operations
    (told,) = translation.told
    status = told.update_operation_status.status
    assert (status.operation_id.value, status.state) == ("op", mesos.OPERATION_ERROR)
    assert "CREATE_DISK" in status.message


def group(*infos: mesos.TaskInfo, **executor: Any) -> dict[str, Any]:
    held = [
        {"name": name, "type": "SCALAR", "scalar": {"value": value}}
        for name, value in (("cpus", 0.1), ("mem", 32), ("disk", 1))
    ]
    said = {"executor_id": {"value": "pod"}, "type": "DEFAULT", "resources": held} | executor
    tasks = {"tasks": list(map(to_object, infos))}
    return {"type": "LAUNCH_GROUP", "launch_group": {"executor": said, "task_group": tasks}}


def test_a_group_is_launched_in_the_network_of_its_executor() -> None:
    shared = {
        "container_path": "data",
        "mode": "RW",
        "source": {"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "common"}},
    }
    ports = {
        "name": "ports",
        "type": "RANGES",
        "ranges": {"range": [{"begin": 31000, "end": 31001}]},
    }
    mapping = {"host_port": 31001, "container_port": 80, "protocol": "tcp"}
    network = {"name": "bridge", "port_mappings": [mapping]}
    translation = accept(
        group(
            task(container={"type": "MESOS", "volumes": [shared]}),
            task(task_id={"value": "u"}, resources=[ports]),
            container={"type": "MESOS", "network_infos": [network]},
        )
    )
    assert translation.told == [] and translation.call is not None
    (operation,) = translation.call.accept.operations
    one, other = operation.launch_group.task_infos
    assert (one.group_executor_id, other.group_executor_id) == ("pod", "pod")
    assert not one.HasField("executor") and one.command.value
    (mount,) = one.container.mounts
    assert (mount.container_path, mount.group_path) == ("data", "common")
    assert one.container.network == other.container.network == "bridge"
    (mapped,) = other.container.port_mappings
    assert (mapped.port_index, mapped.container_port) == (1, 80)
    assert executor_id_of(one) == "pod"


@pytest.mark.parametrize(
    ("info", "executor", "says"),
    [
        ({}, {"type": "CUSTOM", "command": {"value": "x"}}, "ExecutorInfo.type DEFAULT"),
        ({}, {"command": {"value": "x"}}, "'ExecutorInfo.command' must not be set"),
        ({}, {"container": {"type": "DOCKER"}}, "must be 'MESOS'"),
        (
            {},
            {"container": {"type": "MESOS", "rlimit_info": {}}},
            "ExecutorInfo.container.rlimit_info",
        ),
        (
            {"container": {"type": "DOCKER", "docker": {"image": "i"}}},
            {},
            "Docker ContainerInfo is not supported",
        ),
        (
            {"container": {"type": "MESOS", "network_infos": [{"name": "n"}]}},
            {},
            "NetworkInfos must not be set",
        ),
        ({"executor": {"executor_id": {"value": "other"}}}, {}, "is different from"),
        (
            {
                "limits": {"cpus": {"value": 64}},
                "container": {"type": "MESOS", "linux_info": {"share_cgroups": False}},
            },
            {},
            "TaskInfo.limits",
        ),
        ({"command": None}, {}, "'TaskInfo.command' must be set"),
        (
            {
                "container": {
                    "type": "MESOS",
                    "volumes": [
                        {
                            "container_path": "data",
                            "mode": "RW",
                            "source": {
                                "type": "SANDBOX_PATH",
                                "sandbox_path": {"type": "SELF", "path": "x"},
                            },
                        }
                    ],
                }
            },
            {},
            "of the type PARENT",
        ),
    ],
)
def test_a_group_is_refused_as_a_whole(
    info: dict[str, Any], executor: dict[str, Any], says: str
) -> None:
    translation = accept(group(task(**info), task(task_id={"value": "u"}), **executor))
    assert translation.call is not None and not translation.call.accept.operations
    told = [one.update.status for one in translation.told]
    assert [status.task_id.value for status in told] == ["t", "u"]
    assert {status.reason for status in told} == {mesos.TaskStatus.REASON_TASK_GROUP_INVALID}
    assert says in told[0].message


def test_a_call_with_more_tasks_than_the_core_takes_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="1001 tasks"):
        accept(launch(*[task()] * (CALL_TASKS.most + 1)))


def test_operations_are_not_remembered() -> None:
    said = {"operations": [{"operation_id": {"value": "x"}, "agent_id": {"value": "a"}}]}
    translation = calls.translate(call(type="RECONCILE_OPERATIONS", reconcile_operations=said))
    assert translation.call is None
    status = translation.told[0].update_operation_status.status
    assert (status.state, status.agent_id.value) == (mesos.OPERATION_UNKNOWN, "a")


def test_a_reservation_in_either_format() -> None:
    new = {"reservations": [{"type": "DYNAMIC", "role": "dev", "principal": "p"}]}
    old = {"role": "dev", "reservation": {"principal": "p"}}
    cpus = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}
    ours = [from_mesos(from_json(cpus | said, mesos.Resource)) for said in (new, old)]
    assert ours[0] == ours[1]
    reservation = ours[0].reservations[0]
    assert (reservation.type, reservation.role) == (pb.Resource.Reservation.DYNAMIC, "dev")
    static = from_mesos(from_json(cpus | {"role": "dev"}, mesos.Resource))
    assert static.reservations[0].type == pb.Resource.Reservation.STATIC


TEXTS = ["cpus:1.5", "ports:[1-3,7-9]", "disk(dev):5", "names:{a,b}", "mem(dev){x:y}:3"]


@given(
    st.sampled_from(["cpus", "disk"]),
    st.integers(1, 10**6),
    st.lists(st.sampled_from(["eng", "eng/dev"]), max_size=2, unique=True),
    st.booleans(),
    st.booleans(),
)
def test_resources_survive_both_formats(
    name: str, amount: int, roles: list[str], volume: bool, refined: bool
) -> None:
    ours = pb.Resource(name=name, scalar=amount / 1000)
    for role in sorted(roles):
        ours.reservations.add(role=role, principal="p", labels=[pb.Label(key="k", value="v")])
    if volume and roles and name == "disk":
        ours.disk.persistence_id, ours.disk.container_path = "v", "data"
    theirs = to_mesos(ours, refined=refined, allocated_to="eng")
    if len(roles) > 1 and not refined:
        assert theirs is None
        return
    assert theirs is not None and theirs.IsInitialized()
    back = from_mesos(theirs)
    assert core_resources.from_proto([back]) == core_resources.from_proto([ours])


def test_a_part_of_a_device_cannot_be_said() -> None:
    part = pb.Resource(name="gpus", scalar=0.5, device="0")
    assert to_mesos(part, refined=True, allocated_to=None) is None


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("r1", mesos.Value.TEXT, {"text": {"value": "r1"}}),
        ("3", mesos.Value.SCALAR, {"scalar": {"value": 3.0}}),
        ("-1.5", mesos.Value.SCALAR, {"scalar": {"value": -1.5}}),
        ("[1-4, 7-9]", mesos.Value.RANGES,
         {"ranges": {"range": [{"begin": 1, "end": 4}, {"begin": 7, "end": 9}]}}),
        ("{a, b}", mesos.Value.SET, {"set": {"item": ["a", "b"]}}),
        ("1e5", mesos.Value.TEXT, {"text": {"value": "1e5"}}),
        ("nan", mesos.Value.TEXT, {"text": {"value": "nan"}}),
        ("[1-x]", mesos.Value.TEXT, {"text": {"value": "[1-x]"}}),
        ("9" * 400, mesos.Value.TEXT, {"text": {"value": "9" * 400}}),
    ],
)  # fmt: skip
def test_an_attribute_has_the_kind_that_mesos_reads_in_it(
    text: str, kind: int, value: dict[str, Any]
) -> None:
    out = attribute_to_mesos(pb.Attribute(name="a", text=text))
    assert out.type == kind
    assert {k: v for k, v in to_object(out).items() if k not in ("name", "type")} == value


# Frameworks.


def framework(**said: Any) -> mesos.FrameworkInfo:
    return from_json({"user": "u", "name": "n"} | said, mesos.FrameworkInfo)


def test_what_a_framework_declares() -> None:
    info = info_of(
        framework(
            capabilities=[{"type": "PARTITION_AWARE"}, {"type": "REGION_AWARE"}, {"type": "NEW"}],
            role="dev",
            failover_timeout=5,
        )
    )
    assert list(info.roles) == ["dev"] and info.failover_timeout_s == 5
    assert set(info.capabilities) == {pb.PARTITION_AWARE, *ALWAYS}
    assert pb.CHECKPOINT_COUNTS in ALWAYS


def test_only_own_roles_are_suppressed() -> None:
    said = {"framework_info": {"user": "u", "name": "n"}, "suppressed_roles": ["zz"]}
    with pytest.raises(UnsupportedError, match=r"Suppressed roles \{ zz \} are not contained"):
        calls.subscribe_of(call(type="SUBSCRIBE", subscribe=said))


def test_offer_constraints() -> None:
    groups = [
        {
            "attribute_constraints": [
                {
                    "selector": {"pseudoattribute_type": "HOSTNAME"},
                    "predicate": {"text_matches": {"regex": "a.*"}},
                },
                {"selector": {"attribute_name": "ssd"}, "predicate": {"exists": {}}},
            ]
        }
    ]
    said = {
        "framework_info": {"user": "u", "name": "n"},
        "offer_constraints": {"role_constraints": {"*": {"groups": groups}}},
    }
    out = calls.subscribe_of(call(type="SUBSCRIBE", subscribe=said)).offer_constraints["*"]
    first, second = out.groups[0].constraints
    assert (first.attribute, first.text_matches) == ("hostname", "a.*")
    assert (second.attribute, second.WhichOneof("predicate")) == ("ssd", "exists")
