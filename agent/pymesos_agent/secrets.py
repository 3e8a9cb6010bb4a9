"""The secrets of tasks: asked for as a container is about to start, and kept in memory only.

What comes for the master's stream is taken out of it here, before the core hears of anything: so no
event, no record and no crash file has a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from pymesos_agent.containers.spec import ContainerSpec, SecretValues
from pymesos_agent.files.config import NOTHING, ConfigError, Found, Rendering
from pymesos_agent.files.memory import Memory
from pymesos_core import contract, limits
from pymesos_core.containers import secret_names
from pymesos_core.text import cut, os_problem
from pymesos_proto.v1 import agent_pb2 as pb

AGAIN_S = 5.0  # after which it is asked again, also of another leader
MAX_ASKED = 12  # times, of a master that has taken this agent in
MAX_SAID = 1000

Key = tuple[str, str]  # framework, task


class SecretsError(Exception):
    """A container gets no secrets: the message says why, and has no value in it."""


class Secrets:
    """Asks for values, and gives them to containers."""

    def __init__(
        self,
        memory: Memory | None,
        ask: Callable[[pb.AgentMessage], bool],
        rendering: Rendering,
    ) -> None:
        """`ask` sends to the master that has taken this agent in; whether there is one."""
        self._memory = memory
        self._ask = ask
        self._rendering = rendering
        self._waiting: dict[Key, asyncio.Future[pb.MasterMessage.Secrets]] = {}

    def heard(self, told: pb.MasterMessage.Secrets) -> None:
        """A master answers. What nobody waits for is forgotten at once."""
        waiting = self._waiting.get((told.framework_id, told.task_id))
        if waiting is not None and not waiting.done():
            waiting.set_result(told)

    async def give(self, spec: ContainerSpec, told: Mapping[str, Found] = NOTHING) -> ContainerSpec:
        """Get what a container asks for: files are written, and the rest is in what is returned.

        `told` is whose addresses its config files use. Raises SecretsError.
        """
        values = await self._values(spec)
        container = spec.info.container
        files = {use.path: values[use.name] for use in container.secrets if use.path}
        variables = {
            use.env: _text(use.name, values[use.name]) for use in container.secrets if use.env
        }
        login = ""
        if container.image_secret:
            login = _login(container.image_secret, values[container.image_secret])
        if any(file.secrets for file in container.config):
            try:
                files |= await self._rendering.with_secrets(spec, values, told)
            except ConfigError as error:
                raise SecretsError(str(error)) from None
        if files:
            self._write(spec, files)
        return replace(spec, secrets=SecretValues(variables, login))

    def _write(self, spec: ContainerSpec, files: Mapping[str, bytes]) -> None:
        """Raises SecretsError."""
        if self._memory is None:
            raise SecretsError("this machine has no storage in memory for its secrets")
        try:
            self._memory.put(spec.container_id, files)
        except OSError as error:
            said = os_problem(error)
            raise SecretsError(f"its secrets cannot be put into memory: {said}") from None

    async def _values(self, spec: ContainerSpec) -> Mapping[str, bytes]:
        """Raises SecretsError."""
        told = await self._answer((spec.framework_id, spec.info.task_id))
        if told.problem:
            raise SecretsError(cut(told.problem, MAX_SAID))
        if problem := contract.problem(told):
            raise SecretsError(f"the master's answer for its secrets cannot be used: {problem}")
        values = {each.name: each.value for each in told.values}
        total_bytes = 0
        for name in secret_names(spec.info.container):
            if name not in values:
                raise SecretsError(f"the master did not send the secret {name}")
            total_bytes += len(values[name])
        if total := limits.TASK_VALUES.problem(total_bytes):
            raise SecretsError(total)
        return values

    async def _answer(self, key: Key) -> pb.MasterMessage.Secrets:
        """Raises SecretsError."""
        wanted = pb.AgentMessage.SecretsWanted(framework_id=key[0], task_id=key[1])
        waiting: asyncio.Future[pb.MasterMessage.Secrets]
        waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
        asked = 0
        try:
            while asked < MAX_ASKED:
                asked += self._ask(pb.AgentMessage(secrets_wanted=wanted))
                done, _ = await asyncio.wait((waiting,), timeout=AGAIN_S)
                if done:
                    return waiting.result()
        finally:
            if self._waiting.get(key) is waiting:
                del self._waiting[key]
        raise SecretsError(
            f"the master did not answer for its secrets, asked {MAX_ASKED} times: is it of a"
            f" version that knows none?"
        )


def _text(name: str, value: bytes) -> str:
    """Raises SecretsError."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise SecretsError(
            f"the secret {name} is no text, so it cannot be a variable: ask for it with a path"
        )
    return text


def _login(name: str, value: bytes) -> str:
    """Raises SecretsError."""
    text = _text(name, value).removesuffix("\n")
    user, colon, password = text.partition(":")
    if not (user and colon and password) or "\n" in text:
        raise SecretsError(
            f"the secret {name} is to be USER:PASSWORD of the image's registry, in one line"
        )
    return text
