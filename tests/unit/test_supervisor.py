"""The supervisor outlives what it did not foresee: all containers hang on it."""

from __future__ import annotations

import os
import selectors
import time
from typing import Any

import pytest

from pymesos_agent.supervision.supervisor import Container, Supervisor


@pytest.fixture
def supervisor() -> Supervisor:
    """One without its socket and its signals, which are the process's."""
    made = Supervisor.__new__(Supervisor)
    made.selector = selectors.DefaultSelector()
    made.containers, made.lingering, made.client = {}, {}, None
    made.told_to_end, made.problem = False, ""
    made.idle_since, made.next_sample = time.monotonic(), 0.0
    return made


@pytest.mark.parametrize("length", [3998, 3999, 4000])
def test_a_reason_that_is_cut_within_a_character(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor, "send", sent.append)
    container = supervisor.containers["c"] = Container("c", 1, {})
    container.error_fd, write = os.pipe2(os.O_NONBLOCK)
    supervisor.selector.register(container.error_fd, selectors.EVENT_READ)
    os.write(write, f"cannot execute {'é' * 3000}".encode()[:length])
    os.close(write)
    supervisor.on_executed(container)
    assert [(m["ev"], m["id"]) for m in sent] == [("failed", "c")]
    assert sent[0]["error"].startswith("cannot execute éé")


def test_a_handler_that_fails_is_no_end(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = os.pipe(), os.pipe()

    def fail() -> None:
        os.read(bad[0], 1)
        os.write(good[1], b"x")
        raise RuntimeError("unforeseen")

    def end() -> None:
        supervisor.told_to_end = True

    supervisor.selector.register(bad[0], selectors.EVENT_READ, fail)
    supervisor.selector.register(good[0], selectors.EVENT_READ, end)
    os.write(bad[1], b"xx")
    supervisor.run()
    assert "unforeseen" in capsys.readouterr().err
    for descriptor in (*bad, *good):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("line", "uid", "answered"),
    [
        (b'{"op": "hello", "version": 4, "secret": "ours"}', 1000, True),
        (b'{"op": "hello", "version": 4, "secret": "theirs"}', 1000, False),
        (b'{"op": "hello", "version": 3}', 1000, False),
        (b'{"op": "hello", "version": 3}', 0, True),
        (b'{"op": "shutdown", "secret": "ours"}', 1000, False),
        (b'{"op": "launch"}', 0, False),
        (b"[]", 0, False),
        (b"", 0, False),
        (b"\xff", 0, False),
    ],
)
def test_who_is_answered(supervisor: Supervisor, line: bytes, uid: int, *, answered: bool) -> None:
    supervisor.secret = "ours"
    assert supervisor.is_hello(line, uid) is answered
