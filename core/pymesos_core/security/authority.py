"""The cluster's certificate authority: a root, an intermediate, and what that signs.

Keys are of P-256. The root signs intermediates only, so that it can be kept where no cluster is;
certificates of principals live short and are signed by an intermediate, which travels with them.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pymesos_core.security.identities import (
    SCHEME,
    Identity,
    IdentityError,
    cluster_problem,
    read_uri,
)

ROOT_LIFETIME_S = 10 * 365 * 86400
INTERMEDIATE_LIFETIME_S = 2 * 365 * 86400
BACKDATED_S = 600  # clocks differ

PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """A certificate that signs others, with its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def cluster(self) -> str:
        """The cluster that it is of. Raises IdentityError for a certificate of another kind."""
        uris = _uris(self.certificate)
        cluster = uris[0].removeprefix(SCHEME) if len(uris) == 1 else ""
        if cluster_problem(cluster):
            raise IdentityError("this certificate is no authority of a pymesos cluster")
        return cluster

    def sign(
        self, public_key: ec.EllipticCurvePublicKey, to: Identity, lifetime_s: float, now_s: float
    ) -> x509.Certificate:
        """A certificate of a principal's key.

        It ends no later than this authority does. Raises IdentityError for another cluster's.
        """
        if to.cluster != self.cluster:
            raise IdentityError(f"{to.uri} is of another cluster than this authority")
        names = [x509.UniformResourceIdentifier(to.uri), *map(x509.DNSName, to.dns_names)]
        ends_s = min(now_s + lifetime_s, self.certificate.not_valid_after_utc.timestamp())
        builder = (
            _builder(to.name[:64], public_key, now_s, ends_s)
            .issuer_name(self.certificate.subject)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
                ),
                critical=False,
            )
        )
        return _signed(builder, self)

    def make_intermediate(self, name: str, now_s: float) -> Authority:
        """An authority below this one, which signs certificates of principals and no more."""
        key = new_key()
        ends_s = min(
            now_s + INTERMEDIATE_LIFETIME_S, self.certificate.not_valid_after_utc.timestamp()
        )
        builder = _authority(self.cluster, f"{self.cluster} {name}", key, now_s, ends_s, 0)
        return Authority(_signed(builder.issuer_name(self.certificate.subject), self), key)


def make_root(cluster: str, now_s: float) -> Authority:
    """The root of a new cluster. Raises IdentityError for what cannot be its name."""
    if problem := cluster_problem(cluster):
        raise IdentityError(problem)
    key = new_key()
    builder = _authority(cluster, f"{cluster} root", key, now_s, now_s + ROOT_LIFETIME_S, 1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{cluster} root"[:64])])
    certificate = builder.issuer_name(name).sign(key, hashes.SHA256())
    return Authority(certificate, key)


def new_key() -> PrivateKey:
    """A private key of P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey) -> bytes:
    """A private key as a file holds it, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_pem(*chain: x509.Certificate) -> bytes:
    """Certificates as a file holds them, each before the one that signed it."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def read_authority(certificate: bytes, key: bytes) -> Authority:
    """Read what `certificate_pem` and `key_pem` made. Raises ValueError."""
    private = serialization.load_pem_private_key(key, password=None)
    read = x509.load_pem_x509_certificate(certificate)
    if not isinstance(private, PrivateKey) or private.public_key() != read.public_key():
        raise ValueError("the key is not the certificate's")
    return Authority(read, private)


def _authority(
    cluster: str, name: str, key: PrivateKey, now_s: float, ends_s: float, below: int
) -> x509.CertificateBuilder:
    uri = x509.UniformResourceIdentifier(f"{SCHEME}{cluster}")
    return (
        _builder(name[:64], key.public_key(), now_s, ends_s)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )


def _builder(
    name: str, public_key: ec.EllipticCurvePublicKey, now_s: float, ends_s: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_utc(now_s - BACKDATED_S))
        .not_valid_after(_utc(ends_s))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, issuer: Authority) -> x509.Certificate:
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return builder.add_extension(by, critical=False).sign(issuer.key, hashes.SHA256())


def _usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
        " key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every.split()})


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def identity_of(certificate: x509.Certificate) -> Identity:
    """Who a certificate is of. Raises IdentityError."""
    uris = _uris(certificate)
    if len(uris) != 1:
        raise IdentityError(
            f"the certificate holds {len(uris)} URIs; expected is one, {SCHEME}CLUSTER/KIND/NAME"
        )
    return read_uri(uris[0])


def _utc(at_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(at_s), datetime.UTC)
