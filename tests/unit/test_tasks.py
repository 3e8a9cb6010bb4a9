"""Work side by side: nothing is left behind, no failure is lost, no cancellation."""

from __future__ import annotations

import asyncio

import pytest

from pymesos_core.tasks import Background, beside, running, until_first


async def until(name: str, ended: list[str], seconds: float, error: Exception | None) -> None:
    try:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
    finally:
        await asyncio.sleep(0)
        ended.append(name)


async def test_the_first_that_ends_ends_the_others() -> None:
    ended: list[str] = []
    await until_first(until("short", ended, 0.001, None), until("long", ended, 60, None))
    assert ended == ["short", "long"]
    with pytest.raises(KeyError):
        await until_first(
            until("long", ended, 60, None), until("wrong", ended, 0.001, KeyError("k"))
        )
    me = asyncio.current_task()
    assert me is not None and not me.cancelling(), "nobody has asked for that"


@pytest.mark.parametrize("turns", range(1, 8))
async def test_a_cancellation_is_not_lost(turns: int) -> None:
    """Also when it comes as one of them ends."""
    ended: list[str] = []

    async def soon(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        ended.append(name)

    async def work() -> None:
        await until_first(soon("a"), until("b", ended, 60, None))
        await asyncio.sleep(60)

    task = asyncio.create_task(work())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing is left behind"


async def test_what_is_beside_ends_with_the_body() -> None:
    ended: list[str] = []
    async with beside(until("beside", ended, 60, None)):
        await asyncio.sleep(0)
        assert not ended
    assert ended == ["beside"]
    with pytest.raises(KeyError, match="mine"):
        async with beside(until("other", ended, 60, None)):
            await asyncio.sleep(0)
            raise KeyError("mine")
    assert ended == ["beside", "other"]


async def test_a_failure_beside_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with beside(until("wrong", [], 0, KeyError("beside"))):
        await asyncio.sleep(0.01)
    assert "KeyError: 'beside'" in caplog.text


async def test_a_task_beside_that_somebody_awaits() -> None:
    ended: list[str] = []
    with pytest.raises(KeyError):
        async with running(until("wrong", ended, 0, KeyError("k"))) as task:
            await task
    async with running(until("long", ended, 60, None)):
        await asyncio.sleep(0)
    assert ended == ["wrong", "long"]


async def test_background_work_is_ended_by_its_owner(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []
    background = Background("what is tried here")
    background.start(until("long", ended, 60, None))
    background.start(until("wrong", ended, 0, KeyError("k")))
    told = background.start(until("told", ended, 0, KeyError("told")), awaited=True)
    with pytest.raises(KeyError):
        await told
    assert len(background) == 1
    await background.close()
    assert ended == ["wrong", "told", "long"] and not len(background)
    assert "what is tried here has failed" in caplog.text
    assert "'told'" not in caplog.text, "who awaits it is told"
