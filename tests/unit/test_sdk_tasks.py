"""Drawing what a task needs from what is offered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.resources import from_proto, parse, to_proto
from pymesos_core.states import TERMINAL
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Room, draw, is_terminal, make_task


def test_what_is_reserved_comes_first_and_nothing_is_split_without_need() -> None:
    offered = parse("cpus:4;cpus(db):1;disk:100;disk(db):50;gpus#0:1")
    assert draw(offered, {"cpus": 1000}) == parse("cpus(db):1")
    assert draw(offered, {"cpus": 2000, "disk": 80_000}) == parse("cpus:2;disk:80")
    assert draw(offered, {"cpus": 4500}) == parse("cpus(db):1;cpus:3.5")
    with pytest.raises(ValueError, match="gpus"):
        draw(offered, {"gpus": 1000})
    with pytest.raises(ValueError, match="cpus:1 more"):
        draw(offered, {"cpus": 6000})


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10))
def test_as_much_as_is_asked_for(plain: int, reserved: int, wanted: int) -> None:
    offered = parse(f"cpus:{plain};cpus(db):{reserved}")
    if wanted > plain + reserved:
        with pytest.raises(ValueError, match="more is needed"):
            draw(offered, {"cpus": 1000 * wanted})
        return
    drawn = draw(offered, {"cpus": 1000 * wanted})
    assert offered.contains(drawn) and drawn.quantities.get("cpus", 0) == 1000 * wanted


def offer(text: str) -> pb.Offer:
    return pb.Offer(agent_id="a", resources=to_proto(parse(text)))


def test_a_task_draws_on_reservations() -> None:
    offered = offer("cpus(db):2;mem:64;mem(db):512;ports(db):[1-1];ports:[5-9]")
    task = make_task(offered, "t", "true", cpus=1.5, mem=100, ports=2)
    assert from_proto(task.resources) == parse(
        "cpus(db):1.5;mem(db):100;ports(db):[1-1];ports:[5-5]"
    )


def test_tasks_of_one_offer_take_what_the_ones_before_left() -> None:
    room = Room(offer("cpus(db):2;cpus:2;mem:1000;ports:[1-3]"))
    made = [room.make_task(f"t{n}", "true", cpus=1.5, mem=100, ports=1) for n in range(2)]
    assert [str(from_proto(t.resources)) for t in made] == [
        "mem:100;ports:[1-1];cpus(db):1.5",
        "cpus:1.5;mem:100;ports:[2-2]",
    ]
    assert not room.fits(1.5, 100) and room.fits(1, 100, ports=1)
    with pytest.raises(ValueError, match="cpus"):
        room.make_task("t", "true", cpus=1.5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"task_id": 1}, "task_id is 1, which is no text: '1' is expected"),
        ({"command": ["echo", "a b"]}, "is no text: \"echo 'a b'\" is expected"),
        ({"env": {"A": 1}}, "env['A'] is 1, which is no text"),
        ({"cpus": "0.5"}, "cpus is '0.5'; a number is expected"),
        ({"mem": None}, "mem is None; a number is expected"),
    ],
)
def test_what_is_no_text_or_no_number_is_named(wrong: dict[str, Any], says: str) -> None:
    room = Room(offer("cpus:2;mem:1000"))
    with pytest.raises(TypeError) as caught:
        room.make_task(**{"task_id": "t", "command": "true", **wrong})
    assert says in str(caught.value) and room.left == parse("cpus:2;mem:1000")


@given(
    st.lists(st.sampled_from([0.1, 0.5, 1, 2]), max_size=8),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_tasks_of_a_room_are_never_more_than_was_offered(
    cpus: list[float], plain: int, reserved: int
) -> None:
    offered = parse(f"cpus:{plain};cpus(db):{reserved};mem:100;mem(db):100")
    room = Room(pb.Offer(resources=to_proto(offered)))
    used = parse("")
    for number, amount in enumerate(cpus):
        if room.fits(amount, 20):
            task = room.make_task(f"t{number}", "true", cpus=amount, mem=20)
            used = used + from_proto(task.resources)
    assert offered.contains(used)
    assert used + room.left == offered


def test_what_the_offer_has_not_is_asked_for_all_the_same() -> None:
    task = make_task(offer("cpus:1"), "t", "true", cpus=2, mem=32)
    assert from_proto(task.resources) == parse("cpus:2;mem:32")
    with pytest.raises(ValueError, match="ports"):
        make_task(offer("cpus:1;mem:32"), "t", "true", ports=1)


def test_nobody_knows_is_no_end() -> None:
    ends = {name for name, state in pb.TaskState.items() if state in TERMINAL}
    assert is_terminal(pb.TASK_FINISHED) and not is_terminal(pb.TASK_UNREACHABLE)
    assert "TASK_UNREACHABLE" not in ends and "TASK_UNKNOWN" not in ends
    assert {"TASK_FINISHED", "TASK_LOST", "TASK_GONE"} <= ends
