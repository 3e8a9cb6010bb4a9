"""One life of the bin-packing framework after the other: its jobs, until they or it are to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pymesos_binpack import metrics
from pymesos_binpack.alerts.silences import SILENCE
from pymesos_binpack.alerts.state import ALERT
from pymesos_binpack.answers import StartsAgainError, SubmitError
from pymesos_binpack.core import BinpackCore, JobFault
from pymesos_binpack.jobfiles.trial import new_problem
from pymesos_binpack.jobs import writes
from pymesos_binpack.loading import Load, load_job
from pymesos_binpack.roles import JobRoles, roles_problem
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.relayed import RelayedJobs
from pymesos_binpack.settings import BinpackSettings
from pymesos_binpack.shell import CAPABILITIES, Binpack
from pymesos_binpack.specs import Job
from pymesos_binpack.states import STATE_FILE, check_not_moved, epoch_in
from pymesos_core.addresses import HostPort
from pymesos_core.coordination.zk_store import framework_url
from pymesos_core.exits import ExitStatus, RemovedError, RoleError
from pymesos_core.grpc_transport import Server, add_service
from pymesos_core.limits import PEER_WATCHERS
from pymesos_core.outgoing.telling import MakeTells, TellsNobody
from pymesos_core.outside import Outside, outside_with
from pymesos_core.role import STOP_GRACE_S, RoleProcess, holding, unusable
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.auditing import Audit, at_gate
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.store import Change, Records, StateStore, StoreError
from pymesos_core.tasks import running
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import (
    FrameworkDeniedError,
    FrameworkError,
    FrameworkRemovedError,
    FrameworkSupersededError,
)

log = logging.getLogger("pymesos_binpack")

Result = TypeVar("Result")

TEARDOWN_TIMEOUT_S = 10.0
JOBS_LIMITS = {"/pymesos.v1.Jobs/WatchJob": PEER_WATCHERS}


@dataclass(frozen=True)
class Options:
    """What the framework is told: its settings, and what follows from them and the jobs."""

    settings: BinpackSettings
    roles: JobRoles
    state_dir: Path
    jobs: tuple[tuple[str, Job], ...]  # request id, job

    @property
    def where(self) -> str:
        """Where the state is."""
        zk = self.settings.zk
        return str(self.state_dir if zk is None else framework_url(zk, self.settings.name))

    @property
    def where_is_from(self) -> str:
        """What says so."""
        return "--state-dir" if self.settings.zk is None else "--zk or --name"

    @property
    def started_for(self) -> str:
        """What another instance has to be started for, to go on with what this one began."""
        user = f"the user {self.settings.user}" if self.settings.user else "no user"
        return f"the role {self.roles} and {user}"

    @property
    def if_damaged(self) -> str:
        """What can be done about a state that cannot be read."""
        return (
            f"Jobs are never forgotten silently: restore the file from a backup, or move it away to"
            f" start without jobs, as a new framework ({self.state_dir} is --state-dir)"
        )


def telling(options: Options) -> MakeTells:
    """Return what makes the teller of alerts, by the file of receivers. Raises RoleError."""
    if (path := options.settings.receivers) is None:
        return TellsNobody
    from pymesos_core.outgoing import notifier  # its client of HTTP is slow to load

    return notifier.telling(path)


def serve_metrics(
    settings: BinpackSettings,
    process: RoleProcess,
    core: Callable[[], BinpackCore | None],
    credentials: Credentials | None,
) -> None:
    """Serve /metrics if there is a port for it; `core` is that of who acts. Raises ServingError."""
    at = (settings.metrics_ip, settings.metrics_port)
    process.serve_metrics(at, lambda: metrics.snapshot(core), metrics.to_metrics, credentials)


def framework_info(options: Options) -> pb.FrameworkInfo:
    """What the master is told."""
    return pb.FrameworkInfo(
        name=options.settings.name,
        user=options.settings.user,
        job_roles=options.roles.patterns if options.settings.listen else (),
        failover_timeout_s=options.settings.failover_timeout_s,
        capabilities=CAPABILITIES,
        checkpoint=True,
    )


async def serve(options: Options, process: RoleProcess) -> ExitStatus:
    """Run until the jobs have ended, or with --listen until the process is to stop.

    A job that cannot be handled is set aside, and the others go on in a framework from what is
    stored. Raises RoleError.
    """
    process.hold(holding(options.state_dir, "--state-dir"))
    files = options.settings.open_audit(options.state_dir)
    audit = Audit(files)
    async with (
        running(audit.run()) as auditing,
        running(_serve(options, process, audit, files)) as serving,
    ):
        await asyncio.wait({auditing, serving}, return_when=asyncio.FIRST_COMPLETED)
        if auditing.done():
            await auditing  # which raises
        return await serving


async def _serve(
    options: Options, process: RoleProcess, audit: Audit, files: AuditFiles | None
) -> ExitStatus:
    store, stored = process.open_store(options.state_dir / STATE_FILE, options.if_damaged)
    check_not_moved(stored)
    credentials = await options.settings.credentials(Kind.FRAMEWORK)
    outside = outside_with(credentials)
    tells = telling(options)
    leading: BinpackCore | None = None
    serve_metrics(options.settings, process, lambda: leading, credentials)
    info = framework_info(options)
    info.epoch = epoch_in(stored, options.where)
    server: Server | None = None
    address: HostPort | None = None
    service: JobsService | None = None
    if options.settings.listen:
        server, address = process.bind(JOBS_LIMITS, credentials, on_refused=at_gate(audit))
        info.jobs_address = str(address)

    async def begin() -> Binpack:
        nonlocal stored, service, leading
        leading = core = read_core(options, stored or store.load())
        stored = {}
        binpack = Binpack(
            core,
            store,
            info,
            options.settings.master,
            options.state_dir,
            outside=outside,
            tells=tells,
        )
        if service is not None:
            service.binpack = binpack
        elif server is not None and address is not None:
            service = JobsService(binpack, options.roles, principal=principal_of(outside))
            audited = AuditedJobs(service, audit, files, outside)
            add_service(server, audited)
            add_service(server, RelayedJobs(audited, outside))
            await process.start(server)
            process.announce(address)
        return binpack

    try:
        went_well = await live(
            store, begin, lambda binpack: _run(binpack, options, store, process.stop)
        )
    except StoreError as error:
        raise unusable(error, options.if_damaged) from error
    except FrameworkError as error:
        anew = f"give another --state-dir, or remove {options.state_dir}"
        raise refusal(error, options.where, anew) from error
    return ExitStatus.STOPPED if went_well else ExitStatus.FAILED


async def live(
    store: StateStore,
    begin: Callable[[], Awaitable[Binpack]],
    run: Callable[[Binpack], Awaitable[Result]],
) -> Result:
    """Run one life after the other until one ends by itself; return what that one returns.

    A job that cannot be handled is set aside, and the next life begins from what is stored.
    Raises RoleError, and what `begin` and `run` raise.
    """
    while True:
        binpack = await begin()
        try:
            return await run(binpack)
        except JobFault as fault:
            if fault.job_id in binpack.core.quarantined:
                raise RoleError(str(fault)) from fault
            log.error("%s. It is set aside: see pymesos-cli quarantine", fault)
            await asyncio.to_thread(store.commit, [fault.change])


def refusal(error: FrameworkError, where: str, anew: str) -> RoleError:
    """Return why a framework ends that the master does not take, and what to do about it.

    `where` is its state, and by `anew` it starts as a new framework.
    """
    said = str(error).rstrip(".")
    match error:
        case FrameworkDeniedError():
            return RoleError(
                f"{said}. Its tasks run on for the failover timeout; started again it goes on"
            )
        case FrameworkRemovedError():
            return RemovedError(f"{said}. Its tasks are gone; to start anew {anew}")
        case FrameworkSupersededError():
            return RemovedError(
                f"{said}. Its tasks run on under the other one, which has its state: probably"
                f" that was moved from {where} by `pymesos-binpack move-state`, or {where} is a"
                f" copy. Start it with the --zk or --state-dir where the state is now, and leave"
                f" {where} as it is until then"
            )
        case _:
            return RoleError(
                f"{said}. Its state is still in {where}: mend what the master says and start it"
                f" again, or to start anew {anew}"
            )


def principal_of(outside: Outside) -> str:
    """Who this framework is, by its certificate; empty without one."""
    credentials = outside.credentials
    return credentials.identity.principal if credentials is not None else ""


def read_core(options: Options, records: Records, load: Load = load_job) -> BinpackCore:
    """Take over from what is stored. Raises RoleError."""
    try:
        core = BinpackCore(options.settings.policy, records, options.roles.always, load)
    except ValueError as error:
        raise RoleError(
            f"the state in {options.where} cannot be read ({error}): restore it, or start anew"
            f" with another {options.where_is_from}"
        ) from error
    _check_roles(core, options)
    _check_job_files(core, options)
    for aside in core.quarantined.values():
        log.error("job %s is quarantined: %s", ascii(aside.job_id), ascii(aside.reason))
        if aside.role and aside.role not in options.roles:
            left_out = "job %s is of the role %s, which --role leaves out: it cannot be released"
            log.error(left_out, ascii(aside.job_id), ascii(aside.role))
    return core


def _check_roles(core: BinpackCore, options: Options) -> None:
    """Check the roles of the jobs that have not ended.

    In others than the framework is started for, jobs would run on that nobody could submit again,
    or another state is meant. Raises RoleError.
    """
    if others := sorted(role for role in core.roles if role not in options.roles):
        all_of_them = ",".join((*options.roles.patterns, *others))
        raise RoleError(
            f"the state in {options.where} has jobs of the role {' and '.join(others)}, and this"
            f" framework is started for {options.roles}: give --role '{all_of_them}', or another"
            f" {options.where_is_from}"
        )
    if problem := roles_problem(core.roles):
        raise RoleError(
            f"{problem}, and these are those of --role and of the jobs in {options.where}: name"
            f" fewer, as in eng/** for all below eng"
        )


def _check_job_files(core: BinpackCore, options: Options) -> None:
    """Check the job files of the command line as jobs that are sent are checked.

    One whose job was taken before goes on, whatever would be said of it today. Raises RoleError.
    """
    taken = {job.request_id for job in core.jobs.values()}
    taken |= {aside.request_id for aside in core.quarantined.values()}
    for path, job in options.jobs:
        if path not in taken and (problem := new_problem(job)):
            raise RoleError(f"{path}: {problem}")


async def _run(binpack: Binpack, options: Options, store: StateStore, stop: asyncio.Event) -> bool:
    """One life of the framework; whether all went well. Raises RoleError and kin, JobFault."""
    async with (
        running(binpack.run()) as framework,
        running(_work(binpack, options)) as working,
        running(stop.wait()) as stopping,
    ):
        await asyncio.wait({framework, working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if framework.done() or binpack.over:
            await framework
        if working.done():
            went_well = await working
            if not binpack.core.quarantined:
                await _tear_down(binpack, framework, store)
                return went_well
            log.error("the jobs in quarantine are left alone, for the next run to look at")
        else:
            log.info("stopping; the tasks run on for the failover timeout")
            went_well = True
        binpack.driver.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(framework), STOP_GRACE_S)
        return went_well and not (working.done() and binpack.core.quarantined)


async def _work(binpack: Binpack, options: Options) -> bool:
    """Submit the jobs of the command line, and wait until all jobs have ended."""
    for request_id, job in options.jobs:
        try:
            job_id = await binpack.submit(job, request_id)
        except StartsAgainError:
            return False  # the next life submits it again
        except SubmitError as error:
            raise RoleError(f"{request_id}: {error}") from error
        log.info("job %s: %d tasks", job_id, sum(task.instances for task in job.tasks))
    if options.settings.listen:
        await asyncio.Event().wait()
    states = list(binpack.core.jobs.values())
    for state in states:
        with binpack.watch(state.job_id) as watch:
            while not (state.is_over or binpack.over):
                watch.changed.clear()
                await watch.changed.wait()
        log.info("job %s %s", state.job_id, state.state)
    return all(state.state == "finished" for state in states)


async def _tear_down(binpack: Binpack, running: asyncio.Task[None], store: StateStore) -> None:
    """All is done: leave the cluster for good, and start as a new framework next time."""
    binpack.driver.teardown()
    try:
        await asyncio.wait_for(asyncio.shield(running), TEARDOWN_TIMEOUT_S)
    except TimeoutError:
        log.warning("no master to unregister from; it forgets this framework in time")
        return
    except FrameworkError:
        pass
    changes: list[Change] = [Change("framework", "", None)]
    changes += [Change(ALERT, alert.key, None) for alert in binpack.core.alerts]
    changes += [Change(SILENCE, silence.key, None) for silence in binpack.core.silences]
    for job in list(binpack.core.jobs.values()):
        changes += writes.removal(job)
    await asyncio.to_thread(store.commit, changes)
