"""The agent's stream to the master that leads: registrations, messages both ways, the last words.

A stream may be there still when the next has begun, so each has a number, by which the core says to
which of them it speaks.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from google.protobuf.message import Message

from pymesos_agent.core import AgentCore
from pymesos_agent.core.events import Connected, Disconnected, Event, MasterSaid
from pymesos_core.addresses import HostPort
from pymesos_core.copies import add_all
from pymesos_core.outbox import Outbox
from pymesos_core.streams import use_stream
from pymesos_core.transport import Channel, ClientStream, method_of
from pymesos_proto.v1 import agent_pb2 as pb

log = logging.getLogger(__name__)

CONNECT = method_of("/pymesos.v1.Agent/Connect", pb.AgentBatch, pb.MasterBatch)

REGISTER_BYTES = 512 * 1024
LAST_WORD_S = 1.0
Record = TypeVar("Record", bound=Message)


class MasterStreams:
    """The streams of one agent, of which one is registered."""

    def __init__(
        self,
        core: AgentCore,
        feed: Callable[[Event], None],
        hear_secrets: Callable[[pb.MasterMessage.Secrets], None],
        mono_s: Callable[[], float],
    ) -> None:
        """`feed` hears all that a master says but values of secrets, which `hear_secrets` does."""
        self._core = core
        self._feed = feed
        self._hear_secrets = hear_secrets
        self._mono_s = mono_s
        self._streams: dict[int, Outbox[pb.AgentMessage]] = {}
        self._connections = itertools.count(1)
        self._last = asyncio.Event()  # what is said now is said last

    async def session(self, channel: Channel, address: HostPort) -> None:
        """One stream: register, then pass messages both ways until it ends."""
        connection_id = next(self._connections)
        outbox: Outbox[pb.AgentMessage] = Outbox()
        self._streams[connection_id] = outbox
        stream = channel.stream(CONNECT)

        def hear(batch: pb.MasterBatch) -> None:
            for message in batch.message:
                if self._takes_out(connection_id, batch.epoch, message):
                    continue
                if message.HasField("registered"):
                    log.info("registered with %s as %s", address, message.registered.agent_id)
                self._feed(MasterSaid(connection_id, batch.epoch, message))

        def ended() -> None:
            del self._streams[connection_id]
            self._feed(Disconnected(connection_id))

        begun = partial(self._feed, Connected(connection_id))
        await use_stream(stream, outbox, _write(stream, outbox, self._last), begun, hear, ended)

    def _takes_out(self, connection_id: int, epoch: int, message: pb.MasterMessage) -> bool:
        """Whether a message has values of secrets, which go no further than to who waits for them.

        They are believed of the master that this agent obeys, and of no other.
        """
        if not message.HasField("secrets"):
            return False
        obeyed = epoch >= self._core.state.epoch_seen
        if obeyed and connection_id == self._core.registered_on:
            self._hear_secrets(message.secrets)
        return True

    def tell(self, connection_id: int, message: pb.AgentMessage) -> None:
        """To the master at the end of one stream, if that is there still."""
        if connection_id in self._streams:
            for part in cut_registration(message):
                # A registration is bounded by what an agent may hold.
                self._streams[connection_id].put(part, bounded=not message.HasField("register"))

    def tell_registered(self, message: pb.AgentMessage) -> bool:
        """To the master that has taken this agent in, if one has; whether it has."""
        if (connection_id := self._core.registered_on) not in self._streams:
            return False
        self._streams[connection_id].put(message)
        return True

    def leave(self, connection_id: int) -> None:
        """End one stream."""
        if connection_id in self._streams:
            self._streams[connection_id].close()

    async def end(self) -> None:
        """Say what is to be said still, and end them all."""
        self._last.set()
        for outbox in self._streams.values():
            outbox.close()
        begin_s = self._mono_s()
        while self._streams and self._mono_s() < begin_s + LAST_WORD_S:
            await asyncio.sleep(0.01)


async def _write(
    stream: ClientStream, outbox: Outbox[pb.AgentMessage], last: asyncio.Event
) -> None:
    while (batch := await outbox.batch()) is not None:
        messages = pb.AgentBatch()
        add_all(messages.message, batch)
        await stream.write(messages)
    if last.is_set():
        await stream.done_writing()  # the master ends the stream when it has read all
    else:
        stream.cancel()


def cut_registration(message: pb.AgentMessage) -> list[pb.AgentMessage]:
    """A registration that would exceed the limit of a message, in several."""
    if not message.HasField("register") or message.ByteSize() <= REGISTER_BYTES:
        return [message]
    register = pb.Register()
    register.CopyFrom(message.register)
    records = list(register.tasks)
    executors = list(register.executors)
    del register.tasks[:], register.executors[:]
    register.more_tasks = True
    more = [pb.MoreTasks(tasks=some, more_tasks=True) for some in _in_groups(records)]
    more += [pb.MoreTasks(executors=some, more_tasks=True) for some in _in_groups(executors)]
    more[-1].more_tasks = False
    return [
        pb.AgentMessage(register=register),
        *(pb.AgentMessage(more_tasks=part) for part in more),
    ]


def _in_groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records in lists that each fit into a message; at least one list."""
    groups: list[list[Record]] = [[]]
    size = 0
    for record in records:
        if groups[-1] and size + record.ByteSize() > REGISTER_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(record)
        size += record.ByteSize()
    return groups
