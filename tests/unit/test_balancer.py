"""A port at which HAProxy cannot listen takes nothing from the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pymesos_core.complaints import Complaints
from pymesos_core.coordination.standalone import lock_directory
from pymesos_lb.balancer import CONFIG, TRY_AGAIN_S, Balancer, log
from pymesos_lb.certificates import Certificates, read_certificate
from pymesos_lb.config import Doors, Layout
from pymesos_lb.main import doors_of, main
from pymesos_lb.routes import Route, Routes
from pymesos_lb.slots import HaProxy
from pymesos_testing.certificates import public_pem

HERE = frozenset({("10.0.0.1", 31000)})


class Machine:
    """A balancer whose HAProxy cannot listen at some ports; it goes on as it was if so."""

    def __init__(self, folder: Path, *bad: int) -> None:
        self.now_s, self.bad = 1000.0, set(bad)
        self.taken: set[int] = set()  # by somebody else, as is known before
        self.balancer = Balancer(
            "haproxy",
            folder,
            Doors("0.0.0.0"),
            lambda: self.now_s,
            lambda ip, port: port not in self.taken,
        )
        self.balancer._complaints = Complaints(log, lambda: self.now_s)
        self.balancer._takes = self.takes  # type: ignore[method-assign, assignment]
        self.process: Any = SimpleNamespace(pid=0, send_signal=self.start)
        self.listens: set[str] = set()
        self.starts = 0

    def start(self, number: int) -> None:
        """Have it read its configuration."""
        assert number == signal.SIGUSR2
        self.starts += 1
        lines = (self.balancer.folder / CONFIG).read_text().splitlines()
        wanted = {line.split()[1] for line in lines if line.startswith("  use_backend")}
        if self.bad.isdisjoint(int(name.partition(":")[2]) for name in wanted):
            self.listens = wanted

    async def takes(self, _: object, layout: Layout) -> bool:
        """Whether it has this layout."""
        return self.listens == {route.backend for route in layout.slots}

    async def look(self, *names: str) -> set[str]:
        """Have these be served, and return what it listens for, once they have been looked at."""
        routes = {Route(int(name.partition(":")[2]), name.partition(":")[0]) for name in names}
        served = self.balancer._remembered(Routes(dict.fromkeys(routes, HERE)))
        if self.balancer._layout.grown(served) != self.balancer._layout:
            await self.balancer._start_anew(self.process, served)
        return self.listens


async def test_after_a_restart_only_the_port_that_fails_is_left_out(tmp_path: Path) -> None:
    it = Machine(tmp_path, 22)
    everything = ("a:80", "b:80", "bad:22", "c:443", "d:8080")
    for _ in range(5):
        assert await it.look(*everything) == {"a:80", "b:80", "c:443", "d:8080"}
        it.now_s += TRY_AGAIN_S
    it.bad.clear()
    assert await it.look(*everything) == set(everything)


@pytest.mark.parametrize("new", [("c:443",), ("c:443", "b:80"), ("b:80",)])
async def test_a_bad_port_takes_nothing_from_what_comes_with_it(
    tmp_path: Path, new: tuple[str, ...]
) -> None:
    it = Machine(tmp_path, 22)
    assert await it.look("a:80") == {"a:80"}
    assert "a:80" in await it.look("a:80", "bad:22", *new)
    assert await it.look("a:80", "bad:22", *new) == {"a:80", *new}
    starts = it.starts
    await it.look("a:80", "bad:22", *new)
    assert it.starts == starts, "it is left out for a minute"


async def test_several_bad_ports_are_found(tmp_path: Path) -> None:
    it = Machine(tmp_path, 22, 25, 53)
    good = {f"h:{port}" for port in range(8000, 8010)}
    assert await it.look("h:22", "h:25", "h:53", *good) == good


async def test_what_is_served_stays_when_nothing_new_can_be(tmp_path: Path) -> None:
    it = Machine(tmp_path)
    await it.look("a:80")
    it.bad = {80}
    assert await it.look("a:80", "b:80") == {"a:80"}
    it.bad.clear()
    assert await it.look("a:80", "b:80") == {"a:80", "b:80"}


async def test_for_a_port_that_is_taken_nothing_is_started_anew(tmp_path: Path) -> None:
    it = Machine(tmp_path)
    await it.look("a:80")
    starts, it.taken = it.starts, {22}
    for _ in range(3):
        assert await it.look("a:80", "late:22") == {"a:80"}
        it.now_s += TRY_AGAIN_S
    assert it.starts == starts
    assert await it.look("a:80", "late:22", "b:80") == {"a:80", "b:80"}
    it.taken.clear()
    it.now_s += TRY_AGAIN_S
    assert await it.look("a:80", "late:22", "b:80") == {"a:80", "late:22", "b:80"}


async def test_what_haproxys_socket_does_not_take_is_read_by_one_that_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, asked = Machine(tmp_path), 0
    pem = public_pem("a")

    async def show(*_: object) -> list[str]:
        nonlocal asked
        asked += 1
        return ["large.pem"]

    monkeypatch.setattr(HaProxy, "show", show)
    held = Certificates(tmp_path / "none", tmp_path / "copies")
    held.held = {"large.pem": read_certificate(pem)}
    it.balancer.certificates = held
    await it.look("a:80")
    now = {Route(80, "a"): frozenset({("10.0.0.9", 31009)})}
    for _ in range(2):
        await it.balancer._show_certificates(it.process, held, now)
        assert (asked, it.starts) == (1, 2), "once for each change"
    assert it.balancer._accepted == {"large.pem": held.held["large.pem"].pem}, "it is in the file"
    config = (tmp_path / CONFIG).read_text()
    assert "10.0.0.9:31009" in config and "10.0.0.1:31000" not in config, "not those of before"
    await it.look("a:80", "b:80")
    assert it.balancer._accepted == {}, "another process reads the files: it is given them anew"


@pytest.mark.parametrize("ports, redirect", [((443,), None), ((), 80)])
def test_ports_of_tls_need_certificates(ports: tuple[int, ...], redirect: int | None) -> None:
    with pytest.raises(click.UsageError, match="give --certificates"):
        doors_of("127.0.0.1", Path("/x"), None, ports, redirect)


def test_where_clients_come_by_tls() -> None:
    doors = doors_of("127.0.0.1", Path("/x"), Path("/y"), (), 80)
    assert (doors.tls_ports, doors.certificates) == ((443,), "/x/certificates")
    with pytest.raises(click.UsageError, match="is a --tls-port, too"):
        doors_of("127.0.0.1", Path("/x"), Path("/y"), (80,), 80)


@pytest.mark.parametrize(
    ("folder", "found"), [("my lb", "' '"), ("a;b#c", "'#', ';'"), ("\u00fcber-lb", "")]
)
def test_a_folder_whose_path_haproxy_would_misread_is_refused(
    folder: str, found: str, tmp_path: Path
) -> None:
    wanted = tmp_path / folder
    no_program = ["--haproxy", str(tmp_path / "none")]
    ran = CliRunner().invoke(main, ["--master", "h:1", "--folder", str(wanted), *no_program])
    said = " ".join(ran.output.split())
    if not found:
        assert "install it" in said, "the folder is taken"
        return
    assert ran.exit_code == 2
    assert f"has {found} in it, which HAProxy does not take in a path" in said
    assert not wanted.exists()


def test_what_is_no_folder_and_no_level_of_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")

    def said(*arguments: str) -> str:
        ran = CliRunner().invoke(main, ["--master", "h:1", "--haproxy", "/bin/true", *arguments])
        assert ran.exit_code == 2, ran.output
        return " ".join(ran.output.split())

    no_folder = "'pipe' is no directory, and one is expected"
    assert f"Invalid value for '--certificates': {no_folder}" in said("--certificates", "pipe")
    assert f"Invalid value for '--folder': {no_folder}" in said("--folder", "pipe")
    assert "'x' is not one of 'debug', 'info'" in said("--log-level", "x")


def test_a_folder_that_cannot_be_made_or_is_anothers(tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        argv = ["-m", "pymesos_lb", "--master", "127.0.0.1:1", "--haproxy", "/bin/true"]
        ran = subprocess.run(
            [sys.executable, *argv, "--folder", folder], capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 1 and "Traceback" not in ran.stderr, ran.stderr
        return ran.stderr.splitlines()[-1]

    begin = "pymesos-lb: cannot use the folder"
    assert said(Path("/proc/x")) == f"{begin} (--folder): /proc/x: No such file or directory"
    lock = lock_directory(tmp_path)
    assert said(tmp_path).startswith(f"{begin}: {tmp_path} is in use by another process; stop")
    os.close(lock)
