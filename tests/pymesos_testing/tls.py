"""A cluster with certificates, as real processes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pymesos_testing.cli import Cli
from pymesos_testing.components import Role, Roles


class TlsCluster:
    """A master, an agent and the bin-packing framework, each with its certificate."""

    def __init__(self, roles: Roles, of_master: Sequence[str] = (), role: str = "*") -> None:
        """`of_master` are more flags of the master, `role` that of the framework."""
        self.roles = roles
        self.authority = self.make_authority("prod")
        self.master = roles.master("master", "--tls", self.issue("master/m1"), *of_master)
        self.agent = self.start_agent("node-1")
        self.binpack = self.start_binpack("binpack", role=role)
        self.cli = self.cli_of("operator/alice")
        self.cli.wait_for_agents(1)

    def make_authority(self, folder: str) -> Path:
        path = self.roles.folder / f"authority-{folder}"
        Cli("none").ok("cluster", "init", str(path), "--name", "prod")
        return path

    def issue(self, principal: str, authority: Path | None = None) -> str:
        """The folder with a certificate of that principal."""
        authority = authority or self.authority
        folder = self.roles.folder / f"{authority.name}-{principal.replace('/', '-')}"
        Cli("none").ok("cluster", "issue", str(authority), principal, str(folder))
        return str(folder)

    def start_agent(self, name: str, principal: str = "", work_dir: str = "") -> Role:
        more = ("--work-dir", str(self.roles.folder / work_dir)) if work_dir else ()
        return self.roles.agent(
            self.master.address,
            name,
            *("--tls", self.issue(f"agent/{principal or name}"), "--executor-port", "0"),
            *("--runtime", "process", "--kill-tasks-on-exit", *more),
        )

    def start_binpack(self, name: str, role: str = "*") -> Role:
        tls = self.issue(f"framework/{name}")
        return self.roles.binpack(self.master.address, name, "--tls", tls, "--role", role)

    def cli_of(self, principal: str, authority: Path | None = None) -> Cli:
        return TlsCli(self.master.address, self.issue(principal, authority))


class TlsCli(Cli):
    """Commands of somebody with a certificate."""

    def __init__(self, master: str, tls: str) -> None:
        super().__init__(master)
        self.tls = tls

    def argv(self, *arguments: str) -> list[str]:
        return [
            *(sys.executable, "-m", "pymesos_cli", "--tls", self.tls),
            *("--master", self.master, "--timeout", "5", *arguments),
        ]
