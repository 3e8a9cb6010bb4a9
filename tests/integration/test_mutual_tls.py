"""Connections with certificates, over real gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.grpc_transport import add_prefix, dialer
from pymesos_core.security.authority import Authority, certificate_pem, make_root
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind, read_principal
from pymesos_core.security.issuing import issue
from pymesos_core.serving import Listen, bind, make_server
from pymesos_core.transport import CallError, Code, Method, ServerCall

ECHO = Method("/pymesos.v1.Agent/Connect", bytes, bytes)


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = make_root("prod", time.time())
        self.signing: Authority = self.root.make_intermediate("m1", time.time())
        self.address = HostPort("127.0.0.1", 0)
        self.server: grpc.aio.Server | None = None
        self.callers: list[str] = []

    def issue(self, principal: str, lifetime_s: float = 600) -> Credentials:
        folder, to = self.folder / principal.replace("/", "-"), read_principal("prod", principal)
        roots = certificate_pem(self.root.certificate)
        issue(folder, to, self.signing, roots, lifetime_s, time.time())
        return Credentials(folder)

    async def serve(self) -> None:
        """A master that sends back what it is sent."""
        credentials = self.issue("master/m1")
        self.server = make_server({}, credentials)

        async def echo(_: str, call: ServerCall[bytes, bytes]) -> None:
            self.callers.append(call.caller.principal)
            while (message := await call.read()) is not None:
                await call.write(message)

        add_prefix(self.server, "/pymesos.v1.Agent/", echo)
        listen = Listen("127.0.0.1", 0, None, None)
        self.address = HostPort("127.0.0.1", bind(self.server, listen, credentials))
        await self.server.start()

    async def ask(self, who: Credentials | None, to: Kind = Kind.MASTER, name: str = "") -> bytes:
        """Raises CallError."""
        channel = dialer(who)(self.address, to, name)
        try:
            stream = channel.stream(ECHO)
            await stream.write(b"hello")
            answer = await stream.read()
            assert isinstance(answer, bytes)
            return answer
        finally:
            await channel.close()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path)
    await made.serve()
    yield made
    assert made.server is not None
    await made.server.stop(0)


async def test_who_calls_is_known_by_the_certificate(cluster: Cluster) -> None:
    assert await cluster.ask(cluster.issue("agent/a")) == b"hello"
    assert await cluster.ask(cluster.issue("agent/a"), Kind.MASTER, "m1") == b"hello"
    assert cluster.callers == ["agent/a", "agent/a"]


@pytest.mark.parametrize(("to", "name"), [(Kind.AGENT, ""), (Kind.MASTER, "m2")])
async def test_a_client_meets_whom_it_means_or_nobody(
    cluster: Cluster, to: Kind, name: str
) -> None:
    with pytest.raises(CallError) as failed:
        await cluster.ask(cluster.issue("agent/a"), to, name)
    assert failed.value.code == Code.UNAVAILABLE and not cluster.callers


async def test_a_kind_that_may_not_call_is_told(cluster: Cluster) -> None:
    with pytest.raises(CallError, match=r"framework/f may not call pymesos\.v1\.Agent; it is for"):
        await cluster.ask(cluster.issue("framework/f"))
    assert not cluster.callers


async def test_nothing_is_said_to_whom_has_no_certificate(cluster: Cluster) -> None:
    for who in (None, Cluster(cluster.folder).issue("agent/other")):
        with pytest.raises(CallError) as failed:
            await cluster.ask(who)
        assert failed.value.code == Code.UNAVAILABLE
    assert not cluster.callers


async def test_a_stream_ends_with_its_certificate_and_comes_back_with_a_new_one(
    cluster: Cluster,
) -> None:
    who = cluster.issue("agent/a", lifetime_s=3)
    channel = dialer(who)(cluster.address, Kind.MASTER)
    stream = channel.stream(ECHO)
    await stream.write(b"hello")
    assert await stream.read() == b"hello"
    with pytest.raises(CallError, match="the certificate of agent/a has ended") as ended:
        async with asyncio.timeout(20):
            await stream.read()
    assert ended.value.code == Code.UNAUTHENTICATED
    late = channel.stream(ECHO)  # the connection is still there
    with pytest.raises(CallError, match="has ended"):
        await late.read()
    await channel.close()
    cluster.issue("agent/a")
    assert await cluster.ask(who) == b"hello"
