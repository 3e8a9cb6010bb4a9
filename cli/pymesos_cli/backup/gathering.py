"""`backup`: what a cluster that runs was told to be is read, and written to a file."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from pymesos_binpack.jobfiles.parsing import load_document
from pymesos_binpack.specs import JobError
from pymesos_cli.backup.records import FORMAT, Backup, SavedJob
from pymesos_cli.backup.telling import silences_of_jobs, told_of
from pymesos_cli.backup.writing import (
    INCOMPLETE,
    STDOUT,
    check_incomplete,
    check_target,
    remove_incomplete,
    write_file,
)
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_FAILED, CliError
from pymesos_cli.output import count_of, note, printable
from pymesos_cli.services import all_jobs, all_pages, of_each
from pymesos_core import VERSION
from pymesos_core.documents import DocumentError
from pymesos_core.reservations import dynamic
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources, from_proto, tagged, to_proto
from pymesos_core.security.secrets import KEY_FILE
from pymesos_core.text import cut, quoted
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2
from pymesos_proto.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

TRIES = 3  # of a job that changes while it is read
MAX_LEFT_OUT_CHARS = 1000  # of each thing that is not in the backup

Answer = TypeVar("Answer")


class _HiddenError(Exception):
    """What the caller may not read would be missed once it is restored."""


class _LeftOutError(Exception):
    """A job is not in the backup: the message says why."""


@dataclass(frozen=True)
class Gathered:
    """A backup, and whether everything is in it that a restore could bring back."""

    backup: Backup
    complete: bool


async def back_up(cluster: Cluster, file: str, *, force: bool) -> int:
    """`pymesos-cli backup`; the exit status."""
    check_target(file, force=force)  # before anybody waits for the rest
    if file != STDOUT:
        check_incomplete(file)
    gathered = await gather(cluster)
    backup = gathered.backup
    frameworks = await cluster.frameworks()
    for left_out in backup.left_out:
        note(printable(f"not in the backup: {left_out}"))
    for view in frameworks:
        if not view.info.jobs_address:
            who = f"framework {view.info.name} ({view.info.framework_id})"
            note(f"{who} serves no jobs to others: what it has is not in the backup")
    own_name = gathered.complete or file == STDOUT
    written = file if own_name else file + INCOMPLETE
    size = write_file(backup, written, force=force or not own_name)
    if own_name and file != STDOUT:
        remove_incomplete(file)
    if file != STDOUT:
        print(printable(f"{_said(backup)}: {size} bytes in {written}"))  # in full: its end matters
    if not own_name:
        note(
            f"{quoted(file)} is not written, so that an earlier backup there stays: something is"
            f" missing in this one. Mend what is said above, and make it once more"
        )
    if backup.secrets:
        keys = ", ".join(sorted({secret.key_id for secret in backup.secrets}))
        note(
            f"secrets are in it as they are sealed: keep {KEY_FILE} of a master, which has the key"
            f" {keys}, at another place"
        )
    return EXIT_FAILED if backup.left_out else 0


def _said(backup: Backup) -> str:
    versions = sum(len(job.versions) for job in backup.jobs)
    parts = [
        "the policy" if backup.policy is not None else "no policy, since nobody has set one",
        count_of(len(backup.roles), "role"),
        count_of(len(backup.secrets), "secret"),
        count_of(len(backup.agents), "agent"),
        count_of(len(backup.revoked), "revocation"),
        count_of(len(backup.variables), "variable"),
        count_of(len(backup.webhooks), "webhook"),
        count_of(len(backup.silences) + len(backup.job_silences), "silence"),
        f"{count_of(len(backup.jobs), 'job')} ({count_of(versions, 'version')})",
    ]
    return ", ".join(parts)


async def gather(cluster: Cluster) -> Gathered:
    """Return what the cluster was told to be, as far as it is reached. Raises CliError."""
    me = await cluster.call(lambda s, t: s.WhoAmI(pb.WhoAmIRequest(), timeout=t))
    secrets = await cluster.pages(
        lambda s, p, t: s.ListSealedSecrets(pb.ListSealedSecretsRequest(page=p), timeout=t),
        lambda r: r.secrets,
    )  # first, since this says who may not make a backup
    policy = await cluster.call(lambda s, t: s.GetPolicy(pb.GetPolicyRequest(), timeout=t))
    roles = await cluster.call(lambda s, t: s.ListRoles(pb.ListRolesRequest(), timeout=t))
    revoked = await cluster.call(
        lambda s, t: s.ListRevocations(pb.ListRevocationsRequest(), timeout=t)
    )
    agents = await cluster.agents()
    aside = await cluster.pages(
        lambda s, p, t: s.ListQuarantinedRecords(
            pb.ListQuarantinedRecordsRequest(page=p), timeout=t
        ),
        lambda r: r.records,
    )
    missing = [
        f"the record {one.kind}/{one.key} of the registry, which cannot be handled: {one.reason}"
        for one in aside
    ]
    variables: dict[tuple[str, str], backup_pb.BackupVariable] = {}
    job_silences: dict[str, list[jobs_pb2.JobSilenceView]] = {}
    jobs, without = await _jobs(cluster, variables, job_silences)
    missing += without
    webhooks, silences = await told_of(cluster, missing)
    left_out = [cut(what, MAX_LEFT_OUT_CHARS) for what in (*missing, *lost_of(agents))]
    begin = backup_pb.BackupBegin(
        format=FORMAT, made_at_s=time.time(), made_with=VERSION, made_by=me.principal
    )
    backup = Backup(
        begin,
        policy.document if policy.version else None,
        tuple(_roles(roles.roles)),
        tuple(secrets),
        tuple(decided_of(agents)),
        tuple(one.name for one in revoked.revocations),
        tuple(jobs),
        tuple(left_out),
        tuple(variables[key] for key in sorted(variables)),
        tuple(webhooks),
        tuple(silences),
        tuple(one for job in jobs for one in job_silences.get(job.job_id, ())),
    )
    return Gathered(backup, complete=not missing)


def _roles(views: Iterable[pb.RoleView]) -> Iterable[backup_pb.BackupRole]:
    for view in views:
        has_quota = bool(view.quota.guarantees or view.quota.limits)
        if view.weight != 1 or has_quota:
            quota = view.quota if has_quota else None
            yield backup_pb.BackupRole(role=view.role, weight=view.weight, quota=quota)


def decided_of(views: Iterable[pb.AgentView]) -> Iterable[backup_pb.BackupAgent]:
    """What was decided of agents, for those of which anything was."""
    for view in views:
        reserved = plainly_reserved(from_proto(view.total))
        maintenance = view.maintenance.unavailability if view.HasField("maintenance") else None
        cordoned = bool(view.drain.state)
        if view.state != "gone" and (cordoned or maintenance is not None or reserved):
            yield backup_pb.BackupAgent(
                agent_id=view.info.agent_id,
                hostname=view.info.address.hostname,
                cordoned=cordoned,
                maintenance=maintenance,
                reserved=to_proto(reserved),
            )


def plainly_reserved(total: Resources) -> Resources:
    """What of an agent's resources is reserved by one dynamic reservation, and is no volume.

    Volumes are left out: their data is on the agent's disk, and a framework makes new ones, and
    reserves the disk for them.
    """
    return _reserved(total).where(lambda tag: len(tag.reservations) == 1)


def _reserved(total: Resources) -> Resources:
    """What of an agent's resources is reserved dynamically, but for volumes."""
    return dynamic(total).where(lambda tag: tag.volume is None)


def lost_of(views: Iterable[pb.AgentView]) -> Iterable[str]:
    """Say what of reservations cannot be restored: refined ones, and labels of all others."""
    for view in views:
        if view.state == "gone":
            continue
        on = f"on the agent {view.info.agent_id} ({view.info.address.hostname})"
        for tag, part in _reserved(from_proto(view.total)).parts():
            what = tagged(Tag(device=tag.device), part)
            roles = [reservation.role for reservation in tag.reservations]
            if len(roles) > 1:
                of = ", then of it for ".join(roles)
                yield f"{what}, reserved for {of} {on}: a restore reserves for one role only"
            elif tag.reservations[0].labels:
                labels = ", ".join(f"{key}={value}" for key, value in tag.reservations[0].labels)
                yield f"the labels {labels} of {what}, reserved for {roles[0]} {on}"


async def _jobs(
    cluster: Cluster,
    variables: dict[tuple[str, str], backup_pb.BackupVariable],
    silences: dict[str, list[jobs_pb2.JobSilenceView]],
) -> tuple[list[SavedJob], list[str]]:
    """The jobs that have not ended, and what is left out, in words; variables and
    silences, these by job, are put to others.

    Raises CliError.
    """
    jobs: dict[str, SavedJob] = {}
    left_out: list[str] = []

    async def ask(view: pb.FrameworkView, stub: JobsAsyncStub) -> None:
        for each in await _variables_of(stub, cluster.timeout_s):
            if variables.setdefault((each.role, each.name), each) != each:
                who = f"framework {view.info.name} ({view.info.framework_id})"
                left_out.append(f"the variable {each.name} of {each.role} of {who}: another has it")
        told = await silences_of_jobs(stub, cluster.timeout_s, left_out)
        for job in await _jobs_of(stub, cluster.timeout_s, left_out):
            if jobs.setdefault(job.job_id, job) is job:
                silences[job.job_id] = [one for one in told if one.job_id == job.job_id]
            else:
                who = f"framework {view.info.name} ({view.info.framework_id})"
                left_out.append(f"the job {job.job_id} of {who}: another has one of that id")

    try:
        _, silent = await of_each(cluster, ask)
    except _HiddenError as error:
        raise CliError(str(error)) from None
    return [*jobs.values()], [*left_out, *map(str, silent)]


async def _variables_of(stub: JobsAsyncStub, timeout_s: float) -> list[backup_pb.BackupVariable]:
    """The variables of one framework; one of an earlier version has none. Raises _HiddenError."""

    async def ask(token: str) -> jobs_pb2.ListVariablesResponse:
        request = jobs_pb2.ListVariablesRequest(page_token=token)
        return await stub.ListVariables(request, timeout=timeout_s)

    try:
        views = [view for page in await all_pages(ask) for view in page.variables]
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return []
    if hidden := next((view for view in views if view.hidden), None):
        raise _HiddenError(
            f"you may not read the values of variables of the role {hidden.role}, and a backup is"
            f" to have them: have somebody make it who may `read-env` in every role"
        )
    return [
        backup_pb.BackupVariable(role=view.role, name=view.name, value=view.value) for view in views
    ]


async def _jobs_of(stub: JobsAsyncStub, timeout_s: float, left_out: list[str]) -> list[SavedJob]:
    """The jobs of one framework."""
    jobs: list[SavedJob] = []
    views = {view.job_id: view for view in await all_jobs(stub, timeout_s, ended=False)}
    for view in views.values():
        if view.state == "running":
            try:
                scaled = {each.task_name: each.count for each in view.scaling}
                job = await _job(stub, timeout_s, view.job_id, scaled)
            except _LeftOutError as error:
                left_out.append(f"the job {view.job_id}: {error}")
            else:
                jobs += [job] if job is not None else []
        elif view.state == "quarantined":
            why = f"which is quarantined: {view.explanation}"
            left_out.append(f"the job {view.job_id}, {why}")
    return jobs


async def _job(
    stub: JobsAsyncStub, timeout_s: float, job_id: str, scaled: Mapping[str, int]
) -> SavedJob | None:
    """A job with its versions; None: it has ended meanwhile, and is forgotten.

    Raises _LeftOutError.
    """
    for _ in range(TRIES):  # a version may be forgotten while others are read
        request = jobs_pb2.ListVersionsRequest(job_id=job_id)
        listed = await _if_known(stub.ListVersions(request, timeout=timeout_s))
        if listed is None:
            return None
        numbers = sorted(view.version for view in listed.versions)
        said = [await _if_known(_described(stub, timeout_s, job_id, n)) for n in numbers]
        known = [each for each in said if each is not None]
        if len(known) == len(said):
            # Frameworks of earlier versions count only those that they list.
            counts = dict(known[-1].scaled_counts) if known else {}
            return _saved(job_id, [*map(_version, known)], counts or scaled)
    raise _LeftOutError("it was changed each time that it was read: make the backup once more")


async def _if_known(answer: Awaitable[Answer]) -> Answer | None:
    """An answer; None: the framework does not know what was asked for."""
    try:
        return await answer
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return None


def _saved(
    job_id: str, versions: Sequence[jobs_pb2.JobVersion], scaled: Mapping[str, int]
) -> SavedJob:
    """A job as a restore takes it. Raises _LeftOutError."""
    if not versions:
        raise _LeftOutError("its framework says that it has no version")
    try:
        read = load_document(versions[-1].job_json, only_json=True)
    except (JobError, DocumentError) as error:
        raise _LeftOutError(f"its framework has no job file of it: {error}") from None
    document = read if isinstance(read, dict) else {}
    name, role = str(document.get("name", "")), str(document.get("role", "*"))
    job = SavedJob(job_id, role, name, tuple(versions), scaled)
    if problem := job.problem():
        raise _LeftOutError(f"no restore takes what its framework says of it: {problem}")
    return job


async def _described(
    stub: JobsAsyncStub, timeout_s: float, job_id: str, number: int
) -> jobs_pb2.DescribeJobResponse:
    """What is said of a version, with its document. Raises _HiddenError."""
    request = jobs_pb2.DescribeJobRequest(job_id=job_id, version=number)
    said = await stub.DescribeJob(request, timeout=timeout_s)
    if said.env_hidden:
        raise _HiddenError(
            f"you may not read the environments of the job {job_id}, and a backup without them"
            f" would restore another job: have somebody make it who may `read-env` in every role"
        )
    return said


def _version(said: jobs_pb2.DescribeJobResponse) -> jobs_pb2.JobVersion:
    return jobs_pb2.JobVersion(
        version=said.version.version,
        made_at_s=said.version.made_at_s,
        made_by=said.version.made_by,
        what=said.version.what,
        job_json=said.job_json,
    )
