"""Certificates that are missing, that have ended, or that are replaced while they are read."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography import x509

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.security import credentials, renewing
from pymesos_core.security.audit import Entry
from pymesos_core.security.auditing import Audit
from pymesos_core.security.authority import certificate_pem, make_root, new_key
from pymesos_core.security.credentials import Credentials, CredentialsError, read_pem
from pymesos_core.security.identities import Identity, Kind
from pymesos_core.security.issuing import issue, put_authority, put_next_key
from pymesos_core.security.joining import (
    Invitation,
    JoinError,
    join_unless_in,
    read_invitation_file,
)
from pymesos_core.security.renewing import RenewalError, renew
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.signing import (
    Issued,
    Signer,
    SigningError,
    key_digest,
    make_request,
    read_request,
)
from pymesos_core.security.validity import while_valid
from pymesos_core.settings.server import ServerSettings
from pymesos_core.transport import CallError
from pymesos_master.services.certificates import CertificatesService
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import enrolment_pb2 as pb

NODE = Identity("prod", Kind.AGENT, "node-1")
NOBODY_THERE = Invitation(b"r" * 32, b"s" * 32, HostPort("127.0.0.1", 1))


class Issuer:
    """A cluster's authority, which issues into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = make_root("prod", time.time())
        self.authority = self.root.make_intermediate("master/m1", time.time())

    def issue(self, lifetime_s: float = 600) -> None:
        roots = certificate_pem(self.root.certificate)
        issue(self.folder, NODE, self.authority, roots, lifetime_s, time.time())

    def signer(self, lifetime_s: float = 600) -> Signer:
        put_authority(self.folder, self.authority)
        return Signer(self.folder, lifetime_s)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path / "tls")


class TestRenewing:
    async def test_one_that_has_ended_here_replaces_nothing(self, issuer: Issuer) -> None:
        issuer.issue()
        mine, before = Credentials(issuer.folder), read_pem(issuer.folder)
        behind = issuer.signer(lifetime_s=-1)

        async def ask(request: bytes) -> Issued:
            return behind.sign(read_request(request), NODE, None)

        with pytest.raises(RenewalError, match="set the clocks"):
            await renew(mine, ask)
        assert read_pem(issuer.folder) == before

    async def test_files_that_are_no_good_afterwards_are_a_failed_renewal(
        self, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issuer.issue()
        mine, signer = Credentials(issuer.folder), issuer.signer()

        async def ask(request: bytes) -> Issued:
            return signer.sign(read_request(request), NODE, None)

        def put(folder: Path, *_: bytes) -> None:
            (folder / "cert.pem").write_bytes(b"somebody else's")

        monkeypatch.setattr(renewing, "put", put)
        with pytest.raises(RenewalError, match=r"cert\.pem holds no certificates"):
            await renew(mine, ask)

    def test_an_authority_that_has_ended_signs_nothing(self, issuer: Issuer) -> None:
        issuer.issue()
        issuer.authority = issuer.root.make_intermediate("m", time.time() - 3 * 365 * 86400)
        with pytest.raises(SigningError, match="is not in force"):
            issuer.signer().sign(new_key().public_key(), NODE, None)


def test_files_that_are_replaced_while_they_are_read_are_read_again(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer.issue()
    key_of, replaced = credentials._key_of, list[bool]()

    def replaced_before(folder: Path, leaf: x509.Certificate) -> bytes:
        if not replaced:
            replaced.append(True)
            issuer.issue()
        return key_of(folder, leaf)

    monkeypatch.setattr(credentials, "_key_of", replaced_before)
    pem = read_pem(issuer.folder)
    assert pem.chain == (issuer.folder / "cert.pem").read_bytes()
    assert pem.key == (issuer.folder / "key.pem").read_bytes()


class TestStarting:
    async def test_with_a_certificate_the_file_of_the_token_may_be_gone(
        self, issuer: Issuer, tmp_path: Path
    ) -> None:
        flags = ServerSettings(tls=issuer.folder, join_file=tmp_path / "join")
        with pytest.raises(JoinError, match=r"no certificate in .* yet, .*token cannot be used"):
            await flags.credentials(Kind.AGENT)
        issuer.issue()
        found = await flags.credentials(Kind.AGENT)
        assert found is not None and found.identity == NODE

    async def test_a_token_that_others_can_read_is_refused(
        self, issuer: Issuer, tmp_path: Path
    ) -> None:
        file = tmp_path / "the join"
        file.write_text(NOBODY_THERE.written)
        flags = ServerSettings(tls=issuer.folder, join_file=file)
        for mode in (0o604, 0o640, 0o620):
            file.chmod(mode)
            with pytest.raises(JoinError, match=f"by others than its owner: chmod 600 '{file}'"):
                await flags.credentials(Kind.AGENT)
            with pytest.raises(JoinError, match="by others than its owner"):
                read_invitation_file(file)
        file.chmod(0o400)
        with pytest.raises(JoinError, match="nobody takes those who join"):
            await flags.credentials(Kind.AGENT)

    def test_a_token_may_come_out_of_a_pipe(self) -> None:
        read, write = os.pipe()
        os.write(write, NOBODY_THERE.written.encode())
        os.close(write)
        assert read_invitation_file(Path(f"/dev/fd/{read}")) == NOBODY_THERE
        os.close(read)

    async def test_a_key_left_for_the_next_that_others_can_read_is_refused(
        self, issuer: Issuer
    ) -> None:
        issuer.issue(lifetime_s=-1)
        put_next_key(issuer.folder, b"")
        (issuer.folder / "next-key.pem").chmod(0o644)
        with pytest.raises(CredentialsError, match=r"next-key\.pem: can be read by others"):
            await join_unless_in(issuer.folder, lambda: NOBODY_THERE, Kind.AGENT)

    async def test_what_a_token_does_not_mend_is_said(self, issuer: Issuer) -> None:
        issuer.issue()
        (issuer.folder / "key.pem").chmod(0o644)
        with pytest.raises(CredentialsError, match="can be read by others"):
            await join_unless_in(issuer.folder, lambda: NOBODY_THERE, Kind.AGENT)

    async def test_that_it_has_ended_is_said_first(self, issuer: Issuer) -> None:
        issuer.issue(lifetime_s=-1)
        with pytest.raises(JoinError, match=r"cert\.pem has ended at .*nobody takes those who"):
            await join_unless_in(issuer.folder, lambda: NOBODY_THERE, Kind.AGENT)


async def test_who_is_revoked_between_the_gate_and_the_handler_is_not_served() -> None:
    revocations, served = Revocations(), list[bool]()
    caller = Caller("agent/node-1", Method.CERT, "1")

    async with while_valid(caller, revocations):
        served.append(True)
    revocations.set(["agent/node-1"])
    with pytest.raises(CallError, match="is revoked"):
        async with while_valid(caller, revocations):
            served.append(True)
    assert served == [True]


class Recorded(Audit):
    """Keeps the lines, or says why it cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Entry] = []
        self.problem: Problem | None = None

    async def record(self, entry: Entry) -> Problem | None:
        """See Audit."""
        self.lines.append(entry)
        return self.problem


class Call:
    caller = Caller("agent/node-1", Method.CERT, "1")


async def test_the_audit_tells_of_a_renewal_before_it_is_answered(issuer: Issuer) -> None:
    issuer.issue()
    audit, key = Recorded(), new_key()
    leadership = Leadership(cast(MasterInfo, None), leader=cast(Any, object()), audit=audit)
    service = CertificatesService(leadership, "prod", issuer.signer())
    request = pb.RenewRequest(request=make_request(key))
    answer = await service.Renew(request, cast(Any, Call()))
    made = x509.load_pem_x509_certificate(answer.chain)
    [line] = audit.lines
    assert (line.call, line.caller.principal, line.synced) == (
        "Certificates.Renew",
        "agent/node-1",
        True,
    )
    assert line.object == {
        "principal": "agent/node-1",
        "new_serial": f"{made.serial_number:x}",
        "key_sha256": key_digest(key.public_key()).hex(),
    }
    audit.problem = Problem(ProblemKind.FULL, "the disk is full")
    with pytest.raises(CallError, match="the disk is full"):
        await service.Renew(request, cast(Any, Call()))
