"""What a message of the contract may say, field by field.

`problem(message)` looks at every field that is set, by the rule that the tables below have for it.
The checks are made from the descriptors, and a field without a rule fails a test, so that none is
forgotten. Most of this file is those tables, which are better whole. What a field means beside
others (a task needs an id, a role must be subscribed) is for the core that takes the message in.

Resources are left out where they are: `resources.from_proto` checks them when they are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from pymesos_core import limits
from pymesos_core.ids import (
    hostname_problem,
    http_host_problem,
    id_problem,
    metric_problem,
    name_part_problem,
    name_problem,
    role_problem,
    secret_name_problem,
    size_of,
    variable_name_problem,
)
from pymesos_core.limits import Limit
from pymesos_core.recognizing import Recognizer, Usual, usual_id
from pymesos_core.stop_signals import signal_problem
from pymesos_proto.v1 import types_pb2 as pb

# What is wrong with a value, to follow the name of its field; or None.
Rule = Callable[[Any], str | None]

PACKAGE = "pymesos.v1."
TEN_YEARS_S = 10 * 365 * 86400.0
MAX_TIME_S = 253_402_300_799.0  # the end of the year 9999
MAX_MEASURE = 1e15
DAY_MS = 86_400_000
MAX_CPU_MS = 1_000_000 * DAY_MS


def _anything(_: Any) -> str | None:
    """Bounded by the message, and only passed on, compared or counted."""
    return None


def _text(problem_of: Callable[[str], str | None]) -> Rule:
    """Empty, which means that it is not given, or without a problem."""

    def rule(text: str) -> str | None:
        found = problem_of(text) if text else None
        return None if found is None else f": {found}"

    return rule


def _sized(limit: Limit, *, nul: bool = False) -> Rule:
    """Any text up to a limit; without a NUL byte, which ends a text for the kernel."""

    def rule(text: str) -> str | None:
        if not nul and "\0" in text:
            return " has a NUL byte"
        found = limit.problem(size_of(text))
        return None if found is None else f": {found}"

    return rule


def _bytes(limit: Limit) -> Rule:
    def rule(data: bytes) -> str | None:
        found = limit.problem(len(data))
        return None if found is None else f": {found}"

    return rule


def _number(least: float, most: float, expected: str) -> Rule:
    """A finite number within bounds; NaN is in none."""

    def rule(value: float) -> str | None:
        if least <= value <= most:
            return None
        return f" is {value:.12g}; {expected} is expected"

    return rule


_ID = _text(id_problem)
_REFERENCE = _sized(limits.ID, nul=True)  # to what is there or not; nothing gets this id
_ROLE = _text(role_problem)
_HOSTNAME = _text(hostname_problem)
_LINE = _text(name_problem)
_VARIABLE_NAME = _text(variable_name_problem)
_SECRET_NAME = _text(secret_name_problem)
_KEY = _text(lambda text: name_problem(text, limits.LABEL_KEY))
_TITLE = _sized(limits.NAME)
_PATH = _sized(limits.PATH)
_ARGUMENT = _sized(limits.COMMAND)
_SECONDS = _number(0, TEN_YEARS_S, "a number of seconds from 0 to ten years")
_TIME = _number(0, MAX_TIME_S, "a Unix time before the year 10000")
_MEASURE = _number(0, MAX_MEASURE, "a finite number from 0")
_PORT = _number(0, 65535, "a port")
_INDEX = _number(0, 65535, "the index of a port")
_LABEL_VALUE = _sized(limits.LABEL_VALUE, nul=True)
_DATA = _bytes(limits.DATA)
_UUID = _bytes(limits.UUID)
_NAME_PART = _text(name_part_problem)


def _protocol(said: str) -> str | None:
    return None if said in ("", "tcp", "udp") else " is neither tcp nor udp"


# By the name of the field, or by `Message.field` where that name means several things.
RULES: Mapping[str, Rule] = {
    # Ids and names.
    "Acknowledge.agent_id": _REFERENCE,
    "Acknowledge.task_id": _REFERENCE,
    "Acknowledgement.task_id": _REFERENCE,
    "KillTask.task_id": _REFERENCE,
    "Kill.agent_id": _REFERENCE,
    "Kill.task_id": _REFERENCE,
    "Task.agent_id": _REFERENCE,  # of Reconcile
    "Task.task_id": _REFERENCE,
    "agent_id": _ID,
    "agent_ids": _REFERENCE,
    "boot_id": _ID,
    "container_id": _ID,
    "executor_id": _ID,
    "group_executor_id": _ID,
    "framework_id": _ID,
    "id_prefix": _anything,
    "search": _anything,
    "sort": _anything,
    "incarnation_id": _ID,
    "inverse_offer_id": _ID,
    "inverse_offer_ids": _anything,  # as those of offers
    "offer_id": _ID,
    "offer_ids": _anything,  # one that is not held is not valid any more, whatever it is
    "Operation.id": _ID,
    "operation_id": _ID,
    "persistence_id": _ID,
    "task_id": _ID,
    "task_ids": _ID,
    "role": _ROLE,
    "roles": _ROLE,
    "optimistic_roles": _ROLE,
    "job_roles": _ROLE,
    "suppressed_roles": _ROLE,
    "hostname": _HOSTNAME,
    "Label.key": _KEY,
    "Label.value": _LABEL_VALUE,
    "Attribute.name": _KEY,
    "text": _text(lambda text: name_problem(text, limits.ATTRIBUTE_VALUE)),
    "FrameworkInfo.name": _TITLE,
    "TaskInfo.name": _TITLE,
    "ExecutorInfo.name": _TITLE,
    "DiscoveryInfo.name": _TITLE,
    "DiscoveryInfo.environment": _TITLE,
    "DiscoveryInfo.location": _TITLE,
    "DiscoveryInfo.version": _TITLE,
    "Port.number": _PORT,  # of DiscoveryInfo, as the next
    "Port.name": _TITLE,
    "Port.protocol": _TITLE,
    "HeldExecutor.name": _TITLE,
    "ListTasksRequest.name": _anything,
    "Ulimit.name": _LINE,
    "ServedTask.job": _NAME_PART,
    "ServedTask.task": _NAME_PART,
    "ServedPort.name": _text(lambda text: name_problem(text, limits.PORT_NAME)),
    "ServedPort.protocol": _protocol,
    "http_host": _text(http_host_problem),
    "port_name": _text(lambda text: name_problem(text, limits.PORT_NAME)),
    "Publish.ended": _REFERENCE,
    "Publish.keeps": _REFERENCE,
    "awaited_frameworks": _ID,
    "settled_frameworks": _ID,
    "ip": _LINE,
    "agent_ip": _LINE,
    "jobs_address": _LINE,
    "master_address": _LINE,
    "master_version": _LINE,
    "agent_version": _LINE,
    "cursor": _anything,  # one that is not known begins anew
    "ReadAuditRequest.master": _anything,  # one that runs now, or none
    "document": _anything,  # see read_policy
    "who": _anything,
    "verb": _anything,
    "network": _LINE,
    "principal": _LINE,
    "protocol": _LINE,
    "runtime": _LINE,
    "runtimes": _LINE,
    "scheme": _LINE,
    "service": _LINE,
    "user": _LINE,
    "version": _LINE,
    "webui_url": _LINE,
    "IsolationEntry.key": _LINE,
    "IsolationEntry.value": _LINE,
    "UnavailableEntry.key": _LINE,
    "UnavailableEntry.value": _anything,  # for people
    "SetAsideEntry.key": _LINE,
    "SetAsideEntry.value": _anything,  # for people
    "OfferConstraintsEntry.key": _ROLE,
    "attribute": _KEY,
    "text_equals": _sized(limits.ATTRIBUTE_VALUE, nul=True),
    "text_not_equals": _sized(limits.ATTRIBUTE_VALUE, nul=True),
    "text_matches": _anything,  # see constraints.py of the master
    "text_not_matches": _anything,
    "kind": _anything,
    "ListQuarantinedRecordsRequest.key": _anything,
    "ReleaseQuarantinedRecordRequest.key": _anything,
    "called": _anything,  # what is looked for
    "page_token": _anything,
    "Refused.call": _LINE,
    "RevokeRequest.name": _LINE,
    "JoinRequest.wanted": _LINE,
    "revoked": _LINE,
    "SecretUse.name": _SECRET_NAME,
    "SecretUse.path": _SECRET_NAME,
    "SecretUse.env": _ARGUMENT,
    "image_secret": _SECRET_NAME,
    "ConfigFile.path": _PATH,
    "ConfigFile.content": _sized(limits.CONFIG_FILE),
    "ConfigFile.template": _sized(limits.CONFIG_FILE),
    "ConfigFile.secrets": _SECRET_NAME,
    "ConfigFile.signal": _text(signal_problem),
    "AddressesUse.name": _sized(limits.ADDRESSES_NAME),
    "AddressesUse.job": _NAME_PART,
    "AddressesUse.task": _NAME_PART,
    "VariablesEntry.key": _VARIABLE_NAME,
    "VariablesEntry.value": _sized(limits.VARIABLE_VALUE),
    "SetSecretRequest.name": _SECRET_NAME,
    "SetWebhookRequest.name": _SECRET_NAME,
    "SetWebhookRequest.url": _sized(limits.WEBHOOK_URL),
    "SetWebhookRequest.secret_role": _ROLE,
    "SetWebhookRequest.secret_name": _text(secret_name_problem),
    "RemoveWebhookRequest.name": _anything,  # it is there or not
    "TestWebhookRequest.name": _anything,  # the same
    "SilenceClusterAlertsRequest.when": _LINE,
    "SilenceClusterAlertsRequest.subject": _LINE,
    "SilenceClusterAlertsRequest.for_s": _number(0, 30 * 86400, "at most 2592000, 30 days"),
    "SilenceClusterAlertsRequest.why": _LINE,
    "TestClusterReceiverRequest.receiver": _anything,  # it is there or not
    "RemoveSecretRequest.name": _anything,  # it is there or not
    "SealedSecret.name": _SECRET_NAME,
    "SecretVersion.name": _SECRET_NAME,
    "SecretVersion.version": _anything,  # counted
    "SecretVersions.removed": _SECRET_NAME,
    "VariableView.name": _VARIABLE_NAME,
    "VariableView.value": _sized(limits.VARIABLE_VALUE),
    "GetVariableRequest.name": _anything,  # it is there or not
    "SetVariableRequest.name": _VARIABLE_NAME,
    "SetVariableRequest.value": _sized(limits.VARIABLE_VALUE),
    "RemoveVariableRequest.name": _anything,  # it is there or not
    "ClusterSilenceView.when": _LINE,
    "ClusterSilenceView.subject": _LINE,
    "ClusterSilenceView.until_s": _TIME,
    "ClusterSilenceView.by": _LINE,
    "ClusterSilenceView.why": _LINE,
    "JobSilenceView.job_name": _LINE,
    "JobSilenceView.task_name": _LINE,
    "JobSilenceView.when": _LINE,
    "JobSilenceView.until_s": _TIME,
    "JobSilenceView.by": _LINE,
    "JobSilenceView.why": _LINE,
    "BackupVariable.name": _VARIABLE_NAME,
    "BackupVariable.value": _sized(limits.VARIABLE_VALUE),
    "job_id": _ID,
    "key_id": _ID,
    "request_id": _ID,
    "made_by": _LINE,
    "made_with": _LINE,
    "what": _LINE,
    "job_json": _sized(limits.JOB),
    "job_text": _sized(limits.JOB_TEXT),
    "left_out": _anything,  # for people
    "BackupJobVersion.name": _LINE,
    "set_by": _LINE,
    "Value.name": _SECRET_NAME,
    "problem": _anything,  # for people
    "KillPolicy.signal": _text(signal_problem),
    "token": _anything,
    "message": _anything,  # for people; within the limit of what carries it
    "reason": _anything,
    "repeated_reason": _anything,
    # What a container is made of.
    "EnvironmentVariable.name": _ARGUMENT,
    "EnvironmentVariable.value": _ARGUMENT,
    "CommandInfo.value": _ARGUMENT,
    "arguments": _ARGUMENT,
    "image": _sized(limits.NAME),
    "uri": _sized(limits.LABEL_VALUE),
    "sha256": _LINE,
    "BackupEnd.sha256": _bytes(limits.DIGEST),
    "path": _PATH,
    "container_path": _PATH,
    "host_path": _PATH,
    "group_path": _PATH,
    "add_capabilities": _LINE,
    "drop_capabilities": _LINE,
    # Numbers.
    "delay_s": _SECONDS,
    "grace_period_s": _SECONDS,
    "heartbeat_interval_s": _SECONDS,
    "interval_s": _SECONDS,
    "lifetime_s": _SECONDS,
    "max_completion_time_s": _SECONDS,
    "mono_s": _SECONDS,
    "ping_timeout_s": _SECONDS,
    "shutdown_grace_period_s": _SECONDS,
    "timeout_s": _SECONDS,
    "pace_s": _number(0, 60, "a number of seconds from 0 to 60"),
    "deadline_s": _TIME,
    "within_s": _SECONDS,
    "duration_s": _SECONDS,
    "start_s": _TIME,
    "usage_interval_s": _anything,  # the agent keeps it within bounds, and answers the ping
    "failover_timeout_s": _number(0, math.inf, "a number of seconds from 0"),  # longer: ten years
    "refuse_seconds": _anything,  # not a number from 0: 5 s; at most 365 days
    "made_at_s": _TIME,
    "MakeAccessTokenRequest.name": _LINE,
    "MakeAccessTokenRequest.rights": _sized(limits.RIGHT),
    "RevokeAccessTokenRequest.id": _KEY,
    "set_at_s": _TIME,
    "since_s": _TIME,
    "timestamp_s": _TIME,
    "launched_at_s": _TIME,
    "started_at_s": _TIME,
    "cpus_used": _MEASURE,
    "disk_total_mib": _MEASURE,
    "disk_used": _number(0, 1, "a part, from 0 to 1"),
    "disk_used_mib": _MEASURE,
    "renew_by_s": _TIME,
    "mem_used_mib": _MEASURE,
    "cpu_ms": _number(0, MAX_CPU_MS, "at most a million CPUs for a day"),
    "measured_ms": _number(0, DAY_MS, "at most the milliseconds of a day"),
    "GetAccountingRequest.by": _anything,  # read and refused where it is answered, as its days
    "since": _anything,
    "until": _anything,
    "gauge": _MEASURE,
    "metric": _text(metric_problem),
    "weight": _anything,  # see roles.py of the master
    "port": _PORT,
    "container_port": _PORT,
    "port_index": _INDEX,
    "consecutive_failures": _anything,
    "containers": _anything,
    "epoch": _anything,
    "instead_of": _anything,
    "instance": _anything,  # counted
    "order": _anything,
    "SetWeightRequest.instead_of": _MEASURE,
    "Policy.version": _anything,
    "JobVersion.version": _number(
        1, limits.MAX_JOB_VERSION, f"the number of a version, from 1 to {limits.MAX_JOB_VERSION},"
    ),
    "format": _anything,
    "records": _anything,
    "epoch_seen": _anything,
    "exit_status": _anything,
    "status": _anything,
    "hard": _anything,
    "soft": _anything,
    "max_ping_timeouts": _anything,
    "page_size": _anything,
    "latest": _number(0, 1000, "a number from 0 to 1000"),
    "failures": _anything,
    "pids_max": _anything,
    "network_in_mbit_per_s": _anything,
    "network_out_mbit_per_s": _anything,
    "read_mib_per_s": _anything,
    "size_mib": _anything,
    "write_mib_per_s": _anything,
    # Data.
    "TaskInfo.data": _anything,
    "ExecutorInfo.data": _anything,
    "data": _DATA,
    "uuid": _UUID,
    "digest": _bytes(limits.DIGEST),
    "nonce": _bytes(limits.NONCE),
    "sealed": _bytes(limits.SEALED),
    "RestoreSecretRequest.value": _bytes(limits.SECRET),
    "SetSecretRequest.value": _bytes(limits.SECRET),
    "Value.value": _bytes(limits.SECRET),
}

# Enums of which a newer peer may say what we do not know: it is left out, see `tame`.
OPEN_ENUMS = frozenset(
    {
        "Reason",
        "Source",
        "ImageTrouble",
        "FrameworkCapability",
        "MasterCapability",
        "AgentCapability",
    }
)

# How large a message may be as a part of another.
SIZES: Mapping[str, Limit] = {
    "AgentInfo": limits.AGENT_INFO,
    "ExecutorInfo": limits.EXECUTOR_INFO,
    "FrameworkInfo": limits.FRAMEWORK_INFO,
    "Quota": limits.QUOTA,
    "TaskInfo": limits.TASK_INFO,
    "TaskStatus": limits.STATUS,
}

# How many there may be, where the message's own limit is not enough.
COUNTS: Mapping[str, Limit] = {
    "agent_ids": limits.CALL_AGENTS,
    "attributes": limits.ATTRIBUTES,
    "inverse_offer_ids": limits.CALL_OFFERS,
    "labels": limits.LABELS,
    "operations": limits.CALL_OPERATIONS,
    "Publish.serves": limits.PUBLISHED,
    "Publish.ended": limits.PUBLISHED,
    "Publish.keeps": limits.PUBLISHED,
    "ServedTask.ports": limits.NAMED_PORTS,
    "DiscoveryInfo.ports": limits.NAMED_PORTS,
    "ServedTask.exposed": limits.EXPOSED,
    "FrameworkInfo.roles": limits.FRAMEWORK_ROLES,
    "roles": limits.CALL_ROLES,
    "optimistic_roles": limits.CALL_ROLES,
    "job_roles": limits.FRAMEWORK_ROLES,
    "suppressed_roles": limits.CALL_ROLES,
    "LaunchGroup.task_infos": limits.GROUP_TASKS,
    "Register.executors": limits.AGENT_EXECUTORS,
    "MoreTasks.executors": limits.AGENT_EXECUTORS,
    "Reconcile.tasks": limits.ASKED_TASKS,
    "ContainerInfo.secrets": limits.TASK_SECRETS,
    "SecretVersions.secrets": limits.SECRETS,
    "ContainerInfo.config": limits.TASK_CONFIG,
    "ConfigFile.secrets": limits.TASK_SECRETS,
    "ConfigFile.addresses": limits.CONFIG_ADDRESSES,
    "RestoreJobRequest.versions": limits.JOB_VERSIONS,
    "revoked": limits.REVOKED,
    "rights": limits.RIGHTS,
    "Usage.tasks": limits.USED_TASKS,
    "Uses.uses": limits.USED_TASKS,
}

# Their fields are checked when they are read: see resources.from_proto.
READ_ELSEWHERE = frozenset({"Resource", "Range", "Ranges", "StringSet"})


def rule_of(field: FieldDescriptor) -> Rule | None:
    """The rule of a field that is neither a message nor true or false; None: it has none yet."""
    owner = field.containing_type.name if field.containing_type else ""
    if (enum := field.enum_type) is not None:
        return _anything if enum.name in OPEN_ENUMS else _known(enum)
    return RULES.get(f"{owner}.{field.name}", RULES.get(field.name))


def _known(enum: EnumDescriptor) -> Rule:
    known, name = frozenset(enum.values_by_number), enum.name

    def rule(value: int) -> str | None:
        return None if value in known else f" is {value}, which is no {name}"

    return rule


# In a message of at most so many bytes no part of it is too large.
SMALL_BYTES = min(limit.most for limit in SIZES.values())
# What is usual of a value in such a message, by its rule; None: anything is. Of other rules:
# whatever they find nothing wrong with.
USUAL: Mapping[Rule, Usual | None] = {
    _ID: usual_id,
    _REFERENCE: usual_id,
    _HOSTNAME: usual_id,
    _LINE: usual_id,
    _KEY: usual_id,
    _ROLE: re.compile(r"|\*|[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}").fullmatch,
    _TITLE: re.compile(r"[^\0]{0,255}").fullmatch,
    _PATH: re.compile(r"[^\0]{0,255}").fullmatch,
    _ARGUMENT: lambda text: "\0" not in text,
    _LABEL_VALUE: None,
    _DATA: None,
    _UUID: lambda uuid: len(uuid) <= limits.UUID.most,
    _anything: None,
}
USUAL_IF_SMALL = frozenset({_ARGUMENT, _LABEL_VALUE, _DATA})


def _usual(field: FieldDescriptor) -> Usual | None:
    """What is usual of a field that is no message; None: anything is."""
    if (enum := field.enum_type) is not None and enum.name not in OPEN_ENUMS:
        return frozenset(enum.values_by_number).__contains__
    rule = rule_of(field) or _anything
    return USUAL[rule] if rule in USUAL else lambda value: rule(value) is None


def problem(message: Message) -> str | None:
    """The first thing that a message says and may not, as a sentence that begins with the field."""
    if _recognizer.knows(message):
        return None
    own_size, checks = _checks(message.DESCRIPTOR)
    if own_size is not None and (found := own_size.problem(message.ByteSize())):
        return found
    for field, value in message.ListFields():
        check = checks.get(field.number)
        if check is not None and (found := check(value)) is not None:
            return found
    return None


@cache
def _checks(descriptor: Descriptor) -> tuple[Limit | None, Mapping[int, Rule]]:
    """The limit of a message, and what looks at each field."""
    checks = {field.number: check for field in descriptor.fields if (check := _check(field))}
    return SIZES.get(descriptor.name), checks


def _is_sized(descriptor: Descriptor) -> bool:
    """Whether a message, or a value in it, may be too large."""
    values = (field for field in descriptor.fields if field.message_type is None)
    return descriptor.name in SIZES or not USUAL_IF_SMALL.isdisjoint(map(rule_of, values))


def _check(field: FieldDescriptor) -> Rule | None:
    """What looks at the value of a field, and names it; None where there is nothing to look at."""
    if field.message_type is not None:
        return _check_of_messages(field, field.message_type)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return None
    rule = rule_of(field) or _anything
    limit = _count_limit(field)
    if rule is _anything and limit is None:
        return None
    name = field.name
    if not field.is_repeated:

        def of_one(value: Any) -> str | None:
            found = rule(value)
            return None if found is None else f"{name}{found}"

        return of_one

    def of_many(values: Any) -> str | None:
        if limit is not None and (found := limit.problem(len(values), name)):
            return found
        for value in values:
            if (found := rule(value)) is not None:
                return f"{name}{found}"
        return None

    return of_many


def _check_of_messages(field: FieldDescriptor, inner: Descriptor) -> Rule | None:
    name, limit = field.name, _count_limit(field)
    if inner.name in READ_ELSEWHERE:
        return None
    if inner.GetOptions().map_entry:
        return _check_of_map(name, inner)
    if not field.is_repeated:

        def of_one(value: Message) -> str | None:
            found = problem(value)
            return None if found is None else f"{name}.{found}"

        return of_one

    def of_many(values: Any) -> str | None:
        if limit is not None and (found := limit.problem(len(values), name)):
            return found
        for number, value in enumerate(values):
            if (found := problem(value)) is not None:
                return f"{name}[{number}].{found}"
        return None

    return of_many


def _check_of_map(name: str, entry: Descriptor) -> Rule:
    of_key = rule_of(entry.fields_by_name["key"]) or _anything
    value_field = entry.fields_by_name["value"]
    of_value = problem if value_field.message_type is not None else rule_of(value_field)

    def rule(values: Mapping[str, Any]) -> str | None:
        for key, value in values.items():
            if (found := of_key(key)) is not None:
                return f"{name}{found}"
            if of_value is not None and (found := of_value(value)) is not None:
                return f"{name}[{key}] {found.lstrip(': ')}"
        return None

    return rule


def _count_limit(field: FieldDescriptor) -> Limit | None:
    if not field.is_repeated:
        return None
    owner = field.containing_type.name if field.containing_type else ""
    return COUNTS.get(f"{owner}.{field.name}", COUNTS.get(field.name))


_recognizer = Recognizer(_usual, _count_limit, READ_ELSEWHERE, _is_sized, SMALL_BYTES)

_REASONS = frozenset(pb.Reason.DESCRIPTOR.values_by_number)
_SOURCES = frozenset(pb.Source.DESCRIPTOR.values_by_number)
_IMAGE_TROUBLES = frozenset(pb.ImageTrouble.DESCRIPTOR.values_by_number)


def tame(status: pb.TaskStatus) -> pb.TaskStatus:
    """The status, without a reason, source or trouble that only a newer peer knows."""
    if status.reason not in _REASONS:
        status.reason = pb.REASON_UNSPECIFIED
    if status.source not in _SOURCES:
        status.source = pb.SOURCE_UNSPECIFIED
    if status.image_trouble not in _IMAGE_TROUBLES:
        status.image_trouble = pb.IMAGE_TROUBLE_UNSPECIFIED
    return status
