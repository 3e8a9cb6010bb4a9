"""The last lines that failed tasks wrote to stderr: why they failed, in their own words.

Their agents have them, for whoever may see logs. Who may not is told nothing of them, and does not
ask: the audit would tell of denials of what nobody wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence, Set

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.sandboxes import sandbox_of
from pymesos_core.security.roles import Verb
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import sandbox_pb2, types_pb2

LINES = 3  # of each task
MAX_BYTES = 500
MAX_TASKS = 10  # whose agents are asked, of all that are shown at once
TIMEOUT_S = 3.0


async def last_words(cluster: Cluster, views: Iterable[pb.TaskView]) -> dict[str, list[str]]:
    """Return, by task id, the last lines of the tasks that failed latest, where they can be had."""
    failed = [view for view in views if view.state == types_pb2.TASK_FAILED]
    failed.sort(key=lambda view: -view.finished_at_s)
    asked = failed[:MAX_TASKS]
    readable = await _readable(cluster, {view.role for view in asked})
    asked = [view for view in asked if view.role in readable]
    said = await asyncio.gather(*(_read(cluster, view) for view in asked))
    ids = (view.task_info.task_id for view in asked)
    return {task_id: lines for task_id, lines in zip(ids, said, strict=True) if lines}


async def last_words_of(
    cluster: Cluster, framework_id: str, task_ids: Sequence[str]
) -> dict[str, list[str]]:
    """Return the same of tasks of a framework, by their ids."""
    found = await asyncio.gather(
        *(_views(cluster, framework_id, task_id) for task_id in task_ids[:MAX_TASKS])
    )
    return await last_words(cluster, (view for views in found for view in views))


async def _readable(cluster: Cluster, roles: Set[str]) -> Set[str]:
    """Return those of the roles whose logs may be seen."""
    if not roles or cluster.credentials is None:  # whoever reaches such a cluster may see all
        return roles
    may = await asyncio.gather(*(_may_see(cluster, role) for role in roles))
    return {role for role, allowed in zip(roles, may, strict=True) if allowed}


async def _may_see(cluster: Cluster, role: str) -> bool:
    request = pb.CanRequest(verb=Verb.LOGS, role=role)
    with contextlib.suppress(CliError):
        said = await cluster.call(lambda stub, timeout_s: stub.Can(request, timeout=timeout_s))
        return said.allowed
    return False


async def _views(cluster: Cluster, framework_id: str, task_id: str) -> list[pb.TaskView]:
    with contextlib.suppress(CliError):
        views = await cluster.tasks(completed=True, framework_id=framework_id, id_prefix=task_id)
        return [view for view in views if view.task_info.task_id == task_id]
    return []


async def _read(cluster: Cluster, view: pb.TaskView) -> list[str]:
    request = sandbox_pb2.ReadLogRequest(
        framework_id=view.framework_id,
        task_id=view.task_info.task_id,
        stderr=True,
        tail_lines=LINES,
    )
    data = b""
    with contextlib.suppress(CliError, TimeoutError):  # nobody asked for it
        async with asyncio.timeout(TIMEOUT_S), sandbox_of(cluster, view) as (stub, metadata):
            async for part in stub.ReadLog(request, metadata=metadata):
                data = (data + part.data)[-MAX_BYTES:]
    lines = data.decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip()][-LINES:]


def in_a_line(lines: Sequence[str]) -> str:
    """Return them as a part of one line, or nothing."""
    return f"stderr: {' / '.join(lines)}" if lines else ""
