"""A master, and calls of Mesos' operators to it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.errors import Problem
from pymesos_core.mesos.refusing import RefusalError
from pymesos_master.commands import Commands
from pymesos_master.core import events as ev
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.operators import (
    watching,
)
from pymesos_master.mesos.operators.api import Done, Operators
from pymesos_master.mesos.operators.endpoints import Endpoints, Request
from pymesos_master.mesos.operators.gathering import Gathering
from pymesos_master.mesos.operators.reading import Together
from pymesos_master.queries import Queries
from pymesos_master.services.leading import Leadership
from pymesos_master.shell import Leader
from pymesos_master.watching import Watching
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness

AT = HostPort("10.0.0.1", 5055)


ME = MasterInfo("me", HostPort("10.0.0.1", 5050), "h", mesos=AT)


NOBODY = Caller(peer="ipv4:127.0.0.1", via="mesos")


FRAMEWORK = Caller("framework/f", Method.BASIC, peer="ipv4:1.2.3.4", via="mesos")


JSON = {"Content-Type": "application/json"}


class Stub(SimpleNamespace):
    """A leader, of which anything may have changed at any time."""

    revisions: Iterator[int]

    @property
    def revision(self) -> int:
        return next(self.revisions)


class Cluster:
    """A leader on a harness, with its operators' endpoints."""

    def __init__(self) -> None:
        self.harness = h = MasterHarness()
        self.watching = Watching(1, h.core.state, h.core.watch, lambda: h.now_s)
        numbers = itertools.count(1)

        async def ask(make_event: Callable[[int], ev.Event]) -> Problem | None:
            number = next(numbers)
            self.feed(make_event(number))
            return h.problems[number]

        self.leader = cast(
            Leader,
            Stub(
                revisions=itertools.count(),
                core=h.core,
                queries=Queries(h.core, lambda: h.now),
                commands=Commands(ask),
                watching=self.watching,
            ),
        )
        leadership = Leadership(ME, leader=self.leader)
        gathering = Gathering(leadership, Here("me", AT, "h"), {"offer_timeout": "30secs"})
        self.operators = Operators(gathering, Together())
        self.endpoints = Endpoints(gathering, Together())
        self.streams = watching.Streams(gathering)

    def feed(self, event: ev.Event) -> None:
        self.harness.feed(event)
        self.publish()

    def publish(self) -> None:
        for effect in self.harness.published:
            self.watching.publish(effect)
        self.harness.published.clear()

    async def ask(
        self, kind: str, caller: Caller = NOBODY, to: str = "application/json", **said: Any
    ) -> Done:
        body = json.dumps({"type": kind} | ({kind.lower(): said} if said else {})).encode()
        call, media = self.operators.read(JSON | {"Accept": to}, body)
        return await self.operators.answer(self.leader, call, media, caller)

    async def get(self, kind: str, **said: Any) -> Any:
        answer = json.loads((await self.ask(kind, **said)).body)
        assert answer["type"] == kind
        return answer.get(kind.lower())

    async def older(
        self,
        path: str,
        /,
        method: str = "GET",
        body: Any = b"",
        caller: Caller = NOBODY,
        **query: str,
    ) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        asked = Request(method, tuple(path.strip("/").split("/")), query, data, caller)
        done = await self.endpoints.here(asked)
        done = done or await self.endpoints.answer(self.leader, asked)
        return json.loads(done.body) if done.body else done.status


def cluster() -> tuple[Cluster, str, str]:
    """An agent, and a framework with a task that runs: their ids."""
    made = Cluster()
    h = made.harness
    agent = h.agent("cpus:4;mem:4096;ports:[31000-31099]", port=5051)
    framework = h.subscribe(
        roles=["dev/a"], capabilities=(pb.PARTITION_AWARE, pb.MULTI_ROLE), user="root"
    )
    h.run(framework)
    h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
    made.publish()
    return made, h.agent_id(agent), h.framework_id(framework)


async def refused(asked: Any) -> tuple[int, str]:
    with pytest.raises(RefusalError) as error:
        await asked
    return error.value.status, error.value.text
