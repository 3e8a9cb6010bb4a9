"""Receivers that are real servers: what they get, in which order, and what is kept from logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pymesos_core.outgoing import lanes, mailing, notifier
from pymesos_core.outgoing.formats import rfc3339
from pymesos_core.outgoing.lanes import UnsentError
from pymesos_core.outgoing.notices import Notice
from pymesos_core.outgoing.notifier import Notifier
from pymesos_core.outgoing.receivers import Receiver, read_receivers
from pymesos_core.tasks import running

LABELS = {"alertname": "PymesosUnhealthy", "job": "db"}
FIRES = Notice("db-1/t/unhealthy/r", "r", LABELS, "unhealthy", 1.8e9)
OVER = Notice(FIRES.key, "r", LABELS, "unhealthy", 1.8e9, 1.8e9 + 5)
SECRET = "s3cret-of-ours"


class Server:
    """Keeps what is posted, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []  # first; then 200
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.got.append((request.path, dict(request.headers), json.loads(await request.read())))
        status, headers = self.answers.pop(0) if self.answers else (200, {})
        return web.Response(status=status, headers=headers, text=f"no, {SECRET}")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    runner = web.ServerRunner(web.Server(made.handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "RETRY_S", (0.01, 0.02))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return path


class Told:
    """What a notifier says is taken."""

    def __init__(self, receivers: dict[str, Receiver]) -> None:
        self.taken: list[Notice] = []
        self.notifier = Notifier(receivers, self.taken.append)

    async def until(self, number: int) -> None:
        while len(self.taken) < number:
            await asyncio.sleep(0.01)


def told(document: str) -> Told:
    return Told(dict(read_receivers(document)))


async def test_a_page_before_that_it_is_over(server: Server) -> None:
    it = told(f"r: {{kind: webhook, url: '{server.url}/hook'}}")
    server.answers = [(503, {}), (302, {"Location": f"{server.url}/elsewhere"})]
    it.notifier.tell(FIRES)
    it.notifier.tell(OVER)
    async with running(it.notifier.run()):
        await it.until(2)
    assert [path for path, _, _ in server.got] == ["/hook"] * 4
    assert [body["status"] for _, _, body in server.got] == ["firing"] * 3 + ["resolved"]
    assert [notice.is_over for notice in it.taken] == [False, True]


async def test_alertmanagers_are_told_again_and_each_of_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "AGAIN_S", 0.05)
    it = told(f"r: {{kind: alertmanager, urls: ['{server.url}/a', '{server.url}/b']}}")
    it.notifier.tell(FIRES)
    async with running(it.notifier.run()):
        await it.until(6)
        it.notifier.tell(OVER)
        while server.got[-1][2][-1]["endsAt"] > rfc3339(time.time()):
            await asyncio.sleep(0.01)
        seen = len(server.got)
        await asyncio.sleep(0.2)
    assert {path for path, _, _ in server.got} == {"/a/api/v2/alerts", "/b/api/v2/alerts"}
    assert all(one["labels"] == LABELS for _, _, body in server.got for one in body)
    assert len(server.got) <= seen + 1  # what is over is told once to each


async def test_a_test_names_the_alertmanager_that_did_not_take_it(server: Server) -> None:
    it = told(f"r: {{kind: alertmanager, urls: ['{server.url}/a', '{server.url}/b']}}")
    server.answers = [(200, {}), (200, {}), (422, {})]
    with pytest.raises(UnsentError, match=r"^r \(address 2\): it answered with status 422"):
        await it.notifier.test("r")
    assert [path[:2] for path, _, _ in server.got] == ["/a", "/a", "/b"]


async def test_what_was_known_before_a_restart_is_told_to_alertmanagers_alone(
    server: Server,
) -> None:
    known = Notice(FIRES.key, "r", LABELS, "unhealthy", 1.8e9, known=True)
    it = told(f"r: {{kind: webhook, url: '{server.url}'}}")
    it.notifier.tell(known)
    it.notifier.tell(Notice("other", "r", LABELS, "unhealthy", 1.8e9))
    async with running(it.notifier.run()):
        await it.until(1)
    assert [body["groupKey"] for _, _, body in server.got] == ["other"]
    it = told(f"r: {{kind: alertmanager, urls: ['{server.url}']}}")
    it.notifier.tell(known)
    async with running(it.notifier.run()):
        await it.until(1)


async def test_no_secret_is_logged(
    server: Server, key: Path, caplog: pytest.LogCaptureFixture
) -> None:
    it = told(
        f"p: {{kind: pagerduty, routing_key_file: {key}, url: '{server.url}/p?{SECRET}'}}\n"
        f"h: {{kind: webhook, url: '{server.url}/h', token_file: {key}}}\n"
        f"gone: {{kind: webhook, url: 'http://127.0.0.1:1/{SECRET}'}}"
    )
    server.answers = [(400, {}), (401, {})]
    with caplog.at_level(logging.DEBUG):
        async with running(it.notifier.run()):
            for name in ("p", "h", "gone"):
                it.notifier.tell(Notice(name, name, LABELS, "s", 1.8e9))
            await it.until(2)
            while "gone" not in caplog.text:
                await asyncio.sleep(0.01)
    assert "status 400" in caplog.text and "status 401" in caplog.text
    assert SECRET not in caplog.text
    by_path = {path: (headers, body) for path, headers, body in server.got}
    assert by_path["/p"][1]["routing_key"] == SECRET
    assert by_path["/h"][0]["Authorization"] == f"Bearer {SECRET}"


async def test_who_asks_for_time_gets_it(server: Server) -> None:
    it = told(f"r: {{kind: webhook, url: '{server.url}'}}")
    server.answers = [(429, {"Retry-After": "1"})]
    it.notifier.tell(FIRES)
    async with running(it.notifier.run()):
        while not server.got:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # in which it would have been tried ten times
        assert len(server.got) == 1
        await it.until(1)


@pytest.mark.parametrize("refusal", [400, 403, 413, 422])
async def test_what_it_refuses_holds_up_no_other_alert(server: Server, refusal: int) -> None:
    it = told(f"r: {{kind: webhook, url: '{server.url}'}}")
    server.answers = [(refusal, {})]
    other = Notice("other", "r", LABELS, "unhealthy", 1.8e9)
    for notice in (FIRES, OVER, other):
        it.notifier.tell(notice)
    async with running(it.notifier.run()):
        await it.until(3)
    assert [(one.key, one.status) for one in it.taken] == [
        ("other", "firing"), (FIRES.key, "firing"), (FIRES.key, "resolved")
    ]  # fmt: skip


@pytest.mark.parametrize("status", [401, 429, 500])
async def test_what_is_not_about_one_alert_keeps_the_order(server: Server, status: int) -> None:
    it = told(f"r: {{kind: webhook, url: '{server.url}'}}")
    server.answers = [(status, {})]
    it.notifier.tell(FIRES)
    it.notifier.tell(Notice("other", "r", LABELS, "unhealthy", 1.8e9))
    async with running(it.notifier.run()):
        await it.until(2)
    assert [one.key for one in it.taken] == [FIRES.key, "other"]


async def test_a_receiver_that_is_gone_is_told_nothing(caplog: pytest.LogCaptureFixture) -> None:
    it = told("")
    it.notifier.tell(FIRES)
    assert "no receiver 'r'" in caplog.text and not it.taken
    it.notifier.tell(OVER)
    assert it.taken == [OVER]  # so that it can be forgotten


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as one mail needs."""

    def handle(self) -> None:
        def say(line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        mail: list[str] = []
        say("220 here")
        while line := self.rfile.readline().decode().strip():
            word = line[:4].upper()
            if word == "DATA":
                say("354 go on")
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    mail.append(text)
                if "Subject: [firing] spam" in mail:
                    say("554 5.7.1 it is spam")
                    continue
                self.server.mails.append("\n".join(mail))  # type: ignore[attr-defined]
            elif word == "QUIT":
                say("221 bye")
                return
            say("250 ok")


@pytest.fixture
def smtp() -> Iterator[socketserver.ThreadingTCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.mails = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_mail_that_is_refused_holds_up_no_other(
    smtp: socketserver.ThreadingTCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = smtp.server_address[:2]
    it = told(
        f"r: {{kind: email, smtp: '{host!s}:{port}', from: p@example.org,"
        f" to: [a@example.org], tls: none}}"
    )
    it.notifier.tell(Notice("spam", "r", LABELS, "spam", 1.8e9))
    it.notifier.tell(FIRES)
    async with running(it.notifier.run()):
        await it.until(1)
    assert it.taken == [FIRES] and "it is spam" in caplog.text


async def test_mail(
    smtp: socketserver.ThreadingTCPServer, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = smtp.server_address[:2]
    document = (
        f"r: {{kind: email, smtp: '{host!s}:{port}', from: p@example.org,"
        f" to: [a@example.org], tls: TLS}}"
    )
    it = told(document.replace("TLS}", "none}"))
    it.notifier.tell(OVER)
    async with running(it.notifier.run()):
        await it.until(2)
    first, second = smtp.mails  # type: ignore[attr-defined]
    assert "Subject: [firing] unhealthy" in first and "Subject: [resolved] unhealthy" in second
    assert "From: p@example.org" in first and "job: db" in first
    # A server without STARTTLS is sent nothing where that is asked for.
    it = told(document.replace("TLS}", "starttls}"))
    it.notifier.tell(FIRES)
    async with running(it.notifier.run()):
        while "STARTTLS" not in caplog.text:
            await asyncio.sleep(0.01)
    assert len(smtp.mails) == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
async def test_a_mail_server_whose_answer_never_ends_is_left(
    pause_s: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As tarpits for spam do, or one that is broken: neither time nor memory is theirs."""
    monkeypatch.setattr(mailing, "MOST_S", 0.3 if pause_s else 60.0)

    class Endless(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"2" if pause_s else b"220-and more\r\n")
                    time.sleep(pause_s)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.server_address[:2]
        it = told(
            f"r: {{kind: email, smtp: '{host!s}:{port}', from: p@example.org,"
            f" to: [a@example.org], tls: none}}"
        )
        it.notifier.tell(FIRES)
        async with asyncio.timeout(20), running(it.notifier.run()):
            while "Connection unexpectedly closed" not in caplog.text:
                await asyncio.sleep(0.01)
        server.shutdown()
        thread.join()
    assert not it.taken
