"""Why a task that runs is where it is, as its framework chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grpc
import grpc.aio

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_cli.jobs_stub import jobs_at
from pymesos_cli.output import age, count_of
from pymesos_core.names import parse_task_id
from pymesos_proto.v1 import jobs_pb2 as jobs_pb
from pymesos_proto.v1 import operator_pb2 as pb


async def ask_placement(
    cluster: Cluster, task: pb.TaskView, at: Mapping[str, str]
) -> jobs_pb.ExplainPlacementResponse | None:
    """Why a task is on its agent; None where no framework can say. Raises CliError."""
    task_id = task.task_info.task_id
    parts = parse_task_id(task_id)
    address = at.get(parts.job_id) if parts is not None else None
    if address is None:
        return None
    request = jobs_pb.ExplainPlacementRequest(task_id=task_id)
    try:
        async with jobs_at(cluster, address) as stub:
            return await stub.ExplainPlacement(request, timeout=cluster.timeout_s)
    except NotFoundError:
        return None  # it has ended meanwhile
    except CliError as error:
        cause = error.__cause__
        if not isinstance(cause, grpc.aio.AioRpcError) or (
            cause.code() != grpc.StatusCode.UNIMPLEMENTED
        ):
            raise
        return jobs_pb.ExplainPlacementResponse(
            hostname=task.hostname,
            agent_id=task.task_info.agent_id,
            unknown="its framework is of an earlier version, which does not say why",
        )


def placement_lines(said: jobs_pb.ExplainPlacementResponse | None) -> Iterator[str]:
    """Why a task is on its agent, for people."""
    if said is None:
        return
    if said.unknown:
        yield f"  why on {said.hostname}: {said.unknown}"
        return
    yield (
        f"  why on {said.hostname}: of {count_of(said.considered, 'agent')} that"
        f" {'was' if said.considered == 1 else 'were'} offered {age(said.placed_at_s)} ago,"
        f" {said.fitted} would have done; its score was {said.score:.6g}"
    )
    if said.others:
        others = ", ".join(f"{other.hostname} {other.score:.6g}" for other in said.others)
        left = said.fitted - 1 - len(said.others)
        yield f"  the next best: {others}{f', and {left} more' if left > 0 else ''}"
    for ruled in said.ruled_out:
        some = f" ({'; '.join(ruled.examples)}" if ruled.examples else ""
        more = "; …" if ruled.examples and ruled.agents > len(ruled.examples) else ""
        yield f"  ruled out {ruled.agents}: {ruled.rule}{some}{more}{')' if some else ''}"
    yield f"  scores of the policy {said.policy}: {said.scores_mean}"
