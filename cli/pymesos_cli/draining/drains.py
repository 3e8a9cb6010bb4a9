"""`cordon`, `drain`, `activate`: agents that are not offered, and how they are emptied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from pymesos_cli.cluster import Cluster
from pymesos_cli.draining import leaving
from pymesos_cli.errors import EXIT_FAILED, CliError
from pymesos_cli.finding import find_agents, volumes_on
from pymesos_cli.output import count_of, note
from pymesos_core.text import duration
from pymesos_proto.v1 import operator_pb2 as pb

LOOK_S = 0.5  # how often it is looked whether agents are drained
SAY_S = 5.0  # how often it is said what is left


async def cordon(cluster: Cluster, texts: Sequence[str]) -> None:
    """`pymesos-cli cordon`."""
    views = await find_agents(cluster, texts)
    request = pb.CordonAgentsRequest(agent_ids=_ids(views))
    await cluster.call(lambda stub, timeout_s: stub.CordonAgents(request, timeout=timeout_s))
    for view in views:
        drained = view.drain.state == "draining"
        cancelled = "; it is not drained any more" if drained else ""
        print(f"agent {_name(view)} is cordoned: it is offered to nobody{cancelled}")


async def activate(cluster: Cluster, texts: Sequence[str]) -> None:
    """`pymesos-cli activate`."""
    views = await find_agents(cluster, texts)
    request = pb.ActivateAgentsRequest(agent_ids=_ids(views))
    await cluster.call(lambda stub, timeout_s: stub.ActivateAgents(request, timeout=timeout_s))
    for view in views:
        if view.drain.state:
            print(f"agent {_name(view)} is offered again; it was {view.drain.state}")
        else:
            print(f"agent {_name(view)} was neither cordoned nor drained")


async def drain(
    cluster: Cluster, texts: Sequence[str], within_s: float, *, wait: bool, then_gone: bool
) -> None:
    """`pymesos-cli drain`."""
    views = await find_agents(cluster, texts)
    request = pb.DrainAgentsRequest(agent_ids=_ids(views), within_s=within_s, then_gone=then_gone)
    await cluster.call(lambda stub, timeout_s: stub.DrainAgents(request, timeout=timeout_s))
    for view in views:
        print(f"draining agent {_name(view)}, {count_of(view.tasks, 'task')}", flush=True)
        if then_gone and (lost := volumes_on(view)):
            note(f"  with it the data of {lost} are lost, unless `activate` cancels that in time")
    if wait:
        await _wait(cluster, _ids(views))
    else:
        note("`pymesos-cli agents` shows how far it is; `activate` cancels it")


async def _wait(cluster: Cluster, agent_ids: Sequence[str]) -> None:
    """Wait until none of the agents is being drained. Raises CliError when a drain is cancelled."""
    waiting = dict.fromkeys(agent_ids)
    cancelled: list[str] = []
    say_at_s = time.monotonic() + SAY_S
    while waiting:
        views = {view.info.agent_id: view for view in await cluster.agents()}
        for agent_id in list(waiting):
            view = views.get(agent_id)
            if view is not None and view.drain.state == "draining":
                continue
            del waiting[agent_id]
            if view is None or view.state == "gone":
                print(f"agent {agent_id} is gone", flush=True)
            elif view.drain.state == "drained":
                print(f"agent {_name(view)} is drained", flush=True)
            else:
                cancelled.append(f"{_name(view)} is {view.drain.state or 'offered again'}")
        if waiting and time.monotonic() >= say_at_s:
            say_at_s = time.monotonic() + SAY_S
            await _say_what_is_left(cluster, [views[agent_id] for agent_id in waiting])
        if waiting:
            await asyncio.sleep(LOOK_S)
    if cancelled:
        raise CliError(f"somebody has cancelled it: {', '.join(cancelled)}", EXIT_FAILED)


async def _say_what_is_left(cluster: Cluster, views: Sequence[pb.AgentView]) -> None:
    for view in views:
        if view.state != "active":
            hint = ""
            if view.state == "unreachable":
                gone = f"`pymesos-cli gone {view.info.agent_id}`"
                hint = f", and whether its tasks run nobody knows; {gone} gives it up"
            note(f"{_name(view)} is {view.state}{hint}")
            continue
        tasks = await cluster.tasks(agent_id=view.info.agent_id)
        left = max(0, round(view.drain.deadline_s - time.time()))
        when = (
            f"what is left is killed in {duration(left)}"
            if left
            else "what is left is being killed"
        )
        note(f"{_name(view)}: {count_of(len(tasks), 'task')} left; {when}")
        shown = leaving.shown_of(tasks)
        for reason in await leaving.reasons(cluster, shown):
            note(f"  {reason}")
        if len(tasks) > len(shown):
            note(f"  … and {len(tasks) - len(shown)} more")


def state_of(view: pb.AgentView) -> str:
    """The state of an agent, and what an operator has decided of it."""
    drain = view.drain
    if drain.down and view.state == "unreachable":
        return f"{view.state}, its machine is down"
    if drain.state != "draining":
        return ", ".join(filter(None, (view.state, drain.state)))
    return f"{view.state}, draining ({_left(max(0.0, drain.deadline_s - time.time()))})"


def _left(seconds: float) -> str:
    if seconds < 1:
        return "its deadline is over"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit} left"
    return f"{seconds:.0f}s left"


def _ids(views: Sequence[pb.AgentView]) -> list[str]:
    return [view.info.agent_id for view in views]


def _name(view: pb.AgentView) -> str:
    return f"{view.info.agent_id} ({view.info.address.hostname})"
