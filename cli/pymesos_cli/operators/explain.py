"""`explain`: why isn't it starting? And why is it there?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.finding import TASK, check_given, find_framework, find_task, one
from pymesos_cli.jobs.hosted import find_hosted, hosted_jobs
from pymesos_cli.jobs.instances import has_failed
from pymesos_cli.jobs.waiting import FOR_THE_MASTER, Known, Waiting, ask_services, why_it_ended
from pymesos_cli.operators.placements import ask_placement, placement_lines
from pymesos_cli.output import age, count_of, print_json, printable
from pymesos_cli.services import serving
from pymesos_cli.tasks.last_words import last_words, last_words_of
from pymesos_core.jobs_json import instance_json, placement_json
from pymesos_core.json_dialect import explanation_json, task_json
from pymesos_core.names import Found, find
from pymesos_core.states import is_terminal, reason_name, state_name
from pymesos_core.text import duration
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

# Of the reasons that an agent is withheld for, those that are no news to the framework.
_NO_NEWS = ("IN_USE", "REFUSED")


async def _ask(
    cluster: Cluster, framework_id: str, task: Waiting | None = None
) -> pb.ExplainFrameworkResponse:
    request = pb.ExplainFrameworkRequest(framework_id=framework_id)
    if task is not None:
        request.needs.extend(task.instance.needs)
        request.agent_id = task.home
    said: pb.ExplainFrameworkResponse = await cluster.call(
        lambda stub, timeout_s: stub.ExplainFramework(request, timeout=timeout_s)
    )
    return of_role(said, task.role) if task is not None else said


def of_role(said: pb.ExplainFrameworkResponse, role: str) -> pb.ExplainFrameworkResponse:
    """What was said of one role alone: what another is offered is nothing to a task of this one."""
    out = pb.ExplainFrameworkResponse()
    out.CopyFrom(said)
    if mine := [each for each in said.roles if each.role == role]:
        del out.roles[:]
        out.roles.extend(mine)
    return out


async def explain_framework(cluster: Cluster, text: str, *, as_json: bool) -> None:
    """`pymesos-cli explain framework`."""
    view = await find_framework(cluster, text)
    said = await _ask(cluster, view.info.framework_id)
    if as_json:
        print_json(explanation_json(said))
        return
    for line in framework_lines(said):
        print(printable(line))


def framework_lines(said: pb.ExplainFrameworkResponse) -> Iterator[str]:
    """What the allocator said, for people, with what would help."""
    view = said.framework
    last = f"{age(said.last_offer_at_s)} ago" if said.last_offer_at_s else "none by this master"
    yield (
        f"framework {printable(view.info.name)} ({view.info.framework_id}) is {view.state}:"
        f" {count_of(view.tasks, 'task')}, dominant share {view.dominant_share:.1%},"
        f" holds {count_of(said.offers_held, 'offer')}, the last offer: {last}"
    )
    if view.state != "active":
        yield "  it is offered nothing while it is away; start it again"
        return
    if view.offer_conflicts:
        lost = count_of(view.offer_conflicts, "offer")
        yield f"others were first to accept: {lost} (optimistic offers)"
    for role in said.roles:
        if role.suppressed:
            yield f"role {role.role}: suppressed; the framework asks for no offers until it revives"
            continue
        yield (
            f"role {role.role} (weight {role.weight:g}): number {role.place} of {role.of} in line,"
            f" weighted share {role.weighted_share:.1%}; of {count_of(said.agents, 'agent')}"
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
            ends_in = duration(round(withheld.first_ends_in_s))
            return f"; the first filter ends in {ends_in}, REVIVE ends all"
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
    check_given(text, TASK)
    known = await ask_services(cluster, text)
    waiting = find(text, known.waiting)
    view = None
    if not (waiting.exact and waiting.fits):
        view = await _task(cluster, text, waiting.fits, known)
    if view is not None:
        note, placed = known.notes.get(view.task_info.task_id, ""), None
        if is_terminal(view.state):
            note = await why_it_ended(cluster, view)
        else:
            if not note and view.task_info.task_id in known.not_ready:
                note = why_not_ready(view)
            placed = await ask_placement(cluster, view, known.at)
        if as_json:
            placement = placement_json(placed) if placed is not None else None
            print_json(task_json(view) | {"explanation": note or None, "placement": placement})
            return
        words = (await last_words(cluster, [view])).get(view.task_info.task_id, ())
        print(printable(_task_line(view)))
        for line in (f"  {note}" if note else "", *placement_lines(placed), *_quoted(words)):
            if line:
                print(printable(line))
        return
    one_of = _one_of(text, waiting)
    framework_id, name, instance = one_of.framework_id, one_of.name, one_of.instance
    said, of_task = await _ask(cluster, framework_id), await _ask(cluster, framework_id, one_of)
    why = the_reason(instance, of_task, one_of.home)
    if as_json:
        of_instance, of_framework = instance_json(instance), explanation_json(said)
        print_json({"instance": of_instance, "framework": of_framework, "reason": why})
        return
    failed = [instance.task_id] if has_failed(instance) else []
    words = (await last_words_of(cluster, framework_id, failed)).get(instance.task_id, ())
    for line in (*waiting_lines(name, instance, why, said), *_quoted(words)):
        print(printable(line))


def _quoted(words: Sequence[str]) -> Iterator[str]:
    """What a task that failed wrote last."""
    if words:
        yield "  the last lines of its stderr:"
        yield from (f"    {line}" for line in words)


def waiting_lines(
    name: str, instance: jobs_pb.InstanceView, why: str, said: pb.ExplainFrameworkResponse
) -> Iterator[str]:
    """Why it waits, what is missing, and what would help."""
    yield f"{name} waits: {why}"
    if instance.attempts:
        due_s = min(1e11, instance.next_start_at_s - time.time())  # as a framework tells it
        due = f"; the next start is due in {duration(round(max(0.0, due_s)))}" if due_s > -1 else ""
        restarts = max(0, instance.attempts - 1)
        yield f"  started {count_of(instance.attempts, 'time')}, {restarts} of them again{due}"
    if instance.nearest:
        yield f"  nearest fit: {instance.nearest}"
    if instance.offers_seen:
        yield f"  offers seen that did not do: {instance.offers_seen}"
    if instance.stuck and instance.cause != "NO_AGENT":
        yield "  no agent that was ever offered could run it: it needs less, or another agent"
    if instance.cause in ("BACK_OFF", "STORING", "DEPENDENCY", "DEPENDENCY_FAILED"):
        return  # no offer would help
    yield from framework_lines(said)


def the_reason(
    instance: jobs_pb.InstanceView, said: pb.ExplainFrameworkResponse, home: str = ""
) -> str:
    """From who decides it: the framework, or the master where that is why nothing is offered.

    `said` is of its role, and where it may be on one agent only, its `home`, of that.
    """
    own = instance.explanation or "it was not planned yet"
    if said.framework.state != "active":
        return f"its framework is {said.framework.state}, so nothing is placed"
    if instance.cause and instance.cause not in FOR_THE_MASTER:
        return own
    if said.agents_awaited:
        agents = f"{said.agents_awaited} agents are"
        agents = "1 agent is" if said.agents_awaited == 1 else agents
        return f"a new leader offers nothing before {agents} back, or their time is over"
    needs = _amounts(instance)
    if home and said.agent_state not in ("", "active"):
        return f"{own}; that agent is {said.agent_state}"
    roles = [role for role in said.roles if not role.suppressed]
    if said.roles and not roles:
        return "its framework asks for no offers now (the role is suppressed)"
    withheld = [each for role in roles for each in role.withheld if each.reason not in _NO_NEWS]
    of = 1 if home else said.agents
    if not withheld or any(of > sum(each.agents for each in role.withheld) for role in roles):
        return own  # an offer is on its way
    parts = [f"{each.text} ({_where(each)}){_help(each)}" for each in withheld]
    return f"needs {needs}, and is offered none that would do: {'; '.join(parts)}"


def _amounts(instance: jobs_pb.InstanceView) -> str:
    parts = [f"{each.scalar:g} {each.name}" for each in instance.needs]
    parts += [count_of(instance.needs_ports, "port")] if instance.needs_ports else []
    return ", ".join(parts) or "little"


def _where(withheld: pb.ExplainFrameworkResponse.Withheld) -> str:
    more = ", …" if withheld.agents > len(withheld.hostnames) else ""
    return f"{', '.join(withheld.hostnames)}{more}"


async def _task(
    cluster: Cluster, text: str, waiting: Sequence[object], known: Known
) -> pb.TaskView | None:
    """The task of that id or name; none where something that waits begins so and no task is so."""
    try:
        return await find_task(cluster, text, completed=True, exact=bool(waiting))
    except CliError as error:
        if waiting:
            return None
        job = text.partition(".")[0]
        if (hosted := find_hosted(job, await hosted_jobs(cluster), exact=True)) is not None:
            framework_id = hosted.framework.info.framework_id
            raise CliError(
                f"{error.message}. The job {hosted.job_id} is run by {hosted.where}, which shows"
                f" what its tasks wait for; `pymesos-cli explain framework {framework_id}` says"
                f" what keeps agents from it",
                error.exit_code,
            ) from error
        if known.silent:
            which = "; ".join(map(str, known.silent))
            raise CliError(f"{error.message}; what waits is not known: {which}") from error
        if not await serving(cluster):
            raise CliError(
                f"{error.message}; no framework that serves jobs is registered, so nothing waits"
                f" to be placed: start pymesos-binpack --listen",
                error.exit_code,
            ) from error
        raise


def _one_of(text: str, found: Found[Waiting]) -> Waiting:
    """The one that is meant, or the first of those that wait for the same."""
    if len({thing.item.instance.explanation for thing in found.fits}) == 1:
        return found.fits[0].item
    return one(text, found, TASK, lambda item: item.instance.explanation or "not planned yet")


def why_not_ready(view: pb.TaskView) -> str:
    """Return which check of a running task does not pass, with its last answer if that is known."""
    info, status = view.task_info, view.status
    for field, answer, name in (
        ("readiness_check", "ready", "readiness check"),
        ("health_check", "healthy", "health check"),
    ):
        if not info.HasField(field):
            continue
        if not status.HasField(answer):
            return f"not ready: its {name} has not answered yet"
        if not getattr(status, answer):
            of_it = status.message.startswith(("Not ready", "Unhealthy"))
            why = status.message.partition(": ")[2] if of_it else ""
            return f"not ready: its {name} does not pass{f': {why}' if why else ''}"
    return "not ready: its framework has not counted it as ready yet"


def _task_line(view: pb.TaskView) -> str:
    state = state_name(view.state)
    reason = reason_name(view.status.reason)
    where = f"on {view.hostname}" if view.hostname else "nowhere"
    if is_terminal(view.state):
        parts = [f"ended {where} as {state}", f"({reason})" if reason else "", view.status.message]
    elif view.state == types_pb2.TASK_UNREACHABLE:
        parts = [f"is {state}: it was {where}, and {view.status.message}"]
    elif view.started_at_s:
        parts = [f"has been {state} {where} for {age(view.started_at_s)}: it has been started"]
    else:
        parts = [
            f"has been {state} {where} for {age(view.launched_at_s)}: its agent has it, and has not"
            f" reported it as running; {view.status.message or 'it may be fetching an image'}"
        ]
    return f"{view.task_info.task_id} {' '.join(part for part in parts if part)}"
