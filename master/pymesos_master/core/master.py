"""The master core: one event in, effects out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pymesos_core.clock import Now
from pymesos_core.ids import numbered
from pymesos_core.resources import Resources, for_good
from pymesos_core.store import Change, Records
from pymesos_core.timers import earlier
from pymesos_master.allocator import Allocator
from pymesos_master.core import (
    accepts,
    access_tokens,
    accounting,
    admission,
    agents,
    calls,
    disconnecting,
    drains,
    enrolment,
    events,
    executors,
    frameworks,
    hoarding,
    maintenance,
    names,
    offers,
    operators,
    policies,
    quarantine,
    recovery,
    reservations,
    revocable,
    revocations,
    roles,
    secrets,
    sessions,
    slices,
    takeover,
    tasks,
    telling,
    updating,
    webhooks,
)
from pymesos_master.core.alerts import looking as alerts
from pymesos_master.core.context import ALLOCATE, WORK, Context
from pymesos_master.core.effects import Complain, Effect, StepDown
from pymesos_master.core.lifecycles import AgentState, DrainState, FrameworkState, OfferState
from pymesos_master.core.state import Agent, ClusterState, Config


class MasterCore:
    """A leading master. Deterministic: same state, event and time give the same effects.

    `id_prefix` makes the ids of this leader differ from those of any other.
    """

    def __init__(
        self, config: Config, allocator: Allocator, registry: Records, id_prefix: str, now: Now
    ) -> None:
        """Take over from the registry."""
        self._ctx = Context(
            config,
            allocator,
            now,
            agent_ids=numbered(f"{id_prefix}-S"),
            framework_ids=(f"{id_prefix}-{n:04d}" for n in range(10**9)),
            offer_ids=numbered(f"{id_prefix}-O"),
        )
        self._ctx.on_written = _ON_WRITTEN
        recovery.recover(self._ctx, registry)
        self._handlers: dict[type, Callable[[Context, Any], None]] = {
            events.Tick: self._meet_deadlines,
            events.AgentRegistering: admission.on_registering,
            events.AgentDisconnected: agents.on_disconnected,
            events.AgentHeard: agents.on_heard,
            events.AgentToldEnded: takeover.on_told_ended,
            events.AgentLeaving: agents.on_leaving,
            events.AgentUsageReported: agents.on_usage,
            events.AgentSlackTold: revocable.on_told,
            events.ExecutorTold: executors.on_told,
            events.AgentWantsSecrets: secrets.on_wanted,
            events.TaskStatusUpdated: tasks.on_status_update,
            events.FrameworkSubscribing: frameworks.on_subscribing,
            events.FrameworkCalled: frameworks.on_call,
            events.FrameworkDisconnected: disconnecting.on_disconnected,
            events.Drained: telling.on_drained,
            events.OperatorKilledTask: operators.on_kill_task,
            events.OperatorToreDown: operators.on_teardown,
            events.OperatorMarkedGone: operators.on_mark_gone,
            events.OperatorCordonedAgents: drains.on_cordon,
            events.OperatorDrainedAgents: drains.on_drain,
            events.OperatorActivatedAgents: drains.on_activate,
            events.OperatorScheduledMaintenance: maintenance.on_schedule,
            events.OperatorCancelledMaintenance: maintenance.on_cancel,
            events.OperatorSetQuota: roles.on_set_quota,
            events.OperatorSetWeight: roles.on_set_weight,
            events.OperatorSetQuotas: roles.on_set_quotas,
            events.OperatorSetWeights: roles.on_set_weights,
            events.OperatorReserved: reservations.on_reserve,
            events.OperatorUnreserved: reservations.on_unreserve,
            events.OperatorConverted: reservations.on_convert,
            events.OperatorReleasedRecord: quarantine.on_release,
            events.OperatorSetPolicy: policies.on_set,
            events.OperatorMadeToken: enrolment.on_make,
            events.OperatorRemovedToken: enrolment.on_remove,
            events.OperatorMadeAccessToken: access_tokens.on_make,
            events.OperatorRevokedAccessToken: access_tokens.on_revoke,
            events.OperatorSignedIn: sessions.on_sign_in,
            events.TokenUsed: enrolment.on_use,
            events.OperatorRevoked: revocations.on_revoke,
            events.OperatorSetSecret: secrets.on_set,
            events.OperatorRemovedSecret: secrets.on_remove,
            events.SecretsResealed: secrets.on_resealed,
            events.OperatorSetWebhook: webhooks.on_set,
            events.OperatorRemovedWebhook: webhooks.on_remove,
            events.OperatorSilencedAlerts: alerts.on_silenced,
            events.NoticeTaken: alerts.on_taken,
            events.MasterReported: alerts.on_reported,
            events.CoordinationSuspended: self._suspend,
            events.CoordinationResumed: self._resume,
            events.Persisted: lambda ctx, event: ctx.persisted(event.token),
            events.PersistFailed: lambda ctx, event: ctx.out.append(StepDown(event.message)),
        }

    @property
    def state(self) -> ClusterState:
        """For reading only."""
        return self._ctx.state

    @property
    def allocator(self) -> Allocator:
        """For reading only."""
        return self._ctx.allocator

    @property
    def agents_awaited(self) -> int:
        """How many agents must come back before anything is offered."""
        return self._ctx.agents_awaited

    def watch(self, watched: bool) -> None:
        """Events are published from now on, or no longer."""
        self._ctx.watched = watched

    def step(self, now: Now, event: events.Event) -> list[Effect]:
        """Take one event in and say what is to be done. What is due is done at a Tick.

        Events come together: of a busy agent whose tasks end at once, an allocation between two of
        their updates would offer the half, and the halves would never find each other again.
        """
        ctx = self._ctx
        ctx.now, ctx.event, ctx.changed = now, event, True
        if ctx.state.quarantined and (problem := calls.problem(ctx.state, event)):
            return self.refuse(now, event, problem) or []
        self._handlers[type(event)](ctx, event)
        return self._effects()

    def _effects(self) -> list[Effect]:
        ctx = self._ctx
        if ALLOCATE not in ctx.timers and self._allocation_due():
            ctx.schedule_allocation()
        effects, ctx.out = ctx.out, []
        return effects

    @property
    def changed(self) -> bool:
        """Whether the step that failed may have changed something."""
        return self._ctx.changed

    def refuse(self, now: Now, event: events.Event, problem: str) -> list[Effect] | None:
        """Leave an event out and tell who asked for it; None when nobody did."""
        ctx = self._ctx
        ctx.now, ctx.out = now, []
        return self._effects() if calls.refuse(ctx, event, problem) else None

    def stories(self) -> Iterator[tuple[str, object]]:
        """The objects that the step that failed is about, by what they are called."""
        return calls.stories(self.state, self._ctx.event)

    def set_aside_cause(self, now: Now, reason: str) -> list[Change]:
        """What is to be written for the next leader to refuse the call that the step is about."""
        cause = calls.cause_of(self.state, self._ctx.event)
        return [] if cause is None else [calls.record(cause, reason, now.wall_s)]

    def _meet_deadlines(self, ctx: Context, event: events.Tick) -> None:
        if ctx.suspended:
            return
        for kind, key in ctx.timers.each_due(ctx.now.mono_s):
            ctx.event = event
            if (kind, key) == ALLOCATE:
                offers.allocate(ctx)
                continue
            if (kind, key) == WORK:
                slices.go_on(ctx)
                continue
            ctx.event = due = calls.Deadline.of(ctx.state, kind, key)
            if ctx.state.quarantined and (problem := calls.problem(ctx.state, due)):
                ctx.timers.set((kind, key), ctx.now.mono_s + calls.AGAIN_S)
                owner = due.agent_id or due.framework_id
                ctx.out.append(Complain(owner, "what is due is set aside", problem))
            else:
                _DEADLINES[kind](ctx, key)
        ctx.event = event  # what comes of all of them is of none in particular

    def _suspend(self, ctx: Context, event: events.CoordinationSuspended) -> None:
        """What is sent now waits, so nobody can answer: no offer is made and no deadline counts."""
        ctx.suspended = True

    def _resume(self, ctx: Context, event: events.CoordinationResumed) -> None:
        ctx.suspended = False

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        if self._ctx.suspended:
            return None
        timers = self._ctx.timers
        # Once an allocation is scheduled, what makes one due adds nothing.
        idle = ALLOCATE in timers or self._ctx.agents_awaited > 0
        filters_end_s = None if idle else self._ctx.allocator.next_s()
        return earlier(timers.next_s(), filters_end_s)

    def _allocation_due(self) -> bool:
        if self._ctx.agents_awaited > 0:
            return False
        allocator = self._ctx.allocator
        waiting_s = allocator.next_s()
        return allocator.changed or (waiting_s is not None and waiting_s <= self._ctx.now.mono_s)

    def check(self) -> None:
        """Assert the invariants that concern the whole state; for tests and the simulator."""
        timers = self._ctx.timers
        for agent in self.state.agents.values():
            check_agent(self.state, agent)
            # Something will become of it, though nobody should ever hear of it again.
            watched = any((kind, agent.agent_id) in timers for kind in ("ping", "reregister"))
            lost = agent.state in (AgentState.UNREACHABLE, AgentState.GONE)
            meant = self.state.intended_agent(agent.agent_id)
            meant_lost = meant is None or meant.state != AgentState.ACTIVE
            assert watched or lost or meant_lost, (
                f"nothing ends the waiting for {agent.agent_id}, which is {agent.state.value}"
            )
        for framework in self.state.frameworks.values():
            connected = framework.connection_id is not None
            assert connected or not framework.offers, f"offers of {framework.framework_id}"
            watched = ("failover", framework.framework_id) in timers
            watched |= framework.state == FrameworkState.QUARANTINED  # until an operator says
            subscribing = framework.subscribing in self.state.framework_by_connection
            removed = self.state.is_removed(framework.framework_id)
            assert connected or watched or removed or subscribing, (
                f"nothing ends the waiting for {framework.framework_id}"
            )
        names.check(self.state)
        accounting.check(self.state)
        alerts.check(self._ctx)
        for offer in self.state.offers.values():
            assert offer.state == OfferState.OFFERED, f"{offer.label} is {offer.state}"
            owner = self.state.frameworks.get(offer.framework_id)
            assert owner is not None and not self.state.is_removed(offer.framework_id), (
                f"an offer is out to {offer.framework_id}, which is removed"
            )


def check_agent(state: ClusterState, agent: Agent) -> None:
    """Never more offered plus allocated than there is, and every view agrees."""
    if agent.state == AgentState.ACTIVE:
        promised: Resources = agent.allocated() + agent.offered()
        for conversion in reservations.converting(state, agent):
            promised = promised + conversion.held
        assert for_good(agent.total).contains(for_good(promised)), (
            f"agent {agent.agent_id} has {agent.total}, promised {promised}"
        )
        # What is used of it may be more than there is now: that is ending.
        left = agent.total.minus_what_is_there(promised - agent.offered())
        offered = agent.offered().where(lambda tag: tag.revocable)
        assert left.contains(offered), f"of {agent.agent_id} {offered} is offered, {left} is there"
    else:
        assert not agent.offers, f"offers of {agent.agent_id}, which is {agent.state}"
    assert not (agent.withheld and agent.offers), (
        f"offers of {agent.agent_id}, which is {agent.state_name} and {agent.drain.state}"
    )
    meant = state.intended_agent(agent.agent_id)
    if agent.drain.state == DrainState.DRAINED and meant is not None:
        again = meant.drain.state != DrainState.DRAINED
        comes = agent.state != AgentState.ACTIVE  # it may be registering with what it has
        assert again or comes or not agent.tasks, (
            f"{agent.agent_id} is drained, and has {sorted(agent.tasks)}"
        )
    for framework_id, asked in agent.inverse_offers.items():
        assert state.inverse_offers.get(asked.inverse_offer_id) is asked, asked.label
        assert asked.framework_id == framework_id, asked.label
    for offer in agent.offers.values():
        assert state.offers[offer.offer_id] is offer
        assert state.frameworks[offer.framework_id].offers[offer.offer_id] is offer
    for key, task in agent.tasks.items():
        assert state.find_task(*key) is task, f"task {key} is known to its agent only"


_ON_WRITTEN: dict[type, Callable[[Context, Any], None]] = {
    admission.Admission: admission.on_admitted,
    agents.AgentLost: agents.on_lost,
    agents.AgentsForgotten: agents.on_forgotten,
    operators.AgentGone: operators.on_gone,
    drains.DrainSet: drains.on_set,
    maintenance.WindowSet: maintenance.on_set,
    frameworks.Subscription: frameworks.on_subscribed,
    frameworks.SubscriptionRefused: frameworks.on_refused,
    updating.Update: updating.on_written,
    frameworks.Abandoned: frameworks.on_abandoned,
    frameworks.Removal: frameworks.on_removed,
    tasks.UnknownTasks: tasks.on_unknown,
    roles.QuotasSet: roles.on_quotas_set,
    roles.WeightsSet: roles.on_weights_set,
    policies.PolicySet: policies.on_written,
    quarantine.Discarded: quarantine.on_discarded,
    enrolment.TokenWritten: enrolment.on_token_written,
    access_tokens.AccessTokenRevoked: access_tokens.on_revoked,
    sessions.SignedIn: sessions.on_signed_in,
    revocations.Revoked: revocations.on_revoked,
    secrets.SecretWritten: secrets.on_written,
    webhooks.WebhookWritten: webhooks.on_written,
    accounting.AccountsWritten: accounting.on_written,
    alerts.AlertsWritten: alerts.on_written,
    reservations.Conversion: accepts.on_converted,
}

_DEADLINES: dict[str, Callable[[Context, str], None]] = {
    "ping": agents.on_ping_due,
    "forget": agents.on_forget_due,
    "reregister": agents.on_reregister_due,
    "drain": drains.on_deadline,
    "drained": drains.on_empty_due,
    "maintenance": maintenance.on_due,
    "inverse": maintenance.on_again_due,
    "failover": frameworks.on_failover_due,
    "heartbeat": frameworks.on_heartbeat_due,
    "offer": offers.on_offer_due,
    "lack": hoarding.on_lack_due,
    "awaited": offers.on_awaited_due,
    "accounting": accounting.on_due,
    "alerts": alerts.on_due,
}
