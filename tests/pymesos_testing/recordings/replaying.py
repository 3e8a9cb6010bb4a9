"""One recording, from a fresh cluster to a list of differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pymesos_testing.components import passable_folder
from pymesos_testing.recordings.cluster import cluster, registered
from pymesos_testing.recordings.comparing import Difference, compare
from pymesos_testing.recordings.excusing import Excuse
from pymesos_testing.recordings.playing import Player, started_later
from pymesos_testing.recordings.reading import read


@dataclass(frozen=True)
class Outcome:
    """What was found."""

    name: str
    fields: int
    differences: list[tuple[Difference, Excuse | None]]

    @property
    def unexcused(self) -> list[Difference]:
        """Differences that nobody means and nobody knows of."""
        return [difference for difference, excuse in self.differences if excuse is None]

    def summary(self) -> str:
        """A line of it."""
        excused = len(self.differences) - len(self.unexcused)
        return (
            f"{self.name}: {self.fields} fields, {len(self.unexcused)} differences,"
            f" {excused} of the list"
        )


async def replay(path: Path, excused: list[Excuse]) -> Outcome:
    """Replay a recording."""
    recording = read(path)
    agents = list(recording.agents.values())
    later = started_later(recording)
    with (
        passable_folder() as folder,
        cluster(folder, agents, recording.master_flags, recording.agent_flags, later) as running,
    ):
        await registered(running)
        played = await Player(recording, running).play()
    report = compare(recording, played)
    found = [
        (one, next((excuse for excuse in excused if excuse.fits(one)), None))
        for one in report.differences
    ]
    return Outcome(recording.name, report.fields, found)
