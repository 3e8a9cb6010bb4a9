"""Receivers that answer as no server should: what they have taken is not sent to them again."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.outgoing import formats, mailing
from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.posting import Poster
from pymesos_core.outgoing.receivers import Email, Tls
from pymesos_core.outside import OUTSIDE

NOTICE = Notice("db-1/t/unhealthy/r", "r", {"job": "db"}, "unhealthy", 1.8e9)


@contextlib.asynccontextmanager
async def answering(*parts: bytes, holds_s: float = 0.0) -> AsyncIterator[str]:
    """A server that answers whatever it is asked with this, and then closes. Its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.writelines(parts)
            await writer.drain()
            await asyncio.sleep(holds_s)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/s3cret"
    finally:
        server.close()


async def why_unsent(*parts: bytes, holds_s: float = 0.0) -> UnsentError:
    poster = Poster()
    try:
        async with answering(*parts, holds_s=holds_s) as url:
            with pytest.raises(UnsentError) as raised:
                await poster.post(url, b"{}", {})
    finally:
        await poster.close()
    assert "s3cret" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize(
    ("headers", "body", "holds_s"),
    [
        (b"Content-Length: 99", b"", 30.0),  # which do not come
        (b"Content-Length: 99", b"", 0.0),
        (b"Content-Length: 4\r\nContent-Encoding: gzip", b"none", 0.0),
        (b"Content-Length: 4\r\nContent-Encoding: br", b"none", 0.0),
    ],
)
async def test_a_refusal_is_one_whatever_comes_after_its_status(
    headers: bytes, body: bytes, holds_s: float
) -> None:
    """Else it would be tried again before all that waits behind it, for ever."""
    answer = b"HTTP/1.1 400 No\r\n" + headers + b"\r\n\r\n" + body
    async with asyncio.timeout(8):
        error = await why_unsent(answer, holds_s=holds_s)
    assert error.refused and "it answered with status 400" in str(error)


@pytest.mark.parametrize(
    ("said", "least_s", "most_s"),
    [
        (b"12", 12, 12),
        (b"9" * 400, 300, 300),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 300, 300),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        (b"Thu, 01 Jan 1970 00:00:00", 0, 0),
        (b"-5", 0, 0),
        (b"1e9", 0, 0),
        (b"soon", 0, 0),
        (b"Fri, 99 Dec 9999 23:59:59 GMT", 0, 0),
        (b"", 0, 0),
    ],
)
async def test_how_long_a_receiver_is_left_alone(
    said: bytes, least_s: float, most_s: float
) -> None:
    head = b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: " + said + b"\r\n\r\n"
    error = await why_unsent(head)
    assert least_s <= error.after_s <= most_s and not error.refused


async def test_a_date_until_which_it_is_left_alone() -> None:
    date = formats.mail(Notice("k", "r", {}, "s", OUTSIDE.wall_s() + 60), "a@b.c", ["a@b.c"])[
        "Date"
    ]
    head = f"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: {date}\r\n\r\n"
    assert 20 < (await why_unsent(head.encode())).after_s <= 60


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "it has closed the connection without an answer"),
        (b"SSH-2.0-x\r\n", "what it answers is not HTTP"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "what it answers is not HTTP"),
    ],
)
async def test_what_is_no_answer_is_said_in_words(answer: bytes, words: str) -> None:
    assert words in str(await why_unsent(answer))


@pytest.mark.parametrize(
    "url", ["ftp://h/s3cret", "http://256.256.256.256/", "s3cret", "http://a..b"]
)
async def test_what_is_no_address_is_said_in_words(url: str) -> None:
    poster = Poster()
    with pytest.raises(UnsentError, match="its address is none that can be asked"):
        await poster.post(url, b"{}", {})
    await poster.close()


@contextlib.asynccontextmanager
async def mail_server(answers: Mapping[str, bytes], mails: list[str]) -> AsyncIterator[HostPort]:
    """One that answers so to these commands, and as it should to the others."""
    usual = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := (await reader.readline()).decode():
                word = line[:4].strip().upper()
                writer.write({**usual, **answers}.get(word, b"250 ok\r\n"))
                if word == "DATA":
                    mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                    writer.write(b"250 taken\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield HostPort("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    return path


def send(to: Email) -> None:
    mailing.send_mail(to, formats.mail(NOTICE, to.sender, to.to))


@pytest.mark.parametrize("goodbye", [b"250 ok\r\n", b"bye\r\n", b"500 what?\r\n", b"\xff\r\n"])
async def test_a_mail_that_is_taken_is_sent_once_however_its_server_says_goodbye(
    goodbye: bytes,
) -> None:
    mails: list[str] = []
    async with mail_server({"QUIT": goodbye}, mails) as server:
        to = Email("r", server, "p@example.org", ("a@example.org",), Tls.NONE)
        await asyncio.to_thread(send, to)
    assert len(mails) == 1


@pytest.mark.parametrize("offered", [b"CRAM-MD5", b"LOGIN", b"PLAIN"])
async def test_a_challenge_that_cannot_be_read_is_no_fault_of_the_mail(
    offered: bytes, password: Path
) -> None:
    answers = {"EHLO": b"250-here\r\n250 AUTH " + offered + b"\r\n", "AUTH": b"334 a\r\n"}
    async with mail_server(answers, []) as server:
        to = Email("r", server, "p@example.org", ("a@example.org",), Tls.NONE, "u", password)
        with pytest.raises(UnsentError, match="its server answers what is not SMTP") as raised:
            await asyncio.to_thread(send, to)
    assert not raised.value.refused and "s3cret" not in str(raised.value)


async def test_authorities_that_are_gone_are_named() -> None:
    async with mail_server({}, []) as server:
        to = Email(
            "r", server, "p@example.org", ("a@example.org",), authorities=Path("/nowhere.pem")
        )
        with pytest.raises(UnsentError, match="its ca_file cannot be used: No such file"):
            await asyncio.to_thread(send, to)


ENDS_SOON = """
import asyncio, socket
from pymesos_core.outgoing import mailing
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.notifier import Notifier
from pymesos_core.outgoing.receivers import read_receivers
from pymesos_core.tasks import running

mailing.TIMEOUT_S = mailing.MOST_S = 150.0

async def main():
    silent = socket.create_server(("127.0.0.1", 0))
    document = (
        f"r: {{kind: email, smtp: '127.0.0.1:{silent.getsockname()[1]}', from: p@example.org,"
        " to: [a@example.org], tls: none}"
    )
    told = Notifier(read_receivers(document), print)
    told.tell(Notice("k", "r", {}, "s", 1.8e9))
    async with running(told.run()):
        await asyncio.to_thread(silent.accept)

asyncio.run(main())
"""


def test_a_mail_server_that_is_silent_keeps_no_process_alive() -> None:
    """Else a master that is to end waits for it for up to a minute."""
    subprocess.run([sys.executable, "-c", ENDS_SOON], check=True, timeout=100)
