"""Browsers that sign in: with a code, once, on any master, and what their sessions are good for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pymesos_core.caller import Caller, Method
from pymesos_core.security.access_tokens import (
    CSRF_COOKIE,
    SESSION_COOKIE,
    csrf_token,
    new_access_token,
    new_session,
    shown_session,
)
from pymesos_core.security.audit import Entry
from pymesos_core.security.rights import SESSION, SIGN_IN
from pymesos_core.transport import CallError
from pymesos_master.core import enrolment, revocations
from pymesos_master.core import events as ev
from pymesos_master.core.access_tokens import ID_LENGTH
from pymesos_master.core.records import ACCESS_TOKEN
from pymesos_master.core.sessions import MOST_SESSIONS, NO_CODE, SESSION_S
from pymesos_master.core.webhooks import BY_CERTIFICATE
from pymesos_master.http.answering import Admitted, Answer, Answering, Request
from pymesos_master.http.sessions import MOST_RANGES, MOST_WRONG, WRONG_PER_S, Guesses, range_of
from pymesos_master.services.access_tokens import NOT_GOOD
from pymesos_testing.http_cluster import post_json
from pymesos_testing.http_masters import Cluster
from pymesos_testing.master_harness import MasterHarness

POLICY = """
allow:
- {who: operator/alice, do: ["*"], role: "**"}
- {who: operator/bob, do: [read], role: eng}
"""
ALICE, BOB = ({"peer_uri": [who]} for who in (b"operator/alice", b"operator/bob"))
BOTH = pytest.mark.parametrize("where", ["leader", "follower"])
WEIGHT = {"role": "eng", "weight": 2}


def gate(method: str, peer: str, authentication: Mapping[str, Any]) -> Caller:
    who = next(iter(authentication["peer_uri"])).decode()
    return Caller(who, Method.CERT, "1", peer, "grpc")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(gate, POLICY)


async def ask(
    at: Answering, method: str, target: str, headers: Mapping[str, str], body: Any = None, **of: Any
) -> Answer:
    """As the server does."""
    sent = json.dumps(body if body is not None else {}).encode() if method == "POST" else b""
    asked = {"content-type": "application/json", "content-length": str(len(sent)), **headers}
    request = Request(
        method, target, "any", "ipv4:10.0.0.9", has_body=bool(sent), headers=asked, **of
    )
    admitted = at.admit(request)
    if isinstance(admitted, Admitted) and admitted.token:
        admitted = await at.identified(admitted)
    return admitted if isinstance(admitted, Answer) else await at.answer(admitted, sent)


class Browser:
    """A browser, which keeps cookies; its page sends the token against forged requests."""

    def __init__(self, at: Answering) -> None:
        self.at = at
        self.jar: dict[str, str] = {}

    def headers(self, *, csrf: bool = True) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        said = {"cookie": f"theme=dark; {cookies}"}
        if csrf and CSRF_COOKIE in self.jar:
            said["pymesos-csrf"] = self.jar[CSRF_COOKIE]
        return said

    async def ask(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        answer = await ask(self.at, method, target, self.headers(), body)
        self.take(answer)
        return answer.status, json.loads(answer.body)

    async def sign_in(self, code: Mapping[str, str]) -> Answer:
        answer = await ask(self.at, "POST", "/v1/sign-in", {**self.headers(), **code})
        self.take(answer)
        return answer

    def take(self, answer: Answer) -> None:
        for cookie in answer.cookies:
            said, *kept = cookie.split("; ")
            name, _, value = said.partition("=")
            assert {"Path=/", "Secure", "SameSite=Strict"} <= set(kept)
            assert ("HttpOnly" in kept) == (name == SESSION_COOKIE)
            if "Max-Age=0" in kept:
                self.jar.pop(name, None)
            else:
                assert f"Max-Age={int(SESSION_S)}" in kept
                self.jar[name] = value


async def signed_in(cluster: Cluster, where: str = "leader", who: Any = ALICE) -> Browser:
    browser = Browser(getattr(cluster, where))
    assert (await browser.sign_in(await cluster.make_token(who, SIGN_IN))).status == 200
    return browser


@BOTH
async def test_it_is_who_made_the_code_on_every_master(cluster: Cluster, where: str) -> None:
    browser = await signed_in(cluster, where)
    for browser.at in (cluster.leader, cluster.follower):
        status, me = await browser.ask("GET", "/v1/whoami")
        assert (status, me["principal"], me["access_token"]["rights"]) == (
            200,
            "operator/alice",
            [],
        )
        assert (await browser.ask("POST", "/v1/weights/set", WEIGHT))[0] == 200
    line = json.loads(cluster.h.audited[-1].line())
    assert (line["principal"], line["session"], line["via"], line["serial"]) == (
        "operator/alice", me["access_token"]["id"], "http", None,
    )  # fmt: skip


@BOTH
async def test_a_code_is_good_once(cluster: Cluster, where: str) -> None:
    code = await cluster.make_token(ALICE, SIGN_IN)
    first, second = Browser(getattr(cluster, where)), Browser(cluster.leader)
    begun = await first.sign_in(code)
    assert (begun.status, json.loads(begun.body)) == (200, {"lifetime_s": SESSION_S})
    again = await second.sign_in(code)
    assert again.status == 401 and not again.cookies
    assert json.loads(again.body)["error"]["message"] == NOT_GOOD
    assert (await first.ask("GET", "/v1/agents"))[0] == 200, "the first stays signed in"


@BOTH
async def test_a_code_is_good_for_nothing_else(cluster: Cluster, where: str) -> None:
    code, at = await cluster.make_token(ALICE, SIGN_IN), getattr(cluster, where)
    for method, path in (
        ("GET", "/v1/agents"), ("GET", "/v1/whoami"), ("GET", "/v1/sd"),
        ("POST", "/v1/weights/set"), ("POST", "/v1/access-tokens/revoke"),
    ):  # fmt: skip
        answer = await ask(at, method, path, code)
        assert answer.status == 403 and b"a code to sign in with" in answer.body, path


async def test_a_code_that_has_ended_or_was_revoked(cluster: Cluster) -> None:
    ended, revoked = [await cluster.make_token(ALICE, SIGN_IN) for _ in range(2)]
    token = revoked["authorization"].partition(" ")[2]
    named = {"id": hashlib.sha256(token.encode()).hexdigest()[:ID_LENGTH]}
    await post_json(cluster.leader, "/v1/access-tokens/revoke", named, authentication=ALICE)
    assert (await Browser(cluster.leader).sign_in(revoked)).status == 401
    cluster.h.advance(61)  # the harness gives codes a minute
    assert (await Browser(cluster.leader).sign_in(ended)).status == 401


async def test_only_a_code_signs_in(cluster: Cluster) -> None:
    token = await cluster.make_token(ALICE, "*:**")
    browser = await signed_in(cluster)
    by_certificate = await ask(cluster.leader, "POST", "/v1/sign-in", {}, authentication=ALICE)
    for answer in (
        await Browser(cluster.leader).sign_in(token), await browser.sign_in({}), by_certificate,
    ):  # fmt: skip
        assert answer.status == 403 and not answer.cookies
        assert json.loads(answer.body)["error"]["message"] == NO_CODE


@BOTH
async def test_who_guesses_has_to_wait(cluster: Cluster, where: str) -> None:
    at = getattr(cluster, where)
    for _ in range(MOST_WRONG):
        wrong = {"authorization": f"Bearer {new_access_token()}"}
        assert (await Browser(at).sign_in(wrong)).status == 401
    waits = await Browser(at).sign_in({"authorization": f"Bearer {new_access_token()}"})
    assert waits.status == 429 and b"10 codes were wrong: wait for" in waits.body
    good = await cluster.make_token(ALICE, SIGN_IN)
    behind_the_same_proxy = await Browser(cluster.leader).sign_in(good)
    assert behind_the_same_proxy.status == 200, "the leader knows that it is a good one"
    good = await cluster.make_token(ALICE, SIGN_IN)
    assert (await ask(at, "GET", "/v1/agents", {}, authentication=ALICE)).status == 200
    other = Request("POST", "/v1/sign-in", "any", "ipv4:10.0.0.10", headers={
        "content-type": "application/json", **good,
    })  # fmt: skip
    assert isinstance(at.admit(other), Admitted), "another address need not"


def test_of_guesses_little_is_kept() -> None:
    now_s = 0.0
    guesses = Guesses(lambda: now_s)
    for _ in range(MOST_WRONG):
        guesses.check("a")
        guesses.wrong("a")
    with pytest.raises(CallError, match="wait for 60 s"):
        guesses.check("a")
    now_s = WRONG_PER_S
    guesses.check("a")
    guesses.wrong("a")
    guesses.check("a")
    for number in range(MOST_RANGES + 5):
        guesses.wrong(str(number))
    assert len(guesses._wrong) == MOST_RANGES


@pytest.mark.parametrize(
    ("peer", "counted"),
    [
        ("ipv4:10.0.0.9", "10.0.0.9"),
        ("ipv6:%5B::ffff:10.0.0.9%5D", "10.0.0.9"),
        ("ipv6:%5B2001:db8:1:2:3:4:5:6%5D", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2::9%5D", "2001:db8:1:2::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D", "fe80::/64"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_who_has_a_range_of_addresses_counts_once(peer: str, counted: str) -> None:
    assert range_of(peer) == counted


async def test_all_are_told_of_revocations_only_where_a_session_was_ended(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[None] = []
    monkeypatch.setattr(revocations, "tell_all", lambda ctx: told.append(None))
    for _ in range(MOST_SESSIONS):
        await signed_in(cluster)
    assert not told
    await signed_in(cluster)
    assert len(told) == 1, "the oldest session was ended"


@pytest.mark.parametrize("said", [None, "", "x", "other", "\u00fc"])
async def test_a_forged_request_changes_nothing(cluster: Cluster, said: str | None) -> None:
    browser = await signed_in(cluster)
    headers = browser.headers(csrf=False)
    if said is not None:
        headers["pymesos-csrf"] = csrf_token(new_session()) if said == "other" else said
    seen = len(cluster.h.audited)
    for path, body in (("/v1/weights/set", WEIGHT), ("/v1/sign-out", {})):
        answer = await ask(cluster.leader, "POST", path, headers, body)
        assert answer.status == 403 and b"Pymesos-Csrf" in answer.body
    assert len(cluster.h.audited) == seen
    assert (await ask(cluster.leader, "GET", "/v1/agents", headers)).status == 200


async def test_a_page_of_elsewhere_changes_nothing_even_with_the_token(cluster: Cluster) -> None:
    browser = await signed_in(cluster)
    for more in ({"origin": "https://evil.example"}, {"sec-fetch-site": "same-site"}):
        headers = {**browser.headers(), **more}
        answer = await ask(cluster.leader, "POST", "/v1/weights/set", headers, WEIGHT)
        assert answer.status == 403 and b"of another site" in answer.body


async def test_a_socket_is_opened_by_the_page_alone(cluster: Cluster) -> None:
    browser = await signed_in(cluster)
    headers = {**browser.headers(), "upgrade": "websocket"}
    path = "/v1/tasks/t/exec"
    answer = await ask(cluster.leader, "GET", path, headers)
    assert answer.status == 403 and b"no header Origin" in answer.body
    evil = {**headers, "origin": "https://evil.example"}
    answer = await ask(cluster.leader, "GET", path, evil)
    assert answer.status == 403 and b"of another site" in answer.body
    own = Request("GET", path, "any", "ipv4:10.0.0.9", headers={**headers, "origin": "https://any"})
    admitted = cluster.leader.admit(own)
    assert isinstance(admitted, Admitted) and admitted.caller.principal == "operator/alice"


@BOTH
async def test_who_signs_out_is_out_everywhere(cluster: Cluster, where: str) -> None:
    browser, other = await signed_in(cluster, where), await signed_in(cluster)
    stolen = browser.headers()
    assert await browser.ask("POST", "/v1/sign-out") == (200, {})
    assert not browser.jar
    for at in (cluster.leader, cluster.follower):
        assert (await ask(at, "GET", "/v1/agents", stolen)).status == 401
    assert (await other.ask("GET", "/v1/agents"))[0] == 200
    token = await cluster.make_token(ALICE, "*:**")
    refused = await ask(cluster.leader, "POST", "/v1/sign-out", token)
    assert refused.status == 409, "a program has nothing to sign out of"


@BOTH
async def test_a_session_ends_by_its_time(cluster: Cluster, where: str) -> None:
    browser = await signed_in(cluster, where)
    cluster.h.advance(SESSION_S - 1)
    assert (await browser.ask("GET", "/v1/agents"))[0] == 200
    cluster.h.advance(1)
    assert (await browser.ask("GET", "/v1/agents"))[0] == 401


@BOTH
async def test_a_session_ends_with_its_principal(cluster: Cluster, where: str) -> None:
    browser = await signed_in(cluster, where, BOB)
    assert (await browser.ask("GET", "/v1/tasks"))[0] == 200
    assert (await browser.ask("POST", "/v1/weights/set", WEIGHT))[0] == 403, "bob reads only"
    cluster.h.feed(ev.OperatorRevoked(77, "operator/bob"))
    status, said = await browser.ask("GET", "/v1/tasks")
    assert (status, said["error"]["message"]) == (401, NOT_GOOD)


async def test_a_session_is_listed_and_revoked_like_a_token(cluster: Cluster) -> None:
    browser = await signed_in(cluster)
    [seen] = (await browser.ask("GET", "/v1/access-tokens"))[1]["access_tokens"]
    assert seen["rights"] == [SESSION]
    named = {"id": seen["id"]}
    await post_json(cluster.leader, "/v1/access-tokens/revoke", named, authentication=ALICE)
    assert (await browser.ask("GET", "/v1/agents"))[0] == 401
    assert seen["id"] in cluster.h.core.state.revoked(), "what it has open ends"


async def test_a_session_makes_nothing_that_outlives_it(cluster: Cluster) -> None:
    browser = await signed_in(cluster)
    made = {"digest": "a" * 64, "lifetime_s": 60, "rights": ["*:**"]}
    status, said = await browser.ask("POST", "/v1/access-tokens/make", made)
    assert status == 403 and "none makes another" in said["error"]["message"]
    hook = {"name": "h", "url": "https://example.org/", "kinds": ["task_added"]}
    status, said = await browser.ask("POST", "/v1/webhooks/set", hook)
    assert (status, said["error"]["message"]) == (403, BY_CERTIFICATE)
    joins = {"digest": "a" * 64, "principal": "operator/alice", "lifetime_s": 60}
    status, said = await browser.ask("POST", "/v1/join-tokens/make", joins)
    assert (status, said["error"]["message"]) == (403, enrolment.BY_CERTIFICATE)


async def test_an_access_token_lets_nobody_join(cluster: Cluster) -> None:
    """Who joins has a certificate that is renewed, by which he may more than the token may."""
    headers = await cluster.make_token(ALICE, "*:**")
    joins = {"digest": "a" * 64, "principal": "operator/alice", "lifetime_s": 60}
    answer = await ask(cluster.leader, "POST", "/v1/join-tokens/make", headers, joins)
    assert answer.status == 403 and enrolment.BY_CERTIFICATE in answer.body.decode()
    await post_json(cluster.leader, "/v1/join-tokens/make", joins, authentication=ALICE)


async def test_the_oldest_of_too_many_ends(cluster: Cluster) -> None:
    bob = await signed_in(cluster, who=BOB)
    browsers = []
    for _ in range(MOST_SESSIONS):
        browsers.append(await signed_in(cluster))
        cluster.h.advance(1)
    assert (await browsers[0].ask("GET", "/v1/agents"))[0] == 200
    browsers.append(await signed_in(cluster))
    statuses = [(await one.ask("GET", "/v1/agents"))[0] for one in [*browsers, bob]]
    assert statuses == [401, *[200] * MOST_SESSIONS, 200]


@pytest.mark.parametrize(
    ("rights", "lifetime_s", "words"),
    [
        ((SIGN_IN, "read:**"), 60, "sign-in is for a token that has no other right"),
        ((SIGN_IN,), 601, "1 s to 10 min"),
        ((SESSION,), 60, "'session' is no verb"),
    ],
)
def test_what_no_code_can_be(rights: tuple[str, ...], lifetime_s: float, words: str) -> None:
    h = MasterHarness()
    alice = Caller("operator/alice", Method.CERT, "a1", "ipv4:10.0.0.1")
    h.feed(ev.OperatorMadeAccessToken(1, "a" * 64, "", lifetime_s, rights, alice))
    assert words in str(h.answers[1])


def test_two_who_use_a_code_at_once_are_one_signed_in() -> None:
    h = MasterHarness()
    alice = Caller("operator/alice", Method.CERT, "a1", "ipv4:10.0.0.1")
    h.feed(ev.OperatorMadeAccessToken(1, "a" * 64, "", 60.0, (SIGN_IN,), alice))
    code = replace(alice, method=Method.TOKEN, credential_id="a" * ID_LENGTH, rights=(SIGN_IN,))
    h.feed(ev.OperatorSignedIn(2, "b" * 64, code))
    h.feed(ev.OperatorSignedIn(3, "c" * 64, code))
    assert (h.answers[2], h.answers[3]) == (None, NO_CODE)
    assert [key for kind, key in h.registry if kind == ACCESS_TOKEN] == ["b" * ID_LENGTH]


def test_which_cookie_is_a_session() -> None:
    session = new_session()
    for cookies in (
        f"{SESSION_COOKIE}={session}", f"a=b; {SESSION_COOKIE}={session}; c=d",
        f"a=b;{SESSION_COOKIE}={session}",
    ):  # fmt: skip
        assert shown_session(cookies) == session
    for cookies in (
        "", session, f"{SESSION_COOKIE}={session}x", f"x{SESSION_COOKIE}={session}",
        f"{SESSION_COOKIE}={new_access_token()}", f"{SESSION_COOKIE}=\"{session}\"",
        f"{CSRF_COOKIE}={session}",
    ):  # fmt: skip
        assert shown_session(cookies) == "", cookies


def test_the_audit_names_the_session() -> None:
    by = Caller("operator/alice", Method.SESSION, "s1", "", "http")
    line = json.loads(Entry(0.0, by, "Operator.KillTask").line())
    assert (line["session"], line["serial"]) == ("s1", None) and "access_token" not in line
