"""A repository of packages at an https address: what it answers is bounded, and stays secure."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pymesos_cli.packages import fetching
from pymesos_cli.packages.building import build, new_key
from pymesos_cli.packages.fetching import fetch
from pymesos_cli.packages.index import INDEX, key_text
from pymesos_cli.packages.parts import MAX_INDEX_BYTES, PackageError
from pymesos_cli.packages.repositories import Repositories

ROOT = Path(__file__).resolve().parents[2]
NOW_S = 1_700_000_000.0


class Server:
    """Serves a folder, and some misbehaviour."""

    def __init__(self, folder: Path, tls: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/away/index.signed":
                    self.send_response(302)
                    self.send_header("Location", "http://127.0.0.1:1/index.signed")
                    self.end_headers()
                elif self.path == "/endless/index.signed":
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(b"x" * (2 * MAX_INDEX_BYTES))
                elif self.path == "/short/index.signed":
                    self.send_response(200)
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b"x")
                elif self.path == "/never/index.signed":
                    with contextlib.suppress(OSError):
                        for _ in range(1000):  # for ever, to who waits for a second
                            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                            time.sleep(0.01)
                elif (path := folder / self.path.lstrip("/")).is_file():
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(path.read_bytes())
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"https://localhost:{self.server.server_port}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def certify(folder: Path) -> None:
    """Make a certificate of localhost that vouches for itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(private)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("repository")
    key = new_key(folder / "key")
    build([ROOT / "deploy/packages/nginx"], folder / "out", key, NOW_S)
    certify(folder)
    running = Server(folder / "out", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
        yield running, key_text(key.public_key())
    running.server.shutdown()
    running.server.server_close()


def test_packages_come_from_there(server: tuple[Server, str], tmp_path: Path) -> None:
    running, key = server
    own = Repositories(tmp_path, 5.0)
    own.add("far", f"{running.url}/", key)
    assert own.load(own.find("nginx")).name == "nginx"
    with pytest.raises(PackageError, match="is answered 404"):
        own.add("none", f"{running.url}/none", key)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("away", "it leads away from https"),
        ("endless", "has more than 1048576 bytes"),
        ("short", "it ends 99 bytes early"),
    ],
)
def test_what_misbehaves_is_refused(server: tuple[Server, str], place: str, said: str) -> None:
    with pytest.raises(PackageError, match=said):
        fetch(f"{server[0].url}/{place}", INDEX, MAX_INDEX_BYTES, 5.0)


def test_an_answer_that_is_for_ever_about_to_come_is_left(
    server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "PATIENCE", 0.1)
    with pytest.raises(PackageError, match="does not come to an end of its answer"):
        fetch(f"{server[0].url}/never", INDEX, MAX_INDEX_BYTES, 5.0)


def test_a_server_that_nobody_vouches_for_is_none(
    server: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(PackageError, match=r"cannot be had: .*certificate"):
        fetch(server[0].url, INDEX, MAX_INDEX_BYTES, 5.0)
