"""The way to a Jobs service: a stub that goes where the instance which answers sends it.

A framework may have several instances, of which one leads; the others name it (`LEADER_KEY`).
While none does, the same one is asked again. A stream that was begun is not gone on with elsewhere:
it ends with UNAVAILABLE, and whoever reads it begins another, which has everything anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError, UnreachableError, status_of
from pymesos_core.addresses import HostPort, parse_host_port
from pymesos_core.following import describe, leader_of, says_that_nobody_leads
from pymesos_core.grpc_transport import call_error, open_channel
from pymesos_core.security.identities import Kind, name_in
from pymesos_proto.v1.jobs_pb2_grpc import JobsStub

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

MAX_JUMPS = 50  # in one call: instances may name each other while none leads
RETRY_S = 0.2
WAIT_S = 10.0  # for one that leads, in a call without a time-out


class FollowingJobs:
    """The calls of JobsStub, made at the instance that leads."""

    def __init__(self, address: HostPort, dial: Callable[[HostPort], grpc.aio.Channel]) -> None:
        self._dial = dial
        self.address = address
        self._channel = dial(address)
        self._tried = {address}

    def __getattr__(self, method: str) -> Callable[..., _Call]:
        return lambda request, **options: _Call(self, method, request, options)

    async def close(self) -> None:
        """Close the channel in use."""
        await self._channel.close()

    def begin(self, method: str, request: Any, options: dict[str, Any]) -> Any:
        """Begin a call at the address in use."""
        return getattr(JobsStub(self._channel), method)(request, **options)

    async def follow(self, error: grpc.aio.AioRpcError, deadline_s: float) -> bool:
        """Turn to the instance that a refusal names, or wait for one; whether to ask again."""
        leader = _named_leader(error)
        if leader is None and not says_that_nobody_leads(call_error(error)):
            return False
        if leader is None or leader in self._tried:
            await asyncio.sleep(RETRY_S)
        if leader is not None and leader != self.address:
            self._tried.add(leader)
            await self._channel.close()
            self.address, self._channel = leader, self._dial(leader)
        return asyncio.get_running_loop().time() < deadline_s


class _Call:
    """One call: awaited where it has one answer, or iterated over."""

    def __init__(
        self, stub: FollowingJobs, method: str, request: Any, options: dict[str, Any]
    ) -> None:
        self._stub, self._method, self._request, self._options = stub, method, request, options

    def _begin(self) -> Any:
        return self._stub.begin(self._method, self._request, self._options)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        deadline_s = self._deadline_s()
        for _ in range(MAX_JUMPS):
            try:
                return await self._begin()
            except grpc.aio.AioRpcError as error:
                if not await self._stub.follow(error, deadline_s):
                    raise
        return await self._begin()

    def _deadline_s(self) -> float:
        return asyncio.get_running_loop().time() + (self._options.get("timeout") or WAIT_S)

    async def __aiter__(self) -> AsyncIterator[Any]:
        begun = False
        deadline_s: float | None = None  # from the first refusal: a stream may be old by then
        for jump in range(MAX_JUMPS + 1):
            try:
                async for message in self._begin():
                    begun = True
                    yield message
                return
            except grpc.aio.AioRpcError as error:
                if begun and _named_leader(error) is not None:
                    raise _broken(error) from error
                if begun:
                    raise
                deadline_s = deadline_s or self._deadline_s()
                if jump == MAX_JUMPS or not await self._stub.follow(error, deadline_s):
                    raise


def _named_leader(error: grpc.aio.AioRpcError) -> HostPort | None:
    """The instance that leads, as one that does not says when it refuses."""
    refused = error.code() == grpc.StatusCode.FAILED_PRECONDITION
    return leader_of(call_error(error)) if refused else None


def _broken(error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
    """The same, as what it is for a stream that was begun: it is to begin again."""
    return grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE,
        error.initial_metadata(),
        error.trailing_metadata(),
        error.details(),
    )


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
            raise UnreachableError(
                f"the Jobs service at {address} is not reachable; its framework may be restarting"
            ) from error
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFoundError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            raise CliError(
                f"the framework at {address} is of a version that does not know this: upgrade it"
            ) from error
        raise CliError(describe(call_error(error)), status_of(error)) from error
