"""What is durable, what is intended, and what is on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymesos_core.registry_image import Key, RegistryImage

KEYS: list[Key] = [("agent", "a"), ("agent", "b"), ("role", "a")]


def test_a_change_is_intended_at_once_and_durable_when_written() -> None:
    image: RegistryImage[int, str] = RegistryImage()
    image.load(("agent", "a"), 1)
    pending = image.intend({("agent", "a"): 2, ("agent", "b"): 5}, "why")
    assert image.intended("agent") == {"a": 2, "b": 5}
    assert image.durable("agent") == {"a": 1}
    assert list(image.pending_of(("agent", "b"))) == [pending]
    assert image.written(pending.token).why == "why"
    assert image.durable("agent") == {"a": 2, "b": 5}
    assert not list(image.pending_of(("agent", "b")))


def test_a_write_of_nothing_changes_nothing_and_is_told() -> None:
    image: RegistryImage[int, str] = RegistryImage()
    pending = image.intend({}, "certain")
    assert image.written(pending.token).why == "certain"
    assert not image.durable("agent") and not image.intended("agent")


def test_writes_become_durable_in_their_order() -> None:
    image: RegistryImage[int, str] = RegistryImage()
    image.intend({("agent", "a"): 1}, "first")
    second = image.intend({("agent", "a"): 2}, "second")
    with pytest.raises(AssertionError, match="before an older one"):
        image.written(second.token)


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers(0, 9), max_size=3),
        ),
        max_size=30,
    )
)
def test_durable_is_what_was_intended_so_many_writes_ago(
    steps: list[dict[Key, int | None] | None],
) -> None:
    image: RegistryImage[int, int] = RegistryImage()
    stored: dict[Key, int] = {}
    waiting: list[tuple[int, dict[Key, int | None]]] = []

    def applied(values: dict[Key, int | None]) -> None:
        for key, value in values.items():
            if value is None:
                stored.pop(key, None)
            else:
                stored[key] = value

    for step in steps:
        if step is not None:
            waiting.append((image.intend(step, len(waiting)).token, step))
        elif waiting:
            token, values = waiting.pop(0)
            image.written(token)
            applied(values)
        for kind in ("agent", "role"):
            assert image.durable(kind) == {n: v for (k, n), v in stored.items() if k == kind}
    for token, values in waiting:
        image.written(token)
        applied(values)
    for kind in ("agent", "role"):
        assert image.durable(kind) == image.intended(kind)
