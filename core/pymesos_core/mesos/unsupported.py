"""What a task may say on this wire, field by field: what is not in the table is refused by name.

So nobody's task runs without what it asked for. What has no effect on how a task runs, or on who
can reach it, is taken and left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message


class UnsupportedError(ValueError):
    """A message asks for what there is not here: the sentence names the field."""


class InvalidError(UnsupportedError):
    """A message is wrong to Mesos, too: the sentence is Mesos'."""


# Of each message the fields that are translated; all others are refused where they are set.
TRANSLATED: Mapping[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "TaskInfo": "name task_id agent_id resources executor data command health_check container"
        " labels kill_policy max_completion_time discovery",
        "DiscoveryInfo": "visibility name environment location version ports labels",
        "Ports": "ports",
        "Port": "number name protocol visibility labels",
        "ExecutorInfo": "executor_id data resources command name container shutdown_grace_period"
        " type",
        "CommandInfo": "uris environment value user shell arguments",
        "CommandInfo.URI": "value executable extract output_file",
        "Environment": "variables",
        "Environment.Variable": "name value type secret",
        "Secret": "type reference",
        "Secret.Reference": "name",
        "ContainerInfo": "type volumes docker mesos network_infos linux_info rlimit_info",
        "ContainerInfo.DockerInfo": "image network port_mappings privileged force_pull_image",
        "ContainerInfo.DockerInfo.PortMapping": "host_port container_port protocol",
        "ContainerInfo.MesosInfo": "image",
        "Image": "type docker cached",
        "Image.Docker": "name",
        "Volume": "container_path host_path mode source",
        "Volume.Source": "type host_path sandbox_path",
        "Volume.Source.SandboxPath": "type path",
        "Volume.Source.HostPath": "path",
        "NetworkInfo": "name port_mappings",
        "NetworkInfo.PortMapping": "host_port container_port protocol",
        "LinuxInfo": "capability_info effective_capabilities",
        "CapabilityInfo": "capabilities",
        "RLimitInfo": "rlimits",
        "RLimitInfo.RLimit": "type hard soft",
        "HealthCheck": "type command http tcp delay_seconds interval_seconds timeout_seconds"
        " consecutive_failures grace_period_seconds",
        "HealthCheck.HTTPCheckInfo": "port path scheme",
        "HealthCheck.TCPCheckInfo": "port",
        "KillPolicy": "grace_period",
        "DurationInfo": "nanoseconds",
        "Labels": "labels",
        "Label": "key value",
        "TaskID": "value",
        "ExecutorID": "value",
        "AgentID": "value",
        "Resource": "name type scalar ranges set role disk reservation revocable shared"
        " allocation_info reservations",
        "Resource.AllocationInfo": "role",
        "Resource.ReservationInfo": "principal labels role type",
        "Resource.DiskInfo": "persistence volume",
        "Resource.DiskInfo.Persistence": "id principal",
        "Resource.RevocableInfo": "",
        "Resource.SharedInfo": "",
        "Value.Scalar": "value",
        "Value.Ranges": "range",
        "Value.Range": "begin end",
        "Value.Set": "item",
    }.items()
}
# What is taken, and changes nothing: see docs/coming-from-mesos.md.
LEFT_OUT = frozenset(
    {
        "ExecutorInfo.discovery",
        "ExecutorInfo.framework_id",
        "ExecutorInfo.labels",
        "ExecutorInfo.source",
        "CommandInfo.URI.cache",
        "ContainerInfo.tty_info",
        "HealthCheck.HTTPCheckInfo.statuses",
        "LinuxInfo.share_cgroups",
    }
)
PACKAGE = "pymesos.mesos.v1."


def check(message: Message) -> None:
    """Raises UnsupportedError that names the first field with an effect that there is not here."""
    if (path := _first(message)) is not None:
        raise UnsupportedError(f"{path} is not supported here; see docs/coming-from-mesos.md")


def _first(message: Message) -> str | None:
    taken = _taken(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.number in taken:
            continue
        if field.number in _looked_into(message.DESCRIPTOR):
            for inner in value if field.is_repeated else (value,):
                if (found := _first(inner)) is not None:
                    return found
        elif not _says_nothing(field.name, value):
            return f"{_name_of(message.DESCRIPTOR)}.{field.name}"
    return None


def _name_of(descriptor: Any) -> str:  # of which protobuf has two kinds
    name: str = descriptor.full_name
    return name.removeprefix(PACKAGE)


@cache
def _taken(descriptor: Descriptor) -> frozenset[int]:
    """The fields of which there is nothing to be looked at."""
    name = _name_of(descriptor)
    return frozenset(
        field.number
        for field in descriptor.fields
        if f"{name}.{field.name}" in LEFT_OUT
        or (field.name in TRANSLATED[name] and _is_taken_whole(field.message_type))
    )


def _is_taken_whole(descriptor: Descriptor | None) -> bool:
    """Whether nothing is to be looked at in messages of a type, as in an AgentID; None: in what is
    no message."""
    return descriptor is None or len(_taken(descriptor)) == len(descriptor.fields)


@cache
def _looked_into(descriptor: Descriptor) -> frozenset[int]:
    """The fields that are messages, and translated."""
    translated = TRANSLATED[_name_of(descriptor)]
    messages = (field for field in descriptor.fields if field.message_type is not None)
    return frozenset(field.number for field in messages if field.name in translated)


def _says_nothing(name: str, value: object) -> bool:
    """Whether it is what would be so without it."""
    return value is False or (name == "cached" and value is True) or value == ""
