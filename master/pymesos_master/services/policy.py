"""The part of the Operator service that is about the policy: who may do what."""

from __future__ import annotations

import asyncio
from typing import Any

from pymesos_core.security.policy_file import PolicyError, read_policy
from pymesos_core.transport import CallError, Code, ServerCall
from pymesos_master.services.leading import Leadership, caller_of
from pymesos_proto.v1 import operator_pb2 as pb

Call = ServerCall[Any, Any]


class PolicyCalls:
    """Say who calls and what somebody may do; show the policy, and set another."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._reading = asyncio.Lock()

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
            # Before anything is read.
            leader.queries.permits.check(caller_of(call), "Operator.SetPolicy")
        try:
            async with self._reading:  # one at a time, and beside the loop
                policy = await asyncio.to_thread(read_policy, request.document)
        except PolicyError as error:
            raise CallError(Code.INVALID_ARGUMENT, f"the policy: {error}") from None
        with self._leadership.asked() as leader:
            await leader.commands.set_policy(caller_of(call), policy, request.instead_of)
        return pb.SetPolicyResponse(version=request.instead_of + 1)
