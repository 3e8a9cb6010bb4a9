"""A master that has been elected keeps callers waiting until it has read the registry."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.coordination import MasterInfo
from pymesos_core.transport import CallError, Code
from pymesos_master.services import leading
from pymesos_master.services.leading import Leadership

ME = MasterInfo("m1", HostPort("10.0.0.1", 5050), "first")
OTHER = MasterInfo("m2", HostPort("10.0.0.2", 5050), "second")
LEADER = cast(Any, object())


async def test_who_calls_the_elected_master_gets_the_leader_once_that_has_begun() -> None:
    leadership = Leadership(ME, known_leader=lambda: ME)
    calling = asyncio.create_task(leadership.here_soon())
    await asyncio.sleep(0)
    assert not calling.done()
    leadership.begin(LEADER)
    assert await calling is LEADER
    assert await leadership.here_soon() is LEADER
    leadership.end()
    calling = asyncio.create_task(leadership.here_soon())
    await asyncio.sleep(0)
    assert not calling.done(), "a second term is waited for as well"
    leadership.begin(LEADER)
    assert await calling is LEADER


@pytest.mark.parametrize("known", [None, OTHER])
async def test_who_calls_another_is_refused_at_once(known: MasterInfo | None) -> None:
    with pytest.raises(CallError, match="does not lead"):
        async with asyncio.timeout(1):
            await Leadership(ME, known_leader=lambda: known).here_soon()


async def test_a_master_that_stands_back_refuses_at_once() -> None:
    leadership = Leadership(ME, known_leader=lambda: ME, stands_back="; it met a fault")
    with pytest.raises(CallError, match="it met a fault"):
        async with asyncio.timeout(1):
            await leadership.here_soon()


async def test_a_master_that_does_not_begin_refuses_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leading, "RECOVERS_WITHIN_S", 0.01)
    with pytest.raises(CallError, match="nobody does yet") as refused:
        await Leadership(ME, known_leader=lambda: ME).here_soon()
    assert refused.value.code == Code.UNAVAILABLE
