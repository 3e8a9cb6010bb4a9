"""All that a task of Mesos may say, and what is refused of it by name."""

from __future__ import annotations

from typing import Any

import pytest

from pymesos_core.mesos.discovery import discovery_to_mesos
from pymesos_core.mesos.json_messages import to_object
from pymesos_core.mesos.unsupported import UnsupportedError
from pymesos_master.mesos.tasks import task_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.mesos_calls import accept, launch, task


def test_all_that_a_task_may_say() -> None:
    out = task_of(
        task(
            command={
                "value": "x",
                "user": "u",
                "uris": [
                    {"value": "http://h/a.tar.gz?x=1"},
                    {"value": "http://h/b.tar.gz", "extract": False, "output_file": "d/b"},
                    {"value": "http://h/c.zip", "executable": True},
                    {"value": "http://h/d"},
                ],
                "environment": {
                    "variables": [
                        {"name": "A", "value": "1"},
                        {
                            "name": "S",
                            "type": "SECRET",
                            "secret": {"type": "REFERENCE", "reference": {"name": "s"}},
                        },
                    ]
                },
            },
            container={
                "type": "DOCKER",
                "docker": {
                    "image": "i",
                    "network": "USER",
                    "port_mappings": [{"host_port": 8, "container_port": 80, "protocol": "tcp"}],
                },
                "network_infos": [{"name": "net"}],
                "volumes": [{"host_path": "/h", "container_path": "/c", "mode": "RO"}],
                "rlimit_info": {"rlimits": [{"type": "RLMT_NOFILE", "soft": 5, "hard": 6}]},
                "linux_info": {"effective_capabilities": {"capabilities": ["NET_ADMIN"]}},
            },
            kill_policy={"grace_period": {"nanoseconds": 1_500_000_000}},
            labels={"labels": [{"key": "k", "value": "v"}, {"key": "n"}]},
            data="AGhlbGxv",
            max_completion_time={"nanoseconds": 2_000_000_000},
            health_check={
                "type": "HTTP",
                "http": {"port": 80, "path": "/p", "scheme": "https"},
                "consecutive_failures": 2,
            },
            discovery={"visibility": "CLUSTER", "name": "d"},
        )
    )
    assert [(a.extract, a.path, a.executable) for a in out.artifacts] == [
        (True, "", False),
        (False, "d/b", False),
        (False, "", True),
        (False, "", False),
    ]
    assert [(one.name, one.value) for one in out.command.environment] == [("A", "1")]
    assert [(one.name, one.env) for one in out.container.secrets] == [("s", "S")]
    assert out.container.network == "net"
    mapping = out.container.port_mappings[0]
    assert (mapping.port_index, mapping.container_port, mapping.protocol) == (1, 80, "tcp")
    mount = out.container.mounts[0]
    assert (mount.host_path, mount.container_path, mount.read_only) == ("/h", "/c", True)
    ulimit = out.container.ulimits[0]
    assert (ulimit.name, ulimit.soft, ulimit.hard) == ("nofile", 5, 6)
    assert list(out.container.drop_capabilities) == ["ALL"]
    assert list(out.container.add_capabilities) == ["NET_ADMIN"]
    assert out.kill_policy.grace_period_s == 1.5
    assert [(one.key, one.value) for one in out.labels] == [("k", "v"), ("n", "")]
    assert out.data == b"\0hello" and out.max_completion_time_s == 2
    check = out.health_check
    assert (check.http.port, check.http.path, check.http.scheme) == (80, "/p", "https")
    assert (check.delay_s, check.interval_s, check.timeout_s) == (15, 10, 20)
    assert (check.consecutive_failures, check.grace_period_s) == (2, 10)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"executor": {"executor_id": {"value": "e"}}}, "not both"),
        ({"executor": {"executor_id": {"value": "e"}}, "command": None}, "ExecutorInfo.command"),
        ({"check": {"type": "TCP", "tcp": {"port": 1}}}, "TaskInfo.check"),
        ({"limits": {"cpus": {"value": 64}}}, "TaskInfo.limits"),
        (
            {"container": {"type": "DOCKER", "docker": {"image": "i", "privileged": True}}},
            "privileged",
        ),
        (
            {
                "container": {
                    "type": "DOCKER",
                    "docker": {"image": "i", "parameters": [{"key": "k", "value": "v"}]},
                }
            },
            "ContainerInfo.DockerInfo.parameters",
        ),
        ({"container": {"type": "MESOS", "hostname": "h"}}, "ContainerInfo.hostname"),
        (
            {"container": {"type": "MESOS", "linux_info": {"ipc_mode": "PRIVATE"}}},
            "LinuxInfo.ipc_mode",
        ),
        (
            {
                "container": {
                    "type": "MESOS",
                    "volumes": [
                        {
                            "container_path": "c",
                            "mode": "RW",
                            "source": {"type": "DOCKER_VOLUME", "docker_volume": {"name": "v"}},
                        }
                    ],
                }
            },
            "Volume.Source.docker_volume",
        ),
        (
            {
                "container": {
                    "type": "MESOS",
                    "volumes": [{"container_path": "c", "host_path": "h", "mode": "RW"}],
                }
            },
            "absolute path",
        ),
        (
            {
                "container": {
                    "type": "DOCKER",
                    "docker": {
                        "image": "i",
                        "port_mappings": [{"host_port": 80, "container_port": 1}],
                    },
                }
            },
            "host port 80",
        ),
        ({"kill_policy": {"grace_period": {"nanoseconds": -1}}}, "negative"),
        (
            {
                "container": {"type": "MESOS"},
                "resources": [
                    {
                        "name": "ports",
                        "type": "RANGES",
                        "ranges": {"range": [{"begin": 0, "end": 2**40}]},
                    }
                ],
            },
            "more than 4096 ports",
        ),
        (
            {
                "resources": [
                    {
                        "name": "disk",
                        "type": "SCALAR",
                        "scalar": {"value": 1},
                        "disk": {"source": {"type": "MOUNT"}},
                    }
                ]
            },
            "Resource.DiskInfo.source",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(said: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        task_of(task(**said))
    translation = accept(launch(task(**said)), launch(task(task_id={"value": "good"})))
    assert translation.call is not None
    launched = [
        info.task_id
        for operation in translation.call.accept.operations
        for info in operation.launch.task_infos
    ]
    assert launched == ["good"]
    (told,) = translation.told
    status = told.update.status
    assert (status.task_id.value, status.state) == ("t", mesos.TASK_ERROR)
    assert status.reason == mesos.TaskStatus.REASON_TASK_INVALID
    assert named in status.message and not status.HasField("uuid")


# Operations.


def test_what_is_told_of_a_task_to_those_who_look_for_it() -> None:
    said = {
        "visibility": "EXTERNAL",
        "name": "shop",
        "version": "1",
        "ports": {
            "ports": [
                {"number": 80, "name": "http", "protocol": "tcp", "visibility": "CLUSTER"},
                {"number": 81, "labels": {"labels": [{"key": "a", "value": "b"}]}},
            ]
        },
        "labels": {"labels": [{"key": "novalue"}]},
    }
    kept = task_of(task(discovery=said)).discovery
    assert (kept.name, kept.location, [port.number for port in kept.ports]) == (
        "shop",
        "",
        [80, 81],
    )
    assert kept.visibility == pb.DiscoveryInfo.EXTERNAL
    assert to_object(discovery_to_mesos(kept)) == said
