"""What the parts of the core share: the state, and the ways to say something."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from pymesos_binpack.alerts.silences import Silences
from pymesos_binpack.alerts.state import Alerts
from pymesos_binpack.core.effects import Effect, Kill, Store
from pymesos_binpack.core.spreading import Spread
from pymesos_binpack.core.then import InstanceDurable, JobDurable, Then
from pymesos_binpack.jobs.daemons import Agents
from pymesos_binpack.jobs.dependencies import is_held
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.launching import line_name, line_of, volume_id
from pymesos_binpack.jobs.roster import Roster
from pymesos_binpack.jobs.secrets import Seen
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import Variables
from pymesos_binpack.jobs.volumes import Volumes
from pymesos_binpack.placement.by_role import PlacementByRole
from pymesos_binpack.placement.placing import Placement
from pymesos_binpack.placement.tasks import Cause
from pymesos_binpack.restoring import Quarantined
from pymesos_core.clock import Now
from pymesos_core.security.policy import Policy
from pymesos_core.store import Change
from pymesos_core.timers import Timers
from pymesos_proto.v1.names_pb2 import ServedTask
from pymesos_sdk.ledger import Ledger, PendingWrites

Timer = tuple[str, str]  # what for, and the key of the instance, or the role, that it is about
KEPT = "kept"  # room, for an instance


@dataclass
class Context:
    """The state of the framework."""

    placements: PlacementByRole[Instance]
    roles: tuple[str, ...]  # that it is in now: see `subscription`
    always: tuple[str, ...]  # those that it is in whatever jobs it has
    refused_roles: dict[str, str] = field(default_factory=dict)  # and why
    apart: list[str] = field(default_factory=list)  # refused together: each is tried by itself
    roster: Roster = field(default_factory=Roster)
    volumes: Volumes = field(default_factory=Volumes)
    alerts: Alerts = field(default_factory=Alerts)
    silences: Silences = field(default_factory=Silences)
    secrets: dict[str, Seen] = field(default_factory=dict)  # by the keys of their records
    secret_names: dict[str, set[str]] = field(default_factory=dict)  # of roles told of as a whole
    variables: Variables = field(default_factory=Variables)
    spreading_secrets: dict[str, Spread] = field(default_factory=dict)  # by the same keys
    spreading_variables: dict[str, Spread] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    writes: PendingWrites[Then] = field(default_factory=PendingWrites)
    timers: Timers[Timer] = field(default_factory=Timers)
    quarantined: dict[str, Quarantined] = field(default_factory=dict)
    releasing: set[str] = field(default_factory=set)  # of those, until it is stored
    framework_id: str = ""
    policy: Policy | None = None  # of the cluster; None: no master has told it yet
    subscribed: bool = False
    hears: bool = False  # it is subscribed, and what it knows is what masters say, see `hearing`
    heard_s: float = 0.0  # until when it did; at first the latest time that is stored
    draining: dict[str, float] = field(default_factory=dict)  # agents, and their deadlines (Unix)
    untold_drains: set[str] = field(default_factory=set)  # of those, since it has subscribed
    told_serving: dict[str, ServedTask] = field(default_factory=dict)  # see `serving`; by key
    may_serve: dict[str, Instance] = field(default_factory=dict)  # to be looked at after the step
    delayed: dict[str, Instance] = field(default_factory=dict)  # by key; they wait again later
    wanted_volumes: dict[str, Instance] = field(default_factory=dict)  # by the ids they would have
    probes: dict[str, Instance] = field(default_factory=dict)  # see `data`
    now: Now = field(default_factory=lambda: Now(0.0, 0.0))
    ahead_s: float | None = None  # see `steady_s`; None: nothing has happened yet
    out: list[Effect] = field(default_factory=list)
    changed: dict[str, None] = field(default_factory=dict)  # jobs of which something is to be told
    at: str = ""  # the job that is being handled, to be blamed when that fails

    @property
    def steady_s(self) -> float:
        """Unix time for what is measured over restarts of the framework.

        It goes on like the monotonic clock, whatever the clock on the wall is set to, and begins
        no earlier than the latest time that is stored.
        """
        if self.ahead_s is None:
            self.ahead_s = max(self.now.wall_s, self.heard_s) - self.now.mono_s
        return self.now.mono_s + self.ahead_s

    @property
    def agents(self) -> Agents:
        """What is known of agents, for daemons and what leaves those that are drained.

        What runs of jobs in quarantine may be of any kind, and is served like the rest.
        """
        there = self.roster.serving.keys()
        serving: Set[str] = there
        if self.quarantined:  # as a rule there are none, and each job asks this again and again
            aside = frozenset[str]().union(*(each.agents for each in self.quarantined.values()))
            serving = {each for each in self.draining if each in there or each in aside}
        return Agents(self.placements.agents, self.draining.keys(), serving)

    def placement_of(self, instance: Instance) -> Placement[Instance]:
        """Where an instance waits, and is offered what it may be launched on."""
        return self.placements.of(self.roster.job_of(instance).job.role)

    def say(self, effect: Effect) -> None:
        """Have it done, after what was said before."""
        self.out.append(effect)

    def store(
        self, why: str, *what: Instance | JobState | Change, then: Iterable[Then] = ()
    ) -> None:
        """Write what instances and jobs are meant to be, and changes; then say what follows."""
        changes: list[Change] = []
        durable: list[Then] = []
        for each in what:
            if isinstance(each, Change):
                changes.append(each)
                continue
            changes.append(each.change())
            if isinstance(each, Instance):
                durable.append(InstanceDurable(each, each.saved))
            else:
                durable.append(JobDurable(each, each.stopping, each.hurried))
        write = self.writes.ask(why, changes, (*durable, *then), self.at)
        self.say(Store(write.token, write.changes))

    def kill(self, instance: Instance) -> None:
        """Kill the task of an instance, once."""
        if not instance.killing:
            instance.killing = True
            saved, spec = instance.saved, instance.spec
            self.say(Kill(saved.task_id, saved.agent_id, spec.kill_grace_s, spec.kill_signal))

    def note(self, instance: Instance) -> None:
        """Keep in mind whether it waits; after every change of that.

        Whatever begins to wait asks for offers, those too that were refused or suppressed; unless
        others wait for the same, for whom all that is offered has been looked through.
        """
        self.leave_the_queue(instance)
        if not instance.pending:
            instance.home_lost_s = None
            self._end_kept(instance)
            return
        if not instance.saved.data_on:
            ids = (volume_id(instance, volume) for volume in instance.spec.volumes)
            self.wanted_volumes.update(dict.fromkeys(ids, instance))
        if instance.not_before_s > self.now.mono_s:
            self.delayed[instance.key] = instance
            return
        state = self.roster.job_of(instance)
        job, awaited = state.job, state.awaited.get(instance.spec.name)
        if awaited is not None and is_held(instance):
            self.delayed[instance.key] = instance
            cause = Cause.DEPENDENCY_FAILED if awaited.failed else Cause.DEPENDENCY
            instance.explain(awaited.failed or awaited.waits, cause)
            return
        if instance.spec.volumes and (problem := self.volumes.apart(job, instance)):
            self.delayed[instance.key] = instance  # until one of them is removed
            instance.explain(problem, Cause.VOLUMES_APART)
            return
        placement = self.placements.of(job.role)
        if placement.queue.join(instance, line_name(instance), lambda: line_of(instance, job)):
            placement.demand()

    def leave_the_queue(self, instance: Instance) -> None:
        """Take an instance out of the queue, if it is in it."""
        if instance.line is not None:
            self.placements.of(instance.line.role).queue.leave(instance)
        self.delayed.pop(instance.key, None)
        for volume in instance.spec.volumes:
            self.wanted_volumes.pop(volume_id(instance, volume), None)

    def _end_kept(self, instance: Instance) -> None:
        """Room is made for it no longer, so what was kept for it may do for others."""
        instance.preempt_again_s = 0.0
        self.timers.cancel((KEPT, instance.key))
        if instance.kept_agents:
            instance.kept_agents = frozenset()
            self.placement_of(instance).demand()

    def note_move(self, job: JobState) -> None:
        """One of its instances began or ended: where others of it may run is another question."""
        if job.fields:
            placement = self.placements.of(job.job.role)
            placement.moved.add(job.job_id)
            placement.due = True
