"""Connections to what agents answer by HTTP, for those who can reach only the master."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymesos_core.addresses import HostPort
from pymesos_core.security.identities import Kind, name_in
from pymesos_core.tasks import running
from pymesos_core.text import duration
from pymesos_core.transport import CallError, ClientStream, Code, method_of
from pymesos_core.tunnelling import carry
from pymesos_master.services.leading import Leadership
from pymesos_proto.v1 import agent_http_pb2 as pb

TIMEOUT_S = 8.0  # until an agent is there
CONNECT = method_of("/pymesos.v1.AgentHttp/Connect", pb.HttpPart, pb.HttpPart)


def agent_at(leadership: Leadership, agent_id: str) -> tuple[HostPort, str]:
    """Where an agent is, and its name in its certificate, if it has one. Raises CallError."""
    with leadership.asked() as leader:
        agent = leader.queries.agent(agent_id)
        if (who := agent.info.principal) in leader.core.state.revoked():
            raise CallError(Code.UNAVAILABLE, f"{who} is revoked, so nothing is asked of it")
    at = HostPort(agent.info.address.ip, agent.info.address.port)
    return at, name_in(agent.info.principal, Kind.AGENT)


@dataclass
class AgentConnection:
    """A connection to an agent."""

    socket: socket.socket
    error: CallError | None = None  # why it has ended, once that is known


class AgentConnections:
    """Opens them, through the agents' own ports, by what masters and agents prove to each other."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._dial = leadership.outside.dial

    @asynccontextmanager
    async def open(self, agent_id: str, rights: pb.HttpRights) -> AsyncIterator[AgentConnection]:
        """A connection by which so much may be done; it ends with the body. Raises CallError."""
        address, name = agent_at(self._leadership, agent_id)
        channel = self._dial(address, Kind.AGENT, name)
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        opened = AgentConnection(ours)
        try:
            stream = channel.stream(CONNECT)
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await stream.opened()
                    await stream.write(pb.HttpPart(rights=rights))
            except TimeoutError:
                told = f"the agent does not answer within {duration(TIMEOUT_S)}"
                raise CallError(Code.DEADLINE_EXCEEDED, told) from None
            async with running(_carried(stream, theirs, opened)):
                yield opened
        finally:
            ours.close()
            theirs.close()
            await channel.close()


async def _carried(stream: ClientStream, end: socket.socket, opened: AgentConnection) -> None:
    async def read() -> bytes | None:
        part = await stream.read()
        return None if part is None else bytes(part.data)

    async def write(data: bytes) -> None:
        await stream.write(pb.HttpPart(data=data))

    try:
        await carry(end, read, write)
    except CallError as error:
        opened.error = error
