"""What a resolver holds of names, over leaders that come and go."""

from __future__ import annotations

import pytest

from pymesos_core.discovery.held import KEPT_S, Held, OldLeaderError
from pymesos_proto.v1.names_pb2 import NamedTask, NamesBatch, ServedTask


def named(task_id: str, ip: str = "10.0.0.1", *, of: str = "f", awaited: bool = False) -> NamedTask:
    task = ServedTask(task_id=task_id, agent_id="a", role="*", job="j", task="t")
    return NamedTask(framework_id=of, ip=ip, task=task, awaited=awaited)


def ended(task_id: str, of: str = "f") -> NamesBatch.Ended:
    return NamesBatch.Ended(framework_id=of, task_id=task_id)


def held_with(*tasks: NamedTask) -> Held:
    held = Held()
    held.begin()
    held.take(NamesBatch(epoch=1, serves=tasks, whole=True))
    return held


def ids(held: Held) -> list[str]:
    return sorted(task_id for _, task_id in held.tasks)


def test_changes_are_told() -> None:
    held = held_with(named("a"), named("b"))
    changed = held.take(NamesBatch(epoch=1, serves=[named("c")], ended=[ended("a")]))
    assert {key[1]: value is None for key, value in changed.items()} == {"c": False, "a": True}
    assert ids(held) == ["b", "c"]


def test_the_same_again_is_no_change() -> None:
    held = held_with(named("a"))
    assert held.take(NamesBatch(epoch=1, serves=[named("a")])) == {}
    assert held.take(NamesBatch(epoch=1, serves=[named("a", "10.0.0.2")])) != {}


def test_a_new_stream_changes_nothing_until_it_has_told_all() -> None:
    held = held_with(named("a"), named("b"))
    held.begin()
    held.take(NamesBatch(epoch=2, serves=[named("b")]))
    assert ids(held) == ["a", "b"]
    held.take(NamesBatch(epoch=2, whole=True))
    assert ids(held) == ["b"]


def test_nothing_is_known_before_all_was_told() -> None:
    held = Held()
    held.begin()
    held.take(NamesBatch(epoch=1, serves=[named("a")]))
    assert not held.is_known
    held.take(NamesBatch(epoch=1, whole=True))
    assert held.is_known


def test_what_a_framework_had_stays_until_it_has_said_all_to_the_new_leader() -> None:
    held = held_with(named("a"), named("b"), named("x", of="g"))
    held.begin()
    held.take(NamesBatch(epoch=2, whole=True, awaited_frameworks=["f"]))
    assert ids(held) == ["a", "b"]
    held.take(NamesBatch(epoch=2, serves=[named("b")]))
    assert ids(held) == ["a", "b"]
    held.take(NamesBatch(epoch=2, settled_frameworks=["f"]))
    assert ids(held) == ["b"]


def test_what_was_settled_before_all_was_told() -> None:
    held = held_with(named("a"))
    held.begin()
    held.take(NamesBatch(epoch=2, settled_frameworks=["f"]))
    assert ids(held) == ["a"]
    held.take(NamesBatch(epoch=2, whole=True))
    assert ids(held) == []


def test_of_an_awaited_agent_only_what_an_earlier_leader_has_told_counts() -> None:
    held = held_with(named("a"), named("b"))
    held.begin()
    tasks = [
        named("a", awaited=True),
        named("b", "10.6.6.6", awaited=True),
        named("new", awaited=True),
    ]
    held.take(NamesBatch(epoch=2, serves=tasks, whole=True))
    assert ids(held) == ["a"]
    held.take(NamesBatch(epoch=2, serves=[named("new")]))
    assert ids(held) == ["a", "new"]


def test_an_older_leader_is_not_heard() -> None:
    held = held_with(named("a"))
    held.begin()
    held.take(NamesBatch(epoch=3, whole=True, awaited_frameworks=["f"]))
    with pytest.raises(OldLeaderError):
        held.take(NamesBatch(epoch=2, ended=[ended("a")]))
    assert ids(held) == ["a"]


def test_a_restart_begins_with_what_was_kept_for_an_hour() -> None:
    kept = held_with(named("a"), named("b")).keep(1000.0)
    again = Held()
    again.restore(kept, 1000.0 + KEPT_S)
    assert (ids(again), again.is_known, again.epoch) == (["a", "b"], True, 1)
    late = Held()
    late.restore(kept, 1001.0 + KEPT_S)
    assert (ids(late), late.is_known) == ([], False)


@pytest.mark.parametrize("data", [b"\xff\xff", b"", b"{}"])
def test_what_cannot_be_read_is_nothing(data: bytes) -> None:
    held = Held()
    held.restore(data, 1e9)
    assert (ids(held), held.is_known) == ([], False)
