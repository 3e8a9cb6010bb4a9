"""Calls of a Jobs service as clients make them, at the address of whichever instance."""

from __future__ import annotations

import asyncio

import grpc.aio

from pymesos_cli.jobs_stub import FollowingJobs
from pymesos_core.addresses import HostPort
from pymesos_core.grpc_transport import open_channel
from pymesos_core.security.identities import Kind
from pymesos_proto.v1 import jobs_pb2 as pb


def list_jobs(address: HostPort) -> list[str]:
    """The names of the jobs, asked of the instance at an address."""

    def dial(at: HostPort) -> grpc.aio.Channel:
        return open_channel(at, Kind.FRAMEWORK, None)

    async def ask() -> list[str]:
        stub = FollowingJobs(address, dial)
        try:
            answer = await stub.ListJobs(pb.ListJobsRequest(), timeout=20)
            return [job.name for job in answer.jobs]
        finally:
            await stub.close()

    return asyncio.run(ask())
