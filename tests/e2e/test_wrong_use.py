"""Wrong use of the installed commands is a sentence, and no traceback."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import (
    Roles,
    free_port,
)

TOO_LONG = f"/{'x' * 300}"  # a path that cannot be looked at, by root either


class TestWrongUse:
    """Every error says what was wrong, what was expected, and what to do next."""

    @pytest.fixture(scope="class")
    @classmethod
    def cli(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
        roles = Roles(tmp_path_factory.mktemp("wrong"))
        yield Cli(roles.master().address)
        roles.close()

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (["tasks", "--nope"], 2, "there is no option"),
            (["nope"], 2, "there is no command 'nope'"),
            (["run"], 2, "give a job file, or a command after --"),
            (["run", "/no/such/file"], 2, "cannot read /no/such/file"),
            (["run", "a", "b"], 2, "one job file at a time"),
            (["run", "a", "--cpus", "1"], 2, "--cpus is for a command"),
            (["run", "--cpus", "x", "--", "true"], 2, "--cpus: 'x' is not a number"),
            (["run", "--cpus", "-1", "--", "true"], 2, "cannot be negative"),
            (["run", "--cpus", "nan", "--", "true"], 2, "is not a number"),
            (["run", "--cpus", "0.0001", "--", "true"], 2, "three decimals"),
            (["run", "--set", "a=1", "--", "true"], 2, "--set is for job files"),
            (["run", "--"], 2, "a command after --"),
            (["kill", "nothing"], 2, "there is no task 'nothing'"),
            (["logs", "nothing"], 2, "there is no task 'nothing'"),
            (["teardown", "nothing"], 2, "there is no framework 'nothing'"),
            (["gone", "--yes", "nothing"], 2, "there is no agent 'nothing'"),
            (["stop", "nothing"], 2, "there is no job 'nothing'"),
            (["local", "--agents", "0"], 2, "--agents"),
            (["local", "--resources", "cpus"], 2, "is not name:value"),
            (["--timeout", "x", "tasks"], 2, "--timeout"),
        ],
    )
    def test_is_said(self, cli: Cli, arguments: list[str], code: int, says: str) -> None:
        done = cli.run(*arguments)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr

    @pytest.mark.parametrize("command", ["tasks", "agents", "leader", "events", "offers"])
    def test_no_master(self, command: str) -> None:
        done = Cli(f"127.0.0.1:{free_port()}").run("--timeout", "0.5", command)
        assert done.returncode == 3
        assert "no master is reachable" in done.stderr and "--master" in done.stderr

    def test_no_zookeeper(self) -> None:
        done = Cli(f"zk://127.0.0.1:{free_port()}/x").run("--timeout", "1", "tasks")
        assert done.returncode == 3
        assert "no master is reachable" in done.stderr

    @pytest.mark.parametrize("master", ["nonsense", "zk://", "h:0"])
    def test_a_master_that_is_no_address(self, master: str) -> None:
        done = Cli(master).run("tasks")
        assert done.returncode == 2
        assert "--master" in done.stderr

    def test_an_empty_cluster_is_no_error(self, cli: Cli) -> None:
        assert "no tasks" in cli.ok("tasks")
        assert "no agents" in cli.ok("agents")
        assert cli.json("frameworks") == []

    def test_a_port_that_is_taken(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            flags = ["--port", str(taken.getsockname()[1])]
            argv = [sys.executable, "-m", "pymesos_binpack.main", "--listen", "--master", "h:1"]
            done = subprocess.run([*argv, *flags], capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "Address already in use" in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr

    @pytest.mark.parametrize(
        ("module", "arguments", "says"),
        [
            ("pymesos_master", ["--ip", "0.0.0.0"], "or in a laboratory --no-auth with --i-know"),
            ("pymesos_master", ["--ip", "0.0.0.0", "--no-auth", "--i-know"], "--advertise-ip"),
            ("pymesos_master", ["--ip", "nonsense"], "an IP address is expected"),
            ("pymesos_master", ["--hostname", "\x1b[31m"], "--hostname: "),
            ("pymesos_master", ["--hostname", ""], "--hostname: "),
            ("pymesos_master", ["--work-dir", ""], "a directory is expected"),
            ("pymesos_master", ["--offer-timeout", "nan"], "seconds from 0.05 to 86400"),
            ("pymesos_master", ["--zk", ""], "--zk: a ZooKeeper address starts with"),
            ("pymesos_agent", ["--master", "h:1", "--attributes", "x:\u202e"], "nobody sees"),
            ("pymesos_binpack", ["--listen", "--master", "h:1", "--name", "../x"], "has a slash"),
            ("pymesos_cli", ["--timeout", "nan", "tasks"], "is not a number; the range is"),
            ("pymesos_master", ["--zk", "nonsense"], "--zk: a ZooKeeper address starts with"),
            ("pymesos_agent", [], "--master is missing"),
            ("pymesos_agent", ["--master", "x"], "--master: 'x' lacks its port"),
            ("pymesos_agent", ["--master", "h:1", "--resources", "cpus:x"], "--resources: cpus"),
            ("pymesos_agent", ["--master", "h:1", "--attributes", "x"], "--attributes: 'x'"),
            ("pymesos_agent", ["recover"], "say --discard"),
            (
                *("pymesos_agent", ["recover", "--discard", "--work-dir", "/no/such"]),
                "there is no agent's checkpoint in /no/such",
            ),
            (
                "pymesos_agent",
                ["purge", "--work-dir", "/no/such"],
                "there is no agent's checkpoint",
            ),
            ("pymesos_agent", ["purge", "--work-dir", TOO_LONG], "File name too long; run this"),
            ("pymesos_agent", ["--master", "h:1", "--hide", TOO_LONG], "--hide: /xxx"),
            ("pymesos_binpack", ["--master", "h:1"], "give job files, or --listen"),
            ("pymesos_binpack", ["/no/such"], "--master is missing"),
            ("pymesos_binpack", ["/no/such", "--master", "h:1"], "cannot read /no/such"),
        ],
    )
    def test_servers(self, module: str, arguments: list[str], says: str) -> None:
        argv = [sys.executable, "-m", f"{module}.main", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        assert (done.returncode, says in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
