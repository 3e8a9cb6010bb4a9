"""A framework at which variables are set."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.jobs import JobsService
from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.binpack_harness import BinpackHarness
from pymesos_testing.jobs_frameworks import HarnessedBinpack

RULES = """
allow:
- {who: operator/ci, do: [submit, read], role: '*'}
- {who: operator/lead, do: [submit, read, read-env], role: '*'}
"""


WEB = {
    "name": "web", "kind": "service", "instances": 3, "command": "x",
    "env": {"LEVEL": "{{ variables.level }}", "URL": "db://{{variables.host}}/"},
}  # fmt: skip


OTHER = {"name": "other", "kind": "service", "command": "y"}


def document(*tasks: dict[str, Any], **keys: Any) -> str:
    return json.dumps({"name": "shop", "tasks": list(tasks or (WEB, OTHER)), **keys})


class Desk(HarnessedBinpack):
    """A Jobs service in front of a core, whose writes are durable at once."""

    def __init__(self, records: dict[tuple[str, str], bytes] | None = None) -> None:
        super().__init__(BinpackHarness(records))
        self.h.feed(c.Subscribed("f"))
        self.h.feed(c.PolicyTold(read_policy(RULES, 1)))
        self.service = JobsService(cast(Any, self), JobRoles(("*",)))

    def call(self, method: str, request: Any, who: str = "operator/lead") -> Any:
        call: Any = SimpleNamespace(caller=Caller(who, Method.CERT))
        return asyncio.run(getattr(self.service, method)(request, call))

    def set(self, name: str, value: str, request_id: str = "", **more: Any) -> Any:
        self.requests += 1
        request_id = request_id or f"v{self.requests}"
        request = pb.SetVariableRequest(
            role="*", name=name, value=value, request_id=request_id, **more
        )
        return self.call("SetVariable", request)

    def apply(self, text: str, **more: Any) -> pb.ApplyJobResponse:
        self.requests += 1
        request = pb.ApplyJobRequest(job_json=text, request_id=f"r{self.requests}", **more)
        answer: pb.ApplyJobResponse = self.call("ApplyJob", request)
        return answer

    def remove(self, name: str, **more: Any) -> None:
        self.call("RemoveVariable", pb.RemoveVariableRequest(role="*", name=name, **more))

    def listed(self, who: str = "operator/lead") -> list[pb.VariableView]:
        return list(self.call("ListVariables", pb.ListVariablesRequest(), who).variables)

    def refused(self, method: str, request: Any) -> CallError:
        with pytest.raises(CallError) as caught:
            self.call(method, request)
        return caught.value

    @property
    def shop(self) -> JobState:
        (job,) = self.h.core.named("*", "shop")
        return job

    def environments(self) -> dict[str, list[str]]:
        """What the tasks that run were last started with, by the level that they have."""
        infos = {i.task_id: i for e in self.h.of(c.Accept) for i in cast(c.Accept, e).tasks}
        found: dict[str, list[str]] = {}
        for instance in self.h.core.instances():
            if instance.live and instance.spec.name == "web":
                info = infos[instance.saved.task_id]
                env = {v.name: v.value for v in info.command.environment}
                found.setdefault(env["LEVEL"], []).append(env["URL"])
        return found


def settle(h: BinpackHarness, bad: str = "") -> None:
    """Have all that is launched run, but what has a bad value: that ends at once."""
    for _ in range(30):
        h.offer("cpus:40;mem:40000")
        for each in [i for i in h.core.instances() if i.live]:
            fails = bad and bad in each.spec.env.values()
            state = types_pb2.TASK_FAILED if fails else types_pb2.TASK_RUNNING
            state = types_pb2.TASK_KILLED if each.killing else state
            h.update(each.saved.task_id, state, exit_status=1 if fails else None)
        h.advance(5)
