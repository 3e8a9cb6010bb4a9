"""Webhooks: who may have what sent where, and how a receiver knows who sent it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.resolver import ThreadedResolver

from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.outgoing.targets import CheckedResolver, address_problem, url_problem
from pymesos_core.security.secrets import Keyring
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.core.records import WEBHOOK, WebhookRecord
from pymesos_master.webhooks import signed
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.master_harness import MasterHarness

KINDS = (ClusterEvent.TASK_UPDATED, ClusterEvent.AGENT_UNREACHABLE)
URL = "https://hooks.example.org/in"
KEYRING = Keyring([b"k" * 32])


class Cluster:
    def __init__(self, config: Config | None = None) -> None:
        self.h = MasterHarness(config or Config())
        self._number = 0

    def ask(self, make: Any, *arguments: Any, **more: Any) -> Problem | None:
        self._number += 1
        self.h.feed(make(self._number, *arguments, **more))
        self.h.advance(0.01)
        return self.h.problems.get(self._number)

    def set(self, name: str = "hook", caller: Caller = NOBODY, **more: Any) -> Problem | None:
        said: dict[str, Any] = {"url": URL, "kinds": KINDS, "caller": caller} | more
        return self.ask(ev.OperatorSetWebhook, name, **said)

    @property
    def webhooks(self) -> dict[str, WebhookRecord]:
        return self.h.core.state.webhooks()


def message(problem: Problem | None) -> str:
    assert problem is not None
    return problem.message


def test_one_is_set_replaced_kept_by_the_next_leader_and_removed() -> None:
    cluster = Cluster()
    assert cluster.set() is None and cluster.set("b", link_local=True) is None
    assert cluster.set(url="http://other", kinds=KINDS[:1]) is None
    assert cluster.webhooks["hook"].url == "http://other"
    before = cluster.webhooks
    cluster.h = MasterHarness(registry=cluster.h.registry)
    assert cluster.webhooks == before and before["b"].link_local
    assert cluster.ask(ev.OperatorRemovedWebhook, "hook") is None
    assert set(cluster.webhooks) == {"b"}
    assert "there is no webhook 'hook'" in message(cluster.ask(ev.OperatorRemovedWebhook, "hook"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": ""}, "'' is no name of a webhook"),
        ({"name": "a/b"}, "no name of a webhook"),
        ({"kinds": ()}, "at least one kind"),
        ({"kinds": (9999,)}, "at least one kind"),
        ({"secret": ("eng", "db")}, "eng has no secret 'db'"),
    ],
)
def test_what_cannot_be_is_refused(more: dict[str, Any], words: str) -> None:
    cluster = Cluster()
    assert words in message(cluster.set(**more)) and not cluster.webhooks


def test_there_are_few_of_them() -> None:
    cluster = Cluster()
    for number in range(20):
        assert cluster.set(f"hook{number}") is None
    assert "at most 20 are accepted: remove some" in message(cluster.set("one-more"))
    assert cluster.set("hook7") is None, "in the place of another"


def test_who_has_requests_signed_may_use_the_secret() -> None:
    policy = (
        "allow:\n- {who: operator/a, do: [policy], role: '**'}\n"
        "- {who: operator/b, do: [policy, secrets], role: '**'}\n"
    )
    cluster = Cluster(Config(seed_policy=policy))
    a, b = (Caller(f"operator/{name}", Method.CERT) for name in "ab")
    sealed = KEYRING.seal("eng", "db", b"value")
    assert cluster.ask(ev.OperatorSetSecret, "eng", "db", sealed, b) is None
    assert "operator/a may not use secrets in the role eng" in message(
        cluster.set(caller=a, secret=("eng", "db"))
    )
    assert cluster.set(caller=a) is None and cluster.set(caller=b, secret=("eng", "db")) is None
    assert cluster.webhooks["hook"].set_by == "operator/b"


def test_an_access_token_sets_none() -> None:
    """The rights of a token would not bind what is sent, which would outlive it, too."""
    policy = "allow:\n- {who: operator/a, do: [policy], role: '**'}\n"
    cluster = Cluster(Config(seed_policy=policy))
    by_cert = Caller("operator/a", Method.CERT)
    by_token = replace(by_cert, method=Method.TOKEN, credential_id="t1", rights=("policy",))
    assert cluster.set(caller=by_cert) is None
    problem = cluster.set(caller=by_token, url="http://other")
    assert problem is not None and problem.kind is ProblemKind.DENIED
    assert "webhooks are set with a certificate" in problem.message
    assert cluster.webhooks["hook"].url == URL
    assert cluster.ask(ev.OperatorRemovedWebhook, "hook", by_token) is None, "which it may"


def test_a_record_that_cannot_be_is_set_aside() -> None:
    h = MasterHarness(registry={(WEBHOOK, "hook"): b"", (WEBHOOK, "a/b"): b""})
    assert not h.core.state.webhooks()
    assert set(h.core.state.quarantined) == {(WEBHOOK, "hook"), (WEBHOOK, "a/b")}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.org/a?b=c", None),
        ("http://127.0.0.1:8080", None),
        ("http://[::1]/", None),
        ("ftp://example.org", "no URL that begins with http"),
        ("file:///etc/passwd", "no URL that begins with http"),
        ("http://", "no URL"),
        ("http://a b/", "no URL"),
        ("http://exämple.org", "no URL"),
        ("http://a:99999/", "no URL"),
        ("http://a:0/", "no URL"),
        ("http://a\r\nHost: b/", "no URL"),
        ("http://user:password@a/", "a user or a fragment"),
        ("http://a/" + "x" * 3000, "at most 2048"),
        ("http://169.254.169.254/latest", "of this machine's link"),
        ("http://[fe80::1]/", "of this machine's link"),
        ("http://[::ffff:169.254.169.254]/", "of this machine's link"),
        ("http://[64:ff9b::169.254.169.254]/", "of this machine's link"),
        ("http://[64:ff9b::10.0.0.1]/", None),
        ("http://[::169.254.169.254]/", "of this machine's link"),
        ("http://[2002:a9fe:a9fe::1]/", "of this machine's link"),
        ("http://[2002:6464:64c8::1]/", "tells a machine its credentials"),
        ("http://[2002:a00:1::1]/", None),
        ("http://[2001:0:a00:1::5601:5601]/", "of this machine's link"),
        ("http://[2001:0:a9fe:a9fe::f5ff:fffe]/", "of this machine's link"),
        ("http://[2001:0:a00:1::f5ff:fffe]/", None),
        ("http://[fd00:ec2::254]/", "tells a machine its credentials"),
        ("http://0.0.0.0/", "of this machine's link"),
        ("http://[64:ff9b:1::169.254.169.254]/", "of this machine's link"),
        ("http://[::ffff:0:169.254.169.254]/", "of this machine's link"),
        ("http://2852039166/", "an IPv4 address has four numbers"),
        ("http://0251.0376.0251.0376/", "an IPv4 address has four numbers"),
        ("http://10.43518/", "an IPv4 address has four numbers"),
        ("http://0xa9fea9fe/", "an IPv4 address has four numbers"),
        ("http://127.0.0.1./", "an IPv4 address has four numbers"),
        ("http://1.2.3.4.5/", "an IPv4 address has four numbers"),
        ("http://10.example.org:80/", None),
        ("http://0xa9.example/", None),
    ],
)
def test_where_it_may_be_sent(url: str, words: str | None) -> None:
    problem = url_problem(url, link_local=False)
    assert problem is None if words is None else words in (problem or ""), problem
    if "169.254" in url:
        assert url_problem(url, link_local=True) is None


async def test_a_name_is_looked_at_when_it_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was when it was given: who owns it may change it."""
    hosts = ["169.254.169.254", "10.0.0.1"]

    async def resolve(self: Any, host: str, port: int, family: Any) -> list[dict[str, Any]]:
        return [{"host": one, "port": port} for one in hosts]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    resolver = CheckedResolver()
    found = await resolver.resolve("a.example", 80, socket.AF_INET)
    assert [one["host"] for one in found] == ["10.0.0.1"]
    hosts.pop()
    with pytest.raises(OSError, match="no address that may be sent to"):
        await resolver.resolve("a.example", 80)
    await resolver.close()
    await asyncio.sleep(0)
    assert address_problem("a.example") is None


def test_a_receiver_knows_who_sent_it_and_when() -> None:
    headers = signed(b"body", b"secret", 1_767_225_600.9)
    assert headers["Pymesos-Timestamp"] == "1767225600"
    wanted = hmac.new(b"secret", b"1767225600.body", hashlib.sha256).hexdigest()
    assert headers["Pymesos-Signature"] == f"sha256={wanted}"
    assert "Pymesos-Signature" not in signed(b"body", None, 1.0)
