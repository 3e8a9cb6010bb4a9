"""One recording, from a fresh cluster to a list of differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pymesos_testing.components import passable_folder
from pymesos_testing.recordings.cluster import cluster, registered
from pymesos_testing.recordings.comparing import Difference, Report, compare_answer, name_of
from pymesos_testing.recordings.excusing import Excuse, is_strict
from pymesos_testing.recordings.executors import compare_executors, prepare, written
from pymesos_testing.recordings.offered import compare_offers
from pymesos_testing.recordings.playing import Played, Player, started_later
from pymesos_testing.recordings.reading import Recording, read
from pymesos_testing.recordings.streams import compare_stream


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

    @property
    def open(self) -> list[Difference]:
        """Differences that are known, and to be mended yet."""
        return [one for one, excuse in self.differences if excuse is not None and excuse.open]

    @property
    def excused(self) -> list[Difference]:
        """Differences that are meant."""
        return [one for one, excuse in self.differences if excuse is not None and not excuse.open]

    def summary(self) -> str:
        """A line of it."""
        different = len(self.unexcused) + len(self.open)
        share = 100 * len(self.excused) / max(1, self.fields)
        strict = sum(map(is_strict, self.excused))
        of_faults = f", {strict} of states and reasons where Mesos is at fault" if strict else ""
        return (
            f"{self.name}: {self.fields} fields compared, {different} different,"
            f" {len(self.excused)} excused ({share:.1f} %{of_faults})"
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
        player = Player(recording, running)
        player.played.ids |= prepare(recording, folder)
        played = await player.play()
        played.executors = written(folder)
    report = compare(recording, played)
    found = [
        (one, next((excuse for excuse in excused if excuse.fits(one)), None))
        for one in report.differences
    ]
    return Outcome(recording.name, report.fields, found)


def compare(recording: Recording, played: Played) -> Report:
    """Compare all of a recording."""
    report = Report()
    for step, problem in played.problems:
        report.compare(name_of(step), "sent", "sent", problem)
    for step in recording.steps:
        answer = played.answers.get(step.index)
        if step.send is None or answer is None:
            continue
        compare_answer(report, recording, played, step, answer)
        if step.opens_a_stream:
            compare_stream(report, recording, played, step, answer)
    compare_offers(report, recording, played)
    compare_executors(report, recording, played)
    return report
