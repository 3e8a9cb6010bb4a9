"""Several instances of one framework: the one that is elected acts, the others stand by.

The state is in ZooKeeper, written under the epoch of who leads. What an instance says to the
master is fenced, too: it subscribes with its epoch, and the master takes no lower one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from pymesos_binpack.ahead import Ahead
from pymesos_binpack.core import BinpackCore
from pymesos_binpack.life import (
    JOBS_LIMITS,
    Options,
    framework_info,
    live,
    principal_of,
    read_core,
    refusal,
    serve_metrics,
    telling,
)
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.relayed import RelayedJobs
from pymesos_binpack.shell import Binpack, StateError
from pymesos_binpack.states import NOWHERE, check_not_moved
from pymesos_core import VERSION
from pymesos_core.addresses import HostPort, ZkUrl
from pymesos_core.coordination import (
    Contender,
    CoordinationError,
    Detector,
    MasterInfo,
    RegistryError,
    Term,
)
from pymesos_core.coordination.detect import detector_for
from pymesos_core.coordination.zk_store import ZkStore, framework_url
from pymesos_core.exits import ExitStatus
from pymesos_core.following import LEADER_KEY
from pymesos_core.grpc_transport import add_service
from pymesos_core.outside import OUTSIDE, Outside, outside_with
from pymesos_core.role import RoleProcess, holding
from pymesos_core.runner import FaultError
from pymesos_core.security.auditing import Audit, at_gate
from pymesos_core.security.identities import Kind
from pymesos_core.security.renewing import asking_leader, keep_renewed
from pymesos_core.store import Records, StateStore
from pymesos_core.tasks import beside, running, until_first
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import FrameworkError, FrameworkSupersededError

log = logging.getLogger("pymesos_binpack")

# How long an instance leaves leading to the others once it has failed at it, ever longer.
STAND_BACK_S = (1.0, 60.0)
GOOD_TERM_S = 600.0  # so long, and the next failure is the first
LOST = "leadership was lost"

Begin = Callable[[Term, StateStore, Records], Binpack]
StandBy = Callable[[], Coroutine[Any, Any, None]]


async def serve(options: Options, zk: ZkUrl, process: RoleProcess) -> ExitStatus:
    """Lead whenever this instance is elected, until the process is to stop. Raises RoleError."""
    from pymesos_core.coordination.zk_watched import WatchedRecords
    from pymesos_core.coordination.zookeeper import INSTANCES, ZkContender, ZkDetector

    process.hold(holding(options.state_dir, "--state-dir"))
    credentials = await options.settings.credentials(Kind.FRAMEWORK)
    outside = outside_with(credentials)
    files = options.settings.open_audit(options.state_dir)
    audit = Audit(files)
    server, address = process.bind(JOBS_LIMITS, credentials, on_refused=at_gate(audit))
    host = options.settings.listen_at.name()
    me = MasterInfo(str(OUTSIDE.uuid()), address, host, VERSION, options.started_for)
    url, timeout_s = framework_url(zk, options.settings.name), options.settings.zk_session_timeout_s
    contender = ZkContender(url, me, timeout_s, records=WatchedRecords, elected=INSTANCES)
    process.close_later(contender.close)
    detector = ZkDetector(url, timeout_s, elected=INSTANCES)
    process.close_later(detector.close)
    await detector.start(patient=True)
    service = JobsService(
        None,
        options.roles,
        lambda: elsewhere(me, detector.leader),
        principal_of(outside),
    )
    serve_metrics(options.settings, process, lambda: leading_core(service), credentials)
    audited = AuditedJobs(service, audit, files, outside, partial(standing_by, me, detector))
    add_service(server, audited)
    add_service(server, RelayedJobs(audited, outside))
    await process.start(server)
    process.announce(address)
    info = framework_info(options)
    info.jobs_address = str(address)
    make = partial(
        Binpack,
        master=options.settings.master,
        crash_folder=options.state_dir,
        outside=outside,
        tells=telling(options),
    )
    ahead = Ahead(outside.mono_s)
    begin = partial(begin_life, info, partial(_read_core, options, ahead), make)
    master = options.settings.master
    follows = (
        partial(ahead.keep, contender.records),
        partial(ahead.follow, contender.records),
    )
    stand_by = partial(_stand_by, me, detector, master, outside, follows)
    async with (
        running(audit.run()) as auditing,
        running(contend(contender, service, begin, outside, stand_by)) as contending,
        running(process.stop.wait()) as stopping,
    ):
        await asyncio.wait({auditing, contending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for ended in (auditing, contending):
            if ended.done():
                await ended
        log.info("stopping; the tasks run on, and another instance takes over")
    return ExitStatus.STOPPED


def leading_core(service: JobsService) -> BinpackCore | None:
    """The core of this instance, while it leads."""
    return service.leads.core if service.leads is not None else None


def _read_core(options: Options, ahead: Ahead, records: Records) -> BinpackCore:
    """Take over with what was made ahead. Raises RoleError."""
    try:
        return read_core(options, records, ahead.load)
    finally:
        ahead.forget()


async def _stand_by(
    me: MasterInfo, detector: Detector, master: str, outside: Outside, follows: Sequence[StandBy]
) -> None:
    """Do what an instance does that does not lead."""
    async with contextlib.AsyncExitStack() as stack:
        for work in (_keep_renewed(master, outside), *(follow() for follow in follows)):
            await stack.enter_async_context(beside(work))
        await compare(me, detector)


async def compare(me: MasterInfo, detector: Detector) -> None:
    """Warn whenever an instance begins to lead for which this one could not go on."""
    leader: MasterInfo | None = None
    while True:
        leader = await detector.changed(leader)
        if leader is not None and leader.started_for not in ("", me.started_for):
            log.warning(
                "the instance at %s leads and is started for %s, and this one for %s: it may not be"
                " able to take over. Start it as that one is, or give another --name",
                leader.address, ascii(leader.started_for[:300]), ascii(me.started_for),
            )  # fmt: skip


async def _keep_renewed(master: str, outside: Outside) -> None:
    """Keep the certificate of an instance that stands by renewed: one that leads has its driver."""
    if outside.credentials is None:
        return
    detector = detector_for(master)
    await detector.start(patient=True)
    try:
        await keep_renewed(outside, asking_leader(detector, outside.dial))
    finally:
        await detector.close()


async def standing_by(me: MasterInfo, detector: Detector) -> list[HostPort]:
    """Where the other instances are. Raises CallError."""
    try:
        found = await detector.masters()
    except CoordinationError as error:
        raise CallError(Code.UNAVAILABLE, f"{error}; try again") from error
    others = (each.address for each in found if each.master_id != me.master_id)
    return [address for address in others if address != NOWHERE]


def elsewhere(me: MasterInfo, leader: MasterInfo | None) -> CallError:
    """Return the answer of an instance that does not lead, which names who does."""
    here = f"the instance at {me.address} of this framework does not lead"
    if leader is None or leader.master_id == me.master_id:
        return CallError(Code.UNAVAILABLE, f"{here}; none does yet", {LEADER_KEY: ""})
    if leader.address == NOWHERE:
        return CallError(Code.UNAVAILABLE, f"{here}; its state is being moved", {LEADER_KEY: ""})
    where = str(leader.address)
    return CallError(Code.FAILED_PRECONDITION, f"{here}; {where} does", {LEADER_KEY: where})


def begin_life(
    info: pb.FrameworkInfo,
    read: Callable[[Records], BinpackCore],
    make: Callable[..., Binpack],
    term: Term,
    store: StateStore,
    records: Records,
) -> Binpack:
    """Return the framework, as it goes on in a term from what is stored. Raises RoleError.

    `read` makes its core, and `make` the rest of it: see Binpack.
    """
    check_not_moved(records)
    of_term = pb.FrameworkInfo()
    of_term.CopyFrom(info)
    of_term.epoch = term.epoch
    return make(read(records), store, of_term, may_send=term.holds)


async def contend(
    contender: Contender,
    service: JobsService,
    begin: Begin,
    outside: Outside,
    stand_by: StandBy,
) -> None:
    """Lead whenever this instance is elected, and `stand_by` meanwhile.

    Raises RoleError when none can lead.
    """
    standing_back = outside.backoff(*STAND_BACK_S)
    while True:
        async with beside(stand_by()):
            term = await contender.lead()
        began_s = outside.mono_s()
        try:
            why = await _lead(term, service, begin)
        except FaultError as error:
            why = str(error)
        finally:
            service.leads_no_more()
            await contender.resign(term)
        log.warning("standing by again: %s", why)
        if outside.mono_s() - began_s >= GOOD_TERM_S:
            standing_back.reset()
        if why != LOST:
            await asyncio.sleep(standing_back.next_s())


async def _until_lost(term: Term, service: JobsService) -> None:
    """Return once the term is lost: nothing is answered from its state, whatever still ends."""
    await term.lost.wait()
    service.leads_no_more()


async def _lead(term: Term, service: JobsService, begin: Begin) -> str:
    """Lead to the end of the term; why it ended. Raises RoleError, FaultError."""
    store = ZkStore(term.registry)

    async def next_life() -> Binpack:
        binpack = begin(term, store, await asyncio.to_thread(store.load))
        service.binpack = binpack
        log.info("leading in epoch %d: %d jobs", term.epoch, len(binpack.core.jobs))
        return binpack

    try:
        lives = live(store, next_life, lambda binpack: binpack.run())
        await until_first(lives, _until_lost(term, service))
        return LOST
    except (RegistryError, StateError) as error:
        return LOST if term.lost.is_set() else str(error)
    except FrameworkSupersededError as error:  # another instance leads, as the master knows
        return str(error)
    except FrameworkError as error:
        raise refusal(error, "ZooKeeper", "give another --name or --zk") from error
