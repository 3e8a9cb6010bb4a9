"""The Operator service: it translates between gRPC and the leader's queries and commands."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from pymesos_core import VERSION
from pymesos_core.security.policy_file import PolicyError, read_policy
from pymesos_core.security.signing import SigningError
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.queries import TaskFilter
from pymesos_master.services import reading_audit
from pymesos_master.services.access_tokens import AccessTokenCalls
from pymesos_master.services.alerts import ClusterAlertCalls
from pymesos_master.services.events import batches
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_master.services.secrets import SecretCalls, page_of
from pymesos_master.services.webhooks import WebhookCalls
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Call = ServerCall[Any, Any]


class OperatorService(SecretCalls, AccessTokenCalls, WebhookCalls, ClusterAlertCalls):
    """A call becomes a query or a command of the leader, what that returns or raises the answer."""

    contract = pb.DESCRIPTOR.services_by_name["Operator"]

    def __init__(self, leadership: Leadership) -> None:
        super().__init__(leadership)
        self._reading = asyncio.Lock()

    async def GetLeader(  # noqa: N802
        self, request: pb.GetLeaderRequest, call: Call
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

    async def ListRoles(  # noqa: N802
        self, request: pb.ListRolesRequest, call: Call
    ) -> pb.ListRolesResponse:
        """Roles by name."""
        with self._leadership.asked() as leader:
            return pb.ListRolesResponse(roles=leader.queries.roles(caller_of(call)))

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

    async def SetQuota(  # noqa: N802
        self, request: pb.SetQuotaRequest, call: Call
    ) -> pb.SetQuotaResponse:
        """Give a role a quota, or take it away."""
        with self._leadership.asked() as leader:
            await leader.commands.set_quota(
                caller_of(call),
                request.role,
                request.quota,
                force=request.force,
                instead_of=request.instead_of if request.HasField("instead_of") else None,
            )
        return pb.SetQuotaResponse()

    async def SetWeight(  # noqa: N802
        self, request: pb.SetWeightRequest, call: Call
    ) -> pb.SetWeightResponse:
        """Give a role a weight."""
        with self._leadership.asked() as leader:
            instead_of = request.instead_of if request.HasField("instead_of") else None
            await leader.commands.set_weight(
                caller_of(call), request.role, request.weight, instead_of
            )
        return pb.SetWeightResponse()

    async def Reserve(  # noqa: N802
        self, request: pb.ReserveRequest, call: Call
    ) -> pb.ReserveResponse:
        """Reserve resources of an agent for a role."""
        with self._leadership.asked() as leader:
            await leader.commands.reserve(
                caller_of(call), request.agent_id, request.role, request.resources
            )
        return pb.ReserveResponse()

    async def Unreserve(  # noqa: N802
        self, request: pb.UnreserveRequest, call: Call
    ) -> pb.UnreserveResponse:
        """End reservations."""
        with self._leadership.asked() as leader:
            await leader.commands.unreserve(
                caller_of(call), request.agent_id, request.role, request.resources
            )
        return pb.UnreserveResponse()

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

    async def MarkAgentGone(  # noqa: N802
        self, request: pb.MarkAgentGoneRequest, call: Call
    ) -> pb.MarkAgentGoneResponse:
        """An agent will never come back."""
        with self._leadership.asked() as leader:
            await leader.commands.mark_gone(caller_of(call), request.agent_id)
        return pb.MarkAgentGoneResponse()

    async def CordonAgents(  # noqa: N802
        self, request: pb.CordonAgentsRequest, call: Call
    ) -> pb.CordonAgentsResponse:
        """Have agents offered to nobody."""
        with self._leadership.asked() as leader:
            await leader.commands.cordon(caller_of(call), request.agent_ids)
        return pb.CordonAgentsResponse()

    async def DrainAgents(  # noqa: N802
        self, request: pb.DrainAgentsRequest, call: Call
    ) -> pb.DrainAgentsResponse:
        """Have agents emptied."""
        with self._leadership.asked() as leader:
            await leader.commands.drain(
                caller_of(call), request.agent_ids, request.within_s, then_gone=request.then_gone
            )
        return pb.DrainAgentsResponse()

    async def ActivateAgents(  # noqa: N802
        self, request: pb.ActivateAgentsRequest, call: Call
    ) -> pb.ActivateAgentsResponse:
        """Have agents offered again."""
        with self._leadership.asked() as leader:
            await leader.commands.activate(caller_of(call), request.agent_ids)
        return pb.ActivateAgentsResponse()

    async def ScheduleMaintenance(  # noqa: N802
        self, request: pb.ScheduleMaintenanceRequest, call: Call
    ) -> pb.ScheduleMaintenanceResponse:
        """Plan when agents may be away."""
        window = request.unavailability
        instead_of = request.instead_of if request.HasField("instead_of") else None
        with self._leadership.asked() as leader:
            await leader.commands.schedule_maintenance(
                caller_of(call), request.agent_ids, window.start_s, window.duration_s, instead_of
            )
        return pb.ScheduleMaintenanceResponse()

    async def CancelMaintenance(  # noqa: N802
        self, request: pb.CancelMaintenanceRequest, call: Call
    ) -> pb.CancelMaintenanceResponse:
        """Plan so no more."""
        with self._leadership.asked() as leader:
            await leader.commands.cancel_maintenance(caller_of(call), request.agent_ids)
        return pb.CancelMaintenanceResponse()

    async def ReleaseQuarantinedRecord(  # noqa: N802
        self, request: pb.ReleaseQuarantinedRecordRequest, call: Call
    ) -> pb.ReleaseQuarantinedRecordResponse:
        """Try a record again, or delete it."""
        with self._leadership.asked() as leader:
            await leader.commands.release_record(
                caller_of(call), request.kind, request.key, discard=request.discard
            )
        return pb.ReleaseQuarantinedRecordResponse()

    async def MakeToken(  # noqa: N802
        self, request: pb.MakeTokenRequest, call: Call
    ) -> pb.MakeTokenResponse:
        """Let a principal join."""
        with self._leadership.asked() as leader:
            signer, at = self._leadership.signer, self._leadership.join_at
            if signer is None or at is None:
                raise CallError(
                    Code.FAILED_PRECONDITION,
                    "the master that leads takes nobody in: it has no --tls, or no authority in"
                    " that folder; see `pymesos-cli cluster issue --help`",
                )
            try:
                root = signer.fingerprint()
            except SigningError as error:
                raise CallError(Code.FAILED_PRECONDITION, str(error)) from error
            await leader.commands.make_token(
                caller_of(call), request.digest.hex(), request.principal, request.lifetime_s
            )
        return pb.MakeTokenResponse(root=root, join_at=types_pb2.Address(ip=at.host, port=at.port))

    async def ListTokens(  # noqa: N802
        self, request: pb.ListTokensRequest, call: Call
    ) -> pb.ListTokensResponse:
        """Tokens that have not ended."""
        with self._leadership.asked() as leader:
            return pb.ListTokensResponse(tokens=leader.queries.access.tokens(caller_of(call)))

    async def RemoveToken(  # noqa: N802
        self, request: pb.RemoveTokenRequest, call: Call
    ) -> pb.RemoveTokenResponse:
        """Take a token back."""
        with self._leadership.asked() as leader:
            await leader.commands.remove_token(caller_of(call), request.digest.hex())
        return pb.RemoveTokenResponse()

    async def Revoke(  # noqa: N802
        self, request: pb.RevokeRequest, call: Call
    ) -> pb.RevokeResponse:
        """Let a principal, or a certificate, in no more; or again."""
        with self._leadership.asked() as leader:
            await leader.commands.revoke(caller_of(call), request.name, undo=request.undo)
        return pb.RevokeResponse()

    async def ListRevocations(  # noqa: N802
        self, request: pb.ListRevocationsRequest, call: Call
    ) -> pb.ListRevocationsResponse:
        """What is let in no more."""
        with self._leadership.asked() as leader:
            found = leader.queries.access.revocations(caller_of(call))
        return pb.ListRevocationsResponse(revocations=found)

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

    async def WhoAmI(  # noqa: N802
        self, request: pb.WhoAmIRequest, call: Call
    ) -> pb.WhoAmIResponse:
        """Who calls."""
        with self._leadership.asked() as leader:
            return leader.queries.permits.who_am_i(caller_of(call))

    async def Can(  # noqa: N802
        self, request: pb.CanRequest, call: Call
    ) -> pb.CanResponse:
        """Whether somebody may do something."""
        with self._leadership.asked() as leader:
            return leader.queries.permits.can(
                caller_of(call), request.who, request.verb, request.role
            )

    async def GetPolicy(  # noqa: N802
        self, request: pb.GetPolicyRequest, call: Call
    ) -> pb.GetPolicyResponse:
        """The policy in force."""
        with self._leadership.asked() as leader:
            return leader.queries.permits.policy(caller_of(call))

    async def SetPolicy(  # noqa: N802
        self, request: pb.SetPolicyRequest, call: Call
    ) -> pb.SetPolicyResponse:
        """Set another policy."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(
                caller_of(call), "Operator.SetPolicy"
            )  # before anything is read
        try:
            async with self._reading:  # one at a time, and beside the loop
                policy = await asyncio.to_thread(read_policy, request.document)
        except PolicyError as error:
            raise CallError(Code.INVALID_ARGUMENT, f"the policy: {error}") from None
        with self._leadership.asked() as leader:
            await leader.commands.set_policy(caller_of(call), policy, request.instead_of)
        return pb.SetPolicyResponse(version=request.instead_of + 1)

    async def ReadAudit(  # noqa: N802
        self, request: pb.ReadAuditRequest, call: Call
    ) -> pb.ReadAuditResponse:
        """Lines of the audit of a master, the oldest first."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.ReadAudit")
        return await reading_audit.lines(self._leadership, request)
