"""Calls of Mesos' operators' API that change something, as commands of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.text import quoted
from pymesos_master.core.lifecycles import DrainState
from pymesos_master.mesos.operators import converting, maintenance
from pymesos_master.mesos.operators.reading import Reading
from pymesos_master.mesos.operators.showing import has_quota
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.mesos.v1 import mesos_pb2 as mesos
from pymesos_proto.v1 import types_pb2

Call = mesos_master.Call
OK, ACCEPTED = 200, 202  # done; written, and the agent is told


async def change(reading: Reading, call: Call) -> int:
    """Carry out a call, and return the status of the answer. Raises RefusalError, RequestError."""
    if call.type in converting.OPERATIONS:
        await converting.convert(reading, call)
        return ACCEPTED
    match call.type:
        case Call.UPDATE_WEIGHTS:
            return await _weights(reading, call.update_weights.weight_infos)
        case Call.UPDATE_QUOTA:
            return await _quotas(reading, call.update_quota)
        case Call.SET_QUOTA:
            return await _set_quota(reading, call.set_quota.quota_request)
        case Call.REMOVE_QUOTA:
            return await remove_quota(reading, call.remove_quota.role)
        case Call.TEARDOWN:
            return await tear_down(reading, call.teardown.framework_id.value)
        case (
            Call.MARK_AGENT_GONE | Call.DRAIN_AGENT | Call.DEACTIVATE_AGENT | Call.REACTIVATE_AGENT
        ):
            await _of_agent(reading, call)
        case Call.UPDATE_MAINTENANCE_SCHEDULE:
            await maintenance.update(reading, call.update_maintenance_schedule.schedule)
        case Call.START_MAINTENANCE:
            await maintenance.start(reading, call.start_maintenance.machines)
        case Call.STOP_MAINTENANCE:
            await maintenance.stop(reading, call.stop_maintenance.machines)
        case _:
            raise RefusalError(501, "501 Not Implemented.")
    return OK


async def _of_agent(reading: Reading, call: Call) -> None:
    """Deactivate an agent, drain it and the like; what cannot be is told in Mesos' words."""
    commands, caller = reading.leader.commands, reading.caller
    try:
        match call.type:
            case Call.MARK_AGENT_GONE:
                await commands.mark_gone(caller, call.mark_agent_gone.agent_id.value)
            case Call.DRAIN_AGENT:
                drain = call.drain_agent
                await commands.drain(
                    caller, [drain.agent_id.value], _grace_s(drain), then_gone=drain.mark_gone
                )
            case Call.DEACTIVATE_AGENT:
                await commands.cordon(caller, [call.deactivate_agent.agent_id.value])
            case _:
                agent_id = call.reactivate_agent.agent_id.value
                reading.leader.queries.permits.check(caller, "Operator.ActivateAgents")
                _check_deactivated(reading, agent_id)
                await commands.activate(caller, [agent_id])
    except RequestError as error:
        if error.problem.kind is not ProblemKind.NOT_FOUND:
            raise
        if call.type == Call.MARK_AGENT_GONE:
            agent_id = call.mark_agent_gone.agent_id.value
            raise RefusalError(404, f"Agent '{agent_id[:255]}' not found") from None
        raise bad_request("Unknown agent") from None


def _check_deactivated(reading: Reading, agent_id: str) -> None:
    """Raises RefusalError for an agent that is offered, or is being drained."""
    agent = reading.leader.core.state.agents.get(agent_id)
    state = DrainState.NONE if agent is None else agent.drain.state
    if state == DrainState.NONE:
        raise bad_request("Agent is not deactivated")
    if state == DrainState.DRAINING:
        raise bad_request("Agent is still in the DRAINING state")


def _grace_s(drain: Call.DrainAgent) -> float:
    """How long tasks may run on: Mesos lets each end within this time."""
    period = drain.max_grace_period
    within_s = period.seconds + period.nanos / 1e9
    if within_s < 0:
        raise bad_request("'max_grace_period' is negative")
    return within_s


async def _weights(reading: Reading, infos: Iterable[mesos_master.WeightInfo]) -> int:
    named = list(infos)
    for one in named:
        if not one.role:
            raise bad_request("Failed to validate update weights request: a weight has no role")
    if named:
        weights = ((one.role, one.weight) for one in named)
        await reading.leader.commands.set_weights(reading.caller, weights)
    return OK


async def _quotas(reading: Reading, said: Call.UpdateQuota) -> int:
    quotas = [
        (
            config.role,
            types_pb2.Quota(guarantees=_scalars(config.guarantees), limits=_scalars(config.limits)),
        )
        for config in said.quota_configs
    ]
    if quotas:
        await reading.leader.commands.set_quotas(reading.caller, quotas, force=said.force)
    return OK


def _scalars(amounts: Mapping[str, mesos.Value.Scalar]) -> list[types_pb2.Resource]:
    return [
        types_pb2.Resource(name=name, scalar=one.value) for name, one in sorted(amounts.items())
    ]


async def _set_quota(reading: Reading, said: mesos_master.QuotaRequest) -> int:
    """In this older call what is guaranteed is the limit, too."""
    problem = "Failed to validate set quota request: "
    if not said.role:
        raise bad_request(f"{problem}the role is empty")
    if any(view.role == said.role and has_quota(view) for view in reading.roles()):
        raise bad_request(f"{problem}Cannot set quota for role '{said.role}' which already has one")
    amounts = []
    for one in said.guarantee:
        if one.type != mesos.Value.SCALAR or one.reservations or one.HasField("reservation"):
            raise bad_request(f"{problem}'{one.name[:80]}' is not a plain scalar")
        amounts.append(types_pb2.Resource(name=one.name, scalar=one.scalar.value))
    quota = types_pb2.Quota(guarantees=amounts, limits=amounts)
    await reading.leader.commands.set_quota(reading.caller, said.role, quota, force=said.force)
    return OK


async def remove_quota(reading: Reading, role: str) -> int:
    """Take a role's quota away. Raises RefusalError, RequestError."""
    if not any(view.role == role and has_quota(view) for view in reading.roles()):
        raise bad_request(f"Failed to remove quota: Role {quoted(role)} has no quota set")
    await reading.leader.commands.set_quota(reading.caller, role, types_pb2.Quota())
    return OK


async def tear_down(reading: Reading, framework_id: str) -> int:
    """Remove a framework. Raises RefusalError, RequestError."""
    try:
        await reading.leader.commands.tear_down(reading.caller, framework_id)
    except RequestError as error:
        if error.problem.kind is ProblemKind.NOT_FOUND:
            raise bad_request("No framework found with specified ID") from None
        raise
    return OK
