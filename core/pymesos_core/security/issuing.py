"""Certificates put into folders: what `--tls` takes, with a new key."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography import x509

from pymesos_core.security.authority import Authority, certificate_pem, key_pem, new_key
from pymesos_core.security.credentials import CERTIFICATE, KEY, ROOTS
from pymesos_core.security.identities import Identity


def issue(
    folder: Path, to: Identity, signing: Authority, roots: bytes, lifetime_s: float, now_s: float
) -> x509.Certificate:
    """Put a new key of a principal, its certificate and the roots (in PEM) into a folder.

    Each file is whole at any time, and for its owner alone. Raises OSError, and IdentityError for a
    principal of another cluster.
    """
    key = new_key()
    certificate = signing.sign(key.public_key(), to, lifetime_s, now_s)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(folder / KEY, key_pem(key))
    replace_file(folder / CERTIFICATE, certificate_pem(certificate, signing.certificate))
    replace_file(folder / ROOTS, roots)
    return certificate


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
