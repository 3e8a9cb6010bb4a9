"""What every runtime does. Logs are files in the sandbox, so no runtime has a verb for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pymesos_agent.containers.sessions import Entry
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerPulling,
    ContainerStarted,
    ContainerState,
    RuntimeAway,
    RuntimeBack,
    RuntimeBroken,
    RuntimeMended,
)
from pymesos_core.discovery.forwarding import Bridge
from pymesos_core.resources import Resources
from pymesos_core.stop_signals import TERM

ContainerEvent = ContainerPulling | ContainerStarted | ContainerFailed | ContainerExited
RuntimeEvent = ContainerEvent | RuntimeAway | RuntimeBack | RuntimeBroken | RuntimeMended
OnEvent = Callable[[RuntimeEvent], None]
# Has a name server answer containers; returns where, empty if it cannot.
AnswerAt = Callable[[Bridge], str]


class RuntimeUnavailableError(Exception):
    """The runtime does not work here: the message says why."""


class Runtime(Protocol):
    """Starts and ends containers; tells of each through the callback given to `start`.

    Everything but `start`, `recover` and `close` returns at once; what comes of it is told later,
    in the event loop. Containers outlive the agent: `close` leaves them running. One that stops
    answering says RuntimeAway, once, and RuntimeBack with what it holds when it answers again. One
    that answers and starts nothing says RuntimeBroken, and later RuntimeMended (`trials.py`).
    """

    name: str

    @property
    def isolation(self) -> Mapping[str, str]:
        """What holds each resource: {"mem": "cgroup v1", "cpu": "none"}."""

    async def start(self, on_event: OnEvent) -> None:
        """Make it work. Raises RuntimeUnavailableError."""

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """The containers that are there, given the main process of each that was checkpointed.

        `foreign` are the containers of other runtimes: nothing is done to them.
        """

    def launch(self, spec: ContainerSpec) -> None:
        """Start a container; once, however often it is asked."""

    @property
    def can_resize(self) -> bool:
        """Whether the limits of a container that runs can be changed."""

    def resize(self, container_id: str, resources: Resources) -> None:
        """Change its limits. Memory is raised, never lowered: what it uses cannot be taken."""

    def kill(self, container_id: str, *, force: bool, first: str = TERM) -> None:
        """Send the whole container the signal that comes first, or SIGKILL when `force`."""

    def signal(self, container_id: str, name: str) -> None:
        """Send a container a signal that is not to end it, as one to reload; where that is safe."""

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """How to run a command in a container that runs; `term` names the terminal it has, if any.

        Raises EntryError.
        """

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """Where a container's files are on the machine, besides its sandbox and volumes."""

    def destroy(self, container_id: str) -> None:
        """Forget a container that has ended, and remove all of it but its sandbox."""

    async def close(self) -> None:
        """Let go of the runtime, not of its containers."""
