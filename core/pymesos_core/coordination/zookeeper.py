"""Coordination through ZooKeeper, with kazoo's client primitives.

Below the path of the zk:// URL:

    json.info_0000000007   ephemeral, sequential: one per contending master; the lowest leads
    epoch                  a counter, raised by compare-and-set by each new leader
    registry/KIND/KEY      one record each, written in batches that check the epoch's version

kazoo calls back in its own threads; the callbacks here only hand over to the event loop.
`Election.run` is not used: it blocks and cannot be interrupted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
)
from kazoo.handlers.threading import KazooTimeoutError

from pymesos_core.addresses import HostPort, ZkUrl
from pymesos_core.coordination.interface import (
    CoordinationError,
    MasterInfo,
    RegistryError,
    Term,
    read_epoch,
)
from pymesos_core.coordination.zk_client import MakeClient, in_words, make_client
from pymesos_core.coordination.zk_registry import ZkRecords, ZkRegistry
from pymesos_core.coordination.zk_rights import close_registry, make_path, readable
from pymesos_core.tasks import Background
from pymesos_core.text import duration

log = logging.getLogger(__name__)

PREFIX = "json.info_"
DEFAULT_SESSION_TIMEOUT_S = 10.0
SAY_AFTER_S = 1.0  # that a server is waited for
RESIGN_S = 2.0


@dataclass(frozen=True)
class Elected:
    """How logs and errors call those of whom one leads."""

    one: str = "master"
    without_epoch: str = "delete it and start once with --min-epoch"  # if it cannot be restored


MASTERS = Elected()
INSTANCES = Elected(  # of a framework
    "instance",
    "write a number there that is no lower than the epoch the master names when it refuses one",
)


async def _start(client: KazooClient, url: ZkUrl, timeout_s: float | None, purpose: str) -> None:
    """Connect. Raises CoordinationError after `timeout_s`; with None it waits and says for what."""
    client.start_async()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    said = False
    while not client.connected:
        if client.client_state == "AUTH_FAILED":
            raise CoordinationError(f"ZooKeeper at {url} refuses the user and password of auth=")
        waited_s = loop.time() - began_s
        if timeout_s is not None and waited_s > timeout_s:
            await asyncio.to_thread(_stop, client)
            raise CoordinationError(
                f"no ZooKeeper server answers at {url} within {duration(timeout_s)}; {url.doubt}"
            )
        if timeout_s is None and not said and waited_s > SAY_AFTER_S:
            log.warning(
                "waiting for ZooKeeper %s: no server answers at %s; %s", purpose, url, url.doubt
            )
            said = True
        await asyncio.sleep(0.02 if waited_s < SAY_AFTER_S else 0.2)
    if said:
        log.warning("ZooKeeper answers at %s", url)


def _stop(client: KazooClient) -> None:
    with contextlib.suppress(Exception):
        client.stop()
        client.close()


def _candidates(children: list[str]) -> list[str]:
    """The contenders' znodes, the leader first."""
    return sorted(
        (c for c in children if c.startswith(PREFIX)), key=lambda c: c.removeprefix(PREFIX)
    )


MakeRegistry = Callable[[Any, str, int], ZkRegistry]
MakeRecords = Callable[[Any, str], ZkRecords]


class ZkContender:
    """Contends with an ephemeral sequential znode; the lowest leads."""

    def __init__(
        self,
        url: ZkUrl,
        info: MasterInfo,
        session_timeout_s: float,
        min_epoch: int = 0,
        *,
        client: MakeClient = make_client,
        registry: MakeRegistry = ZkRegistry,
        records: MakeRecords = ZkRecords,
        elected: Elected = MASTERS,
    ) -> None:
        """`records` makes what reads the registry, before this one leads and then."""
        self._elected = elected
        self._url = url
        self._info = info
        self._min_epoch = min_epoch
        self._timeout_s = session_timeout_s
        self._client = client(url, session_timeout_s)
        self.records = records(self._client, url.path)
        self._make_registry = registry
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._term: Term | None = None
        self._registry: ZkRegistry | None = None  # of the latest term
        self._node: str | None = None
        self._started = False
        self._patience: asyncio.TimerHandle | None = None  # while suspended

    async def lead(self) -> Term:
        """Wait until this master's znode is the lowest, then raise the epoch."""
        if not self._started:
            self._client.add_listener(self._on_state)
            await _start(self._client, self._url, None, "to contend for leadership")
            self._started = True
        while True:
            try:
                term = await self._contend()
            except NoAuthError as error:
                one = self._elected.one
                raise CoordinationError(
                    f"ZooKeeper keeps {self._url} for {one}s with other credentials; end the URL"
                    f" in ?auth=FILE, where FILE holds the user:password of all its {one}s"
                ) from error
            except (KazooException, KazooTimeoutError, RegistryError) as error:
                log.warning("contending again in a second: %s", in_words(error))
                await asyncio.sleep(1.0)
                continue
            if term is not None:
                return term

    async def _contend(self) -> Term | None:
        self._lost.clear()
        if self._node is None:
            self._node = await asyncio.to_thread(self._create_candidate)
            log.info("contending as %s", self._node.rsplit("/", 1)[-1])
        node = self._node  # the session may end at any await, and `_node` is none then
        while True:
            self._changed.clear()
            children = await asyncio.to_thread(
                self._client.get_children, self._url.path, self._on_children
            )
            candidates = _candidates(children)
            mine = node.rsplit("/", 1)[-1]
            if self._lost.is_set() or mine not in candidates:
                self._node = None
                return None
            if candidates[0] == mine:
                epoch, version = await asyncio.to_thread(self._raise_epoch, node)
                registry = self._make_registry(self._client, self._url.path, version)
                registry.read_through(self.records)
                term = Term(epoch, registry)
                if self._lost.is_set():
                    return None
                self._term, self._registry = term, registry
                if self._client.state == KazooState.SUSPENDED:
                    self._state_changed(KazooState.SUSPENDED)
                return term
            await self._changed.wait()
            if self._lost.is_set():
                self._node = None
                return None

    def _create_candidate(self) -> str:
        """Create the znode in this session; one left by an earlier try of ours is removed first."""
        client = self._client
        make_path(client, self._url)
        for child in _candidates(client.get_children(self._url.path)):
            with contextlib.suppress(NoNodeError, ValueError):
                data, stat = client.get(f"{self._url.path}/{child}")
                if (
                    MasterInfo.from_json(data).master_id == self._info.master_id
                    and stat.ephemeralOwner == client.client_id[0]
                ):
                    client.delete(f"{self._url.path}/{child}")
        path: str = client.create(
            f"{self._url.path}/{PREFIX}",
            self._info.to_json(),
            acl=readable(self._url),
            ephemeral=True,
            sequence=True,
        )
        return path

    def _raise_epoch(self, node: str) -> tuple[int, int]:
        """Compare-and-set the counter, in one batch with a check that our znode is still there."""
        path = f"{self._url.path}/epoch"
        close_registry(self._client, self._url)
        with contextlib.suppress(NodeExistsError):
            self._client.create(path, b"0")
        data, stat = self._client.get(path)
        try:
            epoch = max(read_epoch(data) + 1, self._min_epoch)
        except ValueError as error:
            raise CoordinationError(
                f"{path} in ZooKeeper holds {error}: restore it, or {self._elected.without_epoch}"
            ) from error
        transaction = self._client.transaction()
        transaction.check(node, -1)
        transaction.set_data(path, str(epoch).encode(), version=stat.version)
        results = transaction.commit()
        if any(isinstance(result, Exception) for result in results):
            raise RegistryError(f"another {self._elected.one} leads, or has raised the epoch")
        return epoch, stat.version + 1

    def _on_children(self, _event: Any) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    def _on_state(self, state: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._state_changed, state)

    def _state_changed(self, state: str) -> None:
        if state == KazooState.SUSPENDED and self._term is not None:
            log.warning("ZooKeeper is away: sends are paused, streams stay open")
            self._term.suspend()
            self._patience = self._loop.call_later(self._timeout_s, self._presume_lost, self._term)
        elif state == KazooState.CONNECTED and self._term is not None:
            log.info("ZooKeeper is back in the same session: epoch %d goes on", self._term.epoch)
            self._stop_waiting()
            self._term.resume()
        elif state == KazooState.LOST:
            self._node = None
            self._lost.set()
            self._changed.set()
            if self._term is not None:
                log.warning("the ZooKeeper session is lost, and leadership with it")
                self._end_term()

    def _end_term(self) -> None:
        """End the term: what still waits to be written need not wait for a server."""
        self._stop_waiting()
        if self._term is not None:
            assert self._registry is not None
            self._term.end()
            self._term = None
            self._registry.give_up()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _presume_lost(self, term: Term) -> None:
        """Nobody can tell us that the session has ended, and another may lead by now.

        kazoo reports LOST only when it is connected again.
        """
        if self._term is term:
            log.warning("ZooKeeper is away for longer than a session lasts: leadership is given up")
            self._end_term()

    async def resign(self, term: Term) -> None:
        """Delete the znode, so that another leads without waiting for the session to end.

        While no ZooKeeper server answers, the znode is left to that end, and nobody waits for it.
        """
        term.end()
        self._end_term()
        node, self._node = self._node, None
        if node is not None:
            with contextlib.suppress(KazooException, KazooTimeoutError, TimeoutError):
                async with asyncio.timeout(RESIGN_S):
                    await asyncio.to_thread(self._client.delete, node)

    async def close(self) -> None:
        """End the session, and with it the candidacy and the term."""
        self._end_term()
        await asyncio.to_thread(_stop, self._client)


class ZkDetector:
    """Watches the contenders and reads the address of the lowest."""

    def __init__(
        self,
        url: ZkUrl,
        session_timeout_s: float = DEFAULT_SESSION_TIMEOUT_S,
        *,
        client: MakeClient = make_client,
        elected: Elected = MASTERS,
    ) -> None:
        self._one = elected.one
        self._url = url
        self._client = client(url, session_timeout_s)
        self._timeout_s = session_timeout_s
        self._leader: MasterInfo | None = None
        self._changed = asyncio.Event()
        self._poke = asyncio.Event()
        self._unreadable: set[str] = set()  # contenders' znodes of which was warned
        self._away_since_s: float | None = None  # while no server answers
        self._watching = Background(f"watching the {elected.one}s")

    async def start(self, *, patient: bool = False) -> None:
        """Connect and begin to watch. Raises CoordinationError, unless `patient`."""
        loop = asyncio.get_running_loop()
        poke: Callable[..., None] = functools.partial(_hand_over, loop, self._poke)
        self._client.add_listener(functools.partial(self._on_state, loop, poke))
        if patient:
            self._watching.start(self._wait_and_watch(poke))
        else:
            await _start(self._client, self._url, self._timeout_s, "")
            self._watching.start(self._watch(poke))

    async def _wait_and_watch(self, poke: Callable[..., None]) -> None:
        try:
            await _start(self._client, self._url, None, f"to find the leading {self._one}")
        except CoordinationError as error:
            log.error("%s", error)  # it knows of no leader then
        else:
            await self._watch(poke)

    async def _watch(self, poke: Callable[..., None]) -> None:
        while True:
            self._poke.clear()
            try:
                leader = await asyncio.to_thread(self._read, poke)
            except (KazooException, KazooTimeoutError) as error:
                # What was known stays known: a connection to the leader may well go on.
                log.debug("detecting again: %r", error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._poke.wait(), 1.0)
                continue
            if leader != self._leader:
                where = leader.address if leader else "unknown"
                log.info("the leading %s is %s", self._one, where)
                self._leader = leader
                self._changed.set()
                self._changed = asyncio.Event()
            await self._poke.wait()

    def _read(self, poke: Callable[..., None]) -> MasterInfo | None:
        said = self._said_by(self._watched_candidates(poke))
        if (first := next(said, None)) is not None:
            return first
        # Somebody unknown is the lowest. One that led before and still contends leads on.
        return self._leader if self._leader in said else None

    def _said_by(self, candidates: Iterable[str]) -> Iterator[MasterInfo | None]:
        """Yield what contenders say of themselves; None for what cannot be read, with a warning."""
        for candidate in candidates:
            path = f"{self._url.path}/{candidate}"
            try:
                yield MasterInfo.from_json(self._client.get(path)[0])
            except NoNodeError:
                continue
            except ValueError as error:
                if path not in self._unreadable:
                    self._unreadable.add(path)
                    log.warning(
                        "%s in ZooKeeper holds %s: somebody unknown contends, behind whom every"
                        " other %s waits. Delete it if it is of no %s that runs",
                        path, error, self._one, self._one,
                    )  # fmt: skip
                yield None

    async def masters(self) -> list[MasterInfo]:
        """See Detector."""
        if self._away_since_s is not None:  # kazoo would wait, and keep a thread until it is back
            raise self._unread("no server of it answers now")
        try:
            return await asyncio.to_thread(self._read_all)
        except (KazooException, KazooTimeoutError) as error:
            raise self._unread(in_words(error)) from error

    def _unread(self, why: str) -> CoordinationError:
        what = f"which {self._one}s there are cannot be read in ZooKeeper"
        return CoordinationError(f"{what}: {why}")

    def _read_all(self) -> list[MasterInfo]:
        candidates = _candidates(self._client.get_children(self._url.path))
        return [info for info in self._said_by(candidates) if info is not None]

    def _watched_candidates(self, poke: Callable[..., None]) -> list[str]:
        """The contenders; `poke` is called once that may have changed."""
        while True:
            try:
                return _candidates(self._client.get_children(self._url.path, poke))
            except NoNodeError:
                # The first master may create the path between the two requests. A watch on a
                # znode that is there does not report its children, so these are read again.
                if self._client.exists(self._url.path, poke) is None:
                    return []

    @property
    def leader(self) -> MasterInfo | None:
        """Who leads, as far as ZooKeeper said."""
        return self._leader

    @property
    def in_doubt(self) -> bool:
        """Whether ZooKeeper is away for longer than a session lasts: who led then gives up."""
        since_s = self._away_since_s
        now_s = asyncio.get_running_loop().time()
        return since_s is not None and now_s - since_s > self._timeout_s

    def _on_state(
        self, loop: asyncio.AbstractEventLoop, poke: Callable[..., None], state: str
    ) -> None:
        """Called by kazoo, in its own thread."""
        if state == KazooState.CONNECTED:
            self._away_since_s = None
        elif self._away_since_s is None:
            self._away_since_s = loop.time()
        poke()

    async def changed(self, seen: MasterInfo | None) -> MasterInfo | None:
        """Wait until the leader is another than `seen`."""
        while self._leader == seen:
            await self._changed.wait()
        return self._leader

    def hint(self, leader: HostPort | None) -> None:
        """ZooKeeper knows better."""

    async def close(self) -> None:
        """Stop watching and end the session."""
        await self._watching.close()
        await asyncio.to_thread(_stop, self._client)


def _hand_over(loop: asyncio.AbstractEventLoop, event: asyncio.Event, *_: Any) -> None:
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)
