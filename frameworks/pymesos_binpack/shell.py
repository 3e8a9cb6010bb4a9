"""The doing half of the bin-packing framework: its core, the driver and the state directory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pymesos_binpack import core as c
from pymesos_binpack.answers import Answers, SubmitError
from pymesos_binpack.callbacks import Callbacks
from pymesos_binpack.calls import make_call
from pymesos_binpack.core import BinpackCore, JobFault
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.making import Making
from pymesos_binpack.specs import Job
from pymesos_binpack.watches import Watch, Watches
from pymesos_core import crash
from pymesos_core.coordination import Detector, RegistryError
from pymesos_core.exits import RoleError
from pymesos_core.outgoing.telling import MakeTells, Tells, TellsNobody
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.runner import Fault, FaultError, Runner, Writes
from pymesos_core.store import StateStore
from pymesos_core.tasks import until_first
from pymesos_core.text import quoted
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver

CAPABILITIES = (
    pb.PARTITION_AWARE,
    pb.TASK_KILLING_STATE,
    pb.GPU_RESOURCES,
    pb.INVERSE_OFFERS,
    pb.REVOCABLE_RESOURCES,
)


class StateError(RoleError):
    """The state cannot be written: the message says why."""


class Binpack:
    """One bin-packing framework: its core runs here, and what that wants is done."""

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
            Callbacks(self._feed),
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
        self._answers = Answers(self._feed, lambda: self.over)
        self._watches = Watches()
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
                raise StateError(f"the state directory cannot be written: {self._failure}")
        except FaultError as error:
            # What was decided before is right, and stored by now: the next life begins with it.
            if isinstance(error.fault.error, JobFault):
                raise error.fault.error from error.fault.error.__cause__
            raise
        finally:
            self._runner.stop()
            self._answers.end()
            self._watches.end()

    async def submit(
        self,
        job: Job,
        request_id: str,
        *,
        same_name: bool = False,
        made_by: str = "",
        versions: tuple[Version, ...] = (),
        scaled_counts: Mapping[str, int] | None = None,
    ) -> str:
        """Store a job and return its id; the same request id gives the same job.

        `same_name`: whatever others of its name do. `versions`: those that a backup has of it, and
        `scaled_counts`: how many instances its tasks had then that are scaled.
        Raises SubmitError, StaleError, StartsAgainError.
        """
        if (problem := self.receivers_problem(job)) is not None:
            raise SubmitError(problem)
        job_id = f"{job.name}-{self._outside.token(4)}"
        event = c.JobSubmitted(
            *(request_id, job_id, job, not same_name, made_by, versions),
            room_bytes=self._store.room_bytes,
            scaled_counts=scaled_counts or {},
        )
        return (await self._answers.accepted(("", request_id), event)).job_id

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
        return (await self._answers.accepted((event.job_id, event.request_id), event)).version

    def why_refused(self, event: c.JobSubmitted | c.VersionProposed) -> str:
        """Why a job, or another version of one, would be refused now; or nothing."""
        return self.core.why_refused(replace(event, room_bytes=self._store.room_bytes))

    async def have_stored(self, job_id: str) -> None:
        """Return once what was decided of a job is stored. Raises StartsAgainError."""
        await self._answers.stored(lambda asked: c.ChangesAwaited(job_id, asked))

    async def ask_rollout(self, job_id: str, task: str, what: Asked, by: str) -> None:
        """Pause, resume, promote or abort a rollout, or all of a job; returns once it is stored.

        Raises SubmitError, StartsAgainError.
        """
        request_id = f"rollout-{self._outside.token(8)}"
        event = c.RolloutAsked(request_id, job_id, task, what, by)
        await self._answers.accepted((job_id, request_id), event)

    async def trigger(
        self, job_id: str, task: str, args: Mapping[str, str], request_id: str, by: str
    ) -> None:
        """Have a run of a periodic task begin; returns once it is stored.

        Raises SubmitError, StartsAgainError.
        """
        event = c.RunTriggered(request_id, job_id, task, args, by)
        await self._answers.accepted((job_id, request_id), event)

    async def release(self, job_id: str, *, discard: bool) -> str:
        """Try a job in quarantine again, or forget it; why not, or nothing.

        Raises StartsAgainError.
        """
        return await self._answers.released(job_id, discard=discard)

    async def stop_job(self, job_id: str, *, now: bool = False) -> None:
        """End a job and its tasks; return once that is durable. Raises StartsAgainError."""
        await self._answers.stored(lambda asked: c.JobStopped(job_id, asked, now))

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
        await self._answers.stored(
            lambda asked: c.AlertsSilenced(job_id, task, when, for_s, by, why, asked)
        )

    async def set_variable(self, event: c.VariableSet) -> int:
        """Set or remove a variable; return its version, once that is stored.

        Raises SubmitError, StaleError, StartsAgainError.
        """
        event = replace(event, room_bytes=self._store.room_bytes)
        return (await self._answers.accepted(("", event.request_id), event)).version

    async def forget_volume(self, role: str, volume_id: str) -> None:
        """Have the next run of a volume's name make a new one; return once that is durable.

        Raises StartsAgainError.
        """
        await self._answers.stored(lambda asked: c.VolumeRemoved(role, volume_id, asked))

    async def give_up_volumes(self, job_id: str, tasks: tuple[str, ...]) -> None:
        """Have what waits for data that it cannot get at begin without; return once durable.

        Raises StartsAgainError.
        """
        await self._answers.stored(lambda asked: c.VolumesGivenUp(job_id, tasks, asked))

    def watch(self, job_id: str) -> AbstractContextManager[Watch]:
        """A watch that is set now, and again whenever the job changes."""
        return self._watches.watch(job_id)

    def _feed(self, event: c.Event) -> None:
        self._runner.feed(event)

    def _on_fault(self, fault: Fault) -> None:
        if not isinstance(fault.error, JobFault):  # which is set aside, and the others go on
            crash.report("the framework", self._crash_folder, fault, (), self._outside.clock())

    def _do(self, effect: c.Effect) -> None:
        match effect:
            case c.Store(token, changes):
                self._runner.commit(token, changes)
            case c.JobAccepted() | c.JobRefused() | c.Released() | c.Done():
                self._answers.give(effect)
            case c.JobChanged(job_id):
                self._watches.changed(job_id)
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
