"""Frameworks that serve jobs, without any connection: a master reaches them in this process."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from pymesos_binpack import core as c
from pymesos_binpack.answers import refusal
from pymesos_binpack.jobs.history import Version
from pymesos_binpack.jobs.rollouts.asking import Asked
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.relayed import RelayedJobs
from pymesos_binpack.specs import Job
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.outgoing.telling import Unreached
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.auditing import Audit
from pymesos_core.security.identities import Kind
from pymesos_core.security.policy_file import read_policy
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import masters_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

MASTER = Caller("master/m2", peer="ipv4:10.0.0.2")


class HarnessedBinpack:
    """What a Jobs service asks of its framework, of a core whose writes are durable at once."""

    def __init__(self, harness: BinpackHarness, framework_id: str = "f") -> None:
        self.h = harness
        self.core = harness.core
        self.driver = SimpleNamespace(framework_id=framework_id)
        self.requests = 0
        self.before_submit: list[c.Event] = []
        self.before_propose: list[c.Event] = []

    def _answer(self, event: c.Event, key: tuple[str, str]) -> c.JobAccepted:
        self.h.feed(event)
        for effect in reversed(self.h.effects):
            if isinstance(effect, c.JobAccepted) and effect.key == key:
                return effect
            if isinstance(effect, c.JobRefused) and (effect.job_id, effect.request_id) == key:
                raise refusal(effect)
        raise AssertionError("no answer")

    def receivers_problem(self, job: Job) -> str | None:
        unknown = [name for name in job.receivers if name != "oncall"]
        return f"the receivers here are oncall, not {unknown[0]}" if unknown else None

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
        while self.before_submit:
            self.h.feed(self.before_submit.pop())
        self.requests += 1
        job_id = f"{job.name}-{self.requests:08x}"
        event = c.JobSubmitted(
            *(request_id, job_id, job, not same_name, made_by, versions),
            scaled_counts=scaled_counts or {},
        )
        return self._answer(event, ("", request_id)).job_id

    async def propose(self, event: c.VersionProposed) -> int:
        while self.before_propose:
            self.h.feed(self.before_propose.pop())
        return self._answer(event, (event.job_id, event.request_id)).version

    def why_refused(self, event: c.JobSubmitted | c.VersionProposed) -> str:
        return self.core.why_refused(event)

    async def have_stored(self, job_id: str) -> None:
        self.requests += 1
        done = c.Done(self.requests)
        self.h.feed(c.ChangesAwaited(job_id, self.requests))
        assert done not in self.h.effects, "there is nothing to wait for"
        self.h.hold_writes = False
        self.h.write()
        assert done in self.h.effects

    async def ask_rollout(self, job_id: str, task: str, what: Asked, by: str) -> None:
        self._answer(c.RolloutAsked("a", job_id, task, what, by), (job_id, "a"))

    async def trigger(
        self, job_id: str, task: str, args: Mapping[str, str], request_id: str, by: str
    ) -> None:
        self._answer(c.RunTriggered(request_id, job_id, task, args, by), (job_id, request_id))

    async def stop_job(self, job_id: str, *, now: bool = False) -> None:
        self.h.feed(c.JobStopped(job_id, 0, now))

    async def release(self, job_id: str, *, discard: bool) -> str:
        self.h.feed(c.QuarantineReleased(job_id, discard))
        return ""

    receivers = ("oncall",)
    tells = SimpleNamespace(names=receivers, unreached={"oncall": Unreached("it is away", 5.0)})

    async def silence_alerts(
        self, job_id: str, task: str, when: str, for_s: float, by: str, why: str
    ) -> None:
        self.h.feed(c.AlertsSilenced(job_id, task, when, for_s, by, why))

    async def test_receiver(self, name: str) -> None:
        assert name == "oncall"

    async def set_variable(self, event: c.VariableSet) -> int:
        return self._answer(event, ("", event.request_id)).version

    async def forget_volume(self, role: str, volume_id: str) -> None:
        self.h.feed(c.VolumeRemoved(role, volume_id, 0))

    async def give_up_volumes(self, job_id: str, tasks: tuple[str, ...]) -> None:
        self.h.feed(c.VolumesGivenUp(job_id, tasks))


class JobsFramework:
    """The services of one framework, and the core that they answer from."""

    def __init__(
        self,
        framework_id: str = "f",
        role: str = "prod",
        policy: str = "",
        audit: Audit | None = None,
    ) -> None:
        self.harness = BinpackHarness()
        self.harness.role = role
        if policy:
            self.harness.feed(c.PolicyTold(read_policy(policy, 4)))
        self.harness.feed(c.Subscribed(framework_id))
        self.binpack = HarnessedBinpack(self.harness, framework_id)
        self.revocations = Revocations()
        self.service = JobsService(cast(Any, self.binpack), JobRoles((role,)))
        audited = AuditedJobs(self.service, audit or Audit(), None, OUTSIDE)
        credentials = cast(Any, SimpleNamespace(revocations=self.revocations))
        self.relayed = RelayedJobs(audited, Outside(credentials=credentials))

    async def relay(self, request: pb.RelayRequest, by: Caller) -> pb.RelayResponse:
        call: Any = SimpleNamespace(caller=by)
        return await self.relayed.Relay(request, call)


class Reached:
    """What a master reaches, by address: a framework, or an error in place of its answer."""

    def __init__(self, by: Caller) -> None:
        """`by` is who the master is, as a framework sees it."""
        self.by = by
        self.at: dict[HostPort, JobsFramework | CallError] = {}
        self.asked: list[tuple[HostPort, str, str]] = []  # where, by which name, what

    def dial(self, address: HostPort, to: Kind, name: str = "") -> Any:
        """See transport.Dial."""
        assert to is Kind.FRAMEWORK
        return _Channel(self, address, name)


class _Channel:
    def __init__(self, reached: Reached, at: HostPort, name: str) -> None:
        self._reached, self._at, self._name = reached, at, name

    def stream(self, method: Any, metadata: Any = None) -> _Channel:
        assert method.path == "/pymesos.v1.RelayedJobs/Relay"
        return self

    async def write(self, request: pb.RelayRequest) -> None:
        self._request = request
        self._reached.asked.append((self._at, self._name, request.method))

    async def done_writing(self) -> None: ...

    async def read(self) -> pb.RelayResponse:
        there = self._reached.at.get(
            self._at, CallError(Code.UNAVAILABLE, "failed to connect to all addresses")
        )
        if isinstance(there, CallError):
            raise there
        return await there.relay(self._request, self._reached.by)

    async def close(self) -> None: ...
