"""What an agent has, as messages of Mesos' operators' API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pymesos_agent.containers.usage import ContainerUsage
from pymesos_agent.core.context import AgentState
from pymesos_agent.mesos.operators import seeing
from pymesos_agent.mesos.operators.seeing import Seen, TaskView
from pymesos_core.mesos.operators import EmptyLists
from pymesos_core.mesos.resources import attribute_to_mesos, to_mesos
from pymesos_core.mesos.statuses import Places
from pymesos_core.mesos.tasks import executor_id_of, has_address, task_message
from pymesos_core.resources import from_proto
from pymesos_core.security.roles import EVERY_ROLE, Roles
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import types_pb2 as pb

Response = mesos_agent.Response
MIB = 1024 * 1024
EMPTY_LISTS = EmptyLists(
    {
        Response.GetTasks: (
            *("pending_tasks", "queued_tasks", "launched_tasks"),
            *("terminated_tasks", "completed_tasks"),
        ),
        Response.GetExecutors: ("executors", "completed_executors"),
        Response.GetFrameworks: ("frameworks", "completed_frameworks"),
    },
    below=("get_state", "get_tasks", "get_executors", "get_frameworks"),
)


def places(seen: Iterable[Seen], ip: str) -> Places:
    """Where tasks are reached: those of this machine's network."""
    known: dict[str, TaskView] = {
        view.task_info.task_id: view
        for one in seen
        for view in (*one.completed, *one.terminated, *one.queued, *one.launched)
    }

    def ip_of(status: pb.TaskStatus) -> str:
        view = known.get(status.task_id)
        return ip if view is not None and has_address(view.task_info, status.state) else ""

    def executor_of(status: pb.TaskStatus) -> str:
        view = known.get(status.task_id)
        return "" if view is None else executor_id_of(view.task_info)

    return Places(ip_of, executor=executor_of)


def tasks(state: AgentState, seen: list[Seen], ip: str) -> Response.GetTasks:
    """Return all tasks, as Mesos sorts them."""
    aware, where = seeing.aware(state), places(seen, ip)

    def shown(views: Iterable[TaskView]) -> list[mesos_master.Task]:
        return [task_message(view, aware, where) for view in views]

    return Response.GetTasks(
        queued_tasks=shown(view for one in seen for view in one.queued),
        launched_tasks=shown(view for one in seen for view in one.launched),
        terminated_tasks=shown(view for one in seen for view in one.terminated),
        completed_tasks=shown(view for one in seen for view in one.completed),
    )


def executors(seen: list[Seen]) -> Response.GetExecutors:
    """Return all executors."""
    out = Response.GetExecutors()
    for one in seen:
        into = out.completed_executors if one.ended else out.executors
        into.add(executor_info=one.info)
    return out


def frameworks(state: AgentState, seen: list[Seen]) -> Response.GetFrameworks:
    """Return all frameworks that have, or had, something here."""
    out = Response.GetFrameworks()
    for info, ended in seeing.frameworks(state, seen):
        into = out.completed_frameworks if ended else out.frameworks
        into.add(framework_info=info)
    return out


def agent_info(
    info: pb.AgentInfo, agent_id: str, port: int, seen: Roles = EVERY_ROLE
) -> mesos_master.AgentInfo:
    """Return what the agent says of itself, without what is reserved for roles not seen."""
    at = info.address
    out = mesos_master.AgentInfo(hostname=at.hostname or at.ip, port=port, checkpoint=True)
    out.id.value = agent_id
    for one in info.resources:
        if one.reservations and one.reservations[-1].role not in seen:
            continue
        if (shown := to_mesos(one, refined=True, allocated_to=None)) is not None:
            out.resources.append(shown)
    out.attributes.extend(map(attribute_to_mesos, info.attributes))
    return out


def containers(
    state: AgentState,
    seen: list[Seen],
    used: Mapping[str, ContainerUsage],
    now_s: float,
) -> list[Response.GetContainers.Container]:
    """Return the containers of executors that run, with what they use."""
    out = []
    for one, container_id in ((of, each) for of in seen for each in of.containers):
        container = state.owners[container_id].container
        if container is None or not container.pid:
            continue
        shown = Response.GetContainers.Container(executor_name=one.info.name)
        shown.framework_id.value, shown.executor_id.value = one.framework_id, one.executor_id
        shown.container_id.value = shown.container_status.container_id.value = container_id
        shown.container_status.executor_pid = container.pid
        if (usage := used.get(container_id)) is not None:
            amounts = from_proto(container.info.resources).amounts()
            shown.resource_statistics.CopyFrom(_statistics(usage, amounts, now_s))
        out.append(shown)
    return out


def _statistics(
    usage: ContainerUsage, amounts: Mapping[str, int], now_s: float
) -> mesos_agent.ResourceStatistics:
    return mesos_agent.ResourceStatistics(
        timestamp=now_s,
        processes=usage.pids,
        # It is counted together; whoever wants all of it adds the two.
        cpus_user_time_secs=usage.cpu_s,
        cpus_system_time_secs=0.0,
        cpus_limit=amounts.get("cpus", 0) / 1000,
        cpus_throttled_time_secs=usage.throttled_s,
        mem_total_bytes=usage.mem_bytes,
        mem_rss_bytes=usage.mem_bytes,
        mem_limit_bytes=amounts.get("mem", 0) * MIB // 1000,
        net_rx_bytes=usage.received_bytes or None,  # of a network of its own
        net_tx_bytes=usage.sent_bytes or None,
    )
