"""What a decision goes by and what it comes to: instances as they are, and steps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts.state import Rollout


class Trouble(StrEnum):
    """Why an instance does not run, as far as that matters to its rollout."""

    NONE = ""
    CAPACITY = "no agent has room for it"
    IMAGE_UNAVAILABLE = "its image cannot be had at present"  # time-out, 429, 5xx
    IMAGE_REFUSED = "its image was not found, or is denied"
    TASK_ERROR = "it was refused, and would be again"


REFUSED = (Trouble.TASK_ERROR, Trouble.IMAGE_REFUSED)  # what waiting makes no better


@dataclass(frozen=True, slots=True)
class Member:
    """One instance of a task, as it is known now.

    Several may have the same index: the old one and the new one that takes its place, and one whose
    agent is drained. Versions of a job in which this task is the same are one version here.
    """

    key: str  # unlike that of any other, also of the same index and version
    index: int
    version: int
    begun_s: float  # when its start was decided: the `begun_s` of that step, which is kept
    phase: Phase = Phase.WAITING
    ready_since_s: float | None = None  # RUNNING, and its checks pass; None: it is not ready
    leaving: bool = False  # its stop was decided, or its task given up: it will not run again
    draining: bool = False  # its agent is being drained
    pinned: bool = False  # its data are on its agent: it can run nowhere else
    trouble: Trouble = Trouble.NONE  # an image's is kept until the instance runs
    trouble_text: str = ""

    @property
    def ready(self) -> bool:
        """Whether it does its work, and goes on doing it."""
        return self.ready_since_s is not None and self.phase is Phase.RUNNING and not self.leaving

    def stable(self, min_healthy_s: float, now_s: float) -> bool:
        """Return whether it has been ready for long enough to be trusted."""
        return self.ready and (self.ready_since_s or 0.0) + min_healthy_s <= now_s

    @property
    def live(self) -> bool:
        """Whether it has a task, or waits to have one."""
        return not self.leaving and self.phase is not Phase.DONE

    @property
    def hopeless(self) -> bool:
        """Whether it will not run, however long that is waited for."""
        return self.phase is Phase.DONE or self.trouble in REFUSED

    @property
    def lost(self) -> bool:
        """Whether its agent is unreachable: it may do its work, but nobody knows."""
        return not self.leaving and self.phase is Phase.UNREACHABLE

    @property
    def departs(self) -> bool:
        """Whether it is to leave an agent that is being drained, and can."""
        return self.draining and not self.pinned


@dataclass(frozen=True, slots=True)
class Start:
    """Another instance is to run; it waits for its place like any other."""

    index: int
    version: int
    why: str
    begun_s: float  # keep it as that of the Member


@dataclass(frozen=True, slots=True)
class Stop:
    """An instance is to leave for good; from now on its Member is `leaving`."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Promote:
    """The canaries are taken for good: they are in discovery from now on, like any other."""

    why: str


Step = Start | Stop | Promote


class Awaited(NamedTuple):
    """What has to come first: why it is waited for, or why it will not come by itself."""

    waits: str = ""
    failed: str = ""


NOTHING = Awaited()


class Decision(NamedTuple):
    """What is to be done now, and what is to be kept."""

    steps: tuple[Step, ...]
    rollout: Rollout
    look_at_s: float | None  # when to decide again (Unix) if nothing happens before; None: never
