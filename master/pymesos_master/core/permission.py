"""What the policy in force lets a caller do. Whoever has proved nothing is asked nothing here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from urllib.parse import unquote, urlsplit

from pymesos_core import contract
from pymesos_core.caller import Caller
from pymesos_core.errors import ProblemKind
from pymesos_core.images import is_on_disk
from pymesos_core.security.needs import NEEDS, Object
from pymesos_core.security.policy import (
    ALLOWED,
    Asked,
    Decision,
    Roles,
    Verb,
    decide,
    decide_launch,
    denied,
    launches_anything,
    roles_for,
)
from pymesos_master.core import audit
from pymesos_master.core.context import Context
from pymesos_master.core.state import Agent, ClusterState, Framework
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb

DISK = "file:"  # of what is on the machine
# Before what holds tasks without an image, in AgentInfo.isolation: the first runtime has no name.
WITHOUT_IMAGE = ("", "process ", "oci ")
CHECKS = ("health_check", "readiness_check")


def problem(
    state: ClusterState, caller: Caller, call: str, roles: Iterable[str] = ()
) -> str | None:
    """Why a caller may not make a call, named as in NEEDS, of what is of these roles; or None.

    No roles: whether the caller may in any role, or in the cluster.
    """
    return decision(state, caller, call, roles).problem


def decision(state: ClusterState, caller: Caller, call: str, roles: Iterable[str] = ()) -> Decision:
    """As `problem`, with the rule that allows it: of several roles, that of the last."""
    if not caller.is_proved:
        return ALLOWED
    need = NEEDS.get(call)
    if need is None:
        return Decision(f"{call} is in no table of what calls need, so nobody may make it")
    if need.verb is None:
        return ALLOWED
    if need.of != Object.CLUSTER and not roles:
        may = roles_for(state.policy, caller, need.verb)
        return ALLOWED if may else Decision(denied(state.policy, caller, need.verb))
    made = ALLOWED
    for role in ("",) if need.of == Object.CLUSTER else roles:
        made = decide(state.policy, caller, need.verb, role)
        if not made.allowed:
            break
    return made


def refused(
    ctx: Context, request_id: int, caller: Caller, call: str, roles: Iterable[str] = ()
) -> bool:
    """Whether an operator's request is denied, which it is told then."""
    made = decision(ctx.state, caller, call, roles)
    audit.begin(ctx, request_id, caller, call, roles, made)
    if made.problem is not None:
        ctx.answer(request_id, made.problem, ProblemKind.DENIED)
    return not made.allowed


def readable(state: ClusterState, caller: Caller) -> Roles:
    """The roles of which a caller may see what there is."""
    return roles_for(state.policy, caller, Verb.READ)


def subscription_problem(state: ClusterState, caller: Caller, info: pb.FrameworkInfo) -> str | None:
    """Why a framework may not be in its roles, or not serve jobs in them; or None."""
    roles = tuple(info.roles) or ("*",)
    if why := problem(state, caller, "Call.subscribe", roles):
        return why
    # Who takes jobs of a role is given what they hold, as secrets in their environments.
    for role in (*roles, *info.job_roles) if info.jobs_address else ():
        if why := decide(state.policy, caller, Verb.SERVE, role).problem:
            return why
    return None


Denied = tuple[scheduler_pb.Operation, str]  # nothing of it is done, and why


def permitted(
    state: ClusterState,
    caller: Caller,
    framework: Framework,
    agent: Agent,
    role: str,
    operations: list[scheduler_pb.Operation],
) -> tuple[list[scheduler_pb.Operation], list[Denied]]:
    """What of an ACCEPT in a role its caller may do on an agent, in the order given; what not."""
    if not caller.is_proved:
        return operations, []
    free = launches_anything(state.policy, caller, role)
    launch_problem = partial(_launch_problem, state, caller, framework, agent, role)
    done: list[scheduler_pb.Operation] = []
    refused: list[Denied] = []
    for operation in operations:
        kind = operation.WhichOneof("operation")
        if kind is None:  # which no master knows, and says so
            done.append(operation)
        elif why := problem(state, caller, f"Operation.{kind}", _roles_of(operation, role)):
            refused.append((operation, why))
        elif free:
            done.append(operation)
        elif kind == "launch":
            done += _permitted_tasks(launch_problem, operation, refused)
        elif kind == "launch_group":
            whys = map(launch_problem, operation.launch_group.task_infos)
            if (first := next(filter(None, whys), None)) is not None:
                refused.append((operation, first))
            else:
                done.append(operation)
        else:
            done.append(operation)
    return done, refused


def _roles_of(operation: scheduler_pb.Operation, role: str) -> Iterable[str]:
    """What an operation is done to: a role is offered what is reserved for those above it, too."""
    if operation.HasField("reserve"):
        return (role,)
    # The last reservation is the one that counts; without any nothing is done.
    reserved_for = [
        part.reservations[-1].role for part in changed_by(operation) if part.reservations
    ]
    return dict.fromkeys(reserved_for) or (role,)


def roles_named(operation: scheduler_pb.Operation) -> tuple[str, ...]:
    """Return the roles of all reservations that an operation of an operator makes, ends or uses."""
    named = (one.role for part in changed_by(operation) for one in part.reservations)
    return tuple(dict.fromkeys(named))


def changed_by(operation: scheduler_pb.Operation) -> Sequence[pb.Resource]:
    """Return what an operation changes of what is reserved; nothing, if it cannot be done."""
    changed: Sequence[pb.Resource]
    match operation.WhichOneof("operation"):
        case "reserve":
            changed = operation.reserve.resources
        case "unreserve":
            changed = operation.unreserve.resources
        case "create":
            changed = operation.create.volumes
        case "destroy":
            changed = operation.destroy.volumes
        case "grow_volume":
            changed = [operation.grow_volume.volume, operation.grow_volume.addition]
        case "shrink_volume":
            changed = [operation.shrink_volume.volume]
        case _:
            return ()
    return changed if contract.problem(operation) is None else ()


def _permitted_tasks(
    launch_problem: Callable[[pb.TaskInfo], str | None],
    operation: scheduler_pb.Operation,
    refused: list[Denied],
) -> Iterator[scheduler_pb.Operation]:
    """The LAUNCH without the tasks that may not be launched, which are added to `refused`."""
    infos = operation.launch.task_infos
    whys = [launch_problem(info) for info in infos]
    if not any(whys):
        yield operation
        return
    kept = scheduler_pb.Operation(id=operation.id, launch=scheduler_pb.Operation.Launch())
    for info, why in zip(infos, whys, strict=True):
        if why is None:
            kept.launch.task_infos.append(info)
        else:
            launch = scheduler_pb.Operation.Launch(task_infos=[info])
            refused.append((scheduler_pb.Operation(launch=launch), why))
    if kept.launch.task_infos:
        yield kept


def _launch_problem(
    state: ClusterState,
    caller: Caller,
    framework: Framework,
    agent: Agent,
    role: str,
    info: pb.TaskInfo,
) -> str | None:
    if contract.problem(info) is not None:
        return None  # it is not launched for that, whoever may
    return decide_launch(state.policy, caller, role, asked_by(framework, agent, info)).problem


def allowed_by(
    state: ClusterState,
    caller: Caller,
    framework: Framework,
    agent: Agent,
    role: str,
    operation: scheduler_pb.Operation,
) -> Decision:
    """What allows an operation that is allowed; of several tasks, the first."""
    for launches in (operation.launch, operation.launch_group):
        for info in launches.task_infos[:1]:
            return decide_launch(state.policy, caller, role, asked_by(framework, agent, info))
    call = f"Operation.{operation.WhichOneof('operation')}"
    return decision(state, caller, call, _roles_of(operation, role))


def asked_by(framework: Framework, agent: Agent, info: pb.TaskInfo) -> Asked:
    """What a task asks for of an agent.

    What is read of the machine's disk for it is a path of the host.
    """
    of: pb.TaskInfo | pb.ExecutorInfo = info.executor if info.HasField("executor") else info
    user, image, network = of.command.user, "", ""
    paths: list[str] = []
    capabilities: tuple[str, ...] = ()
    if of.HasField("container"):  # reading what is not there takes its time
        container = of.container
        image, network = container.image, container.network
        capabilities = tuple(container.add_capabilities)
        paths += [mount.host_path for mount in container.mounts if mount.host_path]
        if image and is_on_disk(image):
            paths.append(image.partition(":")[2])
    for artifacts in (info.artifacts, of.artifacts):
        paths += [_path(a.uri) for a in artifacts if a.uri[: len(DISK)].lower() == DISK]
    # An image has a user of its own, and the framework's is of the machine.
    users = [user or ("" if image else framework.info.user)]
    checks = [getattr(info, name) for name in CHECKS if info.HasField(name)]
    users += [check.command.user for check in checks if check.command.user]
    return Asked(
        tuple(users),
        image,
        network or "host",
        tuple(paths),
        capabilities,
        none_is_root=_is_root_without_users(agent.info),
    )


def _is_root_without_users(agent: pb.AgentInfo) -> bool:
    """Whether it can be any user, and gives none to tasks: `--task-uids none`, or a version that
    knew nothing of that.
    """
    has = agent.isolation
    return any(f"{of}user" in has for of in WITHOUT_IMAGE) and not any(
        f"{of}own_user" in has for of in WITHOUT_IMAGE
    )


def _path(uri: str) -> str:
    """The path of a file's address; of what is no address, something that is no path."""
    try:
        return unquote(urlsplit(uri).path)
    except ValueError:
        return uri
