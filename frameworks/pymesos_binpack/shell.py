"""The doing half of the bin-packing framework: the driver, the state directory, those who watch."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pymesos_binpack import core as c
from pymesos_binpack.calls import make_call
from pymesos_binpack.core import BinpackCore, JobFault
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.making import Making
from pymesos_binpack.specs import Job
from pymesos_core import crash
from pymesos_core.coordination import Detector, RegistryError
from pymesos_core.exits import RoleError
from pymesos_core.outgoing.telling import MakeTells, Tells, TellsNobody
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.runner import Fault, FaultError, Runner, Writes
from pymesos_core.security.policy import Policy
from pymesos_core.security.policy_file import PolicyError, new_cluster, read_policy
from pymesos_core.store import StateStore
from pymesos_core.tasks import until_first
from pymesos_core.text import quoted
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler

log = logging.getLogger(__name__)

STARTS_AGAIN = "the framework starts again: try again"

CAPABILITIES = (
    pb.PARTITION_AWARE,
    pb.TASK_KILLING_STATE,
    pb.GPU_RESOURCES,
    pb.INVERSE_OFFERS,
    pb.REVOCABLE_RESOURCES,
)


class StateError(RoleError):
    """The state cannot be written: the message says why."""


class StartsAgainError(Exception):
    """Asked of a framework that stops here, and goes on in another: ask again."""


class SubmitError(Exception):
    """The job is not taken: the message says why and what to do."""


class StaleError(SubmitError):
    """Somebody was quicker: another version is in force, or a job of the name runs."""


class WrongError(SubmitError):
    """What was asked for cannot be: to ask again later is of no use."""


def refusal(effect: c.JobRefused) -> SubmitError:
    """Return what is raised where the core has refused what somebody asked for."""
    kind = StaleError if effect.stale else WrongError if effect.wrong else SubmitError
    return kind(effect.message)


class Watch:
    """Wakes when a job changes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.changed.set()


class Binpack(Scheduler):
    """One bin-packing framework."""

    def __init__(
        self,
        core: BinpackCore,
        store: StateStore,
        info: pb.FrameworkInfo,
        master: str,
        crash_folder: Path | None = None,
        detector: Detector | None = None,
        outside: Outside = OUTSIDE,
        driver: Callable[..., Driver] = Driver,
        may_send: Callable[[], Awaitable[bool]] | None = None,
        tells: MakeTells = TellsNobody,
    ) -> None:
        """`crash_folder` is where a fault is written down, `may_send` is for the driver.

        `tells` makes what tells receivers of alerts, given what is to be called when one has taken
        a notice.
        Raises pymesos_core.addresses.AddressError.
        """
        self.core = core
        info.framework_id = core.framework_id
        info.roles[:] = core.roles
        self._info = info
        self.driver = driver(
            self,
            info,
            master,
            acknowledge=False,
            first_roles=core.roles_always,  # one of a job that is refused ends no other job
            ledger=core.ledger,
            detector=detector,
            outside=outside,
            may_send=may_send,
        )
        self._store = store
        self._crash_folder = crash_folder
        self._outside = outside
        self._runner: Runner[c.Event, c.Effect] = Runner(
            core,
            self._do,
            c.Tick(),
            self._on_fault,
            Writes(store.commit, self._written),
            outside.clock,
        )
        self._receivers = tells(
            lambda told: self._feed(c.NoticeTaken(told.key, told.began_s, told.is_over))
        )
        self._making = Making(self._feed)
        # By the job that is to be changed, or nothing, and the id of the request.
        self._accepted: dict[tuple[str, str], asyncio.Future[c.JobAccepted]] = {}
        self._released: dict[tuple[str, bool], asyncio.Future[str]] = {}  # by job, and `discard`
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._watches: dict[str, dict[Watch, None]] = {}
        self._failed = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def over(self) -> bool:
        """Whether it takes nothing in any more."""
        return self._runner.over

    async def run(self) -> None:
        """Run until the driver is stopped.

        Raises FrameworkError, CoordinationError, StateError, JobFault, FaultError.
        """
        try:
            self._feed(c.Tick())
            await until_first(
                self._runner.run(),
                self.driver.run(),
                self._failed.wait(),
                self._receivers.run(),
                self._making.run(),
            )
            if isinstance(self._failure, RegistryError):
                raise StateError(str(self._failure))
            if self._failure is not None:
                raise StateError(
                    f"the state directory cannot be written: {self._failure}. Make room or give"
                    f" another with --state-dir, then start again: nothing acknowledged is lost"
                )
        except FaultError as error:
            # What was decided before is right, and stored by now: the next life begins with it.
            if isinstance(error.fault.error, JobFault):
                raise error.fault.error from error.fault.error.__cause__
            raise
        finally:
            self._runner.stop()
            self._tell_who_waits()

    def _tell_who_waits(self) -> None:
        """Tell who waits that nobody is answered here any more."""
        waiting: tuple[asyncio.Future[Any], ...] = (
            *self._accepted.values(),
            *self._released.values(),
            *self._asked.values(),
        )
        for asked in waiting:
            if not asked.done():
                asked.set_exception(StartsAgainError(STARTS_AGAIN))
        for watches in self._watches.values():
            for watch in watches:
                watch.changed.set()

    async def submit(
        self,
        job: Job,
        request_id: str,
        *,
        same_name: bool = False,
        made_by: str = "",
        versions: tuple[Version, ...] = (),
    ) -> str:
        """Store a job and return its id; the same request id gives the same job.

        `same_name`: whatever others of its name do. `versions`: those that a backup has of it.
        Raises SubmitError, StaleError, StartsAgainError.
        """
        if (problem := self.receivers_problem(job)) is not None:
            raise SubmitError(problem)
        job_id = f"{job.name}-{self._outside.token(4)}"
        event = c.JobSubmitted(
            request_id, job_id, job, not same_name, made_by, versions, self._store.room_bytes
        )
        return (await self._ask(("", request_id), event)).job_id

    def receivers_problem(self, job: Job) -> str | None:
        """Why the alerts of a job cannot be taken; None: they can."""
        names = self._receivers.names
        unknown = next((name for name in job.receivers if name not in names), None)
        if unknown is None:
            return None
        if not names:
            return (
                f"an alert is to go to {quoted(unknown)}, and this framework has no receivers: they"
                f" are in the file that --receivers names, where it is started"
            )
        known = ", ".join(sorted(names)[:20])
        return f"an alert is to go to {quoted(unknown)}, and the receivers here are {known}"

    async def propose(self, event: c.VersionProposed) -> int:
        """Put another version of a job in force and return its number, once it is stored.

        Raises SubmitError, StaleError, StartsAgainError.
        """
        event = replace(event, room_bytes=self._store.room_bytes)
        return (await self._ask((event.job_id, event.request_id), event)).version

    async def have_stored(self, job_id: str) -> None:
        """Return once what was decided of a job is stored. Raises StartsAgainError."""
        await self._have_stored(lambda asked: c.ChangesAwaited(job_id, asked))

    async def ask_rollout(self, job_id: str, task: str, what: Asked, by: str) -> None:
        """Pause, resume, promote or abort a rollout, or all of a job; returns once it is stored.

        Raises SubmitError, StartsAgainError.
        """
        request_id = f"rollout-{self._outside.token(8)}"
        event = c.RolloutAsked(request_id, job_id, task, what, by)
        await self._ask((job_id, request_id), event)

    async def trigger(
        self, job_id: str, task: str, args: Mapping[str, str], request_id: str, by: str
    ) -> None:
        """Have a run of a periodic task begin; returns once it is stored.

        Raises SubmitError, StartsAgainError.
        """
        event = c.RunTriggered(request_id, job_id, task, args, by)
        await self._ask((job_id, request_id), event)

    async def _ask(self, key: tuple[str, str], event: c.Event) -> c.JobAccepted:
        """Feed an event unless one of its key waits for its answer; return that answer.

        It is waited for whoever hangs up meanwhile: others may have sent the same request.
        """
        if (accepted := self._accepted.get(key)) is None:
            accepted = asyncio.get_running_loop().create_future()
            self._accepted[key] = accepted
            accepted.add_done_callback(lambda done: self._answered(key, done))
            self._feed(event)
            if self.over and not accepted.done():
                accepted.set_exception(StartsAgainError(STARTS_AGAIN))
        return await asyncio.shield(accepted)

    def _answered(self, key: tuple[str, str], accepted: asyncio.Future[c.JobAccepted]) -> None:
        if self._accepted.get(key) is accepted:
            del self._accepted[key]
        if not accepted.cancelled():
            accepted.exception()  # nobody may have waited for it

    async def release(self, job_id: str, *, discard: bool) -> str:
        """Try a job in quarantine again, or forget it; why not, or nothing.

        Raises StartsAgainError.
        """
        key = (job_id, discard)
        if (asked := self._released.get(key)) is None:
            asked = asyncio.get_running_loop().create_future()
            self._released[key] = asked
            asked.add_done_callback(lambda _: self._released.pop(key, None))
            self._feed(c.QuarantineReleased(job_id, discard))
            if self.over and not asked.done():
                asked.set_exception(StartsAgainError(STARTS_AGAIN))
        return await asyncio.shield(asked)

    async def stop_job(self, job_id: str, *, now: bool = False) -> None:
        """End a job and its tasks; return once that is durable. Raises StartsAgainError."""
        await self._have_stored(lambda asked: c.JobStopped(job_id, asked, now))

    @property
    def receivers(self) -> Collection[str]:
        """The names of those that can be told of alerts."""
        return self._receivers.names

    @property
    def tells(self) -> Tells:
        """What tells them."""
        return self._receivers

    async def test_receiver(self, name: str) -> None:
        """Have a receiver told of nothing. Raises UnsentError where it does not take that.

        Raises CallError where it was tested just now.
        """
        await self._receivers.test(name)

    async def silence_alerts(
        self, job_id: str, task: str, when: str, for_s: float, by: str, why: str
    ) -> None:
        """Have nobody told of alerts for a while; return once that is durable.

        Raises StartsAgainError.
        """
        await self._have_stored(
            lambda asked: c.AlertsSilenced(job_id, task, when, for_s, by, why, asked)
        )

    async def set_variable(self, event: c.VariableSet) -> int:
        """Set or remove a variable; return its version, once that is stored.

        Raises SubmitError, StaleError, StartsAgainError.
        """
        event = replace(event, room_bytes=self._store.room_bytes)
        return (await self._ask(("", event.request_id), event)).version

    async def forget_volume(self, role: str, volume_id: str) -> None:
        """Have the next run of a volume's name make a new one; return once that is durable.

        Raises StartsAgainError.
        """
        await self._have_stored(lambda asked: c.VolumeRemoved(role, volume_id, asked))

    async def give_up_volumes(self, job_id: str, tasks: tuple[str, ...]) -> None:
        """Have what waits for data on unreachable agents begin without; return once durable.

        Raises StartsAgainError.
        """
        await self._have_stored(lambda asked: c.VolumesGivenUp(job_id, tasks, asked))

    async def _have_stored(self, event: Callable[[int], c.Event]) -> None:
        number = next(self._numbers)
        self._asked[number] = done = asyncio.get_running_loop().create_future()
        try:
            self._feed(event(number))
            if self.over and not done.done():
                raise StartsAgainError(STARTS_AGAIN)
            await done
        finally:
            del self._asked[number]

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """A watch that is set now, and again whenever the job changes."""
        watch = Watch()
        self._watches.setdefault(job_id, {})[watch] = None
        try:
            yield watch
        finally:
            watches = self._watches[job_id]
            del watches[watch]
            if not watches:
                del self._watches[job_id]

    # What the driver tells.

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        """See Scheduler."""
        self._feed(c.Subscribed(framework_id))
        if scheduler_pb.TELLS_POLICY not in driver.master_capabilities:
            self._feed(c.PolicyTold(new_cluster()))  # one that has none

    def policy(self, driver: Driver, document: str, version: int) -> None:
        """See Scheduler. What cannot be read, as of a later version, allows nothing."""
        try:
            told = read_policy(document, version)
        except PolicyError as error:
            log.error("the cluster's policy cannot be read (%s): all who ask are denied", error)
            told = Policy(version=version)
        self._feed(c.PolicyTold(told))

    def secret_versions(self, driver: Driver, versions: scheduler_pb.Event.SecretVersions) -> None:
        """See Scheduler."""
        told = tuple((each.name, each.version, each.set_at_s) for each in versions.secrets)
        self._feed(c.SecretsTold(versions.role, told, versions.complete, versions.removed))

    def framework_updated(self, driver: Driver, info: pb.FrameworkInfo, problem: str) -> None:
        """See Scheduler."""
        self._feed(c.RolesAnswered(tuple(info.roles), driver.roles, problem))

    def disconnected(self, driver: Driver) -> None:
        """See Scheduler."""
        self._feed(c.Disconnected())

    def offers(self, driver: Driver, offers: Sequence[pb.Offer]) -> None:
        """See Scheduler."""
        self._feed(c.OffersReceived(tuple(offers)))

    def rescinded(self, driver: Driver, offer_id: str) -> None:
        """See Scheduler."""
        self._feed(c.OfferRescinded(offer_id))

    def failure(self, driver: Driver, agent_id: str) -> None:
        """See Scheduler."""
        self._feed(c.AgentLost(agent_id))

    def drain(self, driver: Driver, drain: scheduler_pb.Event.Drain) -> None:
        """See Scheduler."""
        self._feed(c.AgentDraining(drain.agent_id, drain.deadline_s, drain.cancelled))

    def uses(self, driver: Driver, uses: Sequence[pb.TaskUse]) -> None:
        """See Scheduler."""
        self._feed(c.UsesTold(tuple(uses)))

    def inverse_offers(self, driver: Driver, inverse_offers: Sequence[pb.InverseOffer]) -> None:
        """See Scheduler."""
        self._feed(c.InverseOffersReceived(tuple(inverse_offers)))

    def update(self, driver: Driver, status: pb.TaskStatus) -> None:
        """See Scheduler."""
        self._feed(c.TaskUpdated(status))

    # The core.

    def _feed(self, event: c.Event) -> None:
        self._runner.feed(event)

    def _on_fault(self, fault: Fault) -> None:
        if not isinstance(fault.error, JobFault):  # which is set aside, and the others go on
            crash.report("the framework", self._crash_folder, fault, (), self._outside.clock())

    def _do(self, effect: c.Effect) -> None:
        match effect:
            case c.Store(token, changes):
                self._runner.commit(token, changes)
            case c.JobAccepted():
                accepted = self._accepted.get(effect.key)
                if accepted is not None and not accepted.done():
                    accepted.set_result(effect)
            case c.Released(job_id, problem, discard):
                asked = self._released.get((job_id, discard))
                if asked is not None and not asked.done():
                    asked.set_result(problem)
            case c.Done(number):
                done = self._asked.get(number)
                if done is not None and not done.done():
                    done.set_result(None)
            case c.JobRefused(request_id, job_id=job_id):
                accepted = self._accepted.get((job_id, request_id))
                if accepted is not None and not accepted.done():
                    accepted.set_exception(refusal(effect))
            case c.JobChanged(job_id):
                for watch in self._watches.get(job_id, ()):
                    watch.changed.set()
            case c.BeInRoles(roles):
                info = pb.FrameworkInfo()
                info.CopyFrom(self._info)
                info.roles[:] = roles
                self.driver.update_framework(info)
            case c.MakeJob():
                self._making.make(effect)
            case c.Tell(notice):
                self._receivers.tell(notice)
            case _:
                make_call(self.driver, effect)

    def _written(self, token: int, error: Exception | None) -> c.Event | None:
        if error is None:
            return c.Stored(token)
        self._failure = self._failure or error
        self._runner.stop()
        self._failed.set()
        return None
