"""`local`: a whole cluster in the foreground on loopback, and nothing left of it afterwards.

Two processes: the one that was called waits and passes signals on, and a child of it, the keeper,
starts the installed roles and ends them. Both are subreapers, so that what outlives its agent on
purpose (supervisors, with the tasks below them) falls to one of them when the agent is killed. The
kernel tells the keeper when the first one dies, and the roles when the keeper does: whichever of
them gets kill -9, another ends the rest. Neither imports gRPC.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from pymesos_cli.local import bound
from pymesos_core import resources
from pymesos_core.resources import Resources
from pymesos_core.text import count_of

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
SWEEP_TIMEOUT_S = 10.0
POLL_S = 0.05
PORTS_PER_AGENT = 50
DEFAULT_AGENT = "cpus:2;mem:1024;disk:1024"
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_libc = ctypes.CDLL(None, use_errno=True)


class LocalError(Exception):
    """The cluster cannot start: the message says which part and shows what it said."""


class _StoppedError(Exception):
    """A signal came while the cluster was starting."""


def _wanted_signals() -> list[signal.Signals]:
    """All, but for what nohup has made us deaf to."""
    deaf = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (deaf and number == signal.SIGHUP)]


@dataclass
class Stop:
    """What signals have said: to stop, and then not to wait for anything."""

    asked: int = 0

    def install(self) -> None:
        """Count the signals from now on."""
        for number in _wanted_signals():
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.asked += 1

    @property
    def wanted(self) -> bool:
        """Whether to stop."""
        return self.asked > 0

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
    told: bool = False  # that it has ended

    @property
    def is_agent(self) -> bool:
        """Whether the cluster goes on without it."""
        return self.name.startswith("agent")

    def last_words(self) -> str:
        """How it has ended, if it has, and what it wrote last."""
        status = self.process.poll()
        how = "" if status is None else f"it has ended with status {status}: "
        if status is not None and status < 0:
            how = f"it was ended by {signal.Signals(-status).name}: "
        try:
            lines = self.log.read_text("utf-8", "replace").splitlines()[-10:]
        except OSError as error:
            return f"{how}what it wrote cannot be read from {self.log}: {error.strerror}"
        said = "".join(f"\n  {line}" for line in lines)
        return f"{how}the last of {self.log}:{said}" if lines else f"{how}it wrote nothing"


@dataclass
class LocalCluster:
    """The children, in the order they were started."""

    folder: Path
    stopping: Stop = field(default_factory=Stop)
    roles: list[Role] = field(default_factory=list)

    def start(self, name: str, *argv: str) -> Role:
        """Start a role and wait for the line with its address. Raises LocalError."""
        if self.stopping.wanted:
            raise _StoppedError
        role = self._start(name, argv)
        self.roles.append(role)
        self._wait_until_it_listens(role)
        return role

    def _start(self, name: str, argv: tuple[str, ...]) -> Role:
        log = self.folder / f"{name}.log"
        try:
            errors = log.open("ab")
        except OSError as error:
            raise LocalError(f"cannot write {log}: {error.strerror}") from error
        with errors:
            process = subprocess.Popen(
                [*bound.argv_of(os.getpid()), sys.executable, "-m", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        return Role(name, process, log, argv)

    def _wait_until_it_listens(self, role: Role) -> None:
        assert role.process.stdout is not None
        line = _read_line(role.process.stdout, START_TIMEOUT_S, self.stopping)
        if self.stopping.wanted:
            raise _StoppedError
        if not line.startswith("listening on "):
            raise LocalError(f"{role.name} did not start; {role.last_words()}")
        role.address = line.removeprefix("listening on ").strip()

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


def _become_subreaper() -> None:
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


def _reap(but: frozenset[int] = frozenset()) -> None:
    """Take note of the end of all children but those that somebody waits for."""
    for pid in _children():
        if pid not in but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _sweep(grace_s: float) -> bool:
    """End all that is left below this process, by force after `grace_s`; whether all has ended.

    What a child that ends leaves behind becomes a child.
    """
    began_s = time.monotonic()
    while True:
        _reap()
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


def port_block(size: int, taken: set[int]) -> int:
    """The first of `size` adjacent ports that are free now, below the ephemeral ones."""
    for _ in range(1000):
        first = random.randrange(10_000, 32_000 - size, size)  # noqa: S311 - no secret
        ports = range(first, first + size)
        if taken.isdisjoint(ports) and all(_is_free(port) for port in ports):
            taken.update(ports)
            return first
    raise LocalError(f"no {size} adjacent free ports are left between 10000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def start_cluster(
    folder: Path,
    agents: int,
    runtime: str,
    given: Resources,
    port: int,
    log_level: str,
    stopping: Stop,
) -> LocalCluster:
    """Master, agents and the bin-packing framework. Raises LocalError; what started is stopped."""
    cluster = LocalCluster(folder, stopping)
    try:
        level = ("--log-level", log_level)
        master = cluster.start(
            "master",
            "pymesos_master.main",
            *("--port", str(port), "--work-dir", str(folder / "master")),
            *("--agent-ping-timeout", "2", *level),
        )
        taken: set[int] = set()
        for index in range(agents):
            name = f"agent-{index + 1}"
            offered = resources.parse(DEFAULT_AGENT)
            offered = Resources(
                {**offered.scalars, **given.scalars}, given.ranges, given.sets, given.tagged
            )
            if "ports" not in offered.ranges:
                first = port_block(PORTS_PER_AGENT, taken)
                ports = ((first, first + PORTS_PER_AGENT - 1),)
                offered = offered + Resources(ranges={"ports": ports})
            cluster.start(
                name,
                "pymesos_agent.main",
                *("--port", "0", "--master", master.address, "--work-dir", str(folder / name)),
                *("--hostname", name, "--resources", str(offered), "--runtime", runtime),
                *("--kill-tasks-on-exit", *level),
            )
        cluster.start(
            "binpack",
            "pymesos_binpack.main",
            *("--listen", "--master", master.address, "--state-dir", str(folder / "binpack")),
            *level,
        )
    except BaseException:
        cluster.stop()
        raise
    return cluster


def run_local(agents: int, runtime: str, given: Resources, port: int, log_level: str) -> int:
    """Run until Ctrl-C or SIGTERM; the exit status. Raises LocalError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="pymesos-local-"))
        folder.chmod(0o755)
    except OSError as error:
        raise LocalError(
            f"a temporary folder for the cluster cannot be made: {error.strerror or error}. Make"
            f" room there, or name another with TMPDIR"
        ) from error
    _become_subreaper()
    parent = os.getpid()
    sys.stdout.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none is lost before it can be passed on
    keeper = os.fork()
    if keeper == 0:
        _be_keeper(
            parent, lambda stop: _keep(folder, agents, runtime, given, port, log_level, stop)
        )
    with _passing_on(keeper):
        _, status = os.waitpid(keeper, 0)
    if os.WIFSIGNALED(status):
        # The roles were told by the kernel, and are our children now.
        print("the keeper of the cluster was killed; ending what is left …", file=sys.stderr)
        _sweep(STOP_TIMEOUT_S)
    else:
        _sweep(0.0)
    shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1


@contextlib.contextmanager
def _passing_on(keeper: int) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, number)

    before = {number: signal.signal(number, pass_on) for number in _wanted_signals()}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _be_keeper(parent: int, keep: Callable[[Stop], int]) -> None:
    """In the child: keep the cluster, and end. Does not return."""
    status = 1
    try:
        os.setsid()  # Ctrl-C comes through the parent alone, once
        bound.die_with_parent()
        _become_subreaper()
        stop = Stop()
        stop.install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if os.getppid() != parent:
            stop.asked += 1  # it has ended before it could be told
        status = keep(stop)
    except LocalError as error:
        print(f"Error: {error}", file=sys.stderr)
    except BaseException as error:  # it must not go back into the caller's work
        with contextlib.suppress(Exception):
            print(f"pymesos-cli local: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _keep(
    folder: Path,
    agents: int,
    runtime: str,
    given: Resources,
    port: int,
    log_level: str,
    stop: Stop,
) -> int:
    """Run the cluster until it is to stop; the exit status. Raises LocalError.

    Nothing is left of it, also when it is to stop while it starts.
    """
    try:
        cluster = start_cluster(folder, agents, runtime, given, port, log_level, stop)
        return _until_it_stops(cluster, agents, stop)
    except _StoppedError:
        return 1
    finally:
        _sweep(0.0)
        shutil.rmtree(folder, ignore_errors=True)


def _until_it_stops(cluster: LocalCluster, agents: int, stop: Stop) -> int:
    failed = False
    try:
        _greet(cluster, agents)
        while not stop.wanted and not failed:
            time.sleep(0.2)
            for role in cluster.ended():
                print(f"{role.name} is gone; {role.last_words()}", file=sys.stderr)
                failed = failed or not role.is_agent
                if all(role.told for role in cluster.roles if role.is_agent):
                    print(
                        "no agent is left, so nothing runs; Ctrl-C ends the rest", file=sys.stderr
                    )
            if not cluster.folder.is_dir():
                print(f"the cluster's folder {cluster.folder} was removed", file=sys.stderr)
                failed = True
            _reap(frozenset(role.process.pid for role in cluster.roles))
    finally:
        with contextlib.suppress(Exception):  # whoever reads it may have gone
            again = "" if failed else " (Ctrl-C again: at once, without waiting for tasks)"
            print(f"stopping{again} …", file=sys.stderr, flush=True)
        well = cluster.stop()
    return 1 if failed or not well else 0


def _greet(cluster: LocalCluster, agents: int) -> None:
    address = cluster.roles[0].address
    print(f"master {address}", flush=True)
    print(
        f"{count_of(agents, 'agent')} and a bin-packing framework; logs and sandboxes are in"
        f" {cluster.folder}\n"
        f"try, in another terminal:\n"
        f"  export PYMESOS_MASTER={address}\n"
        f"  pymesos-cli run -- echo hello\n"
        f"  pymesos-cli agents\n"
        f"Ctrl-C ends it, with all its tasks",
        flush=True,
    )
