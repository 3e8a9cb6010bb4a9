"""`restart --lose-volumes`: what waits for data that it cannot get at begins without them."""

from __future__ import annotations

import sys
import uuid

from pymesos_cli.cluster import Cluster
from pymesos_cli.jobs.instances import instances_of
from pymesos_cli.jobs.versions import held
from pymesos_cli.jobs.volumes import all_volumes
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import note
from pymesos_core.confirming import confirm
from pymesos_proto.v1 import jobs_pb2


async def give_up_volumes(cluster: Cluster, text: str, *, ask: bool) -> None:
    """`pymesos-cli restart --lose-volumes`: what waits for data begins elsewhere without them."""
    name, _, task = text.partition(".")
    address, job = await held(cluster, name)
    known, _silent = await all_volumes(cluster)
    _view, instances = await instances_of(cluster, address, job.job_id)
    barred = {f"{i.task_name}.{i.instance}" for i in instances if i.cause == "VOLUME_RULED_OUT"}
    lost = [
        volume
        for volume in known
        if volume.job_id == job.job_id
        and (volume.agent_state == "unreachable" or volume.of.partition(".")[2] in barred)
        and task in ("", volume.of.split(".")[1])
    ]
    if lost and ask and sys.stdin.isatty():
        note(f"no task will find again what is in {', '.join(map(str, lost))}.")
        confirm("Go on?")
    request = jobs_pb2.RestartJobRequest(
        job_id=job.job_id,
        tasks=[task] if task else [],
        request_id=str(uuid.uuid4()),
        lose_volumes=True,
    )
    async with jobs_at(cluster, address) as stub:
        await stub.RestartJob(request, timeout=cluster.timeout_s)
    given_up = ", ".join(map(str, lost)) or "them"
    print(f"{job.job_id} begins with empty volumes elsewhere, without {given_up}")
