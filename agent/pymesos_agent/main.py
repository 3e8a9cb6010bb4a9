"""`pymesos-agent`: one machine in the cluster."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import uuid
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymesos_agent import machine, metrics
from pymesos_agent.claims import check_passable, claim
from pymesos_agent.commands import purge, recover
from pymesos_agent.containers.marks import Marks
from pymesos_agent.core import AgentCore, Config
from pymesos_agent.core.records import uids_of
from pymesos_agent.core.uids import UidRange
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.disks import volume_limits
from pymesos_agent.files.memory import memory_of
from pymesos_agent.files.mounting import protect
from pymesos_agent.files.spreading import spread_sandboxes
from pymesos_agent.master_stream import LAST_WORD_S
from pymesos_agent.runtimes.interface import Runtime, RuntimeEvent
from pymesos_agent.runtimes.oci.bundle import USER_NAMESPACE_IDS
from pymesos_agent.runtimes.oci.networks import bridge_of
from pymesos_agent.runtimes.starting import (
    candidates_of,
    check_needed,
    runtimes_of,
    start_runtimes,
    tag_of,
)
from pymesos_agent.services.executor import ExecutorService
from pymesos_agent.services.http import AgentHttpService
from pymesos_agent.services.sandbox import SandboxService
from pymesos_agent.settings import DAY_S, AgentSettings
from pymesos_agent.shell import Shell
from pymesos_agent.workdir import CHECKPOINT, SANDBOXES, if_damaged, lock_work_dir
from pymesos_core import VERSION, resources
from pymesos_core.addresses import HostPort
from pymesos_core.coordination import Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.directories import real_path
from pymesos_core.discovery import stand_in
from pymesos_core.discovery.following import FILE, Following
from pymesos_core.discovery.resolver import Names, Sockets
from pymesos_core.discovery.server import NameServer
from pymesos_core.discovery.zone import DOMAIN
from pymesos_core.exits import RemovedError, RoleError
from pymesos_core.grpc_transport import add_service
from pymesos_core.limits import PEER_EXECUTORS
from pymesos_core.option_errors import RoleGroup
from pymesos_core.outside import Outside, outside_with, uuid_bytes
from pymesos_core.resource_names import meant_resource
from pymesos_core.resource_values import ResourceError
from pymesos_core.role import STOP_GRACE_S, RoleProcess, serve_role
from pymesos_core.security.identities import Kind
from pymesos_core.settings import resolved, takes
from pymesos_core.store import Records
from pymesos_core.tasks import beside, running
from pymesos_proto.v1 import types_pb2 as pb

if TYPE_CHECKING:
    from pymesos_agent.mesos.server import MesosServer

log = logging.getLogger("pymesos_agent")

EXECUTOR_LIMITS = {"/pymesos.v1.Executor/Connect": PEER_EXECUTORS}
# What is changed where a port is taken: machines with several agents are the usual reason.
FLAGS = "--port (0 takes a free one) or --ip"
EXECUTOR_FLAGS = "--executor-port (0 takes a free one): each agent of a machine needs its own"
MAX_NAME_IN_ID = 60
END_TASKS_TIMEOUT_S = 30.0


async def serve(settings: AgentSettings, process: RoleProcess) -> None:
    """Serve until the process is to stop, or an operator's word. Raises RoleError."""
    work_dir = real_path(settings.work_dir)
    process.hold(lock_work_dir(work_dir))
    (work_dir / SANDBOXES).mkdir(exist_ok=True, mode=0o711)
    store, records = process.open_store(work_dir / CHECKPOINT, if_damaged(work_dir))
    detector = detector_for(settings.master, settings.zk_session_timeout_s)
    process.close_later(detector.close)
    credentials = await settings.credentials(Kind.AGENT)
    server, address = process.bind(EXECUTOR_LIMITS, credentials, flags=FLAGS)
    executor_server, executors_at = server, address
    if credentials is not None:
        executor_server, executors_at = process.bind(
            EXECUTOR_LIMITS, None, settings.executors_at, EXECUTOR_FLAGS
        )
    holder: list[Shell] = []

    def on_event(event: RuntimeEvent) -> None:
        if holder:
            holder[0].feed(event)

    await detector.start(patient=True)
    task_uids = task_uids_of(settings, work_dir, records)
    limits = await asyncio.to_thread(volume_limits, work_dir, settings.volume_limits)
    if why := await asyncio.to_thread(protect, work_dir):
        log.info("set-uid programs and devices are not switched off where tasks write: %s", why)
    spread_sandboxes(work_dir)
    outside = outside_with(credentials)
    given = await asyncio.to_thread(stand_in.end_all, work_dir)
    await asyncio.to_thread(Marks(work_dir).end_left)
    names = _names(settings, process, outside, work_dir, given)
    networks = settings.containers.networks
    if names is not None and os.geteuid() == 0 and settings.runtime in ("auto", "oci"):
        networks = replace(networks, name_server=names.answer_at(bridge_of(networks)))
    memory = memory_of(tag_of(work_dir))
    if memory is not None:
        process.close_later(memory.close)
    containers = replace(
        settings.containers,
        networks=networks,
        task_uids=task_uids,
        volume_limits=limits,
        protected=not why,
        memory=memory,
    )
    needed = runtimes_of(records)
    candidates = candidates_of(
        settings.runtime,
        settings.docker_host,
        containers,
        work_dir,
        names.answer_at if names is not None and os.geteuid() == 0 else None,
    )
    for runtime in candidates:
        process.close_later(runtime.close)
    works, away = await start_runtimes(candidates, on_event)
    stand_in.close_all(given.values())  # of bridges at which it answers no more
    check_needed(works, away, needed)
    name = settings.listen_at.name()[:MAX_NAME_IN_ID].replace("/", "-")
    mesos = _mesos_server(settings, is_open=credentials is None)
    if mesos is not None:
        process.close_later(mesos.close)
    mesos_at = mesos.address if mesos is not None else None
    core = AgentCore(
        replace(
            _config(settings, work_dir, address, executors_at, works, mesos_at),
            task_uids=task_uids,
            mesos_at=str(mesos_at or ""),
        ),
        records,
        container_ids=(f"{secrets.token_hex(6)}-{n}" for n in itertools.count()),
        uuids=iter(uuid_bytes, b""),
        incarnation_ids=(str(uuid.uuid4()) for _ in itertools.count()),
        agent_ids=(f"{name}-{uuid.uuid4().hex[:8]}" for _ in itertools.count()),
    )
    awaited = {r: why for r, why in away.items() if r.name in needed or r.name == "docker"}
    addresses = _addresses(names, outside, work_dir)
    shell = Shell(core, store, works, work_dir, containers, awaited, outside, addresses=addresses)
    holder.append(shell)
    add_service(server, SandboxService(shell.queries))
    add_service(server, AgentHttpService(mesos.answer_relayed if mesos is not None else None))
    add_service(executor_server, ExecutorService(shell.executors, shell.feed))
    at = (settings.metrics_ip, settings.metrics_port)
    process.serve_metrics(at, lambda: metrics.snapshot(core), metrics.to_metrics, credentials)
    await process.start(server)
    if executor_server is not server:
        await process.start(executor_server)
    process.announce(address)
    if names is not None:
        click.echo(f"dns {names.address}")
    if mesos is not None:
        click.echo(f"mesos {mesos.address}")
    async with (
        beside(addresses.run(detector)),
        beside(names.run(detector)) if names is not None else nullcontext(),
        beside(mesos.serve(shell.queries, shell.executors, shell.feed))
        if mesos is not None
        else nullcontext(),
    ):
        await run(shell, detector, process.stop, kill_tasks_on_exit=settings.kill_tasks_on_exit)


def _mesos_server(settings: AgentSettings, *, is_open: bool) -> MesosServer | None:
    """Return what serves Mesos' APIs, if there is a port for them. Raises ServingError."""
    if settings.mesos_at is None:
        return None
    from pymesos_agent.mesos.flags import flags_of
    from pymesos_agent.mesos.server import MesosServer  # its web server is slow to load

    return MesosServer(settings.mesos_at, flags_of(settings), is_open=is_open)


def _names(
    settings: AgentSettings,
    process: RoleProcess,
    outside: Outside,
    work_dir: Path,
    given: dict[str, Sockets],
) -> NameServer | None:
    """The name server, bound, unless there is to be none; see it for `given`. Raises RoleError."""
    if settings.dns_port is None:
        return None
    at = (settings.ip, settings.dns_port, settings.dns_domain)
    names = NameServer(*at, outside, work_dir, given)
    process.close_later(names.close)
    return names


def _addresses(names: NameServer | None, outside: Outside, work_dir: Path) -> Addresses:
    """What tasks are told of the addresses of others: as DNS, if this agent answers any."""
    if names is not None:
        return Addresses(names.held)
    own = Names(DOMAIN)
    return Addresses(own.held, Following(own, outside, work_dir / FILE))


async def run(
    shell: Shell, detector: Detector, stop: asyncio.Event, *, kill_tasks_on_exit: bool
) -> None:
    """Follow the leader until `stop`, or the end that an operator wants. Raises RemovedError."""
    async with running(shell.run(detector)) as following, running(stop.wait()) as stopping:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            await following
            if shell.exit_message:
                raise RemovedError(shell.exit_message)
        elif kill_tasks_on_exit:
            log.info("stopping, and ending all tasks")
            try:
                await shell.end_tasks(END_TASKS_TIMEOUT_S)
                await asyncio.wait({following}, timeout=LAST_WORD_S + STOP_GRACE_S)  # its last word
            except TimeoutError:
                log.error("some tasks did not end within %g s", END_TASKS_TIMEOUT_S)
        else:
            log.info("stopping; the tasks run on")


def task_uids_of(settings: AgentSettings, work_dir: Path, records: Records) -> UidRange | None:
    """The users that tasks are given: none, by an agent that is no root. Raises RoleError."""
    wanted = settings.task_uids
    if wanted is not None and not wanted.count:
        return None
    if os.geteuid() != 0:
        if wanted is None:
            return None
        raise RoleError("--task-uids: only an agent run by root can give users to tasks")
    check_passable(work_dir)
    base = settings.user_namespace_base
    namespaces = UidRange(base, USER_NAMESPACE_IDS) if base else None
    return claim(work_dir, wanted, namespaces, uids_of(records))


def _config(
    settings: AgentSettings,
    work_dir: Path,
    address: HostPort,
    executors_at: HostPort,
    runtimes: Sequence[Runtime],
    mesos_at: HostPort | None,
) -> Config:
    """Raises RoleError."""
    try:
        offered = machine.with_overrides(machine.measure(work_dir), settings.resources)
    except ResourceError as error:
        raise RoleError(f"--resources: {error}") from error
    if settings.revocable_margin is not None and resources.is_revocable(offered):
        raise RoleError(
            "--revocable-margin: what is revocable by --resources is so for good: give one of them"
        )
    for name in sorted(machine.names_in(settings.resources)):
        if (meant := meant_resource(name)) is not None:
            log.warning(
                "--resources: %s is a resource of this agent's own; is %s meant?", name, meant
            )
    isolation = dict(runtimes[0].isolation) if runtimes else {}
    for runtime in runtimes[1:]:
        isolation |= {f"{runtime.name} {name}": what for name, what in runtime.isolation.items()}
    hostname = settings.listen_at.name()
    info = pb.AgentInfo(
        address=pb.Address(hostname=hostname, ip=address.host, port=address.port),
        resources=resources.to_proto(offered),
        attributes=[pb.Attribute(name=n, text=t) for n, t in settings.attributes.items()],
        runtimes=[runtime.name for runtime in runtimes],
        isolation=isolation,
        version=VERSION,
        capabilities=[
            pb.SECRETS,
            pb.KILL_SIGNAL,
            pb.CONFIG,
            pb.EXECUTOR_RESOURCES,
            pb.GROUP_EXECUTORS,
            pb.ADDRESSES,
            pb.SECRET_ADDRESSES,
            pb.MAY_RETURN,
        ],
        mesos_port=mesos_at.port if mesos_at is not None and mesos_at.host == address.host else 0,
    )
    return Config(
        info,
        tuple(info.runtimes),
        boot_id=machine.boot_id(),
        executors_at=str(executors_at),
        sandbox_max_age_s=settings.sandbox_max_age_days * DAY_S,
        revocable_margin=None
        if settings.revocable_margin is None
        else settings.revocable_margin / 100,
    )


@click.group(
    cls=RoleGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@takes(AgentSettings, "agent")
@click.pass_context
def main(context: click.Context) -> None:
    """Run a pymesos agent. SIGTERM leaves its tasks running, for the next agent to find."""
    if context.invoked_subcommand is not None:
        return
    settings = resolved(context, AgentSettings, "agent")
    serve_role(
        "pymesos-agent",
        settings.listen_at,
        settings.log_level,
        lambda process: serve(settings, process),
    )


main.add_command(recover)
main.add_command(purge)

if __name__ == "__main__":
    main()
