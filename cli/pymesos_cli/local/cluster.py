"""The processes of a local cluster: how they start, what they said last, and how they end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from pymesos_core import bound

START_TIMEOUT_S = 30.0
ENDS_WITHIN_S = 1.0  # of closing its output
STOP_TIMEOUT_S = 40.0
SWEEP_TIMEOUT_S = 10.0
POLL_S = 0.05
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True)


class LocalError(Exception):
    """The cluster cannot start: the message says which part and shows what it said."""


class StoppedError(Exception):
    """A signal came while the cluster was starting."""


def wanted_signals() -> list[signal.Signals]:
    """All, but for what nohup has made us deaf to."""
    deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (deaf and number == signal.SIGHUP)]


@dataclass
class Stop:
    """What signals have said: to stop, and then not to wait for anything."""

    asked: int = 0
    first: int = signal.SIGTERM  # the signal that asked; nobody waits if it was a parent's end

    def install(self) -> None:
        """Count the signals from now on."""
        for number in wanted_signals():
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self.asked:
            self.first = number
        self.asked += 1

    @property
    def wanted(self) -> bool:
        """Whether to stop."""
        return self.asked > 0

    @property
    def status(self) -> int:
        """The exit status of what a signal has ended, as a shell has it."""
        return 128 + self.first

    @property
    def at_once(self) -> bool:
        """Whether to wait for nothing."""
        return self.asked > 1


@dataclass
class Role:
    """One child."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    argv: tuple[str, ...] = ()
    address: str = ""
    said: dict[str, str] = field(default_factory=dict)  # on further lines, after their first words
    told: bool = False  # that it has ended

    @property
    def is_agent(self) -> bool:
        """Whether the cluster goes on without it."""
        return self.name.startswith("agent")

    def last_words(self, *, kept: bool) -> str:
        """How it has ended, if it has, and what it wrote last; with `kept`, where that is."""
        status = self.process.poll()
        how = "" if status is None else f"it has ended with status {status}: "
        if status is not None and status < 0:
            how = f"it was ended by {signal.Signals(-status).name}: "
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-10:]
        except OSError as error:
            return f"{how}what it wrote cannot be read from {self.log}: {error.strerror}"
        said = "".join(f"\n  {line}" for line in lines)
        last = f"the last of {self.log}" if kept else "what it wrote last"
        return f"{how}{last}:{said}" if lines else f"{how}it wrote nothing"


@dataclass
class LocalCluster:
    """The children, in the order they were started."""

    folder: Path
    stopping: Stop = field(default_factory=Stop)
    roles: list[Role] = field(default_factory=list)

    def start(self, name: str, *argv: str, more: Sequence[str] = ()) -> Role:
        """Start a role; wait for the line with its address, then for those that begin as `more`.

        They may come in any order. Raises LocalError.
        """
        if self.stopping.wanted:
            raise StoppedError
        role = self._start(name, argv)
        self.roles.append(role)
        _, role.address = self._said(role, ["listening on "])
        awaited = list(more)
        while awaited:
            first, rest = self._said(role, awaited)
            awaited.remove(first)
            role.said[first] = rest
        return role

    def _start(self, name: str, argv: tuple[str, ...]) -> Role:
        log = self.folder / f"{name}.log"
        try:
            errors = os.fdopen(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab")
        except OSError as error:
            raise LocalError(f"cannot write {log}: {error.strerror}") from error
        with errors:
            process = subprocess.Popen(
                [*bound.argv_of(os.getpid()), sys.executable, "-m", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                bufsize=0,  # what is read of a line leaves the next one in the pipe
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        return Role(name, process, log, argv)

    def _said(self, role: Role, awaited: Sequence[str]) -> tuple[str, str]:
        """What of `awaited` a role's next line begins with, and the rest. Raises LocalError."""
        assert role.process.stdout is not None
        line = _read_line(role.process.stdout, START_TIMEOUT_S, self.stopping)
        if self.stopping.wanted:
            raise StoppedError
        for first in awaited:
            if line.startswith(first):
                return first, line.removeprefix(first).strip()
        within = ""
        if not line:  # it has closed its output, and ends; or it says nothing
            try:
                role.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                within = f" within {START_TIMEOUT_S:.0f} s"
        raise LocalError(f"{role.name} did not start{within}; {role.last_words(kept=False)}")

    def _revive_dead_agents(self) -> None:
        """An agent that was killed has left its tasks: it comes back once more to end them.

        Where it cannot, they are ended by force as all that is left below the keeper.
        """
        for index, role in enumerate(self.roles):
            if role.is_agent and role.process.poll() is not None:
                try:
                    again = self._start(role.name, role.argv)
                except LocalError as error:
                    print(f"{error}; its tasks are ended by force", file=sys.stderr)
                    continue
                assert role.process.stdout is not None and again.process.stdout is not None
                role.process.stdout.close()
                _read_line(again.process.stdout, START_TIMEOUT_S, Stop())
                self.roles[index] = again

    def stop(self) -> bool:
        """End all, the last started first; whether each ended by itself and well."""
        well = True
        if not self.stopping.at_once:
            self._revive_dead_agents()
        for role in reversed(self.roles):
            if role.process.poll() is None:
                role.process.send_signal(signal.SIGTERM)
                # Agents end their tasks at the same time.
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for role in reversed(self.roles):
            while role.process.poll() is None:
                if self.stopping.at_once or time.monotonic() > deadline:
                    role.process.kill()
                    role.process.wait()
                    well = False
                else:
                    time.sleep(POLL_S)
            if role.process.stdout is not None:
                role.process.stdout.close()
        return well

    def ended(self) -> list[Role]:
        """The roles that ended since the last call."""
        out = [r for r in self.roles if not r.told and r.process.poll() is not None]
        for role in out:
            role.told = True
        return out


def become_subreaper() -> None:
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> list[int]:
    """The children of this process, with those that fell to it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            # After the name, which may hold anything: state, parent.
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                found.append(int(entry.name))
    return found


def reap(but: frozenset[int] = frozenset()) -> None:
    """Take note of the end of all children but those that somebody waits for."""
    for pid in _children():
        if pid not in but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def sweep(grace_s: float) -> bool:
    """End all that is left below this process, by force after `grace_s`; whether all has ended.

    What a child that ends leaves behind becomes a child.
    """
    began_s = time.monotonic()
    while True:
        reap()
        left = _children()
        if not left:
            return True
        waited_s = time.monotonic() - began_s
        if waited_s > grace_s + SWEEP_TIMEOUT_S:
            return False
        if waited_s >= grace_s:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)


def _read_line(stream: IO[bytes], timeout_s: float, stop: Stop) -> str:
    """The first line; empty when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not stop.wanted:
        readable, _, _ = select.select([stream], [], [], POLL_S)
        if readable:
            return stream.readline().decode("utf-8", "replace")
    return ""
