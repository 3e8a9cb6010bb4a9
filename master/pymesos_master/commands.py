"""What operators decide, whichever front door they come by.

A command becomes an event of the core, with its caller, and returns when the core says it is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from pymesos_core.caller import Caller
from pymesos_core.errors import Problem, RequestError
from pymesos_core.security.policy import Policy
from pymesos_core.security.secrets import Sealed
from pymesos_master.core.events import (
    Event,
    OperatorActivatedAgents,
    OperatorCancelledMaintenance,
    OperatorConverted,
    OperatorCordonedAgents,
    OperatorDrainedAgents,
    OperatorKilledTask,
    OperatorMadeAccessToken,
    OperatorMadeToken,
    OperatorMarkedGone,
    OperatorReleasedRecord,
    OperatorRemovedSecret,
    OperatorRemovedToken,
    OperatorRemovedWebhook,
    OperatorReserved,
    OperatorRevoked,
    OperatorRevokedAccessToken,
    OperatorScheduledMaintenance,
    OperatorSetPolicy,
    OperatorSetQuota,
    OperatorSetQuotas,
    OperatorSetSecret,
    OperatorSetWebhook,
    OperatorSetWeight,
    OperatorSetWeights,
    OperatorSignedIn,
    OperatorSilencedAlerts,
    OperatorToreDown,
    OperatorUnreserved,
    TokenUsed,
)
from pymesos_proto.v1 import operator_pb2, scheduler_pb2, types_pb2

Ask = Callable[[Callable[[int], Event]], Awaitable[Problem | None]]


class Commands:
    """The decisions that one leader takes in. Each raises RequestError when it is refused."""

    def __init__(self, ask: Ask) -> None:
        """`ask` feeds the event of a request id to the core, and waits for the answer."""
        self._ask = ask

    async def kill_task(self, caller: Caller, framework_id: str, task_id: str) -> None:
        """Kill one task. An empty framework id: the task id must be unique."""
        await self._decide(lambda i: OperatorKilledTask(i, framework_id, task_id, caller))

    async def tear_down(self, caller: Caller, framework_id: str) -> None:
        """Remove a framework and end its tasks."""
        await self._decide(lambda i: OperatorToreDown(i, framework_id, caller))

    async def mark_gone(self, caller: Caller, agent_id: str) -> None:
        """Give an agent up for good, with its tasks."""
        await self._decide(lambda i: OperatorMarkedGone(i, agent_id, caller))

    async def cordon(self, caller: Caller, agent_ids: Iterable[str]) -> None:
        """Have agents offered to nobody."""
        named = tuple(agent_ids)
        await self._decide(lambda i: OperatorCordonedAgents(i, named, caller))

    async def drain(
        self,
        caller: Caller,
        agent_ids: Iterable[str],
        within_s: float,
        *,
        then_gone: bool = False,
        down: bool = False,
    ) -> None:
        """Have agents emptied, and then perhaps marked gone; `down`: have them end at once."""
        named = tuple(agent_ids)
        await self._decide(
            lambda i: OperatorDrainedAgents(i, named, within_s, then_gone, caller, down)
        )

    async def activate(self, caller: Caller, agent_ids: Iterable[str]) -> None:
        """Have agents offered again."""
        named = tuple(agent_ids)
        await self._decide(lambda i: OperatorActivatedAgents(i, named, caller))

    async def schedule_maintenance(
        self,
        caller: Caller,
        agent_ids: Iterable[str],
        start_s: float,
        duration_s: float,
        instead_of: types_pb2.Unavailability | None = None,
        *,
        also_past: bool = False,
    ) -> None:
        """Plan when agents may be away; see `OperatorScheduledMaintenance.instead_of`."""
        named = tuple(agent_ids)
        await self._decide(
            lambda i: OperatorScheduledMaintenance(
                i, named, start_s, duration_s, caller, instead_of, also_past
            )
        )

    async def cancel_maintenance(self, caller: Caller, agent_ids: Iterable[str]) -> None:
        """Plan so no more."""
        named = tuple(agent_ids)
        await self._decide(lambda i: OperatorCancelledMaintenance(i, named, caller))

    async def set_quota(
        self,
        caller: Caller,
        role: str,
        quota: types_pb2.Quota,
        *,
        force: bool = False,
        instead_of: types_pb2.Quota | None = None,
    ) -> None:
        """Give a role a quota, or take it away; `force`: also beyond what the cluster has."""
        await self._decide(lambda i: OperatorSetQuota(i, role, quota, force, caller, instead_of))

    async def set_weight(
        self, caller: Caller, role: str, weight: float, instead_of: float | None = None
    ) -> None:
        """Give a role a weight; see `OperatorSetWeight.instead_of`."""
        await self._decide(lambda i: OperatorSetWeight(i, role, weight, caller, instead_of))

    async def set_quotas(
        self, caller: Caller, quotas: Iterable[tuple[str, types_pb2.Quota]], *, force: bool
    ) -> None:
        """Give roles a quota, all of them or none; `force` as of `set_quota`."""
        named = tuple(quotas)
        await self._decide(lambda i: OperatorSetQuotas(i, named, force, caller))

    async def set_weights(self, caller: Caller, weights: Iterable[tuple[str, float]]) -> None:
        """Give roles a weight, all of them or none."""
        named = tuple(weights)
        await self._decide(lambda i: OperatorSetWeights(i, named, caller))

    async def reserve(
        self, caller: Caller, agent_id: str, role: str, resources: Iterable[types_pb2.Resource]
    ) -> None:
        """Reserve resources of an agent for a role."""
        named = tuple(resources)
        await self._decide(lambda i: OperatorReserved(i, agent_id, role, named, caller))

    async def unreserve(
        self, caller: Caller, agent_id: str, role: str, resources: Iterable[types_pb2.Resource]
    ) -> None:
        """End reservations of a role on an agent; none named: all."""
        named = tuple(resources)
        await self._decide(lambda i: OperatorUnreserved(i, agent_id, role, named, caller))

    async def convert(
        self, caller: Caller, agent_id: str, operation: scheduler_pb2.Operation
    ) -> None:
        """Have done to an agent what is an operation of a framework, such as RESERVE or CREATE."""
        await self._decide(lambda i: OperatorConverted(i, agent_id, operation, caller))

    async def release_record(
        self, caller: Caller, kind: str, key: str, *, discard: bool = False
    ) -> None:
        """Try a record of the registry that was set aside again, or delete it."""
        await self._decide(lambda i: OperatorReleasedRecord(i, kind, key, discard, caller))

    async def set_policy(self, caller: Caller, policy: Policy, instead_of: int) -> None:
        """Set a policy in the place of the one of that version."""
        await self._decide(lambda i: OperatorSetPolicy(i, policy, instead_of, caller))

    async def make_token(
        self, caller: Caller, digest: str, principal: str, lifetime_s: float
    ) -> None:
        """Let a principal join with a token, of whose secret this is the digest."""
        await self._decide(lambda i: OperatorMadeToken(i, digest, principal, lifetime_s, caller))

    async def remove_token(self, caller: Caller, digest: str) -> None:
        """Take a token back."""
        await self._decide(lambda i: OperatorRemovedToken(i, digest, caller))

    async def use_token(self, caller: Caller, digest: str, key: bytes, wanted: str = "") -> None:
        """Have a token used, for the key of that digest, if it is of a principal that is wanted."""
        await self._decide(lambda i: TokenUsed(i, digest, key, caller, wanted))

    async def make_access_token(
        self, caller: Caller, digest: str, name: str, lifetime_s: float, rights: Iterable[str]
    ) -> None:
        """Make an access token of the caller, of whose secret this is the digest."""
        named = tuple(rights)
        await self._decide(
            lambda i: OperatorMadeAccessToken(i, digest, name, lifetime_s, named, caller)
        )

    async def revoke_access_token(self, caller: Caller, token_id: str) -> None:
        """Let an access token in no more."""
        await self._decide(lambda i: OperatorRevokedAccessToken(i, token_id, caller))

    async def sign_in(self, caller: Caller, digest: str) -> None:
        """Begin a session, whose secret has this digest, in the place of the caller's code."""
        await self._decide(lambda i: OperatorSignedIn(i, digest, caller))

    async def revoke(self, caller: Caller, name: str, *, undo: bool = False) -> None:
        """Let a principal, or a certificate, in no more; or again."""
        await self._decide(lambda i: OperatorRevoked(i, name, undo, caller))

    async def set_secret(
        self, caller: Caller, role: str, name: str, sealed: Sealed, instead_of: int | None = None
    ) -> None:
        """Set a secret of a role, whose value is sealed; see `OperatorSetSecret.instead_of`."""
        await self._decide(lambda i: OperatorSetSecret(i, role, name, sealed, caller, instead_of))

    async def remove_secret(
        self, caller: Caller, role: str, name: str, *, force: bool = False
    ) -> None:
        """Remove a secret; `force`: also while live tasks use it."""
        await self._decide(lambda i: OperatorRemovedSecret(i, role, name, force, caller))

    async def set_webhook(self, caller: Caller, asked: operator_pb2.SetWebhookRequest) -> None:
        """Have events sent to a URL, which was checked."""
        kinds, secret = tuple(asked.kinds), (asked.secret_role, asked.secret_name)
        await self._decide(
            lambda i: OperatorSetWebhook(
                i, asked.name, asked.url, kinds, secret, asked.link_local, caller
            )
        )

    async def remove_webhook(self, caller: Caller, name: str) -> None:
        """Have nothing sent to a webhook any more."""
        await self._decide(lambda i: OperatorRemovedWebhook(i, name, caller))

    async def silence_alerts(
        self, caller: Caller, asked: operator_pb2.SilenceClusterAlertsRequest
    ) -> None:
        """Have nobody told of alerts of the cluster for a while, or again."""
        await self._decide(
            lambda i: OperatorSilencedAlerts(
                i, asked.when, asked.subject, asked.for_s, asked.why, caller
            )
        )

    async def _decide(self, make_event: Callable[[int], Event]) -> None:
        problem = await self._ask(make_event)
        if problem is not None:
            raise RequestError(problem)
