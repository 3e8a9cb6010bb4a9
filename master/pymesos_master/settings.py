"""Settings of `pymesos-master`, each declared once."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymesos_core.addresses import ZkUrl
from pymesos_core.directories import default_directory
from pymesos_core.limits import POLICY
from pymesos_core.outgoing.receivers import Receiver, read_receivers_file
from pymesos_core.private import read_file
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import Resources, parse
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import NOBODY, PolicyError, read_policy_bytes
from pymesos_core.security.secrets import KEY_FILE
from pymesos_core.serving import Listen
from pymesos_core.settings import SECONDS, file, folder, number, switch, text, texts, whole
from pymesos_core.settings.audited import AuditedSettings
from pymesos_core.settings.server import (
    dns_domain,
    dns_port,
    listen_port,
    metrics_ip,
    metrics_port,
    zk_session_timeout,
    zk_url,
)
from pymesos_core.text import os_problem, quoted
from pymesos_master.allocator.interface import Settings as AllocationSettings
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core import Config
from pymesos_master.mesos.authenticating import Anonymous, read_anonymous, read_credentials
from pymesos_master.watching import BOUNDS, Bounds

DEFAULT_PORT = 5050
DEFAULT_JOIN_PORT = 5053
DEFAULT_HTTP_PORT = 5080


def read_minimum(written: str) -> tuple[Scalars, ...]:
    """Read `cpus:0.01|mem:32`. Raises ValueError."""
    try:
        bags = [parse(part) for part in written.split("|")]
    except ResourceError as error:
        raise ValueError(f"{error}; alternatives are separated by '|'") from error
    if not all(bag.scalars and bag == Resources(bag.scalars) for bag in bags):
        raise ValueError(f"{quoted(written)}: each alternative is of scalars, as in cpus:1|mem:32")
    return tuple(bag.scalars for bag in bags)


def read_policy_at(written: str) -> Policy:
    """The policy in a file. Raises ValueError."""
    try:
        document = read_file(Path(written), POLICY.most + 1, pipes=True)
    except OSError as error:
        raise ValueError(f"the policy cannot be read: {os_problem(error)}") from None
    try:
        policy = read_policy_bytes(document)
    except PolicyError as error:
        raise ValueError(f"{quoted(written)}, {error}") from None
    if not policy.rules:
        raise ValueError(f"{quoted(written)}: {NOBODY}. Give it rules below `allow:`")
    return policy


def read_receivers_at(written: str) -> Mapping[str, Receiver]:
    """The receivers of a file, by name. Raises ValueError."""
    return read_receivers_file(Path(written))  # ReceiversError is one


@dataclass(frozen=True)
class MasterSettings(AuditedSettings):
    """All that a master may be told."""

    port: int = listen_port(DEFAULT_PORT)
    gateways: int = whole(
        0,
        0,
        64,
        help="How many processes hold the streams of agents, frameworks and operators on --port for"
        " this master, which then only decides: for thousands of agents, on a machine with cores to"
        " spare. 0: it holds them itself.",
    )
    join_port: int = whole(
        DEFAULT_JOIN_PORT,
        0,
        65535,
        help="With --tls, and an authority in that folder, the port for those who join the cluster"
        " with a token; 0 takes a free one.",
    )
    certificate_lifetime_s: float = number(
        86400,
        1,
        730 * 86400,
        unit=SECONDS,
        help="Seconds that a certificate lives which this master signs; it is renewed at half of"
        " that.",
    )
    secrets_key: Path | None = file(
        default_text="secrets.key in the folder of --tls",
        exists=False,
        help="The file with the keys of the cluster's secrets, the same for every master, as"
        " `pymesos-cli cluster secrets-key` makes it. A master that is alone makes it by itself.",
    )
    zk: ZkUrl | None = zk_url()
    zk_session_timeout_s: float = zk_session_timeout(
        "Seconds after which ZooKeeper takes a silent master for dead."
    )
    work_dir: Path = folder(
        lambda: default_directory("master"),
        default_text="/var/lib/pymesos/master for root, else ~/.local/state/pymesos/master",
        help="Where a standalone master keeps its registry.",
    )
    min_epoch: int = whole(
        0,
        0,
        2**53,
        help="The epoch to lead in at least: after a restore, one that no agent has seen yet.",
    )
    agent_ping_timeout_s: float = number(
        15, 0.05, 600, unit=SECONDS, help="Seconds an agent has to answer a ping."
    )
    max_agent_ping_timeouts: int = whole(
        5, 1, 1000, help="Unanswered pings in a row that make an agent unreachable."
    )
    agent_reregister_timeout_s: float = number(
        600,
        1,
        86400,
        unit=SECONDS,
        help="Seconds that agents have to come back after a master failover.",
    )
    offer_timeout_s: float = number(
        30,
        0.05,
        86400,
        unit=SECONDS,
        help="Seconds after which an unanswered offer is rescinded.",
    )
    max_offer_fraction: float = number(
        1,
        0.01,
        1,
        help="The largest part of an agent in one offer, so that a small framework does not hold"
        " a large machine.",
    )
    min_allocatable_resources: tuple[Scalars, ...] = text(
        "cpus:0.01|mem:32",
        read=read_minimum,
        help="The least that is worth an offer; alternatives are separated by '|'.",
    )
    filter_gpu_resources: bool = switch(
        True,
        help="Agents with GPUs are offered to frameworks that declare GPU_RESOURCES only; else"
        " only the GPUs are kept for those.",
    )
    max_completed_tasks: int = whole(
        10_000,
        0,
        10_000_000,
        help="How many ended tasks are kept for `pymesos-cli tasks --all`.",
    )
    policy: Policy | None = text(
        None,
        read=read_policy_at,
        metavar="FILE",
        default_text="who has a certificate may do all that its kind can",
        help="The policy to begin with in a cluster where nobody has set one;"
        " `pymesos-cli policy set` sets another.",
    )
    receivers: Mapping[str, Receiver] | None = text(
        None,
        read=read_receivers_at,
        metavar="FILE",
        default_text="nobody is told of alerts of the cluster",
        help="Who is told of alerts of the cluster: YAML, see docs/alerts.md.",
    )
    alert_for_s: float = number(
        30,
        0,
        86400,
        unit=SECONDS,
        help="Seconds that something has to be wrong with the cluster before anybody is told.",
    )
    disk_full: float = number(
        0.9,
        0.01,
        1,
        help="The part of the disk of a master or an agent from which on it is told to be full.",
    )
    http: bool = switch(
        True, help="Serve HTTP: /health, and JSON below /v1, with the certificates of --tls."
    )
    http_port: int = whole(
        DEFAULT_HTTP_PORT, 0, 65535, help="The port of HTTP, on --ip; 0 takes a free one."
    )
    http_cert: Path | None = file(
        default_text="that of --tls alone",
        help="The certificate, with those above it, by which browsers that name another server"
        " than the cluster's know this one: of a public name. `pymesos-cli web --code` makes codes"
        " to sign in there. It is read again when it changes.",
    )
    http_key: Path | None = file(
        default_text="none", help="The key of --http-cert, which only its owner may read."
    )
    dns_port: int | None = dns_port()
    dns_domain: str = dns_domain()
    mesos_port: int | None = whole(
        None,
        0,
        65535,
        default_text="it is not served",
        help="Serve the HTTP API of Apache Mesos (v1) on this port of --ip, for frameworks that"
        " were written for it; 0 takes a free one. Mesos' masters have 5050.",
    )
    mesos_anonymous: tuple[Anonymous, ...] = texts(
        read=lambda written: tuple(map(read_anonymous, written)),
        metavar="PRINCIPAL[@CIDR]",
        help="Who calls Mesos' API without credentials, from this network, is that framework."
        " Without a network: from this machine; with @own-user: from this machine, as the user that"
        " the master runs as.",
    )
    mesos_credentials: Mapping[str, str] | None = text(
        None,
        read=read_credentials,
        metavar="FILE",
        default_text="nobody has a password",
        help="Principals of Mesos' API with their secrets, in either format of Mesos'"
        " --credentials; only its owner may read the file.",
    )
    mesos_tls: bool = switch(
        False,
        help="Serve Mesos' API by HTTPS, with the certificates of --tls; who has one of the cluster"
        " may show it there.",
    )
    metrics_port: int | None = metrics_port()
    metrics_ip: str | None = metrics_ip()

    def problems(self) -> Iterator[tuple[str, str]]:
        """See Settings."""
        yield from super().problems()
        if self.secrets_key is not None and self.tls is None:
            yield "secrets_key", "give --tls, too: a cluster without certificates keeps no secrets"
        if (self.http_cert is None) != (self.http_key is None):
            yield "http_cert", "give --http-cert and --http-key, both or none"
        elif self.http_cert is not None and (self.tls is None or not self.http):
            yield "http_cert", "give --tls, too, and no --no-http: browsers sign in by them"
        if self.mesos_port is None:
            for name in ("mesos_anonymous", "mesos_credentials", "mesos_tls"):
                if getattr(self, name):
                    yield name, "give --mesos-port, too"
        elif self.mesos_tls and self.tls is None:
            yield "mesos_tls", "give --tls, too"
        elif not (self.mesos_anonymous or self.mesos_credentials or self.mesos_tls):
            yield (
                "mesos_port",
                "nobody could call Mesos' API: give --mesos-anonymous, --mesos-credentials or"
                " --mesos-tls",
            )
        elif self.mesos_credentials and not self.mesos_is_private:
            yield (
                "mesos_credentials",
                "passwords would be sent in the clear to an address that others reach: give"
                " --mesos-tls, put a proxy with TLS before 127.0.0.1, or give --i-know",
            )

    @property
    def mesos_is_private(self) -> bool:
        """Whether nobody reads what is sent to Mesos' API, or an operator has accepted it."""
        return self.mesos_tls or self.i_know or ipaddress.ip_address(self.ip).is_loopback

    @property
    def keys_at(self) -> Path | None:
        """Where the keys of secrets are, in a cluster with certificates."""
        return self.secrets_key or (self.tls / KEY_FILE if self.tls is not None else None)

    @property
    def join_at(self) -> Listen:
        """Where those are taken who join."""
        return Listen(self.ip, self.join_port, self.advertise_ip, self.hostname)

    @property
    def mesos_at(self) -> Listen | None:
        """Where Mesos' API is served, if it is."""
        if self.mesos_port is None:
            return None
        return Listen(self.ip, self.mesos_port, self.advertise_ip, self.hostname)

    @property
    def http_at(self) -> Listen:
        """Where HTTP is served."""
        return Listen(self.ip, self.http_port, self.advertise_ip, self.hostname)

    @property
    def core(self) -> Config:
        """What the core is told."""
        return Config(
            agent_ping_timeout_s=self.agent_ping_timeout_s,
            max_agent_ping_timeouts=self.max_agent_ping_timeouts,
            agent_reregister_timeout_s=self.agent_reregister_timeout_s,
            offer_timeout_s=self.offer_timeout_s,
            max_completed_tasks=self.max_completed_tasks,
            audited=self.audited,
            receivers=tuple(self.receivers or ()),
            alert_for_s=self.alert_for_s,
            disk_full=self.disk_full,
            seed_policy=self.policy.document if self.policy is not None else "",
        )

    @property
    def watched(self) -> Bounds:
        """What those who watch may cost."""
        return BOUNDS

    @property
    def allocation(self) -> AllocationSettings:
        """What the allocator is told."""
        return AllocationSettings(
            self.offer_timeout_s,
            self.min_allocatable_resources,
            self.max_offer_fraction,
            self.filter_gpu_resources,
        )
