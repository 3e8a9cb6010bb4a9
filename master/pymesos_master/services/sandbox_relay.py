"""The Sandbox service of every agent, for those who can reach only the master.

A call names the agent in its metadata; its messages are passed on as they are, both ways.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from pymesos_core.addresses import HostPort
from pymesos_core.following import AGENT_KEY, describe, open_channel
from pymesos_master.services.leading import Leadership

PREFIX = "/pymesos.v1.Sandbox/"
MAX_RELAYED = 256

Context = grpc.aio.ServicerContext[Any, Any]


class SandboxRelay(grpc.GenericRpcHandler):
    """Answers calls whose method is one of the Sandbox service."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._relayed = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """See grpc.GenericRpcHandler."""
        method = handler_call_details.method
        if not method.startswith(PREFIX):
            return None
        metadata = dict(handler_call_details.invocation_metadata or ())
        return grpc.stream_stream_rpc_method_handler(
            self._relay(method, str(metadata.get(AGENT_KEY, "")))
        )

    def _relay(
        self, method: str, agent_id: str
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        # Not a generator: one whose call was cancelled clears up only when it is collected.
        async def relay(requests: AsyncIterator[bytes], context: Context) -> None:
            address = await self._address(agent_id, context)
            if self._relayed >= MAX_RELAYED:
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"this master relays {MAX_RELAYED} calls already",
                )
            self._relayed += 1
            try:
                async with open_channel(address) as channel:
                    call: Any = channel.stream_stream(method)
                    async for part in call(requests):
                        await context.write(part)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), describe(error))
            finally:
                self._relayed -= 1

        return relay

    async def _address(self, agent_id: str, context: Context) -> HostPort:
        async with self._leadership.asked(context) as leader:
            agent = leader.queries.agent(agent_id)
        return HostPort(agent.info.address.ip, agent.info.address.port)
