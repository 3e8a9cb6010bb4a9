"""The file of a backup: a record a line, as JSON, checked to its end before anything is done.

It begins with what wrote it, and ends with how many records there are and their digest, so that one
that was cut short or changed by accident is refused. Whoever can write the file decides what a
restore does: it is kept like the registry itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from google.protobuf import json_format

from pymesos_binpack.jobfiles.parsing import load_document
from pymesos_binpack.specs import JobError
from pymesos_core import contract, limits
from pymesos_core.documents import DocumentError
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import from_proto
from pymesos_core.security.policy_file import PolicyError, read_policy
from pymesos_core.text import count_of, cut, quoted
from pymesos_proto.v1 import backup_pb2 as pb
from pymesos_proto.v1 import jobs_pb2
from pymesos_proto.v1.operator_pb2 import ClusterSilenceView, SealedSecret, SetWebhookRequest

FORMAT = 1
MAX_LINE_BYTES = 4 * limits.MIB  # a job of 512 KiB, whose JSON is written as a text in JSON
MAX_FILE_BYTES = 1024 * limits.MIB
MAX_RECORDS = 1_000_000

Key = TypeVar("Key")
Value = TypeVar("Value")


class BackupError(Exception):
    """What was read is no backup that can be restored: the message says why, and in which line."""


@dataclass(frozen=True)
class SavedJob:
    """A job with its versions, the earlier first: the last was in force."""

    job_id: str
    role: str
    name: str
    versions: tuple[jobs_pb2.JobVersion, ...]
    scaled_counts: Mapping[str, int] = field(default_factory=dict)  # of tasks that are scaled

    def records(self) -> Iterator[pb.BackupRecord]:
        """Return a record for each version, and one of how it is scaled if it is."""
        for version in self.versions:
            of = pb.BackupJobVersion(
                job_id=self.job_id, role=self.role, name=self.name, version=version
            )
            yield pb.BackupRecord(job_version=of)
        if self.scaled_counts:
            counts = pb.BackupJobCounts(job_id=self.job_id, scaled_counts=self.scaled_counts)
            yield pb.BackupRecord(job_counts=counts)

    def problem(self) -> str | None:
        """Return why no restore takes it, or None."""
        earlier: pb.BackupJobVersion | None = None
        for record in self.records():
            problem = contract.problem(record)
            if not problem and record.HasField("job_version"):
                problem = _version_problem(record.job_version, earlier)
                earlier = record.job_version
            if problem:
                return problem
        return None


@dataclass(frozen=True)
class Backup:
    """What a cluster was told to be."""

    begin: pb.BackupBegin
    policy: str | None = None  # None: nobody has set one
    roles: tuple[pb.BackupRole, ...] = ()
    secrets: tuple[SealedSecret, ...] = ()
    agents: tuple[pb.BackupAgent, ...] = ()
    revoked: tuple[str, ...] = ()
    jobs: tuple[SavedJob, ...] = ()
    left_out: tuple[str, ...] = ()  # what is not in it, in words
    variables: tuple[pb.BackupVariable, ...] = ()
    webhooks: tuple[SetWebhookRequest, ...] = ()
    silences: tuple[ClusterSilenceView, ...] = ()  # of alerts of the cluster
    job_silences: tuple[jobs_pb2.JobSilenceView, ...] = ()  # of alerts of `jobs`

    def records(self) -> Iterator[pb.BackupRecord]:
        """Return each record, but for the one that ends the file."""
        yield pb.BackupRecord(begin=self.begin)
        yield from (pb.BackupRecord(left_out=what) for what in self.left_out)
        if self.policy is not None:
            yield pb.BackupRecord(policy=pb.BackupPolicy(document=self.policy))
        yield from (pb.BackupRecord(role=role) for role in self.roles)
        yield from (pb.BackupRecord(secret=secret) for secret in self.secrets)
        yield from (pb.BackupRecord(agent=agent) for agent in self.agents)
        yield from (pb.BackupRecord(revoked=name) for name in self.revoked)
        yield from (pb.BackupRecord(variable=variable) for variable in self.variables)
        yield from (pb.BackupRecord(webhook=webhook) for webhook in self.webhooks)
        yield from (pb.BackupRecord(silence=silence) for silence in self.silences)
        for job in self.jobs:
            yield from job.records()
        yield from (pb.BackupRecord(job_silence=silence) for silence in self.job_silences)


def lines_of(backup: Backup) -> Iterator[bytes]:
    """Return the lines of its file, each with the line break that ends it.

    They are read as a restore reads them. Raises BackupError for what no restore would take.
    """
    reading = _Reading()
    for record in backup.records():
        line = _line(record)
        reading.take(line)
        yield line
    line = _line(pb.BackupRecord(end=reading.end()))
    reading.take(line)
    yield line


def _line(record: pb.BackupRecord) -> bytes:
    text = json_format.MessageToJson(record, preserving_proto_field_name=True, indent=None)
    return text.encode() + b"\n"


def read_backup(file: BinaryIO) -> Backup:
    """Read a backup to its end, and check all of it. Raises BackupError, OSError."""
    reading = _Reading()
    while line := file.readline(MAX_LINE_BYTES + 1):
        reading.take(line)
    return reading.finished()


class _Reading:
    """What was read of a backup so far."""

    def __init__(self) -> None:
        self._number = 0  # of the line
        self._left_bytes = MAX_FILE_BYTES
        self._digest = hashlib.sha256()
        self._begin: pb.BackupBegin | None = None
        self._ended = False
        self._policy: str | None = None
        self._roles: dict[str, pb.BackupRole] = {}
        self._secrets: dict[tuple[str, str], SealedSecret] = {}
        self._agents: dict[str, pb.BackupAgent] = {}
        self._revoked: dict[str, None] = {}
        self._jobs: dict[str, list[pb.BackupJobVersion]] = {}
        self._scaled: dict[str, Mapping[str, int]] = {}
        self._left_out: list[str] = []
        self._variables: dict[tuple[str, str], pb.BackupVariable] = {}
        self._webhooks: dict[str, SetWebhookRequest] = {}
        self._silences: dict[tuple[str, str], ClusterSilenceView] = {}
        self._job_silences: dict[tuple[str, str, str], jobs_pb2.JobSilenceView] = {}

    def take(self, line: bytes) -> None:
        """Take the next line. Raises BackupError."""
        self._number += 1
        self._left_bytes -= len(line)
        if self._ended:
            raise self._wrong("the record before it ends the backup, and nothing was expected")
        too_large = len(line) > MAX_LINE_BYTES or self._left_bytes < 0
        if too_large or self._number > MAX_RECORDS:
            raise self._wrong(
                f"the file is larger than a backup is: at most {MAX_RECORDS} lines of"
                f" {MAX_LINE_BYTES} bytes, {MAX_FILE_BYTES} together, were expected"
            )
        if not line.endswith(b"\n"):
            raise self._wrong("the line is cut short: take another copy of the backup")
        try:
            record = json_format.Parse(line, pb.BackupRecord())
        except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
            what = (
                "what `pymesos-cli backup` wrote" if self._number == 1 else "a record of a backup"
            )
            raise self._wrong(f"{what} was expected ({_in_short(error)})") from None
        if record.WhichOneof("record") == "end":
            self._check_end(record.end)
            return
        self._digest.update(line)
        problem = contract.problem(record) or self._add(record)
        if problem:
            raise self._wrong(problem)

    def _wrong(self, problem: str) -> BackupError:
        return BackupError(f"line {self._number}: {problem}")

    def end(self) -> pb.BackupEnd:
        """Return what ends a backup after the lines that were taken."""
        return pb.BackupEnd(records=self._number, sha256=self._digest.digest())

    def _check_end(self, end: pb.BackupEnd) -> None:
        self._ended = True
        there = self._number - 1
        if self._begin is None:
            raise self._wrong("a backup begins with what made it, and this has no record")
        if end.records != there or end.sha256 != self._digest.digest():
            raise self._wrong(
                f"{count_of(end.records, 'record')} were written, and the {there} that are there"
                f" are not those: the file was changed or damaged; take another copy of it"
            )

    def finished(self) -> Backup:
        """Return the whole. Raises BackupError."""
        if self._begin is None or not self._ended:
            raise BackupError(
                f"the backup is not whole: it ends after {count_of(self._number, 'line')}, and a"
                f" record that ends it was expected; take another copy of it"
            )
        jobs = tuple(
            SavedJob(
                *(job_id, of[0].role, of[0].name, tuple(each.version for each in of)),
                self._scaled.get(job_id, {}),
            )
            for job_id, of in self._jobs.items()
        )
        return Backup(
            self._begin,
            self._policy,
            tuple(self._roles.values()),
            tuple(self._secrets.values()),
            tuple(self._agents.values()),
            tuple(self._revoked),
            jobs,
            tuple(self._left_out),
            tuple(self._variables.values()),
            tuple(self._webhooks.values()),
            tuple(self._silences.values()),
            tuple(self._job_silences.values()),
        )

    def _add(self, record: pb.BackupRecord) -> str | None:
        """Return what is wrong with a record; it is taken if nothing is."""
        kind = record.WhichOneof("record")
        if (kind == "begin") != (self._number == 1):
            return "the first record, and no other, was expected to say what made the backup"
        match kind:
            case "begin":
                self._begin = record.begin
                return _begin_problem(record.begin)
            case "policy":
                twice, self._policy = self._policy is not None, record.policy.document
                return _policy_problem(record.policy) or _twice("policy", twice)
            case "role":
                twice = _put(self._roles, record.role.role, record.role)
                return _role_problem(record.role) or _twice("role", twice)
            case "secret":
                secret = record.secret
                twice = _put(self._secrets, (secret.role, secret.name), secret)
                return _secret_problem(secret) or _twice("secret", twice)
            case "agent":
                twice = _put(self._agents, record.agent.agent_id, record.agent)
                return _agent_problem(record.agent) or _twice("agent", twice)
            case "revoked":
                return _twice("revocation", _put(self._revoked, record.revoked, None))
            case "job_version":
                of = record.job_version
                earlier = self._jobs.setdefault(of.job_id, [])
                problem = _version_problem(of, earlier[-1] if earlier else None)
                earlier.append(of)
                return problem
            case "job_counts":
                counts = record.job_counts
                if counts.job_id not in self._jobs:
                    return f"a version of {quoted(counts.job_id)} was expected before its numbers"
                twice = _put(self._scaled, counts.job_id, dict(counts.scaled_counts))
                return _twice(f"record of how {counts.job_id} is scaled", twice)
            case "variable":
                of_role = record.variable
                twice = _put(self._variables, (of_role.role, of_role.name), of_role)
                return _variable_problem(of_role) or _twice("variable", twice)
            case "webhook":
                twice = _put(self._webhooks, record.webhook.name, record.webhook)
                return _webhook_problem(record.webhook) or _twice("webhook", twice)
            case "silence":
                one = record.silence
                twice = _put(self._silences, (one.when, one.subject), one)
                return _twice("silence", twice)
            case "job_silence":
                of_job = record.job_silence
                if of_job.job_id not in self._jobs:
                    return f"a version of {quoted(of_job.job_id)} was expected before its silence"
                key = (of_job.job_id, of_job.task_name, of_job.when)
                return _twice("silence", _put(self._job_silences, key, of_job))
            case "left_out":
                self._left_out.append(record.left_out)
                return None
        return "a record of a kind that is known was expected"


def _put(there: dict[Key, Value], key: Key, value: Value) -> bool:
    """Put a value at a key; return whether there was one."""
    before = len(there)
    there[key] = value
    return len(there) == before


def _in_short(error: Exception) -> str:
    return cut(" ".join(str(error).split()), 200)


def _twice(what: str, twice: bool) -> str | None:
    return f"the {what} is there for a second time, and was expected once" if twice else None


def _begin_problem(begin: pb.BackupBegin) -> str | None:
    if begin.format == FORMAT:
        return None
    return (
        f"the backup is of the format {begin.format}, made by pymesos-cli {cut(begin.made_with)};"
        f" this one reads the format {FORMAT}: restore it with the one that made it"
    )


def _policy_problem(policy: pb.BackupPolicy) -> str | None:
    try:
        read_policy(policy.document)
    except PolicyError as error:
        return f"the policy: {error}"
    return None


def _role_problem(role: pb.BackupRole) -> str | None:
    if not role.role:
        return "the role has no name"
    if not (math.isfinite(role.weight) and role.weight > 0):
        return f"the role {role.role} has the weight {role.weight:g}; one above 0 was expected"
    for what, of in (("guarantees", role.quota.guarantees), ("limits", role.quota.limits)):
        if problem := _resources_problem(of):
            return f"the quota of the role {role.role}: {what}: {problem}"
    return None


def _resources_problem(messages: Iterable[object]) -> str | None:
    try:
        from_proto(messages)  # type: ignore[arg-type]
    except ResourceError as error:
        return str(error)
    return None


def _secret_problem(secret: SealedSecret) -> str | None:
    if not (secret.role and secret.name and secret.key_id and secret.nonce and secret.sealed):
        return "a secret with a role, a name, and what is sealed by which key was expected"
    return None


def _variable_problem(variable: pb.BackupVariable) -> str | None:
    if not (variable.role and variable.name):
        return "a variable with a role and a name was expected"
    return None


def _webhook_problem(webhook: SetWebhookRequest) -> str | None:
    if not (webhook.name and webhook.url):
        return "a webhook with a name and where it sends was expected"
    return None


def _agent_problem(agent: pb.BackupAgent) -> str | None:
    if not agent.agent_id:
        return "the agent has no id"
    if problem := _resources_problem(agent.reserved):
        return f"what is reserved of the agent {agent.agent_id}: {problem}"
    return None


def _version_problem(of: pb.BackupJobVersion, earlier: pb.BackupJobVersion | None) -> str | None:
    if not (of.job_id and of.role and of.name and of.version.version):
        return "a version of a job with its id, its role, its name and its number was expected"
    what = f"version {of.version.version} of the job {of.job_id}"
    if earlier is not None:
        if (of.role, of.name) != (earlier.role, earlier.name):
            return f"{what} is of another role or name than the one before it"
        if of.version.version <= earlier.version.version:
            return f"{what} comes after version {earlier.version.version}"
    try:
        document = load_document(of.version.job_json, only_json=True)
    except (JobError, DocumentError) as error:
        return f"{what}: {error}"
    if not isinstance(document, dict):
        return f"{what} is no mapping, which a job is"
    if (document.get("role", "*"), document.get("name")) != (of.role, of.name):
        return f"{what} has a document of another role or name than {quoted(of.name)} of {of.role}"
    return None
