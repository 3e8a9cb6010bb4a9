"""Calls of Mesos' scheduler API as calls of ours.

What cannot be said to the core is answered here, as the master of Mesos would: the second part of a
translation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pymesos_core import limits
from pymesos_core.limits import MAX_SAID
from pymesos_core.mesos.resources import from_mesos
from pymesos_core.mesos.unsupported import InvalidError, UnsupportedError
from pymesos_core.text import cut
from pymesos_master.mesos import frameworks
from pymesos_master.mesos.alike import task_of_launch
from pymesos_master.mesos.groups import group_of
from pymesos_master.mesos.rules import operations
from pymesos_master.mesos.rules import tasks as rules
from pymesos_master.mesos.rules.frameworks import info_problem
from pymesos_master.mesos.rules.operations import Asking
from pymesos_master.mesos.tasks import policy_of
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

Call = mesos_scheduler.Call
_Operation = mesos.Offer.Operation
# Operations that change what is reserved.
CONVERSIONS = (
    _Operation.RESERVE,
    _Operation.UNRESERVE,
    _Operation.CREATE,
    _Operation.DESTROY,
    _Operation.GROW_VOLUME,
    _Operation.SHRINK_VOLUME,
)


@dataclass(frozen=True)
class Translation:
    """What a call is to our core, and what its framework is told at once."""

    call: scheduler_pb.Call | None = None
    told: list[mesos_scheduler.Event] = field(default_factory=list)


def subscribe_of(call: Call) -> scheduler_pb.Call.Subscribe:
    """Return our SUBSCRIBE. Raises UnsupportedError."""
    said = call.subscribe
    suppressed = list(said.suppressed_roles)
    _check(info_problem(said.framework_info))
    _check(frameworks.suppressed_problem(said.framework_info, suppressed))
    return scheduler_pb.Call.Subscribe(
        framework_info=frameworks.info_of(said.framework_info),
        suppressed_roles=suppressed,
        offer_constraints=frameworks.constraints_of(said.offer_constraints),
    )


def update_of(call: Call) -> scheduler_pb.Call:
    """Return our UPDATE_FRAMEWORK. Raises UnsupportedError."""
    said = call.update_framework
    suppressed = list(said.suppressed_roles)
    if problem := info_problem(said.framework_info):
        raise InvalidError(f"Supplied FrameworkInfo is not valid: {problem}")
    if problem := frameworks.suppressed_problem(said.framework_info, suppressed):
        raise InvalidError(f"'UpdateFramework' call is not valid: {problem}")
    return scheduler_pb.Call(
        update_framework=scheduler_pb.Call.UpdateFramework(
            framework_info=frameworks.info_of(said.framework_info),
            suppressed_roles=suppressed,
            offer_constraints=frameworks.constraints_of(said.offer_constraints),
        )
    )


def translate(
    call: Call, role: str = "", now_s: float = 0.0, asking: Asking | None = None
) -> Translation:
    """Return what a call of a subscribed framework is here; SUBSCRIBE and UPDATE_FRAMEWORK have
    functions of their own.

    `role` is that of its offers, if it has but one, and `now_s` a Unix time. Who is `asking` is
    needed to refuse operations in the words of Mesos. Raises UnsupportedError.
    """
    ours = scheduler_pb.Call
    match call.type:
        case Call.TEARDOWN:
            return Translation(ours(teardown=ours.Teardown()))
        case Call.ACCEPT:
            return _timed(_accept(call.accept, role, asking), now_s)
        case Call.DECLINE:
            decline = ours.Decline(offer_ids=_values(call.decline.offer_ids))
            _add_filters(call.decline, decline)
            return Translation(ours(decline=decline))
        case Call.REVIVE:
            return Translation(ours(revive=ours.Revive(roles=call.revive.roles)))
        case Call.SUPPRESS:
            return Translation(ours(suppress=ours.Suppress(roles=call.suppress.roles)))
        case Call.KILL:
            return Translation(ours(kill=_kill(call.kill)))
        case Call.SHUTDOWN:
            said = call.shutdown
            shutdown = ours.Shutdown(
                executor_id=said.executor_id.value, agent_id=said.agent_id.value
            )
            return Translation(ours(shutdown=shutdown))
        case Call.ACKNOWLEDGE:
            acknowledged = call.acknowledge
            acknowledge = ours.Acknowledge(
                agent_id=acknowledged.agent_id.value,
                task_id=acknowledged.task_id.value,
                uuid=acknowledged.uuid,
            )
            return Translation(ours(acknowledge=acknowledge))
        case Call.RECONCILE:
            asked = [
                ours.Reconcile.Task(task_id=one.task_id.value, agent_id=one.agent_id.value)
                for one in call.reconcile.tasks
            ]
            return Translation(ours(reconcile=ours.Reconcile(tasks=asked)))
        case Call.MESSAGE:
            message = ours.Message(
                agent_id=call.message.agent_id.value,
                executor_id=call.message.executor_id.value,
                data=call.message.data,
            )
            return Translation(ours(message=message))
        case Call.ACCEPT_INVERSE_OFFERS:
            ids = _values(call.accept_inverse_offers.inverse_offer_ids)
            accepted = ours.AcceptInverseOffers(inverse_offer_ids=ids)
            return Translation(ours(accept_inverse_offers=accepted))
        case Call.DECLINE_INVERSE_OFFERS:
            ids = _values(call.decline_inverse_offers.inverse_offer_ids)
            declined = ours.DeclineInverseOffers(inverse_offer_ids=ids)
            _add_filters(call.decline_inverse_offers, declined)
            return Translation(ours(decline_inverse_offers=declined))
        case Call.RECONCILE_OPERATIONS:
            return Translation(told=list(_unknown_operations(call.reconcile_operations)))
        case Call.REQUEST | Call.ACKNOWLEDGE_OPERATION_STATUS:
            # As in Mesos, whose allocator makes nothing of the first; no update of an operation has
            # a uuid here, so none awaits the second.
            return Translation()
        case _:
            raise UnsupportedError(f"a call {call.type} is not known here")


def _values(ids: Iterable[mesos.OfferID]) -> list[str]:
    return [one.value for one in ids]


def _add_filters(
    said: Call.Accept | Call.Decline | Call.DeclineInverseOffers,
    out: scheduler_pb.Call.Accept
    | scheduler_pb.Call.Decline
    | scheduler_pb.Call.DeclineInverseOffers,
) -> None:
    if said.filters.HasField("refuse_seconds"):
        out.filters.refuse_seconds = said.filters.refuse_seconds


def _kill(said: Call.Kill) -> scheduler_pb.Call.Kill:
    out = scheduler_pb.Call.Kill(task_id=said.task_id.value, agent_id=said.agent_id.value)
    if said.HasField("kill_policy"):
        out.kill_policy.CopyFrom(policy_of(said.kill_policy))
    return out


def _accept(said: Call.Accept, role: str, asking: Asking | None) -> Translation:
    """Tasks and operations that are not possible here are refused, one by one; the others go on."""
    if problem := _size_problem(said):
        raise UnsupportedError(f"{problem}: split it")
    call = scheduler_pb.Call()
    accept = call.accept  # filled in place: put together from parts it is copied twice
    accept.SetInParent()
    accept.offer_ids.extend(_values(said.offer_ids))
    _add_filters(said, accept)
    told: list[mesos_scheduler.Event] = []
    for operation in said.operations:
        kind = _Operation.Type.Name(operation.type).lower()
        if operation.type == _Operation.LAUNCH:
            _add_launches(operation.launch, role, accept, told)
        elif operation.type == _Operation.LAUNCH_GROUP:
            _add_group(operation.launch_group, role, accept, told)
        elif operation.type in CONVERSIONS:
            try:
                if asking is not None:
                    _check(operations.problem(operation, asking))
                accept.operations.append(conversion_of(operation))
            except UnsupportedError as error:
                told += _failed(operation, str(error))
        elif operation.type != _Operation.UNKNOWN:  # which Mesos passes over, too
            told += _failed(operation, f"{kind.upper()} is not supported here")
    return Translation(call, told)


def _timed(translation: Translation, now_s: float) -> Translation:
    for event in translation.told:
        if event.type == mesos_scheduler.Event.UPDATE:
            event.update.status.timestamp = now_s
    return translation


def _size_problem(said: Call.Accept) -> str | None:
    """Why it is more than the core takes at a time, or None."""
    tasks = sum(
        len(operation.launch.task_infos) + len(operation.launch_group.task_group.tasks)
        for operation in said.operations
    )
    return limits.CALL_OPERATIONS.problem(len(said.operations)) or limits.CALL_TASKS.problem(tasks)


def _add_launches(
    launch: mesos.Offer.Operation.Launch,
    role: str,
    accept: scheduler_pb.Call.Accept,
    told: list[mesos_scheduler.Event],
) -> None:
    tasks = []
    for info in launch.task_infos:
        try:
            tasks.append(task_of_launch(info, role))
        except UnsupportedError as error:
            told.append(_refused(info, mesos.TaskStatus.REASON_TASK_INVALID, error))
    if tasks:
        accept.operations.add().launch.task_infos.extend(tasks)


def _add_group(
    launch: mesos.Offer.Operation.LaunchGroup,
    role: str,
    accept: scheduler_pb.Call.Accept,
    told: list[mesos_scheduler.Event],
) -> None:
    """All of its tasks, or none if one of them or its executor is not possible here."""
    infos = launch.task_group.tasks
    try:
        _check(rules.group_problem(launch.executor, infos, role))
        tasks = group_of(launch.executor, infos)
    except UnsupportedError as error:
        reason = mesos.TaskStatus.REASON_TASK_GROUP_INVALID
        told.extend(_refused(info, reason, error) for info in infos)
    else:
        if tasks:
            accept.operations.add().launch_group.task_infos.extend(tasks)


def _check(problem: str | None) -> None:
    if problem is not None:
        raise InvalidError(problem)


def conversion_of(operation: mesos.Offer.Operation) -> scheduler_pb.Operation:
    """Return our operation for one of CONVERSIONS. Raises UnsupportedError."""
    out = scheduler_pb.Operation(id=operation.id.value)
    kind = _Operation.Type.Name(operation.type).lower()
    part = getattr(operation, kind)
    if kind == "reserve" and part.source:
        raise UnsupportedError("Reserve.source is not supported here: RESERVE refines by one")
    if kind == "grow_volume":
        out.grow_volume.volume.CopyFrom(from_mesos(part.volume))
        out.grow_volume.addition.CopyFrom(from_mesos(part.addition))
        return out
    if kind == "shrink_volume":
        for one in (out.shrink_volume.volume, out.shrink_volume.subtraction):
            one.CopyFrom(from_mesos(part.volume))
        out.shrink_volume.subtraction.ClearField("disk")
        out.shrink_volume.subtraction.scalar = part.subtract.value
        return out
    name = "volumes" if kind in ("create", "destroy") else "resources"
    getattr(out, kind).SetInParent()
    getattr(getattr(out, kind), name).extend(map(from_mesos, getattr(part, name)))
    return out


def _refused(
    info: mesos.TaskInfo, reason: mesos.TaskStatus.Reason, error: UnsupportedError
) -> mesos_scheduler.Event:
    """TASK_ERROR, which is told once, as what a master refuses is."""
    event = mesos_scheduler.Event(type=mesos_scheduler.Event.UPDATE)
    status = event.update.status
    status.task_id.value = info.task_id.value
    status.agent_id.value = info.agent_id.value
    status.state, status.reason = mesos.TASK_ERROR, reason
    status.source = mesos.TaskStatus.SOURCE_MASTER
    ours = "" if isinstance(error, InvalidError) else "Task is invalid: "
    status.message = cut(f"{ours}{error}", MAX_SAID)
    return event


def _failed(operation: mesos.Offer.Operation, problem: str) -> Iterable[mesos_scheduler.Event]:
    """OPERATION_ERROR, if its framework wants to hear what became of it."""
    if operation.HasField("id"):
        yield _of_operation(operation.id.value, mesos.OPERATION_ERROR, cut(problem, MAX_SAID))


def _of_operation(
    operation_id: str, state: mesos.OperationState, message: str
) -> mesos_scheduler.Event:
    event = mesos_scheduler.Event(type=mesos_scheduler.Event.UPDATE_OPERATION_STATUS)
    status = event.update_operation_status.status
    status.operation_id.value, status.state, status.message = operation_id, state, message
    return event


def _unknown_operations(said: Call.ReconcileOperations) -> Iterable[mesos_scheduler.Event]:
    """None is remembered once its end was told."""
    for one in said.operations:
        message = "Reconciliation: Operation is unknown"
        event = _of_operation(one.operation_id.value, mesos.OPERATION_UNKNOWN, message)
        if one.HasField("agent_id"):
            event.update_operation_status.status.agent_id.CopyFrom(one.agent_id)
        yield event
