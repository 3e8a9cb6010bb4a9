"""Masters whose own code has a fault."""

from __future__ import annotations

from collections.abc import Callable

from pymesos_core.caller import Caller
from pymesos_master.core import events as ev
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

SOMEBODY = Caller(peer="host")


class PlantedError(Exception):
    """The fault."""


def calls(kind: str) -> Callable[[MasterHarness, int, int], ev.Event]:
    def make(h: MasterHarness, agent: int, framework: int) -> ev.Event:
        (offer,) = h.offers(framework)
        launch = scheduler_pb.Operation.Launch(task_infos=[task(offer, "new")])
        operations = [scheduler_pb.Operation(launch=launch)]
        if kind == "wrong":
            return ev.FrameworkCalled(
                framework,
                scheduler_pb.Call(accept={"offer_ids": ["none"], "operations": operations}),
            )
        whole = {
            "accept": {"offer_ids": [offer.offer_id], "operations": operations},
            "decline": {"offer_ids": [offer.offer_id]},
            "kill": {"task_id": "t"},
        }
        return ev.FrameworkCalled(framework, scheduler_pb.Call(**{kind: whole[kind]}))  # type: ignore[arg-type]

    return make


def subscribes(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    info = pb.FrameworkInfo(name="new", roles=["*"])
    return ev.FrameworkSubscribing(
        99, scheduler_pb.Call.Subscribe(framework_info=info), Caller(peer="host")
    )


def comes_back(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    known = h.core.state.frameworks[h.framework_id(framework)].info
    return ev.FrameworkSubscribing(
        99, scheduler_pb.Call.Subscribe(framework_info=known), Caller(peer="host")
    )


def registers(h: MasterHarness, agent: int, framework: int) -> ev.Event:
    known = h.core.state.agents[h.agent_id(agent)].info
    return ev.AgentRegistering(98, known, "other", caller=SOMEBODY)


MAKERS = {
    "accept": calls("accept"),
    "wrong": calls("wrong"),
    "decline": calls("decline"),
    "kill": calls("kill"),
    "subscribe": subscribes,
    "come back": comes_back,
    "register": registers,
}


def prepared() -> tuple[MasterHarness, int, int]:
    h = MasterHarness()
    agent = h.agent()
    framework = h.subscribe()
    h.run(framework)
    return h, agent, framework
