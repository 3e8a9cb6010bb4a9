"""Tokens and revocations: the rules of the leading master, and what a token looks like."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.security.authority import new_key
from pymesos_core.security.joining import Invitation, mask_invitation, read_invitation
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.signing import SigningError, key_digest, make_request, read_request
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.core.enrolment import NOT_KNOWN
from pymesos_testing.master_harness import MasterHarness

ALICE = Caller("operator/alice", Method.CERT)
DIGEST = hashlib.sha256(b"secret").hexdigest()


@pytest.fixture
def h() -> MasterHarness:
    return MasterHarness()


class Asking:
    """Requests of a harness, each with a number of its own."""

    def __init__(self, harness: MasterHarness) -> None:
        self.h = harness

    def _ask(self, event: ev.Event, number: int) -> str | None:
        self.h.feed(event)
        return self.h.answers[number]

    def make(
        self, digest: str = DIGEST, principal: str = "agent/a", lifetime_s: float = 60
    ) -> str | None:
        number = len(self.h.answers) + 1
        return self._ask(ev.OperatorMadeToken(number, digest, principal, lifetime_s, ALICE), number)

    def use(self, key: bytes, digest: str = DIGEST, wanted: str = "") -> str | None:
        number = len(self.h.answers) + 1
        caller = Caller(peer="10.0.0.9")
        return self._ask(ev.TokenUsed(number, digest, key, caller, wanted), number)

    def remove(self, digest: str = DIGEST) -> str | None:
        number = len(self.h.answers) + 1
        return self._ask(ev.OperatorRemovedToken(number, digest, ALICE), number)

    def revoke(self, name: str, *, undo: bool = False) -> str | None:
        number = len(self.h.answers) + 1
        return self._ask(ev.OperatorRevoked(number, name, undo, ALICE), number)


class TestTokens:
    def test_the_key_that_comes_first_may_come_again_and_no_other(self, h: MasterHarness) -> None:
        asking = Asking(h)
        assert asking.make() is None
        assert asking.use(b"one") is None
        assert asking.use(b"one") is None
        assert "with another key" in str(asking.use(b"two"))
        assert [c.peer for c in h.complaints] == ["10.0.0.9"]

    @pytest.mark.parametrize("wanted", ["master", "agent/b", "agent/a/x", "a", "\n" * 9999])
    def test_a_token_that_is_not_wanted_stays_good(self, h: MasterHarness, wanted: str) -> None:
        asking = Asking(h)
        asking.make()
        refused = str(asking.use(b"one", wanted=wanted))
        assert "the token is that of agent/a" in refused and "stays good" in refused
        assert len(refused) < 1000 and "\n" not in refused
        assert asking.use(b"two", wanted="agent") is None
        assert asking.use(b"two", wanted="agent/a") is None
        assert asking.use(b"two") is None

    def test_of_two_keys_at_once_the_first_wins(self, h: MasterHarness) -> None:
        asking = Asking(h)
        asking.make()
        h.hold_writes = True
        h.feed(ev.TokenUsed(10, DIGEST, b"one"))
        h.feed(ev.TokenUsed(11, DIGEST, b"two"))
        assert 10 not in h.answers, "nothing is said before it is durable"
        assert "with another key" in str(h.answers[11])
        h.write()
        assert h.answers[10] is None

    def test_the_next_leader_knows_who_used_it(self, h: MasterHarness) -> None:
        asking = Asking(h)
        asking.make()
        asking.use(b"one")
        after = MasterHarness(registry=h.registry)
        assert Asking(after).use(b"one") is None
        assert "with another key" in str(Asking(after).use(b"two"))

    def test_one_that_has_ended_or_was_taken_back_is_not_known(self, h: MasterHarness) -> None:
        asking = Asking(h)
        asking.make(lifetime_s=10)
        asking.use(b"one")
        h.advance(11)
        assert asking.use(b"one") == NOT_KNOWN
        assert asking.make("0" * 64) is None
        assert ("token", DIGEST) not in h.registry, "what has ended is forgotten"
        assert asking.remove("0" * 64) is None
        assert asking.use(b"one", "0" * 64) == NOT_KNOWN
        assert asking.remove("0" * 64) == "there is no such token"

    @pytest.mark.parametrize(
        ("digest", "principal", "lifetime_s", "says"),
        [
            ("abc", "agent/a", 60, "64 hexadecimal digits"),
            (DIGEST, "agent", 60, "KIND/NAME"),
            (DIGEST, "agent/../x", 60, "a-z, 0-9"),
            (DIGEST, "agent/a", 0, "a token is to live for 0 s"),
            (DIGEST, "agent/a", float("nan"), "a token is to live for nan s"),
            (DIGEST, "agent/a", 1e9, "30 days are expected"),
            (DIGEST, "agent/a", 1000 * 86400, "a token is to live for 1000 days; 1 s to 30 days"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, h: MasterHarness, digest: str, principal: str, lifetime_s: float, says: str
    ) -> None:
        assert says in str(Asking(h).make(digest, principal, lifetime_s))
        assert not h.registry

    def test_a_record_that_cannot_be_read_lets_nobody_in(self) -> None:
        h = MasterHarness(registry={("token", DIGEST): b"\xff", ("revocation", "agent/a"): b"\xff"})
        assert set(h.core.state.quarantined) == {("token", DIGEST), ("revocation", "agent/a")}
        assert Asking(h).use(b"one") == NOT_KNOWN
        assert h.core.state.revoked() == ("agent/a",)


class TestRevocations:
    def test_agents_and_frameworks_are_told_when_they_come_and_as_it_happens(
        self, h: MasterHarness
    ) -> None:
        asking = Asking(h)
        agent, framework = h.agent(), h.subscribe()
        assert asking.revoke("operator/bob") is None
        assert asking.revoke("12ab") is None
        (first, second) = (m.set_revoked for m in h.agent_inbox[agent] if m.HasField("set_revoked"))
        assert [list(first.revoked), list(second.revoked)] == [
            ["operator/bob"],
            ["12ab", "operator/bob"],
        ]
        told = [e.set_revoked for e in h.framework_inbox[framework] if e.HasField("set_revoked")]
        assert list(told[-1].revoked) == ["12ab", "operator/bob"]
        late = h.agent()
        (registered,) = (m.registered for m in h.agent_inbox[late] if m.HasField("registered"))
        assert list(registered.revoked) == ["12ab", "operator/bob"]
        assert asking.revoke("operator/bob", undo=True) is None
        assert MasterHarness(registry=h.registry).core.state.revoked() == ("12ab",)

    def test_nothing_is_said_before_it_is_durable(self, h: MasterHarness) -> None:
        h.hold_writes = True
        effects = h.core.step(h.now, ev.OperatorRevoked(1, "agent/a", False, ALICE))
        assert not [e for e in effects if isinstance(e, fx.SetRevoked | fx.AnswerOperator)]

    def test_who_is_revoked_gets_no_token_and_uses_none(self, h: MasterHarness) -> None:
        asking = Asking(h)
        asking.make()
        asking.revoke("agent/a")
        assert asking.use(b"one") == "agent/a is revoked"
        assert "--undo agent/a" in str(asking.make("0" * 64))

    @pytest.mark.parametrize("name", ["", "agent", "agent/", "0x12", "012", "g", "1" * 41])
    def test_what_is_no_name_is_refused(self, h: MasterHarness, name: str) -> None:
        assert "expected" in str(Asking(h).revoke(name)) and not h.registry

    def test_nobody_locks_himself_out(self, h: MasterHarness) -> None:
        assert "who asks" in str(Asking(h).revoke("operator/alice"))
        caller = Caller("operator/alice", Method.CERT, "12", vouched_by=("34", "56"))
        for number, name in enumerate(("12", "34", "56", "78"), 1):
            h.feed(ev.OperatorRevoked(number, name, False, caller))
        assert "is the certificate by which operator/alice asks" in str(h.answers[1])
        assert "is an authority above the certificate" in str(h.answers[2])
        assert "is an authority above the certificate" in str(h.answers[3])
        assert h.answers[4] is None and h.core.state.revoked() == ("78",)
        assert Asking(h).revoke("operator/bob", undo=True) == "operator/bob is not revoked"

    def test_what_is_open_ends(self) -> None:
        revocations, ended = Revocations(), list[str]()
        bob = Caller("operator/bob", Method.CERT, "1")
        of_old_authority = Caller("agent/a", Method.CERT, "2", vouched_by=("77",))
        with (
            revocations.watched(bob, lambda: ended.append("bob")),
            revocations.watched(of_old_authority, lambda: ended.append("a")),
        ):
            revocations.set(["3"])
            assert ended == []
            revocations.set(["1"])
            assert ended == ["bob"]
            revocations.set(["77"])
            assert ended == ["bob", "a"]
        revocations.set(["1", "77"])
        assert ended == ["bob", "a"]
        revocations.set([])
        assert revocations.problem(bob) is None


class TestRequests:
    def test_what_is_read_is_the_key_of_who_asks(self) -> None:
        key = new_key()
        read = read_request(make_request(key))
        assert key_digest(read) == key_digest(key.public_key())

    def test_what_is_no_request_is_refused(self) -> None:
        good = make_request(new_key())
        forged = bytes([*good[:-1], good[-1] ^ 1])
        other_curve = make_request(ec.generate_private_key(ec.SECP384R1()))
        for request in (b"", b"x", good[:-5], forged, other_curve, b"x" * 9000):
            with pytest.raises(SigningError):
                read_request(request)


class TestInvitations:
    def test_what_is_written_is_read(self) -> None:
        made = Invitation(b"r" * 32, b"s" * 32, HostPort("10.0.0.1", 5053))
        assert read_invitation(f" {made.written}\n") == made
        assert mask_invitation(made.written) == "***@10.0.0.1:5053"

    @pytest.mark.parametrize(
        "change", [("pymesos.", ""), (".c3Nz", ".!!!!"), ("@", "@@"), ("s", "")]
    )
    def test_a_damaged_one_is_not_shown(self, change: tuple[str, str]) -> None:
        written = Invitation(b"r" * 32, b"s" * 32, HostPort("10.0.0.1", 5053)).written
        with pytest.raises(ValueError) as refused:
            read_invitation(written.replace(*change))
        assert "c3Nz" not in str(refused.value)
