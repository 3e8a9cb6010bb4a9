"""A certificate of a public name, beside that of the cluster: who is shown which."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pymesos_core.security.authority import certificate_pem, make_root
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue
from pymesos_core.security.public_certificate import PublicCertificate
from pymesos_core.security.server_tls import server_context
from pymesos_master.settings import MasterSettings


def make(folder: Path, cluster: str, principal: str) -> Path:
    """A folder with a certificate of an authority of its own."""
    root = make_root(cluster, time.time())
    signing = root.make_intermediate("m1", time.time())
    to, roots = read_principal(cluster, principal), certificate_pem(root.certificate)
    issue(folder, to, signing, roots, 600, time.time())
    return folder


@pytest.fixture
def own(tmp_path: Path) -> Credentials:
    return Credentials(make(tmp_path / "own", "prod", "master/m1"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    folder = make(tmp_path / "public", "public", "master/www")
    return folder / "cert.pem", folder / "key.pem"


def shown(context: ssl.SSLContext, name: str | None) -> str:
    """The name in the certificate that a client is shown which asks for that server."""
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(to_client, to_server, server_hostname=name)
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    leaf = client.getpeercert(binary_form=True)
    assert leaf is not None
    names = x509.load_der_x509_certificate(leaf).extensions
    return str(names.get_extension_for_class(x509.SubjectAlternativeName).value)


def test_who_names_the_cluster_sees_its_own_and_browsers_the_public_one(
    own: Credentials, files: tuple[Path, Path]
) -> None:
    context = server_context(own, PublicCertificate(*files))
    for name in ("m1.master.prod.pymesos", "master.prod.pymesos", "MASTER.PROD.PYMESOS", None):
        assert "m1.master.prod.pymesos" in shown(context, name), name
    for name in ("pymesos.example.org", "localhost", "prod.pymesos.example.org"):
        assert "www.master.public.pymesos" in shown(context, name), name
    assert "m1.master.prod.pymesos" in shown(server_context(own), "pymesos.example.org")


def test_it_is_read_again_when_it_changes_and_stays_when_that_is_no_good(
    own: Credentials, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = server_context(own, PublicCertificate(*files))
    assert "www.master" in shown(context, "example.org")
    cert, key = files
    cert.write_text("nothing", "ascii")
    assert "www.master" in shown(context, "example.org")
    assert "holds no certificates in PEM; what was read before stays in use" in caplog.text
    other = make(tmp_path / "other", "public", "master/other")
    (other / "cert.pem").replace(cert)
    (other / "key.pem").replace(key)
    assert "other.master" in shown(context, "example.org")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda cert, key: key.chmod(0o644), "can be read by others than its owner: chmod 600"),
        (lambda cert, key: key.write_text("x"), "holds no private key in PEM"),
        (lambda cert, key: cert.write_text("x"), "holds no certificates in PEM"),
        (lambda cert, key: key.unlink(), "No such file"),
        (lambda cert, key: (cert.parent.parent / "own/key.pem").replace(key), "is not the key"),
    ],
)
def test_what_is_none(
    own: Credentials, files: tuple[Path, Path], damage: object, words: str
) -> None:
    damage(*files)  # type: ignore[operator]
    with pytest.raises(CredentialsError, match=words):
        PublicCertificate(*files)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"http_cert": Path("c"), "tls": Path("t")}, "--http-cert and --http-key, both or none"),
        ({"http_key": Path("k"), "tls": Path("t")}, "--http-cert and --http-key, both or none"),
        ({"http_cert": Path("c"), "http_key": Path("k")}, "give --tls, too"),
        (
            {"http_cert": Path("c"), "http_key": Path("k"), "tls": Path("t"), "http": False},
            "no --no-http",
        ),
    ],
)
def test_what_goes_with_it(given: dict[str, Any], words: str) -> None:
    assert words in dict(MasterSettings(**given).problems())["http_cert"]
    whole: dict[str, Any] = {"http_cert": Path("c"), "http_key": Path("k"), "tls": Path("t")}
    assert "http_cert" not in dict(MasterSettings(**whole).problems())
