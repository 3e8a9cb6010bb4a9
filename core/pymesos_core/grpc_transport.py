"""gRPC as the transport (see `transport.py`): calls that come in, and channels to others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from pymesos_core.addresses import HostPort
from pymesos_core.budgets import PeerBudgets, host_of
from pymesos_core.caller import Caller
from pymesos_core.complaints import Complaints
from pymesos_core.grpc_wakeups import prepare
from pymesos_core.guarding import Guard, refusal_of
from pymesos_core.outbox import MAX_MESSAGE_BYTES
from pymesos_core.security.identities import Kind
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code, Dial, Method, Service, served

if TYPE_CHECKING:
    from pymesos_core.security.credentials import Credentials, Joining
    from pymesos_core.security.gate import Gate

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES + 65536),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),  # a proxy of $http_proxy knows nothing of the cluster
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    # How long a connection may take, too: with less a thousand agents that come at once, after a
    # failover, give up what the master was about to accept, and come again.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

log = logging.getLogger(__name__)

Server: TypeAlias = grpc.aio.Server
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Decode = Callable[[bytes], Any]
_STATUS = {code: getattr(grpc.StatusCode, code.name) for code in Code}
_CODES = {status: code for code, status in _STATUS.items()}


def call_error(error: grpc.aio.AioRpcError) -> CallError:
    """What gRPC raised, as who uses the transport knows it."""
    trailing = {
        key: value if isinstance(value, str) else value.decode("utf-8", "replace")
        for key, value in error.trailing_metadata() or ()
    }
    code = _CODES.get(error.code(), Code.UNKNOWN)
    return CallError(code, error.details() or code.name, trailing)


# Calls that come in.


class GrpcCall:
    """A ServerCall."""

    def __init__(
        self,
        context: Context,
        caller: Caller,
        requests: AsyncIterator[bytes] | None,
        decode: Decode,
    ) -> None:
        self._context = context
        self.caller = caller
        self._requests = requests
        self._decode = decode

    @property
    def peer(self) -> str:
        """See ServerCall."""
        return self._context.peer()

    @property
    def metadata(self) -> Mapping[str, str]:
        """See ServerCall."""
        return {
            key: value
            for key, value in self._context.invocation_metadata() or ()
            if isinstance(value, str)
        }

    async def receive(self) -> Callable[[], Any] | None:
        """See ServerCall."""
        assert self._requests is not None, "a call with one request is given it"
        data = await anext(self._requests, None)
        return None if data is None else partial(self._decode, data)

    async def read(self) -> Any | None:
        """See ServerCall."""
        decode = await self.receive()
        return None if decode is None else decode()

    async def write(self, message: Any) -> None:
        """See ServerCall."""
        await self._context.write(message)


class Adapter(grpc.aio.ServerInterceptor):
    """Has the handlers of all services of a server called with a ServerCall.

    What comes over the wire and is no message is refused with a sentence, and said once: gRPC
    itself answers UNKNOWN and writes a traceback for each. So are faults of a handler.
    """

    def __init__(
        self,
        budgets: PeerBudgets,
        complaints: Complaints,
        gate: Gate,
        revocations: Revocations | None = None,
    ) -> None:
        self._guard = Guard(budgets, revocations)
        self._gate = gate
        self._complaints = complaints

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        decode, encode = handler.request_deserializer or bytes, handler.response_serializer
        if handler.request_streaming and handler.response_streaming:
            many = self._of_many(method, handler.stream_stream, decode)
            return grpc.stream_stream_rpc_method_handler(many, None, encode)
        if handler.response_streaming:
            some = self._of_one(method, handler.unary_stream, decode)
            return grpc.unary_stream_rpc_method_handler(some, None, encode)
        assert not handler.request_streaming, "no method takes many requests for one response"
        one = self._of_one(method, handler.unary_unary, decode)
        return grpc.unary_unary_rpc_method_handler(one, None, encode)

    def _of_one(
        self, method: str, behaviour: Callable[[Any, GrpcCall], Awaitable[Any]], decode: Decode
    ) -> Any:
        async def handle(data: bytes, context: Context) -> Any:
            try:
                call = GrpcCall(context, self._caller(method, context), None, decode)
                read = partial(self._decoded, data, decode, context)
                return await self._guard.one(method, behaviour, read, call)
            except Exception as error:
                await self._abort(method, error, context)

        return handle

    def _of_many(
        self, method: str, behaviour: Callable[[Any], Awaitable[Any]], decode: Decode
    ) -> Any:
        async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
            try:
                call = GrpcCall(
                    context,
                    self._caller(method, context),
                    requests,
                    lambda data: self._decoded(data, decode, context),
                )
                await self._guard.many(method, behaviour, call)
            except Exception as error:
                await self._abort(method, error, context)

        return handle

    def _caller(self, method: str, context: Context) -> Caller:
        """Raises CallError for whom the method is not for."""
        host = host_of(context.peer())
        try:
            return self._gate(method, host, context.auth_context())
        except CallError as error:
            self._complaints.say(host, "refused", error.message)
            raise

    def _decoded(self, data: bytes, decode: Decode, context: Context) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            # gRPC's own list of codes has INTERNAL for a request that cannot be parsed.
            self._complaints.say(host_of(context.peer()), "no message", str(error))
            raise CallError(Code.INTERNAL, str(error)) from None

    async def _abort(self, method: str, error: Exception, context: Context) -> NoReturn:
        if isinstance(error, grpc.aio.AioRpcError):
            error = call_error(error)
        refusal = refusal_of(method, error)
        trailing = tuple(refusal.trailing.items())
        await context.abort(_STATUS[refusal.code], refusal.message, trailing)


def add_service(server: Server, service: Service) -> None:
    """Have a server answer the methods of a service."""
    handlers = {}
    for method in served(service):
        streams = (
            "stream" if method.many_requests else "unary",
            "stream" if method.many_responses else "unary",
        )
        make = getattr(grpc, f"{'_'.join(streams)}_rpc_method_handler")
        name = method.path.rpartition("/")[2]
        handlers[name] = make(method.handle, method.decode, method.encode)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service.contract.full_name, handlers),)
    )


class _Prefix(grpc.GenericRpcHandler):
    def __init__(self, prefix: str, handle: Callable[[str, Any], Awaitable[None]]) -> None:
        self._prefix = prefix
        self._handle = handle

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if not method.startswith(self._prefix):
            return None

        async def handle(call: GrpcCall) -> None:
            await self._handle(method, call)

        return grpc.stream_stream_rpc_method_handler(handle)


def add_prefix(server: Server, prefix: str, handle: Callable[[str, Any], Awaitable[None]]) -> None:
    """Have a server answer all methods below `prefix`, with their messages as they are."""
    server.add_generic_rpc_handlers((_Prefix(prefix, handle),))


# Channels to others.


class GrpcStream:
    """A ClientStream."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._cancelled = False

    async def opened(self) -> None:
        """See ClientStream."""
        with self._errors():
            await self._call.wait_for_connection()

    async def read(self) -> Any | None:
        """See ClientStream."""
        with self._errors():
            message = await self._call.read()
        return None if message is grpc.aio.EOF else message

    async def write(self, message: Any) -> None:
        """See ClientStream."""
        with self._errors():
            await self._call.write(message)

    async def done_writing(self) -> None:
        """See ClientStream."""
        with self._errors():
            await self._call.done_writing()

    def cancel(self) -> None:
        """See ClientStream."""
        self._cancelled = True
        self._call.cancel()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Raises what gRPC does as CallError.

        gRPC says that a call is cancelled as if whoever waits for it were.
        """
        try:
            yield
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if self._cancelled and (me is None or not me.cancelling()):
                raise CallError(Code.CANCELLED, "this side has ended the stream") from None
            raise
        except grpc.aio.AioRpcError as error:
            raise call_error(error) from None
        except asyncio.InvalidStateError as error:
            raise CallError(Code.CANCELLED, str(error)) from None
        except grpc.aio.InternalError as error:  # as of a connection that is given up meanwhile
            raise CallError(Code.UNAVAILABLE, str(error)) from None


class GrpcChannel:
    """A Channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def stream(self, method: Method, metadata: Mapping[str, str] | None = None) -> GrpcStream:
        """See Channel."""
        make: Any = self._channel.stream_stream(
            method.path, request_serializer=method.encode, response_deserializer=method.decode
        )
        return GrpcStream(make(metadata=tuple((metadata or {}).items())))

    async def close(self) -> None:
        """See Channel."""
        await self._channel.close()


def dialer(credentials: Credentials | Joining | None) -> Dial:
    """What opens channels that prove who this process is; without credentials they do not."""

    def dial(address: HostPort, to: Kind, name: str = "") -> GrpcChannel:
        return GrpcChannel(open_channel(address, to, credentials, name))

    return dial


dial_plain = dialer(None)


def open_channel(
    address: HostPort,
    to: Kind = Kind.MASTER,
    credentials: Credentials | Joining | None = None,
    name: str = "",
) -> grpc.aio.Channel:
    """gRPC's own channel, for the stubs of calls that do not stream."""
    prepare(asyncio.get_running_loop())
    if credentials is None:
        return grpc.aio.insecure_channel(str(address), options=CHANNEL_OPTIONS)
    proof, options = credentials.channel(to, name)
    return grpc.aio.secure_channel(str(address), proof, options=[*CHANNEL_OPTIONS, *options])
