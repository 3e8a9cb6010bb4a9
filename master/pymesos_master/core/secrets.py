"""Secrets: a role's tasks may use them. Here they are sealed; the shell alone opens them.

Who may launch in a role may have its tasks use the secrets of the role, and of no other. An agent
is given those of tasks that are its own, by what the master knows of them. Of a task that it does
not know, the master believes the agent that registers with it.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.containers import secret_names
from pymesos_core.errors import ProblemKind
from pymesos_core.ids import role_problem, secret_name_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.secrets import TAG_BYTES, Sealed
from pymesos_core.states import is_terminal
from pymesos_core.text import count_of
from pymesos_master.core import agents, permission, secret_versions
from pymesos_master.core.context import Context
from pymesos_master.core.effects import TellSecrets
from pymesos_master.core.events import (
    AgentWantsSecrets,
    OperatorRemovedSecret,
    OperatorSetSecret,
    SecretsResealed,
)
from pymesos_master.core.records import SECRET, SecretRecord
from pymesos_master.core.state import Agent, ClusterState, Record, Task, TaskKey
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

MAX_SHOWN = 3  # tasks of a secret that is to be removed


def key_of(role: str, name: str) -> str:
    """The key of a secret's record. A name has no colon."""
    return f"{role}:{name}"


def read_secret(key: str, record: registry_pb.SecretRecord) -> SecretRecord:
    """Raises ResourceError."""
    if problem := role_problem(record.role) or secret_name_problem(record.name):
        raise ResourceError(problem)
    if key != key_of(record.role, record.name):
        raise ResourceError(f"it is of {key_of(record.role, record.name)[:255]!r}")
    if record.version < 1 or not math.isfinite(record.set_at_s):
        raise ResourceError(f"it is of the version {record.version}, set at {record.set_at_s}")
    if not TAG_BYTES <= len(record.sealed) <= limits.SECRET.most + TAG_BYTES:
        raise ResourceError(f"it has {len(record.sealed)} bytes")
    sealed = Sealed(record.key_id, record.nonce, record.sealed)
    return SecretRecord(sealed, record.version, record.set_by, record.set_at_s)


def changed_problem(role: str, name: str, expected: int, version: int) -> str:
    """The sentence for a secret of which another version is there than was to be replaced."""
    was = f"was at version {expected}" if expected else "was not there"
    now = f"it is at version {version}" if version else "it was removed"
    return (
        f"the secret {name} of {role} {was}, and {now} since: look at it with `pymesos-cli secret"
        f" list`, and restore again"
    )


def name_problem(role: str, name: str) -> str | None:
    """The sentence for a role or a name that no secret can have, as an empty one; or None."""
    return role_problem(role) or secret_name_problem(name)


def on_set(ctx: Context, event: OperatorSetSecret) -> None:
    """Write a secret in the place of the one of its name, if there is any."""
    call = "Operator.SetSecret"
    if permission.refused(ctx, event.request_id, event.caller, call, (event.role,)):
        return
    key = key_of(event.role, event.name)
    problem = name_problem(event.role, event.name)
    if problem := problem or ctx.state.why_aside(SECRET, key):
        ctx.answer(event.request_id, problem)
        return
    there = ctx.state.secrets(durable=False)
    now = there[key].version if key in there else 0
    if event.instead_of not in (None, now):
        changed = changed_problem(event.role, event.name, event.instead_of or 0, now)
        ctx.answer(event.request_id, changed, ProblemKind.OUTDATED)
        return
    sizes = {each: record.sealed.size_bytes for each, record in there.items()}
    sizes[key] = event.sealed.size_bytes
    problem = limits.SECRET.problem(event.sealed.size_bytes)
    full = limits.SECRETS.problem(len(sizes)) or limits.ALL_SECRETS.problem(sum(sizes.values()))
    if problem or full:
        ctx.answer(event.request_id, problem or f"{full}: remove some that nobody uses")
        return
    by, now_s = event.caller.principal, ctx.now.wall_s
    made = SecretRecord(event.sealed, now + 1, by, now_s)
    ctx.persist({(SECRET, key): made}, SecretWritten(event.request_id, key))


@dataclass(frozen=True, slots=True)
class SecretWritten:
    """A secret is written, or removed, as it was to be; an operator may wait."""

    request_id: int | None = None
    key: str = ""  # of one that was set, or removed


def on_written(ctx: Context, done: SecretWritten) -> None:
    """Say so, also to those whose tasks may use it."""
    role, _, name = done.key.rpartition(":")
    if (record := ctx.state.secrets().get(done.key)) is not None:
        secret_versions.tell_each(ctx, role, name, record)
    elif done.key:
        secret_versions.tell_removed(ctx, role, name)
    if done.request_id is not None:
        ctx.answer(done.request_id)


def on_remove(ctx: Context, event: OperatorRemovedSecret) -> None:
    """Forget a secret that no live task uses, or any if it is forced."""
    call = "Operator.RemoveSecret"
    if permission.refused(ctx, event.request_id, event.caller, call, (event.role,)):
        return
    key = key_of(event.role, event.name)
    of = (event.role, event.name)
    using = [task.task_id for task, name in _uses(ctx.state) if (task.role, name) == of]
    if key not in ctx.state.secrets(durable=False):
        message = (
            f"the role {event.role[:255]} has no secret {event.name[:100]!r}: `pymesos-cli secret"
            f" list` shows those that there are"
        )
        ctx.answer(event.request_id, message, ProblemKind.NOT_FOUND)
    elif using and not event.force:
        more = f" and {len(using) - MAX_SHOWN} more" if len(using) > MAX_SHOWN else ""
        ctx.answer(
            event.request_id,
            f"it is used by {count_of(len(using), 'live task')}"
            f" ({', '.join(using[:MAX_SHOWN])}{more}), which could not be started again: end them"
            f" first, or have it removed all the same with --force; what they were given they keep",
        )
    else:
        ctx.persist({(SECRET, key): None}, SecretWritten(event.request_id, key))


def on_resealed(ctx: Context, event: SecretsResealed) -> None:
    """Write what was sealed anew, by a newer key, unless it was set or removed meanwhile."""
    there = ctx.state.secrets(durable=False)
    values: dict[tuple[str, str], Record | None] = {}
    for key, before, after in event.secrets:
        record = there.get(key)
        if record is not None and record.sealed == before:
            made = SecretRecord(after, record.version, record.set_by, record.set_at_s)
            values[SECRET, key] = made
    if values:
        ctx.persist(values, SecretWritten())


def _uses(state: ClusterState) -> Iterator[tuple[Task, str]]:
    """Each live task with each secret that it uses."""
    for framework in state.frameworks.values():
        for task in framework.tasks.values():
            if task.secrets and not is_terminal(task.state):
                for name in task.secrets:
                    yield task, name


def counts(state: ClusterState) -> Counter[tuple[str, str]]:
    """How many live tasks use each secret, by its role and name."""
    return Counter((task.role, name) for task, name in _uses(state))


def launch_problem(agent: Agent, info: pb.TaskInfo) -> str | None:
    """Why a task that asks for secrets could not be given any on an agent, or None.

    Whether they are there is looked at when the agent asks: a service is started again until then.
    """
    if not info.HasField("container") or pb.SECRETS in agent.info.capabilities:
        return None
    for name in secret_names(info.container):
        return (
            f"Task uses the secret {name}, and its agent is of a version that knows none: upgrade"
            f" the agent"
        )
    return None


def _missing(state: ClusterState, role: str, names: Iterable[str]) -> str | None:
    there, typed = state.secrets(), shlex.quote(role)  # * is a role, and files to a shell
    for name in names:
        if key_of(role, name) not in there:
            return (
                f"it uses the secret {name}, which the role {role} does not have: `pymesos-cli"
                f" secret set {typed} {name}` sets it, `pymesos-cli secret list {typed}` shows"
                f" others"
            )
    return None


def _live_task_of(ctx: Context, agent: Agent, key: TaskKey) -> Task | None:
    """The task of that key, if it is a live one of the agent that asks."""
    task = agent.tasks.get(key)
    if task is None or is_terminal(task.state):
        ctx.complain(agent, "it wants secrets", "of a task that is not live on it")
        return None
    return task


def on_wanted(ctx: Context, event: AgentWantsSecrets) -> None:
    """Have an agent told what one of its tasks asks for, or why it gets nothing."""
    agent = agents.agent_of(ctx, event.connection_id)
    if agent is None:
        return
    agent.heard = agent.confirmed = True
    task = _live_task_of(ctx, agent, (event.framework_id, event.task_id))
    if task is None:
        problem: str | None = "the task is not known to the master as a live one of this agent"
        uses: Counter[str] = Counter()
        role = ""
    else:
        uses, role = Counter(secret_names(task.info.container)), task.role
        problem = _missing(ctx.state, role, uses)
    there = ctx.state.secrets()
    found = () if problem else tuple((n, there[key_of(role, n)].sealed) for n in uses)
    # A value counts as often as it is used: it is in a variable or a file each time.
    total_bytes = sum(sealed.size_bytes * uses[name] for name, sealed in found)
    if total := limits.TASK_VALUES.problem(total_bytes):
        found, problem = (), total
    ctx.out.append(
        TellSecrets(
            event.connection_id, event.framework_id, event.task_id, role, found, problem or ""
        )
    )
