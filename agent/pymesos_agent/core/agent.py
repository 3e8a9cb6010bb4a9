"""The agent core: one event in, effects out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from pymesos_agent.core import events, recovery, runtimes, sandboxes, session
from pymesos_agent.core.context import (
    CHECKPOINT,
    IDLE,
    KILL,
    RESEND,
    STRAYS,
    SUBSCRIBE,
    AgentState,
    Config,
    Context,
    Owner,
)
from pymesos_agent.core.effects import Effect, StartContainer
from pymesos_agent.core.executors import calls
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.lifecycles import TaskEffect
from pymesos_agent.core.tasks import endings, launches, life, updates
from pymesos_agent.core.tasks.checks import HEALTH, READINESS
from pymesos_agent.core.tasks.outcomes import LIFETIME
from pymesos_core.clock import Now
from pymesos_core.store import Records
from pymesos_core.timers import earlier


class AgentCore:
    """An agent. Deterministic: same state, event and time give the same effects."""

    def __init__(
        self,
        config: Config,
        records: Records,
        container_ids: Iterator[str],
        uuids: Iterator[bytes],
        incarnation_ids: Iterator[str],
        agent_ids: Iterator[str],
    ) -> None:
        """Take over from the checkpoint. Raises RecoveryError."""
        ctx = Context(config, container_ids, uuids, incarnation_ids, agent_ids)
        self._ctx = ctx
        ctx.task_effects = {
            TaskEffect.WATCH: lambda task: life.watch_life(ctx, task),
            TaskEffect.END_GROUP: lambda task: endings.end_group_of(ctx, task),
        }
        ctx.on_end_durable = partial(endings.clean_up, ctx)
        recovery.load(ctx, records)
        self._handlers: dict[type, Callable[[Context, Any], None]] = {
            events.Tick: session.on_tick,
            events.ContainersRecovered: recovery.on_recovered,
            events.RuntimeAway: runtimes.on_away,
            events.RuntimeBack: runtimes.on_back,
            events.RuntimeBroken: runtimes.on_broken,
            events.RuntimeMended: runtimes.on_mended,
            events.Connected: session.on_connected,
            events.Disconnected: session.on_disconnected,
            events.MasterSaid: session.on_master_said,
            events.ContainerPulling: life.on_pulling,
            events.ContainerStarted: life.on_started,
            events.ContainerFailed: life.on_failed,
            events.ContainerExited: recovery.on_exited,
            events.Checked: life.on_checked,
            events.DiskExceeded: life.on_disk_exceeded,
            events.ProcessesRefused: life.on_processes_refused,
            events.DiskMeasured: sandboxes.on_disk_measured,
            events.UsesMeasured: endings.on_uses_measured,
            events.ConfigChanged: endings.on_config_changed,
            events.ExecutorSaid: calls.on_said,
            events.ExecutorLeft: calls.on_left,
            events.Checkpointed: lambda ctx, event: ctx.checkpointed(event.token),
            events.CheckpointFailed: lambda ctx, event: ctx.checkpoint_failed(
                event.token, event.message
            ),
            events.TasksEnding: lambda ctx, event: endings.end_all(ctx, None),
        }
        self._deadlines: dict[str, Callable[[Context, str], None]] = {
            RESEND: updates.resend,
            KILL: endings.kill_for_good,
            CHECKPOINT: updates.checkpoint_again,
            STRAYS[0]: recovery.on_strays_due,
            HEALTH: lambda ctx, key: life.ask(ctx, HEALTH, key),
            READINESS: lambda ctx, key: life.ask(ctx, READINESS, key),
            LIFETIME: life.on_lifetime,
            SUBSCRIBE: lambda ctx, key: executors.on_due(ctx, SUBSCRIBE, key),
            IDLE: lambda ctx, key: executors.on_due(ctx, IDLE, key),
        }

    @property
    def config(self) -> Config:
        """The settings."""
        return self._ctx.config

    @property
    def state(self) -> AgentState:
        """What it knows."""
        return self._ctx.state

    @property
    def away(self) -> Mapping[str, str]:
        """The runtimes that do not answer now, and why."""
        return self._ctx.away

    def step(self, now: Now, event: events.Event) -> list[Effect]:
        """Take one event in, and every deadline that is due, and say what is to be done."""
        ctx = self._ctx
        ctx.now = now
        self._handlers[type(event)](ctx, event)
        for kind, key in ctx.timers.each_due(now.mono_s):
            self._deadlines[kind](ctx, key)
        effects, ctx.out = ctx.out, []
        return effects

    def stories(self, event: object) -> Iterator[tuple[str, object]]:
        """The owner of the container that an event is about, by what that is called."""
        container_id = getattr(event, "container_id", "")
        if container_id in self.state.owners:
            yield f"container {container_id}", self.state.owners[container_id]

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        return earlier(self._ctx.timers.next_s(), self._ctx.silent_at_s)

    def start_of(self, owner: Owner) -> StartContainer:
        """The container of a task or an executor, as it is described to its runtime."""
        return launches.start_of(self._ctx, owner)

    @property
    def usage_interval_s(self) -> float:
        """How far apart reports of usage are to be."""
        return self._ctx.usage_interval_s

    @property
    def connection_id(self) -> int | None:
        """The stream in use."""
        return self._ctx.connection.connection_id if self._ctx.connection else None

    @property
    def registered_on(self) -> int | None:
        """The stream on which a master has taken this agent in."""
        return self.connection_id if self._ctx.registered else None
