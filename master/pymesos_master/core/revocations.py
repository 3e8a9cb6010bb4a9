"""Revocations: a principal, or one certificate, is let in no more, wherever it calls.

They are told to the shell, which ends what is open here, to agents and to frameworks, which serve
operators themselves: all of them whenever one changes, since they are few.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pymesos_core import limits
from pymesos_core.caller import Caller
from pymesos_core.errors import ProblemKind
from pymesos_core.resource_values import ResourceError
from pymesos_core.security.identities import principal_problem
from pymesos_master.core import permission
from pymesos_master.core.context import Context
from pymesos_master.core.effects import SetRevoked
from pymesos_master.core.events import OperatorRevoked
from pymesos_master.core.records import REVOCATION, Revocation
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

MAX_SERIAL_LENGTH = 40  # hexadecimal digits of 20 bytes, which RFC 5280 allows


def name_problem(name: str) -> str | None:
    """Why this is neither a principal nor a serial number, or None."""
    if "/" in name:
        return principal_problem(name)
    digits = set("0123456789abcdef")
    if 0 < len(name) <= MAX_SERIAL_LENGTH and set(name) <= digits and name[0] != "0":
        return None
    return (
        f"{name[:80]!r} is given; expected is KIND/NAME, as in agent/node-1, or the serial number"
        f" of a certificate, as `pymesos-cli cluster show` prints it"
    )


def read_revocation(name: str, record: registry_pb.RevocationRecord) -> Revocation:
    """Raises ResourceError."""
    if problem := name_problem(name):
        raise ResourceError(problem)
    if not math.isfinite(record.at_s):
        raise ResourceError(f"it is of {record.at_s}")
    return Revocation(record.at_s, record.made_by)


def on_revoke(ctx: Context, event: OperatorRevoked) -> None:
    """Write it, or that it is so no more."""
    if permission.refused(ctx, event.request_id, event.caller, "Operator.Revoke"):
        return
    intended = ctx.state.image.intended(REVOCATION)
    if problem := name_problem(event.name):
        ctx.answer(event.request_id, problem)
    elif event.undo and event.name not in intended:
        ctx.answer(event.request_id, f"{event.name} is not revoked", ProblemKind.NOT_FOUND)
    elif not event.undo and (ends_caller := _own_problem(event.name, event.caller)):
        ctx.answer(event.request_id, ends_caller)
    elif full := limits.REVOCATIONS.problem(len(intended.keys() | {event.name})):
        ctx.answer(event.request_id, f"{full}: undo those whose certificates have ended")
    else:
        made = Revocation(ctx.now.wall_s, event.caller.principal)
        ctx.persist(
            {(REVOCATION, event.name): None if event.undo else made}, Revoked(event.request_id)
        )


def _own_problem(name: str, caller: Caller) -> str | None:
    """Why one may not revoke that oneself: it would let in the caller no more."""
    if name == caller.principal:
        return f"{name} is who asks: have somebody else revoke it"
    if name == caller.credential_id:
        return (
            f"{name} is the certificate by which {caller.principal} asks: have somebody else revoke"
            f" it, or ask with another"
        )
    if name in caller.vouched_by:
        return (
            f"{name} is an authority above the certificate by which {caller.principal} asks: have"
            f" somebody revoke it whose certificate another authority signed"
        )
    return None


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation is written, or taken back; the operator waits."""

    request_id: int


def on_revoked(ctx: Context, done: Revoked) -> None:
    """Have it be so everywhere."""
    tell_all(ctx)
    ctx.answer(done.request_id)


def tell_all(ctx: Context) -> None:
    """Tell the shell, agents and frameworks what is revoked."""
    names = ctx.state.revoked()
    ctx.out.append(SetRevoked(names))
    told_agents = agent_pb.MasterMessage.SetRevoked(revoked=names)
    for agent in ctx.state.agents.values():
        ctx.tell_agent(agent, agent_pb.MasterMessage(set_revoked=told_agents))
    told_frameworks = scheduler_pb.Event.SetRevoked(revoked=names)
    for framework in ctx.state.frameworks.values():
        ctx.tell_framework(framework, scheduler_pb.Event(set_revoked=told_frameworks))
