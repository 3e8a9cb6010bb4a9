"""host:port and zk:// addresses, as people type them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from pymesos_core.text import quoted


class AddressError(ValueError):
    """An address that cannot be read: the message says what was expected."""


@dataclass(frozen=True)
class HostPort:
    """`host:port`; str() gives it back."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ZkUrl:
    """`zk://[user:password@]host:port[,host:port…]/path`. The password is never shown."""

    hosts: str  # "host:port,host:port"
    path: str  # "/mesos"; never ends in "/"
    auth: str | None = field(default=None, repr=False)  # "user:password" for digest

    def __str__(self) -> str:
        return f"zk://{self.hosts}{self.path}"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """Read `host:port`. Raises AddressError, which repeats no credentials."""
    if "@" in text:
        raise AddressError(
            "the address has a user or a password (before @), which only a zk:// address may have;"
            " host:port is expected"
        )
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/\[\]]+))(?::([0-9]{1,5}))?", text.strip())
    if not match:
        hint = "; brackets are around an IPv6 address: [::1]:5050" if text.count(":") > 1 else ""
        raise AddressError(f"{quoted(text)} is not host:port{hint}")
    if match[3] is None and default_port is None:
        raise AddressError(f"{quoted(text)} lacks its port: host:port is expected")
    port = int(match[3]) if match[3] else default_port
    assert port is not None
    if not 0 < port < 65536:
        raise AddressError(f"{quoted(text)}: the port must be between 1 and 65535")
    return HostPort(match[1] or match[2], port)


def parse_zk(text: str) -> ZkUrl:
    """Read a zk:// URL. Raises AddressError, which never repeats the credentials."""
    if not text.startswith("zk://"):
        raise AddressError("a ZooKeeper address starts with zk://, as in zk://host:2181/pymesos")
    rest = text.removeprefix("zk://")
    auth: str | None = None
    if "@" in rest:
        credentials, rest = rest.rsplit("@", 1)
        user, colon, password = credentials.partition(":")
        if not (user and colon and password):
            raise AddressError("the credentials of a zk:// URL are user:password@")
        auth = f"{unquote(user)}:{unquote(password)}"
    hosts, slash, path = rest.partition("/")
    if not hosts:
        raise AddressError("the zk:// URL names no server, as in zk://host:2181/pymesos")
    parsed = ",".join(str(parse_host_port(h, 2181)) for h in hosts.split(","))
    path = "/" + path.strip("/") if slash else ""
    if path in ("", "/"):
        raise AddressError(
            "the zk:// URL lacks its path, as in zk://host:2181/pymesos: a cluster has its own"
        )
    if any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise AddressError(f"{quoted(path)} is not a ZooKeeper path")
    return ZkUrl(parsed, path, auth)


def parse_master(text: str) -> HostPort | ZkUrl:
    """Read what `--master` takes: `host:port` or `zk://…`. Raises AddressError."""
    return parse_zk(text) if text.startswith("zk://") else parse_host_port(text)
