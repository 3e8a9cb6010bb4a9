"""The supervisor outlives what it did not foresee: all containers hang on it."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.supervision import agent_link, limits, processes, reaping
from pymesos_agent.supervision.agent_link import AgentLink
from pymesos_agent.supervision.container import Container
from pymesos_agent.supervision.spawning import Spawner
from pymesos_agent.supervision.supervisor import Supervisor

NOBODY = 2**22 + 1  # no process has such a number


@pytest.fixture
def supervisor() -> Supervisor:
    """One without its socket and its signals, which are the process's."""
    return Supervisor("ours", "/absent")


@pytest.fixture
def said(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the agent hears."""
    heard: list[dict[str, Any]] = []
    monkeypatch.setattr(supervisor.agent, "send", heard.append)
    return heard


@pytest.fixture
def link() -> AgentLink:
    return AgentLink(selectors.DefaultSelector(), "ours", lambda _: None, lambda: None)


def test_limits_are_raised_and_not_lowered(supervisor: Supervisor) -> None:
    watch = {"rss_limit_bytes": 2}
    container = supervisor.containers["c"] = supervisor.new_container("c", 1, watch)
    for asked, now in ((3, 3), (1, 3)):
        supervisor.handle({"op": "limit", "id": "c", "rss_limit_bytes": asked})
        assert container.watch["rss_limit_bytes"] == now
    supervisor.handle({"op": "limit", "id": "that has ended", "rss_limit_bytes": 1})


@pytest.mark.parametrize("length", [3998, 3999, 4000])
def test_a_reason_that_is_cut_within_a_character(
    supervisor: Supervisor, said: list[dict[str, Any]], length: int
) -> None:
    container = supervisor.containers["c"] = supervisor.new_container("c", 1, {})
    container.error_fd, write = os.pipe2(os.O_NONBLOCK)
    supervisor.selector.register(container.error_fd, selectors.EVENT_READ)
    os.write(write, f"cannot execute {'é' * 3000}".encode()[:length])
    os.close(write)
    supervisor.launcher.on_executed(container)
    assert [(m["ev"], m["id"]) for m in said] == [("failed", "c")]
    assert said[0]["error"].startswith("cannot execute éé")


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
def test_who_is_answered(link: AgentLink, line: bytes, uid: int, *, answered: bool) -> None:
    assert link._is_hello(line, uid) is answered


def test_who_breaks_off_within_a_line_is_dropped(link: AgentLink) -> None:
    """The socket of such a caller stays readable for ever."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    link._callers[ours] = b""
    link._selector.register(ours, selectors.EVENT_READ)
    theirs.sendall(b'{"op": ')
    link._on_hello(ours)
    assert link._callers == {ours: b'{"op": '}, "the rest may come"
    theirs.close()
    link._on_hello(ours)
    assert not link._callers and not link._selector.get_map()


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
    link: AgentLink,
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

    monkeypatch.setattr(agent_link, "stat_of", stat_of)
    assert link._is_of_a_task(50) is of_a_task


def test_what_is_being_started_uses_no_memory_of_its_own(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it executes its program it is a copy of the supervisor."""
    monkeypatch.setattr(limits, "resident_bytes", lambda mains: dict.fromkeys(mains, 12 << 20))
    killed: list[tuple[str, int]] = []
    container = supervisor.new_container("c", 50, {"rss_limit_bytes": 8 << 20})
    memory = limits.MemoryWatch({"c": container}, lambda c, number: killed.append((c.id, number)))
    container.error_fd = 9
    memory.sample(0.0)
    assert (killed, container.peak_bytes) == ([], 0)
    container.error_fd = None
    memory.sample(0.0)
    assert killed == [("c", signal.SIGKILL)]


def test_many_cgroups_are_looked_at_when_the_kernel_has_killed_something(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the next look, since a cgroup counts it a moment later; what is over it, always."""
    counted: list[bytes | None] = [b"0"]
    looked = [0]
    killed: list[str] = []
    monkeypatch.setattr(limits, "counted_kills", lambda: counted[0])
    oom_file = tmp_path / "memory.events"
    oom_file.write_text("oom_kill 0")

    def content(path: str) -> bytes:
        looked[0] += 1
        return Path(path).read_bytes()

    monkeypatch.setattr(limits, "content", content)
    watch = {"oom_file": str(oom_file)}
    there = {str(n): supervisor.new_container(str(n), 50, watch) for n in range(limits.FEW + 1)}
    memory = limits.MemoryWatch(there, lambda c, number: killed.append(c.id))

    def look() -> int:
        looked[0] = 0
        memory.sample(0.0)
        return looked[0]

    everywhere = len(there)
    assert [look(), look(), look()] == [everywhere, everywhere, 0], "nothing was killed"
    counted[0] = b"1"
    assert look() == everywhere and not killed, "by the machine's count alone"
    oom_file.write_text("oom_kill 1")
    watch["peak_file"] = str(tmp_path / "absent")
    look()
    assert sorted(killed) == sorted(there)
    look()
    assert len(killed) == 2 * everywhere, "until it has ended"
    counted[0] = None  # a kernel that does not say
    there["more"] = supervisor.new_container("more", 50, {"oom_file": str(oom_file)})
    look()
    assert killed[-1] == "more"


def test_one_whose_cgroup_is_being_made_is_looked_at_later(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "counted_kills", lambda: b"1")
    (tmp_path / "memory.events").write_text("oom_kill 1")
    there = {str(n): supervisor.new_container(str(n), 50, {}) for n in range(limits.FEW + 1)}
    for container in there.values():
        container.watch = {"oom_file": str(tmp_path / "memory.events")}
        container.helper = {"pid_file": "/absent"}
    killed: list[str] = []
    memory = limits.MemoryWatch(there, lambda c, number: killed.append(c.id))
    for _ in range(4):
        memory.sample(0.0)
    for container in there.values():
        container.helper = None
    memory.sample(0.0)
    assert sorted(killed) == sorted(there)


def being_started(supervisor: Supervisor) -> tuple[Container, int]:
    """A container that the spawner was asked for, and the end of its pipe."""
    container = supervisor.new_container("c", 0, {"cgroup_procs": "/absent"})
    container.error_fd, error_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    supervisor.selector.register(container.error_fd, selectors.EVENT_READ)
    supervisor.containers["c"] = container
    return container, error_write


def test_who_has_ended_before_the_spawner_says_who_it_is(
    supervisor: Supervisor, said: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    container, error_write = being_started(supervisor)
    monkeypatch.setattr(reaping, "children", set)
    supervisor.children.reaped(NOBODY, 3)
    supervisor.launcher.spawned(container, NOBODY)
    assert (container.status, said, supervisor.children.is_known(NOBODY)) == (3, [], False)
    os.close(error_write)
    supervisor.launcher.on_executed(container)
    assert [message["ev"] for message in said] == ["started", "exited"]
    assert said[1]["status"] == 3


def test_a_spawner_that_says_nothing_has_started_nothing(
    supervisor: Supervisor, said: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it may have started is killed, and the pipe of that heard no more."""
    container, error_write = being_started(supervisor)
    killed: list[str] = []
    monkeypatch.setattr(supervisor.launcher, "end_unknown", killed.append)
    supervisor.launcher.spawned(container, None)
    os.close(error_write)
    supervisor.launcher.on_executed(container)
    assert killed == ["c"]
    assert said == [
        {"ev": "failed", "id": "c", "error": "cannot start it: its spawner does not answer"}
    ]
    assert not supervisor.containers
    assert not supervisor.selector.get_map()


def test_what_is_killed_before_the_spawner_says_who_it_is(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, error_write = being_started(supervisor)
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    monkeypatch.setattr(supervisor.processes, "search", lambda _: [])
    supervisor.kill(container, signal.SIGTERM)
    supervisor.kill(container, signal.SIGKILL)
    assert killed == []
    supervisor.launcher.spawned(container, NOBODY)
    assert killed == [(NOBODY, signal.SIGKILL)]
    os.close(error_write)


@pytest.fixture
def helped(supervisor: Supervisor, tmp_path: Path) -> Container:
    """A container whose helper the spawner was asked for."""
    container = supervisor.new_container("c", 0, {"namespaced": True})
    files = {"pid_file": str(tmp_path / "pid"), "error_log": str(tmp_path / "log")}
    container.helper = files
    supervisor.containers["c"] = container
    return container


def test_a_helper_that_has_ended_before_the_spawner_says_who_it_is(
    supervisor: Supervisor, said: list[dict[str, Any]], helped: Container, tmp_path: Path
) -> None:
    (tmp_path / "pid").write_text(str(NOBODY + 1))
    supervisor.children.reaped(NOBODY, 0)
    supervisor.kill(helped, signal.SIGTERM)
    assert said == []
    supervisor.launcher.spawned(helped, NOBODY)
    assert said == [{"ev": "started", "id": "c", "pid": NOBODY + 1}]
    assert (helped.helper, helped.pid) == (None, NOBODY + 1)
    assert supervisor.children.is_known(NOBODY + 1)


def test_a_helper_that_the_spawner_cannot_execute(
    supervisor: Supervisor, said: list[dict[str, Any]], helped: Container, tmp_path: Path
) -> None:
    """The message names the tool: the task's own program is not what is missing."""
    (tmp_path / "log").write_text("cannot execute /crun: No such file or directory")
    supervisor.launcher.spawned(helped, NOBODY)
    supervisor.children.reaped(NOBODY, 127)
    text = "cannot start its tool: cannot execute /crun: No such file or directory"
    assert said == [{"ev": "failed", "id": "c", "error": text}]
    assert not supervisor.containers


@pytest.mark.parametrize(
    ("answer", "why"), [(None, "its spawner does not answer"), (-11, os.strerror(11))]
)
def test_a_helper_that_is_not_started(
    supervisor: Supervisor,
    said: list[dict[str, Any]],
    helped: Container,
    monkeypatch: pytest.MonkeyPatch,
    answer: int | None,
    why: str,
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(supervisor.launcher, "end_unknown", killed.append)
    supervisor.launcher.spawned(helped, answer)
    assert killed == ["c"] * (answer is None)
    assert said == [{"ev": "failed", "id": "c", "error": f"cannot start it: {why}"}]
    assert not supervisor.containers


def test_what_the_spawner_starts_just_now_is_no_remains_of_another(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spawner's forks have no environment yet, which would tell whose they are."""
    monkeypatch.setattr(reaping, "children", lambda: {NOBODY})
    monkeypatch.setattr(processes, "environment", lambda _: b"")
    monkeypatch.setattr(reaping, "unfinished", list)
    assert supervisor.processes.are_in_doubt()
    monkeypatch.setattr(Spawner, "is_waiting", True)
    assert not supervisor.processes.are_in_doubt()
