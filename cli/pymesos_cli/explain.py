"""`explain`: why isn't it starting?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.protobuf.json_format import MessageToDict

from pymesos_cli.cluster import CliError, Cluster, jobs_at
from pymesos_cli.finding import TASK, find_framework, find_task, one
from pymesos_cli.output import age, print_json, printable
from pymesos_cli.services import ask_jobs
from pymesos_core.names import Found, Named, TaskName, find
from pymesos_core.states import is_terminal, reason_name, state_name
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2


async def _ask(cluster: Cluster, framework_id: str) -> pb.ExplainFrameworkResponse:
    request = pb.ExplainFrameworkRequest(framework_id=framework_id)
    return await cluster.call(
        lambda stub, timeout_s: stub.ExplainFramework(request, timeout=timeout_s)
    )


async def explain_framework(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli explain framework`."""
    view = await find_framework(cluster, text)
    said = await _ask(cluster, view.info.framework_id)
    if as_json:
        print_json(MessageToDict(said, preserving_proto_field_name=True))
        return
    for line in framework_lines(said):
        print(printable(line))


def framework_lines(said: pb.ExplainFrameworkResponse) -> Iterator[str]:
    """What the allocator said, for people, with what would help."""
    view = said.framework
    last = f"{age(said.last_offer_at_s)} ago" if said.last_offer_at_s else "none by this master"
    yield (
        f"framework {view.info.name} ({view.info.framework_id}) is {view.state}:"
        f" {view.tasks} tasks, dominant share {view.dominant_share:.1%},"
        f" holds {said.offers_held} offers, the last offer: {last}"
    )
    if view.state != "active":
        yield "  it is offered nothing while it is away; start it again"
        return
    if view.offer_conflicts:
        yield f"{view.offer_conflicts} offers were accepted by others first (optimistic offers)"
    for role in said.roles:
        if role.suppressed:
            yield f"role {role.role}: suppressed; the framework asks for no offers until it revives"
            continue
        yield (
            f"role {role.role} (weight {role.weight:g}): number {role.place} of {role.of} in line,"
            f" weighted share {role.weighted_share:.1%}; of {said.agents} agents"
        )
        left = said.agents - sum(withheld.agents for withheld in role.withheld)
        if left > 0:
            yield f"  {left}: offered to it as soon as it is its turn"
        for withheld in role.withheld:
            some = ", ".join(withheld.hostnames)
            more = ", …" if withheld.agents > len(withheld.hostnames) else ""
            yield f"  {withheld.agents}: {withheld.text} ({some}{more}){_help(withheld)}"


def _help(withheld: pb.ExplainFrameworkResponse.Withheld) -> str:
    match withheld.reason:
        case "REFUSED":
            return f"; the first filter ends in {withheld.first_ends_in_s:.0f} s, REVIVE ends all"
        case "LIMIT":
            return "; `pymesos-cli quota set` raises it"
        case "CAPABILITY":
            return "; it may declare it, or the master run with --no-filter-gpu-resources"
        case "CONSTRAINT":
            return "; they are of its SUBSCRIBE"
        case "RESERVED":
            return "; `pymesos-cli agents --json` lists what is reserved"
        case "HEADROOM":
            return "; `pymesos-cli roles` lists the guarantees"
        case _:
            return ""


async def explain_task(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli explain task`: of a job's instance that waits, or of a task."""
    waiting = find(text, await _waiting(cluster))
    view = None if waiting.exact and waiting.fits else await _task(cluster, text, waiting.fits)
    if view is not None:
        if as_json:
            print_json(MessageToDict(view, preserving_proto_field_name=True))
        else:
            print(printable(_task_line(view)))
        return
    framework_id, name, instance = _one_of(text, waiting)
    said = await _ask(cluster, framework_id)
    if as_json:
        shown = MessageToDict(instance, preserving_proto_field_name=True)
        of_framework = MessageToDict(said, preserving_proto_field_name=True)
        print_json({"instance": shown, "framework": of_framework})
        return
    print(printable(f"{name} waits: {instance.explanation or 'it was not planned yet'}"))
    if instance.nearest:
        print(printable(f"  nearest fit: {instance.nearest}"))
    if instance.offers_seen:
        print(f"  offers seen that did not do: {instance.offers_seen}")
    if instance.stuck:
        print("  no agent that was ever offered could run it: it needs less, or another agent")
    for line in framework_lines(said):
        print(printable(line))


Waiting = tuple[str, str, jobs_pb.InstanceView]  # of which framework, its name, and its view


async def _task(cluster: Cluster, text: str, waiting: Sequence[object]) -> pb.TaskView | None:
    """The task of that id or name; none where something that waits begins so and no task is so."""
    try:
        return await find_task(cluster, text, completed=True, exact=bool(waiting))
    except CliError:
        if waiting:
            return None
        raise


async def _waiting(cluster: Cluster) -> list[Named[Waiting]]:
    """The instances that wait, of all jobs."""
    waiting: list[Named[Waiting]] = []
    answers = await ask_jobs(cluster, ended=False)
    for address, job in answers.items:
        async with jobs_at(address) as stub:
            request = jobs_pb.WatchJobRequest(job_id=job.job_id)
            async for view in stub.WatchJob(request, timeout=cluster.timeout_s):
                for i in view.instances:
                    if i.state == types_pb2.TASK_STATE_UNSPECIFIED and not i.done:
                        parts = TaskName(job.job_id, job.name, i.task_name, i.instance, i.attempts)
                        item = (job.framework_id, parts.of_instance, i)
                        waiting.append(Named(item, parts.of_instance, parts.names))
                if not view.more:
                    break
    return waiting


def _one_of(text: str, found: Found[Waiting]) -> Waiting:
    """The one that is meant, or the first of those that wait for the same."""
    if len({thing.item[2].explanation for thing in found.fits}) == 1:
        return found.fits[0].item
    return one(text, found, TASK, lambda item: item[2].explanation or "not planned yet")


def _task_line(view: pb.TaskView) -> str:
    state = state_name(view.state)
    reason = reason_name(view.status.reason)
    where = f"on {view.hostname}" if view.hostname else "nowhere"
    if is_terminal(view.state):
        parts = [f"ended {where} as {state}", f"({reason})" if reason else "", view.status.message]
    elif view.state == types_pb2.TASK_UNREACHABLE:
        parts = [f"is {state}: it was {where}, and {view.status.message}"]
    elif view.started_at_s:
        parts = [f"is {state} {where} for {age(view.started_at_s)}: it has been started"]
    else:
        parts = [
            f"is {state} {where} for {age(view.launched_at_s)}: its agent has it, and has not"
            f" reported it as running; {view.status.message or 'it may be fetching an image'}"
        ]
    return f"{view.task_info.task_id} {' '.join(part for part in parts if part)}"
