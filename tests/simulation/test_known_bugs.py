"""The simulator is tested, too: each of these bugs must be found within SEEDS seeds.

Random testing that never fails proves little. Every bug is a small patch of the production cores;
some are ones that the simulator found. The file has more than 500 lines and is better whole: it is
a table.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_agent.core import effects as agent_fx
from pymesos_agent.core import recovery as agent_recovery
from pymesos_agent.core import runtimes, sandboxes, session
from pymesos_agent.core import slack as agent_slack
from pymesos_agent.core.context import Context as AgentContext
from pymesos_agent.core.executors import calls as executors
from pymesos_agent.core.executors import groups as group_executors
from pymesos_agent.core.tasks import endings, life, updates
from pymesos_agent.core.tasks.task import Task as AgentTask
from pymesos_agent.core.uids import Uids
from pymesos_agent.files.renewing import Renewing
from pymesos_agent.master_stream import MasterStreams
from pymesos_binpack import core as bp
from pymesos_binpack.core import alerting, following, launches, versions
from pymesos_binpack.core import daemons as core_daemons
from pymesos_binpack.core import dependencies as core_dependencies
from pymesos_binpack.core import scaling as core_scaling
from pymesos_binpack.core import submissions as core_submissions
from pymesos_binpack.core import variables as core_variables
from pymesos_binpack.core import versions as core_versions
from pymesos_binpack.core.context import Context as BinpackContext
from pymesos_binpack.core.effects import Tell
from pymesos_binpack.core.then import InstanceDurable, KillStored, LaunchStored, LeavingStored
from pymesos_binpack.jobfiles import parsing
from pymesos_binpack.jobs import aligning
from pymesos_binpack.jobs import daemons as jobs_daemons
from pymesos_binpack.jobs import endings as job_endings
from pymesos_binpack.jobs.history import VERSION
from pymesos_binpack.jobs.rollouts import holding
from pymesos_binpack.jobs.rollouts.seen import Seen
from pymesos_binpack.jobs.scaling import Measured, Scaling
from pymesos_binpack.jobs.state import RUNS
from pymesos_binpack.jobs.steps import Add
from pymesos_binpack.periodic import runs
from pymesos_binpack.placement import planner
from pymesos_binpack.placement.by_role import PlacementByRole
from pymesos_binpack.placement.placing import Placement
from pymesos_binpack.placement.ports import draw_ports
from pymesos_binpack.placement.tasks import PendingTask
from pymesos_binpack.restoring import Quarantined
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.shell import Binpack
from pymesos_core.coordination.zk_registry import ZkRegistry
from pymesos_core.coordination.zk_store import ZkStore
from pymesos_core.outbox import Outbox
from pymesos_core.outgoing.alert import TOLD
from pymesos_core.resources import EMPTY, Resources
from pymesos_core.states import is_terminal
from pymesos_core.store import Change, CommitQueue
from pymesos_core.streams import serve_stream
from pymesos_master.allocator.drf import DrfAllocator
from pymesos_master.allocator.refusals import BUCKETS_PER_S, Refusals
from pymesos_master.allocator.state import AllocatorState
from pymesos_master.core import accounting as master_accounting
from pymesos_master.core import (
    admission,
    agents,
    disconnecting,
    drains,
    frameworks,
    master,
    offers,
    operators,
    permission,
    quarantine,
    reservations,
    roles,
    takeover,
    tasks,
)
from pymesos_master.core import executors as master_executors
from pymesos_master.core import names as master_names
from pymesos_master.core import secrets as master_secrets
from pymesos_master.core.accounts import Accounts
from pymesos_master.core.context import Context
from pymesos_master.core.effects import PersistRegistry
from pymesos_master.core.lifecycles import DrainEvent, DrainState
from pymesos_master.core.records import AgentRecord, RoleTerms
from pymesos_master.core.reported import ReportedTask, read_task
from pymesos_master.core.state import Agent
from pymesos_master.gateways import line
from pymesos_master.history import Happened, History
from pymesos_master.naming import Naming
from pymesos_master.services import agent as agent_service
from pymesos_master.services import leading
from pymesos_master.shell import Leader
from pymesos_master.watching import View, Watching
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.operator_pb2 import ClusterEvent
from pymesos_sdk.core import DriverCore
from pymesos_sdk.ledger import Ledger
from pymesos_simulation import simulation
from pymesos_simulation.simulation import simulate

SEEDS = 400
# A cluster without a bug has converged within a minute; the hour that it has elsewhere is long.
HEALED_S = 900.0
Patch = Callable[[pytest.MonkeyPatch], None]


def never_hear_what_ended_while_a_runtime_was_away(patch: pytest.MonkeyPatch) -> None:
    """A runtime answers again, and nobody looks at what it holds."""
    patch.setattr(runtimes, "_compare", lambda ctx, task, found: None)


def answer_before_the_end_of_a_job_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Who ends a job is answered at once: a crash forgets it."""

    async def stop_job(self: Binpack, job_id: str, *, now: bool = False) -> None:
        self._feed(bp.JobStopped(job_id, now=now))

    patch.setattr(Binpack, "stop_job", stop_job)


def give_a_call_the_number_of_another(patch: pytest.MonkeyPatch) -> None:
    """A gateway begins again with its numbers while calls of these are open."""
    patch.setattr(line, "itertools", SimpleNamespace(count=lambda _: itertools.cycle((1, 2, 3))))


def place_a_daemon_on_any_agent(patch: pytest.MonkeyPatch) -> None:
    """An instance of a daemon goes where there is room, as that of a service does."""
    patch.setattr(PendingTask, "is_of_agent", False)


def begin_before_what_comes_first(patch: pytest.MonkeyPatch) -> None:
    """Instances are launched as soon as there is room, whatever their tasks depend on."""
    for module in (core_versions, core_submissions, core_dependencies):
        patch.setattr(module, "awaited_by_task", lambda job: {})


def take_what_is_not_measured_for_idle(patch: pytest.MonkeyPatch) -> None:
    """A task is scaled down as soon as nobody says what its instances use."""

    def measured(*args: Any, **more: Any) -> Measured:
        found = usual(*args, **more)
        return Measured([*found.values, *[0.0] * found.unknown], 0, found.rolls)

    usual = core_scaling._measured
    patch.setattr(core_scaling, "_measured", measured)


def forget_how_tasks_were_scaled(patch: pytest.MonkeyPatch) -> None:
    """A framework that starts again knows nothing of the steps before."""
    patch.setattr(Scaling, "of_record", lambda record: Scaling(record["count"]))


def end_all_tasks_at_once(patch: pytest.MonkeyPatch) -> None:
    """A job that is to end kills what others of it still use."""
    patch.setattr(core_dependencies, "may_end", lambda ctx, instance: True)


def forget_which_jobs_lack_a_variable(patch: pytest.MonkeyPatch) -> None:
    """A framework that starts again gives a variable to no more jobs."""
    patch.setattr(core_variables, "begin", lambda ctx: None)


def answer_before_a_variable_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Who sets a variable is answered at once: a crash forgets it."""

    async def set_variable(self: Binpack, event: bp.VariableSet) -> int:
        self._feed(event)
        there = self.core.variables.get(event.role, event.name)
        return there.latest.version if there is not None else 0

    patch.setattr(Binpack, "set_variable", set_variable)


def never_try_again_what_could_not_be_made(patch: pytest.MonkeyPatch) -> None:
    """A config file that cannot be made anew stays as it was until its addresses change again."""
    patch.setattr(Renewing, "_put_off", lambda self, task, problems: None)


def look_only_once_at_who_serves(patch: pytest.MonkeyPatch) -> None:
    """What has changed while a container was started is taken for what its files have."""
    usual = Renewing._look_at

    def look_at(self: Renewing, task: AgentTask, now_s: float) -> None:
        self._addresses.given.pop(task.container_id, None)
        self._seen.setdefault(task.container_id, self._addresses.told(task.info.container))
        usual(self, task, now_s)

    patch.setattr(Renewing, "_look_at", look_at)


def replace_what_has_data_as_other_services(patch: pytest.MonkeyPatch) -> None:
    """A service of which the agent stays unreachable goes on elsewhere, with volumes, too."""
    patch.setattr(parsing, "_keeps_data", lambda task: False)
    patch.setattr(parsing, "UNREACHABLE_REPLACE_S", 1.0)  # agents are seldom away for a minute


def delete_the_data_of_every_volume(patch: pytest.MonkeyPatch) -> None:
    """An agent that is told what is reserved takes all of it for new."""
    usual = session._on_set_reserved

    def set_reserved(ctx: AgentContext, message: Any) -> None:
        ctx.state.reserved = EMPTY
        usual(ctx, message)

    patch.setattr(session, "_on_set_reserved", set_reserved)


def keep_the_data_of_what_is_removed(patch: pytest.MonkeyPatch) -> None:
    """An agent forgets a volume, and leaves its folder for the next one of that id."""
    patch.setattr(session, "volumes_of", lambda reserved: [])


def never_look_at_an_agent_that_comes(patch: pytest.MonkeyPatch) -> None:
    """A daemon is where it was wanted when its job began."""
    patch.setattr(core_daemons, "look", lambda ctx: None)


def let_daemons_leave_first(patch: pytest.MonkeyPatch) -> None:
    """A daemon ends as soon as its agent is drained, while others run there."""
    usual = jobs_daemons.wanted
    patch.setattr(
        aligning,
        "wanted",
        lambda job, spec, instances, agents: usual(
            job, spec, instances, replace(agents, serving=())
        ),
    )


def look_out_for_no_agent(patch: pytest.MonkeyPatch) -> None:
    """Once nothing waits no offers are asked for, though there is a daemon."""
    patch.setattr(Placement, "look_out", lambda self, *, wanted: None)


def tell_nobody_of_what_fired_before(patch: pytest.MonkeyPatch) -> None:
    """What was not told before a framework was started again is told to nobody."""
    patch.setattr(alerting, "begin", lambda ctx: None)


def page_before_that_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Somebody is told of an alert that a crash may forget."""

    def store(ctx: BinpackContext, why: str, moved: Any) -> None:
        for alert, before in moved:
            ctx.alerts.keep(alert)
            if alert.state is not before and alert.state in TOLD:
                ctx.say(Tell(alert.notice()))
        if moved:
            ctx.store(why, *(alert.change() for alert, _ in moved))

    patch.setattr(alerting, "_store", store)


def look_at_alerts_only_when_something_happens(patch: pytest.MonkeyPatch) -> None:
    """Nobody is told of what goes on for too long unless something else happens to the job."""
    patch.setattr(alerting, "_look_by", lambda ctx, job_id, at_s: None)


def forget_which_runs_were_begun(patch: pytest.MonkeyPatch) -> None:
    """Runs are named by when they begin, and that is not stored: another life begins them again."""
    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        kept = [e for e in what if not (isinstance(e, Change) and e.kind == RUNS and _begins(e))]
        original(self, why, *kept, then=then)

    names = itertools.count()
    patch.setattr(runs, "name_of", lambda due_s: f"run-{next(names)}")

    def _begins(change: Change) -> bool:
        return change.value is not None and b'"runs": []' not in change.value

    patch.setattr(BinpackContext, "store", store)


def begin_again_what_the_clock_shows_again(patch: pytest.MonkeyPatch) -> None:
    """What is due is what the clock shows, though it was set back."""
    original = runs._look_at_times

    def look(rules: Any, of: runs.Runs, now_s: float) -> runs.Runs:
        if of.seen_s > now_s:
            of = replace(of, seen_s=now_s - 60.0, latest_due_s=0.0, runs=())
        return original(rules, of, now_s)

    patch.setattr(runs, "_look_at_times", look)


def begin_a_run_beside_another(patch: pytest.MonkeyPatch) -> None:
    """The next run begins while tasks of the one before still end."""

    def places(of: Any, spec: Any, instances: Any, every: Any) -> Any:
        return dict.fromkeys(range(spec.instances if of.going is not None else 0))

    def match(out: Any, job: Any, spec: Any, instances: Any, places: Any, run: Any) -> None:
        there = {i.index for i in instances if not i.saved.leaving}
        latest = job.history.latest
        out.added += [
            Add(spec, index, "it is wanted", latest, run=run)
            for index in places
            if index not in there
        ]

    original = aligning._match
    patch.setattr(aligning, "_places_of_run", places)
    patch.setattr(
        aligning,
        "_match",
        lambda out, job, spec, *more: (match if spec.periodic else original)(out, job, spec, *more),
    )


def forget_the_versions_of_a_backup(patch: pytest.MonkeyPatch) -> None:
    """Only the version in force is stored of a job that a backup had."""
    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        begins = why == "a job was submitted"
        kept = [e for e in what if not (begins and isinstance(e, Change) and e.kind == VERSION)]
        original(self, why, *kept, then=then)

    patch.setattr(BinpackContext, "store", store)


def keep_from_watchers_what_is_durable(patch: pytest.MonkeyPatch) -> None:
    """Who watches a job is not told of what has been written."""
    original = following.follow

    def follow(ctx: BinpackContext, each: Any) -> None:
        changed = dict(ctx.changed)
        original(ctx, each)
        if isinstance(each, InstanceDurable) and is_terminal(each.saved.state):  # type: ignore[arg-type]
            ctx.changed = changed

    patch.setattr(following, "follow", follow)


def keep_what_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A job in quarantine is forgotten, and what is stored of it is not."""
    patch.setattr(Quarantined, "removal", lambda self: [])


def forget_to_kill_again(patch: pytest.MonkeyPatch) -> None:
    """A KILL that a new leader has forgotten is not said again."""
    original = Ledger.hear

    def hear(self: Ledger, status: pb.TaskStatus) -> Any:
        kill = original(self, status)
        return kill if status.task_id in self._given_up else None

    patch.setattr(Ledger, "hear", hear)


def show_events_of_every_role(patch: pytest.MonkeyPatch) -> None:
    """Who watches is told of all that happens, whatever he may read."""
    patch.setattr(Happened, "is_seen_by", lambda self, may: True)


def obey_whoever_calls(patch: pytest.MonkeyPatch) -> None:
    """Operators' decisions are carried out without a look at the policy."""
    patch.setattr(permission, "refused", lambda *asked: False)


def launch_for_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    """What may be launched is not looked at."""
    patch.setattr(permission, "permitted", lambda *asked: (asked[-1], []))


def give_secrets_of_any_task(patch: pytest.MonkeyPatch) -> None:
    """An agent is given what a task uses that another has."""

    def of_anybody(ctx: Context, _: Agent, key: tuple[str, str]) -> Any:
        return ctx.state.find_task(*key)

    patch.setattr(master_secrets, "_live_task_of", of_anybody)


def let_the_core_hear_secrets(patch: pytest.MonkeyPatch) -> None:
    """Values are in an event, and so in the file of a crash."""
    original = MasterStreams._takes_out

    def takes_out(self: MasterStreams, connection_id: int, epoch: int, message: Any) -> bool:
        original(self, connection_id, epoch, message)
        return False

    patch.setattr(MasterStreams, "_takes_out", takes_out)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    """A deposed leader's writes are taken."""
    original = ZkRegistry.__init__

    def init(self: ZkRegistry, client: Any, path: str, epoch_version: int) -> None:
        original(self, client, path, -1)  # any

    patch.setattr(ZkRegistry, "__init__", init)


def write_the_state_of_any_epoch(patch: pytest.MonkeyPatch) -> None:
    """What a framework's instance writes is taken though another one leads."""
    original = ZkStore.__init__

    def init(self: ZkStore, registry: Any, *bounds: int) -> None:
        registry._epoch_version = -1  # any
        original(self, registry, *bounds)

    patch.setattr(ZkStore, "__init__", init)


def obey_anyone(patch: pytest.MonkeyPatch) -> None:
    """An agent obeys masters of older epochs, and those do not look at what it has seen."""
    original = session.on_master_said

    def said(ctx: AgentContext, event: Any) -> None:
        now = ctx.connection and ctx.connection.connection_id
        if event.epoch < ctx.state.epoch_seen and now == event.connection_id:
            session._obey(ctx, event.message)
        else:
            original(ctx, event)

    patch.setattr(session, "on_master_said", said)
    patch.setattr(agent_service._Registration, "_check_epoch", lambda self, register: None)


def forget_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """An agent that starts anew does not know whom it obeyed."""
    original = agent_recovery._load_agent

    def load(ctx: AgentContext, value: bytes) -> None:
        original(ctx, value)
        ctx.state.epoch_seen = 0

    patch.setattr(agent_recovery, "_load_agent", load)


def acknowledge_before_fsync(patch: pytest.MonkeyPatch) -> None:
    """The framework says that it has stored what it is only about to."""

    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        said = [each for each in then if isinstance(each, bp.Acknowledge)]
        original(self, why, *what, then=[each for each in then if each not in said])
        for each in said:
            self.say(each)

    patch.setattr(BinpackContext, "store", store)


class _Already:
    """What a write is for when all that waited for it has been done."""


def subscribe_before_persist(patch: pytest.MonkeyPatch) -> None:
    """The master acts on registry writes before they are durable."""
    original = Context.persist

    def persist(self: Context, values: Any, why: object, peer: str = "") -> None:
        self.on_written = {**self.on_written, _Already: lambda ctx, why: None}
        original(self, values, _Already(), peer)
        self.on_written[type(why)](self, why)

    patch.setattr(Context, "persist", persist)


def accept_a_rescinded_offer(patch: pytest.MonkeyPatch) -> None:
    """A rescinded offer can still be used."""

    def rescind(ctx: Context, found: Any, reason: str) -> None:
        for offer in found:
            ctx.allocator.recover(
                offer.framework_id,
                offer.agent_id,
                offer.role,
                offer.resources,
                now_s=ctx.now.mono_s,
            )

    patch.setattr(offers, "rescind_all", rescind)


def leak_offers_on_disconnect(patch: pytest.MonkeyPatch) -> None:
    """A framework's offers stay when it is gone."""
    quiet = SimpleNamespace(**{**vars(offers), "rescind_all": lambda *_: None})
    for module in (disconnecting, frameworks):
        patch.setattr(module, "offers", quiet)


def lost_filter_expiry(patch: pytest.MonkeyPatch) -> None:
    """Filters never end, whatever happens."""
    patch.setattr(DrfAllocator, "next_s", lambda self: None)
    patch.setattr(DrfAllocator, "revive", lambda self, framework_id, roles: None)


def double_launch_on_restart(patch: pytest.MonkeyPatch) -> None:
    """An agent that restarts starts its tasks once more."""
    original = agent_recovery.recover_task

    def recover(ctx: AgentContext, task: AgentTask, found: Any) -> None:
        original(ctx, task, found)
        if found is not None and not task.ended:
            again = next(ctx.container_ids)
            ctx.emit(agent_fx.StartContainer(again, task.framework_id, task.runtime, "", task.info))

    patch.setattr(agent_recovery, "recover_task", recover)


def kill_before_why_is_stored(patch: pytest.MonkeyPatch) -> None:
    """An agent that ends right after a kill no longer knows that it was its own."""
    patch.setattr(AgentContext, "once_stored", lambda self, then: then())


def sync_nothing(patch: pytest.MonkeyPatch) -> None:
    """An agent says what a crash of its machine may take back."""
    original = AgentContext.checkpoint

    def checkpoint(self: AgentContext, *arguments: Any, **_: Any) -> None:
        original(self, *arguments, synced=False)

    patch.setattr(AgentContext, "checkpoint", checkpoint)


def forget_whose_users_are(patch: pytest.MonkeyPatch) -> None:
    """A restarted agent gives its tasks users that others have."""
    patch.setattr(Uids, "hold", lambda self, uid: None)
    patch.setattr(Uids, "go_on", lambda self, uid: None)


def forget_unacknowledged_updates(patch: pytest.MonkeyPatch) -> None:
    """A restarted agent does not repeat what was not acknowledged."""
    original = AgentTask.from_record

    def from_record(record: Any) -> AgentTask:
        task = original(record)
        task.unacknowledged.clear()
        task.durable = 0
        return task

    patch.setattr(AgentTask, "from_record", staticmethod(from_record))


def never_repeat_updates(patch: pytest.MonkeyPatch) -> None:
    """An update is sent once."""
    patch.setattr(updates, "resend", lambda ctx, container_id: None)
    original = session._on_registered

    def registered(ctx: AgentContext, message: Any) -> None:
        tasks_, ctx.state.tasks = ctx.state.tasks, {}
        original(ctx, message)
        ctx.state.tasks = tasks_

    patch.setattr(session, "_on_registered", registered)
    patch.setattr(AgentTask, "report", _report_without_updates)


def _report_without_updates(self: AgentTask) -> Any:
    durable, self.durable = self.durable, 0
    try:
        return _original_report(self)
    finally:
        self.durable = durable


_original_report = AgentTask.report


def never_reconcile(patch: pytest.MonkeyPatch) -> None:
    """The driver does not ask for tasks of which it knows no end."""
    patch.setattr(DriverCore, "_reconcile", lambda self, now: None)


def keep_unreported_tasks(patch: pytest.MonkeyPatch) -> None:
    """The master keeps tasks that their agent does not know."""
    patch.setattr(takeover, "_forget_unreported", lambda *_: None)


def leak_resources(patch: pytest.MonkeyPatch) -> None:
    """What an ended task held does not come back."""
    original = tasks.transition

    def transition(ctx: Context, task: Any, state: Any) -> None:
        quiet = SimpleNamespace(recover=lambda *_, **__: None)
        allocator, ctx.allocator = ctx.allocator, quiet
        original(ctx, task, state)
        ctx.allocator = allocator

    patch.setattr(tasks, "transition", transition)


def free_twice(patch: pytest.MonkeyPatch) -> None:
    """Resources come back with the end of a task, and again with its acknowledgement."""
    original = tasks.complete

    def complete(ctx: Context, task: Any) -> None:
        original(ctx, task)
        ctx.allocator.recover(
            task.framework_id, task.agent_id, task.role, task.resources, now_s=ctx.now.mono_s
        )

    patch.setattr(tasks, "complete", complete)


def forget_the_executor_of_a_group(patch: pytest.MonkeyPatch) -> None:
    """An agent does not say what the executors of its groups hold when it registers."""
    patch.setattr(group_executors, "held", lambda ctx: [])


def keep_what_an_executor_held(patch: pytest.MonkeyPatch) -> None:
    """What an executor held of its own stays taken when it has ended."""
    patch.setattr(master_executors, "_release", lambda ctx, agent, key: None)


def sell_an_agent_twice(patch: pytest.MonkeyPatch) -> None:
    """Found by the simulator: two registrations of one agent at once."""
    original = agents.disconnect

    def disconnect(ctx: Context, agent: Any, reason: str) -> None:
        if reason != "registered again":
            original(ctx, agent, reason)

    patch.setattr(agents, "disconnect", disconnect)


def known_before_stored(patch: pytest.MonkeyPatch) -> None:
    """Found by the simulator: an agent that is known by an id that it may forget."""
    original = session.register

    def register(ctx: AgentContext) -> None:
        if not ctx.state.agent_id:
            ctx.state.agent_id = next(ctx.agent_ids)
        original(ctx)

    patch.setattr(session, "register", register)
    patch.setattr(session, "_identity", lambda ctx: Change("nothing", "", b""))


def launch_before_stored(patch: pytest.MonkeyPatch) -> None:
    """The framework sends a launch before it remembers it."""
    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        sent = [each for each in then if isinstance(each, LaunchStored)]
        for each in sent:
            self.say(each.accept)
        original(self, why, *what, then=[each for each in then if each not in sent])

    patch.setattr(BinpackContext, "store", store)


def start_before_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """The agent starts a container that it may forget."""
    original = AgentContext.checkpoint

    def checkpoint(
        self: AgentContext,
        changes: Any,
        done: Any = lambda: None,
        failed: Any = lambda _: None,
        **options: Any,
    ) -> None:
        original(self, changes, lambda: None, failed, **options)
        done()

    patch.setattr(AgentContext, "checkpoint", checkpoint)


def let_strangers_live(patch: pytest.MonkeyPatch) -> None:
    """A task that was replaced and comes back is left alone."""
    original = Ledger.hear

    def hear(self: Ledger, status: Any) -> None:
        original(self, status)

    patch.setattr(Ledger, "hear", hear)


def an_end_is_not_final(patch: pytest.MonkeyPatch) -> None:
    """An agent makes a second end of a task."""
    original = life.on_exited

    def exited(ctx: AgentContext, event: Any) -> None:
        original(ctx, event)
        task = ctx.state.tasks.get(event.container_id)
        if task is not None and task.unacknowledged:
            second = type(task.unacknowledged[-1])()
            second.CopyFrom(task.unacknowledged[-1])
            second.uuid = next(ctx.uuids)
            second.state = pb.TASK_KILLED
            task.unacknowledged.append(second)
            updates.checkpoint(ctx, task)

    patch.setattr(life, "on_exited", exited)


def forget_frameworks(patch: pytest.MonkeyPatch) -> None:
    """A new leader does not know the frameworks of the old one."""
    patch.setattr(quarantine, "_take_framework", lambda *_: None)


def offer_the_disconnected(patch: pytest.MonkeyPatch) -> None:
    """An agent that is away is still offered."""
    patch.setattr(DrfAllocator, "deactivate_agent", lambda self, agent_id: None)


def latest_state_first(patch: pytest.MonkeyPatch) -> None:
    """Found by the simulator: an agent that returns tells a task's end before what led to it."""
    original = takeover._take_over

    def take_over(
        ctx: Context, agent: Any, framework: Any, reported: ReportedTask, **returns: bool
    ) -> None:
        original(ctx, agent, framework, replace(reported, unacknowledged=()), **returns)

    patch.setattr(takeover, "_take_over", take_over)


def reserve_what_may_be_used_meanwhile(patch: pytest.MonkeyPatch) -> None:
    """Found by the simulator: an offer was accepted while its resources were being reserved."""

    def write(ctx: Context, request_id: int, agent: Any, reserved: Any, taken: Any) -> None:
        nobody = reservations.NOBODY
        unheld = reservations.Conversion(
            agent.agent_id, agent.connection_id, reserved, nobody, EMPTY, request_id=request_id
        )
        reservations.convert(ctx, agent, unheld)

    patch.setattr(reservations, "_write", write)


def reserve_without_telling(patch: pytest.MonkeyPatch) -> None:
    """An agent that missed what is reserved is not told when it registers."""
    patch.setattr(admission, "tell_reserved", lambda ctx, agent: None)


def never_launch_again(patch: pytest.MonkeyPatch) -> None:
    """What an executor missed while it was not connected it is not told."""
    patch.setattr(executors, "_bring_up_to_date", lambda *_: None)


def leave_the_rest_of_a_group(patch: pytest.MonkeyPatch) -> None:
    """A task that fails does not take its group with it."""
    patch.setattr(endings, "end_group_of", lambda ctx, task: None)


def make_a_record_of_what_is_durable(patch: pytest.MonkeyPatch) -> None:
    """When a role's weight and quota are set at the same time, the second undoes the first."""

    def terms(ctx: Context, role: str, **changed: Any) -> RoleTerms:
        return replace(ctx.state.terms(role), **changed)

    patch.setattr(roles, "_terms", terms)


def a_new_leader_hears_no_history(patch: pytest.MonkeyPatch) -> None:
    """What an agent keeps of ended tasks it tells nobody."""
    patch.setattr(sandboxes, "tell_ended", lambda ctx: None)


def start_times_are_the_failovers(patch: pytest.MonkeyPatch) -> None:
    """A new leader takes a task for as old as its own registration."""
    patch.setattr(
        agent_service, "read_task", lambda said: replace(read_task(said), started_at_s=0.0)
    )


def take_any_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    """An acknowledgement with any uuid is that of the update that is due."""

    def acknowledged(ctx: Context, task: Any, uuid: bytes) -> None:
        if task.unacknowledged is not None:
            original(ctx, task, task.unacknowledged.uuid)

    original = tasks._acknowledged
    patch.setattr(tasks, "_acknowledged", acknowledged)


def leave_the_offers_of_who_is_torn_down(patch: pytest.MonkeyPatch) -> None:
    """A framework is removed, and its offers stay."""
    original = offers.rescind_all

    def rescind_all(ctx: Context, found: Any, reason: str) -> None:
        if reason not in ("Torn down by an operator", "Framework tore itself down"):
            original(ctx, found, reason)

    patch.setattr(
        frameworks, "offers", SimpleNamespace(**{**vars(offers), "rescind_all": rescind_all})
    )


def the_end_of_a_filter_removes_a_newer_one(patch: pytest.MonkeyPatch) -> None:
    """A filter ends when the one before it would have."""
    original = Refusals.due

    def due(self: Refusals, now_s: float) -> list[str]:
        for number in [n for n in self._order if n <= now_s * BUCKETS_PER_S]:
            for leaf, agent_id in self._buckets[number]:
                of_agent = self._agents.get(agent_id)
                if of_agent is not None and leaf in of_agent.by_leaf:
                    of_agent.by_leaf[leaf] = (of_agent.by_leaf[leaf][0], number)
        return original(self, now_s)

    patch.setattr(Refusals, "due", due)


def kill_for_another_before_that_is_stored(patch: pytest.MonkeyPatch) -> None:
    """After a crash the end of what was preempted counts as its own."""

    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        original(self, why, *what, then=[e for e in then if not isinstance(e, KillStored)])
        for each in then:
            if isinstance(each, KillStored):
                launches.on_kill_stored(self, each)

    patch.setattr(BinpackContext, "store", store)


def begin_to_drain_before_that_is_stored(patch: pytest.MonkeyPatch) -> None:
    """The time can pass before the write, and then nothing kills the instance."""
    original = BinpackContext.store

    def store(self: BinpackContext, why: str, *what: Any, then: Any = ()) -> None:
        for each in then:
            for instance, _ in each.meant if isinstance(each, LeavingStored) else ():
                if versions._drains(instance):
                    versions.let_leave(self, instance)
        original(self, why, *what, then=then)

    def on_leaving_stored(ctx: BinpackContext, stored: LeavingStored) -> None:
        for instance, task_id in stored.meant:
            if instance.saved.task_id == task_id and not versions._drains(instance):
                versions.let_leave(ctx, instance)

    patch.setattr(BinpackContext, "store", store)
    patch.setattr(versions, "on_leaving_stored", on_leaving_stored)


def carry_a_batch_out_by_half(patch: pytest.MonkeyPatch) -> None:
    """Only the first half of what an outbox hands out together is sent."""
    original = Outbox.batch

    async def batch(self: Outbox[Any]) -> list[Any] | None:
        out = await original(self)
        return out if out is None or len(out) < 2 else out[: len(out) // 2]

    patch.setattr(Outbox, "batch", batch)


def never_empty_an_outbox(patch: pytest.MonkeyPatch) -> None:
    """What is put in while the reader waits wakes nobody."""
    original = Outbox.put

    def put(self: Outbox[Any], item: Any, *, bounded: bool = True) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        original(self, item, bounded=bounded)
        self._wake = wake

    patch.setattr(Outbox, "put", put)


def a_stream_ends_without_its_close(patch: pytest.MonkeyPatch) -> None:
    """The core hears of a stream that ended in order, and of none that broke or was cancelled."""

    async def serve(outbox: Outbox[Any], read: Any, write: Any, ended: Callable[[], None]) -> None:
        await serve_stream(outbox, read, write, lambda: None)
        ended()

    patch.setattr(leading, "serve_stream", serve)


def write_after_a_failed_write(patch: pytest.MonkeyPatch) -> None:
    """What waits behind a write that failed, and counts on it, is written all the same."""

    def settle(self: CommitQueue, failure: Any) -> Iterator[tuple[int, Any]]:
        told, self._group = self._group, []
        yield from ((request.token, failure) for request in told)

    patch.setattr(CommitQueue, "settle", settle)


def drop_an_effect(patch: pytest.MonkeyPatch) -> None:
    """Every seventh write of the registry is not made."""
    original = Leader._do

    def do(self: Leader, effect: Any) -> None:
        if not isinstance(effect, PersistRegistry) or effect.token % 7:
            original(self, effect)

    patch.setattr(Leader, "_do", do)


def leave_a_change_out(patch: pytest.MonkeyPatch) -> None:
    """Watchers are not told of offers that are taken back."""
    original = History.add

    def add(self: History, effect: Any) -> None:
        if effect.kind != ClusterEvent.OFFER_RESCINDED:
            original(self, effect)

    patch.setattr(History, "add", add)


def take_the_cursor_of_another_leader(patch: pytest.MonkeyPatch) -> None:
    """Who watched another leader goes on at the same number of this one's history."""
    original = Watching.watch

    def watch(self: Watching, cursor: str, view: View) -> Any:
        return original(self, cursor and f"{self.epoch}-{cursor.partition('-')[2]}", view)

    patch.setattr(Watching, "watch", watch)


def pass_over_what_is_kept_no_longer(patch: pytest.MonkeyPatch) -> None:
    """One who is too slow to watch goes on with the oldest event that is still known."""
    original = History.since

    def since(self: History, sequence: int, most: int) -> Any:
        return original(self, max(sequence, self.latest - len(self._events)), most)

    patch.setattr(History, "since", since)
    patch.setattr(History, "has_all_since", lambda self, sequence: 0 <= sequence <= self.latest)


def skip_a_job_between_two_pages(patch: pytest.MonkeyPatch) -> None:
    """The next page of jobs begins behind the first job of it."""
    original = JobsService.ListJobs

    async def list_jobs(self: JobsService, request: Any, call: Any) -> Any:
        answer = await original(self, request, call)
        if answer.next_page_token:
            later = (j for j in sorted(self.binpack.core.jobs) if j > answer.next_page_token)
            answer.next_page_token = next(later)
        return answer

    patch.setattr(JobsService, "ListJobs", list_jobs)


def forget_an_operators_kill(patch: pytest.MonkeyPatch) -> None:
    """An operator who has a task killed is answered, and that is all."""

    def kill(ctx: Context, event: Any) -> None:
        ctx.answer(event.request_id)

    patch.setattr(operators, "on_kill_task", kill)


def forget_the_drain_of_who_registers(patch: pytest.MonkeyPatch) -> None:
    """An agent that registers is written as if nothing were decided of it."""
    patch.setattr(
        admission,
        "AgentRecord",
        lambda info, state, reserved, *decided: AgentRecord(info, state, reserved),
    )


def offer_what_is_cordoned_as_it_registers(patch: pytest.MonkeyPatch) -> None:
    """An agent that comes back is offered, whatever an operator has decided."""
    patch.setattr(Agent, "withheld", property(lambda self: self.leaving))


def take_an_agent_that_is_away_for_empty(patch: pytest.MonkeyPatch) -> None:
    """A new leader takes an agent of which it knows no tasks yet for drained."""

    def on_empty_due(ctx: Context, agent_id: str) -> None:
        agent, meant = ctx.state.agents[agent_id], ctx.state.intended_agent(agent_id)
        if meant is not None and meant.drain.state == DrainState.DRAINING and not agent.tasks:
            drained = replace(meant.drain, state=DrainState.DRAINED)
            drains._write(ctx, drains.DrainSet(agent_id, DrainEvent.EMPTIED, drained))

    def take_in(ctx: Context, agent: Agent, record: Any) -> None:
        original(ctx, agent, record)
        ctx.timers.set(("drained", agent.agent_id), ctx.now.mono_s)

    original = drains.take_in
    patch.setattr(drains, "take_in", take_in)
    patch.setitem(master._DEADLINES, "drained", on_empty_due)


def stop_however_few_are_left(patch: pytest.MonkeyPatch) -> None:
    """A rollout stops what is ready without a look at what is left."""
    patch.setattr(Seen, "floor", 0)


def start_as_many_as_there_are(patch: pytest.MonkeyPatch) -> None:
    """A rollout starts all that is new at once."""
    patch.setattr(Seen, "ceiling", 1000)


def never_look_at_a_rollout_again(patch: pytest.MonkeyPatch) -> None:
    """When an instance would be stable nobody looks, unless something else happens."""
    patch.setattr(aligning.Aligned, "look", lambda self, at_s: None)


def stop_at_once_what_is_on_a_drained_agent(patch: pytest.MonkeyPatch) -> None:
    """What is on an agent that is drained ends before another one runs."""

    def move(plan: Any, member: Any) -> None:
        plan.stop(member, f"instance {member.index} leaves an agent that is drained")

    patch.setattr(holding, "_move", move)


def give_any_port_for_a_host_port(patch: pytest.MonkeyPatch) -> None:
    """A task that wants a port by its number is given what comes."""

    def any_ports(free: Resources, task: PendingTask, avoided: Resources) -> Resources:
        return draw_ports(free, replace(task, host_ports=()), avoided)

    patch.setattr(planner, "draw_ports", any_ports)


def take_what_another_role_is_offered(patch: pytest.MonkeyPatch) -> None:
    take = PlacementByRole.take

    def any_role(self: PlacementByRole[Any], offers: Any, now_s: float) -> tuple[str, ...]:
        waiting = [placement.role for placement in self if placement.queue]
        copies = []
        for offer in offers:
            copy = pb.Offer()
            copy.CopyFrom(offer)
            copy.role = waiting[0] if waiting else offer.role
            copies.append(copy)
        return take(self, copies, now_s)

    patch.setattr(PlacementByRole, "take", any_role)


def offer_again_what_other_roles_refused(patch: pytest.MonkeyPatch) -> None:
    """A framework that enters or leaves a role has no filters any more."""
    original = DrfAllocator.add_framework

    def add(self: DrfAllocator, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **{**more, "keep_filters": False})

    patch.setattr(DrfAllocator, "add_framework", add)


def keep_what_serves_from_resolvers(patch: pytest.MonkeyPatch) -> None:
    """A resolver is told what serves when it comes, and never again."""
    patch.setattr(Naming, "changed", lambda self, effect: None)


def show_what_is_killed(patch: pytest.MonkeyPatch) -> None:
    """A task is found by name until its framework says otherwise."""
    patch.setattr(tasks, "names", SimpleNamespace(look=lambda ctx, key: None))


def never_look_at_who_comes_back(patch: pytest.MonkeyPatch) -> None:
    """What a new leader shows of an agent is never more than what an earlier one has told."""
    patch.setattr(master_names, "look_at_agent", lambda ctx, agent: None)


def leave_no_role(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DriverCore, "_say_update", lambda self: None)


def account_from_the_launch_again(patch: pytest.MonkeyPatch) -> None:
    """A new leader forgets until when what was held is written."""
    look = master_accounting.look

    def look_from_the_launch(ctx: Context, task: Any, *, since_stored: bool = False) -> None:
        accounts = ctx.state.accounts
        stored_ms, accounts.stored_until_ms = (
            accounts.stored_until_ms,
            min(1, accounts.stored_until_ms),
        )
        look(ctx, task, since_stored=since_stored)
        accounts.stored_until_ms = stored_ms

    patch.setattr(master_accounting, "look", look_from_the_launch)


def account_for_what_is_new_as_if_it_had_been_there(patch: pytest.MonkeyPatch) -> None:
    """What is held changes, and then what was held until now is added up."""
    change = Accounts._change

    def add_first(
        self: Accounts, account: Any, holding: Any, held: Any, times: int, at: Any
    ) -> None:
        since_ms, holding.since_ms = holding.since_ms, at.mono_ms
        change(self, account, holding, held, times, at)
        holding.since_ms = since_ms

    patch.setattr(Accounts, "_change", add_first)


def leave_guests_where_owners_want_their_own(patch: pytest.MonkeyPatch) -> None:
    """What runs on what others did not use goes on when they do."""
    patch.setattr(agent_slack, "too_many", lambda ctx: [])


def count_what_was_revoked_as_ended(patch: pytest.MonkeyPatch) -> None:
    """A task that is killed since others use what it ran on has had its run."""
    others = job_endings._WITH_ITS_AGENT - {pb.REASON_RESOURCES_REVOKED}
    patch.setattr(job_endings, "_WITH_ITS_AGENT", others)


def offer_what_is_used_again(patch: pytest.MonkeyPatch) -> None:
    """The master offers all that an agent says nobody else uses, whoever runs on it already."""
    usual = AllocatorState.set_revocable
    patch.setattr(
        AllocatorState,
        "set_revocable",
        lambda state, agent, there, _: usual(state, agent, there, EMPTY),
    )


BUGS: list[Patch] = [
    give_a_call_the_number_of_another,
    leave_guests_where_owners_want_their_own,
    count_what_was_revoked_as_ended,
    offer_what_is_used_again,
    tell_nobody_of_what_fired_before,
    page_before_that_is_stored,
    look_at_alerts_only_when_something_happens,
    keep_what_serves_from_resolvers,
    show_what_is_killed,
    never_look_at_who_comes_back,
    take_what_another_role_is_offered,
    leave_no_role,
    offer_again_what_other_roles_refused,
    forget_the_versions_of_a_backup,
    give_any_port_for_a_host_port,
    stop_at_once_what_is_on_a_drained_agent,
    stop_however_few_are_left,
    start_as_many_as_there_are,
    never_look_at_a_rollout_again,
    forget_the_drain_of_who_registers,
    offer_what_is_cordoned_as_it_registers,
    take_an_agent_that_is_away_for_empty,
    place_a_daemon_on_any_agent,
    never_look_at_an_agent_that_comes,
    let_daemons_leave_first,
    begin_before_what_comes_first,
    end_all_tasks_at_once,
    forget_how_tasks_were_scaled,
    forget_which_jobs_lack_a_variable,
    answer_before_a_variable_is_stored,
    never_try_again_what_could_not_be_made,
    look_only_once_at_who_serves,
    replace_what_has_data_as_other_services,
    delete_the_data_of_every_volume,
    keep_the_data_of_what_is_removed,
    take_what_is_not_measured_for_idle,
    look_out_for_no_agent,
    forget_the_executor_of_a_group,
    forget_which_runs_were_begun,
    begin_again_what_the_clock_shows_again,
    begin_a_run_beside_another,
    answer_before_the_end_of_a_job_is_stored,
    keep_from_watchers_what_is_durable,
    keep_what_is_forgotten,
    forget_to_kill_again,
    show_events_of_every_role,
    obey_whoever_calls,
    launch_for_whoever_asks,
    give_secrets_of_any_task,
    let_the_core_hear_secrets,
    leave_a_change_out,
    take_the_cursor_of_another_leader,
    pass_over_what_is_kept_no_longer,
    skip_a_job_between_two_pages,
    forget_an_operators_kill,
    carry_a_batch_out_by_half,
    never_empty_an_outbox,
    a_stream_ends_without_its_close,
    write_after_a_failed_write,
    drop_an_effect,
    take_any_acknowledgement,
    leave_the_offers_of_who_is_torn_down,
    the_end_of_a_filter_removes_a_newer_one,
    kill_for_another_before_that_is_stored,
    begin_to_drain_before_that_is_stored,
    a_new_leader_hears_no_history,
    start_times_are_the_failovers,
    make_a_record_of_what_is_durable,
    never_launch_again,
    leave_the_rest_of_a_group,
    never_hear_what_ended_while_a_runtime_was_away,
    no_fencing,
    subscribe_before_persist,
    accept_a_rescinded_offer,
    leak_offers_on_disconnect,
    lost_filter_expiry,
    forget_whose_users_are,
    forget_unacknowledged_updates,
    never_repeat_updates,
    never_reconcile,
    keep_unreported_tasks,
    leak_resources,
    free_twice,
    keep_what_an_executor_held,
    sell_an_agent_twice,
    known_before_stored,
    launch_before_stored,
    start_before_checkpoint,
    let_strangers_live,
    an_end_is_not_final,
    forget_frameworks,
    offer_the_disconnected,
    latest_state_first,
    reserve_what_may_be_used_meanwhile,
    reserve_without_telling,
    acknowledge_before_fsync,
    double_launch_on_restart,
    kill_before_why_is_stored,
    sync_nothing,
    obey_anyone,
    forget_the_epoch,
    write_the_state_of_any_epoch,
    account_from_the_launch_again,
    account_for_what_is_new_as_if_it_had_been_there,
]


# Where a bug was found last, of those that the first seeds do not find: that one is tried first.
FOUND_BY: dict[str, int] = {
    "a_new_leader_hears_no_history": 140,
    "a_stream_ends_without_its_close": 12,
    "account_from_the_launch_again": 2,
    "answer_before_a_variable_is_stored": 15,
    "answer_before_the_end_of_a_job_is_stored": 94,
    "begin_a_run_beside_another": 96,
    "begin_again_what_the_clock_shows_again": 66,
    "begin_before_what_comes_first": 10,
    "begin_to_drain_before_that_is_stored": 0,
    "count_what_was_revoked_as_ended": 2,
    "delete_the_data_of_every_volume": 18,
    "double_launch_on_restart": 141,
    "end_all_tasks_at_once": 54,
    "forget_an_operators_kill": 4,
    "forget_how_tasks_were_scaled": 160,
    "forget_the_drain_of_who_registers": 16,
    "forget_the_epoch": 42,
    "forget_the_executor_of_a_group": 17,
    "forget_the_versions_of_a_backup": 8,
    "forget_to_kill_again": 43,
    "forget_unacknowledged_updates": 4,
    "forget_which_jobs_lack_a_variable": 125,
    "forget_which_runs_were_begun": 26,
    "give_a_call_the_number_of_another": 16,
    "give_any_port_for_a_host_port": 4,
    "give_secrets_of_any_task": 22,
    "keep_from_watchers_what_is_durable": 144,
    "keep_the_data_of_what_is_removed": 87,
    "keep_unreported_tasks": 12,
    "keep_what_an_executor_held": 41,
    "keep_what_is_forgotten": 49,
    "keep_what_serves_from_resolvers": 3,
    "kill_for_another_before_that_is_stored": 20,
    "latest_state_first": 62,
    "launch_before_stored": 26,
    "launch_for_whoever_asks": 10,
    "leak_offers_on_disconnect": 141,
    "leave_a_change_out": 9,
    "leave_guests_where_owners_want_their_own": 2,
    "leave_no_role": 1,
    "leave_the_offers_of_who_is_torn_down": 9,
    "leave_the_rest_of_a_group": 4,
    "let_daemons_leave_first": 56,
    "let_strangers_live": 41,
    "let_the_core_hear_secrets": 2,
    "look_at_alerts_only_when_something_happens": 11,
    "look_only_once_at_who_serves": 21,
    "look_out_for_no_agent": 43,
    "lost_filter_expiry": 3,
    "make_a_record_of_what_is_durable": 12,
    "never_hear_what_ended_while_a_runtime_was_away": 11,
    "never_look_at_an_agent_that_comes": 16,
    "never_look_at_who_comes_back": 3,
    "never_repeat_updates": 140,
    "never_try_again_what_could_not_be_made": 21,
    "no_fencing": 116,
    "obey_anyone": 42,
    "obey_whoever_calls": 10,
    "offer_again_what_other_roles_refused": 29,
    "offer_what_is_used_again": 2,
    "page_before_that_is_stored": 6,
    "pass_over_what_is_kept_no_longer": 9,
    "place_a_daemon_on_any_agent": 13,
    "replace_what_has_data_as_other_services": 230110,
    "reserve_what_may_be_used_meanwhile": 11,
    "reserve_without_telling": 11,
    "sell_an_agent_twice": 5,
    "show_events_of_every_role": 10,
    "show_what_is_killed": 3,
    "skip_a_job_between_two_pages": 9,
    "start_as_many_as_there_are": 3,
    "start_before_checkpoint": 6,
    "start_times_are_the_failovers": 141,
    "stop_at_once_what_is_on_a_drained_agent": 40,
    "stop_however_few_are_left": 3,
    "sync_nothing": 7,
    "take_any_acknowledgement": 140,
    "take_the_cursor_of_another_leader": 14,
    "take_what_another_role_is_offered": 4,
    "take_what_is_not_measured_for_idle": 120,
    "tell_nobody_of_what_fired_before": 8,
    "the_end_of_a_filter_removes_a_newer_one": 22,
    "write_the_state_of_any_epoch": 116,
}

NOT_CONVERGED = "not converged"
NO_FINDS = ("TypeError", "AttributeError", "NameError")  # of a patch that no longer fits the code


@pytest.mark.timeout(900)  # on a busy machine; most are found within a minute
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_is_found(bug: Patch) -> None:
    for seed in (FOUND_BY.get(bug.__name__, 0), *range(SEEDS)):
        found = goes_wrong(seed, bug)
        if not found or (NOT_CONVERGED in found and goes_wrong_without(seed)):
            continue
        assert not any(f" {name}: " in found for name in NO_FINDS), found
        print(f"{bug.__name__} found by seed {seed}: {found[:200]}")
        return
    pytest.fail(f"{bug.__name__} was not found within {SEEDS} seeds")


def goes_wrong(seed: int, bug: Patch | None) -> str:
    """What is wrong with a run, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "HEALED_S", HEALED_S)
        if bug is not None:
            bug(patch)
        try:
            simulate(seed)
        except AssertionError as error:
            return str(error)
    return ""


@functools.cache
def goes_wrong_without(seed: int) -> bool:
    """Whether a run takes longer than HEALED_S without a bug, too: rollouts may."""
    return bool(goes_wrong(seed, None))
