"""What each field of the contract may say, and how much: the tables that `contract.py` goes by.

A field that is new needs a row here, which a test asks for. The tables are better whole: who looks
for a rule finds it in one place, and sees those of the fields beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pymesos_core import limits
from pymesos_core.capabilities import capability_problem
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
from pymesos_core.recognizing import Usual, usual_id
from pymesos_core.stop_signals import signal_problem

# What is wrong with a value, to follow the name of its field; or None.
Rule = Callable[[Any], str | None]

TEN_YEARS_S = 10 * 365 * 86400.0
MAX_TIME_S = 253_402_300_799.0  # the end of the year 9999
MAX_MEASURE = 1e15
DAY_MS = 86_400_000
MAX_CPU_MS = 1_000_000 * DAY_MS


def anything(_: Any) -> str | None:
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
    "id_prefix": anything,
    "search": anything,
    "sort": anything,
    "incarnation_id": _ID,
    "inverse_offer_id": _ID,
    "inverse_offer_ids": anything,  # as those of offers
    "offer_id": _ID,
    "offer_ids": anything,  # one that is not held is not valid any more, whatever it is
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
    "ListTasksRequest.name": anything,
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
    "cursor": anything,  # one that is not known begins anew
    "ReadAuditRequest.master": anything,  # one that runs now, or none
    "document": anything,  # see read_policy
    "who": anything,
    "verb": anything,
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
    "UnavailableEntry.value": anything,  # for people
    "SetAsideEntry.key": _LINE,
    "SetAsideEntry.value": anything,  # for people
    "OfferConstraintsEntry.key": _ROLE,
    "attribute": _KEY,
    "text_equals": _sized(limits.ATTRIBUTE_VALUE, nul=True),
    "text_not_equals": _sized(limits.ATTRIBUTE_VALUE, nul=True),
    "text_matches": anything,  # see constraints.py of the master
    "text_not_matches": anything,
    "kind": anything,
    "ListQuarantinedRecordsRequest.key": anything,
    "ReleaseQuarantinedRecordRequest.key": anything,
    "called": anything,  # what is looked for
    "page_token": anything,
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
    "ScaledCountsEntry.key": _LINE,
    "ScaledCountsEntry.value": anything,
    "VariablesEntry.key": _VARIABLE_NAME,
    "VariablesEntry.value": _sized(limits.VARIABLE_VALUE),
    "SetSecretRequest.name": _SECRET_NAME,
    "SetWebhookRequest.name": _SECRET_NAME,
    "SetWebhookRequest.url": _sized(limits.WEBHOOK_URL),
    "SetWebhookRequest.secret_role": _ROLE,
    "SetWebhookRequest.secret_name": _text(secret_name_problem),
    "RemoveWebhookRequest.name": anything,  # it is there or not
    "TestWebhookRequest.name": anything,  # the same
    "SilenceClusterAlertsRequest.when": _LINE,
    "SilenceClusterAlertsRequest.subject": _LINE,
    "SilenceClusterAlertsRequest.for_s": _number(0, 30 * 86400, "at most 2592000, 30 days"),
    "SilenceClusterAlertsRequest.why": _LINE,
    "TestClusterReceiverRequest.receiver": anything,  # it is there or not
    "RemoveSecretRequest.name": anything,  # it is there or not
    "SealedSecret.name": _SECRET_NAME,
    "SecretVersion.name": _SECRET_NAME,
    "SecretVersion.version": anything,  # counted
    "SecretVersions.removed": _SECRET_NAME,
    "VariableView.name": _VARIABLE_NAME,
    "VariableView.value": _sized(limits.VARIABLE_VALUE),
    "GetVariableRequest.name": anything,  # it is there or not
    "SetVariableRequest.name": _VARIABLE_NAME,
    "SetVariableRequest.value": _sized(limits.VARIABLE_VALUE),
    "RemoveVariableRequest.name": anything,  # it is there or not
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
    "left_out": anything,  # for people
    "BackupJobVersion.name": _LINE,
    "set_by": _LINE,
    "Value.name": _SECRET_NAME,
    "problem": anything,  # for people
    "KillPolicy.signal": _text(signal_problem),
    "token": anything,
    "message": anything,  # for people; within the limit of what carries it
    "reason": anything,
    "repeated_reason": anything,
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
    "add_capabilities": _text(capability_problem),
    "drop_capabilities": _text(capability_problem),
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
    "usage_interval_s": anything,  # the agent keeps it within bounds, and answers the ping
    "failover_timeout_s": _number(0, math.inf, "a number of seconds from 0"),  # longer: ten years
    "refuse_seconds": anything,  # not a number from 0: 5 s; at most 365 days
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
    "GetAccountingRequest.by": anything,  # read and refused where it is answered, as its days
    "since": anything,
    "until": anything,
    "gauge": _MEASURE,
    "metric": _text(metric_problem),
    "weight": anything,  # see roles.py of the master
    "port": _PORT,
    "mesos_port": _PORT,
    "container_port": _PORT,
    "port_index": _INDEX,
    "consecutive_failures": anything,
    "containers": anything,
    "epoch": anything,
    "instead_of": anything,
    "instance": anything,  # counted
    "order": anything,
    "SetWeightRequest.instead_of": _MEASURE,
    "Policy.version": anything,
    "JobVersion.version": _number(
        1, limits.MAX_JOB_VERSION, f"the number of a version, from 1 to {limits.MAX_JOB_VERSION},"
    ),
    "format": anything,
    "records": anything,
    "epoch_seen": anything,
    "exit_status": anything,
    "status": anything,
    "hard": anything,
    "soft": anything,
    "max_ping_timeouts": anything,
    "page_size": anything,
    "latest": _number(0, 1000, "a number from 0 to 1000"),
    "failures": anything,
    "pids_max": anything,
    "network_in_mbit_per_s": anything,
    "network_out_mbit_per_s": anything,
    "read_mib_per_s": anything,
    "size_mib": anything,
    "write_mib_per_s": anything,
    # Data.
    "TaskInfo.data": anything,
    "ExecutorInfo.data": anything,
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
    anything: None,
}
USUAL_IF_SMALL = frozenset({_ARGUMENT, _LABEL_VALUE, _DATA})
