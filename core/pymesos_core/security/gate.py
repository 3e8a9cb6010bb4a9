"""Who makes a call, by the certificate of its connection, and whether that kind may at all.

The table here is of whole services; what each method needs is in `needs`. What is not in both is
refused, so that what somebody adds is closed until it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from pymesos_core.caller import Caller, Method
from pymesos_core.security.identities import Identity, IdentityError, Kind, read_uri
from pymesos_core.security.needs import need_of_path
from pymesos_core.security.reading import read_certificate, read_certificates
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code

# Of each service, and the kind that serves it, who calls it.
CALLERS: Mapping[str, Mapping[Kind, frozenset[Kind]]] = {
    "pymesos.v1.Agent": {Kind.MASTER: frozenset({Kind.AGENT})},
    "pymesos.v1.Scheduler": {Kind.MASTER: frozenset({Kind.FRAMEWORK})},
    "pymesos.v1.Operator": {Kind.MASTER: frozenset({Kind.OPERATOR})},
    "pymesos.v1.Masters": {Kind.MASTER: frozenset({Kind.MASTER})},
    # Masters take calls of Jobs by HTTP, and pass them on.
    "pymesos.v1.Jobs": {
        Kind.FRAMEWORK: frozenset({Kind.OPERATOR}),
        Kind.MASTER: frozenset({Kind.OPERATOR}),
    },
    "pymesos.v1.Names": {Kind.MASTER: frozenset({Kind.AGENT, Kind.MASTER, Kind.OPERATOR})},
    # Which says for whom it calls; the framework goes by what those may.
    "pymesos.v1.RelayedJobs": {Kind.FRAMEWORK: frozenset({Kind.MASTER})},
    # Agents know no policy: a master goes by it, and passes the calls on.
    "pymesos.v1.Sandbox": {
        Kind.MASTER: frozenset({Kind.OPERATOR}),
        Kind.AGENT: frozenset({Kind.MASTER}),
    },
    # The same, of what agents answer by HTTP: a master says what who asks may.
    "pymesos.v1.AgentHttp": {Kind.AGENT: frozenset({Kind.MASTER})},
    "pymesos.v1.Executor": {},  # which has no certificate: see the agent's main
    # Who joins has no certificate: see `join_gate`.
    "pymesos.v1.Enrolment": {Kind.MASTER: frozenset({Kind.MASTER})},
    "pymesos.v1.Certificates": {Kind.MASTER: frozenset(Kind)},
}
# What is served to those who have no certificate yet.
FOR_JOINING = frozenset({"pymesos.v1.Enrolment"})

Authentication = Mapping[str, Iterable[bytes]]  # what gRPC knows of the other end
# Says who makes a call, by its method's path, its peer's address and what gRPC knows.
Gate = Callable[[str, str, Authentication], Caller]


# Told who, as far as that is known, called what, and why the gate refuses it.
OnRefused = Callable[[Caller, str, str], None]


def telling(gate: Gate, on_refused: OnRefused) -> Gate:
    """The same gate, that tells whom it refuses."""

    def told(method: str, peer: str, authentication: Authentication) -> Caller:
        try:
            return gate(method, peer, authentication)
        except CallError as error:
            on_refused(_shown(peer, authentication), method, error.message)
            raise

    return told


def _shown(peer: str, authentication: Authentication) -> Caller:
    """Who calls by a certificate, though it is not in force here."""
    try:
        who = read_uri(next(iter(authentication.get("peer_uri") or ()), b"").decode())
        serial, _ = _told_by(next(iter(authentication.get("x509_pem_cert") or ()), b""))
    except (IdentityError, UnicodeDecodeError, CallError):
        return Caller(peer=peer, via="grpc")
    return Caller(who.principal, None, serial, peer, "grpc")


def open_gate(_method: str, peer: str, _authentication: Authentication) -> Caller:
    """The gate of a server without certificates: whoever reaches it may call it."""
    return Caller(peer=peer, via="grpc")


def join_gate(method: str, peer: str, _authentication: Authentication) -> Caller:
    """The gate of a server for those who join. Raises CallError for all but that."""
    if _service_of(method) not in FOR_JOINING:
        raise CallError(Code.PERMISSION_DENIED, "this port is for joining the cluster only")
    return Caller(peer=peer, via="grpc")


class CertificateGate:
    """The gate of a server that asks each client for a certificate of its cluster."""

    def __init__(
        self, cluster: str, served_by: Kind, revocations: Revocations | None = None
    ) -> None:
        self._cluster = cluster
        self._served_by = served_by
        self._revocations = revocations or Revocations()

    def __call__(self, method: str, peer: str, authentication: Authentication) -> Caller:
        """Raises CallError: UNAUTHENTICATED or PERMISSION_DENIED."""
        who = self._identity(authentication)
        service = _service_of(method)
        may = CALLERS.get(service, {}).get(self._served_by, frozenset())
        if who.kind not in may:
            raise CallError(
                Code.PERMISSION_DENIED,
                f"{who.principal} may not call {service}; {_callers(may)}",
            )
        if need_of_path(method) is None:
            raise CallError(
                Code.PERMISSION_DENIED,
                f"nobody may call {method}, of which is not known what it needs",
            )
        serial, ends_s = _told_by(next(iter(authentication.get("x509_pem_cert") or ()), b""))
        if ends_s <= time.time():  # the connection is older than that
            raise CallError(
                Code.UNAUTHENTICATED, f"the certificate of {who.principal} has ended; connect anew"
            )
        chain = next(iter(authentication.get("x509_pem_cert_chain") or ()), b"")
        caller = Caller(
            who.principal, Method.CERT, serial, peer, "grpc", ends_s, _vouching_for(serial, chain)
        )
        if problem := self._revocations.problem(caller):
            raise CallError(Code.UNAUTHENTICATED, problem)
        return caller

    def _identity(self, authentication: Authentication) -> Identity:
        uris = tuple(authentication.get("peer_uri") or ())
        try:
            if len(uris) != 1:
                raise IdentityError(f"the certificate holds {len(uris)} URIs; expected is one")
            who = read_uri(uris[0].decode("utf-8", "replace"))
        except IdentityError as error:
            raise CallError(Code.UNAUTHENTICATED, f"who calls is not known: {error}") from error
        if who.cluster != self._cluster:
            raise CallError(
                Code.UNAUTHENTICATED,
                f"{who.uri} is of another cluster than this server, which is of {self._cluster}",
            )
        return who


def _service_of(method: str) -> str:
    return method.lstrip("/").partition("/")[0]


def _callers(may: frozenset[Kind]) -> str:
    kinds = sorted(may)
    return f"it is for {' and '.join(kinds)} certificates" if kinds else "no certificate may"


@lru_cache(maxsize=1024)
def _told_by(pem: bytes) -> tuple[str, float]:
    """The serial number of a certificate, and the Unix time at which it ends. Raises CallError."""
    try:
        certificate = read_certificate(pem)
    except ValueError as error:
        raise CallError(Code.UNAUTHENTICATED, "the certificate cannot be read") from error
    return f"{certificate.serial_number:x}", certificate.not_valid_after_utc.timestamp()


@lru_cache(maxsize=1024)
def _vouching_for(serial: str, chain: bytes) -> tuple[str, ...]:
    """The serial numbers of a chain, but for that of the certificate itself."""
    try:
        certificates = read_certificates(chain)
    except ValueError:  # there is none
        return ()
    found = (f"{one.serial_number:x}" for one in certificates)
    return tuple(number for number in found if number != serial)
