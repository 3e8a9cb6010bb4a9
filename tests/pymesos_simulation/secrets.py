"""Secrets in the weather: operators set and remove one, and its value is where it may be only.

It may be in the one message to an agent that was given a task which uses it, and in what that task
is launched with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymesos_agent.files.memory import Memory
from pymesos_core.security.secrets import Keyring
from pymesos_master.services.leading import Keys
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import gateways_pb2

if TYPE_CHECKING:
    from pymesos_simulation.world import World

NAME = "db"
PLANTED = b"planted-in-the-weather"
KEYRING = Keyring([b"k" * 32])


class SimulatedKeys(Keys):
    """A key file that every master has."""

    def read(self) -> Keyring:
        """See Keys."""
        return KEYRING


class SimulatedMemory(Memory):
    """The memory of a machine, which outlives its agent: the files of each container."""

    def __init__(self, files: dict[str, Mapping[str, bytes]]) -> None:
        super().__init__(Path("/nonexistent"))
        self._files = files

    def put(self, container_id: str, files: Mapping[str, bytes]) -> None:
        """See Memory."""
        self._files[container_id] = dict(files)

    def remove(self, container_id: str) -> None:
        """See Memory."""
        self._files.pop(container_id, None)

    def close(self) -> None:
        """See Memory."""

    def sweep(self, kept: Collection[str]) -> None:
        """See Memory."""
        for container_id in self._files.keys() - kept:
            del self._files[container_id]


def check_step(world: World, event: object, effects: object) -> None:
    """No event and no effect of a core has the value."""
    if world.secrets:
        assert PLANTED.decode() not in repr((event, effects)), "a core has the value of a secret"


def check_written(world: World, data: bytes, where: str) -> None:
    """Nothing that is written has it."""
    assert not world.secrets or PLANTED not in data, f"the value of a secret is in {where}"


def check_sent(world: World, receiver: str, message: Any, data: bytes) -> None:
    """A secret is sent to agents with a task that uses it, in a message of its own."""
    if not world.secrets:
        return
    if isinstance(message, agent_pb.MasterBatch):
        _note_given(world, receiver, message)
    if PLANTED not in data:
        return
    if isinstance(message, gateways_pb2.GatewayAnswers):  # on its machine; then it goes to an agent
        return
    assert isinstance(message, agent_pb.MasterBatch), f"{type(message).__name__} has a secret"
    for each in message.message:
        if PLANTED in each.SerializeToString():
            assert each.HasField("secrets"), f"{each.WhichOneof('message')} has a secret"
            key = (each.secrets.framework_id, each.secrets.task_id)
            assert (receiver, *key) in world.given, f"{receiver} gets a secret of {key}"
            world.counts["secret given"] += 1


def _note_given(world: World, agent: str, batch: agent_pb.MasterBatch) -> None:
    """The tasks that an agent was ever sent: it may ask for their secrets, and for no others."""
    for message in batch.message:
        one, group = message.launch, message.launch_group
        if message.HasField("launch"):
            world.given.add((agent, one.framework_id, one.task_info.task_id))
        for info in group.task_infos:
            world.given.add((agent, group.framework_id, info.task_id))
