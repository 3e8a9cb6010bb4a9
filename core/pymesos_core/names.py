"""What a person calls a task, job, agent or framework, and which of them is meant.

A run of a periodic task is named behind its task: JOB.task@RUN, with the name that it has.

An exact id counts first, then an exact name (a job's, JOB.task, JOB.task.instance, a host), then
what an id or a name begins with; a part in the middle never counts. What lives comes before what
has ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pymesos_proto.v1 import types_pb2 as pb

Item = TypeVar("Item")

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
# As the bin-packing framework makes ids: JOB-random.task.instance.attempt, with .vN or .vNrM
# before the attempt for instances of later versions of the job; +sidecar beside it.
_TASK_ID = re.compile(
    rf"(?P<job_id>(?P<job>{_NAME})-[0-9a-f]{{8}})\.(?P<task>{_NAME})\.(?P<instance>[0-9]+)"
    rf"(?:\.v(?P<version>[0-9]+)(?:r(?P<again>[0-9]+))?)?\.(?P<attempt>[0-9]+)(?:\+(?P<sidecar>{_NAME}))?"
)


@dataclass(frozen=True)
class TaskName:
    """The parts of the id of a job's task."""

    job_id: str
    job: str
    task: str
    instance: int
    attempt: int
    sidecar: str = ""
    version: int = 1  # of the job, since which it has this instance
    again: int = 0  # how many of the same index it had since then

    @property
    def of_instance(self) -> str:
        """The same for all attempts: only the latest is meant by a name."""
        return f"{self.job_id}.{self.task}.{self.instance}{self._beside}"

    @property
    def _beside(self) -> str:
        return f"+{self.sidecar}" if self.sidecar else ""

    @property
    def names(self) -> tuple[str, ...]:
        """JOB, JOB.task and JOB.task.instance, with the job's name and with its id.

        Of later versions also as `jobs JOB` shows an instance: JOB.task.instance.v3.
        """
        again = f"r{self.again}" if self.again else ""
        version = f".v{self.version}{again}" if self.version > 1 or again else ""
        out: list[str] = []
        for head in (self.job, self.job_id):
            task = f"{head}.{self.task}"
            out += (head, task, f"{task}.{self.instance}")
            if version:
                out.append(f"{task}.{self.instance}{version}")
            if self.sidecar:
                out += (f"{task}{self._beside}", f"{task}.{self.instance}{self._beside}")
        return tuple(out)


def parse_task_id(task_id: str) -> TaskName | None:
    """The parts of the id of a job's task; None for an id that is not made so."""
    match = _TASK_ID.fullmatch(task_id) if len(task_id) < 1000 else None
    if match is None:
        return None
    return TaskName(
        match["job_id"],
        match["job"],
        match["task"],
        int(match["instance"][:9]),
        int(match["attempt"][:9]),
        match["sidecar"] or "",
        int((match["version"] or "1")[:9]),
        int((match["again"] or "0")[:9]),
    )


@dataclass(frozen=True)
class Named(Generic[Item]):
    """One thing with what it is called."""

    item: Item
    id: str
    names: tuple[str, ...] = ()
    live: bool = True
    version_of: str = ""  # of those with the same, only the latest is meant by a name
    version: tuple[int, ...] = ()
    aside: bool = False  # a sidecar: not meant where one thing is and the main one is there


@dataclass(frozen=True)
class Found(Generic[Item]):
    """What fits, and whether that is by an exact id or name or only by how it begins."""

    fits: tuple[Named[Item], ...]
    exact: bool
    left_out: int = 0  # how many of the same name have ended, and have no later one that lives


def find(
    text: str, things: Iterable[Named[Item]], *, exact: bool = False, history: bool = False
) -> Found[Item]:
    """The things that `text` means; none for an empty text. With `exact` a beginning is no name.

    With `history` all that is called so, and not only what lives or came last.
    """
    known = list(things) if text else []
    levels: list[Callable[[Named[Item]], bool]] = [
        lambda thing: thing.id == text,
        lambda thing: text in thing.names,
    ]
    if not exact:
        levels.append(lambda thing: any(n.startswith(text) for n in (thing.id, *thing.names)))
    for number, level in enumerate(levels):
        if fits := [thing for thing in known if level(thing)]:
            if history:
                return Found(tuple(fits), number < 2)
            live = [thing for thing in fits if thing.live]
            known_by = {thing.version_of for thing in live}
            ended = [t for t in _latest(fits) if not t.live and t.version_of not in known_by]
            meant = _latest(live or fits) if number else live or fits
            return Found(tuple(meant), number < 2, len(ended) if live else 0)
    return Found((), exact)


def _latest(things: list[Named[Item]]) -> list[Named[Item]]:
    latest: dict[str, tuple[int, ...]] = {}
    for thing in things:
        if thing.version_of:
            latest[thing.version_of] = max(thing.version, latest.get(thing.version_of, ()))
    return [t for t in things if not t.version_of or t.version == latest[t.version_of]]


def without_asides(things: Iterable[Named[Item]]) -> tuple[Named[Item], ...]:
    """The main ones, where there are any."""
    things = tuple(things)
    return tuple(thing for thing in things if not thing.aside) or things


RUN = "run"  # the label with the name of the run that a task is of


def run_of(labels: Iterable[pb.Label]) -> str:
    """The name of the run of a periodic task that a task is of; empty: of none."""
    return next((label.value for label in labels if label.key == RUN), "")


def named_task(item: Item, task_id: str, name: str, *, live: bool, run: str = "") -> Named[Item]:
    """A task: of a job by the parts of its id, and by its own name where it is of none."""
    parts = parse_task_id(task_id)
    if parts is None:
        return Named(item, task_id, (name,) if name else (), live)
    order = (parts.version, parts.again, parts.attempt)
    names = (*parts.names, *(f"{each}@{run}" for each in parts.names if run))
    return Named(item, task_id, names, live, parts.of_instance, order, bool(parts.sidecar))


RANDOM_LENGTH = 9  # "-" and eight digits, between a job's name and the rest of a task's id


class TaskFilter(Protocol):
    """Whether a task may be meant, by its id, its name and the run that it is of."""

    def __call__(self, task_id: str, name: str, run: Callable[[], str] = str) -> bool:
        """Ask it of one; the run, which may take a while to tell, is asked for where it counts."""


def task_filter(text: str, *, exact: bool) -> TaskFilter:
    """Whether a task of an id and a name may be meant by `text`: `find` has the last word.

    Quick, for tens of thousands of tasks: nothing is taken to parts.
    """
    whole, at, of_run = text.partition("@")
    path, plus, sidecar = whole.partition("+")
    ends = exact or bool(at)  # what is before a run is a whole name
    job = path.partition(".")[0]
    boundaries = ("", ".", "+")

    def fits(task_id: str, name: str, run: Callable[[], str] = str) -> bool:
        if task_id == text or name == text:
            return True
        if not exact and (task_id.startswith(text) or name.startswith(text)):
            return True
        if not task_id.startswith(job):
            return False
        if plus and not task_id.partition("+")[2].startswith(sidecar):
            return False
        by_name = job + task_id[len(job) + RANDOM_LENGTH :]
        if not any(
            called.startswith(path) and (not ends or called[len(path) :][:1] in boundaries)
            for called in (task_id, by_name)
        ):
            return False
        return not at or (run() == of_run if exact else run().startswith(of_run))

    return fits
