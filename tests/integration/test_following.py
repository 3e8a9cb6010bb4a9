"""A client that hangs up on its master goes on, and looks for the leader again."""

from __future__ import annotations

import asyncio

from pymesos_core.addresses import HostPort, parse_host_port
from pymesos_core.coordination.standalone import StandaloneDetector
from pymesos_core.following import follow
from pymesos_core.outside import OUTSIDE
from pymesos_core.transport import Channel
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk.driver import CONNECT
from pymesos_testing.components import Roles


async def test_a_session_that_cancels_its_own_call(roles: Roles) -> None:
    master = parse_host_port(roles.master().address)
    sessions = 0
    enough = asyncio.Event()

    async def session(channel: Channel, address: HostPort) -> None:
        nonlocal sessions
        sessions += 1
        if sessions == 3:
            enough.set()
        call = channel.stream(CONNECT)
        info = pb.FrameworkInfo(name="f")
        subscribe = spb.Call.Subscribe(framework_info=info)
        await call.write(spb.CallBatch(call=[spb.Call(subscribe=subscribe)]))
        while await call.read() is not None:
            asyncio.get_running_loop().call_later(0.05, call.cancel)

    following = asyncio.create_task(
        follow(StandaloneDetector([master]), session, OUTSIDE.backoff(0.01, 0.05), OUTSIDE.dial)
    )
    async with asyncio.timeout(20):
        await enough.wait()
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert following.cancelled()
