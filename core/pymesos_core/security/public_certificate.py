"""The certificate by which browsers know a server: of a public name, beside that of the cluster."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from pymesos_core.complaints import Complaints
from pymesos_core.private import read_file, read_private
from pymesos_core.security.credentials import CredentialsError, Pem
from pymesos_core.security.reading import read_certificates
from pymesos_core.text import os_problem

MAX_FILE_BYTES = 1 << 20
AGAIN = "what was read before stays in use"

log = logging.getLogger(__name__)
Version = tuple[tuple[int, int], ...]


class PublicCertificate:
    """A certificate with those above it, and its key, as the files are now."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Raises CredentialsError."""
        self._paths = (chain, key)
        self._complaints = Complaints(log)
        self._version = self._seen()
        self._chain, self._key = self._read()

    def shown_by(self, pem: Pem) -> Pem:
        """Return the same with this certificate: clients are known by the roots of the cluster."""
        try:
            version = self._seen()
            if version != self._version:
                self._version = version  # what is no good is tried once
                self._chain, self._key = self._read()
                log.info("a new certificate of --http-cert is in use")
        except CredentialsError as error:
            self._complaints.say("this process", "public", f"{error}; {AGAIN}")
        return replace(pem, chain=self._chain, key=self._key)

    def _seen(self) -> Version:
        try:
            found = [path.stat() for path in self._paths]
        except OSError as error:
            raise CredentialsError(os_problem(error)) from error
        return tuple((status.st_ino, status.st_mtime_ns) for status in found)

    def _read(self) -> tuple[bytes, bytes]:
        chain, key = self._paths
        try:
            written = (read_file(chain, MAX_FILE_BYTES), read_private(key, MAX_FILE_BYTES))
        except OSError as error:
            raise CredentialsError(os_problem(error)) from error
        try:
            leaf = read_certificates(written[0])[0]
        except ValueError as error:
            raise CredentialsError(f"{chain} holds no certificates in PEM") from error
        try:
            private = serialization.load_pem_private_key(written[1], password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            told = f"{key} holds no private key in PEM without a password"
            raise CredentialsError(told) from error
        if private.public_key() != leaf.public_key():
            raise CredentialsError(
                f"{key} is not the key of the first certificate in {chain}: give the key of that"
            )
        return written
