"""Drawing what a task needs from what is offered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.resources import parse
from pymesos_sdk.tasks import draw


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
