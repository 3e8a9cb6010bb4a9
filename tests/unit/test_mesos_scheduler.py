"""The endpoint of Mesos' schedulers: whose call it is, and where the leader is."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Response

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.crossing import names_of
from pymesos_core.mesos import http as mesos_http
from pymesos_core.mesos.json_messages import from_json, to_object
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.statuses import Places
from pymesos_master.mesos import server as mesos_server
from pymesos_master.mesos.authenticating import Authenticator, read_anonymous
from pymesos_master.mesos.frameworks import Format
from pymesos_master.mesos.redirecting import Redirecting
from pymesos_master.mesos.rules.operations import Asking
from pymesos_master.mesos.scheduler import LARGE_BYTES, Done, Scheduler, _asking
from pymesos_master.mesos.server import MesosServer, _route
from pymesos_master.mesos.subscriptions import Direct
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.mesos_scheduling import (
    CALLER,
    HERE,
    ME,
    bare_server,
    scheduler,
    subscription,
)

BASIC = "Basic " + base64.b64encode(b"a:b").decode()


def test_who_asks_for_operations_is_known_by_the_offer() -> None:
    harness = MasterHarness()
    agent = harness.agent("cpus:4")
    connection = harness.subscribe(name="n", roles=["eng"])
    leader = cast(Leader, SimpleNamespace(core=SimpleNamespace(state=harness.core.state)))
    framework_id, agent_id = harness.framework_id(connection), harness.agent_id(agent)
    harness.advance(0.1)
    (offer,) = harness.core.state.frameworks[framework_id].offers.values()

    def asking(offer_id: str, kind: str) -> Asking | None:
        accept = {"offer_ids": [{"value": offer_id}], "operations": [{"type": kind}]}
        said = call(type="ACCEPT", framework_id={"value": framework_id}, accept=accept)
        return _asking(leader, said)

    found = asking(offer.offer_id, "RESERVE")
    assert found is not None and found.agent.startswith(f"{agent_id} at slave(1)@")
    assert (found.framework_id, found.principal, found.role) == (framework_id, "", "eng")
    assert not found.may_share
    assert asking(offer.offer_id, "LAUNCH") is None, "of which nothing is looked at"
    assert asking("no such", "RESERVE") is None, "which the core drops"


@pytest.mark.parametrize(
    ("known", "status", "location"),
    [
        (None, 503, None),
        (ME, 503, None),
        (MasterInfo("other", HostPort("10.0.0.2", 5050)), 503, None),
        (
            MasterInfo("other", HostPort("10.0.0.2", 5050), mesos=HostPort("10.0.0.2", 5055)),
            307,
            "//10.0.0.2:5055/api/v1/scheduler",
        ),
    ],
)
def test_who_does_not_lead_says_where_the_leader_is(
    known: MasterInfo | None, status: int, location: str | None
) -> None:
    with pytest.raises(RefusalError) as refused:
        redirecting = Redirecting(Leadership(ME, known_leader=lambda: known), HERE)
        redirecting.leader("/api/v1/scheduler")
    assert refused.value.status == status
    assert refused.value.headers.get("Location") == location


# Whose call it is.


def call(**said: Any) -> mesos_scheduler.Call:
    return from_json({"framework_id": {"value": "f"}} | said, mesos_scheduler.Call)


def known(framework_id: str = "") -> tuple[Scheduler, Leader, str]:
    """A leader with a framework that has subscribed."""
    harness = MasterHarness()
    connection = harness.subscribe(name="n")
    core = SimpleNamespace(state=harness.core.state)
    leader = cast(Leader, SimpleNamespace(core=core))
    return scheduler(), leader, framework_id or harness.framework_id(connection)


async def refused(
    which: Scheduler, leader: Leader, said: mesos_scheduler.Call, headers: dict[str, str], **by: Any
) -> tuple[int, str]:
    with pytest.raises(RefusalError) as error:
        await which.call(leader, said, headers, by.get("caller", CALLER))
    return error.value.status, error.value.text


async def test_calls_of_others_are_refused() -> None:
    which, leader, framework_id = known()
    revive = call(type="REVIVE", framework_id={"value": framework_id})
    unknown = call(type="REVIVE", framework_id={"value": "nobody"})
    headers = {"Mesos-Stream-Id": "stream-1"}
    assert await refused(which, leader, unknown, headers) == (400, "Framework cannot be found")
    assert await refused(which, leader, revive, headers) == (403, "Framework is not subscribed")
    mine, connection = subscription()
    which._subscriptions[framework_id] = mine
    other = Caller("framework/b", Method.BASIC, peer=CALLER.peer)
    assert (await refused(which, leader, revive, headers, caller=other))[0] == 403
    assert (await refused(which, leader, revive, {}))[0] == 400
    status, text = await refused(which, leader, revive, {"Mesos-Stream-Id": "x" * 999})
    assert status == 400 and "didn't match" in text and len(text) < 500
    assert connection.fed == []
    done = await which.call(leader, revive, headers, CALLER)
    assert done.status == 202
    (fed,) = connection.fed
    assert fed.call.WhichOneof("call") == "revive" and fed.caller == CALLER


async def test_after_a_teardown_the_framework_is_not_found() -> None:
    which, leader, framework_id = known()
    mine, _ = subscription()
    which._subscriptions[framework_id] = mine
    headers = {"Mesos-Stream-Id": "stream-1"}
    teardown = call(type="TEARDOWN", framework_id={"value": framework_id})
    assert (await which.call(leader, teardown, headers, CALLER)).status == 202
    assert await refused(which, leader, teardown, headers) == (400, "Framework cannot be found")


async def test_what_the_core_is_not_asked_is_told_in_order() -> None:
    which, leader, framework_id = known()
    mine, connection = subscription()
    which._subscriptions[framework_id] = mine
    said = {"operations": [{"operation_id": {"value": "x"}}]}
    asked = call(
        type="RECONCILE_OPERATIONS",
        framework_id={"value": framework_id},
        reconcile_operations=said,
    )
    await which.call(leader, asked, {"Mesos-Stream-Id": "stream-1"}, CALLER)
    assert connection.fed == []
    (waiting,) = await connection.outbox.batch() or []
    assert isinstance(waiting, Direct)
    assert to_object(waiting.event)["type"] == "UPDATE_OPERATION_STATUS"


# UPDATE_FRAMEWORK is answered when it is done.


@pytest.mark.parametrize("problem", [None, "no"])
async def test_an_update_is_answered_by_what_becomes_of_it(problem: str | None) -> None:
    mine, connection = subscription()
    form = Format(refined=True)
    update = scheduler_pb.Call(update_framework=scheduler_pb.Call.UpdateFramework())
    asking = asyncio.ensure_future(mine.update(update, CALLER, form))
    await asyncio.sleep(0)
    assert len(connection.fed) == 1
    event = scheduler_pb.Event(framework_updated=scheduler_pb.Event.FrameworkUpdated())
    if problem is not None:
        said = scheduler_pb.Event.Refused(call="UPDATE_FRAMEWORK", message=problem)
        event = scheduler_pb.Event(refused=said)
    assert mine.records([event], HERE, Places(), lambda: None) == []
    assert await asking == problem
    assert (mine.form == form) is (problem is None)


async def test_an_update_does_not_wait_longer_than_its_stream() -> None:
    mine, _ = subscription()
    update = scheduler_pb.Call(update_framework=scheduler_pb.Call.UpdateFramework())
    asking = asyncio.ensure_future(mine.update(update, CALLER, Format()))
    await asyncio.sleep(0)
    mine.end()
    assert await asking is not None


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Host": "10.0.0.1:5055"}, False),
        ({"Host": "leader.mesos:5050"}, None),
        ({"Host": "[::1]:5055"}, False),
        ({"Host": "localhost:5055"}, False),
        ({"Host": "Master-1.example:5055"}, False),
        ({}, None),
        ({"Host": "10.0.0.1:5055", "Origin": "http://evil.example"}, True),
        ({"Host": "10.0.0.1:5055", "Origin": "http://10.0.0.1:5055"}, False),
        ({"Host": "10.0.0.1:5055", "Sec-Fetch-Site": "cross-site"}, True),
        ({"Host": "evil.example:5055", "Origin": "http://evil.example:5055"}, True),
        ({"Host": "evil.example:5055", "Authorization": BASIC}, False),
        ({"Host": "10.0.0.1:5055", "Authorization": BASIC, "Origin": "null"}, True),
        ({"Host": "a:1", "Authorization": BASIC, "Sec-Fetch-Site": "cross-site"}, True),
        ({"Host": "a:1", "Authorization": BASIC, "Origin": "http://a:1"}, False),
    ],
)
async def test_no_page_is_taken_for_who_calls_from_here(
    headers: dict[str, str], refused: bool | None
) -> None:
    """A name of elsewhere may be made to lead here, and a browser here to call by it.

    `None`: only what is sent by POST is taken, for which a browser would name its page.
    """
    server = object.__new__(MesosServer)
    server._scheduler = scheduler()
    server._tls = None
    server._names = names_of("master-1.example", "10.0.0.1")
    server._authenticator = Authenticator({"a": "b"}, [read_anonymous("a@0.0.0.0/0")], None)
    transport = Mock(**{"get_extra_info.return_value": ("10.0.0.9", 1)})
    for method in ("POST", "PUT"):
        request = make_mocked_request(
            method, "/system/stats.json", headers=headers, transport=transport
        )
        answer = await server._handle(request)
        is_refused = method != "POST" if refused is None else refused
        assert isinstance(answer, Response) and answer.status == (403 if is_refused else 405)


@pytest.mark.parametrize("front_door", ["scheduler", "operators", "older"])
async def test_who_is_revoked_while_a_body_comes_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, front_door: str
) -> None:
    server = bare_server()

    async def body(request: Any, most_bytes: int) -> bytes:
        server._authenticator.revocations.set(["framework/a"])
        return b""

    async def read(headers: Any, body: bytes) -> Any:
        return mesos_scheduler.Call()

    monkeypatch.setattr(mesos_server, "body_of", body)
    monkeypatch.setattr(mesos_server, "slot_of", lambda request: contextlib.nullcontext())
    server._scheduler = cast(Any, SimpleNamespace(read=read))
    operators = SimpleNamespace(read=lambda *said: (mesos_master.Call(), Media.JSON))
    server._operators = cast(Any, operators)
    server._endpoints = cast(Any, SimpleNamespace())
    request = make_mocked_request("POST", "/teardown")
    answer: dict[str, Callable[[], Awaitable[Any]]] = {
        "scheduler": lambda: server._scheduled(request, CALLER),
        "operators": lambda: server._operated(request, CALLER),
        "older": lambda: server._older(request, ("teardown",), CALLER),
    }
    with pytest.raises(RefusalError, match="framework/a is revoked") as refused:
        await answer[front_door]()
    assert refused.value.status == 403


async def test_a_small_call_that_is_here_waits_for_no_large_one() -> None:
    server = bare_server()
    server._bodies = asyncio.Semaphore(0)  # as if others were reading all that the limit allows

    async def read(headers: Any, body: bytes) -> mesos_scheduler.Call:
        return mesos_scheduler.Call(type=mesos_scheduler.Call.REVIVE)

    async def carry_out(*said: Any) -> Done:
        return Done()

    server._scheduler = cast(Any, SimpleNamespace(read=read, call=carry_out))

    async def answer(body: bytes) -> int:
        payload = StreamReader(Mock(_reading_paused=False), 2**16)
        payload.feed_data(body)
        payload.feed_eof()
        request = make_mocked_request("POST", "/", payload=payload)
        async with asyncio.timeout(0.5):
            return (await server._scheduled(request, CALLER)).status

    assert await answer(b"{}" * (LARGE_BYTES // 2)) == 202
    with pytest.raises(TimeoutError):
        await answer(b"{}" * LARGE_BYTES)


def test_a_refusal_may_quote_half_a_character() -> None:
    """As of JSON that has one, or of a header that is no UTF-8."""
    refusal = RefusalError(400, "Invalid character '\ud800'")
    answer = mesos_http.refused(make_mocked_request("POST", "/"), refusal)
    assert answer.status == 400 and answer.body == b"Invalid character '\\ud800'"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/scheduler", ("api", "v1", "scheduler")),
        ("//api/v1/scheduler/", ("api", "v1", "scheduler")),
        ("/master/api/v1/scheduler/x?y=1", ("api", "v1", "scheduler")),
        ("/api/v1", ("api", "v1")),
        ("/api/v1/nope", ("api", "v1")),
        ("/api", None),
        ("/", None),
        ("/master", None),
        ("/slave(1)/state", None),
        ("/master/state/", ("state",)),
        ("/state-summary", ("state-summary",)),
        ("/state.json", None),
        ("/metrics", None),
        ("/metrics/snapshot?x", ("metrics", "snapshot")),
        ("/quota/dev", ("quota",)),
        ("http://leader.mesos:5050/api/v1/scheduler", ("api", "v1", "scheduler")),
        ("HTTP://10.0.0.1/state?x", ("state",)),
        ("http://10.0.0.1", None),
    ],
)
def test_paths_lead_where_they_do_in_mesos(path: str, found: tuple[str, ...] | None) -> None:
    assert _route(path)[0] == found


@pytest.mark.parametrize("comes_later", [False, True])
async def test_a_body_has_a_bound_whether_it_is_there_whole_or_comes_in_parts(
    comes_later: bool,
) -> None:
    async def body(text: bytes, most_bytes: int) -> bytes:
        loop = asyncio.get_running_loop()
        content = StreamReader(Mock(), 2**16, loop=loop)

        def feed() -> None:
            content.feed_data(text[:3])
            content.feed_data(text[3:])
            content.feed_eof()

        if comes_later:
            loop.call_soon(feed)
        else:
            feed()
        return await mesos_http.body_of(
            make_mocked_request("POST", "/", payload=content), most_bytes
        )

    assert await body(b"123456", 6) == b"123456"
    with pytest.raises(RefusalError) as refused:
        await body(b"1234567", 6)
    assert (refused.value.status, refused.value.text) == (413, "the body has more than 6 bytes")
