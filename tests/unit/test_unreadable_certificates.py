"""What is no certificate or request is refused as one, whatever of it is damaged."""

from __future__ import annotations

import base64
import datetime
import warnings
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pymesos_core.security.authority import key_pem, new_key
from pymesos_core.security.reading import read_certificate, read_certificates, read_der
from pymesos_core.security.signing import SigningError, make_request, read_request
from pymesos_lb.certificates import BadCertificateError
from pymesos_lb.certificates import read_certificate as read_with_key

KEY = new_key()
UNCOMPRESSED = 0x04  # what a point of a curve begins with
P256 = bytes.fromhex("2a8648ce3d030107")  # the curve, as DER names it


@pytest.fixture(scope="module")
def der() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 1)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(9))
    names = x509.SubjectAlternativeName([x509.DNSName("a.example")])
    made = builder.add_extension(names, critical=False).sign(KEY, hashes.SHA256())
    return made.public_bytes(Encoding.DER)


def pem(of: bytes) -> bytes:
    text = base64.encodebytes(of)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


def damaged(whole: bytes) -> Iterator[bytes]:
    """Each byte in turn is another."""
    for place, byte in enumerate(whole):
        for value in {0, 5, 0xFF, byte ^ 1, byte ^ 0x80} - {byte}:
            yield whole[:place] + bytes([value]) + whole[place + 1 :]


def of_no_known_curve(whole: bytes) -> bytes:
    assert whole.count(P256) == 1
    return whole.replace(P256, P256[:-1] + b"\x7e")


def with_no_point(whole: bytes) -> bytes:
    numbers = KEY.public_key().public_numbers()
    point = bytes([UNCOMPRESSED]) + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    assert whole.count(point) == 1
    return whole.replace(point, point[:-1] + bytes([point[-1] ^ 1]))


@pytest.mark.parametrize("damage", [of_no_known_curve, with_no_point])
def test_a_key_that_cannot_be_is_found_as_a_certificate_is_read(der: bytes, damage: object) -> None:
    """And not when somebody wants the key, who expects no error any more."""
    assert callable(damage)
    wrong = damage(der)
    assert x509.load_der_x509_certificate(wrong), "cryptography has not looked"
    with pytest.raises(ValueError, match=r"key|[Cc]urve"):
        read_der(wrong)
    with pytest.raises(BadCertificateError, match="its certificate cannot be read"):
        read_with_key(pem(wrong) + key_pem(KEY))


def test_whatever_is_damaged_is_one_kind_of_error(der: bytes) -> None:
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what later versions of cryptography refuse
        for wrong in damaged(der):
            for read in (read_der, lambda it: read_certificate(pem(it))):
                try:
                    read(wrong)
                except ValueError:
                    refused += 1
            try:
                read_with_key(pem(wrong) + key_pem(KEY))
            except BadCertificateError:
                refused += 1
    assert refused > 1000
    assert read_certificates(pem(der) + pem(der)) == [read_der(der)] * 2
    assert isinstance(read_der(der).public_key(), ec.EllipticCurvePublicKey)


def test_whatever_is_damaged_of_a_request_is_no_request() -> None:
    request = make_request(KEY)
    refused = 0
    for wrong in damaged(request):
        try:
            read_request(wrong)
        except SigningError:
            refused += 1
    assert refused > 1000
    assert read_request(request) == KEY.public_key()
