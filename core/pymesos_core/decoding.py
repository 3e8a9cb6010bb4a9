"""What comes over the wire and is no message at all: refused with a sentence, and said once.

gRPC itself answers UNKNOWN and writes a traceback for each.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from pymesos_core.complaints import Complaints

Context = grpc.aio.ServicerContext[Any, Any]
Decode = Callable[[bytes], Any]


class Decoding(grpc.aio.ServerInterceptor):
    """Has every call decoded here, where it is known what to do with one that cannot be."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_deserializer is None:
            return handler
        decode, encode = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming and handler.response_streaming:
            many = self._of_stream(handler.stream_stream, decode)
            return grpc.stream_stream_rpc_method_handler(many, None, encode)
        if handler.response_streaming:
            some = self._of_one_to_many(handler.unary_stream, decode)
            return grpc.unary_stream_rpc_method_handler(some, None, encode)
        if handler.request_streaming:
            return handler  # there is none yet
        return grpc.unary_unary_rpc_method_handler(
            self._of_one(handler.unary_unary, decode), None, encode
        )

    def _of_one(self, behavior: Callable[..., Awaitable[Any]], decode: Decode) -> Any:
        async def call(data: bytes, context: Context) -> Any:
            return await behavior(await self._decoded(data, decode, context), context)

        return call

    def _of_one_to_many(self, behavior: Callable[..., Any], decode: Decode) -> Any:
        async def call(data: bytes, context: Context) -> None:
            request = await self._decoded(data, decode, context)
            await _answer(behavior(request, context), context)

        return call

    def _of_stream(self, behavior: Callable[..., Any], decode: Decode) -> Any:
        async def call(parts: AsyncIterator[bytes], context: Context) -> None:
            async def requests() -> AsyncIterator[Any]:
                async for data in parts:
                    yield await self._decoded(data, decode, context)

            await _answer(behavior(requests(), context), context)

        return call

    async def _decoded(self, data: bytes, decode: Decode, context: Context) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            # The peer without its port, which is another for each connection. gRPC's own list of
            # codes has INTERNAL for a request that cannot be parsed.
            self._complaints.say(context.peer().rpartition(":")[0], "no message", str(error))
            await context.abort(grpc.StatusCode.INTERNAL, str(error))


async def _answer(answering: Any, context: Context) -> None:
    """Both ways to write a handler that streams: a coroutine that writes, or a generator."""
    if not hasattr(answering, "__aiter__"):
        await answering
        return
    async with contextlib.aclosing(answering) as answers:
        async for answer in answers:
            await context.write(answer)
