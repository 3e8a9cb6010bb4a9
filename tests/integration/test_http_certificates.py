"""The HTTP server in a cluster with certificates: who is let in, and what that may cost."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ServerDisconnectedError

from pymesos_core.caller import Caller, Method
from pymesos_core.security.gate import Authentication
from pymesos_core.security.server_tls import BUFFER_BYTES, authentication_of
from pymesos_master.http import server as http_server
from pymesos_master.http.server import HttpServer
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    leadership_of,
    open_answering,
)
from pymesos_testing.http_connections import POST, WEIGHT, say
from pymesos_testing.http_masters import Cluster
from pymesos_testing.http_serving import LISTEN, Closed, running
from pymesos_testing.waiting import until


@pytest.fixture
async def url() -> AsyncIterator[str]:
    answering = open_answering(leadership_of(a_bit_of_everything()))
    async with running(HttpServer(answering, LISTEN, None)) as url:
        yield url


@pytest.fixture
def closed(tmp_path: Path) -> Closed:
    return Closed(tmp_path)


async def test_who_has_a_certificate_is_known_by_it(closed: Closed) -> None:
    async with running(closed.server()) as url:
        assert url.startswith("https://127.0.0.1:")
        status, said = await closed.get(url, "/v1/agents", closed.context("operator/alice"))
        assert status == 200 and len(said["agents"]) == 2
        status, said = await closed.get(url, "/v1/agents", closed.context("agent/a"))
        assert status == 403
        assert "agent/a may not call pymesos.v1.Operator" in said["error"]["message"]
        assert (await closed.get(url, "/health", closed.context()))[0] == 200
        assert (await closed.get(url, "/v1/agents", closed.context()))[0] == 401


@pytest.mark.parametrize("where", ["leader", "follower"])
async def test_who_shows_an_access_token_needs_no_certificate(closed: Closed, where: str) -> None:
    def gate(method: str, peer: str, authentication: Authentication) -> Caller:
        return Caller("operator/alice", Method.CERT, "1", peer)

    cluster = Cluster(gate)
    headers = await cluster.make_token({"peer_uri": [b"x"]}, "quota:eng")
    server = HttpServer(getattr(cluster, where), LISTEN, closed.credentials)
    tls: Any = {"ssl": closed.context(), "server_hostname": "m1.master.prod.pymesos"}
    async with running(server) as url, ClientSession(url, headers=headers) as session:
        async with session.get("/v1/whoami", **tls) as answer:
            assert (await answer.json())["principal"] == "operator/alice"
        weight = {"role": "eng", "weight": 2}
        async with session.post("/v1/weights/set", json=weight, **tls) as answer:
            assert answer.status == 200
        cluster.h.advance(61)
        async with session.post("/v1/weights/set", json=weight, **tls) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (
                401, 'Bearer realm="pymesos"',
            )  # fmt: skip


NO_TLS = b"\x16GET /health HTTP/1.1\r\n\r\n"  # after a first byte as that of TLS


async def test_who_is_of_another_cluster_is_not_let_in(closed: Closed, tmp_path: Path) -> None:
    stranger = Closed(tmp_path / "other").issue("operator/alice")
    context = closed.context()
    context.load_cert_chain(stranger / "cert.pem", stranger / "key.pem")
    async with running(closed.server()) as url:
        with pytest.raises((ServerDisconnectedError, OSError)):
            await closed.get(url, "/health", context)
        assert b"HTTP" not in await say(url, NO_TLS)


async def test_who_speaks_http_to_it_is_told_to_speak_https(closed: Closed) -> None:
    async with running(closed.server()) as url:
        said = await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 400 ") and b"Content-Type: application/json" in said
        assert f"ask with https:// instead of http://, as {url}".encode() in said
        assert await say(url, b"") == b""


async def test_a_connection_takes_little_memory(closed: Closed) -> None:
    """asyncio would take a buffer of 256 KiB for each, which is most of what one costs."""
    async with running(closed.server()) as url, ClientSession(url) as session:
        name = "m1.master.prod.pymesos"
        async with session.get("/health", ssl=closed.context(), server_hostname=name) as answer:
            assert answer.status == 200
            buffers = [
                len(vars(one)["_ssl_buffer"])
                for one in gc.get_objects()
                if isinstance(one, SSLProtocol)
            ]
            assert buffers and set(buffers) == {BUFFER_BYTES}


async def test_who_speaks_no_tls_leaves_no_memory_taken(closed: Closed) -> None:
    """A master seldom collects garbage, and each connection has taken 256 KiB."""

    def left() -> int:
        return sum(isinstance(one, SSLProtocol) for one in gc.get_objects())

    async with running(closed.server()) as url:
        gc.collect()
        gc.disable()
        try:
            before = left()
            for _ in range(5):
                assert b"HTTP" not in await say(url, NO_TLS)
            await until("nothing is left", lambda: left() == before)
        finally:
            gc.enable()


@pytest.mark.parametrize(
    "name",
    [
        lambda closed: "operator/alice",
        lambda closed: f"{closed.signing.certificate.serial_number:x}",
    ],
    ids=["principal", "authority"],
)
async def test_who_is_revoked_is_not_let_in(closed: Closed, name: Callable[[Closed], str]) -> None:
    context = closed.context("operator/alice")
    async with running(closed.server()) as url:
        assert (await closed.get(url, "/v1/agents", context))[0] == 200
        closed.credentials.revocations.set([name(closed)])
        status, said = await closed.get(url, "/v1/agents", context)
        assert status == 401 and "revoked" in said["error"]["message"]


async def test_who_is_revoked_while_his_body_comes_changes_nothing(closed: Closed) -> None:
    context = closed.context("operator/alice")
    context.check_hostname = False
    async with running(closed.server()) as url:
        host, _, port = url.partition("//")[2].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(WEIGHT))
        assert b" 100 " in await asyncio.wait_for(reader.readline(), 20), "he is let in"
        await reader.readline()
        closed.credentials.revocations.set(["operator/alice"])
        writer.write(WEIGHT)
        assert b" 401 " in await asyncio.wait_for(reader.readline(), 20)
        writer.close()


async def test_whom_the_gate_refuses_waits_for_no_slot(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "MOST_ANSWERS", 0)
    async with running(closed.server()) as url:
        assert (await closed.get(url, "/v1/agents", closed.context()))[0] == 401
        assert (await closed.get(url, "/v1/agents", closed.context("agent/a")))[0] == 403
        who = closed.context("operator/alice")
        assert (await closed.get(url, "/v1/nothing", who))[0] == 404


async def test_no_session_is_resumed(closed: Closed) -> None:
    """Who comes again would be known by a certificate that nobody verifies any more."""
    context = closed.context("operator/alice")
    context.check_hostname = False

    def ask(url: str, session: ssl.SSLSession | None = None) -> tuple[bool, ssl.SSLSession | None]:
        host, _, port = url.partition("//")[2].rpartition(":")
        with (
            socket.create_connection((host, int(port)), 20) as plain,
            context.wrap_socket(plain, session=session) as connection,
        ):
            connection.sendall(b"GET /v1/agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b" 200 " in connection.makefile("rb").readline()
            return bool(connection.session_reused), connection.session

    async with running(closed.server()) as url:
        _, session = await asyncio.to_thread(ask, url)
        assert not (await asyncio.to_thread(ask, url, session))[0]
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):  # there is no version that both speak
            await asyncio.to_thread(ask, url)


@pytest.mark.parametrize("chain", [None, []], ids=["before Python 3.13", "from 3.13 on"])
def test_of_a_session_that_is_resumed_nobody_is_known(chain: Any) -> None:
    class Resumed:
        _sslobj = SimpleNamespace(get_verified_chain=lambda: chain)

        def getpeercert(self, binary_form: bool = False) -> Any:
            uri = "spiffe://prod/operator/a"
            return b"leaf" if binary_form else {"subjectAltName": (("URI", uri),)}

    resumed = Resumed()
    if chain is not None:
        resumed.get_verified_chain = lambda: chain  # type: ignore[attr-defined]
    assert authentication_of(cast(Any, resumed)) == {}


async def test_a_renewed_certificate_is_shown(closed: Closed) -> None:
    async def shown(url: str) -> bytes:
        host, _, port = url.partition("//")[2].rpartition(":")
        context = closed.context()
        context.check_hostname = False  # and no name of the server is sent
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        try:
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            assert isinstance(found, bytes)
            return found
        finally:
            writer.close()

    async with running(closed.server()) as url:
        before = await shown(url)
        assert await shown(url) == before
        closed.issue("master/m1")
        after = await shown(url)
        assert after not in (before, b"") and await shown(url) == after
        assert (await closed.get(url, "/v1/agents", closed.context("operator/a")))[0] == 200
