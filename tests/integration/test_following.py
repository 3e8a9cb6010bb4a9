"""Clients of masters: who hangs up goes on; why there is no connection is said."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc.aio
import pytest

from pymesos_core.addresses import HostPort, parse_host_port
from pymesos_core.coordination.standalone import StandaloneDetector
from pymesos_core.following import describe, follow
from pymesos_core.grpc_transport import dialer
from pymesos_core.outside import OUTSIDE
from pymesos_core.security.authority import Authority, certificate_pem, make_root
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Identity, Kind
from pymesos_core.security.issuing import issue
from pymesos_core.serving import Listen, bind, make_server
from pymesos_core.transport import CallError, Channel, Code
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.driver import CONNECT
from pymesos_testing.components import Roles


class Listeners:
    """What may listen at the address of a master, and who may come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[grpc.aio.Server] = []
        self.now_s = time.time()
        self.root = make_root("prod", self.now_s)
        self.agent = self.credentials(Kind.AGENT, self.root)

    def credentials(self, kind: Kind, root: Authority) -> Credentials:
        folder = self._folder / f"{kind}-{root.certificate.serial_number}"
        roots = certificate_pem(root.certificate)
        issue(folder, Identity(root.cluster, kind, "x"), root, roots, 600, self.now_s)
        return Credentials(folder)

    async def listen(self, credentials: Credentials | None) -> HostPort:
        server = make_server({}, credentials)
        port = bind(server, Listen("127.0.0.1", 0, None, None), credentials)
        await server.start()
        self._servers.append(server)
        return HostPort("127.0.0.1", port)

    async def close(self) -> None:
        for server in self._servers:
            await server.stop(0)


async def said(at: HostPort, credentials: Credentials | None) -> str:
    """What is said of a connection that comes to nothing."""
    channel = dialer(credentials)(at, Kind.MASTER)
    with pytest.raises(CallError) as failed:
        await channel.stream(CONNECT).read()
    await channel.close()
    return describe(failed.value)


async def test_why_there_is_no_connection_is_told_apart(tmp_path: Path) -> None:
    there = Listeners(tmp_path)
    try:
        secure = await there.listen(there.credentials(Kind.MASTER, there.root))
        plain = await there.listen(None)
        another = await there.listen(there.credentials(Kind.FRAMEWORK, there.root))
        stranger = there.credentials(Kind.AGENT, make_root("prod", there.now_s))
        nobody = HostPort("127.0.0.1", 1)
        assert "nothing listens there" in await said(nobody, None)
        assert "nothing listens there" in await said(nobody, there.agent)
        assert "give this process its own with --tls" in await said(secure, None)
        assert "knows no certificates, and this process has --tls" in await said(plain, there.agent)
        assert "is it of another cluster?" in await said(secure, stranger)
        assert "a certificate of something else" in await said(another, there.agent)
    finally:
        await there.close()


def test_what_a_peer_says_of_itself_is_no_connection_that_failed() -> None:
    for message in ("Socket closed", "the leader hangs: Connection refused", ""):
        assert describe(CallError(Code.UNAVAILABLE, message)) == "not reachable"


async def test_a_session_that_cancels_its_own_call(roles: Roles) -> None:
    master = parse_host_port(roles.master().address)
    sessions = 0
    enough = asyncio.Event()

    async def session(channel: Channel, address: HostPort) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 3:
            enough.set()
        call = channel.stream(CONNECT)
        info = pb.FrameworkInfo(name="f")
        subscribe = spb.Call.Subscribe(framework_info=info)
        await call.write(spb.CallBatch(call=[spb.Call(subscribe=subscribe)]))
        while await call.read() is not None:
            asyncio.get_running_loop().call_later(0.05, call.cancel)

    following = asyncio.create_task(
        follow(StandaloneDetector([master]), session, OUTSIDE.backoff(0.01, 0.05), OUTSIDE.dial)
    )
    async with asyncio.timeout(20):
        await enough.wait()
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
