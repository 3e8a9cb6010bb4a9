"""`pymesos-master`: one process, leading or ready to."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from pymesos_core import VERSION
from pymesos_core.addresses import AddressError, ZkUrl, parse_zk
from pymesos_core.clock import read_clock
from pymesos_core.coordination import (
    Contender,
    CoordinationError,
    Detector,
    MasterInfo,
    RegistryError,
    Term,
)
from pymesos_core.coordination.standalone import StandaloneContender
from pymesos_core.directories import default_directory
from pymesos_core.flags import FiniteRange, Folder
from pymesos_core.garbage import collect_seldom
from pymesos_core.limits import PEER_AGENTS, PEER_SCHEDULERS, PEER_WATCHERS
from pymesos_core.log import LEVELS, set_up_logging
from pymesos_core.metrics import metrics_option, serve_metrics
from pymesos_core.resources import ResourceError, Resources, parse
from pymesos_core.serving import (
    Listen,
    ServingError,
    bind,
    check_listen,
    listen_options,
    make_server,
    stop_event,
)
from pymesos_master import metrics
from pymesos_master.allocator import DrfAllocator
from pymesos_master.allocator.interface import Settings
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core import Config, MasterCore
from pymesos_master.services.agent import AgentService
from pymesos_master.services.leading import Leadership
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_master.services.scheduler import SchedulerService
from pymesos_master.shell import Leader
from pymesos_proto.v1.agent_pb2_grpc import add_AgentServicer_to_server
from pymesos_proto.v1.operator_pb2_grpc import add_OperatorServicer_to_server
from pymesos_proto.v1.scheduler_pb2_grpc import add_SchedulerServicer_to_server

log = logging.getLogger("pymesos_master")

DEFAULT_PORT = 5050
STOP_GRACE_S = 1.0
SERVER_LIMITS = {
    "/pymesos.v1.Scheduler/Connect": PEER_SCHEDULERS,
    "/pymesos.v1.Agent/Connect": PEER_AGENTS,
    "/pymesos.v1.Operator/WatchEvents": PEER_WATCHERS,
}


@dataclass(frozen=True)
class Options:
    """What the command line said."""

    listen: Listen
    zk: ZkUrl | None
    zk_session_timeout_s: float
    work_dir: Path
    config: Config
    allocation: Settings
    metrics_port: int | None


def read_minimum(text: str) -> tuple[Scalars, ...]:
    """Read `cpus:0.01|mem:32`. Raises click.BadParameter."""
    try:
        bags = [parse(part) for part in text.split("|")]
    except ResourceError as error:
        raise click.BadParameter(f"{error}; alternatives are separated by '|'") from error
    if not all(bag.scalars and bag == Resources(bag.scalars) for bag in bags):
        raise click.BadParameter(f"{text!r}: each alternative is of scalars, as in cpus:1|mem:32")
    return tuple(bag.scalars for bag in bags)


class _StopError(Exception):
    """End the process: the message says why."""


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT. Raises ServingError, CoordinationError, RegistryError."""
    stop = stop_event()
    server = make_server(SERVER_LIMITS)
    port = bind(server, options.listen)
    address = options.listen.advertised(port)
    me = MasterInfo(str(uuid.uuid4()), address, options.listen.name(), VERSION)
    leadership = Leadership(me)
    add_SchedulerServicer_to_server(SchedulerService(leadership), server)
    add_AgentServicer_to_server(AgentService(leadership), server)
    add_OperatorServicer_to_server(OperatorService(leadership), server)
    server.add_generic_rpc_handlers((SandboxRelay(leadership),))
    contender, detector = _coordination(options, me)
    close_metrics: Callable[[], None] | None = None
    if options.metrics_port is not None:
        ip = options.listen.ip
        close_metrics = serve_metrics(
            ip, options.metrics_port, lambda: metrics.snapshot(leadership), metrics.to_metrics
        )
    main = asyncio.create_task(_contend(options, contender, leadership))
    stopping = asyncio.create_task(stop.wait())
    try:
        if detector is not None:
            await detector.start(patient=True)
            leadership.known_leader = lambda: detector.leader
        await server.start()
        if options.zk is None:
            # It leads as soon as its epoch is written; who reads the line below may rely on that.
            leading = asyncio.create_task(leadership.led.wait())
            await asyncio.wait({main, stopping, leading}, return_when=asyncio.FIRST_COMPLETED)
            leading.cancel()
        if not main.done():
            print(f"listening on {address}", flush=True)
        await asyncio.wait({main, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if main.done():
            await main
        log.info("stopping")
    finally:
        for task in (main, stopping):
            task.cancel()
        await asyncio.gather(main, stopping, return_exceptions=True)
        await server.stop(STOP_GRACE_S)
        if close_metrics is not None:
            await asyncio.to_thread(close_metrics)
        if detector is not None:
            await detector.close()
        await contender.close()


def _coordination(options: Options, me: MasterInfo) -> tuple[Contender, Detector | None]:
    if options.zk is None:
        return StandaloneContender(options.work_dir), None
    from pymesos_core.coordination.zookeeper import ZkContender, ZkDetector

    timeout_s = options.zk_session_timeout_s
    return ZkContender(options.zk, me, timeout_s), ZkDetector(options.zk, timeout_s)


async def _contend(options: Options, contender: Contender, leadership: Leadership) -> None:
    """Lead whenever this master is elected."""
    while True:
        term = await contender.lead()
        try:
            failure = await _lead(options, term, leadership)
        finally:
            leadership.leader = None
            await contender.resign(term)
        if options.zk is None:
            raise _StopError(failure or "the term has ended")
        log.warning("a follower again: %s", failure or "leadership was lost")


async def _lead(options: Options, term: Term, leadership: Leadership) -> str | None:
    """Recover from the registry and lead to the end of the term; the failure that ended it."""
    try:
        records = await asyncio.to_thread(term.registry.load)
    except RegistryError as error:
        if options.zk is None:
            raise
        await asyncio.sleep(1.0)
        return str(error)
    prefix = f"{leadership.me.master_id.split('-', 1)[0]}-{term.epoch}"
    allocator = DrfAllocator(options.allocation)
    core = MasterCore(options.config, allocator, records, prefix, read_clock())
    leader = Leader(core, term)
    leadership.leader = leader
    leadership.led.set()
    log.info(
        "leading in epoch %d: %d agents and %d frameworks in the registry",
        term.epoch,
        len(core.state.agents),
        len(core.state.frameworks),
    )
    await leader.run()
    return leader.failure


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@listen_options(DEFAULT_PORT)
@click.option(
    "--zk",
    metavar="ZK_URL",
    help="Elect the leader through ZooKeeper: zk://host:port,host:port/path. Without it this"
    " master stands alone and leads at once.",
)
@click.option(
    "--zk-session-timeout",
    type=FiniteRange(1, 120),
    default=10.0,
    show_default=True,
    help="Seconds after which ZooKeeper takes a silent master for dead.",
)
@click.option(
    "--work-dir",
    type=Folder(),
    default=None,
    help="Where a standalone master keeps its registry.  [default: /var/lib/pymesos/master for"
    " root, else ~/.local/state/pymesos/master]",
)
@click.option(
    "--agent-ping-timeout",
    type=FiniteRange(0.05, 600),
    default=15.0,
    show_default=True,
    help="Seconds an agent has to answer a ping.",
)
@click.option(
    "--max-agent-ping-timeouts",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Unanswered pings in a row that make an agent unreachable.",
)
@click.option(
    "--agent-reregister-timeout",
    type=FiniteRange(1, 86400),
    default=600.0,
    show_default=True,
    help="Seconds that agents have to come back after a master failover.",
)
@click.option(
    "--offer-timeout",
    type=FiniteRange(0.05, 86400),
    default=30.0,
    show_default=True,
    help="Seconds after which an unanswered offer is rescinded.",
)
@click.option(
    "--max-offer-fraction",
    type=FiniteRange(0.01, 1),
    default=1.0,
    show_default=True,
    help="The largest part of an agent in one offer, so that a small framework does not hold a"
    " large machine.",
)
@click.option(
    "--min-allocatable-resources",
    default="cpus:0.01|mem:32",
    show_default=True,
    callback=lambda _context, _option, text: read_minimum(text),
    help="The least that is worth an offer; alternatives are separated by '|'.",
)
@click.option(
    "--filter-gpu-resources/--no-filter-gpu-resources",
    default=True,
    show_default=True,
    help="Agents with GPUs are offered to frameworks that declare GPU_RESOURCES only; else only"
    " the GPUs are kept for those.",
)
@click.option(
    "--max-completed-tasks",
    type=click.IntRange(0, 10_000_000),
    default=10_000,
    show_default=True,
    help="How many ended tasks are kept for `pymesos-cli tasks --all`.",
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Verbosity."
)
@metrics_option
@click.version_option(VERSION)
def main(
    ip: str,
    port: int,
    advertise_ip: str | None,
    hostname: str | None,
    insecure: bool,
    zk: str | None,
    zk_session_timeout: float,
    work_dir: Path | None,
    agent_ping_timeout: float,
    max_agent_ping_timeouts: int,
    agent_reregister_timeout: float,
    offer_timeout: float,
    max_offer_fraction: float,
    min_allocatable_resources: tuple[Scalars, ...],
    filter_gpu_resources: bool,
    max_completed_tasks: int,
    metrics_port: int | None,
    log_level: str,
) -> None:
    """Run a pymesos master."""
    set_up_logging(log_level)
    listen = check_listen(ip, port, advertise_ip, hostname, insecure)
    try:
        zk_url = parse_zk(zk) if zk is not None else None
    except AddressError as error:
        raise click.UsageError(f"--zk: {error}") from error
    config = Config(
        agent_ping_timeout_s=agent_ping_timeout,
        max_agent_ping_timeouts=max_agent_ping_timeouts,
        agent_reregister_timeout_s=agent_reregister_timeout,
        offer_timeout_s=offer_timeout,
        max_completed_tasks=max_completed_tasks,
    )
    allocation = Settings(
        offer_timeout, min_allocatable_resources, max_offer_fraction, filter_gpu_resources
    )
    directory = work_dir or default_directory("master")
    options = Options(
        listen, zk_url, zk_session_timeout, directory, config, allocation, metrics_port
    )
    collect_seldom()
    try:
        asyncio.run(serve(options))
    except (ServingError, CoordinationError, RegistryError, _StopError) as error:
        print(f"pymesos-master: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
