"""Custom executors: what passes between them and their frameworks.

An executor lives on what its tasks were given (their agent sees to that), so nothing of it is
accounted here, and nothing of it need be known.
"""

from __future__ import annotations

from pymesos_core import contract
from pymesos_master.core.context import Context
from pymesos_master.core.events import ExecutorTold
from pymesos_master.core.state import Agent, Framework
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent


def send_message(ctx: Context, framework: Framework, call: scheduler_pb.Call.Message) -> None:
    """To an executor, as far as its agent is there; told once."""
    message = agent_pb.ExecutorMessage(
        framework_id=framework.framework_id, executor_id=call.executor_id, data=call.data
    )
    _tell(ctx, framework, call.agent_id, agent_pb.MasterMessage(executor_message=message))


def shut_down(ctx: Context, framework: Framework, call: scheduler_pb.Call.Shutdown) -> None:
    """End an executor with its tasks; told once: KILL ends tasks for sure."""
    shutdown = agent_pb.MasterMessage.ShutdownExecutor(
        framework_id=framework.framework_id, executor_id=call.executor_id
    )
    _tell(ctx, framework, call.agent_id, agent_pb.MasterMessage(shutdown_executor=shutdown))


def _tell(
    ctx: Context, framework: Framework, agent_id: str, message: agent_pb.MasterMessage
) -> None:
    agent = ctx.state.agents.get(agent_id)
    if agent is not None and agent.connection_id is not None:
        ctx.tell_agent(agent, message)
        return
    ctx.publish(
        ClusterEvent.MESSAGE_DROPPED,
        framework_id=framework.framework_id,
        message=f"the agent {agent_id[:255]} is not connected",
        roles=framework.roles,
    )


def on_told(ctx: Context, event: ExecutorTold) -> None:
    """What an executor says, or that it has ended, to its framework."""
    agent_id = ctx.state.agent_by_connection.get(event.connection_id)
    agent = ctx.state.agents.get(agent_id) if agent_id else None
    if agent is None or agent.connection_id != event.connection_id:
        return
    agent.heard = agent.confirmed = True
    if problem := contract.problem(event.told):
        ctx.complain(agent, "a bad message of an executor", problem)
        return
    framework = ctx.state.frameworks.get(event.told.framework_id)
    if framework is not None:
        ctx.tell_framework(framework, _event(agent, event.told))


def _event(
    agent: Agent, told: agent_pb.ExecutorMessage | agent_pb.AgentMessage.ExecutorExited
) -> scheduler_pb.Event:
    if isinstance(told, agent_pb.ExecutorMessage):
        message = scheduler_pb.Event.Message(
            agent_id=agent.agent_id, executor_id=told.executor_id, data=told.data
        )
        return scheduler_pb.Event(message=message)
    failure = scheduler_pb.Event.Failure(
        agent_id=agent.agent_id,
        executor_id=told.executor_id,
        status=told.status if told.HasField("status") else None,
    )
    return scheduler_pb.Event(failure=failure)
