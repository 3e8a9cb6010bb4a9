"""Requests for certificates, and what a master answers them with: its authority, if it has one.

A request is a CSR, of which the key counts and nothing else: who it is for is known otherwise.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pymesos_core import limits
from pymesos_core.private import read_file, read_private
from pymesos_core.security.authority import (
    Authority,
    PrivateKey,
    certificate_pem,
    fingerprint,
    identity_of,
    in_force,
    is_signed,
    key_pem,
    new_key,
    read_authority,
)
from pymesos_core.security.credentials import CERTIFICATE, MAX_FILE_BYTES, ROOTS
from pymesos_core.security.identities import Identity, IdentityError
from pymesos_core.security.issuing import SIGNING, SIGNING_KEY, put
from pymesos_core.security.reading import UNREADABLE, read_certificate, read_certificates
from pymesos_core.text import os_problem


class SigningError(Exception):
    """No certificate is made: the message says why, and what to do."""


@dataclass(frozen=True)
class Issued:
    """What is answered to a request, in PEM."""

    chain: bytes  # the certificate, and those between it and the root
    roots: bytes
    authority: bytes = b""  # of a master's own authority, with those above it


def make_request(key: PrivateKey) -> bytes:
    """A request for a certificate of this key (DER)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pymesos")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.DER)


def read_request(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key that whoever made the request has. Raises SigningError."""
    if problem := limits.REQUEST.problem(len(request)):
        raise SigningError(problem)
    try:
        read = x509.load_der_x509_csr(request)
        key, whole = read.public_key(), read.is_signature_valid
    except (*UNREADABLE, InvalidSignature):
        raise SigningError("the request is no certificate signing request in DER") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise SigningError("the key of the request is not of the curve P-256")
    if not whole:
        raise SigningError("the request is not signed by its own key")
    return key


def key_digest(key: ec.EllipticCurvePublicKey) -> bytes:
    """The SHA-256 of a public key."""
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).digest()


class Signer:
    """The authority of a master, in the folder of its certificate, which may be replaced there."""

    def __init__(self, folder: Path, lifetime_s: float) -> None:
        self._folder = folder
        self._lifetime_s = lifetime_s

    @property
    def is_there(self) -> bool:
        """Whether this master has an authority."""
        return (self._folder / SIGNING_KEY).exists()

    def sign_own(self) -> None:
        """Sign what the folder has, if that has ended, as after a long stop of all masters.

        Raises SigningError, OSError.
        """
        try:
            own = read_certificate(read_file(self._folder / CERTIFICATE, MAX_FILE_BYTES))
            me = identity_of(own)
        except (FileNotFoundError, ValueError):
            return  # who reads it says what is wrong with it
        if self.is_there and own.not_valid_after_utc.timestamp() <= time.time():
            key = new_key()
            issued = self.sign(key.public_key(), me, None)
            put(self._folder, key_pem(key), issued.chain, issued.roots)

    def sign(
        self, key: ec.EllipticCurvePublicKey, to: Identity, below: ec.EllipticCurvePublicKey | None
    ) -> Issued:
        """Sign a key, and for a master the one `below`, of an authority, if there may be one.

        Raises SigningError.
        """
        authority, now_s = self._authority(), time.time()
        if not all(in_force(one, now_s) for one in authority.chain):
            raise SigningError(
                f"the authority of the master that leads, {self._folder / SIGNING}, is not in"
                f" force: put a new one there, with `pymesos-cli cluster issue AUTHORITY"
                f" master/NAME FOLDER`, or set the clock of that machine"
            )
        try:
            made = authority.sign(key, to, self._lifetime_s, now_s)
            of_master = b""
            if below is not None and authority.may_be_below:
                signed = authority.sign_intermediate(below, to.principal, now_s)
                of_master = certificate_pem(signed, *authority.chain)
        except IdentityError as error:
            raise SigningError(f"this master cannot sign that: {error}") from error
        chain = certificate_pem(made, *authority.chain)
        return Issued(chain, certificate_pem(*self._roots()), of_master)

    def root(self) -> x509.Certificate:
        """The root above what it signs. Raises SigningError."""
        top = self._authority().chain[-1]
        for one in self._roots():
            if one.subject == top.issuer and is_signed(top, one):
                return one
        raise SigningError("the authority of this master is signed by none of its roots")

    def _roots(self) -> list[x509.Certificate]:
        try:
            return read_certificates(read_file(self._folder / ROOTS, MAX_FILE_BYTES))
        except (OSError, ValueError) as error:
            raise SigningError(f"the roots of this master cannot be read: {error}") from error

    def fingerprint(self) -> bytes:
        """The fingerprint of the root that newcomers are to trust. Raises SigningError."""
        return fingerprint(self.root())

    def _authority(self) -> Authority:
        try:
            key = read_private(self._folder / SIGNING_KEY, MAX_FILE_BYTES)
            return read_authority(read_file(self._folder / SIGNING, MAX_FILE_BYTES), key)
        except FileNotFoundError:
            raise SigningError(
                "the master that leads has no authority to sign with: put one into its folder, with"
                " `pymesos-cli cluster issue AUTHORITY master/NAME FOLDER`"
            ) from None
        except (OSError, ValueError) as error:
            why = os_problem(error) if isinstance(error, OSError) else error
            raise SigningError(f"the authority of this master cannot be used: {why}") from error
