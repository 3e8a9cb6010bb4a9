"""Who makes a call, by the certificate of its connection, and whether that kind may at all.

The table is of whole services. What is not in it is refused, so that a service that somebody adds
is closed until it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from cryptography import x509

from pymesos_core.caller import Caller, Method
from pymesos_core.security.identities import Identity, IdentityError, Kind, read_uri
from pymesos_core.transport import CallError, Code

# Of each service, who calls it.
CALLERS: Mapping[str, frozenset[Kind]] = {
    "pymesos.v1.Agent": frozenset({Kind.AGENT}),
    "pymesos.v1.Scheduler": frozenset({Kind.FRAMEWORK}),
    "pymesos.v1.Operator": frozenset({Kind.OPERATOR}),
    "pymesos.v1.Jobs": frozenset({Kind.OPERATOR}),
    "pymesos.v1.Sandbox": frozenset({Kind.OPERATOR, Kind.MASTER}),  # a master passes calls on
    "pymesos.v1.Executor": frozenset(),  # which has no certificate: see the agent's main
}

Authentication = Mapping[str, Iterable[bytes]]  # what gRPC knows of the other end
# Says who makes a call, by its method's path, its peer's address and what gRPC knows.
Gate = Callable[[str, str, Authentication], Caller]


def open_gate(_method: str, peer: str, _authentication: Authentication) -> Caller:
    """The gate of a server without certificates: whoever reaches it may call it."""
    return Caller(peer=peer, via="grpc")


class CertificateGate:
    """The gate of a server that asks each client for a certificate of its cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    def __call__(self, method: str, peer: str, authentication: Authentication) -> Caller:
        """Raises CallError: UNAUTHENTICATED or PERMISSION_DENIED."""
        who = self._identity(authentication)
        service = method.lstrip("/").partition("/")[0]
        if who.kind not in CALLERS.get(service, frozenset()):
            raise CallError(
                Code.PERMISSION_DENIED,
                f"{who.principal} may not call {service}; {_callers(service)}",
            )
        serial, ends_s = _told_by(next(iter(authentication.get("x509_pem_cert") or ()), b""))
        if ends_s <= time.time():  # the connection is older than that
            raise CallError(
                Code.UNAUTHENTICATED, f"the certificate of {who.principal} has ended; connect anew"
            )
        return Caller(who.principal, Method.CERT, serial, peer, "grpc", ends_s)

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


def _callers(service: str) -> str:
    kinds = sorted(CALLERS.get(service, frozenset()))
    return f"it is for {' and '.join(kinds)} certificates" if kinds else "no certificate may"


@lru_cache(maxsize=1024)
def _told_by(pem: bytes) -> tuple[str, float]:
    """The serial number of a certificate, and the Unix time at which it ends. Raises CallError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CallError(Code.UNAUTHENTICATED, "the certificate cannot be read") from error
    return f"{certificate.serial_number:x}", certificate.not_valid_after_utc.timestamp()
