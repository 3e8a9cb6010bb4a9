"""What comes to the listener of Mesos' API and is not meant well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pymesos_testing.components import passable_folder
from pymesos_testing.recordings.cluster import Cluster, cluster
from pymesos_testing.recordings.wire import Answer, ask

PATH = "/api/v1/scheduler"
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
SUBSCRIBE = b'{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}'


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with passable_folder() as folder, cluster(folder, (), (), ()) as made:
        yield made


async def post(running: Cluster, body: bytes, **headers: str) -> Answer:
    said = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask("127.0.0.1", running.mesos_port, "POST", PATH, said, body)


async def raw(running: Cluster, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.mesos_port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_it_lives_through_all_of_it(running: Cluster) -> None:
    assert (await post(running, b'{"a":"' + b"x" * 9_000_000 + b'"}')).status == 413
    assert (await post(running, b"[" * 100_000)).status == 400
    assert (await post(running, b'{"type":' * 50_000)).status == 400
    assert (await post(running, b"\xff\xfe")).status == 400
    assert (await post(running, SUBSCRIBE, Content_Encoding="gzip")).status == 415
    assert (await post(running, SUBSCRIBE, Authorization="Basic " + "A" * 3000)).status == 401
    protobuf = {"Content_Type": "application/x-protobuf"}
    assert (await post(running, b"\x1a\xff\xff\xff\xff\x0f", **protobuf)).status == 400
    for sent in (
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n",
        b"\x16\x03\x01 no HTTP at all\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ):
        said = await raw(running, sent)
        assert said == b"" or said.split(b" ")[1] == b"400", said
    answer = await post(running, SUBSCRIBE)
    assert answer.status == 200 and answer.stream is not None
    answer.stream.close()


async def test_the_body_of_a_stream_is_not_waited_for_long(running: Cluster) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: 1000\r\n\r\n"
    )
    answer = await raw(running, head.encode() + b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_page_that_a_browser_shows_here_launches_nothing(running: Cluster) -> None:
    """Not even one whose name leads here."""
    close = "Connection: close\r\n"  # else the answer leaves it open
    head = f"POST {PATH} HTTP/1.1\r\n{close}Content-Type: application/json\r\nContent-Length: "
    for more in (
        "Host: evil.example:5055\r\nOrigin: http://evil.example:5055",
        "Host: evil.example\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: same-origin",
        "Host: 127.0.0.1\r\nOrigin: http://evil.example",
    ):
        sent = f"{head}{len(SUBSCRIBE)}\r\n{more}\r\n\r\n".encode() + SUBSCRIBE
        assert (await raw(running, sent)).startswith(b"HTTP/1.1 403 "), more


async def test_a_stream_that_its_client_leaves_is_ended(running: Cluster) -> None:
    first = await post(running, SUBSCRIBE)
    assert first.stream is not None
    async with asyncio.timeout(20):
        while not first.stream.events:
            await asyncio.sleep(0.02)
    framework_id = first.stream.events[0][1]["subscribed"]["framework_id"]["value"]
    first.stream.close()
    said = b'{"type":"REVIVE","framework_id":{"value":"%s"}}' % framework_id.encode()
    async with asyncio.timeout(20):
        while (await post(running, said)).status == 400 and b"Stream-Id" in (
            await post(running, said)
        ).body:
            await asyncio.sleep(0.05)
    answer = await post(running, said)
    assert answer.body == b"Framework cannot be found", "its failover timeout is 0"
