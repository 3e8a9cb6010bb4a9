"""Settings of every role that listens: where, under which names, and how much it logs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymesos_core import limits
from pymesos_core.addresses import parse_master, parse_zk
from pymesos_core.discovery.zone import DOMAIN, domain_problem
from pymesos_core.ids import name_problem
from pymesos_core.log import LEVELS
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import Kind
from pymesos_core.security.joining import (
    Invitation,
    join_unless_in,
    mask_invitation,
    read_invitation,
    read_invitation_file,
)
from pymesos_core.serving import Listen
from pymesos_core.settings.declaring import (
    Settings,
    choice,
    file,
    folder,
    number,
    switch,
    text,
    whole,
)
from pymesos_core.settings.kinds import SECONDS
from pymesos_core.text import quoted

_CREDENTIALS = re.compile(r"^([a-z+]+://).*@")


def read_ip(written: str) -> str:
    """An IP address. Raises ValueError."""
    try:
        ipaddress.ip_address(written)
    except ValueError:
        raise ValueError(
            f"{quoted(written)} is given, and an IP address is expected, as in 127.0.0.1"
        ) from None
    return written


def read_hostname(written: str) -> str:
    """A name that people read. Raises ValueError."""
    if problem := name_problem(written, limits.ID):
        raise ValueError(problem)
    return written


def mask_credentials(written: str) -> str:
    """A URL without the password that it may hold."""
    return _CREDENTIALS.sub(r"\1***@", written)


@dataclass(frozen=True)
class ServerSettings(Settings):
    """Where a server listens, and its log."""

    ip: str = text("127.0.0.1", read=read_ip, metavar="ADDRESS", help="Address to listen on.")
    port: int = whole(0, 0, 65535, help="Port to listen on; 0 takes a free one.")
    advertise_ip: str | None = text(
        None,
        read=read_ip,
        metavar="ADDRESS",
        default_text="--ip",
        help="Address told to others.",
    )
    hostname: str | None = text(
        None,
        read=read_hostname,
        metavar="NAME",
        default_text="the host's own",
        help="Name shown to people.",
    )
    tls: Path | None = folder(
        None,
        default_text="no TLS",
        help="A folder with cert.pem, key.pem and roots.pem, as `pymesos-cli cluster issue` makes"
        " it: only who has a certificate of the cluster gets in.",
    )
    join: Invitation | None = text(
        None,
        read=read_invitation,
        metavar="TOKEN@HOST:PORT",
        mask=mask_invitation,
        help="Get the certificate in --tls with a token of `pymesos-cli cluster token`, unless one"
        " is there. The command line is seen by all who use the machine: see --join-file.",
    )
    join_file: Path | None = file(
        default_text="none",
        exists=False,
        help="A file with TOKEN@HOST:PORT, for its owner alone, instead of --join; it may be"
        " deleted once it is used.",
    )
    auth: bool = switch(
        True,
        help="--no-auth is for laboratories: whoever reaches this server may do everything. Without"
        " --tls it is so on loopback; beside another address it wants --i-know, too.",
    )
    i_know: bool = switch(False, help="Let --no-auth stand beside an address that others reach.")
    log_level: str = choice("info", LEVELS, help="The least that is logged.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """See Settings."""
        if not self.auth and self.tls is not None:
            yield "auth", "--no-auth does without certificates, and --tls has them: choose one"
        for field, value in (("ip", self.ip), ("advertise_ip", self.advertise_ip)):
            open_to_all = self.tls is None and not (self.i_know and not self.auth)
            if value and open_to_all and not ipaddress.ip_address(value).is_loopback:
                yield (
                    field,
                    f"{value} is not a loopback address, and there is no --tls: everyone who can"
                    f" reach it could run commands here. Give it certificates (see `pymesos-cli"
                    f" cluster --help`), or in a laboratory --no-auth with --i-know",
                )
        for field in ("join", "join_file"):
            if getattr(self, field) is not None and self.tls is None:
                yield field, "give --tls, too: the folder that the certificate is to be kept in"
        if ipaddress.ip_address(self.advertise_ip or self.ip).is_unspecified:
            yield (
                "advertise_ip" if self.advertise_ip else "ip",
                f"{self.advertise_ip or self.ip} is every address of this machine; say with"
                f" --advertise-ip what others should connect to",
            )

    async def credentials(self, kind: Kind) -> Credentials | None:
        """The credentials of --tls, which have to be of that kind: with --join they are got first.

        Raises CredentialsError, JoinError.
        """
        if self.tls is None:
            return None
        if self.join is not None or self.join_file is not None:
            await join_unless_in(self.tls, self._invitation, kind)
        credentials = Credentials(self.tls)
        credentials.need(kind)
        return credentials

    def _invitation(self) -> Invitation:
        """Raises JoinError."""
        if self.join_file is not None:
            return read_invitation_file(self.join_file)
        assert self.join is not None, "asked for only when one of both is given"
        return self.join

    @property
    def listen_at(self) -> Listen:
        """Where to bind, and what to tell others."""
        return Listen(self.ip, self.port, self.advertise_ip, self.hostname)


def listen_port(default: int) -> Any:
    """The declaration of `port` for a role with a port of its own."""
    return whole(default, 0, 65535, help="Port to listen on; 0 takes a free one.")


def metrics_port() -> Any:
    """The declaration of the port of /metrics."""
    return whole(
        None,
        1,
        65535,
        default_text="not at all",
        help="Serve /metrics for Prometheus on this port.",
    )


def metrics_ip() -> Any:
    """The declaration of the address of /metrics."""
    return text(
        None,
        read=read_ip,
        metavar="ADDRESS",
        default_text="127.0.0.1 with --tls, else --ip",
        help="Address on which /metrics is served: by plain HTTP, to whoever reaches it.",
    )


def read_domain(written: str) -> str:
    """A domain of DNS. Raises ValueError."""
    if problem := domain_problem(written):
        raise ValueError(f"{quoted(written)} is no domain: {problem}")
    return written


def dns_port() -> Any:
    """The declaration of the port of DNS."""
    return whole(
        None,
        0,
        65535,
        default_text="not at all",
        help="Answer DNS for what serves, by UDP and TCP on this port of --ip; 0 takes a free one.",
    )


def dns_domain() -> Any:
    """The declaration of the domain of names."""
    return text(
        DOMAIN,
        read=read_domain,
        metavar="DOMAIN",
        help="The domain of the names that DNS answers for, as in web.shop.DOMAIN.",
    )


def zk_session_timeout(what: str) -> Any:
    """The declaration of the timeout of a ZooKeeper session."""
    return number(10, 1, 120, unit=SECONDS, help=what)


def read_master(written: str) -> str:
    """The address of a master, as it was written. Raises AddressError."""
    parse_master(written)
    return written


def master_address() -> Any:
    """The declaration of where a role finds its master."""
    return text(
        None,
        read=read_master,
        metavar="ADDRESS",
        required="host:port, or zk://host:port/path",
        also="PYMESOS_MASTER",
        help="The master: host:port, or zk://host:port/path to find the leader.",
    )


def zk_url(without: str = "this master stands alone and leads at once") -> Any:
    """The declaration of the ZooKeeper that elects the leader; `without` it a role is alone."""
    return text(
        None,
        read=parse_zk,
        metavar="ZK_URL",
        help="Elect the leader through ZooKeeper: zk://host:port,host:port/path. Without it"
        f" {without}. ?auth=FILE at its end names credentials, and"
        " ?tls=FOLDER the certificates to trust.",
    )
