"""The agents over which a framework is asked to plan, in one message: what of each, and which."""

from __future__ import annotations

from pymesos_proto.v1 import operator_pb2 as pb

AGENTS_BYTES = 384 * 1024  # that a plan is made over, beside the job in a message


def to_plan(view: pb.AgentView) -> pb.AgentView:
    """What of an agent a plan looks at."""
    made = pb.AgentView(state=view.state, allocated=view.allocated, total=view.total)
    made.info.agent_id = view.info.agent_id
    made.info.address.hostname = view.info.address.hostname
    made.info.attributes.extend(view.info.attributes)
    made.info.runtimes.extend(view.info.runtimes)
    made.info.capabilities.extend(view.info.capabilities)
    if view.HasField("drain"):
        made.drain.state = view.drain.state
    return made


def that_fit(views: list[pb.AgentView]) -> tuple[list[pb.AgentView], int]:
    """Return those with most cpus free that fit into one message, and how many do not."""
    kept: list[pb.AgentView] = []
    left_bytes = AGENTS_BYTES
    for view in sorted(views, key=_free_cpus, reverse=True):
        left_bytes -= view.ByteSize() + 8
        if left_bytes < 0:
            break
        kept.append(view)
    return kept, len(views) - len(kept)


def _free_cpus(view: pb.AgentView) -> float:
    total = sum(one.scalar for one in view.total if one.name == "cpus")
    return total - sum(one.scalar for one in view.allocated if one.name == "cpus")
