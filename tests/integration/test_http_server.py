"""The HTTP server on loopback: what connections may take, certificates, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, ServerDisconnectedError

from pymesos_core import http_listening
from pymesos_core.caller import Caller
from pymesos_core.serving import Listen, ServingError
from pymesos_master.http import server as http_server
from pymesos_master.http.answering import Admitted, Answer, Answering, Request
from pymesos_master.http.asking import NOTHING
from pymesos_master.http.routes import ROUTES
from pymesos_master.http.server import HttpServer
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    leadership_of,
    open_answering,
)
from pymesos_testing.http_connections import POST, WEIGHT, connect, say
from pymesos_testing.http_serving import LISTEN, running
from pymesos_testing.waiting import until


@pytest.fixture
async def url() -> AsyncIterator[str]:
    answering = open_answering(leadership_of(a_bit_of_everything()))
    async with running(HttpServer(answering, LISTEN, None)) as url:
        yield url


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The first line of what is answered on an open connection; empty: it was closed."""
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    return await asyncio.wait_for(reader.readline(), 20)


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
        for accept, kind in (("text/html", "text/html"), ("*/*", "application/json")):
            async with session.get("/agent", headers={"Accept": accept}) as answer:
                assert (answer.status, answer.content_type) == (404, kind)


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


def with_length(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(*parts: bytes) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks


async def test_a_body_is_read(url: str) -> None:
    async with ClientSession(url) as session:
        body = {"role": "eng", "weight": 3}
        async with session.post("/v1/weights/set", json=body, expect100=True) as answer:
            assert (answer.status, await answer.json()) == (200, {})
        async with session.get("/v1/weights") as answer:
            assert body in (await answer.json())["weights"]
    reader, writer = await connect(url)
    # Two on one connection: what is behind a body is the next request.
    writer.write(with_length(WEIGHT) + in_chunks(WEIGHT[:5], WEIGHT[5:]))
    writer.write(b"GET /v1/weights HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    said = await asyncio.wait_for(reader.read(), 20)
    assert said.count(b"HTTP/1.1 200") == 3 and b'"weight": 4' in said, said
    writer.close()


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (POST + b"Content-Length: 1000000000\r\n\r\n" + b"a" * 100_000, b"413", b"than 16384"),
        (in_chunks(b"a" * 16_000, b"a" * 16_000), b"413", b"more than 16384 bytes"),
        (POST + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", b"415", b"as it is"),
        (with_length(b""), b"400", b"the body is not one JSON object"),
        (POST + b"\r\n", b"400", b"the body is not one JSON object"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nno\r\n", b"400", b""),
    ],
    ids=["length", "chunks", "encoding", "empty", "none", "no chunk"],
)
async def test_a_body_that_is_not_taken(
    url: str, sent: bytes, status: bytes, words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_listening, "SILENCE_S", 1.0)  # until one that came whole is hung up on
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = await say(url, sent + (last if status == b"400" else b""))
    assert said.split(b" ", 2)[1] == status and words in said, said


async def test_a_body_that_does_not_come(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it but who sends it, and he not for long."""
    monkeypatch.setattr(http_server, "MOST_ANSWERS", 1)
    _, writer = await connect(url)
    writer.write(POST + b"Content-Length: 9\r\n\r\n{")
    async with ClientSession(url) as session, session.get("/v1/agents") as answer:
        assert answer.status == 200
    writer.close()
    monkeypatch.setattr(http_server, "SILENCE_S", 0.3)
    said = await say(url, POST + b"Content-Length: 9\r\n\r\n{")
    assert b" 408 " in said.splitlines()[0] and b"the body has not come" in said


async def test_who_is_slow_is_hung_up_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listening, "SILENCE_S", 0.3)
    assert await say(url, b"") == b""
    assert await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\nA: ") == b""
    answered = await say(url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b'{"status": "leading"}' in answered, "and then silence ends it, too"


async def test_the_silent_make_room(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 3)
    silent = [await connect(url) for _ in range(3)]
    async with ClientSession(url) as session:
        for _ in range(2):
            async with session.get("/health") as answer:
                assert answer.status == 200
        assert await silent[0][0].read() == b"", "it had been silent for longest"
        for reader, writer in silent[1:]:
            assert await answered(reader, writer), "only one had to go"
    for _, writer in silent:
        writer.close()


async def test_the_address_that_has_most_connections_makes_room(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 3)
    other = await connect(url, "127.0.0.2")
    many = [await connect(url) for _ in range(3)]
    assert await many[0][0].read() == b""
    for reader, writer in (other, *many[1:]):
        assert await answered(reader, writer)
    for _, writer in (other, *many):
        writer.close()


class Held(Answering):
    """Answers when it is let."""

    def __init__(self, body: bytes = b"{}") -> None:
        self.asked, self.let = asyncio.Semaphore(0), asyncio.Event()
        self.came = self.ended = 0
        self.targets: list[str] = []  # of those whose answers were begun
        self._body = body

    def admit(self, request: Request) -> Admitted:
        self.came += 1
        route = next(route for route in ROUTES if route.path == request.target)
        return Admitted(route, NOTHING, Caller(peer=request.peer))

    async def answer(self, admitted: Admitted, body: bytes = b"") -> Answer:
        self.targets.append(admitted.route.path)
        self.asked.release()
        try:
            await self.let.wait()
        finally:
            self.ended += 1
        return Answer(200, self._body)


@pytest.mark.parametrize(
    ("path", "waits_for"), [("/v1/agents", "MOST_OF_ONE"), ("/v1/agents", "MOST_ANSWERS"),
    ("/health", "MOST_OF_ONE")]
)  # fmt: skip
async def test_who_has_no_slot_makes_room(
    monkeypatch: pytest.MonkeyPatch, path: str, waits_for: str
) -> None:
    """Who only waits for one, or needs none, takes HTTP from nobody."""
    monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(http_server, waits_for, 0)
    held = Held()
    async with running(HttpServer(held, LISTEN, None)) as url, ClientSession(url) as session:
        waiting = [await connect(url) for _ in range(3)]
        for _, writer in waiting:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await until("all wait", lambda: held.came == 3)
        healthy = asyncio.ensure_future(session.get("/health"))
        assert await waiting[0][0].read() == b""
        held.let.set()
        assert (await healthy).status == 200
        for _, writer in waiting:
            writer.close()


@pytest.mark.parametrize("most_of_one", [0, 1], ids=["it waits for a slot", "it has one"])
async def test_a_request_ends_with_its_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, most_of_one: int
) -> None:
    monkeypatch.setattr(http_server, "MOST_OF_ONE", most_of_one)

    def requests() -> list[Any]:
        return [task for task in asyncio.all_tasks() if "_handle_request" in repr(task)]

    held = Held()
    async with running(HttpServer(held, LISTEN, None)) as url:
        _, writer = await connect(url)
        writer.write(b"GET /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n")
        await until("it came", lambda: held.came == 1 and requests())
        await until("it is answered", lambda: len(held.targets) == most_of_one)
        writer.transport.abort()
        await until("it ends", lambda: not requests())
        assert held.ended == most_of_one
    assert not caplog.records


async def test_who_hangs_up_before_he_is_answered_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As where the kernel says so before asyncio does."""

    class HungUp(Held):
        async def answer(self, admitted: Admitted, body: bytes = b"") -> Answer:
            self.targets.append(admitted.route.path)
            for connection in server._manager.connections:
                assert connection.transport is not None
                connection.transport.abort()
            return Answer(200, b"{}")

    hung_up = HungUp()
    server = HttpServer(hung_up, LISTEN, None)
    async with running(server) as url:
        assert await say(url, b"GET /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        assert hung_up.targets
    assert not caplog.records


async def test_who_does_not_read_his_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "SENDING_S", 0.1)
    monkeypatch.setattr(http_server, "MOST_ANSWERS", 1)
    large = Held(b"a" * 50_000_000)
    large.let.set()
    async with running(HttpServer(large, LISTEN, None)) as url:
        readers = [await connect(url) for _ in range(2)]
        for _, writer in readers:  # the second has the slot of the first once that has gone
            writer.write(b"GET /v1/agents HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, writer in readers:
            await until("he has been hung up on", lambda: len(large.targets) == 2)
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read()) < 50_000_000
            writer.close()


@pytest.mark.parametrize("upgrade", [b"", b"Connection: Upgrade\r\nUpgrade: a\r\n"])
async def test_no_more_is_taken_in_while_a_request_waits(upgrade: bytes) -> None:
    held = Held()
    server = HttpServer(held, LISTEN, None)
    async with running(server) as url:
        _, writer = await connect(url)
        one = b"GET /v1/agents HTTP/1.1\r\nHost: x\r\n"
        writer.write(one + upgrade + b"\r\n" + (one + b"\r\n") * 100_000)
        await held.asked.acquire()
        (connection,) = server._manager.connections
        transport = connection.transport
        assert isinstance(transport, asyncio.ReadTransport)
        await until("it reads no more", lambda: not transport.is_reading())
        writer.transport.abort()


async def test_whom_it_answers_makes_no_room_and_few_are_answered_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 2)
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
    """A client that does not read its answers keeps nobody else waiting."""
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


async def test_frameworks_that_are_slow_keep_nobody_waiting_who_asks_the_master(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "MOST_OF_ONE", 100)
    held = Held()
    async with running(HttpServer(held, LISTEN, None)) as url, ClientSession(url) as session:
        number = http_server.MOST_ELSEWHERE
        asked = [asyncio.ensure_future(session.get("/v1/jobs")) for _ in range(number + 1)]
        for _ in range(number):
            await held.asked.acquire()
        asked.append(asyncio.ensure_future(session.get("/v1/agents")))
        await held.asked.acquire()
        assert held.targets == ["/v1/jobs"] * number + ["/v1/agents"]
        held.let.set()
        assert {(await one).status for one in asked} == {200}


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
