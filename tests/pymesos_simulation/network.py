"""A network in memory, behind the transport interface: streams that are slow, cut, or half open.

What is sent on a stream comes in order, in bytes, each message with a delay of its own. A cut loses
what was not delivered, and each side is told of it sooner or later, not both at once. A reader that
does not read makes its peer wait, as HTTP/2's windows do. When only the client hangs up, what it
sent before still arrives, and so may come after what it says on its next stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.budgets import host_of
from pymesos_core.caller import Caller
from pymesos_core.caller import Method as ProvedBy
from pymesos_core.outside import Outside
from pymesos_core.transport import (
    CallError,
    Code,
    Method,
    Served,
    ServerCall,
    Service,
    served,
)
from pymesos_simulation.secrets import check_sent
from pymesos_simulation.world import Node, World

LOCAL_S = 0.002  # on one machine
SLOW_S = 2.0  # on one machine, now and then; by then another stream may be open
WINDOWS_BYTES = (1, 4096, 65536, 4 * 1024 * 1024)  # of what is sent and not read

Handler = Callable[[ServerCall[Any, Any]], Awaitable[None]]


def handlers_of(service: Service) -> dict[str, Handler]:
    """What answers the methods of a service, also those of one request or one answer."""
    return {method.path: _handler(method) for method in served(service)}


def _handler(method: Served) -> Handler:
    async def handle(call: ServerCall[Any, Any]) -> None:
        request = await call.read()
        if request is None:
            raise CallError(Code.INTERNAL, "the call has no request")
        answer = await method.handle(request, call)
        if not method.many_responses:
            await call.write(answer)

    return method.handle if method.many_requests else handle


class Network:
    """Who listens where, and all streams that are open."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._servers: dict[HostPort, Server] = {}
        self.streams: dict[int, Stream] = {}
        self._opened = 0

    def listen(self, node: Node, address: HostPort, handlers: Mapping[str, Handler]) -> None:
        """Serve in a process, until it ends."""
        self._servers[address] = Server(node, handlers)

    def server(self, address: HostPort) -> Server | None:
        """Who listens there."""
        server = self._servers.get(address)
        return server if server is not None and server.lives else None

    def open(
        self,
        client: Node,
        address: HostPort,
        path: str,
        *,
        local: bool = False,
        late_s: float = 0.0,
    ) -> Stream:
        """A stream from a process to whoever listens there.

        What is said on a `local` one takes little time; the first that is said comes `late_s` late.
        """
        self._opened += 1
        self.world.counts["stream"] += 1
        stream = Stream(self, self._opened, client, address, path, local=local, late_s=late_s)
        self.streams[stream.number] = stream
        return stream

    def open_at(self, node: Node) -> int:
        """How many streams a process serves."""
        return sum(s.server is not None and s.server.node is node for s in self.streams.values())

    def died(self, node: Node) -> None:
        """A process has ended: its peers are told by its machine."""
        for stream in list(self.streams.values()):
            if node in (stream.client.node, stream.server and stream.server.node):
                stream.cut(node)


class Server:
    """One process that listens."""

    def __init__(self, node: Node, handlers: Mapping[str, Handler]) -> None:
        self.node = node
        self.handlers = handlers
        self._generation = node.generation

    @property
    def lives(self) -> bool:
        """Whether it is still the same process."""
        return self.node.alive and self.node.generation == self._generation


class End:
    """One end of a stream, in one process."""

    def __init__(self, stream: Stream, node: Node) -> None:
        self.node = node
        self.error: CallError | None = None  # how it ended, once that is known here
        self._stream = stream
        self._generation = node.generation
        self._inbox: deque[tuple[type, bytes] | None] = deque()  # None: nothing more comes
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._free_at_s = 0.0  # when the latest message arrives here
        self.unread_bytes = 0  # of what its peer has sent

    @property
    def lives(self) -> bool:
        """Whether it is still the same process."""
        return self.node.alive and self.node.generation == self._generation

    def send(self, item: tuple[type, bytes] | None) -> None:
        """Have something arrive here, in order."""
        world, stream = self._stream.world, self._stream
        at_s = max(world.now_s + self._stream.delay_s(), self._free_at_s)
        self._free_at_s = at_s
        if item is not None:
            self.unread_bytes += len(item[1])

        def arrive() -> None:
            if not stream.open or not self.lives:
                return
            if world.apart(stream.other(self).node.name, self.node.name):
                stream.cut(None)
                return
            world.counts["message"] += 1
            self._inbox.append(item)
            self._wake()

        world.at(at_s - world.now_s, arrive)

    def hear_late(self, late_s: float) -> None:
        """Nothing comes here before that time is over."""
        self._free_at_s = self._stream.world.now_s + late_s

    def after_all_sent(self, action: Callable[[], None]) -> None:
        """Do something here when all that was sent has come."""
        world = self._stream.world
        at_s = max(world.now_s + self._stream.delay_s(), self._free_at_s)
        self._free_at_s = at_s
        world.at(at_s - world.now_s, action)

    async def read(self) -> Any | None:
        """See transport."""
        decode = await self.receive()
        return None if decode is None else decode()

    async def receive(self) -> Callable[[], Any] | None:
        """See transport."""
        while not self._inbox:
            if self.error is not None:
                raise self.error
            assert self._reader is None, "one reads a stream at a time"
            self._reader = self.node.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        item = self._inbox[0]
        if item is None:
            return None
        self._inbox.popleft()
        kind, data = item
        self.unread_bytes -= len(data)
        self._stream.other(self)._let_write()
        return partial(kind.FromString, data)  # type: ignore[attr-defined]

    async def write(self, message: Any) -> None:
        """See transport."""
        stream = self._stream
        # Each time: the server may have come to know of the stream meanwhile.
        while self.error is None and stream.other(self).unread_bytes >= stream.window_bytes:
            writer: asyncio.Future[None] = self.node.loop.create_future()
            self._writers.append(writer)
            await writer
        if self.error is not None:
            raise self.error
        if stream.open:
            other = stream.other(self)
            data = message.SerializeToString()
            with self.node.world.fatal():
                check_sent(self.node.world, other.node.name, message, data)
            other.send((type(message), data))

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _let_write(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers if self.lives else ():  # the peer may still read what the dead wrote
            if not writer.done():
                writer.set_result(None)

    def end(self, error: CallError, *, at_once: bool = False) -> None:
        """The stream ends at this side; with `at_once` what has arrived is no longer read."""
        if self.error is not None or not self.lives:
            return
        self.error = error
        if at_once:
            self._inbox.clear()
        self._wake()
        self._let_write()


class Stream:
    """One call that streams, from its client to its server."""

    def __init__(
        self,
        network: Network,
        number: int,
        client: Node,
        address: HostPort,
        path: str,
        *,
        local: bool,
        late_s: float,
    ) -> None:
        self.number = number
        self.local = local
        self._late_s = late_s
        self.world = world = network.world
        self.client = ClientEnd(self, client)
        self.server: ServerEnd | None = None
        self.open = True
        self.hung_up = False  # by the client
        self.window_bytes = world.random.choice(WINDOWS_BYTES) if world.faulty else 65536
        self._network = network
        self._path = path
        self._address = address
        self._early: list[tuple[type, bytes] | None] = []
        world.at(self.delay_s(), self._arrive)

    def delay_s(self) -> float:
        """How long a message takes."""
        world = self.world
        if not self.local:
            return world.delay_s()
        slow = world.faulty and world.random.random() < 0.02
        return world.random.uniform(0, SLOW_S) if slow else LOCAL_S

    def other(self, end: End) -> End:
        """The peer; before the server knows of the stream, what stands for it."""
        if end is not self.client:
            return self.client
        return self.server or self._waiting

    @property
    def _waiting(self) -> End:
        return self.client.to_come

    def _arrive(self) -> None:
        """The server is told of the stream, if there is one."""
        if not self.open:
            return
        server = self._network.server(self._address)
        if server is None or self.world.apart(self.client.node.name, server.node.name):
            self.cut(None)
            return
        handler = server.handlers.get(self._path)
        self.server = ServerEnd(self, server.node)
        self.server.hear_late(self._late_s)
        self.client.to_come.pass_on(self.server)
        self.server.serve(handler)

    def cut(self, knows: Node | None) -> None:
        """The stream is gone; each side but `knows` is told, sooner or later."""
        if not self.open:
            return
        self.open = False
        self._network.streams.pop(self.number, None)
        world = self.world
        for end in (self.client, self.server):
            if end is None or end.node is knows or not end.lives:
                continue
            late_s = world.random.choice([0.001, 0.1, 20.0]) if world.faulty else 0.01
            broken = CallError(Code.UNAVAILABLE, "the connection is gone")
            end.node.soon(world.random.uniform(0, late_s), partial(end.end, broken))

    def finish(self, status: CallError | None) -> None:
        """The server has ended it; its client learns so after what was sent before."""
        client = self.client

        def arrive() -> None:
            if not self.open:
                return
            if self.server is not None and self.world.apart(
                self.server.node.name, client.node.name
            ):
                self.cut(self.server.node)
                return
            self.open = False
            self._network.streams.pop(self.number, None)
            if status is None:
                client._inbox.append(None)
                client._wake()
            client.end(status or CallError(Code.CANCELLED, "the stream has ended"))

        client.after_all_sent(arrive)

    def hang_up(self) -> None:
        """The client ends it; the server learns so after what was sent before."""
        if not self.open or self.hung_up:
            return
        self.hung_up = True
        gone = CallError(Code.CANCELLED, "the peer has hung up")

        def arrive() -> None:
            if self.open:
                self.open = False
                self._network.streams.pop(self.number, None)
                if self.server is not None:
                    self.server.end(gone, at_once=True)

        self.other(self.client).after_all_sent(arrive)


class _ToCome(End):
    """What the client has sent before its server knows of the stream."""

    def send(self, item: tuple[type, bytes] | None) -> None:
        if item is not None:
            self.unread_bytes += len(item[1])
        self._inbox.append(item)

    def pass_on(self, end: End) -> None:
        """From now on it is there."""
        for item in self._inbox:
            end.send(item)


class ClientEnd(End):
    """See transport.ClientStream."""

    def __init__(self, stream: Stream, node: Node) -> None:
        super().__init__(stream, node)
        self.to_come = _ToCome(stream, node)

    def say(self, message: Any) -> None:
        """Send, whether the peer reads or not."""
        if self._stream.open and self.error is None:
            self._stream.other(self).send((type(message), message.SerializeToString()))

    async def opened(self) -> None:
        """See transport. At once: what is said meanwhile waits for its server, and may be lost."""

    async def done_writing(self) -> None:
        """See transport."""
        if self._stream.open and self.error is None:
            self._stream.other(self).send(None)

    def cancel(self) -> None:
        """See transport."""
        self._stream.hang_up()
        self.end(CallError(Code.CANCELLED, "this side has hung up"), at_once=True)


class ServerEnd(End):
    """See transport.ServerCall."""

    def __init__(self, stream: Stream, node: Node) -> None:
        super().__init__(stream, node)
        self.peer = f"sim:{stream.client.node.name}:{stream.number}"
        self.caller = Caller(peer=host_of(self.peer), via="grpc")
        who = stream.client.node
        if stream.world.certified and who.kind is not None:
            self.caller = replace(self.caller, principal=who.principal, method=ProvedBy.CERT)
        self.metadata: Mapping[str, str] = {}
        self._task: asyncio.Task[None] | None = None

    def serve(self, handler: Handler | None) -> None:
        """Run the handler in the server's process."""
        if handler is None:
            self._stream.finish(CallError(Code.UNIMPLEMENTED, "there is no such method"))
            return
        with self.node.loop.entered():
            self._task = self.node.loop.create_task(self._serve(handler))

    async def _serve(self, handler: Handler) -> None:
        try:
            await handler(self)
        except CallError as error:
            self._stream.finish(error)
        except asyncio.CancelledError:
            self._stream.finish(CallError(Code.CANCELLED, "the handler was cancelled"))
        else:
            self._stream.finish(None)

    def end(self, error: CallError, *, at_once: bool = False) -> None:
        """The handler of the call is cancelled."""
        super().end(error, at_once=at_once)
        if self.lives and self._task is not None:
            self._task.cancel()


class SimulatedChannel:
    """See transport.Channel."""

    def __init__(self, network: Network, node: Node, address: HostPort) -> None:
        self._network = network
        self._node = node
        self._address = address
        self._streams: list[Stream] = []

    def stream(self, method: Method, metadata: Mapping[str, str] | None = None) -> ClientEnd:
        """See transport."""
        stream = self._network.open(self._node, self._address, method.path)
        self._streams.append(stream)
        return stream.client

    async def call(self, path: str, request: Any) -> Any:
        """The answer to one request. Raises CallError."""
        end = self._network.open(self._node, self._address, path).client
        try:
            await end.write(request)
            await end.done_writing()
            answer = await end.read()
        finally:
            end.cancel()
        if answer is None:
            raise CallError(Code.INTERNAL, f"no answer to {path}")
        return answer

    async def close(self) -> None:
        """See transport."""
        for stream in self._streams:
            stream.client.cancel()


def outside_of(node: Node, network: Network) -> Outside:
    """What the shells of a process take from outside: its clocks, chance, the network."""
    return Outside(
        lambda: node.now,
        node.world.random,
        lambda address, to, name="": SimulatedChannel(network, node, address),
        node.world.random,
    )
