"""Calls that come through a gateway are answered as if they had come here."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError

from pymesos_core.budgets import host_of
from pymesos_core.caller import Caller, Method
from pymesos_core.complaints import Complaints
from pymesos_core.guarding import Guard, refusal_of
from pymesos_core.outbox import MAX_MESSAGE_BYTES, Outbox
from pymesos_core.security.gate import OnRefused
from pymesos_core.streams import serve_stream
from pymesos_core.tasks import Background, beside
from pymesos_core.text import quoted
from pymesos_core.transport import CallError, ClientStream, Code, Served, Service, served
from pymesos_master.gateways.flow import Flow
from pymesos_proto.v1 import gateways_pb2 as pb
from pymesos_proto.v1 import masters_pb2

log = logging.getLogger(__name__)

PING_S = 5.0
SILENT_S = 15.0

MAX_ANSWER_BYTES = MAX_MESSAGE_BYTES + 65536  # what peers take


class GatewayCall:
    """A ServerCall that came through a gateway."""

    def __init__(
        self,
        opened: pb.CallOpened,
        caller: Caller,
        flow: Flow,
        method: Served | None,
        complaints: Complaints,
    ) -> None:
        self.peer = opened.peer
        self.caller = caller
        self.metadata: Mapping[str, str] = dict(opened.metadata)
        self.flow = flow
        self._complaints = complaints
        self._decode = bytes if method is None else method.decode
        self._encode = None if method is None else method.encode

    async def read(self) -> Any | None:
        """See ServerCall."""
        decode = await self.receive()
        return None if decode is None else decode()

    async def receive(self) -> Callable[[], Any] | None:
        """See StreamedCall."""
        data = await self.flow.read()
        return None if data is None else partial(self._decoded, data)

    def _decoded(self, data: bytes) -> Any:
        try:
            return self._decode(data)
        except DecodeError as error:
            self._complaints.say(host_of(self.peer), "no message", str(error))
            raise CallError(Code.INTERNAL, str(error)) from None

    async def write(self, message: Any) -> None:
        """See ServerCall."""
        data = message if self._encode is None else self._encode(message)
        if len(data) > MAX_ANSWER_BYTES:  # the gateway would take it for damage, and end
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"the answer has {len(data)} bytes, and may have {MAX_ANSWER_BYTES}: ask for less",
            )
        await self.flow.write(data)


class GatewayCalls:
    """Answers the calls that gateways pass on, by the services of this master."""

    def __init__(
        self,
        services: Iterable[Service],
        guard: Guard,
        prefixes: Mapping[str, Callable[[str, Any], Awaitable[None]]],
        on_refused: OnRefused = lambda caller, method, reason: None,
        on_silent: Callable[[int], None] | None = None,
        on_ready: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """`prefixes` have what answers all methods below each, with their messages as they are.

        `on_silent` is told the pid of a gateway that has answered no ping for SILENT_S, `on_ready`
        that of one that lets peers in.
        """
        self._methods = {method.path: method for one in services for method in served(one)}
        self._prefixes = prefixes
        self._guard = guard
        self._on_refused = on_refused
        self._on_silent = on_silent
        self._on_ready = on_ready
        self.complaints = Complaints(log)
        self._connected: list[_Connected] = []
        self._changed = asyncio.Event()

    @property
    def open(self) -> int:
        """How many calls come through all gateways now."""
        return sum(connected.open for connected in self._connected)

    async def ready(self, gateways: int) -> None:
        """Return once so many gateways let peers in."""
        while sum(connected.is_ready for connected in self._connected) < gateways:
            self._changed.clear()
            await self._changed.wait()

    async def serve(self, stream: ClientStream) -> None:
        """Serve one gateway to its end. Raises CallError."""
        connected = _Connected(self)
        self._connected.append(connected)

        async def read() -> None:
            while (batch := await stream.read()) is not None:
                connected.unanswered = 0
                for told in batch.told:
                    connected.take(told)
                    if told.HasField("ready"):
                        self._on_ready(told.ready.pid)
                        self._changed.set()

        async def write(answers: list[Any]) -> None:
            await stream.write(pb.GatewayAnswers(answer=answers))

        try:
            async with beside(self._ping(connected)):
                await serve_stream(connected.outbox, read(), write, connected.lost)
        finally:
            self._connected.remove(connected)
            await connected.background.close()

    async def _ping(self, connected: _Connected) -> None:
        while self._on_silent is not None:
            await asyncio.sleep(PING_S)
            if connected.unanswered * PING_S >= SILENT_S:
                self._on_silent(connected.pid)
            connected.unanswered += 1
            connected.ping()

    async def answer(self, opened: pb.CallOpened, call: GatewayCall) -> None:
        """Answer one call. Raises CallError."""
        method = self._methods.get(opened.method)
        if method is None or method.many_requests:
            handle = self._passing_on(opened.method) if method is None else method.handle
            await self._guard.many(opened.method, handle, call)
            return
        request = await call.read()
        if request is None:
            raise CallError(Code.INTERNAL, "the call has no request")
        answer = await self._guard.one(method.path, method.handle, lambda: request, call)
        if not method.many_responses:
            await call.write(answer)

    def _passing_on(self, path: str) -> Callable[[Any], Awaitable[None]]:
        """What answers a method with its messages as they are. Raises CallError."""
        for prefix, handle in self._prefixes.items():
            if path.startswith(prefix):
                return partial(handle, path)
        raise CallError(Code.UNIMPLEMENTED, f"there is no method {quoted(path)}")

    def method(self, path: str) -> Served | None:
        """A method by its path; None: its messages are bytes."""
        return self._methods.get(path)

    def refused(self, told: pb.CallRefused) -> None:
        """A gateway has let somebody not in."""
        self._on_refused(read_caller(told.caller), told.method, told.reason)


class _Connected:
    """One gateway, and the calls that are open on it."""

    def __init__(self, service: GatewayCalls) -> None:
        self.is_ready = False
        self.pid = 0
        self.unanswered = 0  # pings
        self.outbox: Outbox[pb.GatewayAnswer] = Outbox()
        self.background = Background("a call that came through a gateway")
        self._service = service
        self._flows: dict[int, Flow] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def open(self) -> int:
        """How many calls are."""
        return len(self._flows)

    def take(self, told: pb.GatewayTold) -> None:
        """What a gateway says."""
        number = told.call
        match told.WhichOneof("what"):
            case "message":
                if flow := self._flows.get(number):
                    flow.came(told.message)
            case "taken_bytes":
                if flow := self._flows.get(number):
                    flow.taken(told.taken_bytes)
            case "opened":
                self._open(number, told.opened)
            case "said_all":
                if flow := self._flows.get(number):
                    flow.end()
            case "gone":
                if task := self._tasks.get(number):
                    task.cancel()
            case "ready":
                self.is_ready = True
                self.pid = told.ready.pid
            case "refused":
                self._service.refused(told.refused)

    def _open(self, number: int, opened: pb.CallOpened) -> None:
        flow = Flow(
            lambda message: self._put(pb.GatewayAnswer(call=number, message=message)),
            lambda taken: self._put(pb.GatewayAnswer(call=number, taken_bytes=taken)),
        )
        self._flows[number] = flow
        task = self._tasks[number] = self.background.start(self._answer(number, opened, flow))
        # Not by the task: one that is ended before it begins does nothing, not even at its end.
        task.add_done_callback(lambda _: self._forget(number))

    def _forget(self, number: int) -> None:
        del self._flows[number], self._tasks[number]

    async def _answer(self, number: int, opened: pb.CallOpened, flow: Flow) -> None:
        ended = pb.CallEnded()
        try:
            method = self._service.method(opened.method)
            caller = read_caller(opened.caller)
            call = GatewayCall(opened, caller, flow, method, self._service.complaints)
            await self._service.answer(opened, call)
        except Exception as error:
            refusal = refusal_of(opened.method, error)
            ended = pb.CallEnded(
                code=refusal.code.value, message=refusal.message, trailing=refusal.trailing
            )
        self._put(pb.GatewayAnswer(call=number, ended=ended))

    def _put(self, answer: pb.GatewayAnswer) -> None:
        self.outbox.put(answer, bounded=False)  # each call has its window

    def ping(self) -> None:
        """Ask it for a sign of life."""
        self._put(pb.GatewayAnswer(ping=pb.GatewayAnswer.Ping()))

    def lost(self) -> None:
        """The gateway has ended: so have its peers' calls."""
        for task in self._tasks.values():
            task.cancel()


def read_caller(said: masters_pb2.RelayedCaller) -> Caller:
    """Return who calls, as a gateway knows it."""
    return Caller(
        said.principal,
        Method(said.credential) if said.credential else None,
        said.credential_id,
        said.peer,
        "grpc",
        said.ends_s or math.inf,
        tuple(said.vouched_by),
    )
