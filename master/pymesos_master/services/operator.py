"""The Operator service: paged reads of the leader's state, and what operators decide."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio

from pymesos_core import VERSION, names
from pymesos_core.budgets import host_of
from pymesos_core.resources import ResourceError, Resources, format_milli, from_proto, to_proto
from pymesos_core.states import is_terminal
from pymesos_master.allocator import Allocator
from pymesos_master.allocator.interface import NOTHING, Withheld
from pymesos_master.allocator.minimum import Scalars
from pymesos_master.core.events import (
    Event,
    OperatorKilledTask,
    OperatorMarkedGone,
    OperatorReleasedRecord,
    OperatorReserved,
    OperatorSetQuota,
    OperatorSetWeight,
    OperatorToreDown,
    OperatorUnreserved,
)
from pymesos_master.core.registry import AGENT, quota_message
from pymesos_master.core.state import (
    Agent,
    AgentState,
    ClusterState,
    Framework,
    Offer,
    Quarantined,
    Task,
)
from pymesos_master.services.leading import Leadership
from pymesos_master.queries.paging import PageGoneError, Pages
from pymesos_master.queries.uses import Uses
from pymesos_master.watching import CursorError
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import operator_pb2_grpc as services
from pymesos_proto.v1 import types_pb2

HOSTNAMES_SHOWN = 5

Context = grpc.aio.ServicerContext[Any, Any]
Item = TypeVar("Item")


def agent_view(agent: Agent) -> pb.AgentView:
    """An agent as operators see it."""
    return pb.AgentView(
        info=agent.info,
        state=agent.state_name,
        allocated=to_proto(agent.allocated()),
        offered=to_proto(agent.offered()),
        registered_at_s=agent.registered_at_s,
        tasks=len(agent.tasks),
        usage=_without_tasks(agent.usage),
        total=agent.total_message(),
    )


def _agent_id(agent: Agent | Quarantined) -> str:
    return agent.agent_id if isinstance(agent, Agent) else agent.key


def quarantined_agent_view(aside: Quarantined) -> pb.AgentView:
    """Of an agent whose record cannot be handled: only its id is sure."""
    return pb.AgentView(info=types_pb2.AgentInfo(agent_id=aside.key), state="quarantined")


def _without_tasks(usage: agent_pb.Usage | None) -> agent_pb.Usage | None:
    if usage is None or not usage.tasks:
        return usage
    out = agent_pb.Usage()
    out.CopyFrom(usage)
    out.ClearField("tasks")
    return out


def task_view(state: ClusterState, task: Task, uses: Uses) -> pb.TaskView:
    """A task as operators see it."""
    completed = state.find_task(*task.key) is not task
    agent = state.agents.get(task.agent_id)
    address = agent.info.address if agent else None
    return pb.TaskView(
        framework_id=task.framework_id,
        task_info=task.info,
        state=task.state,
        status=known_status(task),
        role=task.role,
        hostname=address.hostname if address else "",
        agent_address=address,
        launched_at_s=task.launched_at_s,
        started_at_s=task.started_at_s,
        finished_at_s=task.finished_at_s,
        completed=completed,
        use=uses.of(agent, task.key) if agent and not is_terminal(task.state) else None,
    )


def known_status(task: Task) -> types_pb2.TaskStatus | None:
    """Its latest; of one that is unreachable nobody knows whether it is healthy."""
    if task.status is None or task.state != types_pb2.TASK_UNREACHABLE:
        return task.status
    known = types_pb2.TaskStatus()
    known.CopyFrom(task.status)
    known.ClearField("healthy")
    known.ClearField("ready")
    known.reason = types_pb2.REASON_AGENT_REMOVED
    known.message = "its agent is unreachable, so nothing is known of it now"
    return known


class OperatorService(services.OperatorServicer):
    """Reads come from the leader's state; decisions go through its core."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._pages = Pages()
        self._uses = Uses()

    async def _page(
        self,
        context: Context,
        page: pb.Page,
        items: Callable[[], Sequence[Item]],
        wanted: Callable[[Item], bool],
        to_view: Callable[[Item], Any],
    ) -> tuple[list[Any], str]:
        try:
            return self._pages.page(page, items, wanted, to_view)
        except PageGoneError:
            message = "the page token is not known any more; list again from the start"
            await context.abort(grpc.StatusCode.ABORTED, message)
            raise AssertionError from None

    async def GetLeader(  # noqa: N802
        self, request: pb.GetLeaderRequest, context: Context
    ) -> pb.GetLeaderResponse:
        """Who leads, as far as this master knows."""
        leader = self._leadership.leader
        known = self._leadership.me if leader else self._leadership.known_leader()
        response = pb.GetLeaderResponse(self_leads=leader is not None)
        if known is not None:
            response.leader.CopyFrom(
                types_pb2.Address(
                    hostname=known.hostname, ip=known.address.host, port=known.address.port
                )
            )
        if leader is not None:
            response.epoch = leader.term.epoch
        return response

    async def GetHealth(  # noqa: N802
        self, request: pb.GetHealthRequest, context: Context
    ) -> pb.GetHealthResponse:
        """Whether this master works, leading or not."""
        return pb.GetHealthResponse(
            healthy=True,
            role="leading" if self._leadership.leader else "following",
            uptime_s=time.monotonic() - self._leadership.started_mono_s,
            version=VERSION,
        )

    async def ListAgents(  # noqa: N802
        self, request: pb.ListAgentsRequest, context: Context
    ) -> pb.ListAgentsResponse:
        """Agents by id."""
        state = (await self._leadership.here(context)).core.state

        def items() -> list[Agent | Quarantined]:
            aside = {q.key: q for q in state.quarantined.values() if q.kind == AGENT}
            found: dict[str, Agent | Quarantined] = {**aside, **state.agents}
            return [agent for _, agent in sorted(found.items())]

        views, token = await self._page(
            context,
            request.page,
            items,
            lambda agent: _agent_id(agent).startswith(request.id_prefix),
            lambda agent: (
                agent_view(agent) if isinstance(agent, Agent) else quarantined_agent_view(agent)
            ),
        )
        return pb.ListAgentsResponse(agents=views, next_page_token=token)

    async def ListFrameworks(  # noqa: N802
        self, request: pb.ListFrameworksRequest, context: Context
    ) -> pb.ListFrameworksResponse:
        """Frameworks by id."""
        core = (await self._leadership.here(context)).core

        def items() -> list[Framework]:
            found = dict(core.state.frameworks)
            if request.include_completed:
                found |= core.state.completed_frameworks
            return [framework for _, framework in sorted(found.items())]

        views, token = await self._page(
            context,
            request.page,
            items,
            lambda framework: framework.framework_id.startswith(request.id_prefix),
            lambda framework: framework_view(core.allocator, framework),
        )
        return pb.ListFrameworksResponse(frameworks=views, next_page_token=token)

    async def ListTasks(  # noqa: N802
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Tasks by framework, as they were launched; on request also those that have ended."""
        state = (await self._leadership.here(context)).core.state

        self._uses.keep(state.agents.keys())

        def items() -> list[Task]:
            out: list[Task] = []
            for framework in (*state.frameworks.values(), *state.completed_frameworks.values()):
                if request.framework_id in ("", framework.framework_id):
                    out.extend(framework.tasks.values())
            if request.include_completed:
                out.extend(state.completed_tasks.values())
            return out

        called = names.task_filter(request.called, exact=request.called_exactly)

        def wanted(task: Task) -> bool:
            return (
                task.info.task_id.startswith(request.id_prefix)
                and (not request.called or called(task.info.task_id, task.info.name))
                and request.framework_id in ("", task.framework_id)
                and request.agent_id in ("", task.agent_id)
                and request.name in ("", task.info.name)
                and (not request.states or task.state in request.states)
            )

        views, token = await self._page(
            context, request.page, items, wanted, lambda task: task_view(state, task, self._uses)
        )
        return pb.ListTasksResponse(tasks=views, next_page_token=token)

    async def ListOffers(  # noqa: N802
        self, request: pb.ListOffersRequest, context: Context
    ) -> pb.ListOffersResponse:
        """Offers that are not answered yet."""
        state = (await self._leadership.here(context)).core.state

        def view(offer: Offer) -> pb.OfferView:
            agent = state.agents[offer.agent_id]
            return pb.OfferView(
                offer=types_pb2.Offer(
                    offer_id=offer.offer_id,
                    framework_id=offer.framework_id,
                    agent_id=offer.agent_id,
                    hostname=agent.info.address.hostname,
                    role=offer.role,
                    resources=to_proto(offer.resources),
                    attributes=agent.info.attributes,
                    optimistic=bool(offer.copy_of),
                ),
                offered_at_s=offer.offered_at_s,
            )

        views, token = await self._page(
            context,
            request.page,
            lambda: list(state.offers.values()),
            lambda offer: offer.offer_id in state.offers,
            view,
        )
        return pb.ListOffersResponse(offers=views, next_page_token=token)

    async def ListRoles(  # noqa: N802
        self, request: pb.ListRolesRequest, context: Context
    ) -> pb.ListRolesResponse:
        """The roles that frameworks subscribed to, and those with a weight or a quota."""
        core = (await self._leadership.here(context)).core
        allocator, state = core.allocator, core.state
        members: dict[str, list[str]] = {
            role: [] for role in (*allocator.quotas(), *allocator.weights())
        }
        reserved = _reserved(state)
        members |= {role: [] for role in reserved}
        for framework in state.frameworks.values():
            for role in framework.roles:
                members.setdefault(role, []).append(framework.framework_id)
        offered: dict[str, dict[str, int]] = {}
        for offer in state.offers.values():
            for role in _upwards(offer.role) if not offer.copy_of else ():
                sums = offered.setdefault(role, {})
                for name, value in offer.resources.quantities.items():
                    sums[name] = sums.get(name, 0) + value

        def view(role: str, framework_ids: list[str]) -> pb.RoleView:
            out = Resources(offered.get(role))
            return pb.RoleView(
                role=role,
                framework_ids=framework_ids,
                # What the allocator counts as held is what is used and what is offered.
                allocated=to_proto(Resources(allocator.held(role)).minus_what_is_there(out)),
                offered=to_proto(out),
                weight=allocator.weight(role),
                quota=quota_message(allocator.quota(role)),
                reserved=to_proto(Resources(reserved.get(role))),
            )

        return pb.ListRolesResponse(roles=[view(*item) for item in sorted(members.items())])

    async def ExplainFramework(  # noqa: N802
        self, request: pb.ExplainFrameworkRequest, context: Context
    ) -> pb.ExplainFrameworkResponse:
        """Why a framework is not offered more."""
        core = (await self._leadership.here(context)).core
        framework = core.state.frameworks.get(request.framework_id)
        if framework is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"there is no framework {request.framework_id[:255]}"
            )
        try:
            needs = from_proto(request.needs).quantities
        except ResourceError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"needs: {error}")
        said = explanation(core.allocator, core.state, framework, needs, request.agent_id)
        said.agents_awaited = core.agents_awaited
        return said

    async def SetQuota(  # noqa: N802
        self, request: pb.SetQuotaRequest, context: Context
    ) -> pb.SetQuotaResponse:
        """Give a role a quota, or take it away."""
        await self._decide(
            context,
            lambda i: OperatorSetQuota(i, request.role, request.quota, request.force),
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        return pb.SetQuotaResponse()

    async def SetWeight(  # noqa: N802
        self, request: pb.SetWeightRequest, context: Context
    ) -> pb.SetWeightResponse:
        """Give a role a weight."""
        await self._decide(
            context,
            lambda i: OperatorSetWeight(i, request.role, request.weight),
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        return pb.SetWeightResponse()

    async def Reserve(  # noqa: N802
        self, request: pb.ReserveRequest, context: Context
    ) -> pb.ReserveResponse:
        """Reserve resources of an agent for a role."""
        await self._decide(
            context,
            lambda i: OperatorReserved(i, request.agent_id, request.role, tuple(request.resources)),
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        return pb.ReserveResponse()

    async def Unreserve(  # noqa: N802
        self, request: pb.UnreserveRequest, context: Context
    ) -> pb.UnreserveResponse:
        """End reservations."""
        await self._decide(
            context,
            lambda i: OperatorUnreserved(
                i, request.agent_id, request.role, tuple(request.resources)
            ),
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        return pb.UnreserveResponse()

    async def KillTask(  # noqa: N802
        self, request: pb.KillTaskRequest, context: Context
    ) -> pb.KillTaskResponse:
        """Kill one task."""
        await self._decide(
            context, lambda i: OperatorKilledTask(i, request.framework_id, request.task_id)
        )
        return pb.KillTaskResponse()

    async def TeardownFramework(  # noqa: N802
        self, request: pb.TeardownFrameworkRequest, context: Context
    ) -> pb.TeardownFrameworkResponse:
        """Remove a framework."""
        await self._decide(context, lambda i: OperatorToreDown(i, request.framework_id))
        return pb.TeardownFrameworkResponse()

    async def MarkAgentGone(  # noqa: N802
        self, request: pb.MarkAgentGoneRequest, context: Context
    ) -> pb.MarkAgentGoneResponse:
        """An agent will never come back."""
        await self._decide(context, lambda i: OperatorMarkedGone(i, request.agent_id))
        return pb.MarkAgentGoneResponse()

    async def ListQuarantinedRecords(  # noqa: N802
        self, request: pb.ListQuarantinedRecordsRequest, context: Context
    ) -> pb.ListQuarantinedRecordsResponse:
        """Records that cannot be handled; one with what it is, if it is asked for."""
        state = (await self._leadership.here(context)).core.state
        one = bool(request.kind or request.key)

        def view(aside: Quarantined) -> pb.QuarantinedRecord:
            return pb.QuarantinedRecord(
                kind=aside.kind,
                key=aside.key,
                reason=aside.reason,
                record=aside.record if one else b"",
            )

        views, token = await self._page(
            context,
            request.page,
            lambda: list(state.quarantined.values()),
            lambda aside: not one or (aside.kind, aside.key) == (request.kind, request.key),
            view,
        )
        return pb.ListQuarantinedRecordsResponse(records=views, next_page_token=token)

    async def ReleaseQuarantinedRecord(  # noqa: N802
        self, request: pb.ReleaseQuarantinedRecordRequest, context: Context
    ) -> pb.ReleaseQuarantinedRecordResponse:
        """Try a record again, or delete it."""
        await self._decide(
            context,
            lambda i: OperatorReleasedRecord(i, request.kind, request.key, request.discard),
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        return pb.ReleaseQuarantinedRecordResponse()

    async def _decide(
        self,
        context: Context,
        make_event: Any,
        code: grpc.StatusCode = grpc.StatusCode.NOT_FOUND,
    ) -> None:
        leader = await self._leadership.here(context)

        def event(request_id: int) -> Event:
            made: Event = make_event(request_id)
            return made

        problem = await leader.ask(event)
        if problem is not None:
            await context.abort(code, problem)

    async def WatchEvents(  # type: ignore[override]  # noqa: N802
        self, request: pb.WatchEventsRequest, context: Context
    ) -> None:
        """From a cursor on; else first the state as it is, as events of the kind "…_present"."""
        leader, host = await self._leadership.here(context), host_of(context.peer())
        # Written by hand, not yielded: a generator whose call was cancelled ends when it is
        # collected, and its watch with it.
        try:
            with leader.watching.watch(request.cursor) as watch:
                while (batch := await watch.batch()) is not None:
                    await self._leadership.turns.next(host)
                    await context.write(
                        pb.ClusterEventBatch(
                            event=batch.events,
                            cursor=str(batch.cursor or ""),
                            snapshot_begins=batch.snapshot_begins,
                        )
                    )
        except CursorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "this master leads no more")


def framework_view(allocator: Allocator, framework: Framework) -> pb.FrameworkView:
    """A framework as operators see it."""
    offered = _summed(o.resources for o in framework.offers.values() if not o.copy_of)
    # What the allocator counts as held is what is used and what is offered.
    used = dict(allocator.held_by(framework.framework_id))
    for resource in offered:
        used[resource.name] = used.get(resource.name, 0) - round(resource.scalar * 1000)
    return pb.FrameworkView(
        info=framework.info,
        state=framework.state.value,
        allocated=to_proto(Resources({n: max(0, v) for n, v in used.items()})),
        offered=offered,
        registered_at_s=framework.registered_at_s,
        tasks=len(framework.tasks),
        dominant_share=allocator.dominant_share(framework.framework_id),
        suppressed_roles=sorted(allocator.suppressed(framework.framework_id)),
        offer_conflicts=framework.offer_conflicts,
    )


def explanation(
    allocator: Allocator,
    state: ClusterState,
    framework: Framework,
    needs: Scalars = NOTHING,
    home: str = "",
) -> pb.ExplainFrameworkResponse:
    """What the allocator says of a framework, its agents counted by reason.

    With `needs` and `home`: for a task that needs so much, on that agent only.
    """
    now_s = time.monotonic()
    response = pb.ExplainFrameworkResponse(
        framework=framework_view(allocator, framework),
        last_offer_at_s=framework.last_offer_at_s,
        offers_held=len(framework.offers),
        agents=sum(
            a.state in (AgentState.ACTIVE, AgentState.DISCONNECTED) for a in state.agents.values()
        ),
    )
    if home:
        agent = state.agents.get(home)
        response.agent_state = agent.state_name if agent is not None else "unknown"
    for standing in allocator.explain(framework.framework_id, needs):
        role = response.roles.add(
            role=standing.role,
            suppressed=standing.suppressed,
            weighted_share=standing.weighted_share,
            place=standing.place,
            of=standing.of,
            weight=allocator.weight(standing.role),
        )
        by_reason: dict[Withheld, list[str]] = {}
        for agent_id, reason in standing.withheld.items():
            if home in ("", agent_id):
                ending = reason == Withheld.DISCONNECTED and state.agents[agent_id].leaving
                by_reason.setdefault(Withheld.LEAVING if ending else reason, []).append(agent_id)
        for reason, agent_ids in by_reason.items():
            ends = [standing.until_s[a] for a in agent_ids if a in standing.until_s]
            role.withheld.add(
                reason=reason.name,
                text=reason.value + _limits_met(allocator, standing.role, reason, needs),
                agents=len(agent_ids),
                hostnames=[
                    state.agents[a].info.address.hostname for a in agent_ids[:HOSTNAMES_SHOWN]
                ],
                first_ends_in_s=max(0.0, min(ends) - now_s) if ends else 0.0,
            )
    return response


def _limits_met(allocator: Allocator, role: str, reason: Withheld, needs: Scalars) -> str:
    """Which limits of a role, and of those above it, leave no room for as much."""
    if reason != Withheld.LIMIT:
        return ""
    parts = []
    for above in _upwards(role):
        held = allocator.held(above)
        for name, limit in allocator.quota(above).limits.items():
            left = limit - held.get(name, 0)
            if left <= 0 or left < needs.get(name, 0):
                has = f"{above} holds {format_milli(held.get(name, 0))} {name}"
                parts.append(f"{has} of {format_milli(limit)} at most")
    return f" ({', '.join(parts)})" if parts else ""


def _reserved(state: ClusterState) -> dict[str, dict[str, int]]:
    """What is reserved for each role itself, in use or not."""
    out: dict[str, dict[str, int]] = {}
    for agent in state.agents.values():
        if agent.state in (AgentState.ACTIVE, AgentState.DISCONNECTED):
            for tag, bag in agent.total.tagged.items():
                if tag.role:
                    sums = out.setdefault(tag.role, {})
                    for name, value in bag.amounts().items():
                        sums[name] = sums.get(name, 0) + value
    return out


def _upwards(role: str) -> Iterable[str]:
    """A role, and all that it is below of."""
    while role:
        yield role
        role = role.rpartition("/")[0]


def _summed(bags: Iterable[Any]) -> list[types_pb2.Resource]:
    """Scalars are added; ports of different agents may be the same numbers, so they are counted."""
    scalars: dict[str, int] = {}
    for bag in bags:
        for name, value in bag.quantities.items():
            scalars[name] = scalars.get(name, 0) + value
    return [types_pb2.Resource(name=n, scalar=v / 1000) for n, v in scalars.items()]
