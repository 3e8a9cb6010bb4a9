"""Life cycles as data: transitions, the story of an object, the diagram of a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pytest

from pymesos_core.lifecycle import KEPT, ImpossibleTransitionError, Lifecycle, Row, Story


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"
    GONE = "gone"


class Hand(StrEnum):
    PUSH = "push"
    PULL = "pull"
    LOOK = "look"
    TEAR_OUT = "tear out"


class Noise(StrEnum):
    SQUEAK = "squeak"
    SLAM = "slam"


DOOR: Lifecycle[Door, Hand, Noise] = Lifecycle(
    "A door",
    [Door.SHUT],
    [
        Row(Door.SHUT, Hand.PUSH, Door.OPEN, (Noise.SQUEAK,)),
        Row(Door.OPEN, Hand.PULL, Door.SHUT, (Noise.SQUEAK, Noise.SLAM)),
        Row((Door.OPEN, Door.SHUT), Hand.TEAR_OUT, Door.GONE),
        Row((Door.OPEN, Door.SHUT), Hand.LOOK, Door.OPEN),
    ],
)


@dataclass(slots=True)
class Thing:
    state: Door = Door.SHUT
    story: Story = ()
    label: str = "the door of room 4"


def test_an_event_takes_an_object_to_its_next_state_and_names_what_is_done() -> None:
    door = Thing()
    transition = DOOR.move(door, Hand.PUSH, 0.0)
    assert door.state is Door.OPEN
    assert transition.effects == (Noise.SQUEAK,)
    assert DOOR.move(door, Hand.PULL, 1.0).effects == (Noise.SQUEAK, Noise.SLAM)
    assert DOOR.after(Door.GONE, Hand.PUSH) is None


def test_an_impossible_transition_tells_the_story_and_changes_nothing() -> None:
    door = Thing()
    DOOR.move(door, Hand.PUSH, 0.0)
    DOOR.move(door, Hand.TEAR_OUT, 60.0)
    with pytest.raises(ImpossibleTransitionError) as told:
        DOOR.move(door, Hand.PULL, 61.0)
    assert str(told.value) == (
        "the door of room 4 is gone, where 'pull' cannot be. Its story: shut;"
        " push → open (1970-01-01T00:00:00Z); tear out → gone (1970-01-01T00:01:00Z)"
    )
    assert door.state is Door.GONE


def test_what_has_no_story_yet_says_so() -> None:
    with pytest.raises(ImpossibleTransitionError, match="it has been shut from the beginning"):
        DOOR.move(Thing(), Hand.PULL, 0.0)


def test_a_story_is_bounded_and_keeps_the_latest() -> None:
    door = Thing()
    for second in range(100):
        DOOR.move(door, Hand.PULL if door.state is Door.OPEN else Hand.PUSH, float(second))
    times = door.story[::2]
    assert len(times) == KEPT
    assert times[-1] == 99.0


def test_a_brief_story_is_the_latest_transition() -> None:
    rows = [Row(Door.SHUT, Hand.PUSH, Door.OPEN), Row(Door.OPEN, Hand.TEAR_OUT, Door.GONE)]
    life: Lifecycle[Door, Hand, Noise] = Lifecycle("A door", [Door.SHUT], rows, brief=True)
    door = Thing()
    for event in (Hand.PUSH, Hand.TEAR_OUT):
        assert life.move(door, event, 1.0).alone is door.story
    with pytest.raises(ImpossibleTransitionError) as told:
        life.move(door, Hand.PULL, 2.0)
    assert str(told.value).endswith("Its story: open; tear out → gone")


def test_an_event_that_changes_nothing_is_no_part_of_the_story() -> None:
    door = Thing(Door.OPEN)
    DOOR.move(door, Hand.LOOK, 1.0)
    assert door.story == ()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([Row(Door.SHUT, Hand.PUSH, Door.OPEN), Row(Door.SHUT, Hand.PUSH, Door.GONE)], "two rows"),
        ([Row(Door.OPEN, Hand.PULL, Door.SHUT)], "nothing leads to open"),
    ],
)
def test_a_table_that_cannot_be_is_refused(rows: list[Row], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Lifecycle("A door", [Door.SHUT], rows)


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert DOOR.diagram().splitlines() == [
        "stateDiagram-v2",
        "    s0: shut",
        "    s1: open",
        "    s2: gone",
        "    [*] --> s0",
        "    s0 --> s1: push, look",
        "    s0 --> s2: tear out",
        "    s1 --> s0: pull",
        "    s1 --> s2: tear out",
        "    s2 --> [*]",
    ]


def test_rows_that_differ_in_their_states_only_are_shown_as_one() -> None:
    assert list(DOOR.rows()) == [
        ("shut", "push", "open", "squeak"),
        ("shut, open", "tear out", "gone", ""),
        ("shut", "look", "open", ""),
        ("open", "pull", "shut", "squeak, slam"),
        ("open", "look", "(the same)", ""),
    ]
