"""WebSockets through the proxy: what one end says the other is told, until one has said all."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientWebSocketResponse, WSMsgType, web

from pymesos_core.tasks import running

MAX_MESSAGE_BYTES = 64 * 1024  # as masters have it
PING_S = 20.0
CLOSE_S = 1.0


async def talk(request: web.BaseRequest, master: ClientWebSocketResponse) -> web.StreamResponse:
    """Open a WebSocket to the browser, and pass on what comes both ways."""
    browser = web.WebSocketResponse(
        heartbeat=PING_S, max_msg_size=MAX_MESSAGE_BYTES, compress=False, timeout=CLOSE_S
    )
    await browser.prepare(request)
    try:
        async with (
            running(_pass_on(browser, master)) as up,
            running(_pass_on(master, browser)) as down,
        ):
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await master.close()
        await browser.close()
    return browser


async def _pass_on(heard: Any, to: Any) -> None:
    try:
        async for message in heard:
            if message.type is WSMsgType.TEXT:
                await to.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await to.send_bytes(message.data)
    except ConnectionError:  # the other end has gone
        return
