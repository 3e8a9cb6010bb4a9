"""Clients that send what no browser would: headers that are no text, and odd WebSockets."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from pymesos_master.http.answering import Admitted, Answering
from pymesos_master.http.exec import MAX_MESSAGE_BYTES
from pymesos_master.http.server import HttpServer
from pymesos_testing.http_cluster import a_bit_of_everything, leadership_of, open_answering
from pymesos_testing.http_serving import LISTEN, running

LEADER = b"GET /v1/leader HTTP/1.1\r\nHost: 127.0.0.1\r\n"
LAST = LEADER + b"Connection: close\r\n\r\n"
EXEC = b"GET /v1/tasks/t/exec HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HANDSHAKE = {
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": b"MDAwMDAwMDAwMDAwMDAwMA==",
    b"Sec-WebSocket-Version": b"13",
}
PROTOCOL, NO_TEXT, TOO_LARGE = 1002, 1007, 1009


class Echo:
    """Says what it is told, as a command in a task might."""

    async def go_on(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await socket.send_str(str(len(message.data)))


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    def talk(_answering: Answering, _admitted: Admitted) -> Any:
        return Echo()

    monkeypatch.setattr(Answering, "talk", talk)
    answering = open_answering(leadership_of(a_bit_of_everything()))
    async with running(HttpServer(answering, LISTEN, None)) as url:
        yield url


async def say(url: str, *sent: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    host, _, port = url.partition("//")[2].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def with_headers(line: bytes, headers: dict[bytes, bytes]) -> bytes:
    return line + b"".join(b"%b: %b\r\n" % pair for pair in headers.items()) + b"\r\n"


@pytest.mark.parametrize("value", [b"\xff", b"\xe2\x80\xae"], ids=["no UTF-8", "no ASCII"])
@pytest.mark.parametrize("name", HANDSHAKE)
async def test_a_handshake_that_is_no_text_is_none(
    url: str, caplog: pytest.LogCaptureFixture, name: bytes, value: bytes
) -> None:
    said = await say(url, with_headers(EXEC, HANDSHAKE | {name: value}), LAST)
    assert said.split(b" ")[1] in (b"400", b"426"), said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_cursor_that_is_no_text_is_none(url: str, caplog: pytest.LogCaptureFixture) -> None:
    events = b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    said = await say(url, with_headers(events, {b"Last-Event-ID": b"\xff"}))
    assert said.startswith(b"HTTP/1.1 400 ") and b"is no cursor" in said
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_who_would_speak_something_else_is_answered_and_hung_up_on(url: str) -> None:
    """What is behind such a request would not be read, and who sent it would wait for it."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n"
    said = await say(url, LEADER + upgrade)
    assert said.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in said


async def test_a_handshake_tells_no_more_of_us_than_other_answers(url: str) -> None:
    said = await say(url, with_headers(EXEC, HANDSHAKE), frame(8))
    head = said.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 101 ") and b"Server: pymesos\r\n" in head + b"\r\n"
    assert b"Python" not in head


def frame(
    kind: int, data: bytes = b"", *, last: bool = True, bits: int = 0, size: int = -1
) -> bytes:
    """A frame of a client, masked by zeros; `size` is what it says of itself."""
    size = len(data) if size < 0 else size
    first = bytes([(0x80 if last else 0) | bits | kind])
    if size < 126:
        return first + bytes([0x80 | size]) + bytes(4) + data
    return first + bytes([0x80 | 127]) + struct.pack(">Q", size) + bytes(4) + data


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (frame(1, b"x", bits=0x40), PROTOCOL),
        (frame(3, b"x"), PROTOCOL),
        (frame(0, b"x"), PROTOCOL),
        (frame(1, b"x", last=False) + frame(1, b"y"), PROTOCOL),
        (frame(9, b"x" * 126), PROTOCOL),
        (frame(9, b"x", last=False), PROTOCOL),
        (frame(8, b"\x03"), PROTOCOL),
        (frame(8, struct.pack(">H", 1005)), PROTOCOL),
        (frame(1, b"\xff"), NO_TEXT),
        (frame(1, b"\xc3", last=False) + frame(0), NO_TEXT),
        (frame(8, struct.pack(">H", 1000) + b"\xff"), NO_TEXT),
        (frame(1, b"x", size=1 << 40), TOO_LARGE),
        (frame(2, b"x" * (MAX_MESSAGE_BYTES + 1)), TOO_LARGE),
        (frame(1, last=False) + frame(0, b"x" * 1024, last=False) * 65, TOO_LARGE),
    ],
)  # fmt: skip
async def test_what_is_no_frame_ends_it_with_its_code(url: str, frames: bytes, code: int) -> None:
    said = await say(url, with_headers(EXEC, HANDSHAKE), frames)
    assert said.partition(b"\r\n\r\n")[2] == b"\x88\x02" + struct.pack(">H", code)


async def test_a_ping_within_a_message_is_answered_and_no_part_of_it(url: str) -> None:
    frames = frame(1, b"ab", last=False) + frame(9, b"hi") + frame(0, b"c") + frame(8)
    said = await say(url, with_headers(EXEC, HANDSHAKE), frames)
    assert said.partition(b"\r\n\r\n")[2].startswith(b"\x8a\x02hi\x81\x013\x88")
