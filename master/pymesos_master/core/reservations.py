"""Dynamic reservations and volumes: the operations of an ACCEPT, and what operators reserve.

The registry says what is reserved on an agent; the agent is told, and told again when it registers.
So an operation is written first, and everything of its ACCEPT waits for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from pymesos_core import contract, reservations, resources
from pymesos_core.errors import ProblemKind
from pymesos_core.lifecycle import Story
from pymesos_core.limits import MAX_SAID
from pymesos_core.resource_names import meant_resource
from pymesos_core.resource_tags import Tag, reserved_role_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources, tagged
from pymesos_core.text import cut, quoted
from pymesos_master.core import offers, permission
from pymesos_master.core.context import Context
from pymesos_master.core.events import OperatorConverted, OperatorReserved, OperatorUnreserved
from pymesos_master.core.lifecycles import (
    OPERATION_LIFE,
    AgentState,
    OperationEvent,
    OperationState,
)
from pymesos_master.core.records import AGENT
from pymesos_master.core.state import Agent, ClusterState, Framework
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

Client = tuple[str, str]  # framework id, role
NOBODY: Client = ("", "")
CHANGING = "its agent's reservations change"
Update = scheduler_pb.Event.OperationUpdate
RESIZING = ("grow_volume", "shrink_volume")
# Which call of an operator an operation of his is, to the policy.
SHOWN = 5  # volumes of a role, in a sentence
_CALLS = dict.fromkeys(("unreserve", "destroy", "shrink_volume"), "Operator.Unreserve")
_ENDS = {
    OperationState.FINISHED: Update.FINISHED,
    OperationState.ERROR: Update.ERROR,
    OperationState.DROPPED: Update.DROPPED,
}


class Launching(NamedTuple):
    """What is launched as one: a task, or a group of them. Of every task: so it is a tuple."""

    infos: tuple[pb.TaskInfo, ...]
    grouped: bool = False


@dataclass(slots=True, eq=False)
class Operation:
    """An operation that changes what is reserved: what it takes from the offers, and gives instead;
    or why it cannot be done."""

    operation_id: str
    taken: Resources = EMPTY
    given: Resources = EMPTY
    problem: str | None = None
    state: OperationState = OperationState.PENDING
    story: Story = ()

    @property
    def label(self) -> str:
        """What its story calls it."""
        return f"operation {self.operation_id!r}"


@dataclass(frozen=True, slots=True)
class Launch:
    """A task, or the tasks of a group, and why they may not be launched, or None."""

    launching: Launching
    problem: str | None


Step = Operation | Launch
Check = Callable[[Launching, Resources], tuple[Resources, str | None]]


def is_conversion(operation: scheduler_pb.Operation) -> bool:
    """Whether it changes what is reserved."""
    return operation.WhichOneof("operation") not in ("launch", "launch_group", None)


def launches(operation: scheduler_pb.Operation) -> list[Launching]:
    """What an operation launches: each task by itself, or a group."""
    if operation.HasField("launch_group"):
        infos = tuple(operation.launch_group.task_infos)
        return [Launching(infos, grouped=True)] if infos else []
    return [Launching((info,)) for info in operation.launch.task_infos]


def plan(
    framework: Framework,
    agent: Agent,
    role: str,
    operations: list[scheduler_pb.Operation],
    offered: Resources,
    reserved: Resources,
    check: Check,
) -> tuple[list[Step], Resources]:
    """What each operation is to do, and what is reserved on the agent after them.

    `reserved`: what is intended to be reserved on it before. `check` says what a launch takes of
    what is left, and why it may not.
    """
    steps: list[Step] = []
    rest = offered
    size = _Size(reserved)
    for operation in operations:
        if not is_conversion(operation):
            for launching in launches(operation):
                needed, problem = check(launching, rest)
                rest = rest - needed if problem is None else rest
                steps.append(Launch(launching, problem))
            continue
        try:
            taken, given = _conversion(framework, agent, role, reserved, operation)
            if not rest.contains(taken):
                raise ResourceError(f"{taken} is not in the offer, which has {rest} left")
            # Another may have destroyed a shared volume meanwhile, which is in many offers.
            kept = reservations.without(reserved, reservations.dynamic(taken))
            size.check(kept, reservations.dynamic(given))
            reserved = kept + reservations.dynamic(given)
            rest = reservations.without(rest, taken) + given
            steps.append(Operation(operation.id, taken, given))
        except ResourceError as error:
            steps.append(Operation(operation.id, problem=str(error)))
    return steps, reserved


class _Size:
    """How large the record of what is reserved becomes, computed anew only when it may be full."""

    def __init__(self, reserved: Resources) -> None:
        self._at_most = reservations.size_bytes(reserved)

    def check(self, kept: Resources, given: Resources) -> None:
        """Raises ResourceError when there is no room for what is given beside what is kept."""
        self._at_most += reservations.size_bytes(given)
        if reservations.size_problem(self._at_most, kept, given):
            self._at_most = reservations.size_bytes(kept + given)
            if problem := reservations.size_problem(self._at_most, kept, given):
                self._at_most = reservations.size_bytes(kept)
                raise ResourceError(problem)


def _conversion(
    framework: Framework | None,
    agent: Agent,
    role: str,
    reserved: Resources,
    operation: scheduler_pb.Operation,
) -> tuple[Resources, Resources]:
    """What an operation takes, and what it gives; without a framework it is an operator's.

    Raises ResourceError.
    """
    if problem := contract.problem(operation):
        raise ResourceError(problem)
    kind = operation.WhichOneof("operation")
    if kind in RESIZING and any(n.rpartition(" ")[2] == "volumes" for n in agent.info.isolation):
        raise ResourceError(
            "its agent holds each volume at its size, by a disk that is made once: make another"
            " volume, and copy what is in this one"
        )
    match kind:
        case "reserve":
            given = resources.from_proto(operation.reserve.resources)
            if framework is not None:
                _check_reserver(framework, role, given)
            return reservations.before_reserve(given), given
        case "unreserve":
            taken = resources.from_proto(operation.unreserve.resources)
            return taken, reservations.after_unreserve(taken)
        case "create":
            given = resources.from_proto(operation.create.volumes)
            _check_new_volumes(reserved, given)
            shared = any(tag.shared for tag in given.tagged)
            if shared and framework is not None and not framework.has(pb.SHARED_RESOURCES):
                raise ResourceError("the framework does not declare SHARED_RESOURCES")
            return reservations.before_create(given), given
        case "grow_volume":
            volume = resources.from_proto([operation.grow_volume.volume])
            addition = resources.from_proto([operation.grow_volume.addition])
            # Before the sum: it refuses what is no disk.
            made = reservations.grown(volume, addition)
            return volume + addition, made
        case "shrink_volume":
            volume = resources.from_proto([operation.shrink_volume.volume])
            part = resources.from_proto([operation.shrink_volume.subtraction])
            return volume, reservations.shrunk(volume, part)
        case _:
            taken = resources.from_proto(operation.destroy.volumes)
            _check_unused(agent, taken)
            return taken, reservations.before_create(taken)


def _check_reserver(framework: Framework, role: str, given: Resources) -> None:
    """Raises ResourceError for what is reserved for another role, or as somebody else."""
    for tag, _ in given.parts():
        if tag.role != role:
            raise ResourceError(f"it reserves for {tag.role}, the offer is of {role}")
        principal, mine = tag.reservations[-1].principal, framework.info.principal
        if principal not in ("", mine):
            raise ResourceError(f"it reserves as {principal!r}, the framework is {mine!r}")


def _check_new_volumes(reserved: Resources, given: Resources) -> None:
    there = {(role, volume.id) for role, volume in reservations.volumes_of(reserved)}
    for role, volume in reservations.volumes_of(given):
        if (role, volume.id) in there:
            raise ResourceError(f"the role {role} has a volume {volume.id} on the agent already")


def _check_unused(agent: Agent, volumes: Resources) -> None:
    """A shared volume is in the offer though tasks use it."""
    for task in agent.tasks.values():
        if task.holds_resources and any(tag in volumes.tagged for tag in task.resources.tagged):
            raise ResourceError(f"task {task.task_id} uses the volume")


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is reserved on an agent is written anew, for an ACCEPT or for an operator who waits.

    While it is, nobody else may use what is `held`, as long as the agent stays on the connection.
    """

    agent_id: str
    connection_id: int | None
    reserved: Resources  # as it is to be
    client: Client
    held: Resources
    steps: tuple[Step, ...] = ()  # of the ACCEPT
    request_id: int | None = None  # of the operator


def conversions(state: ClusterState, agent: Agent) -> list[Conversion]:
    """The conversions of an agent that are on their way."""
    purposes = (pending.why.why for pending in state.image.pending_of((AGENT, agent.agent_id)))
    return [why for why in purposes if isinstance(why, Conversion)]


def converting(state: ClusterState, agent: Agent) -> list[Conversion]:
    """The conversions during which the agent has been there all the time."""
    return [c for c in conversions(state, agent) if c.connection_id == agent.connection_id]


def is_interrupted(state: ClusterState, agent: Agent) -> bool:
    """Whether it went, and came back or not, since a conversion began that is not written yet."""
    return any(c.connection_id != agent.connection_id for c in conversions(state, agent))


def intended(state: ClusterState, agent: Agent) -> Resources:
    """What is reserved on an agent, the changes that are being written included."""
    meant = state.intended_agent(agent.agent_id)
    return meant.reserved if meant is not None else agent.reserved


def convert(ctx: Context, agent: Agent, conversion: Conversion) -> None:
    """Write what is to be reserved on an agent; `accepts.on_converted` follows."""
    meant = ctx.state.intended_agent(agent.agent_id)
    assert meant is not None, f"{agent.agent_id} is being forgotten"
    record = replace(meant, reserved=conversion.reserved)
    ctx.persist({(AGENT, agent.agent_id): record}, conversion)


def tell_reserved(ctx: Context, agent: Agent) -> None:
    """All that is reserved on the agent, which keeps it."""
    message = agent_pb.MasterMessage.SetReserved(reserved=resources.to_proto(agent.reserved))
    ctx.tell_agent(agent, agent_pb.MasterMessage(set_reserved=message))


def offer_anew(ctx: Context, agent: Agent) -> None:
    """Have the allocator begin anew with an agent of which nothing is offered.

    Of one that came back while a change is written nobody knows what that concerns, so nothing is
    offered until it is written.
    """
    by_client: dict[Client, list[Resources]] = {}
    for holder in agent.holders():
        by_client.setdefault((holder.framework_id, holder.role), []).append(holder.resources)
    used = {client: resources.total(held) for client, held in by_client.items()}
    for kept in converting(ctx.state, agent):
        used[kept.client] = used.get(kept.client, EMPTY) + kept.held
    if is_interrupted(ctx.state, agent):
        rest = agent.total.minus_what_is_there(resources.total(used.values()))
        used[NOBODY] = used.get(NOBODY, EMPTY) + rest
    ctx.allocator.add_agent(agent.agent_id, agent.total, used)
    if agent.withheld:
        ctx.allocator.deactivate_agent(agent.agent_id)


def end_operation(
    ctx: Context,
    framework: Framework,
    agent_id: str,
    operation: Operation,
    event: OperationEvent,
) -> None:
    """End an operation, and tell its framework if it has an id."""
    OPERATION_LIFE.move(operation, event, ctx.now.wall_s)
    if operation.operation_id:
        update = Update(
            operation_id=operation.operation_id,
            state=_ENDS[operation.state],
            message=cut(operation.problem or "", MAX_SAID),
            agent_id=agent_id,
        )
        ctx.tell_framework(framework, scheduler_pb.Event(operation_update=update))


# Operators.


def on_reserve(ctx: Context, event: OperatorReserved) -> None:
    """Reserve what no task holds; offers of it are rescinded."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.Reserve", (event.role,)):
        return
    try:
        agent = _connected(ctx, event.agent_id)
        given = _named(event.resources, event.role)
        if not given:
            raise ResourceError("no resources are named, such as cpus:2;mem:1024")
        reserved = intended(ctx.state, agent)
        _check_new_volumes(reserved, given)
        taken = reservations.retagged(given, reservations.origin)
        free = _free(ctx.state, agent).where(lambda tag: not reservations.is_dynamic(tag))
        if not free.contains(taken):
            raise ResourceError(
                f"{taken} is wanted, and {free} is neither used by a task nor reserved"
                f"{_slip(taken, free)}"
            )
        _Size(reserved).check(reserved, given)
    except ResourceError as error:
        ctx.answer(event.request_id, str(error), _kind(error))
        return
    _write(ctx, event.request_id, agent, reserved + given, taken)


def _named(messages: Iterable[pb.Resource], role: str) -> Resources:
    """What an operator named without a reservation, with one for the role. Raises ResourceError."""
    if problem := reserved_role_problem(role):
        raise ResourceError(problem)
    named = []
    for message in messages:
        if message.reservations:
            raise ResourceError("the resources carry a reservation already; give the role instead")
        reserved = pb.Resource()
        reserved.CopyFrom(message)
        reserved.reservations.add(role=role)
        named.append(reserved)
    return resources.from_proto(named)


def on_unreserve(ctx: Context, event: OperatorUnreserved) -> None:
    """End reservations of a role that no task uses; volumes that are named are destroyed."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.Unreserve", (event.role,)):
        return
    try:
        agent = _connected(ctx, event.agent_id)
        taken = _reserved_for(
            _free(ctx.state, agent), event.role, _named(event.resources, event.role)
        )
        _check_unused(agent, taken)
    except ResourceError as error:
        ctx.answer(event.request_id, str(error), _kind(error))
        return
    reserved = reservations.without(intended(ctx.state, agent), taken)
    _write(ctx, event.request_id, agent, reserved, taken)


def on_convert(ctx: Context, event: OperatorConverted) -> None:
    """Do with what no task holds what an operation of a framework does with what it is offered."""
    call = _CALLS.get(event.operation.WhichOneof("operation") or "", "Operator.Reserve")
    roles = permission.roles_named(event.operation)
    if permission.refused(ctx, event.request_id, event.caller, call, roles):
        return
    try:
        if not is_conversion(event.operation):
            raise ResourceError("it changes nothing of what is reserved")
        agent = _connected(ctx, event.agent_id)
        reserved = intended(ctx.state, agent)
        taken, given = _conversion(None, agent, "", reserved, event.operation)
        if not taken:
            raise ResourceError("no resources are named")
        free = _free(ctx.state, agent)
        if not free.contains(taken):
            raise _LackError(f"{taken} is wanted, and no task uses {free}{_slip(taken, free)}")
        kept = reservations.without(reserved, reservations.dynamic(taken))
        _Size(reserved).check(kept, reservations.dynamic(given))
    except ResourceError as error:
        ctx.answer(event.request_id, str(error), _kind(error))
        return
    after = kept + reservations.dynamic(given)
    _write(ctx, event.request_id, agent, after, taken)


def _reserved_for(free: Resources, role: str, asked: Resources) -> Resources:
    """The dynamic reservations of a role that are asked for, or all. Raises ResourceError."""
    mine = free.where(lambda tag: tag.role == role and reservations.is_dynamic(tag))
    if not asked:
        if not mine:
            raise ResourceError(f"nothing that is not used is reserved dynamically for {role}")
        if volume := next((v for _, v in reservations.volumes_of(mine)), None):
            raise ResourceError(
                f"there are volumes ({volume.id}): name each that may be destroyed, with its data,"
                f" as in `pymesos-cli unreserve AGENT ROLE --volume ID`"
            )
        return mine
    out = EMPTY
    for wanted, part in asked.parts():
        for tag, there in mine.tagged.items():
            if _is_meant(tag, wanted) and (tag.volume or there.contains(part)):
                out = out + tagged(tag, there if tag.volume else part)
                break
        else:
            if wanted.volume is not None:
                raise ResourceError(_no_volume(role, wanted.volume.id, mine))
            raise ResourceError(
                f"{tagged(wanted, part)} is not free; of {role} this is: {mine}{_slip(part, mine)}"
            )
    return out


def _no_volume(role: str, volume_id: str, there: Resources) -> str:
    """Say that there is no such volume that is free, and which are."""
    ids = sorted(quoted(volume.id) for _, volume in reservations.volumes_of(there))
    free = f"free are: {', '.join(ids[:SHOWN])}" if ids else "no other is free"
    more = f", … ({len(ids)} in all)" if len(ids) > SHOWN else ""
    return f"the volume {quoted(volume_id)} of {role} is not there, or a task uses it; {free}{more}"


def _slip(part: Resources, there: Resources) -> str:
    """What is meant by resources of which there are none, where that can be told."""
    meant = (meant_resource(name) for name in part.quantities if name not in there.quantities)
    return next((f"; did you mean {name}?" for name in meant if name), "")


def _is_meant(tag: Tag, wanted: Tag) -> bool:
    """Whether an operator, who names no reservation, means this."""
    volumes = [t.volume.id if t.volume else "" for t in (tag, wanted)]
    return volumes[0] == volumes[1] and tag.device == wanted.device


class _NoAgentError(ResourceError):
    """The agent that an operator names is not known."""


class _LackError(ResourceError):
    """Tasks hold what an operator wants, or it is not there."""


def _kind(error: ResourceError) -> ProblemKind:
    if isinstance(error, _NoAgentError):
        return ProblemKind.NOT_FOUND
    return ProblemKind.FULL if isinstance(error, _LackError) else ProblemKind.INVALID


def _connected(ctx: Context, agent_id: str) -> Agent:
    agent = ctx.state.agents.get(agent_id)
    if agent is None:
        raise _NoAgentError(f"there is no agent {agent_id[:255]}")
    if agent.state != AgentState.ACTIVE:
        raise ResourceError(f"agent {agent_id} is {agent.state.value}: try again when it is back")
    if is_interrupted(ctx.state, agent):
        raise ResourceError(f"what is reserved on {agent_id} is being changed: try again")
    return agent


def _free(state: ClusterState, agent: Agent) -> Resources:
    """What no task holds, offered or not."""
    free = agent.total.minus_what_is_there(agent.allocated())
    for conversion in converting(state, agent):
        free = free.minus_what_is_there(conversion.held)
    return free


def _write(
    ctx: Context, request_id: int, agent: Agent, reserved: Resources, taken: Resources
) -> None:
    """Nobody may use `taken` while it is written: it is not offered any more from now on."""
    offers.rescind_all(ctx, list(agent.offers.values()), CHANGING)
    of_operator = Conversion(
        agent.agent_id, agent.connection_id, reserved, NOBODY, taken, request_id=request_id
    )
    convert(ctx, agent, of_operator)
    offer_anew(ctx, agent)
