"""`package install`, `update`, `remove` and `list`: jobs that are made from packages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError
from pymesos_cli.finding import has_ended
from pymesos_cli.jobs.hosted import Hosted
from pymesos_cli.jobs.listing import find_held, stop_job
from pymesos_cli.jobs.versions import Apply, apply_job, told_document
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import note, print_json, print_table
from pymesos_cli.packages.package import Installing, Origin, Package
from pymesos_cli.packages.parts import PackageError, Version, parse_version
from pymesos_cli.packages.repositories import Repositories
from pymesos_cli.services import ask_jobs, warn
from pymesos_core.jobs_json import job_json
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb


@dataclass(frozen=True)
class Wanted:
    """What `install` and `update` are told, beside names."""

    settings: Sequence[str] = ()  # NAME=VALUE
    unset: Sequence[str] = ()  # options that go back to their defaults
    version: str = ""  # empty: the latest
    downgrade: bool = False
    source: str = ""  # the repository, where it was named
    apply: Apply = field(default_factory=Apply)


@dataclass(frozen=True)
class Installed:
    """A job that was made from a package."""

    address: str  # of the service that has it
    job: pb.JobView

    @property
    def version(self) -> Version:
        """The version of its package."""
        return parse_version(self.job.package.version)

    @property
    def name(self) -> str:
        """The name of its package."""
        return self.job.package.name

    @property
    def origin(self) -> Origin | None:
        """Where its package came from; None if the job does not say, as those made earlier."""
        package = self.job.package
        return (
            Origin(package.repository, package.repository_key) if package.repository_key else None
        )


def package_and_job(
    repositories: Repositories, text: str, name: str, role: str, wanted: Wanted
) -> tuple[Package, Installing]:
    """Return the package that is to be installed, with what it is told. Raises PackageError."""
    found = repositories.find(text, _version(wanted))
    package = repositories.load(found)
    options = package.options.read(wanted.settings)
    return package, Installing(name or package.name, role, options, found.repository.origin)


async def install(cluster: Cluster, package: Package, asked: Installing, wanted: Wanted) -> int:
    """`pymesos-cli package install`; the exit status. Raises CliError, PackageError."""
    job = package.job(asked)
    answers = await ask_jobs(cluster, ended=False)
    warn(answers.silent)
    there = [
        Installed(address, view)
        for address, view in answers.items
        if view.name == asked.name and view.role == asked.role and not has_ended(view)
    ]
    apply = wanted.apply
    if len(there) == 1 and there[0].job.state == "running":
        check_change(there[0], package, downgrade=wanted.downgrade)
        check_origin(there[0], asked.origin, named=bool(wanted.source))
        apply = replace(apply, job_id=there[0].job.job_id, if_version=there[0].job.version)
    print(f"{package}, as the job {asked.name} of the role {asked.role}")
    return await apply_job(cluster, job, apply)


async def update(cluster: Cluster, repositories: Repositories, text: str, wanted: Wanted) -> int:
    """`pymesos-cli package update`; the exit status. Raises CliError, PackageError."""
    installed = await _installed(cluster, text)
    before = await _options(cluster, installed)
    source = wanted.source or await asyncio.to_thread(source_of, repositories, installed)
    text = f"{source}/{installed.name}"
    found = await asyncio.to_thread(repositories.find, text, _version(wanted))
    package = await asyncio.to_thread(repositories.load, found)
    check_change(installed, package, downgrade=wanted.downgrade)
    origin = found.repository.origin
    check_origin(installed, origin, named=bool(wanted.source))
    package.options.check_known(wanted.unset)
    kept = {name: value for name, value in before.items() if name not in wanted.unset}
    options = kept | package.options.read(wanted.settings)
    asked = Installing(installed.job.name, installed.job.role or "*", options, origin)
    job = package.job(asked)
    print(f"{installed.name} {installed.version} -> {package.version}, from {origin.name}")
    for version, words in package.notes_since(installed.version):
        print(f"\n## {version}\n{words}\n")
    view = installed.job
    apply = replace(wanted.apply, job_id=view.job_id, if_version=view.version)
    return await apply_job(cluster, job, apply)


async def remove(cluster: Cluster, text: str) -> None:
    """`pymesos-cli package remove`. Raises CliError."""
    installed = await _installed(cluster, text)
    await stop_job(cluster, installed.job.job_id)
    print("volumes that it has stay: `pymesos-cli volumes list` shows them")


async def list_installed(cluster: Cluster, repositories: Repositories, *, as_json: bool) -> None:
    """`pymesos-cli package list`."""
    answers = await ask_jobs(cluster, ended=False)
    warn(answers.silent)
    jobs = [view for _, view in answers.items if view.HasField("package")]
    latest = await asyncio.to_thread(_latest, repositories) if jobs else {}
    if as_json:
        print_json([{**job_json(job), "latest": latest.get(_signed(job))} for job in jobs])
        return
    rows = [
        (
            job.job_id,
            job.role,
            job.package.name,
            job.package.version,
            latest.get(_signed(job), "?"),
            job.package.repository or "?",
            job.state,
        )
        for job in jobs
    ]
    headers = ("JOB", "ROLE", "PACKAGE", "VERSION", "LATEST", "REPOSITORY", "STATE")
    print_table(headers, rows, "no job was made from a package")


def _latest(repositories: Repositories) -> dict[tuple[str, str], str]:
    """The latest version of each package, by the key of its repository and its name."""
    newest: dict[tuple[str, str], Version] = {}
    for one in repositories.all():
        try:
            entries = repositories.index(one).entries
        except PackageError as error:
            note(str(error))
            continue
        for entry in entries:
            signed = one.origin.key, entry.name
            newest[signed] = max(entry.version, newest.get(signed, entry.version))
    return {signed: str(version) for signed, version in newest.items()}


def _signed(job: pb.JobView) -> tuple[str, str]:
    return job.package.repository_key, job.package.name


def _version(wanted: Wanted) -> Version | None:
    return parse_version(wanted.version) if wanted.version else None


def check_change(installed: Installed, package: Package, *, downgrade: bool) -> None:
    """Raises CliError for a job that is not this package's, or for a downgrade not asked for."""
    view = installed.job
    if not view.HasField("package") or installed.name != package.name:
        made = f"from {installed.name}" if view.HasField("package") else "from no package"
        raise CliError(
            f"the job {view.job_id} runs, and was made {made}: give this one another name, with"
            f" --name",
            EXIT_USAGE,
        )
    if package.version < installed.version and not downgrade:
        raise CliError(
            f"{package} is older than {installed.version}, which the job {view.job_id} has: what"
            f" the newer one has written may not be read by it. If you mean it, add --downgrade",
            EXIT_USAGE,
        )
    if package.version < installed.version:
        note(f"this is a downgrade, from {installed.version} to {package.version}")


def source_of(repositories: Repositories, installed: Installed) -> str:
    """Return the repository of this user that a job's package came from, found by its key.

    Another may have a package of that name, of somebody else's. Raises CliError, PackageError.
    """
    job_id, origin = installed.job.job_id, installed.origin
    known = repositories.all()
    yours = ", ".join(one.name for one in known) or "none"
    if origin is None:
        raise CliError(
            f"the job {job_id} does not say which repository its package came from, as it was made"
            f" by an earlier version: name the one that you mean, with --from. Yours are: {yours}",
            EXIT_USAGE,
        )
    names = [one.name for one in known if one.origin.key == origin.key]
    if not names:
        raise CliError(
            f"the package of the job {job_id} came from the repository {origin.name}, whose key is"
            f" {origin.key}; no repository of yours has that key: add it (`pymesos-cli package"
            f" repository add`), or name another with --from. Yours are: {yours}",
            EXIT_USAGE,
        )
    return origin.name if origin.name in names else names[0]


def check_origin(installed: Installed, origin: Origin | None, *, named: bool) -> None:
    """Raises CliError if a package would come from elsewhere and nobody has named that place."""
    before = installed.origin
    if origin is None or (before is not None and before.key == origin.key):
        return
    was = f"came from {before.name}" if before else "does not say where it came from"
    if not named:
        raise CliError(
            f"the job {installed.job.job_id} runs; its package {was}, and this one is of"
            f" {origin.name}. If you mean it, say so: {origin.name}/{installed.name}",
            EXIT_USAGE,
        )
    note(f"the package of {installed.job.job_id} {was}, and comes from {origin.name} now")


async def _installed(cluster: Cluster, text: str) -> Installed:
    found = await find_held(cluster, text, exact=True)
    view = None if isinstance(found, Hosted) else found[1]
    if isinstance(found, Hosted) or view is None or not view.HasField("package"):
        raise CliError(
            f"the job {quoted(text)} was not made from a package; `pymesos-cli package list` shows"
            f" those that were",
            EXIT_USAGE,
        )
    if has_ended(view):
        raise CliError(
            f"the job {view.job_id} has ended ({view.state}): install its package anew", EXIT_USAGE
        )
    return Installed(found[0], view)


async def _options(cluster: Cluster, installed: Installed) -> Mapping[str, Any]:
    """What was asked of an installed package. Raises CliError."""
    async with jobs_at(cluster, installed.address) as stub:
        answer = await stub.DescribeJob(
            pb.DescribeJobRequest(job_id=installed.job.job_id), timeout=cluster.timeout_s
        )
    package = told_document(answer).get("package")
    options = package.get("options") if isinstance(package, dict) else None
    if not isinstance(options, dict):
        options = {}
    if answer.env_hidden and options:
        raise CliError(
            f"you may not read what was asked of {installed.name} (`read-env`), so it cannot be"
            f" asked for again: have somebody update it who may",
            EXIT_USAGE,
        )
    return options
