"""What a registry holds: what is durable there, and what is intended, with what is on its way.

A record is written whole, so it is computed from what is intended, the changes that are still being
written included: else, of two changes at once, the second would undo the first. What may be said
depends on what is durable. A change that is pending is a record of what is written and why; nothing
is called back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")
Why = TypeVar("Why")
Key = tuple[str, str]  # kind, name
View = dict[str, dict[str, Value]]  # by kind, by name


@dataclass(frozen=True, slots=True)
class Pending(Generic[Value, Why]):
    """A write that is on its way: the records as they are to be (None: gone), and what for."""

    token: int
    values: Mapping[Key, Value | None]
    why: Why


class RegistryImage(Generic[Value, Why]):
    """Two views of the records of a registry; writes become durable in the order intended."""

    def __init__(self) -> None:
        self._durable: View[Value] = {}
        self._intended: View[Value] = {}
        self._pending: dict[int, Pending[Value, Why]] = {}  # the oldest first
        self._of: dict[Key, dict[int, Pending[Value, Why]]] = {}
        self._token = 0

    def load(self, key: Key, value: Value) -> None:
        """A record that was read: it is durable."""
        for view in (self._durable, self._intended):
            _put(view, key, value)

    def durable(self, kind: str) -> Mapping[str, Value]:
        """The records of a kind as they are stored, by name."""
        return self._durable.get(kind, {})

    def intended(self, kind: str) -> Mapping[str, Value]:
        """The records of a kind as they are to be by the latest write, by name."""
        return self._intended.get(kind, {})

    def intend(self, values: Mapping[Key, Value | None], why: Why) -> Pending[Value, Why]:
        """Begin a write; without records it only shows that this leader still may write."""
        self._token += 1
        pending = Pending(self._token, values, why)
        self._pending[self._token] = pending
        for key, value in values.items():
            _put(self._intended, key, value)
            self._of.setdefault(key, {})[self._token] = pending
        return pending

    def written(self, token: int) -> Pending[Value, Why]:
        """A write is durable: take it out. It must be the oldest."""
        assert token == next(iter(self._pending)), f"write {token} came before an older one"
        pending = self._pending.pop(token)
        for key, value in pending.values.items():
            _put(self._durable, key, value)
            of_key = self._of[key]
            del of_key[token]
            if not of_key:
                del self._of[key]
        return pending

    def pending_of(self, key: Key) -> Iterable[Pending[Value, Why]]:
        """The writes of a record that are on their way, the oldest first."""
        return self._of.get(key, {}).values()


def _put(view: View[Value], key: Key, value: Value | None) -> None:
    kind, name = key
    if value is None:
        view.get(kind, {}).pop(name, None)
    else:
        view.setdefault(kind, {})[name] = value
