"""What tasks have written into volumes: none begins without it, unless somebody said so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


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
        if known is not None and known.data != data:
            may_lose = may_lose or known.agent_id in self.given_up
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

    def heard(self, task_id: str) -> None:
        """The framework of a task has stored what its agent said of it."""
        for volume_id, begun in self._begun.pop(task_id, {}).items():
            known = self._known.get(volume_id)
            if known is None or begun.number > known.number:
                self._known[volume_id] = begun
