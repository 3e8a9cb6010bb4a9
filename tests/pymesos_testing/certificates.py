"""Certificates of public names, signed by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from pymesos_core.security.authority import certificate_pem, new_key


def public_certificate(
    *names: str, of: CertificateIssuerPrivateKeyTypes, hours: float = 1.0
) -> x509.Certificate:
    """Return a certificate of names, signed by its key, that lasts so long; below 0 it is over."""
    name = x509.Name([])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(of.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), False)
        .sign(of, hashes.SHA256())
    )


def key_pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    """Return a key in PEM, as OpenSSL writes it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def public_pem(*names: str, hours: float = 1.0) -> bytes:
    """Return such a certificate, and its key below, in PEM."""
    key = new_key()
    return certificate_pem(public_certificate(*names, of=key, hours=hours)) + key_pem(key)


def weak_pem(name: str) -> bytes:
    """Return one of a key that is too short."""
    key = rsa.generate_private_key(65537, 1024)
    return certificate_pem(public_certificate(name, of=key)) + key_pem(key)
