"""A cluster of real processes, each in a network namespace of its own, and what befalls it.

Members are killed with -9, stopped with SIGSTOP and cut off by iptables, at random; what
has ended is started again, as systemd would. Needs root, iproute2 and iptables.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pymesos_testing.components import INSTALL, ZK_SERVER, MissingError, end_supervisors, wait_for

BRIDGE = "pmchaos"
SUBNET = "10.77.13"
# Where a Docker engine has run, bridged packets pass a firewall that drops what it does not know.
FORWARDED = ("FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT")


def _run(*argv: str, check: bool = True) -> None:
    subprocess.run(argv, check=check, capture_output=True)


@dataclass
class Member:
    """One process in its namespace, and when it is to be started again."""

    name: str
    number: int  # the last part of its address
    argv: tuple[str, ...]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    continue_at: float | None = None
    back_at: float | None = None  # when it is not cut off any more

    @property
    def ip(self) -> str:
        return f"{SUBNET}.{self.number}"

    @property
    def namespace(self) -> str:
        return f"{BRIDGE}-{self.name}"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                ("ip", "netns", "exec", self.namespace, *self.argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=os.environ | self.env,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """To the process itself, or, for one that is wrapped in a shell, to its group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def iptables(self, *arguments: str) -> None:
        _run("ip", "netns", "exec", self.namespace, "iptables", "-w", *arguments)


class Chaos:
    """The members and the faults."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Raises MissingError."""
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
            raise MissingError(f"network namespaces need root, iproute2 and iptables; {INSTALL}")
        self.folder = folder
        self.random = random.Random(seed)
        self.members: list[Member] = []
        self.counts: Counter[str] = Counter()
        self.healing = False

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """A bridge, with this namespace at the address .254; all is gone at the end."""
        self._remove_network()
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        try:
            _run("ip", "address", "add", f"{SUBNET}.254/24", "dev", BRIDGE)
            _run("ip", "link", "set", BRIDGE, "up")
            _run("iptables", "-w", "-I", *FORWARDED)
            yield
        finally:
            self.close()
            self._remove_network()

    def _remove_network(self) -> None:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            if line.startswith(f"{BRIDGE}-"):
                _run("ip", "netns", "delete", line.split()[0], check=False)
        # A namespace with unfinished connections lives on for a while, and its link with it.
        for path in Path("/sys/class/net").glob(f"{BRIDGE}*"):
            _run("ip", "link", "delete", path.name, check=False)
        _run("iptables", "-w", "-D", *FORWARDED, check=False)

    def add(self, name: str, *argv: str, env: dict[str, str] | None = None) -> Member:
        """A member with an address of its own; not started yet. `{ip}` in its arguments is that."""
        number = len(self.members) + 1
        ip = f"{SUBNET}.{number}"
        log = self.folder / f"{name}.log"
        member = Member(name, number, tuple(a.replace("{ip}", ip) for a in argv), log, env or {})
        namespace, outside = member.namespace, f"{BRIDGE}{number}"
        _run("ip", "netns", "add", namespace)
        _run("ip", "link", "add", outside, "type", "veth", "peer", "eth0", "netns", namespace)
        _run("ip", "link", "set", outside, "master", BRIDGE, "up")
        for command in (
            ("address", "add", f"{ip}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run("ip", "-n", namespace, *command)
        self.members.append(member)
        return member

    def tend(self, seconds: float) -> None:
        """Let time pass: start what has ended, continue what was stopped, join what was cut off."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            for member in self.members:
                self._tend(member, now)
            time.sleep(0.05)

    def _tend(self, member: Member, now: float) -> None:
        if member.continue_at is not None and now >= member.continue_at:
            member.continue_at = None
            member.signal(signal.SIGCONT)
        if member.back_at is not None and now >= member.back_at:
            member.back_at = None
            member.iptables("-F")
        if not member.alive and now >= member.start_at:
            member.start()
            member.start_at = now + 1.0  # at the earliest, should it end at once

    def strike(self, victims: list[Member]) -> None:
        """One fault for one of these."""
        victim = self.random.choice(victims)
        fault = self.random.choice((self._kill, self._stop, self._cut_off, self._kill))
        fault(victim, time.monotonic())
        self.counts[f"{fault.__name__.strip('_')} {victim.name.rstrip('0123456789')}"] += 1

    def _kill(self, victim: Member, now: float) -> None:
        victim.signal(signal.SIGKILL)
        victim.start_at = now + self.random.uniform(0.1, 3)

    def _stop(self, victim: Member, now: float) -> None:
        victim.signal(signal.SIGSTOP)
        victim.continue_at = now + self.random.uniform(1, 8)

    def _cut_off(self, victim: Member, now: float) -> None:
        """From everybody, or from a random half; in both directions, or in one."""
        everybody = [m for m in self.members if m is not victim]
        others = self.random.choice((everybody, self.random.sample(everybody, len(everybody) // 2)))
        directions = self.random.choice((("INPUT", "-s"), ("OUTPUT", "-d"), None))
        for chain, flag in (("INPUT", "-s"), ("OUTPUT", "-d")):
            if directions in (None, (chain, flag)):
                addresses = ",".join(member.ip for member in others)
                victim.iptables("-A", chain, flag, addresses, "-j", "DROP")
        victim.back_at = now + self.random.uniform(1, 8)

    def heal(self) -> None:
        """No fault lasts on, and everything runs."""
        for member in self.members:
            if member.continue_at is not None:
                member.continue_at = 0.0
            if member.back_at is not None:
                member.back_at = 0.0
            member.start_at = 0.0

    def wait_for(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        """As `wait_for`, and things are tended meanwhile; what each member said last if in vain."""

        def tended() -> bool:
            self.tend(0.2)
            return condition()

        try:
            wait_for(what, tended, timeout_s)
        except AssertionError:
            for member in self.members:
                said = member.log.read_text(errors="replace") if member.log.exists() else ""
                print(f"--- {member.name}, {'alive' if member.alive else 'ended'}\n{said[-3000:]}")
            raise

    def close(self) -> None:
        """End everything."""
        for member in self.members:
            member.signal(signal.SIGCONT)
            member.signal(signal.SIGKILL)
        for member in self.members:
            if member.process is not None:
                member.process.wait()
        end_supervisors(self.folder)


def add_ensemble(chaos: Chaos, servers: int) -> str:
    """ZooKeeper servers; what stands between `zk://` and the path of their URL."""
    if not Path(ZK_SERVER).exists():
        raise MissingError(f"Debian's package zookeeper is missing; {INSTALL}")
    first = len(chaos.members) + 1
    addresses = [f"{SUBNET}.{first + n}" for n in range(servers)]
    for number, ip in enumerate(addresses, 1):
        folder = chaos.folder / f"zk{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "myid").write_text(str(number))
        peers = "".join(f"server.{n}={a}:2888:3888\n" for n, a in enumerate(addresses, 1))
        config = folder / "zoo.cfg"
        config.write_text(
            f"tickTime=500\ninitLimit=20\nsyncLimit=6\ndataDir={folder}/data\nclientPort=2181\n"
            f"clientPortAddress={ip}\nadmin.enableServer=false\nmaxClientCnxns=0\n"
            f"minSessionTimeout=1000\nmaxSessionTimeout=60000\n{peers}"
        )
        env = {
            "ZOO_LOG_DIR": str(folder),
            "ZOO_LOG4J_PROP": "WARN,CONSOLE",
            "JVMFLAGS": "-Xmx128m",
            "ZOOPIDFILE": str(folder / "pid"),
        }
        argv = ("bash", ZK_SERVER, "start-foreground", str(config))
        chaos.add(f"zk{number}", *argv, env=env)
    return ",".join(f"{ip}:2181" for ip in addresses)


def add_role(chaos: Chaos, name: str, module: str, *arguments: str) -> Member:
    """One of ours, listening on its address."""
    listen = ("--ip", "{ip}", "--no-auth", "--i-know", "--hostname", name)
    return chaos.add(name, sys.executable, "-m", module, *listen, *arguments)
