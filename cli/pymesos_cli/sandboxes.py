"""The CLI's way to the sandbox of a task, on its agent or through the master."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, status_of
from pymesos_core.addresses import HostPort
from pymesos_core.following import (
    AGENT_KEY,
    NOT_REACHABLE,
    WHY_NOT,
    describe,
    leader_of,
    says_that_nobody_leads,
)
from pymesos_core.grpc_transport import call_error, open_channel
from pymesos_core.security.identities import Kind, name_in
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1.sandbox_pb2_grpc import SandboxStub

if TYPE_CHECKING:
    from pymesos_proto.v1.sandbox_pb2_grpc import SandboxAsyncStub

DIRECT_TIMEOUT_S = 2.0
MASTER_AWAY = (
    "the master through which {} was asked answers no more, as at a failover; try this again"
)

Metadata = tuple[tuple[str, str], ...]


class AwayError(CliError):
    """The agent, or the master through which it was asked, answers no more, and perhaps again."""


async def _answers(stub: SandboxAsyncStub, view: pb.TaskView) -> bool:
    """Whether it is an agent that answers there: it says something of the task."""
    ask = sandbox_pb.ReadFileRequest(
        framework_id=view.framework_id, task_id=view.task_info.task_id, path="stdout", length=1
    )
    try:
        await stub.ReadFile(ask, timeout=DIRECT_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        return error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    return True


@asynccontextmanager
async def sandbox_of(
    cluster: Cluster, view: pb.TaskView
) -> AsyncIterator[tuple[SandboxAsyncStub, Metadata]]:
    """The Sandbox service of a task's agent, and the metadata of its calls.

    Through the master when the agent itself is not reachable from here. Raises CliError, and
    AwayError where it may be of use to ask again.
    """
    if not view.HasField("agent_address"):
        raise CliError(f"the agent of {view.task_info.task_id} is not known any more")
    address = view.agent_address
    where = f"the agent {address.hostname} ({address.ip}:{address.port})"
    name = name_in(view.agent_principal, Kind.AGENT)
    at = HostPort(address.ip, address.port)
    channel = open_channel(at, Kind.AGENT, cluster.credentials, name)
    metadata: Metadata = ()
    try:
        through = channel
        # With certificates agents answer to masters only, who go by the policy.
        if cluster.credentials is not None or not await _answers(SandboxStub(channel), view):
            metadata = ((AGENT_KEY, view.task_info.agent_id),)
            through = await cluster.leader_channel()
        yield SandboxStub(through), metadata
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if me is None or me.cancelling():
            raise
        # gRPC says that this call is cancelled as if we were: another call of ours has found that
        # another master leads, and closed the channel to the one before.
        raise AwayError(MASTER_AWAY.format(where)) from None
    except grpc.aio.AioRpcError as error:
        said = call_error(error)
        if leader_of(said) is not None or says_that_nobody_leads(said):
            raise AwayError(MASTER_AWAY.format(where)) from error
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            raise AwayError(_unreached(where, error, through_master=bool(metadata))) from error
        hint = f"; `pymesos-cli ls {view.task_info.task_id}` lists its files"
        absent = (error.details() or "").endswith(os.strerror(errno.ENOENT))
        raise CliError(
            f"{where}: {describe(said)}{hint if absent else ''}", status_of(error)
        ) from error
    finally:
        await channel.close()


def _unreached(where: str, error: grpc.aio.AioRpcError, *, through_master: bool) -> str:
    """Say who it is that does not answer, or answers no more."""
    if not through_master:  # it did, just before
        return f"{where} answers no more; if it is started again, so is this to be: tasks run on"
    # What a master says of an agent is in words of ours.
    if error.details() in (NOT_REACHABLE, *WHY_NOT.values()):
        return f"{where} is not reachable, neither from here nor from the master; is it running?"
    return MASTER_AWAY.format(where)
