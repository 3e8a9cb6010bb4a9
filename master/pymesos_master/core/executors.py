"""Executors: what passes between custom ones and their frameworks, and what all of them hold.

An executor that asks for resources of its own is charged once, with the first task that is launched
in it on an agent, and holds them until its agent says that it has ended (as `Slave::executors` of
Mesos' master). So is the executor that groups of tasks name, which is no process. Of the others,
which live on what their tasks were given, nothing need be known.
"""

from __future__ import annotations

from pymesos_core import contract, resources
from pymesos_core.executors import executor_of, held_problem
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, Resources
from pymesos_master.core import accounting
from pymesos_master.core.context import Context
from pymesos_master.core.events import ExecutorTold
from pymesos_master.core.reported import ReportedExecutor
from pymesos_master.core.state import Agent, Executor, Framework, TaskKey
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
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
    if isinstance(event.told, agent_pb.AgentMessage.ExecutorExited):
        if event.told.held:
            _release(ctx, agent, (event.told.framework_id, event.told.executor_id))
        if event.told.quiet:
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


def asked(info: pb.TaskInfo) -> Resources:
    """What the executor of a task is to hold of its own. Raises ResourceError."""
    _, said = executor_of(info)
    if not said:
        return EMPTY
    held = resources.from_proto(said)
    if problem := held_problem(held):
        raise ResourceError(f"ExecutorInfo.resources: {problem}")
    return held


def hold(ctx: Context, agent: Agent, said: ReportedExecutor, *, since_stored: bool = False) -> None:
    """Have an executor hold what it is said to. The allocator counts it as its framework's."""
    key = (said.framework_id, said.executor_id)
    known = agent.executors.get(key)
    if known is None:
        known = agent.executors[key] = Executor(
            said.framework_id,
            said.executor_id,
            agent.agent_id,
            said.role,
            said.name,
            ctx.interned(said.held),
            said.started_at_s or ctx.now.wall_s,
        )
    elif known.resources != said.held:
        known.resources = ctx.interned(said.held)
    accounting.look(ctx, known, since_stored=since_stored)


def forget(ctx: Context, agent: Agent, key: TaskKey) -> Executor | None:
    """Drop an executor that holds nothing any more. The allocator is not told."""
    executor = agent.executors.pop(key, None)
    if executor is not None:
        executor.holds_resources = False
        accounting.look(ctx, executor)
    return executor


def forget_all(ctx: Context, agent: Agent) -> None:
    """Drop those of an agent that is lost or gone."""
    for key in list(agent.executors):
        forget(ctx, agent, key)


def _release(ctx: Context, agent: Agent, key: TaskKey) -> None:
    """Free what an executor held that has ended."""
    executor = forget(ctx, agent, key)
    if executor is not None:
        ctx.allocator.recover(
            executor.framework_id,
            agent.agent_id,
            executor.role,
            executor.resources,
            now_s=ctx.now.mono_s,
        )
