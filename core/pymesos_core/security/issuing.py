"""Certificates and keys put into folders: what `--tls` takes, and what a master signs with."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from pymesos_core.security.authority import Authority, certificate_pem, key_pem, new_key
from pymesos_core.security.credentials import CERTIFICATE, KEY, NEXT_KEY, ROOTS
from pymesos_core.security.identities import Identity

# Of an authority, and of a master that signs.
SIGNING, SIGNING_KEY = "intermediate.pem", "intermediate.key"


def issue(
    folder: Path, to: Identity, signing: Authority, roots: bytes, lifetime_s: float, now_s: float
) -> x509.Certificate:
    """Put a new key of a principal, its certificate and the roots (in PEM) into a folder.

    Each file is whole at any time, and for its owner alone. Raises OSError, and IdentityError for a
    principal of another cluster.
    """
    key = new_key()
    certificate = signing.sign(key.public_key(), to, lifetime_s, now_s)
    put(folder, key_pem(key), certificate_pem(certificate, *signing.chain), roots)
    return certificate


def put(folder: Path, key: bytes, chain: bytes, roots: bytes) -> None:
    """Put a key, its certificate with those above it, and the roots into a folder, all in PEM.

    Whoever is cut short leaves either the key and the certificate from before, or the new ones.
    Raises OSError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone_in(folder):
        put_next_key(folder, key)
        replace_file(folder / ROOTS, roots)
        replace_file(folder / CERTIFICATE, chain)
        (folder / NEXT_KEY).replace(folder / KEY)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two commands of one person must not mix their keys. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def put_next_key(folder: Path, key: bytes) -> None:
    """Put the key into a folder for which a certificate is to be asked. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / NEXT_KEY, key)


def put_authority(folder: Path, authority: Authority) -> None:
    """Put an authority that a master is to sign with into a folder. Raises OSError."""
    replace_file(folder / SIGNING_KEY, key_pem(authority.key))
    replace_file(folder / SIGNING, certificate_pem(*authority.chain))


def replace_file(path: Path, data: bytes) -> None:
    """Write a file for its owner alone, so that there is always a whole one. Raises OSError."""
    handle, name = tempfile.mkstemp(prefix=".pymesos-", dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
