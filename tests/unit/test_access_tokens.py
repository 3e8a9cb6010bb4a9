"""Access tokens: who makes them, how long they are good, and that they are good for no more."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import pytest

from pymesos_core import limits
from pymesos_core.caller import Caller, Method
from pymesos_core.limits import Limit
from pymesos_core.relaying import caller_from_proto, caller_to_proto
from pymesos_core.security import access_tokens as written
from pymesos_core.security.audit import Entry
from pymesos_core.security.policy import (
    Asked,
    Roles,
    Verb,
    decide,
    decide_launch,
    denied,
    launches_anything,
    roles_for,
)
from pymesos_core.security.policy_file import read_policy
from pymesos_core.security.revocations import Revocations
from pymesos_core.security.rights import SCRAPE, SCRAPING, read_right, rights_problem
from pymesos_core.transport import CallError
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.access_tokens import ID_LENGTH, OPEN
from pymesos_master.core.records import ACCESS_TOKEN
from pymesos_master.queries import Queries
from pymesos_proto.v1 import masters_pb2, registry_pb2
from pymesos_testing.master_harness import MasterHarness

ALICE = Caller("operator/alice", Method.CERT, "a1", "ipv4:10.0.0.1")
BOB = Caller("operator/bob", Method.CERT, "b1", "ipv4:10.0.0.2")
POLICY = """
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/bob, do: [read, kill], role: "prod/**"}
"""
READ = ("read:**",)


def digest(number: int = 0) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


class Tokens:
    """Access tokens of a master, by what their makers do."""

    def __init__(self, harness: MasterHarness | None = None) -> None:
        self.h = harness or MasterHarness(Config(seed_policy=POLICY, audited=True))
        self.queries = Queries(self.h.core, lambda: self.h.now)

    def make(
        self,
        number: int = 0,
        caller: Caller = ALICE,
        rights: tuple[str, ...] = READ,
        lifetime_s: float = 60.0,
        name: str = "",
    ) -> str | None:
        request_id = len(self.h.answers) + 1
        self.h.feed(
            ev.OperatorMadeAccessToken(request_id, digest(number), name, lifetime_s, rights, caller)
        )
        return self.h.answers[request_id]

    def revoke(self, token_id: str, caller: Caller = ALICE) -> str | None:
        request_id = len(self.h.answers) + 1
        self.h.feed(ev.OperatorRevokedAccessToken(request_id, token_id, caller))
        return self.h.answers[request_id]

    def find(self, number: int = 0) -> Caller | None:
        return self.queries.access.access_token(digest(number), "ipv4:10.0.0.9")

    def ids(self, caller: Caller) -> list[str]:
        return [view.id for view in self.queries.access.access_tokens(caller)]


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


class TestMaking:
    def test_it_is_known_by_its_secret_as_who_made_it(self, tokens: Tokens) -> None:
        assert tokens.make(rights=("read:prod", "audit"), name="for tests") is None
        assert tokens.find() == Caller(
            "operator/alice",
            Method.TOKEN,
            digest()[:ID_LENGTH],
            "ipv4:10.0.0.9",
            "http",
            tokens.h.now.wall_s + 60,
            rights=("read:prod", "audit"),
        )
        (view,) = tokens.queries.access.access_tokens(ALICE)
        assert (view.name, [*view.rights], view.principal) == (
            "for tests", ["read:prod", "audit"], "operator/alice",
        )  # fmt: skip
        assert (view.made_at_s, view.ends_at_s) == (
            tokens.h.now.wall_s, tokens.h.now.wall_s + 60,
        )  # fmt: skip

    def test_the_audit_has_its_rights_and_nothing_of_its_secret(self, tokens: Tokens) -> None:
        tokens.make()
        (entry,) = tokens.h.audited
        assert digest() not in entry.line().decode() and entry.object["rights"] == READ

    @pytest.mark.parametrize("changed", [digest()[:ID_LENGTH] + "0" * 48, "", "0" * 64, "x" * 64])
    def test_the_whole_digest_has_to_be_right(self, tokens: Tokens, changed: str) -> None:
        tokens.make()
        assert tokens.queries.access.access_token(changed, "") is None

    @pytest.mark.parametrize(
        ("rights", "lifetime_s", "words"),
        [
            ((), 60, "an access token needs a right"),
            (("read",), 60, "is of no role; expected is VERB:ROLE"),
            (("read:",), 60, "is of no role"),
            (("read:*/**",), 60, "is of no role"),
            (("read:a b",), 60, "is of no role"),
            (("fly:prod",), 60, "'fly' is no verb"),
            (("",), 60, "'' is no verb"),
            (("read,audit:prod",), 60, "audit is of the whole cluster"),
            (("audit,read",), 60, "is of no role"),
            ((SCRAPE, "read:**"), 60, "scrape is for a token that has no other right"),
            (tuple(f"read:r{i}" for i in range(65)), 60, "has 65 rights; at most 64"),
            ((f"read:{'a' * 600}",), 60, "at most 512 are accepted"),
            (READ, 0, "1 s to 30 days"),
            (READ, -1, "1 s to 30 days"),
            (READ, math.nan, "1 s to 30 days"),
            (READ, 31 * 86400, "1 s to 30 days"),
            ((SCRAPE,), 366 * 86400, "1 s to 365 days"),
        ],
    )
    def test_what_none_can_be(
        self, tokens: Tokens, rights: tuple[str, ...], lifetime_s: float, words: str
    ) -> None:
        assert words in str(tokens.make(rights=rights, lifetime_s=lifetime_s))
        assert tokens.find() is None

    def test_for_scraping_it_may_live_for_a_year(self, tokens: Tokens) -> None:
        assert tokens.make(rights=(SCRAPE,), lifetime_s=365 * 86400) is None
        assert tokens.make(1, lifetime_s=30 * 86400) is None

    def test_a_digest_is_of_one_token(self, tokens: Tokens) -> None:
        tokens.make()
        assert tokens.make() == "there is this access token already"
        tokens.revoke(digest()[:ID_LENGTH])
        assert tokens.make() == "there is this access token already"
        tokens.h.advance(61)
        assert tokens.make() == "there is this access token already"  # it is forgotten by a later
        assert tokens.make(1) is None and tokens.make() is None

    def test_only_who_has_a_certificate_makes_one(self, tokens: Tokens) -> None:
        assert tokens.make(caller=Caller(peer="ipv4:10.0.0.1")) == OPEN
        tokens.make(rights=("*:**",))
        by_token = tokens.find()
        assert by_token is not None
        assert "none makes another" in str(tokens.make(1, by_token))

    def test_few_of_one_and_some_of_all(
        self, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few = Limit("x", 2, "access tokens", "A principal")
        monkeypatch.setattr(limits, "PEER_ACCESS_TOKENS", few)
        monkeypatch.setattr(limits, "ACCESS_TOKENS", replace(few, most=3, what="The cluster"))
        assert tokens.make(0) is None and tokens.make(1) is None
        assert "operator/alice has 3 access tokens; at most 2" in str(tokens.make(2))
        assert tokens.make(3, BOB) is None
        assert "The cluster has 4 access tokens; at most 3" in str(tokens.make(4, BOB))
        tokens.h.advance(61)
        assert tokens.make(5) is None
        assert len([k for k in tokens.h.registry if k[0] == ACCESS_TOKEN]) == 1


class TestEnding:
    def test_by_its_time(self, tokens: Tokens) -> None:
        tokens.make()
        tokens.h.advance(59)
        assert tokens.find() is not None and tokens.ids(ALICE)
        tokens.h.advance(1)
        assert tokens.find() is None and not tokens.ids(ALICE)

    def test_by_being_revoked_which_everybody_is_told(self, tokens: Tokens) -> None:
        tokens.make()
        token_id = digest()[:ID_LENGTH]
        caller, told = tokens.find(), Revocations()
        assert caller is not None
        agent = tokens.h.agent()
        assert tokens.revoke(token_id) is None
        assert tokens.find() is None and not tokens.ids(ALICE)
        assert token_id in tokens.h.core.state.revoked()
        (said,) = (m.set_revoked for m in tokens.h.agent_inbox[agent] if m.HasField("set_revoked"))
        told.set(said.revoked)
        assert told.problem(caller) is not None, "whatever it has open ends"
        assert tokens.revoke(token_id) == (
            f"there is no access token '{token_id}' that is good: `pymesos-cli token list` shows"
            f" those that are"
        )
        assert not tokens.queries.access.revocations(ALICE), (
            "which lists principals and certificates"
        )

    def test_by_its_principal_being_revoked(self, tokens: Tokens) -> None:
        tokens.make(caller=BOB)
        tokens.h.feed(ev.OperatorRevoked(99, "operator/bob", caller=ALICE))
        assert tokens.find() is None

    def test_a_later_leader_knows_what_is_revoked(self, tokens: Tokens) -> None:
        for number in range(2):
            tokens.make(number, rights=("read:prod", "audit"))
        tokens.revoke(digest(0)[:ID_LENGTH])
        later = Tokens(MasterHarness(Config(seed_policy=POLICY), tokens.h.registry))
        assert later.find(0) is None
        assert later.find(1) == tokens.find(1)

    @pytest.mark.parametrize(
        "changed",
        [
            {"digest": b"x" * 32}, {"digest": b""}, {"principal": "framework/f"},
            {"principal": ""}, {"rights": []}, {"ends_at_s": math.inf}, {"made_at_s": math.nan},
        ],
    )  # fmt: skip
    def test_a_record_that_is_damaged_is_good_for_nothing(
        self, tokens: Tokens, changed: dict[str, object]
    ) -> None:
        tokens.make()
        key = (ACCESS_TOKEN, digest()[:ID_LENGTH])
        record = registry_pb2.AccessTokenRecord.FromString(tokens.h.registry[key])
        for name in changed:
            record.ClearField(name)
        record.MergeFrom(registry_pb2.AccessTokenRecord(**changed))  # type: ignore[arg-type]
        registry = {**tokens.h.registry, key: record.SerializeToString()}
        later = Tokens(MasterHarness(Config(seed_policy=POLICY), registry))
        assert later.find() is None and key in later.h.core.state.quarantined


class TestWhose:
    def test_each_sees_and_revokes_his_own(self, tokens: Tokens) -> None:
        tokens.make(0, ALICE, ("read:**", "policy"))
        tokens.make(1, BOB)
        tokens.make(2, BOB)
        zero, one, two = (digest(number)[:ID_LENGTH] for number in range(3))
        assert tokens.ids(BOB) == [one, two]
        assert tokens.ids(ALICE) == [zero, one, two], "who may `policy`"
        assert "there is no access token" in str(tokens.revoke(zero, BOB))
        by_one = tokens.find(1)
        assert by_one is not None and tokens.ids(by_one) == [one]
        assert "there is no access token" in str(tokens.revoke(two, by_one))
        by_zero = tokens.find(0)
        assert by_zero is not None and tokens.ids(by_zero) == [zero, one, two]
        assert tokens.revoke(two, by_zero) is None
        assert tokens.revoke(one, by_one) is None, "itself"
        assert tokens.ids(ALICE) == [zero]
        assert tokens.ids(Caller(peer="ipv4:10.0.0.1")) == []


def by_token(*rights: str, of: Caller = ALICE) -> Caller:
    return replace(of, method=Method.TOKEN, credential_id="t1", rights=rights)


class TestRights:
    POLICY = read_policy(POLICY)

    @pytest.mark.parametrize(
        ("rights", "verb", "role", "allowed"),
        [
            (("read:prod/**",), Verb.READ, "prod/a", True),
            (("read:prod/**",), Verb.READ, "prod", True),
            (("read:prod/**",), Verb.READ, "production", False),
            (("read:prod",), Verb.READ, "prod/a", False),
            (("read,kill:prod",), Verb.KILL, "prod", True),
            (("read:prod",), Verb.KILL, "prod", False),
            (("read:prod", "kill:dev"), Verb.KILL, "dev", True),
            (("*:prod",), Verb.SECRETS, "prod", True),
            (("*:prod/**",), Verb.POLICY, "", False),
            (("*:**",), Verb.POLICY, "", True),
            (("audit",), Verb.AUDIT, "", True),
            (("audit",), Verb.POLICY, "", False),
            ((SCRAPE,), Verb.READ, "prod", False),
            (SCRAPING, Verb.READ, "prod", True),
            (SCRAPING, Verb.READ_ENV, "prod", False),
            (("dance:prod", "read:prod"), Verb.READ, "prod", True),
            (("dance:**",), Verb.READ, "prod", False),
            ((), Verb.READ, "prod", False),
        ],
    )
    def test_no_more_than_they_say(
        self, rights: tuple[str, ...], verb: Verb, role: str, allowed: bool
    ) -> None:
        made = decide(self.POLICY, by_token(*rights), verb, role)
        assert made.allowed == allowed
        assert (made.rule is not None) == allowed, "a rule is named where it allows"
        if not allowed:
            assert "the access token t1 of operator/alice may not" in str(made.problem)
        if role:
            assert (role in roles_for(self.POLICY, by_token(*rights), verb)) == allowed

    def test_no_more_than_the_principal_may_now(self) -> None:
        everything = by_token("*:**", of=BOB)
        assert decide(self.POLICY, everything, Verb.READ, "prod/a").allowed
        for verb, role in ((Verb.READ, "dev"), (Verb.QUOTA, "prod"), (Verb.POLICY, "")):
            refused = decide(self.POLICY, everything, verb, role)
            assert "operator/bob may not" in str(refused.problem)
        assert roles_for(self.POLICY, everything, Verb.READ) == Roles(below=frozenset({"prod"}))
        taken_away = read_policy("allow: [{who: operator/alice, do: ['*'], role: '**'}]")
        assert not decide(taken_away, everything, Verb.READ, "prod/a").allowed

    def test_nothing_is_launched_without_the_right(self) -> None:
        asked = Asked(("app",))
        for rights, allowed in ((("launch:prod",), True), (("read:prod",), False)):
            caller = by_token(*rights)
            assert decide_launch(self.POLICY, caller, "prod", asked).allowed == allowed
            policy = read_policy(
                "allow: [{who: operator/alice, do: [launch], role: '**', as: {user: ['*'],"
                " images: ['', '*'], networks: ['*'], host_paths: [/], capabilities: ['*']}}]"
            )
            assert launches_anything(policy, caller, "prod") == allowed

    def test_who_may_in_no_role_by_it_hears_of_the_token(self) -> None:
        assert "its rights are read:prod" in denied(self.POLICY, by_token("read:prod"), Verb.KILL)
        assert "no rule" in denied(self.POLICY, by_token("*:**", of=BOB), Verb.QUOTA)

    def test_of_somebody_else_it_says_nothing(self, tokens: Tokens) -> None:
        caller = by_token("policy")
        assert tokens.queries.permits.can(caller, "operator/bob", "read", "prod").allowed
        assert not tokens.queries.permits.can(caller, "", "read", "prod").allowed
        me = tokens.queries.permits.who_am_i(caller)
        assert (me.access_token, [*me.rights], len(me.rules)) == ("t1", ["policy"], 1)
        assert tokens.queries.permits.who_am_i(ALICE).access_token == ""

    def test_rights_that_can_be(self) -> None:
        assert rights_problem(("read,logs:prod/**", "*:**", "agents,audit", "kill:*")) is None
        assert rights_problem((SCRAPE,)) is None
        assert read_right("*:prod").do == set(Verb)
        with pytest.raises(ValueError, match="no verb"):
            read_right(SCRAPE)


SETS = [
    Roles(),
    Roles(every=True),
    Roles(exact=frozenset({"a", "a/b"})),
    Roles(below=frozenset({"a"})),
    Roles(below=frozenset({"a/b"}), exact=frozenset({"c", "a"})),
    Roles(below=frozenset({"a/b/c", "c"})),
]


@pytest.mark.parametrize("one", SETS)
@pytest.mark.parametrize("other", SETS)
def test_what_is_in_two_sets_of_roles(one: Roles, other: Roles) -> None:
    both = one & other
    for role in ("a", "a/b", "a/b/c", "a/b/c/d", "a/x", "ab", "c", "c/d", "*"):
        assert (role in both) == (role in one and role in other), role
    assert bool(both) == one.overlaps(other)


class TestRelayed:
    def test_with_its_rights(self) -> None:
        caller = replace(by_token("read:prod", "audit"), via="http", ends_s=2e9)
        by = Caller("master/m2", Method.CERT)
        relayed = caller_from_proto(caller_to_proto(caller), by)
        assert relayed == replace(caller, relayed_by="master/m2")

    @pytest.mark.parametrize(
        "said",
        [
            masters_pb2.RelayedCaller(principal="operator/a", credential="token"),
            masters_pb2.RelayedCaller(principal="operator/a", credential="cert", rights=["x"]),
        ],
        ids=["a token without rights", "a certificate with some"],
    )
    def test_who_knows_no_rights_gets_none(self, said: masters_pb2.RelayedCaller) -> None:
        """As when a version before rights were would relay all of what the principal may."""
        with pytest.raises(CallError, match="of one version"):
            caller_from_proto(said, Caller("master/m2", Method.CERT))


class TestWritten:
    def test_each_is_another(self) -> None:
        made = {written.new_access_token() for _ in range(3)}
        assert len(made) == 3 and all(len(one) == len(written.PREFIX) + 43 for one in made)

    def test_what_a_header_shows(self) -> None:
        token = written.new_access_token()
        for header in (f"Bearer {token}", f"bearer   {token}"):
            assert written.shown_digest(header) == hashlib.sha256(token.encode()).digest()
        for header in (
            "", "Bearer", token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token[:-1]}",
            f"Bearer {token} ", f"Bearer {token[:-1]}\n", f"Bearer x{token}", f"Bearer {token}=",
        ):  # fmt: skip
            assert written.shown_digest(header) is None, header


def test_the_audit_names_the_token() -> None:
    caller = replace(by_token("read:prod"), via="http")
    line = json.loads(Entry(0.0, caller, "Operator.KillTask").line())
    assert (line["principal"], line["serial"], line["access_token"], line["via"]) == (
        "operator/alice", None, "t1", "http",
    )  # fmt: skip
    line = json.loads(Entry(0.0, replace(ALICE, via="grpc"), "Operator.KillTask").line())
    assert line["serial"] == "a1" and not {"access_token", "via"} & line.keys()
