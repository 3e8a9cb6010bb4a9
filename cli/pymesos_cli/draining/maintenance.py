"""`maintenance schedule|list|cancel`: when agents may be away."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pymesos_cli.cluster import Cluster
from pymesos_cli.finding import find_agents
from pymesos_cli.output import note, print_json, print_table
from pymesos_core.clock import utc
from pymesos_core.json_dialect import window_json
from pymesos_core.text import duration
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


async def schedule(
    cluster: Cluster, texts: Sequence[str], start_s: float, duration_s: float
) -> None:
    """`pymesos-cli maintenance schedule`."""
    views = await find_agents(cluster, texts)
    window = types_pb2.Unavailability(start_s=start_s, duration_s=duration_s)
    request = pb.ScheduleMaintenanceRequest(
        agent_ids=[view.info.agent_id for view in views], unavailability=window
    )
    await cluster.call(lambda stub, timeout_s: stub.ScheduleMaintenance(request, timeout=timeout_s))
    for view in views:
        replaced = ", in the place of another window" if view.HasField("maintenance") else ""
        print(f"agent {_name(view)} may be away from {utc(start_s)}{_for(duration_s)}{replaced}")
    them = "it" if len(views) == 1 else "them"
    note(f"`pymesos-cli maintenance list` shows what frameworks say; when it begins, drain {them}")


async def cancel(cluster: Cluster, texts: Sequence[str]) -> None:
    """`pymesos-cli maintenance cancel`."""
    views = await find_agents(cluster, texts)
    request = pb.CancelMaintenanceRequest(agent_ids=[view.info.agent_id for view in views])
    await cluster.call(lambda stub, timeout_s: stub.CancelMaintenance(request, timeout=timeout_s))
    for view in views:
        had = "has no maintenance window any more"
        said = had if view.HasField("maintenance") else "had no maintenance window"
        print(f"agent {_name(view)} {said}")


async def list_windows(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli maintenance list`."""
    views = [view for view in await cluster.agents() if view.HasField("maintenance")]
    views.sort(key=lambda view: view.maintenance.unavailability.start_s)
    if as_json:
        print_json([window_json(view) for view in views])
        return
    rows = []
    for view in views:
        window = view.maintenance.unavailability
        answers = ", ".join(
            f"{said.framework_name or said.framework_id}: {_ANSWERS.get(said.answer, said.answer)}"
            for said in view.maintenance.answers
        )
        rows.append(
            (
                view.info.agent_id,
                view.info.address.hostname,
                utc(window.start_s),
                _for(window.duration_s).removeprefix(" for ") or "not known",
                _when(window, time.time()),
                str(view.tasks),
                answers,
            )
        )
    headers = ("AGENT", "HOST", "START", "DURATION", "NOW", "TASKS", "ANSWERS")
    print_table(headers, rows, "no maintenance is planned", ("ANSWERS",))


_ANSWERS = {"offered": "no answer yet"}


def _when(window: types_pb2.Unavailability, now_s: float) -> str:
    """Where a window is; it does not begin or end by itself."""
    if now_s < window.start_s:
        return f"in {duration(round(window.start_s - now_s))}"
    if window.duration_s and now_s > window.start_s + window.duration_s:
        return "over"
    return "begun"


def _for(duration_s: float) -> str:
    return f" for {duration(duration_s)}" if duration_s else ""


def _name(view: pb.AgentView) -> str:
    return f"{view.info.agent_id} ({view.info.address.hostname})"
