"""The HTTP server on loopback: what connections may take, certificates, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import ssl
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, ServerDisconnectedError

from pymesos_core.security.authority import certificate_pem, make_root
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue
from pymesos_core.serving import Listen, ServingError, make_gate
from pymesos_master.http import server as http_server
from pymesos_master.http.answering import Answer, Answering, Request
from pymesos_master.http.server import HttpServer
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    leadership_of,
    open_answering,
    operators_of,
)
from pymesos_testing.waiting import until

LISTEN = Listen("127.0.0.1", 0, None, None)


@asynccontextmanager
async def running(server: HttpServer) -> AsyncIterator[str]:
    serving = asyncio.ensure_future(server.run())
    try:
        yield server.url
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(serving, 20)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    answering = open_answering(leadership_of(a_bit_of_everything()))
    async with running(HttpServer(answering, LISTEN, None)) as url:
        yield url


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.partition("//")[2].rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def say(url: str, sent: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    reader, writer = await connect(url)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_it_answers(url: str) -> None:
    async with ClientSession(url) as session:
        async with session.get("/v1/agents") as answer:
            assert (answer.status, answer.content_type) == (200, "application/json")
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "pymesos"
            assert len((await answer.json())["agents"]) == 2
        async with session.head("/v1/agents") as answer:
            assert answer.status == 200 and not await answer.read()
        async with session.post("/v1/agents", json={}) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 99 + b"\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
    ids=["header", "headers", "line", "no HTTP", "two lengths"],
)
async def test_what_is_too_large_or_no_http_is_refused(url: str, sent: bytes) -> None:
    head, _, body = (await say(url, sent)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") and b" 400 " in head.splitlines()[0], head
    assert json.loads(body)["error"]["code"] == "INVALID_ARGUMENT"


async def test_a_body_is_refused_before_it_has_come(url: str) -> None:
    head = b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    assert b"no body is expected" in await say(url, head + b"a" * 100_000)


async def test_who_is_slow_is_hung_up_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "SILENCE_S", 0.3)
    assert await say(url, b"") == b""
    assert await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\nA: ") == b""
    answered = await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b'{"status": "leading"}' in answered, "and then silence ends it, too"


async def test_the_silent_make_room(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 3)
    silent = [await connect(url) for _ in range(3)]
    async with ClientSession(url) as session:
        for _ in range(2):
            async with session.get("/health") as answer:
                assert answer.status == 200
        assert await silent[0][0].read() == b"", "it had been silent for longest"
        for reader, _ in silent[1:]:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.05)
    for _, writer in silent:
        writer.close()


class Held(Answering):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.let = asyncio.Semaphore(0), asyncio.Event()
        self.targets: list[str] = []

    async def answer(self, request: Request) -> Answer:
        self.targets.append(request.target)
        self.asked.release()
        await self.let.wait()
        return Answer(200, b"{}")


async def test_whom_it_answers_makes_no_room_and_few_are_answered_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 2)
    held = Held()
    async with running(HttpServer(held, LISTEN, None)) as url, ClientSession(url) as session:
        asked = [asyncio.ensure_future(session.get("/v1/agents")) for _ in range(2)]
        for _ in asked:
            await held.asked.acquire()
        with pytest.raises((ServerDisconnectedError, OSError)):
            await session.get("/health")
        held.let.set()
        assert [(await one).status for one in asked] == [200, 200]


async def test_one_is_answered_some_at_a_time_and_health_meanwhile() -> None:
    """So who does not read keeps others from nothing."""
    held = Held()
    async with running(HttpServer(held, LISTEN, None)) as url, ClientSession(url) as session:
        asked = [asyncio.ensure_future(session.get("/v1/agents")) for _ in range(5)]
        for _ in range(http_server.MOST_OF_ONE):
            await held.asked.acquire()
        healthy = asyncio.ensure_future(session.get("/health"))
        await held.asked.acquire()
        assert held.targets == ["/v1/agents"] * http_server.MOST_OF_ONE + ["/health"]
        held.let.set()
        assert [(await one).status for one in (healthy, *asked)] == [200] * 6


async def test_it_ends_with_what_is_open() -> None:
    held = Held()
    server = HttpServer(held, LISTEN, None)
    async with ClientSession(server.url) as session:
        async with running(server):
            reader, writer = await connect(server.url)
            asked = asyncio.ensure_future(session.get("/v1/agents"))
            await held.asked.acquire()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises((ServerDisconnectedError, OSError)):
            await asked
        with pytest.raises(ClientConnectorError):
            await session.get("/health")


async def test_a_port_that_is_taken(url: str) -> None:
    port = int(url.rpartition(":")[2])
    with pytest.raises(ServingError, match="choose another port with --http-port, or --no-http"):
        HttpServer(Held(), Listen("127.0.0.1", port, None, None), None)


class Closed:
    """A cluster with certificates, and clients with and without them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = make_root("prod", time.time())
        self.signing = self.root.make_intermediate("m1", time.time())
        self.credentials = Credentials(self.issue("master/m1"))

    def issue(self, principal: str) -> Path:
        folder, to = self.folder / principal.replace("/", "-"), read_principal("prod", principal)
        roots = certificate_pem(self.root.certificate)
        issue(folder, to, self.signing, roots, 600, time.time())
        return folder

    def server(self) -> HttpServer:
        gate = make_gate(self.credentials)
        operators = operators_of(leadership_of(a_bit_of_everything()))
        return HttpServer(Answering(operators, gate, closed=True), LISTEN, self.credentials)

    def context(self, principal: str = "") -> ssl.SSLContext:
        """What a client of the cluster has; none named: no certificate."""
        context = ssl.create_default_context(cadata=self.credentials.current().roots.decode())
        if principal:
            folder = self.issue(principal)
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    async def get(self, url: str, path: str, context: ssl.SSLContext) -> tuple[int, Any]:
        async with ClientSession(url) as session:
            name = "m1.master.prod.pymesos"
            async with session.get(path, ssl=context, server_hostname=name) as answer:
                return answer.status, await answer.json()


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


async def test_who_is_of_another_cluster_is_not_let_in(closed: Closed, tmp_path: Path) -> None:
    stranger = Closed(tmp_path / "other").issue("operator/alice")
    context = closed.context()
    context.load_cert_chain(stranger / "cert.pem", stranger / "key.pem")
    async with running(closed.server()) as url:
        with pytest.raises((ServerDisconnectedError, OSError)):
            await closed.get(url, "/health", context)
        assert b"HTTP" not in await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_who_speaks_no_tls_leaves_no_memory_taken(closed: Closed) -> None:
    """Of a master garbage is seldom collected, and each connection has taken 256 KiB."""

    def left() -> int:
        return sum(isinstance(one, SSLProtocol) for one in gc.get_objects())

    async with running(closed.server()) as url:
        gc.collect()
        gc.disable()
        try:
            before = left()
            for _ in range(5):
                assert b"HTTP" not in await say(url, b"GET /health HTTP/1.1\r\n\r\n")
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
