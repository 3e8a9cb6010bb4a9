"""A framework at which jobs are changed by calls."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_binpack import core as c
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
- {who: operator/root, do: ['*'], role: '**'}
- {who: operator/chief, do: [policy, read], role: '**'}
"""


def document(*tasks: dict[str, Any], **keys: Any) -> str:
    made = tasks or ({"name": "web", "kind": "service", "instances": 2, "command": "x"},)
    return json.dumps({"name": "shop", "tasks": list(made), **keys})


WEB = {"name": "web", "kind": "service", "instances": 2, "command": "x"}


ROOT = "operator/root"


class Desk(HarnessedBinpack):
    """A Jobs service in front of a core, whose writes are durable at once."""

    def __init__(self) -> None:
        super().__init__(BinpackHarness())
        self.h.feed(c.Subscribed("f"))
        self.h.feed(c.PolicyTold(read_policy(RULES, 1)))
        self.service = JobsService(cast(Any, self), JobRoles(("*",)))

    def call(self, method: str, request: Any, who: str = "operator/lead") -> Any:
        """What is answered. Raises CallError."""
        call: Any = SimpleNamespace(caller=Caller(who, Method.CERT))
        return asyncio.run(getattr(self.service, method)(request, call))

    def apply(self, text: str, who: str = "operator/lead", **more: Any) -> pb.ApplyJobResponse:
        self.requests += 1
        more.setdefault("request_id", f"r{self.requests}")
        answer = self.call("ApplyJob", pb.ApplyJobRequest(job_json=text, **more), who)
        assert isinstance(answer, pb.ApplyJobResponse)
        return answer

    def refused(self, method: str, request: Any, who: str = "operator/lead") -> CallError:
        with pytest.raises(CallError) as caught:
            self.call(method, request, who)
        return caught.value


def settle(h: BinpackHarness, bad: str = "") -> None:
    """Have all that is launched run, but what of a command that ends by itself."""
    for _ in range(20):
        h.offer("cpus:40;mem:40000")
        for i in [i for i in h.core.instances() if i.live]:
            running = types_pb2.TASK_FAILED if i.spec.command == bad else types_pb2.TASK_RUNNING
            h.update(i.saved.task_id, types_pb2.TASK_KILLED if i.killing else running)
        h.advance(5)


def version(number: int, text: str, **more: Any) -> pb.JobVersion:
    more = {"made_by": "operator/then", "what": "apply", "made_at_s": 1000.0 + number, **more}
    return pb.JobVersion(version=number, job_json=text, **more)
