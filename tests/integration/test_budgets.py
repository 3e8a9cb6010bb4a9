"""What one peer may take of a server: a real gRPC server, and peers that ask too much."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from pymesos_core import serving
from pymesos_core.budgets import PeerBudgets, host_of
from pymesos_core.caller import Caller, Method
from pymesos_core.complaints import Complaints
from pymesos_core.grpc_transport import Adapter
from pymesos_core.limits import PEER_CALLS, Limit
from pymesos_core.security.gate import open_gate
from pymesos_core.transport import ServerCall
from pymesos_core.turns import TURNS_BETWEEN, Turns

FEW = Limit("few", 3, "calls open", "An address")
FIRST_S = 0.3
log = logging.getLogger(__name__)


class Echo(grpc.GenericRpcHandler):
    """`unary` answers at once, `slow` waits for `release`, `stream` sends back what it reads."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.open = 0
        self.unary = 0

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def unary(request: bytes, call: ServerCall[bytes, bytes]) -> bytes:
            self.unary += 1
            if details.method == "/echo/slow":
                await self.release.wait()
            return request

        async def stream(call: ServerCall[bytes, bytes]) -> None:
            self.open += 1
            try:
                while (request := await call.read()) is not None:
                    await call.write(request)
            finally:
                self.open -= 1

        if details.method == "/echo/stream":
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, grpc.aio.Channel]]:
    limits = {"/echo/stream": FEW}
    server = grpc.aio.server(
        interceptors=(Adapter(PeerBudgets(limits, FIRST_S), Complaints(log), open_gate),)
    )
    handler = Echo()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield handler, channel
    await server.stop(0)


async def code_of(call: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = await call.code()
    return code


async def test_streams_of_an_address_are_counted(echo: tuple[Echo, grpc.aio.Channel]) -> None:
    _, channel = echo
    stream: Any = channel.stream_stream("/echo/stream")
    calls = [stream() for _ in range(3)]
    for call in calls:
        await call.write(b"x")
        assert await call.read() == b"x"
    refused = stream()
    assert await code_of(refused) == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (
        await refused.details()
        == "The address ipv4:127.0.0.1 has 4 calls open; at most 3 are accepted"
    )
    unary: Any = channel.unary_unary("/echo/unary")
    assert await unary(b"y") == b"y", "other methods have their own"
    calls[0].cancel()
    await asyncio.sleep(0.1)
    another = stream()
    await another.write(b"z")
    assert await another.read() == b"z", "one that ended counts no more"


async def test_streams_of_a_principal_are_counted_wherever_they_come_from() -> None:
    who = [""]

    def gate(_method: str, host: str, _shown: Any) -> Caller:
        return Caller(who[0], Method.CERT, peer=host)

    adapter = Adapter(PeerBudgets({"/echo/stream": FEW}, FIRST_S), Complaints(log), gate)
    server = grpc.aio.server(interceptors=(adapter,))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for who[0] in ("operator/a", "operator/b"):
            calls: list[Any] = []
            for _ in range(3):
                calls.append(channel.stream_stream("/echo/stream")())
                await calls[-1].write(b"x")
                assert await calls[-1].read() == b"x"
            refused: Any = channel.stream_stream("/echo/stream")()
            assert await code_of(refused) == grpc.StatusCode.RESOURCE_EXHAUSTED
            said = f"{who[0]} has 4 calls open; at most 3 are accepted"
            assert await refused.details() == said
    await server.stop(0)


async def test_a_stream_on_which_nothing_is_said_ends(echo: tuple[Echo, grpc.aio.Channel]) -> None:
    handler, channel = echo
    silent: Any = channel.stream_stream("/echo/stream")()
    assert await code_of(silent) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "nothing was said on this stream for 0.3 s" in (await silent.details() or "")
    assert handler.open == 0
    spoken: Any = channel.stream_stream("/echo/stream")()
    await spoken.write(b"1")
    assert await spoken.read() == b"1"
    await asyncio.sleep(2 * FIRST_S)
    await spoken.write(b"2")
    assert await spoken.read() == b"2", "only the first message must come in time"


async def test_calls_that_wait_are_bounded(echo: tuple[Echo, grpc.aio.Channel]) -> None:
    handler, channel = echo
    slow: Any = channel.unary_unary("/echo/slow")
    calls = [slow(b"x") for _ in range(PEER_CALLS.most + 20)]
    while handler.unary < PEER_CALLS.most or sum(call.done() for call in calls) < 20:
        await asyncio.sleep(0.02)
    refused = [call for call in calls if call.done()]
    codes = [await code_of(call) for call in refused]
    assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 20
    handler.release.set()
    answers = [await call for call in calls if call not in refused]
    assert answers == [b"x"] * PEER_CALLS.most


async def test_connections_on_which_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent connections cannot take all descriptors, and they end."""
    monkeypatch.setattr(serving, "MAX_CONNECTIONS", 10)
    options = dict(serving.SERVER_OPTIONS) | {"grpc.server_handshake_timeout_ms": 500}
    monkeypatch.setattr(serving, "SERVER_OPTIONS", [*options.items()])
    server = serving.make_server({})
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]

    def ended(connection: socket.socket) -> bool:
        connection.setblocking(False)
        try:
            return connection.recv(1000) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    try:
        await asyncio.sleep(0.2)
        assert sum(map(ended, silent)) == 20, "more than ten are refused at once"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/echo/unary")
            assert await call(b"x", wait_for_ready=True, timeout=20) == b"x"
    finally:
        for connection in silent:
            connection.close()
        await server.stop(0)


@pytest.mark.parametrize(
    ("peer", "host"),
    [("ipv4:10.0.0.1:4321", "ipv4:10.0.0.1"), ("ipv6:[::1]:4321", "ipv6:[::1]"), ("unix", "unix")],
)
def test_host_of(peer: str, host: str) -> None:
    assert host_of(peer) == host


async def test_one_that_says_much_lets_others_have_their_turn() -> None:
    turns = Turns()
    said: list[str] = []

    async def say(name: str, items: int) -> None:
        async with turns.turn(name) as turn:
            for _ in range(items):
                said.append(name)
                for _ in range(2000):
                    pass
                await turn.pause()

    flood = asyncio.create_task(say("flood", 20_000))
    await asyncio.sleep(0)
    assert not flood.done()
    await say("neighbour", 3)
    assert "neighbour" in said and not flood.done(), "it did not wait for the end of the flood"
    await flood
    assert said.count("flood") == 20_000
    for _ in range(TURNS_BETWEEN + 2):
        await asyncio.sleep(0)
    assert not turns.addresses, "nothing is kept of those who have said what they had to say"


async def test_many_of_one_address_share_its_part_of_a_turn_of_the_loop() -> None:
    turns = Turns()
    said: list[tuple[int, int]] = []
    loop_turn = 0

    async def count() -> None:
        nonlocal loop_turn
        while True:
            loop_turn += 1
            await asyncio.sleep(0)

    async def say(peer: int) -> None:
        async with turns.turn("crowd") as turn:
            for _ in range(2):
                said.append((loop_turn, peer))
                time.sleep(0.0004)
                await turn.pause()

    counting = asyncio.create_task(count())
    await asyncio.gather(*(say(peer) for peer in range(200)))
    counting.cancel()
    by_turn = Counter(turn for turn, _ in said)
    assert len(said) == 400 and max(by_turn.values()) <= 50, by_turn  # of 0.4 ms
    assert list(dict.fromkeys(peer for _, peer in said)) == list(range(200)), "first come first"


async def test_one_that_waits_for_its_turn_and_is_cancelled_keeps_nobody_waiting() -> None:
    turns = Turns()
    done: list[int] = []

    async def say(peer: int) -> None:
        async with turns.turn("crowd") as turn:
            time.sleep(0.02)
            await turn.pause()
            done.append(peer)

    peers = [asyncio.create_task(say(peer)) for peer in range(6)]
    await asyncio.sleep(0)
    for peer in peers[:4]:
        peer.cancel()
    await asyncio.gather(*peers, return_exceptions=True)
    assert done == [4, 5]
    for _ in range(TURNS_BETWEEN + 2):
        await asyncio.sleep(0)
    assert not turns.addresses


async def test_calls_come_in_one_at_a_turn() -> None:
    turns = Turns()
    loop_turns: list[int] = []
    turn = 0

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def call() -> None:
        await turns.next("one")
        loop_turns.append(turn)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(call() for _ in range(20)))
    counting.cancel()
    assert len(set(loop_turns)) == 20, "no two in the same turn of the loop"


async def test_an_address_with_many_calls_does_not_hold_up_another() -> None:
    turns = Turns()
    order: list[str] = []

    async def call(host: str) -> None:
        await turns.next(host)
        order.append(host)

    crowd = [asyncio.create_task(call("crowd")) for _ in range(100)]
    await asyncio.sleep(0)
    await call("neighbour")
    assert order.index("neighbour") <= 3 and not turns._locks.keys() - {"crowd"}
    await asyncio.gather(*crowd)
    assert not turns._locks and not turns._calls
