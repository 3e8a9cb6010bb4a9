"""What an agent takes from the machine that it runs on, passed in as one thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pymesos_agent import machine
from pymesos_agent.containers.sessions import Entry
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.containers.usage import ContainerUsage, read_usage
from pymesos_agent.files.config import Rendering
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.memory import Memory
from pymesos_agent.health.checking import run_check
from pymesos_agent.health.forks import ForkWatch, cap_cpu
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb

AskTask = Callable[
    [pb.Check, ContainerSpec, int, Callable[[list[str]], Entry], float], Awaitable[None]
]


class Forks(Protocol):
    """Who looks how often containers were refused processes: see ForkWatch."""

    def look(self, pids: Mapping[str, int]) -> dict[str, int]:
        """By container, since the last look."""
        ...


@dataclass(frozen=True)
class Host:
    """The real machine, unless something else is given, as by a simulation."""

    folders: Callable[[Path, bool], Folders] = lambda path, sized: Folders(path, sized=sized)
    rendering: Callable[[Memory | None], Rendering] = lambda memory: Rendering(memory=memory)
    forks: Callable[[], Forks] = ForkWatch
    cap_cpu: Callable[[int, int], None] = cap_cpu
    ask: AskTask = run_check
    usage: Callable[[Path, int], agent_pb.Usage] = machine.usage
    usage_of: Callable[[int], ContainerUsage | None] = read_usage
    disk_used_fraction: Callable[[Path], float] = machine.disk_used_fraction


HOST = Host()
