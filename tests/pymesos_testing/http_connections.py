"""Connections to an HTTP server, byte by byte."""

from __future__ import annotations

import asyncio

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(url: str, own_ip: str = "127.0.0.1") -> Connection:
    host, _, port = url.partition("//")[2].rpartition(":")
    return await asyncio.open_connection(host, int(port), local_addr=(own_ip, 0))


async def say(url: str, sent: bytes) -> bytes:
    """All that is answered until the connection is closed."""
    reader, writer = await connect(url)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.close()


WEIGHT = b'{"role": "eng", "weight": 4}'


POST = b"POST /v1/weights/set HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
