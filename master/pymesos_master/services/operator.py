"""The Operator service: it translates between gRPC and the leader's queries and commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from pymesos_core import VERSION
from pymesos_core.transport import ServerCall
from pymesos_master.queries import TaskFilter
from pymesos_master.services.access_tokens import AccessTokenCalls
from pymesos_master.services.alerts import ClusterAlertCalls
from pymesos_master.services.draining import DrainingCalls
from pymesos_master.services.events import batches
from pymesos_master.services.joining import JoiningCalls
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.services.policy import PolicyCalls
from pymesos_master.services.reading_audit import AuditCalls
from pymesos_master.services.roles import RoleCalls
from pymesos_master.services.secrets import SecretCalls, page_of
from pymesos_master.services.webhooks import WebhookCalls
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Call = ServerCall[Any, Any]
Handler = Callable[..., Awaitable[Any]]


class OperatorService:
    """A call becomes a query or a command of the leader, what that returns or raises the answer.

    Calls about what there is in the cluster are here, those of other subjects in its parts.
    """

    contract = pb.DESCRIPTOR.services_by_name["Operator"]

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        parts = (
            RoleCalls(leadership),
            DrainingCalls(leadership),
            JoiningCalls(leadership),
            PolicyCalls(leadership),
            AuditCalls(leadership),
            SecretCalls(leadership),
            AccessTokenCalls(leadership),
            WebhookCalls(leadership),
            ClusterAlertCalls(leadership),
        )
        self._of_parts: dict[str, Handler] = {
            method.name: getattr(part, method.name)
            for method in self.contract.methods
            for part in parts
            if hasattr(part, method.name)
        }

    def __getattr__(self, method: str) -> Handler:
        """Return a method of a part; `served` asks for each that the contract has."""
        of_parts: dict[str, Handler] = self.__dict__.get("_of_parts", {})
        if method not in of_parts:
            raise AttributeError(f"the Operator service has no method {method}")
        return of_parts[method]

    async def GetLeader(  # noqa: N802
        self, request: pb.GetLeaderRequest, call: Call
    ) -> pb.GetLeaderResponse:
        """Who leads, as far as this master knows."""
        leader = self._leadership.leader
        known = self._leadership.leads_now
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
        self, request: pb.GetHealthRequest, call: Call
    ) -> pb.GetHealthResponse:
        """Whether this master works, leading or not."""
        return pb.GetHealthResponse(
            healthy=True,
            role="leading" if self._leadership.leader else "following",
            uptime_s=self._leadership.outside.mono_s() - self._leadership.started_mono_s,
            version=VERSION,
            http_port=self._leadership.http_port,
        )

    async def ListAgents(  # noqa: N802
        self, request: pb.ListAgentsRequest, call: Call
    ) -> pb.ListAgentsResponse:
        """Agents by id."""
        with self._leadership.asked() as leader:
            found = leader.queries.agents(
                caller_of(call),
                page_of(request.page),
                request.id_prefix,
                request.search,
                request.sort,
            )
        return pb.ListAgentsResponse(agents=found.views, next_page_token=found.next_token)

    async def ListFrameworks(  # noqa: N802
        self, request: pb.ListFrameworksRequest, call: Call
    ) -> pb.ListFrameworksResponse:
        """Frameworks by id."""
        with self._leadership.asked() as leader:
            found = leader.queries.frameworks(
                caller_of(call),
                page_of(request.page),
                request.id_prefix,
                completed=request.include_completed,
                serving_jobs=request.serving_jobs,
            )
        return pb.ListFrameworksResponse(frameworks=found.views, next_page_token=found.next_token)

    async def ListTasks(  # noqa: N802
        self, request: pb.ListTasksRequest, call: Call
    ) -> pb.ListTasksResponse:
        """Tasks by framework; on request also those that have ended."""
        wanted = TaskFilter(
            framework_id=request.framework_id,
            agent_id=request.agent_id,
            id_prefix=request.id_prefix,
            name=request.name,
            states=frozenset(request.states),
            called=request.called,
            called_exactly=request.called_exactly,
            completed=request.include_completed,
            search=request.search,
            sort=request.sort,
        )
        with self._leadership.asked() as leader:
            found = leader.queries.tasks(caller_of(call), page_of(request.page), wanted)
        return pb.ListTasksResponse(tasks=found.views, next_page_token=found.next_token)

    async def ListOffers(  # noqa: N802
        self, request: pb.ListOffersRequest, call: Call
    ) -> pb.ListOffersResponse:
        """Offers that are not answered yet."""
        with self._leadership.asked() as leader:
            found = leader.queries.offers(caller_of(call), page_of(request.page))
        return pb.ListOffersResponse(offers=found.views, next_page_token=found.next_token)

    async def GetAccounting(  # noqa: N802
        self, request: pb.GetAccountingRequest, call: Call
    ) -> pb.GetAccountingResponse:
        """What roles, frameworks and jobs have used."""
        with self._leadership.asked() as leader:
            found = await leader.queries.accounting(caller_of(call), page_of(request.page), request)
        return pb.GetAccountingResponse(rows=found.views, next_page_token=found.next_token)

    async def GetOverview(  # noqa: N802
        self, request: pb.GetOverviewRequest, call: Call
    ) -> pb.GetOverviewResponse:
        """The cluster at a glance."""
        with self._leadership.asked() as leader:
            return await leader.overviews.answer(caller_of(call), request)

    async def ExplainFramework(  # noqa: N802
        self, request: pb.ExplainFrameworkRequest, call: Call
    ) -> pb.ExplainFrameworkResponse:
        """Why a framework is not offered more."""
        with self._leadership.asked() as leader:
            return leader.queries.explain(
                caller_of(call), request.framework_id, request.needs, request.agent_id
            )

    async def ListQuarantinedRecords(  # noqa: N802
        self, request: pb.ListQuarantinedRecordsRequest, call: Call
    ) -> pb.ListQuarantinedRecordsResponse:
        """Records that cannot be handled; one with what it is, if it is asked for."""
        with self._leadership.asked() as leader:
            found = leader.queries.quarantined(
                caller_of(call), page_of(request.page), request.kind, request.key
            )
        return pb.ListQuarantinedRecordsResponse(
            records=found.views, next_page_token=found.next_token
        )

    async def KillTask(  # noqa: N802
        self, request: pb.KillTaskRequest, call: Call
    ) -> pb.KillTaskResponse:
        """Kill one task."""
        with self._leadership.asked() as leader:
            await leader.commands.kill_task(caller_of(call), request.framework_id, request.task_id)
        return pb.KillTaskResponse()

    async def TeardownFramework(  # noqa: N802
        self, request: pb.TeardownFrameworkRequest, call: Call
    ) -> pb.TeardownFrameworkResponse:
        """Remove a framework."""
        with self._leadership.asked() as leader:
            await leader.commands.tear_down(caller_of(call), request.framework_id)
        return pb.TeardownFrameworkResponse()

    async def ReleaseQuarantinedRecord(  # noqa: N802
        self, request: pb.ReleaseQuarantinedRecordRequest, call: Call
    ) -> pb.ReleaseQuarantinedRecordResponse:
        """Try a record again, or delete it."""
        with self._leadership.asked() as leader:
            await leader.commands.release_record(
                caller_of(call), request.kind, request.key, discard=request.discard
            )
        return pb.ReleaseQuarantinedRecordResponse()

    async def WatchEvents(  # noqa: N802
        self, request: pb.WatchEventsRequest, call: Call
    ) -> None:
        """From a cursor on; else first the state as it is, as events of the kinds …_PRESENT."""
        async with aclosing(batches(self._leadership, request, caller_of(call))) as found:
            async for batch in found:
                said = pb.ClusterEventBatch(
                    event=batch.events,
                    cursor=str(batch.cursor or ""),
                    snapshot_begins=batch.snapshot_begins,
                )
                for kind, events in batch.left_out.items():
                    said.left_out.add(kind=kind, events=events)
                await call.write(said)
