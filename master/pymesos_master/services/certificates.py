"""The services by which certificates are got: with a token once, and then by the one before."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from pymesos_core.following import ask_master, leader_of
from pymesos_core.security.audit import entry
from pymesos_core.security.identities import Identity, IdentityError, Kind, read_principal
from pymesos_core.security.joining import JOIN
from pymesos_core.security.policy import ALLOWED
from pymesos_core.security.reading import read_certificate
from pymesos_core.security.secrets import KeyringError, key_file_bytes
from pymesos_core.security.signing import Issued, Signer, SigningError, key_digest, read_request
from pymesos_core.streams import in_thread
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import CODES, Leadership, caller_of
from pymesos_proto.v1 import enrolment_pb2 as pb

PASSED_ON_TIMEOUT_S = 20.0

Call = ServerCall[Any, Any]


class EnrolmentService:
    """Takes those in who have a token. A master that does not lead asks the one that does."""

    contract = pb.DESCRIPTOR.services_by_name["Enrolment"]

    def __init__(
        self, leadership: Leadership, cluster: str, signer: Signer, *, passes_on: bool
    ) -> None:
        self._leadership = leadership
        self._cluster = cluster
        self._signer = signer
        self._passes_on = passes_on

    async def Join(self, request: pb.JoinRequest, call: Call) -> pb.IssuedCertificate:  # noqa: N802
        """Write that the token is used, then sign."""
        try:
            self._leadership.here()
        except CallError as error:
            leader = leader_of(error)
            if leader is None or not self._passes_on:
                raise
            dial = self._leadership.outside.dial
            answer = await ask_master(dial, leader, JOIN, request, PASSED_ON_TIMEOUT_S)
            assert isinstance(answer, pb.IssuedCertificate)
            return answer
        digest = hashlib.sha256(request.secret).hexdigest()
        try:
            key = read_request(request.request)
            with self._leadership.asked() as leader_here:
                await leader_here.commands.use_token(
                    caller_of(call), digest, key_digest(key), request.wanted
                )
                token = leader_here.core.state.tokens().get(digest)
            if token is None:
                raise CallError(Code.NOT_FOUND, "the token was taken back just now")
            to = read_principal(self._cluster, token.principal)
            of_authority = None
            if to.kind == Kind.MASTER and request.authority_request:
                of_authority = read_request(request.authority_request)
            issued = await in_thread(self._signer.sign, key, to, of_authority)
            keys = b""
            if to.kind == Kind.MASTER and self._leadership.keys.path is not None:
                keys = await in_thread(_keys_at, self._leadership.keys.path)
        except SigningError as error:
            raise CallError(Code.FAILED_PRECONDITION, str(error)) from error
        await _record(self._leadership, call, "Enrolment.Join", to, issued, key)
        answer = _message(issued)
        answer.secrets_key = keys
        return answer


class CertificatesService:
    """Signs new certificates of those who have one, for keys of their choice."""

    contract = pb.DESCRIPTOR.services_by_name["Certificates"]

    def __init__(self, leadership: Leadership, cluster: str, signer: Signer) -> None:
        self._leadership = leadership
        self._cluster = cluster
        self._signer = signer

    async def Renew(self, request: pb.RenewRequest, call: Call) -> pb.IssuedCertificate:  # noqa: N802
        """For who calls, and nobody else. The gate lets no one in who is revoked."""
        self._leadership.here()
        try:
            to = read_principal(self._cluster, caller_of(call).principal)
            key = read_request(request.request)
            issued = await in_thread(self._signer.sign, key, to, None)
        except IdentityError as error:
            raise CallError(Code.UNAUTHENTICATED, f"who calls is not known: {error}") from error
        except SigningError as error:
            raise CallError(Code.FAILED_PRECONDITION, str(error)) from error
        await _record(self._leadership, call, "Certificates.Renew", to, issued, key)
        return _message(issued)


def _keys_at(path: Path) -> bytes:
    """The keys of secrets that a new master is to have, too; none, if there are none here."""
    try:
        return key_file_bytes(path)
    except (FileNotFoundError, KeyringError):
        return b""


async def _record(
    leadership: Leadership,
    call: Call,
    name: str,
    to: Identity,
    issued: Issued,
    key: ec.EllipticCurvePublicKey,
) -> None:
    """Have the audit tell of a certificate before it is handed out. Raises CallError."""
    made = read_certificate(issued.chain)
    of = {
        "principal": to.principal,
        "new_serial": f"{made.serial_number:x}",
        "key_sha256": key_digest(key).hex(),
    }
    line = entry(leadership.outside.wall_s(), caller_of(call), name, ALLOWED, of)
    if (problem := await leadership.audit.record(line)) is not None:
        raise CallError(CODES[problem.kind], problem.message)


def _message(issued: Issued) -> pb.IssuedCertificate:
    return pb.IssuedCertificate(chain=issued.chain, roots=issued.roots, authority=issued.authority)
