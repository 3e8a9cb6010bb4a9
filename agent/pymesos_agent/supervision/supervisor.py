"""The process that starts and reaps the containers of the `process` and `oci` runtimes.

It outlives the agent, so it is small: the standard library only, one thread, run with `python -I
-S` so that nothing else is imported. It is a child subreaper: what a container leaves behind
becomes its child. What it is made of is imported as it starts, because an upgrade replaces the
files around it while it runs:

    protocol.py     what an agent says to it, and it to the agent
    agent_link.py   its socket, and who may speak there
    launching.py    starts containers, by spawning.py, or by a fork and then becoming.py
    keeping.py      the process between it and a container that no cgroup holds together
    reaping.py      its children, and how they end
    processes.py    what else is of a container, and ends with it
    outputs.py      copies what containers write into their sandboxes
    limits.py       looks after the memory of containers

It ends when no agent is connected and no container is left; after a SIGTERM as soon as none runs.

If the supervisor itself is killed, its containers go on under the next subreaper or init; the next
supervisor finds them by PYMESOS_CONTAINER_ID in their environment and watches them through pidfds.
Their exit status is then nobody's to know, and is reported as null.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import sys
import time

import pymesos_agent.supervision.hiding  # noqa: F401 - for `become`, before an upgrade replaces it
from pymesos_agent.supervision import launching, spawning
from pymesos_agent.supervision.agent_link import AgentLink
from pymesos_agent.supervision.container import Container
from pymesos_agent.supervision.keeping import become_subreaper
from pymesos_agent.supervision.launching import Launcher
from pymesos_agent.supervision.limits import MemoryWatch, check_oom, check_pids, raise_limit
from pymesos_agent.supervision.outputs import Outputs
from pymesos_agent.supervision.processes import Processes
from pymesos_agent.supervision.procfs import belongs
from pymesos_agent.supervision.protocol import VERSION
from pymesos_agent.supervision.reaping import Children
from pymesos_agent.supervision.spawning import Spawner

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

LINGER_S = 0.02  # how often the remains of an ended container are killed again
ORPHANED_GRACE_S = 5.0  # how long a supervisor without an agent and containers waits
FAILED_S = 0.05  # how long it waits after a fault of its own, which may come again at once
MAX_DOUBTS = 10


class Supervisor:
    """The loop, and the lives of the containers, from the launch to the end."""

    def __init__(self, secret: str, program: str) -> None:
        """`program` is the spawner's; `secret`, what an agent has to say: see AgentLink."""
        self.selector = selectors.DefaultSelector()
        self.containers: dict[str, Container] = {}
        self.lingering: dict[str, Container] = {}  # their main process ended, others are left
        self.idle_since = time.monotonic()
        self.wake_read = -1  # a pipe that signals write to, once it is open
        self.told_to_end = False  # by SIGTERM
        self.problem = ""  # what it said last of its own faults
        self.agent = AgentLink(self.selector, secret, self.on_line, self.on_agent_left)
        self.spawner = Spawner(program, self.selector)
        self.children = Children(self.spawner, self.on_child_ended)
        self.processes = Processes(self.children, self.containers.keys())
        self.memory = MemoryWatch(self.containers, self.kill)
        self.launcher = Launcher(
            self.selector,
            self.spawner,
            self.children,
            on_started=self.on_started,
            on_failed=self.on_failed,
            kill=self.kill,
        )

    def open(self, directory: str) -> None:
        """Listen for an agent, and for the ends of children. Raises OSError."""
        self.agent.listen(directory)
        self.wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # of a terminal
        signal.signal(signal.SIGTERM, self.on_sigterm)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self.on_wake)

    # The loop.

    def run(self) -> None:
        while not self.may_end():
            for key, _ in self.selector.select(self.wait_s()):
                self.attempt(key.data)
            now = time.monotonic()
            self.attempt(self.spawner.look_at, now)
            if self.memory.is_due(now):
                self.attempt(self.memory.sample, now)
            for container in list(self.lingering.values()):
                self.attempt(self.finish, container)
            self.attempt(self.agent.flush)

    def attempt(self, call: Callable[..., object], *arguments: Any) -> None:
        """What nobody foresaw about one container does not leave the others to nobody."""
        try:
            call(*arguments)
        except Exception as error:
            problem = f"{getattr(call, '__qualname__', call)} failed: {error!r}\n"
            if problem != self.problem:
                self.problem = problem
                with contextlib.suppress(OSError):
                    sys.stderr.write(problem)
            time.sleep(FAILED_S)

    def wait_s(self) -> float | None:
        if self.lingering:
            return LINGER_S
        if self.memory.has_any():
            return self.memory.wait_s()
        if self.spawner.is_waiting:
            return spawning.ANSWER_TIMEOUT_S
        return None if self.agent.is_connected or self.containers else 0.5

    def on_sigterm(self, *_: object) -> None:
        """Not before its containers have ended: nobody else can say how they do."""
        self.told_to_end = True

    def may_end(self) -> bool:
        if self.told_to_end and all(c.gone for c in self.containers.values()):
            return True
        if self.agent.is_connected or self.containers:
            self.idle_since = time.monotonic()
            return False
        return self.idle_since + ORPHANED_GRACE_S < time.monotonic()

    # What the agent says.

    def on_agent_left(self) -> None:
        self.idle_since = time.monotonic() - ORPHANED_GRACE_S

    def on_line(self, line: bytes) -> None:
        # One of another version, say, takes neither the next ones nor the containers with it.
        self.attempt(lambda: self.handle(json.loads(line)))

    def handle(self, message: Message) -> None:
        op = message["op"]
        if op == "hello":
            views = [c.view() for c in self.containers.values()]
            hello = {"ev": "hello", "version": VERSION, "pid": os.getpid(), "containers": views}
            self.agent.send(hello)
        elif op == "launch":
            self.launch(message)
        elif op == "kill":
            container = self.containers.get(message["id"])
            if container is not None and not container.gone:
                self.kill(container, message["signal"])
        elif op == "forget":
            container = self.containers.get(message["id"])
            if container is not None and container.gone:
                del self.containers[container.id]
        elif op == "limit":
            container = self.containers.get(message["id"])
            if container is not None:
                raise_limit(container.watch, message["rss_limit_bytes"])
        elif op == "adopt":
            self.adopt(message)
        elif op == "shutdown":
            for container in list(self.containers.values()):
                if not container.gone:
                    self.kill(container, signal.SIGKILL)

    # Starting.

    def new_container(self, container_id: str, pid: int, watch: Message) -> Container:
        return Container(container_id, pid, watch, Outputs(self.selector))

    def launch(self, spec: Message) -> None:
        if spec["id"] in self.containers:
            return  # asked twice; once is enough
        container = self.new_container(spec["id"], 0, spec.get("watch") or {})
        container.helper = spec.get("helper")
        try:
            container.outputs.open(spec["logs"])
            self.launcher.launch(container, spec)
        except Exception as error:
            container.outputs.close()
            problem = f"cannot start it: {error}"
            self.agent.send({"ev": "failed", "id": spec["id"], "error": problem})
            return
        self.containers[container.id] = container

    def on_started(self, container: Container) -> None:
        """Tell the agent that the container's program is executed."""
        self.agent.send({"ev": "started", "id": container.id, "pid": container.pid})
        if container.main_ended:
            self.finish(container)
        elif container.pending_signal:
            self.kill(container, container.pending_signal)

    def on_failed(self, container: Container, error: str) -> None:
        container.gone = True
        container.outputs.close()
        del self.containers[container.id]
        self.agent.send({"ev": "failed", "id": container.id, "error": error})

    def on_helper_ended(self, container: Container, helper: Message, status: int) -> None:
        """The container runs and its first process is our child now, or the helper said why not."""
        container.helper = None
        try:
            container.pid = launching.started_by(helper, status)
        except launching.HelperError as error:
            self.on_failed(container, str(error))
            return
        self.agent.send({"ev": "started", "id": container.id, "pid": container.pid})
        has_ended = self.children.claim(container.pid, container)
        if container.pending_signal and not has_ended:
            self.kill(container, container.pending_signal)

    def adopt(self, spec: Message) -> None:
        """Watch a container that an earlier supervisor started."""
        container_id, pid, watch = spec["id"], spec["pid"], spec.get("watch") or {}
        if container_id in self.containers:
            return
        container = self.new_container(container_id, pid, watch)
        self.containers[container_id] = container
        with contextlib.suppress(OSError):
            container.outputs.open(spec["logs"])
        if pid and belongs(pid, container_id, watch.get("cgroup_procs", "")):
            with contextlib.suppress(OSError):
                container.adopted_fd = os.pidfd_open(pid)
        if container.adopted_fd is None:
            container.main_ended = True
            self.finish(container)
            return

        def ended() -> None:
            if not container.main_ended:
                self.on_main_ended(container)

        self.selector.register(container.adopted_fd, selectors.EVENT_READ, ended)

    # Ending.

    def on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_read, 65536)
        self.children.reap()

    def on_child_ended(self, container: Container, status: int) -> None:
        """Handle the end of a container's main process, keeper or helper."""
        if container.helper is not None:
            self.on_helper_ended(container, container.helper, status)
        else:
            container.status = status
            self.on_main_ended(container)

    def on_main_ended(self, container: Container) -> None:
        container.main_ended = True
        check_oom(container)
        check_pids(container)
        if container.error_fd is None and not container.gone:
            self.finish(container)

    def finish(self, container: Container) -> None:
        """Kill what the main process left behind; when nothing is left, report."""
        if self.kill_remains(container):
            return
        self.lingering.pop(container.id, None)
        container.gone = True
        if container.adopted_fd is not None:
            self.selector.unregister(container.adopted_fd)
            os.close(container.adopted_fd)
            container.adopted_fd = None
        container.outputs.close()
        self.agent.send({"ev": "exited", **container.view()})

    def kill_remains(self, container: Container) -> bool:
        """Kill what is left of it, as far as it is found; whether something may be left still."""
        if container.namespaced:
            return False
        # What was found once is followed up thoroughly.
        is_lingering = container.id in self.lingering
        if not is_lingering and self.processes.are_surely_over(container):
            return False
        if members := self.processes.members(container):
            self.lingering[container.id] = container
            for pid in members:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            return True
        if container.doubts < MAX_DOUBTS and self.processes.are_in_doubt():
            # One that executes a program just now has no environment to tell whose it is.
            container.doubts += 1
            self.lingering[container.id] = container
            return True
        return False

    def kill(self, container: Container, number: int) -> None:
        """Send a signal to all of it: as soon as it runs its program, if it does not yet.

        Until then there may be no process of it, or one that has our handlers still.
        """
        if container.helper is not None or container.error_fd is not None:
            container.pending_signal = max(container.pending_signal, number, key=signal_rank)
            if container.helper is not None or not container.pid or number != signal.SIGKILL:
                return
            # It may never get to its program: its sandbox may be of a server that is away.
        if container.namespaced:
            if not container.main_ended:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(container.pid, number)
            return
        for pid in self.processes.members(container):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if number == signal.SIGKILL and container.main_ended and container.error_fd is None:
            self.lingering[container.id] = container


def signal_rank(number: int) -> int:
    """SIGKILL beats all others."""
    return signal.NSIG if number == signal.SIGKILL else number


def main() -> None:
    directory = sys.argv[1]
    lock = os.open(
        os.path.join(directory, "supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    deadline = time.monotonic() + 10
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                sys.exit("another supervisor serves this directory")
            time.sleep(0.05)
    os.umask(0o022)
    try:
        become_subreaper()
    except OSError as error:
        sys.exit(f"cannot become a subreaper: {error.strerror}")
    supervisor = Supervisor(sys.stdin.readline().strip(), spawning.PROGRAM)
    supervisor.open(directory)
    os.write(1, b"ready\n")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    supervisor.run()


if __name__ == "__main__":
    main()
