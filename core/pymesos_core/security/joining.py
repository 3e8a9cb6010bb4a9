"""Joining a cluster with a token: what comes to a folder is what `--tls` takes.

A token has the digest of the cluster's root and a secret. Whoever answers at the address that comes
with it shows its roots, of which one must be that; only then, on a connection that is checked by
it, the secret is sent, with the key for which a certificate is wanted. The key is made here and
stays here.
"""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pymesos_core.addresses import AddressError, HostPort, parse_host_port
from pymesos_core.exits import RoleError
from pymesos_core.grpc_transport import dialer
from pymesos_core.private import read_file, read_private
from pymesos_core.security.authority import (
    Authority,
    PrivateKey,
    answer_problem,
    certificate_pem,
    fingerprint,
    identity_of,
    key_pem,
    new_key,
)
from pymesos_core.security.credentials import (
    CERTIFICATE,
    MAX_FILE_BYTES,
    NEXT_KEY,
    EndedError,
    Joining,
    MissingError,
    read_pem,
)
from pymesos_core.security.identities import Identity, IdentityError, Kind
from pymesos_core.security.issuing import put, put_authority, put_next_key
from pymesos_core.security.reading import UNREADABLE, read_certificate, read_certificates, read_der
from pymesos_core.security.secrets import KEY_FILE, KeyringError, merge_keys
from pymesos_core.security.signing import make_request
from pymesos_core.streams import in_own_thread
from pymesos_core.text import duration, one_line, os_problem
from pymesos_core.transport import CallError, Code, ask_once, method_of
from pymesos_proto.v1 import enrolment_pb2 as pb

PREFIX = "pymesos"
DIGEST_BYTES = SECRET_BYTES = 32
CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 10.0, 30.0
MAX_WRITTEN = 1000  # characters
MAX_SHOWN = 120  # of what somebody wants to be; longer than any principal
JOIN = method_of("/pymesos.v1.Enrolment/Join", pb.JoinRequest, pb.IssuedCertificate)


class JoinError(RoleError):
    """The cluster cannot be joined: the message says why, and what to do."""


@dataclass(frozen=True)
class Invitation:
    """A token, and where it is taken."""

    root: bytes  # the SHA-256 of the root's certificate
    secret: bytes
    at: HostPort

    @property
    def written(self) -> str:
        """TOKEN@HOST:PORT."""
        return f"{PREFIX}.{_text(self.root)}.{_text(self.secret)}@{self.at}"


def read_invitation(written: str) -> Invitation:
    """Read TOKEN@HOST:PORT. Raises ValueError, which does not quote the token."""
    token, at, address = written.strip().rpartition("@")
    parts = token.split(".")
    if len(written) > MAX_WRITTEN or not at or len(parts) != 3 or parts[0] != PREFIX:
        raise ValueError(
            f"this is no token with an address; expected is {PREFIX}.….…@HOST:PORT, as"
            f" `pymesos-cli cluster token` prints it"
        )
    try:
        root, secret = (base64.b64decode(part + "=", b"-_", validate=True) for part in parts[1:])
    except (binascii.Error, ValueError):
        root = secret = b""
    if (len(root), len(secret)) != (DIGEST_BYTES, SECRET_BYTES):
        raise ValueError("the token is damaged: is all of it there?")
    try:
        return Invitation(root, secret, parse_host_port(address))
    except AddressError as error:
        raise ValueError(f"after the token's @: {error}") from error


def read_invitation_file(path: Path) -> Invitation:
    """Raises JoinError."""
    try:
        return read_invitation(read_private(path, MAX_WRITTEN + 1, pipes=True).decode("utf-8"))
    except OSError as error:
        raise JoinError(f"the token cannot be used: {os_problem(error)}") from error
    except ValueError as error:
        raise JoinError(f"{path}: {error}") from error


def mask_invitation(written: str) -> str:
    """What is shown of TOKEN@HOST:PORT."""
    return "***@" + written.rpartition("@")[2]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def join_unless_in(folder: Path, invited: Callable[[], Invitation], kind: Kind) -> None:
    """Join, if the folder has no certificate, or one that has ended; only then is a token needed.

    Raises JoinError, and CredentialsError for what a token does not mend.
    """
    try:
        read_pem(folder)
        return
    except MissingError:
        why = f"there is no certificate in {folder} yet, and none can be got"
    except EndedError as error:
        why = f"{error}. None can be got with the token that is given"
    try:
        await join(folder, invited(), kind)
    except JoinError as error:
        raise JoinError(f"{why}: {error}") from error


async def join(folder: Path, invitation: Invitation, kind: Kind | None = None) -> Identity:
    """Get the certificate of the token's principal, which has to be of that kind. Raises JoinError.

    Where the folder holds a certificate, the token has to be of the same principal: the master is
    told, so that it takes no other. The key is kept in the folder before it is asked for, so that
    who is cut short can ask again.
    """
    there = _holder(folder)
    if there is not None and kind not in (None, there.kind):
        raise JoinError(f"{_holds(folder, there)}: name another folder for {kind}/NAME")
    root = await in_own_thread("join", _root_shown, invitation)
    cluster = _cluster_of(root)
    if there is not None and there.cluster != cluster:
        raise JoinError(f"{_holds(folder, there)}: name another folder for the cluster {cluster}")
    authority_key = new_key()
    try:
        key = _next_key(folder)
        put_next_key(folder, key_pem(key))
    except OSError as error:
        raise _cannot_write(error) from error
    request = pb.JoinRequest(
        secret=invitation.secret,
        request=make_request(key),
        authority_request=make_request(authority_key) if kind in (Kind.MASTER, None) else b"",
        wanted=there.principal if there is not None else kind or "",
    )
    answer = await _ask(invitation.at, root, cluster, request)
    try:
        leaf, *above = read_certificates(answer.chain)
        who = identity_of(leaf)
        problem = answer_problem([leaf, *above], [root], time.time())
    except ValueError as error:
        raise JoinError(f"what {invitation.at} answered is no certificate: {error}") from error
    if problem or leaf.public_key() != key.public_key():
        raise JoinError(f"what {invitation.at} answered cannot be used: {problem or 'another key'}")
    # A master that does not know what is wanted has taken the token by now.
    if kind is not None and who.kind != kind:
        raise JoinError(not_wanted(who.principal, kind))
    if there not in (None, who):
        raise JoinError(not_wanted(who.principal, there.principal))
    try:
        if answer.authority:
            signing, *over = read_certificates(answer.authority)
            put_authority(folder, Authority(signing, authority_key, tuple(over)))
        if answer.secrets_key:
            merge_keys(folder / KEY_FILE, answer.secrets_key)
        put(folder, key_pem(key), answer.chain, answer.roots)
    except OSError as error:
        raise _cannot_write(error) from error
    except KeyringError as error:
        raise JoinError(str(error)) from error
    except ValueError as error:
        raise JoinError(f"what {invitation.at} answered is no authority: {error}") from error
    return who


def _next_key(folder: Path) -> PrivateKey:
    """The key that was asked for before, if that was cut short, or a new one. Raises OSError."""
    try:
        kept = read_private(folder / NEXT_KEY, MAX_FILE_BYTES)
        found = serialization.load_pem_private_key(kept, password=None)
    except (FileNotFoundError, *UNREADABLE):
        return new_key()
    return found if isinstance(found, PrivateKey) else new_key()


def _root_shown(invitation: Invitation) -> x509.Certificate:
    """The root of the token, among what is shown there. Raises JoinError."""
    at = invitation.at
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is believed on this connection, and nothing is said: it shows certificates, and the
    # one that is wanted is known by its digest.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((at.host, at.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            shown = _chain_of(connection)
    except OSError as error:  # ssl.SSLError is one
        raise JoinError(
            f"nobody takes those who join at {at} ({os_problem(error)}): is that the --join-port of"
            f" a master, which has an authority?"
        ) from error
    for der in shown:
        try:
            certificate = read_der(der)
        except ValueError:
            continue
        if fingerprint(certificate) == invitation.root:
            return certificate
    raise JoinError(
        f"what answers at {at} is not of the cluster that made the token: its root is another, so"
        f" nothing was told to it"
    )


def _chain_of(connection: ssl.SSLSocket) -> list[bytes]:
    """What the other end shows: public from Python 3.13 on, and there before."""
    shown = getattr(connection, "get_unverified_chain", None)
    if shown is not None:
        return list(shown())
    found = getattr(connection, "_sslobj").get_unverified_chain() or ()  # noqa: B009
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found]


def _cluster_of(root: x509.Certificate) -> str:
    """Raises JoinError."""
    try:
        return Authority(root, new_key()).cluster
    except IdentityError as error:
        raise JoinError(f"the root of the token cannot be used: {error}") from error


async def _ask(
    at: HostPort, root: x509.Certificate, cluster: str, request: pb.JoinRequest
) -> pb.IssuedCertificate:
    """Raises JoinError."""
    channel = dialer(Joining(cluster, certificate_pem(root)))(at, Kind.MASTER)
    try:
        answer = await ask_once(channel, JOIN, request, ANSWER_TIMEOUT_S)
    except TimeoutError:
        raise JoinError(
            f"{at} did not answer within {duration(ANSWER_TIMEOUT_S)}; try again"
        ) from None
    except CallError as error:
        if error.code == Code.UNAVAILABLE:
            raise JoinError(f"the master at {at} cannot take anybody in now: {error}") from error
        raise JoinError(f"the master at {at} refuses: {error}") from error
    if not isinstance(answer, pb.IssuedCertificate):
        raise JoinError(f"the master at {at} answered nothing; try again")
    return answer


def _holder(folder: Path) -> Identity | None:
    """Whose certificate a folder holds, in force or ended: it is never taken from its principal.

    Raises JoinError.
    """
    try:
        written = read_file(folder / CERTIFICATE, MAX_FILE_BYTES)
        return identity_of(read_certificate(written))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JoinError(f"{folder / CERTIFICATE} is there and cannot be read: {error}") from error


def _holds(folder: Path, there: Identity) -> str:
    return f"{folder} holds the certificate of {there.principal} of {there.cluster}"


def not_wanted(principal: str, wanted: str) -> str:
    """What is said of a token of `principal`, where one of KIND or KIND/NAME is wanted."""
    expected = one_line(wanted if "/" in wanted else f"{wanted}/NAME", MAX_SHOWN)
    return (
        f"the token is that of {principal}; expected is one of {expected}: have it made with"
        f" `pymesos-cli cluster token {expected}`, or name another folder"
    )


def _cannot_write(error: OSError) -> JoinError:
    return JoinError(f"the certificate cannot be kept: {os_problem(error)}")
