"""Calls of Mesos' operators' API that change something, as commands of ours."""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_core.errors import ProblemKind, RequestError
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_master.core.lifecycles import AgentState, DrainState
from pymesos_master.mesos.operators import converting, maintenance
from pymesos_master.mesos.operators.quotas import remove_quota, set_quota, update_quotas
from pymesos_master.mesos.operators.reading import Reading
from pymesos_master.mesos.rules.names import role_problem
from pymesos_master.mesos.rules.resources import scalar
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master

Call = mesos_master.Call
OK, ACCEPTED = 200, 202  # done; written, and the agent is told


async def change(reading: Reading, call: Call) -> int:
    """Carry out a call, and return the status of the answer. Raises RefusalError, RequestError."""
    if call.type in converting.OPERATIONS:
        converting.check(call)
        await converting.convert(reading, call)
        return ACCEPTED
    match call.type:
        case Call.UPDATE_WEIGHTS:
            return await _weights(reading, call.update_weights.weight_infos)
        case Call.UPDATE_QUOTA:
            return await update_quotas(reading, call.update_quota)
        case Call.SET_QUOTA:
            return await set_quota(reading, call.set_quota.quota_request)
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
        _check_there(reading, call)
        match call.type:
            case Call.MARK_AGENT_GONE:
                await commands.mark_gone(caller, call.mark_agent_gone.agent_id.value)
            case Call.DRAIN_AGENT:
                drain = call.drain_agent
                reading.leader.queries.permits.check(caller, "Operator.DrainAgents")
                _check_unscheduled(reading, drain.agent_id.value)
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


def _check_there(reading: Reading, call: Call) -> None:
    """Raises RefusalError for an agent that is marked gone, which Mesos knows no more."""
    named = {
        Call.DRAIN_AGENT: call.drain_agent.agent_id.value,
        Call.DEACTIVATE_AGENT: call.deactivate_agent.agent_id.value,
    }
    agent = reading.leader.core.state.agents.get(named.get(call.type, ""))
    if agent is not None and agent.state == AgentState.GONE:
        raise bad_request("Unknown agent")


def _check_unscheduled(reading: Reading, agent_id: str) -> None:
    """Raises RefusalError for an agent that is there, and whose machine is to be maintained."""
    agent = reading.leader.core.state.agents.get(agent_id)
    if agent is None or agent.maintenance is None or agent.state != AgentState.ACTIVE:
        return
    at = agent.info.address
    machine = f"{at.hostname} ({at.ip})" if at.hostname else at.ip
    raise bad_request(f"Agent {agent_id} is part of a maintenance schedule under Machine {machine}")


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
    wrong = "Failed to validate update weights request JSON"
    for one in named:
        if (problem := role_problem(one.role)) is not None:
            raise bad_request(f"{wrong}: Invalid role '{one.role}': {problem}")
        if not one.weight > 0:
            raise bad_request(
                f"{wrong} for role '{one.role}': Invalid weight '{scalar(one.weight)}': Weights"
                f" must be positive"
            )
    if named:
        weights = ((one.role, one.weight) for one in named)
        await reading.leader.commands.set_weights(reading.caller, weights)
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
