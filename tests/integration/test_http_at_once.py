"""Calls of Mesos' frameworks that come whole are answered as those that come in parts."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pymesos_core import http_listening
from pymesos_core.http_at_once import Passed, Small, small_of
from pymesos_core.security.revocations import Revocations
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.server import MesosServer
from pymesos_testing.http_cluster import a_bit_of_everything, leadership_of
from pymesos_testing.http_serving import LISTEN, running

PATH = "/api/v1/scheduler"
BASIC = "Authorization: Basic " + base64.b64encode(b"framework/b:c").decode()
JSON = "Content-Type: application/json"
CLOSE = b"Connection: close"
REVIVE: dict[str, Any] = {"type": "REVIVE", "framework_id": {"value": "no such"}}


def request(body: bytes, *lines: str, first: str = f"POST {PATH} HTTP/1.1") -> bytes:
    head = [first, "Host: 127.0.0.1", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "\r\n"]).encode() + body


SENT = request(b"{}")


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, url: str) -> Client:
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def answer(self) -> tuple[bytes, bytes]:
        """A head without its date, and the body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        length = re.search(rb"Content-Length: ([0-9]+)\r\n", head)
        assert length is not None and b"\r\nDate: " in head
        body = await self.reader.readexactly(int(length[1]))
        return re.sub(rb"Date: [^\r]*\r\n", b"", head), body

    async def ask(self, *parts: bytes) -> tuple[bytes, bytes]:
        for part in parts:
            self.writer.write(part)
            await asyncio.sleep(0.02 if len(parts) > 1 else 0)
        return await self.answer()


class Answered(MesosServer):
    """Counts what is answered at once."""

    at_once = 0
    wrong: list[Any]  # passwords

    def _answer_at_once(self, asked: Small, transport: asyncio.Transport) -> bytes | None:
        answer = super()._answer_at_once(asked, transport)
        self.at_once += answer is not None
        return answer


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Answered:
    wrong: list[Any] = []
    authenticator = Authenticator(
        {"framework/b": "c"}, (), Revocations(), on_refused=lambda *said: wrong.append(said)
    )
    server = Answered(leadership_of(a_bit_of_everything()), authenticator, LISTEN)
    server.wrong = wrong
    # However busy this machine is: a pause of it would seem to be what a call took.
    monkeypatch.setattr(server._turns, "budget_s", lambda: 60.0)
    return server


@pytest.fixture
async def client(server: Answered) -> AsyncIterator[Client]:
    async with running(server) as url:
        client = await Client.of(url)
        yield client
        client.writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(json.dumps(REVIVE).encode(), JSON, BASIC), 400),
        (request(b"{", JSON, BASIC), 400),
        (request(b"{}", JSON, BASIC), 400),
        (request(b"{}", BASIC), 400),
        (request(b"{}", "Content-Type: text/plain", BASIC), 415),
        (request(b"{}", JSON), 401),
        (request(b"{}", JSON, "authorization: Basic YTpi"), 401),
        (request(b"{}", JSON, BASIC, "Origin: http://elsewhere"), 403),
    ],
)
async def test_the_answers_are_the_same(
    server: Answered, client: Client, sent: bytes, status: int
) -> None:
    whole = await client.ask(sent)
    assert server.at_once == 1 and whole[0].startswith(b"HTTP/1.1 %d " % status)
    lines = set(whole[0].split(b"\r\n"))
    in_parts = await client.ask(sent[:30], sent[30:])
    others = set(in_parts[0].split(b"\r\n"))
    assert others - {CLOSE} == lines and in_parts[1] == whole[1]
    assert server.at_once == 1
    if CLOSE not in others:  # else its body was not read
        assert await client.ask(sent) == in_parts
        assert server.at_once == 1, "aiohttp has it for good: where a request began is not known"


async def test_what_comes_later_of_a_body_leaves_the_next_to_be_answered_at_once(
    server: Answered, client: Client
) -> None:
    sent = request(json.dumps(REVIVE).encode(), JSON, BASIC)
    cut = len(sent) - 5
    for count in (1, 2):
        assert (await client.ask(sent))[1] == b"Framework cannot be found"
        assert server.at_once == count
        assert (await client.ask(sent[:cut], sent[cut:]))[1] == b"Framework cannot be found"
    for count in (5, 8):  # as the library of Mesos sends them, which waits for no answer
        await asyncio.sleep(0.02)
        client.writer.write(sent * 3 + sent[:cut])
        await asyncio.sleep(0.02)
        client.writer.write(sent[cut:] + sent)
        for _ in range(5):
            assert (await client.answer())[1] == b"Framework cannot be found"
        assert server.at_once == count, "the last comes behind what has come in parts"


async def test_a_wrong_password_counts_once(server: Answered, client: Client) -> None:
    basic = base64.b64encode(b"framework/b:x").decode()
    head, _ = await client.ask(request(b"{}", JSON, f"Authorization: Basic {basic}"))
    assert head.startswith(b"HTTP/1.1 401 ") and server.at_once == len(server.wrong) == 1


async def test_who_is_refused_takes_turns_as_others_do(
    server: Answered, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever sends thousands of them at once, by many connections, holds up all others."""
    refused = request(b"{}", JSON)
    for budget_s in (60.0, 0.0):  # with none, others of its address have taken all
        monkeypatch.setattr(server._turns, "budget_s", lambda left_s=budget_s: left_s)
        head, _ = await client.ask(refused)
        assert head.startswith(b"HTTP/1.1 401 ") and server.at_once == 1


async def test_frameworks_may_be_silent(
    server: Answered, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler library of Mesos opens both its connections first, and gives up with either."""
    monkeypatch.setattr(http_listening, "SILENCE_S", 0.1)
    async with running(server) as url:
        other = await Client.of(url)
        for sent in (b"", request(b"{}", JSON, BASIC), b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"):
            other.writer.write(sent)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(other.reader.readuntil(b"never"), 0.4)
        other.writer.close()


async def test_a_fault_is_said(
    server: Answered, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._scheduler, "read_small", lambda *said: 1 / 0)
    head, body = await client.ask(request(b"{}", JSON, BASIC))
    assert head.startswith(b"HTTP/1.1 500 ") and b"the log has more" in body


@pytest.mark.parametrize(
    "sent",
    [
        request(b"{}", first=f"GET {PATH} HTTP/1.1"),
        request(b"{}", first=f"POST {PATH} HTTP/1.0"),
        request(b"{}", first=f"POST  {PATH} HTTP/1.1"),
        request(b"{}", first="POST http://a/ HTTP/1.1"),
        request(b"{}", "Transfer-Encoding: chunked"),
        request(b"{}", "Connection: close"),
        request(b"{}", "Expect: 100-continue"),
        request(b"{}", "Upgrade: h2c"),
        request(b"{}", "content-length: 2"),
        request(b"{}", " folded"),
        request(b"{}", "A : b"),
        request(b"{}", "A: b\0"),
        request(b"{}", "A: \xe9"),
        request(b"{}", *(f"A{n}: b" for n in range(20))),
        request(b"{}", "A: " + "b" * 2048),
        request(b"{}").replace(b"Content-Length: 2", b"Content-Length: +2"),
        request(b"{}").replace(b"Content-Length: 2", b"Content-Length: 2, 2"),
        request(b"{}").replace(b"Host: 127.0.0.1\r\n", b""),
        request(b"{}").replace(b"\r\n", b"\n"),
        request(b"{}")[:-1],
        request(b"{" * 65_537),
    ],
)
def test_what_is_odd_is_not_read(sent: bytes) -> None:
    assert small_of(sent) is None


def test_a_small_request() -> None:
    asked = small_of(request(b"{}", "connection: Keep-Alive", "A:  b c \t"))
    assert asked is not None and (asked.path, asked.body) == (PATH, b"{}")
    assert asked.headers["a"] == "b c" and "Connection" not in asked.headers


@pytest.mark.parametrize(
    ("taken", "answers", "is_over"),
    [
        ([SENT[:-1]], 1, False),  # it was answered before it had come
        ([SENT[:-1], SENT[-1:]], 1, True),
        ([SENT], 0, False),
        ([SENT + SENT], 1, False),
        ([SENT + SENT], 2, True),
        ([SENT + b"P"], 2, False),
        ([b"GET"], 1, False),
    ],
)
def test_where_what_was_passed_on_ends(taken: list[bytes], answers: int, is_over: bool) -> None:
    passed = Passed()
    for data in taken:
        passed.take(data)
    for _ in range(answers):
        passed.answered()
    assert passed.is_over == is_over
