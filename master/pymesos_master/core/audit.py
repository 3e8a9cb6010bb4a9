"""What the core tells the audit: of operators' requests, and of what frameworks change.

The line of a request is begun where it is decided whether its caller may (`permission.refused`),
and written with what came of it (`Context.answer`), before the operator is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from google.protobuf import text_format
from google.protobuf.message import Message

from pymesos_core.caller import Caller
from pymesos_core.security.audit import Value, entry
from pymesos_core.security.policy import ALLOWED, Decision
from pymesos_master.core.context import Context
from pymesos_master.core.effects import Audit
from pymesos_master.core.events import FrameworkCalled, TokenUsed
from pymesos_master.core.state import Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

# What of an operator's request names its object, or says what it is to be.
_NAMED = (
    "framework_id", "task_id", "agent_id", "agent_ids", "principal", "name", "kind", "key",
    "weight", "lifetime_s", "within_s", "start_s", "duration_s", "instead_of", "force", "undo",
    "discard", "then_gone", "quota", "token_id", "rights", "operation",
)  # fmt: skip
_CHANGES = frozenset({"kill", "teardown", "shutdown"})  # calls of a framework, beside ACCEPT


def begin(
    ctx: Context, request_id: int, caller: Caller, call: str, roles: Iterable[str], made: Decision
) -> None:
    """The event in hand is a request of an operator, about which it is decided so."""
    if not ctx.config.audited:
        return
    event = ctx.event
    named: dict[str, Value] = {"role": ", ".join(roles)}
    for name in _NAMED:
        value = getattr(event, name, None)
        if isinstance(value, Message):
            named[name] = _shown(value)
        elif value is not None and value != "" and value is not False:
            named[name] = value
    for name in ("quotas", "weights"):
        if terms := getattr(event, name, ()):
            named[name] = tuple(f"{role}: {_shown(value)}" for role, value in terms)
    if resources := getattr(event, "resources", ()):
        named["resources"] = tuple(map(_shown, resources))
    ctx.audited[request_id] = entry(ctx.now.wall_s, caller, call, made, named)


def _shown(value: object) -> str:
    if isinstance(value, Message):
        return text_format.MessageToString(value, as_one_line=True)
    return f"{value:g}" if isinstance(value, float) else str(value)


def joins(ctx: Context, event: TokenUsed, principal: str) -> None:
    """Somebody has a token of this principal, and is let in, once that is written."""
    if ctx.config.audited:
        named = {"principal": principal}
        ctx.audited[event.request_id] = entry(
            ctx.now.wall_s, event.caller, "Enrolment.Join", ALLOWED, named
        )


def denied(
    ctx: Context, caller: Caller, call: str, problem: str, roles: Iterable[str] = (), **named: str
) -> None:
    """Something is denied that is no request of an operator."""
    _tell(ctx, caller, call, Decision(problem), {"role": ", ".join(roles), **named}, synced=True)


def subscribed(ctx: Context, framework: Framework, call: str = "Call.subscribe") -> None:
    """A framework is let in, or be what it says of itself now."""
    named = {"role": ", ".join(framework.roles), "framework_id": framework.framework_id}
    _tell(ctx, framework.caller, call, ALLOWED, named)


def called(ctx: Context, framework: Framework, event: FrameworkCalled) -> None:
    """A framework makes a call of its own right, other than ACCEPT."""
    kind = event.call.WhichOneof("call") or ""
    if ctx.config.audited and kind in _CHANGES:
        said = getattr(event.call, kind)
        roles = _roles_of(framework, event.call)
        named = {"role": ", ".join(roles), "framework_id": framework.framework_id}
        named |= {name: getattr(said, name, "") for name in ("task_id", "agent_id", "executor_id")}
        _tell(ctx, event.caller, f"Call.{kind}", ALLOWED, named)


def _roles_of(framework: Framework, call: scheduler_pb.Call) -> tuple[str, ...]:
    """What a call is about may be of a role that the framework has left."""
    if call.HasField("kill"):
        task = framework.tasks.get(call.kill.task_id)
        return (task.role,) if task is not None else framework.roles
    return framework.roles_with_tasks


def accepted(
    ctx: Context,
    caller: Caller,
    framework: Framework,
    role: str,
    agent_id: str,
    operations: list[scheduler_pb.Operation],
    left_out: list[tuple[scheduler_pb.Operation, str]],
    allowed_by: Callable[[scheduler_pb.Operation], Decision],
) -> None:
    """One line for an ACCEPT, of what of it is allowed; and one, if something is denied."""
    if not ctx.config.audited:
        return
    named = {"role": role, "framework_id": framework.framework_id, "agent_id": agent_id}
    for operation, why in left_out[:1]:
        kind = operation.WhichOneof("operation") or ""
        found = {**named, **_tasks_of([one for one, _ in left_out])}
        _tell(ctx, caller, f"Operation.{kind}", Decision(why), found, synced=True)
    kinds = dict.fromkeys(operation.WhichOneof("operation") or "" for operation in operations)
    if kinds:
        first = next(iter(kinds))
        found = {**named, "operations": tuple(kinds), **_tasks_of(operations)}
        _tell(ctx, caller, f"Operation.{first}", allowed_by(operations[0]), found)


def _tasks(operation: scheduler_pb.Operation) -> Iterable[pb.TaskInfo]:
    if operation.HasField("launch"):
        return operation.launch.task_infos
    return operation.launch_group.task_infos


def _tasks_of(operations: list[scheduler_pb.Operation]) -> dict[str, Value]:
    """The tasks by their ids, as many as there is room for, and how many they are."""
    ids = tuple(info.task_id for operation in operations for info in _tasks(operation))
    return {"task_ids": ids, "tasks": len(ids)} if ids else {}


def _tell(
    ctx: Context,
    caller: Caller,
    call: str,
    decision: Decision,
    named: dict[str, Value] | dict[str, str],
    *,
    synced: bool = False,
) -> None:
    if ctx.config.audited:
        made = entry(ctx.now.wall_s, caller, call, decision, named)
        ctx.out.append(Audit(made if synced else replace(made, synced=False)))
