"""What one peer may take of a server, before it is known who it is: keyed by its address.

One interceptor for all services of a server. It counts the calls that are open, ends streams on
which nothing was said in time, and lets one short call in at each turn of the loop. What comes
before a call (connections on which nothing is said) is bounded by gRPC's own options
(`pymesos_core.serving.server_options`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio

from pymesos_core.limits import PEER_CALLS, Limit
from pymesos_core.turns import Turns

FIRST_MESSAGE_S = 10.0

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class SilentError(Exception):
    """Nothing was said on a stream for too long after it was opened."""


class _Requests:
    """The messages of a stream, of which the first must come in time. Raises SilentError."""

    def __init__(self, requests: AsyncIterator[Any], timeout_s: float) -> None:
        self._requests = requests
        self._timeout_s: float | None = timeout_s

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Any:
        if self._timeout_s is None:
            return await anext(self._requests)
        try:
            async with asyncio.timeout(self._timeout_s):
                first = await anext(self._requests)
        except TimeoutError:
            raise SilentError from None
        self._timeout_s = None
        return first


def host_of(peer: str) -> str:
    """The address of a peer without its port: `ipv4:10.0.0.1:4321` is `ipv4:10.0.0.1`."""
    return peer.rpartition(":")[0] or peer


class PeerBudgets(grpc.aio.ServerInterceptor):
    """Bounds what each address has open."""

    def __init__(
        self, limits: Mapping[str, Limit] | None = None, first_message_s: float = FIRST_MESSAGE_S
    ) -> None:
        """`limits` by the method's full name; all others share PEER_CALLS."""
        self._limits = limits or {}
        self._first_message_s = first_message_s
        self._open: Counter[tuple[str, str]] = Counter()  # by the limit's name and the host
        self._turns = Turns()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """See grpc.aio.ServerInterceptor."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        limit = self._limits.get(handler_call_details.method, PEER_CALLS)
        name = f"{'stream' if handler.request_streaming else 'unary'}_" + (
            "stream" if handler.response_streaming else "unary"
        )
        wrapped = self._wrap(getattr(handler, name), limit, streams=handler.request_streaming)
        make = getattr(grpc, f"{name}_rpc_method_handler")
        return cast(
            "Handler", make(wrapped, handler.request_deserializer, handler.response_serializer)
        )

    def _wrap(self, behaviour: Behaviour, limit: Limit, *, streams: bool) -> Behaviour:
        async def wrapped(request: Any, context: Context) -> Any:
            host = host_of(context.peer())
            with self._counted(limit, host) as problem:
                if problem is not None:
                    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)
                if not streams:
                    await self._turns.next(host)
                    return await behaviour(request, context)
                try:
                    return await behaviour(_Requests(request, self._first_message_s), context)
                except SilentError:
                    await context.abort(
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        f"nothing was said on this stream for {self._first_message_s:g} s after it"
                        f" was opened",
                    )

        return wrapped

    @contextlib.contextmanager
    def _counted(self, limit: Limit, host: str) -> Iterator[str | None]:
        key = (limit.name, host)
        self._open[key] += 1
        try:
            yield limit.problem(self._open[key], f"The address {host}")
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
