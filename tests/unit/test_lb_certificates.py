"""The certificates of pymesos-lb are read as they come, and only what is in order is shown."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from pymesos_core.security.authority import certificate_pem, new_key
from pymesos_lb.certificates import BadCertificateError, Certificates, read_certificate
from pymesos_testing.certificates import key_pem, public_certificate, public_pem, weak_pem


def with_password() -> bytes:
    key = new_key()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return certificate_pem(public_certificate("a", of=key)) + private


def swapped() -> bytes:
    """The one above is first, and the key is of the other."""
    key = new_key()
    above, below = (public_certificate("a", of=each) for each in (new_key(), key))
    return certificate_pem(above, below) + key_pem(key)


@pytest.mark.parametrize(
    "text, problem",
    [
        (b"", "no certificate in PEM"),
        (key_pem(new_key()), "no certificate in PEM"),
        (certificate_pem(public_certificate("a", of=new_key())), "no private key in PEM"),
        (public_pem("a") [:-40], "no private key in PEM"),
        (with_password(), "has a password"),
        (swapped(), "write the host's certificate first"),
        (weak_pem("a"), "1024 bits: at least 2048"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown(text: bytes, problem: str) -> None:
    with pytest.raises(BadCertificateError, match=problem):
        read_certificate(text)


def test_what_is_read() -> None:
    pem = public_pem("Shop.example.org", "*.eng.example.org")
    read = read_certificate(b"a comment\n\n" + pem.replace(b"-----BEGIN", b"\n\n-----BEGIN"))
    assert read.names == {"shop.example.org", "*.eng.example.org"}
    assert b"\n\n" not in read.pem, "which would end it for HAProxy's socket"
    assert read_certificate(read.pem) == read
    hosts = ("shop.example.org", "a.eng.example.org", "eng.example.org", "a.b.eng.example.org")
    assert [read.is_of(host) for host in hosts] == [True, True, False, False]


class Folder:
    """What an operator has, and what is held of it."""

    def __init__(self, path: Path) -> None:
        self.source, self.copies = path / "source", path / "copies"
        self.source.mkdir()
        self.held = Certificates(self.source, self.copies)

    def put(self, name: str, text: bytes, mode: int = 0o600) -> bytes:
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        new = path.with_name(".written")
        new.write_bytes(text)
        new.chmod(mode)
        new.replace(path)
        return text

    def look(self) -> dict[str, str]:
        problems = self.held.look(time.time())
        assert set(map(str, self.copies.iterdir())) == set(self.held.held)
        for path, each in self.held.held.items():
            assert Path(path).read_bytes() == each.pem
            assert Path(path).stat().st_mode & 0o777 == 0o600
        return problems

    def names(self) -> list[str]:
        return [Path(path).name for path in self.held.held]


def test_a_folder_of_two_kinds_is_followed(tmp_path: Path) -> None:
    it = Folder(tmp_path)
    assert it.look() == {} and it.names() == []
    it.put("README", b"as certbot writes one")
    it.put("a.pem", public_pem("a.example.org"))
    key = new_key()
    it.put("b/fullchain.pem", certificate_pem(public_certificate("b.example.org", of=key)), 0o644)
    it.put("b/privkey.pem", key_pem(key))
    assert it.look() == {} and it.names() == ["a.pem", "b.pem"]
    assert it.held.has("a.example.org") and it.held.has("b.example.org")
    assert not it.held.has("c.example.org")
    before = it.held.held
    assert it.look() == {} and it.held.held is before, "nothing is read twice"
    it.put("a.pem", public_pem("c.example.org"))
    assert it.look() == {} and it.held.has("c.example.org") and not it.held.has("a.example.org")
    (it.source / "a.pem").unlink()
    assert it.look() == {} and it.names() == ["b.pem"]


def test_what_is_broken_leaves_the_one_of_before_also_after_a_restart(tmp_path: Path) -> None:
    it = Folder(tmp_path)
    it.put("a.pem", public_pem("a.example.org"))
    it.look()
    it.put("a.pem", b"half of i")
    it.put("b.pem", b"half of i")
    for _ in range(2):
        problems = it.look()
        assert "no certificate in PEM; the one of before stays" in problems["a"]
        assert problems["b"] == "it holds no certificate in PEM"
        assert it.names() == ["a.pem"] and it.held.has("a.example.org")
        it.held = Certificates(it.source, it.copies)
    it.put("a.pem", public_pem("a.example.org"), 0o644)
    assert "can be read by others" in it.look()["a"]
    (it.source / "a.pem").chmod(0o600)
    assert list(it.look()) == ["b"]


def test_a_folder_that_is_away_takes_nothing(tmp_path: Path) -> None:
    it = Folder(tmp_path)
    it.put("a.pem", public_pem("a.example.org"))
    it.look()
    it.source.rename(tmp_path / "away")
    assert "what was read before stays" in it.look()[str(it.source)]
    assert it.held.has("a.example.org")


def test_names_that_haproxys_socket_would_read_as_more(tmp_path: Path) -> None:
    it = Folder(tmp_path)
    for name in ("a b.pem", "a;del ssl cert x.pem", "-a.pem", "a\n.pem"):
        it.put(name, public_pem("a.example.org"))
    assert len(it.look()) == 4 and it.names() == []


def test_one_that_has_ended_is_shown_and_complained_of(tmp_path: Path) -> None:
    it = Folder(tmp_path)
    it.put("a.pem", public_pem("a.example.org", hours=-1))
    (said,) = it.look().values()
    assert "renew it" in said and it.names() == ["a.pem"]
