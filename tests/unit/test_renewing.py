"""A certificate is renewed at half of its life, by whoever has it, and used without a restart."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pymesos_core.clock import Now
from pymesos_core.metrics import certificate_metrics
from pymesos_core.outside import Outside
from pymesos_core.security import renewing
from pymesos_core.security.authority import Authority, certificate_pem, make_root, new_key
from pymesos_core.security.credentials import NEXT_KEY, Credentials, CredentialsError, read_pem
from pymesos_core.security.identities import Identity, Kind
from pymesos_core.security.issuing import issue, put_authority
from pymesos_core.security.renewing import RenewalError, is_due, keep_renewed, renew
from pymesos_core.security.signing import Issued, Signer, SigningError, read_request
from pymesos_core.tasks import running
from pymesos_core.transport import CallError, Code

NODE = Identity("prod", Kind.AGENT, "node-1")


class Master:
    """Signs what it is asked to, unless it is told to fail."""

    def __init__(self, folder: Path, lifetime_s: float = 600) -> None:
        now_s = time.time()
        self.root = make_root("prod", now_s)
        self.authority: Authority = self.root.make_intermediate("master/m1", now_s)
        self.folder = folder
        self.signer = Signer(folder, lifetime_s)
        self.issue(folder, Identity("prod", Kind.MASTER, "m1"), 600)
        put_authority(folder, self.authority)
        self.failures: list[Exception] = []
        self.asked = 0

    def issue(self, folder: Path, to: Identity, lifetime_s: float) -> Credentials:
        roots = certificate_pem(self.root.certificate)
        issue(folder, to, self.authority, roots, lifetime_s, time.time())
        return Credentials(folder) if lifetime_s > 0 else None  # type: ignore[return-value]

    async def ask(self, request: bytes) -> Issued:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.signer.sign(read_request(request), NODE, None)


@pytest.fixture
def master(tmp_path: Path) -> Master:
    return Master(tmp_path / "master")


def test_it_is_due_at_half_of_its_life(master: Master, tmp_path: Path) -> None:
    pem, now_s = master.issue(tmp_path / "a", NODE, 1000).current(), time.time()
    assert [is_due(pem, now_s + after_s) for after_s in (0, 490, 510)] == [False, False, True]
    foreign = replace(pem, begins_s=now_s, ends_s=now_s + 300)  # another CA's, not backdated
    assert [is_due(foreign, now_s + after_s) for after_s in (100, 160)] == [False, True]


async def test_what_is_renewed_is_used_and_is_of_a_new_key(master: Master, tmp_path: Path) -> None:
    credentials = master.issue(tmp_path / "a", NODE, 60)
    before = credentials.current()
    await renew(credentials, master.ask)
    after = credentials.current()
    assert after.key != before.key and after.ends_s > before.ends_s
    assert read_pem(tmp_path / "a") == after and not (tmp_path / "a" / NEXT_KEY).exists()


async def test_it_goes_on_after_failures_which_are_counted(master: Master, tmp_path: Path) -> None:
    credentials = master.issue(tmp_path / "a", NODE, 2)
    master.failures = [
        CallError(Code.UNAVAILABLE, "no master leads"),
        SigningError("there is no authority"),
        CallError(Code.UNAVAILABLE, "the master at h:1 does not answer within 20 s"),
    ]
    outside = Outside(credentials=credentials, jitter=random.Random(1))
    before = credentials.current()
    async with running(keep_renewed(outside, master.ask)), asyncio.timeout(30):
        while credentials.current() is before:
            await asyncio.sleep(0.01)
    assert (master.asked, credentials.renewal_failures) == (4, 3)
    said = {metric.name: metric.samples[0].value for metric in certificate_metrics(credentials)}
    assert said == {
        "pymesos_certificate_ends_seconds": credentials.current().ends_s,
        "pymesos_certificate_renewal_failures": 3,
    }


class Jumping(asyncio.SelectorEventLoop):
    """A loop that waits for nothing: its time is that of what comes next."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(2))
def test_certificates_of_a_minute_never_end_though_the_leader_is_away_at_times(
    master: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """By a clock that jumps: each is renewed, and none has less than a quarter of its life left."""
    begun_s, loop = time.time(), Jumping()
    monkeypatch.setattr(time, "time", lambda: begun_s + loop.now_s)

    async def at_once(function: Any, *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr(renewing, "in_thread", at_once)
    signer, credentials = Signer(master.folder, 60), master.issue(tmp_path / "a", NODE, 60)
    outside = Outside(
        clock=lambda: Now(loop.now_s, time.time()),
        credentials=credentials,
        jitter=random.Random(seed),
    )
    shown: dict[bytes, float] = {}
    left_s: list[float] = []

    async def ask(request: bytes) -> Issued:
        if loop.now_s % 37 < 10:  # a failover takes so long; some renewal always meets one
            raise CallError(Code.UNAVAILABLE, "no master leads")
        return signer.sign(read_request(request), NODE, None)

    async def watch() -> None:
        async with running(keep_renewed(outside, ask)):
            while loop.now_s < 900:
                await asyncio.sleep(1)
                pem = credentials.current()
                left_s.append(pem.ends_s - time.time())
                shown.setdefault(pem.key, loop.now_s)

    try:
        loop.run_until_complete(watch())
    finally:
        loop.close()
    assert min(left_s) >= 15, "of sixty seconds"
    times_s = [*shown.values()]
    apart_s = [later - earlier for earlier, later in itertools.pairwise(times_s)]
    assert min(apart_s) >= 25 and max(apart_s) <= 45, "half a life and some, and no more often"
    assert credentials.renewal_failures, "the leader was away when it was wanted"


async def test_an_answer_for_another_is_not_taken(master: Master, tmp_path: Path) -> None:
    credentials = master.issue(tmp_path / "a", Identity("prod", Kind.AGENT, "node-2"), 60)
    before = read_pem(tmp_path / "a")
    with pytest.raises(RenewalError, match="it is another one"):
        await renew(credentials, master.ask)

    async def nonsense(request: bytes) -> Issued:
        return Issued(b"x", b"y")

    with pytest.raises(RenewalError, match="no certificate"):
        await renew(credentials, nonsense)
    strange = Master(tmp_path / "strange")

    async def of_other_roots(request: bytes) -> Issued:
        made = strange.signer.sign(read_request(request), credentials.identity, None)
        return replace(made, roots=certificate_pem(master.root.certificate))

    with pytest.raises(RenewalError, match="signed by no root"):
        await renew(credentials, of_other_roots)
    assert read_pem(tmp_path / "a") == before


async def test_a_second_root_comes_with_the_next_certificate(
    master: Master, tmp_path: Path
) -> None:
    """How a root is replaced: first it is in force beside the old one, then it signs."""
    credentials = master.issue(tmp_path / "a", NODE, 60)
    new = make_root("prod", time.time())
    roots = master.folder / "roots.pem"
    roots.write_bytes(roots.read_bytes() + certificate_pem(new.certificate))
    await renew(credentials, master.ask)
    assert credentials.current().roots == roots.read_bytes()
    put_authority(master.folder, new.make_intermediate("master/m1", time.time()))
    await renew(credentials, master.ask)
    roots.write_bytes(certificate_pem(new.certificate))
    await renew(credentials, master.ask)
    assert read_pem(tmp_path / "a").roots == certificate_pem(new.certificate)


def test_a_master_comes_back_after_its_own_certificate_has_ended(master: Master) -> None:
    me = Identity("prod", Kind.MASTER, "m1")
    before = (master.folder / "cert.pem").read_bytes()
    master.signer.sign_own()
    assert (master.folder / "cert.pem").read_bytes() == before, "it has not ended"
    master.issue(master.folder, me, -1)
    with pytest.raises(CredentialsError, match="has ended"):
        Credentials(master.folder)
    master.signer.sign_own()
    assert Credentials(master.folder).identity == me


def test_a_master_that_joined_takes_another_in_without_an_authority(master: Master) -> None:
    """Two authorities may be between a certificate and the root, and no more."""
    joined = master.authority.make_intermediate("master/m2", time.time())
    put_authority(master.folder, joined)
    third = Identity("prod", Kind.MASTER, "m3")
    key = new_key().public_key()
    issued = master.signer.sign(key, third, new_key().public_key())
    assert issued.authority == b""
    assert len(x509.load_pem_x509_certificates(issued.chain)) == 3
    put_authority(master.folder, master.authority)
    assert master.signer.sign(key, third, new_key().public_key()).authority


def test_a_master_without_an_authority_says_so(tmp_path: Path, master: Master) -> None:
    (master.folder / "intermediate.key").unlink()
    assert not master.signer.is_there
    with pytest.raises(SigningError, match="cluster issue AUTHORITY"):
        master.signer.fingerprint()
