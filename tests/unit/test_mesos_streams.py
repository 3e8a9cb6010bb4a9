"""What those who SUBSCRIBE as Mesos' operators are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pymesos_core.mesos.media import Media
from pymesos_core.transport import CallError
from pymesos_master.mesos.operators import (
    watching,
)
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.mesos_operating import (
    FRAMEWORK,
    NOBODY,
    Cluster,
    cluster,
    refused,
)

# The stream of events.


class Reader:
    """What a stream is read by."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.changed = asyncio.Event()

    async def begin(self) -> Callable[[Sequence[bytes]], Any]:
        return self.write

    async def write(self, records: Sequence[bytes]) -> None:
        for record in records:
            self.events.append(json.loads(record.partition(b"\n")[2]))
        self.changed.set()

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.events


async def test_a_stream_tells_what_there_is_and_what_becomes_of_it() -> None:
    made, agent_id, framework_id = cluster()
    h, reader = made.harness, Reader()
    serving = asyncio.create_task(made.streams.serve(made.leader, NOBODY, Media.JSON, reader.begin))
    first, beat = await reader.until(2)
    assert first["subscribed"]["get_state"]["get_tasks"]["tasks"][0]["state"] == "TASK_RUNNING"
    assert (first["type"], beat["type"]) == ("SUBSCRIBED", "HEARTBEAT")
    assert made.streams.of_one.total() == 1
    connection = next(iter(h.core.state.agents.values())).connection_id
    assert connection is not None
    h.update(connection, framework_id, "t", pb.TASK_FINISHED)
    h.agent(port=5052)
    made.publish()
    _, _, updated, added = await reader.until(4)
    assert updated["type"] == "TASK_UPDATED"
    assert updated["task_updated"]["state"] == "TASK_FINISHED"
    assert added["agent_added"]["agent"]["agent_info"]["port"] == 5052
    await made.ask("MARK_AGENT_GONE", agent_id={"value": agent_id})
    await made.ask("TEARDOWN", framework_id={"value": framework_id})
    told = [event["type"] for event in (await reader.until(7))[4:]]
    assert [kind for kind in told if kind != "TASK_UPDATED"] == [
        "AGENT_REMOVED",
        "FRAMEWORK_REMOVED",
    ]
    made.watching.close()
    with pytest.raises(CallError, match="leads no more"):
        await serving
    assert not made.streams.of_one


async def test_streams_are_few_and_not_for_who_may_not_read() -> None:
    made = Cluster()

    async def begin() -> Any:
        raise AssertionError("nothing begins")

    told = made.streams.serve(made.leader, FRAMEWORK, Media.JSON, begin)
    assert (await refused(told))[0] == 403
    made.streams.of_one[NOBODY.taker] = watching.MOST_STREAMS_OF_ONE
    told = made.streams.serve(made.leader, NOBODY, Media.JSON, begin)
    assert (await refused(told))[0] == 429
    made.streams.of_one[NOBODY.taker] = 0
    made.streams.of_one["others"] = watching.MOST_STREAMS
    told = made.streams.serve(made.leader, NOBODY, Media.JSON, begin)
    assert (await refused(told))[0] == 503
