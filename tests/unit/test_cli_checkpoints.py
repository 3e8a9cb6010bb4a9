"""`pymesos-cli quarantine` of what agents have set aside of their checkpoints."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.quarantine import Checkpoints
from pymesos_cli.operators.listing import _runtimes
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

INFO = types_pb2.AgentInfo(agent_id="a", runtimes=["process"], set_aside={"c1": "why", "c2": "?"})


class OfOneAgent:
    async def agents(self) -> list[pb.AgentView]:
        return [pb.AgentView(info=INFO), pb.AgentView(info=types_pb2.AgentInfo(agent_id="b"))]


async def test_they_are_listed_and_the_way_out_is_said() -> None:
    cluster: Any = cast(Cluster, OfOneAgent())
    items = await Checkpoints().list(cluster)
    assert [(i.id, i.reason, i.keeper) for i in items] == [
        ("checkpoint/c1", "why", "the agent a"),
        ("checkpoint/c2", "?", "the agent a"),
    ]
    assert await Checkpoints().find(cluster, "checkpoint/c2") == items[1]
    assert await Checkpoints().find(cluster, "agent/c2") is None
    with pytest.raises(CliError, match="stop the agent, and run `pymesos-agent recover --discard`"):
        await Checkpoints().release(cluster, items[0], discard=True)
    assert _runtimes(INFO) == "process; 2 records in quarantine"
