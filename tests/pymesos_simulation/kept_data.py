"""What tasks have written into volumes: none begins without it, unless somebody said so.

And none begins with what an operator removed, who was answered that it is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

Place = tuple[str, str]  # an agent, and a volume there


@dataclass(frozen=True)
class Beginning:
    """A task that began: on which agent, and with whose data."""

    number: int
    agent_id: str
    data: int  # by the number of the beginning that found its volume empty


class KeptData:
    """The data that belong to each volume, by the tasks of which their frameworks have heard.

    Of a task of which nobody has heard, nobody misses what it wrote.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  # by job: how often its data may have been given up
        self.given_up: set[str] = set()  # agents that operators have marked gone, or asked to be
        self._count = 0
        self._removing: Counter[Place] = Counter()  # removals that nobody was answered yet
        self._may_be_gone: dict[Place, int] = {}  # data up to these numbers, by removals
        self._gone: dict[Place, int] = {}  # data up to these: whoever removed them was answered
        self._begun: dict[str, dict[str, Beginning]] = {}  # by task id and volume
        self._known: dict[str, Beginning] = {}  # by volume: the latest that was heard of
        self._left: dict[str, set[int]] = {}  # by volume: data without which others have begun

    def begin(
        self, task_id: str, volume_id: str, there: int | None, agent_id: str, *, may_lose: bool
    ) -> int:
        """A task begins with the data that are `there`, or with none; whose data they are then.

        Raises AssertionError if it had to have others.
        """
        self._count += 1
        data = there if there is not None else self._count
        known = self._known.get(volume_id)
        gone = self._gone.get((agent_id, volume_id), 0)
        assert data > gone, f"{task_id} begins on {agent_id} with data that were removed"
        if known is not None and known.data != data:
            may_lose = may_lose or known.agent_id in self.given_up
            may_lose = may_lose or self._may_be_removed((known.agent_id, volume_id), known.data)
            assert may_lose or self._was_asked(volume_id, known.data), (
                f"{task_id} begins on {agent_id} without its data, which are on {known.agent_id}"
            )
        begun = self._begun.setdefault(task_id, {})
        begun[volume_id] = Beginning(self._count, agent_id, data)
        return data

    def _was_asked(self, volume_id: str, data: int) -> bool:
        """Whether somebody may have asked for a task to begin without its data."""
        left = self._left.setdefault(volume_id, set())
        left.add(data)
        return len(left) <= self.asked[volume_id.partition(".")[0]]

    def remove(self, place: Place) -> Callable[[bool], None]:
        """An operator has a volume destroyed; call what is returned with whether that was done.

        Whoever is not answered does not know, so that its data may be gone at any time.
        """
        self._removing[place] += 1
        asked_at = self._count

        def answered(done: bool) -> None:
            self._removing[place] -= 1
            if done:
                self._may_be_gone[place] = self._count
                self._gone[place] = max(asked_at, self._gone.get(place, 0))

        return answered

    def _may_be_removed(self, place: Place, data: int) -> bool:
        return self._removing[place] > 0 or data <= self._may_be_gone.get(place, 0)

    def heard(self, task_id: str) -> None:
        """The framework of a task has stored what its agent said of it."""
        for volume_id, begun in self._begun.pop(task_id, {}).items():
            known = self._known.get(volume_id)
            if known is None or begun.number > known.number:
                self._known[volume_id] = begun
