"""The page of the closed cluster, as it is written: three masters, three agents, and tokens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.joining import Invitation, read_invitation
from pymesos_testing.components import END_WITH_US, wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs/closed-cluster.md"
MASTERS = ["10.0.7.1", "10.0.7.2", "10.0.7.3"]
AGENTS = ["10.0.8.1", "10.0.8.2", "10.0.8.3"]
BIN = Path(sys.executable).parent
SERVERS = ("pymesos-master", "pymesos-agent")


def commands_of(machine: str) -> list[str]:
    """What the page says to do on a machine, which gives its own address."""
    text = PAGE.read_text("utf-8")
    for named, block in re.findall(r"<!-- machine ([\d. ]+) -->\n```sh\n(.*?)```", text, re.S):
        first, *_ = named.split()
        if machine in named.split():
            return [line.replace(f"--ip {first}", f"--ip {machine}") for line in block.splitlines()]
    raise AssertionError(f"the page says nothing of {machine}")


class Machines:
    """Folders for machines, whose addresses are of this machine's loopback."""

    def __init__(self, folder: Path, zk: str) -> None:
        self.folder = folder
        self.zk = zk
        self.servers: dict[str, subprocess.Popen[bytes]] = {}

    def __getitem__(self, machine: str) -> Path:
        made = self.folder / machine
        made.mkdir(exist_ok=True)
        return made

    def here(self, text: str) -> str:
        """What is written for the machines of the page, for this one."""
        return text.replace("zk://zk:2181/prod", self.zk).replace("10.0.", "127.0.")

    def do(self, machine: str, line: str) -> subprocess.CompletedProcess[str] | None:
        """Carry a command out; a server goes on."""
        folder = self[machine]
        env = os.environ | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYMESOS_MASTER_WORK_DIR": str(folder / "work"),
            "PYMESOS_AGENT_WORK_DIR": str(folder / "work"),
            "PYMESOS_AGENT_EXECUTOR_PORT": "0",  # of 127.0.0.1, which they share here
            "PYMESOS_AGENT_RUNTIME": "process",
            "PYMESOS_AGENT_KILL_TASKS_ON_EXIT": "yes",
            "PYMESOS_MASTER_ZK_SESSION_TIMEOUT": "2",
        }
        line = self.here(line)
        if not line.startswith(SERVERS):
            return subprocess.run(
                ["bash", "-euc", line], cwd=folder, env=env, capture_output=True, text=True,
                timeout=60,
            )  # fmt: skip
        log = folder / "log"
        with log.open("ab") as out:
            self.servers[machine] = subprocess.Popen(
                (*END_WITH_US, *shlex.split(line)),
                cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        wait_for(f"{machine} listens", lambda: "listening on" in log.read_text(), 30)
        return None

    def agents_by_http(self, machine: str, tls: Path, token: str = "") -> list[str]:
        """The agents that a master tells of, whether or not it leads: by a certificate or token."""
        (url,) = re.findall(r"^web (.*)$", (self[machine] / "log").read_text(), re.M)
        context = ssl.create_default_context(cafile=tls / "roots.pem")
        context.check_hostname = False
        if not token:
            context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        asked = urllib.request.Request(f"{url}/v1/agents", headers=headers)
        with urllib.request.urlopen(asked, timeout=20, context=context) as answer:
            return [agent["agent_id"] for agent in json.load(answer)["agents"]]

    def ok(self, machine: str, line: str) -> str:
        done = self.do(machine, line)
        if done is None:
            return ""
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def close(self) -> None:
        for server in self.servers.values():
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(signal.SIGTERM)
        for server in self.servers.values():
            server.wait(20)


@pytest.fixture
def machines(tmp_path: Path, zk_url: str) -> Iterator[Machines]:
    made = Machines(tmp_path, zk_url)
    try:
        yield made
    finally:
        made.close()


def test_the_page_runs_and_tokens_outlive_a_leader(machines: Machines) -> None:
    first, *others = MASTERS
    for line in commands_of(first):
        machines.ok(first, line)
    tokens = (machines[first] / "tokens").read_text().splitlines()
    joining = [*others, *AGENTS]
    assert len(tokens) == len(joining)
    for machine, token in zip(joining, tokens, strict=True):
        assert len(commands_of(machine)) <= 3
        join = machines[machine] / "join"
        join.touch(mode=0o600)
        join.write_text(token + "\n")
        for line in commands_of(machine):
            machines.ok(machine, line)
    operator = "pymesos-cli --tls ./prod/operator --master zk://zk:2181/prod"

    def active() -> int:
        return machines.ok(first, f"{operator} agents").count(" active ")

    wait_for("three agents", lambda: active() == 3, 30)
    seen = [
        machines.agents_by_http(master, machines[first] / "prod/operator") for master in MASTERS
    ]
    assert len(seen[0]) == 3 and seen[1:] == [seen[0]] * len(others), "whichever master is asked"
    token = machines.ok(first, f"{operator} token make --right read:**").strip()
    own = machines[first] / "prod/operator"
    for master in MASTERS:
        assert machines.agents_by_http(master, own, token) == seen[0]
    (named,) = json.loads(machines.ok(first, f"{operator} token list --json"))
    machines.ok(first, f"{operator} token revoke {named['id']}")
    for master in MASTERS:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            machines.agents_by_http(master, own, token)
    assert Credentials(machines[AGENTS[0]] / "tls").identity.principal == "agent/a1"
    keys = (machines[first] / "prod/master/secrets.key").read_bytes()
    for master in others:
        assert (machines[master] / "tls/secrets.key").read_bytes() == keys
    assert not list(machines[AGENTS[0]].glob("tls/secrets.key"))

    audit = machines.do(first, f"{operator} audit")
    assert audit is not None and audit.returncode == 0, audit
    assert "done Enrolment.Join" in audit.stdout
    assert audit.stderr.count("the master at ") == 3

    # A token is used, the leader dies, and the answer was lost: the same key gets it at the next.
    written = machines.ok(first, f"{operator} cluster token operator/alice").strip()
    ada = machines["ada"]
    machines.ok("ada", f"pymesos-cli cluster join alice {written}")
    (ada / "lost").mkdir()
    shutil.copy(ada / "alice/key.pem", ada / "lost/next-key.pem")  # with its mode
    machines.servers[first].kill()
    machines.servers[first].wait()
    wait_for("the next leader", lambda: active() == 3, 40)
    invitation = read_invitation(written)
    leader = re.search(r"127\.0\.7\.[23]", machines.ok(first, f"{operator} leader"))
    assert leader is not None
    for number, master in enumerate(others):  # the leader, and one that asks it
        at = HostPort(machines.here(master), 5053)
        elsewhere = Invitation(invitation.root, invitation.secret, at).written
        folder = "lost" if machines.here(master) == leader.group() else f"lost{number}"
        if folder != "lost":
            (ada / folder).mkdir()
            shutil.copy(ada / "alice/key.pem", ada / folder / "next-key.pem")
        machines.ok("ada", f"pymesos-cli cluster join {folder} {elsewhere}")
        assert Credentials(ada / folder).identity.principal == "operator/alice"
        thief = machines.do("thief", f"pymesos-cli cluster join mine {elsewhere}")
        assert thief is not None and thief.returncode == 1
        assert "was used before, with another key" in thief.stderr
    command = "pymesos-cli --tls lost --master zk://zk:2181/prod agents"
    assert machines.ok("ada", command).count(" active ") == 3
    for path in (log for log in machines.folder.glob("*/log")):
        for secret in (*tokens, written):
            assert secret.split(".")[2].partition("@")[0] not in path.read_text()
