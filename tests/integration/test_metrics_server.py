"""/metrics is plain HTTP: who asks too often, or says nothing, takes little of the role."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from pymesos_core import metrics, role
from pymesos_core.metrics import gauge
from pymesos_core.role import RoleProcess
from pymesos_core.serving import Listen
from pymesos_testing.components import free_port

FEW = 3


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(metrics, "MOST_CONNECTIONS", FEW)
    monkeypatch.setattr(metrics._Handler, "timeout", 0.5)
    number = free_port()

    async def snapshot() -> float:
        return 7.0

    close = metrics.serve_metrics(
        "127.0.0.1",
        number,
        snapshot,
        lambda seen: [gauge("seen", "What is seen", (), [((), seen)])],
    )
    yield number
    await asyncio.to_thread(close)


async def scrape(port: int) -> str:
    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    return await asyncio.to_thread(ask)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 10)


async def test_it_is_answered(port: int) -> None:
    for _ in range(3 * FEW):
        assert "seen 7.0" in await scrape(port)


async def test_connections_are_few_and_end_when_nothing_is_said(port: int) -> None:
    silent = [connect(port) for _ in range(FEW)]
    one_more = connect(port)
    assert await asyncio.to_thread(one_more.recv, 1) == b"", "it is closed at once"
    for each in silent:
        assert await asyncio.to_thread(each.recv, 1) == b"", "it has said nothing"
    assert "seen 7.0" in await scrape(port)
    for each in (*silent, one_more):
        each.close()


@pytest.mark.parametrize(
    ("asked", "closed", "where"),
    [(None, False, "10.0.0.1"), (None, True, "127.0.0.1"), ("10.0.0.2", True, "10.0.0.2")],
)
async def test_where_it_is_served(
    asked: str | None, closed: bool, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has certificates is not open to the network by another door, unless that is asked for."""
    served: list[tuple[str, int]] = []

    def serve(ip: str, port: int, *_: object) -> object:
        served.append((ip, port))
        return lambda: None

    monkeypatch.setattr(role, "serve_metrics", serve)
    async with AsyncExitStack() as closing:
        process = RoleProcess("x", Listen("10.0.0.1", 1, None, None), closing)
        credentials: object = object() if closed else None
        process.serve_metrics((asked, 9), None, None, credentials)  # type: ignore[arg-type]
    assert served == [(where, 9)]
