"""Identities, certificates and the table of who calls what."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from google.protobuf.descriptor import ServiceDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_cli.main import main
from pymesos_core.caller import Caller, Method
from pymesos_core.security import credentials
from pymesos_core.security.authority import (
    Authority,
    certificate_pem,
    chain_problem,
    identity_of,
    key_pem,
    make_root,
    new_key,
)
from pymesos_core.security.credentials import Credentials, CredentialsError
from pymesos_core.security.gate import CALLERS, CertificateGate
from pymesos_core.security.identities import Identity, IdentityError, Kind, read_principal, read_uri
from pymesos_core.security.issuing import issue
from pymesos_core.transport import CallError, Code

ROOT = Path(__file__).parents[2]
PROTOS = sorted((ROOT / "proto/pymesos_proto/v1").glob("*_pb2.py"))


def services() -> list[ServiceDescriptor]:
    """Every service of the contract."""
    found = []
    for path in PROTOS:
        module = importlib.import_module(f"pymesos_proto.v1.{path.stem}")
        found += list(module.DESCRIPTOR.services_by_name.values())
    return found


def folder_of(
    folder: Path, who: Identity, root: Authority, signing: Authority, lifetime_s: float = 600
) -> Path:
    """What --tls takes."""
    issue(folder, who, signing, certificate_pem(root.certificate), lifetime_s, time.time())
    return folder


@pytest.fixture(scope="module")
def root() -> Authority:
    return make_root("prod", time.time())


@pytest.fixture(scope="module")
def signing(root: Authority) -> Authority:
    return root.make_intermediate("m1", time.time())


NODE = Identity("prod", Kind.AGENT, "node-1.example.com")


class TestIdentities:
    def test_what_a_certificate_holds(self) -> None:
        assert NODE.uri == "spiffe://prod/agent/node-1.example.com"
        assert NODE.dns_names == (
            "node-1.example.com.agent.prod.pymesos",
            "agent.prod.pymesos",
        )
        assert read_uri(NODE.uri) == read_principal("prod", NODE.principal) == NODE

    @pytest.mark.parametrize(
        "uri",
        [
            "", "spiffe://", "spiffe://prod", "spiffe://prod/", "spiffe://prod/agent",
            "spiffe://prod/agent/", "spiffe://prod/agent/a/b", "spiffe://prod/root/a",
            "spiffe://Prod/agent/a", "spiffe://prod/agent/A", "spiffe://prod/agent/a..b",
            "spiffe://prod/agent/a\n", "spiffe://prod/agent/-a", "https://prod/agent/a",
            "spiffe://prod/agent/" + "a" * 101, "spiffe://pr.od/agent/a", "spiffe:///agent/a",
        ],
    )  # fmt: skip
    def test_what_is_no_identity(self, uri: str) -> None:
        with pytest.raises(IdentityError):
            read_uri(uri)

    @settings(max_examples=200)
    @given(st.text(max_size=40))
    def test_what_is_read_is_what_was_written(self, name: str) -> None:
        try:
            who = Identity("prod", Kind.OPERATOR, name)
        except IdentityError:
            return
        assert read_uri(who.uri) == who


class TestAuthority:
    def test_a_certificate_names_its_principal_and_ends(self, signing: Authority) -> None:
        now_s = time.time()
        made = signing.sign(new_key().public_key(), NODE, 60, now_s)
        assert identity_of(made) == NODE
        assert abs(made.not_valid_after_utc.timestamp() - now_s - 60) < 2
        assert made.not_valid_before_utc.timestamp() < now_s - 60, "clocks differ"
        made.verify_directly_issued_by(signing.certificate)
        constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert not constraints.ca

    def test_no_certificate_outlives_what_signs_it(self, root: Authority) -> None:
        signing = root.make_intermediate("short", time.time())
        made = signing.sign(new_key().public_key(), NODE, 1e10, time.time())
        assert made.not_valid_after_utc <= signing.certificate.not_valid_after_utc

    def test_another_clusters_principal_is_not_signed(self, signing: Authority) -> None:
        with pytest.raises(IdentityError):
            signing.sign(new_key().public_key(), Identity("x", Kind.AGENT, "a"), 60, time.time())


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is logged as a warning."""
    lines: list[str] = []
    monkeypatch.setattr(credentials.log, "warning", lambda text, *of: lines.append(text % of))
    return lines


class TestCredentials:
    def test_a_renewed_certificate_is_taken(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        used = Credentials(folder_of(tmp_path / "n", NODE, root, signing))
        before = used.current()
        assert used.current() is before
        folder_of(tmp_path / "n", NODE, root, signing)
        assert used.current().chain != before.chain

    def test_half_a_renewal_changes_nothing(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        folder = folder_of(tmp_path / "n", NODE, root, signing)
        used = Credentials(folder)
        before = used.current()
        (folder / "key.pem").write_bytes(key_pem(new_key()))
        assert used.current() is before
        (folder / "cert.pem").unlink()
        assert used.current() is before

    def test_its_end_is_said_before_and_once(
        self,
        tmp_path: Path,
        root: Authority,
        signing: Authority,
        monkeypatch: pytest.MonkeyPatch,
        warned: list[str],
    ) -> None:
        used = Credentials(folder_of(tmp_path / "n", NODE, root, signing, 86400))
        now_s = time.time()
        said = []
        for later_s in (0, 80_000, 80_000, 86_401, 86_402):
            monkeypatch.setattr(time, "time", lambda at_s=now_s + later_s: at_s)
            used.current()
            said.append([re.split(" at |, so", line)[0] for line in warned])
            warned.clear()
        who = "the certificate of agent/node-1.example.com"
        comes, is_there = (
            f"this process: coming end: {who} ends",
            f"this process: end: {who} has ended",
        )
        assert said == [[], [comes], [], [is_there], []]

    def test_what_is_missing_is_said_once(
        self,
        tmp_path: Path,
        root: Authority,
        signing: Authority,
        warned: list[str],
    ) -> None:
        folder = folder_of(tmp_path / "n", NODE, root, signing)
        used = Credentials(folder)
        (folder / "roots.pem").unlink()
        before = used.current()
        assert used.current() is before
        assert len(warned) == 1 and "roots.pem" in warned[0]

    def test_what_chmod_has_mended_is_taken(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        folder = folder_of(tmp_path / "n", NODE, root, signing)
        used = Credentials(folder)
        before = used.current()
        folder_of(tmp_path / "n", NODE, root, signing)
        (folder / "key.pem").chmod(0o644)
        assert used.current() is before
        (folder / "key.pem").chmod(0o600)
        assert used.current() is not before

    def test_another_principals_certificate_is_not_taken(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        used = Credentials(folder_of(tmp_path / "n", NODE, root, signing))
        before = used.current()
        folder_of(tmp_path / "n", Identity("prod", Kind.MASTER, "m"), root, signing)
        assert used.current() is before

    def test_what_is_wrong_is_said(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        def wrong(says: str, folder: Path) -> None:
            with pytest.raises(CredentialsError, match=says):
                Credentials(folder).need(Kind.AGENT)

        def made(name: str, lifetime_s: float = 600) -> Path:
            return folder_of(tmp_path / name, NODE, root, signing, lifetime_s)

        wrong("Expected is a folder with cert.pem, key.pem, roots.pem", tmp_path / "none")
        above = made("prod/operator").parent
        wrong(f"cluster issue` make it; there are {above}/operator$", above)
        (open_key := made("open") / "key.pem").chmod(0o644)
        wrong(f"chmod 600 {open_key}", open_key.parent)
        other = made("other")
        (other / "key.pem").write_bytes(key_pem(new_key()))
        wrong("is not the key of", other)
        strange = made("strange")
        (strange / "roots.pem").write_bytes(
            certificate_pem(make_root("prod", time.time()).certificate)
        )
        wrong("it is signed by no root of these", strange)
        wrong("has ended", made("old", -1))
        (no_pem := made("nopem") / "cert.pem").write_text("x")
        wrong("no certificates in PEM", no_pem.parent)
        (no_key := made("nokey") / "key.pem").write_text("x")
        wrong("no private key in PEM", no_key.parent)
        master = Identity("prod", Kind.MASTER, "m")
        wrong("expected is one of agent/NAME", folder_of(tmp_path / "m", master, root, signing))


class TestGate:
    @pytest.mark.parametrize("service", services(), ids=lambda service: service.full_name)
    def test_each_service_is_in_the_table_and_closed_to_the_rest(
        self, service: ServiceDescriptor, signing: Authority
    ) -> None:
        may = CALLERS[service.full_name]  # a service that is not listed fails the build
        for server, kind in itertools.product(Kind, Kind):
            gate = CertificateGate("prod", server)
            who = Identity("prod", kind, "x")
            pem = certificate_pem(signing.sign(new_key().public_key(), who, 60, time.time()))
            proof = {"peer_uri": [who.uri.encode()], "x509_pem_cert": [pem]}
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                if kind in may.get(server, ()):
                    caller = gate(path, "ipv4:10.0.0.1", proof)
                    certificate = x509.load_pem_x509_certificate(pem)
                    ends_s = certificate.not_valid_after_utc.timestamp()
                    serial = f"{certificate.serial_number:x}"
                    assert caller == Caller(
                        who.principal, Method.CERT, serial, "ipv4:10.0.0.1", "grpc", ends_s
                    )
                    continue
                with pytest.raises(CallError) as refused:
                    gate(path, "ipv4:10.0.0.1", proof)
                assert refused.value.code == Code.PERMISSION_DENIED

    def test_the_model_on_one_page_has_the_same_table(self) -> None:
        text = (Path(__file__).parents[2] / "docs/security.md").read_text("utf-8")
        rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
        told = {
            (cells[0].split()[0], cells[1].strip()): cells[2] for cells in rows if len(cells) == 3
        }
        for service, servers in CALLERS.items():
            for server, callers in servers.items():
                said = told[service.rpartition(".")[2], server]
                assert " all" in said or all(f"{kind}s" in said for kind in callers), service

    def test_the_table_names_no_service_that_is_not_there(self) -> None:
        assert set(CALLERS) == {service.full_name for service in services()}

    @pytest.mark.parametrize(
        "uris",
        [[], [b"spiffe://other/operator/x"], [b"\xff"], [b"spiffe://prod/operator/x"] * 2],
    )
    def test_who_is_not_of_the_cluster_calls_nothing(self, uris: list[bytes]) -> None:
        with pytest.raises(CallError) as refused:
            CertificateGate("prod", Kind.MASTER)(
                "/pymesos.v1.Operator/GetLeader", "p", {"peer_uri": uris}
            )
        assert refused.value.code == Code.UNAUTHENTICATED

    def test_a_certificate_that_has_ended_calls_nothing(self, signing: Authority) -> None:
        who = Identity("prod", Kind.OPERATOR, "x")
        made = signing.sign(new_key().public_key(), who, -1, time.time())
        proof = {"peer_uri": [who.uri.encode()], "x509_pem_cert": [certificate_pem(made)]}
        with pytest.raises(CallError, match="has ended") as refused:
            CertificateGate("prod", Kind.MASTER)("/pymesos.v1.Operator/GetLeader", "p", proof)
        assert refused.value.code == Code.UNAUTHENTICATED

    def test_a_method_of_which_is_not_known_what_it_needs_is_refused(self) -> None:
        proof = {"peer_uri": [b"spiffe://prod/operator/x"]}
        with pytest.raises(CallError, match="nobody may call") as refused:
            CertificateGate("prod", Kind.MASTER)("/pymesos.v1.Operator/Added", "p", proof)
        assert refused.value.code == Code.PERMISSION_DENIED

    def test_what_is_not_in_the_table_is_refused(self) -> None:
        proof = {"peer_uri": [b"spiffe://prod/operator/x"]}
        with pytest.raises(CallError) as refused:
            CertificateGate("prod", Kind.MASTER)("/grpc.reflection.v1/Info", "p", proof)
        assert refused.value.code == Code.PERMISSION_DENIED


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(*argv: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cluster", *map(str, argv)])
    return result.exit_code, result.output


class TestCommands:
    def test_an_authority_and_a_certificate(self, tmp_path: Path) -> None:
        authority, folder = tmp_path / "ca", tmp_path / "alice"
        assert run("init", authority, "--name", "prod")[0] == 0
        assert authority.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in authority.rglob("*"))
        Credentials(authority / "master").need(Kind.MASTER)
        Credentials(authority / "operator").need(Kind.OPERATOR)
        (authority / "root.key").unlink()  # put away
        assert run("issue", authority, "operator/alice", folder, "--days", 1)[0] == 0
        Credentials(folder).need(Kind.OPERATOR)
        assert "operator/alice of prod, until " in run("show", folder)[1]
        first = (folder / "cert.pem").read_bytes()
        assert run("issue", authority, "operator/alice", folder)[0] == 0
        assert (folder / "cert.pem").read_bytes() != first
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]

    def test_another_authority_adds_its_root(self, tmp_path: Path) -> None:
        folder = tmp_path / "m1"
        for authority in ("old", "new"):
            run("init", tmp_path / authority)
            status, said = run("issue", tmp_path / authority, "master/m1", folder)
            assert status == 0, said
        roots = x509.load_pem_x509_certificates((folder / "roots.pem").read_bytes())
        assert len(roots) == 2 and Credentials(folder).identity.principal == "master/m1"
        assert run("issue", tmp_path / "new", "master/m1", folder)[0] == 0
        assert len(x509.load_pem_x509_certificates((folder / "roots.pem").read_bytes())) == 2

    def test_nothing_is_taken_from_another(self, tmp_path: Path) -> None:
        authority, folder = tmp_path / "ca", tmp_path / "alice"
        run("init", authority)
        before = read_all(authority)
        status, said = run("init", authority)
        assert status != 0 and "never overwritten" in " ".join(said.split())
        run("issue", authority, "operator/alice", folder)
        status, said = run("issue", authority, "operator/bob", folder)
        assert status != 0 and "holds the certificate of operator/alice" in said
        assert read_all(authority) == before

    @pytest.mark.parametrize(
        ("principal", "says"),
        [
            ("alice", "KIND/NAME"),
            ("root/alice", "KIND/NAME"),
            ("operator/Alice", "a-z, 0-9"),
            ("operator/../x", "a-z, 0-9"),
        ],
    )
    def test_a_wrong_name_is_told(self, tmp_path: Path, principal: str, says: str) -> None:
        run("init", tmp_path / "ca")
        status, said = run("issue", tmp_path / "ca", principal, tmp_path / "x")
        assert status == 2 and says in said and not (tmp_path / "x").exists()

    def test_an_authority_does_not_travel_with_a_certificate(self, tmp_path: Path) -> None:
        run("init", tmp_path / "ca")
        before = sorted(path.name for path in (tmp_path / "ca").iterdir())
        status, said = run("issue", tmp_path / "ca", "agent/a", tmp_path / "ca")
        assert status == 1 and "must not travel with a certificate" in " ".join(said.split())
        assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == before

    @pytest.mark.parametrize("argv", [("init", ""), ("issue", "ca", "agent/a", " "), ("show", "")])
    def test_an_empty_folder_name_is_not_this_folder(
        self, argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        run("init", "ca")
        status, said = run(*argv)
        assert status == 2 and "is expected; an empty text is given" in said
        assert [path.name for path in tmp_path.iterdir()] == ["ca"]

    def test_what_is_no_authority_is_told(self, tmp_path: Path) -> None:
        status, said = run("issue", tmp_path, "agent/a", tmp_path / "x")
        assert status == 1 and "`pymesos-cli cluster init`" in " ".join(said.split())
        run("init", tmp_path / "ca")
        os.truncate(tmp_path / "ca" / "intermediate.key", 10)
        status, said = run("issue", tmp_path / "ca", "agent/a", tmp_path / "x")
        assert status == 1 and "no authority" in said


class TestChains:
    def test_a_master_may_let_another_sign_and_that_one_no_further(self) -> None:
        now_s = time.time()
        root = make_root("prod", now_s)
        first = root.make_intermediate("master/m1", now_s)
        second = first.make_intermediate("master/m2", now_s)
        made = second.sign(new_key().public_key(), NODE, 60, now_s)
        chain = [made, *second.chain]
        assert len(chain) == 3
        assert chain_problem(chain, [root.certificate], now_s) is None
        with pytest.raises(IdentityError):
            second.make_intermediate("master/m3", now_s)

    def test_either_of_two_roots_will_do(self) -> None:
        now_s = time.time()
        old, new = make_root("prod", now_s), make_root("prod", now_s)
        for root in (old, new):
            signing = root.make_intermediate("m1", now_s)
            chain = [signing.sign(new_key().public_key(), NODE, 60, now_s), *signing.chain]
            assert chain_problem(chain, [old.certificate, new.certificate], now_s) is None
        assert chain_problem(chain, [old.certificate], now_s) == "it is signed by no root of these"

    def test_what_is_no_chain_is_told(self) -> None:
        now_s = time.time()
        root = make_root("prod", now_s)
        signing = root.make_intermediate("m1", now_s)
        leaf_key = new_key()
        leaf = signing.sign(leaf_key.public_key(), NODE, 60, now_s)
        roots = [root.certificate]
        below_leaf = Authority(leaf, leaf_key).sign
        with pytest.raises(IdentityError):
            below_leaf(new_key().public_key(), NODE, 60, now_s)
        stranger = make_root("prod", now_s).make_intermediate("m1", now_s)
        assert chain_problem([leaf, signing.certificate], roots, now_s) is None
        for chain, says in (
            ([leaf, stranger.certificate, signing.certificate], "one by the next"),
            ([leaf], "no root"),
            ([leaf] * 9, "at most"),
        ):
            assert says in str(chain_problem(chain, roots, now_s))
        later_s = signing.certificate.not_valid_after_utc.timestamp() + 1
        said = chain_problem([leaf, signing.certificate], roots, later_s)
        assert said == "a certificate above it is not in force"

    def test_a_key_whose_certificate_came_is_found_though_it_was_not_moved(
        self, tmp_path: Path, root: Authority, signing: Authority
    ) -> None:
        folder = folder_of(tmp_path / "n", NODE, root, signing)
        (folder / "key.pem").rename(folder / "next-key.pem")
        (folder / "key.pem").write_bytes(key_pem(new_key()))
        (folder / "key.pem").chmod(0o600)
        kept = (folder / "next-key.pem").read_bytes()
        assert Credentials(folder).current().key == kept
