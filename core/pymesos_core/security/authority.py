"""The cluster's certificate authority: a root, intermediates, and what those sign.

Keys are of P-256. The root signs intermediates only, so that it can be kept where no cluster is;
certificates of principals live short and are signed by an intermediate, which travels with them.
Each master has an intermediate of its own, made by the root, or by that of another master: so at
most two are between a certificate and the root.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
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
from pymesos_core.security.reading import UNREADABLE, as_value_error, read_certificates

ROOT_LIFETIME_S = 10 * 365 * 86400
INTERMEDIATE_LIFETIME_S = 2 * 365 * 86400
BACKDATED_S = 600  # clocks differ
ROOT_ABOVE = 2  # intermediates may be below a root, one below the other
MAX_CHAIN = 8  # certificates

PrivateKey = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Authority:
    """A certificate that signs others, with its key, and those between it and the root."""

    certificate: x509.Certificate
    key: PrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What travels with a certificate that this authority has signed."""
        return (self.certificate, *self.above)

    @property
    def may_be_below(self) -> int:
        """How many authorities may be below this one, each below the other."""
        return _may_be_below(self.certificate)

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
        """An authority below this one. Raises IdentityError when there may be none."""
        key = new_key()
        made = self.sign_intermediate(key.public_key(), name, now_s)
        own_root = self.certificate.issuer == self.certificate.subject
        return Authority(made, key, () if own_root else self.chain)

    def sign_intermediate(
        self, public_key: ec.EllipticCurvePublicKey, name: str, now_s: float
    ) -> x509.Certificate:
        """The certificate of an authority below this one. Raises IdentityError as above."""
        below = self.may_be_below
        if below < 1:
            raise IdentityError("this authority may sign certificates of principals only")
        ends_s = min(
            now_s + INTERMEDIATE_LIFETIME_S, self.certificate.not_valid_after_utc.timestamp()
        )
        called = f"{self.cluster} {name}"
        builder = _authority(self.cluster, called, public_key, now_s, ends_s, below - 1)
        return _signed(builder.issuer_name(self.certificate.subject), self)


def make_root(cluster: str, now_s: float) -> Authority:
    """The root of a new cluster. Raises IdentityError for what cannot be its name."""
    if problem := cluster_problem(cluster):
        raise IdentityError(problem)
    key = new_key()
    ends_s = now_s + ROOT_LIFETIME_S
    builder = _authority(cluster, f"{cluster} root", key.public_key(), now_s, ends_s, ROOT_ABOVE)
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
    with as_value_error():
        private = serialization.load_pem_private_key(key, password=None)
    read, *above = read_certificates(certificate)
    if not isinstance(private, PrivateKey) or private.public_key() != read.public_key():
        raise ValueError("the key is not the certificate's")
    return Authority(read, private, tuple(above))


def chain_problem(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now_s: float
) -> str | None:
    """Why a certificate and those above it lead to none of these roots, or None.

    Each is signed by the next, which is an authority that may have so many below it, is in force,
    and of the same cluster.
    """
    if len(chain) > MAX_CHAIN:
        return f"it comes with {len(chain) - 1} others; at most {MAX_CHAIN - 1} are expected"
    top = chain[-1]
    root = next((one for one in roots if top == one or is_signed(top, one)), None)
    if root is None:
        return "it is signed by no root of these"
    above = chain if top == root else [*chain, root]
    for depth, (below, by) in enumerate(itertools.pairwise(above)):
        if not is_signed(below, by):
            return "the certificates after it did not sign it, one by the next"
        if _may_be_below(by) < depth:
            return "it is signed by what is no authority, or none of so many others"
    if len({_cluster_of(one) for one in above} - {""}) > 1:  # another CA may name none
        return "not all of the certificates above it are of its cluster"
    if any(not in_force(one, now_s) for one in above[1:]):
        return "a certificate above it is not in force"
    return None


def answer_problem(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now_s: float
) -> str | None:
    """Why a certificate that was answered is of no use now, or None: see `chain_problem`."""
    if problem := chain_problem(chain, roots, now_s):
        return problem
    leaf = chain[0]
    if in_force(leaf, now_s):
        return None
    return (
        f"it is in force from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} to"
        f" {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, and here it is"
        f" {_utc(now_s):%Y-%m-%d %H:%M}: set the clocks of this machine and of the master"
    )


def fingerprint(certificate: x509.Certificate) -> bytes:
    """The SHA-256 of a certificate, by which a token names a root."""
    return certificate.fingerprint(hashes.SHA256())


def is_signed(below: x509.Certificate, by: x509.Certificate) -> bool:
    """Whether one certificate is signed by the other."""
    try:
        below.verify_directly_issued_by(by)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _may_be_below(certificate: x509.Certificate) -> int:
    """How many authorities may be below this one; -1: it is none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return -1
    if not found.ca:
        return -1
    return MAX_CHAIN if found.path_length is None else found.path_length


def in_force(certificate: x509.Certificate, now_s: float) -> bool:
    """Whether a certificate has begun, and has not ended."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins.timestamp() <= now_s < ends.timestamp()


def _cluster_of(certificate: x509.Certificate) -> str:
    """The cluster that its one URI names; empty when there is no such URI."""
    uris = _uris(certificate)
    return uris[0].removeprefix(SCHEME).partition("/")[0] if len(uris) == 1 else ""


def _authority(
    cluster: str,
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    now_s: float,
    ends_s: float,
    below: int,
) -> x509.CertificateBuilder:
    uri = x509.UniformResourceIdentifier(f"{SCHEME}{cluster}")
    return (
        _builder(name[:64], public_key, now_s, ends_s)
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
    except (x509.ExtensionNotFound, *UNREADABLE):
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
