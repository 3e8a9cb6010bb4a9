"""`pymesos-binpack`: the bin-packing framework."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from pymesos_binpack.core import BinpackCore, JobFault
from pymesos_binpack.jobfiles.parsing import MAX_BYTES, load_document, parse_job
from pymesos_binpack.placement.packing import DEFAULT_POLICY, Policy, PolicyError, read_policy
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.shell import Binpack, StartsAgainError, StateError, SubmitError
from pymesos_binpack.specs import Job, JobError
from pymesos_core import VERSION
from pymesos_core.addresses import AddressError, parse_master
from pymesos_core.coordination import CoordinationError
from pymesos_core.coordination.standalone import LockedError, lock_directory
from pymesos_core.directories import default_directory, disk_problem
from pymesos_core.flags import FiniteRange, Folder, current_user
from pymesos_core.ids import id_problem, role_problem
from pymesos_core.limits import PEER_WATCHERS
from pymesos_core.log import LEVELS, set_up_logging
from pymesos_core.serving import (
    Listen,
    ServingError,
    bind,
    check_listen,
    listen_options,
    make_server,
    stop_event,
)
from pymesos_core.store import Change, Store, StoreError
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.jobs_pb2_grpc import add_JobsServicer_to_server
from pymesos_sdk import FrameworkError

log = logging.getLogger("pymesos_binpack")

WEEK_S = 7 * 86400.0
STOP_GRACE_S = 1.0
TEARDOWN_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    master: str
    name: str
    role: str
    user: str
    failover_timeout_s: float
    policy: Policy
    state_dir: Path
    listen: Listen | None
    jobs: tuple[tuple[str, Job], ...]  # request id, job


class BinpackError(Exception):
    """The framework cannot go on: the message says why and what to do."""


def read_job(path: Path) -> Job:
    """Read a job file. Raises JobError naming it."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        return parse_job(load_document(text, only_json=path.suffix == ".json"))
    except OSError as error:
        raise JobError(f"cannot read {path}: {error.strerror}") from error
    except JobError as error:
        raise JobError(f"{path}: {error}") from error


def check_policy(text: str) -> Policy:
    """Raises click.BadParameter."""
    try:
        return read_policy(text)
    except PolicyError as error:
        raise click.BadParameter(str(error)) from error


def open_state(state_dir: Path) -> tuple[int, Store]:
    """Lock and open the state directory. Raises BinpackError."""
    try:
        return lock_directory(state_dir), Store(state_dir / "state.sqlite")
    except OSError as error:
        why = disk_problem(error) or error
        raise BinpackError(f"cannot use the state directory (--state-dir): {why}") from error
    except LockedError as error:
        raise BinpackError(f"cannot use the state directory: {error}") from error
    except StoreError as error:
        raise _unusable(error, state_dir) from error


def _unusable(error: StoreError, state_dir: Path) -> BinpackError:
    if not error.damaged:
        return BinpackError(str(error))
    return BinpackError(
        f"{error}. Jobs are never forgotten silently: restore the file from a backup, or move it"
        f" away to start without jobs, as a new framework ({state_dir} is --state-dir)"
    )


def framework_info(options: Options) -> pb.FrameworkInfo:
    """What the master is told."""
    return pb.FrameworkInfo(
        name=options.name,
        user=options.user,
        roles=[options.role],
        failover_timeout_s=options.failover_timeout_s,
        capabilities=[pb.PARTITION_AWARE, pb.TASK_KILLING_STATE, pb.GPU_RESOURCES],
        checkpoint=True,
    )


async def serve(options: Options) -> bool:
    """Run until the jobs have ended (with a Jobs service: until SIGTERM); whether all went well.

    A job that cannot be handled is set aside, and the others go on in a framework from what is
    stored. Raises BinpackError, FrameworkError, CoordinationError, StateError, ServingError.
    """
    stop = stop_event()
    lock, store = open_state(options.state_dir)
    info = framework_info(options)
    server = make_server({"/pymesos.v1.Jobs/WatchJob": PEER_WATCHERS})
    service: JobsService | None = None
    try:
        if options.listen is not None:
            info.jobs_address = str(options.listen.advertised(bind(server, options.listen)))
        while True:
            binpack = Binpack(read_core(options, store), store, info, options.master)
            if service is not None:
                service.binpack = binpack
            elif options.listen is not None:
                service = JobsService(binpack, options.role)
                add_JobsServicer_to_server(service, server)
                await server.start()
                print(f"listening on {info.jobs_address}", flush=True)
            try:
                return await _run(binpack, options, store, stop)
            except JobFault as fault:
                if fault.job_id in binpack.core.quarantined:
                    raise BinpackError(str(fault)) from fault
                log.error("%s. It is set aside: see pymesos-cli quarantine", fault)
                await asyncio.to_thread(store.commit, [fault.change])
    except StoreError as error:
        raise _unusable(error, options.state_dir) from error
    finally:
        await server.stop(STOP_GRACE_S)
        store.close()
        os.close(lock)


def read_core(options: Options, store: Store) -> BinpackCore:
    """Take over from the state directory. Raises BinpackError, StoreError."""
    try:
        core = BinpackCore(options.policy, store.load())
    except ValueError as error:
        raise BinpackError(
            f"the state in {options.state_dir} cannot be read ({error}): restore it, or start anew"
            f" with another --state-dir"
        ) from error
    for aside in core.quarantined.values():
        log.error("job %s is quarantined: %s", ascii(aside.job_id), ascii(aside.reason))
    return core


async def _run(binpack: Binpack, options: Options, store: Store, stop: asyncio.Event) -> bool:
    """One life of the framework; as `serve`. Raises JobFault, too."""
    running = asyncio.create_task(binpack.run())
    working = asyncio.create_task(_work(binpack, options))
    stopping = asyncio.create_task(stop.wait())
    tasks = (running, working, stopping)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if running.done() or binpack.over:
            await running
        if working.done():
            went_well = await working
            if not binpack.core.quarantined:
                await _tear_down(binpack, running, store)
                return went_well
            log.error("the jobs in quarantine are left alone, for the next run to look at")
        else:
            log.info("stopping; the tasks run on for the failover timeout")
            went_well = True
        binpack.driver.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(running), STOP_GRACE_S)
        return went_well and not (working.done() and binpack.core.quarantined)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _work(binpack: Binpack, options: Options) -> bool:
    """Submit the jobs of the command line, and wait until all jobs have ended."""
    for request_id, job in options.jobs:
        try:
            job_id = await binpack.submit(job, request_id)
        except StartsAgainError:
            return False  # the next life submits it again
        except SubmitError as error:
            raise BinpackError(f"{request_id}: {error}") from error
        log.info("job %s: %d tasks", job_id, sum(task.instances for task in job.tasks))
    if options.listen is not None:
        await asyncio.Event().wait()
    states = list(binpack.core.jobs.values())
    for state in states:
        with binpack.watch(state.job_id) as watch:
            while not (state.ended or binpack.over):
                watch.changed.clear()
                await watch.changed.wait()
        log.info("job %s %s", state.job_id, state.state)
    return all(state.state == "finished" for state in states)


async def _tear_down(binpack: Binpack, running: asyncio.Task[None], store: Store) -> None:
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
    for job in list(binpack.core.jobs.values()):
        changes += job.removal()
    await asyncio.to_thread(store.commit, changes)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@listen_options(0)
@click.argument("job_files", nargs=-1, type=click.Path(path_type=Path), metavar="JOB.yaml...")
@click.option(
    "--master",
    metavar="ADDRESS",
    envvar="PYMESOS_MASTER",
    help="The master: host:port, or zk://host:port/path.  [required]",
)
@click.option("--name", default="binpack", show_default=True, help="The framework's name.")
@click.option("--role", default=None, help="Its role.  [default: the jobs' own, else '*']")
@click.option("--user", default=None, help="Who runs the tasks.  [default: you]")
@click.option(
    "--failover-timeout",
    type=FiniteRange(0, 10 * 365 * 86400),
    default=WEEK_S,
    show_default="604800, a week",
    help="Seconds that the tasks live without this framework.",
)
@click.option(
    "--policy",
    default=DEFAULT_POLICY,
    show_default=True,
    callback=lambda _context, _option, text: check_policy(text),
    help="How a task's agent is chosen: a name, a sum as in best-fit+0.5*spread, or module:Class.",
)
@click.option(
    "--state-dir",
    type=Folder(),
    default=None,
    help="Where the framework's id, jobs and results are kept, for a restart to go on from."
    "  [default: /var/lib/pymesos/NAME for root, else ~/.local/state/pymesos/NAME]",
)
@click.option(
    "--listen", "listening", is_flag=True, help="Stay, and serve Jobs for `pymesos-cli run`."
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Verbosity."
)
@click.version_option(VERSION)
def main(
    ip: str,
    port: int,
    advertise_ip: str | None,
    hostname: str | None,
    insecure: bool,
    job_files: tuple[Path, ...],
    master: str | None,
    name: str,
    role: str | None,
    user: str | None,
    failover_timeout: float,
    policy: Policy,
    state_dir: Path | None,
    listening: bool,
    log_level: str,
) -> None:
    """Run jobs on the cluster, packed.

    Ends when every batch task has ended and no service is left to keep up; exit status 1 when a
    batch task failed for good. With --listen it stays and takes jobs. SIGTERM leaves the tasks
    running for the next run to take over, within the failover timeout.
    """
    set_up_logging(log_level)
    listen = check_listen(ip, port, advertise_ip, hostname, insecure)
    if not master:
        raise click.UsageError("--master is missing: host:port, or zk://host:port/path")
    if not job_files and not listening:
        raise click.UsageError("give job files, or --listen to take jobs from others")
    try:
        parse_master(master)
        jobs = [(str(path.resolve()), read_job(path)) for path in job_files]
    except (AddressError, JobError) as error:
        raise click.UsageError(str(error)) from error
    roles = {job.role for _, job in jobs} | ({role} if role else set())
    if len(roles) > 1:
        raise click.UsageError(f"one role at a time, not {', '.join(sorted(roles))}")
    chosen = roles.pop() if roles else "*"
    if problem := role_problem(chosen):
        raise click.UsageError(f"--role: {problem}")
    if problem := id_problem(name):
        raise click.UsageError(f"--name: {problem}")
    directory = state_dir or default_directory(name)
    options = Options(
        master,
        name,
        chosen,
        user or current_user(),
        failover_timeout,
        policy,
        directory,
        listen if listening else None,
        tuple(jobs),
    )
    try:
        went_well = asyncio.run(serve(options))
    except FrameworkError as error:
        print(
            f"pymesos-binpack: {error}. Its tasks are gone; to start anew give another"
            f" --state-dir, or remove {directory}",
            file=sys.stderr,
        )
        sys.exit(1)
    except (BinpackError, CoordinationError, ServingError, StateError) as error:
        print(f"pymesos-binpack: {error}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0 if went_well else 1)


if __name__ == "__main__":
    main()
