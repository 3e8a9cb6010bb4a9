"""The Sandbox service of every agent, for those who can reach only the master.

A call names the agent in its metadata; its messages are passed on as they are, both ways.
"""

from __future__ import annotations

import contextlib

from pymesos_core.addresses import HostPort
from pymesos_core.following import AGENT_KEY, describe
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.tasks import beside
from pymesos_core.transport import CallError, ClientStream, Code, Method, ServerCall
from pymesos_master.services.leading import Leadership

PREFIX = "/pymesos.v1.Sandbox/"
MAX_RELAYED = 256


class SandboxRelay:
    """Passes the calls of the Sandbox service on to the agents that they name."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._dial = leadership.outside.dial
        self._relayed = 0

    async def relay(self, method: str, call: ServerCall[bytes, bytes]) -> None:
        """Pass a call on, whatever its method is. Raises CallError."""
        address, name = self._agent(call.metadata.get(AGENT_KEY, ""))
        if self._relayed >= MAX_RELAYED:
            raise CallError(
                Code.RESOURCE_EXHAUSTED, f"this master relays {MAX_RELAYED} calls already"
            )
        self._relayed += 1
        channel = self._dial(address, Kind.AGENT, name)
        try:
            stream = channel.stream(Method(method, bytes, bytes))
            async with beside(_pass_on(call, stream)):
                while (part := await stream.read()) is not None:
                    await call.write(part)
        except CallError as error:
            raise CallError(error.code, describe(error), error.trailing) from None
        finally:
            self._relayed -= 1
            await channel.close()

    def _agent(self, agent_id: str) -> tuple[HostPort, str]:
        """Where it is, and its name in its certificate, if it has one."""
        with self._leadership.asked() as leader:
            agent = leader.queries.agent(agent_id)
        at = HostPort(agent.info.address.ip, agent.info.address.port)
        return at, name_in(agent.info.principal, Kind.AGENT)


async def _pass_on(call: ServerCall[bytes, bytes], stream: ClientStream) -> None:
    with contextlib.suppress(CallError):  # of an agent that is gone, who reads is told
        while (part := await call.read()) is not None:
            await stream.write(part)
        await stream.done_writing()
