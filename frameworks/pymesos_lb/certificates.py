"""The certificates that clients are shown: read where an operator puts them, and checked."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pymesos_core.clock import utc
from pymesos_core.private import read_file, read_private
from pymesos_core.security.reading import UNREADABLE, read_certificates
from pymesos_core.text import one_line, os_problem

END = ".pem"
CERTBOT = ("fullchain.pem", "privkey.pem")  # in a folder of the certificate's name
MAX_CERTIFICATES = 1000
MAX_FILE_BYTES = 1 << 16
MIN_RSA_BITS = 2048  # OpenSSL, and so HAProxy, takes none that is shorter
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)

BEGINS = b"-----BEGIN CERTIFICATE-----"
SHOWN = 200  # of why it cannot be read

Version = tuple[tuple[str, int, int, int], ...]  # of files: as they were at a time


class BadCertificateError(Exception):
    """What was found is no certificate that can be shown: the message says why."""


@dataclass(frozen=True)
class Certificate:
    """A certificate with those above it, and its key."""

    pem: bytes  # as HAProxy reads it: certificates, and then the key
    fingerprint: str  # SHA-1, as HAProxy says which one it has
    names: frozenset[str]
    ends_s: float  # Unix time

    def is_of(self, host: str) -> bool:
        """Whether clients that ask for a host believe it."""
        return bool(self.names & {host, f"*.{host.partition('.')[2]}"})


def read_certificate(text: bytes) -> Certificate:
    """Return a certificate with its key, both in PEM. Raises BadCertificateError."""
    try:
        chain = read_certificates(text)
    except ValueError as error:
        said = "it holds no certificate in PEM"
        if BEGINS in text:
            said = f"its certificate cannot be read: {one_line(str(error), SHOWN)}"
        raise BadCertificateError(said) from error
    if (found := KEY.search(text)) is None:
        raise BadCertificateError("it holds no private key in PEM: write the key below")
    try:
        key = serialization.load_pem_private_key(found.group(), password=None)
    except UNREADABLE as error:
        raise BadCertificateError("its private key has a password, or is none") from error
    leaf = chain[0]
    if key.public_key() != leaf.public_key():
        raise BadCertificateError(
            "its key is not that of its first certificate: write the host's certificate first, "
            "then those above it"
        )
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise BadCertificateError(f"its key has {key.key_size} bits: at least {MIN_RSA_BITS}")
    written = [each.public_bytes(serialization.Encoding.PEM) for each in chain]
    written.append(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Certificate(
        b"".join(written),
        leaf.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - which HAProxy says
        _names(leaf),
        leaf.not_valid_after_utc.timestamp(),
    )


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return frozenset(map(str.lower, found.value.get_values_for_type(x509.DNSName)))
    except (x509.ExtensionNotFound, *UNREADABLE):
        return frozenset()


@dataclass
class Certificates:
    """The certificates of a folder, each copied to where HAProxy reads it once it is in order.

    What is broken there, as a file that is written just now, leaves the copy of before.
    """

    source: Path
    copies: Path
    held: Mapping[str, Certificate] = field(default_factory=dict)  # by the paths of the copies
    _seen: Version | None = None
    _problems: Mapping[str, str] = field(default_factory=dict)  # by the names of certificates

    def look(self, now_s: float) -> dict[str, str]:
        """Read what has changed; returns what is wrong with which certificates."""
        problems: dict[str, str] = {}
        try:
            if (seen := _version(self.source)) != self._seen:
                self._read()
                self._seen = seen
        except OSError as error:
            problems[str(self.source)] = f"{os_problem(error)}: what was read before stays"
        return {**problems, **self._problems, **self._ended(now_s)}

    def has(self, host: str) -> bool:
        """Whether a certificate is of a host."""
        return any(each.is_of(host) for each in self.held.values())

    def _ended(self, now_s: float) -> dict[str, str]:
        return {
            path: f"it ended at {utc(each.ends_s)}, and clients refuse it: renew it"
            for path, each in self.held.items()
            if each.ends_s <= now_s
        }

    def _read(self) -> None:
        """Raises OSError."""
        self.copies.mkdir(parents=True, exist_ok=True, mode=0o700)
        held: dict[str, Certificate] = {}
        problems: dict[str, str] = {}
        for name, files in _found(self.source):
            copy = self.copies / f"{name}{END}"
            try:
                if len(held) >= MAX_CERTIFICATES:
                    raise BadCertificateError(f"only {MAX_CERTIFICATES} certificates are read")
                if not NAME.fullmatch(name):
                    raise BadCertificateError("its name has other characters than [A-Za-z0-9._-]")
                read = read_certificate(b"\n".join(_read_file(path) for path in files))
                _write(copy, read.pem)
            except (BadCertificateError, OSError) as error:
                why = os_problem(error) if isinstance(error, OSError) else str(error)
                read_before = _before(copy) if NAME.fullmatch(name) else None
                problems[name] = f"{why}{'; the one of before stays' if read_before else ''}"
                if read_before is None:
                    continue
                read = read_before
            held[str(copy)] = read
        for old in self.copies.iterdir():
            if str(old) not in held:
                old.unlink(missing_ok=True)
        self.held, self._problems = held, problems


def _read_file(path: Path) -> bytes:
    """Return a file, which only its owner may read if it has a key. Raises OSError."""
    if path.name == CERTBOT[0]:
        return read_file(path, MAX_FILE_BYTES)
    return read_private(path, MAX_FILE_BYTES)


def _before(copy: Path) -> Certificate | None:
    with contextlib.suppress(OSError, BadCertificateError):
        return read_certificate(copy.read_bytes())
    return None


def _write(copy: Path, pem: bytes) -> None:
    new = copy.parent / ".new"  # HAProxy reads no file with such a name
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_bytes(pem)
    new.replace(copy)


def _found(source: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    """Iterate over certificates: their names, and the files that each is in. Raises OSError."""
    for path in sorted(source.iterdir()):
        if path.suffix == END and path.is_file():
            yield path.stem, (path,)
        elif not path.name.startswith(".") and (path / CERTBOT[0]).exists():
            yield path.name, tuple(path / name for name in CERTBOT)


def _version(source: Path) -> Version:
    """Return what tells whether a file is as it was. Raises OSError."""
    out = []
    for _, files in _found(source):
        for path in files:
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                out.append((str(path), status.st_ino, status.st_ctime_ns, status.st_size))
    return tuple(out)
