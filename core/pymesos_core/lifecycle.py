"""Life cycles as data: a table says which event takes an object from which state to which.

A table is the only place where states change; documentation draws its diagram from it. Every object
keeps its latest transitions, its story, which an event that cannot be tells.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from pymesos_core.clock import utc

State = TypeVar("State", bound=Hashable)
Event = TypeVar("Event", bound=Hashable)
Effect = TypeVar("Effect", bound=Hashable)
Name = Callable[[Any], str]

KEPT = 16  # transitions in a story

# Times (Unix, in seconds; None: not kept) and transitions in turn, the latest last. It is flat
# because there are many objects, and a pair for each transition would double what stories hold.
Story = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Transition(Generic[State, Event, Effect]):
    """Where an event takes an object from one state, and what is then done, in this order."""

    source: State
    event: Event
    target: State
    effects: tuple[Effect, ...]
    changes: bool = field(init=False, repr=False)  # whether the target is another state
    alone: Story = field(init=False, repr=False)  # the story of which it is all, without its time

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", self.source != self.target)
        object.__setattr__(self, "alone", (None, self))


class Living(Protocol[State]):
    """An object with a life cycle. It begins in one of the table's starts, with an empty story."""

    state: State
    story: Story

    @property
    def label(self) -> str:
        """What people call it, such as "agent 1f3a-S0"."""


class Row(NamedTuple):
    """A row of a table: the event takes an object from each of these states to one."""

    sources: Any  # a state, or several in a tuple
    event: Any
    target: Any
    effects: tuple[Any, ...] = ()


class ImpossibleTransitionError(Exception):
    """An event came to an object in a state in which it cannot: the code has a mistake.

    The message names the object and the event, and tells the story.
    """


class Lifecycle(Generic[State, Event, Effect]):
    """A table of transitions, with the diagram of it.

    `starts` are the states in which objects begin. An event that is allowed to change nothing has a
    row whose target is its source. `brief`: the story of an object is its latest transition only,
    without its time, so that moving it allocates nothing; for objects that come and go by the
    thousand.
    """

    def __init__(
        self,
        title: str,
        starts: Iterable[State],
        rows: Iterable[Row],
        state_name: Callable[[State], str] | None = None,
        *,
        brief: bool = False,
    ) -> None:
        """Raises ValueError when a row is given twice, or a state is never reached."""
        self.title = title
        self.starts = tuple(starts)
        self._brief = brief
        self._name: Name = state_name or name_of
        self._after: dict[State, dict[Event, Transition[State, Event, Effect]]] = {}
        for sources, event, target, effects in rows:
            for source in sources if isinstance(sources, tuple) else (sources,):
                events = self._after.setdefault(source, {})
                if event in events:
                    raise ValueError(f"{title}: two rows for {source!r} and {event!r}")
                events[event] = Transition(source, event, target, effects)
        self._check_reached()

    def _check_reached(self) -> None:
        reached, new = set(self.starts), list(self.starts)
        while new:
            targets = {t.target for t in self._after.get(new.pop(), {}).values()} - reached
            reached |= targets
            new.extend(targets)
        if never := set(self._after) - reached:
            raise ValueError(f"{self.title}: nothing leads to {', '.join(map(self._name, never))}")

    def __iter__(self) -> Iterator[Transition[State, Event, Effect]]:
        """Every transition there is."""
        return (transition for events in self._after.values() for transition in events.values())

    def after(self, state: State, event: Event) -> Transition[State, Event, Effect] | None:
        """What an event does to an object in a state; None: it cannot be."""
        events = self._after.get(state)
        return None if events is None else events.get(event)

    def move(
        self, thing: Living[State], event: Event, wall_s: float
    ) -> Transition[State, Event, Effect]:
        """Put an object into its next state; the caller carries the effects out.

        Raises ImpossibleTransitionError, and the object stays as it is.
        """
        try:
            transition = self._after[thing.state][event]
        except KeyError:
            raise ImpossibleTransitionError(self._why_not(thing, event)) from None
        if transition.changes:
            thing.state = transition.target
            if self._brief:
                thing.story = transition.alone
            else:
                story = thing.story
                kept = story if len(story) < 2 * KEPT else story[2:]
                thing.story = (*kept, wall_s, transition)
        return transition

    def _why_not(self, thing: Living[State], event: Event) -> str:
        return (
            f"{thing.label} is {self._name(thing.state)}, where {name_of(event)!r} cannot be."
            f" Its story: {self.tell(thing)}"
        )

    def tell(self, thing: Living[State]) -> str:
        """The latest transitions of an object, in one line."""
        story = thing.story
        if not story:
            return f"it has been {self._name(thing.state)} from the beginning"
        told = [
            f"{name_of(transition.event)} → {self._name(transition.target)}"
            + ("" if wall_s is None else f" ({utc(wall_s)})")
            for wall_s, transition in zip(story[::2], story[1::2], strict=True)
        ]
        return "; ".join([self._name(story[1].source), *told])

    def diagram(self) -> str:
        """The table as a Mermaid state diagram."""
        ids = {state: f"s{n}" for n, state in enumerate(self._states())}
        lines = ["stateDiagram-v2"]
        lines += [f"    {key}: {self._name(state)}" for state, key in ids.items()]
        lines += [f"    [*] --> {ids[state]}" for state in self.starts]
        arrows: dict[tuple[State, State], list[str]] = {}
        for t in self:
            if t.changes:
                arrows.setdefault((t.source, t.target), []).append(name_of(t.event))
        for (source, target), events in arrows.items():
            lines.append(f"    {ids[source]} --> {ids[target]}: {', '.join(events)}")
        lines += [f"    {key} --> [*]" for state, key in ids.items() if self._is_final(state)]
        return "\n".join(lines)

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """States, event, next state and effects, in words; states that an event takes alike are
        together."""
        alike: dict[tuple[str, str, str], list[str]] = {}
        for t in self:
            target = self._name(t.target) if t.changes else "(the same)"
            key = (name_of(t.event), target, ", ".join(map(name_of, t.effects)))
            alike.setdefault(key, []).append(self._name(t.source))
        for (event, target, effects), sources in alike.items():
            yield ", ".join(sources), event, target, effects

    def _states(self) -> list[State]:
        found = dict.fromkeys(self.starts)
        found.update(dict.fromkeys(self._after))
        found.update(dict.fromkeys(transition.target for transition in self))
        return list(found)

    def _is_final(self, state: State) -> bool:
        return not any(t.changes for t in self._after.get(state, {}).values())


def name_of(thing: object) -> str:
    """A state, an event or an effect in words: of an enumeration, the value of the member."""
    return str(thing.value if isinstance(thing, Enum) else thing)
