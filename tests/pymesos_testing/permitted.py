"""A master with a policy, and who calls it."""

from __future__ import annotations

from typing import Any

from pymesos_core import resources
from pymesos_core.caller import Caller, Method
from pymesos_core.security.policy_file import read_policy
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.queries import PageRequest
from pymesos_proto.v1 import scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

ALL = PageRequest()


def who(principal: str) -> Caller:
    return Caller(principal, Method.CERT, "1", "ipv4:10.0.0.1", "grpc")


ROOT = who("operator/root")


FRAMEWORK = who("framework/f")


POLICY = """\
allow:
- {{who: operator/root, do: ["*"], role: "**"}}
- {{who: framework/*, do: [subscribe, launch, reserve, serve], role: "**"}}
{}
"""


def harness(*rules: str, document: str = POLICY) -> MasterHarness:
    """A cluster with a policy."""
    return MasterHarness(Config(seed_policy=document.format("\n".join(f"- {r}" for r in rules))))


def set_policy(h: MasterHarness, document: str, instead_of: int, caller: Caller = ROOT) -> Any:
    h.answers.pop(99, None)
    h.feed(ev.OperatorSetPolicy(99, read_policy(document), instead_of, caller))
    return h.answers.get(99, "not answered")


def cluster(*rules: str) -> tuple[MasterHarness, int, str]:
    """One in which a task runs in the role prod/web, its framework's id, and its agent."""
    h = harness(*rules)
    h.agent("cpus:4;mem:4096", caller=who("agent/a"))
    framework = h.subscribe(roles=["prod/web"], caller=FRAMEWORK, user="app")
    launch(h, framework, "t")
    return h, framework, h.framework_id(framework)


def launch(h: MasterHarness, framework: int, task_id: str, **changed: Any) -> str:
    """Launch a task; what became of it."""
    h.advance(2)  # what was offered in vain comes again only after a while
    offer = h.offers(framework)[0]
    info = task(offer, task_id)
    info.command.environment.add(name="SECRET", value="hunter2")
    info.MergeFrom(pb.TaskInfo(**changed))
    operation = scheduler_pb2.Operation(launch=scheduler_pb2.Operation.Launch(task_infos=[info]))
    accept = scheduler_pb2.Call.Accept(offer_ids=[offer.offer_id], operations=[operation])
    accept.filters.refuse_seconds = 0
    call = scheduler_pb2.Call(accept=accept)
    h.feed(ev.FrameworkCalled(framework, call, FRAMEWORK))
    status = next((s for s in h.statuses(framework) if s.task_id == task_id), None)
    return "launched" if status is None else f"{pb.Reason.Name(status.reason)} {status.message}"


ONE: tuple[pb.Resource, ...] = tuple(resources.to_proto(resources.parse("cpus:1")))


def agent_of(h: MasterHarness) -> str:
    return next(iter(h.core.state.agents))
