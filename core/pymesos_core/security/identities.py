"""The names in certificates.

A principal is KIND/NAME, as in `agent/node-1`. Its certificate holds the URI
`spiffe://CLUSTER/agent/node-1` (SPIFFE-ID, section 2) for servers to read, and the DNS names
`node-1.agent.CLUSTER.pymesos` and `agent.CLUSTER.pymesos` for clients to check: a client means a
kind of server, and perhaps one of them, wherever that is reached. So addresses are in no
certificate, and an address that somebody forged leads to nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pymesos_core.text import quoted

DOMAIN = "pymesos"
SCHEME = "spiffe://"
MAX_NAME_LENGTH = 100
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """What a principal is to the cluster."""

    MASTER = "master"
    AGENT = "agent"
    FRAMEWORK = "framework"
    OPERATOR = "operator"


class IdentityError(ValueError):
    """What was given names no principal: the message says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One principal of one cluster. Raises IdentityError for names that no certificate holds."""

    cluster: str
    kind: Kind
    name: str

    def __post_init__(self) -> None:
        if problem := cluster_problem(self.cluster) or name_problem(self.name):
            raise IdentityError(problem)

    @property
    def principal(self) -> str:
        """KIND/NAME, which is how everything but certificates names it."""
        return f"{self.kind}/{self.name}"

    @property
    def uri(self) -> str:
        """The SPIFFE ID."""
        return f"{SCHEME}{self.cluster}/{self.principal}"

    @property
    def dns_names(self) -> tuple[str, str]:
        """What clients check: its own name, and that of its kind."""
        return (
            server_name(self.cluster, self.kind, self.name),
            server_name(self.cluster, self.kind),
        )


def server_name(cluster: str, kind: Kind, name: str = "") -> str:
    """The DNS name that each certificate of a kind holds, or that of one principal only."""
    of_kind = f"{kind}.{cluster}.{DOMAIN}"
    return f"{name}.{of_kind}" if name else of_kind


def name_in(principal: str, kind: Kind) -> str:
    """NAME of KIND/NAME; empty for a principal that is not known, or of another kind."""
    found, _, name = principal.partition("/")
    return name if found == kind else ""


def cluster_problem(cluster: str) -> str | None:
    """Why this is no name of a cluster, or None."""
    if _LABEL.fullmatch(cluster):
        return None
    return (
        f"the cluster's name is {quoted(cluster)}; expected are 1 to 63 of a-z, 0-9 and -, with no"
        f" - at either end"
    )


def name_problem(name: str) -> str | None:
    """Why this is no name of a principal, or None."""
    if len(name) <= MAX_NAME_LENGTH and all(map(_LABEL.fullmatch, name.split("."))):
        return None
    return (
        f"the principal's name is {quoted(name)}; expected are at most {MAX_NAME_LENGTH} of a-z,"
        f" 0-9, - and ., as in node-1 or node-1.example.com"
    )


def read_principal(cluster: str, written: str) -> Identity:
    """Read KIND/NAME. Raises IdentityError."""
    kind, slash, name = written.partition("/")
    if not slash or kind not in set(Kind):
        raise IdentityError(
            f"{quoted(written)} is given; expected is KIND/NAME, where KIND is"
            f" {', '.join(Kind)}, as in agent/node-1"
        )
    return Identity(cluster, Kind(kind), name)


def principal_problem(principal: str) -> str | None:
    """Why this names no principal of a cluster, or None."""
    try:
        read_principal("any", principal)
    except IdentityError as error:
        return str(error)
    return None


def read_uri(uri: str) -> Identity:
    """Read a SPIFFE ID of ours. Raises IdentityError."""
    cluster, slash, principal = uri.removeprefix(SCHEME).partition("/")
    if not uri.startswith(SCHEME) or not slash:
        raise IdentityError(
            f"{quoted(uri)} is given; expected is {SCHEME}CLUSTER/KIND/NAME, as in"
            f" {SCHEME}prod/agent/node-1"
        )
    return read_principal(cluster, principal)
