"""The bin-packing framework's shell: whoever submits a job is answered, and it is one job."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pymesos_binpack.core import BinpackCore
from pymesos_binpack.packing import read_policy
from pymesos_binpack.shell import Binpack
from pymesos_core.store import Store
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import job


@pytest.fixture
def binpack(tmp_path: Path) -> Binpack:
    store = Store(tmp_path / "state.sqlite")
    core = BinpackCore(read_policy("default"), {})
    return Binpack(core, store, pb.FrameworkInfo(name="f"), "127.0.0.1:1")


async def test_a_retry_after_a_call_that_was_cancelled_is_answered(binpack: Binpack) -> None:
    first = asyncio.create_task(binpack.submit(job(), "r"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    again = [asyncio.create_task(binpack.submit(job(), "r")) for _ in range(2)]
    await asyncio.sleep(0)
    writing = asyncio.create_task(binpack._commits.run())
    try:
        one, other = await asyncio.gather(*again)
        assert one == other
        assert list(binpack.core.jobs) == [one]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
