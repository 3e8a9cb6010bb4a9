"""The core of the bin-packing framework: `step(now, event) -> effects`, without any I/O.

Stored before said: a job before it is acknowledged, a launch before it is sent, an update before it
is acknowledged. So a restart takes its tasks over, and a launch that was stored and not sent is
found out by reconciliation: the master does not know the task, and it is planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from pymesos_binpack.alerts.silences import Silences
from pymesos_binpack.alerts.state import Alerts
from pymesos_binpack.core import (
    alerting,
    checking,
    daemons,
    data,
    drains,
    following,
    hearing,
    launches,
    losing,
    quarantine,
    scaling,
    secrets,
    serving,
    silencing,
    submissions,
    subscription,
    timing,
    triggers,
    updates,
    variables,
    versions,
)
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.effects import Decline, Effect, JobChanged
from pymesos_binpack.core.events import (
    AgentDraining,
    AgentLost,
    AlertsSilenced,
    ChangesAwaited,
    Disconnected,
    Event,
    InverseOffersReceived,
    JobMade,
    JobStopped,
    JobSubmitted,
    NoticeTaken,
    OfferRescinded,
    OffersReceived,
    PolicyTold,
    QuarantineReleased,
    RolesAnswered,
    RolloutAsked,
    RunTriggered,
    SecretsTold,
    Stored,
    Subscribed,
    TaskUpdated,
    Tick,
    UsesTold,
    VariableSet,
    VersionProposed,
    VolumeRemoved,
    VolumesGivenUp,
)
from pymesos_binpack.core.then import (
    FrameworkStored,
)
from pymesos_binpack.jobs.daemons import Agents
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.variables import Variables
from pymesos_binpack.jobs.volumes import KeptVolume, Volumes
from pymesos_binpack.loading import Load, load_job
from pymesos_binpack.placement.by_role import PlacementByRole
from pymesos_binpack.placement.packing import Policy
from pymesos_binpack.placement.preemption import Running
from pymesos_binpack.restoring import Quarantined, restore, set_aside, why
from pymesos_core.clock import Now
from pymesos_core.security import policy as security
from pymesos_core.store import Change, Records
from pymesos_sdk.ledger import FRAMEWORK, Ledger


class JobFault(Exception):  # noqa: N818 - of the job, as far as the others are concerned
    """A job that this code cannot handle. The core was left half-way and takes no more steps.

    A new one, from what is stored, goes on without the job once that is written: `change` says so.
    """

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} cannot be handled: {reason}")
        self.job_id = job_id
        self.change = set_aside(job_id, reason)


class BinpackCore:
    """Deterministic: same state, event and time give the same effects.

    It has more than 300 lines and is better whole: all it does is to bring events to the modules
    beside it.
    """

    def __init__(
        self, policy: Policy, records: Records, roles: Iterable[str] = ("*",), load: Load = load_job
    ) -> None:
        """Take over from the state directory. Raises ValueError when it cannot be read.

        `roles` are those that it is in whatever jobs it has; `load` makes these of their records.
        """
        always = tuple(roles)
        self._ctx = Context(PlacementByRole(policy, always), always, always)
        self._to_store: list[Change] = []  # what loading changed
        self._begun = False
        self._load(records, load)

    def _load(self, records: Records, load: Load) -> None:
        ctx, restored = self._ctx, restore(records, load)
        ctx.framework_id = restored.framework_id
        for value in restored.volumes:
            ctx.volumes.load(value)
        restored.jobs.sort(key=lambda job: job.submitted_at_s)
        for take_over in (self._take_name, lambda job: submissions.begin(ctx, job)):
            for job in restored.jobs:
                if job.job_id in restored.quarantined:
                    continue
                try:
                    take_over(job)
                except Exception as error:  # whatever it is, it is of this job alone
                    submissions.undo(ctx, job)
                    rows = tuple(restored.rows[job.job_id])
                    restored.quarantined[job.job_id] = Quarantined(job.job_id, why(error), rows)
        ctx.quarantined = restored.quarantined
        for job_id, aside in ctx.quarantined.items():
            if aside.request_id:
                ctx.roster.requests[aside.request_id] = job_id
        for alert in restored.alerts:
            ctx.alerts.keep(alert)
        ctx.silences.by_key.update((silence.key, silence) for silence in restored.silences)
        ctx.variables.by_key.update((each.key, each) for each in restored.variables)
        ctx.secrets.update((seen.key, seen) for seen in restored.secrets)
        times = [job.latest_s for job in ctx.roster.jobs.values()]
        ctx.heard_s = max((*times, *(alert.since_s for alert in ctx.alerts)), default=0.0)
        mine = [(i.saved.task_id, i.saved.agent_id) for i in ctx.roster.by_task.values()]
        ctx.ledger.expect([*mine, *restored.given_up.items()])
        for task_id, agent_id in restored.given_up.items():
            ctx.ledger.give_up(task_id, agent_id)
        ctx.roles = subscription.roles_now(ctx)

    def _take_name(self, job: JobState) -> None:
        self._to_store += submissions.take_name(self._ctx, job)

    # What may be asked of it.

    @property
    def framework_id(self) -> str:
        """What masters call it; empty before the first subscription."""
        return self._ctx.framework_id

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles that it is in."""
        return self._ctx.roles

    @property
    def roles_always(self) -> tuple[str, ...]:
        """The roles that it is in whatever jobs it has."""
        return self._ctx.always

    @property
    def connected(self) -> bool:
        """Whether a master has taken the framework in."""
        return self._ctx.subscribed

    @property
    def ledger(self) -> Ledger:
        """The tasks that are not known to have ended, for the driver, too."""
        return self._ctx.ledger

    @property
    def jobs(self) -> Mapping[str, JobState]:
        """Every job that can be handled, by id."""
        return self._ctx.roster.jobs

    @property
    def quarantined(self) -> Mapping[str, Quarantined]:
        """Every job that cannot, by id."""
        return self._ctx.quarantined

    @property
    def volumes(self) -> Volumes:
        """The volumes that were made."""
        return self._ctx.volumes

    @property
    def alerts(self) -> Alerts:
        """The alerts of jobs that are not quiet."""
        return self._ctx.alerts

    @property
    def agents(self) -> Agents:
        """What is known of agents."""
        return self._ctx.agents

    @property
    def silences(self) -> Silences:
        """The silences that are in force."""
        return self._ctx.silences

    @property
    def variables(self) -> Variables:
        """The variables of roles."""
        return self._ctx.variables

    def secret_names(self, role: str) -> Set[str] | None:
        """The names of all secrets of a role, if the master has told of it."""
        return self._ctx.secret_names.get(role)

    def users_of(self, role: str, name: str) -> Iterator[JobState]:
        """Each job of a role that has not ended and refers to a variable."""
        return variables.users_of(self._ctx, role, name)

    @property
    def policy(self) -> security.Policy | None:
        """By which callers are answered; None: no master has told it yet."""
        return self._ctx.policy

    @property
    def packing_policy(self) -> Policy:
        """By which agents are chosen for tasks."""
        return self._ctx.placements.policy

    def named(self, role: str, name: str) -> list[JobState]:
        """The jobs of a role and a name, in the order submitted."""
        jobs = self._ctx.roster.named(role, name).values()
        return [job for job in jobs if job.job_id in self._ctx.roster.jobs]

    def instances(self) -> Iterator[Instance]:
        """Every instance of every job."""
        return self._ctx.roster.instances()

    def instance_of(self, task_id: str) -> Instance | None:
        """The instance that runs as a task."""
        return self._ctx.roster.by_task.get(task_id)

    def job_with(self, volume: KeptVolume) -> str:
        """The id of a job that has not ended and has, or waits for, a volume; or empty."""
        return data.job_with(self._ctx, volume)

    def job_that_needs(self, volume: KeptVolume) -> str:
        """The id of a job that has a volume, and does not wait for it in vain; or empty."""
        return data.job_that_needs(self._ctx, volume)

    def without_data(self, job: JobState, tasks: Iterable[str]) -> list[Instance]:
        """The instances of tasks, or of all, whose data are where they cannot be used."""
        return losing.away(self._ctx, job, tasks)

    def why_refused(self, event: JobSubmitted | VersionProposed) -> str:
        """Why a job, or another version of one, would be refused now; or nothing."""
        if isinstance(event, JobSubmitted):
            return submissions.why_refused(self._ctx, event) or ""
        job = self.jobs.get(event.job_id)
        return versions.why_refused(self._ctx, event, job) if job is not None else ""

    def preemptible(self, role: str) -> Running:
        """The tasks of a role that may be killed for others, as they are now."""
        return launches.preemptible(self._ctx, role)

    def next_deadline_s(self) -> float | None:
        """When, in monotonic seconds, a Tick is due at the latest."""
        return self._ctx.timers.next_s()

    def check(self) -> None:
        """Assert what is kept twice for speed; for tests and the simulator."""
        checking.check(self._ctx, begun=self._begun)

    # Steps.

    def step(self, now: Now, event: Event) -> list[Effect]:
        """Take one event in, and every deadline that is due, and say what is to be done.

        Raises JobFault when a job is the cause of a failure.
        """
        ctx = self._ctx
        ctx.now, ctx.at = now, ""
        try:
            self._advance(event)
        except Exception as error:
            if not ctx.at:
                raise
            raise JobFault(ctx.at, why(error)) from error
        ctx.out.extend(JobChanged(job_id) for job_id in ctx.changed)
        ctx.changed.clear()
        effects, ctx.out = ctx.out, []
        return effects

    def _advance(self, event: Event) -> None:
        ctx = self._ctx
        if not self._begun:
            self._begun = True
            alerting.begin(ctx)
            silencing.begin(ctx)
            variables.begin(ctx)
            secrets.begin(ctx)
        self._handle(event)
        daemons.follow(ctx)
        for kind, key in ctx.timers.each_due(ctx.now.mono_s):
            ctx.at = timing.job_of(kind, key)
            timing.on_due(ctx, kind, key)
        ctx.at = ""
        subscription.follow(ctx)
        for placement in list(ctx.placements):
            if placement.due:
                launches.make_plan(ctx, placement)
        alerting.follow(ctx)
        serving.tell_changes(ctx)

    def _handle(self, event: Event) -> None:
        ctx = self._ctx
        match event:
            case Tick():
                pass
            case Subscribed(framework_id):
                self._on_subscribed(framework_id)
            case Disconnected():
                hearing.on_disconnected(ctx)
                ctx.placements.disconnect()
                ctx.changed.update(ctx.placements.waiting_jobs())
            case OffersReceived(offers):
                drains.on_offered(ctx, [offer.agent_id for offer in offers])
                if strange := ctx.placements.take(offers, ctx.now.mono_s):
                    ctx.say(Decline(strange, 0.0))
                for offer in offers:
                    data.find_volumes(ctx, offer)
            case OfferRescinded(offer_id):
                ctx.placements.drop(offer_id)
            case AgentLost(agent_id):
                ctx.placements.lose(agent_id)
                ctx.placements.agents_changed()
                data.on_agent_lost(ctx, agent_id)
            case AgentDraining():
                drains.on_told(ctx, event)
            case UsesTold():
                scaling.on_told(ctx, event)
            case InverseOffersReceived(inverse_offers):
                drains.on_inverse_offers(ctx, inverse_offers)
            case TaskUpdated(status):
                updates.on_update(ctx, status)
            case JobSubmitted():
                submissions.on_submitted(ctx, event)
            case VersionProposed():
                versions.on_proposed(ctx, event)
            case ChangesAwaited():
                versions.on_awaited(ctx, event)
            case RunTriggered():
                triggers.on_triggered(ctx, event)
            case RolloutAsked():
                versions.on_asked(ctx, event)
            case JobStopped(job_id, asked, now):
                submissions.on_stopped(ctx, job_id, asked, now=now)
            case QuarantineReleased(job_id, discard):
                quarantine.on_released(ctx, job_id, discard=discard)
            case VolumeRemoved(role, volume_id, asked):
                data.on_volume_removed(ctx, role, volume_id, asked)
            case VolumesGivenUp():
                losing.on_given_up(ctx, event)
            case RolesAnswered():
                subscription.on_answered(ctx, event)
            case PolicyTold(policy):
                subscription.on_policy(ctx, policy)
            case AlertsSilenced():
                silencing.on_asked(ctx, event)
            case VariableSet():
                variables.on_set(ctx, event)
            case SecretsTold():
                secrets.on_told(ctx, event)
            case JobMade():
                variables.on_made(ctx, event)
            case NoticeTaken():
                alerting.on_taken(ctx, event)
            case Stored(token):
                following.on_stored(ctx, token)

    def _on_subscribed(self, framework_id: str) -> None:
        """The driver asks for the tasks of the ledger; what it does not know is asked for here."""
        ctx = self._ctx
        ctx.subscribed = True
        ctx.placements.connect()
        subscription.try_again(ctx)
        drains.on_subscribed(ctx)
        changes, self._to_store = self._to_store, []
        if framework_id != ctx.framework_id:
            ctx.framework_id = framework_id
            changes.append(Change(FRAMEWORK, "", framework_id.encode()))
        if changes:
            ctx.store("a master has taken the framework in", *changes, then=[FrameworkStored()])
        else:
            data.probe(ctx, None)
        for job in ctx.roster.jobs.values():
            if job.durably_stopping:
                submissions.end_all(ctx, job)
            else:
                ctx.at = job.job_id
                versions.kill_again(ctx, job)
        ctx.at = ""
        hearing.on_subscribed(ctx)
        serving.on_subscribed(ctx)
