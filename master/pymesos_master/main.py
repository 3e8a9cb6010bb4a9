"""`pymesos-master`: one process, leading or ready to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import click

from pymesos_core import VERSION
from pymesos_core.budgets import PeerBudgets
from pymesos_core.clock import Now
from pymesos_core.coordination import Contender, Detector, MasterInfo, RegistryError, Term
from pymesos_core.coordination.standalone import StandaloneContender, StandaloneDetector
from pymesos_core.discovery.server import NameServer
from pymesos_core.exits import RoleError
from pymesos_core.garbage import collect_seldom
from pymesos_core.grpc_transport import Server, add_prefix, add_service
from pymesos_core.guarding import Guard
from pymesos_core.option_errors import RoleCommand
from pymesos_core.outgoing.notifier import Notifier
from pymesos_core.outgoing.telling import TellsNobody
from pymesos_core.outside import OUTSIDE, Outside, outside_with
from pymesos_core.role import RoleProcess, serve_role
from pymesos_core.runner import Fault, FaultError
from pymesos_core.security.auditing import Audit, at_gate
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import Kind
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_core.security.renewing import asking_leader, keep_renewed
from pymesos_core.security.secrets import MAKE_ONE, KeyringError, add_key, read_keyring
from pymesos_core.security.signing import Issued, Signer, SigningError, read_request
from pymesos_core.serving import make_gate
from pymesos_core.settings import resolved, takes
from pymesos_core.store import Records
from pymesos_core.streams import in_thread
from pymesos_core.tasks import beside, running
from pymesos_core.text import count_of, duration, os_problem
from pymesos_core.transport import Service
from pymesos_master import metrics
from pymesos_master.allocator import DrfAllocator
from pymesos_master.core import MasterCore
from pymesos_master.gateways.calls import GatewayCalls
from pymesos_master.gateways.starting import Gateways
from pymesos_master.health import Health
from pymesos_master.http.answering import Answering
from pymesos_master.http.routes import CALLS
from pymesos_master.http.server import HttpServer
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.flags import flags_of
from pymesos_master.mesos.server import MesosServer
from pymesos_master.services.access_tokens import AccessTokens
from pymesos_master.services.agent import AgentService
from pymesos_master.services.certificates import CertificatesService, EnrolmentService
from pymesos_master.services.jobs_asked import JobsCalls
from pymesos_master.services.jobs_relay import JobsRelay
from pymesos_master.services.leading import Keys, Leadership
from pymesos_master.services.masters import MastersService
from pymesos_master.services.names import NamesService
from pymesos_master.services.operator import OperatorService
from pymesos_master.services.relaying import OperatorCalls
from pymesos_master.services.sandbox_calls import SandboxCalls
from pymesos_master.services.sandbox_relay import PREFIX as SANDBOX_PREFIX
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_master.services.scheduler import SchedulerService
from pymesos_master.serving_limits import SERVER_LIMITS
from pymesos_master.settings import MasterSettings
from pymesos_master.shell import Leader
from pymesos_master.webhooks import Webhooks

log = logging.getLogger("pymesos_master")

MakeCore = Callable[[MasterSettings, Records, str, Now], MasterCore]

# How long a master stands back after a fault, ever longer: what nobody asked for, such as an
# allocation, can be set aside by nobody, and may meet the fault in each term.
AFTER_A_FAULT_MIN_S, AFTER_A_FAULT_MAX_S = 1.0, 60.0
GOOD_TERM_S = 600.0  # so long without a fault, and the next one is the first


async def serve(settings: MasterSettings, process: RoleProcess) -> None:
    """Serve until the process is to stop. Raises RoleError."""
    signer = _signer(settings)
    credentials = await settings.credentials(Kind.MASTER)
    files = settings.open_audit(settings.work_dir)
    audit = Audit(files)
    gateways = Gateways(settings, process) if settings.gateways else None
    server = None
    if gateways is None:
        server, address = process.bind(SERVER_LIMITS, credentials, on_refused=at_gate(audit))
    else:
        address = gateways.address
    me = MasterInfo(str(OUTSIDE.uuid()), address, settings.listen_at.name(), VERSION)
    leadership = Leadership(
        me,
        outside_with(credentials),
        audit=audit,
        audit_files=files,
        keys=_keys(settings),
        make_tells=partial(Notifier, settings.receivers) if settings.receivers else TellsNobody,
    )
    webhooks = Webhooks(leadership)
    leadership.webhook_problems = lambda: webhooks.problems
    leadership.test_webhook = webhooks.test
    operator = OperatorService(leadership)
    relay = SandboxRelay(leadership)
    sandboxes = SandboxCalls(leadership, relay)
    operators = OperatorCalls(leadership, [operator, sandboxes], CALLS)
    services: list[Service] = [
        SchedulerService(leadership),
        AgentService(leadership),
        operator,
        NamesService(leadership),
        MastersService(leadership, operators),
    ]
    join_server = None
    if credentials is not None and signer is not None:
        join_server = _serve_certificates(
            settings, process, credentials, signer, leadership, services
        )
    http = _http(settings, process, credentials, leadership, operators, sandboxes)
    names = _names(settings, process, leadership.outside)
    mesos = _mesos(settings, process, credentials, leadership)
    if mesos is not None:
        leadership.me = me = replace(me, mesos=mesos.address)
    contender, detector = _coordination(settings, me)
    process.close_later(contender.close)
    at = (settings.metrics_ip, settings.metrics_port)
    process.serve_metrics(at, lambda: metrics.snapshot(leadership), metrics.to_metrics, credentials)
    if detector is not None:
        process.close_later(detector.close)
        await detector.start(patient=True)
        leadership.known_leader = lambda: detector.leader
        leadership.in_doubt = lambda: detector.in_doubt
        leadership.masters = detector.masters
    passed_on = {SANDBOX_PREFIX: relay.relay}
    ready = None
    if gateways is not None:
        ready = await _serve_gateways(gateways, process, services, passed_on, credentials, audit)
    elif server is not None:
        for service in services:
            add_service(server, service)
        for prefix, handle in passed_on.items():
            add_prefix(server, prefix, handle)
        await process.start(server)
    if join_server is not None:
        await process.start(join_server)
    health = Health(leadership, settings.work_dir, settings.core.receivers, settings.alert_for_s)
    async with (
        running(audit.run()) as auditing,
        running(contend(settings, contender, leadership)) as contending,
        running(process.stop.wait()) as stopping,
        running(leadership.led.wait()) as leading,
        beside(_renewing(leadership.outside, signer, detector)),
        beside(webhooks.run()),
        beside(health.run()),
        beside(http.run()) if http is not None else contextlib.nullcontext(),
        beside(names.run(detector or StandaloneDetector([address])))
        if names is not None
        else contextlib.nullcontext(),
        beside(mesos.run()) if mesos is not None else contextlib.nullcontext(),
        beside(gateways.run()) if gateways is not None else contextlib.nullcontext(),
    ):
        ends = {contending, stopping, auditing}
        if ready is not None:
            async with running(ready) as letting_in:
                await asyncio.wait({*ends, letting_in}, return_when=asyncio.FIRST_COMPLETED)
        if settings.zk is None:
            # It leads as soon as its epoch is written; who reads the line below may rely on that.
            await asyncio.wait({*ends, leading}, return_when=asyncio.FIRST_COMPLETED)
        if not contending.done():
            process.announce(address)
            if http is not None:
                click.echo(f"web {http.url}")
            if names is not None:
                click.echo(f"dns {names.address}")
            if mesos is not None:
                click.echo(f"mesos {mesos.address}")
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for ended in (contending, auditing):
            if ended.done():
                await ended
        log.info("stopping")


async def _serve_gateways(
    gateways: Gateways,
    process: RoleProcess,
    services: list[Service],
    passed_on: Mapping[str, Callable[[str, Any], Awaitable[None]]],
    credentials: Credentials | None,
    audit: Audit,
) -> Coroutine[Any, Any, None]:
    """Answer what gateways pass on; what is returned ends when all of them let peers in.

    Raises RoleError.
    """
    guard = Guard(PeerBudgets(SERVER_LIMITS), credentials.revocations if credentials else None)
    calls = GatewayCalls(
        *(services, guard, passed_on, at_gate(audit)), gateways.end_silent, gateways.lets_in
    )
    await gateways.listen(process, calls)
    return calls.ready(gateways.count)


def _signer(settings: MasterSettings) -> Signer | None:
    """The authority of this master, which renews its own certificate if that has ended.

    Raises RoleError.
    """
    if settings.tls is None:
        return None
    signer = Signer(settings.tls, settings.certificate_lifetime_s)
    try:
        signer.sign_own()
    except (SigningError, OSError) as error:
        raise RoleError(f"the certificate in {settings.tls} has ended: {error}") from error
    return signer


def _keys(settings: MasterSettings) -> Keys:
    """The keys of secrets. A master that is alone has nobody else to get them from.

    Raises RoleError.
    """
    path = settings.keys_at
    if path is None:
        return Keys()
    try:
        if settings.zk is None and not path.exists():
            add_key(path)
        read_keyring(path)
    except FileNotFoundError:
        log.warning("this master has no key for secrets, and gives tasks none: %s", MAKE_ONE)
    except KeyringError as error:
        raise RoleError(f"--secrets-key: {error}") from error
    except OSError as error:
        raise RoleError(f"the key of secrets cannot be made: {os_problem(error)}") from error
    return Keys(path)


def _renewing(
    outside: Outside, signer: Signer | None, detector: Detector | None
) -> Coroutine[Any, Any, None]:
    """Keep this master's certificate renewed: by its own authority, or by the leader's."""
    credentials = outside.credentials

    async def sign(request: bytes) -> Issued:
        if signer is None or credentials is None:
            raise SigningError("this master has no certificate")
        if detector is not None and not signer.is_there:
            return await asking_leader(detector, outside.dial)(request)
        return await in_thread(signer.sign, read_request(request), credentials.identity, None)

    return keep_renewed(outside, sign)


def _serve_certificates(
    settings: MasterSettings,
    process: RoleProcess,
    credentials: Credentials,
    signer: Signer,
    leadership: Leadership,
    services: list[Service],
) -> Server | None:
    """Serve those who renew, and make the server for those who join, if there is an authority.

    Raises RoleError.
    """
    leadership.signer, cluster = signer, credentials.identity.cluster
    services += [
        CertificatesService(leadership, cluster, signer),
        EnrolmentService(leadership, cluster, signer, passes_on=False),
    ]
    if not signer.is_there:
        log.warning(
            "this master has no authority: nobody joins or renews while it leads. `pymesos-cli"
            " cluster issue` puts one into %s",
            settings.tls,
        )
        return None
    join_server, leadership.join_at = process.bind(
        {},
        credentials,
        settings.join_at,
        "--join-port or --ip",
        for_joining=True,
        on_refused=at_gate(leadership.audit),
    )
    add_service(join_server, EnrolmentService(leadership, cluster, signer, passes_on=True))
    log.info("those who join with a token are taken at %s", leadership.join_at)
    return join_server


def _http(
    settings: MasterSettings,
    process: RoleProcess,
    credentials: Credentials | None,
    leadership: Leadership,
    operators: OperatorCalls,
    sandboxes: SandboxCalls,
) -> HttpServer | None:
    """The HTTP server, bound, unless there is to be none. Raises ServingError, and RoleError."""
    if not settings.http:
        return None
    public = None
    if settings.http_cert is not None and settings.http_key is not None:
        try:
            public = PublicCertificate(settings.http_cert, settings.http_key)
        except CredentialsError as error:
            raise RoleError(f"--http-cert: {error}") from error
    gate = make_gate(credentials, on_refused=at_gate(leadership.audit))
    hostname = settings.listen_at.name()
    jobs = JobsCalls(JobsRelay(operators, leadership.outside.dial))
    answering = Answering(
        operators,
        gate,
        tokens=AccessTokens(leadership) if credentials is not None else None,
        hostname=hostname,
        others={"Jobs": jobs, "Sandbox": operators},
        sandboxes=sandboxes,
    )
    http = HttpServer(answering, settings.http_at, credentials, public)
    process.close_later(http.close)
    leadership.http_port = http.port
    return http


def _names(settings: MasterSettings, process: RoleProcess, outside: Outside) -> NameServer | None:
    """The name server, bound, unless there is to be none. Raises RoleError."""
    if settings.dns_port is None:
        return None
    at = (settings.ip, settings.dns_port)
    names = NameServer(*at, settings.dns_domain, outside, settings.work_dir)
    process.close_later(names.close)
    return names


def _mesos(
    settings: MasterSettings,
    process: RoleProcess,
    credentials: Credentials | None,
    leadership: Leadership,
) -> MesosServer | None:
    """The server of Mesos' API, bound, if there is to be one. Raises ServingError."""
    if settings.mesos_at is None:
        return None
    authenticator = Authenticator(
        settings.mesos_credentials or {},
        settings.mesos_anonymous,
        credentials.revocations if credentials is not None else None,
        AccessTokens(leadership) if credentials is not None and settings.mesos_is_private else None,
        make_gate(credentials, on_refused=at_gate(leadership.audit))
        if settings.mesos_tls
        else None,
        at_gate(leadership.audit),
    )
    with_tls = credentials if settings.mesos_tls else None
    flags = flags_of(settings)
    mesos = MesosServer(leadership, authenticator, settings.mesos_at, flags, with_tls)
    process.close_later(mesos.close)
    return mesos


def _coordination(settings: MasterSettings, me: MasterInfo) -> tuple[Contender, Detector | None]:
    if settings.zk is None:
        return StandaloneContender(settings.work_dir, settings.min_epoch), None
    from pymesos_core.coordination.zookeeper import ZkContender, ZkDetector

    timeout_s = settings.zk_session_timeout_s
    contender = ZkContender(settings.zk, me, timeout_s, settings.min_epoch)
    return contender, ZkDetector(settings.zk, timeout_s)


def make_core(settings: MasterSettings, records: Records, prefix: str, now: Now) -> MasterCore:
    """The core of one term, with its allocator; ids that it gives begin with `prefix`."""
    return MasterCore(settings.core, DrfAllocator(settings.allocation), records, prefix, now)


async def contend(
    settings: MasterSettings,
    contender: Contender,
    leadership: Leadership,
    core: MakeCore = make_core,
) -> None:
    """Lead whenever this master is elected. Raises RoleError if it is alone and leads no more."""
    outside = leadership.outside
    standing_back = outside.backoff(AFTER_A_FAULT_MIN_S, AFTER_A_FAULT_MAX_S)
    while True:
        term = await contender.lead()
        began_s = outside.mono_s()
        fault, seconds = None, AFTER_A_FAULT_MIN_S
        try:
            failure = await _lead(settings, term, leadership, core)
        except FaultError as error:
            if settings.zk is None:
                raise
            fault = error.fault
            failure = str(fault)
            leader = leadership.leader
            if leader is None or not leader.cause_is_set_aside:
                seconds = standing_back.next_s()
        finally:
            leadership.end()
            await contender.resign(term)
        if settings.zk is None:
            raise RoleError(failure or "the term has ended")
        log.warning("a follower again: %s", failure or "leadership was lost")
        if outside.mono_s() - began_s >= GOOD_TERM_S:
            standing_back.reset()
        if fault is not None:
            await _stand_back(leadership, fault, seconds)


async def _stand_back(leadership: Leadership, fault: Fault, seconds: float) -> None:
    """Leave leading to the others for a while; who asks for the leader meanwhile is told why."""
    leadership.faults += 1
    leadership.stands_back = (
        f"; it met a fault of its own ({fault}), and stands back for"
        f" {duration(round(seconds))}. Its log names the crash file to report; if every master"
        f" meets the fault, start the version before"
    )
    log.error("a follower for now%s", leadership.stands_back)
    await asyncio.sleep(seconds)
    leadership.stands_back = ""


async def _lead(
    settings: MasterSettings, term: Term, leadership: Leadership, make: MakeCore
) -> str | None:
    """Recover from the registry and lead to the end of the term; the failure that ended it.

    Raises FaultError.
    """
    try:
        records = await asyncio.to_thread(term.registry.load)
    except RegistryError as error:
        if settings.zk is None:
            raise
        await asyncio.sleep(1.0)
        return str(error)
    prefix = f"{leadership.me.master_id.split('-', 1)[0]}-{term.epoch}"
    core = make(settings, records, prefix, leadership.outside.clock())
    try:
        keyring = await in_thread(leadership.keys.read)
    except KeyringError as error:
        keyring = None
        if core.state.secrets():
            log.error("no task gets a secret: %s", error)
    leader = Leader(
        core,
        term,
        settings.work_dir,
        leadership.outside,
        settings.watched,
        leadership.audit,
        keyring,
        leadership.make_tells,
    )
    leadership.begin(leader)
    log.info(
        "leading in epoch %d: %s and %s in the registry",
        term.epoch,
        count_of(len(core.state.agents), "agent"),
        count_of(len(core.state.frameworks), "framework"),
    )
    async with beside(leader.overviews.run()), beside(leader.tells.run()):
        await leader.run()
    if leader.fault is not None:
        raise FaultError(leader.fault)
    return leader.failure


@click.command(cls=RoleCommand, context_settings={"help_option_names": ["-h", "--help"]})
@takes(MasterSettings, "master")
@click.pass_context
def main(context: click.Context) -> None:
    """Run a pymesos master."""
    settings = resolved(context, MasterSettings, "master")
    collect_seldom()
    serve_role(
        "pymesos-master",
        settings.listen_at,
        settings.log_level,
        lambda process: serve(settings, process),
    )


if __name__ == "__main__":
    main()
