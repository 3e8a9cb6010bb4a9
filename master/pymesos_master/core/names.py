"""Names: which tasks serve clients, as their frameworks say it, and as it is so.

A framework is believed about its own tasks only, in the roles and with the ports that these have.
What the master knows itself counts at once: a task that has ended, is being killed, does not pass
its checks or is on an agent that is lost serves nobody, whatever its framework says or whether it
is there to say anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pymesos_core import limits
from pymesos_core.copies import copy_of
from pymesos_core.states import is_terminal
from pymesos_master.core import slices
from pymesos_master.core.context import Context
from pymesos_master.core.effects import NameChanged, NamesSettled
from pymesos_master.core.lifecycles import AgentState
from pymesos_master.core.state import Agent, ClusterState, Framework, Task, TaskKey
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import NamedTask, ServedTask

# With such agents come tasks that this master has not heard of: those of one that is unreachable
# since before it led, too, which does not serve meanwhile.
_MAY_COME_WITH_TASKS = (AgentState.RECOVERING, AgentState.UNREACHABLE)


def begin(ctx: Context, framework: Framework) -> None:
    """A framework subscribes: it says all anew, and what it said before holds until then."""
    ctx.state.names.saying.pop(framework.framework_id, None)


def on_publish(ctx: Context, framework: Framework, call: scheduler_pb.Call.Publish) -> None:
    """Take in what a framework says of its tasks."""
    names, framework_id = ctx.state.names, framework.framework_id
    said = names.said.setdefault(framework_id, {})
    new = {served.task_id for served in call.serves}
    if problem := limits.NAMES.problem(len(said) + len(new - said.keys())):
        ctx.refuse_call(framework, "publish", problem, scheduler_pb.Event.Refused.TOO_LARGE)
        return
    if not all(served.task_id and served.job and served.task for served in call.serves):
        problem = "serves: each has a task_id, a job and a task, and one of them is empty"
        ctx.refuse_call(framework, "publish", problem)
        return
    exposed = [each for served in call.serves for each in served.exposed]
    if not all(each.http_host and each.port for each in exposed):
        problem = "exposed: each has an http_host and a port from 1, and one of them is not there"
        ctx.refuse_call(framework, "publish", problem)
        return
    for served in call.serves:
        before = said.get(served.task_id)
        if before is not None and before.agent_id != served.agent_id:
            _await_no_more(ctx, before.agent_id, (framework_id, served.task_id))
        said[served.task_id] = copy_of(served)
        look(ctx, (framework_id, served.task_id))
    _end(ctx, framework_id, call.ended)
    if not call.whole:
        return
    renewed = names.saying.setdefault(framework_id, set())
    renewed |= new | said.keys() & set(call.keeps)
    if not call.more:
        del names.saying[framework_id]
        left = [one for one in said.items() if one[0] not in renewed]
        steps = _end_those(ctx, framework_id, left)
        slices.run_after(ctx, ("names", framework_id), len(left), steps)
        if framework_id not in names.settled:
            names.settled[framework_id] = None
            ctx.out.append(NamesSettled(framework_id))


def _end(ctx: Context, framework_id: str, task_ids: Iterable[str]) -> None:
    for task_id in task_ids:
        key = (framework_id, task_id)
        if (served := ctx.state.names.said[framework_id].pop(task_id, None)) is not None:
            _await_no_more(ctx, served.agent_id, key)
            look(ctx, key)


def _end_those(
    ctx: Context, framework_id: str, left: list[tuple[str, ServedTask]]
) -> Iterator[None]:
    """End what a framework has not said again, unless it says it meanwhile."""
    for part in slices.parts(ctx, left):
        said = ctx.state.names.said.get(framework_id, {})
        _end(ctx, framework_id, [task_id for task_id, was in part if said.get(task_id) is was])
        yield


def _await_no_more(ctx: Context, agent_id: str, key: TaskKey) -> None:
    awaited = ctx.state.names.awaited
    if (keys := awaited.get(agent_id)) is not None:
        keys.pop(key, None)
        if not keys:
            del awaited[agent_id]


def forget(ctx: Context, framework_id: str) -> None:
    """A framework is no more."""
    size = len(ctx.state.names.said.get(framework_id, ()))
    ctx.state.names.ending[framework_id] = None
    slices.run(ctx, ("names", framework_id), size, _forget(ctx, framework_id))


def _forget(ctx: Context, framework_id: str) -> Iterator[None]:
    names = ctx.state.names
    for task_ids in slices.parts(ctx, names.said.get(framework_id, ())):
        _end(ctx, framework_id, task_ids)
        yield
    del names.ending[framework_id]
    names.said.pop(framework_id, None)
    names.saying.pop(framework_id, None)
    names.settled.pop(framework_id, None)
    ctx.out.append(NamesSettled(framework_id))


def look_at_agent(ctx: Context, agent: Agent) -> None:
    """An agent has come back, somewhere else perhaps, or is lost."""
    look_at_awaited(ctx, agent)
    for key in list(agent.tasks):
        look(ctx, key)


def look_at_those(ctx: Context, agent: Agent, keys: Iterable[TaskKey]) -> None:
    """An agent that is coming has said of some of its tasks how they are."""
    for key in keys:
        _await_no_more(ctx, agent.agent_id, key)
        look(ctx, key)


def look_at_awaited(ctx: Context, agent: Agent) -> None:
    """Nothing is awaited of an agent any more."""
    for key in ctx.state.names.awaited.pop(agent.agent_id, ()):
        look(ctx, key)


def look(ctx: Context, key: TaskKey) -> None:
    """Something happened to a task, or was said of it: show what is so now."""
    names, (framework_id, task_id) = ctx.state.names, key
    said = names.said.get(framework_id)
    served = said.get(task_id) if said is not None else None
    if served is None and key not in names.shown:
        return
    now = _as_it_is(ctx, key, served) if served is not None else None
    if now == names.shown.get(key):
        return
    if now is None:
        del names.shown[key]
    else:
        names.shown[key] = now
    ctx.out.append(NameChanged(framework_id, task_id))


def _as_it_is(ctx: Context, key: TaskKey, served: ServedTask) -> NamedTask | None:
    """What is shown of a task; what can never be so is forgotten."""
    framework_id, task_id = key
    framework = ctx.state.frameworks.get(framework_id)
    task = framework.tasks.get(task_id) if framework is not None else None
    agent = ctx.state.agents.get(served.agent_id)
    may_come = task is None and agent is not None and agent.state in _MAY_COME_WITH_TASKS
    if framework is None or agent is None or (task is None and not may_come):
        del ctx.state.names.said[framework_id][task_id]
        return None
    awaited = may_come and agent.state == AgentState.RECOVERING
    if may_come:
        ctx.state.names.awaited.setdefault(agent.agent_id, {})[key] = None
        if not awaited:
            return None
    elif task is not None and is_terminal(task.state):
        del ctx.state.names.said[framework_id][task_id]
        return None
    elif task is not None and not _is_so(task, served):
        return None
    return NamedTask(
        framework_id=framework_id, ip=agent.info.address.ip, task=served, awaited=awaited
    )


def check(state: ClusterState) -> None:
    """Assert that what is shown serves; for tests and the simulator."""
    for (framework_id, task_id), named in state.names.shown.items():
        if framework_id in state.names.ending:
            continue
        task, agent = state.find_task(framework_id, task_id), state.agents[named.task.agent_id]
        assert named.task == state.names.said[framework_id][task_id], (
            f"{task_id} is shown otherwise"
        )
        assert named.ip == agent.info.address.ip, f"{task_id} is shown at {named.ip}"
        serves = task is not None and _is_so(task, named.task)
        awaited = task is None and agent.state == AgentState.RECOVERING
        assert (serves, awaited) == (not named.awaited, named.awaited), (
            f"{task_id} is shown{' as awaited' * named.awaited}, and does not serve: {task}"
        )
    for agent_id, keys in state.names.awaited.items():
        for framework_id, task_id in keys:
            served = state.names.said.get(framework_id, {}).get(task_id)
            assert served is not None and served.agent_id == agent_id, f"{task_id} is awaited"


def _is_so(task: Task, served: ServedTask) -> bool:
    """Whether a task is what its framework says, and serves as far as its agent and we know."""
    status = task.status
    fails = status is not None and (
        (status.HasField("healthy") and not status.healthy)
        or (status.HasField("ready") and not status.ready)
    )
    return (
        task.state == pb.TASK_RUNNING
        and task.kill is None
        and not fails
        and (task.agent_id, task.role) == (served.agent_id, served.role)
        and all(_has_port(task, port.port) for port in served.ports)
    )


def _has_port(task: Task, port: int) -> bool:
    return any(
        begin <= port <= end
        for _, bag in task.resources.parts()
        for begin, end in bag.ranges.get("ports", ())
    )
