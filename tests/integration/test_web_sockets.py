"""WebSockets through `pymesos-cli web`: both ways, to the end, and for its own page alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import RawTestServer, TestClient, TestServer

from pymesos_cli.cluster import Cluster
from pymesos_cli.web import serving
from pymesos_cli.web.guard import Guard
from pymesos_core.contexts import Way

PATH = "/v1/tasks/t/exec?framework_id=f"


async def master(request: web.BaseRequest) -> web.StreamResponse:
    """Answer as a master does, to whoever asks for that path."""
    if request.raw_path != PATH:
        return web.Response(status=403)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"heard {message.data}")
        elif message.data == b"end":
            break
        else:
            await socket.send_bytes(b"\x01" + message.data)
    return socket


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[TestClient[web.Request, web.Application], str]]:
    """A client of the proxy, and the origin of its page."""
    asked = serving.Upstream(Cluster(Way("127.0.0.1:1"), 1.0))
    holder: list[serving.Proxy] = []
    server: TestServer = RawTestServer(  # type: ignore[assignment] # which the client takes, too
        lambda request: holder[0].answer(request)
    )
    async with RawTestServer(master) as upstream, asked, TestClient(server) as client:
        asked._url = str(upstream.make_url("")).rstrip("/")
        assert server.port is not None
        holder.append(serving.Proxy(asked, Guard(server.port)))
        await client.get(holder[0].guard.url.partition(str(server.port))[2])
        yield client, f"http://127.0.0.1:{server.port}"


async def test_what_is_said_goes_both_ways_and_it_ends_with_the_master() -> None:
    async with proxied() as (client, origin), asyncio.timeout(20):
        socket = await client.ws_connect(PATH, headers={"Origin": origin})
        await socket.send_str("{}")
        assert await socket.receive_str() == "heard {}"
        await socket.send_bytes(b"line\n")
        assert await socket.receive_bytes() == b"\x01line\n"
        await socket.send_bytes(b"end")
        assert (await socket.receive()).type is WSMsgType.CLOSE


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}])
async def test_no_other_page_opens_one(headers: dict[str, str]) -> None:
    async with proxied() as (client, _), asyncio.timeout(20):
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect(PATH, headers=headers)
        assert refused.value.status == 403


async def test_what_the_master_refuses_is_refused() -> None:
    async with proxied() as (client, origin), asyncio.timeout(20):
        with pytest.raises(WSServerHandshakeError) as refused:
            await client.ws_connect("/v1/tasks/other/exec", headers={"Origin": origin})
        assert refused.value.status == 403
