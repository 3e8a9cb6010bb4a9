"""Events over HTTP on loopback: the slots of streams, who does not read, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession

from pymesos_core import http_listening
from pymesos_core.serving import make_gate
from pymesos_master.core import Config
from pymesos_master.core import effects as fx
from pymesos_master.http import events as http_events
from pymesos_master.http import server as http_server
from pymesos_master.http import streams as http_streams
from pymesos_master.http.server import HttpServer
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.event_page import EventPage
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    closed_answering,
    leadership_of,
    open_answering,
)
from pymesos_testing.http_serving import LISTEN, Closed, running
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.waiting import until


@pytest.fixture
def leadership() -> Leadership:
    return leadership_of(a_bit_of_everything())


@pytest.fixture
async def server(leadership: Leadership) -> HttpServer:
    return HttpServer(open_answering(leadership), LISTEN, None)


def publish(leadership: Leadership, message: str = "") -> None:
    event = fx.PublishEvent(1.0, ClusterEvent.WEIGHT_SET, message=message)
    leadership.here().watching.publish(event)


class Reading:
    """A page that reads a stream."""

    def __init__(self, answer: ClientResponse, page: EventPage) -> None:
        self.page = page
        self.ended = False
        self._answer = answer
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for part in self._answer.content.iter_any():
            self.page.feed(part)
        self.ended = True

    async def heard(self, kind: str) -> Any:
        """The first event of a type, once it has come."""

        def found() -> list[Any]:
            return [said for _, one, said in self.page.heard if one == kind]

        await until(kind, found)
        return found()[0]

    def close(self) -> None:
        self._reading.cancel()
        self._answer.close()


@asynccontextmanager
async def watching(
    url: str, page: EventPage | None = None, query: str = "", **more: Any
) -> AsyncIterator[Reading]:
    page = page or EventPage()
    headers = {"Last-Event-ID": page.last_event_id} if page.last_event_id else {}
    async with ClientSession(url) as session:
        answer = await session.get(f"/v1/events{query}", headers=headers, **more)
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        page.connected()
        reading = Reading(answer, page)
        try:
            yield reading
        finally:
            reading.close()


async def test_a_page_that_comes_back_goes_on(server: HttpServer, leadership: Leadership) -> None:
    page = EventPage()
    async with running(server) as url:
        async with watching(url, page) as reading:
            await reading.heard("complete")
            publish(leadership, "one")
            await reading.heard("message")
            await until("one", lambda: page.kinds()[-1] == "weight_set")
        assert page.last_event_id == "7-1" and {"agent_present", "task_present"} <= set(
            page.kinds()
        )
        heard = len(page.heard)
        publish(leadership, "two")
        async with watching(url, page, "?cursor=6-1"):
            await until("two", lambda: len(page.heard) > heard)
        ((number, kind, said),) = page.heard[heard:]
        assert (number, kind, said["message"]) == ("7-2", "message", "two")


async def test_one_that_goes_on_where_nothing_happens_is_opened_and_kept(
    server: HttpServer, leadership: Leadership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_streams, "OPENING_S", 0.01)
    monkeypatch.setattr(http_streams, "IDLE_S", 0.05)
    async with running(server) as url:
        async with watching(url) as reading:
            await reading.heard("complete")
        async with watching(url, EventPage("7-0")) as reading:
            await until("it is kept up", lambda: reading.page.comments >= 2)
            assert not reading.page.heard


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?cursor=x", 400, "EPOCH-SEQUENCE"),
        ("?kind=x", 400, "expected is one of"),
        ("?role=a%20b", 400, "white space"),
    ],
)
async def test_what_is_refused_has_a_status(
    server: HttpServer, query: str, status: int, words: str
) -> None:
    async with running(server) as url, ClientSession(url) as session:
        async with session.get(f"/v1/events{query}") as answer:
            assert answer.status == status and answer.content_type == "application/json"
            assert words in (await answer.json())["error"]["message"]
        async with session.head("/v1/events") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET")


async def test_streams_take_slots_of_their_own(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_streams, "MOST_STREAMS_OF_ONE", 3)
    monkeypatch.setattr(http_server, "MOST_ANSWERS", 1)
    monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 1)
    async with running(server) as url, contextlib.AsyncExitStack() as stack:
        readings = [await stack.enter_async_context(watching(url)) for _ in range(3)]
        for reading in readings:
            await reading.heard("complete")
        async with ClientSession(url) as session:
            async with session.get("/v1/agents") as answer:
                assert answer.status == 200
            async with session.get("/v1/events") as answer:
                assert answer.status == 429
                assert "3 streams open" in (await answer.json())["error"]["message"]
        readings[0].close()
        await until("its slot is free", lambda: len(server._streams) == 2)
        async with watching(url) as again:
            await again.heard("complete")
            assert not any(reading.ended for reading in readings[1:])


async def test_who_reads_a_stream_keeps_a_connection_to_ask_by(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else 200 pages that ask every few seconds have to connect for each question."""
    async with running(server) as url, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            reading = await stack.enter_async_context(watching(url))
            await reading.heard("complete")
        monkeypatch.setattr(http_listening, "MOST_CONNECTIONS", 0)
        host, _, port = url.partition("//")[2].rpartition(":")
        asking = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        assert await asking[0][0].read() == b"", "each stream has one"
        for reader, writer in asking[1:]:
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await asyncio.wait_for(reader.readline(), 20) == b"HTTP/1.1 200 OK\r\n"
        for _, writer in asking:
            writer.close()


async def test_who_does_not_read_is_ended(
    server: HttpServer, leadership: Leadership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_streams, "SENDING_S", 0.3)
    monkeypatch.setattr(http_events, "PACE_S", 0.0)  # so that much is sent soon
    async with running(server) as url:
        host, _, port = url.partition("//")[2].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await until("it is open", lambda: len(server._streams) == 1)

        def flooded() -> bool:
            for _ in range(100):
                publish(leadership, "a" * 10_000)
            return not len(server._streams)

        await until("it is ended", flooded)
        writer.transport.abort()
        async with watching(url) as reading:
            await reading.heard("complete")


async def test_the_end_of_a_leader_ends_them(server: HttpServer, leadership: Leadership) -> None:
    async with running(server) as url, watching(url) as reading:
        await reading.heard("complete")
        leadership.here().watching.close()
        said = await reading.heard("end")
        assert (
            said["error"]["code"] == "UNAVAILABLE" and "leads no more" in said["error"]["message"]
        )
        await until("it is closed", lambda: reading.ended)
        assert not len(server._streams)


async def test_they_end_with_the_server(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "STOP_GRACE_S", 1000.0)  # which is not waited for
    async with running(server) as url:
        opened = watching(url)
        reading = await opened.__aenter__()
        await reading.heard("complete")
    assert (await reading.heard("end"))["error"][
        "message"
    ] == "this master ends; connect to another"
    await until("it is closed", lambda: reading.ended)
    await opened.__aexit__(None, None, None)


@pytest.fixture
def closed(tmp_path: Path) -> Closed:
    return Closed(tmp_path)


def closed_server(closed: Closed, h: MasterHarness) -> tuple[HttpServer, Leadership]:
    leadership = leadership_of(h)
    answering = closed_answering(leadership, make_gate(closed.credentials))
    return HttpServer(answering, LISTEN, closed.credentials), leadership


def as_alice(closed: Closed) -> dict[str, Any]:
    name = "m1.master.prod.pymesos"
    return {"ssl": closed.context("operator/alice"), "server_hostname": name}


async def test_who_is_revoked_hears_no_more(closed: Closed) -> None:
    server, _ = closed_server(closed, a_bit_of_everything())
    async with running(server) as url, watching(url, **as_alice(closed)) as reading:
        await reading.heard("complete")
        closed.credentials.revocations.set(["operator/bob"])
        assert not reading.ended
        closed.credentials.revocations.set(["operator/alice"])
        said = (await reading.heard("end"))["error"]
        assert said["code"] == "UNAUTHENTICATED" and "operator/alice is revoked" in said["message"]
        await until("it is closed", lambda: reading.ended)


async def test_whom_the_policy_does_not_let_read_hears_no_more(closed: Closed) -> None:
    allow = "allow:\n- {who: operator/alice, do: [read], role: '**'}\n"
    h = MasterHarness(Config(seed_policy=allow))
    server, leadership = closed_server(closed, h)
    async with running(server) as url, watching(url, **as_alice(closed)) as reading:
        await reading.heard("complete")
        state = h.core.state
        state.policy = MasterHarness(
            Config(seed_policy=allow.replace("alice", "x"))
        ).core.state.policy
        publish(leadership)
        said = (await reading.heard("end"))["error"]
        assert said["code"] == "PERMISSION_DENIED" and "operator/alice may not" in said["message"]
