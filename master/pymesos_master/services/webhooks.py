"""The part of the Operator service that is about webhooks."""

from __future__ import annotations

from typing import Any

from pymesos_core import contract
from pymesos_core.outgoing.targets import url_problem
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]


class WebhookCalls:
    """Set, list, remove and test webhooks."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership

    async def SetWebhook(  # noqa: N802
        self, request: pb.SetWebhookRequest, call: Call
    ) -> pb.SetWebhookResponse:
        """Have events sent to a URL."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.SetWebhook")
            problem = contract.problem(request) or url_problem(
                request.url, link_local=request.link_local
            )
            if problem:
                raise CallError(Code.INVALID_ARGUMENT, problem)
            await leader.commands.set_webhook(caller_of(call), request)
        return pb.SetWebhookResponse()

    async def ListWebhooks(  # noqa: N802
        self, request: pb.ListWebhooksRequest, call: Call
    ) -> pb.ListWebhooksResponse:
        """Webhooks by name."""
        with self._leadership.asked() as leader:
            found = leader.queries.webhooks(caller_of(call), self._leadership.webhook_problems())
        return pb.ListWebhooksResponse(webhooks=found)

    async def RemoveWebhook(  # noqa: N802
        self, request: pb.RemoveWebhookRequest, call: Call
    ) -> pb.RemoveWebhookResponse:
        """Send nothing there any more."""
        with self._leadership.asked() as leader:
            await leader.commands.remove_webhook(caller_of(call), request.name)
        return pb.RemoveWebhookResponse()

    async def TestWebhook(  # noqa: N802
        self, request: pb.TestWebhookRequest, call: Call
    ) -> pb.TestWebhookResponse:
        """Send one request that says that it is a test."""
        with self._leadership.asked() as leader:
            leader.queries.permits.check(caller_of(call), "Operator.TestWebhook")
            leader.queries.webhook(request.name)
        return pb.TestWebhookResponse(problem=await self._leadership.test_webhook(request.name))
