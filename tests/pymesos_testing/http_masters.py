"""Two masters with certificates, one of which leads, and what answers HTTP on each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.access_tokens import digest_of, new_access_token
from pymesos_core.security.gate import Gate
from pymesos_core.security.identities import Kind
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.services.leading import Leadership
from pymesos_master.services.masters import MastersService
from pymesos_testing.http_cluster import (
    AT,
    closed_answering,
    leadership_of,
    operators_of,
    post_json,
)
from pymesos_testing.master_harness import MasterHarness


class Cluster:
    """A leader with certificates, and a master that follows it."""

    def __init__(self, gate: Gate, policy: str = "") -> None:
        self.h = MasterHarness(Config(seed_policy=policy, audited=True))
        self.h.agent("cpus:4;mem:4096;ports:[31000-31009]")
        self.framework = self.h.subscribe(roles=["eng"])
        self.h.run(self.framework, "t", "cpus:1;mem:32;ports:[31000-31000]")
        self.leadership = leadership_of(self.h)
        self.leader = closed_answering(self.leadership, gate)
        self.down = False  # the leader
        masters = MastersService(self.leadership, operators_of(self.leadership))
        cluster = self

        class Channel:
            def stream(self, method: Any, metadata: Any = None) -> Any:
                self.answer = getattr(masters, method.path.rpartition("/")[2])
                return self

            async def write(self, request: Any) -> None:
                self.request = request

            async def done_writing(self) -> None: ...

            async def read(self) -> Any:
                if cluster.down:
                    raise CallError(Code.UNAVAILABLE, "failed to connect to all addresses")
                call = type("Call", (), {"caller": Caller("master/m2", Method.CERT)})()
                return await self.answer(self.request, call)

            async def close(self) -> None: ...

        def dial(address: HostPort, to: Kind, name: str = "") -> Any:
            assert (address, to) == (AT, Kind.MASTER)
            return Channel()

        other = Leadership(MasterInfo("m2", HostPort("10.0.0.2", 1), "b"), Outside(dial=dial))
        other.known_leader = lambda: self.leadership.me
        self.follower = closed_answering(other, gate)

    async def make_token(self, by: Mapping[str, Any], *rights: str) -> dict[str, str]:
        """Return the header by which a program asks."""
        token = new_access_token()
        sent = {"digest": digest_of(token).hex(), "lifetime_s": 60, "rights": rights}
        made = await post_json(self.leader, "/v1/access-tokens/make", sent, authentication=by)
        assert made == {"id": sent["digest"][:16]}  # type: ignore[index]
        return {"authorization": f"Bearer {token}"}
