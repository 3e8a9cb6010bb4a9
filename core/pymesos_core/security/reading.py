"""Certificates, read to the end: whatever is wrong with one is a ValueError, and at once.

cryptography reads as it is asked, so that a certificate whose key is damaged, or of a kind that it
does not know, is one until somebody wants the key; and of errors it has many kinds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)  # what is raised of what is no certificate, request, extension or key


@contextlib.contextmanager
def as_value_error() -> Iterator[None]:
    """Raises ValueError for all that is UNREADABLE."""
    try:
        yield
    except ValueError:
        raise
    except UNREADABLE as error:
        raise ValueError(str(error)) from error


def read_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a chain, at least one. Raises ValueError."""
    with as_value_error():
        return [_read_to_the_end(one) for one in x509.load_pem_x509_certificates(pem)]


def read_certificate(pem: bytes) -> x509.Certificate:
    """Return the first certificate. Raises ValueError."""
    with as_value_error():
        return _read_to_the_end(x509.load_pem_x509_certificate(pem))


def read_der(der: bytes) -> x509.Certificate:
    """Return a certificate in DER. Raises ValueError."""
    with as_value_error():
        return _read_to_the_end(x509.load_der_x509_certificate(der))


def _read_to_the_end(one: x509.Certificate) -> x509.Certificate:
    one.public_key()
    one.not_valid_before_utc.timestamp()
    one.not_valid_after_utc.timestamp()
    return one
