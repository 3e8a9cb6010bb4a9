"""Networks of their own for containers: namespaces by `ip netns`, interfaces by CNI plugins.

The Container Network Interface (https://www.cni.dev/docs/spec, 0.4.0): a network is a list of
plugins, each a program that is told ADD or DEL. What is made is written down before it is made, so
that an agent finds and removes what a crash has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import psutil

from pymesos_agent.containers.settings import NetworkSettings
from pymesos_agent.core.ports import UNLIMITED, Bandwidth, MappedPort
from pymesos_agent.files.trees import try_remove_tree
from pymesos_core.discovery.forwarding import Bridge
from pymesos_core.exits import RoleError
from pymesos_core.private import read_file
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

PLUGIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
NAMESPACES = Path("/run/netns")
INTERFACE = "eth0"
CNI_VERSION = "0.4.0"
# It is nobody else's, and whoever is root of a user namespace only may listen on port 80, too.
ANY_PORT = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start"
MBIT = 1_000_000
MAX_CONFIG_BYTES = 1 << 20
# More than the largest packet; and what the plugin takes.
LEAST_BURST_BITS, MOST_BURST_BITS = 2**20, 2**32 - 1
TIMEOUT_S = 30.0
BRIDGE, NONE = "bridge", "none"
BRIDGE_LINK = "pymesos0"
NETWORK_NAME = "pymesos"  # of the bridge, under which host-local keeps its addresses
ADDRESSES = Path("/var/lib/cni/networks")
# What the plugins portmap and firewall make once for all networks, and who jumps there.
SHARED_CHAINS = (
    ("filter", "CNI-FORWARD", ("FORWARD",)),
    ("filter", "CNI-ADMIN", ()),
    ("nat", "CNI-HOSTPORT-DNAT", ("PREROUTING", "OUTPUT")),
    ("nat", "CNI-HOSTPORT-MASQ", ("POSTROUTING",)),
    ("nat", "CNI-HOSTPORT-SETMARK", ()),
)
NEEDED = ("bridge", "host-local", "portmap", "firewall")

Json = dict[str, Any]


class NetworkError(RoleError):
    """The network cannot be made: the message says why."""


@dataclass(frozen=True)
class Wanted:
    """A network for the containers that share it."""

    owner: str  # a container's id, or the group's
    name: str
    members: tuple[str, ...]  # container ids
    ports: tuple[MappedPort, ...]
    bandwidth: Bandwidth = UNLIMITED


class Networks:
    """The networks of one agent's containers."""

    def __init__(self, directory: Path, settings: NetworkSettings) -> None:
        """`directory` has a file for each network that there is."""
        self._directory = directory
        self._settings = settings
        self._path = ":".join(folder for folder in PLUGIN_DIRS if Path(folder).is_dir())
        self._known: Mapping[str, Json] = {}
        self._limits = False  # what goes through a network, on this machine
        self._background = Background("making a network")
        self._making: dict[str, asyncio.Task[Path]] = {}

    def start(self) -> None:
        """Read the configuration. Raises NetworkError."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        usual = {BRIDGE: _bridge(self._settings.bridge_subnet)} if self._has(NEEDED) else {}
        self._known = usual | dict(self._configured())
        self._limits = bool(self._known) and self._can_limit()

    def _has(self, programs: Sequence[str]) -> bool:
        there = [shutil.which(program, path=self._path) for program in programs]
        return all((*there, shutil.which("ip"), shutil.which("iptables")))

    def _configured(self) -> Iterator[tuple[str, Json]]:
        """The operator's own networks. Raises NetworkError."""
        folder = self._settings.config_dir
        for path in sorted(folder.glob("*.conflist")) if folder else ():
            try:
                config = json.loads(read_file(path, MAX_CONFIG_BYTES))
                name, plugins = config["name"], [p["type"] for p in config["plugins"]]
                if not all(isinstance(text, str) for text in (name, *plugins)):
                    raise TypeError("its name and the types of its plugins are texts")
            except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
                raise NetworkError(f"{path} is not a CNI network list: {error!r}") from error
            if name in ("host", NONE, ""):
                raise NetworkError(f"{path}: a network cannot be called {name!r}")
            if not self._has(plugins):
                raise NetworkError(
                    f"{path} needs the plugins {', '.join(plugins)}, and `ip` and `iptables`;"
                    f" not all are in {self._path or ', '.join(PLUGIN_DIRS)}"
                )
            yield name, config

    @property
    def names(self) -> Sequence[str]:
        """The networks that a task may ask for, besides `none`."""
        return list(self._known)

    @property
    def limited(self) -> Sequence[str]:
        """The networks of which a task may limit what goes through."""
        if not self._limits:
            return []
        return [
            name
            for name, config in self._known.items()
            if any(_is_limit(plugin) for plugin in config["plugins"])
        ]

    def _can_limit(self) -> bool:
        """Whether the kernel and the plugin do it, tried on a link that leads nowhere."""
        if not self._has(("bandwidth",)):
            return False
        tag = hashlib.sha256(str(self._directory).encode()).hexdigest()[:16]
        near, far = (f"pymesos-trial-{end}-{tag}" for end in ("near", "far"))
        _remove_namespaces(near, far)  # of this agent when it was killed while it tried
        try:
            for name in (near, far):
                _run(["ip", "netns", "add", name])
            peer = ("peer", "name", INTERFACE, "netns", far)
            _run(["ip", "-n", near, "link", "add", "near", "type", "veth", *peer])
            sandbox = str(NAMESPACES / far)
            ends = [{"name": "near"}, {"name": INTERFACE, "sandbox": sandbox}]
            made = {"cniVersion": CNI_VERSION, "interfaces": ends}
            said: Json = {"cniVersion": CNI_VERSION, "name": "trial", "type": "bandwidth"}
            said |= {"runtimeConfig": {"bandwidth": _rates(Bandwidth(1, 1))}, "prevResult": made}
            program = shutil.which("bandwidth", path=self._path)
            environment = self._environment("ADD", far, sandbox)
            _run(["ip", "netns", "exec", near, str(program)], json.dumps(said), environment)
        except NetworkError as error:
            log.info("what goes through networks cannot be limited: %s", error)
            return False
        finally:
            _remove_namespaces(near, far)
        return True

    def _environment(self, command: str, owner: str, namespace: str) -> dict[str, str]:
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": owner,
            "CNI_NETNS": namespace,
            "CNI_IFNAME": INTERFACE,
            "CNI_PATH": self._path,
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        }

    async def make(self, wanted: Wanted) -> Path:
        """The namespace, the same for all of a group. Raises NetworkError."""
        if (task := self._making.get(wanted.owner)) is None:
            made = asyncio.to_thread(self._make, wanted)
            task = self._background.start(made, awaited=True)
            self._making[wanted.owner] = task
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The thread goes on, and only what is made can be removed.
            await asyncio.wait({task})
            raise

    def _make(self, wanted: Wanted) -> Path:
        config = self._known[wanted.name] if wanted.name != NONE else {"plugins": []}
        given = asdict(wanted) | {"config": config}
        try:
            self._record(given)
            name = _namespace(wanted.owner)
            _run(["ip", "netns", "add", name])
            _run(["ip", "-n", name, "link", "set", "lo", "up"])
            _run(["ip", "netns", "exec", name, "/bin/sh", "-c", ANY_PORT])
            for plugin in config["plugins"]:
                result = self._call("ADD", given, plugin, given.get("result"))
                if result is not None and result != given.get("result"):
                    # Now: without it a plugin does not know what it is to remove.
                    given["result"] = result
                    self._record(given)
        except (OSError, ValueError, LookupError, NetworkError) as error:
            self.remove(wanted.owner)
            raise NetworkError(f"no network {wanted.name}: {error}") from error
        return NAMESPACES / name

    def _record(self, given: Json) -> None:
        """What is to be removed, whenever the agent dies."""
        record = self._directory / given["owner"]
        scratch = record.with_suffix(".new")
        scratch.write_text(json.dumps(given), "utf-8")
        scratch.rename(record)

    def _call(self, command: str, given: Json, plugin: Json, result: Json | None) -> Json | None:
        """One plugin; what it answers. Raises NetworkError."""
        config = given["config"]
        if _is_limit(plugin) and not any(given.get("bandwidth", {}).values()):
            return None  # there is nothing for it to do
        said = dict(plugin) | {"name": config["name"], "cniVersion": config["cniVersion"]}
        if plugin.get("capabilities", {}).get("portMappings"):
            mappings = [
                {"hostPort": p["host_port"], "containerPort": p["container_port"],
                 "protocol": p["protocol"]}
                for p in map(_as_dict, given["ports"])
            ]  # fmt: skip
            said["runtimeConfig"] = {"portMappings": mappings}
        if _is_limit(plugin):
            said["runtimeConfig"] = {"bandwidth": _rates(Bandwidth(**given["bandwidth"]))}
        if result is not None:
            said["prevResult"] = result
        owner = given["owner"]
        environment = self._environment(command, owner, str(NAMESPACES / _namespace(owner)))
        program = shutil.which(plugin["type"], path=self._path)
        if program is None:
            raise NetworkError(f"the CNI plugin {plugin['type']} is not in {self._path}")
        answer = _run([program], json.dumps(said), environment)
        return json.loads(answer) if answer.strip() else None

    def remove(self, owner: str) -> None:
        """All that is there of it; harmless when nothing is."""
        self._making.pop(owner, None)
        record = self._directory / owner
        try:
            given = json.loads(record.read_text("utf-8"))
        except FileNotFoundError:
            return
        for plugin in reversed(given["config"]["plugins"]):
            try:
                self._call("DEL", given, plugin, given.get("result"))
            except NetworkError as error:
                log.warning("the network of %s: %s", owner, error)
        name = _namespace(owner)
        if (NAMESPACES / name).exists():
            try:
                _run(["ip", "netns", "delete", name])
            except NetworkError as error:
                log.warning("the network of %s: %s", owner, error)
        record.unlink(missing_ok=True)

    def recover(self, containers: Mapping[str, object]) -> None:
        """Remove those that none of these containers is in."""
        for path in list(self._directory.iterdir()):
            try:
                members = set(json.loads(path.read_text("utf-8"))["members"])
            except ValueError:  # the machine went down while it was written
                members = set()
            if path.suffix or not members:
                path.unlink()
            elif not containers.keys() & members:
                log.warning("removing the network that an earlier agent left of %s", path.name)
                self.remove(path.name)


def remove_bridge() -> list[str]:
    """Delete the bridge that the containers of `network: bridge` shared, unless some still do.

    The plugins never delete it, nor the chains that they share among all networks of the machine;
    those go when no network has a rule in them. Returns what was removed.
    """
    removed = []
    link = Path("/sys/class/net") / BRIDGE_LINK
    subnet = None
    if link.exists():
        if any((link / "brif").iterdir()):
            return []
        subnet = _subnet_of(BRIDGE_LINK)
        _run(["ip", "link", "delete", BRIDGE_LINK])
        removed.append(f"the bridge {BRIDGE_LINK}")
    try_remove_tree(ADDRESSES / NETWORK_NAME)
    if shutil.which("iptables"):
        if subnet is not None:
            _remove_rules_of(subnet)
        removed += [f"the chain {chain}" for chain in _remove_unused_chains()]
    return removed


def _subnet_of(link: str) -> IPv4Network | None:
    for found in psutil.net_if_addrs().get(link, ()):
        if found.family is socket.AF_INET and found.netmask:
            return IPv4Network(f"{found.address}/{found.netmask}", strict=False)
    return None


def _rules(table: str) -> list[str]:
    return _run(["iptables", "-w", "-t", table, "-S"]).splitlines()


def _delete(table: str, rule: str) -> None:
    _run(["iptables", "-w", "-t", table, "-D", *shlex.split(rule)[1:]])


def _remove_rules_of(subnet: IPv4Network) -> None:
    """Delete the rules that let through what nobody on the bridge sends any more.

    The plugin ignores that iptables cannot delete a rule, as when somebody else changes the chain.
    """
    for rule in _rules("filter"):
        match rule.split():
            case ["-A", "CNI-FORWARD", "-s" | "-d", address, *_]:
                if IPv4Network(address, strict=False).subnet_of(subnet):
                    _delete("filter", rule)


def _remove_unused_chains() -> Iterator[str]:
    rules = {table: _rules(table) for table in ("filter", "nat")}
    there = [(t, chain, jumps) for t, chain, jumps in SHARED_CHAINS if f"-N {chain}" in rules[t]]
    for table, chain, _ in there:
        for rule in rules[table]:
            # A rule for a container's address or port, or a jump to a chain of its own.
            if rule.startswith((f"-A {chain} -s", f"-A {chain} -d")) or " -j CNI-DN-" in rule:
                return
    for table, chain, jumps in there:
        for rule in rules[table]:
            if rule.startswith(tuple(f"-A {name} " for name in jumps)) and f"-j {chain}" in rule:
                _delete(table, rule)
        _run(["iptables", "-w", "-t", table, "-F", chain])
    for table, chain, _ in there:
        _run(["iptables", "-w", "-t", table, "-X", chain])
        yield chain


def _as_dict(port: MappedPort | Json) -> Json:
    return asdict(port) if isinstance(port, MappedPort) else port


def _is_limit(plugin: Json) -> bool:
    """Whether it is the plugin that limits what goes through a network, as a container asks."""
    return bool(plugin.get("capabilities", {}).get("bandwidth"))


def _rates(bandwidth: Bandwidth) -> Json:
    """In the plugin's words: bits a second, and bits that go at once, for a twentieth of it."""
    out: Json = {}
    for way, mbit in (("ingress", bandwidth.in_mbit_per_s), ("egress", bandwidth.out_mbit_per_s)):
        if mbit:
            burst = min(max(mbit * MBIT // 20, LEAST_BURST_BITS), MOST_BURST_BITS)
            out |= {f"{way}Rate": mbit * MBIT, f"{way}Burst": burst}
    return out


def _remove_namespaces(*names: str) -> None:
    for name in names:
        if (NAMESPACES / name).exists():
            with contextlib.suppress(NetworkError):
                _run(["ip", "netns", "delete", name])


def _namespace(owner: str) -> str:
    return f"pymesos-{owner}"


def bridge_of(settings: NetworkSettings) -> Bridge:
    """Where the containers of `network: bridge` reach this machine."""
    subnet = IPv4Network(settings.bridge_subnet)
    return Bridge(str(subnet[1]), subnet, BRIDGE_LINK)


def _bridge(subnet: str) -> Json:
    """What `network: bridge` is."""
    return {
        "cniVersion": CNI_VERSION,
        "name": NETWORK_NAME,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE_LINK,
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
            {"type": "firewall"},
            {"type": "bandwidth", "capabilities": {"bandwidth": True}},
        ],
    }


def _run(argv: Sequence[str], given: str = "", environment: Mapping[str, str] | None = None) -> str:
    """What a program writes. Raises NetworkError with what it said."""
    try:
        done = subprocess.run(
            argv,
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(str(error)) from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(done.stdout)["msg"]
        raise NetworkError(f"{Path(argv[0]).name}: {said[:500]}")
    return done.stdout
