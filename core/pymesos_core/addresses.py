"""host:port and zk:// addresses, as people type them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from pymesos_core.ids import hidden_character
from pymesos_core.private import check_private, read_private
from pymesos_core.text import os_problem, quoted

MAX_CREDENTIALS_BYTES = 1024
MAX_HOST_LENGTH, MAX_LABEL_LENGTH = 253, 63  # of DNS
ZK_ROOTS, ZK_CERTIFICATE, ZK_KEY = "roots.pem", "cert.pem", "key.pem"


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
    """`zk://host:port[,host:port…]/path[?auth=FILE&tls=FOLDER]`, and what the file holds."""

    hosts: str  # "host:port,host:port"
    path: str  # "/mesos"; never ends in "/"
    auth: str | None = field(default=None, repr=False)  # "user:password" for digest
    tls: Path | None = (
        None  # holds roots.pem and, if the servers ask for them, cert.pem and key.pem
    )

    def __str__(self) -> str:
        return f"zk://{self.hosts}{self.path}"

    @property
    def doubt(self) -> str:
        """Why it may be that no server answers, as a question."""
        if self.tls is None:
            return "is it running?"
        return f"is it running there with TLS, and its certificate one of {self.tls / ZK_ROOTS}?"


def parse_host_port(text: str, default_port: int | None = None) -> HostPort:
    """Read `host:port`. Raises AddressError, which repeats no credentials."""
    if "@" in text:
        raise AddressError(
            "the address has a user or a password (before @), which only a zk:// address may have;"
            " host:port is expected"
        )
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:/\[\]]+))(?::([0-9]{1,5}))?", text.strip())
    if not match:
        raise AddressError(f"{quoted(text)} is not host:port{_hint(text)}")
    if match[3] is None and default_port is None:
        raise AddressError(f"{quoted(text)} lacks its port: host:port is expected")
    if not (_is_ipv6(match[1]) if match[1] else _is_host(match[2])):
        expected = "an IPv6 address" if match[1] else "the name of a host, or an address"
        raise AddressError(f"{quoted(text)} is not host:port: {expected} is expected before :port")
    port = int(match[3]) if match[3] else default_port
    assert port is not None
    if not 0 < port < 65536:
        raise AddressError(f"{quoted(text)}: the port must be between 1 and 65535")
    return HostPort(match[1] or match[2], port)


def _hint(text: str) -> str:
    """What somebody meant who gave the address of a page, or an IPv6 address; or nothing."""
    if page := re.fullmatch(r"https?://([^/]+)(/.*)?", text.strip()):
        return f"; without http://, and with the port for gRPC: {quoted(page[1])}"
    return "; brackets are around an IPv6 address: [::1]:5050" if text.count(":") > 1 else ""


def _is_ipv6(text: str) -> bool:
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    labels = text.removesuffix(".").split(".")
    fits = len(text) <= MAX_HOST_LENGTH and all(0 < len(x) <= MAX_LABEL_LENGTH for x in labels)
    return fits and hidden_character(text) is None


def parse_zk(text: str) -> ZkUrl:
    """Read a zk:// URL, and the file of credentials that it names.

    Raises AddressError, which never repeats credentials.
    """
    if not text.startswith("zk://"):
        raise AddressError("a ZooKeeper address starts with zk://, as in zk://host:2181/pymesos")
    if "@" in text.partition("?")[0]:
        raise AddressError(
            "the zk:// URL holds a user or a password (before @), which others could see: put"
            " user:password into a file that only you can read, and end the URL in ?auth=FILE"
        )
    where, _, query = text.removeprefix("zk://").partition("?")
    hosts, slash, path = where.partition("/")
    if not hosts:
        raise AddressError("the zk:// URL names no server, as in zk://host:2181/pymesos")
    parsed = ",".join(str(parse_host_port(h, 2181)) for h in hosts.split(","))
    path = "/" + path.strip("/") if slash else ""
    if path in ("", "/"):
        raise AddressError(
            "the zk:// URL lacks its path, as in zk://host:2181/pymesos: a cluster has its own"
        )
    unusual = hidden_character(path) is not None  # ZooKeeper refuses most of them
    if unusual or any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise AddressError(f"{quoted(path)} is not a ZooKeeper path")
    options = _options(query)
    return ZkUrl(
        parsed,
        path,
        _credentials(options["auth"]) if "auth" in options else None,
        _tls_folder(options["tls"]) if "tls" in options else None,
    )


def _options(query: str) -> dict[str, Path]:
    options = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in ("auth", "tls") or name in options or not value:
            raise AddressError(
                f"the zk:// URL ends in {quoted('?' + query)}; auth=FILE and tls=FOLDER are"
                f" expected there, each at most once and with & between them"
            )
        file = unquote(value)
        if hidden_character(file) is not None:
            raise AddressError(
                f"{name}={quoted(file)} of the zk:// URL cannot be used: it has a character that"
                f" nobody sees; the path of a {'file' if name == 'auth' else 'folder'} is expected"
            )
        options[name] = Path(file)
    return options


def _credentials(file: Path) -> str:
    """The `user:password` in a file that nobody else can read."""
    try:
        written = read_private(file, MAX_CREDENTIALS_BYTES + 1, pipes=True)
    except OSError as error:
        raise AddressError(
            f"auth={file} of the zk:// URL cannot be used: {error.strerror}"
        ) from error
    user, _, password = written.decode("utf-8", "replace").rstrip("\n").partition(":")
    if len(written) > MAX_CREDENTIALS_BYTES or not user or not password or "\n" in password:
        raise AddressError(
            f"auth={file} of the zk:// URL does not hold what is expected: one line, user:password"
        )
    return f"{user}:{password}"


def _tls_folder(folder: Path) -> Path:
    try:
        names = (ZK_ROOTS, ZK_CERTIFICATE, ZK_KEY)
        has_roots, has_certificate, has_key = ((folder / name).is_file() for name in names)
        if has_key:
            check_private(folder / ZK_KEY, (folder / ZK_KEY).stat())
    except OSError as error:
        raise AddressError(
            f"tls={folder} of the zk:// URL cannot be used: {os_problem(error)}"
        ) from error
    if not has_roots:
        raise AddressError(
            f"tls={folder} of the zk:// URL holds no {ZK_ROOTS}, which is expected to have the"
            f" certificates of the authority of ZooKeeper's servers"
        )
    if has_certificate != has_key:
        raise AddressError(
            f"tls={folder} of the zk:// URL holds one of {ZK_CERTIFICATE} and {ZK_KEY}; both are"
            f" expected, or none where ZooKeeper asks its clients for no certificate"
        )
    return folder


def parse_master(text: str) -> HostPort | ZkUrl:
    """Read what `--master` takes: `host:port` or `zk://…`. Raises AddressError."""
    return parse_zk(text) if text.startswith("zk://") else parse_host_port(text)
