"""The supervisor outlives what it did not foresee: all containers hang on it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from typing import Any

import pytest

from pymesos_agent.supervision import supervisor as module
from pymesos_agent.supervision.spawning import Spawner
from pymesos_agent.supervision.supervisor import Container, Supervisor

NOBODY = 2**22 + 1  # no process has such a number


@pytest.fixture
def supervisor() -> Supervisor:
    """One without its socket and its signals, which are the process's."""
    made = Supervisor.__new__(Supervisor)
    made.selector = selectors.DefaultSelector()
    made.containers, made.lingering, made.callers = {}, {}, {}
    made.client, made.client_pid = None, 0
    made.by_pid, made.orphans = {}, {}
    made.spawner = Spawner("/absent", made.selector)
    made.told_to_end, made.problem = False, ""
    made.idle_since, made.next_sample = time.monotonic(), 0.0
    return made


def test_limits_are_raised_and_not_lowered(supervisor: Supervisor) -> None:
    container = supervisor.containers["c"] = Container("c", 1, {"rss_limit_bytes": 2})
    for asked, now in ((3, 3), (1, 3)):
        supervisor.handle({"op": "limit", "id": "c", "rss_limit_bytes": asked})
        assert container.watch["rss_limit_bytes"] == now
    supervisor.handle({"op": "limit", "id": "that has ended", "rss_limit_bytes": 1})


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


def test_who_breaks_off_within_a_line_is_dropped(supervisor: Supervisor) -> None:
    """The socket of such a caller stays readable for ever."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    supervisor.callers[ours] = b""
    supervisor.selector.register(ours, selectors.EVENT_READ)
    theirs.sendall(b'{"op": ')
    supervisor.on_hello(ours)
    assert supervisor.callers == {ours: b'{"op": '}, "the rest may come"
    theirs.close()
    supervisor.on_hello(ours)
    assert not supervisor.callers and not supervisor.selector.get_map()


GONE = 2**22 + 1  # no process ever has it


@pytest.mark.parametrize(
    ("parents", "of_a_task"),
    [
        ({50: os.getpid()}, True),
        ({50: 49, 49: os.getpid()}, True),
        ({50: 49, 49: 1}, False),
        ({50: os.getppid()}, False),
        ({50: GONE}, True),
        ({}, True),
    ],
    ids=["child", "grandchild", "stranger", "below one that is hidden", "orphaned now", "ended"],
)
def test_whose_process_calls(
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    parents: dict[int, int],
    *,
    of_a_task: bool,
) -> None:
    """Hidden is what `hidepid` hides: it is there, and cannot be read."""

    def stat_of(pid: int) -> list[bytes]:
        if pid not in parents:
            raise FileNotFoundError(pid)
        return [b"S", b"%d" % parents[pid]]

    monkeypatch.setattr(module, "stat_of", stat_of)
    assert supervisor.is_of_a_task(50) is of_a_task


def test_what_is_being_started_uses_no_memory_of_its_own(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it executes its program it is a copy of the supervisor."""
    monkeypatch.setattr(module, "resident_bytes", lambda mains: dict.fromkeys(mains, 12 << 20))
    killed: list[tuple[str, int]] = []
    monkeypatch.setattr(supervisor, "kill", lambda c, number: killed.append((c.id, number)))
    container = supervisor.containers["c"] = Container("c", 50, {"rss_limit_bytes": 8 << 20})
    container.error_fd = 9
    supervisor.sample()
    assert (killed, container.peak_bytes) == ([], 0)
    container.error_fd = None
    supervisor.sample()
    assert killed == [("c", signal.SIGKILL)]


def being_started(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> tuple[Container, int, list[dict[str, Any]]]:
    """A container that the spawner was asked for, the end of its pipe, and what the agent hears."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor, "send", said.append)
    container = Container("c", 0, {"cgroup_procs": "/absent"})
    container.error_fd, error_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    supervisor.selector.register(container.error_fd, selectors.EVENT_READ)
    supervisor.containers["c"] = container
    return container, error_write, said


def test_who_has_ended_before_the_spawner_says_who_it_is(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, error_write, said = being_started(supervisor, monkeypatch)
    monkeypatch.setattr(module, "children", set)
    supervisor.reaped(NOBODY, 3)
    supervisor.spawned(container, NOBODY)
    assert (container.status, said, supervisor.by_pid) == (3, [], {})
    os.close(error_write)
    supervisor.on_executed(container)
    assert [message["ev"] for message in said] == ["started", "exited"]
    assert said[1]["status"] == 3


def test_a_spawner_that_says_nothing_has_started_nothing(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it may have started is killed, and the pipe of that heard no more."""
    container, error_write, said = being_started(supervisor, monkeypatch)
    killed: list[str] = []
    monkeypatch.setattr(supervisor, "end_unknown", killed.append)
    supervisor.spawned(container, None)
    os.close(error_write)
    supervisor.on_executed(container)
    assert killed == ["c"]
    assert said == [
        {"ev": "failed", "id": "c", "error": "cannot start it: its spawner does not answer"}
    ]
    assert not supervisor.containers
    assert not supervisor.selector.get_map()


def test_what_is_killed_before_the_spawner_says_who_it_is(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, error_write, _ = being_started(supervisor, monkeypatch)
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setattr(supervisor, "search", lambda _: [])
    supervisor.kill(container, signal.SIGTERM)
    supervisor.kill(container, signal.SIGKILL)
    assert killed == []
    supervisor.spawned(container, NOBODY)
    assert killed == [(NOBODY, signal.SIGKILL)]
    os.close(error_write)


def test_what_the_spawner_starts_just_now_is_no_remains_of_another(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner's forks have no environment yet, which would tell whose they are."""
    monkeypatch.setattr(module, "children", lambda: {NOBODY})
    monkeypatch.setattr(module, "environment", lambda _: b"")
    monkeypatch.setattr(module, "unfinished", list)
    assert supervisor.in_doubt()
    monkeypatch.setattr(Spawner, "is_waiting", True)
    assert not supervisor.in_doubt()
