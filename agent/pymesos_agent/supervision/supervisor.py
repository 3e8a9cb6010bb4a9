"""The process that starts and reaps the containers of the `process` and `oci` runtimes.

It outlives the agent, so it is small: the standard library only, one thread, run with `python -I
-S` so that nothing else is imported. It is a child subreaper: what a container leaves behind
becomes its child. An agent speaks to it over a Unix socket, one JSON object per line:

    agent → supervisor                            supervisor → agent
    {"op": "hello", "version": 5, "secret": …}    {"ev": "hello", "version": 5, "containers": […]}
    {"op": "launch", "id": …, "argv": […], …}     {"ev": "started", "id": …, "pid": …}
                                                  {"ev": "failed", "id": …, "error": …}
    {"op": "kill", "id": …, "signal": 15}         {"ev": "exited", "id": …, "status": …, …}
    {"op": "limit", "id": …, "rss_limit_bytes": …}
    {"op": "forget", "id": …}
    {"op": "adopt", "id": …, "pid": …}
    {"op": "shutdown"}

A container that has ended is remembered until the agent says "forget", so that a restarted agent
learns how it ended. The supervisor ends when no agent is connected and no container is left; after
a SIGTERM as soon as none runs.

An agent is upgraded while its containers run, so it may be newer than its supervisor, or older.
Both say their version, and the agent keeps to what the lower one has: a key or an `op` that is new
comes with a new version, and what is there never changes its meaning.
Supervisors of earlier versions are kept in tests/integration/data, and spoken to by the tests.

    2: since the first release
    3: "ids" in a launch, instead of "user"
    4: "secret" in a hello; without, only root is answered. "hidden" and "own_uid" in a launch
    5: "limit", and "no_new_privileges" and "has_path_of_agent" in a launch; any signal in a kill,
       where keepers heeded all but SIGTERM

It answers who has its own user or is root, is no process of a container nor started by the agent
that is connected, and says the secret that was written to its standard input as it started. The
secret keeps out other programs of its user. A task that has the agent's user may read it, and is
told by its descent alone, which cannot always be seen: see docs/security.md.

It is one file and one class, longer than others of the house, on purpose: it is all that stands
between a task and being nobody's, an upgrade replaces the files around it while it runs, and every
handler of its one loop works on the same few dictionaries. It is read as a whole, or not at all.

If the supervisor itself is killed, its containers go on under the next subreaper or init; the next
supervisor finds them by PYMESOS_CONTAINER_ID in their environment and watches them through pidfds.
Their exit status is then nobody's to know, and is reported as null.

A container that no cgroup holds together has a keeper (`pymesos-keeper` in `ps -o comm`): a fork of
the supervisor that is the parent of its main process, and a child subreaper. Whatever leaves its
session and its environment stays below the keeper, which kills all of it after the main process,
and ends as that did. If the container has a user that is nobody else's (`own_uid`), it also kills
all that has that user: what entered the container, and has gone elsewhere.

A small compiled program forks in our place, where there is one: see spawning.py.

What containers write comes through named pipes. A container holds both ends of its own, so that
nothing is lost, and nobody gets SIGPIPE, while no supervisor reads.

A launch with a `pid_file` is that of a helper (crun, runc), which makes the container and ends; the
container's first process is in the file, and becomes our child as the helper ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import selectors
import signal
import socket
import struct
import sys
import time

import pymesos_agent.supervision.hiding  # noqa: F401 - for `become`, before an upgrade replaces it
from pymesos_agent.files.logfile import RotatingLog
from pymesos_agent.supervision import spawning
from pymesos_agent.supervision.becoming import become
from pymesos_agent.supervision.keeping import (
    become_subreaper,
    children,
    content,
    keep,
    process_table,
    stat_of,
)
from pymesos_agent.supervision.spawning import Spawner, request_of, unfinished

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Message = dict[str, Any]

VERSION = 5
SAMPLE_S = 0.1  # how often memory is looked at
LINGER_S = 0.02  # how often the remains of an ended container are killed again
ORPHANED_GRACE_S = 5.0  # how long a supervisor without an agent and containers waits
ORPHAN_S = 1.0
FAILED_S = 0.05  # how long it waits after a fault of its own, which may come again at once
MAX_DOUBTS = 10
MAX_CALLERS = 8  # that have not said hello yet
MAX_HELLO_BYTES = 4096
MAX_LINE_BYTES = 4 * 1024 * 1024
CHUNK_BYTES = 64 * 1024  # as much as a pipe holds
MAX_LAST_WORDS_BYTES = 16 * 1024 * 1024  # of an ended container, should something go on writing
CHANGEABLE_SIGNALS = sorted(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))
ID_KEY = b"PYMESOS_CONTAINER_ID="
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Output:
    """What one stream of a container says, on its way into the sandbox."""

    def __init__(self, path: str, log: RotatingLog) -> None:
        """Raises OSError."""
        self.path = path
        self.log = log
        # For reading and writing: it never ends for us before we close it.
        self.pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def copy(self) -> int:
        """A chunk, as far as there is one; its size."""
        if self.pipe < 0:
            return 0  # closed by what was handled just before
        try:
            data = os.read(self.pipe, CHUNK_BYTES)
        except BlockingIOError:
            return 0
        self.log.write(data)
        return len(data)

    def close(self) -> None:
        """After the last words."""
        total = 0
        while (size := self.copy()) and total < MAX_LAST_WORDS_BYTES:
            total += size
        os.close(self.pipe)
        self.pipe = -1
        self.log.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def raise_limit(watch: Message, rss_limit_bytes: int) -> None:
    """Let a container use more memory; what it has is not taken back."""
    watch["rss_limit_bytes"] = max(watch.get("rss_limit_bytes", 0), rss_limit_bytes)


class Container:
    """One container: its main process, and whatever that started."""

    def __init__(self, container_id: str, pid: int, watch: Message) -> None:
        self.id = container_id
        self.pid = pid  # of its main process; of its helper, until that has ended
        self.keeper = 0  # the pid of its keeper, if it has one
        self.helper: Message | None = None  # {"pid_file": …, "error_log": …} while there is one
        self.pending_signal = 0  # asked for while it was being started
        self.namespaced = bool(watch.get("namespaced"))  # all of it ends with its first process
        self.outputs: list[Output] = []
        self.folder: int | None = None  # its sandbox, as long as there are outputs
        self.watch = watch  # {"rss_limit_bytes": …} or {"oom_file": …} or {}, and the like
        self.status: int | None = None  # exit code, or minus the signal; None: unknown
        self.limit: str | None = None  # "memory" when it was killed for going over it
        self.peak_bytes = 0
        self.pids_refused = 0  # how often it wanted more processes than it may have
        self.main_ended = False
        self.doubts = 0  # how often something may have been left of it that nobody knew
        self.gone = False  # every process of it has ended
        self.adopted_fd: int | None = None  # a pidfd, for one that is not our child
        self.error_fd: int | None = None  # the launch pipe, until the program has been executed

    def view(self) -> Message:
        """What an agent is told."""
        state = "exited" if self.gone else "running"
        return {
            "id": self.id,
            "pid": 0 if self.helper else self.pid,
            "state": state,
            "status": self.status,
            "limit": self.limit,
            "peak_bytes": self.peak_bytes,
            "pids_refused": self.pids_refused,
        }


class Supervisor:
    """The loop and all it knows."""

    def __init__(self, directory: str, secret: str) -> None:
        self.directory = directory
        self.secret = secret  # empty: started by an agent of an earlier version
        self.containers: dict[str, Container] = {}
        self.by_pid: dict[int, Container] = {}
        # Status and time of what was reaped before the helper whose it may be.
        self.orphans: dict[int, tuple[int, float]] = {}
        self.selector = selectors.DefaultSelector()
        self.callers: dict[socket.socket, bytes] = {}  # and what they said so far
        self.client: socket.socket | None = None
        self.client_pid = 0
        self.inbox = b""
        self.outbox = b""
        self.is_blocked = False  # what is in it waits for the agent to read
        self.idle_since = time.monotonic()
        self.next_sample = 0.0
        self.lingering: dict[str, Container] = {}  # their main process ended, others are left
        self.told_to_end = False  # by SIGTERM
        self.spawner = Spawner(spawning.PROGRAM, self.selector)
        self.problem = ""  # what it said last of its own faults
        self.listener = self.listen()
        self.wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # of a terminal
        signal.signal(signal.SIGTERM, self.on_sigterm)
        self.selector.register(self.wake_read, selectors.EVENT_READ, self.on_wake)
        self.selector.register(self.listener, selectors.EVENT_READ, self.on_connect)

    def listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        folder = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
        # A path through the folder's descriptor stays below the limit of 108 bytes.
        path = f"/proc/self/fd/{folder}/supervisor.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        listener.bind(path)
        os.umask(mask)
        os.close(folder)
        listener.listen(4)
        return listener

    # The loop.

    def run(self) -> None:
        while not self.may_end():
            for key, _ in self.selector.select(self.wait_s()):
                self.attempt(key.data)
            now = time.monotonic()
            self.attempt(self.spawner.look_at, now)
            if now >= self.next_sample and self.watched():
                self.next_sample = now + SAMPLE_S
                self.attempt(self.sample)
            for container in list(self.lingering.values()):
                self.attempt(self.finish, container)
            self.attempt(self.flush)

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

    def watched(self) -> bool:
        return any(c.watch and not c.main_ended for c in self.containers.values())

    def wait_s(self) -> float | None:
        if self.lingering:
            return LINGER_S
        if self.watched():
            return max(0.0, self.next_sample - time.monotonic())
        if self.spawner.is_waiting:
            return spawning.ANSWER_TIMEOUT_S
        return None if self.client or self.containers else 0.5

    def on_sigterm(self, *_: object) -> None:
        """Not before its containers have ended: nobody else can say how they do."""
        self.told_to_end = True

    def may_end(self) -> bool:
        if self.told_to_end and all(c.gone for c in self.containers.values()):
            return True
        if self.client or self.containers:
            self.idle_since = time.monotonic()
            return False
        return self.idle_since + ORPHANED_GRACE_S < time.monotonic()

    # The agent's side.

    def on_connect(self) -> None:
        caller, _ = self.listener.accept()
        caller.setblocking(False)
        pid, uid = peer(caller)
        if uid not in (0, os.geteuid()) or self.is_of_a_task(pid):
            caller.close()
            return
        while len(self.callers) >= MAX_CALLERS:
            self.drop_caller(next(iter(self.callers)))
        self.callers[caller] = b""
        self.selector.register(caller, selectors.EVENT_READ, lambda: self.on_hello(caller))

    def is_of_a_task(self, caller: int) -> bool:
        """Whether a process descends from us, or from the agent: neither does another agent.

        Where /proc hides the processes of others (`hidepid`), an agent's ancestors are seen up to
        the first of them. Those of a task can be read, unless one hides itself: our secret then
        stands before the caller.
        """
        pid = caller
        while pid > 1:
            if pid == os.getpid() or (pid == self.client_pid and pid != caller):
                return True
            try:
                pid = int(stat_of(pid)[1])
            except OSError:
                # Who knows what it was, if it has ended.
                return pid == caller or not is_there(pid)
        return False

    def on_hello(self, caller: socket.socket) -> None:
        """Listen to what somebody says first; who says it right is the agent from now on."""
        try:
            data = caller.recv(MAX_HELLO_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop_caller(caller)
            return
        self.callers[caller] += data
        line, newline, rest = self.callers[caller].partition(b"\n")
        if not newline and len(line) < MAX_HELLO_BYTES:
            return
        pid, uid = peer(caller)
        if not self.is_hello(line, uid):
            self.drop_caller(caller)
            return
        self.selector.unregister(caller)
        del self.callers[caller]
        self.drop_client()  # a newer agent replaces the older
        self.client, self.client_pid, self.inbox, self.outbox = caller, pid, b"", b""
        self.is_blocked = False
        self.selector.register(caller, selectors.EVENT_READ, self.on_readable)
        self.take(line + b"\n" + rest)

    def is_hello(self, line: bytes, uid: int) -> bool:
        """Root needs no secret: it may read ours, and an agent of an earlier version has none."""
        try:
            message = json.loads(line)
            known = not self.secret or uid == 0 or message.get("secret") == self.secret
            return bool(known and message["op"] == "hello")
        except (ValueError, LookupError, TypeError, AttributeError):
            return False

    def drop_caller(self, caller: socket.socket) -> None:
        self.selector.unregister(caller)
        del self.callers[caller]
        caller.close()

    def drop_client(self) -> None:
        if self.client is not None:
            self.selector.unregister(self.client)
            self.client.close()
            self.client, self.client_pid = None, 0
            self.idle_since = time.monotonic() - ORPHANED_GRACE_S
            # Nothing was lost: what the next agent must know is in the answer to its hello.

    def on_readable(self) -> None:
        self.flush()
        if self.client is None:
            return
        try:
            data = self.client.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop_client()
            return
        self.take(data)

    def take(self, data: bytes) -> None:
        self.inbox += data
        *lines, self.inbox = self.inbox.split(b"\n")
        if len(self.inbox) > MAX_LINE_BYTES:
            self.drop_client()
            return
        for line in lines:
            # One of another version, say, takes neither the next ones nor the containers with it.
            self.attempt(lambda text: self.handle(json.loads(text)), line)

    def send(self, message: Message) -> None:
        """Say something to the agent, together with all else of one turn of the loop."""
        if self.client is not None:
            self.outbox += json.dumps(message).encode() + b"\n"

    def flush(self) -> None:
        while self.client is not None and self.outbox:
            try:
                sent = self.client.send(self.outbox)
            except BlockingIOError:
                break
            except OSError:
                self.drop_client()
                return
            self.outbox = self.outbox[sent:]
        if self.client is not None and bool(self.outbox) != self.is_blocked:
            self.is_blocked = not self.is_blocked
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.outbox else 0)
            self.selector.modify(self.client, events, self.on_readable)

    def handle(self, message: Message) -> None:
        op = message["op"]
        if op == "hello":
            views = [c.view() for c in self.containers.values()]
            self.send({"ev": "hello", "version": VERSION, "pid": os.getpid(), "containers": views})
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

    def launch(self, spec: Message) -> None:
        if spec["id"] in self.containers:
            return  # asked twice; once is enough
        container = Container(spec["id"], 0, spec.get("watch") or {})
        container.helper = spec.get("helper")
        try:
            self.open_outputs(container, spec["logs"])
            if container.helper:
                container.pid = self.spawn(spec)
                self.by_pid[container.pid] = container
            else:
                self.fork(container, spec)
        except Exception as error:
            self.close_outputs(container)
            self.send({"ev": "failed", "id": spec["id"], "error": f"cannot start it: {error}"})
            return
        self.containers[container.id] = container

    def spawn(self, spec: Message) -> int:
        """Start a helper, without the copy of ourselves that a fork makes. Raises OSError."""
        streams: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        for number, path in enumerate(spec["logs"]["pipes"], 1):
            streams.append((os.POSIX_SPAWN_OPEN, number, path, os.O_RDWR, 0))
        return os.posix_spawn(
            spec["argv"][0],
            spec["argv"],
            spec["env"],
            file_actions=streams,
            setsid=True,
            setsigdef=CHANGEABLE_SIGNALS,
        )

    def fork(self, container: Container, spec: Message) -> None:
        """Start a container's main process, or its keeper. Raises OSError.

        Its spawner says later what it has started: see `spawned`.
        """
        request = request_of(spec) if self.spawner.is_ready() else None
        error_read, error_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if request is None or not self.spawner.spawn(
                request, error_write, lambda pid: self.spawned(container, pid)
            ):
                self.fork_here(container, spec, error_write)
        except OSError:
            os.close(error_read)
            raise
        finally:
            os.close(error_write)
        container.error_fd = error_read
        self.selector.register(
            error_read, selectors.EVENT_READ, lambda: self.on_executed(container)
        )

    def fork_here(self, container: Container, spec: Message, error_fd: int) -> None:
        """Start it without a spawner. Raises OSError."""
        pid = os.fork()
        if pid == 0:
            if spec.get("cgroups"):
                self.turn_into(spec, error_fd)
            keep(lambda: self.turn_into(spec, error_fd), error_fd, spec.get("own_uid", 0))
        if spec.get("cgroups"):
            container.pid = pid
        else:
            container.keeper = pid
        self.by_pid[pid] = container

    def spawned(self, container: Container, pid: int | None) -> None:
        """The spawner has said what it started; None: it has ended without a word."""
        if pid is not None and pid > 0:
            container.pid = pid
            self.by_pid[pid] = container
            if pid in self.orphans:
                self.reaped(pid, self.orphans.pop(pid)[0])
            elif container.pending_signal == signal.SIGKILL and not container.gone:
                self.kill(container, signal.SIGKILL)
            return
        why = "its spawner does not answer" if pid is None else os.strerror(-pid)
        if pid is None:
            self.end_unknown(container.id)
        if not container.gone:
            self.close_error_pipe(container)
            self.failed(container, f"cannot start it: {why}")

    def end_unknown(self, container_id: str) -> None:
        """Kill what the spawner may have started of a container before it failed."""
        with contextlib.suppress(OSError):
            others = self.unknown_children()
            own = [pid for pid in others if environment_id(pid) == container_id]
            for pid in (*own, *unfinished(others)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def turn_into(self, spec: Message, error_fd: int) -> NoReturn:
        """In the child: turn into the container's main process, or say why not and end."""
        try:
            signal.set_wakeup_fd(-1)
            for number in CHANGEABLE_SIGNALS:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())  # as the spawner does
            os.setsid()
            if "user" in spec:  # of an agent that speaks version 2
                spec["ids"] = ids_of(spec["user"])
            become(spec, spec["logs"]["pipes"])
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(error_fd, str(error).encode("utf-8", "backslashreplace")[:4000])
        finally:
            os._exit(127)

    def open_outputs(self, container: Container, logs: Message) -> None:
        """The named pipes and the files they go to. Raises OSError."""
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        container.folder = os.open(logs["folder"], flags)
        owner = tuple(logs["owner"]) if logs.get("owner") else None
        for name, path in zip(("stdout", "stderr"), logs["pipes"], strict=True):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(path, 0o600)
                if owner is not None:
                    os.chown(path, *owner)
            log = RotatingLog(container.folder, name, logs["max_bytes"], logs["files"], owner)
            try:
                output = Output(path, log)
            except OSError:
                log.close()
                raise
            container.outputs.append(output)
            self.selector.register(output.pipe, selectors.EVENT_READ, output.copy)

    def close_outputs(self, container: Container) -> None:
        """With all that is still in them."""
        for output in container.outputs:
            self.selector.unregister(output.pipe)
            output.close()
        container.outputs.clear()
        if container.folder is not None:
            os.close(container.folder)
            container.folder = None

    def on_executed(self, container: Container) -> None:
        """The launch pipe closed: executed, unless the child wrote why not."""
        problem = b""
        if container.keeper == container.pid == 0:
            self.spawner.hear()  # whose answer was there before
        if container.error_fd is None:
            return  # it was started by nobody
        with contextlib.suppress(BlockingIOError):
            problem = os.read(container.error_fd, 4096)
        if container.keeper and not container.pid:
            first, newline, problem = problem.partition(b"\n")
            if not newline:
                problem = first or b"cannot start it: it was killed at once"
            else:
                container.pid = int(first)
                if not problem:
                    return  # it executes its program next, or says why it cannot
        self.close_error_pipe(container)
        if problem:
            self.failed(container, problem.decode("utf-8", "replace"))
            return
        self.send({"ev": "started", "id": container.id, "pid": container.pid})
        if container.main_ended:
            self.finish(container)
        elif container.pending_signal:
            self.kill(container, container.pending_signal)

    def close_error_pipe(self, container: Container) -> None:
        if container.error_fd is not None:
            self.selector.unregister(container.error_fd)
            os.close(container.error_fd)
            container.error_fd = None

    def failed(self, container: Container, error: str) -> None:
        container.gone = True
        self.close_outputs(container)
        del self.containers[container.id]
        self.send({"ev": "failed", "id": container.id, "error": error})

    def helper_ended(self, container: Container, status: int) -> None:
        """The container runs and its first process is our child now, or the helper said why not."""
        helper, container.helper = container.helper, None
        assert helper is not None
        try:
            with open(helper["pid_file"]) as pid_file:
                container.pid = int(pid_file.read())
        except (OSError, ValueError) as error:
            status = status or 1
            problem = str(error)
        else:
            problem = f"it ended with status {status}"
        if status != 0:
            self.failed(container, last_error(helper["error_log"]) or problem)
            return
        self.by_pid[container.pid] = container
        self.send({"ev": "started", "id": container.id, "pid": container.pid})
        if container.pid in self.orphans:
            self.reaped(container.pid, self.orphans.pop(container.pid)[0])
        elif container.pending_signal:
            self.kill(container, container.pending_signal)

    # Ending.

    def on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake_read, 65536)
        self.spawner.hear()  # or what it has started were nobody's
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self.reaped(pid, os.waitstatus_to_exitcode(status))
        # The kernel gives us the child of a helper a moment before it lets us reap the helper.
        if self.spawner.is_waiting:
            return  # they may be what it has started just now
        long_ago = time.monotonic() - ORPHAN_S
        self.orphans = {p: (s, at) for p, (s, at) in self.orphans.items() if at > long_ago}

    def reaped(self, pid: int, status: int) -> None:
        container = self.by_pid.pop(pid, None)
        if pid == self.spawner.pid:
            self.spawner.reaped()
        elif container is None:
            self.orphans[pid] = (status, time.monotonic())
        elif container.helper is not None:
            self.helper_ended(container, status)
        else:
            container.status = status
            self.main_ended(container)

    def main_ended(self, container: Container) -> None:
        container.main_ended = True
        self.check_oom(container)
        if path := container.watch.get("pids_file"):
            with contextlib.suppress(OSError, ValueError):
                container.pids_refused = int(content(path).removeprefix(b"max "))
        if container.error_fd is None and not container.gone:
            self.finish(container)

    def finish(self, container: Container) -> None:
        """Kill what the main process left behind; when nothing is left, report."""
        if not (container.namespaced or self.is_surely_over(container)):
            if members := self.members(container):
                self.lingering[container.id] = container
                for pid in members:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
                return
            if container.doubts < MAX_DOUBTS and self.in_doubt():
                # One that executes a program just now has no environment to tell whose it is.
                container.doubts += 1
                self.lingering[container.id] = container
                return
        self.lingering.pop(container.id, None)
        container.gone = True
        if container.adopted_fd is not None:
            self.selector.unregister(container.adopted_fd)
            os.close(container.adopted_fd)
            container.adopted_fd = None
        self.close_outputs(container)
        self.send({"ev": "exited", **container.view()})

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
        for pid in self.members(container):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if number == signal.SIGKILL and container.main_ended and container.error_fd is None:
            self.lingering[container.id] = container

    def members(self, container: Container) -> list[int]:
        """The live processes of a container, its main process first.

        By its cgroup where it has one, and by session, ancestry and the id in the environment.
        """
        found: dict[int, None] = {}
        if not container.main_ended and not container.keeper:
            found[container.pid] = None
        found.update(dict.fromkeys(self.grouped(container)))
        found.update((pid, None) for pid in self.search(container))
        found.pop(os.getpid(), None)
        return list(found)

    def grouped(self, container: Container) -> list[int]:
        """Return the processes in a container's cgroup, if it has one."""
        if path := container.watch.get("cgroup_procs"):
            with contextlib.suppress(OSError):
                return [int(pid) for pid in content(path).split()]
        return []

    def is_surely_over(self, container: Container) -> bool:
        """Whether there is nothing that could be left of it, which is told quickly.

        Neither a process in its cgroup or its process group, nor an orphan among our children. What
        was found once is followed up thoroughly.
        """
        if container.id in self.lingering or self.grouped(container):
            return False
        try:
            os.killpg(container.pid, 0)
            return False
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        try:
            return not self.orphaned_children()
        except OSError:
            return False

    def in_doubt(self) -> bool:
        """Whether there is an orphan among our children of which nobody knows whose it is."""
        with contextlib.suppress(OSError):
            return any(environment(pid) == b"" for pid in self.orphaned_children())
        return False

    def unknown_children(self) -> set[int]:
        """Return our children that we did not start. Raises OSError."""
        return children() - self.by_pid.keys() - {self.spawner.pid}

    def orphaned_children(self) -> set[int]:
        """Return our unknown children that the spawner is not starting just now. Raises OSError."""
        others = self.unknown_children()
        if others and self.spawner.is_waiting:
            self.spawner.hear()  # what it has said by now
            others -= self.by_pid.keys()
            others.difference_update(unfinished(others))
        return others

    def search(self, container: Container) -> list[int]:
        """All processes that descend from it, share its session, or carry its id; the main first.

        With a keeper the main process is one of those: its pid may be another's once it has ended.
        """
        parents, sessions, zombies = process_table()
        mine = {pid for pid, session in sessions.items() if session == container.pid != 0}
        if not container.main_ended:
            mine.add(container.keeper or container.pid)
        for pid in parents:
            owner = environment_id(pid)
            if owner == container.id:
                mine.add(pid)
            elif (
                container.keeper
                and container.main_ended
                and parents[pid] == os.getpid()
                and pid not in self.by_pid
                and pid != self.spawner.pid
                and owner not in self.containers
            ):
                mine.add(pid)  # left by its keeper, which was killed
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in mine} - mine
            mine |= more
            grown = bool(more)
        left = mine - zombies - {container.keeper}
        return sorted(left, key=lambda pid: (pid != container.pid, pid))

    # Limits.

    def sample(self) -> None:
        """Kill what uses more memory than it may: by RSS, or since its cgroup killed one of it."""
        by_rss: dict[int, Container] = {}
        for container in self.containers.values():
            if container.main_ended:
                continue
            if container.watch.get("rss_limit_bytes"):
                if container.error_fd is None:  # else it is a copy of us still
                    by_rss[container.keeper or container.pid] = container
            elif container.watch.get("oom_file") and container.helper is None:
                self.check_oom(container)
                if container.limit:
                    self.kill(container, signal.SIGKILL)
        if not by_rss:
            return
        used = resident_bytes(by_rss)
        for pid, container in by_rss.items():
            container.peak_bytes = max(container.peak_bytes, used.get(pid, 0))
            if used.get(pid, 0) > container.watch["rss_limit_bytes"]:
                container.limit = "memory"
                self.kill(container, signal.SIGKILL)

    def check_oom(self, container: Container) -> None:
        """Whether the kernel has killed a process of it for its memory limit."""
        path = container.watch.get("oom_file")
        if not path or container.limit:
            return
        with contextlib.suppress(OSError):
            for line in content(path).splitlines():
                name, _, value = line.partition(b" ")
                if name == b"oom_kill" and int(value) > 0:
                    container.limit = "memory"
        if not container.limit:
            return  # nobody asks for its peak
        peak_path = container.watch.get("peak_file", "")
        with contextlib.suppress(OSError, ValueError):
            container.peak_bytes = max(container.peak_bytes, int(content(peak_path)))

    # Its own death.

    def adopt(self, spec: Message) -> None:
        """Watch a container that an earlier supervisor started."""
        container_id, pid, watch = spec["id"], spec["pid"], spec.get("watch") or {}
        if container_id in self.containers:
            return
        container = Container(container_id, pid, watch)
        self.containers[container_id] = container
        with contextlib.suppress(OSError):
            self.open_outputs(container, spec["logs"])
        if pid and belongs(pid, container_id, watch.get("cgroup_procs", "")):
            with contextlib.suppress(OSError):
                container.adopted_fd = os.pidfd_open(pid)
        if container.adopted_fd is None:
            container.main_ended = True
            self.finish(container)
            return

        def ended() -> None:
            if not container.main_ended:
                self.main_ended(container)

        self.selector.register(container.adopted_fd, selectors.EVENT_READ, ended)


def peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and the user of who connected, as the kernel saw them do it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid


def is_there(pid: int) -> bool:
    """Whether a process has not been reaped yet, though it may be another user's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def ids_of(user: str) -> tuple[int, int, list[int]] | None:
    """A user of this machine; None for the agent's own. Raises LookupError."""
    if not user:
        return None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(entry.pw_name, entry.pw_gid)


def last_error(path: str) -> str:
    """What a helper wrote last into its log, as a line of JSON or bare; empty when it did not."""
    line = ""
    try:
        with open(path) as file:
            line = file.read().splitlines()[-1]
        return str(json.loads(line)["msg"])
    except (OSError, ValueError, LookupError, TypeError):
        return line


def signal_rank(number: int) -> int:
    """SIGKILL beats all others."""
    return signal.NSIG if number == signal.SIGKILL else number


def belongs(pid: int, container_id: str, cgroup_procs: str) -> bool:
    """Whether a process is of a container: by its environment, or by the container's cgroup."""
    if environment_id(pid) == container_id:
        return True
    with contextlib.suppress(OSError), open(cgroup_procs) as procs:
        return str(pid) in procs.read().split()
    return False


def environment(pid: int) -> bytes:
    """A process's environment as it was started; nothing when that may not be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return environ.read()
    except OSError:
        return b""


def environment_id(pid: int) -> str | None:
    """The container id in a process's environment, if it may be read and is there."""
    for entry in environment(pid).split(b"\0"):
        if entry.startswith(ID_KEY):
            return entry[len(ID_KEY) :].decode("utf-8", "replace")
    return None


def resident_bytes(mains: dict[int, Container]) -> dict[int, int]:
    """The summed resident memory of each main process and all that belongs to it."""
    parents, sessions, _ = process_table()
    used = dict.fromkeys(mains, 0)
    for pid in parents:
        if pid in mains and pid == mains[pid].keeper:
            continue  # ours
        owner = pid
        for _ in range(64):
            if owner in mains or owner not in parents:
                break
            owner = sessions[owner] if sessions[owner] in mains else parents[owner]
        if owner not in mains:
            continue
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm", "rb") as statm:
            used[owner] += int(statm.read().split()[1]) * PAGE_BYTES
    return used


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
    supervisor = Supervisor(directory, sys.stdin.readline().strip())
    os.write(1, b"ready\n")
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    supervisor.run()


if __name__ == "__main__":
    main()
