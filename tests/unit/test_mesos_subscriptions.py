"""Streams of schedulers of Mesos: how many there are, what they hold, and how they end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock
from weakref import WeakValueDictionary

import pytest
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Response

from pymesos_core.limits import PEER_SCHEDULERS
from pymesos_core.mesos.media import Media
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.statuses import Places
from pymesos_core.security.revocations import Revocations
from pymesos_master.mesos import server as mesos_server
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.server import MesosServer
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.mesos_scheduling import (
    CALLER,
    HERE,
    bare_server,
    scheduler,
    subscription,
)

# How many, and how often.


async def test_streams_are_counted() -> None:
    which = scheduler()
    which._streams[CALLER.taker] = PEER_SCHEDULERS.most
    with pytest.raises(RefusalError) as refused:
        async with which.turn_to_subscribe(CALLER):
            pass
    assert refused.value.status == 503
    assert which._streams[CALLER.taker] == PEER_SCHEDULERS.most


async def test_who_comes_again_and_again_waits_and_then_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    which, slept = scheduler(), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(RefusalError, match="subscribes too often"):
        for _ in range(1000):
            async with which.turn_to_subscribe(CALLER):
                pass
    assert slept and slept == sorted(slept)
    assert not which._streams


async def test_a_subscription_is_small_and_the_call_is_dropped_for_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What else is in the call may be large, and the stream is long."""
    server = object.__new__(MesosServer)
    server._scheduler = which = scheduler()
    server._of_one, server._bodies = WeakValueDictionary(), asyncio.Semaphore(1)
    server._authenticator = Authenticator({}, (), None)
    said = {
        "type": "SUBSCRIBE",
        "subscribe": {"framework_info": {"user": "u", "name": "n"}},
        "accept": {"offer_ids": [{"value": "o" * 1000}]},
    }
    request = make_mocked_request("POST", "/", headers={"Content-Type": "application/json"})
    bodies = [json.dumps(said).encode(), json.dumps(said).encode() + b" " * 2**20]

    async def body(request: Any, most_bytes: int) -> bytes:
        return bodies.pop(0)

    served: list[tuple[str, bool]] = []

    async def serve(leader: Any, subscribe: Any, mine: Any, write: Any) -> None:
        gc.collect()
        held = any(
            isinstance(one, mesos_scheduler.Call) and one.HasField("accept")
            for one in gc.get_objects()
        )
        served.append((subscribe.framework_info.name, held))

    monkeypatch.setattr(mesos_server, "body_of", body)
    monkeypatch.setattr(mesos_server, "slot_of", lambda request: contextlib.nullcontext())
    server._redirecting = cast(Any, SimpleNamespace(leader=lambda path: None))
    monkeypatch.setattr(which, "serve", serve)
    await server._scheduled(request, CALLER)
    assert served == [("n", False)]
    with pytest.raises(RefusalError, match="a SUBSCRIBE has at most 1048576 bytes") as refused:
        await server._scheduled(request, CALLER)
    assert refused.value.status == 413


@pytest.mark.parametrize("front_door", ["scheduler", "operators"])
async def test_a_stream_ends_with_what_its_caller_has_shown(
    monkeypatch: pytest.MonkeyPatch, front_door: str
) -> None:
    """An access token ends, and a certificate; who has another comes again."""
    server = bare_server()
    caller = replace(CALLER, ends_s=1.0)
    call = mesos_master.Call(type=mesos_master.Call.SUBSCRIBE)
    aborted: list[Any] = []

    async def body(request: Any, most_bytes: int) -> bytes:
        return b""

    async def read(headers: Any, body: bytes) -> Any:
        return mesos_scheduler.Call(type=mesos_scheduler.Call.SUBSCRIBE)

    async def serve(*said: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(mesos_server, "body_of", body)
    monkeypatch.setattr(mesos_server, "slot_of", lambda request: contextlib.nullcontext())
    monkeypatch.setattr(mesos_server, "abort", aborted.append)
    mine = SimpleNamespace(stream_id="s", media=Media.JSON, framework_id="f")
    server._scheduler = cast(
        Any,
        SimpleNamespace(
            read=read,
            serve=serve,
            subscription=lambda *said: (mine, None),
            turn_to_subscribe=lambda caller: contextlib.nullcontext(),
        ),
    )
    server._operators = cast(Any, SimpleNamespace(read=lambda *said: (call, Media.JSON)))
    server._watching = cast(Any, SimpleNamespace(serve=serve))
    request = make_mocked_request("POST", "/")
    async with asyncio.timeout(20):
        if front_door == "scheduler":
            await server._scheduled(request, caller)
        else:
            await server._operated(request, caller)
    assert aborted == [request]


async def test_who_is_no_framework_does_not_subscribe() -> None:
    server = object.__new__(MesosServer)
    server._tls = None
    server._authenticator = Authenticator({"operator/o": "b"}, (), Revocations())
    shown = "Basic " + base64.b64encode(b"operator/o:b").decode()
    transport = Mock(**{"get_extra_info.return_value": ("10.0.0.9", 1)})
    request = make_mocked_request(
        "POST", "/api/v1/scheduler", headers={"Authorization": shown}, transport=transport
    )
    answer = await server._handle(request)
    assert isinstance(answer, Response) and answer.status == 403
    assert answer.body == b"operator/o may not subscribe: frameworks may"


def test_an_event_that_cannot_be_told_does_not_end_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mine, _ = subscription()
    mine.framework_id = "f-1"
    odd = scheduler_pb.Event(update=scheduler_pb.Event.Update(status=pb.TaskStatus(state=999)))  # type: ignore[arg-type]
    told: list[Any] = [odd, scheduler_pb.Event(heartbeat=scheduler_pb.Event.Heartbeat())]
    (record,) = mine.records(told, HERE, Places(), lambda: None)
    assert b"HEARTBEAT" in record
    assert "the framework f-1 cannot be told of: update" in caplog.text
