"""Frameworks that serve jobs, without any connection: a master reaches them in this process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pymesos_binpack.core import PolicyTold
from pymesos_binpack.roles import JobRoles
from pymesos_binpack.services.audited import AuditedJobs
from pymesos_binpack.services.jobs import JobsService
from pymesos_binpack.services.relayed import RelayedJobs
from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller
from pymesos_core.outside import OUTSIDE, Outside
from pymesos_core.security.auditing import Audit
from pymesos_core.security.identities import Kind
from pymesos_core.security.policy_file import read_policy
from pymesos_core.security.revocations import Revocations
from pymesos_core.transport import CallError, Code
from pymesos_proto.v1 import masters_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

MASTER = Caller("master/m2", peer="ipv4:10.0.0.2")


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
        if policy:
            self.harness.feed(PolicyTold(read_policy(policy, 4)))
        self.binpack: Any = SimpleNamespace(
            core=self.harness.core, driver=SimpleNamespace(framework_id=framework_id)
        )
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
