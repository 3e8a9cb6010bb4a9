"""Certificate, key and roots of this process, and what gRPC makes of them.

They are three files of one folder, which whoever renews the certificate writes anew; connections
made from then on use what is there then.
"""

from __future__ import annotations

import itertools
import logging
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from pymesos_core.complaints import Complaints
from pymesos_core.exits import RoleError
from pymesos_core.security.authority import identity_of
from pymesos_core.security.identities import Identity, Kind, server_name
from pymesos_core.text import os_problem

if TYPE_CHECKING:
    import grpc  # here for types only: whoever just writes the files does without

CERTIFICATE, KEY, ROOTS = "cert.pem", "key.pem", "roots.pem"
FILES = (CERTIFICATE, KEY, ROOTS)
MAX_FILE_BYTES = 1024 * 1024

log = logging.getLogger(__name__)

Version = tuple[tuple[int, int, int], ...]


class CredentialsError(RoleError):
    """The files cannot be used: the message says which, why, and what to do."""


@dataclass(frozen=True)
class Pem:
    """The files, checked: the certificate is the key's, in force, and signed below a root."""

    chain: bytes
    key: bytes
    roots: bytes
    identity: Identity
    begins_s: float  # Unix time of the certificate
    ends_s: float


class Credentials:
    """Who this process is, and how it proves that. Safe to use in threads."""

    def __init__(self, folder: Path) -> None:
        """Raises CredentialsError."""
        self._folder = folder
        self._lock = threading.Lock()
        self._version = _version(folder)
        self._pem = read_pem(folder)
        self._tried: Version | None = None
        self._complaints = Complaints(log)
        self.identity = self._pem.identity

    def need(self, kind: Kind) -> None:
        """Raises CredentialsError when it is the certificate of another kind of principal."""
        if self.identity.kind != kind:
            raise CredentialsError(
                f"{self._folder / CERTIFICATE} is the certificate of {self.identity.principal};"
                f" expected is one of {kind}/NAME: see `pymesos-cli cluster issue --help`"
            )

    def current(self) -> Pem:
        """The files as they are; as they were while they are being written, or are no good."""
        with self._lock:
            try:
                version = _version(self._folder)
                if version != self._version:
                    self._read_again(version)
            except CredentialsError as error:
                self._say("files", f"{error}; what was read before stays in use")
            self._say_how_long()
        return self._pem

    def _say_how_long(self) -> None:
        """A warning says when the certificate ends, so that somebody renews it before."""
        left_s = self._pem.ends_s - time.time()
        if left_s <= 0:
            self._say(
                "end",
                f"the certificate of {self.identity.principal} has ended, so nobody lets this"
                f" process in: have a new one put into {self._folder}, with `pymesos-cli cluster"
                f" issue`",
            )
        elif left_s < (self._pem.ends_s - self._pem.begins_s) / 10:
            ends = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self._pem.ends_s))
            self._say(
                "coming end",
                f"the certificate of {self.identity.principal} ends at {ends}: have a new one put"
                f" into {self._folder}, with `pymesos-cli cluster issue`",
            )

    def _say(self, kind: str, warning: str) -> None:
        """Warn at most once a minute, whoever connects how often."""
        self._complaints.say("this process", kind, warning)

    def _read_again(self, version: Version) -> None:
        """Raises CredentialsError, once for each version."""
        if version == self._tried:
            return
        self._tried = version
        pem = read_pem(self._folder)
        if pem.identity != self.identity:
            raise CredentialsError(
                f"{self._folder / CERTIFICATE} is {pem.identity.principal}'s now; this process is"
                f" {self.identity.principal}"
            )
        self._pem, self._version = pem, version
        log.info("a new certificate is in use")

    def server(self) -> grpc.ServerCredentials:
        """For a server, which asks each client for its certificate."""
        import grpc

        used = [self._pem]

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            pem = self.current()
            if pem is used[0]:
                return None
            used[0] = pem
            return _server_configuration(pem)

        first = _server_configuration(self._pem)
        # None means that nothing is new, which types-grpcio does not know.
        fetch: Any = renewed
        return grpc.dynamic_ssl_server_credentials(first, fetch, True)

    def channel(
        self, to: Kind, name: str = ""
    ) -> tuple[grpc.ChannelCredentials, list[tuple[str, str]]]:
        """For a channel to a server of that kind, or to that one only, with the options for it."""
        import grpc

        pem = self.current()
        whom = server_name(self.identity.cluster, to, name)
        credentials = grpc.ssl_channel_credentials(pem.roots, pem.key, pem.chain)
        return credentials, [("grpc.ssl_target_name_override", whom)]


def read_pem(folder: Path) -> Pem:
    """Read and check the three files. Raises CredentialsError."""
    chain, key, roots = (_read(folder / name) for name in FILES)
    _check_private(folder / KEY)
    certificates = _certificates(folder / CERTIFICATE, chain)
    leaf = certificates[0]
    try:
        identity = identity_of(leaf)
    except ValueError as error:  # IdentityError, and what cannot be read of it
        raise CredentialsError(f"{folder / CERTIFICATE}: {error}") from error
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(
            f"{folder / KEY} holds no private key in PEM without a password"
        ) from error
    if private.public_key() != leaf.public_key():
        raise CredentialsError(
            f"{folder / KEY} is not the key of {folder / CERTIFICATE}: one of them was replaced"
            f" without the other"
        )
    if not _leads_to(certificates, _certificates(folder / ROOTS, roots)):
        raise CredentialsError(
            f"{folder / CERTIFICATE} is signed by no root of {folder / ROOTS}: are both of the same"
            f" cluster?"
        )
    ends_s = leaf.not_valid_after_utc.timestamp()
    if ends_s <= time.time():
        raise CredentialsError(
            f"{folder / CERTIFICATE} has ended at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC:"
            f" have a new one issued, with `pymesos-cli cluster issue`"
        )
    return Pem(chain, key, roots, identity, leaf.not_valid_before_utc.timestamp(), ends_s)


def _version(folder: Path) -> Version:
    out = []
    for name in FILES:
        try:
            status = (folder / name).stat()
        except OSError as error:
            raise _unreadable(error) from error
        out.append((status.st_ino, status.st_mtime_ns, status.st_mode))
    return tuple(out)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> CredentialsError:
    return CredentialsError(
        f"{os_problem(error)}. Expected is a folder with {', '.join(FILES)}, as"
        f" `pymesos-cli cluster issue` makes it"
    )


def _check_private(key: Path) -> None:
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError as error:
        raise _unreadable(error) from error
    if mode & 0o077:
        raise CredentialsError(f"{key} can be read by others than its owner: chmod 600 {key}")


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CredentialsError(f"{path} holds no certificates in PEM") from error


def _leads_to(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> bool:
    for below, above in itertools.pairwise(chain):
        if not _signs(above, below):
            return False
    return any(_signs(root, chain[-1]) for root in roots)


def _signs(above: x509.Certificate, below: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _server_configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    import grpc

    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.roots)
