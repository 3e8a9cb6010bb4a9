"""What waits to be placed, and what the planner says of what it did not place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pymesos_binpack.constraints import Constraint


@dataclass(frozen=True)
class PendingTask:
    """A task to be placed. `group` names the instances among which UNIQUE and GROUP_BY count.

    Tasks of one `gang` are placed together or not at all. `volumes` are ids of volumes that the
    task has already, on the agent `home`; it runs where they are. One that has a `home` without any
    is of that agent, as a daemon is. `host_ports` are those of its `ports` that are wanted by
    number.
    """

    task_id: str
    group: str
    scalars: Mapping[str, int]
    ports: int = 0
    constraints: tuple[Constraint, ...] = ()
    runtimes: tuple[str, ...] = ()  # one of these must be there; none: any will do
    priority: int = 0
    gang: str = ""
    volumes: tuple[str, ...] = ()
    home: str = ""
    home_name: str = ""
    secrets: bool = False  # it uses some
    signals: bool = False  # it is to be ended by another one than SIGTERM
    host_ports: tuple[int, ...] = ()
    config: bool = False  # it has config files
    addresses: bool = False  # of others are in some of them
    secret_addresses: bool = False  # some of them have secrets, too
    revocable: bool = False  # it runs on what others may take back, and on nothing else

    @property
    def needs(self) -> tuple[bool, ...]:
        """What agents of earlier versions lack."""
        return (
            self.secrets,
            self.signals,
            self.config,
            self.addresses,
            self.secret_addresses,
        )

    @property
    def is_of_agent(self) -> bool:
        """Whether it is of one agent, whatever that has."""
        return bool(self.home) and not self.volumes

    def may_be_on(self, agent_id: str) -> bool:
        """Whether an agent is the one that it is of: volumes of its name that were given up may be
        on others."""
        return self.home in ("", agent_id)

    def kind(self) -> tuple[object, ...]:
        """What decides where it fits: two of a kind fit in the same places."""
        group = self.group if self.constraints else ""
        needs = frozenset(self.scalars.items())
        return (
            needs,
            self.ports,
            self.constraints,
            self.runtimes,
            group,
            self.volumes,
            self.home,
            self.needs,
            self.host_ports,
            self.revocable,
        )


class Cause(StrEnum):
    """Which reason it is that holds a task back."""

    NO_AGENT = "NO_AGENT"  # none was offered yet
    UNKNOWN_RESOURCE = "UNKNOWN_RESOURCE"  # no agent has any
    TOO_LARGE = "TOO_LARGE"  # for every agent
    UNWELCOME = "UNWELCOME"  # to every agent: constraints, runtimes, models of GPUs
    NOT_OFFERED = "NOT_OFFERED"  # those that could run it: the master says why
    TOO_LITTLE_FREE = "TOO_LITTLE_FREE"  # of what is offered
    NO_SUCH_PORT = "NO_SUCH_PORT"  # no agent has a host port that it wants
    PORT_TAKEN = "PORT_TAKEN"  # others hold a host port that it wants
    KEPT = "KEPT"  # what is free is for tasks of higher priority
    PREEMPTING = "PREEMPTING"  # others are killed for it
    GANG = "GANG"  # it does not fit as a whole
    OTHERS_FIRST = "OTHERS_FIRST"
    VOLUME_UNREACHABLE = "VOLUME_UNREACHABLE"
    VOLUME_NOT_OFFERED = "VOLUME_NOT_OFFERED"
    VOLUME_MISSING = "VOLUME_MISSING"
    VOLUME_RULED_OUT = "VOLUME_RULED_OUT"  # it may not run where its data are
    VOLUMES_APART = "VOLUMES_APART"  # on several agents
    DEPENDENCY = "DEPENDENCY"  # a task that comes before it is not so far
    DEPENDENCY_FAILED = "DEPENDENCY_FAILED"  # and will not be by itself
    BACK_OFF = "BACK_OFF"  # it crashed, and is kept back
    AGENT_UNREACHABLE = "AGENT_UNREACHABLE"  # it may run there
    NO_MASTER = "NO_MASTER"
    STORING = "STORING"  # its launch


@dataclass(frozen=True)
class Refusal:
    """Why a task was not placed, in words. `lasting`: no agent known could ever run it.

    `nearest` says what is missing on the agent where the least is.
    """

    text: str
    lasting: bool
    nearest: str = ""
    cause: Cause = Cause.NOT_OFFERED
