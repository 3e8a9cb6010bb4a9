"""Webhooks on loopback: in order, until taken, signed, and no longer than their maker may read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from pymesos_core.caller import Caller, Method
from pymesos_core.outgoing import testing
from pymesos_core.tasks import beside
from pymesos_master import webhooks as sender
from pymesos_master.core import Config
from pymesos_master.core import effects as fx
from pymesos_master.core import events as ev
from pymesos_master.services.leading import Leadership
from pymesos_master.watching import Watching
from pymesos_master.webhooks import Webhooks
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_testing.http_cluster import (
    a_bit_of_everything,
    leadership_of,
    open_answering,
    post,
    post_json,
)
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.waiting import until

WANTED, OTHER = ClusterEvent.WEIGHT_SET, ClusterEvent.QUOTA_SET


class Receiver:
    """Takes requests, unless it is told to refuse some."""

    def __init__(self) -> None:
        self.url = ""
        self.refuse = 0
        self.took: list[tuple[Mapping[str, str], bytes]] = []
        self.refused: list[bytes] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if self.refuse:
            self.refuse -= 1
            self.refused.append(body)
            return web.Response(status=503)
        self.took.append((request.headers, body))
        return web.Response()

    @property
    def said(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.took]

    @property
    def messages(self) -> list[str]:
        return [event["message"] for said in self.said for event in said["events"]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = web.Server(made.handle)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/in"
    yield made
    listening.close()
    await server.shutdown(1)


class Cluster:
    def __init__(self, receiver: Receiver) -> None:
        self.h = a_bit_of_everything()
        self.h.feed(ev.OperatorRemovedWebhook(90, "hook"))
        self.number = 100
        self.set(receiver.url)
        self.leadership: Leadership = leadership_of(self.h)
        self.sender = Webhooks(self.leadership)
        self.leadership.webhook_problems = lambda: self.sender.problems
        self.leadership.test_webhook = self.sender.test

    def set(self, url: str) -> None:
        self.number += 1
        self.h.feed(ev.OperatorSetWebhook(self.number, "w", url, (WANTED,), ("eng", "db")))
        self.h.advance(0.01)
        assert self.h.problems[self.number] is None

    def publish(self, message: str, kind: ClusterEvent.Kind = WANTED) -> None:
        watching = self.leadership.here().watching
        watching.publish(fx.PublishEvent(1.0, kind, message=message))


@pytest.fixture
def cluster(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(sender, "LOOK_AGAIN_S", 0.02)
    monkeypatch.setattr(sender, "PACE_S", 0.02)
    monkeypatch.setattr(sender, "RETRY_S", (0.02, 0.02))
    return Cluster(receiver)


async def test_what_happens_is_sent_signed_until_it_is_taken(
    cluster: Cluster, receiver: Receiver
) -> None:
    async with beside(cluster.sender.run()):
        await until("it begins", lambda: receiver.took)
        assert receiver.said[0]["reset"] and not receiver.said[0]["events"]
        cluster.publish("one")
        cluster.publish("not wanted", OTHER)
        await until("one", lambda: receiver.messages == ["one"])
        receiver.refuse = 2
        cluster.publish("two")
        await until("it is refused", lambda: receiver.refused)
        cluster.publish("three")
        await until("all", lambda: receiver.messages == ["one", "two", "three"])
    assert len({*receiver.refused, receiver.took[2][1]}) == 1, "the same again"
    ids = [event["id"] for said in receiver.said for event in said["events"]]
    assert ids == ["7-1", "7-3", "7-4"] and not any(said["reset"] for said in receiver.said[1:])
    headers, body = receiver.took[1]
    signed = headers["Pymesos-Timestamp"].encode() + b"." + body
    assert headers["Pymesos-Signature"] == (
        f"sha256={hmac.new(b'hidden', signed, hashlib.sha256).hexdigest()}"
    )


async def test_a_new_leader_says_that_something_may_be_missing(
    cluster: Cluster, receiver: Receiver
) -> None:
    async with beside(cluster.sender.run()):
        await until("it begins", lambda: receiver.took)
        leader = cluster.leadership.here()
        leader.watching.close()
        cluster.leadership.leader = None
        await asyncio.sleep(0.1)
        assert len(receiver.took) == 1, "it leads no more"
        state, watch = cluster.h.core.state, cluster.h.core.watch
        later = SimpleNamespace(**vars(leader))
        later.watching = Watching(8, state, watch)
        cluster.leadership.leader = cast(Any, later)
        await until("it begins anew", lambda: len(receiver.took) == 2)
        cluster.publish("one")
        await until("one", lambda: receiver.messages)
    assert [said["reset"] for said in receiver.said] == [True, True, False]
    assert [said["cursor"] for said in receiver.said] == ["7-0", "8-0", "8-1"]


async def test_what_is_given_up_is_said_to_be_missing(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "GIVE_UP_S", 0.0)
    async with beside(cluster.sender.run()):
        await until("it begins", lambda: receiver.took)
        receiver.refuse = 1
        cluster.publish("one")
        await until("it is given up", lambda: receiver.refused)
        assert "status 503" in cluster.sender.problems["w"]
        cluster.publish("two")
        await until("two", lambda: receiver.messages == ["two"])
    assert receiver.said[1]["reset"] and not cluster.sender.problems


async def test_one_that_is_changed_or_removed_is_sent_nothing_more(
    cluster: Cluster, receiver: Receiver
) -> None:
    async with beside(cluster.sender.run()):
        await until("it begins", lambda: receiver.took)
        cluster.set(f"{receiver.url}/other")
        await until("it begins anew", lambda: len(receiver.took) == 2)
        cluster.h.feed(ev.OperatorRemovedWebhook(50, "w"))
        cluster.h.advance(0.01)
        await asyncio.sleep(0.1)
        cluster.publish("one")
        await asyncio.sleep(0.1)
        assert not receiver.messages


async def test_no_more_is_sent_than_its_maker_may_read(receiver: Receiver) -> None:
    allow = (
        "allow:\n- {who: operator/a, do: [read], role: eng}\n"
        "- {who: operator/a, do: [policy], role: '**'}\n"
    )
    h = MasterHarness(Config(seed_policy=allow))
    maker = Caller("operator/a", Method.CERT)
    h.feed(ev.OperatorSetWebhook(1, "w", receiver.url, (WANTED,), caller=maker))
    h.advance(0.01)
    assert h.problems[1] is None
    leadership = leadership_of(h)
    watching, sending = leadership.here().watching, Webhooks(leadership)

    def publish(role: str) -> None:
        watching.publish(fx.PublishEvent(1.0, WANTED, message=role, roles=(role,)))

    async with beside(sending.run()):
        await until("it begins", lambda: receiver.took)
        publish("ops")
        publish("eng")
        await until("what it may", lambda: receiver.messages == ["eng"])
        h.feed(ev.OperatorRevoked(2, "operator/a"))
        h.advance(0.01)
        publish("eng")
        await until("it is said", lambda: "is revoked" in sending.problems.get("w", ""))
    assert receiver.messages == ["eng"]


async def test_a_test_says_what_came_of_it(
    cluster: Cluster, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = open_answering(cluster.leadership)
    asked = {"name": "w"}
    assert await post_json(answering, "/v1/webhooks/test", asked) == {"problem": None}
    assert receiver.said[0]["test"] and receiver.took[0][0]["Pymesos-Signature"]
    refused = await post(answering, "/v1/webhooks/test", asked)
    assert refused.status == 429 and len(receiver.took) == 1, "one in 10 s"
    monkeypatch.setattr(testing, "EVERY_S", 0.0)
    cluster.leadership.test_webhook = Webhooks(cluster.leadership).test
    receiver.refuse = 1
    said = await post_json(answering, "/v1/webhooks/test", asked)
    assert said == {"problem": "it answered with status 503"}
