"""What serves is found by DNS: on every agent and master, while things change and masters go."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import dnslib
import pytest

from pymesos_agent.containers.settings import NetworkSettings
from pymesos_core.addresses import parse_host_port
from pymesos_core.discovery.following import FOLLOW
from pymesos_core.discovery.forwarding import PORT
from pymesos_core.discovery.resolver import bind
from pymesos_core.discovery.zone import DOMAIN
from pymesos_core.outside import outside_with
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1.names_pb2 import FollowNamesRequest, KeptNames
from pymesos_testing.cli import Cli
from pymesos_testing.components import INSTALL, Role, Roles, free_port, process, wait_for
from pymesos_testing.tls import TlsCluster

WEB = "web.shop.pymesos"
SERVE = ("--runtime", "process", "--kill-tasks-on-exit", "--dns-port", "0")


def dns_of(role: Role) -> int:
    """The port that it says, after its address."""
    assert role.process.stdout is not None
    while line := role.process.stdout.readline().decode():
        if line.startswith("dns "):
            return int(line.rpartition(":")[2])
    raise AssertionError(f"{role.name} says no port of DNS")


def ask(port: int, name: str, kind: str = "A", *, tcp: bool = False) -> dnslib.DNSRecord:
    packet = dnslib.DNSRecord.question(name, kind).send("127.0.0.1", port, tcp=tcp, timeout=5)
    return dnslib.DNSRecord.parse(packet)


def targets(port: int, *, tcp: bool = False) -> list[int]:
    """The ports of the service."""
    reply = ask(port, f"_http._tcp.{WEB}", "SRV", tcp=tcp)
    return sorted(record.rdata.port for record in reply.rr)


def wait_for_targets(port: int, are_there: Callable[[list[int]], bool]) -> None:
    wait_for(f"the targets at {port}", lambda: are_there(targets(port)))


def shop(instances: int, *, version: int = 1) -> str:
    web = {
        "name": "web",
        "kind": "service",
        "instances": instances,
        "command": "exec python3 -m http.server $PORT_HTTP --bind 127.0.0.1",
        "resources": {"cpus": 0.1, "mem": 64},
        "env": {"VERSION": str(version)},
        "ports": [{"name": "http"}],
        "readiness_check": {"tcp": {"port_index": 0}, "delay_s": 0, "interval_s": 0.2},
        "shutdown": {"drain_s": 1},
        "update": {"max_surge": "100%", "min_healthy_s": 0.2},
    }
    return json.dumps({"name": "shop", "tasks": [web]})


def front() -> str:
    """A job whose config file has the addresses of the service, and that is told of each change."""
    peers = {
        "path": "peers",
        "template": "{% for each in addresses['shop.web'] %}{{ each.ports.http }} {% endfor %}\n",
        "on_change": "signal",
    }
    task = {
        "name": "front",
        "kind": "service",
        "command": "trap 'cat peers' HUP; cat peers; while :; do sleep 0.1; done",
        "resources": {"cpus": 0.1, "mem": 32},
        "constraints": ["kind:IS:plain"],
        "config": [peers],
    }
    return json.dumps({"name": "front", "tasks": [task]})


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2):
            return True
    except OSError:
        return False


def kept(path: Path) -> list[int]:
    """The ports in the file that a restart begins with."""
    if not path.exists():
        return []
    names = KeptNames.FromString(path.read_bytes())
    return sorted(port.port for named in names.serves for port in named.task.ports)


def test_what_serves_is_found_everywhere(roles: Roles) -> None:
    master = roles.master("master", "--dns-port", "0")
    agents = [roles.agent(master.address, f"agent{n}", *SERVE) for n in range(2)]
    plain = ("--runtime", "process", "--kill-tasks-on-exit", "--attributes", "kind:plain")
    roles.agent(master.address, "plain", *plain)  # it answers no DNS
    roles.binpack(master.address)
    ports = [dns_of(role) for role in (master, *agents)]
    cli = Cli(master.address)
    cli.ok("apply", "-", "--wait", text=shop(3))
    for port in ports:
        wait_for_targets(port, lambda found: len(found) == 3)
        assert targets(port, tcp=True) == targets(port)
        assert [str(r.rdata) for r in ask(port, WEB).rr] == ["127.0.0.1"]
        assert [str(r.rdata) for r in ask(port, f"2.{WEB}").rr] == ["127.0.0.1"]
        assert ask(port, WEB, "AAAA").header.rcode == dnslib.RCODE.NOERROR
        assert ask(port, "nothing.shop.pymesos").header.rcode == dnslib.RCODE.NXDOMAIN
        assert ask(port, "example.org").header.rcode == dnslib.RCODE.REFUSED
    assert all(map(answers, targets(ports[0])))

    def heard() -> list[int]:
        return sorted(map(int, cli.ok("logs", "front").splitlines()[-1].split()))

    before = targets(ports[0])
    cli.ok("apply", "-", "--wait", text=front())
    assert heard() == before
    cli.ok("apply", "-", "--wait", text=shop(3, version=2))
    for port in ports:
        wait_for_targets(port, lambda found: not set(before) & set(found))
        assert len(targets(port)) == 3
    wait_for("a config file that is new", lambda: heard() == targets(ports[0]))

    # The last answers live on without a master, also over a restart of an agent.
    last = targets(ports[1])
    wait_for("what is kept", lambda: kept(roles.folder / "agent0" / "names") == last, 30)
    master.kill()
    assert targets(ports[1]) == targets(ports[2]) == last
    agents[0].kill()
    again = roles.agent(master.address, "agent0", *SERVE)
    assert targets(dns_of(again)) == last


@pytest.mark.skipif(os.geteuid() != 0, reason="networks need root")
def test_containers_on_the_bridge_find_names_while_their_agent_is_away(roles: Roles) -> None:
    flags = ("--runtime", "oci", "--dns-port", "0")
    master = roles.master()
    agent = roles.agent(master.address, "agent", *flags)
    roles.binpack(master.address)
    work_dir = roles.folder / "agent"
    cli = Cli(master.address)
    cli.ok("apply", "-", "--wait", text=shop(1))
    port = dns_of(agent)
    wait_for_targets(port, lambda found: len(found) == 1)
    wait_for("what is kept", lambda: kept(work_dir / "names") == targets(port), 30)
    # Nobody has to ask again, not even in the moment in which the port changes hands.
    asking = f"while :; do getent ahostsv4 {WEB} || echo nothing; sleep 0.02; done"
    task = {"name": "ask", "command": asking, "kind": "service", "network": "bridge"}
    cli.ok("apply", "-", "--wait", text=json.dumps({"name": "asker", "tasks": [task]}))

    def outputs() -> list[Path]:
        return [p for p in work_dir.rglob("stdout") if "STREAM" in p.read_text()]

    wait_for("a name", lambda: len(outputs()) == 1)
    (output,) = outputs()

    def finds() -> None:
        """The container goes on asking, and has found the name each time."""
        before = output.stat().st_size
        wait_for("names", lambda: output.read_bytes()[before:].count(b"127.0.0.1") > 20, 30)
        assert "nothing" not in output.read_text()

    finds()
    agent.kill()
    finds()
    agent = roles.agent(master.address, "agent", *flags)
    finds()
    agent.signal(signal.SIGTERM)
    agent.ended()
    finds()
    purged = subprocess.run(
        [sys.executable, "-m", "pymesos_agent", "purge", "--yes", "--work-dir", str(work_dir)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert purged.returncode == 0, purged.stderr
    bind(str(IPv4Network(NetworkSettings.bridge_subnet)[1]), PORT, early=True)  # it is free
    log = (roles.folder / "agent.log").read_text()
    assert "other name servers" not in log, log


def test_dig_understands_it(roles: Roles) -> None:
    if (dig := shutil.which("dig")) is None:
        pytest.skip(f"dig is missing; {INSTALL}")
    master = roles.master()
    agent = roles.agent(master.address, "agent", *SERVE)
    roles.binpack(master.address)
    port = dns_of(agent)
    Cli(master.address).ok("apply", "-", "--wait", text=shop(1))
    wait_for("a target", lambda: len(targets(port)) == 1)

    def digs(*arguments: str) -> str:
        argv = [dig, "@127.0.0.1", "-p", str(port), *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout

    (target,) = targets(port)
    for how in ("+notcp", "+tcp"):
        assert digs("+short", how, WEB) == "127.0.0.1\n"
        srv = digs("+short", how, f"_http._tcp.{WEB}", "SRV")
        assert srv == f"0 1 {target} ip-127-0-0-1.pymesos.\n"
    assert "status: NXDOMAIN" in digs("none.shop.pymesos")
    assert "status: REFUSED" in digs("+norecurse", "example.org")
    whole = digs(WEB)
    assert "WARNING: recursion requested but not available" in whole and "EDNS: version" in whole


ROOT = Path(__file__).resolve().parents[2]


def test_dnsmasq_asks_the_agent_as_the_page_says(roles: Roles) -> None:
    dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if dnsmasq is None:
        pytest.skip(f"dnsmasq is missing; {INSTALL}")
    master = roles.master()
    agent = roles.agent(master.address, "agent", *SERVE)
    roles.binpack(master.address)
    port, own = dns_of(agent), free_port()
    text = (ROOT / "deploy/dns/dnsmasq.conf").read_text()
    assert "#5054" in text
    config = roles.folder / "dnsmasq.conf"
    config.write_text(text.replace("#5054", f"#{port}"))
    Cli(master.address).ok("apply", "-", "--wait", text=shop(1))
    at = ("--no-daemon", "--no-hosts", "--no-resolv", "--listen-address=127.0.0.1")
    files = (f"--conf-file={config}", f"--port={own}", "--bind-interfaces", "--user=root")
    with process(dnsmasq, *at, *files, "--pid-file=", log=roles.folder / "dnsmasq.log"):
        wait_for("dnsmasq", lambda: answers(own))
        wait_for("an address", lambda: [str(r.rdata) for r in ask(own, WEB).rr] == ["127.0.0.1"])
        assert targets(own) == targets(port)


@pytest.mark.parametrize("file", ["resolved.conf", "dnsmasq.conf"])
def test_the_page_shows_the_files_as_they_are(file: str) -> None:
    lines = (ROOT / "deploy/dns" / file).read_text().splitlines()
    shown = "\n".join(line for line in lines if not line.startswith("#"))
    assert f"```ini\n{shown}\n```" in (ROOT / "docs/discovery.md").read_text()


def test_the_configuration_of_resolved_has_its_keys() -> None:
    config = configparser.ConfigParser()
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config.read(ROOT / "deploy/dns/resolved.conf")
    assert dict(config["Resolve"]) == {"DNS": "127.0.0.1:5054", "Domains": f"~{DOMAIN}"}


def test_in_a_cluster_with_certificates(roles: Roles) -> None:
    """Resolvers of agents and masters are told all; an operator is told what it may read."""
    policy = roles.folder / "policy.yaml"
    rules = [
        "{who: operator/alice, do: ['*'], role: '**'}",
        "{who: operator/bob, do: [read], role: other}",
        "{who: operator/web, do: [read], role: '*'}",
        "{who: framework/binpack, do: [subscribe, serve, launch], role: '**', as: {user: ['*']}}",
    ]
    policy.write_text("allow:\n" + "".join(f"- {rule}\n" for rule in rules))
    cluster = TlsCluster(roles, ("--dns-port", "0", "--policy", str(policy)))
    agent = roles.agent(
        cluster.master.address, "dns", "--tls", cluster.issue("agent/dns"), "--executor-port", "0",
        *SERVE,
    )  # fmt: skip
    cluster.cli.ok("apply", "-", "--wait", text=shop(1))
    for role in (cluster.master, agent):
        wait_for_targets(dns_of(role), lambda found: len(found) == 1)

    async def followed(principal: str) -> list[str]:
        outside = outside_with(Credentials(Path(cluster.issue(principal))))
        at = parse_host_port(cluster.master.address)
        channel = outside.dial(at, Kind.MASTER)
        try:
            async with asyncio.timeout(20):
                stream = channel.stream(FOLLOW)
                await stream.write(FollowNamesRequest())
                await stream.done_writing()
                batch = await stream.read()
                assert batch is not None and batch.whole
                return [named.task.job for named in batch.serves]
        finally:
            await channel.close()

    assert asyncio.run(followed("operator/web")) == ["shop"]
    assert asyncio.run(followed("operator/bob")) == []
    with pytest.raises(CallError) as refused:
        asyncio.run(followed("operator/nobody"))
    assert refused.value.code == Code.PERMISSION_DENIED
    with pytest.raises(CallError) as refused:
        asyncio.run(followed("framework/other"))
    assert refused.value.code == Code.PERMISSION_DENIED
