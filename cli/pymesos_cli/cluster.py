"""The CLI's way to the leading master, to agents' sandboxes and to Jobs services."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click
import grpc
import grpc.aio

from pymesos_cli.jobs_stub import FollowingJobs
from pymesos_cli.known import Known
from pymesos_core import VERSION
from pymesos_core.addresses import AddressError, HostPort, ZkUrl, parse_host_port, parse_master
from pymesos_core.contexts import Way
from pymesos_core.coordination import CoordinationError, Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.following import AGENT_KEY, describe, leader_of, says_that_nobody_leads
from pymesos_core.grpc_transport import call_error, dialer, open_channel
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.security.renewing import RenewalError, asking_leader, is_due, renew
from pymesos_core.text import duration
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub
from pymesos_proto.v1.sandbox_pb2_grpc import SandboxStub

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub
    from pymesos_proto.v1.operator_pb2_grpc import OperatorAsyncStub
    from pymesos_proto.v1.sandbox_pb2_grpc import SandboxAsyncStub

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_MASTER = 3

DIRECT_TIMEOUT_S = 2.0
ENDS_SOON = 5  # a fifth of its life is left
NO_MASTER = (
    "what answers there wants a certificate of its cluster, or is something else: perhaps an agent,"
    " or another program"
)
_LIST_TIMES = 3
_RETRY_S = 0.2
_NOT_LEADING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION)

Result = TypeVar("Result")
Metadata = tuple[tuple[str, str], ...]


class CliError(click.ClickException):
    """An error for a person, with its exit status."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


class NotFoundError(CliError):
    """There is nothing of a name in the cluster that was asked, which is said, too."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_USAGE)


class ListAgainError(CliError):
    """A listing was cut short, since the leader changed: it has to begin anew."""


class Cluster:
    """Calls on the leading master; every call follows the leader until the timeout."""

    def __init__(self, way: Way, timeout_s: float) -> None:
        """Raises CliError when its master is no address, or its folder has no credentials."""
        self.way = way
        self.master = way.master
        self.timeout_s = timeout_s
        try:
            where = parse_master(way.master)
            self.master_shown = str(where)
            self._doubt = where.doubt if isinstance(where, ZkUrl) else ""
            self._detector: Detector = detector_for(way.master)
        except AddressError as error:
            raise CliError(f"{way.master_from}: {error}", EXIT_USAGE) from error
        self._shown = f"the master at {self.master_shown}"
        if way.context:
            self._shown += f", of the context {way.context}"
            self.master_shown += f", of the context {way.context},"
        self.credentials: Credentials | None = None
        if way.tls is not None:
            try:
                self.credentials = Credentials(way.tls)
                self.credentials.need(Kind.OPERATOR)
            except CredentialsError as error:
                raise CliError(f"{way.tls_from}: {error}", EXIT_USAGE) from error
        self._channel: grpc.aio.Channel | None = None
        self._address: HostPort | None = None

    async def __aenter__(self) -> Cluster:
        try:
            await asyncio.wait_for(self._detector.start(), self.timeout_s)
        except TimeoutError as error:
            raise self._no_zookeeper(f"within {duration(self.timeout_s)}; {self._doubt}") from error
        except CoordinationError as error:
            raise self._no_zookeeper(f"({error}).") from error
        return self

    def _no_zookeeper(self, detail: str) -> CliError:
        return CliError(
            f"no master is reachable: no ZooKeeper server answers at {self.master_shown} {detail}"
            f" It is ZooKeeper that knows which master leads. Start it, or name a master's own"
            f" host:port with --master or PYMESOS_MASTER; tasks run on meanwhile",
            EXIT_NO_MASTER,
        )

    async def __aexit__(self, _kind: object, error: object, _traceback: object) -> None:
        if isinstance(error, NotFoundError):  # perhaps another cluster was meant
            error.message += f". Asked was {self._shown}"  # type: ignore[misc]
        if self._channel is not None:
            await self._channel.close()
        await self._detector.close()

    async def renew_if_due(self) -> None:
        """Renew the certificate in use when half of its life is over. That is no part of what was
        asked for: only when the certificate ends soon, a failure is said.
        """
        if self.credentials is None:
            return
        pem, now_s = self.credentials.current(), time.time()
        if not is_due(pem, now_s):
            return
        try:
            await renew(self.credentials, asking_leader(self._detector, dialer(self.credentials)))
        except RenewalError as error:
            if pem.ends_s - now_s < (pem.ends_s - pem.begins_s) / ENDS_SOON:
                click.echo(f"your certificate ends soon and is not renewed: {error}", err=True)

    def _unreachable(self, detail: str) -> NoReturn:
        raise CliError(
            f"no master is reachable at {self.master_shown} ({detail}). Is it running? Say where it"
            f" is with --master or PYMESOS_MASTER; `pymesos-cli local` starts a cluster here."
            f"{self._about_certificates() if detail == NO_MASTER else ''}",
            EXIT_NO_MASTER,
        )

    def _about_certificates(self) -> str:
        """Who lacks a certificate, or has a wrong one, only sees that the other end hangs up."""
        if self.credentials is None:
            return " If the cluster has certificates, name yours with --tls or PYMESOS_TLS"
        who = self.credentials.identity
        return (
            f" The certificate of {self.way.tls_from} is that of {who.principal} of the cluster"
            f" {who.cluster}: is it that cluster's, and does that cluster have certificates?"
        )

    async def _stub(self, deadline: float) -> OperatorAsyncStub:
        loop = asyncio.get_running_loop()
        leader = self._detector.leader
        if leader is None:
            try:
                remaining = max(0.0, deadline - loop.time())
                leader = await asyncio.wait_for(self._detector.changed(None), remaining)
            except TimeoutError:
                self._unreachable("ZooKeeper answers there, and no master contends")
        assert leader is not None
        if self._channel is None or self._address != leader.address:
            if self._channel is not None:
                await self._channel.close()
            self._channel = open_channel(leader.address, Kind.MASTER, self.credentials)
            self._address = leader.address
        return OperatorStub(self._channel)

    async def leader_channel(self) -> grpc.aio.Channel:
        """To the leading master, as it was found last. Raises CliError."""
        await self._stub(asyncio.get_running_loop().time() + self.timeout_s)
        assert self._channel is not None
        return self._channel

    async def http_address(self) -> HostPort:
        """Where the master that answers serves HTTP. Raises CliError."""
        health = await self.call(lambda s, t: s.GetHealth(pb.GetHealthRequest(), timeout=t))
        assert self._address is not None
        if not health.http_port:
            raise CliError(
                f"the master at {self._address} serves no HTTP: it was started with --no-http, or"
                f" is older than this pymesos-cli ({VERSION})"
            )
        return HostPort(self._address.host, health.http_port)

    async def call(self, make: Callable[[OperatorAsyncStub, float], Awaitable[Result]]) -> Result:
        """`make(stub, timeout_s)` on the leader. Raises CliError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.timeout_s
        while True:
            stub = await self._stub(deadline)
            try:
                return await make(stub, max(0.1, deadline - loop.time()))
            except grpc.aio.AioRpcError as error:
                await self._follow(error, deadline)

    async def _follow(self, error: grpc.aio.AioRpcError, deadline: float) -> None:
        """Go on to the leader that was named, or wait a little; raise when that is no use."""
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFoundError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
            raise CliError(describe(call_error(error)), EXIT_USAGE) from error
        if error.code() == grpc.StatusCode.ABORTED:
            raise ListAgainError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._unreachable(f"no answer within {duration(self.timeout_s)}")
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            await self._not_known()
        if error.code() not in _NOT_LEADING:
            raise CliError(describe(call_error(error))) from error
        hinted = leader_of(call_error(error))
        if error.code() == grpc.StatusCode.FAILED_PRECONDITION and hinted is None:
            raise CliError(describe(call_error(error))) from error  # the leader itself says so
        if hinted is not None:
            self._detector.hint(hinted)
        if asyncio.get_running_loop().time() + _RETRY_S > deadline:
            if says_that_nobody_leads(call_error(error)):
                raise CliError(
                    f"{describe(call_error(error))}. Is ZooKeeper reachable from the masters?"
                    f" Tasks run on meanwhile; try again, or wait longer with --timeout",
                    EXIT_NO_MASTER,
                ) from error
            self._unreachable(await self._what_is_there())
        if self._channel is not None:
            await self._channel.close()
            self._channel = None
        await asyncio.sleep(0 if hinted else _RETRY_S)

    async def _not_known(self) -> NoReturn:
        """Say that what answers is no master, or one that does not know this call."""
        assert self._channel is not None
        try:
            await OperatorStub(self._channel).GetLeader(pb.GetLeaderRequest(), timeout=2.0)
        except grpc.aio.AioRpcError:
            self._unreachable(NO_MASTER)
        raise CliError(
            f"the master at {self._address} does not know this command: it is older than this"
            f" pymesos-cli ({VERSION}); upgrade the master"
        )

    async def _what_is_there(self) -> str:
        """Why the address in use did not do, in words."""
        assert self._address is not None
        where = self._address
        try:
            async with asyncio.timeout(DIRECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(where.host, where.port)
        except TimeoutError:
            return f"no answer from {where}"
        except socket.gaierror:
            return f"there is no host {where.host}"
        except OSError as error:
            return f"{where}: {os.strerror(error.errno or 0)}"
        writer.close()
        return NO_MASTER

    async def pages(
        self,
        fetch: Callable[[OperatorAsyncStub, pb.Page, float], Awaitable[Any]],
        items: Callable[[Any], Sequence[Result]],
        limit: int = 0,
    ) -> list[Result]:
        """The items of a paged listing: all, or one more than `limit` if there are more."""
        for _ in range(_LIST_TIMES):
            with contextlib.suppress(ListAgainError):
                return await self._pages(fetch, items, limit)
        raise CliError("the leader changed again and again while this was listed; try once more")

    async def _pages(
        self,
        fetch: Callable[[OperatorAsyncStub, pb.Page, float], Awaitable[Any]],
        items: Callable[[Any], Sequence[Result]],
        limit: int,
    ) -> list[Result]:
        out: list[Result] = []
        token = ""
        while True:
            size = min(1000, limit + 1 - len(out)) if limit else 1000
            page = pb.Page(page_size=size, page_token=token)

            async def make(stub: OperatorAsyncStub, timeout_s: float, page: pb.Page = page) -> Any:
                return await fetch(stub, page, timeout_s)

            response = await self.call(make)
            out += items(response)
            token = response.next_page_token
            if not token or (limit and len(out) > limit):
                return out

    async def agents(self) -> list[pb.AgentView]:
        """All agents."""
        return await self.pages(
            lambda s, p, t: s.ListAgents(pb.ListAgentsRequest(page=p), timeout=t),
            lambda r: r.agents,
        )

    async def frameworks(self, *, completed: bool = False) -> list[pb.FrameworkView]:
        """All frameworks."""
        return await self.pages(
            lambda s, p, t: s.ListFrameworks(
                pb.ListFrameworksRequest(page=p, include_completed=completed), timeout=t
            ),
            lambda r: r.frameworks,
        )

    async def offers(self) -> list[pb.OfferView]:
        """All offers."""
        return await self.pages(
            lambda s, p, t: s.ListOffers(pb.ListOffersRequest(page=p), timeout=t),
            lambda r: r.offers,
        )

    async def tasks(
        self,
        *,
        completed: bool = False,
        framework_id: str = "",
        agent_id: str = "",
        id_prefix: str = "",
        states: Sequence[str] = (),
        called: str = "",
        called_exactly: bool = False,
        limit: int = 0,
    ) -> list[pb.TaskView]:
        """Tasks, live or also completed ones; at most one more than `limit`, if there is one.

        What they are `called` is as in pymesos_core.names, which has the last word.
        """
        return await self.pages(
            lambda s, p, t: s.ListTasks(
                pb.ListTasksRequest(
                    page=p,
                    include_completed=completed,
                    framework_id=framework_id,
                    agent_id=agent_id,
                    id_prefix=id_prefix,
                    states=states,
                    called=called,
                    called_exactly=called_exactly,
                ),
                timeout=t,
            ),
            lambda r: r.tasks,
            limit,
        )

    async def watch_events(self) -> AsyncIterator[pb.ClusterEvent]:
        """The state as events, then what happens, over reconnections and failovers.

        Raises CliError when no master is reachable at first; later one is waited for.
        """
        known, cursor, seen, away = Known(), "", False, False
        while True:
            try:
                async for batch in self._watch_from(cursor):
                    seen, away, cursor = True, False, batch.cursor
                    for event in known.news(batch):
                        yield event
            except CliError as error:
                if not seen or error.exit_code != EXIT_NO_MASTER:
                    raise
                if not away:
                    click.echo("no master leads now; waiting for one", err=True)
                away = True
            await asyncio.sleep(_RETRY_S)

    async def _watch_from(self, cursor: str) -> AsyncIterator[pb.ClusterEventBatch]:
        """Batches of one stream; it ends when the leader does. Raises CliError."""
        loop = asyncio.get_running_loop()
        deadline, heard = loop.time() + self.timeout_s, False
        while not heard:
            stub = await self._stub(deadline)
            try:
                async for batch in stub.WatchEvents(pb.WatchEventsRequest(cursor=cursor)):
                    heard = True
                    yield batch
            except grpc.aio.AioRpcError as error:
                await self._follow(error, loop.time() + self.timeout_s if heard else deadline)


async def _answers(stub: SandboxAsyncStub, view: pb.TaskView) -> bool:
    """Whether it is an agent that answers there: it says something of the task."""
    ask = sandbox_pb.ReadFileRequest(
        framework_id=view.framework_id, task_id=view.task_info.task_id, path="stdout", length=1
    )
    try:
        await stub.ReadFile(ask, timeout=DIRECT_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    return True


@asynccontextmanager
async def sandbox_of(
    cluster: Cluster, view: pb.TaskView
) -> AsyncIterator[tuple[SandboxAsyncStub, Metadata]]:
    """The Sandbox service of a task's agent, and the metadata of its calls.

    Through the master when the agent itself is not reachable from here. Raises CliError.
    """
    if not view.HasField("agent_address"):
        raise CliError(f"the agent of {view.task_info.task_id} is not known any more")
    address = view.agent_address
    where = f"the agent {address.hostname} ({address.ip}:{address.port})"
    name = name_in(view.agent_principal, Kind.AGENT)
    at = HostPort(address.ip, address.port)
    channel = open_channel(at, Kind.AGENT, cluster.credentials, name)
    try:
        metadata: Metadata = ()
        through = channel
        # With certificates agents answer to masters only, who go by the policy.
        if cluster.credentials is not None or not await _answers(SandboxStub(channel), view):
            metadata = ((AGENT_KEY, view.task_info.agent_id),)
            through = await cluster.leader_channel()
        yield SandboxStub(through), metadata
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            raise CliError(
                f"{where} is not reachable, neither from here nor from the master; is it running?"
            ) from error
        raise CliError(f"{where}: {describe(call_error(error))}", _status_of(error)) from error
    finally:
        await channel.close()


@asynccontextmanager
async def jobs_at(
    cluster: Cluster, address: str, principal: str = ""
) -> AsyncIterator[JobsAsyncStub]:
    """A Jobs service of a framework of that cluster; with certificates, of that principal.

    Of several instances it is the one that leads which answers. Raises CliError.
    """
    async with dialled_jobs(cluster, address, principal) as stub:
        with refusals_at(address):
            yield stub


@asynccontextmanager
async def dialled_jobs(
    cluster: Cluster, address: str, principal: str = ""
) -> AsyncIterator[JobsAsyncStub]:
    """The same for several calls, of which each says for itself what was refused."""
    name = name_in(principal, Kind.FRAMEWORK)
    stub = FollowingJobs(
        parse_host_port(address),
        lambda at: open_channel(at, Kind.FRAMEWORK, cluster.credentials, name),
    )
    try:
        yield cast("JobsAsyncStub", stub)
    finally:
        await stub.close()


@contextmanager
def refusals_at(address: str) -> Iterator[None]:
    """Raises CliError for what a Jobs service refuses, or when it is not reached."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            raise CliError(
                f"the Jobs service at {address} is not reachable; its framework may be restarting"
            ) from error
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFoundError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise CliError(
                f"the framework at {address} is of a version that does not know this: upgrade it"
            ) from error
        raise CliError(describe(call_error(error)), _status_of(error)) from error


def _status_of(error: grpc.aio.AioRpcError) -> int:
    """Return the exit status for what a service refuses."""
    asked_wrongly = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
    return EXIT_USAGE if error.code() in asked_wrongly else EXIT_FAILED
