"""`pymesos-binpack move-state`: the state of the framework goes from one place to another.

Nobody may lead meanwhile: a directory is locked, and in ZooKeeper this command itself is elected.
The epoch goes along, raised, so that the master takes no instance that goes on from what was left
behind. What was moved is there before anything is removed, and a move that was cut short is
finished by the same command.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import click

from pymesos_binpack.settings import read_name
from pymesos_binpack.states import (
    MOVED,
    NOWHERE,
    STATE_FILE,
    check_not_moved,
    departure,
    epoch_in,
    jobs_in,
)
from pymesos_core import VERSION
from pymesos_core.addresses import AddressError, ZkUrl, parse_zk
from pymesos_core.coordination import MasterInfo
from pymesos_core.coordination.standalone import EPOCH
from pymesos_core.coordination.zk_store import ZkStore, framework_url, kept_bytes
from pymesos_core.directories import real_path
from pymesos_core.exits import RoleError
from pymesos_core.option_errors import RoleCommand
from pymesos_core.outside import OUTSIDE
from pymesos_core.role import end_of, holding, open_store
from pymesos_core.store import Change, Records, StateStore
from pymesos_core.text import os_problem

LEADS_WITHIN_S = 5.0
SESSION_S = 10.0
IF_DAMAGED = "Restore the file from a backup"
Place = Path | ZkUrl


@dataclass(frozen=True)
class Opened:
    """A place that nobody else uses now, and what is there."""

    shown: str
    store: StateStore
    records: Records
    epoch: int  # the latest there


async def move(source: Place, target: Place, name: str) -> int:
    """Move the state of a framework; returns how many records it has. Raises RoleError."""
    if isinstance(source, Path) and not (source / STATE_FILE).exists():
        raise RoleError(f"there is no state in {source}: {STATE_FILE} was expected there")
    async with _opened(source, name, 0) as before:
        jobs = jobs_in(before.records)
        if not jobs:
            check_not_moved(before.records)
            raise RoleError(f"there is no state in {before.shown}, so nothing is moved")
        async with _opened(target, name, before.epoch + 1) as after:
            there = jobs_in(after.records)
            if there and there != jobs:
                raise RoleError(
                    f"{after.shown} has state already, of another framework or another time: give"
                    f" another place, or move that state away first"
                )
            await asyncio.to_thread(_bring, after, jobs, max(after.epoch, before.epoch + 1))
            changes = departure(before.records, after.shown)
            await asyncio.to_thread(before.store.commit, changes)
    return len(jobs)


def _bring(after: Opened, jobs: Records, epoch: int) -> None:
    changes = [Change(*MOVED, None)]
    if not isinstance(after.store, ZkStore):  # that has its epoch beside the records
        changes.append(Change(*EPOCH, str(epoch).encode()))
    if not jobs_in(after.records):  # else an earlier move has brought them
        size = sum(kept_bytes(*place, value) for place, value in jobs.items())
        room_bytes = after.store.room_bytes
        if room_bytes is not None and size > room_bytes:
            raise RoleError(
                f"the state has {size} bytes, and {after.shown} has room for {room_bytes}: end"
                f" jobs, so that less is kept, and move it then"
            )
        changes += [Change(*place, value) for place, value in jobs.items()]
    after.store.commit(changes)


@contextlib.asynccontextmanager
async def _opened(place: Place, name: str, min_epoch: int) -> AsyncIterator[Opened]:
    """Have a place for this command alone. Raises RoleError."""
    if isinstance(place, Path):
        with holding(place, "--state-dir"):
            store, records = open_store(place / STATE_FILE, IF_DAMAGED)
            with contextlib.closing(store):
                where = str(real_path(place))  # the mark of a move is read from anywhere
                yield Opened(where, store, records, epoch_in(records, where))
        return
    from pymesos_core.coordination.zookeeper import INSTANCES, ZkContender, ZkDetector

    url = framework_url(place, name)
    me = MasterInfo(str(OUTSIDE.uuid()), NOWHERE, "move-state", VERSION)
    async with contextlib.AsyncExitStack() as closing:
        detector = ZkDetector(url, SESSION_S, elected=INSTANCES)
        await detector.start()
        closing.push_async_callback(detector.close)
        contender = ZkContender(url, me, SESSION_S, min_epoch, elected=INSTANCES)
        closing.push_async_callback(contender.close)
        try:
            term = await asyncio.wait_for(contender.lead(), LEADS_WITHIN_S)
        except TimeoutError:
            leader = detector.leader
            if leader is not None and leader.address == NOWHERE:
                raise RoleError(f"another move of what is in {url} goes on: wait for it") from None
            where = f" at {leader.address}" if leader is not None else ""
            raise RoleError(
                f"an instance of the framework leads{where}: stop all that use {url}, and wait for"
                f" the session of one that was killed to end"
            ) from None
        zk_store = ZkStore(term.registry)
        records = await asyncio.to_thread(zk_store.load)
        yield Opened(str(url), zk_store, records, term.epoch)


def _place(_context: click.Context, _option: click.Parameter, value: str) -> Place:
    if not value.startswith("zk://"):
        return Path(value)
    try:
        return parse_zk(value)
    except AddressError as error:
        raise click.BadParameter(str(error)) from error


def _is_same(one: Place, other: Place) -> bool:
    """Whether two places are one, in whatever order its servers are named."""
    if isinstance(one, Path) and isinstance(other, Path):
        return real_path(one) == real_path(other)
    if isinstance(one, ZkUrl) and isinstance(other, ZkUrl):
        hosts = [set(url.hosts.split(",")) for url in (one, other)]
        return one.path == other.path and not hosts[0].isdisjoint(hosts[1])
    return False


def _name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    try:
        return read_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(cls=RoleCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--from", "source", required=True, callback=_place, metavar="PLACE",
              help="Where the state is: a --state-dir, or the zk:// URL of --zk.")  # fmt: skip
@click.option("--to", "target", required=True, callback=_place, metavar="PLACE",
              help="Where it is to be, likewise.")  # fmt: skip
@click.option("--name", default="binpack", show_default=True, callback=_name, metavar="NAME",
              help="The framework's name.")  # fmt: skip
@click.pass_context
def main(context: click.Context, source: Place, target: Place, name: str) -> None:
    """Move the state of a bin-packing framework that is stopped, jobs and id, to another place.

    Refused while an instance leads, and where the target has state. The tasks run on meanwhile,
    for the framework's failover timeout.
    """
    if _is_same(source, target):
        raise click.UsageError("--from and --to are the same place")

    def work() -> None:
        try:
            number = asyncio.run(move(source, target, name))
        except OSError as error:
            raise RoleError(os_problem(error)) from error
        where = framework_url(target, name) if isinstance(target, ZkUrl) else target
        flag = "--zk" if isinstance(target, ZkUrl) else "--state-dir"
        click.echo(f"{number} records are in {where} now: start the framework with {flag} {target}")

    status = end_of("pymesos-binpack move-state", work)
    if status:
        context.exit(status)
