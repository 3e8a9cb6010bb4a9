"""Certificate, key and roots of this process, and what gRPC makes of them.

They are three files of one folder, which whoever renews the certificate writes anew; connections
made from then on use what is there then.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from pymesos_core.complaints import Complaints
from pymesos_core.exits import RoleError
from pymesos_core.private import read_file, read_private
from pymesos_core.security.authority import chain_problem, identity_of
from pymesos_core.security.identities import Identity, Kind, server_name
from pymesos_core.security.reading import read_certificates
from pymesos_core.security.revocations import Revocations
from pymesos_core.text import os_problem

if TYPE_CHECKING:
    import grpc  # here for types only: whoever just writes the files does without

CERTIFICATE, KEY, ROOTS = "cert.pem", "key.pem", "roots.pem"
NEXT_KEY = "next-key.pem"  # of a certificate that is asked for, until it is there
FILES = (CERTIFICATE, KEY, ROOTS)
MAX_FILE_BYTES = 1024 * 1024
MAX_READS = 10  # of files that another process replaces

log = logging.getLogger(__name__)

Version = tuple[tuple[int, int, int], ...]


class CredentialsError(RoleError):
    """The files cannot be used: the message says which, why, and what to do."""


class MissingError(CredentialsError):
    """There is no certificate."""


class EndedError(CredentialsError):
    """The certificate has ended; nothing else is wrong with it."""


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
        self.revocations = Revocations()  # among those who call this process
        self.renewal_failures = 0

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

    @contextlib.contextmanager
    def replacing(self) -> Iterator[Path]:
        """While this process replaces the files in the folder: they are read when all are there.

        Raises CredentialsError.
        """
        with self._lock:
            yield self._folder
            self._read_again(_version(self._folder))

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

    def server(self, *, for_joining: bool = False) -> grpc.ServerCredentials:
        """For a server, which asks each client for its certificate.

        One for joining does not: it shows the roots, too, which its clients know by their digest.
        """
        import grpc

        used = [self._pem]

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            pem = self.current()
            if pem is used[0]:
                return None
            used[0] = pem
            return _server_configuration(pem, for_joining)

        first = _server_configuration(self._pem, for_joining)
        # None means that nothing is new, which types-grpcio does not know.
        fetch: Any = renewed
        return grpc.dynamic_ssl_server_credentials(first, fetch, not for_joining)

    def channel(
        self, to: Kind, name: str = ""
    ) -> tuple[grpc.ChannelCredentials, list[tuple[str, str]]]:
        """For a channel to a server of that kind, or to that one only, with the options for it."""
        import grpc

        pem = self.current()
        credentials = grpc.ssl_channel_credentials(pem.roots, pem.key, pem.chain)
        return credentials, _meaning(self.identity.cluster, to, name)


class Joining:
    """What a process has instead of Credentials that has no certificate yet: it knows the root."""

    def __init__(self, cluster: str, roots: bytes) -> None:
        self._cluster = cluster
        self._roots = roots

    def channel(
        self, to: Kind, name: str = ""
    ) -> tuple[grpc.ChannelCredentials, list[tuple[str, str]]]:
        """See Credentials."""
        import grpc

        return grpc.ssl_channel_credentials(self._roots), _meaning(self._cluster, to, name)


def _meaning(cluster: str, to: Kind, name: str) -> list[tuple[str, str]]:
    return [("grpc.ssl_target_name_override", server_name(cluster, to, name))]


def read_pem(folder: Path) -> Pem:
    """Read and check the three files, again when they are replaced meanwhile.

    Raises CredentialsError, of which MissingError and EndedError.
    """
    for _ in range(MAX_READS):
        version = _version(folder)
        try:
            pem = _read_pem(folder)
        except CredentialsError:
            if _version(folder) == version:
                raise
        else:
            if _version(folder) == version:
                return pem
    raise CredentialsError(f"the files in {folder} are replaced all the time: see who does that")


def _read_pem(folder: Path) -> Pem:
    chain, roots = (_read(folder / name) for name in (CERTIFICATE, ROOTS))
    certificates = _certificates(folder / CERTIFICATE, chain)
    leaf = certificates[0]
    try:
        identity = identity_of(leaf)
    except ValueError as error:  # IdentityError, and what cannot be read of it
        raise CredentialsError(f"{folder / CERTIFICATE}: {error}") from error
    key = _key_of(folder, leaf)
    ends_s = leaf.not_valid_after_utc.timestamp()
    if ends_s <= time.time():
        raise EndedError(
            f"{folder / CERTIFICATE} has ended at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC:"
            f" have a new one issued, with `pymesos-cli cluster issue`, or a token made, with"
            f" `pymesos-cli cluster token`"
        )
    if problem := chain_problem(certificates, _certificates(folder / ROOTS, roots), time.time()):
        raise CredentialsError(
            f"{folder / CERTIFICATE} does not lead to {folder / ROOTS}: {problem}. Are both of the"
            f" same cluster?"
        )
    return Pem(chain, key, roots, identity, leaf.not_valid_before_utc.timestamp(), ends_s)


def _key_of(folder: Path, leaf: x509.Certificate) -> bytes:
    """The key of a certificate: who replaced both may have been cut short between them.

    Raises CredentialsError.
    """
    if (folder / NEXT_KEY).exists() and _is_key_of(folder / NEXT_KEY, leaf):
        return _read_key(folder / NEXT_KEY)
    if not _is_key_of(folder / KEY, leaf):
        raise CredentialsError(
            f"{folder / KEY} is not the key of {folder / CERTIFICATE}: one of them was replaced"
            f" without the other"
        )
    return _read_key(folder / KEY)


def _is_key_of(path: Path, leaf: x509.Certificate) -> bool:
    """Raises CredentialsError."""
    key = _read_key(path)
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CredentialsError(f"{path} holds no private key in PEM without a password") from error
    return private.public_key() == leaf.public_key()


def _version(folder: Path) -> Version:
    out = []
    for name in FILES:
        try:
            status = (folder / name).stat()
        except FileNotFoundError:
            out.append((0, 0, 0))
            continue
        except OSError as error:
            raise _unreadable(error) from error
        out.append((status.st_ino, status.st_mtime_ns, status.st_mode))
    return tuple(out)


def _read(path: Path) -> bytes:
    try:
        return read_file(path, MAX_FILE_BYTES)
    except OSError as error:
        raise _unreadable(error) from error


def _read_key(path: Path) -> bytes:
    try:
        return read_private(path, MAX_FILE_BYTES)
    except PermissionError as error:
        raise CredentialsError(os_problem(error)) from error
    except OSError as error:
        raise _unreadable(error) from error


def _unreadable(error: OSError) -> CredentialsError:
    nothing = isinstance(error, FileNotFoundError) and Path(error.filename).name == CERTIFICATE
    above = [Path(error.filename).parent] if nothing else []  # perhaps what `cluster init` made
    below = sorted(str(found.parent) for each in above for found in each.glob(f"*/{CERTIFICATE}"))
    here = f"; there are {', '.join(below)}" if below else ""
    return (MissingError if nothing else CredentialsError)(
        f"{os_problem(error)}. Expected is a folder with {', '.join(FILES)}, as"
        f" `pymesos-cli cluster init`, `cluster join` and `cluster issue` make it{here}"
    )


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return read_certificates(pem)
    except ValueError as error:
        raise CredentialsError(f"{path} holds no certificates in PEM") from error


def _server_configuration(pem: Pem, for_joining: bool) -> grpc.ServerCertificateConfiguration:
    import grpc

    if for_joining:
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain + pem.roots)])
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.chain)], pem.roots)
