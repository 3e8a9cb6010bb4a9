"""The way of the CLI's calls to the master that leads, wherever that is meanwhile."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

import click
import grpc
import grpc.aio

from pymesos_cli.errors import EXIT_NO_MASTER, EXIT_USAGE, CliError, ListAgainError, NotFoundError
from pymesos_core import VERSION
from pymesos_core.addresses import AddressError, HostPort, ZkUrl, parse_master
from pymesos_core.contexts import Way
from pymesos_core.coordination import CoordinationError, Detector
from pymesos_core.coordination.detect import detector_for
from pymesos_core.following import describe, leader_of, says_that_nobody_leads
from pymesos_core.grpc_transport import call_error, dialer, open_channel
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import Kind
from pymesos_core.security.renewing import RenewalError, asking_leader, is_due, renew
from pymesos_core.text import duration
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1.operator_pb2_grpc import OperatorStub

if TYPE_CHECKING:
    from pymesos_proto.v1.operator_pb2_grpc import OperatorAsyncStub

LOOK_TIMEOUT_S = 2.0  # at what answers at an address
ENDS_SOON = 5  # a fifth of its life is left
NO_MASTER = (
    "what answers there wants a certificate of its cluster, or is something else: perhaps an agent,"
    " or another program"
)
RETRY_S = 0.2
_NOT_LEADING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION)

Result = TypeVar("Result")


class Leader:
    """The leading master: every call follows it until the timeout, or says what is wrong."""

    def __init__(self, way: Way, timeout_s: float) -> None:
        """Raises CliError when its master is no address, or its folder has no credentials."""
        self._way = way
        self._timeout_s = timeout_s
        try:
            where = parse_master(way.master)
            self._master_shown = str(where)
            self._doubt = where.doubt if isinstance(where, ZkUrl) else ""
            self._detector: Detector = detector_for(way.master)
        except AddressError as error:
            raise CliError(f"{way.master_from}: {error}", EXIT_USAGE) from error
        self.shown = f"the master at {self._master_shown}"
        if way.context:
            self.shown += f", of the context {way.context}"
            self._master_shown += f", of the context {way.context},"
        self.credentials: Credentials | None = None
        if way.tls is not None:
            try:
                self.credentials = Credentials(way.tls)
                self.credentials.need(Kind.OPERATOR)
            except CredentialsError as error:
                raise CliError(f"{way.tls_from}: {error}", EXIT_USAGE) from error
        self._channel: grpc.aio.Channel | None = None
        self._address: HostPort | None = None

    async def find(self) -> None:
        """Look for it from now on. Raises CliError when ZooKeeper does not answer."""
        try:
            await asyncio.wait_for(self._detector.start(), self._timeout_s)
        except TimeoutError as error:
            within = f"within {duration(self._timeout_s)}; {self._doubt}"
            raise self._no_zookeeper(within) from error
        except CoordinationError as error:
            raise self._no_zookeeper(f"({error}).") from error

    async def close(self) -> None:
        """Close the channel in use, and look for it no more."""
        if self._channel is not None:
            await self._channel.close()
        await self._detector.close()

    def _no_zookeeper(self, detail: str) -> CliError:
        return CliError(
            f"no master is reachable: no ZooKeeper server answers at {self._master_shown} {detail}"
            f" It is ZooKeeper that knows which master leads. Start it, or name a master's own"
            f" host:port with --master or PYMESOS_MASTER; tasks run on meanwhile",
            EXIT_NO_MASTER,
        )

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
            f"no master is reachable at {self._master_shown} ({detail}). Is it running? Say where"
            f" it is with --master or PYMESOS_MASTER; `pymesos-cli local` starts a cluster here."
            f"{self._about_certificates() if detail == NO_MASTER else ''}",
            EXIT_NO_MASTER,
        )

    def _about_certificates(self) -> str:
        """Who lacks a certificate, or has a wrong one, only sees that the other end hangs up."""
        if self.credentials is None:
            return " If the cluster has certificates, name yours with --tls or PYMESOS_TLS"
        who = self.credentials.identity
        return (
            f" The certificate of {self._way.tls_from} is that of {who.principal} of the cluster"
            f" {who.cluster}: is it that cluster's, and does that cluster have certificates?"
        )

    async def stub(self, deadline: float) -> OperatorAsyncStub:
        """Calls of the master that leads now, once one does. Raises CliError."""
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

    async def channel(self) -> grpc.aio.Channel:
        """To the leading master, as it was found last. Raises CliError."""
        await self.stub(asyncio.get_running_loop().time() + self._timeout_s)
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
        deadline = loop.time() + self._timeout_s
        while True:
            stub = await self.stub(deadline)
            try:
                return await make(stub, max(0.1, deadline - loop.time()))
            except grpc.aio.AioRpcError as error:
                await self.follow(error, deadline)

    async def follow(self, error: grpc.aio.AioRpcError, deadline: float) -> None:
        """Go on to the leader that was named, or wait a little; raise when that is no use."""
        if error.code() == grpc.StatusCode.NOT_FOUND:
            raise NotFoundError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
            raise CliError(describe(call_error(error)), EXIT_USAGE) from error
        if error.code() == grpc.StatusCode.ABORTED:
            raise ListAgainError(describe(call_error(error))) from error
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            self._unreachable(f"no answer within {duration(self._timeout_s)}")
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            await self._not_known()
        if error.code() not in _NOT_LEADING:
            raise CliError(describe(call_error(error))) from error
        hinted = leader_of(call_error(error))
        if error.code() == grpc.StatusCode.FAILED_PRECONDITION and hinted is None:
            raise CliError(describe(call_error(error))) from error  # the leader itself says so
        if hinted is not None:
            self._detector.hint(hinted)
        if asyncio.get_running_loop().time() + RETRY_S > deadline:
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
        await asyncio.sleep(0 if hinted else RETRY_S)

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
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                _, writer = await asyncio.open_connection(where.host, where.port)
        except TimeoutError:
            return f"no answer from {where}"
        except socket.gaierror:
            return f"there is no host {where.host}"
        except OSError as error:
            return f"{where}: {os.strerror(error.errno or 0)}"
        writer.close()
        return NO_MASTER
