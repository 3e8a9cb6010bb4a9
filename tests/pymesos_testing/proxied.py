"""A service behind HAProxy that is asked all the time, while its versions change."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymesos_testing.cli import Cli
from pymesos_testing.components import INSTALL, MissingError, Roles, free_port, process, wait_for

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy/haproxy"
SLOTS = "slot 1-20"
ANSWERS_WITHIN_S = 10.0
FAILURES_KEPT = 20
MOST_ASKED = 1000  # at a time: what is due beyond that has failed
# What HAProxy counts where a server did not answer at once.
RETRIES = ("econ", "eresp", "wretr", "wredis", "hrsp_5xx")

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def shop(program: Path, instances: int, version: int = 1, **more: Any) -> str:
    """The file of the example's service, with shorter times; each answer takes a moment."""
    web = {
        "name": "web",
        "kind": "service",
        "instances": instances,
        "command": f"exec /usr/bin/python3 {program}",
        "resources": {"cpus": 0.1, "mem": 64},
        "env": {"VERSION": str(version), "WORK_S": "0.1"},
        "ports": [{"name": "http"}],
        "readiness_check": {"http": {"port_index": 0}, "delay_s": 0, "interval_s": 0.2},
        "shutdown": {"drain_s": 0.5, "grace_s": 10},
        "update": {"max_surge": "100%", "min_healthy_s": 0.3},
        **more,
    }
    return json.dumps({"name": "shop", "tasks": [web]})


@dataclass
class Load:
    """Requests at a steady rate, however slowly they are answered, from a thread of its own.

    Connections are kept and used in turn, as many as it takes.
    """

    port: int
    rate_per_s: float
    seconds: float = 0.0  # that it went on
    cpu_s: float = 0.0  # of this thread
    answered: Counter[str] = field(default_factory=Counter)  # by who did
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0  # from when a request was due
    over: threading.Event = field(default_factory=threading.Event)
    asked: int = 0  # that are not answered yet
    kept: deque[Connection] = field(default_factory=deque)  # that nobody uses just now

    @contextmanager
    def going(self) -> Iterator[Load]:
        """Have requests go on in this block."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        begin_s = time.monotonic()
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self.seconds = time.monotonic() - begin_s
            thread.join(2 * ANSWERS_WITHIN_S)
        assert not thread.is_alive()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        async with asyncio.TaskGroup() as group:
            while not self.over.is_set():
                while due_s <= loop.time():
                    if self.asked < MOST_ASKED:
                        self.asked += 1
                        group.create_task(self._ask_once(due_s))
                    else:
                        self._fail(f"{MOST_ASKED} requests wait for an answer")
                    due_s += 1 / self.rate_per_s
                await asyncio.sleep(due_s - loop.time())
        for _, writer in self.kept:
            writer.close()
        self.cpu_s = time.thread_time()

    async def _ask_once(self, due_s: float) -> None:
        connection = self.kept.popleft() if self.kept else None
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                who, is_over = await self._ask(*connection)
            self.answered[who] += 1
        except (OSError, ValueError, EOFError, TimeoutError) as error:
            is_over = True
            self._fail(repr(error))
        self.asked -= 1
        self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - due_s)
        if not is_over:
            assert connection is not None
            self.kept.append(connection)
        elif connection is not None:
            connection[1].close()

    def _fail(self, why: str) -> None:
        self.failed += 1
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(why)

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, bool]:
        """Return the answer to one request, and whether it is the last on this connection.

        Raises ValueError, OSError, EOFError.
        """
        writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, _, fields = head.partition("\r\n")
        length = int(fields.partition("content-length:")[2].partition("\r\n")[0] or 0)
        body = (await reader.readexactly(length)).decode()
        if status.split()[1] != "200":
            raise ValueError(f"{status}: {body}")
        return body.strip(), "connection: close" in head


@dataclass
class Proxied:
    """A master, an agent, a framework, HAProxy and what feeds it."""

    cli: Cli
    program: Path
    port: int
    admin: Path
    backend: str = "web"
    more: dict[str, Any] = field(default_factory=dict)  # that the service has

    def serving(self) -> bool:
        """Whether somebody answers through HAProxy."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\nHost: shop\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def stats(self) -> dict[str, str]:
        """What HAProxy counts of the whole backend."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.admin))
            connection.sendall(b"show stat\n")
            lines = connection.makefile().read().splitlines()
        names = lines[0].removeprefix("# ").split(",")
        rows = (dict(zip(names, line.split(","), strict=False)) for line in lines[1:] if line)
        name = self.backend
        return next(row for row in rows if (row["pxname"], row["svname"]) == (name, "BACKEND"))


@contextmanager
def proxied(roles: Roles, folder: Path) -> Iterator[Proxied]:
    """A cluster with the example of deploy/haproxy. Raises MissingError."""
    if not (haproxy := shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin")):
        raise MissingError(f"haproxy is missing; {INSTALL}")
    program = folder / "web.py"
    shutil.copy(EXAMPLE / "web.py", program)
    program.chmod(0o644)
    port, admin, config = free_port(), folder / "admin.sock", folder / "haproxy.cfg"
    text = (EXAMPLE / "haproxy.cfg").read_text()
    assert SLOTS in text
    for is_there, here in (("/run/haproxy/admin.sock", str(admin)), (":8080", f":{port}")):
        assert is_there in text
        text = text.replace(is_there, here)
    config.write_text(text)
    master = roles.master()
    local = ("--hostname", "localhost", "--runtime", "process", "--kill-tasks-on-exit")
    roles.agent(master.address, "agent", *local)
    roles.binpack(master.address)
    feed = (sys.executable, str(EXAMPLE / "feed.py"), "--master", master.address)
    of = ("--job", "shop", "--task", "web", "--backend", "web", "--socket", str(admin))
    with (
        process(haproxy, "-db", "-f", str(config), log=folder / "haproxy.log"),
        process(*feed, *of, log=folder / "feed.log"),
    ):
        yield Proxied(Cli(master.address), program, port, admin)


@contextmanager
def balanced(roles: Roles, folder: Path) -> Iterator[Proxied]:
    """A cluster with pymesos-lb. Raises MissingError."""
    if not shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin"):
        raise MissingError(f"haproxy is missing; {INSTALL}")
    program = folder / "web.py"
    shutil.copy(EXAMPLE / "web.py", program)
    program.chmod(0o644)
    port, own = free_port(), folder / "lb"
    master = roles.master()
    local = ("--hostname", "localhost", "--runtime", "process", "--kill-tasks-on-exit")
    roles.agent(master.address, "agent", *local)
    roles.binpack(master.address)
    lb = (sys.executable, "-m", "pymesos_lb", "--master", master.address, "--folder", str(own))
    more = {"expose": {"http": "shop", "port": port}}
    with process(*lb, log=folder / "lb.log"):
        it = Proxied(Cli(master.address), program, port, own / "admin.sock")
        it.backend, it.more = f"shop:{port}", more
        yield it


def change(it: Proxied, instances: int, times: int) -> list[float]:
    """Apply and roll back in turn, so many times in all; returns the seconds of each."""
    took_s: list[float] = []
    for number in range(times):
        begin_s = time.monotonic()
        if number % 2:
            it.cli.ok("rollback", "shop", "--wait")
        else:
            text = shop(it.program, instances, number + 2, **it.more)
            it.cli.ok("apply", "-", "--wait", text=text)
        took_s.append(time.monotonic() - begin_s)
    return took_s


def begin(it: Proxied, instances: int) -> None:
    """Have the service run, and be there through HAProxy."""
    it.cli.ok("apply", "-", "--wait", text=shop(it.program, instances, **it.more))
    wait_for("an answer through HAProxy", it.serving, 30)
