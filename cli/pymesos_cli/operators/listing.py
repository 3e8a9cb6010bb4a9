"""`agents`, `frameworks`, `tasks`, `offers`, `leader`, `events`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from pymesos_cli.cluster import Cluster
from pymesos_cli.draining.drains import state_of
from pymesos_cli.errors import CliError
from pymesos_cli.finding import EndedError, WaitsError, find_framework, find_tasks, what_is_awaited
from pymesos_cli.jobs.quarantine import quarantined_jobs
from pymesos_cli.jobs.waiting import ask_services
from pymesos_cli.output import (
    age,
    count_of,
    note,
    print_json,
    print_table,
    printable,
    short_amounts,
    used_of,
)
from pymesos_cli.tasks.last_words import in_a_line, last_words
from pymesos_core.json_dialect import (
    agent_json,
    event_json,
    framework_json,
    iso,
    leader_json,
    offer_json,
    task_json,
    task_resources_json,
)
from pymesos_core.names import find
from pymesos_core.resources import Resources, from_proto
from pymesos_core.states import is_terminal, kind_name, reason_name, state_name
from pymesos_core.text import quoted
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_proto.v1 import types_pb2 as types_pb

MAX_WAITING = 10  # instances that are named


def _held(info: types_pb2.AgentInfo) -> dict[str, str]:
    """What limits tasks and volumes, and keeps processes from the files of the agent's user."""
    has = info.isolation
    held = {name: has.get(name, "no") for name in ("mem", "cpu") if has}
    if has:
        held["volumes"] = has.get("volumes", "no")
    if has and "process" in info.runtimes:
        held["files"] = "own user" if "own_user" in has else has.get("hidden", "no")
    return held


def _say_if_open(cluster: Cluster) -> None:
    """People are told that a cluster has no certificates, whenever they look at it."""
    if cluster.credentials is None:
        print("this cluster has no certificates: whoever reaches it may do everything")


async def list_agents(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli agents`."""
    views = await cluster.agents()
    if as_json:
        print_json([agent_json(view) for view in views])
        return
    rows: list[tuple[str, ...]] = []
    for view in views:
        info = view.info
        total, used = from_proto(view.total), from_proto(view.allocated)
        reserved = total.where(lambda tag: bool(tag.reservations))
        holds = ", ".join(f"{name}: {how}" for name, how in _held(info).items())
        rows.append(
            (
                info.agent_id,
                info.address.hostname,
                state_of(view),
                used_of("cpus", used, total),
                used_of("mem", used, total),
                str(view.tasks),
                _runtimes(info),
                holds,
                ";".join(f"{a.name}:{a.text}" for a in info.attributes),
                str(reserved) if reserved else "",
            )
        )
    headers: tuple[str, ...]
    headers = ("AGENT", "HOST", "STATE", "CPUS", "MEM", "TASKS", "RUNTIME", "HOLDS", "ATTRIBUTES",
               "RESERVED")  # fmt: skip
    if not any(row[-1] for row in rows):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    empty = "no agents; start one with pymesos-agent --master HOST:PORT"
    print_table(headers, rows, empty, ("RUNTIME", "ATTRIBUTES", "HOLDS", "RESERVED"))
    _say_if_open(cluster)


async def list_frameworks(cluster: Cluster, *, completed: bool, as_json: bool) -> None:
    """`pymesos-cli frameworks`."""
    views = await cluster.frameworks(completed=completed)
    if as_json:
        print_json([framework_json(view) for view in views])
        return
    rows = [
        (
            view.info.framework_id,
            view.info.name,
            ",".join(view.info.roles) or "*",
            view.state,
            str(view.tasks),
            short_amounts(from_proto(view.allocated)),
            f"{view.dominant_share:.1%}",
            age(view.registered_at_s),
        )
        for view in views
    ]
    headers = ("FRAMEWORK", "NAME", "ROLE", "STATE", "TASKS", "ALLOCATED", "SHARE", "AGE")
    print_table(headers, rows, "no frameworks", ("ROLE", "ALLOCATED", "NAME"))


async def list_tasks(
    cluster: Cluster,
    *,
    called: str | None,
    completed: bool,
    framework: str | None,
    states: Sequence[str],
    limit: int,
    as_json: bool,
) -> None:
    """`pymesos-cli tasks`."""
    framework_id = ""
    if framework is not None:
        framework_id = (
            await find_framework(cluster, framework, completed=completed)
        ).info.framework_id
    empty = "no tasks" if completed else "no tasks; --all shows those that have ended"
    if called is not None:
        try:
            views = await find_tasks(cluster, called, completed=completed, history=True)
        except (EndedError, WaitsError) as error:
            views, empty = [], error.message
            if isinstance(error, EndedError):
                empty = (
                    f"no task {quoted(called)} lives now: {error.example} has ended;"
                    f" `pymesos-cli tasks --all {called}` lists those that have"
                )
            if as_json:
                note(empty)
        wanted = {types_pb2.TaskState.Value(f"TASK_{state}") for state in states}
        views = [
            v
            for v in views
            if framework_id in ("", v.framework_id) and (not wanted or v.state in wanted)
        ]
    else:
        views = await cluster.tasks(
            completed=completed,
            framework_id=framework_id,
            states=[f"TASK_{state}" for state in states],
            limit=limit,
        )
    more = bool(limit) and len(views) > limit
    views = views[:limit] if more else views
    if away := await what_is_awaited(cluster):
        note(f"since the master that leads took over, {away}")
    aside = await quarantined_jobs(cluster) if views else {}
    why_aside = [aside.get(view.task_info.task_id.partition(".")[0]) for view in views]
    if as_json:
        print_json(list(map(task_json, views, why_aside)))
        return
    said = await last_words(cluster, views)
    rows = [
        _task_row(view, held, in_a_line(said.get(view.task_info.task_id, ())))
        for view, held in zip(views, why_aside, strict=True)
    ]
    headers = ("TASK", "STATE", "HOST", "RESOURCES", "USED", "PORTS", "AGE", "WHY")
    print_table(headers, rows, empty, ("RESOURCES", "USED", "PORTS", "WHY"))
    if called is not None and all(is_terminal(view.state) for view in views):
        for line in await _next_tries(cluster, called):
            print(printable(line))
    if more:
        print(f"these are the first {limit}; --limit 0 shows all, --framework and --state some")


def _task_row(view: pb.TaskView, held: str | None, words: str) -> tuple[str, ...]:
    status = view.status
    job = f"its job cannot be handled: {held}" if held else ""
    why = " ".join(p for p in (job, reason_name(status.reason), status.message) if p)
    return (
        view.task_info.task_id,
        state_name(view.state).removeprefix("TASK_") + (" (quarantined)" if held else ""),
        view.hostname,
        short_amounts(_resources(view)),
        f"{view.use.cpus_used:.2f} {view.use.mem_used_mib:.0f}M" if view.HasField("use") else "",
        ",".join(str(p) for p in task_resources_json(view.task_info.resources)["ports"]),
        age(view.started_at_s or view.launched_at_s),
        "; ".join(filter(None, (why, words))),
    )


async def _next_tries(cluster: Cluster, text: str) -> list[str]:
    """Say of what is called so, and was kept back after it crashed, when it is started again."""
    with contextlib.suppress(CliError):  # that all of it has ended is true all the same
        waiting = find(text, (await ask_services(cluster, text)).waiting, exact=True).fits
        kept_back = [thing for thing in waiting if thing.item.instance.next_start_at_s]
        return [f"{t.id} waits: {t.item.instance.explanation}" for t in kept_back[:MAX_WAITING]]
    return []


def _resources(view: pb.TaskView) -> Resources:
    return Resources(from_proto(view.task_info.resources).quantities)


async def list_offers(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli offers`."""
    views = await cluster.offers()
    if as_json:
        print_json([offer_json(view) for view in views])
        return
    rows = [
        (
            view.offer.offer_id,
            view.offer.framework_id,
            view.offer.hostname,
            view.offer.role,
            short_amounts(from_proto(view.offer.resources)),
            age(view.offered_at_s),
        )
        for view in views
    ]
    headers = ("OFFER", "FRAMEWORK", "HOST", "ROLE", "RESOURCES", "AGE")
    print_table(headers, rows, "no offers are waiting for an answer", ("RESOURCES",))


async def show_leader(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli leader`."""
    response = await cluster.call(
        lambda stub, timeout_s: stub.GetLeader(pb.GetLeaderRequest(), timeout=timeout_s)
    )
    leader = response.leader if response.HasField("leader") else None
    if as_json:
        print_json(leader_json(response))
        return
    if leader is None:
        print("no master leads now")
    else:
        epoch = f", epoch {response.epoch}" if response.epoch else ""
        print(f"{leader.ip}:{leader.port} ({leader.hostname}{epoch})")
    _say_if_open(cluster)


async def show_events(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli events`."""
    async for event in cluster.watch_events():
        if as_json:
            print_json(event_json(event), indent=None)
            continue
        state = state_name(event.task_state) if event.task_state else ""
        parts = (
            iso(event.timestamp_s) or "",
            kind_name(event.kind),
            event.task_id or event.offer_id,
            state,
            reason_name(event.reason),
            f"agent {event.agent_id}" if event.agent_id else "",
            f"framework {event.framework_id}" if event.framework_id else "",
            short_amounts(from_proto(event.resources)),
            event.message,
        )
        print(printable("  ".join(part for part in parts if part)), flush=True)


def _runtimes(info: types_pb.AgentInfo) -> str:
    """The runtimes that work, why others do not, and how much of its checkpoint is set aside."""
    out = [",".join(info.runtimes)]
    out += [f"{name} does not: {why}" for name, why in sorted(info.unavailable.items())]
    if info.set_aside:
        out.append(f"{count_of(len(info.set_aside), 'record')} in quarantine")
    return "; ".join(out)
