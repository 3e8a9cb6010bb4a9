"""Real components on loopback: ZooKeeper, a Docker engine with a busybox image, our own roles."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INSTALL = "install it with deploy/test-deps.sh"
ZK_SERVER = "/usr/share/zookeeper/bin/zkServer.sh"
# Debian's configuration leaves out what TLS needs of netty; the last -cp is the one that counts.
ZK_CLASSES = f"-cp {':'.join(f'/usr/share/java/{n}.jar' for n in ('zookeeper', 'netty-codec'))}"
ZK_TLS = """serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory
secureClientPort={0}
secureClientPortAddress=127.0.0.1
ssl.keyStore.type=PEM
ssl.keyStore.location={1}
ssl.trustStore.type=PEM
ssl.trustStore.location={1}
ssl.clientAuth=none
"""
BUSYBOX = "/bin/busybox"
IMAGE = "pymesos-test-busybox:1"
USERS = {
    "passwd": b"root:x:0:0::/:/bin/sh\napp:x:1234:2345::/home:/bin/sh\n",
    "group": b"root:x:0:\napp:x:2345:\nextra:x:3456:app\n",
}  # the files of the test images


# Of a test run that is killed nothing goes on: its servers get SIGTERM then (PR_SET_PDEATHSIG).
END_WITH_US = ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


class MissingError(Exception):
    """A component is not installed: the message says how to get it."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Poll until `condition`; AssertionError names `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)


def wait_until_it_serves(
    what: str,
    running: subprocess.Popen[bytes],
    log: Path,
    answers: Callable[[], bool],
    timeout_s: float,
) -> None:
    """Poll until the server `answers`; AssertionError shows the end of its log otherwise."""
    try:
        wait_for(what, lambda: running.poll() is not None or answers(), timeout_s)
        assert running.returncode is None, f"{what} has ended with status {running.returncode}"
    except AssertionError as error:
        raise AssertionError(f"{error}; its log ends so:\n{log.read_text()[-2000:]}") from None


@contextlib.contextmanager
def passable_folder() -> Iterator[Path]:
    """A folder that every user may pass through; pytest's own are closed."""
    with tempfile.TemporaryDirectory(
        dir="/var/tmp", prefix="pymesos-", ignore_cleanup_errors=True
    ) as name:
        Path(name).chmod(0o711)
        try:
            yield Path(name)
        finally:
            unmount_all(Path(name))  # volumes of agents that were killed


@contextlib.contextmanager
def process(
    *argv: str, log: Path, env: dict[str, str] | None = None, stop: int = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, its output in `log`."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            (*END_WITH_US, *argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, stop)
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


@dataclass
class ZooKeeper:
    """One server. `stop` and `start` take it away and bring it back with its data."""

    folder: Path
    port: int = field(default_factory=free_port)
    tls: Path | None = None  # its key and certificate; it serves TLS then, too
    secure_port: int = field(default_factory=free_port)
    heap_mib: int = 128
    _running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def secure_address(self) -> str:
        return f"127.0.0.1:{self.secure_port}"

    def start(self) -> None:
        """Raises MissingError."""
        if not Path(ZK_SERVER).exists():
            raise MissingError(f"Debian's package zookeeper is missing; {INSTALL}")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        config.write_text(
            f"tickTime=500\ndataDir={self.folder}/data\nclientPort={self.port}\n"
            f"clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n"
            f"minSessionTimeout=1000\nmaxSessionTimeout=60000\n4lw.commands.whitelist=*\n"
            + (ZK_TLS.format(self.secure_port, self.tls) if self.tls else "")
        )
        env = os.environ | {
            "ZOO_LOG_DIR": str(self.folder),
            "ZOO_LOG4J_PROP": "WARN,CONSOLE",
            "JVMFLAGS": f"-Xmx{self.heap_mib}m {ZK_CLASSES}",
            "ZOOPIDFILE": str(self.folder / "pid"),
        }
        log = self.folder / "zookeeper.log"
        argv = ("bash", ZK_SERVER, "start-foreground", str(config))
        running = self._running.enter_context(process(*argv, log=log, env=env))
        wait_until_it_serves("ZooKeeper", running, log, self._answers, 40)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"ruok")
                return connection.recv(4) == b"imok"
        except OSError:
            return False

    def stop(self) -> None:
        self._running.close()


def docker_works(host: str | None = None) -> bool:
    """Whether an engine answers."""
    env = os.environ | ({"DOCKER_HOST": host} if host else {})
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    with contextlib.suppress(OSError):
        return subprocess.run(argv, env=env, capture_output=True, timeout=20).returncode == 0
    return False


@contextlib.contextmanager
def docker_engine(folder: Path) -> Iterator[str]:
    """The address of an engine: the one that is there, or one started for the tests.

    Raises MissingError.
    """
    if not shutil.which("docker"):
        raise MissingError(f"docker is missing; {INSTALL}")
    if docker_works():
        yield os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        return
    try:
        with dockerd(folder) as host:
            yield host
    finally:
        unmount_all(folder)


@contextlib.contextmanager
def dockerd(folder: Path, stop: int = signal.SIGTERM) -> Iterator[str]:
    """An engine of the tests' own; started again in the same folder it has what it had.

    Raises MissingError.
    """
    if not shutil.which("docker") or not shutil.which("dockerd") or os.geteuid() != 0:
        raise MissingError(f"no Docker engine runs, and only root can start one; {INSTALL}")
    host = f"unix://{folder}/docker.sock"
    argv = (
        "dockerd",
        *("--host", host, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--pidfile", f"{folder}/docker.pid", "--log-level", "warn"),
    )
    log = folder / "dockerd.log"
    with process(*argv, log=log, stop=stop) as running:
        wait_until_it_serves("dockerd", running, log, lambda: docker_works(host), 60)
        yield host


def unmount_all(folder: Path) -> None:
    """What an engine has left mounted in its folder."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    left = [mount for mount in mounts if mount.startswith(str(folder))]
    if left:
        subprocess.run(["umount", "--lazy", *left], check=False)


def busybox_tree() -> bytes:
    """A tar of a root file system with busybox. Raises MissingError."""
    if not Path(BUSYBOX).exists():
        raise MissingError(f"busybox-static is missing; {INSTALL}")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True)
        for applet in applets.stdout.split():
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if applet != "busybox":
                tar.addfile(link)
        for name in ("tmp", "proc", "sys", "dev", "etc"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name, text in USERS.items():
            member = tarfile.TarInfo(f"etc/{name}")
            member.size, member.mode = len(text), 0o644
            tar.addfile(member, io.BytesIO(text))
    return buffer.getvalue()


def import_busybox(host: str) -> str:
    """Make the test image; its name."""
    subprocess.run(
        ["docker", "--host", host, "import", "--change", 'CMD ["/bin/sh"]', "-", IMAGE],
        input=busybox_tree(),
        check=True,
        capture_output=True,
    )
    return IMAGE


@dataclass
class Role:
    """One of our servers as a process of its own."""

    name: str
    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, timeout_s: float = 20.0) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


class Roles:
    """Starts our roles and ends those that are left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Role] = []

    def start(self, name: str, module: str, *arguments: str) -> Role:
        """Start `python -m MODULE`, and wait until it listens."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as errors:
            running = subprocess.Popen(
                [*END_WITH_US, sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert running.stdout is not None
        line = running.stdout.readline().decode()
        role = Role(name, running, line.removeprefix("listening on ").strip(), log)
        self._started.append(role)
        assert line.startswith("listening on "), f"{name}: {log.read_text()[-2000:]}"
        return role

    def master(self, name: str = "master", *arguments: str, port: int = 0) -> Role:
        return self.start(
            name,
            "pymesos_master",
            *("--port", str(port), "--work-dir", str(self.folder / name)),
            *("--agent-ping-timeout", "1", "--join-port", "0", *arguments),
        )

    def agent(self, master: str, name: str = "agent", *arguments: str) -> Role:
        """An agent whose tasks end with the test: --kill-tasks-on-exit, unless it is killed."""
        return self.start(
            name,
            "pymesos_agent",
            *("--port", "0", "--master", master, "--work-dir", str(self.folder / name)),
            *("--hostname", name, *arguments),
        )

    def binpack(self, master: str, name: str = "binpack", *arguments: str) -> Role:
        return self.start(
            name,
            "pymesos_binpack",
            *("--listen", "--master", master, "--state-dir", str(self.folder / name)),
            *arguments,
        )

    def last_words(self) -> list[tuple[str, str]]:
        """What each logged at last, for the report of a test that failed."""
        ends = [(role.name, role.log.read_text(errors="replace")[-2000:]) for role in self._started]
        return [(f"end of the log of {name}", text) for name, text in ends if text]

    def close(self) -> None:
        """End what is left, and the supervisors with it."""
        for role in self._started:
            if role.process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    role.signal(signal.SIGCONT)
                    role.signal(signal.SIGTERM)
        for role in self._started:
            try:
                role.process.wait(20)
            except subprocess.TimeoutExpired:
                role.kill()
            if role.process.stdout is not None:
                role.process.stdout.close()
        end_supervisors(self.folder)


def end_supervisors(folder: Path) -> None:
    """Kill the supervisors that serve a directory below `folder`, and their containers."""
    for pid in supervisors(folder):
        for child in descendants(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def supervisors(folder: Path) -> list[int]:
    """The pids of the supervisors that serve a directory below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text() == "pymesos-keeper\n":
                continue  # a fork of one, which ends with its container
            argv = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if any(" pymesos_agent." in a and "supervisor" in a for a in argv) and (
                str(folder) in argv[-2]
            ):
                found.append(int(entry.name))
    return found


def cpu_s_of(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def descendants(pid: int) -> list[int]:
    """All processes below one, but for a supervisor's spawner."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text() != "pymesos-spawner\n":
                found += [int(child), *descendants(int(child))]
    return found
