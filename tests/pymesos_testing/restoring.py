"""A cluster to which a backup is restored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from pymesos_cli.backup import steps
from pymesos_cli.backup.records import Backup
from pymesos_cli.backup.steps import Step
from pymesos_cli.errors import CliError
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy_file import NEW_CLUSTER
from pymesos_core.security.secrets import Keyring
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

OTHER = NEW_CLUSTER.replace("operator/*", "operator/a")


class FakeCluster:
    """A master that answers what it was given, and remembers what it was asked to do."""

    def __init__(self, agents: Iterable[pb.AgentView] = (), **answers: Any) -> None:
        self.views = list(agents)
        self.timeout_s = 5.0
        self.answers = {
            "GetPolicy": pb.GetPolicyResponse(document=NEW_CLUSTER),
            "ListRoles": pb.ListRolesResponse(),
            "ListRevocations": pb.ListRevocationsResponse(),
            "ListWebhooks": pb.ListWebhooksResponse(),
            "ListClusterAlerts": pb.ListClusterAlertsResponse(),
            **answers,
        }
        self.answers_by: dict[str, Any] = {}  # by calling what is there
        self.done: list[Any] = []
        self.refusal: CliError | None = None

    def __getattr__(self, method: str) -> Any:
        if method in self.answers_by:
            return self.answers_by[method]

        async def answer(request: Any, timeout: float) -> Any:
            if method in self.answers:
                return self.answers[method]
            if self.refusal is not None:
                raise self.refusal
            self.done.append(request)
            return None

        return answer

    async def call(self, make: Any) -> Any:
        return await make(self, 1.0)

    async def agents(self) -> list[pb.AgentView]:
        return self.views


def reserved(text: str, role: str) -> list[types_pb2.Resource]:
    found = to_proto(parse(text))
    for resource in found:
        resource.reservations.add(role=role)
    return found


def agent(agent_id: str, hostname: str, **more: Any) -> pb.AgentView:
    info = types_pb2.AgentInfo(agent_id=agent_id, address=types_pb2.Address(hostname=hostname))
    return pb.AgentView(info=info, **{"state": "active", **more})


def planned(cluster: FakeCluster, keyring: Keyring | None = None, **saved: Any) -> list[Step]:
    backup = Backup(backup_pb.BackupBegin(format=1), **saved)
    of: Any = cluster
    return asyncio.run(steps.steps_of(of, backup, keyring))


def carry_out(cluster: FakeCluster, found: Iterable[Step]) -> list[Any]:
    """What the master is asked to do."""

    async def run() -> None:
        for step in found:
            if step.do is not None:
                await step.do()

    asyncio.run(run())
    return cluster.done


SECRET = pb.SealedSecret(role="prod", name="db", key_id="k", nonce=b"n", sealed=b"s" * 20)
